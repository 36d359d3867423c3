"""Which of two answers: the offset b of the choice between student and grown teacher."""

from __future__ import annotations

import torch
from torch import Tensor

from ...learners.energy import free_energy, mean

TOLERANCE = 0.02
"""How much worse than the expert one may be on one's own classes."""

_STEPS = 41  # offsets that are tried


def chosen(student: Tensor, grown: Tensor, offset: Tensor | float) -> Tensor:
    """Where the grown teacher answers, whose energy plus b is below the student's: bool ``[…, M]`` of ``[…, M, C]``."""
    return free_energy(grown) + offset < free_energy(student)


def offsets(expert: Tensor, student: Tensor, grown: Tensor, labels: Tensor) -> Tensor:
    """The greatest b with which the choice is as good as the expert, within two points, on samples of one's own.

    The choice takes the grown teacher where its energy plus b is below the student's: the greater b, the more often the
    student answers, who knows more of the others' classes and less of one's own. Tried are quantiles of the differences
    of energies. Where none is good enough it is the lowest, by which the grown teacher always answers.

    Args:
        expert: Logits ``[W, N, K, C]``.
        student: Likewise.
        grown: Likewise.
        labels: int64 ``[W, N, K]``; −1 where there is no sample.

    Returns:
        ``[W, N]``; 0 where there is no sample at all.
    """
    there = labels >= 0
    weight = there.float()

    def right(logits: Tensor) -> Tensor:
        return (logits.argmax(-1) == labels).float()

    apart = free_energy(student) - free_energy(grown)
    quantiles = torch.linspace(0, 1, _STEPS, device=apart.device)
    tried = torch.where(there, apart, torch.nan).nanquantile(quantiles, dim=-1)  # [steps, W, N]
    tried = torch.nan_to_num(torch.cat([tried[:1] - 1, tried]))
    answers = torch.where(apart > tried[..., None], right(grown), right(student))
    enough = mean(answers, weight) >= mean(right(expert), weight) - TOLERANCE
    best = torch.where(enough, tried, tried[:1]).amax(0)
    return torch.where(there.any(-1), best, 0.0)
