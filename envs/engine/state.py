"""A world's state: a flat dict of tensors, in which each part has names under a prefix of its own."""

from __future__ import annotations

from torch import Tensor

TensorDict = dict[str, Tensor]


def prefixed(prefix: str, entries: TensorDict) -> TensorDict:
    """Entries of a part of the state, under its prefix."""
    return {prefix + k: v for k, v in entries.items()}


def under(state: TensorDict, prefix: str) -> TensorDict:
    """The entries of the state under a prefix, without it."""
    return {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
