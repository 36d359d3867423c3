"""Masks on the host, bool ``[W]``, are asked in every step: counting takes a tenth of what their own methods take."""

from __future__ import annotations

import numpy as np


def some(mask: np.ndarray) -> bool:
    """Whether anything is set."""
    return bool(np.count_nonzero(mask) > 0)


def every(mask: np.ndarray) -> bool:
    """Whether everything is set."""
    return bool(np.count_nonzero(mask) == mask.size)
