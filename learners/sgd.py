"""Gradient descent over stacked parameters, in which every learner keeps its own time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..envs.errors import ConfigError
from ..envs.validation import real
from .optimiser import Optimiser, along


class StackedSGD(Optimiser):
    """Stochastic gradient descent with momentum on stacks ``[P, …]``, as ``torch.optim.SGD`` computes it.

    ``v ← momentum · v + g``, then ``w ← w − lr · rate · v`` (Sutskever et al., ICML 2013, as PyTorch has it).

    Args:
        parameters: Stacks ``[P, …]``, changed in place.
        lr: Learning rate.
        momentum: In [0, 1); 0 remembers nothing.
    """

    def __init__(self, parameters: Sequence[Tensor], *, lr: float = 1e-2, momentum: float = 0.9) -> None:
        super().__init__(parameters, lr=lr)
        self.momentum = real("momentum", momentum, 0, 1)
        if self.momentum == 1:
            raise ConfigError("momentum must be below 1, or no gradient is ever forgotten")
        if self.momentum:
            self.state = {"momentum": [torch.zeros_like(stack) for stack in parameters]}

    def step(self, gradients: Sequence[Tensor], rate: Tensor | None = None, *, first: int = 0) -> None:
        """As in :meth:`Optimiser.step`: computed for everyone, selected by mask."""
        learners = slice(first, first + len(gradients[0]))
        steps = self.steps[learners]
        rate = torch.ones_like(steps) if rate is None else rate
        active = rate > 0.0
        steps.add_(active)
        for index, gradient in enumerate(gradients):
            moves = along(active, gradient)
            if self.momentum:
                velocity = self.state["momentum"][index][learners]
                gradient = velocity.copy_(torch.where(moves, self.momentum * velocity + gradient, velocity))
            parameter = self.parameters[index][learners]
            moved = parameter - along(self.lr * rate, gradient) * gradient
            parameter.copy_(torch.where(moves, moved, parameter))
