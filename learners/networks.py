"""A network described once, and computed for many learners at a time.

:class:`Network` is what a population asks of an architecture; :class:`MLP` is the one written out by hand, and
:class:`~studyhall.learners.modules.ModuleNetwork` makes one of any module.

An :class:`MLP` holds no weights. Its parameters are *stacks* ``[P, …]``, one slice a learner, in PyTorch's
layout: weights ``[P, out, in]``, biases ``[P, out]``. Activations run with the samples last, ``[P, out, M]``.
Then a first layer over an input that learners share is one product, ``[P·out, in] @ [in, M]``, whose result
already is the next layer's operand, and so is its gradient; no transpose is ever copied.

The backward pass is written out: it is as short as the forward pass, and lets the wide products use a kernel
that autograd does not know.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ..envs.engine import rng
from .dropout import VALUES, draw, threshold

_DRAWS_AT_ONCE = 1 << 22  # bounds the scratch memory of an initialisation
_WIDE = 1 << 23  # floating-point operations from which a product is worth a call of its own


class Block(NamedTuple):
    """Learners in a row, and what they see."""

    parameters: Sequence[Tensor]
    """Their stacks ``[P, …]``."""
    x: Tensor
    """Flat inputs ``[G, M, D]``, each shared by P/G consecutive learners."""
    statistics: Sequence[Tensor] = ()
    """Stacks ``[P, …]`` of what their network keeps beside parameters."""
    learning: Tensor | None = None
    """Who learns, bool ``[P]``: the statistics of the others stay as they are. None is everyone."""


class Network(Protocol):
    """An architecture: parameters are stacks ``[P, …]`` kept elsewhere, computed for P learners at a time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample, ``D…``."""

    @property
    def classes(self) -> int:
        """Classes C."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name to shape of one learner's parameters, in the order of the stacks."""

    @property
    def num_parameters(self) -> int:
        """Parameters of one learner."""

    @property
    def statistics(self) -> Mapping[str, Tensor]:
        """What a fresh learner keeps beside parameters: running means of batch norm and the like, by name."""

    @property
    def made_on_host(self) -> bool:
        """Whether :meth:`init` makes the parameters of one learner after the other on the host."""

    def looped(self, rows: int) -> bool:
        """Whether a CPU computes learners one after the other on M rows: who does not learn costs nothing then."""

    def init(self, keys: Tensor) -> list[Tensor]:
        """Initial stacks ``[P, *shape]`` for keys ``[P]``; a learner's depend on its own key only."""

    def masks(self, keys: Tensor, rows: int) -> Sequence[Tensor] | None:
        """Dropout masks for M rows and keys ``[P]``; None where nothing is dropped."""

    def logits(
        self,
        parameters: Sequence[Tensor],
        x: Tensor,
        masks: Sequence[Tensor] | None = None,
        statistics: Sequence[Tensor] = (),
    ) -> Tensor:
        """Logits ``[P, M, C]`` of flat inputs ``[G, M, D]``, each shared by P/G consecutive learners.

        Differentiable in ``x`` if that asks for it, not in the parameters.
        """

    def forward(self, blocks: Sequence[Block], masks: Sequence[Tensor] | None = None) -> tuple[Tensor, Any]:
        """Logits ``[K, M, C]`` of all the blocks' learners for learning, and what :meth:`backward` wants saved.

        Brings the statistics of those who learn up to date, in place.
        """

    def backward(
        self,
        blocks: Sequence[Block],
        saved: Any,
        gradient: Tensor,
        masks: Sequence[Tensor] | None = None,
    ) -> Iterator[Sequence[Tensor | None]]:
        """Gradients of the stacks, block by block, from the gradient ``[K, M, C]`` of the logits.

        None is of parameters that are not trained. Who asks for the next block has used the last one: the parameters
        may change in between.
        """

    def module(self) -> nn.Module:
        """The same network as an ordinary module, its parameters in the order of the stacks."""


