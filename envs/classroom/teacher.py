"""The teacher: labels, on a budget that the world keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..engine import rng
from ..errors import one_of
from ..validation import keep, whole

UNLIMITED = 1 << 40


class Answer(NamedTuple):
    """What the teacher did in one step."""

    served: Tensor  # bool [W, N]: who sees the labels of its slice
    refused: Tensor  # bool [W, N]: who asked and was not served
    left: Tensor  # int64 [W]: budget left in the class's purse
    own_left: Tensor  # int64 [W, N]: budget left in each agent's purse (isolated worlds)
    calls: Tensor  # int64 [W]: calls answered in this step
    labels: Tensor  # int64 [W, N]: labels told to each, all in all
    public: Tensor | None = None  # bool [W, N, B]: rows of a public slice of which each is told, unasked


@dataclass(frozen=True)
class Teacher:
    """Answers with the labels of a slice while the budget lasts.

    Where all agents share one slice, one call serves everyone who asks. Where slices are their own, each
    asker is a call; a budget too short for all serves them in random order. In an isolated world agents
    share nothing: each has an equal part of the budget and every asker is a call.

    Args:
        budget: Per world and episode; None is unlimited.
        unit: ``"calls"`` (one answered slice each) or ``"labels"`` (a call costs the rows of a slice).
        shared_slice: Whether the agents of a world share one slice.
        rows: B, rows of a slice.
    """

    budget: int | None
    unit: str
    shared_slice: bool
    rows: int

    def __post_init__(self) -> None:
        if self.budget is not None:
            keep(self, budget=whole("teacher_budget (or None for no limit)", self.budget, 0))
        keep(self, unit=one_of("teacher_unit", self.unit, ("calls", "labels")))

    @property
    def price(self) -> int:
        """What one call takes from the budget."""
        return 1 if self.unit == "calls" else self.rows

    def draws(self, num_agents: int) -> dict[str, tuple[int, ...]]:
        """Draws of one step: the order in which a short budget serves."""
        return {"teacher/order": (num_agents,)}

    def start(self, num_worlds: int, num_agents: int, device: torch.device) -> dict[str, Tensor]:
        """The teacher's part of a world's state."""
        budget = UNLIMITED if self.budget is None else int(self.budget)
        return {
            "left": torch.full((num_worlds,), budget, device=device),
            "own_left": torch.full((num_worlds, num_agents), budget // num_agents, device=device),
        }

    def answer(
        self,
        asked: Tensor,
        left: Tensor,
        own_left: Tensor,
        isolated: Tensor | None,
        draws: rng.DrawDict,
    ) -> Answer:
        """Serve the askers.

        Args:
            asked: bool ``[W, N]``.
            left: int64 ``[W]``.
            own_left: int64 ``[W, N]``.
            isolated: bool ``[W]``; None: no world is.
            draws: This step's draws.
        """
        affordable = left[:, None] // self.price  # calls the purse still pays for
        if self.shared_slice:
            together = asked & (affordable >= 1)
            calls = together.any(-1).long()
        else:
            place = draws["teacher/order"].ranks()
            ahead = (place[:, None, :] < place[:, :, None]) & asked[:, None, :]
            together = asked & (ahead.sum(-1) < affordable)
            calls = together.sum(-1)
        served = together
        if isolated is not None:
            each, alone = isolated[:, None], asked & (own_left >= self.price)
            served = torch.where(each, alone, together)
            calls = torch.where(isolated, alone.sum(-1), calls)
            own_left = own_left - (served & each) * self.price
        return Answer(
            served=served,
            refused=asked & ~served,
            left=left - calls * self.price,
            own_left=own_left,
            calls=calls,
            labels=served * self.rows,
        )

    def fraction_left(self, left: Tensor, own_left: Tensor, isolated: Tensor | None) -> Tensor:
        """What is left of the budget each agent draws on, float32 ``[W, N]``, in whole calls.

        0 exactly when no call can be paid any more; 1 where there is no limit. Arguments as of :meth:`answer`.
        """
        if self.budget is None:
            return torch.ones_like(own_left, dtype=torch.float32)
        shared = (left // self.price)[:, None] / max(1, self.budget // self.price)  # float32
        if isolated is None:
            return shared.expand(own_left.shape)
        own = (own_left // self.price) / max(1, self.budget // own_left.shape[1] // self.price)
        return torch.where(isolated[:, None], own, shared)
