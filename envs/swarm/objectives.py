"""What a swarm minimises: the contract of an objective, and the standard test functions.

Positions are in *units of half the search box*: every objective is searched in [−1, 1]^D, and stretches that cube to
its own box (of ±32 for ackley). One number tells how far: :meth:`Objective.scale`. What is drawn for an
episode (where the optimum lies, how the axes are turned, which items of a data set are looked at) is the
objective's *instance*, a flat dict of tensors ``[W, …]`` that the caller keeps.

=============  ======  ==================  ===========================================================
function       box     optimum at          formula, mean and sums over the D coordinates
=============  ======  ==================  ===========================================================
``sphere``     ±5.12   0                   Σ z²
``rosenbrock`` ±2.048  1                   Σ 100 (z_{d+1} − z_d²)² + (1 − z_d)²
``rastrigin``  ±5.12   0                   10 D + Σ z² − 10 cos 2πz
``ackley``     ±32     0                   20 + e − 20 exp(−.2 √mean z²) − exp(mean cos 2πz)
``griewank``   ±600    0                   1 + Σ z²/4000 − Π cos(z_d/√d)
``schwefel``   ±500    420.9687…           418.98… D − Σ z sin √|z|, and above it outside the box
=============  ======  ==================  ===========================================================

The lowest value of each is 0. Formulas and boxes: Jamil & Yang, "A literature survey of benchmark functions" (2013);
schwefel outside its box as in Liang, Qu & Suganthan, "Problem definitions … CEC 2014".
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...learners.plain import Plain
from ..engine import TensorDict, rng
from ..errors import ConfigError, one_of, short
from ..validation import afford, flag, whole


def sphere(z: Tensor) -> Tensor:
    """``[..., D]`` to ``[...]``; the others likewise."""
    return (z * z).sum(-1)


def rosenbrock(z: Tensor) -> Tensor:
    """A curved valley; needs two dimensions."""
    here, following = z[..., :-1], z[..., 1:]
    return (100 * (following - here.square()).square() + (1 - here).square()).sum(-1)


def rastrigin(z: Tensor) -> Tensor:
    """A bowl with a regular grid of deep local minima."""
    return (z.square() + 10 * (1 - torch.cos(2 * math.pi * z))).sum(-1)


def ackley(z: Tensor) -> Tensor:
    """A flat, rippled plain around a funnel."""
    norm = z.square().mean(-1).sqrt()
    ripple = torch.cos(2 * math.pi * z).mean(-1).exp()
    return 20 * (1 - torch.exp(-0.2 * norm)) + (math.e - ripple)


def griewank(z: Tensor) -> Tensor:
    """A wide bowl with fine ripples that multiply across coordinates."""
    axis = torch.arange(1, z.shape[-1] + 1, device=z.device, dtype=z.dtype).sqrt()
    return 1 + z.square().sum(-1) / 4000 - torch.cos(z / axis).prod(-1)


_SCHWEFEL_AT, _SCHWEFEL_PEAK = 420.968746359982, 418.98288727243374


def schwefel(z: Tensor) -> Tensor:
    """The optimum is far from the second best; outside ±500 the value rises instead of falling lower."""
    size = z.abs()
    folded = torch.where(size > 500, 500 - size % 500, size)
    excess = (size - 500).clamp_min(0).square() / (10_000 * z.shape[-1])
    return (_SCHWEFEL_PEAK - z.sign() * folded * folded.sqrt().sin() + excess).sum(-1)


class Shape(NamedTuple):
    """A standard function: its formula, half the width of its box, and the coordinates of its optimum."""

    formula: Callable[[Tensor], Tensor]
    radius: float
    at: float = 0.0


FUNCTIONS = {
    "sphere": Shape(sphere, 5.12),
    "rosenbrock": Shape(rosenbrock, 2.048, 1.0),
    "rastrigin": Shape(rastrigin, 5.12),
    "ackley": Shape(ackley, 32.0),
    "griewank": Shape(griewank, 600.0),
    "schwefel": Shape(schwefel, 500.0, _SCHWEFEL_AT),
}
"""The standard functions by name."""

SHIFT = 0.8
"""A shifted optimum lies anywhere within this share of the box."""


class Objective(ABC):
    """Something to be minimised over [−1, 1]^D, for W worlds at once.

    Attributes:
        dimensions: D; of an objective of your own too, as the next.
        optimum: The lowest value there is, or a bound that no value falls below: rewards and errors count from it, and
            what is lower earns nothing more.
        dtype: Of positions, unless a world asks for another.
        noisy: Whether the next step may value the same position otherwise.
    """

    dimensions: int
    optimum: float
    dtype: torch.dtype = torch.float64
    noisy: bool = False

    def reset_draws(self) -> dict[str, tuple[int, ...]]:
        """Draws for the instance of an episode."""
        return {}

    def step_draws(self) -> dict[str, tuple[int, ...]]:
        """Draws of a step."""
        return {}

    def start(self, draws: rng.DrawDict) -> TensorDict:
        """The instance of an episode, tensors ``[W, …]``."""
        return {}

    def advance(self, instance: TensorDict, draws: rng.DrawDict) -> TensorDict:
        """The instance of the next step."""
        return instance

    def scatter(self, drawn: rng.Draw) -> Tensor:
        """Where particles begin, from random numbers ``[..., D]``: anywhere in the box."""
        return 2 * drawn.uniform().to(self.dtype) - 1

    def scale(self, instance: TensorDict) -> Tensor | float:
        """Half the width of the box in the objective's own units, a number or ``[W, 1, 1]``."""
        return 1.0

    @abstractmethod
    def value(self, x: Tensor, instance: TensorDict) -> Tensor:
        """Values ``[W, N]`` of positions ``[W, N, D]``; differentiable in them."""

    def judge(self, x: Tensor, value: Tensor, instance: TensorDict) -> Tensor:
        """What positions ``[W, N, D]`` are worth to the one who pays, ``[W, N]``: their ``value``, if that is sure."""
        return value

    def report(self, x: Tensor, instance: TensorDict) -> TensorDict:
        """More metrics ``[W]`` of one position per world, ``[W, 1, D]``."""
        return {}

    def export(self, x: Tensor) -> Plain | None:
        """What a position ``[D]`` is as an ordinary module, where it is a network; else None."""
        return None


