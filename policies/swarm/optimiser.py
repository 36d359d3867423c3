"""Particle swarms, classic and hybrid, as an optimiser of any batched function.

::

    swarm = Swarm(lambda x: x.square().sum(-1), dimensions=30, particles=40, swarms=256, radius=5.12)
    swarm.run(1000)
    swarm.lowest  # [256]

Coefficients default to the documented w = .7, c₁ = c₂ = 1.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ...envs.engine import rng
from ...envs.errors import ConfigError
from ...envs.swarm.particles import GRADIENT_COST, descend, fly, pick, pull_draws, pulls, put
from ...envs.validation import LAST_SEED, afford, real, whole

INERTIA, COGNITIVE, SOCIAL = 0.7, 1.5, 1.5

_TOGETHER = 1 << 17  # coordinates of the swarms that fly together on a CPU: few enough to stay in its cache
_DRAWN_AHEAD, _PULLED_AHEAD = (
    1 << 20,
    1 << 16,
)  # coordinates for which an optimiser draws, and makes numbers, at once


class Swarm:
    """W swarms of N particles that minimise a function, all in one tensor program; everyone hears everyone.

    Args:
        function: Positions ``[S, N, D]`` of S swarms at a time to values ``[S, N]``; differentiable if particles
            are to refine. The positions are overwritten later.
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
        together: How many swarms S fly at a time, all iterations of a run before the next. None: as many as a
            CPU's cache holds, and all on other devices.
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
        together: int | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        w, n, d = (
            whole("swarms", swarms, 1),
            whole("particles", particles, 1),
            whole("dimensions", dimensions, 1),
        )
        afford(w, "particles or dimensions", particles=n, dimensions=d)
        self.function = function
        self.coefficients = coefficients(inertia, cognitive, social)
        self.refiners = whole("refiners", refiners, 0, n)
        self.refine_steps = whole("refine_steps", refine_steps, 1)
        self.refine_rate = real("refine_rate", refine_rate, 0)
        radius = real("radius", radius, 0)
        if together is None:
            blocks = -(-w * n * d // _TOGETHER) if torch.device(device).type == "cpu" else 1
            together = -(-w // blocks)
        self.together = whole("together", together, 1)
        self._key = rng.world_key(whole("seed", seed, 0, LAST_SEED) + torch.arange(w, device=device), "train")
        drawn = rng.draw(self._key, "swarm/start", (2, n, d))
        scattered = (2 * drawn.uniform().to(dtype) - 1) * radius
        if start is not None and start.shape != (w, n, d):
            raise ConfigError(f"start must have shape {(w, n, d)}, got {tuple(start.shape)}")
        self.position = scattered[:, 0] if start is None else start.to(device, dtype)
        self.velocity = (scattered[:, 1] - scattered[:, 0]) / 2
        self.best = self.position
        self.best_value = torch.cat([self._value(x) for x in self.position.split(self.together)])
        self.iterations, self.evaluations = 0, n

    def _value(self, x: Tensor) -> Tensor:
        """Values ``[S, N]`` of positions ``[S, N, D]``; what is no number counts as the worst."""
        s, n, d = x.shape
        value = self.function(x)
        given = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        if given != (s, n):
            raise ConfigError(
                f"function must value positions [S, {n}, {d}] as a tensor [S, {n}], got {given}"
            )
        return value.nan_to_num(torch.inf, torch.inf)

    @property
    def lowest(self) -> Tensor:
        """The lowest value each swarm has found, ``[W]``."""
        return self.best_value.amin(1)

    @property
    def solution(self) -> Tensor:
        """Where, ``[W, D]``."""
        return pick(self.best_value.argmin(1, keepdim=True), self.best)[:, 0]

    def step(self) -> None:
        """One iteration. Many at once, by :meth:`run`, take less time each."""
        self.run(1)

    @torch.no_grad()
    def run(self, iterations: int) -> Tensor:
        """In each iteration everyone flies once; then, with refiners, the best descend. Returns :attr:`lowest`."""
        whole("iterations", iterations, 0)
        state = (self._key, self.position, self.velocity, self.best, self.best_value)
        blocks = zip(*(part.split(self.together) for part in state), strict=True)
        flown = zip(*(self._run(iterations, *block) for block in blocks), strict=True)
        self.position, self.velocity, self.best, self.best_value = map(torch.cat, flown)
        cost = self.refiners * (1 + GRADIENT_COST * self.refine_steps)
        self.evaluations += iterations * (self.position.shape[1] + cost)
        self.iterations += iterations
        return self.lowest

    def _run(
        self, iterations: int, key: Tensor, position: Tensor, velocity: Tensor, best: Tensor, lowest: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """So many iterations of a few swarms, in memory of their own: fresh pages would cost more than flying."""
        places = torch.stack((best, position))
        best, x = places
        v, way, pull = velocity.clone(), torch.empty_like(x), torch.empty_like(x)
        rows, found = places.flatten(0, -2), way.flatten(0, 1)
        row_of_best = torch.arange(len(found), device=x.device)
        for r in self._pulls(key, iterations, *x.shape):
            guide = pick(lowest.argmin(1, keepdim=True), best)
            x.add_(fly(v, x, best, guide, r, *self.coefficients, into=(v, way, pull)))
            value = self._value(x)
            better = value < lowest
            lowest = torch.minimum(value, lowest)
            # A gather of whole rows: several times as fast as torch.where with a mask of rows.
            row = row_of_best.add(better.view(-1), alpha=len(found))
            best.copy_(torch.index_select(rows, 0, row, out=found).view_as(best))
            if self.refiners:
                lowest = self._refine(x, best, lowest)
        return x, v, best, lowest

    def _pulls(self, key: Tensor, iterations: int, w: int, n: int, d: int) -> Iterator[Tensor]:
        """The random numbers of the coming iterations; small swarms get those of many at once."""
        draws, numbers = (max(1, size // (w * n * d)) for size in (_DRAWN_AHEAD, _PULLED_AHEAD))
        coming = torch.arange(1, iterations + 1, device=key.device) + self.iterations
        for turns in coming.split(draws):
            drawn = rng.draw(rng.fold(key, turns[:, None]), "swarm/pull", pull_draws(n, d)).bits()
            for part in drawn.split(numbers):
                yield from pulls(part, n, d)

    def _refine(self, position: Tensor, best: Tensor, lowest: Tensor) -> Tensor:
        """Positions and bests where descending led lower are overwritten; returns the bests' values."""
        chosen = lowest.argsort(dim=1, stable=True)[:, : self.refiners]
        found = descend(self.function, pick(chosen, best), self.refine_steps, self.refine_rate)
        value = self._value(found)
        won = value < pick(chosen, lowest)
        position.copy_(put(position, chosen, found, won))
        best.copy_(put(best, chosen, found, won))
        return put(lowest, chosen, value, won)


def coefficients(inertia: float, cognitive: float, social: float) -> tuple[float, float, float]:
    """w, c₁ and c₂ as numbers.

    Raises:
        ConfigError: One is none, or negative.
    """
    return real("inertia", inertia, 0), real("cognitive", cognitive, 0), real("social", social, 0)