@dataclass(frozen=True)
class MLP:
    """A perceptron: linear layers, with ReLU and dropout after each hidden one.

    Args:
        sizes: Width of the input, of each hidden layer, and of the output.
        dropout: Probability with which a hidden unit is dropped in training. It is realised to 1/65536, and
            kept units are scaled by the realised probability.

    Raises:
        ValueError: Fewer than two sizes, a size below one, or a dropout outside ``[0, 1)``.
    """

    made_on_host: ClassVar[bool] = False
    statistics: ClassVar[Mapping[str, Tensor]] = MappingProxyType({})
    sizes: tuple[int, ...] = (784, 128, 64, 10)
    dropout: float = 0.2

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", tuple(int(size) for size in self.sizes))
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise ValueError(f"sizes must be two or more positive widths, got {self.sizes}")
        if not 0.0 <= self.dropout < 1.0 or self._threshold == VALUES:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample: its width."""
        return self.sizes[:1]

    @property
    def classes(self) -> int:
        """Classes C."""
        return self.sizes[-1]

    @property
    def num_parameters(self) -> int:
        """Parameters of one learner."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @functools.cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name to shape of one learner's parameters: ``"0.weight"`` is ``(out, in)`` of the first layer."""
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, (fan_in, fan_out) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            shapes |= {f"{layer}.weight": (fan_out, fan_in), f"{layer}.bias": (fan_out,)}
        return shapes

    def looped(self, rows: int) -> bool:
        """False: perceptrons are computed together."""
        return False

    def module(self) -> nn.Sequential:
        """The same network as an ordinary module, with PyTorch's own initial weights."""
        layers: list[nn.Module] = [nn.Flatten()]
        for fan_in, fan_out in zip(self.sizes, self.sizes[1:], strict=False):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU(), nn.Dropout(self.dropout)]
        return nn.Sequential(*layers[:-2])

    def init(self, keys: Tensor) -> list[Tensor]:
        """Initial parameters, distributed as ``nn.Linear``'s: uniform in ±1/√fan_in, biases too.

        Args:
            keys: int64 ``[P]``. A learner's parameters depend on its own key only, bit for bit.

        Returns:
            Stacks ``[P, *shape]``, in the order of :attr:`shapes`.
        """
        stacks = []
        for layer, (name, shape) in enumerate(self.shapes.items()):
            bound = self.sizes[layer // 2] ** -0.5
            stack = torch.empty(len(keys), *shape, device=keys.device)
            at_once = max(1, _DRAWS_AT_ONCE // math.prod(shape))
            for part, key in zip(stack.split(at_once), keys.split(at_once), strict=True):
                torch.mul(rng.draw(key, f"init:{name}", shape).uniform() * 2.0 - 1.0, bound, out=part)
            stacks.append(stack)
        return stacks

    def masks(self, keys: Tensor, rows: int) -> list[Tensor] | None:
        """Dropout masks of the hidden layers.

        Args:
            keys: int64 ``[P]``, one a learner and occasion.
            rows: Samples M.

        Returns:
            One float tensor of ones and zeros ``[P, out, M]`` a hidden layer; None where nothing is dropped.
        """
        hidden = self.sizes[1:-1]
        if not hidden or not self._threshold:
            return None
        decisions = draw(keys, sum(hidden) * rows)
        # Floats at once: a product with a boolean mask takes five times as long on a CPU.
        kept = torch.empty(decisions.shape, device=keys.device)
        torch.ge(decisions, self._threshold - VALUES // 2, out=kept)
        parts = kept.split([size * rows for size in hidden], dim=1)
        return [part.view(-1, size, rows) for part, size in zip(parts, hidden, strict=True)]

    def logits(
        self,
        parameters: Sequence[Tensor],
        x: Tensor,
        masks: Sequence[Tensor] | None = None,
        statistics: Sequence[Tensor] = (),
    ) -> Tensor:
        """Logits ``[P, M, C]``, differentiable in ``x`` if that asks for it; see :meth:`forward`."""
        return self.forward([Block(parameters, x)], masks)[0]

    def forward(
        self, blocks: Sequence[Block], masks: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, tuple[list[Tensor], Sequence[Tensor]]]:
        """Logits of all learners.

        The first layer is computed block by block, the small ones behind it for everyone at once.

        Args:
            blocks: K learners altogether.
            masks: From :meth:`masks`, of the K learners; None is evaluation mode.

        Returns:
            Logits ``[K, M, C]``, and what :meth:`backward` wants: the hidden activations, not yet scaled for
            dropout, and the parameters of the other layers.
        """
        out, scale = _first_layers(blocks), self._scale(masks)
        rest = blocks[0].parameters[2:]
        if len(blocks) > 1:
            rest = [
                torch.cat(parts) for parts in zip(*(block.parameters[2:] for block in blocks), strict=True)
            ]
        hidden = []
        for layer, (weight, bias) in enumerate(zip(rest[::2], rest[1::2], strict=True)):
            h = out.relu_()
            if masks is not None:
                h = h * masks[layer]
            hidden.append(h)
            out = torch.baddbmm(bias[..., None], weight, h, alpha=scale)
        return out.mT, (hidden, rest)

    def backward(
        self,
        blocks: Sequence[Block],
        saved: tuple[list[Tensor], Sequence[Tensor]],
        gradient: Tensor,
        masks: Sequence[Tensor] | None = None,
    ) -> Iterator[list[Tensor]]:
        """Gradients of the parameters, block by block, from the gradient ``[K, M, C]`` of the logits.

        A block's first layer, by far its largest gradient, is computed when it is asked for: so it is still in
        the cache when it is used.
        """
        (hidden, rest), scale = saved, self._scale(masks)
        gradients: list[Tensor] = []
        delta = gradient.mT
        for layer in range(len(hidden) - 1, -1, -1):
            h, weight = hidden[layer], rest[2 * layer]
            gradients[:0] = [
                torch.baddbmm(weight, delta, h.mT, beta=0, alpha=scale),
                delta.sum(dim=2),
            ]
            delta = torch.baddbmm(h, weight.mT, delta, beta=0, alpha=scale)
            # ReLU's own derivative; what dropout stopped is zero just as well.
            delta = torch.ops.aten.threshold_backward(delta, h, 0.0)
        parts: list[Sequence[Tensor]] = [(tensor,) for tensor in (delta, delta.sum(dim=2), *gradients)]
        if len(blocks) > 1:
            sizes = [len(block.parameters[0]) for block in blocks]
            parts = [tensor.split(sizes) for (tensor,) in parts]
        for block, own, *others in zip(blocks, *parts, strict=True):
            groups, rows, _ = block.x.shape
            wide = product(own.reshape(groups, -1, rows), block.x.mT)
            yield [wide.view_as(block.parameters[0]), *others]

    @property
    def _threshold(self) -> int:
        """Of the 65,536 values of a lane, how many drop a unit."""
        return threshold(self.dropout)

    def _scale(self, masks: Sequence[Tensor] | None) -> float:
        return 1.0 if masks is None else 1.0 / (1.0 - self._threshold / VALUES)


def _first_layers(blocks: Sequence[Block]) -> Tensor:
    """What the first layers of all learners say, ``[K, out, M]``."""
    products, biases, sizes = [], [], []
    for block in blocks:
        (weight, bias, *_), x = block.parameters, block.x
        wide = product(weight.view(x.shape[0], -1, x.shape[2]), x)
        products.append(wide.view(*weight.shape[:2], x.shape[1]))
        biases.append(bias[..., None])
        sizes.append(len(weight))
    if len(blocks) == 1:
        return products[0].add_(biases[0])
    first = products[0]
    out = first.new_empty(sum(sizes), *first.shape[1:])
    for part, wide, bias in zip(out.split(sizes), products, biases, strict=True):
        torch.add(wide, bias, out=part)
    return out


@functools.cache
def _onednn() -> bool:
    """Whether oneDNN's linear kernel can be called directly, on a CPU where that pays.

    PyTorch sends float32 products to MKL, which on CPUs of other makers leaves AVX-512 unused: measured on a
    Zen 5, oneDNN is 2.2 times as fast.
    """
    return (
        torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def product(a: Tensor, b: Tensor) -> Tensor:
    """Batched ``a @ b.mT``: ``[G, R, K]`` and ``[G, M, K]`` to ``[G, R, M]``, by the fastest kernel there is.

    Large products on a CPU go one by one to oneDNN (unless ``torch.backends.mkldnn.flags(enabled=False)``).
    """
    alone = 2 * a.shape[1] * a.shape[2] * b.shape[1] >= _WIDE
    plain = a.device.type == "cpu" and a.dtype == b.dtype == torch.float32
    differentiable = torch.is_grad_enabled() and (a.requires_grad or b.requires_grad)
    if alone and plain and not differentiable and _onednn() and torch._C._get_mkldnn_enabled():
        linear = torch.ops.mkldnn._linear_pointwise
        parts = [linear(u, v, None, "none", [], "") for u, v in zip(a, b, strict=True)]
        return parts[0][None] if len(parts) == 1 else torch.stack(parts)
    return torch.bmm(a, b.mT)
