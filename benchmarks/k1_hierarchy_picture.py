"""The picture of `benchmarks/k1_hierarchy.py share --plot FILE`: forgetting over how much falls on agents who knew."""

from collections.abc import Mapping
from pathlib import Path

from pages.k1_hierarchy import GAINS, RESTS, rows_of

from studyhall.envs.engine.drawing import BLUE, GREEN, RED, Picture, style
from studyhall.rollouts import interval


def drawn(found: Mapping, path: Path) -> None:
    """Means and 95 % intervals over seeds, of all arms that learnt as much of the new domain as is asked for."""
    colours = {"arms": BLUE, "trained": RED, "share": "black"}
    part_of = {name: part for part in colours for name in found.get(part, {})}
    with style():
        made = Picture((5.2,) * len(GAINS), (4.6,), left=0.9, above=0.2)
        for axes, (gain, mark) in zip(made.panels[0], GAINS.items(), strict=True):
            for name, row in rows_of(found).items():
                if not (row.share and row.forgotten[gain]):
                    continue
                x, y = (interval(list(values.values())) for values in (row.share, row.forgotten[gain]))
                colour = GREEN if name.endswith(RESTS) else colours[part_of[name]]
                axes.errorbar(x.mean, y.mean, y.half, x.half, "o", color=colour, markersize=4, linewidth=0.8)
                axes.annotate(name, (x.mean, y.mean), (4, 3), textcoords="offset points", fontsize=8)
            axes.set(
                xlim=(-0.05, 1.3),
                xlabel="share of updates in code on agents who had learnt prose",
                ylabel=f"nats of prose forgotten at {mark} of dense's gain on code",
            )
    made.write(path)
    print(path)
