"""What was saved, compared to what it is loaded into: one clear line before anything has changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .errors import ConfigError


def check_saved(what: str, saved: Any, like: Mapping[str, Any]) -> None:
    """Refuse a state that is not of the same structure as one's own.

    Args:
        what: Whose state it is, e.g. "world".
        saved: What a ``state_dict()`` is said to have returned.
        like: One's own ``state_dict()``. Of tensors names, shapes and dtypes must agree, of the rest names and types;
            None may stand for anything, and anything for None.

    Raises:
        ConfigError: They differ; names the first entry that does.
    """
    if fault := _difference(saved, like, ""):
        raise ConfigError(f"the saved state is not of this {what} ({fault}): make it with the same arguments")


def _difference(saved: Any, like: Any, path: str) -> str:
    """How the first entry that differs does; empty where none does."""
    name = f"{path!r}" if path else "it"
    if isinstance(like, Mapping):
        if not isinstance(saved, Mapping):
            return f"{name} is {_kind(saved)}"
        for key in [*saved, *like]:
            here = f"{path}.{key}" if path else str(key)
            if key not in saved or key not in like:
                return f"{here!r} is {'missing' if key in like else 'unknown'}"
            if fault := _difference(saved[key], like[key], here):
                return fault
        return ""
    if saved is None or like is None:
        return ""
    same = type(saved) is type(like)
    if isinstance(saved, Tensor) and isinstance(like, Tensor):
        same = saved.shape == like.shape and saved.dtype == like.dtype
    return "" if same else f"{name} is {_kind(saved)}, not {_kind(like)}"


def _kind(value: Any) -> str:
    """A value in few words."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return f"a {type(value).__name__}"
