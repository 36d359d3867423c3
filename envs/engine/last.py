"""What is made of tensors that stay the same for many steps, made once."""

from __future__ import annotations

from collections.abc import Callable
from operator import is_not
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Made = TypeVar("Made")


class Last(Generic[Made]):
    """A function of tensors that answers as it did before, where it was asked of the very same tensors of late.

    State is functional, so a tensor that is still there holds what it held. What is made is handed out again and again:
    nothing may be written into it, so who hands it to users copies it.

    Args:
        make: Makes it.
        kept: How many answers are kept.
    """

    def __init__(self, make: Callable[..., Made], kept: int = 1) -> None:
        self._make, self._count = make, kept
        self._kept: tuple[tuple[tuple[Tensor, ...], Made], ...] = ()

    def __call__(self, *tensors: Tensor, **hints: Any) -> Made:
        """What is made of these tensors; hints say how, and change nothing in it."""
        for of, made in self._kept:
            if not any(map(is_not, tensors, of)):
                return made
        with torch.inference_mode(False):  # it is kept, and graphs may need it
            made = self._make(*tensors, **hints)
        self._kept = ((tensors, made), *self._kept[: self._count - 1])
        return made
