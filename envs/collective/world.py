"""collective-v0: specialists answer and bid, and the collective says the weighted sum, Σ w·f.

## Description
N specialists see slices of a data stream and a fixed exam: the same, or each its own classes, or each its own part of
every picture (`share`). On every sample a specialist gives *soft targets* and a *bid*; the world makes weights w of
the bids and forms the collective's answer Σ w·f, on the slice and on the exam. Who has a weight above 0 on a sample is
*consulted*. The collective is scored on the exam, with and without each of its members, and so is every member by
itself. Labels of the slice come one step later; learning from them is the agent's own business.

An ensemble (w = 1/N), a vote (w = confidence), a mixture of experts (w = router(x), sparse) and a switch (one expert a
sample) differ only in what is bid. The world generalises that thesis: every collective is a weighted sum of
specialists.

Everything not said here is as in `classroom-v0` (`studyhall.envs.classroom`), whose stream, exam, channel and feedback
this world shares. With `learners=` it hosts the specialists, and an agent decides only what to bid and whom to imitate:
see `studyhall.envs.collective.specialists`.

## Observation Space
As in `classroom-v0`, with B rows, E exam items, N members, K neighbours at most, oneself in slot 0, and:

| key | shape | range | meaning |
|---|---|---|---|
| `fb_targets` | `1 + K, B, C` float32 | [0, 1] | what each published where it was consulted; zeros elsewhere |
| `fb_weights` | `1 + K, B` float32 | [0, 1] | the weight each had on that slice; zero if not heard |
| `load` | `1 + K` float32 | [0, 1] | mean weight of each on that slice; zero if not heard |

Heard is whose consulted answers arrived. In modes "mute" and "isolated" one is told of oneself as if one were alone:
consulted, with a weight of 1, wherever one bid, since any other weight would tell what the others bid. `report`'s last
entry, the budget left, is always 1: labels come by themselves. With `share` "parts" `slice`, `fb_slice` and `exam` are
zero (the mean) outside of one's own part. Where slices are private ("own", "class_experts", "dirichlet") the collective
answers the *public* slice, unlabelled, and labels are those of one's own.

## Action Space
Flat `Dict`. Rows of weights in [0, 1] are divided by their sums; an all-zero row abstains, and its bid counts for
nothing.

| key | space | meaning |
|---|---|---|
| `soft_targets` | `Box(0, 1, (B, C))` | answers on `slice` (or `public`) |
| `bids` | `Box(0, 1, (B,))` | how much one wants to be consulted on each; only ratios to the others' count |
| `answers` | `Box(0, 1, (E, C))` | answers to `exam` |
| `answers_bids` | `Box(0, 1, (E,))` | likewise |

Weights of bids: `normalised` divides by the sum; `top_k` keeps the k highest first; `votes` counts an answer as a vote
for its best class, and of tied classes the one with the greatest Σ w·p wins. A sample nobody bids for is dropped: the
collective has no answer to it, which scores as uniform.

## Rewards
`reward_scale · ((1 − cooperation)·own + cooperation·mean of all) − consult_price·consulted − byte_price·KiB sent −
label_price·labels`. Own progress is the change of `score` = `member_score` + `contribution_weight` · `contribution`,
smoothed: one's own exam score, and the collective's less what it would be without oneself. `consulted` counts the
samples of the slice and, on exam days, of the exam. In every mode a reward tells of the others: what one adds to them,
and how often one is consulted beside them, is relative by nature. It is one's own where `contribution_weight`,
`consult_price`, `byte_price` and `cooperation` are 0.

## Starting State
As in `classroom-v0`; nobody has been consulted.

## Episode End
As in `classroom-v0`.

## Channel
A consulted answer is C·bits/8 bytes on every edge it is sent on, and 4 for the weight it had; what was not consulted is
not sent and costs nothing, so sparse bids are cheap. Faults and modes touch what members hear of each other. What the
collective says of the slice is made of what went on the air: lies, noise and quantisation touch it, modes and drops do
not: "mute" and "isolated" are about what members are told and learn from, and scores, metrics and charges go on summing
everyone. A row that quantisation rounds to nothing counts as consulted, is charged, and adds nothing to the answer.
Answers to the exam are no messages; report cards are public but in an "isolated" world. `cap` does not apply.

## Assumptions
As in `classroom-v0`. Labels of one's slice come by themselves.

## Metrics
Per member: `score` (see Rewards), `member_score`, `contribution`, `exam_accuracy` (its own), `utilisation` (share of
samples on which it was consulted), `load` (mean weight), `consulted` (samples), `bytes`, `labels`, `label_bytes`. Per
world: `collective_score`, `collective_accuracy`, `entropy` (of the weights, in nats), `diversity` (share of pairs of
members with different best classes), `dropped` (samples nobody bid for), `members_in_use` (exp of the entropy of who is
consulted: N where all are alike, 1 where it is always the same), `busiest` (the greatest share of the consultations),
`calls`. Scores and accuracies are of the last exam; the others of all samples of the episode, of each step in infos,
where `collective_prequential` is the collective's accuracy on the slice. Scores are smoothed (`exam_smoothing`),
accuracies are not. What the collective would be without each is computed for all at once, which takes memory for N²
answers to every item of the exam.

## Arguments
Those of `classroom-v0`, but for `teacher_budget`, `teacher_unit` and `cap`, and:

| argument | default | meaning |
|---|---|---|
| `share` | "shared" | also "parts": the same samples, cut along their last side into N parts |
| `weighting` | "normalised" | or "top_k", "votes" |
| `k` | 2 | members heard on a sample by "top_k" |
| `consult_price` | 0 | reward per sample on which one is consulted |
| `contribution_weight` | 1 | of the marginal contribution in the score |
| `learners`, `learn_from` | None, "all" | the world hosts them: see `studyhall.envs.collective.specialists` |

## Version History
* v0: first release.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ..channel import ledger
from ..classroom.world import Classroom
from ..engine.rng import DrawDict
from ..engine.state import TensorDict, prefixed, under
from ..engine.world import Outcome
from ..errors import ConfigError, one_of
from ..hosted.host import Host, HostSettings
from ..mixing import Mixing, disagreement, entropy
from ..streams.schedule import SHARES
from ..validation import afford, real
from .specialists import Samples

_PER_WORLD = ("collective_score", "collective_accuracy")
_TOTALS = ("asked", "dropped", "entropy", "diversity")  # [W]
_MEMBER_TOTALS = ("consulted", "load")  # [W, N]
MOMENTS = 60
"""Parts of an episode that pictures tell apart."""


class Collective(Classroom):
    """The batched world behind ``collective-v0``; this module's page documents what differs from a classroom."""

    few_actions = "learners='mlp', or slice_size=1, exam_size=10"
    agent_noun = "member"
    trainee = "bidders"
    headline = "collective_accuracy"
    refused_arguments: ClassVar[Mapping[str, str]] = {
        "teacher_budget": "labels come by themselves, so there is no budget",
        "teacher_unit": "labels come by themselves, so there is no budget",
        "cap": "what is sent is limited by prices: set byte_price or consult_price",
        "discrete_actions": "bids are numbers: set actions to 'listen', 'gated' or 'targets'",
    }
    hosting_arguments = Classroom.hosting_arguments | {"learn_from"}
    beside = "weights"
    crosses = Classroom.crosses | {"messages"}  # the weights
    smoothed = ("score", "member_score", "contribution", "collective_score")
    marks = ("accuracy", "collective_accuracy", *smoothed)

    def __init__(
        self,
        *,
        share: str = "shared",
        weighting: str = "normalised",
        k: int = 2,
        consult_price: float = 0.0,
        contribution_weight: float = 1.0,
        learn_from: str = "all",
        **kwargs: Any,
    ) -> None:
        self.consult_price = real("consult_price (reward per consulted sample)", consult_price, 0)
        self.contribution_weight = real("contribution_weight", contribution_weight, 0)
        self.only_consulted = one_of("learn_from", learn_from, ("all", "consulted")) == "consulted"
        share = one_of("share", share, (*SHARES, "parts"))
        self._in_parts = share == "parts"
        shared = "shared" if self._in_parts else share
        super().__init__(share=shared, teacher_budget=None, **kwargs)
        if self.host is None and self.only_consulted:
            raise ConfigError(
                "learn_from is of learners that the world hosts: give learners too (learners='mlp')"
            )
        answered = {
            "agents": self.num_agents,
            "exam_size": self.exam.size,
            "classes": self.dataset.num_classes,
        }
        afford(self.num_worlds, "agents or exam_size", **answered, others=self.num_agents)
        self.mixing = Mixing(self.num_agents, weighting, k)

    def _declare(self, rows: int, exam_size: int) -> None:
        super()._declare(rows, exam_size)
        self.views = self._cut() if self._in_parts else None
        weights = spaces.Box(0, 1, (1 + self.channel.slots, rows), np.float32)
        observed = {"fb_weights": weights, **self._shown_load}
        self.observation_space = spaces.Dict(self.observation_space.spaces | observed)
        acts = {key: space for key, space in self.action_space.spaces.items() if key != "ask"}
        self.action_space = spaces.Dict(acts | self._bids)

    def _invite(self, learners: Any, settings: HostSettings) -> None:
        """Host the specialists: agents decide what they bid, beside what every host lets them decide."""
        if settings.form == "discrete":
            raise ConfigError(
                "a collective has bids beside its choices: actions are 'listen', 'gated' or 'targets'"
            )
        if self.views is not None:
            raise ConfigError(
                "learners of the world see whole samples: share='parts' needs learners of your own"
            )
        if self.private and self.only_consulted:
            raise ConfigError(
                "learn_from='consulted' needs share='shared': own slices are nobody else's to ask about"
            )
        super()._invite(learners, settings)
        self.samples = Samples(self.dataset.num_classes)
        self.sample_features = self.samples.names
        seen = self.samples.observed(self.schedule.rows, self.exam.size)
        self.observation_space = spaces.Dict({**self.observation_space.spaces, **seen, **self._shown_load})
        self.action_space = spaces.Dict(self.action_space.spaces | self._bids)

    @property
    def _bids(self) -> dict[str, spaces.Space]:
        """What agents bid."""
        bids = {"bids": self.schedule.rows, "answers_bids": self.exam.size}
        return {name: spaces.Box(0, 1, (size,), np.float32) for name, size in bids.items()}

    @property
    def _shown_load(self) -> dict[str, spaces.Space]:
        """The part of an observation that says who was consulted how much."""
        return {"load": spaces.Box(0, 1, (1 + self.channel.slots,), np.float32)}

    def _cut(self) -> Tensor:
        """Which entries of a sample each member sees, float32 ``[N, 1, D…]``: a strip of its last side."""
        shape, n = self.dataset.shape, self.num_agents
        if n > shape[-1]:
            raise ConfigError(f"share='parts' cuts {shape[-1]} columns: {n} members are too many")
        owner = torch.arange(shape[-1], device=self.device) * n // shape[-1]
        own = owner == torch.arange(n, device=self.device)[:, None]
        return own.float().view(n, 1, *[1] * (len(shape) - 1), shape[-1]).expand(n, 1, *shape)

    @property
    def own_views(self) -> bool:
        """Whether members see different inputs."""
        return self.private or self.views is not None

    # ---- how it moves -------------------------------------------------------------------------------

    def start(self, draws: DrawDict, state: TensorDict) -> TensorDict:
        """As a classroom, with nobody consulted."""
        fresh = super().start(draws, state)
        none = torch.zeros_like(fresh["score"])
        fresh["past/asked"] = none.new_zeros(self.num_worlds, MOMENTS)
        fresh["past/consulted"] = none.new_zeros(self.num_worlds, MOMENTS, self.num_agents)
        fresh |= prefixed("total/", dict.fromkeys(_TOTALS, none[:, 0]) | dict.fromkeys(_MEMBER_TOTALS, none))
        if self.host is None:
            return fresh
        fresh |= prefixed("class/", self.samples.start(none))
        return fresh | self._coming({**state, **fresh}, np.zeros(self.num_worlds, dtype=np.int64), self.host)

    def first_marks(self, fresh: TensorDict) -> TensorDict:
        """As a classroom's; hosted specialists sit their first exam under equal bids."""
        if self.host is not None:
            answers, silent = self._first_answers(fresh, self.host)
            bids = (~silent).float()
            return self.grade(fresh, answers, silent, bids, self.mixing.weights(bids))
        marks = super().first_marks(fresh)
        none = torch.zeros_like(fresh["card"])
        return marks | {
            "member_score": marks["score"],
            "contribution": none,
            "collective_score": torch.full_like(none[:, 0], self.exam.chance(self.dataset.num_classes)),
            "collective_accuracy": none[:, 0],
        }

    def advance(self, state: TensorDict, actions: TensorDict, draws: DrawDict) -> Outcome:
        """Weigh the bids, carry what was consulted, examine members and collective, deal the next slice."""
        present = state["present"]
        acts = self._brought(state, actions)
        state = {**state, **self._listened(state, acts)}
        targets, silent = self.read(acts["soft_targets"])
        if self.channel.churn:
            silent = silent | ~present[..., None]
        bids = torch.where(silent, 0.0, acts["bids"].detach())
        weights = self.mixing.weights(bids)
        told = weights
        if self.channel.deafens:
            told = torch.where(self.channel.unheard[:, None, None], self.mixing.alone(bids), weights)
        on_air, _ = self.channel.on_air(targets, state, draws, state["clock"])
        rows = (weights > 0).sum(-1)  # [W, N]
        said = self.said(acts, targets, on_air * (told > 0)[..., None], state) | {"weights": told}
        route = self.channel.route(self.message_bits(rows, said), state, draws)
        answer = self._ask(acts, state, draws)
        tally = self._tally(weights, targets, silent)
        marks, sat = self._examine(state, acts["answers"], acts["answers_bids"].detach())
        tally = {name: count + sat.get(name, 0.0) for name, count in tally.items()}
        reward = self.pay.reward(state["score"], marks["score"], route.sent_bits, answer.labels)
        if self.consult_price:
            reward = reward - self.consult_price * tally["consulted"]
        if self.channel.churn:
            reward = reward * present
        totals = {name: total + tally[name] for name, total in under(state, "total/").items()}
        new = self._after(state, draws, route, said, answer, marks)
        new |= prefixed("total/", totals) | self._past(state, tally)
        info = {
            **self._shares(tally),
            **{name: marks[name] for name in (*_PER_WORLD, "score", "member_score", "contribution")},
            "exam_accuracy": marks["accuracy"],
            **self._prequential(state, targets, silent, self.mixing.mix(weights, on_air)),
            "bytes": route.sent_bits / 8,
            "labels": answer.labels,
            "label_bytes": ledger.label_bytes(answer.labels, self.dataset.num_classes),
            "calls": answer.calls,
        }
        if self.host is not None:
            new |= prefixed(
                "class/", self.samples.count(under(new, "class/"), *self._answered(new, self.host))
            )
            new |= self._coming(new, self._clock + 1, self.host)
        return Outcome(new, reward, info)

    def asks(self, actions: TensorDict) -> Tensor:
        """Everyone is told the labels of its own slice."""
        return torch.ones(self.num_worlds, self.num_agents, dtype=torch.bool, device=self.device)

    def told(self, state: TensorDict) -> tuple[Tensor, Tensor]:
        """As in a classroom, of the consulted samples alone if so asked."""
        told, labels = super().told(state)
        if not self.only_consulted:
            return told, labels
        consulted = state["fb/weights"] > 0
        return told & consulted.any(-1), torch.where(consulted, labels, -1)

    # ---- marks and counts ---------------------------------------------------------------------------

    def _examine(self, state: TensorDict, answers: Tensor, bids: Tensor) -> tuple[TensorDict, TensorDict]:
        """The marks after this step's answers, and what the exam adds to the counts, where it is a day for it."""
        if self.exam.day(self._clock) == "none":  # the host knows: most days need not be computed
            return {name: state[name] for name in self.marks}, {}
        given, abstained = self.read(answers)
        if self.channel.churn:
            abstained = abstained | ~state["present"][..., None]
        bids = torch.where(abstained, 0.0, bids)
        weights = self.mixing.weights(bids)
        marks = self._counted(state, self.grade(state, given, abstained, bids, weights))
        marks |= self._by_task(state, given, abstained)
        tally = self._tally(weights, given, abstained)
        if self.exam.day(self._clock) == "all":
            return marks, tally
        today = self.exam.today(state["clock"] - 1)
        return marks, {
            k: torch.where(today if v.dim() == 1 else today[:, None], v, 0.0) for k, v in tally.items()
        }

    def grade(
        self, state: TensorDict, answers: Tensor, abstained: Tensor, bids: Tensor, weights: Tensor
    ) -> TensorDict:
        """Marks of one exam, not smoothed: of members ``[W, N]`` and of the collective ``[W]``.

        Args:
            state: Holds the exam.
            answers: Distributions, float32 ``[W, N, E, C]``.
            abstained: bool ``[W, N, E]``.
            bids: ``[W, N, E]``, 0 where one abstained.
            weights: ``[W, N, E]``, of these bids.
        """
        _, labels = self._exam(state["exam"])
        own, correct = self.exam.score(answers, abstained, labels)
        together = self.mixing.mix(weights, answers)[:, None]  # [W, 1, E, C]
        score, right = self.exam.score(together, together.sum(-1) == 0, labels)
        without = self.mixing.without_each(bids, answers)
        contribution = score - self.exam.score(without, without.sum(-1) == 0, labels)[0]
        return {
            "score": own + self.contribution_weight * contribution,
            "accuracy": correct.float().mean(-1),
            "member_score": own,
            "contribution": contribution,
            "collective_score": score[:, 0],
            "collective_accuracy": right.float().mean(-1)[:, 0],
        }

    def _tally(self, weights: Tensor, answers: Tensor, silent: Tensor) -> TensorDict:
        """Sums over samples: float32 ``[W, N]`` or ``[W]``."""
        asked = torch.full_like(weights[:, 0, 0], weights.shape[-1])
        return {
            "asked": asked,
            "dropped": (weights.sum(1) == 0).sum(-1).float(),
            "entropy": entropy(weights).sum(-1),
            "diversity": disagreement(answers, silent).sum(-1),
            "consulted": (weights > 0).sum(-1).float(),
            "load": weights.sum(-1),
        }

    def _past(self, state: TensorDict, tally: TensorDict) -> TensorDict:
        """How often each member was consulted at each of the episode's moments, for pictures."""
        place = (state["clock"] - 1) * MOMENTS // self.horizon
        now = (place[:, None] == torch.arange(MOMENTS, device=self.device)).float()  # [W, MOMENTS]
        return {
            "past/asked": state["past/asked"] + now * tally["asked"][:, None],
            "past/consulted": state["past/consulted"] + now[..., None] * tally["consulted"][:, None],
        }

    def _shares(self, tally: TensorDict) -> TensorDict:
        """Counts, and means over the samples they are of."""
        asked = tally["asked"].clamp_min(1)
        consulted = tally["consulted"].double()
        shares = consulted / consulted.sum(-1, keepdim=True).clamp_min(1)
        in_use = torch.special.entr(shares).sum(-1).exp() * (shares.sum(-1) > 0)
        return {
            "utilisation": tally["consulted"] / asked[:, None],
            "load": tally["load"] / asked[:, None],
            "consulted": tally["consulted"],
            "entropy": tally["entropy"] / asked,
            "diversity": tally["diversity"] / asked,
            "dropped": tally["dropped"],
            "members_in_use": in_use.float(),
            "busiest": shares.amax(-1).float(),
        }

    def _prequential(self, state: TensorDict, targets: Tensor, silent: Tensor, said: Tensor) -> TensorDict:
        """Accuracy on the slice at hand, of each member where it speaks, and of the collective."""
        labels = self._labels(self._shown(state), not self._runs_out)
        correct = (targets.argmax(-1) == labels) & ~silent
        right = (said.argmax(-1) == labels[:, 0]) & (said.sum(-1) > 0)
        return {
            "prequential": correct.sum(-1) / (~silent).sum(-1).clamp_min(1),
            "collective_prequential": right.float().mean(-1),
        }

    # ---- what is seen -------------------------------------------------------------------------------

    def view(self, state: TensorDict) -> TensorDict:
        """What members see that bring their learners, ``[W, N, …]``."""
        return super().view(state) | {"load": self.load(state)}

    def hosted_view(self, state: TensorDict, host: Host) -> TensorDict:
        """What members see that decide for hosted specialists, ``[W, N, …]``."""
        features = {name: state[name] for name in ("samples", "answers_samples")}
        return super().hosted_view(state, host) | features | {"load": self.load(state)}

    def _answered(self, state: TensorDict, host: Host) -> tuple[Tensor, Tensor]:
        """What each believes of its labelled slice ``[W, N, B, C]``, zeros where none came, and its labels."""
        beliefs = state["fb/beliefs"]
        told = state["fb/served"][..., None, None] & beliefs.any(-1, keepdim=True)
        if self.private:  # those are about the public slice
            beliefs = host.answers(self._read(state["fb/slice"]))
        return beliefs * told, self.dataset.dealt_labels(state["fb/slice"])

    def _coming(self, state: TensorDict, clock: np.ndarray, host: Host) -> TensorDict:
        """Features of the coming samples, ``[W, N, B or E, F]``; ``clock [W]`` are the steps made, on the host."""
        card = self.samples.card(under(state, "class/"))
        rows = self.samples.features(card, host.answers(self._read(self._shown(state))[:, 0]))
        items = torch.zeros(*rows.shape[:2], self.exam.size, rows.shape[-1], device=self.device)
        if self.exam.day(clock) != "none":
            today = self.exam.today(state["clock"]).view(-1, 1, 1, 1)
            items = self.samples.features(card, host.answers(self._exam(state["exam"])[0].flatten(2))) * today
        return {"samples": rows, "answers_samples": items}

    def privileged(self) -> TensorDict:
        """As a classroom's; of hosted specialists also ``right``, bool ``[W, N, E]``: whose answers are right by now.

        That is before the coming step's lesson, as bids are: the answers that count are given after it.
        """
        told = super().privileged()
        if self.host is None:
            return told
        state = self._begun()
        labels = self.dataset.labels("exam", state["exam"])[:, None]
        return told | {"right": self.host.answers(self._flat("exam", state["exam"])).argmax(-1) == labels}

    def load(self, state: TensorDict) -> Tensor:
        """Mean weights on the slice that feedback is about, of oneself and of whom one heard, ``[W, N, 1 + K]``."""
        return self.arrived(state, state["fb/weights"].mean(-1))

    def _inputs(self, index: Tensor, sure: bool) -> Tensor:
        inputs = super()._inputs(index, sure)
        return inputs if self.views is None else inputs * self.views

    def _exam_shown(self, state: TensorDict) -> Tensor:
        shown = super()._exam_shown(state)
        return shown if self.views is None else shown * self.views

    def summary(self, state: TensorDict) -> TensorDict:
        """See Metrics."""
        told = {name: state[name] for name in ("member_score", "contribution", *_PER_WORLD)}
        return super().summary(state) | told | self._shares(under(state, "total/"))

    def picture(self, state: TensorDict, world: int, mode: str) -> str | np.ndarray:
        """Accuracies of members and collective, who is consulted, and the weights on the last slice."""
        from .picture import as_image, as_text

        return as_text(self, state, world) if mode == "ansi" else as_image(self, state, world)
