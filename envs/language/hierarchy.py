"""hierarchy-v0: experts in a tree share a trunk, learn by turns, and are hired, retired, merged and moved.

## Description
Each world has one language model: a causal transformer of few layers, the trunk, and between its layers and its output
a tree of agents. Each agent is a small feed-forward network with a key; each token is routed to the agents whose keys
are like its activation, and what these say is added to it. The root stands for the trunk, managers have agents below
them, experts have none. A slice of text comes, agents bid who of them learns it, and may propose to change the tree:
to retire, merge with a sibling, grow a twin, move, split, dissolve. Changes are on trial, and undone where the exam is
worse for them. Domains of text come one after the other, and the score is the model's on an exam of *all* domains.

The weight of a leaf for a token is `gate · exp(sharpness · cos(x, key) + Σ offset)` over that of all leaves, x being
the token's activation (layer norm, no gain) and the offsets, which are learnt, its own and those of the agents above
it. Another agent's weight is the sum of those below it; the root's is 1. So a model is a flat mixture of experts
whatever its tree, until managers say something and offsets differ. Agents in free slots are not there: they have no
weight, and wait to be grown.

A run leaves models in `stages/seed_S/`, as one of `modular-v0` does. `studyhall generate RUN --explain` shows by which
weights agents were asked for each token that a model writes, and in the text as a whole. Why a policy changed the tree
is in `report.json`, under `decisions`, where it tells that, as `k1_hierarchy` does.

## Observation Space
Flat `Dict`; agents are the slots, S of them, all of them always listed. D domains.

| key | shape | range | meaning |
|---|---|---|---|
| `alive` | `1` float32 | {0, 1} | whether the slot has an agent |
| `own_features` | `5` float32 | [0, 1] | one-hot: root, manager, expert; depth and children over the most |
| `record` | `6` float32 | [0, 1] | how much one is used, and has learnt; see below |
| `gradient` | `1` float32 | ℝ | log₁₀ of the norm of one's gradient on the last slice, whether one learnt or not |
| `similarity` | `1` float32 | [−1, 1] | to the best sibling to merge with: half of weights, half of what both say |
| `together` | `2` float32 | [−1, 1] | how often active with others below one's parent, and with where one could move |
| `links` | `2` float32 | [−1, S] | numbers of the parent and of that sibling; −1: none |
| `gap` | `2` float32 | [0, 1] | errors that fall to one: their share, and age of the oldest cluster, t / (t + 10) |
| `trial` | `2` float32 | {0, 1} | whether one is touched by what is on trial; whether one is protected |
| `verdicts` | `3` float32 | [0, ∞) | operations of this world tried, kept and undone so far |
| `losses` | `3` float32 | ℝ | nats / ln V of the slice before it was learnt; their mean; how they change |
| `cards` | `D` float32 | [0, ∞) | nats / ln V on the last regular exam, by domain, to 1/100 |
| `current_domain` | `D` float32 | {0, 1} | which domain is on; zeros if `boundaries` are "hidden", or domains mixed |
| `elapsed` | `1` float32 | [0, 1] | steps made / horizon |
| `operation_mask` | `8` int8 | {0, 1} | what one may propose (`action_mask`, `9`, with discrete `actions`) |

`record` holds one's mean weight for the tokens of the last slice; the share of the tokens of 2 % of the episode that
picked one, as the leaf of the highest weight or one above it; the share of steps learnt since one came; the steps since
the last, t / (t + 10); the steps since at least half of an even share among those of one's kind picked one, likewise;
and one's age / horizon. `together` is the cosine of two agents' weights over tokens. Errors are tokens with more nats
than the mean of their slice; eight of a slice go into eight clusters of their activations (mini-batch k-means), and a
cluster is the leaf's whose weight at its centre would be highest if all gates were alike; its age begins anew where
somebody is grown for it. All of it is of the stream. `similarity` and `together` fade by 5 % a step, errors by 2 %.
What is told of an agent begins anew with it, and goes on where it left and that was undone.

## Action Space
| `actions` | key | space | meaning |
|---|---|---|---|
| "bid" | `bid` | `Box(0, 1, (1,))` | the `k` highest above 0 learn, of equal ones who is drawn; the root beside them |
| | `operation` | `Discrete(8)` | what one proposes; see below |
| "rate" | the same | the same | likewise, and a bid is the share of `lr` that its agent learns at |
| "discrete" | `choice` | `Discrete(9)` | 0 rests, 1 learns, then operations 1 to 7; of more than `k` some are drawn |

The trunk learns where the root does. Of the proposals that are legal that of the highest bid is carried out, one in
each world and step, before the slice is learnt; of equal bids one is drawn.

| operation | who may | what becomes of it |
|---|---|---|
| 0 nothing | all | |
| 1 retire | experts of a parent with more than `min_children` | one's weight goes to the others |
| 2 merge | with a sibling of one's kind | means of both's parameters, sum of gates; the sibling goes, children stay |
| 3 grow | experts, into a free slot | a twin, each with half of the gate ("halve"); or, "fresh", see below |
| 4 move | all with a manager or the root to go to | to the one most often active with one, with all below one |
| 5 split | of four children or more, into a free slot | a new manager takes half, those active with the busiest |
| 6 dissolve | managers | one's children go to one's parent |
| 7 roll back | the root, where there is a copy | trunk, tree, agents and optimisers as in the newest copy |

By their form 3 to 6 change no output (to rounding; 4 and 6 where the managers concerned say nothing yet: what they say
goes). A twin differs by its optimiser, which begins anew. With `grow="fresh"` a copy of the parent is born beside one,
its key at one's oldest cluster of errors, and its gate rises from 0 to 1 within `trial` steps. Legality is of structure
alone: bounds of depth and children, a free slot, no protected agent, and nothing else on trial. Thresholds are the
agents' own.

An operation is on trial for `trial` steps and until the next regular exam, of those every `exam_every` steps. Where the
exam's perplexity is then more than the share `tolerance` higher than at the last exam before, the tree becomes what it
was, and so do the agents it touched, which are protected for `protect` steps; the others keep what they learnt. Until
the next exam that of an undone tree counts for nothing: what is tried next is held against the exam before it, or that
of the copy that was rolled back to. The perplexity is that of the mean of nats over domains by `domain_weights`; .05 is
as documented, .049 nats. What is on trial when the episode ends stays. Copies are made at regular exams whose nats are
lower than the newest copy's, where nothing is on trial; a roll back takes its copy away. It is on no trial. A trial is
learnt in, too: while nats fall fast, next to nothing is undone.

## Rewards
`reward_scale · (score now − score before)`, the same for all who live; 0 of free slots. The score is minus the nats of
a token on the exam, the mean over domains by `domain_weights`. It changes on days of the exam.

## Starting State
A model as drawn, and a tree: "balanced" takes two thirds of the slots, A of them, ⌊√A⌋ − 1 as managers to whom the
experts are dealt in turn; "flat" puts S − 1 experts under the root. The root and managers, those of later too, say
nothing before they have learnt. Or model and tree as in a file of `warm`, with fresh optimisers. An exam of `exam_size`
windows of each domain, and the first slice.

## Episode End
Truncation at `horizon`. Termination when a single-pass stream has been dealt out, or a model is no longer finite.

## Channel
Nothing is sent. All agents are computed in every step, whoever learns: `cost` is 1.

## Assumptions
A loss is the mean over all tokens of a slice, in nats. `routing="hard"` takes the best child of each node, and ends
where it has less than .3 of the node's weight; in learning a token wanders with a chance of max(.05, .3·exp(−5 ·
elapsed)). "three" follows three children of each node, and drops what has less than .01. In both, agents on the path
keep their weight, and only "soft" keeps outputs where the shape of a tree changes. An agent who rests, and a free slot,
keep every bit. `trial`, `protect` and the window of usage are .2 %, 2 % and 2 % of the horizon, as documented, at least
10 steps, and in episodes of 3,000 steps and fewer five times as many, but a tenth of the episode at most. A world in a
batch equals the same world alone to rounding; it compares the exam's nats to 1/10,000.

## Metrics
Per agent: `updates` (steps learnt since it came). Per world: `nats` of a token, mean over domains, and `perplexity`,
its exponential; `score`; `slice_nats` (mean of slices before they were learnt); `cost`; `updated` (share of the agents
but the root that learnt, mean over steps); `alive`, `experts`, `managers`, `depth`; operations `tried` and `undone`.
Besides, by domain: `nats/<domain>` and `forgetting/<domain>`, `backward_transfer` and `forward_transfer` as in
`modular-v0`; by operation `tried/<operation>`, `kept/…`, `undone/…`; `specialisation/routed` and `/updates`, of the
agents alive but the root the mean of 1 − H(domain | agent) / ln D over their weights, or their updates, of the D
domains that are dealt (1 of one who came in the last of them); `updates_on_earlier`, the share of updates in a task
that fell on agents who had learnt in an earlier one, the root aside (who was grown since counts as new, whoever's twin
it is); `domain_information`, the mutual information in nats of domain and the root's child on the path. Reports add
`test_nats` and `test_bits_per_byte/<domain>` of the test split.

## Arguments
| argument | default | meaning |
|---|---|---|
| `agents`, `tree` | 24, "balanced" | S, slots; the tree at first, or "flat" |
| `layers`, `expert_hidden` | 1, 64 | of the trunk; width within agents |
| `sharpness`, `routing` | 4, "soft" | of keys; or "hard", "three" |
| `max_depth`, `max_children`, `min_children` | 6, 50, 3 | bounds of the tree |
| `actions`, `k` | "bid", 5 | see Action Space; None: no limit |
| `grow` | "halve" | or "fresh" |
| `trial`, `protect`, `tolerance` | None, None, .05 | steps, None: see Assumptions; a share of the perplexity |
| `snapshots` | 2 | copies at most, up to 5 |
| `corpora`, `data_dir`, `length`, `slice_size` | "texts", None, 32, 16 | as in `modular-v0` |
| `vocabulary`, `tokeniser`, `tokeniser_from` | 512, "bpe", "all" | as in `modular-v0` |
| `stride`, `characters`, `stream_items`, `data_classes` | None, 500,000, None, None | as in `modular-v0` |
| `order`, `tasks` | "class_incremental", None | as in `modular-v0` |
| `topic_steps`, `topic_classes` | 20, 1 | of order "topical" |
| `width`, `heads`, `feedforward`, `dropout`, `init` | 32, 2, 64, 0, "scaled" | of the trunk |
| `optimiser`, `lr`, `weight_decay`, `warmup` | "adamw", .003, .01, 50 | one optimiser for each agent and the trunk |
| `fresh_optimiser` | False | it begins anew with each task |
| `warm` | None | a file that a run of this world left in `stages/seed_S/`, or several, as in `modular-v0` |
| `boundaries` | "told" | or "hidden" |
| `domain_weights`, `reward_scale` | None, 1 | weights of domains in the score, None: all alike; see Rewards |
| `horizon`, `exam_size`, `exam_every`, `exam_smoothing` | 400, 16, 20, 1 | `exam_size` windows of each domain |
| `autoreset` | True | of `make_world`: the step that ends an episode begins the next; see `info["episode"]` |
| `validate` | False | of `make_world`: check the values of actions too; views always do |

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

from ...learners.transformer import Transformer
from ...learners.tree_model import TreeStep, TreeTransformer, Wandering
from ..channel.topology import everyone
from ..engine import rng
from ..engine.parts import Part
from ..engine.state import TensorDict
from ..engine.world import BELOW, Listening, Outcome
from ..errors import ConfigError, one_of
from ..validation import afford, real, whole
from . import bookkeeping, census, forms, gaps, proposals, sight, tree_metrics
from . import tree as shape
from .base import LanguageWorld
from .bids import ranked
from .colony import Colony
from .proposals import planted
from .spans import span
from .stored import StoredModel, StoredTree
from .tree import DEEPEST, Limits
from .trials import Trials


class Hierarchy(LanguageWorld):
    """The batched world behind ``hierarchy-v0``; this module's page documents every argument.

    Attributes:
        form: Of actions.
        capacity: Agents at most, beside the root, that learn a slice.
        limits: Of the trees.
        trials: What is done to the trees, and undone.
        window: Steps that the usage shown is of.
    """

    net: TreeTransformer
    few_actions = "actions='discrete'"
    refused_arguments: ClassVar[Mapping[str, str]] = {
        **LanguageWorld.refused_arguments,
        "anchor": "its agents are protected by resting",
        "anchor_strength": "there is no anchor",
        "anchor_slices": "there is no anchor",
    }

    def __init__(
        self,
        *,
        agents: int = 24,
        layers: int = 1,
        expert_hidden: int = 64,
        sharpness: float = 4.0,
        routing: str = "soft",
        tree: str = "balanced",
        max_depth: int = 6,
        max_children: int = 50,
        min_children: int = 3,
        actions: str = "bid",
        k: int | None = 5,
        grow: str = "halve",
        trial: int | None = None,
        protect: int | None = None,
        tolerance: float = 0.05,
        snapshots: int = 2,
        **others: Any,
    ) -> None:
        self._of_agents: dict[str, Any] = {
            "agents": whole("agents", agents, 2),
            "expert_hidden": whole("expert_hidden", expert_hidden, 1),
            "sharpness": sharpness,
            "routing": routing,
        }
        self.tree_form = one_of("tree", tree, ("balanced", "flat"))
        self.limits = Limits(
            depth=whole("max_depth", max_depth, 1, DEEPEST),
            most=whole("max_children", max_children, 1),
            fewest=whole("min_children", min_children, 1),
        )
        self.snapshots = whole("snapshots", snapshots, 1, 5)
        self.form = one_of("form of actions", actions, forms.FORMS)
        self.k = None if k is None else whole("k (agents that learn)", k, 1)
        self.capacity = agents if self.k is None else self.k
        fresh = one_of("grow", grow, ("halve", "fresh")) == "fresh"
        tolerance = real("tolerance", tolerance, 0)
        super().__init__(layers=layers, **others)
        self.trials = Trials(
            self.limits,
            fresh,
            steps=span(0.002, self.horizon) if trial is None else whole("trial (steps)", trial, 1),
            protect=span(0.02, self.horizon) if protect is None else whole("protect (steps)", protect, 0),
            tolerance=tolerance,
        )
        self.window = span(0.02, self.horizon)
        afford(
            self.num_worlds,
            "slice_size, length, agents or expert_hidden",
            slice_size=self.schedule.rows,
            length=self.texts.length,
            agents=agents,
            hidden=self.net.expert_hidden if routing == "soft" else max(self.net.expert_hidden, agents),
        )
        if not self.models.warm:
            self._check_planted(shape.plant(agents, tree, 1, torch.device("cpu")))
        self._declare()

    def make_net(self, **sizes: Any) -> Transformer:
        """A transformer with a tree."""
        return TreeTransformer(**sizes, **self._of_agents)

    def make_models(self, warm: Sequence[Sequence[Tensor]]) -> Part:
        """Trunk, agents and trees."""
        return Colony(
            self.net,
            learning=self.learning,
            form=self.tree_form,
            limits=self.limits,
            snapshots=self.snapshots,
            warm=warm,
        )

    def check_warm(self, model: StoredModel) -> None:
        """Raise where a file's tree is beyond this world's limits, too, or not flat where it is to be."""
        super().check_warm(model)
        assert isinstance(model, StoredTree)
        if self.tree_form == "flat" and (model.tree.kind == shape.MANAGER).any():
            raise ConfigError(f"{model.source} holds a tree with managers: leave tree='flat' out")
        if shape.broken(model.tree, self.limits).any():
            most = int(shape.children(model.tree).max())
            depth = int(shape.depth(model.tree, Limits(depth=DEEPEST)).max())
            raise ConfigError(
                f"{model.source} holds a tree of depth {depth}, with {most} children of an agent: raise max_depth or "
                "max_children"
            )

    def _check_planted(self, first: shape.Tree) -> None:
        """Raise where the tree there is at first is beyond this world's limits."""
        widest, deepest = int(shape.children(first).max()), 1 + int((first.kind == shape.MANAGER).any())
        if widest > self.limits.most:
            raise ConfigError(f"an agent has {widest} children at first: raise max_children, or lower agents")
        if deepest > self.limits.depth:
            raise ConfigError(
                f"the tree is of depth {deepest} at first: raise max_depth, or make it with tree='flat'"
            )

    def count_agents(self) -> int:
        """S."""
        return self.net.agents

    def _declare(self) -> None:
        """Spaces and draws."""
        d, s = self.domains, self.num_agents
        self.observation_space = spaces.Dict(sight.spaces_of(s, d) | forms.mask_spaces(self.form))
        self.action_space = spaces.Dict(forms.action_spaces(self.form))
        tokens = self.schedule.rows * self.texts.length
        wanders = {"wander": (tokens,), "wander/child": (s,)} if self.net.routing == "hard" else {}
        self.step_draws = rng.Draws(
            self.step_draws.shapes | {"ties": (s,), "errors": (gaps.CLUSTERS,)} | wanders
        )

    # ---- how it moves -------------------------------------------------------------------------------

    def start(self, draws: rng.DrawDict, state: TensorDict) -> TensorDict:
        """Trees as they were planted, of whom nothing is known."""
        fresh = self.begin(draws, state)
        w, s = self.num_worlds, self.num_agents
        fresh |= census.begin(w, s, self.domains, self.device)
        fresh |= gaps.begin(w, self.net.width, s, self.device)
        fresh |= self.trials.begin(self._weighed(fresh["nats"]), s, self.snapshots)
        return fresh | planted(self.models.tree) | {"total/updated": torch.zeros(w, device=self.device)}

    def advance(self, state: TensorDict, actions: TensorDict, draws: rng.DrawDict) -> Outcome:
        """Change the tree, learn the slice, sit the exam, judge what is on trial, deal the next slice."""
        clock, made = state["clock"], self._clock + 1
        alive = proposals.tree_of(state).alive
        bids, proposed = forms.said(self.form, actions)
        by_luck = draws["ties"].permutation()
        now = state | self.trials.carry_out(
            state,
            self.models,
            bids,
            proposed,
            luck=by_luck.argsort(-1),
            moving=self.moving,
        )
        if self.trials.fresh:
            self.models.open(self.moving, now["opening"])
        learns = self._choose(now, bids, by_luck)
        seen = self._learn(now, learns * bids if self.form == "rate" else learns.float(), draws)
        losses = seen.nats.mean(-1)
        now |= self._kept(now, seen, learns, draws)
        new = {**now, **self.go_on(now, draws, losses)}
        if bool(self.calendar.examined(made)[self._moving].any()):  # the host knows
            nats = self._weighed(new["nats"])
            new["standing"] = torch.where(self.calendar.examined(clock), nats, new["standing"])
            today = self._regular(clock) & self.moving
            new |= self.trials.judge(new, self.models, nats=nats, today=today)
        new |= planted(self.models.tree)
        agents = learns & (proposals.tree_of(now).kind != shape.ROOT)
        updated = agents.sum(-1) / (proposals.tree_of(now).alive.sum(-1) - 1).clamp_min(1)
        new |= {
            "total/cost": state["total/cost"] + 1,
            "total/updated": state["total/updated"] + updated,
        }
        progress = (new["score"] - state["score"]) * self.reward_scale
        info = {
            "slice_nats": losses,
            "nats": new["nats"].mean(-1),
            "updated": updated,
            "alive": proposals.tree_of(new).alive.sum(-1).float(),
            "learnt": learns.float(),
        }
        return Outcome(new, progress[:, None] * alive, info)

    def _regular(self, steps: Any) -> Any:
        """Whether a regular exam follows the last of so many steps, and the episode goes on."""
        return (steps % self.texts.exam_every == 0) & (steps < self.calendar.horizon)

    def _weighed(self, nats: Tensor) -> Tensor:
        """The mean over domains by their weights, ``[W]``, to 1/10,000."""
        return ((nats * self._weights).sum(-1) * 10_000).round() / 10_000

    def _choose(self, state: TensorDict, bids: Tensor, by_luck: Tensor) -> Tensor:
        """Who learns, bool ``[W, S]``: the root by its own bid, of the others the highest."""
        tree = proposals.tree_of(state)
        root = tree.kind == shape.ROOT
        wants = (bids > 0) & tree.alive
        offered = torch.where(wants & ~root, bids, 0.0)
        place = ranked(offered, by_luck).argsort(-1)
        return wants & (root | (place < self.capacity))

    def _learn(self, state: TensorDict, rates: Tensor, draws: rng.DrawDict) -> TreeStep:
        """One step of agents at shares ``[W, S]`` of the rate, and of the trunk at the root's."""
        clock = state["clock"]
        rates = rates * (self.warmed(clock) * self.moving)[:, None]
        root = (rates * (proposals.tree_of(state).kind == shape.ROOT)).sum(-1)
        wandering = None
        if self.net.routing == "hard":
            often = (0.3 * torch.exp((clock - 1) * (-5 / self.horizon))).clamp_min(0.05)
            wandering = Wandering(draws["wander"].uniform(), draws["wander/child"].uniform(), often)
        found: TreeStep = self.models.learn(self.tokens(state), rates, root, wandering)
        return found

    def _kept(self, state: TensorDict, seen: TreeStep, learns: Tensor, draws: rng.DrawDict) -> TensorDict:
        """What is kept of agents and of errors after a slice was learnt."""
        domains = self.dataset.dealt_labels(state["stream/slice"][:, 0])  # [W, B]
        known = domains[..., None] == torch.arange(self.domains, device=self.device)
        task = self.calendar.task
        begins = (task(state["clock"] - 1) != task(state["clock"] - 2)) & (state["clock"] > 1)
        return bookkeeping.after(
            state,
            self.models,
            seen,
            domains=known.float(),
            learns=learns,
            begins=begins,
            drawn=draws["errors"].integers(self.schedule.rows * self.texts.length),
            window=self.window,
        )

    def _end_tasks(self, state: TensorDict, made: np.ndarray, ending: np.ndarray) -> None:
        """Optimisers may begin anew."""
        if self.learning.fresh_optimiser:
            self.models.forget_moments(torch.from_numpy(ending).to(self.device))

    # ---- what is seen -------------------------------------------------------------------------------

    def observe(self, state: TensorDict) -> TensorDict:
        """The tables of this module's page, ``[W, S, …]``."""
        w, s = self.num_worlds, self.num_agents

        def alike(x: Tensor) -> Tensor:
            return x[:, None].expand(w, s, x.shape[-1])

        return {
            **sight.own(state, self.limits, self.horizon),
            "verdicts": alike(torch.stack([state[key].sum(-1) for key in ("tried", "kept", "undone")], -1)),
            "losses": alike(self.losses_seen(state)),
            "cards": alike(state["card"].clone()),
            "current_domain": alike(self.domain_seen(state)),
            "elapsed": alike((state["clock"].float() / self.horizon)[:, None]),
            **forms.masks(self.form, self.trials.legal(state), proposals.tree_of(state).alive),
        }

    def summary(self, state: TensorDict) -> TensorDict:
        """See Metrics."""
        return super().summary(state) | tree_metrics.summary(state, self.limits)

    def listening(self) -> Listening:
        """Who is below whom, and the mean weight of each."""
        state = self._begun()
        who = everyone(self.num_agents, self.device)
        below = (
            shape.child_of(proposals.tree_of(state)).mT * state["usage"][:, None]
        )  # [W, S, S], the upper first
        return Listening(BELOW, who, below.gather(2, who.expand(self.num_worlds, -1, -1)))

    def team_return(self) -> Tensor:
        """The root's, who is always there: a mean over slots, of which free ones earn nothing, would pay for agents."""
        root = proposals.tree_of(self._begun()).kind == shape.ROOT
        return (self._begun()["return"] * root).sum(-1)

    def cases(self, state: TensorDict) -> TensorDict:
        """See Metrics."""
        dealt = self.tasks if self.incremental else range(self.domains)
        return super().cases(state) | tree_metrics.cases(state, dealt)

    def picture(self, state: TensorDict, world: int, mode: str) -> str | np.ndarray:
        """The tree, and what its agents are used for."""
        from .picture_tree import as_image, as_text

        return as_text(self, state, world) if mode == "ansi" else as_image(self, state, world)
