"""Gradient descent over stacked parameters, in which every learner keeps its own time."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from ..envs.errors import ConfigError
from ..envs.validation import flag, real
from .optimiser import Optimiser, along, learners_of, works


class StackedSGD(Optimiser):
    """Stochastic gradient descent with momentum on stacks ``[P, …]``, as ``torch.optim.SGD`` computes it.

    ``g ← g + weight_decay · w``, ``v ← momentum · v + g``, then ``w ← w − lr · rate · v``, or with Nesterov's
    momentum ``w ← w − lr · rate · (g + momentum · v)`` (Sutskever et al., ICML 2013, as PyTorch has it).

    On a CPU PyTorch's fused kernel makes the step of learners who all step at one rate; elsewhere, and at several
    rates, everything is computed for everyone and selected by mask.

    Args:
        parameters: Stacks ``[P, …]``, changed in place.
        lr: Learning rate.
        momentum: In [0, 1); 0 remembers nothing.
        weight_decay: At least 0; of parameters that have a gradient.
        nesterov: Whether the momentum is Nesterov's; then it must be above 0.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        *,
        lr: float = 1e-2,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(parameters, lr=lr)
        self.momentum = real("momentum", momentum, 0, 1)
        if self.momentum == 1:
            raise ConfigError("momentum must be below 1, or no gradient is ever forgotten")
        self.weight_decay = real("weight_decay", weight_decay, 0)
        self.nesterov = flag("nesterov", nesterov)
        if self.nesterov and not self.momentum:
            raise ConfigError("Nesterov's momentum needs some: give momentum=0.9 or the like")
        if self.momentum:
            self.state = {"momentum": [torch.zeros_like(stack) for stack in parameters]}

    def step(self, gradients: Sequence[Tensor | None], rate: Tensor | None = None, *, first: int = 0) -> None:
        """As in :meth:`Optimiser.step`."""
        learners = learners_of(gradients, first)
        given = [(index, gradient) for index, gradient in enumerate(gradients) if gradient is not None]
        steps = self.steps[learners]
        alike = self._rate_of_all(rate)
        if alike is None:
            rate = torch.ones_like(steps) if rate is None else rate
            steps.add_(rate > 0.0)
            for index, gradient in given:
                self._step_masked(index, gradient, rate, learners)
        else:
            steps.add_(1.0)
            self._step_fused(given, alike, learners)

    def _rate_of_all(self, rate: Tensor | None) -> float | None:
        """The rate at which all of some learners step, where the fused kernel can make that step."""
        if self.steps.device.type != "cpu" or not fused_available():
            return None
        rates = {1.0} if rate is None else set(rate.tolist())
        return rates.pop() if len(rates) == 1 and min(rates) > 0.0 else None

    def _step_fused(self, given: Sequence[tuple[int, Tensor]], rate: float, learners: slice) -> None:
        parameters, *momentum = self.views(learners)
        _fused(
            [parameters[index] for index, _ in given],
            [gradient.contiguous() for _, gradient in given],  # the kernel reads memory as it lies
            [momentum[0][index] for index, _ in given] if self.momentum else [],
            lr=self.lr * rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov,
        )

    def _step_masked(self, index: int, gradient: Tensor, rate: Tensor, learners: slice) -> None:
        parameter = self.parameters[index][learners]
        moves = along(rate > 0.0, parameter)
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameter
        if self.momentum:
            velocity = self.state["momentum"][index][learners]
            velocity.copy_(torch.where(moves, self.momentum * velocity + gradient, velocity))
            gradient = gradient + self.momentum * velocity if self.nesterov else velocity
        moved = parameter - along(self.lr * rate, gradient) * gradient
        parameter.copy_(torch.where(moves, moved, parameter))


@functools.cache
def fused_available() -> bool:
    """Whether this PyTorch has the fused SGD kernel on the CPU."""
    parameters, gradients, velocities = ([torch.zeros(1)] for _ in range(3))
    return works(
        lambda: _fused(
            parameters, gradients, velocities, lr=0.0, momentum=0.9, weight_decay=0.0, nesterov=False
        )
    )


def _fused(
    parameters: list[Tensor],
    gradients: list[Tensor],
    velocities: list[Tensor],
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """PyTorch's kernel, in place; a velocity of zero is what it takes the first gradient for."""
    torch._fused_sgd_(
        parameters,
        gradients,
        velocities,
        weight_decay=weight_decay,
        momentum=momentum,
        lr=lr,
        dampening=0.0,
        nesterov=nesterov,
        maximize=False,
        is_first_step=False,
    )
