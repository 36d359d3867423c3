"""K-1: what is learnt of a new domain, and what is forgotten of the old one."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from .cells import markdown, spread, table

LEVELS = (5.1, 4.8, 4.6, 4.4, 4.2)
"""Nats of the new domain at which the old one is read."""

MORE = {
    "largest per parameter",
    "largest relative",
    "K-1 without trust",
    "UCB",
    "dense, lr/10",
    "0–4",
    "5–9",
    "1–8",
    "partition",
    "EWC 1",
    "EWC 3",
    "EWC 30",
    "vocabulary, EWC 1",
    "vocabulary, EWC 10",
    "vocabulary, 2·lr",
    "vocabulary, 2·lr, EWC 1",
    "vocabulary, 4·lr, EWC 20",
    "learned bids, EWC 10",
    "ppo",
    "ppo, small batches, wide",
}
"""Arms that are not seen at once."""

Curve = Sequence[Sequence[float]]


def column(entry: Mapping, name: str) -> list[float]:
    """A column of an arm's curve."""
    place = entry["columns"].index(name)
    return [row[place] for row in entry["curve"]]


def forgotten_at(entry: Mapping, level: float, old: str = "prose", new: str = "code") -> float | None:
    """By how many nats the old domain is worse where the new one first comes to a level; None where it never does.

    Between two exams both are taken to go in a straight line.
    """
    olds, news = column(entry, old), column(entry, new)
    for (a, b), (before, after) in zip(pairwise(olds), pairwise(news), strict=True):
        if before > level >= after:
            share = (before - level) / (before - after)
            return a + share * (b - a) - olds[0]
    return None


def gained(dense: Mapping, share: float = 0.75, new: str = "code") -> float:
    """The level where dense training has made a share of its gain on the new domain."""
    news = column(dense, new)
    return news[0] - share * (news[0] - min(news))


Values = dict[str, float]
"""One a seed."""


def over_seeds(arm: Mapping, value) -> Values | None:
    """A value of each seed's entry; None where some seed has none."""
    found = {seed: value(entry) for seed, entry in arm.items()}
    return None if None in found.values() else found


def cell(values: Values | None, digits: int = 2, *, signed: bool = False) -> str:
    """Mean and interval, or a dash."""
    return "–" if not values else spread(list(values.values()), digits, 1.0, signed=signed)


def apart(ours: Values | None, others: Values | None) -> str:
    """The difference, seed by seed, of the seeds that both have; or a dash."""
    if ours is None or others is None:
        return "–"
    return cell({seed: ours[seed] - others[seed] for seed in ours if seed in others}, signed=True)


def forgotten(arms: Mapping) -> dict[str, dict[str, Values | None]]:
    """Arm to level of the new domain to what is forgotten of the old one there; "¾" is of dense training's gain."""
    quarter = {seed: gained(entry) for seed, entry in arms["dense"].items()}
    found = {}
    for name, arm in arms.items():
        own = {seed: entry for seed, entry in arm.items() if seed in quarter}
        at = {seed: forgotten_at(entry, quarter[seed]) for seed, entry in own.items()}
        found[name] = {"¾": None if None in at.values() else at} | {
            f"{level:g}": over_seeds(own, lambda e, level=level: forgotten_at(e, level)) for level in LEVELS
        }
    return found


def pareto(found: dict) -> str:
    """Forgetting at equal loss on the new domain."""
    arms = found["pareto"]
    dense = arms["dense"]
    at = forgotten(arms)
    header = (
        *("arm", "parameters a step", "code at the end", "prose forgotten at the end"),
        *(f"where code is at {level:g}" for level in LEVELS),
        *("where dense has ¾ of its gain, − dense", "mean of both at the end, test split", "− dense"),
    )
    means = {name: over_seeds(arm, lambda e: e["figures"]["test_nats"]) for name, arm in arms.items()}
    rows = []
    for name, arm in arms.items():
        updated = over_seeds(arm, lambda e: e["figures"]["updated"])
        rows.append(
            (
                name,
                cell(updated),
                cell(over_seeds(arm, lambda e: column(e, "code")[-1])),
                cell(over_seeds(arm, lambda e: column(e, "prose")[-1] - column(e, "prose")[0])),
                *(cell(at[name][f"{level:g}"]) for level in LEVELS),
                "" if name == "dense" else apart(at[name]["¾"], at["dense"]["¾"]),
                cell(means[name]),
                "" if name == "dense" else apart(means[name], means["dense"]),
            )
        )
    title = f"Nats of a token, lower is better everywhere; {_seeds(dense)}"
    return f"{title}\n\n{table(header, rows, _in_the_rest, 'Other arms')}"


