"""The parts of a transformer for K worlds at once, forward and backward written out.

Every part is a group of parameters that learns or rests by itself. Its forward pass maps activations ``[K, M, E]``
(M = B·T rows, a batch of windows) and says what its backward pass wants saved. The backward pass computes only what
somebody asks for: :class:`Wanted` says which worlds want the group's gradients, and how many want that of its input.
Worlds come in the order in which they drop out of the backward pass, the last first: those still in it are the first n
of each tensor, and nothing is copied when others drop out. Parameters are stacks ``[K, …]``, one slice a world, in
PyTorch's layout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

EPS = 1e-5
"""Added to the variance in a layer norm."""


class Size(NamedTuple):
    """Of a batch of windows, and of what attends to it."""

    windows: int
    """B."""
    length: int
    """T."""
    heads: int
    """H."""


class Wanted(NamedTuple):
    """What the worlds of a backward pass want of a group."""

    learners: Tensor | None
    """Who wants gradients of the group's parameters, int64 ``[L]``; None is everyone."""
    below: int
    """How many, the first ones, want the gradient of the input, for a group further down."""


class Found(NamedTuple):
    """What a backward pass computed."""

    gradients: list[Tensor]
    """Of the group's parameters ``[L, …]``, in their order."""
    below: Tensor
    """Of the input, ``[below, M, E]``."""


Saved = TypeVar("Saved")


def pick(tensor: Tensor, rows: Tensor | None) -> Tensor:
    """Rows of the first dimension; the tensor itself if it is all of them."""
    return tensor if rows is None else tensor.index_select(0, rows)


def first_of(saved: Saved, count: int) -> Saved:
    """The first rows of all that a forward pass saved: tensors or None, in named tuples."""
    parts: Any = saved
    if isinstance(saved, tuple):
        return type(parts)(*(first_of(part, count) for part in parts))
    return parts if parts is None or len(parts) == count else parts[:count]


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``x W' + b`` for ``[K, M, in]``, ``[K, out, in]`` and ``[K, out]``."""
    return torch.baddbmm(bias[:, None], x, weight.mT)


def linear_gradients(delta: Tensor, x: Tensor) -> list[Tensor]:
    """Gradients of weight and bias from that of the output, ``[K, M, out]``."""
    return [torch.bmm(delta.mT, x), delta.sum(1)]


class Normalised(NamedTuple):
    """What the backward pass of a layer norm wants."""

    x: Tensor
    mean: Tensor
    deviation: Tensor  # one over it
    normal: Tensor


def normalise(x: Tensor, gain: Tensor, bias: Tensor) -> tuple[Tensor, Normalised]:
    """Layer norm (Ba et al., 2016) of ``[K, M, E]`` with gains and biases ``[K, E]``."""
    normal, mean, deviation = torch.native_layer_norm(x, x.shape[-1:], None, None, EPS)
    return torch.addcmul(bias[:, None], normal, gain[:, None]), Normalised(x, mean, deviation, normal)


def normalise_backward(delta: Tensor, gain: Tensor, saved: Normalised) -> Tensor:
    """Gradient of the input ``[K, M, E]``."""
    x, mean, deviation, _ = saved
    scaled = delta * gain[:, None]
    return torch.ops.aten.native_layer_norm_backward(
        scaled, x, x.shape[-1:], mean, deviation, None, None, [True, False, False]
    )[0]


def normalise_gradients(delta: Tensor, normal: Tensor, learners: Tensor | None) -> list[Tensor]:
    """Gradients of gain and bias."""
    delta = pick(delta, learners)
    return [(delta * pick(normal, learners)).sum(1), delta.sum(1)]


class Masks(NamedTuple):
    """Dropout of an attention part: zeros, and what scales the others up."""

    weights: Tensor
    """``[K, B·H·T·T]``."""
    output: Tensor
    """``[K, M·E]``."""


class Attended(NamedTuple):
    """What the backward pass of attention wants; all with K worlds in front."""

    x: Tensor
    query: Tensor  # and key and value [K, B·H, T, D]
    key: Tensor
    value: Tensor
    weights: Tensor  # [K, B·H, T, T]
    kept: Tensor | None  # the same after dropout, if there is any
    mixed: Tensor  # [K, M, E], into the output projection
    norm: Normalised
    masks: Masks | None


