"""Language models of many worlds whose groups of parameters learn or rest, each with an optimiser of its own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..envs.engine.fits import check_saved
from ..envs.validation import afford
from .optimiser import along
from .optimisers import make_optimiser
from .transformer import Transformer

# Parameters of the worlds computed at a time on a CPU, and their tokens. A step of a world of 68,544 parameters and 512
# tokens takes 11 ms alone, 7.7 by three, 6.6 by twelve; of 270,208 and 1,024 tokens 40, 36, and 42; of 1,064,704 and
# 1,024 tokens 81, 76, and 79 by six.
_CACHED_PARAMETERS = 1 << 20
_CACHED_TOKENS = 1 << 13

Models = npt.NDArray[np.int64]

Adjust = Callable[[int, Models, list[Tensor], list[Tensor]], Sequence[Tensor]]
"""From a group, the models in which its gradient was computed ``[L]``, its parameters there and their gradients,
both stacks ``[L, …]``, to the gradients that the optimiser is to take."""


class Learnt(NamedTuple):
    """What a learning step saw of the models as they were before it."""

    losses: Tensor
    """Mean nats per token, ``[W]``."""
    squares: Tensor
    """Squared L2 norm of each group's gradient of the loss, ``[W, N]``; NaN where it was not computed."""
    computed: npt.NDArray[np.bool_]
    """Whose gradients were computed, ``[W, N]`` on the host."""


class Gradients(NamedTuple):
    """Gradients of all groups, kept for :meth:`GroupedPopulation.apply`."""

    losses: Tensor
    """Mean nats per token, ``[W]``."""
    squares: Tensor
    """``[W, N]``."""
    groups: list[list[Tensor]]
    """Of each group its stacks ``[W, …]``."""
    models: Models
    """Whose they are, ``[W]``."""


