"""The batched contract, once: W independent worlds of N agents, stepped as tensors on one device.

A world file only says how its world moves. It subclasses :class:`World` and writes these hooks:

======================  ==========================================================================
``start(draws, state)`` the state of W fresh worlds, a flat dict of tensors ``[W, …]``
``advance(state, …)``   one transition: the new state, rewards and what happened
``observe(state)``      what the agents see: a flat dict of tensors ``[W, N, …]``
``summary(state)``      metrics of the episode so far, ``[W]`` or ``[W, N]``
``cases(state)``        what reports tell besides, e.g. metrics of parts of it (optional)
``picture(state, …)``   what a person sees (optional)
======================  ==========================================================================

Everything shared lives here: seeding, masked reset and step, autoreset, truncation, validation of
actions, saving, forking. State is functional: a step makes new tensors and never writes into old ones,
so an observation handed out stays what it was, and a fork is a copy of a dict. Observations are for reading: what
agents see alike is one piece of memory, so a write reaches all of them, or fails. It never reaches the world.

What has to change in place, such as learners, is a :class:`~studyhall.envs.engine.parts.Part` that the world assigns
to an attribute; it has begun anew when ``start`` is called. A world with a part that is no longer finite is at an end:
within :data:`LOOK_EVERY` steps, or at once where the world puts ``"sound"`` into its new state, bool ``[W, N]`` or
``[W, 1]``: whether what its parts gave in this step was finite.
"""

from __future__ import annotations

import copy
import secrets
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ..arguments import as_seeds, find_device, refuse, share_out
from ..errors import ActionError, ConfigError, EpisodeEnded, one_of, plural, short
from ..validation import afford, whole
from . import rng
from .actions import check_actions, check_options, check_values
from .batch import Batch
from .compiling import USELESS, check_compiler
from .flat import join, joined_space
from .masks import every, some
from .saving import Restorable
from .state import TensorDict
from .window import Screen

if TYPE_CHECKING:
    from typing_extensions import Self

    from ...learners.plain import Plain

LISTENED, HEARD, BELOW = "who listens to whom", "who heard whom", "who is below whom"
"""What weights of :class:`Listening` say."""

LOOK_EVERY = 10
"""Steps of an episode between two looks at whether parts are still finite; on a device the host has to wait for one."""


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


class Listening(NamedTuple):
    """Who listens to whom; see :meth:`World.listening`."""

    title: str
    """What the weights say: :data:`LISTENED`, :data:`HEARD` or :data:`BELOW`."""
    who: Tensor
    """Which agent is in each of an agent's K slots, int64 ``[N, K]``, or ``[W, N, K]``; the same all episode."""
    weights: Tensor
    """How much each listens to whom is in its slots, 0 … 1, float32 ``[W, N, K]``."""


class Outcome(NamedTuple):
    """What a world's :meth:`World.advance` returns."""

    state: TensorDict
    reward: Tensor  # [W, N]
    info: TensorDict
    loss: Tensor | None = None  # [W, N]


