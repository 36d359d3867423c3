"""Many small networks trained at once, as stacked tensors.

A :class:`Population` holds P = W·N learners (worlds × learners) of one architecture. Every learner is exactly
what a module of its own with an optimiser of its own would be: it has its own initial weights, dropout, step count
and rate, and where its rate is zero not a bit of it moves. All randomness is counter-based: a learner's is a
function of its key, whatever batch it is in.
"""

from __future__ import annotations

import copy
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from ..envs.engine import rng
from ..envs.engine.fits import check_saved
from ..envs.validation import afford
from .networks import Block, Network
from .optimiser import along
from .optimisers import make_optimiser

if TYPE_CHECKING:
    from typing_extensions import Self

_CACHED_PARAMETERS = 1 << 20  # parameters of the learners whose gradients are computed at a time on a CPU
_CACHED_ACTIVATIONS = 4 << 20  # parameters of the learners computed together on a CPU

Index = slice | Tensor
Loss = Callable[[Tensor], Tensor | tuple[Tensor, Tensor]]
"""From logits ``[W, N, M, C]`` to one loss a learner, ``[W, N]``, or to that and its gradient in the logits."""

Gradients = Sequence[Tensor | None]
"""Of stacks ``[K, …]`` of K learners in a row, in the order of the parameters; None of what is not trained."""

Adjust = Callable[[slice, Gradients], Gradients]
"""From K learners in a row, a range of the P, and their gradients to those that the optimiser is to take.

Learners that do not step may be among them; their gradients may hold anything.
"""


def learner_keys(world_keys: Tensor, learners: int) -> Tensor:
    """Keys ``[W, N]`` of the learners of worlds, from the worlds' keys ``[W]``."""
    index = torch.arange(learners, device=world_keys.device)
    return rng.fold((world_keys ^ rng.purpose_id("learner"))[:, None], index)


class Answers(NamedTuple):
    """The first half of a learning step: what the learners say, and what the second half needs of it."""

    logits: Tensor
    """``[W, N, M, C]``, detached; zeros where a world was not computed."""
    rates: Tensor | None
    """``[P]``."""
    passes: list[tuple[list[slice], Index, tuple[Any, ...]]]
    """Ranges of learners, all of them as one index, and what their network's ``backward`` is given."""


