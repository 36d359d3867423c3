"""A learned gate beside rules where an expert is bold."""

from .cells import best_first, gain, known, markdown

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
        f"Worlds {_told(settings)} of the evaluation domain, test accuracy of the honest in per cent; in brackets how "
        f"far {GATE} is ahead, paired world by world."
    )
    looked = [
        (step, *(f"{value:.2f}" for value in at.values())) for step, at in found["weights"]["by_step"].items()
    ]
    listens = "What the gates of the honest are, mean of the trainings:"
    header = ("step", "weight of the bold", "weight of an honest", "gate on confidence")
    return f"{title}\n\n{markdown(('policy', *settings), rows)}\n\n{listens}\n\n{markdown(header, looked)}"


def _told(settings: dict) -> str:
    seeds = next(iter(next(iter(settings.values())).values()))["seeds"]
    return f"{seeds[0]}–{seeds[-1]}"
