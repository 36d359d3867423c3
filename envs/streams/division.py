"""From the parts a source comes in to three splits that never mix, the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor

from ..engine import rng
from ..errors import DataError, short
from .dataset import Dataset, Split
from .text import Lexicon, TextDataset, hash_words, moments

DEFAULT_SHARE = 5
"""A split that must be cut from the training part takes one in this many of its items."""

_KEY = rng.purpose_id("studyhall.streams")


@dataclass(frozen=True, eq=False)
class Part:
    """Items as a source gives them: ``x`` uint8 or float32 ``[n, *shape]`` and ``y`` int64 ``[n]``.

    Of texts ``x`` holds the numbers of their words in the source's lexicon, int32 ``[n, T]``.
    """

    x: Tensor
    y: Tensor


@dataclass(frozen=True, eq=False)
class Source:
    """A data set before it is divided.

    An exam or test that is not given is cut from the training part; a normalisation that is not given is
    measured on the stream (uint8 items, texts) or left out (floats).
    """

    name: str
    classes: tuple[str, ...]
    train: Part
    exam: Part | None = None
    test: Part | None = None
    moments: tuple[Tensor, Tensor] | None = None  # mean and deviation of x / scale
    scale: float = 255.0
    lexicon: Lexicon | None = None  # of texts


def divide(
    source: Source, *, stream_size: int | None, exam_size: int | None, test_size: int | None
) -> Dataset:
    """Divide a source into stream, exam and test.

    The choice is pseudo-random with a fixed key and stratified: each class gives its share, to the item.

    Args:
        source: What was loaded.
        stream_size: Items kept in the stream; None keeps all that is left.
        exam_size: Items of the exam; None takes a fifth of the training part, or all of a given exam part.
        test_size: Items of the test; None takes all of the test part, or a fifth where there is none.

    Raises:
        DataError: A size is out of range, or a split would lack a class.
    """
    sizes = {"stream": stream_size, "exam": exam_size, "test": test_size}
    for name, size in sizes.items():
        if size is not None and (isinstance(size, bool) or not isinstance(size, Integral) or size < 1):
            raise DataError(f"{_argument(name)} is {short(size)}: give a number of items, at least 1")
        sizes[name] = None if size is None else int(size)
    num_classes, train = len(source.classes), source.train
    default = max(1, len(train.y) // DEFAULT_SHARE)
    parts: dict[str, Part] = {}
    for name, given in (("test", source.test), ("exam", source.exam)):
        size = sizes[name]
        if given is None:
            parts[name], train = _cut(train, default if size is None else size, num_classes, name)
        else:
            parts[name] = given if size is None else _cut(given, size, num_classes, name)[0]
    if sizes["stream"] is not None:
        train, _ = _cut(train, sizes["stream"], num_classes, "stream")
    parts["stream"] = train
    splits = {name: Split.sort(part.x, part.y, num_classes) for name, part in parts.items()}
    for name, split in splits.items():
        _check_classes(name, split, source)
    return _describe(source, splits)


def _cut(part: Part, size: int, num_classes: int, name: str) -> tuple[Part, Part]:
    """``size`` items of a part, and the others; both keep the part's order."""
    n = len(part.y)
    if size > n:
        raise DataError(
            f"{_argument(name)} is {short(size)}, but only {n} items are left for it: ask for fewer"
        )
    chosen = stratified(part.y, size, num_classes, f"split {name}")
    return Part(part.x[chosen], part.y[chosen]), Part(part.x[~chosen], part.y[~chosen])


