"""Random bits, and numbers made of them, in plain torch: on every device, bit for bit as ``rng_numba.py`` makes them.

Normals are Box–Muller in float32. Logarithm, sine and cosine are the polynomials of the Cephes library (Moshier 1989,
``logf.c`` and ``sinf.c``), written out: only additions, multiplications, a square root and whole-number operations, in
a fixed order, each rounded as IEEE 754 says. No two machines differ in these, as they do in the functions of a
mathematical library.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from .kernels import traced

FEW = 10_000
"""Numbers that are soon made, so that what counts is how often something is called."""


def signed(value: int) -> int:
    """The int64 with the same 64 bits as ``value``."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value


GOLDEN, MIX_1, MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""Constants of splitmix64."""
_GOLDEN, _MIX_1, _MIX_2, _30, _27, _31 = map(np.uint64, (GOLDEN, MIX_1, MIX_2, 30, 27, 31))
_32, _40, _UNIT = np.uint64(32), np.uint64(40), np.float32(2.0**-24)

LOG = (
    *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
    *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
)
"""ln(1 + x) = x − x²/2 + x³ P(x) on [√½ − 1, √2 − 1]; from the highest power, as the next two."""
LN_2 = (-2.12194440e-4, 0.693359375)
"""ln 2 in two parts, of which the second is exact."""
SIN = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
"""sin x = x + x³ P(x²) on [−π/4, π/4]."""
COS = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
"""cos x = 1 − x²/2 + x⁴ P(x²) on [−π/4, π/4]."""
ROOT_HALF = 0x3F3504F3
"""The bits of √½ in float32."""
MANTISSA = 0x7FFFFF
"""The bits of a float32 behind its exponent."""
EIGHTH = math.pi / 2 * 2.0**-31
"""From odd whole numbers within ±2³⁰ to angles within ±π/4."""


def shift(x: Tensor, places: int) -> Tensor:
    """Logical right shift of int64 (torch's own is arithmetic)."""
    if by_numpy(x):
        return tensor(unsigned(x) >> np.uint64(places))
    return (x >> places).bitwise_and_((1 << (64 - places)) - 1)


def mix(x: Tensor) -> Tensor:
    """The splitmix64 finaliser, elementwise: int64 to int64, a bijection."""
    if by_numpy(x):
        return tensor(mixed(unsigned(x)))
    x = shift(x, 30).bitwise_xor_(x).mul_(signed(MIX_1))  # in place on fresh tensors: half the memory traffic
    x = shift(x, 27).bitwise_xor_(x).mul_(signed(MIX_2))
    return shift(x, 31).bitwise_xor_(x)


def by_numpy(x: Tensor) -> bool:
    """Whether numpy computes on whole numbers: of few on a CPU, it takes a fifth of the time that torch takes."""
    return (
        not torch.compiler.is_compiling()
        and x.device.type == "cpu"
        and x.dim() > 0
        and x.numel() <= FEW
        and type(x) is Tensor
        and not traced(x)
    )


def unsigned(x: Tensor) -> np.ndarray:
    """The same bits as numpy has them, uint64; shares memory."""
    return x.numpy().view(np.uint64)


def tensor(x: np.ndarray) -> Tensor:
    """The same bits as torch has them, int64; shares memory."""
    return torch.from_numpy(x.view(np.int64))


def host(counter: Tensor | int) -> np.ndarray | np.uint64:
    """A counter as numpy has it, uint64."""
    return unsigned(counter) if isinstance(counter, Tensor) else np.uint64(counter % (1 << 64))


def mixed(x: np.ndarray) -> np.ndarray:
    """:func:`mix` of uint64."""
    x = (x ^ (x >> _30)) * _MIX_1
    x = (x ^ (x >> _27)) * _MIX_2
    return x ^ (x >> _31)


def folded(key: np.ndarray, counter: np.ndarray | np.uint64) -> np.ndarray:
    """:func:`fold` of uint64."""
    return mixed((key ^ counter) + _GOLDEN)


def fold(key: Tensor, counter: Tensor | int) -> Tensor:
    """Mix a counter into keys; shapes broadcast."""
    if by_numpy(key) and (not isinstance(counter, Tensor) or by_numpy(counter)):
        return tensor(folded(unsigned(key), host(counter)))
    return mix((key ^ counter) + signed(GOLDEN))


def bits(state: Tensor, count: int) -> Tensor:
    """The first numbers of states ``[P]``, int64 ``[P, count]``."""
    if by_numpy(state) and state.numel() * count <= FEW:
        return tensor(mixed(unsigned(state)[:, None] + np.arange(count, dtype=np.uint64) * _GOLDEN))
    return mix(state[:, None] + torch.arange(count, device=state.device) * signed(GOLDEN))


def uniform(drawn: Tensor) -> Tensor:
    """Float32 in [0, 1) from the top 24 bits, a number of each draw."""
    if by_numpy(drawn):
        return torch.from_numpy((unsigned(drawn) >> _40).astype(np.float32) * _UNIT)
    return shift(drawn, 40).to(torch.float32).mul_(2.0**-24)


def below(drawn: Tensor, limit: int) -> Tensor:
    """Whether the top 24 bits are below a limit, bool."""
    if by_numpy(drawn):
        return torch.from_numpy(unsigned(drawn) >> _40 < np.uint64(limit))
    return shift(drawn, 40) < limit


def integers(drawn: Tensor, high: Tensor | int) -> Tensor:
    """int64 in [0, high) from the top 32 bits; shapes broadcast."""
    if by_numpy(drawn) and (not isinstance(high, Tensor) or by_numpy(high)):
        ends = unsigned(high) if isinstance(high, Tensor) else np.uint64(high)
        return tensor((unsigned(drawn) >> _32) * ends >> _32)
    return (shift(drawn, 32) * high).bitwise_right_shift_(32)


def order(drawn: Tensor) -> Tensor:
    """The places of each row from the one with the least number on; of equal ones, all but low bits, the first."""
    n = drawn.shape[-1]
    low = max(1, (n - 1).bit_length())
    if by_numpy(drawn):
        few = unsigned(drawn) >> np.uint64(low + 1) << np.uint64(low) | np.arange(n, dtype=np.uint64)
        return torch.from_numpy(few.argsort(-1))
    keys = (shift(drawn, low + 1) << low) | torch.arange(n, device=drawn.device)
    return keys.argsort(dim=-1)


def inverse(order: Tensor) -> Tensor:
    """The place of each entry in orders ``[…, n]``."""
    if by_numpy(order):
        return torch.from_numpy(order.numpy().argsort(-1))
    return order.argsort(dim=-1)


def normal(drawn: Tensor, count: int) -> Tensor:
    """Standard normals, float32 ``[P, count]``, of half as many draws ``[P, ⌈count/2⌉]``.

    Of each draw the top 31 bits make the radius, up to √(2 ln 2³¹) = 6.56, and the low 32 the angle. Draw i gives
    numbers i and i + ⌈count/2⌉, the last one of an odd count only the first. Given the bits, numbers are exact to a
    millionth; radii below 0.001 come in steps, since float32 has 24 bits.
    """
    radius = _log(shift(drawn, 33).bitwise_or_(1).to(torch.int32).float()).mul_(-2.0)
    # Of float32 torch's root on a CPU is not the nearest number; that of float64, rounded, is.
    radius = radius.double().sqrt_().float()
    low = drawn.to(torch.int32)
    angle = (low << 1).bitwise_and_(0x7FFFFFFE).sub_(0x3FFFFFFF).float().mul_(EIGHTH)
    square = angle * angle
    sine = _polynomial(SIN, square).mul_(square).mul_(angle).add_(angle)
    cosine = _polynomial(COS, square).mul_(square).mul_(square).sub_(0.5 * square).add_(1.0)
    cosine = torch.where(low < 0, cosine, -cosine)  # right or left; turned by 90°, up or down
    turned = (low & 0x40000000) != 0
    first, second = (
        torch.where(turned, sine, cosine).mul_(radius),
        torch.where(turned, cosine, sine).mul_(radius),
    )
    return torch.cat([first, second[:, : count - first.shape[1]]], dim=1)


def _log(x: Tensor) -> Tensor:
    """ln(x 2⁻³¹) of float32 ``x`` ≥ 1: exponent and mantissa m in [√½, √2) by whole numbers, then a polynomial."""
    beyond = x.view(torch.int32) - ROOT_HALF
    power = (beyond >> 23).sub_(31).float()
    part = beyond.bitwise_and_(MANTISSA).add_(ROOT_HALF).view(torch.float32).sub_(1.0)
    square = part * part
    tail = _polynomial(LOG, part).mul_(part).mul_(square)
    tail.add_(LN_2[0] * power).sub_(0.5 * square)
    return part.add_(tail).add_(LN_2[1] * power)


def _polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """By Horner's rule, a multiplication and an addition at a time."""
    value = (coefficients[0] * x).add_(coefficients[1])
    for coefficient in coefficients[2:]:
        value.mul_(x).add_(coefficient)
    return value
