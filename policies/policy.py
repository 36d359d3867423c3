"""Policies: who acts in a world, on tensors ``[W, N, …]``.

The life of a policy, as rollouts drive it::

    policy.bind(world)              # once: sizes and device
    obs = world.reset(seed=0)
    policy.reset()                  # fresh learners, keyed by the world's episodes
    while …:
        step = world.step(policy.act(obs))       # act may learn from the feedback obs brings
        policy.end(step.final_obs, ended)        # the last feedback, where episodes ended
        policy.reset(ended)
        obs = step.obs

A policy draws its random numbers from ``world.keys``, so a seed gives the same run in any batch. It sees
observations only: never rewards, never the world's state.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, cast, overload

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from ..envs.engine import TensorDict, World, rng
from ..envs.engine.actions import in_whole_numbers
from ..envs.engine.fits import check_saved
from ..envs.errors import ConfigError
from ..learners.plain import Plain

_T = TypeVar("_T")


class MadeInReset(Generic[_T]):
    """An attribute of a policy that its ``reset`` makes, for the world the policy is bound to.

    Declared in the class, ``memory = MadeInReset[Tensor]()``, and set in ``reset``, ``self.memory = …``.

    Raises:
        ConfigError: It is read before there is a world, or before a ``reset`` in this world.
    """

    def __set_name__(self, owner: type[Policy], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, policy: None, owner: type[Policy]) -> MadeInReset[_T]: ...

    @overload
    def __get__(self, policy: Policy, owner: type[Policy]) -> _T: ...

    def __get__(self, policy: Policy | None, owner: type[Policy]) -> MadeInReset[_T] | _T:
        if policy is None:
            return self
        world, made = vars(policy).get(self._name, (None, None))
        if policy.world is not world:
            raise ConfigError(f"{type(policy).__name__} has not begun: call reset() after world.reset()")
        return cast(_T, made)

    def __set__(self, policy: Policy, made: _T) -> None:
        vars(policy)[self._name] = (policy.world, made)


def require_engine(world: World) -> None:
    """Refuse to bind to what is no engine.

    Raises:
        ConfigError: It is a view of a world, or something else.
    """
    if not isinstance(world, World):
        raise ConfigError(
            f"a policy acts in the engine, got a {type(world).__name__}: bind make_world(...), or view.world of a "
            "view that make_env, make_vec or make_sb3 made"
        )


class Finished(NamedTuple):
    """A network that learns no more, to be kept by itself; see :meth:`Policy.modules`."""

    module: nn.Module
    """From samples ``[M, D…]`` to logits ``[M, C]``, in evaluation mode."""
    part: str
    """The name among :meth:`Policy.variants` of what it says."""
    made: Mapping[str, Any]
    """What makes another like it: ``kind``, and ``width`` where it has one; ``kind`` is None of a user's own."""
    agent: int | None
    """Whose it is; None: everybody's."""
    facts: Mapping[str, float]
    """What else is to be known of it, by name."""


class Decision(NamedTuple):
    """Something that a policy decided; see :meth:`Policy.decisions`."""

    step: int
    """Steps made before it."""
    agent: int
    """Who did it."""
    what: str
    """What was done."""
    why: str
    """The figures that it went by."""


