"""Samples cut into tokens: patches of a picture, stretches of a vector, words of a text; and what a glance tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from ..engine import rng
from ..errors import ConfigError, one_of, short
from ..streams import Dataset
from ..validation import whole

STATISTICS = ("mean", "deviation", "greatest", "change")
"""What a glance tells of a token; ``change`` is the mean absolute difference of neighbouring entries."""

VIEWS = ("statistic", "coarse", "pixels")


@dataclass(frozen=True)
class Tokens:
    """The cut of samples of one shape into T tokens of P numbers.

    Args:
        shape: Of a sample: ``(channels, height, width)``, ``(height, width)`` or ``(length,)``.
        patch: Side of a patch, or its (height, width); of vectors the length of a stretch.

    Attributes:
        grid: Tokens down and across; ``(1, T)`` for vectors.

    Raises:
        ConfigError: The patch does not divide the sides, or the shape is none of the three.
    """

    shape: Sequence[int]
    patch: int | Sequence[int]
    grid: tuple[int, int] = field(init=False)
    _picture: tuple[int, int, int] = field(init=False)

    def __post_init__(self) -> None:
        high, wide = _sides(self.patch)
        if not 1 <= len(self.shape) <= 3:
            raise ConfigError(
                f"tokens are cut from pictures, texts or vectors, not from samples of shape {tuple(self.shape)}"
            )
        if len(self.shape) == 1:
            if high != wide:
                raise ConfigError(
                    f"vectors are cut into stretches: patch must be a length, got {short(self.patch)}"
                )
            high = 1
        channels, height, width = (1, 1, *self.shape)[-3:]
        if height % high or width % wide:
            raise ConfigError(
                f"patch {self.patch} does not divide samples of shape {tuple(self.shape)}: choose one that does"
            )
        object.__setattr__(self, "grid", (height // high, width // wide))
        object.__setattr__(self, "_picture", (channels, high, wide))

    @classmethod
    def of(cls, dataset: Dataset, patch: int | Sequence[int] | None) -> Tokens:
        """The cut of a data set's samples.

        Args:
            dataset: Sequences are cut into stretches of whole rows.
            patch: As above; of sequences the rows of a token. None: 2, and 1 of sequences.
        """
        if not dataset.sequence:
            return cls(dataset.shape, 2 if patch is None else patch)
        rows = whole("patch (words of a token)", 1 if patch is None else patch, 1)
        return cls(dataset.shape, (rows, dataset.shape[1]))

    @property
    def count(self) -> int:
        """T."""
        return self.grid[0] * self.grid[1]

    @property
    def width(self) -> int:
        """P, numbers of a token."""
        channels, high, wide = self._picture
        return channels * high * wide

    def cut(self, x: Tensor) -> Tensor:
        """Samples ``[…, *shape]`` as tokens ``[…, T, P]``, row by row of the grid."""
        lead = x.shape[: x.dim() - len(self.shape)]
        channels, high, wide = self._picture
        down, across = self.grid
        patches = x.reshape(-1, channels, down, high, across, wide).permute(0, 2, 4, 1, 3, 5)
        return patches.reshape(*lead, self.count, self.width)

    def glance(self, tokens: Tensor) -> Tensor:
        """The :data:`STATISTICS` of tokens ``[…, T, P]``, float32 ``[…, T, 4]``."""
        wide = self._picture[2]
        lines = tokens.unflatten(-1, (-1, wide))
        change = lines.diff(dim=-1).abs().sum((-2, -1)) / max(1, self.width - self.width // wide)
        mean = tokens.mean(-1, keepdim=True)
        deviation = (tokens - mean).square().mean(-1).sqrt()  # several times faster on a CPU than `std`
        return torch.stack([mean[..., 0], deviation, tokens.amax(-1), change], dim=-1)

    def paint(self, values: Tensor) -> Tensor:
        """Values of tokens ``[…, T]`` spread over the pixels of their patches, ``[…, height, width]``."""
        down, across = self.grid
        _, high, wide = self._picture
        grid = values.view(*values.shape[:-1], down, across)
        return grid.repeat_interleave(high, -2).repeat_interleave(wide, -1)


def _sides(patch: int | Sequence[int]) -> tuple[int, int]:
    pair = tuple(patch) if isinstance(patch, (tuple, list)) else (patch, patch)
    if len(pair) != 2:
        raise ConfigError(f"patch must be a side, or (height, width), got {short(patch)}")
    return whole("patch", pair[0], 1), whole("patch", pair[1], 1)


@dataclass(frozen=True)
class Glimpses:
    """What each of N scorers sees of tokens.

    Args:
        tokens: The cut.
        scorers: N.
        see: "statistic", one of the :data:`STATISTICS`, the n-th scorer the (n mod 4)-th; "coarse", all of them; or
            "pixels", the token itself.

    Raises:
        UnknownName: Another way to see.
    """

    tokens: Tokens
    scorers: int
    see: str

    def __post_init__(self) -> None:
        one_of("see", self.see, VIEWS)

    @property
    def features(self) -> int:
        """F, numbers seen of a token."""
        return {"statistic": 1, "coarse": len(STATISTICS), "pixels": self.tokens.width}[self.see]

    def of(self, tokens: Tensor) -> Tensor:
        """Of tokens ``[W, R, T, P]`` what each scorer sees, ``[W, N, R, T, F]``."""
        seen = tokens if self.see == "pixels" else self.tokens.glance(tokens)
        if self.see == "statistic":
            own = torch.arange(self.scorers, device=tokens.device) % len(STATISTICS)
            return seen[..., own].movedim(-1, 1)[..., None]
        return seen[:, None].expand(-1, self.scorers, *seen.shape[1:])


def spend(shares: Tensor, budget: int, luck: Tensor | None = None) -> Tensor:
    """Which tokens are read, bool ``[…, T]``: at most ``budget`` of those with a share above 0.

    Args:
        shares: ``[…, T]``.
        budget: k.
        luck: None takes the k greatest (equal ones: the earlier). Uniform numbers ``[…, T]`` in [0, 1) sample k without
            replacement, each in proportion to the shares of those left.
    """
    order = shares
    if luck is not None:
        order = shares.clamp_min(1e-30).log() + rng.gumbel(luck)
    order = torch.where(shares > 0, order, -torch.inf)
    first = order.argsort(dim=-1, descending=True, stable=True)[..., :budget]
    return torch.zeros_like(shares, dtype=torch.bool).scatter_(-1, first, True).logical_and_(shares > 0)


def agreement(ratings: Tensor) -> Tensor:
    """Mean of Σ min(p, q) over pairs of scorers that rate, ``[W]`` of ratings ``[W, N, R, T]``; 0 without a pair."""
    n = ratings.shape[1]
    rate = ratings.sum(-1) > 0  # [W, N, R]
    shared = torch.minimum(ratings[:, :, None], ratings[:, None]).sum(-1)  # [W, N, N, R]
    pairs = rate[:, :, None] & rate[:, None] & ~torch.eye(n, dtype=torch.bool, device=rate.device)[..., None]
    return (shared * pairs).sum((1, 2, 3)) / pairs.sum((1, 2, 3)).clamp_min(1)


def dominance(weights: Tensor, ratings: Tensor, read: Tensor) -> Tensor:
    """Share of the tokens read to which each scorer gave the greatest part (equal parts: the earlier), ``[W, N]``."""
    parts = weights[..., None] * ratings  # [W, N, R, T]
    first = F.one_hot(parts.argmax(1), parts.shape[1]) * read[..., None]  # [W, R, T, N]
    return first.sum((1, 2)) / read.sum((1, 2)).clamp_min(1)[:, None]
