"""Parts of a world that change in place: learners, above all.

A copy of every parameter and moment at every step would cost as much as the step itself, so these are the exception to
functional state. A world assigns its parts to attributes in ``__init__``; the engine finds them there, begins them
anew with an episode, saves, restores and forks them, and says by :attr:`World.moving
<studyhall.envs.engine.world.World.moving>` which worlds they may change in.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from typing_extensions import Self

    from ...learners.plain import Plain


class Part(ABC):
    """What a world changes in place, in the worlds that move and in no others."""

    @abstractmethod
    def reset(self, keys: Tensor, moving: Tensor) -> None:
        """Begin anew in some worlds; the others keep every bit. The first call begins them all.

        Args:
            keys: Random keys of the worlds' episodes, int64 ``[W]``.
            moving: Which worlds begin, bool ``[W]``.
        """

    @abstractmethod
    def at(self, worlds: Tensor) -> Self:
        """The part of some worlds alone (int64 ``[K]``), for ``start`` to look at: changes to it are lost."""

    @abstractmethod
    def finite(self) -> Tensor:
        """Whether all its numbers are finite, bool ``[W, …]``: ``[W, N]`` tells whose are not."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """A copy of everything that it needs to go on exactly from here."""

    @abstractmethod
    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over a :meth:`state_dict`.

        Raises:
            ConfigError: It is of another kind; nothing was changed then.
        """

    def export(self, world: int, agents: Sequence[str]) -> dict[str, Plain]:
        """The learners of a world of the batch as ordinary modules, by name; by default none.

        Args:
            world: Which.
            agents: Names of its agents.
        """
        return {}

    def fork(self) -> Self:
        """A copy that goes its own way from here."""
        return copy.deepcopy(self)
