"""Convolutional modules as a network: on a CPU one learner after the other, elsewhere stacked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .modules import ModuleNetwork, _Own


class LoopedNetwork(ModuleNetwork):
    """A :class:`ModuleNetwork` whose learners are computed one by one on a CPU, pictures in ``channels_last``.

    Stacked convolutions are grouped ones, for which CPUs have no fast kernels: a loop takes half of their time. On a
    device all is as in the base class. The arguments, and what is refused, are the same.
    """

    looped = True

    def _call(
        self,
        module: nn.Module,
        parameters: Sequence[Tensor],
        x: Tensor,
        statistics: Sequence[Tensor],
        masks: Sequence[Tensor],
    ) -> Tensor:
        if x.device.type != "cpu":
            return self._stacked(module, parameters, x, statistics, masks)
        pictures = [_channels_last(rows.view(-1, *self.shape)) for rows in x]
        constants = self._constants(module, x.device)
        each = len(parameters[0]) // len(pictures)
        outs, changed = [], []
        for learner, own in enumerate(zip(*(stack.unbind() for stack in parameters), strict=True)):
            kept = [stack[learner] for stack in statistics]
            if module.training:  # autograd would take one learner's for all of them in the same memory
                kept = [value.clone() for value in kept]
                changed.append(kept)
            drop = [mask[learner] for mask in masks]
            outs.append(self._one(module, constants, _Own(own, kept, drop), pictures[learner // each]))
        for stack, new in zip(statistics, zip(*changed, strict=True), strict=False):
            stack.copy_(torch.stack(new))
        return torch.stack(outs)


def _channels_last(x: Tensor) -> Tensor:
    """Pictures ``[M, channels, height, width]`` with the channels last in memory, also of a single one."""
    return torch.empty_like(x, memory_format=torch.channels_last).copy_(x) if x.ndim == 4 else x
