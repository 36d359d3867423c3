"""society-v0: class experts who should learn each other's classes, with liars among them.

## Description
N agents are experts: each sees labelled slices of its own few classes only, dealt out anew in each episode,
and beside them *public* slices, unlabelled, of every class (by default topical: a few classes at a time).
Each publishes *soft targets* on the public slice; whoever imitates the right peer at the right moment learns
classes it was never told of. Some peers may lie, each episode other ones, in another way (see `channel.py`
for the kinds); nobody is told who. The world generalises socialized learning, in which experts of a few
classes each make each other better.

Everything not said here is as in `classroom-v0` (`studyhall.envs.classroom`), whose channel, exam, prices and
modes this world shares. With `learners=` it hosts the learners, and an agent decides only whom to imitate:
see `studyhall.envs.hosted`.

## Observation Space
As in `classroom-v0` with private slices: `slice` and `fb_slice` are one's own, `public` and `fb_public` what
talk is about. `fb_labels` is always told. And:

| key | shape | range | meaning |
|---|---|---|---|
| `fb_energies` | `1 + K, B` float32 | ℝ | only with `energies`: what each sent beside its rows, as `fb_targets` |
| `fb_parcels` | `1 + K` int64 | 0…2³¹−1 | only with `parcels`: numbers of each parcel that arrived; one's own as sent |
| `fb_public_labels` | `B` int64 | −1…C−1 | only with `public_labels`: labels of `fb_public`; −1 where untold |

## Action Space
`soft_targets` and `answers` as in `classroom-v0`. There is nothing to ask: labels of one's own classes come
by themselves. And:

| key | space | meaning |
|---|---|---|
| `energies` | `Box(−∞, ∞, (B,))` | only with `energies`: one's free energy on each row; not finite: the row abstains |
| `parcel` | `Box(0, 2³¹−1, (1,))` int64 | only with `parcels`: float32 numbers sent to each neighbour in this step |

## Rewards
As in `classroom-v0`: progress on an exam over *all* classes.

## Starting State
As in `classroom-v0`; classes and liars are dealt out by the world's seed.

## Episode End
Truncation at `horizon`.

## Channel
As in `classroom-v0`. Liars are a fault of the channel: what a liar's learner believes is honest, what goes on
the air in its name is not. `liars` says how many; those who `collude` are two at least. The kind is drawn for
each world and episode from `liar_kinds`. A "bold" one claims every row that it speaks of: all weight on its own best
class and, with `energies`, the lowest energy of the rows it speaks of, on each. Energies of the other kinds are honest.

Labels of public rows (`public_labels`) are drawn row by row in each step, the same for everyone who is present. They
come from the teacher and not from peers, so also in worlds that are "mute" or "isolated": a mute society in which
everyone is told of every row is joint training on labels alone. Each who is told is charged for them, in `labels`,
`label_bytes` and `label_price`, beside those of its own slice.

With `energies` one more number goes with every row: the sender's free energy, −T·logsumexp(z/T) of its logits z (LeCun
et al. 2006; Liu et al. 2020), low where it knows an input and high where it does not. Rows of soft targets are
normalised and lose it: of logits all greater by the same number they are the same. So it needs a number of its own.
It is charged at 32 bits a row that speaks, whatever `bits` says, since it has no bounds to be rounded between; noise
and rounding do not touch it; in shuffled mode it stays with its row. It reads 0 where a row was not heard or says
nothing. Of hosted learners the world computes it, at their `temperature`; with `detect` they learn to have it low on
their own classes alone.

With `parcels` a message may hold weights or features, too. The world knows how many numbers they are, and charges 32
bits for each on every edge; the *content* passes inside the policy, which must hand it on only along edges whose parcel
arrived: to agent i from whom it has in a slot where its `fb_parcels` reads more than 0 (`world.neighbours()`). A parcel
rides in the step's message: one message with one fate, so that drops, `cap`, `churn`, `delay` and modes apply to the
whole of it. Shuffled mode permutes rows and no parcel. A message of a parcel is sent where all its rows abstain.
Parcels of liars are honest.

## Assumptions
Roles are hidden: nobody is told whose classes are whose or who lies. No task boundary is announced.

## Metrics
Beside those of `classroom-v0`, on the exam, per agent: `expert` (accuracy on one's own classes), `general` (on
the others), `average` (mean of the two), `global` (on all), `directionality` (expert − general), `forgetting`
(best `expert` so far − now). An agent without classes, or without foreign ones, reads 0 there.

## Arguments
Those of `classroom-v0`, but for `share`, `teacher_budget` and `teacher_unit`, and:

| argument | default | meaning |
|---|---|---|
| `agents` | 5 | N |
| `expert_classes` | None | classes of an agent (None: ⌈C/N⌉) |
| `slice_size` | 16 | B, of one's own slice and of the public one |
| `public_order` | "topical" | "iid", "topical", "class_incremental" |
| `topic_steps` | 5 | of topical order |
| `liars` | 1 | how many lie |
| `liar_kinds` | all but "fickle", "bold" | kinds they are drawn from, "none" among them |
| `energies` | False | an energy goes with every row |
| `parcels` | False | weights or features go with a message; not with `learners` |
| `public_labels` | 0 | share of the public rows whose label everyone present is told; not with `learners` |

## Version History
* v0: first release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ..channel import Route, ledger
from ..classroom.teacher import Answer
from ..classroom.world import Classroom
from ..engine import rng
from ..engine.state import TensorDict
from ..errors import ConfigError
from ..hosted.host import HostSettings
from ..validation import MOST, flag, real

KINDS = ("none", "sharp", "roll", "noise", "modest", "sleeper", "collude")
"""The mixture of liars that a society has unless told otherwise."""


class Society(Classroom):
    """The batched world behind ``society-v0``; this module's page documents what differs from a classroom."""

    few_actions = "learners='mlp', or slice_size=1, exam_size=10"
    agent_noun = "agent"
    refused_arguments: ClassVar[Mapping[str, str]] = {
        "share": "every agent sees its own classes, as many as expert_classes says",
        "teacher_budget": "labels of one's own classes come by themselves, so there is no budget",
        "teacher_unit": "labels of one's own classes come by themselves, so there is no budget",
    }
    marks = (*Classroom.marks, "expert", "general", "expert_best")

    def __init__(
        self,
        *,
        agents: int = 5,
        slice_size: int = 16,
        public_order: str = "topical",
        topic_steps: int = 5,
        liars: int = 1,
        liar_kinds: Sequence[str] = KINDS,
        public_labels: float = 0.0,
        energies: bool = False,
        parcels: bool = False,
        **kwargs: Any,
    ) -> None:
        self.public_labels = real("public_labels (share of the public rows)", public_labels, 0, 1)
        self.energies = flag("energies", energies)
        if self.energies:
            self.beside = "energies"
            self.few_actions = "learners='mlp'"  # energies of one's own have no bounds
            self.crosses = self.crosses | {"messages"}
        self.parcels = flag("parcels", parcels)
        if self.parcels:
            self.crosses = self.crosses | {"weights"}
        super().__init__(
            agents=agents,
            share="class_experts",
            teacher_budget=None,
            slice_size=slice_size,
            public_order=public_order,
            topic_steps=topic_steps,
            liars=liars,
            liar_kinds=liar_kinds,
            **kwargs,
        )

    def _declare(self, rows: int, exam_size: int) -> None:
        super()._declare(rows, exam_size)
        slots, seen = 1 + self.channel.slots, dict(self.observation_space.spaces)
        acts = {k: v for k, v in self.action_space.spaces.items() if k != "ask"}
        if self.public_labels:
            seen["fb_public_labels"] = seen["fb_labels"]
            self.step_draws = rng.Draws(self.step_draws.shapes | {"teacher/public": (rows,)})
        if self.energies:
            acts["energies"] = spaces.Box(-np.inf, np.inf, (rows,), np.float32)
            seen["fb_energies"] = spaces.Box(-np.inf, np.inf, (slots, rows), np.float32)
        if self.parcels:
            acts["parcel"] = spaces.Box(0, MOST, (1,), np.int64)
            seen["fb_parcels"] = spaces.Box(0, MOST, (slots,), np.int64)
        self.observation_space, self.action_space = spaces.Dict(seen), spaces.Dict(acts)

    def _invite(self, learners: Any, settings: HostSettings) -> None:
        for name in ("public_labels", "parcels"):
            if getattr(self, name):
                raise ConfigError(
                    f"{name} are for agents that bring their learners: leave out {name}, or learners"
                )
        super()._invite(learners, settings)

    def no_feedback(self, fresh: TensorDict) -> TensorDict:
        """As a classroom's, with no label told."""
        feedback = super().no_feedback(fresh)
        if self.public_labels:
            silent = torch.zeros_like(feedback["published"][..., 0], dtype=torch.bool)
            feedback["public_told"] = silent
        if self.energies and self.host is not None:
            feedback["own_energies"] = feedback["energies"]
        if self.parcels:
            feedback["parcels"] = torch.zeros_like(feedback["served"], dtype=torch.int64)
        return feedback

    def _brought(self, state: TensorDict, actions: TensorDict) -> TensorDict:
        """As in a classroom; a row whose energy is not finite abstains."""
        acts = super()._brought(state, actions)
        if not self.energies:
            return acts
        finite = acts["energies"].isfinite()
        return {
            **acts,
            "energies": torch.where(finite, acts["energies"], 0.0),
            "soft_targets": torch.where(finite[..., None], acts["soft_targets"], 0.0),
        }

    def said(self, acts: TensorDict, targets: Tensor, on_air: Tensor, state: TensorDict) -> TensorDict:
        """As in a classroom, with energies beside the rows, and parcels."""
        said = super().said(acts, targets, on_air, state)
        if self.energies:
            said["energies"] = self.channel.beside(acts["energies"], on_air, state)
            if self.host is not None:
                said["own_energies"] = acts["energies"]
        if self.parcels:
            said["parcels"] = acts["parcel"][..., 0].clamp(0, MOST) * state["present"]
        return said

    def message_bits(self, rows: Tensor, said: TensorDict) -> Tensor:
        """As in a classroom, with the numbers of parcels: 2³⁶ bits an edge at most, which int64 sums up."""
        bits = super().message_bits(rows, said)
        return bits + ledger.weights(said["parcels"]) if self.parcels else bits

    def first_marks(self, fresh: TensorDict) -> TensorDict:
        """As a classroom's, with nothing known of anybody's classes."""
        unknown = dict.fromkeys(("expert", "general", "expert_best"), torch.zeros_like(fresh["card"]))
        return unknown | super().first_marks(fresh | unknown)

    def asks(self, actions: TensorDict) -> Tensor:
        """Everyone is told the labels of its own slice."""
        return torch.ones(self.num_worlds, self.num_agents, dtype=torch.bool, device=self.device)

    def _ask(self, acts: TensorDict, state: TensorDict, draws: rng.DrawDict) -> Answer:
        """What the teacher answers, and which rows of the public slice it tells everyone present."""
        answer = super()._ask(acts, state, draws)
        if not self.public_labels:
            return answer
        told = draws["teacher/public"].below(self.public_labels)  # [W, B]
        public = told[:, None] & state["present"][..., None]
        return answer._replace(public=public, labels=answer.labels + public.sum(-1))

    def view(self, state: TensorDict) -> TensorDict:
        """What agents see that bring their learners, ``[W, N, …]``."""
        obs = super().view(state)
        if self.public_labels:
            labels = self._labels(state["fb/public"], self._returned)
            obs["fb_public_labels"] = torch.where(state["fb/public_told"], labels, -1)
        if self.parcels:
            obs["fb_parcels"] = self.arrived(state, state["fb/parcels"])
        return obs

    def start(self, draws: rng.DrawDict, state: TensorDict) -> TensorDict:
        """As in a classroom, with no label of a public row told yet."""
        fresh = super().start(draws, state)
        return fresh | ({"revealed": torch.zeros_like(fresh["calls"])} if self.public_labels else {})

    def _after(
        self,
        state: TensorDict,
        draws: rng.DrawDict,
        route: Route,
        said: TensorDict,
        answer: Answer,
        marks: TensorDict,
    ) -> TensorDict:
        """As in a classroom; labels of public rows are counted once, whoever is told."""
        new = super()._after(state, draws, route, said, answer, marks)
        if answer.public is not None:
            new["revealed"] = state["revealed"] + answer.public.any(1).sum(-1)
        return new

    def cases(self, state: TensorDict) -> TensorDict:
        """As in a classroom; labels of public rows are revealed, too."""
        found = super().cases(state)
        return found | ({"labels": found["labels"] + state["revealed"]} if self.public_labels else {})

    def experts(self, state: TensorDict) -> Tensor:
        """Whose classes are whose, bool ``[W, N, C]``."""
        return state["stream/skew"] > 0

    def privileged(self) -> TensorDict:
        """As in a classroom, and ``experts`` bool ``[W, N, C]``: whose classes are whose."""
        return super().privileged() | {"experts": self.experts(self._begun())}

    def mark(self, state: TensorDict, answers: Tensor, abstained: Tensor, labels: Tensor) -> TensorDict:
        """Marks on one's own classes and on the others, too."""
        score, correct = self.exam.score(answers, abstained, labels)
        n = self.num_agents
        own = self.experts(state).gather(2, labels[:, None].expand(-1, n, -1))  # [W, N, E]
        right = correct.float()
        expert, general = _share(right, own), _share(right, ~own)
        return {
            "score": score,
            "accuracy": right.mean(-1),
            "expert": expert,
            "general": general,
            "expert_best": torch.maximum(state["expert_best"], expert),
        }

    def summary(self, state: TensorDict) -> TensorDict:
        """See Metrics."""
        expert, general = state["expert"], state["general"]
        return super().summary(state) | {
            "expert": expert,
            "general": general,
            "average": (expert + general) / 2,
            "global": state["accuracy"],
            "directionality": expert - general,
            "forgetting": state["expert_best"] - expert,
        }

    def picture(self, state: TensorDict, world: int, mode: str) -> str | np.ndarray:
        """Who lies, who listens to whom, accuracies, and the public slice."""
        from .picture import as_image, as_text

        return as_text(self, state, world) if mode == "ansi" else as_image(self, state, world)


def _share(right: Tensor, among: Tensor) -> Tensor:
    """Share of right answers ``[W, N, E]`` among those of a mask; 0 where there are none."""
    return (right * among).sum(-1) / among.sum(-1).clamp_min(1)
