"""Particle swarms, classic and hybrid: as policies of ``swarm-v0``, and as an optimiser of any batched function.

::

    swarm = Swarm(lambda x: x.square().sum(-1), dimensions=30, particles=40, swarms=256, radius=5.12)
    swarm.run(1000)
    swarm.lowest  # [256]

Coefficients default to the documented w = .7, c₁ = c₂ = 1.5.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..envs import rng
from ..envs.errors import ConfigError
from ..envs.particles import GRADIENT_COST, descend, fly, pick, pull_draws, pulls, put
from ..envs.validation import real, whole
from ..envs.world import TensorDict, World
from .policy import Policy

INERTIA, COGNITIVE, SOCIAL = 0.7, 1.5, 1.5

_AHEAD = 1 << 14  # coordinates for which an optimiser draws at once


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
        self.coefficients = _coefficients(inertia, cognitive, social)

    def bind(self, world: World) -> None:
        """Any world whose agents say a velocity or its coefficients.

        Raises:
            ConfigError: Another world.
        """
        super().bind(world)
        if not world.action_space.spaces.keys() & {"velocity", "coefficients"}:
            raise ConfigError(f"{type(self).__name__} flies particles: use it in swarm-v0")
        self._given = torch.tensor(self.coefficients, device=world.device)

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
        drawn = rng.bits(key, "swarm/pull", pull_draws(*x.shape[1:]))
        r = pulls(drawn, x)
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


class Swarm:
    """W swarms of N particles that minimise a function, all in one tensor program; everyone hears everyone.

    Args:
        function: Positions ``[W, N, D]`` to values ``[W, N]``; differentiable if particles are to refine.
        dimensions: D.
        particles: N.
        swarms: W.
        radius: Particles begin anywhere within ±radius; they may fly out.
        start: Positions to begin at instead, ``[W, N, D]``.
        seed: Swarm w draws from seed + w, and goes the same way in any batch.
        inertia: w.
        cognitive: c₁.
        social: c₂.
        refiners: How many of the best positions of a swarm descend after each flight.
        refine_steps: By how many gradient steps.
        refine_rate: Of which rate.
        dtype: Of positions.
        device: Where they live.

    Attributes:
        position: ``[W, N, D]``; so are ``velocity`` and ``best``, everyone's best position.
        best_value: ``[W, N]``.
        iterations: Flights made.
        evaluations: Of one position, per swarm; a gradient counts as three.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        dimensions: int,
        *,
        particles: int = 20,
        swarms: int = 1,
        radius: float = 1.0,
        start: Tensor | None = None,
        seed: int = 0,
        inertia: float = INERTIA,
        cognitive: float = COGNITIVE,
        social: float = SOCIAL,
        refiners: int = 0,
        refine_steps: int = 10,
        refine_rate: float = 0.01,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        w, n, d = (
            whole("swarms", swarms, 1),
            whole("particles", particles, 1),
            whole("dimensions", dimensions, 1),
        )
        self.function = function
        self.coefficients = _coefficients(inertia, cognitive, social)
        self.refiners = whole("refiners", refiners, 0, n)
        self.refine_steps = whole("refine_steps", refine_steps, 1)
        self.refine_rate = real("refine_rate", refine_rate, 0)
        radius = real("radius", radius, 0)
        self._key = rng.world_key(whole("seed", seed, 0) + torch.arange(w, device=device), "train")
        self._draws = rng.Draws({"swarm/pull": pull_draws(n, d)})
        self._ahead = max(1, _AHEAD // (w * n * d))
        self._pulls: tuple[Tensor, Tensor]
        drawn = rng.bits(self._key, "swarm/start", (2, n, d))
        scattered = (2 * rng.uniform(drawn).to(dtype) - 1) * radius
        if start is not None and start.shape != (w, n, d):
            raise ConfigError(f"start must have shape {(w, n, d)}, got {tuple(start.shape)}")
        self.position = scattered[:, 0] if start is None else start.to(device, dtype)
        self.velocity = (scattered[:, 1] - scattered[:, 0]) / 2
        self.best, self.best_value = self.position, function(self.position)
        self.iterations, self.evaluations = 0, n

    @property
    def lowest(self) -> Tensor:
        """The lowest value each swarm has found, ``[W]``."""
        return self.best_value.amin(1)

    @property
    def solution(self) -> Tensor:
        """Where, ``[W, D]``."""
        return pick(self.best_value.argmin(1, keepdim=True), self.best)[:, 0]

    def run(self, iterations: int) -> Tensor:
        """Make iterations; returns :attr:`lowest`."""
        for _ in range(whole("iterations", iterations, 0)):
            self.step()
        return self.lowest

    @torch.no_grad()
    def step(self) -> None:
        """Everyone flies once; then, with refiners, the best descend."""
        x, r = self.position, self._pull()
        self.iterations += 1
        guide = pick(self.best_value.argmin(1, keepdim=True), self.best)
        self.velocity = fly(self.velocity, x, self.best, guide, r, *self.coefficients)
        self.position = x + self.velocity
        value = self.function(self.position)
        self.evaluations += x.shape[1]
        better = value < self.best_value
        self.best = torch.where(better[..., None], self.position, self.best)
        self.best_value = torch.where(better, value, self.best_value)
        if self.refiners:
            self._refine()

    def _pull(self) -> tuple[Tensor, Tensor]:
        """The random numbers of the coming iteration; small swarms draw those of many at once, which are the same."""
        turn, w = self.iterations % self._ahead, len(self.position)
        if turn == 0:
            coming = torch.arange(1, self._ahead + 1, device=self._key.device) + self.iterations
            drawn = self._draws(rng.fold(self._key, coming[:, None]).flatten())["swarm/pull"]
            r = pulls(drawn, self.position)
            self._pulls = r[0].unflatten(0, (-1, w)), r[1].unflatten(0, (-1, w))
        return self._pulls[0][turn], self._pulls[1][turn]

    def _refine(self) -> None:
        chosen = self.best_value.argsort(dim=1, stable=True)[:, : self.refiners]
        lower = descend(self.function, pick(chosen, self.best), self.refine_steps, self.refine_rate)
        value = self.function(lower)
        won = value < pick(chosen, self.best_value)
        self.position = put(self.position, chosen, lower, won)
        self.best = put(self.best, chosen, lower, won)
        self.best_value = put(self.best_value, chosen, value, won)
        self.evaluations += self.refiners * (1 + GRADIENT_COST * self.refine_steps)


def _coefficients(inertia: float, cognitive: float, social: float) -> tuple[float, float, float]:
    return real("inertia", inertia, 0), real("cognitive", cognitive, 0), real("social", social, 0)
