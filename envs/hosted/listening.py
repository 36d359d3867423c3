"""What an agent decides where the world hosts the learners: four forms of saying whom to imitate.

A form turns actions into targets whose row sums, at most 1, are weights: a row of zeros is not imitated.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional as F

from ..engine.state import TensorDict
from .heard import Heard

SHARPEST = 16.0
"""Exponent on confidence at ``gate`` 1."""


class Seen(NamedTuple):
    """What a form may show of a slice's feedback, beside the features of its sources."""

    heard: Heard
    beliefs: Tensor  # [W, N, B, C], one's own
    cards: Tensor  # [W, N, S]
    budget_left: Tensor  # [W, N]
    energies: TensorDict  # where they cross: energies [W, N, S, B], own_energies [W, N, B]; else empty


class Form(ABC):
    """How an agent says whom to imitate, and whether to ask.

    Args:
        sources: S.
        rows: B.
        classes: C.
        teacher: Whether there is a teacher to ask.
        energies: Whether energies cross beside the messages.
    """

    def __init__(self, sources: int, rows: int, classes: int, teacher: bool, energies: bool = False) -> None:
        self.sources, self.rows, self.classes = sources, rows, classes
        self.teacher, self.energies = teacher, energies

    def action_parts(self) -> dict[str, spaces.Space]:
        """Parts of the action space."""
        ask: dict[str, spaces.Space] = {"ask": spaces.Discrete(2)} if self.teacher else {}
        return self.choices() | ask

    @abstractmethod
    def choices(self) -> dict[str, spaces.Space]:
        """Parts of the action space that say whom to imitate."""

    def observed(self) -> dict[str, spaces.Space]:
        """Further parts of the observation space."""
        return {}

    def observe(self, seen: Seen) -> TensorDict:
        """Further parts of the observation, ``[W, N, …]``."""
        return {}

    @abstractmethod
    def targets(self, actions: TensorDict, heard: Heard) -> Tensor:
        """What to imitate, ``[W, N, B, C]``; row sums in [0, 1] are weights."""

    @abstractmethod
    def shares(self, actions: TensorDict, heard: Heard) -> Tensor:
        """How much each source counts in these targets, ``[W, N, S]``, 1 at most in all; for pictures."""

    def asks(self, actions: TensorDict) -> Tensor:
        """Who asks the teacher, bool ``[W, N]``."""
        return actions["ask"] == 1


class Listen(Form):
    """A weight for each source. Targets are their mixture, Σ w·p / Σ w; its weight is min(1, Σ w)."""

    def choices(self) -> dict[str, spaces.Space]:
        """``listen``."""
        return {"listen": spaces.Box(0, 1, (self.sources,), np.float32)}

    def targets(self, actions: TensorDict, heard: Heard) -> Tensor:
        """The mixture of those heard; weights of others count for nothing."""
        return heard.mixture(_weights(actions["listen"]))

    def shares(self, actions: TensorDict, heard: Heard) -> Tensor:
        """The weights; divided by their sum where it is above 1."""
        return _shares(_weights(actions["listen"]) * heard.mask)


class Gated(Listen):
    """Beside the weights, how much a source's confidence counts, row by row: w·(max p)^(16·gate)."""

    def choices(self) -> dict[str, spaces.Space]:
        """``listen`` and ``gate``."""
        return super().choices() | {"gate": spaces.Box(0, 1, (1,), np.float32)}

    def targets(self, actions: TensorDict, heard: Heard) -> Tensor:
        """The mixture, by row."""
        return heard.mixture(_weights(actions["listen"]), self._gates(actions, heard))

    def shares(self, actions: TensorDict, heard: Heard) -> Tensor:
        """The weights after the gate, in the mean over rows."""
        weights = _weights(actions["listen"]) * heard.mask
        gated = weights[..., None] * self._gates(actions, heard) * heard.spoken()
        parts = gated / gated.sum(2, keepdim=True).clamp_min(1e-12)
        return parts.mean(-1) * weights.sum(-1, keepdim=True).clamp(max=1.0)

    def _gates(self, actions: TensorDict, heard: Heard) -> Tensor:
        """By how much each row of each source counts, ``[W, N, S, B]``."""
        exponent = SHARPEST * _weights(actions["gate"])[..., None]  # [W, N, 1, 1]
        # Of those listened to: their powers of a ratio to the surest cannot all vanish.
        confidence = heard.confidence() * (_weights(actions["listen"]) > 0)[..., None]  # [W, N, S, B]
        surest = confidence.amax(2, keepdim=True).clamp_min(1e-12)
        return (confidence / surest) ** exponent


