"""Grouped expert computation: every token costs only the experts chosen for it.

Tokens are sorted by expert into buckets of one size, ``[E, C, in]``; the experts compute their buckets in one
batched product; each token then sums its rows, weighted. Nothing loops over experts or tokens. Going there and
coming back are both gathers, forward and backward: each knows the other's index, so no gradient is scattered.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ...envs.validation import whole
from .experts import Experts


class Plan(NamedTuple):
    """Where each of the k assignments of each token goes; R = S·E·C rows of all buckets."""

    row: Tensor
    """int64 ``[S·T, k]``: the row of an assignment; one of its own copy's where it was refused."""
    kept: Tensor
    """bool ``[S·T, k]``: whether the expert's bucket had room for it."""
    token: Tensor
    """int64 ``[R]``: whose row it is."""
    assignment: Tensor
    """int64 ``[R]``: which of the S·T·k assignments it is."""
    filled: Tensor
    """bool ``[R]``: whether it is anybody's."""


def plan(chosen: Tensor, experts: int, capacity: int | None) -> Plan:
    """Sort tokens by expert.

    A bucket that is too small takes first choices before second ones, and among these the earlier token (as
    GShard does; Lepikhin et al. 2021, algorithm 1).

    Args:
        chosen: int64 ``[S, T, k]``: the experts of each token, distinct.
        experts: E.
        capacity: Tokens an expert may take. None refuses nothing; buckets are then as large as the fullest needs,
            which has to be read on the host.
    """
    S, T, k = chosen.shape
    ranked = chosen.mT.reshape(S, k * T)
    ordered, order = ranked.sort(dim=-1, stable=True)
    start = torch.searchsorted(ordered, torch.arange(experts, device=chosen.device).repeat(S, 1))
    count = torch.diff(start, append=start.new_full((S, 1), k * T))
    size = _size(count, capacity)
    # From buckets to tokens: row c of expert e is the c-th after the first that chose e.
    place = torch.arange(size, device=chosen.device)
    filled = place < count[..., None]
    source = (start[..., None] + place).clamp_max(k * T - 1).view(S, -1)
    source = order.gather(1, source)
    rank, token = source // T, source % T
    token = token + T * torch.arange(S, device=chosen.device)[:, None]
    # From tokens to buckets: the inverse of the sort.
    position = torch.arange(k * T, device=chosen.device) - start.gather(1, ordered)
    position = torch.empty_like(position).scatter_(1, order, position)
    bucket = ranked + experts * torch.arange(S, device=chosen.device)[:, None]
    row = bucket * size + position.clamp_max(size - 1)
    return Plan(
        row=row.view(S, k, T).mT.reshape(S * T, k),
        kept=(position < size).view(S, k, T).mT.reshape(S * T, k),
        token=token.view(-1),
        assignment=(token * k + rank).view(-1),
        filled=filled.view(-1),
    )


def _size(count: Tensor, capacity: int | None) -> int:
    """Rows of a bucket: the capacity, and on a CPU, where looking costs nothing, no more than the fullest needs."""
    if capacity is not None and count.device.type != "cpu":
        return capacity
    fullest = int(count.max())
    return fullest if capacity is None else min(capacity, fullest)


def grouped(
    experts: Experts, x: Tensor, chosen: Tensor, gates: Tensor, capacity: int | None
) -> tuple[Tensor, Tensor]:
    """``y = Σⱼ gateⱼ · expertⱼ(x)`` over each token's chosen experts.

    Args:
        experts: E experts, S copies in all.
        x: ``[S, T, in]``.
        chosen: int64 ``[S, T, k]``.
        gates: ``[S, T, k]``.
        capacity: Of each expert, in tokens, at least 1; see :func:`plan`.

    Returns:
        ``[S, T, out]``, where a refused assignment adds nothing, and which assignments were kept, bool
        ``[S, T, k]``.
    """
    S, T, k = chosen.shape
    if capacity is not None:
        whole("capacity", capacity, 1)
    if not chosen.numel():
        return x.new_zeros(S, T, experts.sizes[-1]), torch.zeros_like(chosen, dtype=torch.bool)
    to = plan(chosen, experts.experts, capacity)
    buckets = _Gather.apply(x.reshape(S * T, -1), to).view(S * experts.experts, -1, x.shape[-1])
    rows = experts.of_rows(buckets).flatten(0, 1)
    mixed = _WeightedSum.apply(rows, gates.reshape(S * T, k), to)
    return mixed.view(S, T, -1), to.kept.view(S, T, k)


def _sum_rows(rows: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """``Σⱼ weights[t, j] · rows[index[t, j]]``, in one pass."""
    return F.embedding_bag(index, rows, per_sample_weights=weights, mode="sum")


class _Gather(torch.autograd.Function):
    """Copy tokens into buckets; a token's gradient is the sum over its rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, to: Plan) -> Tensor:
        """``[S·T, in]`` to ``[R, in]``. Rows that are nobody's hold some token; no one reads their result."""
        ctx.plan = to
        return x.index_select(0, to.token)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """``[R, in]`` to ``[S·T, in]``."""
        return _sum_rows(gradient, ctx.plan.row, ctx.plan.kept.to(gradient.dtype)), None


class _WeightedSum(torch.autograd.Function):
    """Each token's weighted sum over its rows; a row's gradient is its token's, weighted."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, gates: Tensor, to: Plan) -> Tensor:
        """``[R, out]`` and ``[S·T, k]`` to ``[S·T, out]``."""
        gates = gates * to.kept
        ctx.plan = to
        ctx.save_for_backward(rows, gates)
        return _sum_rows(rows, to.row, gates)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients of rows and gates."""
        rows, gates = ctx.saved_tensors
        to = ctx.plan
        gradient = gradient.index_select(0, to.token)
        of_gates = torch.linalg.vecdot(rows, gradient)[to.row] * to.kept
        weight = gates.view(-1)[to.assignment] * to.filled
        return gradient.mul_(weight[:, None]), of_gates, None
