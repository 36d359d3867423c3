"""What is made of tensors that stay the same for many steps, made once."""

from __future__ import annotations

from collections.abc import Callable
from operator import is_not
from typing import Generic, TypeVar

import torch
from torch import Tensor

Made = TypeVar("Made")


class Last(Generic[Made]):
    """A function of tensors that answers as it did the last time, as long as it is asked of the very same tensors.

    State is functional, so a tensor that is still there holds what it held. What is made is handed out again and again:
    nothing may be written into it, so who hands it to users copies it.

    Args:
        make: Makes it.
    """

    def __init__(self, make: Callable[..., Made]) -> None:
        self._make = make
        self._last: tuple[tuple[Tensor, ...], Made] | None = None

    def __call__(self, *tensors: Tensor) -> Made:
        """What is made of these tensors."""
        last = self._last
        if last is None or any(map(is_not, tensors, last[0])):
            with torch.inference_mode(False):  # it is kept, and graphs may need it
                last = self._last = tensors, self._make(*tensors)
        return last[1]
