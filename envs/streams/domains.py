"""Domains: the same classes looking otherwise, for learners who must go on without forgetting.

A data set of D domains holds every class D times over. Its items are sorted by domain, then by class; a *cell* is one
class of one domain. Labels are the classes, whatever the domain, and nothing tells an agent which domain is on.

==============  ======================================================================================
``domains``     what they are
==============  ======================================================================================
``"permuted"``  the first as it is, in each other the places of an item's numbers (of a picture's pixels)
                exchanged in a fixed way of its own (Goodfellow et al., arXiv:1312.6211)
``"rotated"``   pictures turned by 180° · d / D (Lopez-Paz & Ranzato, NeurIPS 2017, turn by up to 180°)
a list          one data set each, anything that ``data`` takes, of the same shape and classes
==============  ======================================================================================

Permuted and turned items are made when they are looked at, so that D domains take no more memory than one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError, one_of
from ..validation import whole
from .dataset import Dataset, Split, SplitName

if TYPE_CHECKING:
    from typing_extensions import Self

KINDS = ("permuted", "rotated")
_SEED = 20_260  # of permutations, which are the same everywhere


@dataclass(frozen=True, eq=False, repr=False)
class DomainSplit(Split):
    """One split of several domains: of cells, where a :class:`Split` is of classes.

    Attributes:
        y: Classes, int64 ``[D·n]``, ascending within a domain.
        counts: Items of each cell, int64 ``[D·C]``.
        offsets: Index of the first item of each cell, int64 ``[D·C]``.
        cells: The cell of each item, int64 ``[D·n]``, ascending.
        domains: D.
    """

    cells: Tensor
    domains: int

    @classmethod
    def of(cls, x: Tensor, splits: Sequence[Split]) -> Self:
        """Splits of one data set after another; ``x`` are their raw items."""
        y = torch.cat([split.y for split in splits])
        counts = torch.cat([split.counts for split in splits])
        classes = len(splits[0].counts)
        cells = torch.cat([split.y + d * classes for d, split in enumerate(splits)])
        return cls(x, y, counts, counts.cumsum(0) - counts, cells, len(splits))

    @property
    def strata(self) -> Tensor:
        """Cells: exams hold as many of each domain as of each class."""
        return self.cells

    @property
    def domain_count(self) -> int:
        """D."""
        return self.domains

    def to(self, device: torch.device | str) -> Self:
        """This split on another device."""
        moved = {name: getattr(self, name).to(device) for name in ("x", "y", "counts", "offsets", "cells")}
        return replace(self, **moved)


@dataclass(frozen=True, eq=False, repr=False)
class Domains(Dataset):
    """Several data sets of the same classes, one after another.

    Attributes:
        domains: Their names.
    """

    domains: tuple[str, ...] = ()

    @property
    def described(self) -> dict[str, Any]:
        """As of :class:`Dataset`, and the names of the domains."""
        return {**super().described, "domains": list(self.domains)}

    def _told(self) -> list[Any]:
        return [*super()._told(), self.domains]

    def reduced(self, classes: int | None, stream_items: int | None) -> Self:
        """Only the whole; what a domain holds is reduced before.

        Raises:
            ConfigError: Less is asked for.
        """
        if classes is not None or stream_items is not None:
            raise ConfigError(
                "a data set of several domains cannot be reduced: leave out data_classes and stream_items"
            )
        return self


@dataclass(frozen=True, eq=False, repr=False)
class Warped(Domains):
    """One data set, of whose items each domain has others made: weighted sums of places of the first domain's.

    Attributes:
        places: Which places of an item make each place, int64 ``[D, P, J]``, P of a channel.
        shares: How much of each, float32 ``[D, P, J]``.
    """

    places: Tensor = field(default_factory=lambda: torch.empty(0))
    shares: Tensor = field(default_factory=lambda: torch.empty(0))

    def to(self, device: torch.device | str) -> Self:
        """This data set on another device."""
        moved = super().to(device)
        target = moved.stream.x.device
        return replace(moved, places=self.places.to(target), shares=self.shares.to(target))

    def _raw(self, split: SplitName, index: Tensor) -> Tensor:
        x = self.split(split).x
        item, domain = index.reshape(-1) % len(x), index.reshape(-1) // len(x)
        rows = x.flatten(1).index_select(0, item).to(torch.float32)
        rows = rows.view(len(item), -1, self.places.shape[1])  # [M, channels, P]
        made = torch.zeros_like(rows)
        for place, share in zip(self.places.unbind(-1), self.shares.unbind(-1), strict=True):  # J: 1 or 4
            source = place.index_select(0, domain)[:, None].expand_as(rows)
            made += rows.gather(-1, source) * share.index_select(0, domain)[:, None]
        return made.view(*index.shape, *x.shape[1:])


def with_domains(data: Dataset, kind: str, count: int) -> Warped:
    """A data set in several domains that are made from it.

    Args:
        data: The first of them.
        kind: One of :data:`KINDS`.
        count: D.

    Raises:
        UnknownName: No such kind.
        ConfigError: Fewer than two, items that are no pictures to turn, or texts.
    """
    one_of("kind of domains", kind, KINDS)
    whole("domain_count", count, 2, 1000)
    if data.sequence or not data.shape:
        raise ConfigError(
            f"domains {kind!r} are of pictures and vectors, not of texts: give a list of data sets"
        )
    if kind == "rotated" and len(data.shape) not in (2, 3):
        raise ConfigError("only pictures can be turned: take domains='permuted', or a list of data sets")
    size = math.prod(data.shape[-2:]) if len(data.shape) == 3 else math.prod(data.shape)
    if kind == "permuted":
        places, shares = _permutations(size, count)
        names = [f"permuted {d}" if d else "as they are" for d in range(count)]
    else:
        places, shares = _rotations(data.shape[-2], data.shape[-1], count)
        names = [f"turned by {180 * d / count:g}°" for d in range(count)]
    splits = {name: _repeated(data.split(name), count) for name in get_args(SplitName)}
    return Warped(
        f"{data.name}, {kind}",
        **splits,
        classes=data.classes,
        mean=data.mean,
        std=data.std,
        scale=data.scale,
        span=data.span,
        domains=tuple(names),
        places=places.to(data.device),
        shares=shares.to(data.device),
    )


def joined(sets: Sequence[Dataset]) -> Domains:
    """Data sets as the domains of one, normalised as the first is.

    Raises:
        ConfigError: Fewer than two, or their shapes or classes differ.
    """
    first = sets[0] if sets else None
    if first is None or len(sets) < 2:
        raise ConfigError(f"domains are two data sets or more, got {len(sets)}")
    for other in sets[1:]:
        if (other.shape, other.classes, other.scale) != (first.shape, first.classes, first.scale):
            raise ConfigError(
                f"domains have items of one shape and the same classes, but {first.name} has {first.shape} and "
                f"{len(first.classes)} classes, {other.name} {other.shape} and {len(other.classes)}"
                + ("" if other.classes == first.classes else ", of other names")
            )
    splits = {}
    for name in get_args(SplitName):
        parts = [one.split(name) for one in sets]
        splits[name] = DomainSplit.of(torch.cat([part.x for part in parts]), parts)
    return Domains(
        " then ".join(one.name for one in sets),
        **splits,
        classes=first.classes,
        mean=first.mean,
        std=first.std,
        scale=first.scale,
        span=first.span,
        domains=tuple(one.name for one in sets),
    )


def _repeated(split: Split, count: int) -> DomainSplit:
    return DomainSplit.of(split.x, [split] * count)


def _permutations(size: int, count: int) -> tuple[Tensor, Tensor]:
    """Places and shares of a permutation for each domain, the first of which changes nothing, ``[D, P, 1]``."""
    drawn = np.random.RandomState(_SEED)  # its stream never changes
    places = [np.arange(size), *(drawn.permutation(size) for _ in range(count - 1))]
    found = torch.from_numpy(np.stack(places))[..., None]
    return found, torch.ones(found.shape)


def _rotations(high: int, wide: int, count: int) -> tuple[Tensor, Tensor]:
    """Places and shares of pictures turned about their middle, ``[D, H·W, 4]``: bilinear, black from outside."""
    y, x = np.mgrid[:high, :wide].reshape(2, -1).astype(float)
    middle_y, middle_x = (high - 1) / 2, (wide - 1) / 2
    places, shares = [], []
    for d in range(count):
        angle = math.pi * d / count
        turned_y = math.cos(angle) * (y - middle_y) - math.sin(angle) * (x - middle_x) + middle_y
        turned_x = math.sin(angle) * (y - middle_y) + math.cos(angle) * (x - middle_x) + middle_x
        low_y, low_x = np.floor(turned_y + 1e-9), np.floor(turned_x + 1e-9)
        corners, weights = [], []
        for up in (0, 1):
            for right in (0, 1):
                at_y, at_x = low_y + up, low_x + right
                weight = np.clip(1 - abs(turned_y - at_y), 0, 1) * np.clip(1 - abs(turned_x - at_x), 0, 1)
                inside = (at_y >= 0) & (at_y < high) & (at_x >= 0) & (at_x < wide)
                corners.append(np.where(inside, at_y * wide + at_x, 0))
                weights.append(np.where(inside, weight, 0))
        places.append(np.stack(corners, -1))
        shares.append(np.stack(weights, -1))
    return torch.from_numpy(np.stack(places)).long(), torch.from_numpy(np.stack(shares)).float()
