"""A learned gate beside rules where an expert is bold."""

from .cells import best_first, gain, known, markdown

GATE = "ppo gated"


def bold(found: dict) -> str:
    """Every policy in every setting: accuracy, and behind it what the gate is ahead by, world by world."""
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
        f"Worlds {found['seeds']} of the evaluation domain, test accuracy of the honest in per cent; in brackets how "
        f"far {GATE} is ahead, paired world by world."
    )
    return f"{title}\n\n{markdown(('policy', *settings), rows)}"
