"""Believing what sources say of themselves: that a row is theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...envs.engine.world import World
from .rule import Talk, pick
from .weights import Weighted


class LowestEnergy(Weighted):
    """Imitate, row by row, the source whose energy is the lowest, if that is below one's own; else nobody.

    A low energy claims a row. Where learners have learnt to tell their own classes from the rest (``detect`` of hosted
    worlds) the claims of the honest are nearly always right; those of a bold liar are taken at its word.
    """

    world_kwargs: Mapping[str, Any] = {**Weighted.world_kwargs, "energies": True}

    def bind(self, world: World) -> None:
        """Get to know the world.

        Raises:
            ConfigError: The world does not take targets to imitate, or no energies cross in it.
        """
        super().bind(world)
        self.require(energies=getattr(world, "energies", False))

    def weights(self, talk: Talk) -> Tensor:
        """One-hot for each row, ``[W, N, S, B]``."""
        assert talk.energies is not None
        assert talk.own_energies is not None
        return pick(-talk.energies, talk.spoke & (talk.energies < talk.own_energies[:, :, None]))
