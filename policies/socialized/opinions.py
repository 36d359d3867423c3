"""What teachers say of public slices, which way it reaches students, and which teacher is believed on which row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ...envs.engine import TensorDict
from ...learners import Population, softmax
from ...learners.energy import ANCHOR, free_energy
from .networks import numbers


class Opinions(NamedTuple):
    """What each student hears of each teacher; S students of a world, N teachers."""

    targets: Tensor
    """Distributions at the temperature of distillation, ``[W, S, N, B, C]``."""
    energies: Tensor
    """``[W, S, N, B]``."""
    spoke: Tensor
    """bool ``[W, S, N, B]``: whose word on the row arrived.

    One's own counts where anybody else's did, and where one student stands for all, what anybody heard.
    """


# ---- which way ------------------------------------------------------------------------------------------


class Carrier(ABC):
    """How what experts know crosses.

    Args:
        temperature: T of the soft targets.
        teachers: bool ``[N]``: who teaches.
    """

    world_kwargs: Mapping[str, Any] = {"energies": True}

    def __init__(self, temperature: float, teachers: Tensor) -> None:
        self.temperature, self.teachers = temperature, teachers

    @abstractmethod
    def say(self, experts: Population, public: Tensor, first: Tensor) -> TensorDict:
        """Actions of the experts.

        Args:
            experts: ``[W, N]``.
            public: The slice that messages are about, ``[W, B, D]``.
            first: bool ``[W]``: where this is the first step of teaching.
        """

    @abstractmethod
    def hear(self, experts: Population, obs: TensorDict, arrived: Tensor, students: int) -> Opinions:
        """What reached students.

        Args:
            experts: As of :meth:`say`.
            obs: With the feedback on what was said.
            arrived: bool ``[W, N, N]``: whose parcels have reached whom so far.
            students: S: 1, who stands for all, or N.
        """


class Logits(Carrier):
    """Experts publish their soft targets on every row, and its energy."""

    def say(self, experts: Population, public: Tensor, first: Tensor) -> TensorDict:
        """``soft_targets`` and ``energies``."""
        logits = experts.logits(public)
        targets = softmax(logits / self.temperature) * self.teachers[:, None, None]
        return {"soft_targets": targets, "energies": free_energy(logits)}

    def hear(self, experts: Population, obs: TensorDict, arrived: Tensor, students: int) -> Opinions:
        """What the feedback brought."""
        targets = obs["fb_targets"][:, :students]
        spoke = targets.any(-1) & _reached(obs["heard"] > 0, students)[..., None]
        return Opinions(targets, obs["fb_energies"][:, :students], spoke)


class Claims(Logits):
    """The same, on the rows only that an expert claims: whose energy is below the anchor."""

    def say(self, experts: Population, public: Tensor, first: Tensor) -> TensorDict:
        """``soft_targets`` and ``energies``."""
        said = super().say(experts, public, first)
        claimed = said["energies"] < ANCHOR
        return said | {"soft_targets": said["soft_targets"] * claimed[..., None]}


class Weights(Carrier):
    """Experts send their networks once, as parcels; who got one asks it, and nothing more crosses.

    Who was away then, or lost a parcel, never learns from it. Liars lie in what they say, and here they say nothing.
    """

    world_kwargs: Mapping[str, Any] = {"parcels": True}

    def say(self, experts: Population, public: Tensor, first: Tensor) -> TensorDict:
        """``parcel``."""
        return {"parcel": (first[:, None] & self.teachers)[..., None] * numbers(experts.network)}

    def hear(self, experts: Population, obs: TensorDict, arrived: Tensor, students: int) -> Opinions:
        """What the experts say whose networks have arrived."""
        public = obs["fb_public"][:, 0]
        logits = experts.logits(public.flatten(2))
        shape = (-1, students, -1, -1)
        spoke = _reached(arrived, students) & self.teachers
        energies = free_energy(logits)[:, None].expand(*shape)
        targets = softmax(logits / self.temperature)[:, None].expand(*shape, -1)
        return Opinions(targets, energies, spoke[..., None].expand_as(energies))


def _reached(heard: Tensor, students: int) -> Tensor:
    """Whose word reaches each student, bool ``[W, S, N]``, where agents heard each other as ``[W, N, N]`` says."""
    if students == 1:
        return heard.any(1, keepdim=True)
    own = torch.eye(students, dtype=torch.bool, device=heard.device)
    return heard | (own & heard.any(-1, keepdim=True))


CARRIERS: dict[str, type[Carrier]] = {"logits": Logits, "claims": Claims, "weights": Weights}


# ---- which teacher --------------------------------------------------------------------------------------


def everyone(opinions: Opinions) -> Tensor:
    """All who spoke, alike."""
    return opinions.spoke / opinions.spoke.sum(2, keepdim=True).clamp_min(1)


def lowest_energy(opinions: Opinions) -> Tensor:
    """Who spoke with the lowest energy."""
    energies = opinions.energies.masked_fill(~opinions.spoke, torch.inf)
    chosen = F.one_hot(energies.argmin(2), energies.shape[2])  # [W, S, B, N]
    return chosen.mT * opinions.spoke


GATES: dict[str, Callable[[Opinions], Tensor]] = {"all": everyone, "energy": lowest_energy}
"""How much each teacher is believed on each row: weights ``[W, S, N, B]`` whose sum over teachers is 1, or 0."""
