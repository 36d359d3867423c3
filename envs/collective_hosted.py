"""collective-v0 with `learners=`: the world trains the specialists, an agent decides what to bid.

## Description
`make_env("collective-v0", learners="mlp")`. As every world that hosts its learners (`studyhall.envs.hosted`) this one
trains W·N networks on the labels of their slices, and lets them publish and sit the exam. What is left to decide is
how the collective is weighted: each agent bids for every sample, knowing only what its own network makes of it. Bids
come before anyone has spoken; the weights that they lead to cross with the answers.

## Observation Space
That of `studyhall.envs.hosted`, and for the B rows of the coming slice and the E items of the exam:

| key | shape | range | meaning |
|---|---|---|---|
| `samples` | `B, F` float32 | [0, 1] | what one's own network makes of each row |
| `answers_samples` | `E, F` float32 | [0, 1] | likewise of each item; zeros of an exam not today |
| `load` | `N` float32 | [0, 1] | mean weight of each on the last slice; zero if not heard |

Features of a sample: `confidence` (max p), `margin` (to the second class), `certainty` (1 − entropy / log C),
`class_card` (how often one was right of late when one said this class), `class_seen` (how much that card is worth).

## Action Space
| key | space | meaning |
|---|---|---|
| `listen` | `Box(0, 1, (S,))` | whom to imitate on the last slice, as in `studyhall.envs.hosted`; its other forms too |
| `bids` | `Box(0, 1, (B,))` | for the slice |
| `answers_bids` | `Box(0, 1, (E,))` | for the exam; to shape nothing else, as `answers` in `classroom-v0` |

All is bounded, so `make_sb3("collective-v0", learners="mlp")` trains bidders with a "MultiInputPolicy" of
Stable-Baselines3, where N − 1 + B + E numbers are 256 at most. `studyhall train` trains one small network for all
samples instead (`BidPolicy` of `studyhall.policies.sb3`), which fits any N, B and E. Where nobody imitates anybody
and all learn from all, bids change nothing later: a discount of 0 is right there.

A step begins with a lesson: first learners learn the last slice, then they answer the coming one and the exam. Bids are
made before it. `samples`, `answers_samples` and `secrets()["right"]` are therefore of the network before the coming
step's lesson; answers may differ from them by what it changes.

## Arguments
Those of `collective-v0` and of `studyhall.envs.hosted`, but for form "discrete" and share "parts", and:

| argument | default | meaning |
|---|---|---|
| `learn_from` | "all" | or "consulted": a specialist learns only the samples that it was consulted on |

In modes "mute" and "isolated" a specialist is told, and learns, as if it were alone: it was consulted wherever it bid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ..learners import softmax
from .collective import Collective
from .errors import ConfigError, one_of
from .hosted import HostedClassroom
from .world import Outcome, TensorDict

SAMPLE_FEATURES = ("confidence", "margin", "certainty", "class_card", "class_seen")
"""Names of the F features of a sample."""

_DECAY = 0.99  # of the counts behind a class card, per step
_WORTH = 10.0  # answers after which a class card is worth a half


class HostedCollective(HostedClassroom, Collective):
    """The batched world behind ``collective-v0`` with ``learners``; see this module's page.

    Attributes:
        sample_features: Names of the F features of a sample.
    """

    refused_arguments: ClassVar[Mapping[str, str]] = {
        **Collective.refused_arguments,
        "discrete_actions": "bids are numbers: set actions to 'listen', 'gated' or 'targets'",
    }
    sample_features = SAMPLE_FEATURES

    def __init__(self, *, actions: str = "listen", learn_from: str = "all", **kwargs: Any) -> None:
        if isinstance(actions, str) and actions == "discrete":
            raise ConfigError(
                "a collective has bids beside its choices: actions are 'listen', 'gated' or 'targets'"
            )
        self.only_consulted = one_of("learn_from", learn_from, ("all", "consulted")) == "consulted"
        super().__init__(actions=actions, **kwargs)
        if self.parts is not None:
            raise ConfigError(
                "learners of the world see whole samples: share='parts' needs learners of your own"
            )
        if self.private and self.only_consulted:
            raise ConfigError(
                "learn_from='consulted' needs share='shared': own slices are nobody else's to ask about"
            )

    def _declare(self, rows: int, exam_size: int) -> None:
        super()._declare(rows, exam_size)
        features = len(SAMPLE_FEATURES)
        acts = {
            "bids": spaces.Box(0, 1, (rows,), np.float32),
            "answers_bids": spaces.Box(0, 1, (exam_size,), np.float32),
        }
        observed = {
            "samples": spaces.Box(0, 1, (rows, features), np.float32),
            "answers_samples": spaces.Box(0, 1, (exam_size, features), np.float32),
            "load": spaces.Box(0, 1, (self.num_agents,), np.float32),
        }
        self.action_space = spaces.Dict(self.action_space.spaces | acts)
        self.observation_space = spaces.Dict(self.observation_space.spaces | observed)

    # ---- how it moves -------------------------------------------------------------------------------

    def start(self, draws: TensorDict, state: TensorDict) -> TensorDict:
        """Fresh specialists, examined under equal bids before they have learnt anything."""
        fresh = super().start(draws, state)
        answers = self._answers(fresh)
        silent = torch.zeros(answers.shape[:-1], dtype=torch.bool, device=self.device)
        fresh |= self.grade(fresh, answers, silent, (~silent).float())
        none = torch.zeros(*fresh["score"].shape, self.dataset.num_classes, device=self.device)
        fresh |= {"class/right": none, "class/said": none}
        fresh["bids"] = none.new_zeros(*fresh["score"].shape, self.schedule.rows)
        fresh["answers_bids"] = none.new_zeros(*fresh["score"].shape, self.exam.size)
        return fresh | self._samples({**state, **fresh}, np.zeros_like(self._clock))

    def advance(self, state: TensorDict, actions: TensorDict, draws: TensorDict) -> Outcome:
        """As a collective, with answers of the learners; then look at what comes next."""
        bids = {name: actions[name].detach() for name in ("bids", "answers_bids")}
        outcome = super().advance({**state, **bids}, actions, draws)
        new = {**outcome.state, **self._class_counts(outcome.state)}
        return outcome._replace(state=new | self._samples(new, self._clock + 1))

    def bids(self, state: TensorDict, actions: TensorDict) -> tuple[Tensor, Tensor]:
        """Bids on the slice ``[W, N, B]`` and on the exam ``[W, N, E]``."""
        return state["bids"], state["answers_bids"]

    def remembered(self, said: Tensor) -> TensorDict:
        """What was believed and the weights it had."""
        return super().remembered(said) | Collective.remembered(self, said)

    def _told(self, state: TensorDict) -> tuple[Tensor, Tensor]:
        """As of every hosted learner, of the consulted samples alone if so asked."""
        told, labels = super()._told(state)
        if not self.only_consulted:
            return told, labels
        consulted = state["fb/weights"] > 0
        return told & consulted.any(-1), torch.where(consulted, labels, -1)

    # ---- what is seen -------------------------------------------------------------------------------

    def _class_counts(self, state: TensorDict) -> TensorDict:
        """How often each said a class of its labelled slice, and was right, of late: ``[W, N, C]``."""
        beliefs = state["fb/beliefs"]
        if self.private:  # those are about the public slice
            beliefs = softmax(self.population.logits(self._flat("stream", state["fb/slice"])))
        told = state["fb/served"][..., None] & beliefs.any(-1)
        best = beliefs.argmax(-1)
        said = torch.nn.functional.one_hot(best, beliefs.shape[-1]) * told[..., None]
        right = said * (best == self._labels(state["fb/slice"]))[..., None]
        return {
            "class/right": _DECAY * state["class/right"] + right.sum(2),
            "class/said": _DECAY * state["class/said"] + said.sum(2),
        }

    def _samples(self, state: TensorDict, clock: np.ndarray) -> TensorDict:
        """Features of the coming samples, ``[W, N, B or E, F]``; ``clock [W]`` are the steps made, on the host."""
        shown = self._flat("stream", state["public/slice" if self.private else "stream/slice"])[:, 0]
        with torch.no_grad():
            beliefs = softmax(self.population.logits(shown))
        rows = self._features(state, beliefs)
        items = torch.zeros(*rows.shape[:2], self.exam.size, rows.shape[-1], device=self.device)
        if self.exam.today(clock).any():
            today = self.exam.today(state["clock"]).view(-1, 1, 1, 1)
            items = self._features(state, self._answers(state)) * today
        return {"samples": rows, "answers_samples": items}

    def _features(self, state: TensorDict, beliefs: Tensor) -> Tensor:
        """Features ``[W, N, R, F]`` of beliefs ``[W, N, R, C]``."""
        classes = beliefs.shape[-1]
        highest = beliefs.sort(dim=-1, descending=True).values
        first, second = highest[..., 0], highest[..., min(1, classes - 1)]
        spread = -torch.special.xlogy(beliefs, beliefs).sum(-1) / math.log(max(2, classes))
        said = state["class/said"]
        card = (state["class/right"] + 1) / (said + classes)
        best = beliefs.argmax(-1)
        features = [
            first,
            first - second,
            1 - spread,
            card.gather(2, best),
            (said / (said + _WORTH)).gather(2, best),
        ]
        return torch.nan_to_num(torch.stack(features, dim=-1)).clamp(0.0, 1.0)

    def secrets(self) -> TensorDict:
        """As a classroom's, and ``right`` bool ``[W, N, E]``: whose answers to the exam would be right by now.

        That is before the coming step's lesson, as bids are: the answers that count are given after it.
        """
        state = self._begun()
        labels = self.dataset.labels("exam", state["exam"])[:, None]
        return super().secrets() | {"right": self._answers(state).argmax(-1) == labels}

    def observe(self, state: TensorDict) -> TensorDict:
        """The table of this module's page, ``[W, N, …]``."""
        features = {name: state[name] for name in ("samples", "answers_samples")}
        return super().observe(state) | features | {"load": self.load(state)}
