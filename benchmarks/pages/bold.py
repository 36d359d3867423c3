"""A learned gate beside rules where an expert is bold."""

from .cells import best_first, gain, known, markdown, table
from .society import in_the_rest

GATE = "ppo gated"


def bold(found: dict) -> str:
    """Every policy in every setting, what the gate is ahead by, and whom it listens to when."""
    settings = found["settings"]
    names = [name for name, _ in best_first(next(iter(settings.values())))]

    def cell(entries: dict, name: str) -> str:
        if name not in entries:
            return "–"
        value = known(entries[name]["mean"], 1)
        if name.startswith(GATE):
            return value
        return f"{value} ({gain(entries[GATE]['values'], entries[name]['values'], 1)})"

    rows = [(name, *(cell(entries, name) for entries in settings.values())) for name in names]
    title = (
        f"Test accuracy of the honest in per cent, worlds {_told(settings)} of the evaluation domain; ± is a 95 % "
        f"interval over worlds. In brackets: by how many points {GATE}, the mean of its trainings, is ahead, world by "
        "world."
    )
    looked = [
        (step, *(f"{value:.2f}" for value in at.values())) for step, at in found["weights"]["by_step"].items()
    ]
    listens = "Whom the gate of an honest agent lets in (0: not at all, 1: all of it), mean of the trainings:"
    header = ("step", "weight of the bold", "weight of an honest", "gate on confidence")
    policies = table(
        ("policy", *settings), rows, lambda row: _in_the_rest(row[0], names), "Single trainings, other rules"
    )
    return f"{title}\n\n{policies}\n\n{listens}\n\n{markdown(header, looked)}"


def _in_the_rest(name: str, names: list[str]) -> bool:
    return name in ("krum", "median") or in_the_rest(name, names)


def _told(settings: dict) -> str:
    seeds = next(iter(next(iter(settings.values())).values()))["seeds"]
    return f"{seeds[0]}–{seeds[-1]}"
