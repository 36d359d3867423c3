"""Worlds that host their learners: the policy decides only who learns from whom.

## Description
`make_env("classroom-v0", learners="mlp")`, or any world that speaks soft targets. The world trains W·N networks
in one tensor program. In each step, with what was published on the slice before (and labels, where there are
any) still at hand, every agent says whom to imitate; the world makes that learning step, then every learner
publishes its beliefs on the present slice and sits the exam. The exam's inputs never leave the world.

## Observation Space
Flat `Dict`, the same for every agent. N agents, S = N − 1 sources: source s of agent i is agent (i + 1 + s) mod
N, so one policy serves all. B rows, C classes. Features are explained in
`studyhall.envs.sources`; `source_features` and `own_features` of the world name them in order.

| key | shape | range | meaning |
|---|---|---|---|
| `sources` | `S, F` float32 | [−2, 2] | features of each source's message on the last slice; zeros if not heard |
| `sources_mask` | `S` int8 | {0, 1} | whose message arrived |
| `own_features` | `G` float32 | [−2, 2] | features of oneself |
| `report` | `2` float32 | [0, 1] | one's own report card, the teacher's budget left |
| `elapsed` | `1` float32 | [0, 1] | steps made / horizon |
| `messages` | `S, B, C` float32 | [0, 1] | form "targets" only: the messages themselves; zeros if not heard |
| `beliefs` | `B, C` float32 | [0, 1] | form "targets" only: what oneself believed of that slice when it was published |
| `cards` | `S` float32 | [0, 1] | form "targets" only: report cards of the sources |
| `action_mask` | `K` int8 | {0, 1} | form "discrete" only: which choices are there |

## Action Space
By `actions`; every form says whom to imitate on the slice that the observation is about, and whether to ask the
teacher for the labels of the present one (`ask`, where there is a teacher to ask). See `studyhall.envs.listening`.

| `actions` | space | meaning |
|---|---|---|
| "listen" | `listen: Box(0, 1, (S,))`, `ask: Discrete(2)` | a weight for each source |
| "gated" | also `gate: Box(0, 1, (1,))` | row by row a source's weight is multiplied by confidence^(16·gate) |
| "targets" | `targets: Box(0, 1, (B, C))`, `ask` | what to imitate, for rules that look at every row |
| "discrete" | `Discrete(K)` | nobody, the teacher (if any), the mean of the class, or one peer |

Where the action space has a single key (`listen` in a society, `choice`) the views of PettingZoo and Gymnasium take its
value itself; `make_world` takes either. The engine, unless made with `validate=True`, takes numbers that are not finite
for 0 and clips the others; views refuse both.

Weights on sources that were not heard count for nothing, and a choice that `action_mask` forbids means nobody. With
m = min(1, Σ w), targets are Σ w·p / Σ w and the learning *rate* is multiplied by m (a weight on the loss does nothing
under Adam); with labels in hand the rate is 1 and m weighs imitation against them. All-zero weights are legal: without
labels the learner keeps every bit. An agent that is away (`churn`) is told nothing new, its action has no effect and
its reward is 0.

## Rewards
As in the world that hosts, from a starting score that is the fresh learners' own.

## Episode End
As in the world that hosts, and: a world one of whose learners is no longer finite terminates.

## Arguments
Those of the world that hosts, and:

| argument | default | meaning |
|---|---|---|
| `learners` | "mlp" | "mlp", "cnn", a callable, or a list of these, one for each agent |
| `actions` | "listen" | the form of actions; `discrete_actions=True` is short for "discrete" |
| `hidden`, `dropout` | (128, 64), .2 | of the "mlp" |
| `optimiser`, `lr` | "adam", .001 | or "sgd" |
| `temperature` | 2 | T of published beliefs and of imitation, whose loss is scaled by T² |
| `learning_steps` | 1 | learning steps on each slice |
| `autoreset` | True | of `make_world`: an ended world begins anew within the step that ended it |
| `validate` | False | of `make_world`: check the values of actions too; views always do |

A callable is called without arguments and makes an `nn.Module` from `[M, D…]` to logits `[M, C]`, once for every
learner, whose initial weights follow from the world's seed. It may hold no dropout of its own (that would draw from the
global generator), nothing that training changes beside parameters and no BatchNorm (use GroupNorm or LayerNorm), and no
LSTM, GRU or RNN (`torch.func.vmap` cannot stack these). `hidden` and
`dropout` are the "mlp"'s and mean nothing to others.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ..learners import Lesson, learner_keys, make_networks, make_optimiser, make_population, softmax, teach
from .classroom import Classroom, prefixed, under
from .errors import ConfigError, one_of
from .listening import FORMS, Heard, Seen
from .society import Society
from .sources import FEATURES, OWN_FEATURES, Sources
from .validation import MOST_STEPS, flag, real, whole
from .world import Outcome, TensorDict

_PREDICT_ROWS = 2000  # rows of a test set evaluated at once


class HostedClassroom(Classroom):
    """The batched world behind ``classroom-v0`` with ``learners``; see this module's page.

    Attributes:
        population: The learners, ``[W, N]``, changed in place.
        source_features: Names of the F features of a source.
        own_features: Names of the G features of oneself.
    """

    hosts_learners = True
    source_features = FEATURES
    own_features = OWN_FEATURES

    def __init__(
        self,
        *,
        learners: Any = "mlp",
        actions: str = "listen",
        discrete_actions: bool = False,
        hidden: Sequence[int] = (128, 64),
        dropout: float = 0.2,
        optimiser: str = "adam",
        lr: float = 1e-3,
        temperature: float = 2.0,
        learning_steps: int = 1,
        **kwargs: Any,
    ) -> None:
        self.form_name = _form_name(actions, discrete_actions)
        self.temperature = real("temperature", temperature, 0)
        if not self.temperature:
            raise ConfigError("temperature must be above 0")
        self.learning_steps = whole("learning_steps", learning_steps, 1, MOST_STEPS)
        super().__init__(**kwargs)
        if self.num_agents < 2:
            raise ConfigError(
                f"a world that hosts its learners needs 2 {self.agent_noun}s or more: one has no source"
            )
        self.dropout = dropout
        self._learning: dict[str, Any] = {"optimiser": optimiser, "lr": lr}
        make_optimiser(optimiser, lr=lr)  # says what is wrong before there are learners
        self.networks = make_networks(
            learners,
            self.dataset.shape,
            self.dataset.num_classes,
            self.num_agents,
            hidden=hidden,
            dropout=dropout,
        )

    def _declare(self, rows: int, exam_size: int) -> None:
        super()._declare(rows, exam_size)
        self.sources = Sources(self.num_agents)
        s, c = self.sources.count, self.dataset.num_classes
        teacher = "ask" in self.action_space.spaces
        self.form = FORMS[self.form_name](s, rows, c, teacher)
        self.action_space = spaces.Dict(self.form.action_parts())
        observed: dict[str, spaces.Space] = {
            "sources": spaces.Box(-2, 2, (s, len(FEATURES)), np.float32),
            "sources_mask": spaces.Box(0, 1, (s,), np.int8),
            "own_features": spaces.Box(-2, 2, (len(OWN_FEATURES),), np.float32),
            "report": spaces.Box(0, 1, (2,), np.float32),
            "elapsed": spaces.Box(0, 1, (1,), np.float32),
        }
        observed |= self.form.observed()
        self.observation_space = spaces.Dict(observed)

    # ---- how it moves -------------------------------------------------------------------------------

    def start(self, draws: TensorDict, state: TensorDict) -> TensorDict:
        """Fresh learners, who are examined before they have learnt anything."""
        keys = learner_keys(state["key"], self.num_agents)
        if not self._state:
            self.population = make_population(self.networks, keys, **self._learning)
        else:
            self.population.reset(torch.from_numpy(self.moving).to(self.device), keys)
        fresh = super().start(draws, state)
        fresh |= prefixed("known/", self.sources.start(self.num_worlds, self.device))
        fresh["sound"] = torch.ones_like(state["return"], dtype=torch.bool)
        labels = self.dataset.labels("exam", fresh["exam"])
        answers = self._answers(fresh)
        silent = torch.zeros(answers.shape[:-1], dtype=torch.bool, device=self.device)
        return fresh | self.mark(fresh, answers, silent, labels)

    def advance(self, state: TensorDict, actions: TensorDict, draws: TensorDict) -> Outcome:
        """Learn what the actions say, publish, sit the exam; then as without learners."""
        with torch.inference_mode(False), torch.no_grad():  # so that learning can record what it needs
            self._learn(state, self.form.targets(actions, self._heard(state)))
        beliefs = self._beliefs(state)
        acts = {"soft_targets": beliefs}
        if self.exam.today(self._clock).any():
            acts["answers"] = self._answers(state)
        else:
            shape = (self.num_worlds, self.num_agents, self.exam.size, self.dataset.num_classes)
            acts["answers"] = torch.zeros(1, device=self.device).expand(shape)
        if self.form.teacher:
            acts["ask"] = self.form.asks(actions)
        outcome = super().advance(state, acts, draws)
        sound = torch.isfinite(beliefs).flatten(2).all(-1)
        return outcome._replace(state={**outcome.state, **self._notice(outcome.state), "sound": sound})

    def asks(self, actions: TensorDict) -> Tensor:
        """Who asks the teacher, bool ``[W, N]``."""
        return actions["ask"] if self.form.teacher else super().asks(actions)

    def remembered(self, said: Tensor) -> TensorDict:
        """One's own beliefs: what goes on the air in one's name may be another thing."""
        return {"beliefs": said}

    def exhausted(self, clock: np.ndarray) -> np.ndarray:
        """At an end of its own: a stream that is used up, a learner that is no longer finite.

        The second is looked for where looking is free, on a device when report cards are due.
        """
        over = super().exhausted(clock)
        due = self.device.type == "cpu" or bool((clock % self.exam.card_every == 0).any())
        return over | ~self._state["sound"].all(-1).cpu().numpy() if due else over

    def _learn(self, state: TensorDict, targets: Tensor) -> None:
        """The learning steps on the last slice."""
        weight = targets.sum(-1)  # [W, N, B]
        strength = weight.amax(-1)  # [W, N]
        told, labels = self._told(state)
        alone = torch.where(told, 1.0, strength.clamp_min(1e-12))
        lesson = Lesson(
            label=told.float(),
            imitate=weight / alone[..., None],
            targets=targets / weight.clamp_min(1e-12)[..., None],
            rate=torch.where(told, 1.0, strength),
        )
        moving = torch.from_numpy(self.moving).to(self.device)
        allowed = state["present"] & moving[:, None]
        own = self._flat("stream", state["fb/slice"])
        about = self._flat("stream", state["fb/public"]).expand_as(own) if self.private else None
        if not self.private:
            own = own[:, 0]
        for _ in range(self.learning_steps):
            teach(
                self.population,
                lesson,
                inputs=own,
                labels=labels,
                about=about,
                allowed=allowed,
                temperature=self.temperature,
                distill_scale=self.temperature**2,
            )

    def _told(self, state: TensorDict) -> tuple[Tensor, Tensor]:
        """Who learns labels of the last slice, bool ``[W, N]``, and these, ``[W, N, B]``; −1 where one learns none."""
        told = state["fb/served"]
        return told, torch.where(told[..., None], self._labels(state["fb/slice"]), -1)

    def _beliefs(self, state: TensorDict) -> Tensor:
        """Beliefs at temperature T on the slice that talk is about, ``[W, N, B, C]``."""
        shown = self._flat("stream", state["public/slice" if self.private else "stream/slice"])[:, 0]
        with torch.no_grad():
            return softmax(self.population.logits(shown) / self.temperature)

    def _answers(self, state: TensorDict) -> Tensor:
        """Answers to the exam, ``[W, N, E, C]``."""
        with torch.no_grad():
            return softmax(self.population.logits(self._flat("exam", state["exam"])))

    def _flat(self, split: Any, index: Tensor) -> Tensor:
        """Inputs of a split, samples flattened; −1 stands for the first item, and nobody learns from it."""
        return self.dataset.inputs(split, index.clamp_min(0)).flatten(index.dim())

    # ---- what is seen -------------------------------------------------------------------------------

    def _heard(self, state: TensorDict) -> Heard:
        """The messages of the last slice, by source."""
        mask = self.sources.select(state["fb/heard"])
        if self.channel.shuffles:
            own = torch.eye(self.num_agents, dtype=torch.bool, device=self.device)
            return Heard(self.sources.select(self._arrived(state, own)), mask)
        published = state["fb/published"][:, self.sources.index(self.device)]
        return Heard(published * mask[..., None, None], mask)

    def _notice(self, state: TensorDict) -> TensorDict:
        """What there is to know of the sources now."""
        heard = self._heard(state)
        before = under(state, "known/")
        known = self.sources.notice(before, heard.messages, state["fb/beliefs"], heard.mask)
        due = ((state["clock"] - 1) % self.exam.card_every == 0)[:, None]
        known["card_change"] = torch.where(due, state["card"] - self._state["card"], before["card_change"])
        return prefixed("known/", known)

    def observe(self, state: TensorDict) -> TensorDict:
        """The table of this module's page, ``[W, N, …]``."""
        w, n = self.num_worlds, self.num_agents
        heard = self.sources.select(state["fb/heard"])
        cards = self._cards(state) * heard
        known = under(state, "known/")
        left = self.budget_left(state)
        told = (state["fb/served"] & (state["clock"] > 0)[:, None]).float()
        obs = {
            "sources": self.sources.features(known, cards, heard),
            "sources_mask": heard.to(torch.int8),
            "own_features": self.sources.own_features(known, heard, told),
            "report": torch.stack([state["card"], left], dim=-1),
            "elapsed": (state["clock"].float() / self.horizon)[:, None, None].expand(w, n, 1),
        }
        seen = Seen(lambda: self._heard(state).messages, state["fb/beliefs"], cards, heard, left)
        return obs | self.form.observe(seen)

    def _cards(self, state: TensorDict) -> Tensor:
        """Report cards of the sources, ``[W, N, S]``."""
        return state["card"][:, self.sources.index(self.device)]

    # ---- looking in, saving, branching --------------------------------------------------------------

    def predict(self, x: Tensor, *, dropout: int | None = None) -> Tensor:
        """Class distributions of the learners, ``[W, N, M, C]``; as :meth:`studyhall.policies.Policy.predict`."""
        self._begun()
        parts = x.flatten(1).split(_PREDICT_ROWS)
        first = 0 if dropout is None else dropout * len(parts)
        with torch.no_grad():
            logits = [
                self.population.logits(part, dropout=dropout is not None, draw=first + i + 1)
                for i, part in enumerate(parts)
            ]
        return softmax(torch.cat(logits, dim=2))

    def sound(self) -> Tensor:
        """Whose parameters and last published beliefs are finite, bool ``[W, N]``."""
        sound = self._begun()["sound"]
        return self.population.finite() & sound

    def state(self) -> Tensor:
        """float32 ``[W, S]``: the observations of all, one after the other."""
        return super(Classroom, self).state()

    @property
    def state_space(self) -> spaces.Box:
        """The space of one world's :meth:`state`."""
        return super(Classroom, self).state_space

    def state_dict(self) -> dict[str, Any]:
        """Everything, learners included."""
        self._begun()
        return {**super().state_dict(), "learners": self.population.state_dict()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict` of a world made with the same arguments."""
        super().load_state_dict(saved)  # compares the learners' state too, before anything changes
        self.population.load_state_dict(saved["learners"])

    def fork(self) -> HostedClassroom:
        """A copy that goes its own way from here, with learners of its own."""
        self._begun()
        twin = super().fork()
        assert isinstance(twin, HostedClassroom)
        twin.population = copy.deepcopy(self.population)
        return twin


class HostedSociety(HostedClassroom, Society):
    """The batched world behind ``society-v0`` with ``learners``; see this module's page."""


def _form_name(actions: str, discrete_actions: bool) -> str:
    actions = one_of("form of actions", actions, FORMS)
    if flag("discrete_actions", discrete_actions) and actions not in ("listen", "discrete"):
        raise ConfigError(
            f"discrete_actions=True means actions='discrete', not {actions!r}: give one of them"
        )
    return "discrete" if discrete_actions else actions
