"""A language model whose groups of parameters learn or rest, for K worlds at once.

A :class:`Transformer` holds no weights. Its parameters are *stacks* ``[K, …]``, one slice a world, in groups: the
embeddings, the attention and the feed-forward part of each layer, and the output. The backward pass is written out
group by group, from the output down; it ends at each world's lowest learner, and makes gradients of weights only where
a group learns. So a resting group saves what can be saved: not the forward pass, and not the gradient that passes
through it on its way to a group further down.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..envs.engine import rng
from ..envs.errors import ConfigError, one_of
from ..envs.validation import keep, real, whole
from . import sublayers
from .dropout import scaled
from .language_model import LanguageModel
from .sublayers import Found, Masks, Normalised, Scored, Size, Wanted, first_of, pick

_DRAWS_AT_ONCE = 1 << 22  # bounds the scratch memory of an initialisation
_LOGITS = {
    "cpu": 256 * 10_000
}  # held at a time: of 16 to 1,024 rows of 10,000 words, 128 to 256 are the fastest
_LOGITS_ELSEWHERE = 1 << 27
_MOST_LAYERS = 1024
_ROWS_AT_ONCE = 1 << 13  # tokens, times worlds, evaluated at a time: bounds the memory of the activations

Learners = npt.NDArray[np.bool_]
"""Who learns, on the host."""


class Saved(NamedTuple):
    """What a forward pass leaves to the backward pass."""

    parameters: Sequence[Tensor]
    tokens: Tensor
    """Inputs, int64 ``[K, B, T]``."""
    mask: Tensor | None
    """Of the embeddings."""
    layers: list[Any]
    """Of each part between embeddings and output."""
    norm: Normalised
    output: Found
    """Gradients of the output layer."""
    learn: Learners
    """Who learns, bool ``[K, N]``."""
    order: npt.NDArray[np.int64]
    """Which world each of the K is, of those asked for: sorted by their lowest learner, as all the others here."""


class GroupGradients(NamedTuple):
    """Of one group, in the worlds in which it learns."""

    group: int
    worlds: npt.NDArray[np.int64]
    """Which of the K, in any order: ``[L]``."""
    gradients: list[Tensor]
    """Stacks ``[L, *shape]`` in the group's order."""


