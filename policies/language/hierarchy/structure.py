"""When a tree is changed (K-1): each rule scores the agents that should propose an operation, and says why.

Thresholds are the documented ones. What they are held against is what agents see of themselves: shares of tokens
instead of counts of activations, cosines instead of correlations. Where the documents let gaps grow larger before a
crowded tree grows, nobody is grown there. Bridges are left out: the documents count them (five at most, of a pair under
the root that was active together a hundred times) and average the pair, but do not say what such an agent does, whose
child it is, and when it goes. An average beside the two that it is of is neither their merger nor a twin.

Scaled are, as an episode is a thousandth to a two hundredth of a documented run of 500,000 steps and its tree is small:
all counts of steps, to shares of the episode (see :class:`~.k1.K1Hierarchy`; gaps persist 1 % of it); "50 activations
in 10,000", to half a per cent of the tokens; "30 of at most 50 children", to three fifths of the most there may be. As
soft routing leaves nobody without weight, a token activates the leaf of the highest weight and those above it, and idle
is whom it is long since half of an even share among those of their kind activated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ....envs.engine import TensorDict

SELDOM = 0.005
"""Share of the tokens below which an agent is seldom used: 50 of the last 10,000 steps."""
TRUSTED, DOUBTED, REWARDED = 0.3, 0.5, 0.5
"""Trust of those who may merge; below which a gap is one; of a newborn who has closed it."""
CLOSED, OPEN = 0.2, 0.05
"""Share of its errors by which a gap must shrink for a newborn to be trusted, and to stay."""
CROWDED = 0.6
"""Children of an agent, of the most there may be, from which on it is split: 30 of 50."""
FULL = 0.9
"""Share of the slots with agents above which nobody is grown."""


class Found(NamedTuple):
    """Whom a rule finds."""

    scores: Tensor
    """Of those who should propose an operation, −∞ of all others: ``[W, N]``."""
    figures: tuple[Tensor | float, ...]
    """What it went by, in the order of its sentence, five at most: ``[W, N]``, ``[W, 1]``, or a number for all."""


def _of(wanted: Tensor, scores: Tensor, *figures: Tensor | float) -> Found:
    return Found(torch.where(wanted, scores, -torch.inf), figures)


def steps_of(aged: Tensor) -> Tensor:
    """Steps t of what is observed as t / (t + 10)."""
    return 10 * aged / (1 - aged).clamp_min(1e-6)


def prune(obs: TensorDict, trust: Tensor, threshold: Tensor, idle: int) -> Found:
    """Who should be retired: two of little trust, seldom used, long idle.

    Args:
        obs: Observations.
        trust: ``[W, N]``.
        threshold: Of trust, ``[W, 1]``.
        idle: Steps.
    """
    usage, since, age = obs["record"][..., 1], steps_of(obs["record"][..., 4]), obs["record"][..., 5]
    faults = (trust < threshold).long() + (usage < SELDOM) + (since > idle)
    return _of((faults >= 2) & (age > 0), -trust, trust, threshold, usage, since, idle)


def merge(obs: TensorDict, trust: Tensor, threshold: float) -> Found:
    """Who should merge: siblings of .8 the similarity observed and .2 that of their trust."""
    sibling = obs["links"][..., 1].long()
    other = trust.gather(1, sibling.clamp_min(0))
    similar = 0.8 * obs["similarity"][..., 0] + 0.2 * (1 - (trust - other).abs())
    both = (trust >= TRUSTED) & (other >= TRUSTED) & (sibling >= 0)
    return _of(both & (similar >= threshold), similar, sibling, similar, threshold, trust, other)


def grow(obs: TensorDict, trust: Tensor, persisting: int) -> Found:
    """Beside whom somebody should be grown: leaves of little trust to whom a cluster of errors has long fallen."""
    age = steps_of(obs["gap"][..., 1])
    space = obs["alive"][..., 0].mean(-1, keepdim=True) <= FULL
    return _of((age > persisting) & (trust < DOUBTED) & space, age, age, persisting, trust)


def move(obs: TensorDict) -> Found:
    """Who is more often active with another manager than with their own."""
    own, other = obs["together"].unbind(-1)
    return _of(other > own, other - own, other, own)


def split(obs: TensorDict) -> Found:
    """Who has too many children."""
    wide = obs["own_features"][..., 4]
    return _of(wide > CROWDED, wide, wide)


def dissolve(obs: TensorDict, idle: int) -> Found:
    """Managers that are long idle."""
    since = steps_of(obs["record"][..., 4])
    return _of((obs["own_features"][..., 1] > 0) & (since > idle), since, since, idle)


def roll_back(obs: TensorDict, above: Tensor, fallen: Tensor) -> Found:
    """The root, where the exam is much worse than at its best.

    Args:
        obs: Observations.
        above: Nats by which the cards are above their lowest, ``[W, 1]``.
        fallen: Where something is to be done about it, bool ``[W, 1]``.
    """
    return _of(fallen & (obs["own_features"][..., 0] > 0), torch.zeros_like(above), above)


def fail(closed: Tensor, over: Tensor) -> Found:
    """Newborn agents who closed too little of their gap.

    Args:
        closed: Share of its errors that are gone, ``[W, N]``.
        over: Whose probation is over, bool ``[W, N]``.
    """
    return _of(over & (closed < OPEN), -closed, closed)


def _faults(trust: float, threshold: float, usage: float, since: float, idle: float) -> str:
    faults = [
        (trust < threshold, f"trust {trust:.2f} < {threshold:.2f}"),
        (usage < SELDOM, f"usage {usage:.4f} < {SELDOM}"),
        (since > idle, f"idle for {since:.0f} steps > {idle:.0f}"),
    ]
    return ", ".join(told for holds, told in faults if holds)


SENTENCES: dict[str, Callable[..., str]] = {
    "roll back": lambda above, *_: f"perplexity {math.expm1(above):.0%} above its lowest",
    "fail": lambda closed, *_: f"probation over, {closed:.0%} of its gap closed < {OPEN:.0%}",
    "prune": _faults,
    "merge": lambda mate, similar, least, own, other: (
        f"{similar:.2f} similar to {mate:.0f} ≥ {least:.2f}, trust {own:.2f} and {other:.2f} ≥ {TRUSTED}"
    ),
    "grow": lambda age, least, trust, *_: (
        f"errors for {age:.0f} steps > {least:.0f}, trust {trust:.2f} < {DOUBTED}"
    ),
    "split": lambda wide, *_: f"{wide:.0%} of the most children > {CROWDED:.0%}",
    "dissolve": lambda since, idle, *_: f"idle for {since:.0f} steps > {idle:.0f}",
    "move": lambda other, own, *_: f"active with another manager {other:.2f} > {own:.2f} with its own",
}
"""What each rule says of the figures that it went by."""
