"""Dropout whose masks are a function of a learner's key, in modules as in perceptrons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ..envs.engine import rng

_LANES = 4  # 16-bit decisions in a 64-bit draw
VALUES = 1 << 16
"""What a lane can be."""


def threshold(dropout: float) -> int:
    """Of the 65,536 values of a lane, how many drop a unit."""
    return round(dropout * VALUES)


def draw(keys: Tensor, units: int) -> Tensor:
    """The decisions about units, int16 ``[P, units]``, for keys ``[P]``: dropped below :func:`threshold` − 32,768."""
    return rng.draw(keys, "dropout", (-(-units // _LANES),)).bits().view(torch.int16)[:, :units]


def scaled(keys: Tensor, units: Sequence[int], dropout: float) -> list[Tensor]:
    """Masks of many units, zero or 1 / (1 − p): one float ``[P, units]`` for each number of units, for keys ``[P]``.

    Thirty-two decisions come from a draw, at an eighth of the time of :func:`draw`.
    """
    total = sum(units)
    noise = rng.stretch(rng.draw(keys, "dropout", (-(-total // 32),)).bits()).view(torch.int32)[:, :total]
    dropped = min(round(dropout * 2**32), 2**32 - 1) - 2**31
    masks = []
    for part in noise.split(list(units), 1):
        kept = torch.empty(part.shape, device=keys.device)
        torch.ge(part, dropped, out=kept)
        masks.append(kept.mul_(1.0 / (1.0 - dropout)))
    return masks


class Masks:
    """The dropout of a module: its layers' masks, handed out in the order in which the layers are called.

    Args:
        module: Its layers ``nn.Dropout`` are replaced, in place, by such that take their masks from here.
    """

    def __init__(self, module: nn.Module) -> None:
        self._calls: list[tuple[int, float]] = []  # of each: units of a row, probability
        self._left: Iterator[Tensor] | None = None
        self._recording = False
        for part in list(module.modules()):
            for name, child in list(part.named_children()):
                if type(child) is nn.Dropout:
                    setattr(part, name, _Dropout(child.p, self))

    def record(self, module: nn.Module, x: Tensor) -> Tensor:
        """What a module says of ``x``; remembers which layers it called on the way."""
        self._recording = True
        try:
            return module(x)
        finally:
            self._recording = False

    def draw(self, keys: Tensor, rows: int) -> list[Tensor] | None:
        """Masks of M rows for keys ``[P]``: one ``[P, M·units]`` a call, zero or 1 / (1 − p); None without dropout."""
        if not self._calls:
            return None
        sizes = [units * rows for units, _ in self._calls]
        parts = draw(keys, sum(sizes)).split(sizes, dim=1)
        masks = []
        for part, (_, p) in zip(parts, self._calls, strict=True):
            kept = torch.empty(part.shape, device=keys.device)
            torch.ge(part, threshold(p) - VALUES // 2, out=kept)
            masks.append(kept.mul_(1.0 / (1.0 - threshold(p) / VALUES)))
        return masks

    def give(self, masks: Sequence[Tensor]) -> None:
        """Let the next pass drop what these say, one ``[M·units]`` a call; without any nothing is dropped."""
        self._left = iter(masks) if masks else None

    def apply(self, x: Tensor, p: float) -> Tensor:
        """What a layer of dropout makes of ``x``."""
        if self._recording and threshold(p):
            self._calls.append((x.numel() // len(x), p))
        if self._left is None or not threshold(p):
            return x
        return x * next(self._left).view_as(x)


class _Dropout(nn.Module):
    """In the place of an ``nn.Dropout``."""

    def __init__(self, p: float, masks: Masks) -> None:
        super().__init__()
        self.p = p
        self._masks = masks

    def forward(self, x: Tensor) -> Tensor:
        return self._masks.apply(x, self.p)
