"""K-1's hierarchy: which operations happen, what they are worth, and whether resting protects."""

from collections.abc import Callable, Mapping

from scipy.stats import spearmanr

from .cells import markdown, spread
from .k1 import Values, apart, cell, column, forgotten_at, over_seeds, three_quarters

OPERATIONS = ("retire", "merge", "grow", "move", "split", "dissolve", "roll_back")
PARTS = ("arms", "trained", "share")
"""Of the file, that all run the same stream."""
OLD, NEW = "prose", "code"
TURNS = tuple(f"{old} of 5 earlier" for old in range(6))
"""Arms that differ in nothing but who of those who learn have learnt before."""


def everyone(found: Mapping) -> dict[str, Mapping]:
    """All arms of the continual stream, and their entries by seed."""
    return {name: arm for part in PARTS for name, arm in found.get(part, {}).items()}


def during(entry: Mapping, task: int) -> dict:
    """An entry whose curve is of one task alone, from its beginning."""
    length = entry["curve"][-1][0] / len(entry["tasks"])
    rows = [row for row in entry["curve"] if task * length <= row[0] <= (task + 1) * length]
    return {**entry, "curve": rows}


def operations(found: dict) -> str:
    """How often each operation was tried and undone, and in how many worlds."""
    runs = {"k1-structure": "structure", "k1-structure-continual": "arms"}
    held = {name: found[part]["K-1"] for name, part in runs.items() if "K-1" in found.get(part, {})}
    header = (
        "operation",
        *(f"`{name}`: {what}" for name in held for what in ("tried", "undone", "in worlds")),
    )
    rows = []
    for operation in OPERATIONS:
        cells = []
        for arm in held.values():
            tried, undone = (
                over_seeds(arm, lambda e, name=f"{key}/{operation}": e["figures"][name])
                for key in ("tried", "undone")
            )
            worlds = sum(value > 0 for value in tried.values())
            cells += [cell(tried, 1), cell(undone, 1), f"{worlds} of {len(arm)}"]
        rows.append((operation.replace("_", " "), *cells))
    return markdown(header, rows)


def arms(found: dict) -> str:
    """What is left of all domains at the end."""
    known = everyone(found)
    header = (
        *("arm", "test nats, mean of all three", "− dense", "prose forgotten", "code forgotten"),
        *("backward transfer", "learn a step", "agents at the end", "operations", "undone"),
    )

    def lost(domain: str, task: int) -> Callable[[Mapping], float]:
        return lambda e: column(e, domain)[-1] - column(during(e, task), domain)[-1]

    def figure(name: str) -> Callable[[Mapping], float]:
        return lambda e: e["figures"][name]

    tests = {name: over_seeds(arm, figure("test_nats")) for name, arm in known.items()}
    rows = [
        (
            name,
            cell(tests[name]),
            "" if name == "dense" else apart(tests[name], tests.get("dense")),
            cell(over_seeds(arm, lost("prose", 0))),
            cell(over_seeds(arm, lost("code", 1))),
            cell(over_seeds(arm, figure("backward_transfer")), signed=True),
            cell(over_seeds(arm, figure("updated"))),
            *(cell(over_seeds(arm, figure(key)), 1) for key in ("alive", "tried", "undone")),
        )
        for name, arm in sorted(known.items(), key=lambda row: _mean(tests[row[0]]))
    ]
    return markdown(header, rows)


def at_level(found: Mapping) -> dict[str, dict[str, Values | None]]:
    """Of each arm and seed, what concerns the second domain.

    ``share`` of its updates that fell on agents who had learnt the first, ``forgotten`` nats of the first where the
    second came to three quarters of dense training's gain, ``old`` nats of the first there, and ``start``, its nats
    before the second. None where some seed has none: nobody learnt, or never so much.
    """
    known = everyone(found)
    levels = {seed: three_quarters(during(entry, 1), NEW) for seed, entry in known["dense"].items()}
    rows = {}
    for name, arm in known.items():
        own = {seed: during(entry, 1) for seed, entry in arm.items() if seed in levels}
        lost = {seed: forgotten_at(entry, levels[seed], OLD, NEW) for seed, entry in own.items()}
        start = {seed: column(entry, OLD)[0] for seed, entry in own.items()}
        whole = None not in lost.values()
        rows[name] = {
            "share": over_seeds(own, lambda e: column(e, "updates_on_earlier")[-1]),
            "forgotten": lost if whole else None,
            "old": {seed: start[seed] + lost[seed] for seed in lost} if whole else None,
            "start": start,
        }
    return rows


def share(found: dict) -> str:
    """Forgetting at equal loss on the new domain, beside how much fell on agents of the old one."""
    rows = at_level(found)
    header = (
        *("arm", "updates in code on agents of prose", "prose before code", "code at the end of its task"),
        *("prose forgotten at the end of code", "at ¾ of dense's gain", "− dense", "prose there"),
    )
    known = everyone(found)
    lines = [
        (
            name,
            cell(one["share"]),
            cell(one["start"]),
            cell(over_seeds(known[name], lambda e: column(during(e, 1), NEW)[-1])),
            cell(
                over_seeds(
                    known[name], lambda e: column(during(e, 1), OLD)[-1] - column(during(e, 1), OLD)[0]
                )
            ),
            cell(one["forgotten"]),
            "" if name == "dense" else apart(one["forgotten"], rows["dense"]["forgotten"]),
            cell(one["old"]),
        )
        for name, one in sorted(rows.items(), key=lambda row: _mean(row[1]["share"]))
    ]
    return f"{markdown(header, lines)}\n\n{correlations(rows)}"


def correlations(rows: Mapping[str, Mapping[str, Values | None]]) -> str:
    """Rank correlations of the share with forgetting, and with the nats of the old domain: a table."""
    told = {name: row for name, row in rows.items() if row["share"] and row["forgotten"]}
    sets = {
        "all that learnt so much": list(told),
        "of these, whose trunk learns": [name for name in told if "trunk rests" not in name],
        "that differ in nothing else: 0 … 5 of 5 earlier": [name for name in TURNS if name in told],
    }
    lines = []
    for title, names in sets.items():
        if len(names) < 3:
            continue
        seeds = set.intersection(*(set(told[name]["share"]) for name in names))
        cells = []
        for what in ("forgotten", "old"):
            found = {
                seed: spearmanr(
                    *([told[name][key][seed] for name in names] for key in ("share", what))
                ).statistic
                for seed in sorted(seeds)
            }
            cells.append(spread(list(found.values()), 2, 1.0, signed=True) if found else "–")
        lines.append((title, str(len(names)), *cells))
    header = ("arm", "arms", "rank correlation of the share with prose forgotten", "with prose there")
    return markdown(header, lines)


def _mean(values: Values | None) -> float:
    return sum(values.values()) / len(values) if values else -1.0