def attend(
    parameters: Sequence[Tensor], x: Tensor, size: Size, later: Tensor, masks: Masks | None
) -> tuple[Tensor, Attended]:
    """``LN(x + dropout(attention(x)))`` with causal attention of several heads (Vaswani et al., 2017).

    Args:
        parameters: Weights and biases of the projection in and out, then gain and bias of the norm.
        x: ``[K, M, E]``.
        size: M = B·T, and the heads.
        later: ``[T, T]``, minus infinity where a key is later than the query, else 0.
        masks: Dropout.
    """
    into, into_bias, out, out_bias, gain, bias = parameters
    worlds, rows, width = x.shape
    windows, length, heads = size
    deep = width // heads
    projected = linear(x, into, into_bias).view(worlds, windows, length, 3, heads, deep)
    query, key, value = projected.permute(3, 0, 1, 4, 2, 5).reshape(3, -1, length, deep)
    weights = torch.baddbmm(later, query, key.mT, alpha=deep**-0.5)
    weights = torch.softmax(weights, -1, out=weights)
    kept = None if masks is None else (weights.view(worlds, -1) * masks.weights).view_as(weights)
    mixed = torch.bmm(weights if kept is None else kept, value)
    mixed = mixed.view(worlds, windows, heads, length, deep).transpose(2, 3).reshape(worlds, rows, width)
    said = linear(mixed, out, out_bias)
    total = said.add_(x) if masks is None else torch.addcmul(x, said, masks.output.view_as(x))
    y, norm = normalise(total, gain, bias)
    of_worlds = (worlds, windows * heads, length)
    query, key, value = (part.view(*of_worlds, deep) for part in (query, key, value))
    weights, kept = weights.view(*of_worlds, length), None if kept is None else kept.view(*of_worlds, length)
    return y, Attended(x, query, key, value, weights, kept, mixed, norm, masks)


def attend_backward(
    parameters: Sequence[Tensor], saved: Attended, delta: Tensor, size: Size, wanted: Wanted
) -> Found:
    """What :func:`attend`'s group and input get from the gradient ``[K, M, E]`` of its output."""
    into, _, out, _, gain, _ = parameters
    worlds, rows, width = delta.shape
    windows, length, heads = size
    deep = width // heads
    total = normalise_backward(delta, gain, saved.norm)
    said = total if saved.masks is None else total * saved.masks.output.view_as(total)
    mixed = torch.bmm(said, out).view(worlds, windows, length, heads, deep)
    mixed = mixed.transpose(2, 3).reshape(-1, length, deep)
    query, key, value = (part.flatten(0, 1) for part in (saved.query, saved.key, saved.value))
    weights = saved.weights.flatten(0, 1)
    kept = weights if saved.kept is None else saved.kept.flatten(0, 1)
    scores = torch.bmm(mixed, value.mT)
    if saved.masks is not None:
        scores.view(worlds, -1).mul_(saved.masks.weights)
    scores = torch.ops.aten._softmax_backward_data(scores, weights, -1, scores.dtype)
    projected = torch.stack(
        [
            torch.baddbmm(query, scores, key, beta=0, alpha=deep**-0.5),
            torch.baddbmm(key, scores.mT, query, beta=0, alpha=deep**-0.5),
            torch.bmm(kept.mT, mixed),
        ]
    )
    projected = projected.view(3, worlds, windows, heads, length, deep).permute(1, 2, 4, 0, 3, 5)
    projected = projected.reshape(worlds, rows, 3 * width)
    some, below = wanted.learners, wanted.below
    gradients = [
        *linear_gradients(pick(projected, some), pick(saved.x, some)),
        *linear_gradients(pick(said, some), pick(saved.mixed, some)),
        *normalise_gradients(delta, saved.norm.normal, some),
    ]
    return Found(gradients, torch.baddbmm(total[:below], projected[:below], into[:below]))


class Fed(NamedTuple):
    """What the backward pass of a feed-forward part wants."""

    x: Tensor
    wide: Tensor  # before GELU, [K, M, hidden]
    active: Tensor  # behind it
    norm: Normalised
    mask: Tensor | None


def feed(parameters: Sequence[Tensor], x: Tensor, mask: Tensor | None) -> tuple[Tensor, Fed]:
    """``LN(x + dropout(W₂ GELU(W₁ x)))`` with the exact GELU.

    Args:
        parameters: Weights and biases of both layers, then gain and bias of the norm.
        x: ``[K, M, E]``.
        mask: Of the output.
    """
    first, first_bias, second, second_bias, gain, bias = parameters
    wide = linear(x, first, first_bias)
    active = torch.nn.functional.gelu(wide)
    said = linear(active, second, second_bias)
    total = said.add_(x) if mask is None else torch.addcmul(x, said, mask.view_as(x))
    y, norm = normalise(total, gain, bias)
    return y, Fed(x, wide, active, norm, mask)


def feed_backward(parameters: Sequence[Tensor], saved: Fed, delta: Tensor, wanted: Wanted) -> Found:
    """What :func:`feed`'s group and input get from the gradient ``[K, M, E]`` of its output."""
    first, _, second, _, gain, _ = parameters
    total = normalise_backward(delta, gain, saved.norm)
    said = total if saved.mask is None else total * saved.mask.view_as(total)
    wide = torch.ops.aten.gelu_backward(torch.bmm(said, second), saved.wide)
    some, below = wanted.learners, wanted.below
    gradients = [
        *linear_gradients(pick(wide, some), pick(saved.x, some)),
        *linear_gradients(pick(said, some), pick(saved.active, some)),
        *normalise_gradients(delta, saved.norm.normal, some),
    ]
    return Found(gradients, torch.baddbmm(total[:below], wide[:below], first[:below]))