class World(Restorable):
    """W independent worlds of N agents.

    Args:
        num_agents: N, at least 1.
        horizon: Steps after which an episode is truncated.
        **batch: ``num_worlds``, ``device``, ``autoreset`` and ``validate``: see :class:`Batch`.

    Attributes:
        agents: Names of the agents of one world.
        observation_space: Of a single agent, a flat ``gymnasium.spaces.Dict``.
        action_space: Of a single agent, a flat ``gymnasium.spaces.Dict``.
        moving: Worlds that the running reset or step moves, bool ``[W]`` on the device: parts that change in place
            (learners) must stay as they are in the others.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "rgb_array", "human"]}
    agent_noun: ClassVar[str] = "agent"
    differentiable: ClassVar[bool] = False
    """Whether gradients pass through the channel (message worlds); elsewhere a step records no graph."""
    crosses: frozenset[str] = frozenset()
    """Kinds of what crosses between agents, or from a teacher to them, of those in ``ledger.py``, which says
    where each is charged; "raw_samples" flags a world whose agents get at each other's data."""

    compiles: ClassVar[frozenset[str]] = frozenset()
    """Hooks that are faster compiled, of those marked ``@compilable``; a world without any refuses ``compile=True``."""

    finite_horizon: ClassVar[bool] = False
    """Whether the horizon ends the task itself, so that nothing is left beyond it; elsewhere it cuts it short."""

    trainee: ClassVar[str] = "anyone"
    """Who is trained by reward in it: a name of ``TRAINEES`` (``rollouts/training/trainees.py``); empty: nobody."""

    tested: ClassVar[bool] = False
    """Whether reports measure the accuracy of its learners, on the test split of its ``dataset``; see :meth:`tests`."""

    headline: ClassVar[str] = "return"
    """The metric that curves, progress bars and comparisons show: one of :meth:`metrics`."""

    forwarded_arguments_to: ClassVar[tuple[type, ...]] = (Batch,)
    """Dataclasses whose fields are arguments, too: the last in a line of constructors shares ``**others`` out."""

    refused_arguments: ClassVar[Mapping[str, str]] = {}
    """Arguments that this world does not take although a base class does, or another world of its kind, and what to do
    instead."""

    hosting_arguments: ClassVar[frozenset[str]] = frozenset()
    """Arguments that this world takes only where it hosts its learners."""

    few_actions: str = ""
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
        refused = {name: why for name, why in cls.refused_arguments.items() if name != "compile"}
        cls.refused_arguments = refused if cls.compiles else {**refused, "compile": USELESS}

    def __init__(self, *, num_agents: int, horizon: int, **batch: Any) -> None:
        settings = Batch(**share_out(type(self).__name__, batch, Batch)[0])
        self.num_worlds, self.device = settings.num_worlds, find_device(settings.device)
        self.autoreset, self.validate = settings.autoreset, settings.validate
        self.compile = settings.compile
        if self.compile:
            refuse(type(self).__name__, {"compile": True}, self.refused_arguments)
            check_compiler(self.device)
        self.num_agents = whole("agents", num_agents, 1)
        self.horizon = whole("horizon", horizon, 1)
        afford(self.num_worlds, "the number of agents", agents=self.num_agents, peers=self.num_agents)
        self.agents = [f"{self.agent_noun}_{i}" for i in range(self.num_agents)]
        self._everyone = torch.ones(self.num_worlds, dtype=torch.bool, device=self.device)
        self._moving, self.moving = np.ones(self.num_worlds, dtype=bool), self._everyone
        self._metrics: tuple[str, ...] = ()
        self._alike: dict[tuple[torch.Size, torch.dtype], list[str]] = {}  # metrics that are of a kind
        self._storages: tuple[TensorDict, set[int]] = {}, set()
        self._rooted: tuple[np.ndarray | None, str, Tensor] = None, "", self._everyone
        self._screens: dict[int, Screen] = {}  # where each world is shown to a person
        super().__init__(self.num_worlds)

    def __repr__(self) -> str:
        """What it is and how large."""
        agents = self.agent_noun if self.num_agents == 1 else plural(self.agent_noun)
        worlds = "1 world" if self.num_worlds == 1 else f"{self.num_worlds:,} worlds"
        size = f"{worlds} of {self.num_agents} {agents}, horizon {self.horizon:,}"
        return f"<{type(self).__name__}: {size}, {self.device}>"

    # ---- what a world file writes -------------------------------------------------------------------

    @abstractmethod
    def start(self, draws: rng.DrawDict, state: TensorDict) -> TensorDict:
        """Fresh state of W worlds.

        Where some worlds of a batch begin anew, ``num_worlds`` and the parts are for the time of the call those of
        these worlds alone, so that the others cost nothing. Nothing may be kept on ``self``, and nothing be taught.

        Args:
            draws: By the purposes of :attr:`reset_draws`.
            state: The engine's own: ``key``, ``clock`` and ``episode``, int64 ``[W]``, ``return`` ``[W, N]``, and
                ``world``, int64 ``[W]``: which world of the batch each is.
        """

    @abstractmethod
    def advance(self, state: TensorDict, actions: TensorDict, draws: rng.DrawDict) -> Outcome:
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
        if not self._state and not every(chosen):
            raise EpisodeEnded("the first reset must start every world: call reset() without a mask")
        if self.seeds is None and seed is None:
            seed = secrets.randbits(48)
        if domain != self.domain and not every(chosen):
            raise ConfigError("the seed domain belongs to all worlds: change it in a reset without a mask")
        fresh_seed = seed is not None or domain != self.domain
        if seed is not None:
            new = as_seeds(seed, self.num_worlds)
            self.seeds = new if self.seeds is None else np.where(chosen, new, self.seeds)
        self.domain = domain
        records = self._records()
        with torch.inference_mode(False), torch.set_grad_enabled(records):
            self._restart(chosen, first_episode=fresh_seed)
        return self.obs

    def _restart(self, chosen: np.ndarray, *, first_episode: bool) -> None:
        """Put fresh state where ``chosen`` (host bool ``[W]``), leaving the rest bit-identical."""
        if not some(chosen):
            return
        moving, old = self._let_move(chosen), self._state
        zero = torch.zeros(self.num_worlds, dtype=torch.int64, device=self.device)
        episode = zero if first_episode or not old else old["episode"] + 1
        key = rng.fold(self._root(), episode)
        for part in self.parts.values():
            part.reset(key, moving)
        fresh = {"clock": zero, "episode": episode, "key": key}
        if every(chosen):
            self._state = self._begin(fresh, torch.arange(self.num_worlds, device=self.device))
        else:
            worlds = torch.from_numpy(np.flatnonzero(chosen)).to(self.device)
            anew = self._at(worlds)._begin({k: v[worlds] for k, v in fresh.items()}, worlds)
            self._state = {k: old[k].index_copy(0, worlds, v) for k, v in anew.items()}
        for host in (self._clock, self._terminated, self._truncated):
            host[chosen] = 0

    def _root(self) -> Tensor:
        """What the keys of episodes come from, int64 ``[W]``; made anew where seeds or domain are others."""
        seeds, domain, root = self._rooted
        if seeds is not self.seeds or domain != self.domain:
            root = rng.world_key(torch.as_tensor(self.seeds, device=self.device), self.domain)
            self._rooted = self.seeds, self.domain, root
        return root

    def _begin(self, fresh: TensorDict, worlds: Tensor) -> TensorDict:
        """The state of new episodes in all worlds, from their clocks, numbers and keys ``[W]``."""
        nothing = torch.zeros(self.num_worlds, self.num_agents, device=self.device)
        fresh = {**fresh, "return": nothing}
        if self.hosts_learners:
            fresh["sound"] = torch.ones_like(nothing, dtype=torch.bool)
        with torch.no_grad():  # a fresh episode has no past; the worlds that go on keep theirs
            draws = self.reset_draws(fresh["key"], 0)
            return fresh | self.start(draws, {**fresh, "world": worlds})

    def _at(self, worlds: Tensor) -> World:
        """Some of the worlds (int64 ``[K]``), for :meth:`start`, which reads neither their states nor their clocks."""
        twin = copy.copy(self)
        twin.num_worlds, twin.compile = (
            len(worlds),
            False,
        )  # any number of them, each of which would be compiled
        vars(twin).update({name: part.at(worlds) for name, part in self.parts.items()})
        return twin

    def _let_move(self, chosen: np.ndarray) -> Tensor:
        """Note which worlds move (host bool ``[W]``); on the device the mask is made only where it changes."""
        if every(chosen):
            self._moving, self.moving = chosen, self._everyone
        elif not np.array_equal(chosen, self._moving):
            self._moving, self.moving = chosen, torch.from_numpy(chosen).to(self.device)
        return self.moving

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
        if not some(chosen) or (mask is not None and some(chosen & over)):
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
        records = self._records()
        with torch.inference_mode(False), torch.set_grad_enabled(records):
            return self._move({k: v.clone() if v.is_inference() else v for k, v in checked.items()}, chosen)

    def _records(self) -> bool:
        """Whether steps record a graph. Nothing runs in inference mode, whose tensors learning could not keep."""
        return self.differentiable and torch.is_grad_enabled()

    def _move(self, actions: TensorDict, chosen: np.ndarray) -> Step:
        """The transition proper, of the worlds that are ``chosen`` (host bool ``[W]``)."""
        old, moving = self._state, self._let_move(chosen)
        clock = old["clock"] + 1
        draws = self.step_draws(old["key"], clock)
        outcome = self.advance({**old, "clock": clock}, actions, draws)
        reward = outcome.reward.detach()
        loss = torch.zeros_like(reward) if outcome.loss is None else outcome.loss
        info: dict[str, Any] = outcome.info
        if moving is not self._everyone:
            reward = torch.where(moving[:, None], reward, 0.0)
            loss = torch.where(moving[:, None], loss, 0.0)
            info = {k: torch.where(_expand(moving, v), v, torch.zeros_like(v)) for k, v in info.items()}
        new = {**outcome.state, "return": old["return"] + reward}
        if self.hosts_learners:
            sound = new.get("sound", old["sound"]).view(self.num_worlds, -1)
            new["sound"] = sound.expand(self.num_worlds, self.num_agents)
        self._state = new if moving is self._everyone else self._merge(new, old, moving)
        ended = self._advance_clock(chosen)
        final_obs = self.obs
        obs = dict(final_obs)
        given = self._hand_out({"reward": reward, "loss": loss})
        info = {**self._hand_out(info), "episode": self._episode_metrics(ended)}
        terminated, truncated = self._flags(self._terminated), self._flags(self._truncated)
        if self.autoreset and some(ended):
            self._restart(ended, first_episode=False)
            obs = self.obs
        return Step(obs, given["reward"], given["loss"], terminated, truncated, final_obs, info)

    def _advance_clock(self, moved: np.ndarray) -> np.ndarray:
        """Advance the host's clock; returns which worlds ended in this step."""
        self._clock += moved
        over = self.exhausted(self._clock)
        if self.hosts_learners:
            over = over | self._spoilt(moved)
        np.copyto(self._terminated, over, where=moved)
        np.copyto(self._truncated, (self._clock >= self.horizon) & ~over, where=moved)
        return moved & self.ended

    def _spoilt(self, moved: np.ndarray) -> np.ndarray:
        """Worlds whose parts are no longer finite, bool ``[W]`` on the host, of those that ``moved``.

        Each is looked at in every :data:`LOOK_EVERY`-th step of its episode; what the world itself says of this step
        (``"sound"``) in every step where looking is free.
        """
        spoilt = np.zeros(self.num_worlds, dtype=bool)
        due = moved & (self._clock % LOOK_EVERY == 0)
        if some(due):
            spoilt |= due & ~self._all_finite().all(-1).cpu().numpy()
        if self.device.type == "cpu":
            spoilt |= ~self._state["sound"].all(-1).numpy()
        return spoilt

    def _all_finite(self) -> Tensor:
        """Whose parts are finite, and gave what is, bool ``[W, N]``."""
        found = self._state["sound"]
        for part in self.parts.values():
            finite = part.finite().reshape(self.num_worlds, -1)
            found = found & (finite if finite.shape == found.shape else finite.all(-1, keepdim=True))
        return found

    def _episode_metrics(self, ended: np.ndarray) -> TensorDict:
        """Final metrics where a world ended, NaN elsewhere; the same keys and shapes at every step."""
        if some(ended) or not self._metrics:
            found = self.metrics()
            self._metrics, self._alike = tuple(found), {}
            for name, v in found.items():
                self._alike.setdefault((v.shape, v.dtype), []).append(name)
            where = torch.from_numpy(ended).to(self.device)
            return {k: torch.where(_expand(where, v), v, torch.nan) for k, v in found.items()}
        absent: TensorDict = {}
        for (shape, dtype), names in self._alike.items():  # a call costs more than its numbers
            made = torch.full((len(names), *shape), torch.nan, dtype=dtype, device=self.device)
            absent |= zip(names, made.unbind(), strict=True)
        return {name: absent[name] for name in self._metrics}

    def _flags(self, host: np.ndarray) -> Tensor:
        """A host mask ``[W]`` on the device; nothing is copied there while nothing is set."""
        if not some(host):
            return torch.zeros(self.num_worlds, dtype=torch.bool, device=self.device)
        return torch.from_numpy(host.copy()).to(self.device)

    def _merge(self, new: TensorDict, old: TensorDict, moving: Tensor) -> TensorDict:
        """``new`` in the worlds that are ``moving`` (bool ``[W]``), ``old`` in the others."""
        return {k: v if v is old[k] else torch.where(_expand(moving, v), v, old[k]) for k, v in new.items()}

    def _hand_out(self, tensors: TensorDict) -> TensorDict:
        """The tensors, those that share memory with the state copied: who gets them may write into them."""
        if self._storages[0] is not self._state:
            self._storages = self._state, {v.untyped_storage().data_ptr() for v in self._state.values()}
        kept = self._storages[1]
        return {k: v.clone() if v.untyped_storage().data_ptr() in kept else v for k, v in tensors.items()}

    def elapsed(self, state: TensorDict) -> Tensor:
        """Share of the episode that is over, float32 ``[W, N, 1]``, for observations."""
        share = state["clock"] / self.horizon
        return share.view(-1, 1, 1).expand(-1, self.num_agents, 1)

    # ---- looking in ---------------------------------------------------------------------------------

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

    def team_return(self) -> Tensor:
        """The return of all agents in the running episodes, ``[W]``: their mean, unless a world says otherwise."""
        return self._begun()["return"].mean(-1)

    @property
    def hosts_learners(self) -> bool:
        """Whether networks answer within the world, which trains them or was given them.

        A world in a batch then equals the same world alone only to rounding (batched matrix products), instead of bit
        for bit.
        """
        return bool(self._parts)

    def predict(self, x: Tensor, *, dropout: int | None = None) -> Tensor | None:
        """Class distributions ``[W, N, M, C]`` of hosted learners for inputs ``[M, D…]``, for reports; None if none.

        Args:
            x: Inputs.
            dropout: None evaluates properly; a number switches training-time dropout on and names the draw.
        """
        return None

    def tests(self) -> TensorDict:
        """Figures of the test split that are no accuracies of classes, ``[W]``, for reports; by default none."""
        return {}

    @property
    def milestones(self) -> tuple[int, ...]:
        """Steps after which :meth:`leave` has something new, beside the last; known as soon as there is a world."""
        return ()

    def leave(self, world: int, folder: Path) -> None:
        """Write what is to be kept of one world's hosted learners now, to files in a folder that is made for it."""

    def export(self, world: int) -> dict[str, Plain]:
        """The learners that a world of the batch hosts as ordinary modules, by name, as they are now."""
        self._begun()
        found: dict[str, Plain] = {}
        for part in self.parts.values():
            found |= part.export(world, self.agents)
        return found

    def sound(self) -> Tensor | None:
        """Whose hosted learners are finite, and gave what is, bool ``[W, N]``; None where the world hosts none."""
        self._begun()
        return self._all_finite() if self.hosts_learners else None

    @property
    def liars(self) -> int:
        """How many agents of a world may lie; ``privileged()["liar"]`` then tells who does."""
        return 0

    def privileged(self) -> TensorDict:
        """What no agent knows, for oracles and reports; nothing unless the world says so.

        Reports know ``liar``, bool ``[W, N]``, and ``experts``, whose classes are whose, bool ``[W, N, C]``.
        """
        return {}

    @property
    def agent_labels(self) -> list[str]:
        """What each agent is, for people; its name, unless the world says more."""
        return self.agents

    def listening(self) -> Listening | None:
        """Who listens to whom in the running episodes, for reports; None where nobody hears anybody."""
        return None

    def exhibits(self, world: int = 0) -> dict[str, np.ndarray]:
        """What the agents of one world saw, said or made just now, by caption, uint8 ``[H, W, 3]``, for reports.

        Nothing where its picture shows it all.
        """
        return {}

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
        return join(obs, sorted(obs), lead=1)

    @property
    def state_space(self) -> spaces.Box:
        """The space of one world's :meth:`state`, ``(S,)``; a world with a state of its own has one of its own."""
        parts: dict[str, Any] = self.observation_space.spaces
        return joined_space(parts[key] for key in sorted(parts) for _ in range(self.num_agents))

    def render(self, mode: str = "ansi", world: int = 0) -> str | np.ndarray | None:
        """Draw one world.

        Args:
            mode: One of ``metadata["render_modes"]``: "ansi" and "rgb_array" return what is drawn, "human" shows it in
                a window, or in a notebook's cell, and returns None.
            world: Which of the batch.

        Raises:
            ConfigError: No such mode, or no window to be had here.
        """
        if not isinstance(mode, str) or mode not in self.metadata["render_modes"]:
            raise ConfigError(
                f"unknown render mode {short(mode)}: use one of {self.metadata['render_modes']}"
            )
        if mode == "ansi":
            return self.picture(self._begun(), world, mode)
        from .drawing import style  # matplotlib takes a second

        with style():
            picture = np.asarray(self.picture(self._begun(), world, "rgb_array"))
        if mode == "rgb_array":
            return picture
        self._screens.setdefault(world, Screen(f"{type(self).__name__}, world {world}")).show(picture)
        return None

    def fork(self) -> Self:
        """As of every :class:`Restorable`; a copy has windows of its own."""
        twin = super().fork()
        twin._screens = {}
        return twin

    def close(self) -> None:
        """Close the windows that :meth:`render` opened; everything else goes on."""
        for screen in self._screens.values():
            screen.close()

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
