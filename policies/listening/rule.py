"""A scripted rule of listening: from what was heard to the targets to imitate."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...envs.engine import TensorDict, World
from ...envs.errors import ConfigError
from ...envs.exam import distributions
from ..policy import MadeInReset, Policy


class Talk(NamedTuple):
    """What was said about one slice, as each agent heard it.

    W worlds of N agents; S sources of each, B rows of the slice, C classes.

    Attributes:
        rows: float32 ``[W, N, S, B, C]``: distributions; all zero where a source was not heard or abstained.
        spoke: bool ``[W, N, S, B]``: which rows are not zero.
        own: float32 ``[W, N, B, C]``: what oneself believed of the slice; all zero before the first one.
        cards: float32 ``[W, N, S]``: report cards of the sources.
        report: float32 ``[W, N, 2]``: one's own report card, and how much of the teacher's budget is left.
        elapsed: float32 ``[W, N]``: share of the episode.
        energies: float32 ``[W, N, S, B]``, of the rows; None where none cross.
        own_energies: float32 ``[W, N, B]``, likewise of oneself.
    """

    rows: Tensor
    spoke: Tensor
    own: Tensor
    cards: Tensor
    report: Tensor
    elapsed: Tensor
    energies: Tensor | None = None
    own_energies: Tensor | None = None

    @classmethod
    def of(cls, obs: TensorDict) -> Talk:
        """The part of an observation that rules decide by; what is not a distribution counts as silence."""
        said = torch.where(obs["sources_mask"][..., None, None] == 1, obs["messages"], 0.0)
        rows, silent = distributions(said)
        own = distributions(obs["beliefs"])[0]
        energies = obs.get("energies"), obs.get("own_energies")
        return cls(rows, ~silent, own, obs["cards"], obs["report"], obs["elapsed"][..., 0], *energies)

    @property
    def heard(self) -> Tensor:
        """Who said anything at all, bool ``[W, N, S]``."""
        return self.spoke.any(-1)

    @property
    def confidence(self) -> Tensor:
        """The largest probability of each row, ``[W, N, S, B]``; 0 where silent."""
        return self.rows.amax(-1)

    def others(self) -> Tensor:
        """Of each source: the mean of the other sources heard and oneself, ``[W, N, S, B, C]``."""
        sources = self.rows.shape[2]
        apart = 1.0 - torch.eye(sources, device=self.rows.device)
        total = torch.einsum("st,wntbc->wnsbc", apart, self.rows) + self.own[:, :, None]
        return distributions(total)[0]

    def row_mean(self, values: Tensor) -> Tensor:
        """Mean ``[W, N, S]`` of ``values [W, N, S, B]`` over the rows that each source spoke of; 0 if none."""
        return (values * self.spoke).sum(-1) / self.spoke.sum(-1).clamp_min(1)


class Rule(Policy):
    """One way to listen, the same for every agent and without anything learnt by gradient.

    A rule sees what its agent hears and nothing else, so it cannot know who lies; the network behind a liar
    listens by the same rule as everyone. Where the world has a teacher, everyone always asks, unless
    :meth:`asks` says otherwise. A rule that remembers anything makes it in :meth:`begin` and keeps it in
    ``memory``, tensors ``[W, …]`` by name.
    """

    world_kwargs: Mapping[str, Any] = {"actions": "targets"}

    memory = MadeInReset[TensorDict]()

    def bind(self, world: World) -> None:
        """Get to know the world.

        Raises:
            ConfigError: The world does not take targets to imitate.
        """
        super().bind(world)
        if "targets" not in world.action_space.spaces:
            raise ConfigError(
                f"the rule {type(self).__name__} needs a world made with learners='mlp' and actions='targets'"
            )

    @property
    def sources(self) -> int:
        """S, the sources of an agent."""
        return (self.world.observation_space["sources"].shape or ())[0]

    @abstractmethod
    def targets(self, talk: Talk) -> Tensor:
        """What to imitate, ``[W, N, B, C]``: distributions, or all-zero rows where there is nothing to."""

    def asks(self, talk: Talk) -> Tensor:
        """Who asks the teacher, bool ``[W, N]``."""
        return torch.ones_like(talk.elapsed, dtype=torch.bool)

    def begin(self) -> TensorDict:
        """What it remembers when an episode begins, for all worlds."""
        return {}

    def act(self, obs: TensorDict) -> TensorDict:
        """Targets for the learners, and a question to the teacher where there is one."""
        talk = Talk.of(obs)
        actions = {"targets": self.targets(talk)}
        if "ask" in self.world.action_space.spaces:
            actions["ask"] = self.asks(talk).long()
        return actions

    def reset(self, mask: Tensor | None = None) -> None:
        """Forget what was learnt of the sources in the worlds of ``mask``; the others keep every bit."""
        fresh = self.begin()
        if mask is not None:
            where = mask.to(self.world.device)
            for name, old in self.memory.items():
                fresh[name] = torch.where(where.view(-1, *[1] * (old.dim() - 1)), fresh[name], old)
        self.memory = fresh

    def state_dict(self) -> dict[str, Any]:
        """What the rule remembers."""
        return {name: tensor.clone() for name, tensor in self.memory.items()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        super().load_state_dict(saved)
        self.memory = {name: saved[name].to(old.device).clone() for name, old in self.memory.items()}


def overlap(p: Tensor, q: Tensor) -> Tensor:
    """How far two distributions agree, ``[…, C]`` to ``[…]``: Σ min(p, q), one minus total variation."""
    return torch.minimum(p, q).sum(-1)


def pick(scores: Tensor, among: Tensor) -> Tensor:
    """One for the highest score, zero for the rest; the first of equals.

    Args:
        scores: ``[W, N, S, …]``.
        among: bool of the same shape: who can be picked.

    Returns:
        float32 of the same shape, one 1 along S; all zero where nobody can be picked.
    """
    best = scores.masked_fill(~among, -torch.inf).argmax(2, keepdim=True)
    return torch.zeros_like(scores).scatter_(2, best, 1.0) * among
