"""Counter-based random numbers: every draw is a pure function of where it is needed.

A world's number for (world key, episode, step, purpose, index) is the same whoever asks, whenever, on
whatever device, alone or in a batch:

    state = mix(mix(world_key, episode, step) ^ id(purpose))        bits = mix(state + index * GOLDEN)

``mix`` is the finaliser of splitmix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014), in wrapping int64 arithmetic. A world declares its draws once (:class:`Draws`)
and one fused pass makes them all; since each purpose hashes its own name, adding one changes no other.
The global generators of torch, numpy and random are never touched.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

DOMAINS = ("train", "eval", "demo")
"""Seed domains: equal seeds in different domains are unrelated worlds."""


def _signed(value: int) -> int:
    """The int64 with the same 64 bits as ``value``."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MIX_1 = _signed(0xBF58476D1CE4E5B9)
_MIX_2 = _signed(0x94D049BB133111EB)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64 (torch's own is arithmetic)."""
    return (x >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def mix(x: Tensor) -> Tensor:
    """The splitmix64 finaliser, elementwise: int64 to int64, a bijection."""
    x = _shift(x, 30).bitwise_xor_(x).mul_(_MIX_1)  # in place on fresh tensors: half the memory traffic
    x = _shift(x, 27).bitwise_xor_(x).mul_(_MIX_2)
    return _shift(x, 31).bitwise_xor_(x)


def purpose_id(name: str) -> int:
    """A 64-bit id of a purpose's name, as a signed integer."""
    return _signed(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big"))


def world_key(seeds: Tensor, domain: str) -> Tensor:
    """Keys of worlds from their seeds.

    Args:
        seeds: int64 ``[W]``.
        domain: One of :data:`DOMAINS`.

    Returns:
        int64 ``[W]``; equal seeds in different domains give unrelated keys.
    """
    return mix(mix(seeds + _GOLDEN) ^ purpose_id(f"domain:{domain}"))


def fold(key: Tensor, *counters: Tensor | int) -> Tensor:
    """Mix counters (episode, step, learner, …) into keys, one after the other; shapes broadcast."""
    for counter in counters:
        key = mix((key ^ counter) + _GOLDEN)
    return key


def bits(key: Tensor, purpose: str, shape: Sequence[int]) -> Tensor:
    """Random 64-bit integers for one purpose: int64 ``[*key.shape, *shape]``."""
    index = torch.arange(math.prod(shape), device=key.device)
    drawn = mix(mix(key ^ purpose_id(purpose))[..., None] + index * _GOLDEN)
    return drawn.view(*key.shape, *shape)


def stretch(drawn: Tensor) -> Tensor:
    """Thirty-two 32-bit numbers of each draw, much cheaper than as many draws: uint32 ``[..., 32 K]``.

    Each half of a draw of ``[..., K]`` seeds a multiplicative congruential generator, of which these are the first
    sixteen outputs (multiplier of L'Ecuyer 1999, used by O'Neill's PCG). High bits are as good as they come from such
    a generator, low ones are not random: make floats of them. Draw anew what has to be independent; this is for
    noise in bulk.
    """
    factors = _factors(drawn.device)
    return (drawn.view(torch.int32)[..., None, :] * factors).flatten(-2).view(torch.uint32)


@functools.cache
def _factors(device: torch.device) -> Tensor:
    """Powers 0 to 15 of a 32-bit multiplier, ``[16, 1]``."""
    powers = [pow(747796405, i, 1 << 32) for i in range(16)]
    return torch.tensor(powers, device=device).to(torch.int32)[:, None]


def uniform(drawn: Tensor) -> Tensor:
    """Float32 in [0, 1) from the top 24 bits: exact, so equal on every device."""
    return _shift(drawn, 40).to(torch.float32) * 2.0**-24


def integers(drawn: Tensor, high: Tensor | int) -> Tensor:
    """int64 in [0, high) from the top 32 bits, ``(u32 * high) >> 32``; ``0 < high <= 2**31``."""
    return (_shift(drawn, 32) * high) >> 32


def normal(drawn: Tensor) -> Tensor:
    """Standard normals, float32: Box–Muller in float64 on the two 32-bit halves of each draw."""
    first = (_shift(drawn, 32).double() + 1.0) * 2.0**-32  # (0, 1]: the logarithm stays finite
    second = (drawn & 0xFFFFFFFF).double() * 2.0**-32
    return (torch.sqrt(-2.0 * torch.log(first)) * torch.cos(2.0 * math.pi * second)).float()


def gumbel(chance: Tensor) -> Tensor:
    """Standard Gumbel noise of uniform numbers, float32: the one way to draw by weights here.

    Where it is added to log weights, the greatest sum is a fair draw by the weights, and the k greatest are k draws
    without replacement, each in proportion to the weights of those left (Yellott 1977; Kool, van Hoof & Welling 2019).
    """
    return -(-chance.clamp_min(2.0**-25).log()).log()


def permutation(drawn: Tensor) -> Tensor:
    """A random order of the last dimension (``n < 2**24`` entries): argsort of unique keys.

    The index sits in the low bits, so no two keys are equal and every device sorts alike.
    """
    n = drawn.shape[-1]
    low = max(1, (n - 1).bit_length())
    keys = (_shift(drawn, low + 1) << low) | torch.arange(n, device=drawn.device)
    return keys.argsort(dim=-1)


class Draws:
    """The draws of a step (or a reset), declared once and made in one fused pass.

    Args:
        shapes: Purpose to shape per world, e.g. ``{"drop": (8, 8)}``.

    Calling it with keys ``[W]`` returns purpose to int64 bits ``[W, *shape]``, each equal to
    ``bits(key, purpose, shape)``.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = dict(shapes)
        self._sizes = [math.prod(shape) for shape in self.shapes.values()]
        self._layouts: dict[torch.device, tuple[Tensor, Tensor, Tensor]] = {}

    def __call__(self, key: Tensor) -> dict[str, Tensor]:
        """Draw for keys ``[W]``."""
        if not self.shapes:
            return {}
        names, owner, index = self._layout(key.device)
        drawn = mix(mix(key[:, None] ^ names).index_select(1, owner).add_(index))
        return {
            name: part.view(key.shape[0], *shape)
            for (name, shape), part in zip(self.shapes.items(), drawn.split(self._sizes, dim=1), strict=True)
        }

    def _layout(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Ids of the purposes; of every number whose it is, and its index; put on the device once."""
        if device not in self._layouts:
            ids = torch.tensor([purpose_id(name) for name in self.shapes])
            owner = torch.repeat_interleave(torch.arange(len(ids)), torch.tensor(self._sizes))
            index = torch.cat([torch.arange(size) for size in self._sizes]) * _GOLDEN
            self._layouts[device] = ids.to(device), owner.to(device), index.to(device)
        return self._layouts[device]
