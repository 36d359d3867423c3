"""What every stacked optimiser is: learner p takes a step, or is not touched by a bit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..envs.validation import rate


def works(kernel: Callable[[], object]) -> bool:
    """Whether this PyTorch has a kernel of its own, which is no public name: tried on what it would be given.

    Another version may lack the name, take other arguments, or have no such code for a CPU.
    """
    try:
        kernel()
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False
    return True


class Optimiser(ABC):
    """Changes stacks ``[P, …]`` in place, each learner at a rate and a time of its own.

    Args:
        parameters: The stacks.
        lr: Learning rate, above 0.

    Attributes:
        steps: Steps each learner has taken, float32 ``[P]``.
        state: What is remembered of each parameter: kind to stacks like the parameters.

    Raises:
        ConfigError: A learning rate that is none; it has no upper limit.
    """

    def __init__(self, parameters: Sequence[Tensor], *, lr: float) -> None:
        self.lr = rate("lr", lr)
        self.parameters = list(parameters)
        # float32, as PyTorch's fused kernels want it
        self.steps = torch.zeros(len(parameters[0]), device=parameters[0].device)
        self.state: dict[str, list[Tensor]] = {}
        # The state changes in place only, so views stay good.
        self._views: dict[tuple[int, int], list[list[Tensor]]] = {}

    def views(self, learners: slice) -> list[list[Tensor]]:
        """Of some learners in a row the parameters and each kind of state: views, made once a range."""
        ends = learners.start, learners.stop
        if ends not in self._views:
            if len(self._views) > 2 * len(self.steps):
                self._views.clear()
            parts = (self.parameters, *self.state.values())
            self._views[ends] = [[stack[learners] for stack in part] for part in parts]
        return self._views[ends]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_views"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Views anew, of the copied stacks; copying each of them would take a hundred times as long."""
        self.__dict__.update(state)
        self._views = {}

    @abstractmethod
    def step(self, gradients: Sequence[Tensor | None], rate: Tensor | None = None, *, first: int = 0) -> None:
        """One step of the learners whose rate is above zero.

        Args:
            gradients: Stacks ``[K, …]`` of K learners in a row; of learners that do not step they may hold
                anything, NaN included. None leaves the parameters as they are.
            rate: ``[K]``, multiplies ``lr``; None is one for all.
            first: The first of the K learners.
        """

    def clear(self, learners: Tensor) -> None:
        """Forget the state and step counts of learners, given as bool ``[P]``."""
        for stack in (self.steps, *(stack for stacks in self.state.values() for stack in stacks)):
            stack.masked_fill_(along(learners, stack), 0.0)


def learners_of(gradients: Sequence[Tensor | None], first: int) -> slice:
    """The learners whose gradients these are: K in a row from the first."""
    return slice(first, first + next(len(gradient) for gradient in gradients if gradient is not None))


def along(values: Tensor, stack: Tensor) -> Tensor:
    """Values ``[P]`` in a shape that broadcasts over a stack ``[P, …]``."""
    return values.view(-1, *[1] * (stack.ndim - 1))
