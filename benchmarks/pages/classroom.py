"""The documented classroom, societies with liars, and the teacher on a budget."""

from studyhall.rollouts.metrics.names import EXAM
from studyhall.rollouts.reports.comparisons import COMPARED, claim_cells, comparison_rows

from .cells import gain, known, markdown, spread


def reproduction(found: dict) -> str:
    """The results of one reproduction."""
    entries = found["scenarios"]
    documented = [
        (entry["name"], *claim_cells(claim, entry.get("headline", EXAM)))
        for entry in entries
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
    parts.append("Documented beside measured:")
    parts.append(
        markdown(("scenario", "metric", "documented", "source", "measured", "within tolerance"), documented)
    )
    missing = [f"{entry['name']} ({entry['unmeasured']})" for entry in found.get("unmeasured", ())]
    if missing:
        parts.append(f"Not measured: {'; '.join(missing)}.")
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


def _best_first(policies: dict) -> list[tuple[str, dict]]:
    return sorted(policies.items(), key=lambda item: -item[1]["mean"]["mean"])


def _by_kind(entry: dict) -> tuple[str, ...]:
    """Mean over kinds, the worst kind, and every kind."""
    worst = entry["worst"]
    kinds = (f"{100 * kind['mean']:.1f}" for kind in entry["kinds"].values())
    return (known(entry["mean"], 1), f"{known(worst, 1)} ({worst['kind']})", *kinds)


def society(found: dict) -> str:
    """Who to listen to: every policy under every kind of liar, and what the gated protocol is ahead by."""
    base = found["base"]["policies"]
    kinds = next(iter(base.values()))["kinds"]

    def over_kinds(entry: dict) -> list[float]:
        return [sum(world) / len(world) for world in zip(*entry["values"].values(), strict=True)]

    learned = over_kinds(base["ppo gated"])
    rows = [
        (name, *_by_kind(entry), "–" if "ppo gated" in name else gain(learned, over_kinds(entry), 1))
        for name, entry in _best_first(base)
    ]
    header = ("policy", "mean over kinds", "worst kind", *kinds, "ppo gated − it, paired")
    title = f"{len(found['base']['seeds'])} held-out worlds a kind, test accuracy of the honest in per cent."
    return f"{title}\n\n{markdown(header, rows)}"


def transfer(found: dict) -> str:
    """The same protocols, untrained further, elsewhere."""
    settings = {name: entry for name, entry in found.items() if name != "base"}
    measured = {name for entry in settings.values() for name in entry["policies"]}
    order = [name for name, _ in _best_first(found["base"]["policies"])]
    shown = [name for name in order if name in measured and "(" not in name]

    def cell(entry: dict | None) -> str:
        if entry is None:
            return "–"
        return f"{100 * entry['mean']['mean']:.1f} / {100 * entry['worst']['mean']:.1f}"

    rows = [(name, *(cell(at["policies"].get(name)) for at in settings.values())) for name in shown]
    counts = ", ".join(f"{name}: {len(entry['seeds'])}" for name, entry in settings.items())
    title = f"Mean over kinds / worst kind, in per cent; worlds a kind: {counts}."
    return f"{title}\n\n{markdown(('policy', *settings), rows)}"


def ablation(found: dict) -> str:
    """The gated protocol with something taken away."""
    kinds = next(iter(found.values()))["kinds"]
    rows = [(name, str(len(entry["train_seeds"])), *_by_kind(entry)) for name, entry in found.items()]
    return markdown(("variant", "trainings", "mean over kinds", "worst kind", *kinds), rows)


def budget(found: dict) -> str:
    """A teacher on a budget."""
    rows = []
    for name, entry in _best_first(found):
        shares = (known(entry[metric], 1) for metric in ("mean", "best", "hard_vote", "soft_vote"))
        counts = (f"{entry[metric]['mean']:.1f}" for metric in ("calls", "labelled_slices"))
        rows.append((name, *shares, *counts))
    header = ("policy", "mean", "best", "hard vote", "soft vote", "calls", "labelled slices of a student")
    return markdown(header, rows)
