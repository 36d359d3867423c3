"""Convolutional modules as a network: on a CPU one learner after the other, elsewhere stacked."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from .modules import ModuleNetwork

_PIXELS = 1 << 12  # of the pictures of a learner's step from which on the loop is faster


class LoopedNetwork(ModuleNetwork):
    """A :class:`ModuleNetwork` whose learners are computed one by one on a CPU, pictures in ``channels_last``.

    Stacked convolutions are grouped ones, for which CPUs have no fast kernels: a loop takes half of their time. On a
    device, and on so few small pictures that calls cost more than the work in them, all is as in the base class. The
    arguments, and what is refused, are the same.
    """

    def looped(self, rows: int) -> bool:
        """Whether a CPU computes learners one after the other: on as many pixels as make a call worth while."""
        return rows * math.prod(self.shape[1:]) >= _PIXELS

    def _call(
        self,
        module: nn.Module,
        parameters: Sequence[Tensor],
        x: Tensor,
        statistics: Sequence[Tensor],
        masks: Sequence[Tensor],
    ) -> Tensor:
        if x.device.type != "cpu" or not self.looped(x.shape[1]):
            return self._stacked(module, parameters, x, statistics, masks)
        pictures = [_channels_last(rows.view(-1, *self.shape)) for rows in x]
        each = len(parameters[0]) // len(pictures)
        outs, changed = [], []
        with self._lent(module) as dress:
            for learner, own in enumerate(zip(*(stack.unbind() for stack in parameters), strict=True)):
                kept = [stack[learner] for stack in statistics]
                if module.training:  # in memory of its own: autograd guards the whole of a stack at once
                    kept = [value.clone() for value in kept]
                    changed.append(kept)
                dress((*own, *kept))
                self._dropout.give([mask[learner] for mask in masks])
                outs.append(module(pictures[learner // each]))
        for stack, new in zip(statistics, zip(*changed, strict=True), strict=False):
            torch.stack(new, out=stack)
        return torch.stack(outs)

    @contextlib.contextmanager
    def _lent(self, module: nn.Module) -> Iterator[Callable[[Iterable[Tensor]], None]]:
        """Gives a function that puts a learner's parameters and statistics into the module; in the end all is back.

        ``torch.func.functional_call`` does so too, in a quarter of a millisecond for three layers.
        """
        places: dict[int, list[tuple[dict[str, Tensor], str]]] = {}
        for part in module.modules():
            for held in (part._parameters, part._buffers):
                for name, tensor in held.items():
                    places.setdefault(id(tensor), []).append((held, name))  # type: ignore[arg-type]
        before: list[Tensor] = [module.get_parameter(name) for name in self.shapes]
        before += [module.get_buffer(name) for name in self.statistics]
        spots = [places[id(tensor)] for tensor in before]

        def dress(tensors: Iterable[Tensor]) -> None:
            for shared, tensor in zip(spots, tensors, strict=True):
                for held, name in shared:
                    held[name] = tensor

        try:
            yield dress
        finally:
            dress(before)


def _channels_last(x: Tensor) -> Tensor:
    """Pictures ``[M, channels, height, width]`` with the channels last in memory, also where there is only one."""
    return torch.empty_like(x, memory_format=torch.channels_last).copy_(x) if x.ndim == 4 else x
