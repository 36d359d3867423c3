"""Fixed choices of who learns, and what they are held against: all, few, and models that are anchored or many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...envs.engine import TensorDict, World
from ...envs.errors import ConfigError
from ...envs.validation import whole
from .bidding import Bidding


class Members(Bidding):
    """The groups of a mask learn, in every step."""

    def members(self) -> Tensor:
        """Who learns, bool ``[N]``; all."""
        return torch.ones(self.world.num_agents, dtype=torch.bool, device=self.world.device)

    def scores(self, obs: TensorDict) -> Tensor:
        """0 of who learns."""
        none = torch.full(self.members().shape, -torch.inf, device=self.world.device)
        return torch.where(self.members(), 0.0, none).expand(self.world.num_worlds, -1)


class Dense(Members):
    """All groups learn in every step, as a model usually does."""

    world_kwargs: Mapping[str, Any] = {"k": None}


class FixedGroups(Members):
    """The same groups learn in every step.

    Args:
        groups: Their numbers; group 0 holds the embeddings, the last one the output.

    Raises:
        ConfigError: They are no groups.
    """

    def __init__(self, groups: Sequence[int] = (0,)) -> None:
        if isinstance(groups, str) or not isinstance(groups, Sequence) or not groups:
            raise ConfigError(f"groups must be a list of numbers such as [0, 9], got {groups!r}")
        self.chosen = tuple(whole("each of groups", group, 0) for group in groups)
        self.world_kwargs = {"k": len(set(self.chosen))}

    def bind(self, world: World) -> None:
        """Check that there are such groups.

        Raises:
            ConfigError: There are not.
        """
        super().bind(world)
        for group in self.chosen:
            whole("each of groups", group, 0, world.num_agents - 1)

    def members(self) -> Tensor:
        """Those of ``groups``."""
        chosen = [group in self.chosen for group in range(self.world.num_agents)]
        return torch.tensor(chosen, device=self.world.device)


class Vocabulary(Members):
    """Embeddings and output learn; what composes texts rests."""

    def members(self) -> Tensor:
        """Groups of these kinds."""
        kinds = self.groups.net.kinds
        return torch.tensor([kind in ("embedding", "output") for kind in kinds], device=self.world.device)


class Partition(Bidding):
    """Groups are dealt to the domains beforehand, in turn, and learn their own alone: an oracle, told the domain."""

    world_kwargs: Mapping[str, Any] = {"k": None, "order": "class_incremental", "boundaries": "told"}

    def scores(self, obs: TensorDict) -> Tensor:
        """0 of those whose domain is on."""
        domain = obs["current_domain"]  # [W, N, D]
        owner = torch.arange(domain.shape[1], device=domain.device) % domain.shape[2]
        own = domain.gather(-1, owner[None, :, None].expand(len(domain), -1, 1))[..., 0] > 0
        return torch.where(own, 0.0, -torch.inf)


class Elastic(Dense):
    """All learn, anchored by what they knew of earlier domains (elastic weight consolidation)."""

    world_kwargs: Mapping[str, Any] = {**Dense.world_kwargs, "anchor": "ewc"}


class Columns(Dense):
    """All learn, in a model of each domain's own: an oracle, told the domain."""

    world_kwargs: Mapping[str, Any] = {**Dense.world_kwargs, "columns": True}


class Joint(Dense):
    """All learn from all domains in turn, one drawn for each slice, all alike: a reference without an order."""

    world_kwargs: Mapping[str, Any] = {
        **Dense.world_kwargs,
        "order": "topical",
        "topic_classes": 1,
        "topic_steps": 1,
    }
