"""Observations and actions as one vector each, for libraries that know no dicts. Every view is flattened here.

Parts stand one after the other in the order of their names, each row by row (C order).

* **Observations** are one ``Box`` of float32 (:class:`FlatObservations`); where choices have a mask, a ``Dict`` of
  ``observation`` and ``action_mask``, as PettingZoo has it.
* **Actions** are one ``Discrete`` (:class:`FlatChoice`) where there is a single choice, a ``MultiDiscrete``
  (:class:`FlatChoices`) where all are choices, else a ``Box`` (:class:`FlatActions`): bounded numbers are scaled to
  [−1, 1] (whole ones to the nearest), unbounded ones stay as they are, and a yes-or-no choice is yes above 0. What is
  beyond a bound counts as the bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ..engine import Step, TensorDict, World
from ..engine.actions import in_whole_numbers
from ..engine.flat import join, joined_space
from ..errors import ConfigError

MASK = "action_mask"
"""The observation that says which choices there are: PettingZoo's name for it."""

MOST = 256
"""Numbers in a flat action at most, for algorithms that learn independent Gaussians: over more they learn nothing."""

INSTEAD = (
    "use make_vec, or arguments of the world that make its actions fewer and bounded (see its page), such as "
    "smaller slices (slice_size=1) and exams, learners=… with actions='listen', 'gated' or 'discrete', "
    "actions='coefficients', or choices=True (or bound=…)"
)


class FlatActions(spaces.Box):
    """A dict of Boxes and yes-or-no choices as one ``Box``.

    Numbers with bounds are scaled from [−1, 1] to them; numbers without are taken as they are; a ``Discrete(2)`` is
    yes where its number is above 0. The Box is ``Box(-1, 1)``, or without bounds where any number has none: of a
    mixture some libraries sample infinity.

    Args:
        parts: The action space of a single agent.
        few_actions: As of :func:`trainable_space`.

    Attributes:
        parts: The same.
        sizes: Name to how many of the A numbers are its.

    Raises:
        ConfigError: A part is of another kind.
    """

    def __init__(self, parts: spaces.Dict, few_actions: str = "") -> None:
        self.parts = {name: parts.spaces[name] for name in sorted(parts.spaces)}
        self.sizes = {name: _size(name, part, few_actions) for name, part in self.parts.items()}
        boxes = [part for part in self.parts.values() if isinstance(part, spaces.Box)]
        limit = 1 if all(box.is_bounded() for box in boxes) else np.inf
        super().__init__(-limit, limit, (sum(self.sizes.values()),), np.float32)

    def split(self, flat: Tensor) -> TensorDict:
        """The actions that flat ones stand for; what is beyond a bound counts as the bound.

        Args:
            flat: Floating point, ``[..., A]``.

        Returns:
            By name ``[..., *shape]``.
        """
        pieces = flat.float().split(list(self.sizes.values()), dim=-1)
        return {
            name: _unscaled(piece, part)
            for piece, (name, part) in zip(pieces, self.parts.items(), strict=True)
        }


class FlatChoices(spaces.MultiDiscrete):
    """A dict of choices as one ``MultiDiscrete``, each from 0 on.

    Args:
        parts: The action space of a single agent, of ``Discrete`` and ``MultiDiscrete``.

    Attributes:
        parts: The same.
        sizes: Name to how many of the choices are its.

    Raises:
        ConfigError: A part is of another kind.
    """

    def __init__(self, parts: spaces.Dict) -> None:
        self.parts = {name: parts.spaces[name] for name in sorted(parts.spaces)}
        counts = {name: _options(name, part) for name, part in self.parts.items()}
        self.sizes = {name: len(options) for name, options in counts.items()}
        super().__init__(np.concatenate(list(counts.values())))

    def split(self, flat: Tensor) -> TensorDict:
        """The actions that flat ones stand for.

        Args:
            flat: Whole numbers, ``[..., A]``.

        Returns:
            By name int64 ``[..., *shape]``.
        """
        pieces = flat.long().split(list(self.sizes.values()), dim=-1)
        found = {}
        for piece, (name, part) in zip(pieces, self.parts.items(), strict=True):
            start = torch.as_tensor(part.start, device=piece.device)  # type: ignore[attr-defined]
            found[name] = piece.reshape(*piece.shape[:-1], *(part.shape or ())) + start
        return found