def sequence(found: dict) -> str:
    """Prose, then code, then science: what is left of each in the end."""
    arms = found["sequence"]
    header = (
        *("arm", "prose lost after code", "prose lost at the end", "code lost at the end"),
        *("code when learnt", "science when learnt", "mean of all three", "− dense", "backward transfer"),
    )

    def scores(entry: Mapping) -> list[list[float]]:
        return [[-value for value in row] for row in entry["scores"]]  # nats at the start and after each task

    means = {name: over_seeds(arm, lambda e: e["figures"]["nats"]) for name, arm in arms.items()}
    rows = []
    for name, arm in arms.items():
        if any(len(entry["scores"]) < 3 for entry in arm.values()):  # all domains at once: no order
            rows.append((name, *["–"] * 5, cell(over_seeds(arm, lambda e: e["figures"]["nats"])), "–", "–"))
            continue
        lost = over_seeds(
            arm, lambda e: (scores(e)[0][0] - scores(e)[2][0] + scores(e)[1][1] - scores(e)[2][1]) / 2
        )
        rows.append(
            (
                name,
                cell(over_seeds(arm, lambda e: scores(e)[1][0] - scores(e)[0][0])),
                cell(over_seeds(arm, lambda e: scores(e)[2][0] - scores(e)[0][0])),
                cell(over_seeds(arm, lambda e: scores(e)[2][1] - scores(e)[1][1])),
                cell(over_seeds(arm, lambda e: scores(e)[1][1])),
                cell(over_seeds(arm, lambda e: scores(e)[2][2])),
                cell(means[name]),
                "" if name == "dense" else apart(means[name], means["dense"]),
                cell(lost, signed=True),
            )
        )
    title = f"Nats of a token on the exam, lower is better; {_seeds(arms['dense'])}"
    return f"{title}\n\n{table(header, rows, _sequence_rest, 'Other arms')}"


def _in_the_rest(row: Sequence[str]) -> bool:
    return row[0] in MORE


def _sequence_rest(row: Sequence[str]) -> bool:
    """In the sequence EWC is at its best with 3, so that this one stays."""
    return row[0] in MORE - {"EWC 3"} or row[0] == "EWC 10"


def wikitext(found: dict) -> str:
    """Dense training beside K-1 on one domain: at equal steps, equal updates, equal multiply-adds."""
    arms = found["wikitext"]
    header = (
        *("arm", "test nats", "bits per byte", "exam nats, equal steps", "− dense", "− dense, equal updates"),
        *(
            "− dense, equal multiply-adds",
            "parameters a step",
            "multiply-adds a step",
            "busiest three",
            "Gini",
        ),
    )
    dense = arms["dense"]

    def behind(entry: Mapping, seed: str, axis: str) -> float:
        """Against dense training where it had spent as much."""
        spent = column(entry, axis)[-1]
        return column(entry, "prose")[-1] - _at(dense[seed], axis, spent)

    rows = []
    for name, arm in arms.items():
        words = name == "as published"  # nats of other tokens, many of them unknown: nothing to compare
        last = over_seeds(arm, lambda e: column(e, "prose")[-1])
        cells = [
            cell(
                {seed: behind(entry, seed, axis) for seed, entry in arm.items() if seed in dense},
                signed=True,
            )
            for axis in ("updated", "cost")
        ]
        rows.append(
            (
                f"{name}, nats of words" if words else name,
                cell(over_seeds(arm, lambda e: e["figures"]["test_nats"])),
                "–" if words else cell(over_seeds(arm, lambda e: e["figures"]["test_bits_per_byte/prose"])),
                cell(last),
                *(
                    ["", "", ""]
                    if name == "dense"
                    else ["–"] * 3
                    if words
                    else [apart(last, over_seeds(dense, lambda e: column(e, "prose")[-1])), *cells]
                ),
                *(
                    cell(over_seeds(arm, lambda e, figure=figure: e["figures"][figure]))
                    for figure in ("updated", "cost", "busiest_three", "gini")
                ),
            )
        )
    counts = found.get("counts", {})
    said = ", ".join(
        f"{name} {counts[name]:.2f}" for name in ("unigram", "bigram", "trigram") if name in counts
    )
    title = (
        f"Nats of a token, lower is better; {_seeds(dense)} Counts of the same tokens on the same windows: {said} "
        "nats."
    )
    return f"{title}\n\n{markdown(header, rows)}"


