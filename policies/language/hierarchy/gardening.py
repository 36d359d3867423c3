"""What every policy of trees of experts is: bids, and one proposal at most in each world."""

from __future__ import annotations

from abc import abstractmethod

from ....envs.engine import TensorDict, World
from ....envs.errors import ConfigError
from ....envs.language import Hierarchy
from ...policy import Policy


class Gardening(Policy):
    """Bids and proposes for all agents of a tree."""

    @property
    def garden(self) -> Hierarchy:
        """The world that this policy is bound to."""
        world = self.world
        assert isinstance(world, Hierarchy)
        return world

    def bind(self, world: World) -> None:
        """Get to know the world.

        Raises:
            ConfigError: Its agents are in no tree, or it was made otherwise than this policy needs.
        """
        super().bind(world)
        if not isinstance(world, Hierarchy):
            raise ConfigError(
                f"policy {type(self).__name__} looks after a tree of experts: make a world of hierarchy-v0"
            )
        if world.form == "discrete":
            raise ConfigError("the world takes choices, and this policy bids: make it with actions='bid'")
        self.require(
            k=world.k,
            tree=world.tree_form,
            boundaries=world.boundaries,
            actions=world.form,
            lr=world.learning.lr,
        )

    @abstractmethod
    def act(self, obs: TensorDict) -> TensorDict:
        """``bid`` ``[W, N, 1]`` and ``operation`` int64 ``[W, N]``."""
