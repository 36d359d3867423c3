"""Adam and AdamW over stacked parameters, in which every learner keeps its own time."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..envs.errors import ConfigError, short
from ..envs.validation import real
from .optimiser import Optimiser, along, learners_of, works

_SMALL = 1 << 15  # parameters of a learner up to which a call for each costs more than the work in it


@functools.cache
def fused_available() -> bool:
    """Whether this PyTorch has the fused Adam kernel on the CPU."""
    state = [[torch.zeros(1)] for _ in range(4)] + [[torch.ones(())]]
    return works(lambda: _fused(state, 0.0, (0.9, 0.999), 1e-8, 0.0))


def _fused(
    state: Sequence[list[Tensor]], lr: float, betas: tuple[float, float], eps: float, weight_decay: float
) -> None:
    """PyTorch's kernel on parameters, gradients, both moments, and step counts, all in place."""
    parameters, gradients, exp_avg, exp_avg_sq, steps = state
    torch._fused_adamw_(
        parameters,
        gradients,
        exp_avg,
        exp_avg_sq,
        [],
        steps,
        lr=lr,
        beta1=betas[0],
        beta2=betas[1],
        weight_decay=weight_decay,
        eps=eps,
        amsgrad=False,
        maximize=False,
    )


class StackedAdam(Optimiser):
    """Adam (Kingma & Ba, 2015) on stacks ``[P, …]``: learner p takes a step, or is not touched by a bit.

    Bias is corrected by each learner's own step count, so one that sat out is where its own optimiser would
    be. Two ways to the same numbers:

    - on a CPU the rates are read and PyTorch's fused kernel gets views of the learners that step, one call
      for each distinct rate: as fast as the whole stack, and the others are never visited. Small
      learners who all step, but at many distinct rates, do so in whole stacks and are scaled afterwards;
    - elsewhere everything is computed for everyone and selected by mask: no copy to the host, static shapes.

    Args:
        parameters: Stacks ``[P, …]``, changed in place.
        lr: Learning rate.
        betas: Decay of the two moments, in [0, 1).
        eps: Added to the denominator.
        fused: Which way; None chooses by device.
    """

    weight_decay = 0.0

    def __init__(
        self,
        parameters: Sequence[Tensor],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        fused: bool | None = None,
    ) -> None:
        super().__init__(parameters, lr=lr)
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ConfigError(f"betas must be two numbers, such as (0.9, 0.999), got {short(betas)}")
        self.betas = (real("each of betas", betas[0], 0, 1), real("each of betas", betas[1], 0, 1))
        if 1 in self.betas:
            raise ConfigError(f"each of betas must be below 1, got {self.betas}")
        self.eps = real("eps", eps, 0)
        self.exp_avg = [torch.zeros_like(stack) for stack in parameters]
        self.exp_avg_sq = [torch.zeros_like(stack) for stack in parameters]
        self.state = {"exp_avg": self.exp_avg, "exp_avg_sq": self.exp_avg_sq}
        self.fused = self.steps.device.type == "cpu" and fused_available() if fused is None else fused
        self._small = sum(stack[0].numel() for stack in parameters) <= _SMALL
        self._make_singles()

    def _make_singles(self) -> None:
        """Per learner, made once: the state changes in place only, so the views stay good."""
        self._singles = [_by_learner(stacks) for stacks in (self.parameters, self.exp_avg, self.exp_avg_sq)]
        self._steps = self.steps.unbind(0)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in super().__getstate__().items() if k not in ("_singles", "_steps")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._make_singles()

    def step(self, gradients: Sequence[Tensor | None], rate: Tensor | None = None, *, first: int = 0) -> None:
        """As in :meth:`Optimiser.step`."""
        learners = learners_of(gradients, first)
        given = [index for index, gradient in enumerate(gradients) if gradient is not None]
        own = [gradient for gradient in gradients if gradient is not None]
        if self.fused:  # the kernel reads memory as it lies, and autograd may hand out transposed views
            self._step_fused([gradient.contiguous() for gradient in own], given, rate, learners)
        else:
            self._step_masked(own, given, rate, learners)

    def _stacks(self, given: Sequence[int], learners: slice) -> list[list[Tensor]]:
        """Parameters and both moments of those that have gradients."""
        return [[stacks[index] for index in given] for stacks in self.views(learners)]

    def _step_fused(
        self, gradients: list[Tensor], given: Sequence[int], rate: Tensor | None, learners: slice
    ) -> None:
        steps = self.steps[learners]
        rates = [1.0] * len(steps) if rate is None else rate.tolist()
        groups: dict[float, list[int]] = {}
        for learner, value in enumerate(rates):
            if value > 0.0:
                groups.setdefault(value, []).append(learner)
        everyone = min(rates) > 0.0
        steps.add_(1.0 if rate is None or everyone else rate > 0.0)
        if everyone and len(set(steps.tolist())) == 1:  # whole stacks spare the kernel K short lists
            if len(groups) == 1:
                self._step_alike(self._stacks(given, learners), gradients, steps[0], self.lr * rates[0])
                return
            if rate is not None and self._small and len(groups) > len(rates) // 4:
                self._step_scaled(self._stacks(given, learners), gradients, steps[0], rate)
                return
        weights, first, second = (views[learners] for views in self._singles)
        own, counts = _by_learner(gradients), self._steps[learners]
        for value, group in groups.items():
            parts = [
                [part[learner][index] for learner in group for index in given]
                for part in (weights, first, second)
            ]
            state = [
                parts[0],
                [gradient for learner in group for gradient in own[learner]],
                *parts[1:],
                [counts[learner] for learner in group for _ in given],
            ]
            _fused(state, self.lr * value, self.betas, self.eps, self.weight_decay)

    def _step_alike(
        self, stacks: Sequence[list[Tensor]], gradients: list[Tensor], count: Tensor, lr: float
    ) -> None:
        """All at one rate and one step count, the usual case."""
        parameters, exp_avg, exp_avg_sq = stacks
        state = [parameters, gradients, exp_avg, exp_avg_sq, [count] * len(parameters)]
        _fused(state, lr, self.betas, self.eps, self.weight_decay)

    def _step_scaled(
        self, stacks: Sequence[list[Tensor]], gradients: list[Tensor], count: Tensor, rate: Tensor
    ) -> None:
        """At rates ``[K]`` of their own: the kernel moves zeros, and that times the rate is the step."""
        parameters, *moments = stacks
        moves = [torch.zeros_like(gradient) for gradient in gradients]
        self._step_alike([moves, *moments], gradients, count, self.lr)
        _by_rate(moves, rate)
        if self.weight_decay:
            _by_rate(parameters, self._kept(rate))
        torch._foreach_add_(parameters, moves)

    def _step_masked(
        self, gradients: Sequence[Tensor], given: Sequence[int], rate: Tensor | None, learners: slice
    ) -> None:
        beta1, beta2 = self.betas
        steps = self.steps[learners]
        rate = torch.ones_like(steps) if rate is None else rate
        active = rate > 0.0
        steps.add_(active)
        correction1, correction2 = (_correction(beta, steps) for beta in self.betas)
        step_size, kept = self.lr * rate / correction1, self._kept(rate)
        stacks = self._stacks(given, learners)
        for parameter, exp_avg, exp_avg_sq, gradient in zip(*stacks, gradients, strict=True):
            first = exp_avg.lerp(gradient, 1.0 - beta1)
            second = (exp_avg_sq * beta2).addcmul_(gradient, gradient, value=1.0 - beta2)
            denominator = (second.sqrt() / along(correction2.sqrt(), second)).add_(self.eps)
            moved = parameter * along(kept, first) - along(step_size, first) * (first / denominator)
            moves = along(active, parameter)
            for old, new in ((parameter, moved), (exp_avg, first), (exp_avg_sq, second)):
                old.copy_(torch.where(moves, new, old))

    def _kept(self, rate: Tensor) -> Tensor:
        """What decay leaves of the weights of learners that step at rates ``[K]``."""
        return 1.0 - self.lr * self.weight_decay * rate