class _Ensemble(ABC):
    """Stacked parameters and what can be asked of them; see :class:`Population` and :class:`Average`."""

    network: Network
    keys: Tensor
    parameters: list[Tensor]
    statistics: list[Tensor]

    @property
    def worlds(self) -> int:
        """Worlds W."""
        return self.keys.shape[0]

    @property
    def learners(self) -> int:
        """Learners in each world, N."""
        return self.keys.shape[1]

    @property
    def num_parameters(self) -> int:
        """Parameters of all learners together."""
        return self.keys.numel() * self.network.num_parameters

    def __deepcopy__(self, memo: dict[int, Any]) -> _Ensemble:
        """An independent twin that can go on learning, also where it was made under ``inference_mode``."""
        memo[id(self)] = twin = copy.copy(self)
        with torch.inference_mode(False):
            twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def logits(self, x: Tensor, *, dropout: bool = False, draw: int | Tensor = 0) -> Tensor:
        """What every learner says of every sample.

        Args:
            x: ``[W, M, D…]`` shared by a world's learners (the fastest), ``[W, N, M, D…]`` of their own, or
                ``[M, D…]`` shared by all. Samples are flattened.
            dropout: Whether to drop hidden units; by default this is evaluation mode.
            draw: Which dropout masks: another number, other masks. 0 are those of the next learning step.

        Returns:
            ``[W, N, M, C]``; differentiable in ``x``, not in the parameters.

        Raises:
            ValueError: A shape that fits none of the three, or more than one.
        """
        rows = self._rows(x)
        keys = self._dropout_keys(draw) if dropout else None
        parts = []
        for span in self._spans(None, rows.shape[1]) if len(rows) > 1 else [slice(0, self.keys.numel())]:
            masks = None if keys is None else self.network.masks(keys[span], rows.shape[1])
            own, kept = self._of(self.parameters, span), self._of(self.statistics, span)
            parts.append(self.network.logits(own, self._rows_of(rows, span), masks, kept))
        out = parts[0] if len(parts) == 1 else torch.cat([part.mT for part in parts]).mT
        return out.view(self.worlds, self.learners, *out.shape[1:])

    def finite(self) -> Tensor:
        """Whose parameters and statistics are all finite, bool ``[W, N]``."""
        rows = [stack.detach().reshape(len(stack), -1) for stack in (*self.parameters, *self.statistics)]
        # What is not finite is the greatest or the least: a sixth of the time of looking at each by itself.
        ends = [end for row in rows if row.numel() for end in (row.amax(-1), row.amin(-1))]
        return torch.stack([end.isfinite() for end in ends]).all(0).view(self.worlds, self.learners)

    def logits_of(
        self, learner: Tensor, x: Tensor, *, dropout: bool = False, draw: int | Tensor = 0
    ) -> Tensor:
        """What one learner of each world says of every sample; the others are not computed.

        Args:
            learner: int64 ``[W]``.
            x: ``[W, M, D…]`` or ``[M, D…]``.
            dropout: As in :meth:`logits`.
            draw: As in :meth:`logits`.

        Returns:
            ``[W, 1, M, C]``, equal to those rows of :meth:`logits` up to rounding.
        """
        rows = self._rows(x)
        index = torch.arange(self.worlds, device=learner.device) * self.learners + learner
        keys = self._dropout_keys(draw)[index] if dropout else None
        masks = None if keys is None else self.network.masks(keys, rows.shape[1])
        chosen, kept = (
            [stack.index_select(0, index) for stack in stacks]
            for stacks in (self.parameters, self.statistics)
        )
        return self.network.logits(chosen, rows.expand(self.worlds, -1, -1), masks, kept)[:, None]

    def extract(self, world: int, learner: int) -> nn.Module:
        """A copy of one learner as an ordinary module, in evaluation mode."""
        module = self.network.module().to(self.keys.device)
        for own, stack in zip(module.parameters(), self.parameters, strict=True):
            own.data.copy_(stack[world * self.learners + learner])
        for name, stack in zip(self.network.statistics, self.statistics, strict=True):
            module.get_buffer(name).copy_(stack[world * self.learners + learner])
        return module.eval()

    @abstractmethod
    def _dropout_keys(self, draw: int | Tensor) -> Tensor:
        """Keys of the dropout of a draw, int64 ``[W · N]``: what a fold hashes."""

    def _rows(self, x: Tensor) -> Tensor:
        return as_rows(x, self.network.shape, self.keys.shape)

    def _spans(self, rates: Tensor | None, rows: int) -> list[slice]:
        """Ranges of learners whose gradients are computed and used one after the other.

        On a CPU a few worlds at a time, so that gradients are still in the cache when they are wanted, and without
        worlds in which nobody has a rate; where learners are so large that it is one world at a time, or computed
        one after the other anyway, without any learner that has none. On a device everyone at once.
        """
        if self.keys.device.type != "cpu":
            return [slice(0, self.keys.numel())]
        at_once = max(1, _CACHED_PARAMETERS // (self.learners * self.network.num_parameters))
        if self.network.looped(rows):
            at_once = 1
        spans = [
            slice(first * self.learners, min(first + at_once, self.worlds) * self.learners)
            for first in range(0, self.worlds, at_once)
        ]
        if rates is None:
            return spans
        active = rates > 0.0
        if at_once > 1:
            return [span for span in spans if bool(active[span].any())]
        return [run for span in spans for run in _runs(active[span].tolist(), span.start)]

    def _together(self, spans: Sequence[slice]) -> list[list[slice]]:
        """Ranges in groups whose forward passes are one.

        Small learners are many in a range already. Of large ones, a range is some of a world's: then as many as the
        cache holds activations of, because most of what is done with these costs more for the call than for the work.
        """
        groups: list[list[slice]] = []
        room = 0
        for span in spans:
            size = (span.stop - span.start) * self.network.num_parameters
            if size > room or span.stop - span.start > self.learners:
                groups.append([])
                room = _CACHED_ACTIVATIONS
            groups[-1].append(span)
            room -= size
        return groups

    def _of(self, stacks: list[Tensor], span: slice) -> list[Tensor]:
        """The part of stacks ``[P, …]`` that is of a range of learners."""
        whole = span.stop - span.start == self.keys.numel()
        return stacks if whole else [stack[span] for stack in stacks]

    def _rows_of(self, rows: Tensor, span: slice) -> Tensor:
        """The part of inputs ``[G, M, D]`` that a range of learners sees."""
        if len(rows) == 1:
            return rows
        each = self.keys.numel() // len(rows)
        return rows[span.start // each : -(-span.stop // each)]

    def _statistics_by_name(self) -> dict[str, Tensor]:
        pairs = zip(self.network.statistics, self.statistics, strict=True)
        return {f"statistic.{name}": stack for name, stack in pairs}

    def _spread(self, values: Tensor, what: str) -> Tensor:
        return spread(values, self.keys, what).reshape(-1)


class Population(_Ensemble):
    """Worlds of learners of one architecture, each with its own optimiser.

    Args:
        network: The architecture.
        keys: int64 ``[W, N]``, one a learner (see :func:`learner_keys`); equal keys are equal learners.
        optimiser: ``"adam"`` or ``"sgd"``.
        device: Where the learners live; by default where the keys are.
        options: Of the optimiser: ``lr`` and what :class:`~studyhall.learners.adam.StackedAdam` or
            :class:`~studyhall.learners.sgd.StackedSGD` takes.

    Attributes:
        parameters: Stacks ``[P, …]`` in the order of ``network.shapes``; change them in place only.
        statistics: Stacks ``[P, …]`` in the order of ``network.statistics``, which learning steps change beside them.
    """

    def __init__(
        self,
        network: Network,
        keys: Tensor,
        *,
        optimiser: str = "adam",
        device: torch.device | str | None = None,
        **options: Any,
    ) -> None:
        if keys.ndim != 2 or keys.dtype != torch.int64:
            raise ValueError(f"keys must be int64 [W, N], got {keys.dtype} {list(keys.shape)}")
        afford(
            len(keys),
            "the number of learners or the size of their networks",
            learners=keys.shape[1],
            weights=network.num_parameters,
        )
        self.network = network
        with torch.inference_mode(False), torch.no_grad():  # else no step could change the parameters later
            self.keys = keys.to(device, copy=True)
            self.parameters = network.init(self.keys.view(-1))
            self.statistics = [
                fresh.to(self.keys.device).expand(self.keys.numel(), *fresh.shape).clone()
                for fresh in network.statistics.values()
            ]
            self._optimiser = make_optimiser(optimiser, **options)(self.parameters)

    @property
    def steps(self) -> Tensor:
        """Learning steps each learner has taken since it was last initialised, int64 ``[W, N]``."""
        return self._optimiser.steps.view_as(self.keys).long()

    def learn(
        self, x: Tensor, loss_fn: Loss, *, rate: Tensor | None = None, adjust: Adjust | None = None
    ) -> Tensor:
        """One step of the optimiser for each learner, on a loss of its own, with dropout on.

        Gradients are on here whatever surrounds the call. A learner whose loss or gradient is not finite
        spoils itself only; to keep it from that, give it the rate 0.

        Args:
            x: As in :meth:`logits`.
            loss_fn: From logits ``[W, N, M, C]`` to losses ``[W, N]``; if it knows their gradient in the logits,
                to a pair of both, and autograd is not asked. Targets made under
                ``torch.inference_mode`` must be cloned inside it, as autograd cannot keep them.
            rate: ``[W, N]`` or ``[W]``, multiplies the learning rate. 0 (or less) is a frozen learner: its
                parameters, statistics, moments and step count keep every bit. A mask may serve as a rate.
                Who has no rate need not be computed; its logits then read zero.
            adjust: Changes the gradients of the parameters before the step, or only looks at them: for losses on the
                parameters themselves, which ``loss_fn`` does not see. It is called once or more, of each learner with
                a rate once, before that one's parameters change.

        Returns:
            The losses before the step, ``[W, N]``, detached.

        Raises:
            ValueError: A wrong shape of ``x``, ``rate``, the losses or their gradient.
        """
        with torch.inference_mode(False):
            answers = self.answer(x, rate)
            losses, gradient = differentiate(loss_fn, answers.logits)
            self.correct(answers, gradient, adjust)
        return losses

    @torch.no_grad()
    def answer(self, x: Tensor, rate: Tensor | None) -> Answers:
        """The first half of :meth:`learn`: up to the logits."""
        rates = None if rate is None else self._spread(rate, "rate").to(torch.float32)
        rows = self._rows(x)
        keys = self._dropout_keys(0)
        passes: list[tuple[list[slice], Index, tuple[Any, ...]]] = []
        said: list[tuple[Index, Tensor]] = []
        for spans in self._together(self._spans(rates, rows.shape[1])):
            index = _index(spans, keys.device)
            blocks = [
                Block(
                    self._optimiser.views(span)[0],
                    self._rows_of(rows, span),
                    [stack[span] for stack in self.statistics],
                    rates[span] > 0.0 if rates is not None and self.statistics else None,
                )
                for span in spans
            ]
            masks = self.network.masks(_pick(keys, index), rows.shape[1])
            logits, saved = self.network.forward(blocks, masks)
            said.append((index, logits))
            passes.append((spans, index, (blocks, saved, masks)))
        out = self._everyone(said, rows.shape[1])
        return Answers(out.view(*self.keys.shape, *out.shape[1:]), rates, passes)

    def _everyone(self, said: Sequence[tuple[Index, Tensor]], rows: int) -> Tensor:
        """Logits ``[P, M, C]`` from those of some, each ``[K, M, C]``; zeros of the others."""
        learners = self.keys.numel()
        if len(said) == 1 and len(said[0][1]) == learners:
            return said[0][1]
        # Classes before rows, as networks give them and losses want them.
        out = torch.zeros(learners, self.network.classes, rows, device=self.keys.device)
        for index, logits in said:
            if isinstance(index, slice):
                out[index] = logits.mT
            else:
                out.index_copy_(0, index, logits.mT)
        return out.mT

    @torch.no_grad()
    def correct(self, answers: Answers, gradient: Tensor, adjust: Adjust | None = None) -> None:
        """The second half of :meth:`learn`: from the gradient ``[W, N, M, C]`` of the logits."""
        # One layout, whatever the loss made: products round differently in another.
        gradient, rates = gradient.flatten(0, 1).mT.contiguous(), answers.rates
        for spans, index, (blocks, saved, masks) in answers.passes:
            gradients = self.network.backward(blocks, saved, _pick(gradient, index).mT, masks)
            for span, found in zip(spans, gradients, strict=True):
                own = found if adjust is None else adjust(span, found)
                self._optimiser.step(own, None if rates is None else rates[span], first=span.start)

    def reset(self, mask: Tensor, keys: Tensor) -> None:
        """Begin anew with some learners; the others keep every bit.

        Args:
            mask: bool ``[W]`` or ``[W, N]``: which.
            keys: int64 ``[W, N]``; those outside the mask are ignored.
        """
        anew = self._spread(mask.bool(), "mask")
        fresh = self._spread(keys, "keys")
        flat = self.keys.view(-1)
        flat.copy_(torch.where(anew, fresh, flat))
        self._optimiser.clear(anew)
        if flat.device.type == "cpu" or self.network.made_on_host:  # only those that begin anew
            index = anew.nonzero().squeeze(1)
            for stack, new in zip(self.parameters, self.network.init(flat[index]), strict=True):
                stack.index_copy_(0, index, new)
        else:  # everyone is drawn, so that nothing is read back to the host
            _select(self.parameters, self.network.init(flat), anew)
        _select(self.statistics, [fresh.to(flat.device) for fresh in self.network.statistics.values()], anew)

    def at(self, worlds: Tensor) -> Self:
        """Copies of the learners of some worlds (int64 ``[K]``), to be asked without dropout; they cannot be taught."""
        twin = copy.copy(self)
        rows = (worlds[:, None] * self.learners + torch.arange(self.learners, device=worlds.device)).flatten()
        twin.keys = self.keys[worlds]
        twin.parameters = [stack.index_select(0, rows) for stack in self.parameters]
        twin.statistics = [stack.index_select(0, rows) for stack in self.statistics]
        vars(twin).pop("_optimiser", None)
        return twin

    def through(self, network: Network, prefix: str = "", *, without: str = "") -> Self:
        """The same learners through a network of some of their parameters, to be asked without dropout, not taught.

        It shares their stacks, so it says what they have learnt since, too.

        Args:
            network: A part of theirs.
            prefix: What is put before its names to make theirs.
            without: What its names have in front that theirs lack.

        Raises:
            KeyError: It has a parameter or statistic that they lack.
        """
        twin = copy.copy(self)
        parameters = dict(zip(self.network.shapes, self.parameters, strict=True))
        statistics = dict(zip(self.network.statistics, self.statistics, strict=True))
        twin.network = network
        twin.parameters = [parameters[prefix + name.removeprefix(without)] for name in network.shapes]
        twin.statistics = [statistics[prefix + name.removeprefix(without)] for name in network.statistics]
        vars(twin).pop("_optimiser", None)
        return twin

    def average(self, decay: float) -> Average:
        """An exponential moving average of the weights, which begins at their present values."""
        return Average(self, decay)

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of everything: keys ``[W, N]``, step counts ``[P]``, parameters, statistics, the optimiser's state."""
        return {name: tensor.clone() for name, tensor in self._state().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over a state, in place.

        Raises:
            ConfigError: Missing or unknown names, or another shape or dtype; nothing was changed then.
        """
        load(self._state(), state)

    def _state(self) -> dict[str, Tensor]:
        state = {"keys": self.keys, "steps": self._optimiser.steps}
        for kind, tensors in {"parameter": self.parameters, **self._optimiser.state}.items():
            names = self.network.shapes
            state |= {f"{kind}.{name}": tensor for name, tensor in zip(names, tensors, strict=True)}
        return state | self._statistics_by_name()

    def _dropout_keys(self, draw: int | Tensor) -> Tensor:
        # What a fold hashes; the draw hashes it anyway, and on so few numbers a dozen operations weigh much.
        return self.keys.view(-1) ^ (self._optimiser.steps.long() + (draw << 32))


class Average(_Ensemble):
    """Averaged weights of a population (Polyak averaging; the mean teacher of Tarvainen & Valpola, 2017).

    Statistics of the learners (of batch norm) are averages already, and taken as they are.

    Args:
        population: Whose weights to follow.
        decay: Of the average, at each :meth:`update`: ``average = decay·average + (1 − decay)·weights``.
    """

    def __init__(self, population: Population, decay: float) -> None:
        if not 0.0 <= decay <= 1.0:
            raise ValueError(f"decay must be in [0, 1], got {decay}")
        self.population, self.decay = population, decay
        self.network, self.keys = population.network, population.keys
        with torch.inference_mode(False):
            self.parameters = [stack.clone() for stack in population.parameters]
            self.statistics = [stack.clone() for stack in population.statistics]

    def update(self, mask: Tensor | None = None) -> None:
        """Follow the weights; with a mask (bool ``[W]`` or ``[W, N]``), the others keep every bit."""
        pairs = zip(self.parameters, self.population.parameters, strict=True)
        if mask is None:
            for own, other in pairs:
                own.lerp_(other, 1.0 - self.decay)
            for own, other in zip(self.statistics, self.population.statistics, strict=True):
                own.copy_(other)
        else:
            chosen = self._spread(mask.bool(), "mask")
            moved = [own.lerp(other, 1.0 - self.decay) for own, other in pairs]
            _select(self.parameters, moved, chosen)
            _select(self.statistics, self.population.statistics, chosen)

    def reset(self, mask: Tensor) -> None:
        """Begin anew at the present weights, for learners in the mask (bool ``[W]`` or ``[W, N]``)."""
        chosen = self._spread(mask.bool(), "mask")
        _select(self.parameters, self.population.parameters, chosen)
        _select(self.statistics, self.population.statistics, chosen)

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of the averaged stacks; the population is saved apart."""
        return {name: tensor.clone() for name, tensor in self._state().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over a state, in place; see :meth:`Population.load_state_dict`."""
        load(self._state(), state)

    def _state(self) -> dict[str, Tensor]:
        averaged = zip(self.network.shapes, self.parameters, strict=True)
        return {f"average.{name}": stack for name, stack in averaged} | self._statistics_by_name()

    def _dropout_keys(self, draw: int | Tensor) -> Tensor:
        return self.population._dropout_keys(draw)


def _index(spans: Sequence[slice], device: torch.device) -> Index:
    """Ranges as one: a range if they meet, else the indices ``[K]``."""
    if all(a.stop == b.start for a, b in itertools.pairwise(spans)):
        return slice(spans[0].start, spans[-1].stop)
    return torch.tensor([i for span in spans for i in range(span.start, span.stop)], device=device)


def _pick(values: Tensor, index: Index) -> Tensor:
    """Entries ``[K, …]``."""
    return values[index] if isinstance(index, slice) else values.index_select(0, index)


def _runs(chosen: Sequence[bool], first: int) -> list[slice]:
    """Where entries are set, as ranges that begin at ``first``."""
    edges = [False, *chosen, False]
    ends = [i for i in range(len(edges) - 1) if edges[i] != edges[i + 1]]
    return [slice(first + a, first + b) for a, b in zip(ends[::2], ends[1::2], strict=True)]


def _select(stacks: Sequence[Tensor], others: Sequence[Tensor], mask: Tensor) -> None:
    """Copy learners in the mask ``[P]`` from the other stacks (or what is the same for all), in place."""
    for stack, other in zip(stacks, others, strict=True):
        stack.copy_(torch.where(along(mask, stack), other, stack))


def load(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Copy a state into one's own tensors.

    Raises:
        ConfigError: Missing or unknown names, or another shape or dtype; nothing was changed then.
    """
    check_saved("population", state, own)
    for name, tensor in own.items():
        tensor.copy_(state[name])


def differentiate(loss_fn: Loss, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Losses ``[W, N]`` and their gradient ``[W, N, M, C]`` in the logits, both detached.

    Raises:
        ValueError: A wrong shape of the losses.
    """
    with torch.enable_grad():
        logits = logits.detach().requires_grad_()
        found = loss_fn(logits)
        losses, *known = found if isinstance(found, tuple) else (found,)
        if losses.shape != logits.shape[:2]:
            raise ValueError(f"losses must be {list(logits.shape[:2])}, got {list(losses.shape)}")
        (gradient,) = known or torch.autograd.grad(losses, logits, torch.ones_like(losses))
    if gradient.shape != logits.shape:
        raise ValueError(f"the losses' gradient must be {list(logits.shape)}, got {list(gradient.shape)}")
    return losses.detach(), gradient.detach()


def as_rows(x: Tensor, shape: Sequence[int], learners: Sequence[int]) -> Tensor:
    """Inputs of W worlds of N ``learners`` as float32 ``[G, M, D]``, samples flattened.

    G is 1 (shared by all), W (by a world's learners) or W·N (of their own).

    Raises:
        ValueError: A shape that fits none of the three, or more than one.
    """
    width, leading = math.prod(shape), ((), tuple(learners[:1]), tuple(learners))
    # The sample's own shape or a flat sample in the end; else as many dimensions as multiply to it.
    cuts = {x.ndim - 1} if x.ndim > 1 and x.shape[-1] == width else set()
    if x.shape[-len(shape) :] == tuple(shape):
        cuts.add(x.ndim - len(shape))
    found = [
        x.shape[:cut]
        for cut in (sorted(cuts) or range(1, x.ndim - 1))
        if cut > 0 and math.prod(x.shape[cut:]) == width and tuple(x.shape[: cut - 1]) in leading
    ]
    if len(found) != 1:
        expected = f"[W={learners[0]}, M, D…], [W, N={learners[1]}, M, D…] or [M, D…], D… of {width}"
        fault = "could be several of: flatten its samples" if found else "is none of them"
        raise ValueError(f"inputs are {expected}; {list(x.shape)} {fault}")
    *groups, rows = found[0]
    return x.reshape(math.prod(groups), rows, width).to(torch.float32)


def spread(values: Tensor, keys: Tensor, what: str) -> Tensor:
    """Values ``[W]`` or ``[W, N]`` as ``[W, N]``, like the keys.

    Raises:
        ValueError: Another shape; names what it is of.
    """
    if values.shape not in (keys.shape[:1], keys.shape):
        raise ValueError(f"{what} must be [{len(keys)}] or {list(keys.shape)}, got {list(values.shape)}")
    return values.to(keys.device).view(len(keys), -1).expand(keys.shape)
