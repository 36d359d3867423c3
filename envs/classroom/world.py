"""classroom-v0: students learn from one stream, a teacher on a budget, and each other.

## Description
N students see slices of a data stream. Each publishes *soft targets* (a class distribution per row of the
slice) that the others may hear, may ask a teacher whose labels are budgeted, and answers a fixed exam.
What was published and labelled on a slice comes back as feedback one step later; learning from it is the
agent's own business: **you bring the learner**. Reward is progress on the exam. Where slices are private
(`share` is not "shared"), soft targets are about a *public* slice, unlabelled, which everyone sees beside
its own. The world generalises the collaborative classroom, in which a teacher labels the first part of the
stream and the best student then teaches the others.

## Observation Space
Flat `Dict`, the same for every agent. N students, K neighbours at most, B rows of a slice, E exam items, C classes,
D… shape of an input (e.g. `1×28×28`).

What is known of others comes by *slot*: oneself in slot 0, and in slots 1…K the neighbours of the topology, in order of
index counted on from oneself, around the end. In a complete room K is N − 1 and slot s of student i is student (i + s)
mod N. On a "ring" K is 2, in a "k_regular" graph `degree`, with a matrix the most that anyone hears; "star",
"small_world" and "random", in which someone may hear everyone, have slots for all, like complete rooms. A slot without
a neighbour reads 0. Nothing says which student one is, so one policy serves all; `world.neighbours()` says who is in
which slot.

| key | shape | range | meaning |
|---|---|---|---|
| `slice` | `B, D…` float32 | ℝ | the inputs now |
| `public` | `B, D…` float32 | ℝ | only if slices are private: the unlabelled slice that talk is about |
| `exam` | `E, D…` float32 | ℝ | the exam, fixed for the episode, unlabelled; zeros unless `exam_now` |
| `exam_now` | `1` int8 | {0, 1} | whether the coming step's answers count |
| `fb_slice` | `B, D…` float32 | ℝ | the slice that feedback is about; zeros before there is any |
| `fb_public` | `B, D…` float32 | ℝ | likewise, only with `public` |
| `fb_labels` | `B` int64 | −1…C−1 | labels of `fb_slice`; −1 where the teacher was silent |
| `fb_targets` | `1 + K, B, C` float32 | [0, 1] | what each published on it; zero if not heard |
| `heard` | `1 + K` int8 | {0, 1} | whose message arrived (never one's own) |
| `present` | `1 + K` int8 | {0, 1} | who is in the room (in an isolated world: oneself only) |
| `report` | `2 + K` float32 | [0, 1] | report cards (isolated: one's own), then the budget left to one |
| `elapsed` | `1` float32 | [0, 1] | steps made / horizon |

## Action Space
Flat `Dict`. Rows of weights in [0, 1] are divided by their sums; an all-zero row abstains.

| key | space | meaning |
|---|---|---|
| `soft_targets` | `Box(0, 1, (B, C))` | published on `slice` (or `public`); an abstaining row sends and costs nothing |
| `answers` | `Box(0, 1, (E, C))` | answers to `exam`; an abstaining row scores as uniform; see `exam_now` |
| `ask` | `Discrete(2)` | 1 asks the teacher for the labels of this slice |

An answer at step t is given before learning from slice t.

With `learners="mlp"` (or "cnn", a factory of modules, a list of these) the world hosts the learners, and an agent
decides only whom to imitate and whether to ask: other observations, actions and arguments, on the page of
`studyhall.envs.hosted`.

## Rewards
`reward_scale · ((1 − cooperation)·own + cooperation·class mean) − byte_price·KiB sent − label_price·labels`,
where own progress is the change of the smoothed exam score (see `exam.py`). Without prices the return is
`reward_scale` × what was learnt. An absent student's reward is 0.

## Starting State
A stratified exam drawn from the exam split, the first slice, no feedback, report cards at 0.

## Episode End
Truncation at `horizon`. Termination when a single-pass stream has been dealt out.

## Channel
A message is a slice's soft targets: B·C·bits/8 bytes on every edge it is sent on, dropped ones included,
charged to the sender in `bytes`; a label that the teacher tells is ⌈log₂ C⌉ bits, counted apart in
`label_bytes`. Raw inputs never cross. Topologies, faults and modes: see `channel.py`, widths: `ledger.py`.
With `delay` d all feedback about a slice comes d steps later, as a whole.

## Assumptions
Slices are iid draws unless `order` says otherwise; no task boundary is announced. Labels of the stream are
seen by those who asked and were served; exam and test labels never leave the world. Liars are not told
apart: a liar's own feedback row is what went on the air in its name.

## Metrics
Per student: `score` (smoothed exam score), `exam_accuracy`, `prequential` (accuracy of the soft targets
published in this step, before learning; reported, never rewarded), `bytes`, `labels`, `label_bytes`.
Per world: `calls`. Where tasks come one after another (classes or domains in turn), per world in the end the means over
students of `final_accuracy`, `backward_transfer`, `forward_transfer` and `forgetting` (ACC, BWT and FWT of
`envs/continual.py`), on the exam's items of each task.

## Arguments
| argument | default | meaning |
|---|---|---|
| `agents` | 8 | N |
| `data` | "digits" | data set: a name, arrays, a torch or HF data set, a folder of pictures |
| `data_dir` | None | folder of parquet files for named data (else `STUDYHALL_DATA`, else the hub) |
| `exam_items` | None | items of the data set kept for exams (None: a fifth of its training part) |
| `stream_items`, `data_classes` | None, None | items that learners see, of all classes alike; only the first classes |
| `slice_size` | 32 | B |
| `exam_size` | 64 | E |
| `horizon` | 400 | steps of an episode |
| `order` | "iid" | "iid", "passes", "single_pass", "topical", "class_incremental"; of domains |
| | | "domain_incremental", "drifting" (`streams/schedule.py`) |
| `domains`, `domain_count` | None, 5 | the same classes looking otherwise, so many times: "permuted", "rotated"; |
| | | or a list of further data sets (`streams/domains.py`) |
| `share` | "shared" | "shared", "own", "class_experts", "dirichlet" |
| `topic_steps`, `topic_classes` | 20, 2 | of topical order (steps beyond the horizon: one topic an episode) |
| `task_classes` | 2 | of class-incremental order |
| `task_order` | "drawn" | when which classes or domains come in turn: anew in each episode; "given": in order |
| `expert_classes` | None | classes of an expert (None: ⌈C/N⌉) |
| `deal` | "random" | which classes are whose, anew in each episode; "sorted": in their order, always the same |
| `public_order` | "iid" | order of the public slices, where slices are private |
| `alpha` | 0.5 | of a Dirichlet share |
| `teacher_budget` | 100 | calls or labels; None is unlimited |
| `teacher_unit` | "calls" | or "labels" |
| `topology` | "complete" | "complete", "ring", "star", "k_regular", "small_world", "random", or a matrix |
| `degree`, `rewire`, `edge_probability` | 2, .1, .5 | of k-regular, small-world and random topologies |
| `drop`, `delay`, `churn`, `rejoin` | 0, 0, 0, .1 | losses per edge, late feedback, leaving and coming back |
| `liars`, `liar_kinds`, `wake` | 0, ("sharp",), 100 | hidden liars |
| `noise`, `bits`, `cap` | 0, 32, None | Gaussian noise, quantisation, bytes per student and step |
| `mode` | "open" | "open", "mute", "shuffled", "isolated"; or one per world, as controls |
| `byte_price`, `label_price` | 0, 0 | reward per KiB sent and per label received |
| `reward_scale`, `cooperation` | 10, 0 | see Rewards |
| `exam_every` | 1 | steps between days on which answers count, below the horizon; no progress on others |
| `exam_smoothing`, `card_every` | .2, 10 | α of the smoothed score; steps between report cards (any number) |
| `learners` | None | the world hosts them: "mlp", "cnn", …; see `studyhall.envs.hosted` for this and its arguments |
| `autoreset` | True | of `make_world`: the step that ends an episode begins the next; see `info["episode"]` |
| `validate` | False | of `make_world`: check the values of actions too; views always do |

## Version History
* v0: first release.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional as F

from ..arguments import refuse, share_out
from ..channel import Channel, DelayLine, Neighbours, RoomSettings, Route, ledger, rearranged
from ..engine import rng
from ..engine.batch import Batch
from ..engine.last import Last
from ..engine.masks import every
from ..engine.state import TensorDict, prefixed, under
from ..engine.weights import Weights
from ..engine.world import HEARD, LISTENED, Listening, Outcome, World
from ..errors import ConfigError, one_of
from ..exam import best, distributions, sound
from ..hosted.host import Feedback, Host, HostSettings, Oneself
from ..streams.schedule import UNLIMITED_ORDERS
from ..study import Pay, Study
from ..tasks import Tasks
from ..validation import afford
from .teacher import Answer, Teacher

_REMEMBERED = 20
"""Steps that the running mean of who listens to whom reaches back."""


class Classroom(World):
    """The batched world behind ``classroom-v0``; this module's page documents every argument.

    Attributes:
        host: Holds the learners, where the world hosts them; see ``studyhall.envs.hosted``.
    """

    few_actions = "learners='mlp', or slice_size=1, exam_size=10"
    agent_noun = "student"
    crosses = frozenset({"soft_targets", "labels"})
    headline = "exam_accuracy"
    trainee = "listeners"
    tested = True
    forwarded_arguments_to: ClassVar[tuple[type, ...]] = (Batch, Study, Pay, RoomSettings, HostSettings)
    hosting_arguments = frozenset({"learners", *(field.name for field in dataclasses.fields(HostSettings))})

    def __init__(
        self,
        *,
        agents: int = 8,
        horizon: int = 400,
        share: str = "shared",
        expert_classes: int | None = None,
        deal: str = "random",
        alpha: float = 0.5,
        public_order: str = "iid",
        teacher_budget: int | None = 100,
        teacher_unit: str = "calls",
        learners: Any = None,
        **others: Any,
    ) -> None:
        refuse(type(self).__name__, others, self.refused_arguments)
        shares = share_out(type(self).__name__, others, *self.forwarded_arguments_to)
        batch, study, pay, channel, hosting = shares
        super().__init__(num_agents=agents, horizon=horizon, **batch)
        if learners is None and hosting:
            raise ConfigError(
                f"{', '.join(hosting)}: only worlds that host their learners take this, so give learners too "
                "(learners='mlp')"
            )
        settings = HostSettings(**hosting)
        self.study, self.pay = Study(**study), Pay(**pay)
        self.dataset = self.study.dataset(self.device)
        stream = self.dataset.stream
        self.schedule = self.study.schedule(
            stream,
            self.num_agents,
            self.horizon,
            share=share,
            expert_classes=expert_classes,
            deal=deal,
            alpha=alpha,
        )
        self.private = share != "shared"
        one_of("public_order", public_order, UNLIMITED_ORDERS)
        self.public_schedule = self.study.schedule(
            stream, self.num_agents, self.horizon, order=public_order, name="public"
        )
        self.exam = self.study.exam(self.dataset.exam, self.horizon)
        self.tasks = Tasks(self.schedule, self.dataset.exam) if self.schedule.task_count else None
        rows, sample = self.schedule.rows, math.prod(self.dataset.shape)
        for name, size in (("slice_size", rows), ("exam_size", self.exam.size)):
            afford(
                self.num_worlds, f"agents or {name}", agents=self.num_agents, **{name: size}, sample=sample
            )
        self.teacher = Teacher(teacher_budget, teacher_unit, not self.private, rows)
        self.channel = Channel(self.num_agents, self.num_worlds, device=self.device, **channel)
        self.channel.check_times(self.horizon)
        told = {"agents": self.num_agents, "slice_size": rows, "classes": self.dataset.num_classes}
        afford(self.num_worlds, "agents or slice_size", **told, senders=1 + self.channel.slots)
        afford(self.num_worlds, "agents, slice_size or delay", **told, delay=self.channel.delay)
        self.line = DelayLine(self.channel.delay)
        self._exam = Last(self._items_of)
        kept = 2 * (1 + self.private)  # the slices to come and those that feedback is about
        self._dealt, self._told = Last(self._inputs_dealt, kept), Last(self._labels_dealt, kept)
        self._read = Last(self._inputs_read, kept)
        self.host: Host | None = None
        self._declare(rows, self.exam.size)
        if learners is not None:
            self._invite(learners, settings)

    def _invite(self, learners: Any, settings: HostSettings) -> None:
        """Host the learners: agents now see and decide what :mod:`studyhall.envs.hosted` says."""
        if self.num_agents < 2:
            raise ConfigError(
                f"a world that hosts its learners needs 2 {self.agent_noun}s or more: one has no source"
            )
        if settings.detect and self.schedule.share != "class_experts":
            raise ConfigError(
                "detect is for experts, who tell their own classes from the rest: give share='class_experts', or "
                "leave it out"
            )
        self.host = Host(
            learners,
            settings,
            agents=self.num_agents,
            slots=self.channel.slots,
            shape=self.dataset.shape,
            rows=self.schedule.rows,
            classes=self.dataset.num_classes,
            teacher="ask" in self.action_space.spaces,
            energies="energies" in self.action_space.spaces,
        )
        self.observation_space = self.host.observation_space
        self.action_space = self.host.action_space
        self.source_features, self.own_features = self.host.source_features, self.host.own_features
        self.form_name = settings.form

    def _declare(self, rows: int, exam_size: int) -> None:
        """Spaces and draws."""
        n, c, shape = self.num_agents, self.dataset.num_classes, self.dataset.shape
        inputs = spaces.Box(-np.inf, np.inf, (rows, *shape), np.float32)
        slots = 1 + self.channel.slots  # oneself, then the neighbours
        flags = spaces.Box(0, 1, (slots,), np.int8)
        observed: dict[str, spaces.Space] = {
            "slice": inputs,
            "exam": spaces.Box(-np.inf, np.inf, (exam_size, *shape), np.float32),
            "exam_now": spaces.Box(0, 1, (1,), np.int8),
            "fb_slice": inputs,
            "fb_labels": spaces.Box(-1, c - 1, (rows,), np.int64),
            "fb_targets": spaces.Box(0, 1, (slots, rows, c), np.float32),
            "heard": flags,
            "present": flags,
            "report": spaces.Box(0, 1, (slots + 1,), np.float32),
            "elapsed": spaces.Box(0, 1, (1,), np.float32),
        }
        if self.private:
            observed |= {"public": inputs, "fb_public": inputs}
        self.observation_space = spaces.Dict(observed)
        self.action_space = spaces.Dict(
            {
                "soft_targets": Weights(rows, c),
                "answers": Weights(exam_size, c),
                "ask": spaces.Discrete(2),
            }
        )
        public_reset = self.public_schedule.reset_draws() if self.private else {}
        public_step = self.public_schedule.step_draws() if self.private else {}
        self.reset_draws = rng.Draws(
            self.schedule.reset_draws()
            | public_reset
            | self.exam.draws(self.dataset.exam)
            | self.channel.reset_draws()
        )
        self.step_draws = rng.Draws(
            self.schedule.step_draws()
            | public_step
            | self.teacher.draws(n)
            | self.channel.step_draws(rows, c)
        )

    # ---- how it moves -------------------------------------------------------------------------------

    def start(self, draws: rng.DrawDict, state: TensorDict) -> TensorDict:
        """A fresh exam, a first slice, full budget, nothing heard."""
        w, n, c = self.num_worlds, self.num_agents, self.dataset.num_classes
        clock = state["clock"]
        zeros = torch.zeros(w, n, device=self.device)
        fresh = prefixed("stream/", self.schedule.start(draws, clock))
        if self.private:
            fresh |= prefixed("public/", self.public_schedule.start(draws, clock))
        feedback = self.no_feedback(fresh)
        fresh |= prefixed("fb/", feedback) | prefixed("line/", self.line.start(feedback))
        fresh |= self.channel.start(draws, c, w)
        fresh |= self.teacher.start(w, n, self.device)
        fresh["exam"] = self.exam.draw(self.dataset.exam, draws)
        fresh["card"] = zeros
        fresh["bits"] = fresh["labels"] = torch.zeros_like(zeros, dtype=torch.int64)
        fresh["calls"] = torch.zeros_like(clock)
        if self.host is not None:
            fresh |= prefixed("known/", self.host.sources.start(w, self.device))
            fresh["listened"] = fresh["known/times"]
        if self.tasks is not None:
            fresh |= self.tasks.start(w, n, self.device)
        return fresh | self.first_marks(fresh)

    def no_feedback(self, fresh: TensorDict) -> TensorDict:
        """Feedback before there is any, built as that on the slices of ``fresh`` will be."""
        w, n, rows = self.num_worlds, self.num_agents, self.schedule.rows
        feedback = {
            "slice": torch.full_like(fresh["stream/slice"], -1),
            "served": torch.zeros(w, n, dtype=torch.bool, device=self.device),
            "published": torch.zeros(w, n, rows, self.dataset.num_classes, device=self.device),
            "heard": torch.zeros(w, n, self.channel.slots, dtype=torch.bool, device=self.device),
        }
        if self.channel.shuffles:
            feedback["order"] = torch.arange(rows, device=self.device).expand(w, -1)
        if self.private:
            feedback["public"] = torch.full_like(fresh["public/slice"], -1)
        if self.beside is not None:
            feedback[self.beside] = feedback["published"][..., 0]
        if self.host is not None:
            feedback["beliefs"] = feedback["published"]
        return feedback

    def advance(self, state: TensorDict, actions: TensorDict, draws: rng.DrawDict) -> Outcome:
        """Score the answers, carry the messages, ask the teacher, deal the next slice."""
        acts = self._brought(state, actions)
        targets, silent = self.read(acts["soft_targets"])
        on_air, unsaid = self.channel.on_air(targets, state, draws, state["clock"])
        said = self.said(acts, targets, on_air, state)
        route = self.channel.route(self.message_bits((~unsaid).sum(-1), said), state, draws)
        answer = self._ask(acts, state, draws)
        marks = self._sit_exam(state, acts["answers"])
        state = {**state, **self._listened(state, acts)}
        reward = self.pay.reward(state["score"], marks["score"], route.sent_bits, answer.labels)
        if self.channel.churn:
            reward = reward * state["present"]
        spoken = ~silent
        correct = (best(targets) == self._labels(self._shown(state), not self._runs_out)) & spoken
        info = {
            "score": marks["score"],
            "exam_accuracy": marks["accuracy"],
            "prequential": correct.sum(-1) / spoken.sum(-1).clamp_min(1),
            "bytes": route.sent_bits / 8,
            "labels": answer.labels,
            "label_bytes": ledger.label_bytes(answer.labels, self.dataset.num_classes),
            "refused": answer.refused,
            "calls": answer.calls,
        }
        return Outcome(self._after(state, draws, route, said, answer, marks), reward, info)

    def _brought(self, state: TensorDict, actions: TensorDict) -> TensorDict:
        """What agents that bring their learners would do: what hosted ones do, once they have learnt."""
        if self.host is None:
            return actions
        allowed = state["present"] & self.moving[:, None]
        listened = self.host.learn(actions, self._feedback(state, self.host), allowed)
        examined = self.exam.day(self._clock) != "none"
        said = self.host.publications(
            self._read(self._shown(state))[:, 0],
            self._exam(state["exam"])[0].flatten(2) if examined else None,
        )
        acts = {**actions, "listened": listened, **said}
        if not examined:
            shape = (self.num_worlds, self.num_agents, self.exam.size, self.dataset.num_classes)
            acts["answers"] = torch.zeros(1, device=self.device).expand(shape)
        if self.host.form.teacher:
            acts["ask"] = self.host.form.asks(actions)
        return acts

    def _listened(self, state: TensorDict, acts: TensorDict) -> TensorDict:
        """How much hosted learners listen to whom: a running mean, exact at first, then exponential."""
        if self.host is None:
            return {}
        rate = state["clock"].clamp(1, _REMEMBERED).view(-1, 1, 1).reciprocal()
        return {"listened": state["listened"] + rate * (acts["listened"] - state["listened"])}

    def _ask(self, acts: TensorDict, state: TensorDict, draws: rng.DrawDict) -> Answer:
        """What the teacher answers."""
        asked = self.asks(acts)
        if self.channel.churn:
            asked = asked & state["present"]
        return self.teacher.answer(asked, state["left"], state["own_left"], self._isolated, draws)

    def _after(
        self,
        state: TensorDict,
        draws: rng.DrawDict,
        route: Route,
        said: TensorDict,
        answer: Answer,
        marks: TensorDict,
    ) -> TensorDict:
        """The state after a step, of how messages travelled, what was said, taught and marked."""
        clock = state["clock"]
        happened = {"slice": state["stream/slice"], "served": answer.served, "heard": route.heard, **said}
        if route.order is not None:
            happened["order"] = route.order
        if self.private:
            happened["public"] = state["public/slice"]
        if answer.public is not None:
            happened["public_told"] = answer.public
        line, feedback = self.line.push(under(state, "line/"), happened)
        new = {
            **state,
            **prefixed("line/", line),
            **prefixed("fb/", feedback),
            **self._deal(state, draws),
            "present": self.channel.presence(state["present"], draws),
            "left": answer.left,
            "own_left": answer.own_left,
            **marks,
            "card": self.exam.cards(state["card"], marks["accuracy"], clock, self.exam.card_day(self._clock)),
            "bits": state["bits"] + route.sent_bits,
            "labels": state["labels"] + answer.labels,
            "calls": state["calls"] + answer.calls,
        }
        if self.host is None:
            return new
        known = under(state, "known/")
        known |= self.host.update_statistics(known, feedback, self.channel.neighbours(state))
        if self.exam.card_day(self._clock) != "none":
            due, change = (clock - 1) % self.exam.card_every == 0, new["card"] - state["card"]
            known |= self.host.sources.of_cards(known, change, due, state["listened"])
        # A belief that is not finite abstains, and no other does.
        sound = said["beliefs"].any(-1).all(-1)
        return new | prefixed("known/", known) | {"sound": sound}

    def _sit_exam(self, state: TensorDict, answers: Tensor) -> TensorDict:
        """The marks after this step's answers, ``[W, N]``, where it is a day for them."""
        if self.exam.day(self._clock) == "none":  # the host knows: most days need not be computed
            return {name: state[name] for name in self.marks}
        _, labels = self._exam(state["exam"])
        given, abstained = self.read(answers)
        marks = self._counted(state, self.mark(state, given, abstained, labels))
        return marks | self._by_task(state, given, abstained)

    def _counted(self, state: TensorDict, marks: TensorDict) -> TensorDict:
        """Marks ``[W, N]`` or ``[W]`` where it is a day for them, of those who are there; scores are smoothed."""
        present = state["present"] if self.channel.churn else None
        day = self.exam.day(self._clock)
        return self.exam.update(state, marks, self.smoothed, state["clock"], day, present)

    def _by_task(self, state: TensorDict, answers: Tensor, abstained: Tensor) -> TensorDict:
        """What an exam says of each task; nothing where the stream's order has none."""
        if self.tasks is None:
            return {}
        _, labels = self._exam(state["exam"])
        correct = (best(answers) == labels[:, None]) & ~abstained
        today = self.exam.today(state["clock"] - 1)
        return self.tasks.noted(state, correct, today[:, None] & state["present"])

    def read(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Distributions ``[W, N, …, C]`` of what agents said, and bool ``[W, N, …]``: which rows say nothing."""
        return distributions(rows) if self.host is None else sound(rows)

    # ---- what kinds of classroom may change ---------------------------------------------------------

    beside: str | None = None
    """The number that crosses beside every row of soft targets, as feedback calls it; None: there is none."""

    marks: ClassVar[tuple[str, ...]] = ("score", "accuracy")
    """Entries of the state that an exam sets, ``[W, N]`` or ``[W]``."""

    smoothed: ClassVar[tuple[str, ...]] = ("score",)
    """Those of them that are smoothed over exams."""

    def mark(self, state: TensorDict, answers: Tensor, abstained: Tensor, labels: Tensor) -> TensorDict:
        """The :attr:`marks` of answers ``[W, N, E, C]``; arguments as of :meth:`Exam.score`."""
        score, correct = self.exam.score(answers, abstained, labels)
        return {"score": score, "accuracy": correct.float().mean(-1)}

    def first_marks(self, fresh: TensorDict) -> TensorDict:
        """The :attr:`marks` that an episode begins with: of hosted learners those of a first exam."""
        if self.host is None:
            zeros = torch.zeros_like(fresh["card"])
            return {
                "score": torch.full_like(zeros, self.exam.chance(self.dataset.num_classes)),
                "accuracy": zeros,
            }
        answers, silent = self._first_answers(fresh, self.host)
        return self.mark(fresh, answers, silent, self.dataset.labels("exam", fresh["exam"]))

    def _first_answers(self, fresh: TensorDict, host: Host) -> tuple[Tensor, Tensor]:
        """What hosted learners answer before they have learnt anything; none abstains."""
        answers = host.answers(self._flat("exam", fresh["exam"]))
        return answers, torch.zeros(answers.shape[:-1], dtype=torch.bool, device=self.device)

    def asks(self, actions: TensorDict) -> Tensor:
        """Who asks the teacher, bool ``[W, N]``."""
        return actions["ask"] == 1

    def told(self, state: TensorDict) -> tuple[Tensor, Tensor]:
        """Which hosted learners learn labels of the last slice, bool ``[W, N]``, and these, ``[W, N, B]``; −1: none."""
        served = state["fb/served"]
        return served, torch.where(served[..., None], self._labels(state["fb/slice"], self._returned), -1)

    def said(self, acts: TensorDict, targets: Tensor, on_air: Tensor, state: TensorDict) -> TensorDict:
        """What comes back as feedback of what agents said of a slice.

        Args:
            acts: What they did.
            targets: What they meant, ``[W, N, B, C]``: hosted learners are told what they believed, since what goes on
                the air in one's name may be another thing.
            on_air: What went on the air, ``[W, N, B, C]``.
            state: The world's.
        """
        said = {"published": on_air}
        return said if self.host is None else said | {"beliefs": targets}

    def message_bits(self, rows: Tensor, said: TensorDict) -> Tensor:
        """Bits of each agent's message, int64 ``[W, N]``.

        Args:
            rows: How many rows it speaks of, ``[W, N]``.
            said: As of :meth:`said`.
        """
        bits = ledger.soft_targets(rows, self.dataset.num_classes, self.channel.bits)
        return bits if self.beside is None else bits + ledger.messages(rows, 1)

    def _deal(self, state: TensorDict, draws: rng.DrawDict) -> TensorDict:
        """The next slices."""
        clock, key, made = state["clock"], state["key"], self._clock + 1
        new = prefixed("stream/", self.schedule.step(under(state, "stream/"), draws, clock, key, made))
        if self.private:
            public = self.public_schedule.step(under(state, "public/"), draws, clock, key, made)
            new |= prefixed("public/", public)
        return new

    def exhausted(self, clock: np.ndarray) -> np.ndarray:
        """A single-pass stream ends when it has been dealt out."""
        return self.schedule.exhausted(clock)

    # ---- what is seen -------------------------------------------------------------------------------

    def observe(self, state: TensorDict) -> TensorDict:
        """The table of this module's page, or of the one on hosting, ``[W, N, …]``."""
        return self.view(state) if self.host is None else self.hosted_view(state, self.host)

    def view(self, state: TensorDict) -> TensorDict:
        """What agents see that bring their learners, ``[W, N, …]``."""
        w, n, who = self.num_worlds, self.num_agents, self.channel.neighbours(state)
        knows = state["edges"]
        if self._isolated is not None:
            knows = knows & ~self._isolated[:, None, None]
        known = F.pad(knows, (1, 0), value=True)  # whom each knows of, [W, N, 1 + K]
        cards = who.with_oneself(state["card"]) * known
        returned = self._returned
        labels = self._labels(state["fb/slice"], returned).expand(w, n, -1)
        obs = {
            "slice": self._inputs(state["stream/slice"], not self._runs_out),
            "exam": self._exam_shown(state),
            "exam_now": self._exam_now(state),
            "fb_slice": self._inputs(state["fb/slice"], returned),
            "fb_labels": torch.where(state["fb/served"][..., None], labels, -1),
            "fb_targets": self.arrived(state, state["fb/published"]),
            "heard": F.pad(state["fb/heard"].to(torch.int8), (1, 0)),
            "present": (who.with_oneself(state["present"]) & known).to(torch.int8),
            "report": torch.cat([cards, self.budget_left(state)[..., None]], dim=2),
            "elapsed": self.elapsed(state),
        }
        if self.private:
            obs["public"] = self._inputs(state["public/slice"], not self._runs_out)
            obs["fb_public"] = self._inputs(state["fb/public"], returned)
        if self.beside is not None:
            obs[f"fb_{self.beside}"] = self.arrived(state, state[f"fb/{self.beside}"])
        return obs

    def arrived(self, state: TensorDict, sent: Tensor) -> Tensor:
        """What each knows of what all sent with a slice's messages, oneself first: ``[W, N, 1 + K, …]``.

        One's own is as one sent it, a neighbour's as it arrives, and zero if it was not heard.

        Args:
            state: The world's, with that slice's feedback.
            sent: ``[W, N]`` of a message as a whole, or ``[W, N, B, …]`` by rows, which some worlds shuffle.
        """
        who = self.channel.neighbours(state)
        known = who.with_oneself(sent)
        if self.channel.shuffles and sent.dim() > 2:
            known[:, :, 1:] = who.of(rearranged(sent, state["fb/order"]))
        heard = F.pad(state["fb/heard"], (1, 0), value=True)
        return known.mul_(heard.view(*heard.shape, *[1] * (sent.dim() - 2)))

    def budget_left(self, state: TensorDict) -> Tensor:
        """Fraction of the budget left to each student, ``[W, N]``."""
        return self.teacher.fraction_left(state["left"], state["own_left"], self._isolated)

    def _exam_shown(self, state: TensorDict) -> Tensor:
        """The exam's inputs ``[W, N, E, D…]`` where the coming step's answers count, zeros elsewhere."""
        index, shape = state["exam"], self.dataset.shape
        expanded = (self.num_worlds, self.num_agents, index.shape[1], *shape)
        day = self.exam.day(self._clock)
        if day == "none":
            return torch.zeros(1, device=self.device).expand(expanded)
        exam, _ = self._exam(index)
        if day == "all":
            return exam.clone()[:, None].expand(expanded)
        today = self.exam.today(state["clock"]).view(-1, 1, *[1] * len(shape))
        return (exam * today)[:, None].expand(expanded)

    def _items_of(self, exam: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs ``[W, E, D…]`` and classes ``[W, E]`` of an exam, int64 ``[W, E]``."""
        return self.dataset.inputs("exam", exam), self.dataset.labels("exam", exam)

    def _exam_now(self, state: TensorDict) -> Tensor:
        """Whether the coming step's answers count, int8 ``[W, N, 1]``."""
        day = self.exam.day(self._clock)
        if day == "some":
            now = self.exam.today(state["clock"]).to(torch.int8).view(-1, 1, 1)
        else:
            now = torch.full((1, 1, 1), int(day == "all"), dtype=torch.int8, device=self.device)
        return now.expand(self.num_worlds, self.num_agents, 1)

    @property
    def _isolated(self) -> Tensor | None:
        """Which worlds are isolated, bool ``[W]``; None: none is."""
        return self.channel.isolated if self.channel.isolates else None

    @property
    def _runs_out(self) -> bool:
        """Whether there may be no next slice, and −1 instead of one."""
        return self.schedule.order == "single_pass"

    @property
    def _returned(self) -> bool:
        """Whether in all worlds feedback on a slice has come (host)."""
        return not self._runs_out and every(self._clock > self.channel.delay)

    def _inputs(self, index: Tensor, sure: bool) -> Tensor:
        """Stream inputs of ``index [W, A, B]`` for every agent, ``[W, N, B, D…]``; zeros where −1, if not ``sure``."""
        x = self._dealt(index, sure=sure).clone()
        return x.expand(self.num_worlds, self.num_agents, *x.shape[2:])

    def _labels(self, index: Tensor, sure: bool) -> Tensor:
        """Classes of what was dealt, int64 ``[W, A, B]``; −1 where −1, if not ``sure``."""
        return self._told(index, sure=sure)

    def _inputs_dealt(self, index: Tensor, *, sure: bool) -> Tensor:
        return self.dataset.inputs("stream", index) if sure else self.dataset.dealt(index)

    def _labels_dealt(self, index: Tensor, *, sure: bool) -> Tensor:
        return self.dataset.labels("stream", index) if sure else self.dataset.dealt_labels(index)

    def _shown(self, state: TensorDict) -> Tensor:
        """The slice that the coming messages are about, int64 ``[W, A, B]``."""
        return state["public/slice" if self.private else "stream/slice"]

    # ---- what is seen where the world hosts the learners --------------------------------------------

    def hosted_view(self, state: TensorDict, host: Host) -> TensorDict:
        """What agents see that decide for hosted learners, ``[W, N, …]``."""
        taught = state["labels"] / (state["clock"].clamp_min(1)[:, None] * self.schedule.rows)
        about = Oneself(
            state["card"],
            self.budget_left(state),
            state["fb/served"],
            taught,
            state["listened"],
            self.elapsed(state),
        )
        return host.observe(
            under(state, "known/"), under(state, "fb/"), self.channel.neighbours(state), about
        )

    def _feedback(self, state: TensorDict, host: Host) -> Feedback:
        """What hosted learners learn the last slice from."""
        told, labels = self.told(state)
        heard = host.heard(under(state, "fb/"), self.channel.neighbours(state))
        own = self._read(state["fb/slice"])
        if not self.private:
            return Feedback(own[:, 0], labels, told, None, heard, None)
        public = self._read(state["fb/public"]).expand_as(own)
        prior = (state["stream/skew"] > 0).float().mean(-1) if host.settings.detect else None
        return Feedback(own, labels, told, public, heard, prior)

    def _flat(self, split: Any, index: Tensor) -> Tensor:
        """Inputs of a split, samples flattened; −1 stands for the first item, and nobody learns from it."""
        return self.dataset.inputs(split, index.clamp_min(0)).flatten(index.dim())

    def _inputs_read(self, index: Tensor) -> Tensor:
        """What hosted learners read of a slice."""
        return self._flat("stream", index)

    def predict(self, x: Tensor, *, dropout: int | None = None) -> Tensor | None:
        """Class distributions of the hosted learners, ``[W, N, M, C]``; see :meth:`World.predict`."""
        self._begun()
        return None if self.host is None else self.host.predict(x, dropout=dropout)

    @property
    def population(self) -> Any:
        """The hosted learners, ``[W, N]``."""
        if self.host is None:
            raise AttributeError("this world hosts no learners: give it learners='mlp' or the like")
        return self.host.population

    # ---- what is told, looking in -------------------------------------------------------------------

    def summary(self, state: TensorDict) -> TensorDict:
        """See Metrics."""
        return {
            "score": state["score"],
            "exam_accuracy": state["accuracy"],
            "bytes": state["bits"] / 8,
            "labels": state["labels"],
            "label_bytes": ledger.label_bytes(state["labels"], self.dataset.num_classes),
            "calls": state["calls"],
        }

    def cases(self, state: TensorDict) -> TensorDict:
        """``labels [W]``, rows of answered calls; ``labelled_slices [W]``, slices' worth of labels told to an agent.

        Where tasks come one after another, what :meth:`Tasks.cases` says of them, too.
        """
        rows = self.schedule.rows
        told = state["labels"].float().mean(-1)
        found = {"labels": state["calls"].float() * rows, "labelled_slices": told / rows}
        return found if self.tasks is None else found | self.tasks.cases(state)

    def budget_fraction(self) -> Tensor | None:
        """That of the first agent, ``[W]``; None without a limit."""
        return None if self.teacher.budget is None else self.budget_left(self._begun())[:, 0]

    @property
    def liars(self) -> int:
        """How many may lie."""
        return self.channel.liars

    def neighbours(self) -> Neighbours:
        """Which agent is in which slot in these episodes."""
        return self.channel.neighbours(self._begun())

    def listening(self) -> Listening:
        """How much hosted learners listen to whom; who heard whom, where agents bring theirs."""
        state = self._begun()
        title, key = (HEARD, "fb/heard") if self.host is None else (LISTENED, "listened")
        return Listening(title, self.channel.neighbours(state).index, state[key].float())

    def privileged(self) -> TensorDict:
        """What no agent knows, for oracles and reports.

        ``liar`` bool ``[W, N]``: who is a liar, awake or not. ``labels`` int64 ``[W, B]``: true classes of the slice
        that the messages at hand are about (−1 before there is any). ``scores`` ``[W, N, K + 1, K]``, where K tasks
        come one after another: accuracy on each before all (row 0) and after each, NaN before it has ended.
        """
        state = self._begun()
        nobody = torch.zeros(self.num_worlds, self.num_agents, dtype=torch.bool, device=self.device)
        known = {
            "liar": state["liar"] > 0 if "liar" in state else nobody,
            "labels": self.dataset.dealt_labels(state["fb/public" if self.private else "fb/slice"])[:, 0],
        }
        return known if self.tasks is None else known | {"scores": state["tasks/scores"]}

    def state(self) -> Tensor:
        """float32 ``[W, 4N + N·K + 1]``: scores, cards, presence, budget, whom each heard, time.

        Where the world hosts the learners, what their agents see, one after the other.
        """
        if self.host is not None:
            return super().state()
        s = self._begun()
        parts = [s["score"], s["card"], s["present"], self.budget_left(s), s["fb/heard"].flatten(1)]
        return torch.cat([part.float() for part in [*parts, (s["clock"] / self.horizon)[:, None]]], dim=1)

    @property
    def state_space(self) -> spaces.Box:
        """The space of one world's :meth:`state`."""
        if self.host is not None:
            return super().state_space
        n = self.num_agents
        return spaces.Box(0, 1, (4 * n + n * self.channel.slots + 1,), np.float32)

    def exhibits(self, world: int = 0) -> dict[str, np.ndarray]:
        """The slices that come next, where they are of pictures."""
        from .picture import exhibits

        return exhibits(self.dataset, self._begun(), world, self.private)

    def picture(self, state: TensorDict, world: int, mode: str) -> str | np.ndarray:
        """Who heard whom, accuracies, budget, and the slice's pictures."""
        from .picture import as_image, as_text

        return as_text(self, state, world) if mode == "ansi" else as_image(self, state, world)
