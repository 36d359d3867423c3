"""Adam over stacked parameters, in which every learner keeps its own time."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor


@functools.cache
def fused_available() -> bool:
    """Whether this PyTorch has the fused Adam kernel on the CPU."""
    state = [[torch.zeros(1)] for _ in range(4)] + [[torch.ones(())]]
    try:
        _fused(state, 0.0, (0.9, 0.999), 1e-8)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False
    return True


def _fused(state: Sequence[list[Tensor]], lr: float, betas: tuple[float, float], eps: float) -> None:
    """PyTorch's kernel on parameters, gradients, both moments, and step counts, all in place."""
    parameters, gradients, exp_avg, exp_avg_sq, steps = state
    torch._fused_adam_(
        parameters,
        gradients,
        exp_avg,
        exp_avg_sq,
        [],
        steps,
        lr=lr,
        beta1=betas[0],
        beta2=betas[1],
        weight_decay=0.0,
        eps=eps,
        amsgrad=False,
        maximize=False,
    )


class StackedAdam:
    """Adam (Kingma & Ba, 2015) on stacks ``[P, …]``: learner p takes a step, or is not touched by a bit.

    Bias is corrected by each learner's own step count, so one that sat out is where its own optimiser would
    be. Two ways to the same numbers:

    - on a CPU the rates are read and PyTorch's fused kernel gets views of the learners that step, one call
      for each distinct rate: as fast as the whole stack, and the others are never visited;
    - elsewhere everything is computed for everyone and selected by mask: no copy to the host, static shapes.

    Args:
        parameters: Stacks ``[P, …]``, changed in place.
        lr: Learning rate.
        betas: Decay of the two moments.
        eps: Added to the denominator.
        fused: Which way; None chooses by device.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        fused: bool | None = None,
    ) -> None:
        device = parameters[0].device
        self.lr, self.betas, self.eps = lr, betas, eps
        self.parameters = list(parameters)
        self.exp_avg = [torch.zeros_like(stack) for stack in parameters]
        self.exp_avg_sq = [torch.zeros_like(stack) for stack in parameters]
        self.steps = torch.zeros(len(parameters[0]), device=device)  # float32, as the fused kernel wants it
        self.fused = device.type == "cpu" and fused_available() if fused is None else fused
        # Per learner, made once: the state changes in place only, so the views stay good.
        self._views = [_by_learner(stacks) for stacks in (self.parameters, self.exp_avg, self.exp_avg_sq)]
        self._steps = [[step] * len(self.parameters) for step in self.steps.unbind(0)]

    def step(self, gradients: Sequence[Tensor], rate: Tensor | None = None, *, first: int = 0) -> None:
        """One step of the learners whose rate is above zero.

        Args:
            gradients: Stacks ``[P, …]``; of learners that do not step they may hold anything, NaN included.
                On the fused way they may cover a range of learners only, if all who step are in it.
            rate: ``[P]``, multiplies ``lr``; None is one for all.
            first: The learner with whom the gradients begin.
        """
        if self.fused:
            self._step_fused(gradients, rate, first)
        else:
            self._step_masked(gradients, rate)

    def clear(self, learners: Tensor) -> None:
        """Forget the moments and step counts of learners, given as bool ``[P]``."""
        for stack in (*self.exp_avg, *self.exp_avg_sq, self.steps):
            stack.masked_fill_(_along(learners, stack), 0.0)

    def _step_fused(self, gradients: Sequence[Tensor], rate: Tensor | None, first: int) -> None:
        rates = [1.0] * len(self.steps) if rate is None else rate.tolist()
        groups: dict[float, list[int]] = {}
        for learner, value in enumerate(rates):
            if value > 0.0:
                groups.setdefault(value, []).append(learner)
        self.steps.add_(1.0 if rate is None else rate > 0.0)
        if len(groups) == 1 and min(rates) > 0.0 and len(set(self.steps.tolist())) == 1:
            # All alike, the usual case: whole stacks spare the kernel P short lists.
            steps = [self._steps[0][0]] * len(self.parameters)
            state = [self.parameters, list(gradients), self.exp_avg, self.exp_avg_sq, steps]
            _fused(state, self.lr * rates[0], self.betas, self.eps)
            return
        parameters, exp_avg, exp_avg_sq = self._views
        by_learner = [()] * first + _by_learner(gradients)
        views = (parameters, by_learner, exp_avg, exp_avg_sq, self._steps)
        for value, learners in groups.items():
            state = [[view for learner in learners for view in part[learner]] for part in views]
            _fused(state, self.lr * value, self.betas, self.eps)

    def _step_masked(self, gradients: Sequence[Tensor], rate: Tensor | None) -> None:
        beta1, beta2 = self.betas
        rate = torch.ones_like(self.steps) if rate is None else rate
        active = rate > 0.0
        self.steps.add_(active)
        correction1, correction2 = (_correction(beta, self.steps) for beta in self.betas)
        step_size = self.lr * rate / correction1
        state = zip(self.parameters, gradients, self.exp_avg, self.exp_avg_sq, strict=True)
        for parameter, gradient, exp_avg, exp_avg_sq in state:
            first = exp_avg.lerp(gradient, 1.0 - beta1)
            second = (exp_avg_sq * beta2).addcmul_(gradient, gradient, value=1.0 - beta2)
            denominator = (second.sqrt() / _along(correction2.sqrt(), second)).add_(self.eps)
            moved = parameter - _along(step_size, first) * (first / denominator)
            moves = _along(active, parameter)
            for old, new in ((parameter, moved), (exp_avg, first), (exp_avg_sq, second)):
                old.copy_(torch.where(moves, new, old))


def _by_learner(stacks: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """Stacks to one tuple of views a learner."""
    return list(zip(*(stack.unbind(0) for stack in stacks), strict=True))


def _along(values: Tensor, stack: Tensor) -> Tensor:
    """Values ``[P]`` in a shape that broadcasts over a stack ``[P, …]``."""
    return values.view(-1, *[1] * (stack.ndim - 1))


def _correction(beta: float, steps: Tensor) -> Tensor:
    """``1 − beta**steps`` without the cancellation that float32 would suffer at first."""
    return -torch.expm1(steps * (math.log(beta) if beta else -math.inf))
