"""One learning step: labels where there are any, soft targets to imitate, and a rate for each learner."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .energy import detection, detection_slopes
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


class Detection(NamedTuple):
    """That learners come to know by their energy what is their own; see :mod:`~studyhall.learners.energy`."""

    weight: float
    """Of the risk, beside the loss on labels."""
    prior: Tensor
    """float32 ``[W, N]``: share of one's own among unlabelled samples."""


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
    detect: Detection | None = None,
) -> Tensor | None:
    """One step for every learner that has a lesson and is allowed to learn; the others keep every bit.

    The loss is ``label · NLL + distill_scale · imitate · KL(targets ‖ own at T)``, means over rows. Hinton,
    Vinyals & Dean (2015) scale distillation by T², so that its gradients do not shrink with the temperature T.
    With ``detect`` there is ``label · weight · risk`` besides, the risk of
    :func:`~studyhall.learners.energy.detection` of energies at T, labelled rows being one's own and those of ``about``
    unlabelled.

    Args:
        population: Who learns.
        lesson: What.
        inputs: Labelled slices, ``[W, B, D]`` shared by a world's learners or ``[W, N, B, D]`` of their own.
        labels: int64 ``[W, N, B]``; −1 is unlabelled.
        about: The slices that ``lesson.targets`` are about, shaped like ``inputs``; None: the labelled ones.
        allowed: bool ``[W, N]``.
        temperature: T.
        distill_scale: Factor of the distillation loss.
        detect: What is learnt of energies, where ``about`` and ``lesson.targets`` are given.

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

    def loss(logits: Tensor) -> tuple[Tensor, Tensor]:
        """Losses and their gradient: autograd takes three times as many steps to it, on as little data."""
        logits = logits.detach().mT  # classes before rows, as in `label_loss`
        losses, gradient = torch.zeros_like(lesson.label), torch.zeros_like(logits)
        if learns:
            loss, slope = _labels(logits[..., :rows], labels)
            losses += lesson.label * loss
            gradient[..., :rows].add_(slope.mul_(lesson.label[..., None, None]))
        if learns and detect is not None:
            loss, slope = _detection(logits, labels >= 0, detect.prior, temperature)
            weight = detect.weight * lesson.label
            losses += weight * loss
            gradient += slope.mul_(weight[..., None, None])
        if imitates:
            loss, slope = _distillation(logits[..., -rows:], lesson, temperature)
            losses += distill_scale * loss
            gradient[..., -rows:].add_(slope.mul_(distill_scale))
        return losses, gradient.mT

    return population.learn(inputs, loss, rate=active * lesson.rate)


def _distillation(logits: Tensor, lesson: Lesson, temperature: float) -> tuple[Tensor, Tensor]:
    """Mean over rows of imitate · KL(targets ‖ own at T), ``[W, N]``, and its gradient ``[W, N, C, B]``.

    Of each row that is its weight times (softmax − targets) / T.
    """
    assert lesson.targets is not None
    targets = lesson.targets.mT.contiguous()
    own = (logits / temperature).log_softmax(-2)
    # A class of probability 0 adds nothing, whatever the logarithm is taken of.
    excess = targets.clamp_min(torch.finfo(targets.dtype).tiny).log_().sub_(own).mul_(targets)
    weight = lesson.imitate / (lesson.imitate.shape[-1] * temperature)
    slope = own.exp_().mul_(targets.sum(-2, keepdim=True)).sub_(targets).mul_(weight[..., None, :])
    return (lesson.imitate * excess.sum(-2)).mean(-1), slope


def _labels(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`label_loss` of ``[W, N, C, B]``, and its gradient: of each labelled row (softmax − one-hot) / rows."""
    own = logits.log_softmax(-2)
    known = labels >= 0
    index = labels.clamp_min(0)[..., None, :]
    share = known / known.sum(-1, keepdim=True).clamp_min(1)
    loss = -(own.gather(-2, index).squeeze(-2) * share).sum(-1)
    slope = (
        own.exp_().scatter_add_(-2, index, torch.full_like(own[..., :1, :], -1.0)).mul_(share[..., None, :])
    )
    return loss, slope


def _detection(logits: Tensor, known: Tensor, prior: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The risk of :func:`detection` of ``[W, N, C, 2B]``, one's own rows before the unlabelled, and its gradient.

    The gradient of an energy −T·logsumexp(z/T) is −softmax(z/T).
    """
    rows, known = known.shape[-1], known.to(logits.dtype)
    scaled = logits / temperature
    energies = -temperature * scaled.logsumexp(-2)
    public = energies[..., rows:]
    given = energies[..., :rows], known, public, torch.ones_like(public), prior
    slope = torch.cat(detection_slopes(*given), dim=-1)
    return detection(*given), scaled.softmax(-2).mul_(-slope[..., None, :])


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