def _at(entry: Mapping, axis: str, spent: float, name: str = "prose") -> float:
    """Nats where a curve had spent so much."""
    xs, ys = column(entry, axis), column(entry, name)
    for (a, b), (before, after) in zip(pairwise(ys), pairwise(xs), strict=True):
        if before <= spent <= after and after > before:
            return a + (b - a) * (spent - before) / (after - before)
    return ys[-1]


def long(found: dict) -> str:
    """Does the gap to dense training close?"""
    arms = found["long"]
    steps = [100, 400, 1000, 2000, 5000]
    header = (
        "arm",
        *(f"nats at step {step:,}" for step in steps),
        *(f"− dense at {step:,}" for step in steps[1:]),
    )
    rows = []
    for name, arm in arms.items():
        at = {step: over_seeds(arm, lambda e, step=step: _at(e, "step", step)) for step in steps}
        of_dense = {
            step: over_seeds(arms["dense"], lambda e, step=step: _at(e, "step", step)) for step in steps
        }
        gaps = ["" if name == "dense" else apart(at[step], of_dense[step]) for step in steps[1:]]
        rows.append((name, *(cell(at[step]) for step in steps), *gaps))
    return (
        f"Nats of a token on the exam, lower is better; {_seeds(arms['dense'])}\n\n{markdown(header, rows)}"
    )


def responsible(found: dict) -> str:
    """Is a large gradient responsible? Rank correlations with what one step of the group alone gains."""
    entries = found["responsible"]
    steps = [row["step"] for row in next(iter(entries.values()))["rows"]]
    header = ("step", "rank correlation of gradient norm and gain")
    rows = [
        (str(step), cell(over_seeds(entries, lambda e, i=i: e["rows"][i]["rank_correlation"]), signed=True))
        for i, step in enumerate(steps)
    ]
    return f"Over the ten groups; {_seeds(entries)}\n\n{markdown(header, rows)}"


def _seeds(arm: Mapping) -> str:
    return f"{len(arm)} seed{'s' if len(arm) > 1 else ''}, ± is a 95 % interval over seeds."


def selection(found: dict) -> str:
    """Who learnt, by rule, from prose to code."""
    kinds = ("embeddings", "attention", "feed-forward", "output")
    header = ("arm", "share of the three busiest", "Gini", *(f"{kind} learnt" for kind in kinds))
    rows = []
    rules = ("largest norms", "largest per parameter", "cooldown", "UCB", "K-1", "random", "round-robin")
    for name in (*rules, "vocabulary", "learned bids"):
        arm = found["pareto"].get(name)
        if arm:
            figures = (over_seeds(arm, lambda e, f=f: e["figures"][f]) for f in ("busiest_three", "gini"))
            places = ((0,), (1, 3, 5, 7), (2, 4, 6, 8), (9,))
            shares = (
                over_seeds(arm, lambda e, own=own: sum(e["learnt"][group] for group in own) / len(own))
                for own in places
            )
            rows.append((name, *(cell(values) for values in (*figures, *shares))))
    return markdown(header, rows)


def bidder(found: dict) -> str:
    """Learned bids beside everything else, by the score that they were trained for."""
    header = ("arm", "60 steps", "learned − it", "150 steps", "learned − it")
    scores = {
        part: {name: over_seeds(arm, lambda e: e["score"]) for name, arm in found.get(part, {}).items()}
        for part in ("short", "long")
    }
    rows = []
    for name in sorted(scores["short"], key=lambda n: -sum((scores["short"][n] or {}).values())):
        cells = []
        for part in ("short", "long"):
            values, ours = scores[part].get(name), scores[part].get("learnt")
            cells += [cell(values, 3), "" if name == "learnt" else apart(ours, values)]
        rows.append(("learned (`k1-bids`)" if name == "learnt" else name, *cells))
    title = (
        "Score after so many steps of code, higher is better; ± is a 95 % interval over "
        f"{len(next(iter(scores['short'].values())) or {})} models of prose. Learned − it: how far learned bids are "
        "ahead, paired."
    )
    return f"{title}\n\n{table(header, rows, _in_the_rest, 'Other arms')}"
