"""Rules that know what no agent can, from the world's secrets: what knowing it is worth, not the most there is.

They are no upper bounds. A sleeper is left out while it still tells the truth, which costs what it would have
taught; and the mean of the honest weighs the unsure like the sure, which rules that look at each row outdo.
"""

from __future__ import annotations

from torch import Tensor

from ...envs.engine.world import World
from ...envs.errors import ConfigError
from .rule import Talk
from .weights import Weighted


class Oracle(Weighted):
    """Knows the liars. Awake or not: a liar that still sleeps is left out too."""

    def secret(self, name: str) -> Tensor:
        """A secret of the world's."""
        return self.world.privileged()[name]  # type: ignore[attr-defined]

    def of_sources(self, x: Tensor) -> Tensor:
        """What is each agent's, ``[W, N, …]``, by source: ``[W, N, S, …]``."""
        return self.world.neighbours().of(x)  # type: ignore[attr-defined]

    def honest(self) -> Tensor:
        """Which sources are honest, bool ``[W, N, S]``."""
        return ~self.of_sources(self.secret("liar"))


class OracleMean(Oracle):
    """Imitate the mean of the honest sources heard."""

    def weights(self, talk: Talk) -> Tensor:
        """One for the honest."""
        return self.honest().float()


class OracleExpert(Oracle):
    """Imitate, row by row, the honest source whose classes include the row's true label.

    The mean of them where there are several; nobody where there is none. On rows where oneself is an expert of
    the class every source is ignored, other experts of it too.
    """

    def bind(self, world: World) -> None:
        """Get to know the world.

        Raises:
            ConfigError: It has no experts.
        """
        super().bind(world)
        if not hasattr(world, "experts"):
            raise ConfigError(f"the oracle {type(self).__name__} needs a world with experts: take society-v0")

    def weights(self, talk: Talk) -> Tensor:
        """One for the honest experts of each row, ``[W, N, S, B]``."""
        experts, labels = self.secret("experts"), self.secret("labels")
        knows = experts.gather(2, labels[:, None].clamp_min(0).expand(-1, experts.shape[1], -1))  # [W, N, B]
        useful = self.of_sources(knows) & self.honest()[..., None] & ~knows[:, :, None]
        return useful.float()
