"""What a message is made of: numbers, or symbols of a vocabulary. What these cost, in bits, is in `ledger.py`.

Both take the action ``message`` and put it on the air so that gradients pass: numbers with noise and rounding whose
gradient is taken straight through (Bengio, Léonard & Courville 2013), symbols as the one-hot vector of the greatest
entry, likewise. A row of zeros says nothing and is free; so does one with anything in it that is not finite, and one of
symbols without a weight above 0. One that names only some of its symbols is charged in full. Noise comes after
rounding, and may leave the bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from types import ModuleType

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional as F

from ..engine import rng
from ..engine.finite import surely_none
from ..engine.kernels import due, recorded
from ..errors import ConfigError
from ..validation import keep, real, whole
from . import ledger

_NUMBERS, _SYMBOLS = (10.0, 4e-3), (30.0, 2e-2)
"""Microseconds that plain torch takes longer for a call and for a number."""

_BOUNDS = 1e-18, 1e18  # of bounds: their rounding steps and sums are ordinary float32 numbers


def limit(bound: float) -> float:
    """The bound of numbers, if it is one, or ``inf``."""
    if isinstance(bound, Real) and bound == math.inf:
        return math.inf
    return real("bound", bound, *_BOUNDS)


@dataclass(frozen=True)
class Numbers:
    """Messages of real numbers.

    Args:
        width: M, numbers of a message.
        bound: Numbers lie in [−bound, bound]; what is beyond counts as the bound. ``inf`` sets none.
        bits: Bits of a number on the wire; below 32 they are rounded to 2^bits − 1 steps between the bounds.
        noise: Standard deviation of Gaussian noise on the air.

    Raises:
        ConfigError: A value out of range, or bits without a bound.
    """

    width: int
    bound: float = math.inf
    bits: int = 32
    noise: float = 0.0

    def __post_init__(self) -> None:
        keep(self, width=whole("width (numbers of a message)", self.width, 1))
        keep(self, bound=limit(self.bound))
        if self.bits < 32 and not math.isfinite(self.bound):
            raise ConfigError("numbers of fewer than 32 bits are rounded between bounds: give bound, e.g. 1")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one message."""
        return (self.width,)

    @property
    def bits_per_message(self) -> int:
        """Width on the wire."""
        return ledger.messages(1, self.width, self.bits)

    def space(self, rows: int) -> spaces.Space:
        """Space of the action ``message``."""
        return spaces.Box(-self.bound, self.bound, (rows, self.width), np.float32)

    def on_air(self, message: Tensor, drawn: rng.Draw | None) -> tuple[Tensor, Tensor]:
        """Messages as they go on the air.

        Args:
            message: float32 ``[W, N, B, M]``.
            drawn: Where there is noise: as many numbers.

        Returns:
            float32 ``[W, N, B, M]``, zeros where nothing is said, and bool ``[W, N, B]``: which rows say nothing.
        """
        loops = _loops(message, _NUMBERS)
        if loops is not None:
            silent = loops.silent(message.detach())
        else:
            largest = message.detach().abs().amax(-1)
            silent = ~(largest.isfinite() & (largest > 0))
        everyone = surely_none(silent)
        sent = message.clone() if everyone else message.masked_fill(silent[..., None], 0.0)
        if self.bound != math.inf:
            sent = sent.clamp(-self.bound, self.bound)
        if self.bits < 32:
            step = 2 * self.bound / (2**self.bits - 1)
            rounded = ((sent.detach() + self.bound) / step).round() * step - self.bound
            sent = _straight_through(rounded, sent)
        if self.noise:
            assert drawn is not None
            sent = sent + self.noise * drawn.normal().view(sent.shape)
        if (self.noise or self.bits < 32) and not everyone:
            sent = sent.masked_fill(silent[..., None], 0.0)
        return sent, silent


@dataclass(frozen=True)
class Symbols:
    """Messages of discrete symbols.

    Args:
        length: L, symbols of a message.
        vocabulary: V, symbols there are.

    Raises:
        ConfigError: A value out of range.
    """

    length: int
    vocabulary: int

    def __post_init__(self) -> None:
        length = whole("length (symbols of a message)", self.length, 1)
        keep(self, length=length, vocabulary=whole("vocabulary", self.vocabulary, 2))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one message."""
        return (self.length, self.vocabulary)

    @property
    def bits_per_message(self) -> int:
        """Width on the wire."""
        return ledger.symbols(1, self.length, self.vocabulary)

    def space(self, rows: int) -> spaces.Space:
        """Space of the action ``message``."""
        return spaces.Box(0, 1, (rows, self.length, self.vocabulary), np.float32)

    def choices(self, rows: int) -> spaces.Space:
        """Space of the action ``message`` as whole numbers."""
        return spaces.MultiDiscrete(np.full((rows, self.length), self.vocabulary))

    def on_air(self, message: Tensor, drawn: rng.Draw | None) -> tuple[Tensor, Tensor]:
        """Messages as they go on the air.

        Args:
            message: float32 ``[W, N, B, L, V]``; the greatest entry is the symbol, gradients pass straight through.
            drawn: Not used.

        Returns:
            One-hot float32 ``[W, N, B, L, V]``, zeros where nothing is said, and bool ``[W, N, B]``: which rows
            say nothing.
        """
        loops = None if recorded(message) else _loops(message, _SYMBOLS)
        if loops is not None:
            return loops.symbols(message)
        finite = message.isfinite().all(-1, keepdim=True).all(-2, keepdim=True)
        weights = torch.where(finite, message, 0.0)
        said = weights.detach().amax(-1, keepdim=True) > 0
        symbol = F.one_hot(weights.argmax(-1), self.vocabulary) * said
        return _straight_through(symbol.float(), weights * said), ~said[..., 0].any(-1)


Wire = Numbers | Symbols
"""What messages are made of."""


def _loops(message: Tensor, saved: tuple[float, float]) -> ModuleType | None:
    """What looks through messages in one pass, where that is due."""
    if message.dtype != torch.float32 or not message.is_contiguous():
        return None
    return due("channel.wire_numba", message.device, saved[0] + saved[1] * message.numel())


def _straight_through(value: Tensor, gradient: Tensor) -> Tensor:
    """``value`` with the gradient of ``gradient``."""
    if not gradient.requires_grad:
        return value
    return value + (gradient - gradient.detach())
