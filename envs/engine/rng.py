"""Counter-based random numbers: every draw is a pure function of where it is needed.

A world's number for (world key, episode, step, purpose, index) is the same whoever asks, whenever, on
whatever device, alone or in a batch:

    state = mix(mix(world_key, episode, step) ^ id(purpose))        bits = mix(state + index * GOLDEN)

``mix`` is the finaliser of splitmix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014), in wrapping int64 arithmetic. A world declares its draws once (:class:`Draws`);
since each purpose hashes its own name, adding one changes no other. A :class:`Draw` is a state and a shape: numbers
are made when they are asked for, in the form in which they are asked for, and nothing of their size besides. The
global generators of torch, numpy and random are never touched.

Numbers are made in plain torch, or in bulk on a CPU by numba, which takes a thirtieth of the time. Both give the same
bits.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from . import rng_torch as plain
from .kernels import due
from .rng_torch import FEW, GOLDEN, mix, signed

DOMAINS = ("train", "eval", "demo")
"""Seed domains: equal seeds in different domains are unrelated worlds."""

_EACH = 0.08
"""Microseconds that plain torch takes longer for a number."""


def purpose_id(name: str) -> int:
    """A 64-bit id of a purpose's name, as a signed integer."""
    return signed(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big"))


def world_key(seeds: Tensor, domain: str) -> Tensor:
    """Keys of worlds from their seeds.

    Args:
        seeds: int64 ``[W]``.
        domain: One of :data:`DOMAINS`.

    Returns:
        int64 ``[W]``; equal seeds in different domains give unrelated keys.
    """
    return mix(mix(seeds + signed(GOLDEN)) ^ purpose_id(f"domain:{domain}"))


def fold(key: Tensor, *counters: Tensor | int) -> Tensor:
    """Mix counters (episode, step, learner, …) into keys, one after the other; shapes broadcast."""
    for counter in counters:
        key = plain.fold(key, counter)
    return key


class Draw:
    """Random numbers of one purpose, made when they are asked for; whoever asks twice gets the same.

    Args:
        state: int64 ``[…]``, of each world (or learner, …) one.
        shape: Of the numbers of one state.
        made: Their bits, int64 ``[P, count]``, where they are there already.

    Attributes:
        shape: Of the numbers of all states, ``[*state.shape, *shape]``.
        device: Where they are made.
    """

    def __init__(self, state: Tensor, shape: Sequence[int] = (), *, made: Tensor | None = None) -> None:
        self.shape = torch.Size([*state.shape, *shape])
        self.device = state.device
        self._state, self._count, self._made = state, math.prod(shape), made

    def bits(self) -> Tensor:
        """64-bit integers, int64."""
        loops = self._loops()
        made = loops.bits(self._states, self._count) if loops else self._bits(self._count)
        return made.view(self.shape)

    def uniform(self) -> Tensor:
        """Float32 in [0, 1) from the top 24 bits: exact."""
        loops = self._loops()
        if loops:
            return loops.uniform(self._states, self._count).view(self.shape)
        return plain.uniform(self._bits(self._count)).view(self.shape)

    def below(self, chance: float) -> Tensor:
        """True with a chance, bool: where :meth:`uniform` is below it, as a float32."""
        limit = _limit(chance)
        loops = self._loops()
        if loops:
            return loops.below(self._states, self._count, limit).view(self.shape)
        return plain.below(self._bits(self._count), limit).view(self.shape)

    def normal(self) -> Tensor:
        """Standard normals, float32 within ±6.56: Box–Muller, two of a draw (``rng_torch.normal``)."""
        loops = self._loops()
        if loops:
            return loops.normal(self._states, self._count).view(self.shape)
        return plain.normal(self._bits(-(-self._count // 2)), self._count).view(self.shape)

    def add_normal_(self, x: Tensor, scale: float) -> Tensor:
        """Add normals times a scale to ``x`` of the numbers' shape, in place; returns it."""
        loops = self._loops()
        if loops:
            loops.add_normal(self._states, x.view(-1, self._count), scale)
            return x
        return x.add_(self.normal().mul_(scale))

    def keep_(self, x: Tensor, chance: float) -> Tensor:
        """Put zero into ``x`` of the numbers' shape, in place, but where :meth:`below` is true; returns it."""
        loops = self._loops()
        if loops:
            loops.keep(self._states, x.view(-1, self._count), _limit(chance))
            return x
        return x.mul_(self.below(chance))

    def integers(self, high: Tensor | int) -> Tensor:
        """int64 in [0, high) from the top 32 bits, ``(u32 * high) >> 32``; ``0 < high <= 2**31``."""
        return plain.integers(self.bits(), high)

    def at(self, index: Tensor) -> Draw:
        """The numbers of some places alone; of these, bits and what is made of each by itself are the same.

        So not of :meth:`normal`, which makes two of a place and another.

        Args:
            index: int64 ``[1 or P, …]``: places among the flattened numbers of a state, for all P states or for each.
        """
        places = index.flatten(1)
        loops = self._due(len(self._states) * places.shape[1])
        if loops:
            return Draw(self._state, index.shape[1:], made=loops.bits_at(self._states, places))
        return Draw(self._state, index.shape[1:], made=mix(self._states[:, None] + places * signed(GOLDEN)))

    def ready(self) -> Draw:
        """The same numbers, their bits made already."""
        if self._made is not None:
            return self
        made = self.bits().view(-1, self._count)
        return Draw(self._state, self.shape[self._state.dim() :], made=made)

    def permutation(self) -> Tensor:
        """A random order of the last dimension (``n < 2**24`` entries): argsort of unique keys.

        The index sits in the low bits, so no two keys are equal and every device sorts alike.
        """
        return plain.order(self.bits())

    def ranks(self) -> Tensor:
        """The place of each entry in :meth:`permutation`."""
        return plain.inverse(self.permutation())

    @property
    def _states(self) -> Tensor:
        """The states in a row, ``[P]``."""
        return self._state.reshape(-1)

    def _bits(self, count: int) -> Tensor:
        """The first numbers of each state, ``[P, count]``, in plain torch."""
        if self._made is None:
            return plain.bits(self._states, count)
        return self._made if count == self._count else self._made[:, :count]

    def _loops(self) -> ModuleType | None:
        """What makes the numbers in one pass, where that is due."""
        return self._due(self.shape.numel()) if self._made is None else None

    def _due(self, count: int) -> ModuleType | None:
        """What makes so many numbers in one pass, where that is due."""
        return due("engine.rng_numba", self.device, _EACH * count) if count > FEW else None


def _limit(chance: float) -> int:
    """Of the 2²⁴ values of a number, how many are below a chance."""
    return math.ceil(min(max(float(np.float32(chance)), 0.0), 1.0) * 2**24)


def draw(key: Tensor, purpose: str, shape: Sequence[int]) -> Draw:
    """Random numbers for one purpose, ``[*key.shape, *shape]``, by keys int64 ``[…]``."""
    return Draw(mix(key ^ purpose_id(purpose)), shape)


def stretch(drawn: Tensor) -> Tensor:
    """Thirty-two 32-bit numbers of each draw, much cheaper than as many draws: uint32 ``[..., 32 K]``.

    Each half of a draw of ``[..., K]`` (:meth:`Draw.bits`) seeds a multiplicative congruential generator, of which
    these are the first sixteen outputs (multiplier of L'Ecuyer 1999, used by O'Neill's PCG). High bits are as good as
    they come from such a generator, low ones are not random: make floats of them. Draw anew what has to be
    independent; this is for noise in bulk.
    """
    factors = _factors(drawn.device)
    return (drawn.view(torch.int32)[..., None, :] * factors).flatten(-2).view(torch.uint32)


@functools.cache
def _factors(device: torch.device) -> Tensor:
    """Powers 0 to 15 of a 32-bit multiplier, ``[16, 1]``."""
    powers = [pow(747796405, i, 1 << 32) for i in range(16)]
    return torch.tensor(powers, device=device).to(torch.int32)[:, None]


def gumbel(chance: Tensor) -> Tensor:
    """Standard Gumbel noise of uniform numbers, float32: the one way to draw by weights here.

    Where it is added to log weights, the greatest sum is a fair draw by the weights, and the k greatest are k draws
    without replacement, each in proportion to the weights of those left (Yellott 1977; Kool, van Hoof & Welling 2019).
    """
    return -(-chance.clamp_min(2.0**-25).log()).log()


DrawDict = dict[str, Draw]
"""The draws of a step, by their purposes."""


class Draws:
    """The draws of a step (or a reset), declared once.

    Args:
        shapes: Purpose to shape per world, e.g. ``{"drop": (8, 8)}``.

    Calling it with keys ``[W]`` returns purpose to :class:`Draw` of ``[W, *shape]``, each equal to
    ``draw(key, purpose, shape)``. Few numbers are made at once, in one pass; of many only states are kept.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = dict(shapes)
        self._sizes = [math.prod(shape) for shape in self.shapes.values()]
        self._total = sum(self._sizes)
        self._layouts: dict[torch.device, tuple[Tensor, Tensor, Tensor]] = {}

    def __call__(self, key: Tensor, counter: Tensor | int | None = None) -> DrawDict:
        """Draw for keys ``[W]``, with a counter folded into them where there is one."""
        if not self.shapes:
            return {}
        few = key.shape[0] * self._total <= FEW
        numbers: Tensor | None = None
        by_numpy = few and plain.by_numpy(key)
        if counter is not None and not by_numpy:
            key = plain.fold(key, counter)
        if by_numpy:
            ids, owner, index = self._on_host
            keys = plain.unsigned(key)
            if counter is not None:
                keys = plain.folded(keys, plain.host(counter))
            host = plain.mixed(keys[:, None] ^ ids)
            state, numbers = plain.tensor(host), plain.tensor(plain.mixed(host.take(owner, axis=1) + index))
        else:
            purposes, owners, places = self._layout(key.device)
            state = mix(key[:, None] ^ purposes)  # [W, P]
            if few:
                numbers = mix(state.index_select(1, owners).add_(places))
        made = itertools.repeat(None) if numbers is None else numbers.split(self._sizes, dim=1)
        parts = zip(self.shapes.items(), state.unbind(1), made, strict=False)
        return {name: Draw(own, shape, made=numbers) for (name, shape), own, numbers in parts}

    @functools.cached_property
    def _on_host(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """:meth:`_layout` as numpy has it, ids and indices as uint64."""
        ids, owner, index = self._layout(torch.device("cpu"))
        return plain.unsigned(ids), owner.numpy(), plain.unsigned(index)

    def _layout(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Ids of the purposes; of every number, where they are few, whose it is and its index; put there once."""
        if device not in self._layouts:
            ids = torch.tensor([purpose_id(name) for name in self.shapes])
            sizes = self._sizes if self._total <= FEW else [0] * len(ids)
            owner = torch.repeat_interleave(torch.arange(len(ids)), torch.tensor(sizes))
            index = torch.cat([torch.arange(size) for size in sizes]) * signed(GOLDEN)
            self._layouts[device] = ids.to(device), owner.to(device), index.to(device)
        return self._layouts[device]
