"""referential-v0: a speaker sees an object and names it; listeners find it among others, or say what it is.

## Description
Objects are combinations of attributes, each of which has one of a few values. Agent 0, the speaker, sees the target and
sends a message; the other agents listen. In the form "discrimination" a listener sees C candidates in an order of its
own, of which one is the target, and answers which (Lewis 1969; Lazaridou, Peysakhovich & Baroni 2017). In the form
"reconstruction" it sees nothing, and answers with the value of every attribute (Chaabouni et al. 2020). A share of the
combinations is held out of training, so that what is measured afterwards is whether the language names things that
nobody has named before.

## Observation Space
Flat `Dict`, the same for every agent. N agents, S = 1 source (the speaker; its own is nobody),
B samples, C candidates (1 in reconstruction), F values in all, of all attributes together, messages of L symbols of V
(or of M numbers).

| key | shape | range | meaning |
|---|---|---|---|
| `own_view` | `B, C, F` float32 | {0, 1} | objects; each attribute is one-hot |
| `inbox` | `S, B, L, V` (`S, B, M`) float32 | ℝ | messages that arrived since the round before; zeros where none |
| `heard` | `S` int8 | {0, 1} | whose message arrived |
| `agent_id` | `N` int8 | {0, 1} | one-hot: who one is; 0 is the speaker |
| `elapsed` | `1` float32 | [0, 1] | steps made / horizon |

The speaker sees the target first and zeros after it; listeners see all candidates, or, in reconstruction, zeros.

## Action Space
| key | space | meaning |
|---|---|---|
| `message` | `Box(0, 1, (B, L, V))`; numbers: `Box(−bound, bound, (B, M))` | a row of zeros says nothing and is free |
| `answer` | `Box(0, 1, (B, C))`; reconstruction: `Box(0, 1, (B, F))` | weights of candidates, or of values |

What listeners send reaches nobody, and what the speaker answers is ignored. Weights of the candidates, or of the values
of one attribute, are divided by their sum; all zeros count as uniform. With `choices`, in discrimination, both are
whole numbers: `MultiDiscrete` of V at `B×L` and of C at `B`.

## Rewards
The improvement of one's score on the round before; in the first round, on the score of who knows nothing. A listener's
score is 1 − ½·Brier of its answer, in reconstruction the mean of that over attributes; the speaker's is the listeners'
mean. `Step.loss` is the cross entropy (mean over attributes), a mean over the slice; the speaker's own is 0, since
listeners' losses reach it through the channel and would count twice.

## Starting State
B targets, C − 1 other objects beside each, all different; nothing heard; scores at chance.

## Episode End
Truncation after `rounds` + 1 steps.

## Channel
The speaker is heard by all listeners, and nobody else by anyone. A message is L·⌈log₂ V⌉ bits a sample (M·bits for
numbers) for every listener. Those of the last step would reach nobody and are not sent.

## Assumptions
Targets are iid draws from the combinations of the split, with replacement; the objects beside them are drawn from the
same split, without. Which combinations belong to which split depends on `combination_seed` alone. Every value of every
attribute occurs in training.

## Metrics
Per agent (the speaker's are means over listeners, but for `bytes`): `score`, `loss`, `accuracy` (in reconstruction
every attribute must be right; where k choices share the greatest weight, the right one among them counts 1/k),
`attribute_accuracy` (reconstruction only: share of them), `bytes`. Per world: `message_bytes` (one message about one
sample). Reports also tell what the language is like, where the policy can name objects by symbols: topographic
similarity, entropy, posdis and bosdis (`rollouts/metrics/language.py`) of the names of all objects, 2,048 at most.

## Arguments
| argument | default | meaning |
|---|---|---|
| `agents` | 2 | N, a speaker and N − 1 listeners |
| `attributes` | (4, 4, 4, 4) | how many values each attribute has |
| `game` | "discrimination" | or "reconstruction" |
| `candidates` | 5 | C; not used in reconstruction |
| `held_out` | 0.1 | share of the combinations in the exam split, and again in the test split; 0 deals all everywhere |
| `combination_seed` | 0 | of the division |
| `vocabulary`, `length` | 10, None | V and L; None is one symbol for each attribute |

With `vocabulary=None, length=1` messages are numbers. The rest are arguments of all message worlds
(`studyhall.envs.messages`), but for those of the topology.

## Version History
* v0: first release.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional as F

from ..channel.wire import Symbols
from ..engine import Outcome, TensorDict, rng
from ..engine.weights import Weights
from ..errors import ConfigError, one_of, short
from ..validation import LAST_SEED, afford, real, whole
from .answers import Classes, expected_right
from .world import MessageWorld

GAMES = ("discrimination", "reconstruction")
MOST = 1_000_000
"""Combinations that a world may have."""


@dataclass(frozen=True)
class Attributes:
    """An answer about every attribute, attribute after attribute; beside those of `answers.py`.

    Args:
        sizes: Values that each attribute has.
    """

    sizes: tuple[int, ...]

    @property
    def count(self) -> int:
        """F, weights of an answer."""
        return sum(self.sizes)

    @property
    def chance(self) -> float:
        """Score of a uniform answer."""
        return sum(Classes(size).chance for size in self.sizes) / len(self.sizes)

    def space(self, rows: int) -> spaces.Space:
        """Weights of the values of each attribute."""
        return Weights(rows, self.count)

    def choices(self, rows: int) -> spaces.Space:
        """There are none."""
        raise ConfigError("choices are of candidates, and reconstruction has none: leave choices out")

    def readable(self, answer: Tensor) -> Tensor:
        """A distribution for each attribute ``[..., F]``, uniform where there is none to read."""
        parts = zip(self.sizes, answer.split(self.sizes, -1), strict=True)
        return torch.cat([Classes(size).readable(part) for size, part in parts], dim=-1)

    def unanswered(self, device: torch.device) -> Tensor:
        """A uniform distribution for each attribute, ``[F]``."""
        return torch.cat([Classes(size).unanswered(device) for size in self.sizes])

    def judge(self, answer: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and score ``[W, N]`` of distributions ``[W, N, B, F]`` on values int64 ``[W, N, B, K]``."""
        parts = zip(self.sizes, answer.split(self.sizes, -1), truth.unbind(-1), strict=True)
        judged = [Classes(size).judge(part, value) for size, part, value in parts]
        losses, scores = zip(*judged, strict=True)
        return torch.stack(losses).mean(0), torch.stack(scores).mean(0)

    def figures(self, answer: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Accuracies ``[W, N]``: of objects, and of attributes; ties count as in :class:`Classes`."""
        parts = zip(answer.split(self.sizes, -1), truth.unbind(-1), strict=True)
        right = torch.stack([expected_right(part, value) for part, value in parts])  # [K, W, N, B]
        return {
            "accuracy": right.prod(0).mean(-1),
            "attribute_accuracy": right.mean((0, -1)),
        }


class Referential(MessageWorld):
    """The batched world behind ``referential-v0``; this module's page documents every argument.

    Attributes:
        sizes: Values of each attribute.
        objects: All combinations: float32 ``[M, F]``, each attribute one-hot.
        values: The same as int64 ``[M, K]``.
        combinations: Rows of these by split, int64.
        candidates: C; 1 in reconstruction.
    """

    few_actions = "slice_size=1, choices=True"
    refused_arguments: ClassVar[Mapping[str, str]] = {
        "listeners": "set agents, which counts the speaker too",
        **dict.fromkeys(
            ("topology", "degree", "rewire", "edge_probability"), "the speaker is heard by every listener"
        ),
    }

    def __init__(
        self,
        *,
        agents: int = 2,
        attributes: Sequence[int] = (4, 4, 4, 4),
        game: str = "discrimination",
        candidates: int = 5,
        held_out: float = 0.1,
        combination_seed: int = 0,
        vocabulary: int | None = 10,
        length: int | None = None,
        **others: Any,
    ) -> None:
        agents = whole("agents", agents, 2)
        afford(1, "agents", agents=agents, peers=agents)
        self.sizes = _sizes(attributes)
        heard = [[receiver > 0 and sender == 0 for sender in range(agents)] for receiver in range(agents)]
        super().__init__(
            agents=agents,
            topology=heard,
            vocabulary=vocabulary,
            length=(1 if vocabulary is None else len(self.sizes)) if length is None else length,
            **others,
        )
        self.game = one_of("game", game, GAMES)
        candidates = whole("candidates", candidates, 2)
        self.answers: Classes | Attributes = Attributes(self.sizes)
        self.candidates = 1
        if self.game == "discrimination":
            self.candidates = candidates
            self.answers = Classes(candidates)
        self.chance = self.answers.chance
        total = math.prod(self.sizes)
        self.values = _values(self.sizes).to(self.device)
        self.objects = torch.cat(
            [F.one_hot(self.values[:, k], size).float() for k, size in enumerate(self.sizes)], dim=-1
        )
        self._table = F.pad(self.objects, (0, 0, 1, 0))  # nothing, then all objects
        held_out = real("held_out", held_out, 0, 0.4)
        seed = whole("combination_seed", combination_seed, 0, LAST_SEED)
        self.combinations = {
            name: rows.to(self.device) for name, rows in _divided(total, held_out, seed).items()
        }
        self._check_splits()
        shape = (self.rows, self.candidates, sum(self.sizes))
        seen = dict(zip(("slice_size", "candidates", "values"), shape, strict=True))
        lower = "agents, slice_size, candidates or attributes"
        afford(self.num_worlds, lower, agents=self.num_agents, **seen)
        deals: dict[str, tuple[int, ...]] = {"target": (self.rows,)}
        if self.candidates > 1:
            deals["distractors"] = (self.rows, self.candidates - 1)
            deals["order"] = (agents - 1, self.rows, self.candidates)
        answer = self.answers.choices(self.rows) if self.choices else self.answers.space(self.rows)
        self._declare(spaces.Box(0, 1, shape, np.float32), answer, deals)

    def _check_splits(self) -> None:
        """Raises ConfigError unless every split has candidates enough, and training every value."""
        for name, rows in self.combinations.items():
            if len(rows) < self.candidates:
                raise ConfigError(
                    f"the {name} split has {len(rows)} combinations, too few for {self.candidates} candidates: "
                    "take more attributes or values, or another held_out"
                )
        if (self.objects[self.combinations["stream"]].sum(0) == 0).any():
            raise ConfigError(
                "some value never occurs in training: take another combination_seed or held_out"
            )

    # ---- how it moves -------------------------------------------------------------------------------

    def deal(self, draws: rng.DrawDict) -> TensorDict:
        """Targets, and for each listener candidates in an order of its own."""
        w, n, b = self.num_worlds, self.num_agents, self.rows
        split = self.combinations[self.split]
        target = draws["target"].integers(len(split))  # [W, B]
        nothing = {
            "read/sent": torch.zeros(w, b, *self.wire.shape, device=self.device),
            "read/heard": torch.zeros(w, n - 1, dtype=torch.bool, device=self.device),
        }
        if self.game == "reconstruction":
            truth = self.values[split[target]]  # [W, B, K]
            nobody = torch.full((w, n - 1, b, 1), -1, device=self.device)
            return {
                "own_view": self._shown(split[target], nobody),
                "truth": truth[:, None].expand(-1, n, -1, -1).contiguous(),
                **nothing,
            }
        others = _others(draws["distractors"], target, len(split))
        shown = torch.cat([target[..., None], others], dim=-1)  # [W, B, C], the target first
        order = draws["order"].permutation()  # [W, N − 1, B, C]
        shown = shown[:, None].expand_as(order).gather(-1, order)
        view = self._shown(split[target], split[shown])
        place = (order == 0).long().mul_(torch.arange(self.candidates, device=self.device)).sum(-1)
        truth = torch.cat([torch.zeros_like(place[:, :1]), place], dim=1)
        return {"own_view": view, "truth": truth, **nothing}

    def _shown(self, target: Tensor, candidates: Tensor) -> Tensor:
        """Objects as agents see them, ``[W, N, B, C, F]``.

        Args:
            target: The speaker's, int64 ``[W, B]``.
            candidates: The listeners', int64 ``[W, N − 1, B, C]``; −1 shows nothing.
        """
        of_speaker = F.pad(target[:, None, :, None], (0, self.candidates - 1), value=-1)
        return F.embedding(torch.cat([of_speaker, candidates], dim=1) + 1, self._table)

    def advance(self, state: TensorDict, actions: TensorDict, draws: rng.DrawDict) -> Outcome:
        """A round; keeps what listeners had read of the speaker when they answered, for the picture."""
        outcome = super().advance(state, actions, draws)
        read = {"read/sent": state["sent"][:, 0].detach(), "read/heard": state["heard"][:, 1:, 0]}
        return outcome._replace(state={**outcome.state, **read})

    def judge(self, answer: Tensor, state: TensorDict) -> tuple[Tensor, Tensor]:
        """Loss and score of the listeners' answers; the speaker's are 0 and the mean."""
        loss, score = self.answers.judge(answer, state["truth"])
        return torch.cat([torch.zeros_like(loss[:, :1]), loss[:, 1:]], dim=1), _shared(score)

    def readable(self, answer: Tensor, state: TensorDict) -> Tensor:
        """Answers as they are judged."""
        return self.answers.readable(answer)

    def unanswered(self, state: TensorDict) -> Tensor:
        """Uniform distributions."""
        shape = (self.num_worlds, self.num_agents, self.rows, self.answers.count)
        return self.answers.unanswered(self.device).expand(shape)

    def figures(self, state: TensorDict) -> TensorDict:
        """Accuracy, and losses with the listeners' mean in the speaker's place."""
        found = {"loss": state["loss"], **self.answers.figures(state["answer"], state["truth"])}
        return {name: _shared(value) for name, value in found.items()}

    def named_objects(self) -> tuple[Tensor, Tensor] | None:
        """All combinations, one-hot, and their values, where messages are symbols."""
        return (self.objects, self.values) if isinstance(self.wire, Symbols) else None

    def picture(self, state: TensorDict, world: int, mode: str) -> str | np.ndarray:
        """What was meant, said and understood."""
        from . import referential_picture

        return (referential_picture.as_text if mode == "ansi" else referential_picture.as_image)(
            self, state, world
        )


def _shared(value: Tensor) -> Tensor:
    """``[W, N]`` with the mean over listeners in the speaker's place."""
    return torch.cat([value[:, 1:].mean(1, keepdim=True), value[:, 1:]], dim=1)


def _sizes(attributes: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(attributes, (list, tuple)) or not attributes:
        raise ConfigError(
            f"attributes must say how many values each has, e.g. (8, 4) for two, got {short(attributes)}"
        )
    sizes = tuple(whole("values of an attribute", size, 2) for size in attributes)
    if math.prod(sizes) > MOST:
        raise ConfigError(
            f"attributes have {math.prod(sizes):,} combinations, more than {MOST:,}: take fewer"
        )
    return sizes


def _values(sizes: tuple[int, ...]) -> Tensor:
    """All combinations, int64 ``[M, K]``, the last attribute changing fastest."""
    grid = torch.meshgrid(*(torch.arange(size) for size in sizes), indexing="ij")
    return torch.stack(grid, dim=-1).flatten(0, -2)


def _divided(total: int, held_out: float, seed: int) -> dict[str, Tensor]:
    """Combinations by split, ranked by a hash of their number and the seed; all in each where none are held out."""
    order = rng.draw(torch.tensor(seed), "referential/combinations", (total,)).permutation()
    count = math.ceil(held_out * total)
    test, exam, stream = order.tensor_split([count, 2 * count])
    if not count:
        test = exam = stream
    return {name: rows.sort().values for name, rows in (("stream", stream), ("exam", exam), ("test", test))}


def _others(drawn: rng.Draw, target: Tensor, total: int) -> Tensor:
    """C − 1 different numbers below ``total``, none of them the target: ``[W, B, C − 1]``.

    Floyd's sampling without replacement (Bentley & Floyd 1987, *Programming pearls: a sample of brilliance*): for
    j = n − k … n − 1 take a random number up to j, or j itself where that was taken already. Numbers from the target on
    then move up by one.
    """
    count = drawn.shape[-1]
    random = drawn.integers(torch.arange(total - count, total, device=drawn.device))
    picked: list[Tensor] = []
    for place in range(count):
        last, found = total - 1 - count + place, random[..., place]
        taken = [found == earlier for earlier in picked]
        if taken:
            found = torch.where(torch.stack(taken).any(0), last, found)
        picked.append(found)
    others = torch.stack(picked, dim=-1)
    return others + (others >= target[..., None])