@dataclass(frozen=True)
class Transformer:
    """A causal transformer with post-norm, GELU and a learned embedding of positions (Vaswani et al., 2017).

    Its N = 2·layers + 2 groups, from the input up: embeddings of tokens and positions; of each layer attention with its
    norm, then the feed-forward part with its norm; the last norm with the output layer, which shares no weights.

    Args:
        vocabulary: V, words there are.
        width: E.
        heads: Of attention; they must divide the width.
        layers: An attention and a feed-forward part each.
        feedforward: Width within the feed-forward parts.
        length: Tokens of the longest window.
        dropout: Probability with which embeddings, weights of attention, and numbers added to the residual stream are
            dropped in training.
        init: ``"scaled"``: tokens N(0, 0.3²), positions N(0, 0.05²), Xavier-uniform matrices (Glorot & Bengio, 2010).
            ``"xavier"``: Xavier over both tables too. Then positions are several times as large as tokens, and the
            model first sits on a plateau on which it knows the words' frequencies alone.

    Raises:
        ConfigError: A size out of range, or heads that do not divide the width.
        UnknownName: No such ``init``.
    """

    vocabulary: int
    width: int = 128
    heads: int = 4
    layers: int = 4
    feedforward: int = 256
    length: int = 64
    dropout: float = 0.1
    init: str = "scaled"

    def __post_init__(self) -> None:
        sizes = ("vocabulary", "width", "heads", "layers", "feedforward", "length")
        keep(self, **{name: whole(name, getattr(self, name), 1) for name in sizes})
        keep(self, layers=whole("layers", self.layers, 1, _MOST_LAYERS))
        if self.width % self.heads:
            raise ConfigError(f"heads must divide the width {self.width}, got {self.heads}")
        keep(self, dropout=real("dropout", self.dropout, 0, 1), init=one_of("init", self.init, _INITS))
        if self.dropout == 1:
            raise ConfigError("dropout must be below 1, or nothing is left")

    @functools.cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name to shape of one model's parameters, as in :meth:`module`, in the order of the groups."""
        width, wide = self.width, self.feedforward
        shapes: dict[str, tuple[int, ...]] = {
            "tokens.weight": (self.vocabulary, width),
            "positions.weight": (self.length, width),
        }
        for layer in range(0, 2 * self.layers, 2):
            shapes |= {
                f"layers.{layer}.attention.in_proj_weight": (3 * width, width),
                f"layers.{layer}.attention.in_proj_bias": (3 * width,),
                f"layers.{layer}.attention.out_proj.weight": (width, width),
                f"layers.{layer}.attention.out_proj.bias": (width,),
                f"layers.{layer}.norm.weight": (width,),
                f"layers.{layer}.norm.bias": (width,),
                f"layers.{layer + 1}.wide.weight": (wide, width),
                f"layers.{layer + 1}.wide.bias": (wide,),
                f"layers.{layer + 1}.narrow.weight": (width, wide),
                f"layers.{layer + 1}.narrow.bias": (width,),
                f"layers.{layer + 1}.norm.weight": (width,),
                f"layers.{layer + 1}.norm.bias": (width,),
            }
        return shapes | {
            "norm.weight": (width,),
            "norm.bias": (width,),
            "output.weight": (self.vocabulary, width),
            "output.bias": (self.vocabulary,),
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters."""
        return tuple(self.shapes)

    @property
    def stored(self) -> dict[str, tuple[int, ...]]:
        """Name to shape of all tensors that one model is made of: its parameters."""
        return self.shapes

    @functools.cached_property
    def groups(self) -> tuple[slice, ...]:
        """Of each of the N groups its range of the parameters."""
        ends = [0, *itertools.accumulate([2, *[6] * (2 * self.layers), 4])]
        return tuple(slice(first, end) for first, end in itertools.pairwise(ends))

    @functools.cached_property
    def sizes(self) -> tuple[int, ...]:
        """Parameters of each group."""
        counts = [math.prod(shape) for shape in self.shapes.values()]
        return tuple(sum(counts[group]) for group in self.groups)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What each group is: ``"embedding"``, ``"attention"``, ``"feed-forward"`` or ``"output"``."""
        return ("embedding", *("attention", "feed-forward") * self.layers, "output")

    @property
    def num_parameters(self) -> int:
        """Parameters of one model."""
        return sum(self.sizes)

    def module(self) -> LanguageModel:
        """The same model as an ordinary module, its parameters in the order of :attr:`shapes`."""
        return LanguageModel(
            *(self.vocabulary, self.width, self.heads, self.layers, self.feedforward, self.length),
            self.dropout,
        )

    def extract(self, parameters: Sequence[Tensor], k: int) -> LanguageModel:
        """A copy of model ``k`` of the stacks as an ordinary module, in evaluation mode."""
        module = self.module().to(parameters[0].device, parameters[0].dtype)
        with torch.no_grad():
            for own, stack in zip(module.parameters(), parameters, strict=True):
                own.copy_(stack[k])
        return module.eval()

    def draw(self, keys: Tensor) -> list[Tensor]:
        """Initial stacks ``[K, *shape]`` for keys ``[K]``; a model's depend on its own key only, bit for bit."""
        return [self._draw(name, shape, keys) for name, shape in self.shapes.items()]

    def _draw(self, name: str, shape: tuple[int, ...], keys: Tensor) -> Tensor:
        stack = torch.zeros(len(keys), *shape, device=keys.device)
        if len(shape) == 1:
            return stack.fill_(1.0) if name.endswith("norm.weight") else stack
        at_once = max(1, _DRAWS_AT_ONCE // math.prod(shape))
        for part, key in zip(stack.split(at_once), keys.split(at_once), strict=True):
            drawn = rng.draw(key, f"init:{name}", shape)
            if name in _INITS[self.init]:
                torch.mul(drawn.normal(), _INITS[self.init][name], out=part)
            else:
                torch.mul(drawn.uniform() * 2.0 - 1.0, math.sqrt(6.0 / sum(shape)), out=part)
        return stack

    def forward(
        self,
        parameters: Sequence[Tensor],
        tokens: Tensor,
        keys: Tensor | None = None,
        learn: Learners | None = None,
    ) -> tuple[Tensor, Saved | None]:
        """Losses of next tokens, and what :meth:`backward` wants.

        Args:
            parameters: Stacks ``[K, …]``.
            tokens: int64 ``[K, B, T + 1]``, each window of its own; the inputs are all but the last of a window, the
                targets all but the first.
            keys: int64 ``[K]``, of the dropout; None is evaluation mode.
            learn: Which groups will learn, bool ``[K, N]`` on the host. The output layer makes its gradients here, a
                few rows at a time, so that no logits need be kept. None if only losses are wanted.

        Returns:
            Mean nats per token ``[K]``; None for what is saved where nobody learns.

        Raises:
            ValueError: Tokens of another shape, or longer than the model.
        """
        if learn is None or not learn.any():
            inputs, targets = self._windows(tokens)
            x, _, _ = self._run(parameters, inputs, self._masks(keys, inputs.shape[1:]))
            return self._score(parameters, x, targets).nats.mean(1), None
        order = np.argsort(_lowest(learn), kind="stable")
        learn, index = learn[order], _index(order, len(order), tokens.device)
        parameters, tokens = [pick(stack, index) for stack in parameters], pick(tokens, index)
        inputs, targets = self._windows(tokens)
        masks = self._masks(None if keys is None else pick(keys, index), inputs.shape[1:])
        x, norm, layers = self._run(parameters, inputs, masks, saving=True)
        count = int(learn.any(1).sum())
        wanted = Wanted(_index(np.flatnonzero(learn[:count, -1]), count, tokens.device), count)
        nats, output = self._score(parameters, x, targets, wanted)
        losses = nats.mean(1)
        if index is not None:
            losses = torch.empty_like(losses).index_copy_(0, index, losses)
        mask = None if masks is None else masks[0]
        return losses, Saved(parameters, inputs, mask, layers, norm, output, learn, order)

    def backward(self, saved: Saved) -> Iterator[GroupGradients]:
        """Gradients of the losses, each world's own, from the output down to each world's lowest learner.

        Groups in which nobody learns are passed over. Who asks for the next group has used the last one: the parameters
        of a group may change in between.
        """
        lowest, delta = _lowest(saved.learn), saved.output.below
        for group in range(len(self.groups) - 1, -1, -1):
            learners = np.flatnonzero(saved.learn[: len(delta), group])
            wanted = Wanted(_index(learners, len(delta), delta.device), int((lowest < group).sum()))
            found = self._backward(saved, group, delta, wanted)
            delta = found.below
            if len(learners):
                yield GroupGradients(group, saved.order[learners], found.gradients)
            if not len(delta):
                return

    def _backward(self, saved: Saved, group: int, delta: Tensor, wanted: Wanted) -> Found:
        """One group's part of the backward pass, for the worlds that are still in it."""
        live, some = len(delta), wanted.learners
        own = [stack[:live] for stack in saved.parameters[self.groups[group]]]
        if group == 0:
            mask = None if saved.mask is None else pick(saved.mask[:live], some)
            tables, tokens = [pick(stack, some) for stack in own], pick(saved.tokens[:live], some)
            return Found(sublayers.embed_gradients(tables, tokens, mask, pick(delta, some)), delta[:0])
        if group == len(self.groups) - 1:
            norm = first_of(saved.norm, live)
            gradients = sublayers.normalise_gradients(delta, norm.normal, some) + saved.output.gradients
            return Found(gradients, sublayers.normalise_backward(delta, own[0], norm)[: wanted.below])
        layer = first_of(saved.layers[group - 1], live)
        if group % 2:
            return sublayers.attend_backward(own, layer, delta, self._size(saved.tokens.shape[1:]), wanted)
        return sublayers.feed_backward(own, layer, delta, wanted)

    def logits(self, parameters: Sequence[Tensor], tokens: Tensor) -> Tensor:
        """Logits ``[K, B, T, V]`` of the tokens behind each of ``[K, B, T]``, in evaluation mode.

        Raises:
            ValueError: Tokens of another shape, or longer than the model.
        """
        self._check(tokens, 0)
        x, _, _ = self._run(parameters, tokens, None)
        return sublayers.linear(x, *parameters[-2:]).view(*tokens.shape, self.vocabulary)

    def losses(self, parameters: Sequence[Tensor], tokens: Tensor) -> Tensor:
        """Mean nats per token of each window, ``[K, M]`` for ``[K, M, T + 1]``, in evaluation mode.

        A few windows at a time, so that memory stays small however many there are.

        Raises:
            ValueError: Tokens of another shape, or longer than the model.
        """
        self._windows(tokens)
        at_once = max(1, _ROWS_AT_ONCE // (len(tokens) * tokens.shape[2]))
        parts = []
        for some in tokens.split(at_once, 1):
            inputs, targets = self._windows(some)
            x, _, _ = self._run(parameters, inputs, None)
            parts.append(self._score(parameters, x, targets).nats.view(inputs.shape).mean(2))
        return torch.cat(parts, 1)

    def cost(self, learn: npt.ArrayLike, windows: int, length: int) -> npt.NDArray[np.int64]:
        """Multiply-adds of a learning step's matrix products, forward and backward, as they are executed.

        With M = B·T tokens, of the forward pass: ``4·M·E² + 2·M·T·E`` for attention (projections; scores and mixing,
        over all T×T pairs, since the later ones are computed and masked), ``2·M·E·F`` for a feed-forward part of
        width F, ``M·E·V`` for the output, nothing for the embeddings, which only sum. Of the backward pass, of every
        group from the output down to the lowest learner, where P is its forward cost without scores and mixing:

        - P for the weights, where the group learns;
        - P for the gradient of what its matrices were given. The lowest learner spares that of its first matrix: of
          attention ``3·M·E²``, of a feed-forward part ``M·E·F``. The output never does, as its norm comes below it;
        - ``4·M·T·E`` for scores and mixing.

        Args:
            learn: Which groups learn, bool ``[…, N]``.
            windows: B.
            length: T.

        Returns:
            int64 ``[…]``.
        """
        learn = np.asarray(learn, dtype=bool)
        rows, width = windows * length, self.width
        attention, fed = 4 * rows * width**2, 2 * rows * width * self.feedforward
        products = np.array([0, *(attention, fed) * self.layers, rows * width * self.vocabulary])
        pairs = 2 * rows * length * width * np.array([0, *(1, 0) * self.layers, 0])
        first = np.array([0, *(3 * rows * width**2, fed // 2) * self.layers, 0])
        reached = np.logical_or.accumulate(learn, -1)  # at or above the lowest learner
        lowest = reached & ~np.concatenate([np.zeros_like(reached[..., :1]), reached[..., :-1]], -1)
        back = reached * (products + 2 * pairs) + learn * products - lowest * first
        return np.asarray((products + pairs).sum() + back.sum(-1))

    def _run(
        self,
        parameters: Sequence[Tensor],
        inputs: Tensor,
        masks: list[Tensor] | None,
        *,
        saving: bool = False,
    ) -> tuple[Tensor, Normalised, list[Any]]:
        """Activations ``[K, M, E]`` below the output layer; what is saved of the last norm, and of each part."""
        size = self._size(inputs.shape[1:])
        left = iter(masks or ())
        later = sublayers.later_than(size.length, parameters[0])
        x = sublayers.embed(parameters[self.groups[0]], inputs, next(left, None))
        saved: list[Any] = []
        kept: Any
        for group in range(1, len(self.groups) - 1):
            own = parameters[self.groups[group]]
            if group % 2:
                pair = None if masks is None else Masks(next(left), next(left))
                x, kept = sublayers.attend(own, x, size, later, pair)
            else:
                x, kept = sublayers.feed(own, x, next(left, None))
            if saving:
                saved.append(kept)
        x, norm = sublayers.normalise(x, *parameters[-4:-2])
        return x, norm, saved

    def _masks(self, keys: Tensor | None, shape: Sequence[int]) -> list[Tensor] | None:
        """Dropout masks in the order in which they are used, ``[K, units]``; None where nothing is dropped."""
        if keys is None or not self.dropout:
            return None
        windows, length = shape
        stream, weights = windows * length * self.width, windows * self.heads * length**2
        return scaled(keys, [stream, *(weights, stream, stream) * self.layers], self.dropout)

    def _size(self, shape: Sequence[int]) -> Size:
        windows, length = shape
        return Size(windows, length, self.heads)

    def _windows(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs ``[K, B, T]`` and targets ``[K, B·T]``."""
        self._check(tokens, 1)
        return tokens[..., :-1], tokens[..., 1:].flatten(1)

    def _check(self, tokens: Tensor, targets: int) -> None:
        longest = self.length + targets
        if tokens.ndim != 3 or tokens.dtype != torch.int64 or not targets < tokens.shape[2] <= longest:
            raise ValueError(
                f"tokens must be int64 [K, B, {targets + 1} to {longest}], got {tokens.dtype} {list(tokens.shape)}"
            )

    def _score(
        self, parameters: Sequence[Tensor], x: Tensor, targets: Tensor, wanted: Wanted | None = None
    ) -> Scored:
        """Losses of activations ``[K, M, E]``, and the gradients of the output layer that are wanted."""
        numbers = _LOGITS.get(x.device.type, _LOGITS_ELSEWHERE)
        return sublayers.score(parameters[-2], parameters[-1], x, targets, numbers, wanted)


_INITS: dict[str, dict[str, float]] = {
    "scaled": {"tokens.weight": 0.3, "positions.weight": 0.05},
    "xavier": {},
}
"""Standard deviations of what is drawn from a normal distribution."""


def _lowest(learn: Learners) -> npt.NDArray[np.int64]:
    """The lowest learner of each world, ``[K]``; N where nobody learns."""
    return np.where(learn.any(1), learn.argmax(1), learn.shape[1])


def _index(rows: npt.NDArray[np.int64], count: int, device: torch.device) -> Tensor | None:
    """Rows of so many on the device; None if they are all of them in a row."""
    return None if np.array_equal(rows, np.arange(count)) else torch.as_tensor(rows, device=device)
