"""Grouped expert computation: every token costs only the experts chosen for it.

Tokens are sorted by expert. Then there are two ways, which say the same:

* Buckets of one size, ``[E, C, in]``: the experts compute them in one batched product, and each token sums its
  rows, weighted. Nothing loops over experts or tokens. Going there and coming back are both gathers, forward and
  backward: each knows the other's index, so no gradient is scattered.
* On a CPU, where queues are long, the experts' functions pure, and no ``torch.func`` at work: one expert after the
  other, in the cache (:mod:`~studyhall.policies.collective.sparse`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ...envs.validation import whole
from .experts import Experts
from .sparse import Queues, mixture, pure

_LONG = 1 << 22  # multiplications from which an expert's queue is worth a turn of its own


class Order(NamedTuple):
    """The k·T assignments of each copy, sorted by expert; first choices before second ones, earlier tokens first."""

    bucket: Tensor
    """int64 ``[S, kT]``: whose turn it is, one of S·E experts, in order of expert."""
    source: Tensor
    """int64 ``[S, kT]``: which assignment it is, rank · T + token."""
    place: Tensor
    """int64 ``[S, kT]``: how many came before it to the same expert."""
    start: Tensor
    """int64 ``[S, E]``: where an expert's queue begins."""
    length: Tensor
    """int64 ``[S, E]``: how many are in it."""


def sort(chosen: Tensor, experts: int) -> Order:
    """Sort ``chosen`` ``[S, T, k]`` by expert."""
    S, T, k = chosen.shape
    ordered, source = chosen.mT.reshape(S, k * T).sort(dim=-1, stable=True)
    start = torch.searchsorted(ordered, torch.arange(experts, device=chosen.device).repeat(S, 1))
    return Order(
        bucket=ordered + experts * torch.arange(S, device=chosen.device)[:, None],
        source=source,
        place=torch.arange(k * T, device=chosen.device) - start.gather(1, ordered),
        start=start,
        length=torch.diff(start, append=start.new_full((S, 1), k * T)),
    )


class Plan(NamedTuple):
    """Where each of the k assignments of each token goes; R = S·E·C rows of all buckets."""

    row: Tensor
    """int64 ``[S·T, k]``: the row of an assignment; of a refused one that of a kept one of the same token, if any."""
    kept: Tensor
    """bool ``[S·T, k]``: whether the expert's bucket had room for it."""
    token: Tensor
    """int64 ``[R]``: whose row it is."""
    assignment: Tensor
    """int64 ``[R]``: which of the S·T·k assignments it is."""
    filled: Tensor
    """bool ``[R]``: whether it is anybody's."""


def plan(order: Order, shape: tuple[int, int, int], capacity: int | None) -> Plan:
    """Give every assignment a row of its expert's bucket.

    A bucket that is too small takes first choices before second ones, and among these the earlier token (as
    GShard does; Lepikhin et al. 2021, algorithm 1).

    Args:
        order: Of the assignments.
        shape: (S, T, k).
        capacity: Tokens an expert may take. None refuses nothing; buckets are then as large as the fullest needs,
            which has to be read on the host.
    """
    S, T, k = shape
    device = order.source.device
    size = _size(order.length, capacity)
    # From buckets to tokens: row c of expert e is the c-th after the first that chose e.
    place = torch.arange(size, device=device)
    filled = place < order.length[..., None]
    at = (order.start[..., None] + place).clamp_max(k * T - 1).view(S, -1)
    source = order.source.gather(1, at)
    rank, token = source // T, source % T
    token = token + T * torch.arange(S, device=device)[:, None]
    # From tokens to buckets: the inverse of the sort.
    row = _unsort(order.bucket * size + order.place.clamp_max(size - 1), order)
    row = row.view(S, k, T).mT.reshape(S * T, k)
    kept = _unsort(order.place < size, order).view(S, k, T).mT.reshape(S * T, k)
    # A weight of 0 does not silence a row that is not finite: it has to be one's own.
    own = row.gather(1, kept.long().argmax(-1, keepdim=True))
    return Plan(
        row=torch.where(kept, row, own),
        kept=kept,
        token=token.view(-1),
        assignment=(token * k + rank).view(-1),
        filled=filled.view(-1),
    )


