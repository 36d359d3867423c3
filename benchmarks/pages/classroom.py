"""The documented classroom, and a teacher on a budget."""

from studyhall.rollouts.metrics.names import EXAM
from studyhall.rollouts.reports.claims import COLUMNS, claim_cells, history, judged_anew
from studyhall.rollouts.reports.comparisons import COMPARED, comparison_rows

from .cells import best_first, changed, gain, known, markdown, spread


def reproduction(found: dict) -> str:
    """The results of one reproduction, its claims as scenarios hold them now: those that fail stay in the table."""
    entries, missing = found["scenarios"], found.get("unmeasured", [])
    judged = [judged_anew(entry) for entry in (*entries, *missing)]
    documented = [
        (entry["name"], *claim_cells(claim, entry.get("headline", EXAM)))
        for entry in judged
        for claim in entry["claims"]
    ]
    classes = [entry for entry in entries if entry.get("headline", EXAM) == EXAM]
    compared = [row for entry in classes for row in comparison_rows(entry)]
    lengths = sorted({f"{entry['steps']:,}" for entry in entries})
    seeds = sorted({str(len(entry["seeds"])) for entry in entries})
    versions = found["versions"]
    parts = [
        f"{' / '.join(lengths)} steps, {' / '.join(seeds)} seeds, mean ± 95 % interval over seeds, in per cent; "
        f"{found['device']}, torch {versions['torch']}, studyhall {versions['studyhall']}."
    ]
    if not all(entry["comparable"] for entry in entries):
        parts.append("**Shortened runs: these figures are not comparable with the documented ones.**")
    parts.append(
        "Documented beside measured. A claim holds where all of the interval of measured − documented is within its "
        "tolerance, and does not hold where none of it is; where no tolerance was chosen it can only fail. Who "
        "documented what is told [below](#sources)."
    )
    parts.append(markdown(COLUMNS, documented))
    parts += changed(history(judged))
    if missing:
        names = (f"{entry['name']} ({entry['unmeasured']})" for entry in missing)
        parts.append(f"Not measured: {'; '.join(names)}.")
    if compared:
        parts.append("Test accuracy, first line with dropout off at evaluation, second line with dropout on:")
        parts.append(markdown(COMPARED, compared))
    return "\n\n".join(parts)


def peer_rules(found: dict) -> str:
    """Every rule tried for the peer phase."""
    rules = found["rules"]
    control = next(iter(rules.values()))["end"]["vote"]
    rows = [
        (
            name,
            *(spread(values) for values in measured["end"].values()),
            gain(measured["end"]["vote"], control),
        )
        for name, measured in rules.items()
    ]
    header = ("rule", "mean", "best", "soft vote", "vote − control, paired")
    title = f"{found['steps']:,} steps, {len(found['seeds'])} seeds, test accuracy in per cent."
    return f"{title}\n\n{markdown(header, rows)}"


STOPPING = "listen_nobody"
ACCURACIES = {"mean": "mean", "best": "best", "hard_vote": "hard vote", "soft_vote": "soft vote"}


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
    title = f"{len(control['seeds'])} worlds, test accuracy in per cent."
    return "\n\n".join(
        (
            title,
            markdown((*header, "calls", "labelled slices of a student"), rows),
            f"Ahead of `{STOPPING}`, which stops when the labels run out, paired world by world:",
            markdown(header, gains),
        )
    )
