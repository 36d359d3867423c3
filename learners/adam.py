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
            gradients: Stacks ``[K, …]`` of K learners in a row; of learners that do not step they may hold
                anything, NaN included.
            rate: ``[K]``, multiplies ``lr``; None is one for all.
            first: The first of the K learners.
        """
        learners = slice(first, first + len(gradients[0]))
        if self.fused:
            self._step_fused(gradients, rate, learners)
        else:
            self._step_masked(gradients, rate, learners)

    def clear(self, learners: Tensor) -> None:
        """Forget the moments and step counts of learners, given as bool ``[P]``."""
        for stack in (*self.exp_avg, *self.exp_avg_sq, self.steps):
            stack.masked_fill_(_along(learners, stack), 0.0)

    def _step_fused(self, gradients: Sequence[Tensor], rate: Tensor | None, learners: slice) -> None:
        steps = self.steps[learners]
        rates = [1.0] * len(steps) if rate is None else rate.tolist()
        groups: dict[float, list[int]] = {}
        for learner, value in enumerate(rates):
            if value > 0.0:
                groups.setdefault(value, []).append(learner)
        steps.add_(1.0 if rate is None else rate > 0.0)
        if len(groups) == 1 and min(rates) > 0.0 and len(set(steps.tolist())) == 1:
            # All alike, the usual case: whole stacks spare the kernel K short lists.
            stacks = [
                [s[learners] for s in part] for part in (self.parameters, self.exp_avg, self.exp_avg_sq)
            ]
            parameters, exp_avg, exp_avg_sq = stacks
            counts = [steps[0]] * len(parameters)
            _fused(
                [parameters, list(gradients), exp_avg, exp_avg_sq, counts],
                self.lr * rates[0],
                self.betas,
                self.eps,
            )
            return
        weights, first, second = (views[learners] for views in self._views)
        views = (weights, _by_learner(gradients), first, second, self._steps[learners])
        for value, group in groups.items():
            state = [[view for learner in group for view in part[learner]] for part in views]
            _fused(state, self.lr * value, self.betas, self.eps)

    def _step_masked(self, gradients: Sequence[Tensor], rate: Tensor | None, learners: slice) -> None:
        beta1, beta2 = self.betas
        steps = self.steps[learners]
        rate = torch.ones_like(steps) if rate is None else rate
        active = rate > 0.0
        steps.add_(active)
        correction1, correction2 = (_correction(beta, steps) for beta in self.betas)
        step_size = self.lr * rate / correction1
        stacks = ([s[learners] for s in part] for part in (self.parameters, self.exp_avg, self.exp_avg_sq))
        for parameter, exp_avg, exp_avg_sq, gradient in zip(*stacks, gradients, strict=True):
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
