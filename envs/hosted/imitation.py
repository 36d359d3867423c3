"""What is learnt from a slice: imitation of what an agent chose from the messages, beside labels where they came."""

from __future__ import annotations

from torch import Tensor

from ...learners import Lesson


def lesson_of(targets: Tensor, told: Tensor) -> Lesson:
    """The lesson that targets make.

    Their weight is the rate (a weight on the loss does nothing under Adam); where labels came the rate is 1, and it
    weighs imitation against them.

    Args:
        targets: What to imitate, ``[W, N, B, C]``; row sums in [0, 1] are weights.
        told: Who learns labels, bool ``[W, N]``.
    """
    weight = targets.sum(-1)  # [W, N, B]
    strength = weight.amax(-1)  # [W, N]
    alone = strength.clamp_min(1e-12).masked_fill_(told, 1.0)
    return Lesson(
        label=told.float(),
        imitate=weight / alone[..., None],
        targets=targets / weight.clamp_min(1e-12)[..., None],
        rate=strength.masked_fill(told, 1.0),
    )
