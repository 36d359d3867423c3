"""modular-v0: the groups of a transformer's parameters bid for who learns a slice of text, and who rests.

## Description
Each world has one language model, a causal transformer (post-norm, as in "Attention is all you need", Vaswani et al.,
NeurIPS 2017). Its parameters are N groups: embeddings, the attention and the feed-forward part of each layer, and the
output. The groups are the agents. A slice of text comes, they bid, and the highest bidders learn it; the others do not
move by a bit. Domains of text come one after the other, and what was learnt of one is lost to the next unless those who
learn are well chosen. The score is the model's on an exam of *all* domains.

A run leaves models in `stages/seed_S/`: `after_<domain>.zip` where a task ends, and `model.zip` (of `columns` the one
that learnt last). `studyhall generate RUN` lets one go on with five prompts, or `--prompt TEXT` …, by 50 `--tokens`
drawn from the whole vocabulary at `--temperature` .8, as documented, or up to the end of a document; 0 takes the
likeliest. `--seed S` names the model, `--draw N` another text of it.

## Observation Space
Flat `Dict`, the same for every agent; D domains.

| key | shape | range | meaning |
|---|---|---|---|
| `own_features` | `7` float32 | [0, 1] | one-hot: embedding, attention, feed-forward, output; depth; two shares |
| `gradient` | `4` float32 | ℝ | what was last measured of one's gradient; see below |
| `record` | `4` float32 | ℝ | how often one has learnt, and how far one went; see below |
| `losses` | `3` float32 | ℝ | nats / ln V of the slice before it was learnt; their mean; how they change |
| `cards` | `D` float32 | [0, ∞) | nats / ln V on the last exam, by domain, to 1/100 |
| `current_domain` | `D` float32 | {0, 1} | which domain is on; zeros if `boundaries` are "hidden", or domains mixed |
| `elapsed` | `1` float32 | [0, 1] | steps made / horizon |

The two shares are of the model's parameters, and of what their learning costs. `gradient` holds log₁₀ of the gradient's
root mean square; that over the mean of all groups measured so far; log₁₀ of its norm over the parameters'; and the
measurement's age, t / (t + 10): zeros and 1 before there is one. `record` holds the share of steps learnt; the steps
since, t / (t + 10); the share of this task's steps; and log₁₀ of how far the parameters went since the last task ended,
over their norm, as of the last exam. The last two of `record` are zeros if `boundaries` are "hidden", and `cards` are
new in every `exam_every`-th step alone.

`measure` says whose gradients are known: "learners": of those who learnt the last slice, the others show their last;
"probe": likewise, and of all in every `probe_every`-th step; "all": of all, and of the slice to come. The last is as
documented, and saves nothing: to see a gradient it must be computed.

## Action Space
| `actions` | key | space | meaning |
|---|---|---|---|
| "bid" | `bid` | `Box(0, 1, (1,))` | the `k` highest above 0 learn; of equal ones who is drawn |
| "rate" | `bid` | `Box(0, 1, (1,))` | likewise, and a bid is the share of `lr` that its group learns at |
| "discrete" | `learn` | `Discrete(2)` | 0 rests, 1 learns; of more than `k` some are drawn |

`parameter_share` is a second limit: the highest learn while their parameters together are at most so much of the whole
(set `k=None` for it alone). Whoever is too large keeps those below from learning, too.

## Rewards
`reward_scale · (score now − score before) − compute_price · cost of the step`, the same for all: they are one model.
The score is minus the nats of a token on the exam, the mean over domains by `domain_weights`. It changes on days of the
exam, whose nats are rounded to 1/10,000. The return is how much better the model is at *all* domains in the end.

## Starting State
A model as drawn, or as in a file of `warm`, whose tokeniser then reads all texts, whatever `vocabulary`; an exam of
`exam_size` windows of each domain, and the first slice.

## Episode End
Truncation at `horizon`. Termination when a single-pass stream has been dealt out, or a model is no longer finite; an
exam that it cannot sit counts as the last one did.

## Channel
Nothing is sent. Costs are multiply-adds: `cost` of a step is what was computed over what it takes when all learn, with
what anchors take, and without exams.

## Assumptions
Texts of one's own are a folder of text files in UTF-8, such a file, a table (.parquet, .jsonl, .csv) with a column
`text`, or a list of strings; a tenth of the documents is for the exam and a tenth for the test, of one or two documents
a tenth of each. `studyhall list data` has the names of others.

A loss is the mean over all tokens of a slice, in nats. The gradients above are of it alone, without an anchor. Tasks
are of equal length; `tasks` names their domains in order, and domains that it leaves out are examined, not dealt.
`anchor="ewc"` adds λ/2·Σ F(θ − θ*)² to the loss, with θ* where the last task ended and F summed over tasks (Kirkpatrick
et al., PNAS 2017, in the form of Huszár, PNAS 2018, and of Schwarz et al., ICML 2018); models of `warm` are anchored at
once for what their files say they have learnt. Anchors are told where tasks end. With `columns` there is a whole model
for each domain, and agents for each group of each (N·D); the one whose domain is on learns, and domains are examined by
their own: nothing can be forgotten, for D times the parameters and for being told. Which groups learn is read by the
host once a step, to skip what nobody needs. A world in a batch equals the same world alone to rounding.

## Metrics
Per agent: `updates` (steps learnt). Per world: `nats` of a token, mean over domains, and `perplexity`, its exponential;
`score`; `slice_nats` (mean of slices before they were learnt); `updated` (share of parameters that learnt, mean over
steps); `cost`; `busiest_three` (their share of all updates) and `gini` of the updates. Besides, by domain:
`final_nats`, their mean after the last task; `nats/<domain>` and `forgetting/<domain>`, how much higher than the lowest
so far, as a share of it; the matrix R of `envs/continual.py`, negated, as `nats_before/<domain>` (any task) and
`nats_after_<task>/<domain>` of every task but the last, whose row is `nats/<domain>`; and what is read off R in nats,
`backward_transfer` and `forward_transfer` (below 0 is loss). All are NaN where a task had no step. Reports add
`test_nats` and `test_bits_per_byte/<domain>` of the test split. Perplexities of different tokenisers cannot be
compared, bits per byte can.

## Arguments
| argument | default | meaning |
|---|---|---|
| `corpora` | "texts" | domains, of what is installed; or a name, or `{domain: name, path or strings}` |
| `data_dir` | None | as in `classroom-v0` |
| `length`, `slice_size` | 32, 16 | tokens of a window, windows of a slice |
| `stride` | None | tokens from one window of the stream to the next; None: `length`; published: half of it |
| `vocabulary`, `tokeniser`, `tokeniser_from` | 512, "bpe", "all" | V at most; or "bytes", "words"; of whose stream |
| `characters` | 500,000 | at most so many of each domain are dealt; None: all |
| `stream_items`, `data_classes` | None, None | so many windows in all; the first so many domains |
| `order`, `tasks` | "class_incremental", None | domains in turn, and which; "iid": mixed; or as in `classroom-v0` |
| `topic_steps`, `topic_classes` | 20, 1 | of order "topical" |
| `width`, `heads`, `layers`, `feedforward`, `dropout` | 32, 2, 4, 64, 0 | of the model; N = 2·layers + 2 |
| `init` | "scaled" | or "xavier", as published, which keeps to a unigram plateau |
| `warm` | None | a file that a run left in `stages/seed_S/`, or several, of which each episode draws one |
| `optimiser`, `lr`, `weight_decay`, `warmup` | "adamw", .003, .01, 50 | one optimiser for each group |
| `fresh_optimiser` | False | it begins anew with each task |
| `anchor`, `anchor_strength`, `anchor_slices` | "none", 3, 12 | "l2", "ewc"; λ; slices that F is of |
| `columns` | False | a model for each domain |
| `actions`, `k`, `parameter_share` | "bid", 5, None | see Action Space; None: no limit |
| `measure`, `probe_every` | "learners", 10 | see Observation Space |
| `boundaries` | "told" | or "hidden" |
| `domain_weights` | None | weights of domains in the score; None: all alike |
| `reward_scale`, `compute_price` | 1, 0 | see Rewards |
| `horizon`, `exam_size`, `exam_every`, `exam_smoothing` | 400, 16, 20, 1 | `exam_size` windows of each domain |
| `autoreset` | True | of `make_world`: the step that ends an episode begins the next; see `info["episode"]` |
| `validate` | False | of `make_world`: check the values of actions too; views always do |

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

from ..engine import rng
from ..engine.state import TensorDict
from ..engine.world import Outcome
from ..errors import ConfigError, one_of
from ..validation import flag, real, whole
from .base import LanguageWorld
from .bids import ranked, read

KINDS = ("embedding", "attention", "feed-forward", "output")
FORMS = ("bid", "rate", "discrete")
MEASURES = ("learners", "probe", "all")


class Modular(LanguageWorld):
    """The batched world behind ``modular-v0``; this module's page documents every argument.

    Attributes:
        form: Of actions.
        k: As given.
        capacity: Groups at most that learn a slice.
        sizes: Share of each group in the parameters of its model, ``[N]``.
        measure: Whose gradients are shown.
    """

    agent_noun = "group"
    refused_arguments: ClassVar[Mapping[str, str]] = {
        **LanguageWorld.refused_arguments,
        "agents": "its agents are the groups of the model: set layers",
    }

    def __init__(
        self,
        *,
        actions: str = "bid",
        k: int | None = 5,
        parameter_share: float | None = None,
        measure: str = "learners",
        probe_every: int = 10,
        columns: bool = False,
        compute_price: float = 0.0,
        **others: Any,
    ) -> None:
        self.columns = flag("columns", columns)
        super().__init__(**others)
        self.form = one_of("form of actions", actions, FORMS)
        self.k = None if k is None else whole("k (groups that learn)", k, 1)
        self.capacity = self.num_agents if self.k is None else min(self.k, self.num_agents)
        self.parameter_share = (
            1.0 if parameter_share is None else real("parameter_share", parameter_share, 0, 1)
        )
        self.measure = one_of("measure", measure, MEASURES)
        self.probe_every = whole("probe_every", probe_every, 1)
        self.compute_price = real("compute_price", compute_price, 0)
        if self.columns:
            self._check_columns()
        self._declare()

    def _check_columns(self) -> None:
        """Raise where columns make no sense."""
        if not self.incremental:
            raise ConfigError("columns need domains one after the other: use order 'class_incremental'")
        if self.boundaries == "hidden":
            raise ConfigError("columns are told which domain is on: use boundaries 'told'")
        if self.learning.anchor != "none":
            raise ConfigError("each of the columns learns its own domain alone: leave anchor out")

    def count_models(self) -> int:
        """One for each domain, where there are columns."""
        return self.domains if self.columns else 1

    def count_agents(self) -> int:
        """The groups of all models of a world."""
        return self.count_models() * len(self.net.groups)

    def _declare(self) -> None:
        """Spaces, draws, and what is known of the groups."""
        d, unbounded = self.domains, (-np.inf, np.inf)
        self.observation_space = spaces.Dict(
            {
                "own_features": spaces.Box(0, 1, (7,), np.float32),
                "gradient": spaces.Box(*unbounded, (4,), np.float32),
                "record": spaces.Box(*unbounded, (4,), np.float32),
                "losses": spaces.Box(*unbounded, (3,), np.float32),
                "cards": spaces.Box(0, np.inf, (d,), np.float32),
                "current_domain": spaces.Box(0, 1, (d,), np.float32),
                "elapsed": spaces.Box(0, 1, (1,), np.float32),
            }
        )
        self.action_space = spaces.Dict(
            {"learn": spaces.Discrete(2)}
            if self.form == "discrete"
            else {"bid": spaces.Box(0, 1, (1,), np.float32)}
        )
        self.step_draws = rng.Draws(self.step_draws.shapes | {"ties": (self.num_agents,)})
        groups, rows = len(self.net.groups), self.schedule.rows
        sizes = torch.tensor(self.net.sizes, device=self.device, dtype=torch.float32)
        self.sizes = (sizes / sizes.sum()).repeat(self.count_models())  # [N], of the model that learns
        one = torch.eye(groups, dtype=torch.bool)
        alone = torch.tensor(self.net.cost(one.numpy(), rows, self.texts.length), dtype=torch.float64)
        rest = self.net.cost(np.zeros((1, groups), dtype=bool), rows, self.texts.length)[0]
        own = ((alone - rest) / (alone - rest).sum()).float()
        kinds = torch.tensor([[kind == known for known in KINDS] for kind in self.net.kinds]).float()
        depth = torch.linspace(0, 1, groups)[:, None]
        features = torch.cat([kinds, depth, self.sizes[:groups, None].cpu(), own[:, None]], dim=-1)
        self._features = features.to(self.device).repeat(self.count_models(), 1)  # [N, 7]
        if self.parameter_share < (least := float(self.sizes.min())):
            raise ConfigError(
                f"parameter_share {self.parameter_share:g} lets nobody learn: the smallest group holds {least:.3g} of "
                "the parameters"
            )
        self._dense = float(self.net.cost(np.ones((1, groups), dtype=bool), rows, self.texts.length)[0])

    # ---- how it moves -------------------------------------------------------------------------------

    def start(self, draws: rng.DrawDict, state: TensorDict) -> TensorDict:
        """Nobody has learnt."""
        fresh = self.begin(draws, state)
        nothing = torch.zeros(self.num_worlds, self.num_agents, device=self.device)
        fresh |= {
            "squares": nothing,
            "age": torch.full_like(nothing, torch.inf),
            "updates": nothing,
            "updates/task": nothing,
            "since": torch.full_like(nothing, torch.inf),
            "total/updated": nothing[:, 0],
            "curve/learnt": torch.zeros(
                self.num_worlds, self.parts_shown, self.num_agents, device=self.device
            ),
        }
        fresh |= self._distances(np.zeros(self.num_worlds, dtype=np.int64))
        if self.measure == "all":
            clock = np.zeros(self.num_worlds, dtype=np.int64)
            squares = self.models.look(self.tokens(fresh), model=self._model(clock))
            fresh |= self._measured(fresh, self._of_all(squares, clock))
        return fresh

    def advance(self, state: TensorDict, actions: TensorDict, draws: rng.DrawDict) -> Outcome:
        """Choose, learn the slice, sit the exam, deal the next slice."""
        clock, before = state["clock"], self._clock
        model = self._model(before)
        if self.known and bool((before[self._moving] == 0).any()):
            self.anchor((clock == 1) & self.moving, self.known, clock, state["key"], model)
        learns, rates = self._choose(actions, draws, before)
        rates = rates * (self.warmed(clock) * self.moving)[:, None]
        losses, squares, cost = self._learn(self.tokens(state), self._own(rates, before), before)
        cost = cost + self.anchor_cost(clock)
        new = {**state, **self.go_on(state, draws, losses)}
        new |= self._recorded(state, learns)
        new["total/cost"] = state["total/cost"] + cost
        if self.measure == "all":
            squares = self.models.look(self.tokens(new), model=self._model(before + 1))
            new |= self._measured(new, self._of_all(squares, before + 1))
            if not self._moving.all():  # the others keep their slice, and this was of what would have come
                self.models.forget_looks()
        else:
            new |= self._measured(new, self._of_all(squares, before))
        if bool(self.calendar.examined(before + 1)[self._moving].any()):
            today = self.calendar.examined(clock)[:, None]
            new |= {k: torch.where(today, v, state[k]) for k, v in self._distances(model).items()}
        progress = (new["score"] - state["score"]) * self.reward_scale - self.compute_price * cost
        reward = progress[:, None].expand(-1, self.num_agents)
        updated = (learns * self.sizes).sum(-1)
        new["total/updated"] = state["total/updated"] + updated
        info = {
            "slice_nats": losses,
            "nats": new["nats"].mean(-1),
            "updated": updated,
            "cost": cost,
            "learnt": learns.float(),
        }
        return Outcome(new, reward, info)

    def _learn(self, tokens: Tensor, rates: Tensor, made: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Learn a slice: its losses ``[W]``, squared norms of gradients ``[W, groups]``, and what it cost ``[W]``."""
        model = self._model(made)
        if self.measure == "all":
            losses = self.models.learn_seen(tokens, rates, model=model)
            return losses, torch.full_like(rates, torch.nan), torch.ones_like(losses)
        learnt = self.models.learn(tokens, rates, self._probed(made), model=model)
        return learnt.losses, learnt.squares, self._cost(learnt.computed)

    def _choose(self, actions: TensorDict, draws: rng.DrawDict, made: np.ndarray) -> tuple[Tensor, Tensor]:
        """Who learns, bool ``[W, N]``, and at which share of the rate, ``[W, N]``."""
        bids = actions["learn"].clamp(0, 1).float() if self.form == "discrete" else read(actions["bid"])
        if self.columns:
            own = torch.from_numpy(self._model(made)).to(self.device)
            column = torch.arange(self.num_agents, device=self.device) // len(self.net.groups)
            bids = bids * (column == own[:, None])
        order = ranked(bids, draws["ties"].permutation())
        place = order.argsort(-1)
        fits = (self.sizes[order].cumsum(-1) <= self.parameter_share * (1 + 1e-6)).gather(1, place)
        learns = (bids > 0) & (place < self.capacity) & fits
        return learns, learns * (bids if self.form == "rate" else 1.0)

    def _model(self, made: np.ndarray) -> np.ndarray:
        """Which model of each world learns the slice that is dealt after so many steps, int64 ``[W]``."""
        return self.model_of(self.current(made)) if self.incremental else np.zeros_like(made)

    def _own(self, values: Tensor, made: np.ndarray) -> Tensor:
        """Of agents ``[W, N]`` those of the model that learns, ``[W, groups]``."""
        if not self.columns:
            return values
        groups = len(self.net.groups)
        own = torch.from_numpy(self._model(made)).to(self.device)
        return values.view(len(values), -1, groups)[torch.arange(len(values), device=self.device), own]

    def _of_all(self, values: Tensor, made: np.ndarray) -> Tensor:
        """The reverse: NaN for the groups of other models."""
        if not self.columns:
            return values
        found = torch.full((len(values), self.count_models(), values.shape[1]), torch.nan, device=self.device)
        own = torch.from_numpy(self._model(made)).to(self.device)
        found[torch.arange(len(values), device=self.device), own] = values
        return found.flatten(1)

    def _probed(self, made: np.ndarray) -> Tensor | None:
        """Whose gradients are measured though they rest, bool ``[W, groups]``; None: nobody's."""
        due = made % self.probe_every == 0
        if self.measure != "probe" or not due[self._moving].any():
            return None
        return torch.from_numpy(due & self._moving).to(self.device)[:, None].expand(-1, len(self.net.groups))

    def _cost(self, computed: np.ndarray) -> Tensor:
        """What a step costs over what it takes when all learn, ``[W]``; of whose gradients are computed."""
        macs = self.net.cost(computed, self.schedule.rows, self.texts.length) / self._dense
        return torch.from_numpy(macs).to(self.device, torch.float32)

    def _recorded(self, state: TensorDict, learns: Tensor) -> TensorDict:
        """What is kept of who learnt."""
        clock, learnt = state["clock"], learns.float()
        over = self.calendar.ends(clock)[:, None] & (clock < self.horizon)[:, None]
        part = self.part_of(clock)[..., None]
        return {
            "updates": state["updates"] + learnt,
            "updates/task": torch.where(over, 0.0, state["updates/task"] + learnt),
            "since": torch.where(learns, 0.0, state["since"] + 1),
            "curve/learnt": state["curve/learnt"] + part * learnt[:, None],
        }

    def _measured(self, state: TensorDict, squares: Tensor) -> TensorDict:
        """What is known of gradients after some were measured, NaN where not."""
        known = squares.isfinite()
        return {
            "squares": torch.where(known, squares, state["squares"]),
            "age": torch.where(known, 0.0, state["age"] + 1),
        }

    def _distances(self, model: np.ndarray) -> TensorDict:
        """Norms of the parameters, and how far they went since the last task ended, ``[W, N]``."""
        if not self.columns:
            norms, ways = self.models.norms(model=model)
            return {"norms": norms, "ways": ways}
        of_all = [self.models.norms(model=np.full_like(model, d)) for d in range(self.count_models())]
        norms, ways = torch.cat(of_all, dim=-1)
        return {"norms": norms, "ways": ways}

    # ---- what is seen -------------------------------------------------------------------------------

    def observe(self, state: TensorDict) -> TensorDict:
        """The tables of this module's page, ``[W, N, …]``."""
        w, n = self.num_worlds, self.num_agents

        def alike(x: Tensor) -> Tensor:
            return x[:, None].expand(w, n, x.shape[-1])

        return {
            "own_features": self._features.clone().expand(w, -1, -1),
            "gradient": self._gradient(state),
            "record": self._record(state),
            "losses": alike(self.losses_seen(state)),
            "cards": alike(state["card"].clone()),
            "current_domain": alike(self.domain_seen(state)),
            "elapsed": alike((state["clock"].float() / self.horizon)[:, None]),
        }

    def _gradient(self, state: TensorDict) -> Tensor:
        """``[W, N, 4]``; see the page."""
        known = state["age"].isfinite()
        norm = state["squares"].sqrt()
        size = self.sizes * sum(self.net.sizes)
        rms = norm / size.sqrt()
        mean = (rms * known).sum(-1, keepdim=True) / known.sum(-1, keepdim=True).clamp_min(1)
        relative = rms / mean.clamp_min(1e-12)
        told = torch.stack([_log(rms), relative, _log(norm / state["norms"].clamp_min(1e-12))], dim=-1)
        return torch.cat([told * known[..., None], _aged(state["age"])[..., None]], dim=-1)

    def _record(self, state: TensorDict) -> Tensor:
        """``[W, N, 4]``; see the page."""
        steps = state["clock"][:, None]
        first = (self.calendar.task(steps) * self.horizon / len(self.tasks)).ceil()
        in_task = state["updates/task"] / (steps - first).clamp_min(1)
        way = _log(state["ways"] / state["norms"].clamp_min(1e-12))
        share = state["updates"] / steps.clamp_min(1)
        of_the_task = torch.stack([in_task.clamp(0, 1), way], dim=-1)
        if self.boundaries == "hidden":
            of_the_task = torch.zeros_like(of_the_task)
        return torch.cat([torch.stack([share, _aged(state["since"])], dim=-1), of_the_task], dim=-1)

    def summary(self, state: TensorDict) -> TensorDict:
        """See Metrics."""
        updates, steps = state["updates"], state["clock"].clamp_min(1)
        ordered = updates.sort(-1).values
        total = ordered.sum(-1).clamp_min(1)
        n = self.num_agents
        rank = torch.arange(1, n + 1, device=self.device)
        gini = ((2 * rank - n - 1) * ordered).sum(-1) / (n * total)
        return super().summary(state) | {
            "updates": updates,
            "updated": state["total/updated"] / steps,
            "busiest_three": ordered[:, -3:].sum(-1) / total,
            "gini": gini,
        }

    # ---- looking in ---------------------------------------------------------------------------------

    @property
    def agent_labels(self) -> list[str]:
        """Which group of parameters each is, e.g. "attention 2"; of whose column, where there are columns."""
        kinds = self.net.kinds
        layer = [sum(kind == other for other in kinds[: i + 1]) for i, kind in enumerate(kinds)]
        own = [k if kinds.count(k) == 1 else f"{k} {n}" for k, n in zip(kinds, layer, strict=True)]
        if not self.columns:
            return own
        return [f"{domain}: {name}" for domain in self.dataset.classes for name in own]

    def picture(self, state: TensorDict, world: int, mode: str) -> str | np.ndarray:
        """Who learnt when, and what the exam said."""
        from .picture import as_image, as_text

        return as_text(self, state, world) if mode == "ansi" else as_image(self, state, world)


def _log(x: Tensor) -> Tensor:
    """log₁₀, of 0 as of 1e-12."""
    return x.clamp_min(1e-12).log10()


def _aged(steps: Tensor) -> Tensor:
    """T / (t + 10), 1 of infinity."""
    return torch.where(steps.isfinite(), steps / (steps + 10), 1.0)
