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
Flat `Dict`, the same for every agent. N students, B rows of a slice, E exam items, C classes, D… shape of
an input (e.g. `1×28×28`).

| key | shape | range | meaning |
|---|---|---|---|
| `slice` | `B, D…` float32 | ℝ | the inputs now |
| `public` | `B, D…` float32 | ℝ | only if slices are private: the unlabelled slice that talk is about |
| `exam` | `E, D…` float32 | ℝ | the exam, fixed for the episode, unlabelled; zeros unless `exam_now` |
| `exam_now` | `1` int8 | {0, 1} | whether the coming step's answers count |
| `fb_slice` | `B, D…` float32 | ℝ | the slice that feedback is about; zeros before there is any |
| `fb_public` | `B, D…` float32 | ℝ | likewise, only with `public` |
| `fb_labels` | `B` int64 | −1…C−1 | labels of `fb_slice`; −1 where the teacher was silent |
| `fb_targets` | `N, B, C` float32 | [0, 1] | what each published on it; zero if not heard; one's own included |
| `heard` | `N` int8 | {0, 1} | whose message arrived (never one's own) |
| `present` | `N` int8 | {0, 1} | who is in the room (in an isolated world: oneself only) |
| `report` | `N + 1` float32 | [0, 1] | report cards of all (isolated: one's own), then the budget left to one |
| `agent_id` | `N` int8 | {0, 1} | one-hot: which student one is |
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
Per world: `calls`.

## Arguments
| argument | default | meaning |
|---|---|---|
| `agents` | 8 | N |
| `data` | "digits" | data set: a name, arrays, a torch or HF data set, a folder of pictures |
| `data_dir` | None | folder of parquet files for named data (else `STUDYHALL_DATA`, else the hub) |
| `exam_items` | None | items of the data set kept for exams (None: a fifth of its training part) |
| `slice_size` | 32 | B |
| `exam_size` | 64 | E |
| `horizon` | 400 | steps of an episode |
| `order` | "iid" | "iid", "passes", "single_pass", "topical", "class_incremental" (`streams/schedule.py`) |
| `share` | "shared" | "shared", "own", "class_experts", "dirichlet" |
| `topic_steps`, `topic_classes` | 20, 2 | of topical order (steps beyond the horizon: one topic an episode) |
| `task_classes` | 2 | of class-incremental order |
| `expert_classes` | None | classes of an expert (None: ⌈C/N⌉) |
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
| `autoreset` | True | of `make_world`: the step that ends an episode begins the next; see `info["episode"]` |
| `validate` | False | of `make_world`: check the values of actions too; views always do |

## Version History
* v0: first release.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from . import ledger, rng
from .channel import Channel, DelayLine, Delivery, RoomSettings
from .errors import one_of
from .exam import Exam, distributions, progress_reward
from .streams import load_dataset
from .streams.schedule import UNLIMITED_ORDERS, Schedule
from .teacher import Answer, Teacher
from .validation import afford, real
from .weights import Weights
from .world import Outcome, TensorDict, World


class Classroom(World):
    """The batched world behind ``classroom-v0``; this module's page documents every argument."""

    few_actions = "learners='mlp', or slice_size=1, exam_size=10"
    agent_noun = "student"
    crosses = frozenset({"soft_targets", "labels"})
    headline = "exam_accuracy"
    trainee = "listeners"
    tested = True
    forwarded_arguments_to: ClassVar[type] = RoomSettings

    def __init__(
        self,
        *,
        num_worlds: int = 1,
        device: str | torch.device = "cpu",
        autoreset: bool = True,
        validate: bool = False,
        agents: int = 8,
        data: Any = "digits",
        data_dir: str | None = None,
        exam_items: int | None = None,
        slice_size: int = 32,
        exam_size: int = 64,
        horizon: int = 400,
        order: str = "iid",
        share: str = "shared",
        topic_steps: int = 20,
        topic_classes: int = 2,
        task_classes: int = 2,
        expert_classes: int | None = None,
        alpha: float = 0.5,
        public_order: str = "iid",
        teacher_budget: int | None = 100,
        teacher_unit: str = "calls",
        byte_price: float = 0.0,
        label_price: float = 0.0,
        reward_scale: float = 10.0,
        cooperation: float = 0.0,
        exam_every: int = 1,
        exam_smoothing: float = 0.2,
        card_every: int = 10,
        **channel: Any,
    ) -> None:
        super().__init__(
            num_worlds=num_worlds,
            num_agents=agents,
            horizon=horizon,
            device=device,
            autoreset=autoreset,
            validate=validate,
        )
        self.reward_scale = real("reward_scale", reward_scale, 0)
        self.cooperation = real("cooperation", cooperation, 0, 1)
        self.byte_price = real("byte_price (reward per KiB)", byte_price, 0)
        self.label_price = real("label_price (reward per label)", label_price, 0)
        self.dataset = load_dataset(data, data_dir=data_dir, exam_size=exam_items).to(self.device)
        self.schedule = Schedule(
            self.dataset.stream,
            self.num_agents,
            slice_size,
            horizon,
            order=order,
            share=share,
            topic_steps=topic_steps,
            topic_classes=topic_classes,
            task_classes=task_classes,
            expert_classes=expert_classes,
            alpha=alpha,
        )
        self.private = share != "shared"
        one_of("public_order", public_order, UNLIMITED_ORDERS)
        self.public_schedule = Schedule(
            self.dataset.stream,
            self.num_agents,
            slice_size,
            horizon,
            order=public_order,
            topic_steps=topic_steps,
            topic_classes=topic_classes,
            task_classes=task_classes,
            name="public",
        )
        self.exam = Exam(exam_size, exam_smoothing, exam_every, card_every)
        self.exam.check(self.dataset.exam)
        self.exam.check_times(self.horizon)
        sample = math.prod(self.dataset.shape)
        for name, rows in (("slice_size", slice_size), ("exam_size", exam_size)):
            afford(
                self.num_worlds, f"agents or {name}", agents=self.num_agents, **{name: rows}, sample=sample
            )
        self.teacher = Teacher(teacher_budget, teacher_unit, not self.private, slice_size)
        self.channel = Channel(self.num_agents, self.num_worlds, device=self.device, **channel)
        self.channel.check_times(self.horizon)
        told = {"agents": self.num_agents, "slice_size": slice_size, "classes": self.dataset.num_classes}
        afford(self.num_worlds, "agents or slice_size", **told, senders=self.num_agents)
        afford(self.num_worlds, "agents, slice_size or delay", **told, delay=self.channel.delay)
        self.line = DelayLine(self.channel.delay)
        self._declare(self.schedule.rows, self.exam.size)

    def _declare(self, rows: int, exam_size: int) -> None:
        """Spaces and draws."""
        n, c, shape = self.num_agents, self.dataset.num_classes, self.dataset.shape
        inputs = spaces.Box(-np.inf, np.inf, (rows, *shape), np.float32)
        flags = spaces.Box(0, 1, (n,), np.int8)
        observed: dict[str, spaces.Space] = {
            "slice": inputs,
            "exam": spaces.Box(-np.inf, np.inf, (exam_size, *shape), np.float32),
            "exam_now": spaces.Box(0, 1, (1,), np.int8),
            "fb_slice": inputs,
            "fb_labels": spaces.Box(-1, c - 1, (rows,), np.int64),
            "fb_targets": spaces.Box(0, 1, (n, rows, c), np.float32),
            "heard": flags,
            "present": flags,
            "report": spaces.Box(0, 1, (n + 1,), np.float32),
            "agent_id": flags,
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

    def start(self, draws: TensorDict, state: TensorDict) -> TensorDict:
        """A fresh exam, a first slice, full budget, nothing heard."""
        w, n, c = self.num_worlds, self.num_agents, self.dataset.num_classes
        clock = state["clock"]
        zeros = torch.zeros(w, n, device=self.device)
        fresh = prefixed("stream/", self.schedule.start(draws, clock))
        if self.private:
            fresh |= prefixed("public/", self.public_schedule.start(draws, clock))
        feedback = {
            "slice": torch.full_like(fresh["stream/slice"], -1),
            "served": torch.zeros(w, n, dtype=torch.bool, device=self.device),
            "published": torch.zeros(w, n, self.schedule.rows, c, device=self.device),
            "order": torch.arange(self.schedule.rows, device=self.device).expand(w, -1),
            "heard": torch.zeros(w, n, n, dtype=torch.bool, device=self.device),
        }
        if not self.channel.shuffles:
            del feedback["order"]
        if self.private:
            feedback["public"] = torch.full_like(fresh["public/slice"], -1)
        feedback |= self.remembered(feedback["published"])
        fresh |= prefixed("fb/", feedback) | prefixed("line/", self.line.start(feedback))
        fresh |= self.channel.start(draws, c)
        fresh |= self.teacher.start(w, n, self.device)
        fresh["exam"] = self.exam.draw(self.dataset.exam, draws)
        fresh["score"] = torch.full_like(zeros, self.exam.chance(c))
        fresh["card"] = fresh["accuracy"] = zeros
        fresh["bits"] = fresh["labels"] = torch.zeros_like(zeros, dtype=torch.int64)
        fresh["calls"] = torch.zeros_like(clock)
        return fresh

    def advance(self, state: TensorDict, actions: TensorDict, draws: TensorDict) -> Outcome:
        """Score the answers, carry the messages, ask the teacher, deal the next slice."""
        clock, present = state["clock"], state["present"]
        rows = self.schedule.rows
        targets, silent = distributions(actions["soft_targets"])
        sent = self.channel.carry(targets, state, draws, clock)
        answer = self.teacher.answer(
            self.asks(actions) & present,
            state["left"],
            state["own_left"],
            self.channel.isolated,
            draws,
        )
        marks = self._sit_exam(state, actions["answers"])
        smoothed, accuracy = marks["score"], marks["accuracy"]
        labels = answer.served * rows
        reward = progress_reward(
            state["score"], smoothed, scale=self.reward_scale, cooperation=self.cooperation
        )
        kib = sent.sent_bits / (8 * 1024)
        reward = (reward - self.byte_price * kib - self.label_price * labels) * present
        shown = state["public/slice" if self.private else "stream/slice"]
        correct = (targets.max(-1).indices == self._labels(shown)) & ~silent
        info = {
            "score": smoothed,
            "exam_accuracy": accuracy,
            "prequential": correct.sum(-1) / (~silent).sum(-1).clamp_min(1),
            "bytes": sent.sent_bits / 8,
            "labels": labels,
            "label_bytes": self._label_bytes(labels),
            "refused": answer.refused,
            "calls": answer.calls,
        }
        return Outcome(self._after(state, draws, sent, answer, marks, self.remembered(targets)), reward, info)

    def _after(
        self,
        state: TensorDict,
        draws: TensorDict,
        sent: Delivery,
        answer: Answer,
        marks: TensorDict,
        remembered: TensorDict,
    ) -> TensorDict:
        """The state after a step, of what was sent, what the teacher answered and how the exam went."""
        happened = {
            "slice": state["stream/slice"],
            "served": answer.served,
            "published": sent.published,
            "heard": sent.heard,
        }
        if sent.order is not None:
            happened["order"] = sent.order
        if self.private:
            happened["public"] = state["public/slice"]
        line, feedback = self.line.push(under(state, "line/"), happened | remembered)
        return {
            **state,
            **prefixed("line/", line),
            **prefixed("fb/", feedback),
            **self._deal(state, draws),
            "present": self.channel.presence(state["present"], draws),
            "left": answer.left,
            "own_left": answer.own_left,
            **marks,
            "card": self.exam.cards(state["card"], marks["accuracy"], state["clock"]),
            "bits": state["bits"] + sent.sent_bits,
            "labels": state["labels"] + answer.served * self.schedule.rows,
            "calls": state["calls"] + answer.calls,
        }

    def _sit_exam(self, state: TensorDict, answers: Tensor) -> TensorDict:
        """The marks after this step's answers, ``[W, N]``, where it is a day for them."""
        if not self.exam.today(self._clock).any():  # the host knows: most days need not be computed
            return {name: state[name] for name in self.marks}
        labels = self.dataset.labels("exam", state["exam"])
        return self._counted(state, self.mark(state, *distributions(answers), labels))

    def _counted(self, state: TensorDict, marks: TensorDict) -> TensorDict:
        """Marks ``[W, N]`` or ``[W]`` where it is a day for them, of those who are there; scores are smoothed."""
        today = self.exam.today(state["clock"] - 1)
        there = state["present"] & today[:, None]
        marks = marks | {name: self.exam.smooth(state[name], marks[name]) for name in self.smoothed}
        return {
            name: torch.where(there if mark.dim() > 1 else today, mark, state[name])
            for name, mark in marks.items()
        }

    # ---- what kinds of classroom may change ---------------------------------------------------------

    marks: ClassVar[tuple[str, ...]] = ("score", "accuracy")
    """Entries of the state that an exam sets, ``[W, N]`` or ``[W]``."""

    smoothed: ClassVar[tuple[str, ...]] = ("score",)
    """Those of them that are smoothed over exams."""

    def mark(self, state: TensorDict, answers: Tensor, abstained: Tensor, labels: Tensor) -> TensorDict:
        """The :attr:`marks` of answers ``[W, N, E, C]``; arguments as of :meth:`Exam.score`."""
        score, correct = self.exam.score(answers, abstained, labels)
        return {"score": score, "accuracy": correct.float().mean(-1)}

    def asks(self, actions: TensorDict) -> Tensor:
        """Who asks the teacher, bool ``[W, N]``."""
        return actions["ask"] == 1

    def remembered(self, said: Tensor) -> TensorDict:
        """What else comes back as feedback on a slice, beside what was said of it (``[W, N, B, C]``)."""
        return {}

    def _deal(self, state: TensorDict, draws: TensorDict) -> TensorDict:
        """The next slices."""
        clock, stream = state["clock"], under(state, "stream/")
        if self.schedule.begins_pass(self._clock + 1):
            stream = self.schedule.shuffle(stream, clock, state["key"])
        new = prefixed("stream/", self.schedule.advance(stream, draws, clock))
        if self.private:
            public = self.public_schedule.advance(under(state, "public/"), draws, clock)
            new |= prefixed("public/", public)
        return new

    def exhausted(self, clock: np.ndarray) -> np.ndarray:
        """A single-pass stream ends when it has been dealt out."""
        return self.schedule.exhausted(clock)

    # ---- what is seen -------------------------------------------------------------------------------

    def observe(self, state: TensorDict) -> TensorDict:
        """The tables of this module's page, ``[W, N, …]``."""
        w, n = self.num_worlds, self.num_agents
        heard = state["fb/heard"]
        own = torch.eye(n, dtype=torch.bool, device=self.device)
        seen = own | ~self.channel.isolated[:, None, None]  # whom each knows of, [W, N, N]
        cards = state["card"][:, None] * seen
        labels = self._labels(state["fb/slice"]).expand(w, n, -1)
        obs = {
            "slice": self._inputs(state["stream/slice"]),
            "exam": self._exam_shown(state),
            "exam_now": self.exam.today(state["clock"]).to(torch.int8)[:, None, None].expand(w, n, 1),
            "fb_slice": self._inputs(state["fb/slice"]),
            "fb_labels": torch.where(state["fb/served"][..., None], labels, -1),
            "fb_targets": self._arrived(state, own),
            "heard": heard.to(torch.int8),
            "present": (state["present"][:, None] & seen).to(torch.int8),
            "report": torch.cat([cards, self.budget_left(state)[..., None]], dim=2),
            "agent_id": own.to(torch.int8).expand(w, n, n),
            "elapsed": (state["clock"].float() / self.horizon)[:, None, None].expand(w, n, 1),
        }
        if self.private:
            obs["public"] = self._inputs(state["public/slice"])
            obs["fb_public"] = self._inputs(state["fb/public"])
        return obs

    def _arrived(self, state: TensorDict, own: Tensor) -> Tensor:
        """What each hears of each, ``[W, N, N, B, C]``; one's own row as one sent it."""
        published, heard = state["fb/published"], state["fb/heard"]
        if not self.channel.shuffles:
            return published[:, None] * (heard | own)[..., None, None]
        shuffled = published.gather(2, state["fb/order"][:, None, :, None].expand_as(published))
        return torch.where(
            own[..., None, None], published[:, None], shuffled[:, None] * heard[..., None, None]
        )

    def budget_left(self, state: TensorDict) -> Tensor:
        """Fraction of the budget left to each student, ``[W, N]``."""
        return self.teacher.fraction_left(state["left"], state["own_left"], self.channel.isolated)

    def _exam_shown(self, state: TensorDict) -> Tensor:
        """The exam's inputs ``[W, N, E, D…]`` where the coming step's answers count, zeros elsewhere."""
        index, shape = state["exam"], self.dataset.shape
        expanded = (self.num_worlds, self.num_agents, index.shape[1], *shape)
        if not self.exam.today(self._clock).any():
            return torch.zeros(1, device=self.device).expand(expanded)
        exam = self.dataset.inputs("exam", index)
        today = self.exam.today(state["clock"]).view(-1, 1, *[1] * len(shape))
        return (exam if self.exam.every == 1 else exam * today)[:, None].expand(expanded)

    def _inputs(self, index: Tensor) -> Tensor:
        """Stream inputs of ``index [W, A, B]`` for every agent, ``[W, N, B, D…]``; zeros where −1."""
        x = self.dataset.inputs("stream", index.clamp_min(0))
        x = x * (index >= 0).view(*index.shape, *[1] * len(self.dataset.shape))
        return x.expand(self.num_worlds, self.num_agents, *x.shape[2:])

    def _labels(self, index: Tensor) -> Tensor:
        """Stream labels of ``index [W, A, B]``; −1 where −1."""
        return torch.where(index >= 0, self.dataset.labels("stream", index.clamp_min(0)), -1)

    def summary(self, state: TensorDict) -> TensorDict:
        """See Metrics."""
        return {
            "score": state["score"],
            "exam_accuracy": state["accuracy"],
            "bytes": state["bits"] / 8,
            "labels": state["labels"],
            "label_bytes": self._label_bytes(state["labels"]),
            "calls": state["calls"],
        }

    def cases(self, state: TensorDict) -> TensorDict:
        """``labels [W]``, rows of answered calls; ``labelled_slices [W]``, slices that an agent was told of."""
        rows = self.schedule.rows
        told = state["labels"].float().mean(-1)
        return {"labels": state["calls"].float() * rows, "labelled_slices": told / rows}

    def budget_fraction(self) -> Tensor | None:
        """That of the first agent, ``[W]``; None without a limit."""
        return None if self.teacher.budget is None else self.budget_left(self._begun())[:, 0]

    def _label_bytes(self, labels: Tensor) -> Tensor:
        """What so many labels take on the wire, in bytes."""
        return ledger.labels(labels, self.dataset.num_classes) / 8

    def secrets(self) -> TensorDict:
        """What no agent knows, for oracles and reports.

        ``liar`` bool ``[W, N]``: who is a liar, awake or not. ``labels`` int64 ``[W, B]``: true classes of the slice
        that the messages at hand are about (−1 before there is any).
        """
        state = self._begun()
        nobody = torch.zeros(self.num_worlds, self.num_agents, dtype=torch.bool, device=self.device)
        return {
            "liar": state["liar"] > 0 if "liar" in state else nobody,
            "labels": self._labels(state["fb/public" if self.private else "fb/slice"])[:, 0],
        }

    def state(self) -> Tensor:
        """float32 ``[W, 4N + N² + 1]``: scores, cards, presence, budget, who heard whom, time."""
        s = self._begun()
        parts = [s["score"], s["card"], s["present"], self.budget_left(s), s["fb/heard"].flatten(1)]
        return torch.cat([part.float() for part in [*parts, (s["clock"] / self.horizon)[:, None]]], dim=1)

    @property
    def state_space(self) -> spaces.Box:
        """The space of one world's :meth:`state`."""
        n = self.num_agents
        return spaces.Box(0, 1, (4 * n + n * n + 1,), np.float32)

    def picture(self, state: TensorDict, world: int, mode: str) -> str | np.ndarray:
        """Who heard whom, accuracies, budget, and the slice's pictures."""
        from .classroom_picture import as_image, as_text

        return as_text(self, state, world) if mode == "ansi" else as_image(self, state, world)


def prefixed(prefix: str, entries: TensorDict) -> TensorDict:
    """Entries of a part of the state, under its prefix."""
    return {prefix + k: v for k, v in entries.items()}


def under(state: TensorDict, prefix: str) -> TensorDict:
    """The entries of the state under a prefix, without it."""
    return {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
