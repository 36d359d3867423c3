"""Forms in which agents of a tree bid and propose: their spaces, their masks, and what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ..engine.state import TensorDict
from .bids import read
from .tree import NOTHING, OPERATIONS

FORMS = ("bid", "rate", "discrete")


def action_spaces(form: str) -> dict[str, spaces.Space[Any]]:
    """Of what an agent does, by key."""
    if form == "discrete":
        return {"choice": spaces.Discrete(len(OPERATIONS) + 1)}
    return {"bid": spaces.Box(0, 1, (1,), np.float32), "operation": spaces.Discrete(len(OPERATIONS))}


def mask_spaces(form: str) -> dict[str, spaces.Space[Any]]:
    """Of what an agent is told that it may do, by key."""
    if form == "discrete":
        return {"action_mask": spaces.Box(0, 1, (len(OPERATIONS) + 1,), np.int8)}
    return {"operation_mask": spaces.Box(0, 1, (len(OPERATIONS),), np.int8)}


def masks(form: str, legal: Tensor, alive: Tensor) -> TensorDict:
    """What agents may do, int8 ``[W, S, 8]`` or ``[W, S, 9]``, by key.

    Args:
        form: One of :data:`FORMS`.
        legal: Operations, bool ``[W, S, 8]``.
        alive: Who may learn, bool ``[W, S]``.
    """
    if form == "discrete":
        learns = torch.stack([torch.ones_like(alive), alive], -1)
        return {"action_mask": torch.cat([learns, legal[..., 1:]], -1).to(torch.int8)}
    return {"operation_mask": legal.to(torch.int8)}


def said(form: str, actions: TensorDict) -> tuple[Tensor, Tensor]:
    """Bids ``[W, S]`` and proposed operations int64 ``[W, S]``; what there is not is nothing."""
    if form == "discrete":
        choice = actions["choice"]
        proposed = torch.where((choice > 1) & (choice <= len(OPERATIONS)), choice - 1, NOTHING)
        return (choice == 1).float(), proposed
    proposed = actions["operation"]
    known = (proposed >= 0) & (proposed < len(OPERATIONS))
    return read(actions["bid"]), torch.where(known, proposed, NOTHING)
