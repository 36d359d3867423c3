"""Gymnasium's views of worlds: one controller acts for all agents of a world at once.

Observations and actions are *joint*: the parts of a single agent's with a dimension N in front, and
``Discrete(n)`` as ``MultiDiscrete([n] * N)``; where a single agent's actions have a single key, the bare space
behind it is shown. An observation ``action_mask`` (int8 ``[N, n]``) fits ``sample(mask=tuple(action_mask))``.

Over a :class:`~studyhall.envs.bridges.flat.FlatWorld` observations and actions are of one dimension, agent after
agent: ``Box (N·F,)``, and ``Box (N·A,)`` or ``MultiDiscrete`` of N·A choices; a mask is ``(N·n,)``.

The reward is the mean over agents; ``info["reward_per_agent"]`` tells it agent by agent. Where an episode ended,
``info["metrics"]`` holds its final metrics (not ``"episode"``, the key that Gymnasium's ``RecordEpisodeStatistics``
insists on writing).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from ..engine import Step, TensorDict, World
from ..engine.actions import check_options, check_values
from ..errors import ConfigError, EpisodeEnded, short
from .arrays import ArrayDict, by_key, check_view, each, shown, to_array, to_arrays, to_tensors
from .flat import FlatWorld

Infos = dict[str, Any]


def joint_space(space: spaces.Space, num_agents: int) -> spaces.Space:
    """The space of all agents' parts together: each with a dimension N in front."""
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: joint_space(part, num_agents) for key, part in space.spaces.items()})
    # batch_space makes a Box of choices, whose bounds most algorithms do not take for choices
    if isinstance(space, spaces.Discrete):
        return spaces.MultiDiscrete([space.n] * num_agents, start=[space.start] * num_agents)
    if isinstance(space, spaces.MultiDiscrete):
        counts, start = ([values] * num_agents for values in (space.nvec, space.start))
        return spaces.MultiDiscrete(np.stack(counts), start=np.stack(start))
    return batch_space(space, num_agents)


def one_dimensional(space: spaces.Space) -> spaces.Space:
    """A joint space with all its numbers in one row."""
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: one_dimensional(part) for key, part in space.spaces.items()})
    if isinstance(space, spaces.MultiDiscrete):
        return spaces.MultiDiscrete(space.nvec.ravel(), start=space.start.ravel())
    assert isinstance(space, spaces.Box)
    return spaces.Box(space.low.ravel(), space.high.ravel(), dtype=space.dtype.type)  # type: ignore[union-attr]


def joint_spaces(world: World | FlatWorld) -> tuple[spaces.Space, spaces.Space]:
    """What all agents of a world observe, and what they do."""
    joint = [joint_space(s, world.num_agents) for s in (world.observation_space, shown(world.action_space))]
    observed, acted = map(one_dimensional, joint) if isinstance(world, FlatWorld) else joint
    return observed, acted


def joint_arrays(obs: TensorDict | Tensor, world: World | FlatWorld) -> Any:
    """Observations as the joint views show them, with a dimension W in front."""
    arrays = to_arrays(obs)
    if isinstance(world, FlatWorld):
        return each(lambda value: value.reshape(len(value), -1), arrays)
    return arrays


def joint_actions(
    actions: Any, world: World | FlatWorld, space: spaces.Space, lead: tuple[int, ...], moving: np.ndarray
) -> TensorDict:
    """Joint actions as the engine takes them, checked in the worlds that move.

    Args:
        actions: By key, arrays ``[*lead, N, …]``; the array itself where there is a single key.
        world: The engine.
        space: What one world's joint actions are, of :func:`joint_spaces`.
        lead: ``(W,)``, or ``()`` for a view of one world.
        moving: bool ``[W]``: worlds whose values matter.

    Raises:
        ActionError: Names the key and the fault (and the agent, where a value is wrong).
    """
    parts = world.action_space.spaces
    actions = by_key(actions, world.action_space, "the joint action")
    batch = (world.num_worlds, world.num_agents)
    joint = space.spaces if isinstance(space, spaces.Dict) else dict.fromkeys(parts, space)
    arrays = {
        key: to_array(actions[key], joint[key], lead, f"action {key!r}").reshape(*batch, *(part.shape or ()))
        for key, part in parts.items()
    }
    given = to_tensors(arrays, world)
    if not world.validate:  # otherwise the world looks at the values itself
        check_values(given, world.action_space, world.agents, moving)
    return given


