"""Contenders that took turns: how fast each is, and how many times what the commit before did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .cells import known, markdown

_COUNTED, _SHARE = "operations of ", ", of sgemm"
_WHAT = {"kept": "memory kept", "medium": "products of bfloat16", "plain": "without numba"}
"""Contenders in words."""


def draws(found: dict) -> str:
    """Random numbers, and what they are worth."""
    return f"{_heading(found)}\n\n{_table(found, _cases(found), 'numbers or agent-steps a second')}"


def payload(found: dict) -> str:
    """Hearing, judging and learning; and how much of a step is products."""
    shares = [name for name in _cases(found) if name.endswith(_SHARE)]
    rows = [
        (name.removesuffix(_SHARE), *(f"{entry['median']:.2f}" for entry in found[name]["found"].values()))
        for name in shares
    ]
    contenders = [_WHAT.get(name, name) for name in found[shares[0]]["found"]]
    speeds = [name for name in _cases(found) if name not in shares]
    return "\n\n".join(
        (
            _heading(found),
            _table(found, speeds, "agent-steps a second"),
            "The share of a step that all its products would take at the speed of one product of two matrices of "
            "1,024 × 1,024:",
            markdown(("what", *contenders), rows),
        )
    )


def many(found: dict) -> str:
    """Many worlds side by side."""
    names = [name for name in _cases(found) if not name.startswith(_COUNTED) and not name.endswith(" 1")]
    return f"{_heading(found)}\n\n{_table(found, names, 'agent-steps a second')}"


def single(found: dict) -> str:
    """Single worlds: their speed, and operations of a step."""
    rows = []
    for name in _cases(found):
        if name.startswith(_COUNTED) or not name.endswith(" 1"):
            continue
        speed, counts = found[name]["found"], found[f"{_COUNTED}{name}"]["found"]
        rows.append(
            (
                name.removesuffix(" 1"),
                f"{speed['now']['median']:,.0f}",
                _times(speed["now"]),
                f"{counts['before']['median']:,.0f}",
                f"{counts['now']['median']:,.0f}",
            )
        )
    header = ("what", "agent-steps a second", "over before", "operations before", "operations now")
    return f"{_heading(found)}\n\n{markdown(header, rows)}"


def neighbours_speed(found: dict) -> str:
    """Time and memory of hosted learners on sparse graphs."""
    rows = []
    for graph, sizes in found["speed"].items():
        for agents, entry in sizes.items():
            spread = f"{entry['agent_us_min']:,.0f}–{entry['agent_us_max']:,.0f}"
            memory = 1024 * (entry["peak_mib"] - entry["without_mib"]) / int(agents)
            rows.append(
                (
                    graph.replace("_", "-"),
                    f"{int(agents):,}",
                    f"{entry['step_ms']:,.1f} ms",
                    f"{entry['agent_us']:,.0f} µs ({spread})",
                    f"{entry['agent_steps_per_second']:,.0f}",
                    f"{entry['peak_mib']:,.0f} MiB",
                    f"{memory:,.0f} KiB",
                )
            )
    header = (
        "topology",
        "agents",
        "a step",
        "an agent and step",
        "agent-steps a second",
        "memory",
        "a learner",
    )
    return markdown(header, rows)


def neighbours_accuracy(found: dict) -> str:
    """What is learnt by the number of agents."""
    rows = [
        (
            graph.replace("_", "-"),
            f"{int(agents):,}",
            *(known(entry[mode], 1) for mode in ("open", "mute")),
            known(entry["gain"], 1, signed=True),
        )
        for graph, sizes in found["accuracy"].items()
        for agents, entry in sizes.items()
    ]
    return markdown(("topology", "agents", "open", "mute", "gain"), rows)


def _cases(found: Mapping) -> list[str]:
    return [name for name, entry in found.items() if "found" in entry]


def _heading(found: dict) -> str:
    entry = found[_cases(found)[0]]
    return (
        f"One thread; medians of {entry['rounds']} rounds in which contenders took turns, and in brackets the smallest "
        f"and greatest ratio of a round. Before is {entry['before']}."
    )


def _table(found: dict, names: Sequence[str], unit: str) -> str:
    rows, contenders = [], dict.fromkeys(who for name in names for who in found[name]["found"])
    for name in names:
        of = found[name]["found"]
        ratios = (_times(of[who]) if who in of else "" for who in contenders if who != "before")
        rows.append((name, f"{of['before']['median']:,.0f}", *ratios))
    others = (_WHAT.get(who, who) for who in contenders if who != "before")
    return markdown(("what", f"before, {unit}", *others), rows)


def _times(of: Mapping) -> str:
    return f"{of['ratio']:.2f}× ({of['ratio_min']:.2f}–{of['ratio_max']:.2f})"
