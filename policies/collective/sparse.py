"""Experts one after the other, each on just the tokens that chose it: how a CPU computes a sparse mixture.

There is no grouped product on a CPU, and none is missed: what an expert reads and writes fits into the cache, from
the gather of its tokens over all layers to the weighted sum, and the same on the way back. So no bucket is padded,
and nothing as large as all assignments together is ever written: the way back computes hidden layers anew, which
takes less time than fresh memory to keep them in. So they must be pure functions, whose derivative is written down
here: what has parameters or draws at random is refused. Few rows are better off in one batched product;
:mod:`~studyhall.policies.collective.dispatch` decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ...envs.errors import ConfigError
from ...learners import softmax
from ...learners.networks import _onednn
from .experts import Experts, lowered

Function = Callable[[Tensor], Tensor]
Layers = list[tuple[Tensor, Tensor]]


class Queues(NamedTuple):
    """The assignments that were kept, expert by expert."""

    token: Tensor
    """int64 ``[A]``: whose it is, of S·T tokens."""
    assignment: Tensor
    """int64 ``[A]``: which of the S·T·k assignments it is."""
    lengths: list[int]
    """Of the S·E queues, A in all."""


def _softmax_back(gradient: Tensor, at: Tensor, after: Tensor) -> Tensor:
    return torch.ops.aten._softmax_backward_data(gradient.mT, after.mT, -2, after.dtype).mT


_DERIVATIVES: dict[Function, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    F.gelu: lambda g, at, after: torch.ops.aten.gelu_backward.grad_input(g, at, grad_input=g),
    F.relu: lambda g, at, after: torch.ops.aten.threshold_backward(g, after, 0.0),
    torch.relu: lambda g, at, after: torch.ops.aten.threshold_backward(g, after, 0.0),
    torch.sigmoid: lambda g, at, after: torch.ops.aten.sigmoid_backward(g, after),
    torch.tanh: lambda g, at, after: torch.ops.aten.tanh_backward(g, after),
    softmax: _softmax_back,
}
"""The gradient of a function's input from that of its output, which may be overwritten, its input and its output."""


def pure(experts: Experts) -> bool:
    """Whether a :func:`mixture` of them can be computed: their functions are of those whose derivative is known."""
    used = [function for function in _functions(experts) if function is not None]
    return all(any(function is known for known in _DERIVATIVES) for function in used)


def mixture(experts: Experts, x: Tensor, gates: Tensor, queues: Queues) -> Tensor:
    """Each token's weighted sum over the experts it is queued at.

    Args:
        experts: E :func:`pure` experts, S copies in all.
        x: ``[S·T, in]``.
        gates: ``[S·T, k]``.
        queues: Who is computed by whom.

    Returns:
        ``[S·T, out]``.
    """
    return _Mixture.apply(experts, queues, *lowered(x, gates, *experts.weights, *experts.biases))


