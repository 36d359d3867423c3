"""Rows of weights as actions: they are divided by their sum, so that a bound takes nothing away."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

ROUNDING = 1e-6
"""How far above 1 a weight may be: means of distributions are, by rounding."""


class Weights(spaces.Box):
    """``Box(0, 1, (…, C))`` whose rows (of the last dimension) the world divides by their sum.

    The bound is there for samplers, which make infinite numbers of an open interval. The engine takes larger weights
    as well; where values are checked (in views, with ``validate=True``), they are refused.

    Args:
        *shape: Of a single agent's action.
    """

    def __init__(self, *shape: int) -> None:
        super().__init__(0, 1, shape, np.float32)
