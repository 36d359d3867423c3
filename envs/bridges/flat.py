"""A dict of actions as one vector, for libraries that know no dicts: of numbers in [−1, 1], or of choices."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from gymnasium import spaces
from torch import Tensor

from ..errors import ConfigError

MOST = 256
"""Numbers in a flat action at most: independent Gaussians over more of them learn nothing useful."""

INSTEAD = (
    "use make_vec, or arguments of the world that make its actions fewer and bounded (see its page), such as "
    "smaller slices (slice_size=1) and exams, learners=… with actions='listen', 'gated' or 'discrete', "
    "actions='coefficients', or choices=True (or bound=…)"
)


class FlatActions(spaces.Box):
    """A dict of bounded Boxes and yes-or-no choices as one ``Box(-1, 1, (A,))``.

    Parts stand one after the other in the order of their names. Numbers of a Box are scaled from its bounds;
    a ``Discrete(2)`` is yes where its number is above 0.

    Args:
        parts: The action space of a single agent.

    Attributes:
        parts: The same.
        sizes: Name to how many of the A numbers are its.

    Raises:
        ConfigError: A part has no bounds or is of another kind, or there are more than :data:`MOST` numbers.
    """

    def __init__(self, parts: spaces.Dict) -> None:
        self.parts = {name: parts.spaces[name] for name in sorted(parts.spaces)}
        self.sizes = {name: _size(name, part) for name, part in self.parts.items()}
        _check_total(self.sizes, "numbers")
        super().__init__(-1.0, 1.0, (sum(self.sizes.values()),), np.float32)

    def split(self, flat: Tensor) -> dict[str, Tensor]:
        """The actions that flat ones stand for; what is outside [−1, 1] counts as its nearest bound.

        Args:
            flat: ``[..., A]``.

        Returns:
            By name ``[..., *shape]``.
        """
        pieces = flat.split(list(self.sizes.values()), dim=-1)
        return {
            name: _unscaled(piece, part)
            for piece, (name, part) in zip(pieces, self.parts.items(), strict=True)
        }


class FlatChoices(spaces.MultiDiscrete):
    """A dict of choices as one ``MultiDiscrete``, each from 0 on.

    Parts (``Discrete`` and ``MultiDiscrete``) stand one after the other in the order of their names.

    Args:
        parts: The action space of a single agent.

    Attributes:
        parts: The same.
        sizes: Name to how many of the choices are its.

    Raises:
        ConfigError: A part is of another kind, or there are more than :data:`MOST` choices.
    """

    def __init__(self, parts: spaces.Dict) -> None:
        self.parts = {name: parts.spaces[name] for name in sorted(parts.spaces)}
        counts = {name: _options(name, part) for name, part in self.parts.items()}
        self.sizes = {name: len(options) for name, options in counts.items()}
        _check_total(self.sizes, "choices")
        super().__init__(np.concatenate(list(counts.values())))

    def split(self, flat: Tensor) -> dict[str, Tensor]:
        """The actions that flat ones stand for.

        Args:
            flat: int64 ``[..., A]``.

        Returns:
            By name ``[..., *shape]``.
        """
        pieces = flat.split(list(self.sizes.values()), dim=-1)
        return {
            name: piece.reshape(*piece.shape[:-1], *(part.shape or ())) + piece.new_tensor(part.start)  # type: ignore[attr-defined]
            for piece, (name, part) in zip(pieces, self.parts.items(), strict=True)
        }


def flat_space(parts: spaces.Dict) -> FlatActions | FlatChoices:
    """The flat form of an action space: choices where all its parts are, else numbers.

    Raises:
        ConfigError: It has none.
    """
    several = any(isinstance(part, spaces.MultiDiscrete) for part in parts.spaces.values())
    return FlatChoices(parts) if several else FlatActions(parts)


def _check_total(sizes: Mapping[str, int], what: str) -> None:
    total = sum(sizes.values())
    if total > MOST:
        raise ConfigError(
            f"the action has {total} {what} ({', '.join(sizes)}), of which a flat one holds {MOST} at most: {INSTEAD}"
        )


def _options(name: str, part: spaces.Space) -> np.ndarray:
    """How many options each choice of a part has, ``[k]``."""
    if not isinstance(part, (spaces.Discrete, spaces.MultiDiscrete)):
        raise ConfigError(
            f"action {name!r} is {part}, which does not go with choices into a flat action: {INSTEAD}"
        )
    return np.atleast_1d(part.n if isinstance(part, spaces.Discrete) else part.nvec).flatten()


def _size(name: str, part: spaces.Space) -> int:
    if isinstance(part, spaces.Discrete) and part.n == 2:
        return 1
    if not isinstance(part, spaces.Box):
        raise ConfigError(f"action {name!r} is {part}, which does not go into a flat action: {INSTEAD}")
    if not (np.isfinite(part.low).all() and np.isfinite(part.high).all()):
        raise ConfigError(
            f"action {name!r} has no bounds (Box {part.shape}), and a flat action needs some: {INSTEAD}"
        )
    return math.prod(part.shape)


def _unscaled(piece: Tensor, part: spaces.Space) -> Tensor:
    """From [−1, 1], ``[..., k]``, to the part's own range and shape."""
    if isinstance(part, spaces.Discrete):
        return (piece[..., 0] > 0).long() + int(part.start)
    assert isinstance(part, spaces.Box)
    low, high = (piece.new_tensor(bound).flatten() for bound in (part.low, part.high))
    scaled = low + (piece.clamp(-1, 1) + 1) / 2 * (high - low)
    return scaled.reshape(*piece.shape[:-1], *part.shape)