class _Mixture(torch.autograd.Function):
    """The loop over queues, forward and backward."""

    @staticmethod
    def forward(
        ctx: Any, experts: Experts, queues: Queues, x: Tensor, gates: Tensor, *parameters: Tensor
    ) -> Tensor:
        """``[S·T, in]``, ``[S·T, k]`` and the stacks of all layers to ``[S·T, out]``."""
        ctx.experts, ctx.queues = experts, queues
        ctx.save_for_backward(x, gates, *parameters)
        out = x.new_zeros(len(x), experts.sizes[-1])
        for token, gate, layers in _each(queues, gates, parameters):
            rows = x.index_select(0, token)
            for (weight, bias), function in zip(layers, _functions(experts), strict=True):
                rows = _product(rows, weight.mT, bias)
                rows = rows if function is None else function(rows)
            out.index_add_(0, token, rows.mul_(gate[:, None]))
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the inputs (if they are wanted), of the gates and of all stacks."""
        if torch.is_grad_enabled():
            raise ConfigError(
                "there are no gradients of gradients of so many tokens on a CPU: take fewer at once, or torch.func.grad"
            )
        x, gates, *parameters = ctx.saved_tensors
        experts, queues = ctx.experts, ctx.queues
        of_x = torch.zeros_like(x) if ctx.needs_input_grad[2] else None
        of_parameters = [torch.empty_like(p) for p in parameters]
        own = [layers for _, _, layers in _each(queues, gates, of_parameters)]
        of_gates = []
        for (token, gate, layers), of_layers in zip(_each(queues, gates, parameters), own, strict=True):
            rows, delta = x.index_select(0, token), gradient.index_select(0, token)
            of_gate, of_rows = _back(experts, layers, rows, delta, gate[:, None], of_layers)
            of_gates.append(of_gate)
            if of_x is not None:
                of_x.index_add_(0, token, of_rows)
        of_assignments = gates.new_zeros(gates.numel()).scatter_(0, queues.assignment, torch.cat(of_gates))
        return None, None, of_x, of_assignments.view(gates.shape), *of_parameters


def _back(
    experts: Experts, layers: Layers, rows: Tensor, delta: Tensor, gate: Tensor, of_layers: Layers
) -> tuple[Tensor, Tensor]:
    """The way back of one expert.

    Args:
        experts: All of them.
        layers: Weights and biases of this one.
        rows: Its inputs, ``[R, in]``.
        delta: Gradients of the sums that its outputs are in, ``[R, out]``.
        gate: Weights of its outputs in these, ``[R, 1]``.
        of_layers: Where the gradients of ``layers`` belong.

    Returns:
        Gradients of the gates ``[R]`` and of the inputs.
    """
    inputs, hidden = [rows], []
    for weight, bias in layers[:-1]:
        hidden.append(_product(inputs[-1], weight.mT, bias))
        inputs.append(experts.activation(hidden[-1]))
    weight, bias = layers[-1]
    if experts.final is not None:
        at = _product(inputs[-1], weight.mT, bias)
        said = experts.final(at)
        of_gate = torch.linalg.vecdot(said, delta)
        delta = _DERIVATIVES[experts.final](delta, at, said)
        back = _product(delta, weight)
    else:  # the same y · delta, where y = h W + b is not at hand, but delta Wᵀ is
        back = _product(delta, weight)
        of_gate = torch.linalg.vecdot(inputs[-1], back).add_(delta @ bias)
    delta, back = delta.mul_(gate), back.mul_(gate)
    for layer in range(len(layers) - 1, -1, -1):
        of_weight, of_bias = of_layers[layer]
        of_weight.copy_(_outer(inputs[layer], delta))
        torch.sum(delta, 0, out=of_bias)
        if layer:
            delta = _DERIVATIVES[experts.activation](back, hidden[layer - 1], inputs[layer])
            back = _product(delta, layers[layer - 1][0])
    return of_gate, back


def _functions(experts: Experts) -> list[Function | None]:
    """What follows each layer."""
    return [experts.activation] * (len(experts.sizes) - 2) + [experts.final]


def _each(
    queues: Queues, gates: Tensor, parameters: Sequence[Tensor]
) -> Iterator[tuple[Tensor, Tensor, Layers]]:
    """Of each expert: its tokens, their gates for it, and the weight and bias of its layers."""
    half = len(parameters) // 2
    stacks = [p.view(-1, *p.shape[-2:]).unbind() for p in parameters[:half]]
    stacks += [p.view(-1, p.shape[-1]).unbind() for p in parameters[half:]]
    gate = gates.reshape(-1).index_select(0, queues.assignment)
    each = zip(*(t.split(queues.lengths) for t in (queues.token, gate)), *stacks, strict=True)
    for tokens, its, *own in each:
        yield tokens, its, list(zip(own[:half], own[half:], strict=True))


def _product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """``a @ b.mT + bias``, by the faster kernel of :func:`~studyhall.learners.networks.product` at any size."""
    matrices = min(*a.shape, *b.shape) > 1 and a.dtype == b.dtype == torch.float32
    if matrices and _onednn() and torch._C._get_mkldnn_enabled():
        return torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")
    return a @ b.mT if bias is None else torch.addmm(bias, a, b.mT)


def _outer(rows: Tensor, gradient: Tensor) -> Tensor:
    """``rows.mT @ gradient``; the first operand is copied to be transposed: the narrower one, then."""
    if rows.shape[-1] <= gradient.shape[-1]:
        return _product(rows.mT, gradient.mT)
    return _product(gradient.mT, rows.mT).mT
