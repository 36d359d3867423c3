"""What one who learns from labels of its own classes also learns of energy; see :mod:`studyhall.learners.energy`."""

from __future__ import annotations

from torch import Tensor

from ...envs.errors import one_of
from ...envs.validation import real
from ...learners.energy import alignment, detection

CALIBRATIONS = {"alignment": 0.1, "detection": 1.0}
"""Ways to learn what energies mean, and how much they weigh unless told."""


class Calibration:
    """What one who learns from labels of its own classes also learns of energy.

    Args:
        kind: "alignment" or "detection".
        weight: Of its loss; None: that of :data:`CALIBRATIONS`.
        prior: What one believes the share of its own classes to be, divided by what it is.
        name: What the weight is called in errors.

    Raises:
        UnknownName: No such kind.
        ConfigError: A weight or a prior below 0.
    """

    def __init__(
        self, kind: str, weight: float | None = None, prior: float = 1.0, *, name: str = "calibrate"
    ) -> None:
        self.kind = one_of("calibration", kind, CALIBRATIONS)
        self.weight = CALIBRATIONS[kind] if weight is None else real(name, weight, 0)
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
