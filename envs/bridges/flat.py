"""A dict of actions as one vector of numbers in [−1, 1], for libraries that know no dicts."""

from __future__ import annotations

import math

import numpy as np
from gymnasium import spaces
from torch import Tensor

from ..errors import ConfigError

MOST = 256
"""Numbers in a flat action at most: independent Gaussians over more of them learn nothing useful."""

INSTEAD = "make the world with learners=… and actions='listen', 'gated' or 'discrete', or use make_vec"


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
        total = sum(self.sizes.values())
        if total > MOST:
            raise ConfigError(
                f"the action has {total} numbers ({', '.join(self.sizes)}), of which a flat one holds {MOST} "
                f"at most: {INSTEAD}"
            )
        super().__init__(-1.0, 1.0, (total,), np.float32)

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