class Function(Objective):
    """A standard function in D dimensions, or several, of which each episode draws one.

    Args:
        names: Of :data:`FUNCTIONS`.
        dimensions: D.
        shifted: Put the optimum anywhere in the inner 80 % of the box; otherwise it is where the formula has it.
        rotated: Turn the coordinates around the optimum by a random rotation or reflection (Haar).
    """

    optimum = 0.0

    def __init__(
        self, names: str | Sequence[str], dimensions: int = 2, *, shifted: bool = False, rotated: bool = False
    ) -> None:
        if not isinstance(names, Sequence):
            raise ConfigError(
                f"objective must be a name, a list of names or an Objective, got {short(names)}"
            )
        listed = (names,) if isinstance(names, str) else tuple(names)
        if not listed:
            raise ConfigError("objective must name one function at least, got none")
        self.names = tuple(one_of("objective", name, [*FUNCTIONS, "network"]) for name in listed)
        if "network" in self.names:
            raise ConfigError("a list of objectives holds functions only: 'network' stands alone")
        self.dimensions = whole("dimensions", dimensions, 2 if "rosenbrock" in self.names else 1)
        self.shifted, self.rotated = flag("shifted", shifted), flag("rotated", rotated)
        if self.rotated:
            afford(1, "dimensions", rows=self.dimensions, columns=self.dimensions)

    def reset_draws(self) -> dict[str, tuple[int, ...]]:
        """Which function, where its optimum is, and how it is turned."""
        d = self.dimensions
        shapes: dict[str, tuple[int, ...]] = {}
        if len(self.names) > 1:
            shapes["objective/kind"] = ()
        if self.shifted:
            shapes["objective/centre"] = (1, d)
        if self.rotated:
            shapes["objective/rotation"] = (d, d)
        return shapes

    def start(self, draws: rng.DrawDict) -> TensorDict:
        """What there is of ``kind`` ``[W]``, ``scale`` and ``centre`` ``[W, 1, …]``, ``rotation`` ``[W, D, D]``."""
        instance = {}
        if len(self.names) > 1:
            kind = instance["kind"] = draws["objective/kind"].integers(len(self.names))
            radii = [FUNCTIONS[name].radius for name in self.names]
            instance["scale"] = torch.tensor(radii, device=kind.device, dtype=self.dtype)[kind][:, None, None]
        if self.shifted:
            instance["centre"] = SHIFT * (2 * draws["objective/centre"].uniform().to(self.dtype) - 1)
        if self.rotated:
            # The signs of the diagonal make QR unique, and Q uniform over all rotations (Mezzadri 2007).
            q, r = torch.linalg.qr(draws["objective/rotation"].normal().to(self.dtype))
            instance["rotation"] = q * r.diagonal(dim1=1, dim2=2).sign()[:, None]
        return instance

    def scale(self, instance: TensorDict) -> Tensor | float:
        """Half the width of the function's box."""
        return instance["scale"] if len(self.names) > 1 else FUNCTIONS[self.names[0]].radius

    def value(self, x: Tensor, instance: TensorDict) -> Tensor:
        """Values ``[W, N]``."""
        values = [self._one(FUNCTIONS[name], x, instance) for name in self.names]
        if len(values) == 1:
            return values[0]
        chosen = instance["kind"][:, None, None].expand(*x.shape[:2], 1)
        return torch.stack(values, dim=-1).gather(-1, chosen)[..., 0]

    def _one(self, shape: Shape, x: Tensor, instance: TensorDict) -> Tensor:
        if not instance.keys() & {"centre", "rotation"}:
            return shape.formula(x * shape.radius)
        centre = instance["centre"].to(x.dtype) if "centre" in instance else shape.at / shape.radius
        away = x - centre
        if "rotation" in instance:
            away = away @ instance["rotation"].to(x.dtype)
        return shape.formula(away * shape.radius + shape.at)
