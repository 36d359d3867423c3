"""Societies with liars."""

from .cells import best_first, gain, known, markdown


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
        for name, entry in best_first(base)
    ]
    header = ("policy", "mean over kinds", "worst kind", *kinds, "ppo gated − it, paired")
    title = f"{len(found['base']['seeds'])} held-out worlds a kind, test accuracy of the honest in per cent."
    return f"{title}\n\n{markdown(header, rows)}"


def transfer(found: dict) -> str:
    """The same protocols, untrained further, elsewhere."""
    settings = {name: entry for name, entry in found.items() if name != "base"}
    measured = {name for entry in settings.values() for name in entry["policies"]}
    order = [name for name, _ in best_first(found["base"]["policies"])]
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