class StackedAdamW(StackedAdam):
    """Adam with decoupled weight decay (Loshchilov & Hutter, ICLR 2019), as ``torch.optim.AdamW`` computes it.

    Before the step of Adam ``θ ← θ · (1 − lr · rate · weight_decay)``: of learners that step, and of parameters that
    have a gradient.

    Args:
        parameters: Stacks ``[P, …]``, changed in place.
        lr: Learning rate.
        betas: Decay of the two moments, in [0, 1).
        eps: Added to the denominator.
        weight_decay: At least 0.
        fused: As in :class:`StackedAdam`.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        fused: bool | None = None,
    ) -> None:
        super().__init__(parameters, lr=lr, betas=betas, eps=eps, fused=fused)
        self.weight_decay = real("weight_decay", weight_decay, 0)


def _by_learner(stacks: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """Stacks to one tuple of views a learner."""
    return list(zip(*(stack.unbind(0) for stack in stacks), strict=True))


def _by_rate(stacks: Sequence[Tensor], rate: Tensor) -> None:
    """Multiply stacks ``[K, …]`` by a number ``[K]`` of each learner, in place."""
    shaped = {stack.ndim: along(rate, stack) for stack in stacks}
    torch._foreach_mul_(list(stacks), [shaped[stack.ndim] for stack in stacks])


def _correction(beta: float, steps: Tensor) -> Tensor:
    """``1 − beta**steps`` without the cancellation that float32 would suffer at first."""
    return -torch.expm1(steps * (math.log(beta) if beta else -math.inf))
