"""consensus-v0: witnesses with private, noisy or partial views agree on what they all looked at.

## Description
Every sample has one hidden state: the class of a picture, or a vector. N witnesses see it each in a way of their own,
through noise, and only in part. They talk for R rounds over any topology, and estimate the state in every round. Who
listens well knows more than anyone saw. It generalises the consensus network, in which states are exchanged until
they agree; agreement itself is only reported, since agreeing on anything is easy.

## Observation Space
Flat `Dict`, the same for every agent. N witnesses, S sources: the most neighbours that one can have in
the topology; in a complete room N − 1, and source s of agent i is agent (i + 1 + s) mod N, elsewhere in the same order.
B samples, views of shape D… (`1×8×8` for digits), messages of M numbers (or L symbols of V).

| key | shape | range | meaning |
|---|---|---|---|
| `own_view` | `B, D…` float32 | ℝ | what one sees of every sample; 0 where one sees nothing |
| `inbox` | `S, B, M` (`S, B, L, V`) float32 | ℝ | messages that arrived since the round before; zeros where none |
| `heard` | `S` int8 | {0, 1} | whose message arrived |
| `elapsed` | `1` float32 | [0, 1] | steps made / horizon |

## Action Space
| key | space | meaning |
|---|---|---|
| `message` | `Box(−bound, bound, (B, M))`; symbols: `Box(0, 1, (B, L, V))` | a row of zeros says nothing and is free |
| `answer` | `Box(0, 1, (B, C))` for classes, `Box(−10, 10, (B, D))` for vectors | the estimate |

Rows of weights of classes are divided by their sums; an all-zero row counts as uniform. With `choices` both are whole
numbers: `MultiDiscrete` of V at `B×L` and of C at `B`.

## Rewards
The improvement of one's score on the round before; in the first round, on the score of who knows nothing. Scores are
1 − ½·Brier for classes and 1 − MSE for vectors (`answers.py`). `Step.loss` is the cross entropy, or the MSE, a mean
over the slice. A sender gains by others' improvement only with `cooperation` above 0.

## Starting State
A slice of samples; nothing heard; scores at chance.

## Episode End
Truncation after `rounds` + 1 steps.

## Channel
A message is M·bits/8 bytes a sample (L·⌈log₂ V⌉ bits for symbols) on every edge it is sent on, dropped ones included.
Those of the last step would reach nobody and are not sent. Views never cross.

## Assumptions
Samples are iid draws of the split, with replacement. Noise and gaps are independent from witness to witness, and stay
the same for all rounds of an episode. Labels leave the world only through `Step.loss`, scores and rewards.

## Metrics
Per witness: `score`, `loss`, `accuracy` (classes only), `bytes`. Per world: `agreement` (1 / (1 + variance of the
estimates between witnesses), of which no reward is made), `message_bytes` (one message about one sample).

## Arguments
| argument | default | meaning |
|---|---|---|
| `agents` | 4 | N |
| `data` | "digits" | data set whose classes are hidden (a name, arrays, …), or "vector" |
| `data_dir` | None | folder of parquet files for named data (else `STUDYHALL_DATA`, else the hub) |
| `dimensions` | 8 | of the hidden vector: standard normal, seen entry by entry |
| `view_noise` | 1 | standard deviation of the noise on each entry of a view, where entries have about 1 |
| `view_keep` | 0.5 | share of the entries that a witness sees of a sample; each is seen or not by itself |

and those of all message worlds: `studyhall.envs.messages`.

## Version History
* v0: first release.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ..engine import TensorDict, rng
from ..errors import ConfigError
from ..streams import Dataset, load_dataset
from ..validation import afford, real, whole
from .answers import Answers, Classes, Vectors
from .world import MessageWorld


class Consensus(MessageWorld):
    """The batched world behind ``consensus-v0``; this module's page documents every argument."""

    few_actions = "slice_size=1, bound=1, or slice_size=1, vocabulary=10, choices=True"
    agent_noun = "witness"
    compiles = frozenset({"advance", "summary"})
    roles = False  # witnesses are all alike
    trainee = "talkers"

    def __init__(
        self,
        *,
        agents: int = 4,
        data: Any = "digits",
        data_dir: str | None = None,
        dimensions: int = 8,
        view_noise: float = 1.0,
        view_keep: float = 0.5,
        **others: Any,
    ) -> None:
        super().__init__(agents=agents, **others)
        self.view_noise = real("view_noise", view_noise, 0)
        dimensions = whole("dimensions", dimensions, 1)
        self.view_keep = real("view_keep", view_keep, 0, 1)
        self.dataset: Dataset | None = None
        self.answers: Answers
        deals: dict[str, tuple[int, ...]] = {}
        if isinstance(data, str) and data == "vector":
            self.answers = Vectors(dimensions)
            self.view_shape: tuple[int, ...] = (dimensions,)
            deals["vector"] = (self.rows, dimensions)
        else:
            self.dataset = load_dataset(data, data_dir=data_dir).to(self.device)
            self.answers = Classes(self.dataset.num_classes)
            self.view_shape = self.dataset.shape
            deals["slice"] = (self.rows,)
        self.chance = self.answers.chance
        shape = (self.rows, *self.view_shape)
        lower = "agents or slice_size" if self.dataset else "agents, slice_size or dimensions"
        sizes = {"agents": self.num_agents, "slice_size": self.rows}
        afford(self.num_worlds, lower, **sizes, sample=math.prod(self.view_shape))
        if self.view_noise:
            deals["noise"] = (self.num_agents, *shape)
        if self.view_keep < 1:
            deals["keep"] = (self.num_agents, *shape)
        answer = self.answers.space(self.rows)
        if self.choices:
            if isinstance(self.answers, Vectors):
                raise ConfigError("choices are of classes, and vectors have none: leave choices out")
            answer = self.answers.choices(self.rows)
        self._declare(spaces.Box(-np.inf, np.inf, shape, np.float32), answer, deals)

    def deal(self, draws: rng.DrawDict) -> TensorDict:
        """Samples, and each witness's view of them ``[W, N, B, D…]``."""
        if self.dataset is None:
            hidden = truth = draws["vector"].normal()
        else:
            index = draws["slice"].integers(len(self.dataset.split(self.split)))  # [W, B]
            hidden, truth = self.dataset.inputs(self.split, index), self.dataset.labels(self.split, index)
        view = torch.stack([hidden] * self.num_agents, dim=1)
        if self.view_noise:
            view = draws["noise"].add_normal_(view, self.view_noise)
        if self.view_keep < 1:
            view = draws["keep"].keep_(view, self.view_keep)
        truth = truth[:, None].expand(-1, self.num_agents, *[-1] * (truth.dim() - 1))
        return {"own_view": view, "truth": truth.contiguous()}

    def judge(self, answer: Tensor, state: TensorDict) -> tuple[Tensor, Tensor]:
        """Loss and score of the estimates."""
        return self.answers.judge(answer, state["truth"])

    def readable(self, answer: Tensor, state: TensorDict) -> Tensor:
        """Estimates as they are judged."""
        return self.answers.readable(answer)

    def unanswered(self, state: TensorDict) -> Tensor:
        """Uniform distributions, or zeros."""
        shape = (self.num_worlds, self.num_agents, self.rows, self.answers.count)
        return self.answers.unanswered(self.device).expand(shape)

    def figures(self, state: TensorDict) -> TensorDict:
        """Accuracy, and how much the witnesses agree."""
        answer = state["answer"]
        # Not `var`, which adds up the dimension number by number.
        variance = (answer - answer.mean(1, keepdim=True)).square().mean((1, 2, 3))
        return {**self.answers.figures(answer, state["truth"]), "agreement": 1 / (1 + variance)}

    def picture(self, state: TensorDict, world: int, mode: str) -> str | np.ndarray:
        """What each saw, and what it makes of it."""
        from . import consensus_picture

        return (consensus_picture.as_text if mode == "ansi" else consensus_picture.as_image)(
            self, state, world
        )
