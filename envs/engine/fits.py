"""What was saved, compared to what it is loaded into: one clear line before anything has changed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..errors import ConfigError
from ..untrusted import is_plain_tensor


class Misfit(ValueError):  # noqa: N818  # told apart by name
    """A saved state is not built like the one it is to replace; the message says where."""


def check_fits(saved: Any, like: Any, where: str = "") -> None:
    """Check that a saved state, which anybody may have written, is built like one made just now.

    Args:
        saved: The state: tensors and plain values, nested.
        like: One made just now. Mappings must have its keys, lists its length, tensors its shapes and dtypes, numbers
            its types (finite, whole ones not below 0), texts and truth values must be equal. ``...`` stands for
            anything.
        where: Names of the entries that lead here.

    Raises:
        Misfit: They differ; names the first entry that does.
    """
    if like is ...:
        return
    name = repr(where) if where else "it"
    if isinstance(like, Mapping):
        if not isinstance(saved, Mapping):
            raise Misfit(f"{name} is {_kind(saved)}, not {_kind(like)}")
        for key in [*saved, *like]:
            here = f"{where}.{key}" if where else str(key)
            if key not in saved or key not in like:
                raise Misfit(f"{here!r} is {'missing' if key in like else 'unknown'}")
            check_fits(saved[key], like[key], here)
    elif isinstance(like, (list, tuple)):
        if not isinstance(saved, (list, tuple)) or len(saved) != len(like):
            raise Misfit(f"{name} is {_kind(saved)}, not {_kind(like)}")
        for place, entry in enumerate(like):
            check_fits(saved[place], entry, f"{where}.{place}")
    elif isinstance(like, Tensor):
        if not (is_plain_tensor(saved) and (saved.shape, saved.dtype) == (like.shape, like.dtype)):
            raise Misfit(f"{name} is {_kind(saved)}, not {_kind(like)}")
    elif isinstance(like, (int, float)) and not isinstance(like, bool):
        if type(saved) is not type(like) or not math.isfinite(saved) or (type(like) is int and saved < 0):
            raise Misfit(f"{name} is {_kind(saved)}, not {_kind(like)}")
    elif type(saved) is not type(like) or saved != like:
        raise Misfit(f"{name} is {_kind(saved)}, not {_kind(like)}")


def check_saved(what: str, saved: Any, like: Mapping[str, Any]) -> None:
    """:func:`check_fits`, as an error in a user's words.

    Args:
        what: Whose state it is, e.g. "world".
        saved: What a ``state_dict()`` is said to have returned.
        like: One's own.

    Raises:
        ConfigError: They differ; names the first entry that does.
    """
    try:
        check_fits(saved, like)
    except Misfit as fault:
        raise ConfigError(
            f"the saved state is not of this {what} ({fault}): make it with the same arguments"
        ) from fault


def _kind(value: Any) -> str:
    """A value in few words."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, Mapping):
        return f"{len(value)} entries by name"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    return (
        repr(value)[:40]
        if isinstance(value, (str, int, float, bool, type(None)))
        else f"a {type(value).__name__}"
    )
