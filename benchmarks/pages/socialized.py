"""Socialized learning, and who else teaches the others' classes."""

from .cells import gain, markdown, spread

NAMES = {
    "digits": "digits, 5 × 2",
    "mnist": "MNIST, 5 × 2",
    "cifar10": "CIFAR-10, 5 × 2",
    "cifar100": "CIFAR-100, 4 × 5",
}

TOLD = {
    "joint training": ("joint", "student"),
    "joint training + log(N − 1)": ("joint", "shifted"),
    "mute: students of labels alone": ("mute, labelled", "student"),
    "documented: CC": ("labelled", "student"),
    "documented: RA": ("labelled", "grown"),
    "documented: MASC": ("labelled", "masc"),
    "fine-tuning": ("fine-tuning", "tuned"),
    "learning without forgetting": ("lwf", "tuned"),
    "elastic weight consolidation": ("ewc", "tuned"),
}
UNTOLD = {
    "isolated experts": ("mended", "expert"),
    "ensemble, raw logits": ("raw", "ensemble"),
    "ensemble, aligned energies": ("documented", "ensemble"),
    "ensemble, calibrated energies": ("mended", "ensemble"),
    "federated averaging": ("fedavg", "averaged"),
    "mutual learning, mean of peers": ("mutual", "peer"),
    "mutual learning, calibrated gate": ("mutual, gated", "peer"),
    "documented: CC": ("documented", "student"),
    "documented: MASC": ("documented", "masc"),
    "mended: CC": ("mended", "student"),
    "mended: CC + log(N − 1)": ("mended", "shifted"),
    "mended: RA": ("mended", "grown"),
    "mended: MASC": ("mended", "masc"),
}
"""Rows: of which run, and of which part of its policy."""


def _values(found: dict, data: str, row: tuple[str, str], figure: str = "average") -> list[float] | None:
    """One value a seed, where it was measured."""
    run, part = row
    return found[data].get(run, {}).get("metrics", {}).get(f"{part}_{figure}")


def _measured(found: dict) -> list[str]:
    """The data sets that are there."""
    return [data for data in NAMES if "mended" in found.get(data, {})]


def documented(found: dict) -> str:
    """What was documented, where all labels are told: does the choice beat both that it chooses from?"""
    header = (
        "data",
        "CC",
        "RA",
        "MASC",
        "MASC − CC, paired",
        "MASC − RA, paired",
        "heads not aligned: MASC − CC",
    )
    rows = []
    for data in _measured(found):
        parts = [_values(found, data, ("labelled", part)) for part in ("student", "grown", "masc")]
        apart = [_values(found, data, ("unaligned heads", part)) for part in ("masc", "student")]
        if None not in parts:
            student, grown, masc = parts
            unaligned = gain(*apart) if None not in apart else "–"
            cells = [*(spread(part) for part in parts), gain(masc, student), gain(masc, grown), unaligned]
            rows.append((NAMES[data], *cells))
    return markdown(header, rows)


def everyone(found: dict) -> str:
    """Average of everyone, and how far mended MASC is ahead."""
    shown = _measured(found)
    header = ["policy"]
    for data in shown:
        header += [NAMES[data], "MASC − it"]
    rows = []
    for title, group in (
        ("labels of one's own classes only", UNTOLD),
        ("all labels of public rows told", TOLD),
    ):
        rows.append((f"*{title}*", *[""] * (len(header) - 1)))
        for name, row in group.items():
            cells = []
            for data in shown:
                values, ours = _values(found, data, row), _values(found, data, ("mended", "masc"))
                cells += (
                    ["–", "–"]
                    if values is None
                    else [spread(values), "" if values == ours else gain(ours, values)]
                )
            rows.append((name, *cells))
    counts = sorted({len(found[data]["mended"]["seeds"]) for data in shown})
    seeds = " or ".join(map(str, counts))
    title = f"Average of Expert and General on the test split in per cent, {seeds} seeds."
    return f"{title}\n\n{markdown(header, rows)}"


def own_best(found: dict) -> str:
    """Expert and General of what was mended, and who is strictly the best at its own classes."""
    header = ("data", "variant", "Expert", "General", "Average", "agents strictly best at their own, %")
    rows = []
    for data in _measured(found):
        for part in ("expert", "student", "shifted", "grown", "masc"):
            figures = [
                _values(found, data, ("mended", part), f)
                for f in ("expert", "general", "average", "own_best")
            ]
            rows.append((NAMES[data], part, *(spread(values) for values in figures)))
    return markdown(header, rows)
