"""Hooks of worlds that torch.compile makes one loop of, where ``World(compile=True)`` asks for it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from ..errors import ConfigError
from .rng import Draw

USELESS = "torch.compile would not make it faster"
"""What a world says that refuses the argument ``compile``."""

Hook = TypeVar("Hook", bound=Callable[..., Any])


def compilable(hook: Hook) -> Hook:
    """A hook that is one graph of many elementwise operations, and asks nothing of the host.

    Worlds that are faster for it name it in :attr:`World.compiles`. Sizes are compiled in, and so are attributes of the
    world that are no tensors. Sums may be made in another order.
    """

    @functools.wraps(hook)
    def call(world: Any, *given: Any) -> Any:
        if not world.compile or hook.__name__ not in world.compiles or torch.compiler.is_compiling():
            return hook(world, *given)
        return _fast(hook)(world, *map(_ready, given))

    return call  # type: ignore[return-value]


def check_compiler(device: torch.device) -> None:
    """Refuse to compile for a CPU where there is no compiler.

    Raises:
        ConfigError: Says what to do.
    """
    if device.type == "cpu" and not _compiler():
        raise ConfigError(
            "compile=True needs a C++ compiler, and there is none: install g++ or clang++ (or name one in the "
            "environment variable CXX), or leave compile out"
        )


@functools.cache
def _compiler() -> bool:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        return bool(get_cpp_compiler())
    except InvalidCxxCompiler:
        return False


def _ready(given: Any) -> Any:
    """Draws with their bits made: those are no work for a compiler of floats."""
    if isinstance(given, dict):
        return {name: x.ready() if isinstance(x, Draw) else x for name, x in given.items()}
    return given


@functools.cache
def _fast(hook: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(hook, dynamic=False)
