"""Particle swarms, classic and hybrid, as policies of ``swarm-v0``."""

from __future__ import annotations

import torch
from gymnasium import spaces
from torch import Tensor

from ...envs.engine import TensorDict, World, rng
from ...envs.errors import ConfigError
from ...envs.swarm.particles import fly, pull_draws, pulls
from ..policy import Policy
from .optimiser import COGNITIVE, INERTIA, SOCIAL, coefficients


class PSO(Policy):
    """v ← w v + c₁ r₁ (pbest − x) + c₂ r₂ (guide − x), in either form of actions of ``swarm-v0``.

    Both forms fly alike: the random numbers that the world would use are a function of its keys.

    Args:
        inertia: w.
        cognitive: c₁.
        social: c₂.
    """

    def __init__(
        self, inertia: float = INERTIA, cognitive: float = COGNITIVE, social: float = SOCIAL
    ) -> None:
        self.coefficients = coefficients(inertia, cognitive, social)

    def bind(self, world: World) -> None:
        """Any world whose agents say a velocity or its coefficients.

        Raises:
            ConfigError: Another world.
        """
        super().bind(world)
        if not world.action_space.spaces.keys() & {"velocity", "coefficients"}:
            raise ConfigError(f"{type(self).__name__} flies particles: use it in swarm-v0")
        self._given = torch.tensor(self.coefficients, device=world.device)
        space = world.action_space.spaces.get("coefficients")
        if isinstance(space, spaces.Box) and any(
            c > m for c, m in zip(self.coefficients, space.high, strict=True)
        ):
            most = ", ".join(f"{m:g}" for m in space.high)
            raise ConfigError(
                f"this world takes coefficients up to {most}: give smaller ones, got {self.coefficients}"
            )

    def act(self, obs: TensorDict) -> TensorDict:
        """The next velocities, or the coefficients as they are; nobody refines."""
        w, n = self.world.num_worlds, self.world.num_agents
        if "coefficients" in self.world.action_space.spaces:
            actions = {"coefficients": self._given.expand(w, n, 3)}
        else:
            actions = {"velocity": self._velocity(obs)}
        if "refine" in self.world.action_space.spaces:
            actions["refine"] = torch.full((w, n), self.refines, device=self.world.device)
        return actions

    refines = 0
    """What everyone says to ``refine``."""

    def _velocity(self, obs: TensorDict) -> Tensor:
        x = obs["position"]
        key = rng.fold(self.world.keys, self.world.steps + 1)
        drawn = rng.draw(key, "swarm/pull", pull_draws(*x.shape[1:])).bits()
        r = pulls(drawn, *x.shape[1:])
        flight = fly(obs["velocity"], x, obs["best"], obs["guide"], r, *self.coefficients)
        return flight.clamp_(-2, 2)


class HybridPSO(PSO):
    """Each round everyone flies, then the three with the best positions descend by ten steps of rate .01.

    The world counts what these gradients cost, and writes position and value back where they led lower.

    Args:
        inertia: w.
        cognitive: c₁.
        social: c₂.
        refiners: How many descend.
        refine_steps: By how many steps.
        refine_rate: Of which rate.
    """

    refines = 1

    def __init__(
        self,
        inertia: float = INERTIA,
        cognitive: float = COGNITIVE,
        social: float = SOCIAL,
        refiners: int = 3,
        refine_steps: int = 10,
        refine_rate: float = 0.01,
    ) -> None:
        super().__init__(inertia, cognitive, social)
        self.world_kwargs = {
            "refiners": refiners,
            "refine_steps": refine_steps,
            "refine_rate": refine_rate,
        }

    def bind(self, world: World) -> None:
        """Worlds in which one may refine.

        Raises:
            ConfigError: Nobody may in this one.
        """
        super().bind(world)
        if "refine" not in world.action_space.spaces:
            raise ConfigError("HybridPSO refines the best positions: make the world with refiners=3")
        self.require(**{name: getattr(world, name) for name in self.world_kwargs})
