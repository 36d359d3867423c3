"""allocation-v0: scorers decide which few tokens of a sample are read, and a reader answers from those alone.

## Description
Every sample is cut into T tokens: patches of a picture, words of a text, or stretches of a vector. N scorers see each
token at a glance only, each in its own way, and rate its relevance; a scorer's bid says how much its ratings count on a
sample. The world mixes the ratings as any collective does, Σ w·f (`mixing.py`), and spends a budget of k tokens on the
sum. A *reader* sees those tokens, and nothing of the others, and answers. It is a network that the world trains on the
stream, on tokens drawn by chance, or one that is given. The scorers are rewarded for what the reader's answers to a
fixed exam gain.

## Observation Space
Flat `Dict`, the same for every agent. N scorers, B rows of a slice, E exam items, T tokens of F features.

| key | shape | range | meaning |
|---|---|---|---|
| `tokens` | `B, T, F` float32 | ℝ | what one sees of the tokens of the slice now |
| `exam` | `E, T, F` float32 | ℝ | likewise of the exam, fixed for the episode; zeros unless `exam_now` |
| `exam_now` | `1` int8 | {0, 1} | whether the coming step's reading of the exam counts |
| `fb_tokens` | `B, T, F` float32 | ℝ | the slice before, which feedback is about; zeros before there is any |
| `fb_read` | `B, T` int8 | {0, 1} | which of its tokens were read |
| `fb_loss` | `B` float32 | [0, ∞) | what the reader lost on it, in nats |
| `fb_labels` | `B` int64 | −1…C−1 | its labels; −1 before there are any |
| `report` | `2` float32 | [0, 1] | the reader's report card; the budget, k / T |
| `agent_id` | `N` int8 | {0, 1} | one-hot: which scorer one is |
| `elapsed` | `1` float32 | [0, 1] | steps made / horizon |

`see` says what one sees of a token: "statistic": one number, the n-th scorer the (n mod 4)-th of mean, deviation,
greatest and change (mean absolute difference of neighbours); "coarse": all four; "pixels": the token itself.

A word of a text is P numbers, what a hash has added up of its features (`streams/text.py`; `data` may be texts and
labels). The longer it is, the more features it has, and the greater its deviation and change; its mean and greatest are
mostly luck. All are the same wherever it stands. A text that ends early is filled up with empty words: tokens of zeros,
rated and bought as any other, in which there is nothing to read.

## Action Space
Flat `Dict`. Rows of relevance are divided by their sums; an all-zero row abstains, and its bid counts for nothing.

| key | space | meaning |
|---|---|---|
| `relevance` | `Box(0, 1, (B, T))` | of the tokens of each sample of the slice; only ratios count |
| `bids` | `Box(0, 1, (B,))` | how much one's ratings are to count; only ratios to the others' do |
| `answers_relevance` | `Box(0, 1, (E, T))` | of the tokens of the exam |
| `answers_bids` | `Box(0, 1, (E,))` | likewise |

Tokens rated 0 by all are not read, even where budget is left. All is bounded, so Stable-Baselines3 trains scorers where
(B + E)·(T + 1) numbers are 256 at most: `make_sb3("allocation-v0", patch=4, slice_size=4, exam_size=10)` has 70.

## Rewards
`reward_scale · ((1 − cooperation)·own + cooperation·mean of all) − byte_price·KiB sent`. Own progress is the
change of `score`: the reader's exam score plus `contribution_weight` · `contribution`, smoothed; the contribution is
what the reader's score would lose if one's ratings were not counted, with the same luck.

## Starting State
A stratified exam drawn from the exam split, the first slice, no feedback, an untrained reader, scores at chance.

## Episode End
Truncation at `horizon`. Termination when a single-pass stream has been dealt out, and of a world whose reader is no
longer finite: what it lost on a sample is then told as ln C, as if it had guessed, and an exam it cannot answer is
scored so.

## Channel
Ratings that count (a weight above 0) are T·4 bytes a sample of the slice, charged to the scorer; those of the exam are
no messages. A label is ⌈log₂ C⌉ bits, told to each scorer. Tokens go to the reader alone, which is no agent.

## Assumptions
Slices are iid draws unless `order` says otherwise. After it has answered, the reader learns the slice from k tokens of
each sample drawn uniformly, whatever was chosen; what the scorers choose it reads in answers and the exam alone. A
reader that learns from their choices learns their code as well: scorers who guess the class can tell it by which token
they have read, and it need hold nothing of the class (Jethani, Sudarshan, Aphinyanaphongs & Ranganath, "Have we learned
to explain?", AISTATS 2021, whose EVAL-X learns so). Scorers may still guess and choose what speaks for their guess.
The reader has not practised on fewer than k tokens. One that is given should have learnt from such subsets too; it is
used as it is and never changed: of an `nn.Module` a copy in evaluation mode, other callables as they are. A reader
answers for all worlds at once, so a world in a batch equals the same world alone to rounding.

## Metrics
Per scorer: `score`, `contribution`, `dominance` (share of the tokens read to which it gave the greatest part), `bytes`,
`labels`, `label_bytes`. Per world: `reader_accuracy`, `reader_score`, `reader_loss` (on the slices before they were
learnt), `tokens_read` (a sample), `agreement` (shared relevance, Σ min, mean over pairs of scorers that rate; 1 if all
rate alike). `score`, `contribution` and `reader_score` are smoothed over exams (`exam_smoothing`), the
accuracy is of the last exam, the others are of all slices. None is of the test split, which nobody rates: an exam is
drawn from the exam split, which the reader never learns.

## Arguments
| argument | default | meaning |
|---|---|---|
| `agents` | 4 | N |
| `data`, `data_dir`, `exam_items` | "digits", None, None | as in `classroom-v0` |
| `stream_items`, `data_classes` | None, None | as in `classroom-v0` |
| `patch` | None | side of a patch, or its (height, width); length of a stretch; words of a token. None: 2, of texts 1 |
| `budget` | 4 | k, tokens read of a sample |
| `spending` | "top_k" | the k of the greatest shares; or "sample": by chance, in proportion, without replacement |
| `weighting`, `k` | "normalised", 2 | of bids, as in `collective-v0` but for "votes"; "top_k" hears the k highest |
| `see` | "statistic" | or "coarse", "pixels" |
| `reader` | "mlp" | trained by the world; "set" likewise, but blind to places; or a callable, see below |
| `hidden`, `optimiser`, `lr`, `learning_steps` | (64,), "adam", .003, 1 | of the world's reader |
| `slice_size`, `exam_size`, `horizon`, `order` | 32, 64, 400, "iid" | as in `classroom-v0` |
| `topic_steps`, `topic_classes`, `task_classes` | 20, 2, 2 | likewise |
| `domains`, `domain_count` | None, 5 | likewise |
| `task_order` | "drawn" | likewise |
| `contribution_weight` | 1 | see Rewards |
| `byte_price`, `reward_scale`, `cooperation` | 0, 10, 0 | see Rewards |
| `exam_every`, `exam_smoothing`, `card_every` | 1, .2, 10 | as in `classroom-v0` |
| `autoreset` | True | of `make_world`: the step that ends an episode begins the next; see `info["episode"]` |
| `validate` | False | of `make_world`: check the values of actions too; views always do |

The reader "set" answers from the mean of what it makes of each token read, wherever it stands (Deep Sets), as suits
texts. A callable maps tokens `[M, T, P]`, zero where not read, and what was read, bool `[M, T]`, to logits `[M, C]`.

## Version History
* v0: first release.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional as F

from ...learners import softmax
from ..arguments import refuse, share_out
from ..channel import ledger
from ..engine import rng
from ..engine.batch import Batch
from ..engine.last import Last
from ..engine.state import TensorDict, prefixed, under
from ..engine.weights import Weights
from ..engine.world import Outcome, World
from ..errors import ConfigError, one_of
from ..exam import distributions
from ..mixing import Mixing
from ..study import Pay, Study
from ..validation import afford, real, whole
from .reader import Given, make_reader
from .tokens import Glimpses, Tokens, agreement, dominance, spend

SPENDINGS = ("top_k", "sample")


class Allocation(World):
    """The batched world behind ``allocation-v0``; this module's page documents every argument.

    Attributes:
        reader: Who answers; changed in place where the world trains it.
    """

    few_actions = "patch=4, slice_size=4, exam_size=10"
    agent_noun = "scorer"
    headline = "reader_accuracy"
    crosses = frozenset({"soft_targets", "labels"})
    forwarded_arguments_to: ClassVar[tuple[type, ...]] = (Batch, Study, Pay)
    refused_arguments: ClassVar[Mapping[str, str]] = {
        "label_price": "labels are the reader's, and no scorer is taught any: there is nothing to pay for"
    }

    def __init__(
        self,
        *,
        agents: int = 4,
        horizon: int = 400,
        patch: int | Sequence[int] | None = None,
        budget: int = 4,
        spending: str = "top_k",
        weighting: str = "normalised",
        k: int = 2,
        see: str = "statistic",
        reader: str | Given = "mlp",
        hidden: Sequence[int] = (64,),
        optimiser: str = "adam",
        lr: float = 3e-3,
        learning_steps: int = 1,
        contribution_weight: float = 1.0,
        **others: Any,
    ) -> None:
        refuse(type(self).__name__, others, self.refused_arguments)
        batch, study, pay = share_out(type(self).__name__, others, *self.forwarded_arguments_to)
        super().__init__(num_agents=agents, horizon=horizon, **batch)
        self.spending, self.see = one_of("spending", spending, SPENDINGS), see
        self.contribution_weight = real("contribution_weight", contribution_weight, 0)
        self.study, self.pay = Study(**study), Pay(**pay)
        self.mixing = Mixing(self.num_agents, weighting, k)
        if self.mixing.weighting == "votes":
            raise ConfigError(
                "a vote is for one token, and so few would be read: weighting must be 'normalised' or 'top_k'"
            )
        self.dataset = self.study.dataset(self.device)
        self.tokens = Tokens.of(self.dataset, patch)
        self.glimpses = Glimpses(self.tokens, self.num_agents, see)
        self.budget = whole("budget (tokens read of a sample)", budget, 1, self.tokens.count)
        self.schedule = self.study.schedule(self.dataset.stream, self.num_agents, self.horizon)
        self.exam = self.study.exam(self.dataset.exam, self.horizon)
        options = {"hidden": hidden, "optimiser": optimiser, "lr": lr, "steps": learning_steps}
        self.reader = make_reader(reader, self.tokens, self.dataset.num_classes, self.device, **options)
        self._slice, self._exam = Last(self._look_at_slice, kept=2), Last(self._look_at_exam)
        self._declare(self.schedule.rows, self.exam.size)

    def _declare(self, rows: int, exam_size: int) -> None:
        """Spaces and draws."""
        n, t = self.num_agents, self.tokens.count
        features = self.glimpses.features
        for name, size in (("slice_size", rows), ("exam_size", exam_size)):
            samples = {name: size, "tokens": t, "features": features}
            afford(self.num_worlds, f"agents or {name}", agents=n, **samples)
        afford(self.num_worlds, "agents or exam_size", agents=n, exam_size=exam_size, tokens=t, others=n)
        glimpses = spaces.Box(-np.inf, np.inf, (rows, t, features), np.float32)
        self.observation_space = spaces.Dict(
            {
                "tokens": glimpses,
                "exam": spaces.Box(-np.inf, np.inf, (exam_size, t, features), np.float32),
                "exam_now": spaces.Box(0, 1, (1,), np.int8),
                "fb_tokens": glimpses,
                "fb_read": spaces.Box(0, 1, (rows, t), np.int8),
                "fb_loss": spaces.Box(0, np.inf, (rows,), np.float32),
                "fb_labels": spaces.Box(-1, self.dataset.num_classes - 1, (rows,), np.int64),
                "report": spaces.Box(0, 1, (2,), np.float32),
                "agent_id": spaces.Box(0, 1, (n,), np.int8),
                "elapsed": spaces.Box(0, 1, (1,), np.float32),
            }
        )
        self.action_space = spaces.Dict(
            {
                "relevance": Weights(rows, t),
                "bids": spaces.Box(0, 1, (rows,), np.float32),
                "answers_relevance": Weights(exam_size, t),
                "answers_bids": spaces.Box(0, 1, (exam_size,), np.float32),
            }
        )
        luck = {"lesson": (rows, t)}
        if self.spending == "sample":
            luck |= {"spend/slice": (rows, t), "spend/exam": (exam_size, t)}
        self.reset_draws = rng.Draws(self.schedule.reset_draws() | self.exam.draws(self.dataset.exam))
        self.step_draws = rng.Draws(self.schedule.step_draws() | luck)

    # ---- how it moves -------------------------------------------------------------------------------

    def start(self, draws: rng.DrawDict, state: TensorDict) -> TensorDict:
        """A fresh exam and slice, nothing read."""
        w, rows, t = self.num_worlds, self.schedule.rows, self.tokens.count
        fresh = prefixed("stream/", self.schedule.start(draws, state["clock"]))
        none, nobody = torch.zeros(w, device=self.device), torch.zeros(w, self.num_agents, device=self.device)
        chance = self.exam.chance(self.dataset.num_classes)
        fresh |= {
            "exam": self.exam.draw(self.dataset.exam, draws),
            "fb/slice": torch.full_like(fresh["stream/slice"], -1),
            "fb/read": torch.zeros(w, rows, t, dtype=torch.bool, device=self.device),
            "fb/loss": torch.zeros(w, rows, device=self.device),
            "score": torch.full_like(nobody, chance),
            "contribution": nobody,
            "reader_score": torch.full_like(none, chance),
            "accuracy": none,
            "card": nobody,
            "bits": torch.zeros_like(nobody, dtype=torch.int64),
        }
        fresh |= prefixed("total/", {"loss": none, "read": none, "agreement": none, "dominance": nobody})
        return fresh

    def advance(self, state: TensorDict, actions: TensorDict, draws: rng.DrawDict) -> Outcome:
        """Spend the budget, read, sit the exam, let the reader learn, deal the next slice."""
        clock, rows = state["clock"], self.schedule.rows
        ratings, bids = self._rated(actions["relevance"], actions["bids"])
        weights = self.mixing.weights(bids)
        read = self._spend(self.mixing.mix(weights, ratings), draws, "spend/slice")
        tokens, labels, _ = self._slice(state["stream/slice"])
        loss, sound = self._loss(self.reader.logits(tokens, read), labels)
        marks = self._examine(state, actions, draws)
        # By chance: a reader that learnt from what the scorers choose would learn to read their choice.
        lesson = spend(torch.ones_like(tokens[..., 0]), self.budget, draws["lesson"].uniform())
        self.reader.learn(tokens, lesson, labels, self.moving)
        bits = ledger.soft_targets((weights > 0).sum(-1), self.tokens.count)
        told = torch.full_like(bits, rows)
        reward = self.pay.reward(state["score"], marks["score"], bits)
        tally = {
            "loss": loss.mean(-1),
            "read": read.sum(-1).float().mean(-1),
            "agreement": agreement(ratings),
            "dominance": dominance(weights, ratings, read),
        }
        stream = self.schedule.step(under(state, "stream/"), draws, clock, state["key"], self._clock + 1)
        new = {
            **state,
            **prefixed("stream/", stream),
            **prefixed(
                "total/", {name: total + tally[name] for name, total in under(state, "total/").items()}
            ),
            "fb/slice": state["stream/slice"],
            "fb/read": read,
            "fb/loss": loss,
            **marks,
            "card": self.exam.cards(
                state["card"],
                marks["accuracy"][:, None].expand_as(state["card"]),
                clock,
                self.exam.card_day(self._clock),
            ),
            "bits": state["bits"] + bits,
            "sound": sound.all(-1, keepdim=True),
        }
        info = {
            **self._told(marks, tally),
            "bytes": bits / 8,
            "labels": told,
            "label_bytes": ledger.label_bytes(told, self.dataset.num_classes),
        }
        return Outcome(new, reward, info)

    @property
    def hosts_learners(self) -> bool:
        """Yes: the reader, trained here or given, answers for all worlds at once."""
        return True

    def exhausted(self, clock: np.ndarray) -> np.ndarray:
        """A single-pass stream has been dealt out."""
        return self.schedule.exhausted(clock)

    def _rated(self, relevance: Tensor, bids: Tensor) -> tuple[Tensor, Tensor]:
        """Relevance as shares of the tokens ``[W, N, R, T]``, and bids ``[W, N, R]``, 0 of those who abstain."""
        ratings, silent = distributions(relevance.detach())
        return ratings, torch.where(silent, 0.0, bids.detach())

    def _spend(self, shares: Tensor, draws: rng.DrawDict, purpose: str) -> Tensor:
        """Which tokens are read, bool ``[W, …, R, T]``."""
        if self.spending == "top_k":
            return spend(shares, self.budget)
        luck = draws[purpose].uniform()
        return spend(shares, self.budget, luck if shares.dim() == luck.dim() else luck[:, None])

    def _loss(self, answers: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Losses ``[W, B]`` of logits ``[W, B, C]``, 0 where nothing was dealt (−1), and where they are finite."""
        loss = F.cross_entropy(answers.mT, labels, ignore_index=-1, reduction="none")
        sound = torch.isfinite(loss)
        return torch.where(sound, loss, math.log(self.dataset.num_classes)), sound

    def _examine(self, state: TensorDict, actions: TensorDict, draws: rng.DrawDict) -> TensorDict:
        """The marks of the reader after this step, with all scorers and without each, where it is a day for it."""
        names = ("score", "contribution", "reader_score", "accuracy")
        day = self.exam.day(self._clock)
        if day == "none":  # the host knows: most days need not be computed
            return {name: state[name] for name in names}
        ratings, bids = self._rated(actions["answers_relevance"], actions["answers_bids"])
        together = self.mixing.mix(self.mixing.weights(bids), ratings)[:, None]  # [W, 1, E, T]
        shares = torch.cat([together, self.mixing.without_each(bids, ratings)], dim=1)
        read = self._spend(shares, draws, "spend/exam")  # [W, 1 + N, E, T]
        items, labels, _ = self._exam(state["exam"])
        tokens = items[:, None].expand(*read.shape, -1)
        logits = self.reader.logits(tokens.flatten(1, 2), read.flatten(1, 2))
        answers, silent = distributions(softmax(logits).unflatten(1, read.shape[1:3]))
        scores, correct = self.exam.score(answers, silent, labels)
        reader, contribution = scores[:, :1], scores[:, :1] - scores[:, 1:]
        marks = {
            "score": reader + self.contribution_weight * contribution,
            "contribution": contribution,
            "reader_score": reader[:, 0],
            "accuracy": correct[:, 0].float().mean(-1),
        }
        return self.exam.update(state, marks, ("score", "contribution", "reader_score"), state["clock"], day)

    # ---- what is seen -------------------------------------------------------------------------------

    def observe(self, state: TensorDict) -> TensorDict:
        """The tables of this module's page, ``[W, N, …]``."""
        w, n = self.num_worlds, self.num_agents

        def alike(x: Tensor) -> Tensor:
            return x[:, None].expand(w, n, *x.shape[1:])

        budget = torch.full((w, n), self.budget / self.tokens.count, device=self.device)
        today = self.exam.today(state["clock"])
        _, labels, shown = self._slice(state["fb/slice"])
        return {
            "tokens": self._slice(state["stream/slice"])[2].clone(),
            "exam": self._exam_shown(state["exam"], today),
            "exam_now": alike(today.to(torch.int8)[:, None]),
            "fb_tokens": shown.clone(),
            "fb_read": alike(state["fb/read"].to(torch.int8)),
            "fb_loss": alike(state["fb/loss"]),
            "fb_labels": alike(labels.clone()),
            "report": torch.stack([state["card"], budget], dim=-1),
            "agent_id": torch.eye(n, dtype=torch.int8, device=self.device).expand(w, n, n),
            "elapsed": alike((state["clock"].float() / self.horizon)[:, None]),
        }

    def _exam_shown(self, index: Tensor, today: Tensor) -> Tensor:
        """What is seen of the exam ``[W, N, E, T, F]`` in the worlds where it is ``today``, zeros in the others."""
        day = self.exam.day(self._clock)
        if day == "none":  # the host knows: most days need not be computed
            seen = (index.shape[1], self.tokens.count, self.glimpses.features)
            return torch.zeros(1, device=self.device).expand(self.num_worlds, self.num_agents, *seen)
        tokens, _, shown = self._exam(index)
        return shown.clone() if day == "all" else self.glimpses.of(tokens * today.view(-1, 1, 1, 1))

    def _look(self, items: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens ``[W, R, T, P]``, classes ``[W, R]``, and what each scorer sees of them, ``[W, N, R, T, F]``."""
        tokens = self.tokens.cut(items)
        return tokens, labels, self.glimpses.of(tokens)

    def _look_at_slice(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of a slice, int64 ``[W, 1, B]``."""
        return self._look(self.dataset.dealt(index[:, 0]), self.dataset.dealt_labels(index[:, 0]))

    def _look_at_exam(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of an exam, int64 ``[W, E]``."""
        return self._look(self.dataset.inputs("exam", index), self.dataset.labels("exam", index))

    def summary(self, state: TensorDict) -> TensorDict:
        """See Metrics."""
        steps = state["clock"].clamp_min(1)
        totals = under(state, "total/")
        means = {k: v / (steps if v.dim() == 1 else steps[:, None]) for k, v in totals.items()}
        labels = (state["clock"] * self.schedule.rows)[:, None].expand_as(state["bits"])
        return {
            **self._told(state, means),
            "bytes": state["bits"] / 8,
            "labels": labels,
            "label_bytes": ledger.label_bytes(labels, self.dataset.num_classes),
        }

    def _told(self, marks: TensorDict, means: TensorDict) -> TensorDict:
        """Marks and means by the names of the page."""
        return {
            "score": marks["score"],
            "contribution": marks["contribution"],
            "reader_accuracy": marks["accuracy"],
            "reader_score": marks["reader_score"],
            "reader_loss": means["loss"],
            "tokens_read": means["read"],
            "agreement": means["agreement"],
            "dominance": means["dominance"],
        }

    # ---- looking in --------------------------------------------------------------

    def picture(self, state: TensorDict, world: int, mode: str) -> str | np.ndarray:
        """What was read of the last slice, and who had a say in it."""
        from .picture import as_image, as_text

        return as_text(self, state, world) if mode == "ansi" else as_image(self, state, world)
