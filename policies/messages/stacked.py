"""Layers of several agents at once, each with weights of its own.

Inside a network, agents stand beside the features: activations are ``[..., N, D]``. Then every affine map of all
agents is one grouped product, attention takes agents for further heads, and nothing loops over them. Weights that the
agents share have a leading dimension of 1 instead of N; nothing else changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...envs.validation import afford
from .agents import Agent

_IMAGES = 16  # the fewest images of a batch that oneDNN's convolution is chosen for on one thread


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """One matrix product a group.

    Args:
        x: ``[..., G, I]``.
        weight: ``[G, I, O]``, or ``[1, I, O]`` for all groups alike.
        bias: ``[G, O]`` (or ``[1, O]``), added.

    Returns:
        ``[..., G, O]``.
    """
    rows = x.reshape(-1, *weight.shape[:2])
    if x.dtype == torch.float32 and x.device.type == "cpu" and not len(rows) % _IMAGES:
        out = _Convolution.apply(rows, weight, bias)
    elif bias is None:
        out = torch.bmm(rows.transpose(0, 1), weight).transpose(0, 1)
    else:
        out = torch.baddbmm(bias[:, None], rows.transpose(0, 1), weight).transpose(0, 1)
    return out.reshape(*x.shape[:-1], weight.shape[-1])


class _Convolution(torch.autograd.Function):
    """:func:`product` on a CPU, as a convolution of 1 × 1 pixels with G groups.

    The same float32 sums, by oneDNN's kernels: those use the full width of the vector units on processors where the
    library behind ``bmm`` does not, up to 2.3 times faster. Only the gradient of the weights is faster by ``bmm``.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """From ``[R, G, I]``, ``[G, I, O]`` and ``[G, O]`` to ``[R, G, O]``."""
        ctx.save_for_backward(x, weight)
        return _convolve(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of what :meth:`forward` was given."""
        grad, (x, weight), needed = grads[0].contiguous(), ctx.saved_tensors, ctx.needs_input_grad
        return (
            _convolve(grad, weight.mT, None) if needed[0] else None,
            torch.bmm(x.permute(1, 2, 0), grad.transpose(0, 1)) if needed[1] else None,
            grad.sum(0) if needed[2] else None,
        )


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    groups, ins, outs = weight.shape
    images = x.reshape(_IMAGES, -1, 1, groups * ins).permute(0, 3, 1, 2)  # pixels are rows: channels last
    kernels = weight.mT.reshape(groups * outs, ins, 1, 1)
    out = F.conv2d(images, kernels, None if bias is None else bias.flatten(), groups=groups)
    return out.permute(0, 2, 3, 1).reshape(-1, groups, outs)


class StackedLinear(nn.Module):
    """N affine maps, initialised as ``nn.Linear`` is: uniform within ±1/√I.

    Args:
        agents: N, or 1 for weights that all agents share.
        ins: I.
        outs: O.
        generator: Draws the initial weights.
    """

    def __init__(self, agents: int, ins: int, outs: int, generator: torch.Generator) -> None:
        super().__init__()
        afford(1, "the widths of the network", agents=agents, inputs=ins, outputs=outs)
        bound = 1.0 / math.sqrt(ins)
        self.weight = nn.Parameter(
            torch.empty(agents, ins, outs).uniform_(-bound, bound, generator=generator)
        )
        self.bias = nn.Parameter(torch.empty(agents, outs).uniform_(-bound, bound, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        """From ``[..., N, I]`` to ``[..., N, O]``."""
        return product(x, self.weight, self.bias)


class StackedLayerNorm(nn.Module):
    """N layer normalisations over the features, each with a scale and a shift of its own.

    Args:
        agents: N, or 1 for weights that all agents share.
        width: D.
    """

    def __init__(self, agents: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(agents, width))
        self.bias = nn.Parameter(torch.zeros(agents, width))

    def forward(self, x: Tensor) -> Tensor:
        """From ``[..., N, D]`` to the same shape."""
        return torch.addcmul(self.bias, F.layer_norm(x, x.shape[-1:]), self.weight)


class Alone(NamedTuple):
    """An agent, or all of them where they are alike, by itself."""

    kind: type[Agent]
    arguments: Mapping[str, Any]
    """Of the class, as JSON holds them."""
    weights: Mapping[str, Tensor]


def own_part(name: str, stack: Tensor, agent: int) -> Tensor:
    """An agent's part of stacked weights (or gradients) ``[N or 1, …]``, laid out as torch's own layers do."""
    part = stack[agent % len(stack)]
    return part.mT if name.endswith("weight") and part.dim() == 2 else part


def own_parts(network: nn.Module, agent: int) -> dict[str, Tensor]:
    """Weights of an agent by name, of a network whose weights are all stacked."""
    return {name: own_part(name, stack, agent) for name, stack in network.state_dict().items()}
