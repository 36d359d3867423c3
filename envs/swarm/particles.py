"""What particles do, as functions of tensors ``[W, N, D]``: who leads them, how they fly, how they descend.

The world (`world.py`) and the optimiser and policies (`policies/swarm/`) are both made of these.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..engine import rng

UNIT = 2.0**-32
"""Of the random numbers of a flight, which are 32 bits wide."""

GRADIENT_COST = 3
"""Evaluations that a gradient counts for: a forward pass, and a backward pass of twice the work."""

Coefficient = float | Tensor


def pull_draws(particles: int, dimensions: int) -> tuple[int]:
    """Shape of the 64-bit draws that :func:`pulls` takes."""
    return (-(-2 * particles * dimensions // 32),)


def pulls(drawn: Tensor, particles: int, dimensions: int) -> Tensor:
    """The random numbers r₁ and r₂ of a flight, in units of :data:`UNIT`.

    Args:
        drawn: int64 ``[..., K]``, K from :func:`pull_draws`.
        particles: N.
        dimensions: D.

    Returns:
        uint32 ``[..., 2, N, D]``, uniform.
    """
    numbers = rng.stretch(drawn)[..., : 2 * particles * dimensions]
    return numbers.unflatten(-1, (2, particles, dimensions))


def fly(
    velocity: Tensor,
    position: Tensor,
    best: Tensor,
    guide: Tensor,
    r: Tensor,
    inertia: Coefficient,
    cognitive: Coefficient,
    social: Coefficient,
    into: tuple[Tensor, Tensor, Tensor] | None = None,
) -> Tensor:
    """The next velocity: w v + c₁ r₁ (pbest − x) + c₂ r₂ (guide − x) (Kennedy & Eberhart 1995; Shi & Eberhart 1998).

    Args:
        velocity: ``[W, N, D]``; the next three likewise.
        position: x.
        best: Best position of one's own, pbest.
        guide: Best position one heard of: gbest where all hear all, lbest on a ring.
        r: r₁ and r₂ from :func:`pulls`, uint32 ``[W, 2, N, D]``.
        inertia: w, a number or ``[W, N, 1]``; the next two likewise.
        cognitive: c₁.
        social: c₂.
        into: Memory ``[W, N, D]`` for the result, which may be that of ``velocity``, and for two tensors on the way.
    """
    flight, way, pull = into or (None, None, torch.empty_like(position))
    flight = torch.mul(velocity, inertia, out=flight)
    for numbers, target, coefficient in ((r[:, 0], best, cognitive), (r[:, 1], guide, social)):
        pull.copy_(numbers)
        way = torch.sub(target, position, out=way)
        if isinstance(coefficient, Tensor):
            flight.addcmul_(pull, way.mul_(coefficient * UNIT))
        else:
            flight.addcmul_(pull, way, value=coefficient * UNIT)
    return flight


def guides(best_value: Tensor, told: Tensor, who: Tensor) -> Tensor:
    """Who leads each: oneself, unless the best position heard of is strictly better; int64 ``[W, N]``.

    Of equals it is the first.

    Args:
        best_value: ``[W, N]``.
        told: Best values of the neighbours, ``[W, N, K]``; infinite where one was not heard.
        who: Which agents these are, int64 ``[N, K]`` or ``[W, N, K]``.
    """
    lowest = told.amin(-1)
    first = torch.where(told == lowest[..., None], who, who.shape[-2]).amin(-1)
    return torch.where(lowest < best_value, first, torch.arange(who.shape[-2], device=who.device))


def descend(
    value: Callable[[Tensor], Tensor], start: Tensor, steps: int, rate: Coefficient, limit: float = torch.inf
) -> Tensor:
    """Plain gradient descent of every particle on its own.

    Args:
        value: ``[W, K, D]`` to ``[W, K]``, differentiable.
        start: ``[W, K, D]``.
        steps: How many gradients are taken.
        rate: Step per unit of the gradient, a number or ``[W, 1, 1]``.
        limit: Coordinates stay within ±limit.

    Returns:
        ``[W, K, D]``, without a graph. A gradient that is not finite moves nothing.
    """
    with torch.inference_mode(False):
        x = start.clone()
        for _ in range(steps):
            with torch.enable_grad():
                x.requires_grad_()
                (gradient,) = torch.autograd.grad(value(x).sum(), x)
            x = (x.detach() - rate * gradient.nan_to_num(0.0, 0.0, 0.0)).clamp(-limit, limit)
    return x


def pick(index: Tensor, x: Tensor) -> Tensor:
    """Entries ``index [W, K]`` of ``x [W, N]`` or ``[W, N, D]``: ``[W, K]`` or ``[W, K, D]``."""
    return x.gather(1, index if x.dim() == 2 else index[..., None].expand(-1, -1, x.shape[-1]))


def put(x: Tensor, index: Tensor, new: Tensor, where: Tensor) -> Tensor:
    """``x`` with its entries at ``index [W, K]`` replaced by ``new`` where told (bool ``[W, K]``)."""
    old = pick(index, x)
    if x.dim() == 3:
        index, where = index[..., None].expand(new.shape), where[..., None]
    return x.scatter(1, index, torch.where(where, new, old))


FEATURES = 10
_PATIENCE = 10.0
_TINY = torch.finfo(torch.float64).tiny


def features(
    velocity: Tensor,
    to_best: Tensor,
    to_guide: Tensor,
    since: Tensor,
    guide_since: Tensor,
    leads: Tensor,
    better_heard: Tensor,
) -> Tensor:
    """How it goes, whatever the objective and its dimension; the page of ``swarm-v0`` says what each number means.

    Args:
        velocity: ``[W, N, D]``, in units of half the box; the next two likewise.
        to_best: The way to one's own best position.
        to_guide: The way to the guide's.
        since: Steps since one's own best improved, ``[W, N]``; the next three likewise.
        guide_since: Steps since the guide's value fell.
        leads: Whether one is one's own guide.
        better_heard: Share of those heard whose bests are better.

    Returns:
        float32 ``[W, N, FEATURES]`` in [−1, 1].
    """
    # The squares of small float32 numbers would vanish.
    velocity, to_best, to_guide = velocity.double(), to_best.double(), to_guide.double()
    speed, own, led = (torch.linalg.vector_norm(way, dim=-1) for way in (velocity, to_best, to_guide))
    # What is alike is made at once: in small swarms an operation costs more than its numbers.
    ages = torch.stack([since, guide_since])
    lengths = torch.stack([own, led, speed])
    near = 1 + (lengths / velocity.shape[-1] ** 0.5).clamp(1e-12, 1).log10() / 6
    ahead = torch.stack([torch.linalg.vecdot(velocity, way) for way in (to_guide, to_best)])
    ahead = ahead / torch.stack([speed * led, speed * own]).clamp_min(_TINY)
    parts = [
        (since == 0).float(),
        *(ages / (ages + _PATIENCE)).unbind(),
        leads.float(),
        better_heard,
        *near.float().unbind(),
        *ahead.float().unbind(),
    ]
    return torch.stack(parts, dim=-1).clamp(-1, 1)
