"""Operations on trial: the highest bid's is carried out, and the exam says whether it stays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..engine.state import TensorDict
from . import census, gaps, proposals
from .colony import Colony, nothing
from .proposals import planted, tree_of
from .tree import GROW, NOTHING, OPERATIONS, ROLL_BACK, Limits


@dataclass(frozen=True)
class Trials:
    """What is done to the trees of a batch of worlds, and undone.

    Args:
        limits: Of the trees.
        fresh: Whether those who are grown are copies of the parent, whose gates open over the trial, and not twins.
        steps: That an operation is on trial at least.
        protect: Steps that agents are protected after one that was undone.
        tolerance: Share by which the perplexity may be higher than before the trial.
    """

    limits: Limits
    fresh: bool
    steps: int
    protect: int
    tolerance: float

    def begin(self, nats: Tensor, agents: int, snapshots: int) -> TensorDict:
        """Nothing was tried.

        Args:
            nats: Of the first exam, ``[W]``.
            agents: S.
            snapshots: Copies at most.
        """
        none = torch.zeros_like(nats, dtype=torch.int64)
        counts = nats.new_zeros(len(nats), len(OPERATIONS))
        copies = nats.new_full((len(nats), snapshots), torch.inf)
        return {
            "standing": nats,
            "trial/operation": none,
            "trial/since": none,
            "trial/nats": copies[:, 0],
            "trial/touched": torch.zeros_like(nats, dtype=torch.bool)[:, None].expand(-1, agents).clone(),
            "tried": counts,
            "kept": counts,
            "undone": counts,
            "copies": copies,
        }

    def legal(self, state: TensorDict) -> Tensor:
        """Which operations agents may propose now, bool ``[W, S, 8]``."""
        return proposals.legal(state, self.limits)

    def carry_out(
        self,
        state: TensorDict,
        models: Colony,
        bids: Tensor,
        proposed: Tensor,
        *,
        luck: Tensor,
        moving: Tensor,
    ) -> TensorDict:
        """Carry out the operation of the highest bid in each world that moves; equal ones are drawn.

        Args:
            state: Before it.
            models: Are changed.
            bids: ``[W, S]``.
            proposed: Operations, int64 ``[W, S]``.
            luck: A random place of each agent, int64 ``[W, S]``; of equal bids the lowest counts.
            moving: Which worlds move, bool ``[W]``.

        Returns:
            New entries of the state.
        """
        if nothing(proposed != NOTHING):
            return {}
        before = tree_of(state)
        decided = proposals.decide(self.legal(state), bids, proposed, luck, moving)
        change = proposals.plan(state, self.limits, decided, models.offsets, fresh=self.fresh)
        gap = gaps.oldest(state, decided.who) & (decided.operation == GROW)[:, None]
        changes = (decided.operation != NOTHING) & (decided.operation != ROLL_BACK)
        rolls = decided.operation == ROLL_BACK
        models.apply(changes, change, _routes(state, models, gap, decided.who))
        models.roll_back(rolls)
        counts = torch.nn.functional.one_hot(decided.operation, len(OPERATIONS))
        counts = counts * (decided.operation != NOTHING)[:, None]
        fewer = torch.cat([state["copies"][:, 1:], torch.full_like(state["copies"][:, :1], torch.inf)], -1)
        new: TensorDict = {
            **planted(models.tree),
            "trial/operation": torch.where(changes, decided.operation, state["trial/operation"]),
            "trial/since": torch.where(changes, state["clock"], state["trial/since"]),
            "trial/nats": torch.where(changes, state["standing"], state["trial/nats"]),
            "trial/touched": torch.where(changes[:, None], change.touched, state["trial/touched"]),
            "tried": state["tried"] + counts,
            "kept": state["kept"] + counts * rolls[:, None],
            "copies": torch.where(rolls[:, None], fewer, state["copies"]),
            "standing": torch.where(rolls, state["copies"][:, 0], state["standing"]),
            "gap/age": torch.where(gap, 0.0, state["gap/age"]),
        }
        alive = models.tree.alive
        came = alive & ~before.alive  # who leaves on trial may come back
        new |= census.anew({**state, **new}, came | ((alive != before.alive) & rolls[:, None]))
        if self.fresh:
            new["opening"] = torch.where(change.aimed & changes[:, None], 1 / self.steps, new["opening"])
        return new

    def judge(self, state: TensorDict, models: Colony, *, nats: Tensor, today: Tensor) -> TensorDict:
        """End trials by an exam, and keep a copy of the best so far.

        Args:
            state: After the exam.
            models: Are put back where they are worse, and copied where they are better.
            nats: Of the exam, ``[W]``.
            today: Where it was, bool ``[W]``.

        Returns:
            New entries of the state.
        """
        operation = state["trial/operation"]
        due = today & (operation > 0) & (state["clock"] - state["trial/since"] + 1 >= self.steps)
        worse = due & ~(nats <= state["trial/nats"] + math.log1p(self.tolerance))
        models.undo(worse, state["trial/touched"])
        counts = torch.nn.functional.one_hot(operation, len(OPERATIONS))
        new: TensorDict = {
            **planted(models.tree),
            "kept": state["kept"] + counts * (due & ~worse)[:, None],
            "undone": state["undone"] + counts * worse[:, None],
            "trial/operation": torch.where(due, NOTHING, operation),
            "opening": torch.where(due[:, None], 0.0, state["opening"]),
            "standing": torch.where(worse, state["trial/nats"], state["standing"]),
        }
        alive = models.tree.alive
        new |= census.anew({**state, **new}, due[:, None] & state["trial/touched"] & ~alive)
        guarded = worse[:, None] & state["trial/touched"] & alive
        new["protected"] = torch.where(guarded, float(self.protect), new["protected"])
        quiet = today & (new["trial/operation"] == NOTHING) & ~worse
        better = quiet & (nats < state["copies"][:, 0])
        models.take_snapshot(better)
        copies = torch.cat([nats[:, None], state["copies"][:, :-1]], -1)
        return new | {"copies": torch.where(better[:, None], copies, state["copies"])}


def _routes(state: TensorDict, models: Colony, gap: Tensor, who: Tensor) -> Tensor:
    """Routes of newborn agents, ``[W, S, E]``: to a gap, or as the leaf's beside which they are born."""
    routes = models.live["expert.route"].view(len(who), models.net.agents, -1)
    own = routes[torch.arange(len(who), device=who.device), who]
    centre = (gaps.centres(state) * gap[..., None]).sum(1)
    to = torch.where(gap.any(-1, keepdim=True), centre, own)
    return to[:, None].expand_as(routes)
