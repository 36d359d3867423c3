"""Students, and the two ways in which teachers teach them: by their logits, and across networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from ...learners import Population
from ...learners.energy import alignment, free_energy
from ...learners.lesson import label_loss
from .crossing import Crossing
from .networks import Networks
from .opinions import Opinions

Make = Callable[[Any, Tensor], Population]
"""From a network and keys to a population."""


class Lesson(NamedTuple):
    """What students learn of a public slice; S students of a world, N teachers."""

    x: Tensor
    """The slice, ``[W, S, B, D]``."""
    opinions: Opinions
    trust: Tensor
    """How much each teacher is believed on each row, ``[W, S, N, B]``."""
    counts: Tensor
    """Weights of the rows that are learnt from at all, ``[W, S, B]``."""
    labels: Tensor | None
    """int64 ``[W, S, B]``, −1 where untold; None where none are."""
    rate: Tensor
    """``[W, S]``: multiplies the learning rate."""


class Pupils(ABC):
    """Students of all worlds.

    The loss of a row is its cross-entropy with the label, if there is one, and ``distill`` times the teachers' part,
    and the energy is aligned: see :mod:`~studyhall.learners.energy`.

    Args:
        networks: What they are.
        keys: int64 ``[W, S]``.
        make: Makes populations.
        temperature: T of distillation.
        distill: Weight of distillation.
        align: Weight of alignment.
    """

    def __init__(
        self,
        networks: Networks,
        keys: Tensor,
        make: Make,
        *,
        temperature: float,
        distill: float,
        align: float,
    ) -> None:
        self.networks = networks
        self.temperature, self.distill, self.align = temperature, distill, align
        self._population = make(self._network(), keys)

    @property
    @abstractmethod
    def students(self) -> Population:
        """They, to be asked, ``[W, S]``."""

    @abstractmethod
    def _network(self) -> Any:
        """What learns."""

    @abstractmethod
    def _split(self, said: Tensor) -> tuple[Tensor, Callable[[Opinions, Tensor], Tensor]]:
        """What the network said as the students' logits ``[W, S, B, C]``, and the teachers' part of the loss."""

    def learn(self, lesson: Lesson) -> None:
        """One step."""

        def loss(said: Tensor) -> Tensor:
            logits, taught = self._split(said)
            value = self.align * alignment(free_energy(logits), lesson.counts)
            value = value + self.distill * taught(lesson.opinions, lesson.trust)
            return value if lesson.labels is None else value + label_loss(logits, lesson.labels)

        self._population.learn(lesson.x, loss, rate=lesson.rate)

    def reset(self, mask: Tensor, keys: Tensor) -> None:
        """Fresh students in the worlds of ``mask`` (bool ``[W]``), of keys ``[W, S]``."""
        self._population.reset(mask, keys)

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of everything."""
        return self._population.state_dict()

    def load_state_dict(self, saved: Mapping[str, Tensor]) -> None:
        """Take over a :meth:`state_dict`."""
        self._population.load_state_dict(saved)


class ByLogits(Pupils):
    """Students imitate the teachers' soft targets, ``T²·Σ_k trust_k·KL(teacher_k ‖ student)`` but for a constant."""

    def _network(self) -> Any:
        return self.networks.student

    @property
    def students(self) -> Population:
        """They, to be asked, ``[W, S]``."""
        return self._population

    def _split(self, said: Tensor) -> tuple[Tensor, Callable[[Opinions, Tensor], Tensor]]:
        def taught(opinions: Opinions, trust: Tensor) -> Tensor:
            mixed = (trust[..., None] * opinions.targets).sum(2)  # the loss is linear in targets
            return distillation(said, mixed, self.temperature)

        return said, taught


class AcrossNetworks(Pupils):
    """Students' features go on through the rest of each teacher, and come out as the teacher's own would.

    The teachers' weights must have crossed: :meth:`teach_with` puts them in.

    Args:
        depth: Convolutions of a student before a teacher goes on.
        networks: What they are.
        keys: int64 ``[W, S]``.
        make: Makes populations.
        teachers: N.
        options: As of :class:`Pupils`.
    """

    def __init__(
        self, depth: int, networks: Networks, keys: Tensor, make: Make, *, teachers: int, **options: Any
    ) -> None:
        self.depth, self.teachers = depth, teachers
        super().__init__(networks, keys, make, **options)
        self._students = self._population.through(networks.student, "student.")

    @property
    def students(self) -> Population:
        """They, to be asked, ``[W, S]``."""
        return self._students

    def _network(self) -> Any:
        return Crossing.network(self.networks, self.depth, self.teachers)

    def teach_with(self, experts: Population, mask: Tensor) -> None:
        """Take the experts ``[W, N]`` for teachers in the worlds of ``mask`` (bool ``[W]``)."""
        Crossing.lend(self._population, experts, self.depth, mask)

    def _split(self, said: Tensor) -> tuple[Tensor, Callable[[Opinions, Tensor], Tensor]]:
        classes = self.networks.student.classes
        logits = said[..., :classes]
        continued = (
            said[..., classes:].unflatten(-1, (self.teachers, classes)).movedim(-2, 2)
        )  # [W, S, N, B, C]

        def taught(opinions: Opinions, trust: Tensor) -> Tensor:
            return distillation(continued, trust[..., None] * opinions.targets, self.temperature).sum(-1)

        return logits, taught


def distillation(logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """``−T²·mean over rows Σ_c targets·log softmax(logits / T)``, ``[…]`` of ``[…, B, C]``.

    The cross-entropy: KL(targets ‖ own) but for a constant. Rows of ``targets`` that sum to less weigh less.
    """
    own = (logits.mT / temperature).log_softmax(-2)  # classes before rows: see `learners.lesson`
    return -(temperature**2) * (targets.mT * own).sum(-2).mean(-1)