class FlatChoice(spaces.Discrete):
    """A dict of a single choice as one ``Discrete``, from 0 on.

    Args:
        parts: The action space of a single agent: one ``Discrete``.
    """

    def __init__(self, parts: spaces.Dict) -> None:
        ((self.name, part),) = parts.spaces.items()
        self.first = int(part.start)  # type: ignore[attr-defined]
        super().__init__(int(part.n))  # type: ignore[attr-defined]

    def split(self, flat: Tensor) -> TensorDict:
        """The choice, int64 ``[...]``, by its name."""
        return {self.name: flat.long() + self.first}


Flat = FlatActions | FlatChoices | FlatChoice


def flat_space(parts: spaces.Dict, few_actions: str = "") -> Flat:
    """The flat form of an action space.

    Args:
        parts: The action space of a single agent.
        few_actions: As of :func:`trainable_space`.

    Raises:
        ConfigError: It has none.
    """
    kinds = list(parts.spaces.values())
    if len(kinds) == 1 and isinstance(kinds[0], spaces.Discrete):
        return FlatChoice(parts)
    several = any(isinstance(part, spaces.MultiDiscrete) for part in kinds)
    choices = all(isinstance(part, spaces.Discrete) for part in kinds)
    return FlatChoices(parts) if several or choices else FlatActions(parts, few_actions)


def trainable_space(parts: spaces.Dict, few_actions: str = "") -> Flat:
    """The flat form of an action space, if the algorithms of Stable-Baselines3 can learn over it.

    Args:
        parts: The action space of a single agent.
        few_actions: Arguments that make it so, for the error: :attr:`~studyhall.envs.World.few_actions`.

    Raises:
        ConfigError: It has none, is unbounded, or has more than :data:`MOST` numbers.
    """
    space = flat_space(parts, few_actions)
    if isinstance(space, FlatChoice):
        return space
    instead = _instead(few_actions)
    total, what = sum(space.sizes.values()), "numbers" if isinstance(space, FlatActions) else "choices"
    if total > MOST:
        raise ConfigError(
            f"the action has {total} {what} ({', '.join(space.sizes)}), of which a flat one is to hold {MOST} at "
            f"most: {instead}"
        )
    for name, part in space.parts.items():
        if isinstance(part, spaces.Box) and not part.is_bounded():
            raise ConfigError(
                f"action {name!r} has no bounds (Box {part.shape}), and a flat action needs some: {instead}"
            )
    return space


class FlatObservations(spaces.Box):
    """A dict of observations as one ``Box`` of float32, without the mask of choices.

    Args:
        parts: The observation space of a single agent.

    Attributes:
        sizes: Name to how many of the numbers are its.
    """

    def __init__(self, parts: spaces.Dict) -> None:
        boxes = {name: parts.spaces[name] for name in sorted(parts.spaces) if name != MASK}
        self.sizes = {name: math.prod(box.shape or ()) for name, box in boxes.items()}
        whole = joined_space(boxes.values())  # type: ignore[arg-type]
        super().__init__(whole.low, whole.high, dtype=np.float32)


_OF_THE_WORLD = frozenset(
    {"agents", "autoreset", "device", "horizon", "hosts_learners", "metadata", "num_agents", "num_worlds"}
    | {"close", "render", "state", "state_space", "validate"}
)
"""What views ask of a world that flat observations and actions do not change."""


