"""The numbers of ``rng_torch.py``, bit for bit, in one pass on a CPU: nothing is kept but what is asked for.

Functions take states, int64 ``[P]`` on the CPU, and how many numbers each is to give.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy import float32, int32, uint32, uint64
from torch import Tensor

from . import rng_torch as plain
from .kernels import compiled

_GOLDEN, _MIX_1, _MIX_2 = uint64(plain.GOLDEN), uint64(plain.MIX_1), uint64(plain.MIX_2)
_LOG = tuple(float32(c) for c in plain.LOG)
_LN_2 = tuple(float32(c) for c in plain.LN_2)
_SIN = tuple(float32(c) for c in plain.SIN)
_COS = tuple(float32(c) for c in plain.COS)
_ROOT_HALF, _MANTISSA = int32(plain.ROOT_HALF), int32(plain.MANTISSA)
_EIGHTH, _UNIT = float32(plain.EIGHTH), float32(2.0**-24)
_ZERO, _HALF, _ONE, _MINUS_2 = float32(0), float32(0.5), float32(1), float32(-2)


def bits(state: Tensor, count: int) -> Tensor:
    """Random 64-bit integers, int64 ``[P, count]``."""
    return _made(_bits, state, count, torch.int64)


def bits_at(state: Tensor, places: Tensor) -> Tensor:
    """Those at some places, int64 ``[1 or P, K]``, of all states or of each: int64 ``[P, K]``."""
    out = torch.empty(len(state), places.shape[1], dtype=torch.int64)
    _bits_at(state.contiguous().numpy().view(uint64), places.contiguous().numpy(), out.numpy())
    return out


def uniform(state: Tensor, count: int) -> Tensor:
    """Numbers in [0, 1), float32 ``[P, count]``."""
    return _made(_uniform, state, count, torch.float32)


def below(state: Tensor, count: int, limit: int) -> Tensor:
    """Whether their top 24 bits are below a limit, bool ``[P, count]``."""
    return _made(_below, state, count, torch.bool, uint64(limit))


def normal(state: Tensor, count: int) -> Tensor:
    """Standard normals, float32 ``[P, count]``."""
    return _made(_normal, state, count, torch.float32)


def add_normal(state: Tensor, out: Tensor, scale: float) -> None:
    """Add standard normals times a scale to ``out``, float32 ``[P, count]``."""
    _add_normal(state.contiguous().numpy().view(uint64), out.numpy(), float32(scale))


def keep(state: Tensor, out: Tensor, limit: int) -> None:
    """Put zero into ``out``, float32 ``[P, count]``, where the top 24 bits are not below a limit."""
    _keep(state.contiguous().numpy().view(uint64), out.numpy(), uint64(limit))


def _made(
    kernel: Callable[..., Any], state: Tensor, count: int, dtype: torch.dtype, *limits: np.uint64
) -> Tensor:
    """What a kernel writes."""
    out = torch.empty(len(state), count, dtype=dtype)
    kernel(state.contiguous().numpy().view(uint64), out.numpy(), *limits)
    return out


@compiled
def _draw(state, i):
    x = state + uint64(i) * _GOLDEN
    x = (x ^ (x >> uint64(30))) * _MIX_1
    x = (x ^ (x >> uint64(27))) * _MIX_2
    return x ^ (x >> uint64(31))


@compiled
def _bits(states, out):
    for p in range(len(states)):
        state, row = states[p], out[p]
        for i in range(len(row)):
            row[i] = _draw(state, i)


@compiled
def _bits_at(states, places, out):
    for p in range(len(states)):
        state, row, own = states[p], out[p], places[p % len(places)]
        for i in range(len(row)):
            row[i] = _draw(state, own[i])


@compiled
def _uniform(states, out):
    for p in range(len(states)):
        state, row = states[p], out[p]
        for i in range(len(row)):
            row[i] = float32(int32(_draw(state, i) >> uint64(40))) * _UNIT


@compiled
def _below(states, out, limit):
    for p in range(len(states)):
        state, row = states[p], out[p]
        for i in range(len(row)):
            row[i] = _draw(state, i) >> uint64(40) < limit


@compiled
def _normal(states, out):
    count = out.shape[1]
    half = (count + 1) // 2
    for p in range(len(states)):
        state, first, second = states[p], out[p, :half], out[p, half:]
        for i in range(len(second)):
            first[i], second[i] = _pair(_draw(state, i))
        if len(second) < half:
            first[half - 1] = _pair(_draw(state, half - 1))[0]


@compiled
def _add_normal(states, out, scale):
    count = out.shape[1]
    half = (count + 1) // 2
    for p in range(len(states)):
        state, first, second = states[p], out[p, :half], out[p, half:]
        for i in range(len(second)):
            one, other = _pair(_draw(state, i))
            first[i] += one * scale
            second[i] += other * scale
        if len(second) < half:
            first[half - 1] += _pair(_draw(state, half - 1))[0] * scale


@compiled
def _keep(states, out, limit):
    for p in range(len(states)):
        state, row = states[p], out[p]
        for i in range(len(row)):
            row[i] = row[i] if _draw(state, i) >> uint64(40) < limit else _ZERO


@compiled
def _pair(drawn):
    radius = np.sqrt(_MINUS_2 * _log(int32((drawn >> uint64(33)) | uint64(1))))
    low = uint32(drawn)
    angle = float32(int32(int32((low << uint32(1)) & uint32(0x7FFFFFFE)) - int32(0x3FFFFFFF))) * _EIGHTH
    square = angle * angle
    sine = ((_SIN[0] * square + _SIN[1]) * square + _SIN[2]) * square * angle + angle
    cosine = ((_COS[0] * square + _COS[1]) * square + _COS[2]) * square * square - _HALF * square + _ONE
    cosine = cosine if low & uint32(0x80000000) else -cosine
    turned = low & uint32(0x40000000)
    return (sine if turned else cosine) * radius, (cosine if turned else sine) * radius


@compiled
def _log(x):
    beyond = int32(float32(x).view(int32) - _ROOT_HALF)
    power = float32(int32((beyond >> int32(23)) - int32(31)))
    part = int32((beyond & _MANTISSA) + _ROOT_HALF).view(float32) - _ONE
    square = part * part
    tail = _LOG[0] * part + _LOG[1]
    for c in _LOG[2:]:
        tail = tail * part + c
    tail = tail * part * square + _LN_2[0] * power - _HALF * square
    return part + tail + _LN_2[1] * power
