"""One society, several ways to listen: a moving picture of them side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...envs.engine import drawing

if TYPE_CHECKING:
    from ..runs.demo import Played


def frame(played: Sequence[Played], step: int) -> np.ndarray:
    """What has become of all of them by a step, uint8 ``[H, W, 3]``.

    On top who listens to whom, agents coloured by their accuracy and those who lie ringed in red; below the accuracy of
    those who do not lie.
    """
    with drawing.style():
        picture = drawing.Picture(
            [2.7] * len(played),
            (2.7, 1.5),
            left=(0.7, *[0.3] * (len(played) - 1)),
            right=(*[0.1] * (len(played) - 1), 0.95),
            above=(0.5, 0.1),
            below=(0.2, 0.6),
            title=f"five learners, {_liars(played[0])} (red)     step {step}/{len(played[0].accuracy) - 1}",
        )
        graphs, curves = picture.panels
        for one, graph, curve in zip(played, graphs, curves, strict=True):
            accuracy, weights = one.accuracy[step], one.weights[step]
            places = drawing.circle(graph, len(accuracy))
            drawing.arrows(graph, places, weights / max(weights.max(), 1e-9))
            rings = [drawing.RED if lies else "none" for lies in one.lies]
            discs = drawing.nodes(graph, places, accuracy, edgecolors=rings, linewidths=3)
            if one is played[-1]:
                drawing.scale(graph, discs, "exam accuracy")
            graph.set_title(one.way.title)
            honest = [100 * float(accuracy[~one.lies].mean()) for accuracy in one.accuracy[: step + 1]]
            curve.plot(honest, color=drawing.BLUE)
            curve.text(0.97, 0.06, f"{honest[-1]:.0f} %", transform=curve.transAxes, ha="right", fontsize=16)
            curve.set(xlim=(0, len(one.accuracy) - 1), ylim=(0, 100), xlabel="step")
            curve.grid()
            if one is played[0]:
                curve.set_ylabel("honest, %")
            else:
                curve.set_yticklabels([])
    return picture.pixels()


def _liars(played: Played) -> str:
    count = int(played.lies.sum())
    return {0: "of whom nobody lies", 1: "one of whom lies"}.get(count, f"{count} of whom lie")
