"""The batched contract, once: W independent worlds of N agents, stepped as tensors on one device.

A world file only says how its world moves. It subclasses :class:`World` and writes these hooks:

======================  ==========================================================================
``start(draws)``        the state of W fresh worlds, a flat dict of tensors ``[W, …]``
``advance(state, …)``   one transition: the new state, rewards and what happened
``observe(state)``      what the agents see: a flat dict of tensors ``[W, N, …]``
``summary(state)``      metrics of the episode so far, ``[W]`` or ``[W, N]``
``cases(state)``        what reports tell besides, e.g. metrics of parts of it (optional)
``picture(state, w)``   what a person sees (optional)
======================  ==========================================================================

Everything shared lives here: seeding, masked reset and step, autoreset, truncation, validation of
actions, saving, forking. State is functional: a step makes new tensors and never writes into old ones,
so an observation handed out stays what it was, and a fork is a copy of a dict. Observations are for reading: what
agents see alike is one piece of memory, so a write reaches all of them, or fails. It never reaches the world.
"""

from __future__ import annotations

import copy
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from . import rng
from .arguments import as_seeds, find_device
from .drawing import plain_style
from .errors import ActionError, ConfigError, EpisodeEnded, one_of, plural, short
from .saving import check_saved
from .validation import MOST_WORLDS, afford, check_actions, check_options, check_values, flag, whole

TensorDict = dict[str, Tensor]


class Step(NamedTuple):
    """What a step returns. Its structure never changes from step to step."""

    obs: TensorDict
    """``[W, N, …]``, to be read: agents who see the same share its memory, so clone before writing. Of the new episode
    where a world was reset in this step."""
    reward: Tensor
    """float32 ``[W, N]``, always detached."""
    loss: Tensor
    """float32 ``[W, N]``: differentiable in message worlds, zero elsewhere."""
    terminated: Tensor
    """bool ``[W]``: the world came to an end of its own."""
    truncated: Tensor
    """bool ``[W]``: the horizon was reached."""
    final_obs: TensorDict
    """``[W, N, …]``: the last observation where an episode ended in this step; ``obs`` elsewhere, and the
    very same tensors where no episode ended."""
    info: dict[str, Any]
    """Tensors ``[W]`` or ``[W, N]``; under ``"episode"`` the final metrics, NaN where none ended."""


class Outcome(NamedTuple):
    """What a world's :meth:`World.advance` returns."""

    state: TensorDict
    reward: Tensor  # [W, N]
    info: TensorDict
    loss: Tensor | None = None  # [W, N]


