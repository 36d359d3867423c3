"""Stable-Baselines3's view of worlds: every agent of every world is a sub-environment of one ``VecEnv``.

All W·N of them share one engine and, in training, one set of parameters. Sub-environment w·N + n is agent n of
world w; the agents of a world end together and are reset in the step that ends them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from ..engine import Step, TensorDict, World, rng
from ..engine.actions import check_options
from ..engine.fits import check_saved
from ..errors import ActionError, ConfigError, EpisodeEnded, one_of, short
from ..validation import LAST_SEED, whole
from .arrays import each
from .flat import MASK, FlatActions, FlatWorld, trainable_space

Infos = list[dict[str, Any]]


class WorldVecEnv(VecEnv):
    """W·N sub-environments over one engine.

    Actions are flat, as ``flat.py`` has it; observations by name, or flat too. Infos are empty but where an episode
    ended: there they hold ``terminal_observation``, ``TimeLimit.truncated``, ``episode`` (return ``r`` and length
    ``l``, as SB3's ``Monitor`` has them) and ``metrics`` (the world's own).

    The horizon cuts a task short, so SB3 reckons with what was still to come (``TimeLimit.truncated``), but in worlds
    of a ``finite_horizon``, such as those of messages: there it is told as an end.

    Args:
        world: Made with ``autoreset=True``.
        seed: Of the first reset; world w gets ``seed + w``. None draws one.
        domain: ``"train"``, ``"eval"`` or ``"demo"``: equal seeds in different domains are unrelated worlds.
        render_mode: ``"rgb_array"`` where the world can be drawn, or None.
        origin: What made the world: ``{"env": id, "env_kwargs": {…}}``, kept with policies that are saved.
        flat: Observations are one ``Box`` too (with ``action_mask`` beside it, where choices have one).

    Raises:
        ConfigError: The world does not reset itself, cannot be drawn, or has actions that SB3 cannot take.
        UnknownName: No such domain; lists those there are.
    """

    actions: np.ndarray

    def __init__(
        self,
        world: World,
        *,
        seed: int | None = None,
        domain: str = "train",
        render_mode: str | None = None,
        origin: Mapping[str, Any] | None = None,
        flat: bool = False,
    ) -> None:
        if not world.autoreset:
            raise ConfigError("SB3 expects worlds to reset themselves: make the world with autoreset=True")
        drawn = isinstance(render_mode, str) and render_mode == "rgb_array" and world.metadata["render_modes"]
        if render_mode is not None and not drawn:
            raise ConfigError(
                f"render_mode {short(render_mode)} cannot be had: use None, or 'rgb_array' if it has one"
            )
        self.world = world
        self.render_mode = render_mode
        self.domain = one_of("seed domain", domain, rng.DOMAINS)
        self.origin = dict(origin or {})
        self._agents = [_Agent(self, index) for index in range(world.num_worlds * world.num_agents)]
        self._obs: Any = None
        action_space = trainable_space(world.action_space, world.few_actions)
        self._flattened = FlatWorld(world) if flat else None
        seen: Any = world if self._flattened is None else self._flattened
        super().__init__(len(self._agents), seen.observation_space, action_space)
        if seed is not None:
            self.seed(seed)

    def __repr__(self) -> str:
        """How many sub-environments, and of what."""
        return f"<{type(self).__name__}: {self.num_envs:,} sub-environments of {self.world}>"

    # ---- stepping -----------------------------------------------------------------------------------

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the worlds of the next reset, and return the seed of every sub-environment."""
        if seed is not None:
            seed = whole("seed", seed, 0, LAST_SEED)
        first = super().seed(seed)[0]
        assert first is not None
        self._seeds = [first + index // self.world.num_agents for index in range(self.num_envs)]
        return self._seeds

    def reset(self) -> Any:
        """Start episodes everywhere: of the seeds given since, or the next ones of the same seeds.

        ``set_options({"domain": …})`` before it changes the domain of the seeds.
        """
        self.domain = check_options(self._options[0]).get("domain", self.domain)
        seeds = None if self._seeds[0] is None else self._seeds[:: self.world.num_agents]
        obs = self.world.reset(seed=seeds, options={"domain": self.domain})  # type: ignore[arg-type]
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = [{} for _ in range(self.num_envs)]
        return self._observed(obs)

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions ``[W·N, A]`` (``[W·N]`` of a Discrete) of the next :meth:`step_wait`.

        Raises:
            ActionError: Another shape, or values that are not finite or not there; nothing has moved.
        """
        self.actions = self._checked(np.asarray(actions))

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, Infos]:
        """Move every world by one step.

        Returns:
            Observations ``[W·N, …]`` (of the new episode where one ended), rewards float32 ``[W·N]``, dones
            bool ``[W·N]``, and infos.
        """
        lengths = self.world.clock + 1
        step = self.world.step(self._actions())
        infos: Infos = [{} for _ in range(self.num_envs)]
        terminated, truncated = step.terminated.cpu().numpy(), step.truncated.cpu().numpy()
        ended = terminated | truncated
        if ended.any():
            cut = truncated & ~terminated & (not self.world.finite_horizon)
            self._tell_ends(infos, step, np.flatnonzero(ended), cut, lengths)
        obs = self._observed(step.obs)
        reward = np.array(step.reward.cpu().numpy().reshape(-1))  # SB3 adds to it in place
        return obs, reward, np.repeat(ended, self.world.num_agents), infos

    def _tell_ends(
        self, infos: Infos, step: Step, worlds: np.ndarray, truncated: np.ndarray, lengths: np.ndarray
    ) -> None:
        """Fill in the infos of the agents whose worlds ended."""
        n = self.world.num_agents
        last = self._flat(step.final_obs)
        metrics = {
            key: np.broadcast_to(value.view(value.shape[0], -1).cpu().numpy(), (self.world.num_worlds, n))
            for key, value in step.info["episode"].items()
        }
        for world in worlds:
            for agent in range(n):
                index = int(world) * n + agent
                found = {key: float(value[world, agent]) for key, value in metrics.items()}
                infos[index].update(
                    terminal_observation=each(itemgetter(index), last),
                    episode={"r": found["return"], "l": int(lengths[world])},
                    metrics=found,
                )
                infos[index]["TimeLimit.truncated"] = bool(truncated[world])

    def _flat(self, obs: TensorDict) -> Any:
        """Observations ``[W·N, …]`` that share memory with nothing that lives on."""
        seen = obs if self._flattened is None else self._flattened.flattened(obs)
        return each(lambda value: np.ascontiguousarray(value.flatten(0, 1).detach().cpu().numpy()), seen)

    def _observed(self, obs: TensorDict) -> Any:
        """What is handed out of an observation, which is remembered."""
        self._obs = self._flat(obs)
        return dict(self._obs) if isinstance(self._obs, dict) else self._obs

    def _checked(self, actions: np.ndarray) -> np.ndarray:
        """The actions, if they have the right shape and can be taken."""
        space = self.action_space
        shape = (self.num_envs, *(space.shape or ()))
        if actions.shape != shape:
            raise ActionError(f"actions must have shape {shape}, got {actions.shape}")
        if not isinstance(space, FlatActions):
            if actions.dtype.kind not in "iu":
                raise ActionError(f"choices must be whole numbers, got {actions.dtype}")
            counts = np.atleast_1d(space.n if isinstance(space, spaces.Discrete) else space.nvec)  # type: ignore[attr-defined]
            outside = ((actions < 0) | (actions >= counts)).reshape(self.num_envs, -1)
            bad = outside.any(axis=1)
            fault = f"is outside 0…{counts[outside[bad.argmax()].argmax()] - 1}"
        else:
            bad, fault = ~np.isfinite(actions).all(axis=1), "is not finite (NaN or infinite)"
        if bad.any():
            world, agent = divmod(int(np.flatnonzero(bad)[0]), self.world.num_agents)
            raise ActionError(f"the action of {self.world.agents[agent]} (world {world}) {fault}")
        return actions

    def _actions(self) -> TensorDict:
        """The actions as the engine takes them."""
        given = torch.from_numpy(np.ascontiguousarray(self.actions)).to(self.world.device)
        given = given.unflatten(0, (self.world.num_worlds, self.world.num_agents))
        return self.action_space.split(given)  # type: ignore[attr-defined]

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, between two steps."""
        return {"world": self.world.state_dict()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> Any:
        """Go on from a :meth:`state_dict`; returns what was observed last."""
        check_saved("environment", saved, {"world": ...})  # the world compares the rest
        self.world.load_state_dict(saved["world"])
        self.domain = self.world.domain
        self._reset_seeds()  # they are the world's by now: a reset goes on to its next episodes
        return self._observed(self.world.obs)

    # ---- what SB3 asks of sub-environments ----------------------------------------------------------

    def close(self) -> None:
        """Nothing is open."""

    def get_images(self) -> Sequence[np.ndarray | None]:
        """A picture of every world, not of every agent; SB3 tiles them."""
        return [self.world.render("rgb_array", world) for world in range(self.world.num_worlds)]  # type: ignore[misc]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of sub-environments, most of which are those of the one world behind them."""
        return [getattr(self._agents[index], attr_name) for index in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the world, which all sub-environments share."""
        if len(list(self._get_indices(indices))) < self.num_envs:
            raise ConfigError(f"{attr_name} belongs to all sub-environments: set it without indices")
        setattr(self.world, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of sub-environments, e.g. ``"action_masks"``."""
        return [method(*method_args, **method_kwargs) for method in self.get_attr(method_name, indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        """Nothing is wrapped; what ``Monitor`` would tell of episodes is told, so SB3 may count on it."""
        return [issubclass(wrapper_class, Monitor) for _ in self._get_indices(indices)]


class _Agent:
    """One agent, as SB3 thinks of a sub-environment: what it lacks is looked up in the world."""

    def __init__(self, env: WorldVecEnv, index: int) -> None:
        self._env, self._index = env, index

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # a copy that is being made has no `_env` yet to ask
            raise AttributeError(name)
        if name == "action_masks" and MASK in self._env.world.observation_space.spaces:
            return self._masks  # that there are any is asked before the first reset
        return getattr(self._env.world, name)

    def _masks(self) -> np.ndarray:
        """Which choices there are, bool ``[n]``."""
        if self._env._obs is None:
            raise EpisodeEnded("there are no action masks before the first reset: call reset() first")
        return self._env._obs[MASK][self._index].astype(bool)

    @property
    def render_mode(self) -> str | None:
        return self._env.render_mode

    def render(self) -> Any:
        world = self._index // self._env.world.num_agents
        return None if self.render_mode is None else self._env.world.render(self.render_mode, world)