class Policy(ABC):
    """Acts for all agents of all worlds of a batch.

    What :meth:`reset` makes is a :class:`MadeInReset` attribute, so that who asks for it too early reads what to call.
    """

    transductive: ClassVar[bool] = False
    """Whether exam inputs shape more than ``answers`` (:func:`studyhall.testing.check_exam_blind` finds out);
    tables then mark what was measured."""

    main: ClassVar[str] = ""
    """The name among :meth:`variants` of what :meth:`predict` says; "" where there are none."""

    leaves: ClassVar[tuple[str, ...]] = ()
    """The parts of whom :meth:`modules` has networks in time."""

    world_kwargs: Mapping[str, Any] = {}
    """Arguments of the world that this policy needs, e.g. the form of its actions; rollouts give them."""

    _world: World | None = None

    @property
    def world(self) -> World:
        """The world that this policy is bound to.

        Raises:
            ConfigError: None yet.
        """
        if self._world is None:
            raise ConfigError(
                f"{type(self).__name__} knows no world yet: call bind(world), world.reset() and reset() first"
            )
        return self._world

    def __repr__(self) -> str:
        """Its kind, and the world it is bound to."""
        bound = f" in {self.world}" if self._world is not None else ""
        return f"<{type(self).__name__}{bound}>"

    def bind(self, world: World) -> None:
        """Get to know the world this policy will act in; a subclass calls this one first, then looks at the world.

        Raises:
            ConfigError: It is no engine, but a view of one for example.
        """
        require_engine(world)
        self._world = world

    def require(self, **made: Any) -> None:
        """Compare what a world was made with, of :attr:`world_kwargs` and by these names, to what this policy needs.

        For :meth:`bind`, where the policy would act otherwise than it says.

        Raises:
            ConfigError: They differ; says what to make the world with.
        """
        if wrong := [name for name, needed in self.world_kwargs.items() if made.get(name, needed) != needed]:
            needed, found = (
                ", ".join(f"{name}={values[name]!r}" for name in wrong)
                for values in (self.world_kwargs, made)
            )
            raise ConfigError(f"the world was made with {found}; this policy needs {needed}")

    @abstractmethod
    def act(self, obs: TensorDict) -> TensorDict:
        """Actions ``[W, N, …]`` for observations ``[W, N, …]``; may learn from the feedback they bring."""

    def end(self, final_obs: TensorDict, mask: Tensor) -> None:
        """Take the last feedback of the worlds in ``mask`` (bool ``[W]``), whose episodes have ended."""

    def reset(self, mask: Tensor | None = None) -> None:
        """Begin anew in the worlds of ``mask`` (bool ``[W]``; None is all); called after the world's reset."""

    def predict(self, x: Tensor, *, dropout: int | None = None) -> Tensor | None:
        """Class distributions ``[W, N, M, C]`` for inputs ``[M, D…]``, for reports; None if none, or no dropout.

        Args:
            x: Inputs.
            dropout: None evaluates properly; a number switches training-time dropout on and names the draw.
        """
        return None

    def collective_predict(self, x: Tensor) -> Tensor | None:
        """Class distributions ``[W, M, C]`` of a collective, for reports; None if it does not answer as one."""
        return None

    def variants(self, x: Tensor) -> dict[str, Tensor]:
        """What parts of this policy would say, for reports: class distributions ``[W, N, M, C]`` by name.

        Args:
            x: Inputs ``[M, D…]``.
        """
        return {}

    @property
    def milestones(self) -> tuple[int, ...]:
        """Steps after which :meth:`modules` has something new; known as soon as there is a world."""
        return ()

    def modules(self, world: int) -> dict[str, Finished]:
        """Networks of a world of the batch that learn no more, by name, to be kept by themselves."""
        return {}

    def export(self, world: int) -> dict[str, Plain]:
        """The learners of a world of the batch as ordinary modules, by name, as they are now; by default none.

        Networks that decide for agents, and learn no more here, are none of them.
        """
        return {}

    def decisions(self, world: int) -> list[Decision]:
        """What it decided in the running episode of a world, oldest first, and why, for reports; by default nothing."""
        return []

    def title(self) -> Tensor | None:
        """Which student holds the title of the best, int64 ``[W]``; None where there is no such title."""
        return None

    def sound(self) -> Tensor | None:
        """Whose learners are finite, bool ``[W, N]``, for reports; None where the policy has none of its own."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """Everything the policy remembers; entries named ``answers…`` may depend on exam inputs."""
        return {}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`; call after :meth:`bind` and :meth:`reset`.

        A policy that remembers something calls this one first, then takes its entries over.

        Raises:
            ConfigError: It is of another kind of policy or world; nothing was changed then.
        """
        check_saved("policy and its world", saved, self.state_dict())


class RandomPolicy(Policy):
    """Draws every action from its space, by the worlds' keys; of several choices it keeps to those there are.

    Numbers are uniform between their bounds, and standard normal where they have none.
    """

    def bind(self, world: World) -> None:
        """Find out between which limits to draw.

        Raises:
            ConfigError: An action is of a kind that is not drawn here, a number has a bound on one side only, or a
                whole one is of more than 2³¹.
        """
        super().bind(world)
        self._limits = {
            name: tuple(torch.as_tensor(limit, device=world.device) for limit in _limits(space))
            for name, space in world.action_space.spaces.items()
        }

    def act(self, obs: TensorDict) -> TensorDict:
        """Draw every action from its space."""
        world = self.world
        key = rng.fold(world.keys, world.steps)
        actions = {}
        for name, space in world.action_space.spaces.items():
            choices = int(space.n) if isinstance(space, spaces.Discrete) else 0
            shape = (world.num_agents, *(space.shape or ()), *([choices] if choices else []))
            drawn = rng.draw(key, f"policy/{name}", shape)
            actions[name] = _made(space, drawn, obs.get("action_mask"), self._limits[name])
        return actions


def _limits(space: spaces.Space) -> tuple[Any, ...]:
    """The lowest and the width of a ``Box``, nothing where it has no bounds; first choices; how many of each.

    The width of whole numbers is how many there are.
    """
    if isinstance(space, spaces.Discrete):
        return (space.start,)
    if isinstance(space, spaces.MultiDiscrete):
        return (space.nvec,)
    if isinstance(space, spaces.Box) and in_whole_numbers(space):
        if (space.high.astype(float) - space.low.astype(float) >= 2**31).any():
            raise ConfigError(f"the random policy draws from 2³¹ whole numbers at most, not from {space}")
        low, high = space.low.astype(np.int64), space.high.astype(np.int64)
        return low, high - low + 1
    if isinstance(space, spaces.Box) and space.is_bounded():
        return space.low, space.high - space.low
    if isinstance(space, spaces.Box) and not (space.bounded_below | space.bounded_above).any():
        return ()
    raise ConfigError(
        f"the random policy cannot draw from {space}: use choices, or a Box with bounds for all its numbers or for none"
    )


def _made(space: spaces.Space, drawn: rng.Draw, legal: Tensor | None, limits: tuple[Tensor, ...]) -> Tensor:
    """Members of a space from random numbers ``[W, N, …]``, one for each choice of a ``Discrete``."""
    if isinstance(space, spaces.Discrete):
        chance = drawn.uniform()
        chance = chance if legal is None else chance.masked_fill(legal == 0, -1.0)
        return chance.argmax(-1) + limits[0]
    if isinstance(space, spaces.MultiDiscrete):
        return drawn.integers(limits[0])
    if not limits:
        return drawn.normal()
    low, width = limits
    if in_whole_numbers(space):
        return low + drawn.integers(width)
    return low + drawn.uniform() * width