class World(ABC):
    """W independent worlds of N agents.

    Args:
        num_worlds: W, at least 1.
        num_agents: N, at least 1.
        horizon: Steps after which an episode is truncated.
        device: Where every tensor lives.
        autoreset: Reset ended worlds within the step that ended them; otherwise they wait for ``reset``.
        validate: Check the values of actions too (shapes and dtypes always are). Without it, rows that
            are not finite count as abstaining.

    Attributes:
        agents: Names of the agents of one world.
        observation_space: Of a single agent, a flat ``gymnasium.spaces.Dict``.
        moving: Worlds that the running reset or step moves, bool ``[W]`` on the host: a world that changes anything
            in place (learners) must leave the others alone.
        action_space: Of a single agent, a flat ``gymnasium.spaces.Dict``.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "rgb_array"]}
    agent_noun: ClassVar[str] = "agent"
    differentiable: ClassVar[bool] = False
    """Whether gradients pass through the channel (message worlds); elsewhere a step records no graph."""
    hosts_learners: ClassVar[bool] = False
    """Whether the world trains networks of its own: a world in a batch then equals the same world alone only
    to rounding (batched matrix products), instead of bit for bit."""
    crosses: ClassVar[frozenset[str]] = frozenset()
    """Kinds of what crosses between agents, or from a teacher to them, of those in ``ledger.py``, which says
    where each is charged; "raw_samples" flags a world whose agents get at each other's data."""

    finite_horizon: ClassVar[bool] = False
    """Whether the horizon ends the task itself, so that nothing is left beyond it; elsewhere it cuts it short."""

    trainee: ClassVar[str] = "anyone"
    """Who is trained by reward in it: a name of ``TRAINEES`` (``rollouts/training/trainees.py``); empty: nobody."""

    tested: ClassVar[bool] = False
    """Whether reports measure what its learners know, on the test split of its ``dataset``."""

    headline: ClassVar[str] = "return"
    """The metric that curves, progress bars and comparisons show: one of :meth:`metrics`."""

    refused_arguments: ClassVar[Mapping[str, str]] = {}
    """Arguments that this world does not take although a base class does, or another world of its kind, and what to do
    instead."""

    few_actions: ClassVar[str] = ""
    """Arguments with which actions are few and bounded enough for Stable-Baselines3, as errors name them."""

    observation_space: spaces.Dict
    action_space: spaces.Dict
    reset_draws: rng.Draws = rng.Draws({})
    step_draws: rng.Draws = rng.Draws({})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "metadata" not in vars(cls):  # a world that draws no picture offers none
            modes = [] if cls.picture is World.picture else World.metadata["render_modes"]
            cls.metadata = {**cls.metadata, "render_modes": modes}

    def __init__(
        self,
        *,
        num_worlds: int,
        num_agents: int,
        horizon: int,
        device: str | torch.device = "cpu",
        autoreset: bool = True,
        validate: bool = False,
    ) -> None:
        self.num_worlds = whole("num_worlds", num_worlds, 1, MOST_WORLDS)
        self.num_agents = whole("agents", num_agents, 1)
        self.horizon = whole("horizon", horizon, 1)
        afford(self.num_worlds, "the number of agents", agents=self.num_agents, peers=self.num_agents)
        self.device = find_device(device)
        self.autoreset, self.validate = flag("autoreset", autoreset), flag("validate", validate)
        self.agents = [f"{self.agent_noun}_{i}" for i in range(self.num_agents)]
        self.seeds: np.ndarray | None = None
        self.domain = "train"
        self.moving = np.ones(self.num_worlds, dtype=bool)
        self._state: TensorDict = {}
        self._clock = np.zeros(self.num_worlds, dtype=np.int64)  # host mirror of state["clock"]
        self._terminated = np.zeros(self.num_worlds, dtype=bool)
        self._truncated = np.zeros(self.num_worlds, dtype=bool)

    def __repr__(self) -> str:
        """What it is and how large."""
        agents = self.agent_noun if self.num_agents == 1 else plural(self.agent_noun)
        worlds = "1 world" if self.num_worlds == 1 else f"{self.num_worlds:,} worlds"
        size = f"{worlds} of {self.num_agents} {agents}, horizon {self.horizon:,}"
        return f"<{type(self).__name__}: {size}, {self.device}>"

    # ---- what a world file writes -------------------------------------------------------------------

    @abstractmethod
    def start(self, draws: TensorDict, state: TensorDict) -> TensorDict:
        """Fresh state of all W worlds. ``state`` holds the engine's part (keys, clock, …)."""

    @abstractmethod
    def advance(self, state: TensorDict, actions: TensorDict, draws: TensorDict) -> Outcome:
        """Move all W worlds by one step. ``state["clock"]`` already counts this step."""

    @abstractmethod
    def observe(self, state: TensorDict) -> TensorDict:
        """What the agents see, ``[W, N, …]``: a pure function of the state."""

    @abstractmethod
    def summary(self, state: TensorDict) -> TensorDict:
        """Metrics of the episode so far, ``[W]`` or ``[W, N]``; whole numbers are handed out as float32."""

    def cases(self, state: TensorDict) -> TensorDict:
        """Figures of reports besides the metrics, or in place of those of the same name, ``[W]`` or ``[W, N]``.

        Metrics of parts of an episode, NaN where there is no such part, or what a report counts in another unit.
        """
        return {}

    def exhausted(self, clock: np.ndarray) -> np.ndarray:
        """Which worlds (bool ``[W]``) are at an end of their own after ``clock`` steps; host side."""
        return np.zeros_like(clock, dtype=bool)

    def picture(self, state: TensorDict, world: int, mode: str) -> str | np.ndarray:
        """Draw one world, as text ("ansi") or as uint8 ``[H, W, 3]`` ("rgb_array")."""
        raise ConfigError(f"{type(self).__name__} cannot be drawn")

    # ---- the contract -------------------------------------------------------------------------------

    def reset(
        self,
        *,
        seed: int | Sequence[int] | np.ndarray | None = None,
        mask: Tensor | np.ndarray | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> TensorDict:
        """Start episodes, and return the observations ``[W, N, …]`` of all worlds, to be read (see :class:`Step`).

        Args:
            seed: World w gets ``seed + w``, or ``seed[w]``. None goes on to the next episode of the
                seeds there are; a world never seeded draws one from the operating system and keeps it.
            mask: bool ``[W]``; other worlds stay bit-identical. None resets all.
            options: ``{"domain": "train" | "eval" | "demo"}``: equal seeds in different domains are
                unrelated worlds. A seed given without a domain is a training seed; without a seed the
                domain stays.

        Raises:
            UnknownName: An option or its domain is not known. Views and wrappers take out those of their own.
        """
        chosen = self._world_mask(mask)
        domain = check_options(options).get("domain", self.domain if seed is None else "train")
        one_of("seed domain", domain, rng.DOMAINS)
        if not self._state and not chosen.all():
            raise EpisodeEnded("the first reset must start every world: call reset() without a mask")
        if self.seeds is None and seed is None:
            seed = secrets.randbits(48)
        if domain != self.domain and not chosen.all():
            raise ConfigError("the seed domain belongs to all worlds: change it in a reset without a mask")
        fresh_seed = seed is not None or domain != self.domain
        if seed is not None:
            new = as_seeds(seed, self.num_worlds)
            self.seeds = new if self.seeds is None else np.where(chosen, new, self.seeds)
        self.domain = domain
        self._restart(chosen, first_episode=fresh_seed)
        return self.obs

    def _restart(self, chosen: np.ndarray, *, first_episode: bool) -> None:
        """Put fresh state where ``chosen`` (host bool ``[W]``), leaving the rest bit-identical."""
        self.moving = chosen
        key = rng.world_key(torch.as_tensor(self.seeds, device=self.device), self.domain)
        old = self._state
        zero = torch.zeros(self.num_worlds, dtype=torch.int64, device=self.device)
        episode = zero if first_episode or not old else old["episode"] + 1
        fresh: TensorDict = {
            "clock": zero,
            "episode": episode,
            "key": rng.fold(key, episode),
            "return": torch.zeros(self.num_worlds, self.num_agents, device=self.device),
        }
        with torch.no_grad():  # a fresh episode has no past; the worlds that go on keep theirs
            fresh |= self.start(self.reset_draws(rng.fold(fresh["key"], 0)), fresh)
        self._state = self._merge(fresh, old, None if chosen.all() else chosen)
        for host in (self._clock, self._terminated, self._truncated):
            host[chosen] = 0

    def step(
        self, actions: Mapping[str, Tensor] | Tensor, *, mask: Tensor | np.ndarray | None = None
    ) -> Step:
        """Move the worlds by one step.

        Args:
            actions: Tensors ``[W, N, …]`` by the keys of ``action_space`` (one tensor if it has one key).
            mask: bool ``[W]``; worlds outside it do not move at all. None moves every world that has not
                ended; ended ones wait, with zero reward and their flags up.

        Raises:
            ActionError: A key, shape, dtype or (with ``validate``) a value is wrong.
            EpisodeEnded: Nothing is left to move, or the mask names a world that has ended.
        """
        self._begun()
        over = self.ended
        chosen = self._world_mask(mask) if mask is not None else ~over
        if (chosen & over).any() or not chosen.any():
            which = np.flatnonzero(over).tolist()
            raise EpisodeEnded(
                f"the episode of world{'s' if len(which) > 1 else ''} {which} is over: "
                "call reset() or leave ended worlds out of the mask"
                if over.any()
                else "the mask selects no world: nothing to step"
            )
        checked = check_actions(actions, self.action_space, (self.num_worlds, self.num_agents), self.device)
        if self.validate:
            check_values(checked, self.action_space, self.agents, chosen)
        with torch.set_grad_enabled(self.differentiable and torch.is_grad_enabled()):
            return self._move(checked, None if chosen.all() else chosen)

    def _move(self, actions: TensorDict, chosen: np.ndarray | None) -> Step:
        """The transition proper; ``chosen`` is None where every world moves."""
        old = self._state
        self.moving = np.ones(self.num_worlds, dtype=bool) if chosen is None else chosen
        clock = old["clock"] + 1
        draws = self.step_draws(rng.fold(old["key"], clock))
        outcome = self.advance({**old, "clock": clock}, actions, draws)
        reward = outcome.reward.detach()
        loss = torch.zeros_like(reward) if outcome.loss is None else outcome.loss
        info: dict[str, Any] = outcome.info
        if chosen is not None:
            where = torch.from_numpy(chosen).to(self.device)
            reward = torch.where(where[:, None], reward, 0.0)
            loss = torch.where(where[:, None], loss, 0.0)
            info = {k: torch.where(_expand(where, v), v, torch.zeros_like(v)) for k, v in info.items()}
        new = {**outcome.state, "return": old["return"] + reward}
        self._state = self._merge(new, old, chosen)
        ended = self._advance_clock(chosen)
        final_obs = self.obs
        obs = dict(final_obs)
        info = {**self._hand_out(info), "episode": self._episode_metrics(ended)}
        terminated, truncated = self._flags(self._terminated), self._flags(self._truncated)
        if self.autoreset and ended.any():
            self._restart(ended, first_episode=False)
            obs = self.obs
        return Step(obs, reward, loss, terminated, truncated, final_obs, info)

    def _advance_clock(self, chosen: np.ndarray | None) -> np.ndarray:
        """Advance the host's clock; returns which worlds ended in this step."""
        moved = np.ones(self.num_worlds, dtype=bool) if chosen is None else chosen
        self._clock[moved] += 1
        self._terminated[moved] = self.exhausted(self._clock)[moved]
        self._truncated[moved] = (self._clock >= self.horizon)[moved] & ~self._terminated[moved]
        return moved & self.ended

    def _episode_metrics(self, ended: np.ndarray) -> TensorDict:
        """Final metrics where a world ended, NaN elsewhere; the same keys and shapes at every step."""
        if not ended.any():
            return {k: torch.full_like(v, torch.nan) for k, v in self.metrics().items()}
        where = torch.from_numpy(ended).to(self.device)
        return {k: torch.where(_expand(where, v), v, torch.nan) for k, v in self.metrics().items()}

    def _flags(self, host: np.ndarray) -> Tensor:
        """A host mask ``[W]`` on the device; nothing is copied there while nothing is set."""
        if not host.any():
            return torch.zeros(self.num_worlds, dtype=torch.bool, device=self.device)
        return torch.from_numpy(host.copy()).to(self.device)

    def _merge(self, new: TensorDict, old: TensorDict, chosen: np.ndarray | None) -> TensorDict:
        """``new`` in the chosen worlds, ``old`` in the others."""
        if chosen is None or not old:
            return new
        where = torch.from_numpy(chosen).to(self.device)
        return {k: v if v is old[k] else torch.where(_expand(where, v), v, old[k]) for k, v in new.items()}

    def _hand_out(self, tensors: TensorDict) -> TensorDict:
        """The tensors, those that share memory with the state copied: who gets them may write into them."""
        kept = {v.untyped_storage().data_ptr() for v in self._state.values()}
        return {k: v.clone() if v.untyped_storage().data_ptr() in kept else v for k, v in tensors.items()}

    # ---- looking in, saving, branching --------------------------------------------------------------

    @property
    def clock(self) -> np.ndarray:
        """Steps made in the running episodes, int64 ``[W]`` on the host."""
        return self._clock.copy()

    @property
    def ended(self) -> np.ndarray:
        """Which worlds' episodes are over and wait for a reset, bool ``[W]`` on the host."""
        return self._terminated | self._truncated

    @property
    def obs(self) -> TensorDict:
        """The present observations, ``[W, N, …]``: what the last reset or step returned."""
        return self._hand_out(self.observe(self._begun()))

    @property
    def keys(self) -> Tensor:
        """Random key of each world's running episode, int64 ``[W]``: what policies derive theirs from."""
        return self._begun()["key"].clone()

    @property
    def steps(self) -> Tensor:
        """Steps made in the running episodes, int64 ``[W]`` on the device."""
        return self._begun()["clock"].clone()

    def metrics(self) -> TensorDict:
        """Metrics of the running episodes, ``[W]`` or ``[W, N]``, with their returns so far."""
        state = self._begun()
        found = {"return": state["return"], **self.summary(state)}
        return self._hand_out({k: v if v.is_floating_point() else v.float() for k, v in found.items()})

    def sound(self) -> Tensor | None:
        """Whose hosted learners are finite, bool ``[W, N]``; None where the world hosts none."""
        return None

    def breakdown(self) -> TensorDict:
        """The running episodes' :meth:`cases`, ``[W]`` or ``[W, N]``, NaN where a case did not occur."""
        return self._hand_out(self.cases(self._begun()))

    def budget_fraction(self) -> Tensor | None:
        """How much of the teacher's budget is left, 0 … 1, ``[W]``; None where there is no limit, or no teacher."""
        return None

    def named_objects(self) -> tuple[Tensor, Tensor] | None:
        """What a speaker names by symbols: objects ``[M, F]`` and their attributes ``[M, K]``; None where nothing."""
        return None

    def state(self) -> Tensor:
        """float32 ``[W, S]``: the worlds as a centralised critic may see them."""
        obs = self.obs
        return torch.cat([obs[key].flatten(1).float() for key in sorted(obs)], dim=1)

    @property
    def state_space(self) -> spaces.Box:
        """The space of one world's :meth:`state`, ``(S,)``; a world with a state of its own has one of its own."""
        parts = [self.observation_space[key] for key in sorted(self.observation_space.spaces)]
        low, high = (
            np.concatenate([np.tile(getattr(part, bound).ravel(), self.num_agents) for part in parts])
            for bound in ("low", "high")
        )
        return spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)

    def render(self, mode: str = "ansi", world: int = 0) -> str | np.ndarray:
        """Draw one world; ``mode`` is one of ``metadata["render_modes"]``."""
        if not isinstance(mode, str) or mode not in self.metadata["render_modes"]:
            raise ConfigError(
                f"unknown render mode {short(mode)}: use one of {self.metadata['render_modes']}"
            )
        with plain_style():
            return self.picture(self._begun(), world, mode)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here; loads with ``torch.load(weights_only=True)``."""
        return {
            "state": {k: v.detach().clone() for k, v in self._state.items()},
            "seeds": None if self.seeds is None else torch.from_numpy(self.seeds.copy()),
            "domain": self.domain,
            "horizon": self.horizon,
            "clock": torch.from_numpy(self._clock.copy()),
            "terminated": torch.from_numpy(self._terminated.copy()),
            "truncated": torch.from_numpy(self._truncated.copy()),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict` of a world made with the same arguments.

        Raises:
            ConfigError: It is of another kind of world; nothing was changed then.
        """
        if self._state:
            self._compare(saved)
        else:
            self.reset(seed=0)  # to have something to compare with
            try:
                self._compare(saved)
            except ConfigError:
                self._state, self.seeds = {}, None
                raise
        self._state = {k: v.to(self.device).clone() for k, v in saved["state"].items()}
        self.seeds = None if saved["seeds"] is None else saved["seeds"].cpu().numpy().copy()
        self.domain = saved["domain"]
        self._clock[:] = saved["clock"].cpu().numpy()
        self._terminated[:] = saved["terminated"].cpu().numpy()
        self._truncated[:] = saved["truncated"].cpu().numpy()

    def _compare(self, saved: Mapping[str, Any]) -> None:
        """Refuse a state of another kind of world."""
        check_saved("world", saved, {**self.state_dict(), "domain": ...})
        one_of("seed domain", saved["domain"], rng.DOMAINS)
        if saved["horizon"] != self.horizon:
            raise ConfigError(
                f"the saved world has a horizon of {saved['horizon']}, this one of {self.horizon}: make it alike"
            )

    def fork(self) -> World:
        """A copy that goes its own way from here; the two share only what neither ever writes to."""
        twin = copy.copy(self)
        twin._state = dict(self._state)
        for name in ("_clock", "_terminated", "_truncated"):
            setattr(twin, name, getattr(self, name).copy())
        twin.seeds = None if self.seeds is None else self.seeds.copy()
        return twin

    def _begun(self) -> TensorDict:
        """The state, once there is one."""
        if not self._state:
            raise EpisodeEnded("the world has not begun: call reset() first")
        return self._state

    # ---- small helpers ------------------------------------------------------------------------------

    def _world_mask(self, mask: Tensor | np.ndarray | None) -> np.ndarray:
        if mask is None:
            return np.ones(self.num_worlds, dtype=bool)
        host = mask.cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
        if host.shape != (self.num_worlds,) or host.dtype != bool:
            raise ActionError(
                f"a world mask must be bool of shape ({self.num_worlds},), got {host.dtype} {host.shape}"
            )
        return host.copy()


def _expand(where: Tensor, like: Tensor) -> Tensor:
    """``where [W]`` with as many dimensions as ``like [W, …]``."""
    return where.view(-1, *[1] * (like.dim() - 1))
