"""The picture of `benchmarks/k1_hierarchy.py share --plot FILE`: forgetting over how much falls on agents who knew."""

from collections.abc import Mapping
from pathlib import Path

from pages.k1_hierarchy import GAINS, RESTS, TURNS, rows_of

from studyhall.envs.engine.drawing import BLUE, GREEN, GREY, ORANGE, RED, Picture, style
from studyhall.rollouts import interval

KINDS = {
    "0 … 5 of 5 earlier": ORANGE,
    "the same, trunk rests": GREEN,
    "other rules of who learns": GREY,
    "K-1, parts of it, rivals": BLUE,
    "trained": RED,
}


def kind_of(name: str, own: Mapping) -> str:
    """Under which colour an arm is drawn; ``own`` are those of K-1, and its rivals."""
    if name.endswith(RESTS):
        return "the same, trunk rests"
    if name.startswith("trained"):
        return "trained"
    if name in TURNS:
        return "0 … 5 of 5 earlier"
    return "K-1, parts of it, rivals" if name in own else "other rules of who learns"


def drawn(found: Mapping, path: Path) -> None:
    """Arm − dense, seed by seed, with its 95 % interval, of all that learnt as much of the new domain as asked."""
    own = found.get("arms", {})
    rows = rows_of(found)
    dense = rows["dense"]
    with style():
        made = Picture((5.0,) * len(GAINS), (4.2,), left=0.95, above=0.2)
        for axes, (gain, mark) in zip(made.panels[0], GAINS.items(), strict=True):
            seen = set()
            for name, row in rows.items():
                if name == "dense" or not (row.share and row.forgotten[gain]):
                    continue
                less = {
                    seed: value - dense.forgotten[gain][seed] for seed, value in row.forgotten[gain].items()
                }
                x, y = (interval(list(values.values())) for values in (row.share, less))
                kind = kind_of(name, own)
                label = None if kind in seen else kind
                seen.add(kind)
                axes.errorbar(
                    x.mean, y.mean, y.half, fmt="o", color=KINDS[kind], markersize=5, lw=0.9, label=label
                )
            axes.axhline(0, color="black", linewidth=0.8)
            axes.set(
                xlim=(-0.05, 1.05),
                xlabel="share of updates in code on agents who had learnt prose",
                ylabel=f"forgotten at {mark} of dense's gain, − dense, nats",
            )
            low, high = axes.get_ylim()
            axes.set_ylim(low, high + 0.45 * (high - low))  # room for the legend
            axes.legend(loc="upper left")
    made.write(path)
    print(path)
