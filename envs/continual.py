"""What a sequence of tasks did to a learner: average, transfer and forgetting.

Everything is read off a matrix R, ``[…, K + 1, D]``: the score on each of D domains before the first task (row 0) and
after each of K tasks (row t + 1). Scores are higher where better; of losses give their negatives. ``order`` names the
domain of each task, K whole numbers.

The formulas are those of Lopez-Paz & Ranzato, "Gradient episodic memory for continual learning" (NeurIPS 2017), with
row 0 as the baseline of forward transfer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def average(scores: Tensor) -> Tensor:
    """ACC: mean over all domains after the last task, ``[…]``."""
    return scores[..., -1, :].mean(-1)


def backward_transfer(scores: Tensor, order: Sequence[int]) -> Tensor:
    """BWT: what later tasks did to earlier ones' domains, ``[…]``; below 0 is forgetting, NaN of a single task.

    The mean, over all tasks but the last, of the score at the end minus that right after the task.
    """
    before = [scores[..., -1, domain] - scores[..., task + 1, domain] for task, domain in enumerate(order)]
    return _mean(before[:-1], scores)


def forward_transfer(scores: Tensor, order: Sequence[int]) -> Tensor:
    """FWT: what earlier tasks did to a domain before its own task, ``[…]``; NaN of a single task.

    The mean, over all tasks but the first, of the score right before the task minus that before all tasks.
    """
    after = [scores[..., task, domain] - scores[..., 0, domain] for task, domain in enumerate(order)]
    return _mean(after[1:], scores)


def drop(scores: Tensor) -> Tensor:
    """Forgetting of scores, ``[…]``: mean over all tasks but the last of the best after it, less that at the end.

    Of tasks in the order of their domains (Chaudhry et al., "Riemannian walk", ECCV 2018); NaN of a single task.
    """
    tasks = scores.shape[-1]
    lost = [scores[..., t + 1 : -1, t].amax(-1) - scores[..., -1, t] for t in range(tasks - 1)]
    return _mean(lost, scores)


def forgetting(losses: Tensor, best: Tensor) -> Tensor:
    """Relative loss above the lowest so far, max(0, (loss − best)/best), shaped like both; of losses above 0."""
    return ((losses - best) / best).clamp_min(0.0)


def _mean(parts: Sequence[Tensor], like: Tensor) -> Tensor:
    return torch.stack(list(parts)).mean(0) if parts else torch.full_like(like[..., 0, 0], torch.nan)
