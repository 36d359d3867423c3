"""Socialized learning, and who else teaches the others' classes."""

from .cells import gain, markdown, spread, table

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
MORE = {
    "ensemble, raw logits",
    "ensemble, aligned energies",
    "mutual learning, mean of peers",
    "mended: CC + log(N − 1)",
    "fine-tuning",
    "learning without forgetting",
    "elastic weight consolidation",
}
"""Rows that are not seen at once."""


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
    title = (
        f"Average of Expert and General on the test split in per cent, {seeds} seeds; ± is a 95 % interval over seeds. "
        "5 × 2: five agents of two classes each. MASC − it: points that mended MASC is ahead, paired by seed."
    )
    more = "More rivals; fine-tuning, learning without forgetting and elastic weight consolidation are told all labels"
    return f"{title}\n\n{table(header, rows, lambda row: row[0] in MORE, more)}"


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
    return table(header, rows, lambda row: row[1] in ("expert", "grown"), "The networks that MASC is made of")


CARRIED = {
    "rows that an expert claims": ("carrier claims", "masc"),
    "all rows": ("carrier logits", "masc"),
    "networks, once": ("carrier weights", "masc"),
    "federated averaging": ("fedavg", "averaged"),
    "mutual learning, calibrated gate": ("mutual, gated", "peer"),
}


def carriers(found: dict) -> str:
    """What is sent for what it brings: KiB of all agents in each stage, as the ledger charged them."""
    header = ("data", "what crosses", "Average", "KiB: own classes", "teaching", "growing", "in all")
    rows = []
    for data in NAMES:
        for name, row in CARRIED.items():
            values = _values(found, data, row) if data in found else None
            if values is None:
                continue
            sent = found[data][row[0]]["kib_by_stage"]
            by_stage = [later - before for before, later in zip([0.0, *sent], sent, strict=False)]
            stages = by_stage if len(by_stage) == 3 else ["", "", ""]
            cells = [f"{value:,.0f}" if value != "" else "" for value in (*stages, sent[-1])]
            rows.append((NAMES[data], name, spread(values), *cells))
    return markdown(header, rows)


CHANGED = (
    "prior half as large",
    "prior twice as large",
    "one bold liar",
    "a fifth of the messages lost",
    "no samples held out, b = 0",
    "1/4 of the public slices to teach on",
    "1/16 of the public slices to teach on",
)


def robustness(found: dict) -> str:
    """What was mended, with something made worse."""
    shown = [data for data in NAMES if any(name in found.get(data, {}) for name in CHANGED)]
    header = ["variant"]
    for data in shown:
        header += [f"{NAMES[data]}: students", "MASC", "MASC − unchanged"]
    rows = []
    for name in ("mended", *CHANGED):
        cells = []
        for data in shown:
            parts = [_values(found, data, (name, part)) for part in ("student", "masc")]
            unchanged = _values(found, data, ("mended", "masc"))
            if None in parts:
                cells += ["–", "–", "–"]
            else:
                apart = "" if name == "mended" else gain(parts[1], unchanged)
                cells += [*(spread(part) for part in parts), apart]
        rows.append(("unchanged" if name == "mended" else name, *cells))
    return markdown(header, rows)


def amounts(found: dict) -> str:
    """With more data: how near does what was mended come to joint training?"""
    header = ("data", "items", "mended: MASC", "joint training", "joint + log(N − 1)", "MASC − joint, paired")
    rows = []
    for data in NAMES:
        more = [name.removeprefix("mended, ") for name in found.get(data, {}) if name.startswith("mended, ")]
        for items in ("", *(f", {of}" for of in more)):
            ours = _values(found, data, (f"mended{items}", "masc")) if data in found else None
            joint, shifted = (
                _values(found, data, (f"joint{items}", part)) if data in found else None
                for part in ("student", "shifted")
            )
            if None in (ours, joint, shifted):
                continue
            label = f"{int(items.removeprefix(', ').removesuffix(' items')):,}" if items else ITEMS[data]
            rows.append((NAMES[data], label, spread(ours), spread(joint), spread(shifted), gain(ours, joint)))
    return markdown(header, rows)


ITEMS = {"digits": "1,000", "mnist": "1,500", "cifar10": "5,000", "cifar100": "4,000"}
"""Items that learners see in the scenarios."""
