"""Pictures look alike everywhere: matplotlib as it comes, whatever a matplotlibrc of the folder or the user says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import numpy as np

from .state import TensorDict

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Drawn(Protocol):
    """What every picture asks of the world that it draws."""

    num_agents: int
    agents: list[str]
    horizon: int

    def summary(self, state: TensorDict) -> TensorDict:
        """See :meth:`World.summary <studyhall.envs.engine.world.World.summary>`."""


@contextmanager
def plain_style() -> Iterator[None]:
    """Within it, matplotlib draws by its own defaults; afterwards the settings are as they were."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches, of 80 pixels each."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=80, layout="constrained")


def as_pixels(figure: Figure) -> np.ndarray:
    """What a figure looks like, uint8 ``[H, W, 3]``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
