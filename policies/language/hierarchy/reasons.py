"""Why a tree was changed (K-1): kept as tensors, since nothing is read back in a step, and told in words later."""

from __future__ import annotations

import torch
from torch import Tensor

from ....envs.engine import TensorDict
from ....envs.language.colony import nothing
from ....envs.language.tree import OPERATIONS
from ...policy import Decision
from .structure import SENTENCES, Found

KEPT = 500
"""Decisions of an episode that are kept: the last ones."""

_FIGURES = 5  # of a decision at most
_FIELDS = 4 + _FIGURES  # step, agent, operation, rule


def start() -> TensorDict:
    """Nothing was decided."""
    return {"reasons": torch.zeros(KEPT * _FIELDS), "decided": torch.zeros(1)}


def none(like: Tensor) -> Tensor:
    """No decision in any world, ``[W, 9]``."""
    return like.new_zeros(len(like), _FIELDS)


def numbers(rule: str, found: Found, who: Tensor, operation: int, steps: Tensor) -> Tensor:
    """A decision of a rule in every world, ``[W, 9]``.

    Args:
        rule: By which.
        found: What it found.
        who: Whom it chose, int64 ``[W, 1]``.
        operation: What they propose.
        steps: Made so far, ``[W, 1]``.
    """
    scores = found.scores
    told = [steps, who, operation, list(SENTENCES).index(rule), *found.figures]
    told += [0.0] * (_FIELDS - len(told))
    own = [
        one.expand_as(scores).gather(1, who).float()
        if isinstance(one, Tensor)
        else scores.new_full(who.shape, one)
        for one in told
    ]
    return torch.cat(own, -1)


def kept(memory: TensorDict, now: Tensor, decision: Tensor) -> TensorDict:
    """What is remembered of decisions after those of a step, ``[W, 9]``, in the worlds of a mask, bool ``[W, 1]``."""
    if nothing(now):
        return {}
    decided = memory["decided"]
    place = torch.arange(KEPT, device=now.device) == decided % KEPT
    rows = memory["reasons"].unflatten(1, (KEPT, _FIELDS))
    rows = torch.where((place & now)[..., None], decision[:, None], rows)
    return {"reasons": rows.flatten(1), "decided": decided + now}


def told(memory: TensorDict, world: int) -> list[Decision]:
    """The last decisions in a world, oldest first, in words."""
    count = int(memory["decided"][world])
    rows = memory["reasons"][world].view(KEPT, _FIELDS).tolist()
    rules = list(SENTENCES)
    found = []
    for number in range(max(0, count - KEPT), count):
        step, agent, operation, rule, *figures = rows[number % KEPT]
        why = SENTENCES[rules[int(rule)]](*figures)
        found.append(Decision(int(step), int(agent), OPERATIONS[int(operation)], why))
    return found
