"""The picture of `benchmarks/k1_hierarchy.py share --plot FILE`: forgetting over how much falls on agents who knew."""

from collections.abc import Mapping
from pathlib import Path

from pages.k1_hierarchy import TURNS, at_level, everyone
from pictures import figure, written

from studyhall.envs.engine.drawing import plain_style
from studyhall.rollouts import interval


def drawn(found: Mapping, path: Path) -> None:
    """Means and 95 % intervals over seeds, of all arms that learnt as much of the new domain as is asked for."""
    rows = {name: row for name, row in at_level(found).items() if row["share"] and row["forgotten"]}
    colours = {"arms": "tab:blue", "trained": "tab:red", "share": "tab:grey"}
    part_of = {name: part for part in colours for name in found.get(part, {})}
    with plain_style():
        made = figure(7.5, 5)
        axes = made.subplots()
        for name in everyone(found):
            if name not in rows:
                continue
            x, y = (interval(list(rows[name][key].values())) for key in ("share", "forgotten"))
            colour = "black" if name in TURNS else colours[part_of[name]]
            axes.errorbar(x.mean, y.mean, y.half, x.half, "o", color=colour, markersize=4, linewidth=0.8)
            axes.annotate(name, (x.mean, y.mean), (4, 3), textcoords="offset points", fontsize=6)
        axes.set(
            xlabel="share of the updates in code that fell on agents who had learnt prose",
            ylabel="nats of prose forgotten at ¾ of dense's gain on code",
        )
        written(made, path)
