"""The picture of `benchmarks/k1_hierarchy.py share --plot FILE`: forgetting over how much falls on agents who knew."""

from collections.abc import Mapping
from pathlib import Path

from pages.k1_hierarchy import GAINS, RESTS, rows_of
from pictures import figure, written

from studyhall.envs.engine.drawing import plain_style
from studyhall.rollouts import interval


def drawn(found: Mapping, path: Path) -> None:
    """Means and 95 % intervals over seeds, of all arms that learnt as much of the new domain as is asked for."""
    colours = {"arms": "tab:blue", "trained": "tab:red", "share": "black"}
    part_of = {name: part for part in colours for name in found.get(part, {})}
    with plain_style():
        made = figure(11, 5)
        for axes, (gain, mark) in zip(made.subplots(1, len(GAINS)), GAINS.items(), strict=True):
            for name, row in rows_of(found).items():
                if not (row.share and row.forgotten[gain]):
                    continue
                x, y = (interval(list(values.values())) for values in (row.share, row.forgotten[gain]))
                colour = "tab:green" if name.endswith(RESTS) else colours[part_of[name]]
                axes.errorbar(x.mean, y.mean, y.half, x.half, "o", color=colour, markersize=4, linewidth=0.8)
                axes.annotate(name, (x.mean, y.mean), (4, 3), textcoords="offset points", fontsize=5)
            axes.set(
                xlim=(-0.05, 1.3),
                xlabel="share of the updates in code that fell on agents who had learnt prose",
                ylabel=f"nats of prose forgotten at {mark} of dense's gain on code",
            )
        written(made, path)
