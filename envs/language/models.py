"""The language models of worlds, as a part that the engine keeps: one a world, or one a domain in each."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...learners import make_optimiser
from ...learners.groups import Gradients, GroupedPopulation, Learnt
from ...learners.optimisers import OPTIMISERS
from ...learners.transformer import Transformer
from ..engine import rng
from ..engine.fits import check_saved
from ..engine.parts import Part
from ..errors import EpisodeEnded, one_of
from ..validation import flag, keep, rate, real, whole

if TYPE_CHECKING:
    from typing_extensions import Self

ANCHORS = ("none", "l2", "ewc")


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How models learn; arguments of the worlds.

    Args:
        optimiser: "adamw", "adam" or "sgd".
        lr: Learning rate.
        weight_decay: Of "adamw".
        warmup: Steps in which the rate rises to ``lr`` by equal steps.
        fresh_optimiser: Whether the optimiser forgets its moments when a task ends.
        anchor: What holds parameters where they were when the last task ended: "none"; "l2", their distance; "ewc", the
            same weighted by the Fisher information of the tasks so far.
        anchor_strength: λ of the anchor; with "ewc" and 1, what was learnt before weighs as the new loss.
        anchor_slices: Slices that the Fisher information is of.

    Raises:
        ConfigError: A value out of range.
    """

    optimiser: str = "adamw"
    lr: float = 3e-3
    weight_decay: float = 0.01
    warmup: int = 50
    fresh_optimiser: bool = False
    anchor: str = "none"
    anchor_strength: float = 3.0
    anchor_slices: int = 12

    def __post_init__(self) -> None:
        keep(
            self,
            optimiser=one_of("optimiser", self.optimiser, OPTIMISERS),
            lr=rate("lr", self.lr),
            weight_decay=real("weight_decay", self.weight_decay, 0),
            warmup=whole("warmup (steps)", self.warmup, 0),
            anchor=one_of("anchor", self.anchor, ANCHORS),
            anchor_strength=real("anchor_strength", self.anchor_strength, 0),
            anchor_slices=whole("anchor_slices", self.anchor_slices, 1, 10_000),
            fresh_optimiser=flag("fresh_optimiser", self.fresh_optimiser),
        )
        make_optimiser(self.optimiser, **self.options)  # says what is wrong before there are models

    @property
    def options(self) -> dict[str, Any]:
        """Of the optimiser."""
        decay = {"weight_decay": self.weight_decay} if self.optimiser == "adamw" else {}
        return {"lr": self.lr, **decay}