class Imitate(Form):
    """The targets themselves, for rules that look at every row."""

    def choices(self) -> dict[str, spaces.Space]:
        """``targets``."""
        return {"targets": spaces.Box(0, 1, (self.rows, self.classes), np.float32)}

    def observed(self) -> dict[str, spaces.Space]:
        """``messages``, ``beliefs`` and ``cards``; where energies cross ``energies`` and ``own_energies``."""
        energies: dict[str, spaces.Space] = {}
        if self.energies:
            for name, shape in (("energies", (self.sources, self.rows)), ("own_energies", (self.rows,))):
                energies[name] = spaces.Box(-np.inf, np.inf, shape, np.float32)
        return energies | {
            "messages": spaces.Box(0, 1, (self.sources, self.rows, self.classes), np.float32),
            "beliefs": spaces.Box(0, 1, (self.rows, self.classes), np.float32),
            "cards": spaces.Box(0, 1, (self.sources,), np.float32),
        }

    def observe(self, seen: Seen) -> TensorDict:
        """What was said, what oneself believed, the report cards of the sources, and energies where they cross."""
        return {
            "messages": seen.heard.messages.clone(),
            "beliefs": seen.beliefs,
            "cards": seen.cards,
            **seen.energies,
        }

    def targets(self, actions: TensorDict, heard: Heard) -> Tensor:
        """As given; sums above 1 are scaled down, rows that are not finite abstain."""
        given = actions["targets"]
        fit = torch.isfinite(given).all(-1, keepdim=True) & (given.amin(-1, keepdim=True) >= 0)
        given = torch.where(fit, given, 0.0)
        return given / given.sum(-1, keepdim=True).clamp_min(1.0)

    def shares(self, actions: TensorDict, heard: Heard) -> Tensor:
        """The targets' weight, divided by how much each message has in common with them: Σ_c min(p_c, q_c)."""
        targets = self.targets(actions, heard)
        common = torch.minimum(targets[:, :, None], heard.messages).sum((-1, -2))  # [W, N, S]
        return common / common.sum(-1, keepdim=True).clamp_min(1e-12) * targets.sum(-1).mean(-1, keepdim=True)


class Choose(Form):
    """One choice: nobody, the teacher (where there is one), the mean of the class, or one peer.

    Whoever chooses the teacher asks for the labels of the present slice, and imitates nobody on the last.
    """

    @property
    def size(self) -> int:
        """K, the number of choices."""
        return 2 + self.teacher + self.sources

    def action_parts(self) -> dict[str, spaces.Space]:
        """``choice`` alone."""
        return self.choices()

    def choices(self) -> dict[str, spaces.Space]:
        """``choice``."""
        return {"choice": spaces.Discrete(self.size)}

    def observed(self) -> dict[str, spaces.Space]:
        """``action_mask``."""
        return {"action_mask": spaces.Box(0, 1, (self.size,), np.int8)}

    def observe(self, seen: Seen) -> TensorDict:
        """Which choices there are: nobody, the teacher while it answers, and who was heard."""
        answers = [(seen.budget_left > 0)[..., None]] if self.teacher else []
        nobody = torch.ones_like(seen.heard.mask[..., :1])
        mask = torch.cat([nobody, *answers, seen.heard.mask.any(-1, keepdim=True), seen.heard.mask], dim=-1)
        return {"action_mask": mask.to(torch.int8)}

    def targets(self, actions: TensorDict, heard: Heard) -> Tensor:
        """The mean, one peer's message, or nothing."""
        return heard.mixture(self._chosen(actions))

    def shares(self, actions: TensorDict, heard: Heard) -> Tensor:
        """All of one peer, an equal part of each, or nothing."""
        return _shares(self._chosen(actions) * heard.mask)

    def _chosen(self, actions: TensorDict) -> Tensor:
        """A choice as weights, ``[W, N, S]``."""
        chosen = F.one_hot(actions["choice"].clamp(0, self.size - 1), self.size).float()
        first = 1 + self.teacher
        return chosen[..., first : first + 1] + chosen[..., first + 1 :]

    def asks(self, actions: TensorDict) -> Tensor:
        """Who chose the teacher, bool ``[W, N]``."""
        return (actions["choice"] == 1) & self.teacher


FORMS: dict[str, type[Form]] = {"listen": Listen, "gated": Gated, "targets": Imitate, "discrete": Choose}


def _shares(weights: Tensor) -> Tensor:
    """Weights ``[W, N, S]`` that are 1 at most in all."""
    return weights / weights.sum(-1, keepdim=True).clamp_min(1.0)


def _weights(given: Tensor) -> Tensor:
    """Numbers in [0, 1]; what is not finite counts as 0."""
    return torch.nan_to_num(given, 0.0, 0.0, 0.0).clamp(0.0, 1.0)
