"""What ``wire.py`` makes of messages, in one pass on a CPU and bit for bit. Messages are contiguous float32."""

from __future__ import annotations

import numpy as np
import torch
from numpy import float32
from torch import Tensor

from ..engine.kernels import compiled

_ZERO, _ONE = float32(0), float32(1)


def silent(numbers: Tensor) -> Tensor:
    """Which rows of numbers ``[..., M]`` say nothing, bool ``[...]``."""
    found = torch.empty(numbers.shape[:-1], dtype=torch.bool)
    _silent(numbers.view(-1, numbers.shape[-1]).numpy(), found.view(-1).numpy())
    return found


def symbols(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Of weights ``[..., L, V]`` the symbols said, one-hot, and which rows say nothing, bool ``[...]``."""
    said = torch.empty_like(weights)
    found = torch.empty(weights.shape[:-2], dtype=torch.bool)
    given = (weights.view(-1, *weights.shape[-2:]), said.view(-1, *weights.shape[-2:]), found.view(-1))
    _symbols(*(x.numpy() for x in given))
    return said, found


@compiled
def _silent(rows, found):
    for r in range(len(rows)):
        some, finite = False, True
        for x in rows[r]:
            some |= x != _ZERO
            finite &= np.isfinite(x)
        found[r] = not (some and finite)


@compiled
def _symbols(rows, said, found):
    for r in range(len(rows)):
        finite = True
        for x in rows[r].flat:
            finite &= np.isfinite(x)
        some = False
        for place in range(rows.shape[1]):
            best, most = 0, _ZERO
            for v in range(rows.shape[2]):
                said[r, place, v] = _ZERO
                if finite and rows[r, place, v] > most:
                    best, most = v, rows[r, place, v]
            if most > _ZERO:
                said[r, place, best] = _ONE
                some = True
        found[r] = not some