class GroupedPopulation:
    """P language models, of which some learn at a time, and of each of these some groups.

    Every group has an optimiser of its own with own step counts, so a group that rests keeps every bit: weights,
    moments, count. Usually a world has one model, P = W. Where it has several of which one is active at a time, say
    which: ``models`` of each method is int64 ``[W]`` on the host, W different ones of the P; None is all of them.

    A learning step reads who learns once from the device (``rate > 0``, bool ``[W, N]``), since what nobody needs is
    not computed. That is its one synchronisation.

    Args:
        net: The architecture.
        keys: int64 ``[P]``, one a model: of its initial weights and its dropout.
        optimiser: A name of :func:`~studyhall.learners.make_optimiser`.
        device: Where the models live; by default where the keys are.
        options: Of the optimiser.

    Attributes:
        parameters: Stacks ``[P, …]`` in the order of ``net.shapes``; change them in place only.
        steps: Learning steps each model took part in, int64 ``[P]``: with its key they say what dropout drops.
    """

    def __init__(
        self,
        net: Transformer,
        keys: Tensor,
        *,
        optimiser: str = "adamw",
        device: torch.device | str | None = None,
        **options: Any,
    ) -> None:
        if keys.ndim != 1 or keys.dtype != torch.int64:
            raise ValueError(f"keys must be int64 [P], got {keys.dtype} {list(keys.shape)}")
        afford(len(keys), "the size of the language model", weights=net.num_parameters)
        self.net = net
        with torch.inference_mode(False), torch.no_grad():  # else no step could change the parameters later
            self.keys = keys.to(device, copy=True)
            self.steps = torch.zeros_like(self.keys)
            self.parameters = net.draw(self.keys)
            make = make_optimiser(optimiser, **options)
            self._optimisers = [make(self.parameters[group]) for group in net.groups]

    def __deepcopy__(self, memo: dict[int, Any]) -> GroupedPopulation:
        """An independent twin that can go on learning, also where it was made under ``inference_mode``."""
        memo[id(self)] = twin = copy.copy(self)
        with torch.inference_mode(False):
            twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    @torch.no_grad()
    def learn(
        self,
        tokens: Tensor,
        rate: Tensor,
        *,
        measured: Tensor | None = None,
        models: Models | None = None,
        adjust: Adjust | None = None,
    ) -> Learnt:
        """One step of the groups that have a rate, on each world's own loss, with dropout on.

        A world whose loss or gradient is not finite spoils itself only.

        Args:
            tokens: int64 ``[W, B, T + 1]``, windows to learn to continue.
            rate: ``[W, N]``, multiplies the learning rate. A group with rate 0 (or less) keeps every bit, and its
                gradient is not computed.
            measured: Groups whose gradient is computed although they rest, bool ``[W, N]``; None: none.
            models: Which of the P learn.
            adjust: Changes gradients before the step, or only looks at them: for losses on the parameters themselves.
                It is called once for each group and each few worlds in which its gradient is computed.

        Raises:
            ValueError: A wrong shape of ``tokens`` or ``rate``, or a model twice.
        """
        with torch.inference_mode(False):
            own = self._models(tokens, models)
            learn = self._learners(rate, own)
            wanted = learn if measured is None else learn | np.asarray(measured.cpu().numpy())
            losses = tokens.new_empty(len(own), dtype=torch.float32)
            squares = losses.new_full(learn.shape, torch.nan)
            for span in self._spans(tokens):
                losses[span], found = self._backward(tokens[span], own[span], wanted[span])
                for group, rows, gradients in found:
                    index = torch.as_tensor(rows + span.start, device=losses.device)
                    some = own[span][rows]
                    squares[index, group] = _squares(gradients)
                    taken: Sequence[Tensor] = gradients
                    if adjust is not None:
                        taken = adjust(group, some, self._stacks(some, group), gradients)
                    self._step(group, some, taken, rate[index, group])
            self._count(own, learn)
        return Learnt(losses, squares, wanted)

    @torch.no_grad()
    def gradients(self, tokens: Tensor, *, models: Models | None = None) -> Gradients:
        """Gradients of all groups as :meth:`learn` would see them, and no step: :meth:`apply` makes it.

        Raises:
            ValueError: A wrong shape of ``tokens``, or a model twice.
        """
        with torch.inference_mode(False):
            own = self._models(tokens, models)
            everyone = np.ones((len(own), len(self.net.groups)), dtype=bool)
            losses = tokens.new_empty(len(own), dtype=torch.float32)
            squares = losses.new_empty(everyone.shape)
            kept = [
                [stack.new_empty(len(own), *stack.shape[1:]) for stack in self.parameters[group]]
                for group in self.net.groups
            ]
            for span in self._spans(tokens):
                losses[span], found = self._backward(tokens[span], own[span], everyone[span])
                for group, _, gradients in found:
                    squares[span, group] = _squares(gradients)
                    for stack, gradient in zip(kept[group], gradients, strict=True):
                        stack[span] = gradient
        return Gradients(losses, squares, kept, own)

    @torch.no_grad()
    def apply(self, gradients: Gradients, rate: Tensor, *, adjust: Adjust | None = None) -> None:
        """One step of the groups that have a rate, from gradients of the models as they are now.

        Args:
            gradients: From :meth:`gradients`.
            rate: As in :meth:`learn`.
            adjust: As in :meth:`learn`.

        Raises:
            ValueError: A wrong shape of ``rate``.
        """
        with torch.inference_mode(False):
            learn = self._learners(rate, gradients.models)
            for group in range(learn.shape[1]):
                rows = np.flatnonzero(learn[:, group])
                if len(rows):
                    index = torch.as_tensor(rows, device=rate.device)
                    own = gradients.models[rows]
                    taken: Sequence[Tensor] = [
                        stack.index_select(0, index) for stack in gradients.groups[group]
                    ]
                    if adjust is not None:
                        taken = adjust(group, own, self._stacks(own, group), list(taken))
                    self._step(group, own, taken, rate[index, group])
            self._count(gradients.models, learn)

    @torch.no_grad()
    def losses(self, tokens: Tensor, *, models: Models | None = None) -> Tensor:
        """Mean nats per token of each window, ``[W, M]`` for ``[W, M, T + 1]``, without dropout."""
        own = self._models(tokens, models)
        return torch.cat(
            [self.net.losses(self._stacks(own[span]), tokens[span]) for span in self._spans(tokens)]
        )

    @torch.no_grad()
    def logits(self, tokens: Tensor, *, models: Models | None = None) -> Tensor:
        """Logits ``[W, B, T, V]`` of what follows each of ``[W, B, T]``, without dropout."""
        return self.net.logits(self._stacks(self._models(tokens, models)), tokens)

    def extract(self, model: int) -> nn.Module:
        """A copy of one model as an ordinary module, in evaluation mode."""
        return self.net.extract(self.parameters, model)

    def finite(self) -> Tensor:
        """Whose parameters are all finite, bool ``[P]``."""
        return torch.stack([stack.isfinite().flatten(1).all(1) for stack in self.parameters]).all(0)

    @torch.no_grad()
    def reset(self, mask: Tensor, keys: Tensor) -> None:
        """Begin anew with the models in a mask, bool ``[P]``, by keys ``[P]``; the others keep every bit."""
        with torch.inference_mode(False):
            self.keys.copy_(torch.where(mask, keys, self.keys))
            self.steps.masked_fill_(mask, 0)
            if self.keys.device.type == "cpu":  # only those that begin anew
                index = mask.nonzero().squeeze(1)
                for stack, new in zip(self.parameters, self.net.draw(self.keys[index]), strict=True):
                    stack.index_copy_(0, index, new)
                self.clear(mask)
            else:  # everyone is drawn, so that nothing is read back to the host
                self.load(mask, self.net.draw(self.keys))

    @torch.no_grad()
    def load(self, mask: Tensor, parameters: Sequence[Tensor]) -> None:
        """Let the models in a mask, bool ``[P]``, go on from given weights, with optimisers that remember nothing.

        Args:
            mask: Which.
            parameters: Stacks ``[P, …]``, or one model's ``[…]`` for all of them.
        """
        with torch.inference_mode(False):
            for stack, given in zip(self.parameters, parameters, strict=True):
                stack.copy_(torch.where(along(mask, stack), given.to(stack), stack))
            self.clear(mask)

    def clear(self, mask: Tensor) -> None:
        """Let the optimisers of the models in a mask, bool ``[P]``, forget what they remember."""
        for optimiser in self._optimisers:
            optimiser.clear(mask)

    def at(self, models: Tensor) -> GroupedPopulation:
        """Copies of some models (int64 ``[K]``), to be asked; they cannot be taught."""
        twin = copy.copy(self)
        twin.keys, twin.steps = self.keys[models], self.steps[models]
        twin.parameters = [stack.index_select(0, models) for stack in self.parameters]
        twin._optimisers = []
        return twin

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of everything: keys and steps ``[P]``, step counts of groups ``[P]``, parameters and moments."""
        return {name: tensor.clone() for name, tensor in self._state().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over a state, in place.

        Raises:
            ConfigError: Missing or unknown names, or another shape or dtype; nothing was changed then.
        """
        own = self._state()
        check_saved("population", state, own)
        for name, tensor in own.items():
            tensor.copy_(state[name])

    def _state(self) -> dict[str, Tensor]:
        names = self.net.names
        state = {"keys": self.keys, "steps": self.steps}
        state |= {f"parameter.{name}": stack for name, stack in zip(names, self.parameters, strict=True)}
        for index, (group, optimiser) in enumerate(zip(self.net.groups, self._optimisers, strict=True)):
            state[f"steps.{index}"] = optimiser.steps
            for kind, stacks in optimiser.state.items():
                state |= {f"{kind}.{name}": stack for name, stack in zip(names[group], stacks, strict=True)}
        return state

    def _backward(
        self, tokens: Tensor, models: Models, learn: npt.NDArray[np.bool_]
    ) -> tuple[Tensor, Iterator[Any]]:
        """Losses of models in training, and their gradients from the output down."""
        index = torch.as_tensor(models, device=self.keys.device)
        keys = (self.keys ^ self.steps)[index]  # what a fold hashes, as the draw hashes it anyway
        losses, saved = self.net.forward(self._stacks(models), tokens, keys, learn)
        return losses, iter(()) if saved is None else self.net.backward(saved)

    def _step(self, group: int, models: Models, gradients: Sequence[Tensor], rate: Tensor) -> None:
        """One step of a group in some models, from stacks ``[L, …]`` and rates ``[L]``."""
        first, last = int(models.min()), int(models.max())
        if _in_a_row(models):
            self._optimisers[group].step(gradients, rate, first=first)
            return
        # The optimiser steps learners in a row; of those between, who have no rate, it reads no gradient.
        row = torch.as_tensor(models - first, device=rate.device)
        rates = rate.new_zeros(last - first + 1).index_copy_(0, row, rate)
        wide = [
            stack.new_empty(len(rates), *stack.shape[1:]).index_copy_(0, row, stack) for stack in gradients
        ]
        self._optimisers[group].step(wide, rates, first=first)

    def _count(self, models: Models, learn: npt.NDArray[np.bool_]) -> None:
        """Count a step of the models that learn."""
        self.steps[torch.as_tensor(models[learn.any(1)], device=self.steps.device)] += 1

    def _stacks(self, models: Models, group: int | None = None) -> list[Tensor]:
        """Parameters of some models ``[K, …]``, all or a group's: views if they are in a row, else copies."""
        stacks = self.parameters if group is None else self.parameters[self.net.groups[group]]
        if _in_a_row(models):
            return [stack[models[0] : models[-1] + 1] for stack in stacks]
        index = torch.as_tensor(models, device=self.keys.device)
        return [stack.index_select(0, index) for stack in stacks]

    def _models(self, tokens: Tensor, models: Models | None) -> Models:
        own = np.arange(len(self.keys)) if models is None else np.asarray(models)
        if own.shape != tokens.shape[:1]:
            raise ValueError(f"tokens must be of {len(own)} worlds, got {list(tokens.shape)}")
        if (np.diff(own) < 1).any():
            raise ValueError("models must be ascending, none of them twice")
        return own

    def _learners(self, rate: Tensor, models: Models) -> npt.NDArray[np.bool_]:
        """Who learns, read from the device."""
        if rate.shape != (len(models), len(self.net.groups)):
            raise ValueError(f"rate must be {[len(models), len(self.net.groups)]}, got {list(rate.shape)}")
        return np.asarray((rate > 0.0).cpu().numpy())

    def _spans(self, tokens: Tensor) -> list[slice]:
        """Ranges of worlds computed one after the other: on a CPU as many as stay in the cache, else all."""
        at_once = len(tokens)
        if self.keys.device.type == "cpu":
            each = tokens[0].numel()
            at_once = max(1, min(_CACHED_PARAMETERS // self.net.num_parameters, _CACHED_TOKENS // each))
        return [slice(first, min(first + at_once, len(tokens))) for first in range(0, len(tokens), at_once)]


def _in_a_row(models: Models) -> bool:
    return bool((np.diff(models) == 1).all())


def _squares(gradients: Sequence[Tensor]) -> Tensor:
    """Squared L2 norm of a group's gradient, ``[L]``."""
    norms = [torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients]
    return torch.stack(norms).square_().sum(0)
