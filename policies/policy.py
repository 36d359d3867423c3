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
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..envs import rng
from ..envs.errors import ConfigError
from ..envs.world import TensorDict, World


class Policy(ABC):
    """Acts for all agents of all worlds of a batch."""

    world: World
    transductive: ClassVar[bool] = False
    """Whether exam inputs shape more than ``answers`` (:func:`studyhall.testing.check_exam_blind` finds out);
    tables then mark what was measured."""

    world_kwargs: Mapping[str, Any] = {}
    """Arguments of the world that this policy needs, e.g. the form of its actions; rollouts give them."""

    def __repr__(self) -> str:
        """Its kind, and the world it is bound to."""
        bound = f" in {self.world}" if hasattr(self, "world") else ""
        return f"<{type(self).__name__}{bound}>"

    def bind(self, world: World) -> None:
        """Get to know the world this policy will act in."""
        self.world = world

    def require(self, **made: Any) -> None:
        """Compare what a world was made with, of :attr:`world_kwargs` and by these names, to what this policy needs.

        For :meth:`bind`, where another value would make another policy of this one.

        Raises:
            ConfigError: They differ; says what to make the world with.
        """
        if wrong := [name for name, needed in self.world_kwargs.items() if made.get(name, needed) != needed]:
            needed, found = (
                ", ".join(f"{name}={values[name]!r}" for name in wrong)
                for values in (self.world_kwargs, made)
            )
            raise ConfigError(f"with {found} this policy would be another: make the world with {needed}")

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
        """Go on from a :meth:`state_dict`; call after :meth:`bind` and :meth:`reset`."""


class RandomPolicy(Policy):
    """Random distributions (uniform over the simplex) and fair coins, from the worlds' keys."""

    def act(self, obs: TensorDict) -> TensorDict:
        """Draw every action from its space."""
        key = rng.fold(self.world.keys, self.world.steps)
        actions = {}
        for name, space in self.world.action_space.spaces.items():
            shape = (self.world.num_agents, *(space.shape or ()))
            drawn = rng.bits(key, f"policy/{name}", shape)
            if space.shape:
                actions[name] = -torch.log1p(-rng.uniform(drawn))
            else:
                actions[name] = rng.integers(drawn, int(space.n))  # type: ignore[attr-defined]
        return actions
