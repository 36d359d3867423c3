"""What is done about numbers that are not finite: mostly nothing, since mostly there are none."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def surely_finite(x: Tensor) -> bool:
    """Whether all of ``x`` is surely finite; looks only where looking is free, so never waits for a device."""
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return math.isfinite(x.detach().sum().item())


def surely_none(mask: Tensor) -> bool:
    """Whether surely nothing is set in a mask; looks only where looking is free."""
    return mask.device.type == "cpu" and not torch.compiler.is_compiling() and not bool(mask.any())


def where_finite(x: Tensor, dims: int, otherwise: Tensor | float) -> Tensor:
    """``x``, and something else where a row of it holds anything that is not finite.

    Args:
        x: ``[..., *row]``.
        dims: Of a row.
        otherwise: In the place of such rows, of a shape that broadcasts with ``x``.
    """
    if surely_finite(x):
        return x
    finite = x.isfinite().flatten(-dims).all(-1)
    return torch.where(finite.view(*finite.shape, *[1] * dims), x, otherwise)
