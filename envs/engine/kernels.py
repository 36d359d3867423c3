"""Loops compiled by numba: when they take the place of plain torch, and how they are made.

Plain torch is the definition everywhere. On a CPU, and where no gradient is recorded, a module of loops beside it (its
name ends in ``_numba``) does the same in one pass. Numba takes one to two seconds to be imported and set up, so
``import studyhall`` never does that, nor does what is done a few times.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

START = 1.3e6
"""Microseconds that numba takes to be imported and set up."""

_lost = 0.0  # microseconds that plain torch has taken longer in this process than loops would have


def due(module: str, device: torch.device, saved: float) -> ModuleType | None:
    """The loops, where they give the very bits of plain torch: from when their start would have paid.

    Which of the two made a number cannot be seen in it, so it does not matter when that is.

    Args:
        module: Below ``envs``, such as ``"engine.rng_numba"``.
        device: Where the numbers are.
        saved: Microseconds that this call would take less with them.

    Returns:
        The module, or None where plain torch is to do it.
    """
    global _lost
    if device.type != "cpu" or torch.compiler.is_compiling():
        return None
    if _lost < START:
        _lost += saved
        if _lost < START:
            return None
    return load(module)


def always(module: str, device: torch.device) -> ModuleType | None:
    """The loops, where their last bits are others: whatever was done before, so that runs can be repeated.

    Arguments and result are as of :func:`due`.
    """
    return load(module) if device.type == "cpu" and not torch.compiler.is_compiling() else None


def recorded(*tensors: Tensor) -> bool:
    """Whether a gradient is recorded of what is made of tensors, or ``torch.func`` traces it: loops know of neither."""
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return True
    return any(map(traced, tensors))


def traced(x: Tensor) -> bool:
    """Whether a tensor stands for others within a transform of ``torch.func``, and so has no memory of its own."""
    return not torch.compiler.is_compiling() and torch._C._functorch.is_functorch_wrapped_tensor(x)


@functools.cache
def load(module: str) -> ModuleType | None:
    """A module of loops; None where numba is not there, or not of this numpy."""
    try:
        return importlib.import_module(f"..{module}", __package__)
    except ImportError:
        return None


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function as machine code for the processor at hand, kept on disk where there is a folder for it.

    It runs in the thread that calls it. No reordering of floats is allowed (``fastmath``): each operation rounds as it
    does in torch. Whole numbers are to be typed, since numba makes float64 of what it mixes.
    """
    import numba

    try:
        return numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # none can be written to
        return numba.njit(nogil=True, error_model="numpy")(function)
