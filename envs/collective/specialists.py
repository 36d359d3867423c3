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
| `load` | `1 + K` float32 | [0, 1] | mean weight of each on the last slice; zero if not heard |

Features of a sample: `confidence` (max p), `margin` (to the second class), `certainty` (1 − entropy / log C),
`class_card` (how often one was right of late when one said this class), `class_seen` (how much that card is worth).

## Action Space
| key | space | meaning |
|---|---|---|
| `listen` | `Box(0, 1, (S,))` | whom to imitate, as in `studyhall.envs.hosted`; its other forms too |
| `bids` | `Box(0, 1, (B,))` | for the slice |
| `answers_bids` | `Box(0, 1, (E,))` | for the exam; to shape nothing else, as `answers` in `classroom-v0` |

All is bounded, so `make_sb3("collective-v0", learners="mlp")` trains bidders with a "MultiInputPolicy" of
Stable-Baselines3, where N − 1 + B + E numbers are 256 at most. `studyhall train` trains one small network for all
samples instead (`BidPolicy` of `studyhall.policies.sb3`), which fits any N, B and E. Where nobody imitates anybody
and all learn from all, bids change nothing later: a discount of 0 is right there.

A step begins with a lesson: first learners learn the last slice, then they answer the coming one and the exam. Bids are
made before it. `samples`, `answers_samples` and `privileged()["right"]` are therefore of the network before the coming
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
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional as F

NAMES = ("confidence", "margin", "certainty", "class_card", "class_seen")
"""Names of the F features of a sample."""

_DECAY = 0.99  # of the counts behind a class card, per step
_WORTH = 10.0  # answers after which a class card is worth a half


class Card(NamedTuple):
    """How each did with each class of late."""

    right: Tensor  # [W, N, C]: share of its answers that were right, one answer of each class supposed
    worth: Tensor  # [W, N, C]


@dataclass(frozen=True)
class Samples:
    """Counts how often each said a class of its labelled slices and was right, and makes features of that.

    Args:
        classes: C.
    """

    classes: int
    names = NAMES

    def observed(self, rows: int, exam_size: int) -> dict[str, spaces.Space]:
        """Parts of an observation."""
        return {
            "samples": spaces.Box(0, 1, (rows, len(NAMES)), np.float32),
            "answers_samples": spaces.Box(0, 1, (exam_size, len(NAMES)), np.float32),
        }

    def start(self, like: Tensor) -> dict[str, Tensor]:
        """Nothing said yet by agents ``[W, N]``."""
        none = like.new_zeros(*like.shape, self.classes)
        return {"right": none, "said": none}

    def count(self, counts: Mapping[str, Tensor], beliefs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Count one more slice.

        Args:
            counts: As :meth:`start` gave them.
            beliefs: ``[W, N, B, C]``, all-zero rows not counted.
            labels: int64 ``[W, A, B]``, A being 1 or N.
        """
        best = beliefs.argmax(-1)
        said = F.one_hot(best, self.classes) * beliefs.any(-1, keepdim=True)
        right = said * (best == labels)[..., None]
        return {
            "right": _DECAY * counts["right"] + right.sum(2),
            "said": _DECAY * counts["said"] + said.sum(2),
        }

    def card(self, counts: Mapping[str, Tensor]) -> Card:
        """What the counts say of each class."""
        said = counts["said"]
        return Card((counts["right"] + 1) / (said + self.classes), said / (said + _WORTH))

    def features(self, card: Card, beliefs: Tensor) -> Tensor:
        """Features ``[W, N, R, F]`` in [0, 1] of beliefs ``[W, N, R, C]``."""
        highest = beliefs.sort(dim=-1, descending=True).values
        first, second = highest[..., 0], highest[..., min(1, self.classes - 1)]
        spread = -torch.special.xlogy(beliefs, beliefs).sum(-1) / math.log(max(2, self.classes))
        best = beliefs.argmax(-1)
        features = [
            first,
            first - second,
            1 - spread,
            card.right.gather(2, best),
            card.worth.gather(2, best),
        ]
        return torch.nan_to_num(torch.stack(features, dim=-1)).clamp(0.0, 1.0)