def stratified(y: Tensor, size: int, num_classes: int, purpose: str) -> Tensor:
    """Choose ``size`` of n items, from each class its share (largest remainders, then the lower class).

    Args:
        y: Classes, int64 ``[n]``.
        size: How many to choose, ``0 <= size <= n``.
        num_classes: C.
        purpose: Name of the choice; other names choose other items.

    Returns:
        bool ``[n]`` with ``size`` entries True, the same on every machine.
    """
    n = len(y)
    counts = torch.bincount(y, minlength=num_classes)
    share = [size * count for count in counts.tolist()]  # exact, in units of 1/n items
    quota = [whole // n for whole in share]
    by_remainder = sorted(range(num_classes), key=lambda c: (-(share[c] % n), c))
    for c in by_remainder[: size - sum(quota)]:
        quota[c] += 1
    shuffled = rng.draw(torch.tensor(_KEY), purpose, (n,)).permutation()
    by_class = shuffled[y[shuffled].argsort(stable=True)]
    rank = torch.arange(n) - (counts.cumsum(0) - counts)[y[by_class]]
    chosen = torch.zeros(n, dtype=torch.bool)
    chosen[by_class] = rank < torch.tensor(quota)[y[by_class]]
    return chosen


def _check_classes(name: str, split: Split, source: Source) -> None:
    """Every split needs every class: say which are missing, and how rare they are."""
    absent = (split.counts == 0).nonzero().flatten().tolist()
    if absent:
        y = torch.cat([part.y for part in (source.train, source.exam, source.test) if part is not None])
        found = torch.bincount(y, minlength=len(source.classes)).tolist()
        listed = ", ".join(f"{source.classes[c][:40]!r} ({found[c]} of {len(y)} items)" for c in absent[:3])
        raise DataError(
            f"the {name} split ({len(split)} items) is too small: it has none of class {listed}"
            f"{f' and {len(absent) - 3} more' if len(absent) > 3 else ''}; every split needs every class, so drop "
            f"the class, give more items of it, or call load_dataset with another {_argument(name)}"
        )


def _argument(split: str) -> str:
    """What sets the size of a split."""
    return "exam_size (exam_items of a world)" if split == "exam" else f"{split}_size"


def _describe(source: Source, splits: dict[str, Split]) -> Dataset:
    """Add how items are read: as the source says, else from the stream alone."""
    x = splits["stream"].x
    if source.lexicon is not None:
        return _describe_texts(source, source.lexicon, splits)
    if x.dtype == torch.uint8:
        scale = source.scale
        span = (0.0, scale)
        mean, std = source.moments or _moments(x, scale)
    else:  # the user's own floats are taken as they are
        scale = 1.0
        low, high = x.min().item(), x.max().item()
        span = (low, high if high > low else low + 1.0)
        mean, std = torch.zeros(()), torch.ones(())
    return Dataset(
        name=source.name,
        **splits,
        classes=source.classes,
        mean=mean,
        std=std,
        scale=scale,
        span=span,
    )


def _describe_texts(source: Source, lexicon: Lexicon, splits: dict[str, Split]) -> TextDataset:
    """The same of texts."""
    vectors = hash_words(lexicon.words, lexicon.width)
    mean, std = moments(vectors, splits["stream"].x)
    greatest = max(1.0, vectors.abs().max().item())
    return TextDataset(
        name=source.name,
        **splits,
        classes=source.classes,
        mean=mean,
        std=std,
        scale=1.0,
        span=(-greatest, greatest),  # the empty word in the middle
        words=lexicon.words,
        vectors=vectors,
    )


def _moments(x: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Mean and deviation of uint8 items over their channels (or all entries), from exact histograms."""
    channels = x.shape[1] if x.dim() == 4 and x.shape[1] in (1, 3) else 1
    values = torch.arange(256, dtype=torch.float64) / scale
    moments = []
    for c in range(channels):
        entries = (x[:, c] if channels > 1 else x).reshape(-1)
        weight = torch.bincount(entries, minlength=256).double() / entries.numel()
        mean = (weight * values).sum()
        deviation = (weight * (values - mean) ** 2).sum().sqrt()
        moments.append((mean, deviation if deviation > 0 else torch.ones_like(deviation)))
    shape = (channels, 1, 1) if channels > 1 else ()
    mean, std = (torch.stack(moment).float().view(shape) for moment in zip(*moments, strict=True))
    return mean, std
