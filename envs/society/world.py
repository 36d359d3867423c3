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
talk is about. `fb_labels` is always told.

## Action Space
`soft_targets` and `answers` as in `classroom-v0`. There is nothing to ask: labels of one's own classes come
by themselves.

## Rewards
As in `classroom-v0`: progress on an exam over *all* classes.

## Starting State
As in `classroom-v0`; classes and liars are dealt out by the world's seed.

## Episode End
Truncation at `horizon`.

## Channel
As in `classroom-v0`. Liars are a fault of the channel: what a liar's learner believes is honest, what goes on
the air in its name is not. `liars` says how many; those who `collude` are two at least. The kind is drawn for
each world and episode from `liar_kinds`.

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
| `liar_kinds` | all but "fickle" | kinds they are drawn from, "none" among them |

## Version History
* v0: first release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from gymnasium import spaces
from torch import Tensor

from ..classroom.world import Classroom
from ..engine.state import TensorDict

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
        **kwargs: Any,
    ) -> None:
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
        self.action_space = spaces.Dict({k: v for k, v in self.action_space.items() if k != "ask"})

    def first_marks(self, fresh: TensorDict) -> TensorDict:
        """As a classroom's, with nothing known of anybody's classes."""
        unknown = dict.fromkeys(("expert", "general", "expert_best"), torch.zeros_like(fresh["card"]))
        return unknown | super().first_marks(fresh | unknown)

    def asks(self, actions: TensorDict) -> Tensor:
        """Everyone is told the labels of its own slice."""
        return torch.ones(self.num_worlds, self.num_agents, dtype=torch.bool, device=self.device)

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


def _share(right: Tensor, among: Tensor) -> Tensor:
    """Share of right answers ``[W, N, E]`` among those of a mask; 0 where there are none."""
    return (right * among).sum(-1) / among.sum(-1).clamp_min(1)
