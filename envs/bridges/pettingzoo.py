"""PettingZoo's view of a world: one world, agents by name, numpy in and out."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property
from operator import itemgetter
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv
from pettingzoo.env_registry.spec import EnvSpec
from torch import Tensor

from ..engine.actions import check_values
from ..engine.world import World
from ..errors import ActionError, EpisodeEnded, short
from .arrays import ArrayDict, by_key, check_keys, check_view, each, shown, to_array, to_arrays, to_tensors
from .flat import FlatWorld


class WorldParallelEnv(ParallelEnv[str, Any, Any]):
    """A PettingZoo ``ParallelEnv`` over one world.

    Every dict it returns has the same agents as keys at every step: the agents of a world end together,
    and one that is away for a while stays, with ``present = 0``. After the end ``agents`` is empty.

    Where the engine's action space has a single key, the bare space behind it is shown and bare values are
    taken. An observation ``action_mask`` is what ``action_space(agent).sample(mask)`` wants; a choice it rules
    out is no error, but has no effect.

    ``infos[agent]`` holds Python scalars under the same keys at every step, and at the last step also
    ``"metrics"``, the final ones (not ``"episode"``, a key that recorders of returns take for theirs).

    Args:
        world: W = 1, made with ``autoreset=False``; a :class:`FlatWorld` makes a view without dicts.
        name: ``metadata["name"]``.
        render_mode: One of the world's render modes, or None.

    Attributes:
        world: The engine.
        max_cycles: The horizon. PettingZoo's tests write to it, without effect: the horizon of a world is
            its argument ``horizon``.
        spec: PettingZoo's ``EnvSpec`` of this very environment, its horizon as ``max_cycles``; None where
            :func:`~studyhall.envs.make.make_env` did not make it.

    Raises:
        ConfigError: The world has W ≠ 1 or resets itself, or cannot be drawn in that mode.
    """

    spec: EnvSpec | None = None

    def __init__(self, world: World | FlatWorld, name: str, render_mode: str | None = None) -> None:
        check_view(world, render_mode, num_worlds=1)
        self.world = world
        self.render_mode = render_mode
        self.metadata = {
            "name": name,
            "render_modes": list(world.metadata["render_modes"]),
            "is_parallelizable": True,
            "render_fps": world.metadata.get("render_fps", 10),
        }
        self.max_cycles = world.horizon
        self.possible_agents = list(world.agents)
        self.agents: list[str] = []
        self._started = False
        # Agents share what they may see, but sample actions each from a generator of their own.
        self._action_spaces = {agent: copy.deepcopy(shown(world.action_space)) for agent in world.agents}

    def __repr__(self) -> str:
        """The world's name, and what it is."""
        return f"<{type(self).__name__} {self.metadata['name']}: {self.world}>"

    def observation_space(self, agent: str) -> spaces.Space:
        """The space of one agent's observations; the same object at every call, for all agents."""
        self._index(agent)
        return self.world.observation_space

    def action_space(self, agent: str) -> spaces.Space:
        """The space of one agent's actions; the same object at every call, one for each agent."""
        return self._action_spaces[self.possible_agents[self._index(agent)]]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Start an episode.

        Args:
            seed: Of the world; None goes on to the next episode of the seed there is.
            options: ``{"domain": "train" | "eval" | "demo"}``.

        Returns:
            Observations and empty infos, by agent.

        Raises:
            UnknownName: An option is not known.
        """
        if isinstance(
            options, Mapping
        ):  # PettingZoo's own tests give an entry "options", which means nothing
            options = {name: value for name, value in options.items() if name != "options"}
        obs = self.world.reset(seed=seed, options=options)
        self.agents = self.possible_agents[:]
        self._started = True
        self._show()
        return self._by_agent(to_arrays(obs)), {agent: {} for agent in self.agents}

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[
        dict[str, Any],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, dict[str, Any]],
    ]:
        """Move the world by one step.

        Args:
            actions: By agent (and key), anything that can be cast to its space without loss.

        Raises:
            ActionError: Names the agent, the key and the fault; nothing has moved.
            EpisodeEnded: The episode is over, or has not begun.
        """
        if not self.agents:
            raise EpisodeEnded(
                "the episode is over: call reset() before the next step()"
                if self._started
                else "step before reset: call reset() first"
            )
        given = to_tensors(self._batch(actions), self.world)
        if not self.world.validate:  # otherwise the world looks at the values itself
            check_values(given, self.world.action_space, self.world.agents, np.ones(1, dtype=bool))
        step = self.world.step(given)
        terminated, truncated = bool(step.terminated[0]), bool(step.truncated[0])
        agents = self.agents
        infos = self._infos(step.info, ended=terminated or truncated)
        if terminated or truncated:
            self.agents = []
        self._show()
        rewards = step.reward[0].tolist()
        return (
            self._by_agent(to_arrays(step.obs)),
            dict(zip(agents, rewards, strict=True)),
            dict.fromkeys(agents, terminated),
            dict.fromkeys(agents, truncated),
            infos,
        )

    def state(self) -> np.ndarray:
        """float32 ``[S]``: the world as a centralised critic may see it."""
        if not self._started:
            raise EpisodeEnded("there is no state before the first reset()")
        return np.array(self.world.state()[0].cpu().numpy())

    @cached_property
    def state_space(self) -> spaces.Box:
        """The space of :meth:`state`."""
        return self.world.state_space

    def render(self) -> Any:
        """The world as text ("ansi") or as uint8 ``[H, W, 3]`` ("rgb_array"); None without a render mode.

        In mode "human" every reset and step show it, and this once more.
        """
        if self.render_mode is None:
            gymnasium.logger.warn("render() draws nothing: make the environment with a render_mode")
            return None
        return self.world.render(self.render_mode)

    def _show(self) -> None:
        """Show the world to a person, where that was asked for."""
        if self.render_mode == "human":
            self.world.render("human")

    def close(self) -> None:
        """Close the window, if there is one."""
        self.world.close()

    # ---- between agents and the batch ---------------------------------------------------------------

    def _index(self, agent: str) -> int:
        try:
            return self.possible_agents.index(agent)
        except ValueError:
            raise ActionError(
                f"unknown agent {short(agent)}: known are {', '.join(self.possible_agents)}"
            ) from None

    def _batch(self, actions: Mapping[str, Any]) -> ArrayDict:
        """Actions by agent as arrays ``[1, N, …]`` by key."""
        check_keys(actions, self.possible_agents, "the dict of actions", "agent")
        parts = self.world.action_space.spaces
        rows: dict[str, list[np.ndarray]] = {key: [] for key in parts}
        for agent in self.possible_agents:
            action = by_key(actions[agent], self.world.action_space, f"the action of {agent}")
            for key, part in parts.items():
                rows[key].append(to_array(action[key], part, (), f"action {key!r} of {agent}"))
        return {key: np.stack(values)[None] for key, values in rows.items()}

    def _by_agent(self, arrays: Any) -> dict[str, Any]:
        """Arrays ``[1, N, …]`` (by name, or a single one) by agent."""
        return {agent: each(itemgetter((0, i)), arrays) for i, agent in enumerate(self.possible_agents)}

    def _infos(self, info: Mapping[str, Any], *, ended: bool) -> dict[str, dict[str, Any]]:
        """The engine's info as Python scalars by agent."""
        infos = self._scalars({key: value for key, value in info.items() if key != "episode"})
        if ended:
            for agent, metrics in self._scalars(info["episode"]).items():
                infos[agent]["metrics"] = metrics
        return infos

    def _scalars(self, tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
        """Tensors ``[1]`` (told to every agent) or ``[1, N]`` (to each its own), by agent."""
        columns = {}
        for key, value in tensors.items():
            host = value[0].tolist()
            columns[key] = host if value.dim() > 1 else [host] * len(self.possible_agents)
        return {
            agent: {key: column[i] for key, column in columns.items()}
            for i, agent in enumerate(self.possible_agents)
        }
