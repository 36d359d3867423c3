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

_ZERO, _HALF = float32(0), float32(0.5)


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
    """As :func:`~studyhall.envs.exam.best`; where classes are before samples in memory, these are done side by side."""
    found = torch.empty(rows.shape[:-1], dtype=torch.int64)
    classes = rows.shape[-1]
    if rows.dim() > 1 and rows.mT.is_contiguous() and not rows.is_contiguous():
        columns = rows.detach().mT.view(-1, classes, rows.shape[-2])
        _best_columns(columns.numpy(), found.view(len(columns), -1).numpy())
    else:
        _best(rows.detach().reshape(-1, classes).numpy(), found.view(-1).numpy())
    return found


def marks(answers: Tensor, abstained: Tensor, labels: Tensor, chance: float) -> tuple[Tensor, Tensor]:
    """Scores of single answers, float32 ``[W, N, E]``, and which are correct; arguments as of ``Exam.score``."""
    _, agents, _, classes = answers.shape
    score = torch.empty(answers.shape[:-1])
    correct = torch.empty(answers.shape[:-1], dtype=torch.bool)
    flat = (abstained.reshape(-1), labels, score.view(-1), correct.view(-1))
    given = (answers.detach().view(-1, classes), *flat)
    _marks(*(x.numpy() for x in given), float32(chance), width(classes), agents)
    return score, correct


@compiled
def _short(classes, width):
    """Whether rows fill one group, as those of ten classes do."""
    return width <= classes < 2 * width


@compiled
def _short_sum(rows, r, width):
    """Of one row, as torch adds: what fills no group of the width, then the numbers of the group."""
    total = _ZERO
    for c in range(width, rows.shape[1]):
        total += rows[r, c]
    for c in range(width):
        total += rows[r, c]
    return total


@compiled
def _long_sum(rows, r, width):
    """Likewise of many groups: of each place in them, every fourth number apart."""
    count, total = rows.shape[1], _ZERO
    if count < width:
        width = 1
    groups = count // width
    for c in range(groups * width, count):
        total += rows[r, c]
    whole = groups // 4 * 4
    for place in range(width):
        one, two, three, four = _ZERO, _ZERO, _ZERO, _ZERO
        for i in range(place, place + whole * width, 4 * width):
            one += rows[r, i]
            two += rows[r, i + width]
            three += rows[r, i + 2 * width]
            four += rows[r, i + 3 * width]
        for i in range(place + whole * width, place + groups * width, width):
            one += rows[r, i]
        total += ((one + two) + three) + four
    return total


@compiled
def _sums(rows, out, width):
    short = _short(rows.shape[1], width)
    for r in range(len(rows)):
        out[r] = _short_sum(rows, r, width) if short else _long_sum(rows, r, width)


@compiled
def _distributions(rows, out, abstained, width):
    count, classes = rows.shape
    short = _short(classes, width)
    for r in range(count):
        largest, least, fault = _ZERO, _ZERO, _ZERO
        for c in range(classes):
            value = rows[r, c]
            largest = value if value > largest else largest
            least = value if value < least else least
            fault += value - value  # not 0 where a number is not finite
        abstains = not (largest > _ZERO and least == _ZERO and fault == _ZERO)
        abstained[r] = abstains
        if abstains:
            for c in range(classes):
                out[r, c] = _ZERO
        else:
            for c in range(classes):
                out[r, c] = rows[r, c] / largest
            total = _short_sum(out, r, width) if short else _long_sum(out, r, width)
            for c in range(classes):
                out[r, c] /= total


@compiled
def _first_best(rows, r):
    place, most = 0, rows[r, 0]
    for c in range(1, rows.shape[1]):
        value = rows[r, c]
        if value > most:
            place, most = c, value
    return place


@compiled
def _best(rows, out):
    for r in range(len(rows)):
        out[r] = _first_best(rows, r)


@compiled
def _best_columns(columns, out):
    groups, classes, samples = columns.shape
    most = np.empty(samples, float32)
    for g in range(groups):
        place = out[g]
        place[:] = 0
        most[:] = columns[g, 0]
        for c in range(1, classes):
            row = columns[g, c]
            for i in range(samples):
                place[i] = c if row[i] > most[i] else place[i]
            for i in range(samples):
                most[i] = row[i] if row[i] > most[i] else most[i]


@compiled
def _marks(rows, abstained, labels, score, correct, chance, width, agents):
    classes, items = rows.shape[1], labels.shape[1]
    short = _short(classes, width)
    squares = np.empty((1, classes), float32)
    for r in range(len(rows)):
        if abstained[r]:
            score[r], correct[r] = chance, False
        else:
            label = labels[r // (items * agents), r % items]
            for c in range(classes):
                squares[0, c] = rows[r, c] * rows[r, c]
            total = _short_sum(squares, 0, width) if short else _long_sum(squares, 0, width)
            score[r] = _HALF + rows[r, label] - _HALF * total
            correct[r] = _first_best(rows, r) == label