def embed(parameters: Sequence[Tensor], tokens: Tensor, mask: Tensor | None) -> Tensor:
    """Embeddings of tokens int64 ``[K, B, T]`` and their positions, dropped by a mask: ``[K, M, E]``."""
    table, positions = parameters
    worlds, _, length = tokens.shape
    rows = table.flatten(0, 1).index_select(0, _places(tokens, table.shape[1])).view(*tokens.shape, -1)
    x = rows.add_(positions[:, None, :length]).view(worlds, -1, rows.shape[-1])
    return x if mask is None else x.mul_(mask.view_as(x))


def embed_gradients(
    parameters: Sequence[Tensor], tokens: Tensor, mask: Tensor | None, delta: Tensor
) -> list[Tensor]:
    """Gradients of both tables.

    Rows of a token are summed by PyTorch's own kernel for embeddings, which has no atomics: a CPU takes them in their
    order, a CUDA device sorts them by token and sums each token's. So the sum is the same at each run.
    """
    table, positions = parameters
    worlds, words, width = table.shape
    length = tokens.shape[2]
    delta = delta if mask is None else delta * mask.view_as(delta)
    of_table = torch.ops.aten.embedding_dense_backward(
        delta.view(-1, width), _places(tokens, words), worlds * words, -1, False
    )
    of_positions = torch.zeros_like(positions)
    torch.sum(delta.view(*tokens.shape, width), 1, out=of_positions[:, :length])
    return [of_table.view_as(table), of_positions]


def _places(tokens: Tensor, words: int) -> Tensor:
    """Rows of tokens in the tables of all worlds, one behind the other: ``[K·M]``."""
    first = torch.arange(len(tokens), device=tokens.device) * words
    return (tokens.flatten(1) + first[:, None]).view(-1)


def later_than(length: int, like: Tensor) -> Tensor:
    """Minus infinity above the diagonal of ``[T, T]``, else 0."""
    return torch.full((length, length), -math.inf, dtype=like.dtype, device=like.device).triu_(1)


class Scored(NamedTuple):
    """Losses of the output layer, and what its backward pass computed."""

    nats: Tensor
    """Of each row, ``[K, M]``."""
    found: Found
    """Gradients of weight and bias, and of the input; of the mean of a world's rows. Empty if nobody wants any."""


def score(
    weight: Tensor, bias: Tensor, x: Tensor, targets: Tensor, numbers: int, wanted: Wanted | None = None
) -> Scored:
    """Cross-entropy of the output layer, with its gradient, without ever holding all rows' logits.

    The gradient of a row's loss in its logits is ``softmax − one-hot``. It is written over the logits and used while
    it is in the cache.

    Args:
        weight: ``[K, V, E]``.
        bias: ``[K, V]``.
        x: ``[K, M, E]``.
        targets: int64 ``[K, M]``.
        numbers: Logits to hold at a time.
        wanted: Who wants gradients; None if nobody does.
    """
    worlds, rows, width = x.shape
    words = weight.shape[1]
    at_once = min(rows, max(1, numbers // (worlds * words)))
    nats, space = x.new_empty(worlds, rows), x.new_empty(worlds * at_once * words)
    count = 0 if wanted is None else wanted.below
    own = x[:0] if wanted is None else pick(x[:count], wanted.learners)
    below = x.new_empty(count, rows, width)
    of_weight, of_bias = x.new_zeros(len(own), words, width), x.new_zeros(len(own), words)
    for first in range(0, rows, at_once):
        part = slice(first, min(first + at_once, rows))
        size = part.stop - first
        logits = space[: worlds * size * words].view(worlds, size, words)
        torch.bmm(x[:, part], weight.mT, out=logits).add_(bias[:, None])
        torch.log_softmax(logits, -1, out=logits)
        told = targets[:, part, None]
        nats[:, part] = logits.gather(-1, told).squeeze(-1).neg_()
        if wanted is not None:
            error, told = logits[:count].exp_(), told[:count]
            error.scatter_add_(-1, told, error.new_full((1, 1, 1), -1.0).expand(told.shape))
            below[:, part] = torch.bmm(error, weight[:count]).mul_(1.0 / rows)
            error = pick(error, wanted.learners)
            of_weight.baddbmm_(error.mT, own[:, part], alpha=1.0 / rows)
            of_bias.add_(error.sum(1), alpha=1.0 / rows)
    return Scored(nats, Found([of_weight, of_bias], below))