def _unsort(x: Tensor, order: Order) -> Tensor:
    """Entries ``[S, kT]`` in order of expert, in order of rank and token."""
    return torch.empty_like(x).scatter_(1, order.source, x)


def queues(order: Order, shape: tuple[int, int, int], capacity: int | None) -> tuple[Queues, Tensor]:
    """The same without buckets: who is computed by whom, and which assignments are kept, bool ``[S·T, k]``."""
    S, T, k = shape
    token = order.source % T + T * torch.arange(S)[:, None]
    assignment = token * k + order.source // T
    kept = torch.ones(S * T * k, dtype=torch.bool)
    length = order.length.flatten()
    if capacity is not None:
        fits = order.place < capacity
        kept[assignment[~fits]] = False
        token, assignment, length = token[fits], assignment[fits], length.clamp_max(capacity)
    return Queues(token.flatten(), assignment.flatten(), length.tolist()), kept.view(S * T, k)


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
        nothing = experts.of_rows(
            x.repeat_interleave(experts.experts, 0)
        )  # of every expert, and part of the graph
        return nothing.reshape(S, T, experts.sizes[-1]), torch.zeros_like(chosen, dtype=torch.bool)
    order = sort(chosen, experts.experts)
    rows, flat_gates = x.reshape(S * T, -1), gates.reshape(S * T, k)
    long = chosen.numel() * _work(experts) >= _LONG * S * experts.experts
    plain = chosen.device.type == "cpu" and not torch._C._are_functorch_transforms_active()
    if long and plain and pure(experts):
        queued, kept = queues(order, (S, T, k), capacity)
        mixed = mixture(experts, rows, flat_gates, queued)
    else:
        to = plan(order, (S, T, k), capacity)
        buckets = _Gather.apply(rows, to).view(S * experts.experts, -1, x.shape[-1])
        said = experts.of_rows(buckets).flatten(0, 1)
        mixed, kept = _WeightedSum.apply(said, flat_gates.to(said.dtype), to), to.kept
    return mixed.view(S, T, -1), kept.view(S, T, k)


def _work(experts: Experts) -> int:
    """Multiplications for a row."""
    return sum(wide * out for wide, out in zip(experts.sizes, experts.sizes[1:], strict=False))


def _sum_rows(rows: Tensor, weights: Tensor, to: Plan) -> Tensor:
    """``Σⱼ weights[t, j] · rows[to.row[t, j]]`` over what was kept, in one pass; 0 of tokens that nobody took."""
    weights = weights.masked_fill(~to.kept, 0.0)
    summed = F.embedding_bag(to.row, rows, per_sample_weights=weights, mode="sum")
    return summed.masked_fill_(~to.kept.any(-1, keepdim=True), 0.0)


class _Gather(torch.autograd.Function):
    """Copy tokens into buckets; a token's gradient is the sum over its rows."""

    @staticmethod
    def forward(x: Tensor, to: Plan) -> Tensor:
        """``[S·T, in]`` to ``[R, in]``; zeros where a row is nobody's."""
        return x.index_select(0, to.token).masked_fill_(~to.filled[:, None], 0.0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Plan], output: Tensor) -> None:
        """Keep the plan."""
        ctx.plan = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """``[R, in]`` to ``[S·T, in]``."""
        return _sum_rows(gradient, torch.ones_like(ctx.plan.kept, dtype=gradient.dtype), ctx.plan), None


class _WeightedSum(torch.autograd.Function):
    """Each token's weighted sum over its rows; a row's gradient is its token's, weighted."""

    @staticmethod
    def forward(rows: Tensor, gates: Tensor, to: Plan) -> Tensor:
        """``[R, out]`` and ``[S·T, k]`` to ``[S·T, out]``."""
        return _sum_rows(rows, gates, to)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Plan], output: Tensor) -> None:
        """Keep all of it."""
        ctx.plan = inputs[2]
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients of rows and gates."""
        rows, gates = ctx.saved_tensors
        to = ctx.plan
        gradient = gradient.index_select(0, to.token)
        of_gates = torch.linalg.vecdot(rows, gradient)[to.row].masked_fill(~to.kept, 0.0)
        of_rows = gradient * gates.view(-1)[to.assignment, None]
        return of_rows.masked_fill_(~to.filled[:, None], 0.0), of_gates, None
