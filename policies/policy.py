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

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from gymnasium import spaces
from torch import Tensor

from ..envs import rng
from ..envs.errors import ConfigError
from ..envs.saving import check_saved
from ..envs.world import TensorDict, World


class Policy(ABC):
    """Acts for all agents of all worlds of a batch.

    What needs a world, or what :meth:`reset` makes, says so where it is asked for too early.
    """

    transductive: ClassVar[bool] = False
    """Whether exam inputs shape more than ``answers`` (:func:`studyhall.testing.check_exam_blind` finds out);
    tables then mark what was measured."""

    world_kwargs: Mapping[str, Any] = {}
    """Arguments of the world that this policy needs, e.g. the form of its actions; rollouts give them."""

    _world: World | None = None
    _begun = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in _NEED_A_RESET & vars(cls).keys():
            setattr(cls, name, _after_reset(vars(cls)[name]))
        if "reset" in vars(cls):
            cls.reset = _beginning(cls.reset)  # type: ignore[method-assign]

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

    @world.setter
    def world(self, world: World) -> None:
        self._world, self._begun = world, type(self).reset is Policy.reset

    def __repr__(self) -> str:
        """Its kind, and the world it is bound to."""
        bound = f" in {self.world}" if self._world is not None else ""
        return f"<{type(self).__name__}{bound}>"

    def bind(self, world: World) -> None:
        """Get to know the world this policy will act in."""
        self.world = world

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

    def together(self, x: Tensor) -> Tensor | None:
        """Class distributions ``[W, M, C]`` of a collective, for reports; None if it does not answer as one."""
        return None

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


_NEED_A_RESET = {"act", "end", "predict", "together", "title", "state_dict", "load_state_dict"}


def _after_reset(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, which first asks whether there was a world and a reset."""

    @functools.wraps(method)
    def checked(self: Policy, *args: Any, **kwargs: Any) -> Any:
        _ = self.world  # or it says that there is none
        if not self._begun:
            raise ConfigError(f"{type(self).__name__} has not begun: call reset() after world.reset()")
        return method(self, *args, **kwargs)

    return checked


def _beginning(method: Callable[..., None]) -> Callable[..., None]:
    """The method, of which the first call is for all worlds, and noted."""

    @functools.wraps(method)
    def noted(self: Policy, mask: Tensor | None = None) -> None:
        _ = self.world
        if mask is not None and not self._begun:
            raise ConfigError(f"{type(self).__name__} has not begun: the first reset() is without a mask")
        method(self, mask)
        self._begun = True

    return noted


class RandomPolicy(Policy):
    """Draws every action from its space, by the worlds' keys; of several choices it keeps to those there are.

    Weights are uniform between the bounds; where there is no upper one they lie exponentially above the lower, so that
    rows of them are uniform over all distributions; where there is none at all they are standard normal.
    """

    def act(self, obs: TensorDict) -> TensorDict:
        """Draw every action from its space."""
        world = self.world
        key = rng.fold(world.keys, world.steps)
        actions = {}
        for name, space in world.action_space.spaces.items():
            choices = int(space.n) if isinstance(space, spaces.Discrete) else 0
            shape = (world.num_agents, *(space.shape or ()), *([choices] if choices else []))
            actions[name] = _drawn(space, rng.bits(key, f"policy/{name}", shape), obs.get("action_mask"))
        return actions


def _drawn(space: spaces.Space, bits: Tensor, legal: Tensor | None) -> Tensor:
    """Members of a space from random bits ``[W, N, …]``, one for each choice of a ``Discrete``."""
    if isinstance(space, spaces.Discrete):
        chance = rng.uniform(bits)
        chance = chance if legal is None else chance.masked_fill(legal == 0, -1.0)
        return chance.argmax(-1) + int(space.start)
    if isinstance(space, spaces.MultiDiscrete):
        return rng.integers(bits, torch.from_numpy(space.nvec).to(bits.device))
    if not isinstance(space, spaces.Box):
        raise ConfigError(
            f"the random policy cannot draw from {type(space).__name__}: use Box or Discrete actions"
        )
    low, high = (torch.from_numpy(bound).to(bits.device) for bound in (space.low, space.high))
    u = rng.uniform(bits)
    tail = -torch.log1p(-u)
    open_ended = torch.where(
        low.isfinite(), low + tail, torch.where(high.isfinite(), high - tail, rng.normal(bits))
    )
    return torch.where(low.isfinite() & high.isfinite(), low + u * (high - low), open_ended)
