"""Many perceptrons of one shape as stacked weights: the specialists of every collective.

Weights are ``[*copies, E, in, out]``: E experts, and before them the shape of the key, one independent copy of the
whole for each key. Initial weights are a function of the key alone, so an expert is the same whatever batch of
copies it is in, and no global generator is touched.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...envs.engine import rng
from ...envs.errors import ConfigError
from ...envs.validation import afford, whole
from ...learners.networks import product

Activation = Callable[[Tensor], Tensor]


def as_keys(key: Tensor | int) -> Tensor:
    """Keys of the copies of a layer: int64 of any shape, or a whole number as the seed of one layer.

    Raises:
        ConfigError: Neither of the two.
    """
    if isinstance(key, Tensor):
        if key.dtype != torch.int64:
            raise ConfigError(f"key must be an int64 tensor or a whole number, got a tensor of {key.dtype}")
        return key
    return rng.world_key(torch.tensor(whole("key", key, 0, 2**62)), "train")


def uniform_parameter(keys: Tensor, purpose: str, shape: Sequence[int], fan_in: int) -> nn.Parameter:
    """A parameter ``[*keys.shape, *shape]`` drawn as ``nn.Linear`` draws: uniform in ±1/√fan_in."""
    afford(keys.numel(), "the widths of the network", weights=math.prod(shape))
    drawn = rng.draw(keys, f"init:{purpose}", shape).uniform()
    return nn.Parameter((drawn * 2.0 - 1.0) * fan_in**-0.5)


class Experts(nn.Module):
    """E perceptrons of one shape, each with weights of its own.

    Args:
        experts: E.
        sizes: Width of the input, of each hidden layer, and of the output.
        key: int64 keys ``[*copies]``, one independent copy of all E experts for each; or a seed, for one copy.
        activation: After each hidden layer.
        final: After the last layer; None leaves it linear.

    Attributes:
        weights: ``[*copies, E, in, out]``, one a layer.
        biases: ``[*copies, E, out]``, one a layer.
        copies: Shape of the key.

    Raises:
        ConfigError: No expert, fewer than two sizes, or one below 1.
    """

    def __init__(
        self,
        experts: int,
        sizes: Sequence[int],
        *,
        key: Tensor | int,
        activation: Activation = F.gelu,
        final: Activation | None = None,
    ) -> None:
        super().__init__()
        self.experts = whole("experts", experts, 1)
        self.sizes = tuple(whole("each width in sizes", size, 1) for size in sizes)
        if len(self.sizes) < 2:
            raise ConfigError(f"sizes must be two or more widths, the input's first, got {list(sizes)}")
        self.activation, self.final = activation, final
        keys = as_keys(key)
        self.copies = tuple(keys.shape)
        each = rng.fold(
            (keys ^ rng.purpose_id("expert"))[..., None], torch.arange(experts, device=keys.device)
        )
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for layer, (wide, out) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            self.weights.append(uniform_parameter(each, f"{layer}.weight", (wide, out), wide))
            self.biases.append(uniform_parameter(each, f"{layer}.bias", (out,), wide))

    def forward(self, x: Tensor) -> Tensor:
        """What every expert says of every sample.

        Args:
            x: ``[*copies, *batch, in]``.

        Returns:
            ``[*copies, E, *batch, out]``.

        Raises:
            ConfigError: A shape that does not fit.
        """
        rows, batch = flatten(x, self.copies, self.sizes[0])
        return self.of_all(rows).view(*self.copies, self.experts, *batch, self.sizes[-1])

    def alone(self, copy: int) -> dict[str, Tensor]:
        """Weights of one copy's experts by name, ``0.0.weight`` and so on, as torch's own layers have them."""
        found: dict[str, Tensor] = {}
        for layer, pair in enumerate(zip(self.weights, self.biases, strict=True)):
            weight, bias = (each.detach().flatten(0, len(self.copies) - 1)[copy] for each in pair)
            for expert in range(self.experts):
                found |= {
                    f"{expert}.{2 * layer}.weight": weight[expert].mT,
                    f"{expert}.{2 * layer}.bias": bias[expert],
                }
        return found

    def of_all(self, rows: Tensor) -> Tensor:
        """What each expert says of every row of its copy: ``[S, M, in]`` to ``[S, E, M, out]``, S copies in all."""
        shared = rows[:, None].expand(-1, self.experts, -1, -1).flatten(0, 1)
        return self.of_rows(shared).unflatten(0, (len(rows), self.experts))

    def of_rows(self, rows: Tensor) -> Tensor:
        """What each expert says of rows of its own: ``[S·E, R, in]`` to ``[S·E, R, out]``."""
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if layer:
                rows = self.activation(rows)
            stacks = weight.view(-1, *weight.shape[-2:]), bias.view(-1, bias.shape[-1])
            rows = _GroupedLinear.apply(*lowered(rows, *stacks))
        return rows if self.final is None else self.final(rows)


def lowered(*tensors: Tensor) -> tuple[Tensor, ...]:
    """What a product is of: under autocast in its precision, as it is otherwise."""
    device = tensors[0].device.type
    if not _autocast(device):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype(device)) for tensor in tensors)


def in_full(device: torch.device) -> contextlib.AbstractContextManager:
    """Within it products have the precision of what they are of, under autocast too."""
    if not _autocast(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


def _autocast(device: str) -> bool:
    """Whether it is on; PyTorch will not be asked of devices that have none."""
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def widths(inputs: int, hidden: int | Sequence[int], outputs: int) -> tuple[int, ...]:
    """Sizes of a perceptron with one hidden layer, or one for each of several widths."""
    return (inputs, *(hidden if isinstance(hidden, Sequence) else [hidden]), outputs)


def flatten(x: Tensor, copies: tuple[int, ...], width: int) -> tuple[Tensor, tuple[int, ...]]:
    """Inputs ``[*copies, *batch, width]`` as ``[S, M, width]``, and the shape of the batch.

    Raises:
        ConfigError: Other leading dimensions than the copies', or another width.
    """
    lead = len(copies)
    if x.ndim <= lead or tuple(x.shape[:lead]) != copies or x.shape[-1] != width:
        wanted = ", ".join([*map(str, copies), "…", str(width)])
        raise ConfigError(f"inputs must be [{wanted}], got {list(x.shape)}")
    batch = tuple(x.shape[lead:-1])
    return x.reshape(math.prod(copies), math.prod(batch), width), batch


class _GroupedLinear(torch.autograd.Function):
    """``rows @ weight + bias`` for G groups of rows at once.

    Autograd would do the same with ``torch.baddbmm``; written out, both passes use the fastest product there is
    (see :func:`~studyhall.learners.networks.product`), which on some CPUs is twice as fast.
    """

    @staticmethod
    def forward(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """``[G, R, in]``, ``[G, in, out]``, ``[G, out]`` to ``[G, R, out]``."""
        return product(rows, weight.mT).add_(bias[:, None])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        """Keep rows and weights."""
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        """Gradients of the three; the rows' only if they are wanted."""
        rows, weight = ctx.saved_tensors
        of_rows = product(gradient, weight) if ctx.needs_input_grad[0] else None
        # The first operand is copied to be transposed: the narrower one, then.
        if rows.shape[-1] <= gradient.shape[-1]:
            of_weight = product(rows.mT, gradient.mT)
        else:
            of_weight = product(gradient.mT, rows.mT).mT.contiguous()
        return of_rows, of_weight, gradient.sum(1)
