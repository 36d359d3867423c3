"""What ``heard.py`` makes of messages, in one pass on a CPU, to rounding; no message is copied for those who heard it.

Rows are read and written with classes before samples, ``[W, N, C, B]``, as learners give them, so that samples are
computed side by side.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy import float32
from torch import Tensor

from ..engine.kernels import compiled

_ZERO, _ONE, _LEAST = float32(0), float32(1), float32(1e-12)


def mixture(rows: Tensor, index: Tensor, weights: Tensor, by_row: Tensor | None) -> Tensor:
    """As :meth:`Heard.mixture`, of weights that are 0 where nothing was heard; classes before samples in memory."""
    out = torch.empty_like(rows.mT, memory_format=torch.contiguous_format)
    each = torch.empty(1, 1, 1, 1) if by_row is None else by_row.contiguous()
    given = (rows.mT.contiguous(), _by_world(index), weights.contiguous(), each, out)
    _mixture(*(x.numpy() for x in given), by_row is not None)
    return out.mT


def likeness(rows: Tensor, index: Tensor, mask: Tensor, beliefs: Tensor) -> tuple[Tensor, Tensor]:
    """As :meth:`Heard.likeness`."""
    seen, own = torch.empty(*mask.shape, 4), torch.empty(*mask.shape[:2], 2)
    given = (rows.mT.contiguous(), _by_world(index), mask.contiguous(), beliefs.mT.contiguous(), seen, own)
    _likeness(*(x.numpy() for x in given))
    return seen, own


def _by_world(index: Tensor) -> Tensor:
    """Neighbours ``[1 or W, N, K]``."""
    return (index if index.dim() == 3 else index[None]).contiguous()


@compiled
def _mixture(rows, index, weights, each, out, by_row):
    worlds, agents, sources = weights.shape
    classes, samples = rows.shape[2:]
    total = np.empty(samples, float32)
    factor = np.empty(samples, float32)
    for w in range(worlds):
        for n in range(agents):
            mixed, whole = out[w, n], _ZERO
            mixed[:] = _ZERO
            for s in range(sources):
                weight = weights[w, n, s]
                if weight == _ZERO:
                    continue
                whole += weight
                message = rows[w, index[w % len(index), n, s]]
                for b in range(samples):
                    factor[b] = weight * each[w, n, s, b] if by_row else weight
                for c in range(classes):
                    to, said = mixed[c], message[c]
                    for b in range(samples):
                        to[b] += factor[b] * said[b]
            total[:] = _ZERO
            for c in range(classes):
                to = mixed[c]
                for b in range(samples):
                    total[b] += to[b]
            whole = min(whole, _ONE)
            for b in range(samples):
                total[b] = whole / total[b] if total[b] > _LEAST else _ZERO
            for c in range(classes):
                to = mixed[c]
                for b in range(samples):
                    to[b] *= total[b]


@compiled
def _likeness(rows, index, mask, beliefs, seen, own):
    worlds, agents, sources = mask.shape
    classes, samples = rows.shape[2:]
    told = np.empty((classes, samples), float32)
    surest, trust = np.empty(samples, float32), np.empty(samples, float32)
    with_self, with_class = np.empty(samples, float32), np.empty(samples, float32)
    for w in range(worlds):
        for n in range(agents):
            belief, near = beliefs[w, n], index[w % len(index), n]
            voices = 0
            told[:] = _ZERO
            for s in range(sources):
                if mask[w, n, s]:
                    voices += 1
                    message = rows[w, near[s]]
                    for c in range(classes):
                        to, said = told[c], message[c]
                        for b in range(samples):
                            to[b] += said[b]
            share = _ONE / float32(max(voices, 1))
            _compare(belief, belief, surest, with_self)
            _compare_rest(belief, told, share, with_class)
            own[w, n, 0], own[w, n, 1] = _mean(surest), _mean(with_class)
            _square(surest, trust)
            for c in range(classes):
                to, said = told[c], belief[c]
                for b in range(samples):
                    to[b] += said[b]
            for s in range(sources):
                if mask[w, n, s]:
                    message = rows[w, near[s]]
                    _compare(message, belief, surest, with_self)
                    _compare_others(message, told, share, with_class)
                    anchored = _ZERO
                    for b in range(samples):
                        anchored += with_self[b] * trust[b]
                    seen[w, n, s, 0], seen[w, n, s, 1] = _mean(surest), _mean(with_self)
                    seen[w, n, s, 2], seen[w, n, s, 3] = _mean(with_class), anchored
                else:
                    seen[w, n, s] = _ZERO


@compiled
def _compare(p, q, surest, common):
    """The greatest of ``p`` over classes, and what it has in common with ``q``."""
    surest[:] = p[0]
    common[:] = _ZERO
    for c in range(len(p)):
        a, b = p[c], q[c]
        for i in range(len(surest)):
            surest[i] = a[i] if a[i] > surest[i] else surest[i]
        for i in range(len(common)):
            common[i] += a[i] if a[i] < b[i] else b[i]


@compiled
def _compare_rest(p, told, share, common):
    """What ``p`` has in common with the mean of what was told."""
    common[:] = _ZERO
    for c in range(len(p)):
        a, b = p[c], told[c]
        for i in range(len(common)):
            other = b[i] * share
            common[i] += a[i] if a[i] < other else other


@compiled
def _compare_others(p, told, share, common):
    """What ``p`` has in common with the mean of what was told besides it."""
    common[:] = _ZERO
    for c in range(len(p)):
        a, b = p[c], told[c]
        for i in range(len(common)):
            other = (b[i] - a[i]) * share
            common[i] += a[i] if a[i] < other else other


@compiled
def _square(surest, trust):
    """Weights of rows: the squares of how sure one is, divided by their sum."""
    total = _ZERO
    for b in range(len(surest)):
        trust[b] = surest[b] * surest[b]
        total += trust[b]
    total = max(total, _LEAST)
    for b in range(len(trust)):
        trust[b] /= total


@compiled
def _mean(values):
    total = _ZERO
    for value in values:
        total += value
    return total / float32(len(values))
