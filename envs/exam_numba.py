"""What ``exam.py`` makes of rows of weights, in one pass on a CPU and bit for bit.

Rows are contiguous float32 ``[…, C]``. The order in which torch adds up a row hangs on the processor and, some day, on
its version, so :func:`width` asks it.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy import float32
from torch import Tensor

from .engine.kernels import compiled

_LONGEST = 512
"""Of a row: what is longer, torch adds up in levels."""

_ZERO, _HALF, _INF = float32(0), float32(0.5), float32(np.inf)


@functools.cache
def width(classes: int) -> int:
    """How many numbers torch adds at once where it adds up rows of so many; 0 where it does so in no known order."""
    rows = torch.rand(256, classes, generator=torch.Generator().manual_seed(classes))
    expected, found = rows.sum(-1), torch.empty(256)
    for each in (4, 8, 16) if classes <= _LONGEST else ():
        _sums(rows.numpy(), found.numpy(), each)
        if torch.equal(found, expected):
            return each
    return 0


def distributions(weights: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`~studyhall.envs.exam.distributions`."""
    found = torch.empty_like(weights)
    abstained = torch.empty(weights.shape[:-1], dtype=torch.bool)
    rows = weights.shape[-1]
    given = (weights.detach().view(-1, rows), found.view(-1, rows), abstained.view(-1))
    _distributions(*(x.numpy() for x in given), width(rows))
    return found, abstained


def best(rows: Tensor) -> Tensor:
    """As :func:`~studyhall.envs.exam.best`."""
    found = torch.empty(rows.shape[:-1], dtype=torch.int64)
    _best(rows.detach().view(-1, rows.shape[-1]).numpy(), found.view(-1).numpy())
    return found


def marks(answers: Tensor, abstained: Tensor, labels: Tensor, chance: float) -> tuple[Tensor, Tensor]:
    """Scores of single answers, float32 ``[W, N, E]``, and which are correct; arguments as of ``Exam.score``."""
    score = torch.empty(answers.shape[:-1])
    correct = torch.empty(answers.shape[:-1], dtype=torch.bool)
    given = (answers.detach(), abstained.contiguous(), labels, score, correct)
    _marks(*(x.numpy() for x in given), float32(chance), width(answers.shape[-1]))
    return score, correct


@compiled
def _strided(row, first, step, count):
    """Every fourth number apart, then these."""
    a, b, c, d = _ZERO, _ZERO, _ZERO, _ZERO
    whole = count // 4 * 4
    for i in range(0, whole, 4):
        a += row[first + i * step]
        b += row[first + (i + 1) * step]
        c += row[first + (i + 2) * step]
        d += row[first + (i + 3) * step]
    for i in range(whole, count):
        a += row[first + i * step]
    return ((a + b) + c) + d


@compiled
def _sum(row, width):
    """As torch does: what fills no group of the width, then of each place in a group the numbers there."""
    count = len(row)
    if count < width:
        return _strided(row, 0, 1, count)
    groups = count // width
    total = _ZERO
    for i in range(groups * width, count):
        total += row[i]
    for place in range(width):
        total += _strided(row, place, width, groups)
    return total


@compiled
def _sums(rows, out, width):
    for r in range(len(rows)):
        out[r] = _sum(rows[r], width)


@compiled
def _distributions(rows, out, abstained, width):
    classes = rows.shape[1]
    for r in range(len(rows)):
        largest, fit = _ZERO, True
        for c in range(classes):
            value = rows[r, c]
            fit &= (value >= _ZERO) & (value < _INF)
            largest = max(largest, value)
        fit &= largest > _ZERO
        abstained[r] = not fit
        if fit:
            for c in range(classes):
                out[r, c] = rows[r, c] / largest
            total = _sum(out[r], width)
            for c in range(classes):
                out[r, c] /= total
        else:
            out[r] = _ZERO


@compiled
def _first_best(row):
    place, most = 0, row[0]
    for c in range(1, len(row)):
        if row[c] > most:
            place, most = c, row[c]
    return place


@compiled
def _best(rows, out):
    for r in range(len(rows)):
        out[r] = _first_best(rows[r])


@compiled
def _marks(answers, abstained, labels, score, correct, chance, width):
    worlds, agents, items, classes = answers.shape
    squares = np.empty(classes, float32)
    for w in range(worlds):
        for n in range(agents):
            for e in range(items):
                row, label = answers[w, n, e], labels[w, e]
                correct[w, n, e] = (not abstained[w, n, e]) & (_first_best(row) == label)
                for c in range(classes):
                    squares[c] = row[c] * row[c]
                judged = _HALF + row[label] - _HALF * _sum(squares, width)
                score[w, n, e] = chance if abstained[w, n, e] else judged
