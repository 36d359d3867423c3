"""One learning step: labels where there are any, soft targets to imitate, and a rate for each learner."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .mixed import MixedPopulation
from .population import Population


class Lesson(NamedTuple):
    """What a learner learns from one slice's feedback."""

    label: Tensor
    """float32 ``[W, N]``: weight of the loss on labels."""
    imitate: Tensor
    """float32 ``[W, N, B]``: weight of the distillation loss, per row."""
    targets: Tensor | None
    """float32 ``[W, N, B, C]``: distributions to imitate; None where nobody imitates."""
    rate: Tensor | float = 1.0
    """float32 ``[W, N]``: multiplies the learning rate (a weight on the loss does nothing under Adam)."""

    @property
    def active(self) -> Tensor:
        """Who has anything to learn, bool ``[W, N]``."""
        return (self.label > 0) | (self.imitate > 0).any(-1)


def teach(
    population: Population | MixedPopulation,
    lesson: Lesson,
    *,
    inputs: Tensor,
    labels: Tensor,
    about: Tensor | None = None,
    allowed: Tensor,
    temperature: float,
    distill_scale: float,
) -> Tensor | None:
    """One step for every learner that has a lesson and is allowed to learn; the others keep every bit.

    The loss is ``label · NLL + distill_scale · imitate · KL(targets ‖ own at T)``, means over rows. Hinton,
    Vinyals & Dean (2015) scale distillation by T², so that its gradients do not shrink with the temperature T.

    Args:
        population: Who learns.
        lesson: What.
        inputs: Labelled slices, ``[W, B, D]`` shared by a world's learners or ``[W, N, B, D]`` of their own.
        labels: int64 ``[W, N, B]``; −1 is unlabelled.
        about: The slices that ``lesson.targets`` are about, shaped like ``inputs``; None: the labelled ones.
        allowed: bool ``[W, N]``.
        temperature: T.
        distill_scale: Factor of the distillation loss.

    Returns:
        The losses before the step, ``[W, N]``; None where surely nobody learns.
    """
    active = lesson.active & allowed
    if none(active):
        return None
    learns = not none(lesson.label)
    imitates = lesson.targets is not None and not none(lesson.imitate)
    rows = labels.shape[-1]
    if about is not None and lesson.targets is not None:
        # Always both, whoever learns what: dropout must not depend on the other worlds of a batch.
        inputs = torch.cat([inputs, about], dim=-2)

    def loss(logits: Tensor) -> Tensor:
        total = torch.zeros_like(lesson.label)
        if learns:
            total = total + lesson.label * label_loss(logits[..., :rows, :], labels)
        if imitates:
            said = logits[..., -rows:, :]
            total = total + distill_scale * _distillation(said, lesson, temperature)
        return total

    return population.learn(inputs, loss, rate=active * lesson.rate)


def _distillation(logits: Tensor, lesson: Lesson, temperature: float) -> Tensor:
    """Mean over rows of imitate · KL(targets ‖ own at T), ``[W, N]``."""
    targets = lesson.targets
    assert targets is not None
    targets = targets.mT  # classes before rows, as in `label_loss`
    own = (logits.mT / temperature).log_softmax(-2)
    divergence = (torch.special.xlogy(targets, targets) - targets * own).sum(-2)
    return (lesson.imitate * divergence).mean(-1)


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean negative log-likelihood over labelled rows, ``[W, N]``.

    Args:
        logits: ``[W, N, B, C]``.
        labels: int64 ``[W, N, B]``; −1 is unlabelled.
    """
    # Classes before rows: this order is twice as fast as flattening the rows.
    flat = logits.flatten(0, 1).mT
    rows = F.cross_entropy(flat, labels.flatten(0, 1), ignore_index=-1, reduction="none")
    return rows.view(labels.shape).sum(-1) / (labels >= 0).sum(-1).clamp_min(1)


def softmax(logits: Tensor) -> Tensor:
    """Distributions over the last dimension, of the few classes there are.

    Classes before rows, as learners give them: a softmax over a last dimension of ten takes twenty times as long.
    """
    return logits.mT.softmax(-2).mT


def none(mask: Tensor) -> bool:
    """Whether surely nothing is set; looks only where looking is free, so never waits for a device."""
    return mask.device.type == "cpu" and not bool(mask.any())