class FlatWorld:
    """A world whose observations and actions are flat, for views; it is what views ask of a world, and no more.

    Args:
        world: The engine, which checks the values of actions.

    Attributes:
        observation_space: A :class:`FlatObservations`, or a ``Dict`` of ``observation`` and ``action_mask``.
        action_space: A ``Dict`` of ``action`` alone: what views show bare.
        world: The engine, for all else.

    Raises:
        ConfigError: The actions have no flat form.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._seen = FlatObservations(world.observation_space)
        mask = world.observation_space.spaces.get(MASK)
        self.observation_space: spaces.Space = (
            self._seen if mask is None else spaces.Dict({"observation": self._seen, MASK: mask})
        )
        self._acted = flat_space(world.action_space, world.few_actions)
        self.action_space = spaces.Dict({"action": self._acted})

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.world}>"

    def __getattr__(self, name: str) -> Any:
        if name not in _OF_THE_WORLD:
            raise AttributeError(f"a flat world has no {name!r}: ask its world, which is not flat")
        return getattr(self.world, name)

    @property
    def obs(self) -> Tensor | TensorDict:
        """The present observations, as of :meth:`reset`."""
        return self.flattened(self.world.obs)

    def fork(self) -> FlatWorld:
        """A copy that goes its own way from here."""
        return type(self)(self.world.fork())

    def reset(self, **how: Any) -> Tensor | TensorDict:
        """As the world's; observations ``[W, N, F]``, by name where there is a mask."""
        return self.flattened(self.world.reset(**how))

    def step(self, actions: Mapping[str, Tensor], *, mask: np.ndarray | None = None) -> Step:
        """As the world's, of flat actions."""
        step = self.world.step(self._acted.split(actions["action"]), mask=mask)
        return step._replace(obs=self.flattened(step.obs), final_obs=self.flattened(step.final_obs))  # type: ignore[arg-type]

    def flattened(self, obs: TensorDict) -> Tensor | TensorDict:
        """Observations ``[W, N, …]`` in flat form."""
        joined = join(obs, self._seen.sizes, lead=2)
        return {"observation": joined, MASK: obs[MASK]} if MASK in obs else joined


def _options(name: str, part: spaces.Space) -> np.ndarray:
    """How many options each choice of a part has, ``[k]``."""
    if not isinstance(part, (spaces.Discrete, spaces.MultiDiscrete)):
        raise ConfigError(
            f"action {name!r} is {part}, which does not go with choices into one flat action: leave out choices=True"
        )
    return np.atleast_1d(part.n if isinstance(part, spaces.Discrete) else part.nvec).flatten()


def _instead(few_actions: str) -> str:
    """What to do where an action is none that can be flat."""
    return f"make the world with {few_actions}" if few_actions else INSTEAD


def _size(name: str, part: spaces.Space, few_actions: str) -> int:
    """How many numbers stand for a part."""
    if isinstance(part, spaces.Discrete) and part.n == 2:
        return 1
    if not isinstance(part, spaces.Box):
        raise ConfigError(
            f"action {name!r} is {part}, which does not go into a flat action: {_instead(few_actions)}"
        )
    return math.prod(part.shape)


def _unscaled(piece: Tensor, part: spaces.Space) -> Tensor:
    """Numbers ``[..., k]`` as the part's own, in its shape."""
    if isinstance(part, spaces.Discrete):
        return (piece[..., 0] > 0).long() + int(part.start)
    assert isinstance(part, spaces.Box)
    if in_whole_numbers(part):
        first, last = (torch.from_numpy(bound).to(piece.device).flatten() for bound in (part.low, part.high))
        share = (piece.double().clamp(-1, 1) + 1) / 2  # float32 has no room for 2³¹ − 1
        return (first + (share * (last - first)).round().long()).reshape(*piece.shape[:-1], *part.shape)
    low, high = (piece.new_tensor(bound).flatten() for bound in (part.low, part.high))
    scaled = low + (piece.clamp(-1, 1) + 1) / 2 * (high - low)
    own = torch.where(low.isfinite() & high.isfinite(), scaled, piece.clamp(low, high))
    return own.reshape(*piece.shape[:-1], *part.shape)
