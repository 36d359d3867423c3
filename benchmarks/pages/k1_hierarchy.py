"""K-1's hierarchy: which operations happen, what they are worth, and whether resting protects."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from scipy.stats import spearmanr

from .cells import markdown, spread, table
from .k1 import Values, apart, cell, column, forgotten_at, gained, over_seeds

OPERATIONS = ("retire", "merge", "grow", "move", "split", "dissolve", "roll_back")
PARTS = ("arms", "trained", "share")
"""Of the file, that all run the same stream."""
OLD, NEW = "prose", "code"
TURNS = tuple(f"{old} of 5 earlier" for old in range(6))
"""Arms that differ in nothing but who of those who learn have learnt before."""
RESTS = ", trunk rests"
GAINS = {0.5: "½", 0.75: "¾"}
SEEN = {TURNS[0], TURNS[-1], f"{TURNS[0]}{RESTS}", f"{TURNS[-1]}{RESTS}"}
"""Of the turns, those between are like them."""


def _in_the_rest(row: Sequence[str]) -> bool:
    """Arms that are not seen at once: between two ends, or the policy without one operation."""
    name = row[0]
    between = "of 5 earlier" in name and name not in SEEN
    without = name.startswith("K-1 without") and name not in ("K-1 without trust", "K-1 without roll back")
    return (
        between
        or without
        or name in ("random 1", "random 2", "random 10", "least used 5", "flat, 23 experts")
    )


def everyone(found: Mapping) -> dict[str, Mapping]:
    """All arms of the continual stream, and their entries by seed."""
    return {
        f"trained, {name}" if part == "trained" else name: arm
        for part in PARTS
        for name, arm in found.get(part, {}).items()
    }


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
    seeds = max(len(arm) for arm in held.values())
    return f"How often in an episode, {seeds} worlds; ± is a 95 % interval over worlds.\n\n{markdown(header, rows)}"


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
    title = f"Nats of a token, lower is better; {len(known['dense'])} seeds, ± is a 95 % interval over seeds."
    return f"{title}\n\n{table(header, rows, _in_the_rest, 'Other arms')}"


class Row(NamedTuple):
    """What concerns the second domain of an arm, a value a seed; None where some seed has none."""

    share: Values | None
    """Of its updates that fell on agents who had learnt the first; nobody may have learnt."""
    start: Values
    """Nats of the first when it began."""
    end: Values
    """Nats of itself at the end of its task."""
    lost: Values
    """Nats of the first lost by then."""
    forgotten: dict[float, Values | None]
    """The same where it came to shares of dense training's gain, :data:`GAINS`; one may never come there."""


def rows_of(found: Mapping) -> dict[str, Row]:
    """Of all arms."""
    known = everyone(found)
    dense = {seed: during(entry, 1) for seed, entry in known["dense"].items()}
    rows = {}
    for name, arm in known.items():
        own = {seed: during(entry, 1) for seed, entry in arm.items() if seed in dense}
        forgotten = {}
        for gain in GAINS:
            lost = {
                seed: forgotten_at(entry, gained(dense[seed], gain, NEW), OLD, NEW)
                for seed, entry in own.items()
            }
            forgotten[gain] = None if None in lost.values() else lost
        rows[name] = Row(
            over_seeds(own, lambda e: column(e, "updates_on_earlier")[-1]),
            {seed: column(entry, OLD)[0] for seed, entry in own.items()},
            {seed: column(entry, NEW)[-1] for seed, entry in own.items()},
            {seed: column(entry, OLD)[-1] - column(entry, OLD)[0] for seed, entry in own.items()},
            forgotten,
        )
    return rows


def share(found: dict) -> str:
    """Forgetting at equal loss on the new domain, beside how much fell on agents of the old one."""
    rows = rows_of(found)
    header = (
        *("arm", "updates in code on agents of prose", "prose before code", "code at the end of its task"),
        "prose forgotten by then",
        *(text for mark in GAINS.values() for text in (f"where code has {mark} of dense's gain", "− dense")),
    )
    lines = []
    for name, row in sorted(rows.items(), key=lambda item: _mean(item[1].share)):
        at = [
            text
            for gain in GAINS
            for text in (
                cell(row.forgotten[gain]),
                "" if name == "dense" else apart(row.forgotten[gain], rows["dense"].forgotten[gain]),
            )
        ]
        lines.append((name, *(cell(values) for values in (row.share, row.start, row.end, row.lost)), *at))
    title = (
        f"Prose forgotten, in nats of a token, beside the share of updates; {len(rows['dense'].start)} seeds, ± is a "
        "95 % interval over seeds."
    )
    shown = table(header, lines, _in_the_rest, "Other arms")
    told = "Rank correlations, over arms, of that share with what is forgotten:"
    return f"{title}\n\n{shown}\n\n{told}\n\n{correlations(rows)}"


def correlations(rows: Mapping[str, Row]) -> str:
    """Rank correlations of the share with forgetting: a table."""
    told = [name for name, row in rows.items() if row.share]
    sets = {
        "all but those where no agent learns": told,
        "of these, the trunk learns": [name for name in told if not name.endswith(RESTS)],
        "0 … 5 of 5 earlier, which differ in nothing else": [name for name in TURNS if name in told],
        f"the same{RESTS}": [f"{name}{RESTS}" for name in TURNS if f"{name}{RESTS}" in told],
    }
    lines = []
    for title, names in sets.items():
        cells = []
        for gain in GAINS:
            there = [name for name in names if rows[name].forgotten[gain]]
            cells += [str(len(there)), _correlation([rows[name] for name in there], gain)]
        lines.append((title, *cells))
    header = (
        "arm",
        *(text for mark in GAINS.values() for text in ("arms", f"rank correlation, forgotten at {mark}")),
    )
    return markdown(header, lines)


def _correlation(rows: Sequence[Row], gain: float) -> str:
    """Of the seeds that all have; a dash for fewer than three arms."""
    if len(rows) < 3:
        return "–"
    seeds = sorted(set.intersection(*(set(row.share) for row in rows)))
    found = [
        spearmanr([row.share[seed] for row in rows], [row.forgotten[gain][seed] for row in rows]).statistic
        for seed in seeds
    ]
    return spread(found, 2, 1.0, signed=True) if found else "–"


def _mean(values: Values | None) -> float:
    return sum(values.values()) / len(values) if values else -1.0
