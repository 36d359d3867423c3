"""The documented classroom, and a teacher on a budget."""

from collections.abc import Sequence

from studyhall.rollouts.metrics.names import EXAM
from studyhall.rollouts.reports.claims import COLUMNS, claim_cells, history, judged_anew
from studyhall.rollouts.reports.comparisons import COMPARED, comparison_rows

from .cells import best_first, changed, gain, known, markdown, spread, table


def reproduction(found: dict) -> str:
    """The results of one reproduction, its claims as scenarios hold them now: those that fail stay in the table."""
    entries, missing = found["scenarios"], found.get("unmeasured", [])
    judged = [judged_anew(entry) for entry in (*entries, *missing)]
    documented = [
        (entry["name"], *claim_cells(claim, entry.get("headline", EXAM)))
        for entry in judged
        for claim in entry["claims"]
    ]
    reasons = {claim["tolerance_why"] for entry in judged for claim in entry["claims"] if claim["tolerance"]}
    if once := len(reasons) == 1:
        documented = [(*cells, tolerance.partition(" (")[0]) for *cells, tolerance in documented]
    classes = [entry for entry in entries if entry.get("headline", EXAM) == EXAM]
    compared = [row for entry in classes for row in _compared(entry)]
    lengths = sorted({f"{entry['steps']:,}" for entry in entries})
    seeds = sorted({str(len(entry["seeds"])) for entry in entries})
    versions = found["versions"]
    parts = [
        f"{' / '.join(lengths)} steps, {' / '.join(seeds)} seeds; in per cent, ± is a 95 % interval over seeds; "
        f"{found['device']}, torch {versions['torch']}, studyhall {versions['studyhall']}."
    ]
    if not all(entry["comparable"] for entry in entries):
        parts.append("**Shortened runs: these figures are not comparable with the documented ones.**")
    parts.append(
        "Documented beside measured; what the verdicts mean, and whose figures the documented ones are, stands in [how "
        "to read it](../results.md#how-to-read-it) and [sources](../results.md#sources)."
        + (f" Tolerances: {reasons.pop()}." if once else "")
    )
    parts.append(markdown(COLUMNS, documented))
    parts += changed(history(judged))
    if missing:
        names = (f"{entry['name']} ({entry['unmeasured']})" for entry in missing)
        parts.append(f"Not measured: {'; '.join(names)}.")
    if compared:
        parts.append(
            "Test accuracy; the first line of a cell is with dropout off at evaluation, the second with it on:"
        )
        header = ["best by report card" if name == "title" else name for name in COMPARED]
        parts.append(
            table(header, compared, _in_the_rest, "Muted controls, and other scenarios at step 1,000")
        )
    return "\n\n".join(parts)


def _compared(entry: dict) -> list[tuple[str, ...]]:
    """Rows of a scenario, every one with its name."""
    return [
        (f"{entry['name']}, {name.strip()}" if name.startswith(" ") else name, *cells)
        for name, *cells in comparison_rows(entry)
    ]


def _in_the_rest(row: Sequence[str]) -> bool:
    return ", mute" in row[0] or ("at step" in row[0] and not row[0].startswith("classroom-mnist-budgeted"))


VARIANTS = {
    "mean of all, T 1",
    "mean of all, T 1, rate .02",
    "hard targets where confident (.95)",
    "snapshots, T 2, rate .1",
    "snapshots, T 1, rate 1",
    "snapshots, T 1, rate .1",
    "snapshots, T 1, rate .03",
}
"""Rules of the peer phase that differ from others by a number."""


def peer_rules(found: dict) -> str:
    """Every rule tried for the peer phase."""
    rules = found["rules"]
    control = next(iter(rules.values()))["end"]["vote"]
    rows = [
        (
            name,
            *(spread(values) for values in measured["end"].values()),
            "–" if measured["end"]["vote"] == control else gain(measured["end"]["vote"], control),
        )
        for name, measured in rules.items()
    ]
    header = ("rule", "mean student", "best student", "soft vote", "vote − control, paired")
    title = (
        f"Test accuracy in per cent after {found['steps']:,} steps, {len(found['seeds'])} seeds; ± is a 95 % interval "
        "over seeds."
    )
    return f"{title}\n\n{table(header, rows, lambda row: row[0] in VARIANTS, 'Variants of these rules')}"


STOPPING = "listen_nobody"
ACCURACIES = {
    "mean": "mean student",
    "best": "best student",
    "hard_vote": "hard vote",
    "soft_vote": "soft vote",
}


def budget(found: dict) -> str:
    """A teacher on a budget: accuracies and what they are ahead of stopping, paired, and what was asked of him."""
    rows, gains, control = [], [], found[STOPPING]
    for name, entry in best_first(found):
        counts = (f"{entry[metric]['mean']:.1f}" for metric in ("calls", "labelled_slices"))
        rows.append((name, *(known(entry[metric], 1) for metric in ACCURACIES), *counts))
        if name != STOPPING and entry["seeds"] == control["seeds"]:
            ahead = (gain(entry[metric]["values"], control[metric]["values"], 1) for metric in ACCURACIES)
            gains.append((name, *ahead))
    header = ("policy", *ACCURACIES.values())
    title = f"Test accuracy in per cent, {len(control['seeds'])} worlds; ± is a 95 % interval over worlds."
    more = (lambda row: "(" in row[0], "Single trainings")
    return "\n\n".join(
        (
            title,
            table((*header, "calls to the teacher", "labelled slices of a student"), rows, *more),
            f"Points ahead of `{STOPPING}`, which stops when the labels run out, paired world by world:",
            table(header, gains, *more),
        )
    )