class Models(Part):
    """Language models ``[W, D']``, D' of each world: 1, or one for each domain. They begin with the first episode.

    Args:
        net: Their sizes.
        each: D'.
        learning: How they learn.
        warm: Parameters that models begin with, in the order of ``net.shapes``: one of several, drawn for each episode.
            None: fresh ones.

    A model of a world is named by its number, int64 ``[W]`` on the host; 0 where there is one. What is learnt is learnt
    in the worlds where some rate is above 0, and in no others.
    """

    def __init__(
        self,
        net: Transformer,
        *,
        each: int = 1,
        learning: Learning | None = None,
        warm: Sequence[Sequence[Tensor]] = (),
    ) -> None:
        self.net, self.each = net, each
        self.learning = Learning() if learning is None else learning
        self.warm = [torch.stack(list(stacks)) for stacks in zip(*warm, strict=True)]
        self._population: GroupedPopulation | None = None
        self._reference: list[Tensor] = []
        self._fisher: list[Tensor] = []
        self._seen: Gradients | None = None

    @property
    def population(self) -> GroupedPopulation:
        """The models, ``[W · D']`` of them.

        Raises:
            EpisodeEnded: No episode has begun.
        """
        if self._population is None:
            raise EpisodeEnded("the models have not begun: call the world's reset()")
        return self._population

    # ---- as a part ----------------------------------------------------------------------------------

    def reset(self, keys: Tensor, moving: Tensor) -> None:
        """Draw the weights of fresh models from their worlds' keys, or which of the given they begin with."""
        self._seen = None
        own = rng.fold(
            (keys ^ rng.purpose_id("models"))[:, None], torch.arange(self.each, device=keys.device)
        )
        own, moving = own.flatten(), moving.repeat_interleave(self.each)
        if self._population is None:
            self._population = GroupedPopulation(
                self.net, own, optimiser=self.learning.optimiser, **self.learning.options
            )
        else:
            self._population.reset(moving, own)
        if self.warm:
            drawn = drawn_files(keys, len(self.warm[0])).repeat_interleave(self.each)
            self._population.load(moving, [stack.to(keys.device)[drawn] for stack in self.warm])
        self._fix(moving, anew=True)

    def extract(self, world: int, model: int = 0) -> list[Tensor]:
        """One model of a world, in the order of ``net.stored``."""
        return [stack[world * self.each + model] for stack in self.population.parameters]

    def at(self, worlds: Tensor) -> Self:
        """Copies of the models of some worlds."""
        index = (worlds[:, None] * self.each + torch.arange(self.each, device=worlds.device)).flatten()
        twin = copy.copy(self)
        vars(twin).update(
            _population=self.population.at(index),
            _seen=None,
            _reference=[stack[index] for stack in self._reference],
            _fisher=[stack[index] for stack in self._fisher],
        )
        return twin

    def finite(self) -> Tensor:
        """Whether all parameters of a world's models are finite, bool ``[W]``."""
        return self.population.finite().view(-1, self.each).all(-1)

    def state_dict(self) -> dict[str, Any]:
        """Weights, moments, step counts and anchors."""
        return {
            "population": self.population.state_dict(),
            "reference": [stack.clone() for stack in self._reference],
            "fisher": [stack.clone() for stack in self._fisher],
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over a :meth:`state_dict`; see :meth:`Part.load_state_dict`."""
        check_saved("models", saved, self.state_dict())
        self._seen = None
        self.population.load_state_dict(saved["population"])
        for kept, stacks in (("reference", self._reference), ("fisher", self._fisher)):
            for own, new in zip(stacks, saved[kept], strict=True):
                own.copy_(new)

    # ---- what models do -----------------------------------------------------------------------------

    def learn(
        self, tokens: Tensor, rates: Tensor, measured: Tensor | None = None, *, model: np.ndarray
    ) -> Learnt:
        """Learn one slice.

        Args:
            tokens: int64 ``[W, B, T + 1]``.
            rates: Of each group, ``[W, N]``; 0 rests. They multiply ``lr``.
            measured: Groups whose gradient is measured though they rest, bool ``[W, N]``; None: of those who learn.
            model: Of each world.

        Returns:
            Nats of a token before the step, ``[W]``, and squared norms of gradients ``[W, N]``, NaN where not measured.
        """
        adjust = None if self.learning.anchor == "none" else self._anchored
        return self.population.learn(
            tokens, rates, measured=measured, adjust=adjust, models=self._index(model)
        )

    def look(self, tokens: Tensor, *, model: np.ndarray) -> Tensor:
        """Squared norms of the gradients of all groups on a slice that is learnt next, ``[W, N]``.

        The gradients are kept for :meth:`learn_seen`. They are no part of the state: whoever loads one, begins anew, or
        calls :meth:`forget_looks`, makes them again.
        """
        self._seen = self.population.gradients(tokens, models=self._index(model))
        return self._seen.squares

    def forget_looks(self) -> None:
        """Keep no gradients that were looked at: the slice that is learnt next may be another one."""
        self._seen = None

    def learn_seen(self, tokens: Tensor, rates: Tensor, *, model: np.ndarray) -> Tensor:
        """Learn the slice that was looked at; losses ``[W]`` as of :meth:`learn`, whose arguments these are."""
        if self._seen is None:
            self.look(tokens, model=model)
        assert self._seen is not None
        losses = self._seen.losses
        self.population.apply(self._seen, rates, adjust=self._adjust)
        self._seen = None
        return losses

    @property
    def _adjust(self) -> Any:
        return None if self.learning.anchor == "none" else self._anchored

    def losses(self, tokens: Tensor) -> Tensor:
        """Nats of a token in each window ``[W, D, M, T + 1]``, ``[W, D, M]``; of domain d by its own model, if any."""
        w, d, m, length = tokens.shape
        if self.each == 1:
            return self.population.losses(tokens.view(w, d * m, length)).view(w, d, m)
        return self.population.losses(tokens.view(w * d, m, length)).view(w, d, m)

    def forget_moments(self, where: Tensor) -> None:
        """Begin the optimiser anew in some worlds, bool ``[W]``."""
        self.population.clear(where.repeat_interleave(self.each))

    # ---- anchors ------------------------------------------------------------------------------------

    def fix(self, where: Tensor) -> None:
        """Anchor the worlds of a mask, bool ``[W]``, where their parameters are now."""
        self._fix(where.repeat_interleave(self.each), anew=False)

    def inform(self, where: Tensor, slices: Tensor, *, model: np.ndarray) -> None:
        """Add the Fisher information of some slices to that of before, in the worlds of a mask; of anchors "ewc" alone.

        After Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks" (PNAS 114, 2017), with the
        last reference alone (Huszár, PNAS 115, 2018; Schwarz et al., "Progress & compress", ICML 2018, with γ = 1). It
        is estimated by the squared gradient of a slice's mean loss times the slice's tokens, the mean over slices;
        targets are those of the text, and dropout, if any, is the same for all slices.

        Args:
            where: bool ``[W]``.
            slices: int64 ``[S, W, B, T + 1]``.
            model: Of each world.
        """
        index = self._index(model)
        rows = torch.as_tensor(index, device=where.device)
        for tokens in slices:
            found = self.population.gradients(tokens, models=index).groups
            weight = where.float() * (tokens[0, :, 1:].numel() / len(slices))
            gradients = [gradient for group in found for gradient in group]
            for stack, gradient in zip(self._fisher, gradients, strict=True):
                stack.index_add_(0, rows, gradient.square_().mul_(_along(weight, gradient)))

    def _fix(self, chosen: Tensor, *, anew: bool) -> None:
        """Take the parameters of some models, bool ``[W · D']``, as their reference."""
        if not self._reference:
            self._reference = [stack.clone() for stack in self.population.parameters]
            if self.learning.anchor == "ewc":
                self._fisher = [torch.zeros_like(stack) for stack in self._reference]
            return
        for own, stack in zip(self._reference, self.population.parameters, strict=True):
            own.copy_(torch.where(_along(chosen, own), stack, own))
        if anew:
            for own in self._fisher:
                own.masked_fill_(_along(chosen, own), 0.0)

    def _anchored(
        self, group: int, models: Any, parameters: Sequence[Tensor], gradients: Sequence[Tensor]
    ) -> list[Tensor]:
        """Gradients with that of the anchor, λ·F·(θ − θ*), added; F is 1 with "l2"."""
        strength, own = self.learning.anchor_strength, self.net.groups[group]
        index = torch.as_tensor(models, device=gradients[0].device)
        found = []
        for i, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True), start=own.start):
            pull = parameter - self._reference[i][index]
            if self._fisher:
                pull.mul_(self._fisher[i][index])
            found.append(gradient.add(pull, alpha=strength))
        return found

    def norms(self, *, model: np.ndarray) -> Tensor:
        """L2 norms of each group and of its way since the reference, ``[2, W, N]``."""
        rows = torch.as_tensor(self._index(model), device=self.population.parameters[0].device)
        sums = []
        for group in self.net.groups:
            both = torch.zeros(2, len(rows), device=rows.device)
            for stack, reference in zip(
                self.population.parameters[group], self._reference[group], strict=True
            ):
                own = stack[rows].flatten(1)
                both[0] += own.square().sum(-1)
                both[1] += (own - reference[rows].flatten(1)).square().sum(-1)
            sums.append(both)
        return torch.stack(sums, dim=-1).sqrt()

    def _index(self, model: np.ndarray) -> np.ndarray:
        """Which of all models, int64 ``[W]``."""
        return np.arange(len(model)) * self.each + model


def drawn_files(keys: Tensor, count: int) -> Tensor:
    """Which of so many files the models of episodes begin with, int64 ``[W]``."""
    return rng.draw(keys, "models/warm", ()).integers(count)


def _along(values: Tensor, stack: Tensor) -> Tensor:
    """Values ``[P]`` in a shape that broadcasts over a stack ``[P, …]``."""
    return values.view(-1, *[1] * (stack.dim() - 1))
