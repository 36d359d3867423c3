"""Grown teachers: a head of one's own on the features of one's student, who does not learn any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ...learners import Population
from .networks import Networks


class Grown:
    """Heads ``[W, N]`` on the backbones of students ``[W, S]``; S is 1, who stands for all, or N.

    Args:
        networks: What they are.
        keys: int64 ``[W, N]``.
        make: Makes the population of heads.
        students: The students.
    """

    def __init__(
        self,
        networks: Networks,
        keys: Tensor,
        make: Callable[[Any, Tensor], Population],
        students: Population,
    ) -> None:
        self.heads = make(networks.head, keys)
        self._backbones = students.through(networks.backbone, without="net.")
        self._students_heads = students.through(networks.head, "head.")

    @property
    def _each(self) -> int:
        """Agents of one student."""
        return self.heads.learners // self._backbones.learners

    def begin(self, mask: Tensor) -> None:
        """Take the students' heads, in the worlds of ``mask`` (bool ``[W]``)."""
        chosen = mask.repeat_interleave(self.heads.learners)
        for own, theirs in zip(self.heads.parameters, self._students_heads.parameters, strict=True):
            begun = theirs.repeat_interleave(self._each, 0)
            own.copy_(torch.where(chosen.view(-1, *[1] * (own.dim() - 1)), begun, own))

    def features(self, x: Tensor) -> Tensor:
        """Features ``[W, N, M, F]`` of samples of each agent, ``[W, N, M, D]``, by its student."""
        return self._of_each(self._backbones, x)

    def features_of_all(self, x: Tensor) -> Tensor:
        """Features ``[W, N, M, F]`` of samples that each student sees, ``[W, S, M, D]``."""
        return self._backbones.logits(x).repeat_interleave(self._each, dim=1)

    def by_student(self, features: Tensor) -> Tensor:
        """What the students' own heads say of features ``[W, N, M, F]``, logits ``[W, N, M, C]``."""
        return self._of_each(self._students_heads, features)

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``[W, N, M, C]`` of students and grown teachers, of ``[W, N, M, D]``, ``[W, M, D]`` or ``[M, D]``."""
        if x.dim() == 4:
            features = self.features(x)
            return self.by_student(features), self.heads.logits(features)
        features = self._backbones.logits(x)  # [W, S, M, F]
        student = self._students_heads.logits(features).repeat_interleave(self._each, dim=1)
        return student, self.heads.logits(features[:, 0] if self._each == self.heads.learners else features)

    def _of_each(self, network: Population, x: Tensor) -> Tensor:
        """What students, or a part of them, say of ``[W, N, M, …]``."""
        grouped = x.unflatten(1, (network.learners, self._each)).flatten(2, 3)
        return network.logits(grouped).unflatten(2, (self._each, -1)).flatten(1, 2)

    def reset(self, mask: Tensor, keys: Tensor) -> None:
        """Fresh heads in the worlds of ``mask`` (bool ``[W]``), of keys ``[W, N]``."""
        self.heads.reset(mask, keys)

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of the heads."""
        return self.heads.state_dict()

    def load_state_dict(self, saved: Mapping[str, Tensor]) -> None:
        """Take over a :meth:`state_dict`."""
        self.heads.load_state_dict(saved)