class _Specified:
    """Tells the horizon of this very world as ``spec.max_episode_steps``, whatever spec it was made from."""

    world: World | FlatWorld
    _spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """Gymnasium's; None where neither a registry nor ``make_joint`` or ``make_vec`` made the environment."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = copy.copy(spec)
        if self._spec is not None:
            self._spec.max_episode_steps = self.world.horizon


class WorldEnv(_Specified, gymnasium.Env[Any, Any]):
    """A Gymnasium ``Env`` over one world, with joint actions.

    Args:
        world: W = 1, made with ``autoreset=False``, or a :class:`FlatWorld` over one.
        render_mode: One of the world's render modes, or None.

    Raises:
        ConfigError: The world has W ≠ 1 or resets itself, or cannot be drawn in that mode.
    """

    def __init__(self, world: World | FlatWorld, render_mode: str | None = None) -> None:
        check_view(world, render_mode, num_worlds=1)
        self.world = world
        self.render_mode = render_mode
        self.metadata = {"render_fps": 10, **world.metadata}
        self.observation_space, self.action_space = joint_spaces(world)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Infos]:
        """Start an episode; seeds and options as in :meth:`World.reset`. Info is empty."""
        obs = self.world.reset(seed=seed, options=options)
        super().reset(seed=seed)
        self._show()
        return self._seen(obs), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Infos]:
        """Move the world by one step; arrays of ``action``, by key or bare, are ``[N, …]`` (flat ones ``[N·A]``).

        Raises:
            ActionError: Names the key and the fault; nothing has moved.
            EpisodeEnded: The episode is over, or has not begun.
        """
        one = np.ones(1, dtype=bool)
        step = self.world.step(joint_actions(action, self.world, self.action_space, (), one))
        terminated, truncated = bool(step.terminated[0]), bool(step.truncated[0])
        info: Infos = _only(_info_arrays(step))
        if terminated or truncated:
            info["metrics"] = _only(to_arrays(step.info["episode"]))
        self._show()
        return self._seen(step.obs), float(_mean_reward(step)[0]), terminated, truncated, info

    def render(self) -> Any:
        """The world as text ("ansi") or as uint8 ``[H, W, 3]`` ("rgb_array"); None without a render mode.

        In mode "human" every reset and step show it, and this once more.
        """
        return None if self.render_mode is None else self.world.render(self.render_mode)

    def _show(self) -> None:
        """Show the world to a person, where that was asked for."""
        if self.render_mode == "human":
            self.world.render("human")

    def close(self) -> None:
        """Close the window, if there is one."""
        self.world.close()

    def _seen(self, obs: TensorDict | Tensor) -> Any:
        return each(itemgetter(0), joint_arrays(obs, self.world))


class WorldVectorEnv(_Specified, VectorEnv[Any, Any, np.ndarray]):
    """A Gymnasium ``VectorEnv`` over the W worlds of one engine, with joint actions.

    ``info`` has the same keys at every step, each ``key`` with a mask ``_key`` (bool ``[W]``) of the worlds
    it speaks of; elsewhere values are zero. ``"metrics"``, and in SAME_STEP mode ``"final_obs"`` and
    ``"final_info"``, are there when an episode ended in this step, as Gymnasium has it.

    Args:
        world: Made with ``autoreset=False``, or a :class:`FlatWorld` over one.
        autoreset_mode: ``NEXT_STEP``: the step after an episode's end resets its world, ignoring the
            action. ``SAME_STEP``: the step that ends an episode also resets its world. ``DISABLED``: ended
            worlds wait for ``reset(options={"reset_mask": mask})``. Gymnasium's enum, its name or value.
        render_mode: One of the world's render modes, or None.

    Raises:
        ConfigError: The mode is unknown, or the world resets itself.
    """

    def __init__(
        self,
        world: World | FlatWorld,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        check_view(world, render_mode)
        self.world = world
        self.render_mode = render_mode
        self.autoreset_mode = _autoreset_mode(autoreset_mode)
        self.metadata = {"render_fps": 10, **world.metadata, "autoreset_mode": self.autoreset_mode}
        self.num_envs = world.num_worlds
        self.single_observation_space, self.single_action_space = joint_spaces(world)
        self._started = False
        self._ended = np.zeros(self.num_envs, dtype=bool)  # worlds whose episode is over
        self._blank: Infos = {}  # the info of a step in which no world moves

    # Bounds of every number of a batch of observations can be gigabytes: made only when asked for.
    @cached_property
    def observation_space(self) -> spaces.Space:  # type: ignore[override]
        """The space of a batch of observations."""
        return batch_space(self.single_observation_space, self.num_envs)

    @cached_property
    def action_space(self) -> spaces.Space:  # type: ignore[override]
        """The space of a batch of actions."""
        return batch_space(self.single_action_space, self.num_envs)

    def reset(
        self,
        *,
        seed: int | Sequence[int] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, Infos]:
        """Start episodes.

        Args:
            seed: World w gets ``seed + w``, or ``seed[w]``; None goes on to the next episodes.
            options: ``"reset_mask"``, bool ``[W]``, leaves the other worlds as they are; ``"domain"`` as in
                :meth:`World.reset`.

        Returns:
            Observations ``[W, N, …]`` of all worlds, and an empty info.

        Raises:
            UnknownName: An option is not known.
        """
        told = check_options(options, ("domain", "reset_mask"))
        mask = told.pop("reset_mask", None)
        chosen = np.ones(self.num_envs, dtype=bool) if mask is None else np.asarray(mask)
        if not chosen.any():
            raise ConfigError("reset_mask selects no world: set at least one entry, or leave it out")
        obs = self.world.reset(seed=seed, mask=None if mask is None else chosen, options=told)
        if isinstance(seed, int):
            super().reset(seed=seed)
        self._ended = self._ended & ~chosen
        self._started = True
        self._show()
        return joint_arrays(obs, self.world), {}

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, Infos]:
        """Move the worlds by one step.

        Args:
            actions: Arrays ``[W, N, …]``, by key or bare (flat ones ``[W, N·A]``).

        Returns:
            Observations ``[W, N, …]``, reward float64 ``[W]``, terminated and truncated bool ``[W]``, info.

        Raises:
            ActionError: Names the key and the fault; nothing has moved.
            EpisodeEnded: A world has ended and waits (DISABLED), or no episode has begun.
        """
        if not self._started:
            raise EpisodeEnded("step before reset: call reset() first")
        if self.autoreset_mode == AutoresetMode.DISABLED and self._ended.any():
            raise EpisodeEnded(
                f"the episode of worlds {np.flatnonzero(self._ended).tolist()} is over: "
                'call reset(options={"reset_mask": mask}) before the next step()'
            )
        moving, resetting = ~self._ended, self._ended
        given = joint_actions(actions, self.world, self.single_action_space, (self.num_envs,), moving)
        obs: TensorDict | Tensor = {}
        reward = np.zeros(self.num_envs)
        terminated, truncated = np.zeros((2, self.num_envs), dtype=bool)
        infos = self._blank
        if moving.any():
            step = self.world.step(given, mask=moving)
            obs, reward = step.obs, _mean_reward(step)
            terminated = step.terminated.cpu().numpy() & moving
            truncated = step.truncated.cpu().numpy() & moving
            infos = self._infos(step, moving, terminated | truncated)
        self._ended = terminated | truncated
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            resetting, self._ended = self._ended, np.zeros_like(self._ended)
        if resetting.any():
            obs = self.world.reset(mask=resetting)
        self._show()
        return joint_arrays(obs, self.world), reward, terminated, truncated, infos

    def render(self) -> tuple[Any, ...] | None:
        """A drawing of every world; None without a render mode, and in mode "human", which shows the first world."""
        if self.render_mode is None:
            return None
        if self.render_mode == "human":
            self._show()
            return None
        return tuple(self.world.render(self.render_mode, world) for world in range(self.num_envs))

    def _show(self) -> None:
        """Show the first world to a person, where that was asked for."""
        if self.render_mode == "human":
            self.world.render("human")

    def close_extras(self, **kwargs: Any) -> None:
        """Close the window, if there is one."""
        self.world.close()

    def _infos(self, step: Step, moving: np.ndarray, ended: np.ndarray) -> Infos:
        """The engine's info in Gymnasium's form."""
        arrays = _info_arrays(step)
        same_step = self.autoreset_mode == AutoresetMode.SAME_STEP
        # In SAME_STEP mode the observation of an ended world is a new episode's: its info went by.
        speaks = moving & ~ended if same_step else moving
        infos = _masked(arrays, speaks)
        infos |= _masked({"reward_per_agent": arrays["reward_per_agent"]}, moving)
        self._blank = _masked(arrays, np.zeros_like(moving))
        if not ended.any():
            return infos
        metrics: Infos = {
            "metrics": _masked(to_arrays(step.info["episode"]), ended),
            "_metrics": ended.copy(),
        }
        if not same_step:
            return infos | metrics
        final_obs = np.full(self.num_envs, None, dtype=object)
        last = joint_arrays(step.final_obs, self.world)
        for world in np.flatnonzero(ended):
            final_obs[world] = each(itemgetter(world), last)
        final_info = _masked(arrays, ended) | metrics
        return infos | {
            "final_obs": final_obs,
            "_final_obs": ended.copy(),
            "final_info": final_info,
            "_final_info": ended.copy(),
        }


def _autoreset_mode(mode: str | AutoresetMode) -> AutoresetMode:
    for known in AutoresetMode:
        spelled = mode.replace("_", "").lower() if isinstance(mode, str) else ""
        if mode is known or spelled == known.value.lower():
            return known
    known_modes = ", ".join(repr(known.value) for known in AutoresetMode)
    raise ConfigError(f"unknown autoreset_mode {short(mode)}: use one of {known_modes}")


def _mean_reward(step: Step) -> np.ndarray:
    """float64 ``[W]``, as Gymnasium's own vector environments have it."""
    return step.reward.cpu().numpy().mean(axis=1, dtype=np.float64)


def _info_arrays(step: Step) -> ArrayDict:
    """What the engine tells at every step, ``[W]`` or ``[W, N]``, with each agent's reward."""
    told = {key: value for key, value in step.info.items() if key != "episode"}
    return to_arrays({**told, "reward_per_agent": step.reward})


def _masked(arrays: ArrayDict, speaks: np.ndarray) -> Infos:
    """Arrays with zeros outside ``speaks [W]``, each with the mask beside it."""
    infos: Infos = {}
    for key, value in arrays.items():
        infos[key] = np.where(speaks.reshape(-1, *[1] * (value.ndim - 1)), value, np.zeros_like(value))
        infos[f"_{key}"] = speaks.copy()
    return infos


def _only(arrays: ArrayDict) -> dict[str, Any]:
    """What arrays hold of the only world there is: ``[N, …]``, or a number where a world has one."""
    return {
        key: bool(value[0]) if value.shape == (1,) and value.dtype == bool else value[0]
        for key, value in arrays.items()
    }
