"""A data set in memory: three splits that never mix, class-sorted, raw until an item is asked for.

Items stay as they came (uint8 pictures, float32 arrays) and are converted and normalised after the gather, so
a slice costs only the bytes it holds. Inside a split the items of class ``c`` are
``offsets[c] … offsets[c] + counts[c] - 1``; with these two tensors a schedule or an exam draws from any class
by integer arithmetic alone, alike on every device.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ConfigError, one_of
from ..validation import whole
from .labels import few

if TYPE_CHECKING:
    from typing_extensions import Self

SplitName = Literal["stream", "exam", "test"]
_SPLITS = get_args(SplitName)
"""*stream*: learners see it; *exam*: the world scores with it; *test*: reports and claims only."""


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """One split of a data set, its items sorted by class (and within a class in their original order).

    Attributes:
        x: Raw items, uint8 or float32 ``[n, *shape]``; of texts the numbers of their words, int32 ``[n, T]``.
        y: Classes, int64 ``[n]``, ascending.
        counts: Items of each class, int64 ``[C]``, none of them 0.
        offsets: Index of the first item of each class, int64 ``[C]``.
    """

    x: Tensor
    y: Tensor
    counts: Tensor
    offsets: Tensor

    @classmethod
    def sort(cls, x: Tensor, y: Tensor, num_classes: int) -> Split:
        """The split of items ``x`` ``[n, *shape]`` with classes ``y`` int64 ``[n]`` in any order."""
        order = y.argsort(stable=True)
        counts = torch.bincount(y, minlength=num_classes)
        return cls(x[order], y[order], counts, counts.cumsum(0) - counts)

    def __len__(self) -> int:
        return self.y.shape[0]

    @property
    def strata(self) -> Tensor:
        """What exams are drawn evenly from, ascending, int64 ``[n]``: the classes."""
        return self.y

    @property
    def domain_count(self) -> int:
        """How many domains each class comes in; ``counts`` and ``offsets`` are of each class of each domain."""
        return 1

    @cached_property
    def rows(self) -> Tensor:
        """Raw items, flattened ``[n, D]``: a view."""
        return self.x.flatten(1)

    def first_classes(self, count: int) -> Split:
        """The items of the first classes alone."""
        end = int(self.counts[:count].sum())
        return Split(self.x[:end], self.y[:end], self.counts[:count], self.offsets[:count])

    def evenly(self, items: int) -> Split:
        """So many items, of all classes alike (of the first ones one more each), the first of each class.

        Raises:
            ConfigError: There are fewer classes than that, or a class has too few.
        """
        classes = len(self.counts)
        each = torch.full_like(self.counts, items // classes)
        each[: items % classes] += 1
        if items < classes or bool((each > self.counts).any()):
            most = classes * int(self.counts.min())
            raise ConfigError(
                f"stream_items must be between {classes} and {most:,} here, an even share of {classes} classes, "
                f"got {items:,}"
            )
        place = torch.arange(len(self), device=self.y.device) - self.offsets[self.y]
        kept = place < each[self.y]
        return Split(self.x[kept], self.y[kept], each, each.cumsum(0) - each)

    def __repr__(self) -> str:
        return f"Split({len(self)} items of {len(self.counts)} classes)"

    def to(self, device: torch.device | str) -> Split:
        """This split on another device."""
        return Split(self.x.to(device), self.y.to(device), self.counts.to(device), self.offsets.to(device))


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Three disjoint splits and how to read them; made by :func:`studyhall.envs.streams.load_dataset`.

    Attributes:
        name: Its name, for reports.
        stream: What learners see.
        exam: What the world scores with.
        test: What reports and claims are measured on.
        classes: Names of the C classes.
        mean: Mean of the inputs before normalisation, float32, ``[]`` or per channel ``[channels, 1, 1]``.
        std: Their standard deviation, same shape.
        scale: Raw items are divided by this first (255 for pictures, 1 for float arrays).
        span: Raw values drawn black and white by :meth:`pixels`.
        sequence: Whether items are rows in order, as the words of a text, and no pictures or vectors.
    """

    sequence: ClassVar[bool] = False
    name: str
    stream: Split
    exam: Split
    test: Split
    classes: tuple[str, ...]
    mean: Tensor
    std: Tensor
    scale: float = 1.0
    span: tuple[float, float] = (0.0, 1.0)
    _centre: Tensor = field(init=False)
    _gain: Tensor = field(init=False)

    def __post_init__(self) -> None:
        # (raw/scale - mean)/std as one subtraction and one product by tensors: both are rounded alike on
        # every device, where a division by a number is not.
        device = self.stream.x.device
        mean, std = self.mean.cpu().double(), self.std.cpu().double()
        object.__setattr__(self, "_centre", (mean * self.scale).float().to(device))
        object.__setattr__(self, "_gain", (1.0 / (std * self.scale)).float().to(device))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item: channels first for pictures (``(1, 28, 28)``), else the rows as they came."""
        return tuple(self.stream.x.shape[1:])

    @property
    def num_classes(self) -> int:
        """Number of classes, C."""
        return len(self.classes)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.stream.x.device

    @property
    def described(self) -> dict[str, Any]:
        """What is to be known of its items by who reads them as its learners do, as JSON holds it."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "classes": list(self.classes),
            "scaling": "(raw / scale - mean) / std",
            "scale": self.scale,
            "mean": self.mean.flatten().tolist(),  # one number, or one a channel
            "std": self.std.flatten().tolist(),
        }

    @cached_property
    def fingerprint(self) -> str:
        """A digest of classes and items, so that a run can say which data it had: 16 characters."""
        digest = hashlib.blake2b(json.dumps(self._told()).encode(), digest_size=8)
        for name in _SPLITS:
            split = self.split(name)
            digest.update(np.ascontiguousarray(split.counts.cpu().numpy()).data)
            digest.update(np.ascontiguousarray(split.x.cpu().numpy()).data)
        return digest.hexdigest()

    def _told(self) -> list[Any]:
        """What else tells it from others, for the fingerprint."""
        return [self.classes, self.shape]

    def reduced(self, classes: int | None, stream_items: int | None) -> Self:
        """Less of this data set, normalised as the whole is.

        Args:
            classes: Of the first so many classes; None: of all.
            stream_items: So many items that learners see, of all these classes alike; None: all.

        Raises:
            ConfigError: There are not so many.
        """
        found = self
        if classes is not None:
            count = whole("data_classes", classes, 1, self.num_classes)
            splits: dict[str, Any] = {name: self.split(name).first_classes(count) for name in _SPLITS}
            found = replace(found, **splits, classes=self.classes[:count])
        if stream_items is not None:
            found = replace(found, stream=found.stream.evenly(whole("stream_items", stream_items, 1)))
        return found

    def split(self, name: SplitName) -> Split:
        """A split by its name.

        Raises:
            UnknownName: There are only *stream*, *exam* and *test*.
        """
        if name not in _SPLITS:
            one_of("split", name, _SPLITS)
        return getattr(self, name)

    def inputs(self, split: SplitName, index: Tensor) -> Tensor:
        """Items as a network reads them.

        Args:
            split: Which split.
            index: int64 ``[...]``, positions in that split.

        Returns:
            float32 ``[..., *shape]``, scaled and normalised.
        """
        gathered = self._gather(split, index).to(torch.float32)  # a copy, so free to be changed in place
        return gathered.sub_(self._centre).mul_(self._gain)

    def labels(self, split: SplitName, index: Tensor) -> Tensor:
        """Classes of the items at ``index``: int64, shaped like ``index``."""
        return self.split(split).y[index]

    def dealt(self, index: Tensor) -> Tensor:
        """What a schedule dealt of the stream, float32 ``[..., *shape]`` of ``index [...]``; zeros where −1."""
        x = self.inputs("stream", index.clamp_min(0))
        return x * (index >= 0).view(*index.shape, *[1] * len(self.shape))

    def dealt_labels(self, index: Tensor) -> Tensor:
        """Classes of what a schedule dealt of the stream, int64 ``[...]``; −1 where −1."""
        return torch.where(index >= 0, self.labels("stream", index.clamp_min(0)), -1)

    def pixels(self, split: SplitName, index: Tensor) -> Tensor:
        """Items for the eye: float32 ``[..., *shape]`` in [0, 1]."""
        low, high = self.span
        return self._gather(split, index).to(torch.float32).sub_(low).div_(high - low).clamp_(0.0, 1.0)

    def to(self, device: torch.device | str) -> Self:
        """This data set on another device (itself where it is there already)."""
        target = torch.empty(0, device=device).device  # "cuda" becomes "cuda:0", as the tensors say it
        if target == self.device:
            return self
        return replace(
            self,
            stream=self.stream.to(target),
            exam=self.exam.to(target),
            test=self.test.to(target),
            mean=self.mean.to(target),
            std=self.std.to(target),
        )

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}={len(self.split(name))}" for name in _SPLITS)
        named = any(name != str(number) for number, name in enumerate(self.classes))
        classes = f"{self.num_classes} ({few(self.classes)})" if named else f"{self.num_classes}"
        return f"Dataset({self.name!r}, shape={self.shape}, classes={classes}, {sizes})"

    def _gather(self, split: SplitName, index: Tensor) -> Tensor:
        """Items before they are normalised, ``[..., *shape]``; always a copy."""
        return self._raw(split, index)

    def _raw(self, split: SplitName, index: Tensor) -> Tensor:
        items = self.split(split)
        # Copies whole rows, which on the CPU is several times faster than advanced indexing.
        return F.embedding(index, items.rows).view(*index.shape, *items.x.shape[1:])
