"""Any module as a network of many learners: stacked by ``torch.func``, differentiated by autograd."""

from __future__ import annotations

import contextlib
import copy
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils._pytree import tree_map

from ..envs.errors import ConfigError
from ..envs.validation import whole
from .dropout import VALUES, Masks, threshold
from .networks import Block
from .optimiser import along

Factory = Callable[[], nn.Module]
"""Makes a fresh module that maps ``[M, *shape]`` to logits ``[M, C]``."""

_ROWS_AT_ONCE = 1 << 13  # samples, times learners, evaluated at a time: bounds the memory of the activations
_FAULTS = (IndexError, RuntimeError, TypeError, ValueError)  # how a module fails on what it was not made for


class _Own(NamedTuple):
    """What is a learner's own, or stacks of it."""

    parameters: Sequence[Tensor]
    statistics: Sequence[Tensor]
    masks: Sequence[Tensor]


class ModuleNetwork:
    """A network made of any module: the module is called once, on stacked parameters, for all learners.

    Each learner's initial parameters come from a call of the factory of its own, seeded by its key; the global
    generators of torch, numpy and random are left as they were. Parameters that do not require gradients stay
    as they are. Buffers that training changes in place (the running statistics of batch norm) are each learner's own,
    the others are constants that all share. Layers ``nn.Dropout`` drop what the learner's key says.

    Args:
        factory: Called without arguments, makes a fresh module from ``[M, *shape]`` to ``[M, C]``. Samples
            must not depend on each other outside of training, nor on anything random but ``nn.Dropout``, and
            ``torch.func.vmap`` must know its layers (it knows no LSTM, GRU or RNN).
        shape: Of one sample.
        classes: C.

    Attributes:
        statistics: Of a fresh learner, by name: the buffers that training changes.

    Raises:
        ConfigError: The factory makes no module, the module does not fit the data, has nothing to train, draws from
            the global generators, replaces buffers, or cannot be stacked.
    """

    made_on_host = True

    def __init__(self, factory: Factory, shape: Sequence[int], classes: int) -> None:
        self.factory = factory
        self.shape = tuple(whole("each side of a sample", side, 1) for side in shape)
        self.classes = whole("classes", classes, 1)
        with _seeded() as seed:
            seed(0)
            template = _made(factory)
            _check_parts(template)
            self._dropout = Masks(template)
            self.shapes = {name: tuple(own.shape) for name, own in template.named_parameters()}
            self._trains = [own.requires_grad for own in template.parameters()]
            self._settled = copy.deepcopy(template, {id(self._dropout): self._dropout}).eval()
            self._learning = template.train()
            self.statistics = self._tried()
            self._check_stacking()

    def __deepcopy__(self, memo: dict[int, Any]) -> ModuleNetwork:
        return self  # holds no learner's weights, and never changes

    @property
    def num_parameters(self) -> int:
        """Parameters of one learner."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def looped(self, rows: int) -> bool:
        """False: learners are stacked, whatever they see."""
        return False

    def module(self) -> nn.Module:
        """A module from the factory, the same at every call."""
        with _seeded() as seed:
            seed(0)
            return _made(self.factory)

    def init(self, keys: Tensor) -> list[Tensor]:
        """Initial parameters, each learner's from a call of the factory seeded by its key.

        Args:
            keys: int64 ``[P]``.

        Returns:
            Stacks ``[P, *shape]``, in the order of :attr:`shapes`.
        """
        stacks = [torch.empty(len(keys), *shape) for shape in self.shapes.values()]
        with _seeded() as seed, torch.no_grad():
            for index, key in enumerate(keys.tolist()):
                seed(key)
                own = dict(_made(self.factory).named_parameters())
                if {name: tuple(values.shape) for name, values in own.items()} != self.shapes:
                    raise ConfigError("the module factory makes parameters of another shape at each call")
                for stack, values in zip(stacks, own.values(), strict=True):
                    stack[index] = values
        return [stack.to(keys.device) for stack in stacks]

    def masks(self, keys: Tensor, rows: int) -> list[Tensor] | None:
        """Dropout masks of M rows, one ``[P, M·units]`` for each call of a layer; None where nothing is dropped.

        Args:
            keys: int64 ``[P]``, one a learner and occasion.
            rows: Samples M.
        """
        return self._dropout.draw(keys, rows)

    def logits(
        self,
        parameters: Sequence[Tensor],
        x: Tensor,
        masks: Sequence[Tensor] | None = None,
        statistics: Sequence[Tensor] = (),
    ) -> Tensor:
        """Logits ``[P, M, C]`` in evaluation mode, differentiable in ``x``, not in the parameters.

        Args:
            parameters: Stacks ``[P, …]``.
            x: ``[G, M, D]``; each of the G inputs is shared by P/G consecutive learners.
            masks: From :meth:`masks`; None drops nothing.
            statistics: Stacks ``[P, …]``.
        """
        learners = len(parameters[0])
        each = learners // len(x) if len(x) > 1 else 1  # learners of one input stay together
        at_once = each * max(1, _ROWS_AT_ONCE // (each * x.shape[1]))
        parts = []
        for first in range(0, learners, at_once):
            some = slice(first, first + at_once)
            own = [stack[some].detach() for stack in parameters]
            seen = x if len(x) == 1 else x[first // each : (first + at_once) // each]
            kept = [stack[some] for stack in statistics]
            drop = [mask[some] for mask in masks or ()]
            parts.append(self._call(self._settled, own, seen, kept, drop))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def forward(
        self, blocks: Sequence[Block], masks: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, list[tuple[Tensor, list[Tensor]]]]:
        """Logits ``[K, M, C]`` in training mode, and the recorded graph of each block; see :meth:`logits`.

        Statistics of those who learn are changed in place.
        """
        recorded = []
        first = 0
        for parameters, x, statistics, learning in blocks:
            last = first + len(parameters[0])
            drop = [mask[first:last] for mask in masks or ()]
            first = last
            changed = [stack.clone() for stack in statistics]
            with torch.enable_grad():
                pairs = zip(parameters, self._trains, strict=True)
                # `data`, since the step of one block is no change of what the next has saved.
                leaves = [stack.data.requires_grad_(trains) for stack, trains in pairs]
                # What was made in inference mode cannot be part of a graph.
                x = x.clone() if x.is_inference() else x
                try:
                    out = self._call(self._learning, leaves, x, changed, drop)
                except ValueError as fault:  # batch norm of one number
                    raise ConfigError(
                        f"the module fails on slices of {x.shape[1]}: {_line(fault)}"
                    ) from fault
                recorded.append((out, leaves))
            for stack, new in zip(statistics, changed, strict=True):
                stack.copy_(new if learning is None else torch.where(along(learning, stack), new, stack))
        outs = [out.detach() for out, _ in recorded]
        return outs[0] if len(outs) == 1 else torch.cat(outs), recorded

    def backward(
        self,
        blocks: Sequence[Block],
        saved: Sequence[tuple[Tensor, list[Tensor]]],
        gradient: Tensor,
        masks: Sequence[Tensor] | None = None,
    ) -> Iterator[list[Tensor | None]]:
        """Gradients of the stacks, block by block, from the gradient ``[K, M, C]`` of the logits."""
        for (out, leaves), own in zip(saved, gradient.split([len(out) for out, _ in saved]), strict=True):
            training = [leaf for leaf in leaves if leaf.requires_grad]
            found = iter(torch.autograd.grad(out, training, own, allow_unused=True))
            yield [next(found) if leaf.requires_grad else None for leaf in leaves]

    def _call(
        self,
        module: nn.Module,
        parameters: Sequence[Tensor],
        x: Tensor,
        statistics: Sequence[Tensor],
        masks: Sequence[Tensor],
    ) -> Tensor:
        """The module on stacks ``[P, …]`` and inputs ``[G, M, D]``; in training mode it changes the statistics."""
        return self._stacked(module, parameters, x, statistics, masks)

    def _stacked(
        self,
        module: nn.Module,
        parameters: Sequence[Tensor],
        x: Tensor,
        statistics: Sequence[Tensor],
        masks: Sequence[Tensor],
    ) -> Tensor:
        """All learners in one call."""
        x = x.view(*x.shape[:2], *self.shape)
        constants = self._constants(module, x.device)

        def one(own: _Own, seen: Tensor) -> Tensor:
            return self._one(module, constants, own, seen)

        stacks = _Own(parameters, statistics, masks)
        if len(x) == 1:
            return vmap(one, (0, None))(stacks, x[0])
        if len(x) == len(parameters[0]):
            return vmap(one)(stacks, x)
        grouped = tree_map(lambda stack: stack.unflatten(0, (len(x), -1)), stacks)
        return vmap(vmap(one, (0, None)))(grouped, x).flatten(0, 1)

    def _one(self, module: nn.Module, constants: dict[str, Tensor], own: _Own, x: Tensor) -> Tensor:
        """The module of one learner on pictures or the like ``[M, *shape]``."""
        named = dict(zip(self.shapes, own.parameters, strict=True))
        named |= zip(self.statistics, own.statistics, strict=True)
        self._dropout.give(own.masks)
        return functional_call(module, {**constants, **named}, (x,))

    def _constants(self, module: nn.Module, device: torch.device) -> dict[str, Tensor]:
        """The buffers that all learners share, on a device."""
        buffers = module.named_buffers()
        return {name: buffer.to(device) for name, buffer in buffers if name not in self.statistics}

    # ---- what cannot work is said at once -----------------------------------------------------------

    def _tried(self) -> dict[str, Tensor]:
        """Try one module by itself, in training: the buffers that this changes, as they were."""
        x = torch.randn(2, *self.shape)
        before = dict(self._learning.named_buffers())
        fresh = {name: buffer.clone() for name, buffer in before.items()}
        try:
            out = self._dropout.record(self._learning, x)
        except _FAULTS as fault:
            raise ConfigError(f"the module fails on inputs {list(x.shape)}: {_line(fault)}") from fault
        if not isinstance(out, Tensor) or out.shape != (2, self.classes):
            got = list(out.shape) if isinstance(out, Tensor) else f"a {type(out).__name__}"
            raise ConfigError(
                f"the module must map {list(x.shape)} to logits {[2, self.classes]} "
                f"of the data's {self.classes} classes, it gives {got}"
            )
        after = dict(self._learning.named_buffers())
        if replaced := [name for name, buffer in before.items() if after.get(name) is not buffer]:
            raise ConfigError(
                f"training replaces the module's buffers {', '.join(replaced)}: change them in place (copy_, mul_, …)"
            )
        return {name: value for name, value in fresh.items() if not torch.equal(value, before[name])}

    def _check_stacking(self) -> None:
        """Two modules at once, there and back."""
        stacks = [torch.stack([own.detach()] * 2) for own in self._learning.parameters()]
        leaves = [stack.requires_grad_(trains) for stack, trains in zip(stacks, self._trains, strict=True)]
        kept = [torch.stack([own] * 2) for own in self.statistics.values()]
        x = torch.zeros(2, 3, math.prod(self.shape))
        try:
            with torch.enable_grad():
                masks = self.masks(torch.arange(2), 3)
                self._stacked(self._learning, leaves, x, kept, masks or ()).sum().backward()
            self._stacked(self._settled, stacks, x, kept, ())
        except _FAULTS as fault:
            raise ConfigError(
                "the module cannot be stacked, take layers that torch.func.vmap knows and that draw nothing: "
                f"{_line(fault)}"
            ) from fault


def convolves(factory: Factory) -> bool:
    """Whether what a factory makes has convolutions in it."""
    with _seeded() as seed:
        seed(0)
        return any(isinstance(part, nn.modules.conv._ConvNd) for part in _made(factory).modules())


def _made(factory: Factory) -> nn.Module:
    """A module from the factory."""
    if isinstance(factory, nn.Module) or not callable(factory):
        given = "a module" if isinstance(factory, nn.Module) else repr(factory)
        raise ConfigError(f"learners need a factory of modules, like `lambda: MyModule()`, got {given}")
    try:
        module = factory()
    except ConfigError:
        raise
    except _FAULTS as fault:
        raise ConfigError(
            f"the module factory fails when called without arguments: {_line(fault)}"
        ) from fault
    if not isinstance(module, nn.Module):
        raise ConfigError(f"the module factory must return an nn.Module, it returns {type(module).__name__}")
    return module


def _check_parts(module: nn.Module) -> None:
    """What can be seen without a call."""
    if any(isinstance(own, nn.UninitializedParameter) for own in module.parameters()):
        raise ConfigError("the module is lazy, its sizes are not known: give them to its layers")
    if not any(own.requires_grad for own in module.parameters()):
        raise ConfigError("the module has no parameters to train")
    for name, part in module.named_modules():
        layer = f"{type(part).__name__} {name!r}" if name else type(part).__name__
        drops = part.p if isinstance(part, nn.modules.dropout._DropoutNd) else getattr(part, "dropout", 0.0)
        if isinstance(drops, (int, float)) and drops > 0 and type(part) is not nn.Dropout:
            raise ConfigError(
                f"the module's dropout ({layer}) would draw from the global generator: "
                "leave it out, or use nn.Dropout"
            )
        if type(part) is nn.Dropout and threshold(part.p) == VALUES:
            raise ConfigError(f"the module's {layer} drops everything: give it a probability below 1")
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and not part.track_running_stats:
            raise ConfigError(
                f"the module's {layer} makes samples depend on each other outside of training too: "
                "leave track_running_stats on, or use GroupNorm or LayerNorm instead"
            )
        if isinstance(part, nn.RNNBase):
            raise ConfigError(
                f"the module's {layer} cannot be stacked by torch.func.vmap: use convolutions or attention"
            )


@contextlib.contextmanager
def _seeded() -> Iterator[Callable[[int], None]]:
    """Gives a function that seeds the global generators; they are as before in the end."""

    def seed(key: int) -> None:
        torch.default_generator.manual_seed(key)
        np.random.seed(key & 0xFFFFFFFF)
        random.seed(key)

    python, arrays = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.inference_mode(False):
            yield seed
    finally:
        random.setstate(python)
        np.random.set_state(arrays)


def _line(fault: Exception) -> str:
    """The first line of what went wrong."""
    return next(iter(str(fault).strip().splitlines()), type(fault).__name__)
