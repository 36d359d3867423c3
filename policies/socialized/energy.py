"""Free energy: how foreign a sample is to a network, by its logits alone.

``F(x) = −logsumexp z(x)`` (Liu et al., NeurIPS 2020, at T = 1) is low where some logit is high. Two ways to give it a
meaning that networks share:

* *alignment* draws it to one anchor A on the samples that a network is taught: ``mean((F − A)²)``;
* *detection* also draws the line: g = A − F is trained to tell one's own classes from the rest. One's own labelled
  samples are positive, samples of all classes are unlabelled, and the share of one's own among these, the prior π, is
  known. The loss is the non-negative risk of Kiryo et al. (NeurIPS 2017) with ℓ(g) = log(1 + exp(−g)):

  ``π·mean_own ℓ(g) + max(0, mean_unlabelled ℓ(−g) − π·mean_own ℓ(−g))``
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from ...envs.errors import one_of
from ...envs.validation import real

ANCHOR = -5.0
"""A: the energy of what is one's own, and where :func:`detection` draws the line."""


def free_energy(logits: Tensor) -> Tensor:
    """F of logits ``[…, B, C]``, ``[…, B]``."""
    # Classes before rows, as learners give them: over a last dimension of ten it takes twenty times as long.
    return -logits.mT.logsumexp(-2)


def alignment(energies: Tensor, rows: Tensor) -> Tensor:
    """Mean squared distance of energies to the anchor.

    Args:
        energies: ``[W, N, B]``.
        rows: ``[W, N, B]``, weights of the rows that count.

    Returns:
        ``[W, N]``; 0 where no row counts.
    """
    return mean((energies - ANCHOR).square(), rows)


def detection(own: Tensor, rows: Tensor, unlabelled: Tensor, others: Tensor, prior: Tensor) -> Tensor:
    """Non-negative positive-unlabelled risk of g = A − F as a detector of one's own.

    Args:
        own: Energies of one's own samples, ``[W, N, B]``.
        rows: ``[W, N, B]``, weights of those that count.
        unlabelled: Energies of samples of all classes, ``[W, N, B]``.
        others: ``[W, N, B]`` or ``[W, 1, B]``, weights of those that count.
        prior: π, the share of one's own among these, ``[W, N]``.

    Returns:
        ``[W, N]``; 0 where none of one's own counts.
    """
    own, unlabelled = ANCHOR - own, ANCHOR - unlabelled
    found = prior * mean(F.softplus(-own), rows)
    refused = mean(F.softplus(unlabelled), others) - prior * mean(F.softplus(own), rows)
    return (found + refused.clamp_min(0.0)) * (rows.sum(-1) > 0)


CALIBRATIONS = {"alignment": 0.1, "detection": 1.0}
"""Ways to learn what energies mean, and how much they weigh unless told."""


class Calibration:
    """What one who learns from labels of its own classes also learns of energy.

    Args:
        kind: "alignment" or "detection".
        weight: Of its loss; None: that of :data:`CALIBRATIONS`.
        prior: What one believes the share of its own classes to be, divided by what it is.

    Raises:
        UnknownName: No such kind.
        ConfigError: A weight or a prior below 0.
    """

    def __init__(self, kind: str, weight: float | None = None, prior: float = 1.0) -> None:
        self.kind = one_of("calibration", kind, CALIBRATIONS)
        self.weight = CALIBRATIONS[kind] if weight is None else real("calibrate", weight, 0)
        self.prior = real("prior", prior, 0)

    @property
    def of_public(self) -> bool:
        """Whether it takes the energies of public rows, too."""
        return self.kind == "detection"

    def loss(self, energies: Tensor, rows: Tensor, others: Tensor | None, own_classes: Tensor) -> Tensor:
        """Its loss, ``[W, N]``.

        Args:
            energies: ``[W, N, B]`` of one's own slice, or ``[W, N, 2B]``, those of the public one behind them.
            rows: ``[W, N, B]``, weights of one's own rows that count.
            others: ``[W, N, B]`` or ``[W, 1, B]``, weights of the public rows that count; None where there are none.
            own_classes: bool ``[W, N, C]``.
        """
        own, public = energies[..., : rows.shape[-1]], energies[..., rows.shape[-1] :]
        if not self.of_public:
            return self.weight * alignment(own, rows)
        assert others is not None
        prior = (self.prior * own_classes.float().mean(-1)).clamp(max=1.0)
        return self.weight * detection(own, rows, public, others, prior)


def mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over the last dimension; 0 where there is no weight."""
    return (values * weights).sum(-1) / weights.sum(-1).clamp_min(1e-9)
