"""What trainings share that step all worlds themselves and count updates: through the channel, and by evolution."""

from __future__ import annotations

from ...envs.engine import World
from ...policies.registration import is_own
from .loop import Training


class UpdateTraining(Training):
    """A training of whole episodes in all worlds of a batch, one an update.

    Attributes:
        world: The batch.
    """

    world: World
    _done: int

    @property
    def timesteps(self) -> int:
        """Agent-steps made."""
        return self._done * self.per_update

    @property
    def done(self) -> int:
        """Updates made."""
        return self._done

    @property
    def per_update(self) -> int:
        """Agent-steps of an update."""
        return self.world.num_worlds * self.world.num_agents * self.world.horizon

    @property
    def own_policy(self) -> str | None:
        """``"module:Class"`` of a policy of a user's own."""
        policy = self.config.scenario.policy
        return policy if is_own(policy) else None
