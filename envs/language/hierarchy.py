"""hierarchy-v0: experts in a tree share a trunk, learn by turns, and are hired, retired, merged and moved.

PAGE
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ...learners.transformer import Transformer
from ...learners.tree_model import TreeStep, TreeTransformer, Wandering
from ..engine import rng
from ..engine.parts import Part
from ..engine.state import TensorDict
from ..engine.world import Outcome
from ..errors import ConfigError, one_of
from ..validation import afford, real, whole
from . import census, gaps, operations
from . import tree as shape
from .base import LanguageWorld
from .colony import Colony
from .tree import DISSOLVE, GROW, MERGE, MOVE, NOTHING, OPERATIONS, RETIRE, ROLL_BACK, SPLIT, Limits

FORMS = ("bid", "discrete")
_HEARD = 32  # tokens of a slice by which it is told who says the like
_MANY = 3_000  # steps up to which an episode counts as short


def span(share: float, horizon: int) -> int:
    """Steps that are a share of an episode, at least 10; of one of 3,000 steps or fewer five times as many."""
    return max(10, round(share * horizon * (5 if horizon <= _MANY else 1)))


class Hierarchy(LanguageWorld):
    """The batched world behind ``hierarchy-v0``; this module's page documents every argument.

    Attributes:
        form: Of actions.
        capacity: Agents at most, beside the root, that learn a slice.
        limits: Of the trees.
        trial: Steps that an operation is on trial at least.
        protect: Steps that agents are protected after one that was undone.
        window: Steps that the usage shown is of.
    """

    net: TreeTransformer
    refused_arguments: ClassVar[Mapping[str, str]] = {
        **LanguageWorld.refused_arguments,
        "warm": "its models have a tree, and files hold transformers",
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
        self._of_agents = {
            "agents": whole("agents", agents, 2),
            "expert_hidden": whole("expert_hidden", expert_hidden, 1),
            "sharpness": sharpness,
            "routing": routing,
        }
        self.tree_form = one_of("tree", tree, ("balanced", "flat"))
        self.limits = Limits(
            depth=whole("max_depth", max_depth, 1, 32),
            most=whole("max_children", max_children, 1),
            fewest=whole("min_children", min_children, 1),
        )
        self.snapshots = whole("snapshots", snapshots, 1, 5)
        self.form = one_of("form of actions", actions, FORMS)
        self.k = None if k is None else whole("k (agents that learn)", k, 1)
        self.capacity = agents if self.k is None else self.k
        self.grow_form = one_of("grow", grow, ("halve", "fresh"))
        self.tolerance = real("tolerance", tolerance, 0)
        super().__init__(layers=layers, **others)
        self.trial = span(0.002, self.horizon) if trial is None else whole("trial (steps)", trial, 1)
        self.protect = span(0.02, self.horizon) if protect is None else whole("protect (steps)", protect, 0)
        self.window = span(0.02, self.horizon)
        afford(
            self.num_worlds,
            "slice_size, length, agents or expert_hidden",
            slice_size=self.schedule.rows,
            length=self.texts.length,
            agents=agents,
            hidden=self.net.expert_hidden,
        )
        widest = int(shape.children(shape.plant(agents, tree, 1, torch.device("cpu"))).max())
        if widest > self.limits.most:
            raise ConfigError(f"an agent has {widest} children at first: raise max_children, or lower agents")
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
        )

    def count_agents(self) -> int:
        """S."""
        return self.net.agents

    def _declare(self) -> None:
        """Spaces and draws."""
        d, s, any_number = self.domains, self.num_agents, (-np.inf, np.inf)
        choices = len(OPERATIONS) + (self.form == "discrete")
        name = "action_mask" if self.form == "discrete" else "operation_mask"
        self.observation_space = spaces.Dict(
            {
                "alive": spaces.Box(0, 1, (1,), np.float32),
                "own_features": spaces.Box(0, 1, (5,), np.float32),
                "record": spaces.Box(0, 1, (6,), np.float32),
                "similarity": spaces.Box(-1, 1, (1,), np.float32),
                "together": spaces.Box(-1, 1, (2,), np.float32),
                "links": spaces.Box(-1, s, (2,), np.float32),
                "gap": spaces.Box(0, 1, (2,), np.float32),
                "trial": spaces.Box(0, 1, (2,), np.float32),
                "verdicts": spaces.Box(0, np.inf, (3,), np.float32),
                "losses": spaces.Box(*any_number, (3,), np.float32),
                "cards": spaces.Box(0, np.inf, (d,), np.float32),
                "current_domain": spaces.Box(0, 1, (d,), np.float32),
                "elapsed": spaces.Box(0, 1, (1,), np.float32),
                name: spaces.Box(0, 1, (choices,), np.int8),
            }
        )
        self.action_space = spaces.Dict(
            {"choice": spaces.Discrete(choices)}
            if self.form == "discrete"
            else {
                "bid": spaces.Box(0, 1, (1,), np.float32),
                "operation": spaces.Discrete(choices),
            }
        )
        tokens = self.schedule.rows * self.texts.length
        wanders = {"wander": (tokens,), "wander/child": (s,)} if self.net.routing == "hard" else {}
        self.step_draws = rng.Draws(
            self.step_draws.shapes | {"ties": (s,), "errors": (gaps.CLUSTERS,)} | wanders
        )

    # ---- how it moves -------------------------------------------------------------------------------

    def start(self, draws: TensorDict, state: TensorDict) -> TensorDict:
        """Trees as they were planted, of whom nothing is known."""
        fresh = self.begin(draws, state)
        w, s = self.num_worlds, self.num_agents
        fresh |= census.begin(w, s, self.domains, self.device)
        fresh |= gaps.begin(w, self.net.width, s, self.device)
        none = torch.zeros(w, dtype=torch.int64, device=self.device)
        counts = torch.zeros(w, len(OPERATIONS), device=self.device)
        copies = torch.full((w, self.snapshots), torch.inf, device=self.device)
        return fresh | {
            **self._planted(),
            "trial/operation": none,
            "trial/since": none,
            "trial/nats": copies[:, 0],
            "trial/touched": torch.zeros(w, s, dtype=torch.bool, device=self.device),
            "tried": counts,
            "kept": counts,
            "undone": counts,
            "copies": copies,
            "total/updated": counts[:, 0],
        }

    def _planted(self) -> TensorDict:
        """The trees, as the state keeps them for everyone to see."""
        return {f"tree/{name}": value.clone() for name, value in self.models.tree._asdict().items()}

    def tree_of(self, state: TensorDict) -> shape.Tree:
        """The trees in a state."""
        return shape.Tree(state["tree/kind"], state["tree/parent"], state["tree/gate"])

    def advance(self, state: TensorDict, actions: TensorDict, draws: TensorDict) -> Outcome:
        """Change the tree, learn the slice, sit the exam, judge what is on trial, deal the next slice."""
        clock, made = state["clock"], self._clock + 1
        alive = self.tree_of(state).alive
        bids, proposed = self._read(actions)
        now = {**state, **self._operate(state, bids, proposed, draws)}
        learns = self._choose(now, bids, draws)
        seen = self._learn(now, learns, draws)
        losses = seen.nats.mean(-1)
        now |= self._kept(now, seen, learns, draws)
        new = {**now, **self.go_on(now, draws, losses)}
        if bool((self.calendar.examined(made) & (made < self.horizon))[self._moving].any()):
            new |= self._judge(new, (self.calendar.examined(clock) & (clock < self.horizon)) & self.moving)
        new |= self._planted()
        agents = learns & (self.tree_of(now).kind != shape.ROOT)
        updated = agents.sum(-1) / (self.tree_of(now).alive.sum(-1) - 1).clamp_min(1)
        new |= {
            "total/cost": state["total/cost"] + 1,
            "total/updated": state["total/updated"] + updated,
            "sound": losses.isfinite()[:, None],
        }
        progress = (new["score"] - state["score"]) * self.reward_scale
        info = {
            "slice_nats": losses,
            "nats": new["nats"].mean(-1),
            "updated": updated,
            "alive": self.tree_of(new).alive.sum(-1).float(),
            "learnt": learns.float(),
        }
        return Outcome(new, progress[:, None] * alive, info)

    def _read(self, actions: TensorDict) -> tuple[Tensor, Tensor]:
        """Bids ``[W, S]`` and proposed operations int64 ``[W, S]``."""
        if self.form == "discrete":
            choice = actions["choice"]
            proposed = torch.where((choice > 1) & (choice <= len(OPERATIONS)), choice - 1, NOTHING)
            return (choice == 1).float(), proposed
        bids, proposed = actions["bid"][..., 0].detach(), actions["operation"]
        known = (proposed >= 0) & (proposed < len(OPERATIONS))
        return torch.where(bids.isfinite(), bids.clamp(0, 1), 0.0), torch.where(known, proposed, NOTHING)

    def legal(self, state: TensorDict) -> Tensor:
        """Which operations agents may propose now, bool ``[W, S, 8]``."""
        return shape.legal(
            self.tree_of(state),
            self.limits,
            protected=state["protected"] > 0,
            busy=state["trial/operation"] > 0,
            kept=state["copies"].isfinite().sum(-1),
        )

    def _operate(self, state: TensorDict, bids: Tensor, proposed: Tensor, draws: TensorDict) -> TensorDict:
        """Carry out the operation of the highest bid in each world that moves; equal ones are drawn."""
        tree, models = self.tree_of(state), self.models
        able = self.legal(state).gather(-1, proposed[..., None])[..., 0] & (proposed != NOTHING)
        offered = torch.where(able, bids, -1.0)
        highest = able & (offered == offered.amax(-1, keepdim=True))
        place = rng.permutation(draws["ties"]).argsort(-1)
        who = torch.where(highest, place, self.num_agents).argmin(-1)
        due = able.any(-1) & self.moving
        operation = torch.where(due, proposed.gather(1, who[:, None])[:, 0], NOTHING)

        def of(scores: Tensor, allowed: Tensor) -> Tensor:
            return shape.best(scores, allowed).gather(1, who[:, None])[:, 0]

        mates = shape.siblings(tree) & ~(state["protected"] > 0)[:, None]
        mates &= self._fit(tree)
        mate = of(census.similarity(state), mates)
        home = of(census.cosines(state["together"]), shape.homes(tree, self.limits))
        gap = gaps.oldest(state, who)
        change = operations.unchanged(tree)
        change = operations.retire(change, operation == RETIRE, who)
        change = operations.merge(change, operation == MERGE, who, mate)
        if self.grow_form == "halve":
            change = operations.grow(change, operation == GROW, who)
        else:
            change = operations.hire(change, operation == GROW, who, models.offsets)
        change = operations.move(change, operation == MOVE, who, home, models.offsets, self.limits)
        change = operations.split(change, operation == SPLIT, who, self._half(state, who))
        change = operations.dissolve(change, operation == DISSOLVE, who, models.offsets)
        changes = (operation != NOTHING) & (operation != ROLL_BACK)
        models.apply(changes, change, self._routes(state, gap, who))
        rolls = operation == ROLL_BACK
        models.roll_back(rolls)
        copies = torch.cat([state["copies"][:, 1:], torch.full_like(state["copies"][:, :1], torch.inf)], -1)
        counts = torch.nn.functional.one_hot(operation, len(OPERATIONS)) * due[:, None]
        grown = (operation == GROW)[:, None]
        new: TensorDict = {
            **self._planted(),
            "trial/operation": torch.where(changes, operation, state["trial/operation"]),
            "trial/since": torch.where(changes, state["clock"], state["trial/since"]),
            "trial/nats": torch.where(changes, self._weighed(state["nats"]), state["trial/nats"]),
            "trial/touched": torch.where(changes[:, None], change.touched, state["trial/touched"]),
            "tried": state["tried"] + counts,
            "kept": state["kept"] + counts * rolls[:, None],
            "copies": torch.where(rolls[:, None], copies, state["copies"]),
            "gap/age": torch.where(gap & grown, 0.0, state["gap/age"]),
        }
        new |= self._anew(tree, {**state, **new})
        if self.grow_form == "fresh":
            opening = torch.where(change.aimed & grown, 1 / self.trial, new["opening"])
            new |= {"opening": opening}
            models.open(self.moving, opening)
        return new | self._planted()

    def _fit(self, tree: shape.Tree) -> Tensor:
        """Whether two agents have no more children together than one may have, bool ``[W, S, S]``."""
        count = shape.children(tree)
        return count[..., None] + count[:, None] <= self.limits.most

    def _anew(self, before: shape.Tree, state: TensorDict) -> TensorDict:
        """What is kept of agents where some came or went since a tree."""
        return census.anew(state, self.tree_of(state).alive != before.alive)

    def _half(self, state: TensorDict, who: Tensor) -> Tensor:
        """The children that a split takes from an agent: those most often active with its busiest, half of them."""
        tree = self.tree_of(state)
        own = shape.child_of(tree).gather(2, who[:, None, None].expand(-1, self.num_agents, 1))[..., 0]
        busiest = torch.where(own, (state["usage"] * 10_000).round(), -1.0).argmax(-1)
        with_it = census.cosines(state["together"])[torch.arange(len(who), device=who.device), busiest]
        slots = torch.arange(self.num_agents, device=who.device)
        score = torch.where(slots == busiest[:, None], 2_000.0, (with_it * 1000).round())
        place = torch.where(own, score, -torch.inf).argsort(dim=-1, descending=True, stable=True).argsort(-1)
        return own & (place < own.sum(-1, keepdim=True) // 2)

    def _routes(self, state: TensorDict, gap: Tensor, who: Tensor) -> Tensor:
        """Routes of newborn agents, ``[W, S, E]``: to the gap, or as the leaf's beside which they are born."""
        routes = self.models.experts[4].view(len(who), self.num_agents, -1)
        own = routes[torch.arange(len(who), device=who.device), who]
        centre = (gaps.centres(state) * gap[..., None]).sum(1)
        to = torch.where(gap.any(-1, keepdim=True), centre, own)
        return to[:, None].expand_as(routes)

    def _weighed(self, nats: Tensor) -> Tensor:
        """The mean over domains by their weights, ``[W]``, to 1/10,000."""
        return ((nats * self._weights).sum(-1) * 10_000).round() / 10_000

    def _choose(self, state: TensorDict, bids: Tensor, draws: TensorDict) -> Tensor:
        """Who learns, bool ``[W, S]``: the root by its own bid, of the others the highest."""
        tree = self.tree_of(state)
        root = tree.kind == shape.ROOT
        wants = (bids > 0) & tree.alive
        offered = torch.where(wants & ~root, bids, 0.0)
        by_luck = rng.permutation(draws["ties"])
        order = by_luck.gather(
            1, offered.gather(1, by_luck).argsort(dim=-1, descending=True, stable=True)
        )
        place = order.argsort(-1)
        return wants & (root | (place < self.capacity))

    def _learn(self, state: TensorDict, learns: Tensor, draws: TensorDict) -> TreeStep:
        """One step of those who learn, and of the trunk where the root does."""
        clock = state["clock"]
        rate = self.warmed(clock) * self.moving
        root = (learns & (self.tree_of(state).kind == shape.ROOT)).any(-1)
        wandering = None
        if self.net.routing == "hard":
            often = max(0.05, 0.3 * math.exp(-float(self._clock.max()) / (0.2 * self.horizon)))
            wandering = Wandering(rng.uniform(draws["wander"]), rng.uniform(draws["wander/child"]), often)
        found: TreeStep = self.models.learn(
            self.tokens(state), learns * rate[:, None], root * rate, wandering
        )
        return found

    def _kept(self, state: TensorDict, seen: TreeStep, learns: Tensor, draws: TensorDict) -> TensorDict:
        """What is kept of agents and of errors after a slice was learnt."""
        models, rows, length = self.models, self.schedule.rows, self.texts.length
        paths, experts = models.paths(), models.experts
        domains = self.dataset.dealt_labels(state["stream/slice"][:, 0])  # [W, B]
        known = domains[..., None] == torch.arange(self.domains, device=self.device)
        heard = torch.linspace(0, rows * length - 1, min(_HEARD, rows * length), device=self.device).long()
        said = self.net.answers(experts, seen.x[:, heard])
        begins = (self.calendar.task(state["clock"] - 1) != self.calendar.task(state["clock"] - 2)) & (
            state["clock"] > 1
        )
        now = {**state, "earlier": torch.where(begins[:, None], state["updates"], state["earlier"])}
        weights = seen.weights.unflatten(1, (rows, length))
        new = census.after(now, weights, said, known.float(), learns, self.window)
        new |= {"earlier": now["earlier"], "protected": (state["protected"] - 1).clamp_min(0)}
        drawn = rng.integers(draws["errors"], rows * length)
        points = seen.x.gather(1, drawn[..., None].expand(-1, -1, self.net.width))
        errors = (seen.nats - seen.nats.mean(-1, keepdim=True)).gather(1, drawn).clamp_min(0)
        new |= gaps.after(state, points, errors)
        at_gaps = self.net.leaf_weights(experts, paths, gaps.centres(new))
        return new | gaps.served(new, at_gaps)

    def _judge(self, state: TensorDict, today: Tensor) -> TensorDict:
        """End trials by the exam, where there is one today, bool ``[W]``; keep a copy of the best so far."""
        nats, operation = self._weighed(state["nats"]), state["trial/operation"]
        due = today & (operation > 0) & (state["clock"] - state["trial/since"] >= self.trial)
        worse = due & ~(nats <= state["trial/nats"] * (1 + self.tolerance))
        before = self.models.tree
        before = shape.Tree(*(value.clone() for value in before))
        self.models.undo(worse, state["trial/touched"])
        counts = torch.nn.functional.one_hot(operation, len(OPERATIONS))
        new: TensorDict = {
            **self._planted(),
            "kept": state["kept"] + counts * (due & ~worse)[:, None],
            "undone": state["undone"] + counts * worse[:, None],
            "trial/operation": torch.where(due, NOTHING, operation),
            "opening": torch.where(due[:, None], 0.0, state["opening"]),
        }
        new |= self._anew(before, {**state, **new})
        guarded = worse[:, None] & state["trial/touched"]
        new["protected"] = torch.where(guarded, float(self.protect), new["protected"])
        quiet = today & (new["trial/operation"] == NOTHING) & ~worse
        better = quiet & (nats < state["copies"][:, 0])
        self.models.take_snapshot(better)
        copies = torch.cat([nats[:, None], state["copies"][:, :-1]], -1)
        return new | {"copies": torch.where(better[:, None], copies, state["copies"])}

    def _end_tasks(self, state: TensorDict, made: np.ndarray, ending: np.ndarray) -> None:
        """Optimisers may begin anew."""
        if self.learning.fresh_optimiser:
            self.models.forget_moments(torch.from_numpy(ending).to(self.device))

    # ---- what is seen -------------------------------------------------------------------------------

    def observe(self, state: TensorDict) -> TensorDict:
        """The tables of this module's page, ``[W, S, …]``."""
        w, s = self.num_worlds, self.num_agents
        tree = self.tree_of(state)
        alive = tree.alive

        def alike(x: Tensor) -> Tensor:
            return x[:, None].expand(w, s, x.shape[-1])

        kinds = torch.stack([tree.kind == kind for kind in (shape.ROOT, shape.MANAGER, shape.EXPERT)], -1)
        deep = shape.depth(tree, self.limits) / self.limits.depth
        wide = shape.children(tree) / self.limits.most
        legal = self.legal(state)
        if self.form == "discrete":
            learn = torch.stack([torch.ones_like(alive), alive], -1)
            legal = torch.cat([learn, legal[..., 1:]], -1)
        name = "action_mask" if self.form == "discrete" else "operation_mask"
        counts = torch.stack([state[key].sum(-1) for key in ("tried", "kept", "undone")], -1)
        busy = state["trial/touched"] & (state["trial/operation"] > 0)[:, None]
        return {
            "alive": alive[..., None].float(),
            "own_features": torch.cat([kinds.float(), deep[..., None], wide[..., None]], -1).clamp(0, 1),
            "record": self._record(state) * alive[..., None],
            **self._company(state, tree),
            "gap": torch.stack([state["gap/share_of"], _aged(state["gap/age_of"])], -1).clamp(0, 1),
            "trial": torch.stack([busy, state["protected"] > 0], -1).float(),
            "verdicts": alike(counts),
            "losses": alike(self.losses_seen(state)),
            "cards": alike(self.cards(state)),
            "current_domain": alike(self.domain_seen(state)),
            "elapsed": alike((state["clock"].float() / self.horizon)[:, None]),
            name: legal.to(torch.int8),
        }

    def _record(self, state: TensorDict) -> Tensor:
        """``[W, S, 6]``; see the page."""
        age = state["age"]
        told = [
            state["usage"],
            state["usage/window"],
            state["updates"] / age.clamp_min(1),
            _aged(state["since"]),
            _aged(state["idle"]),
            age / self.horizon,
        ]
        return torch.stack(told, -1).clamp(0, 1)

    def _company(self, state: TensorDict, tree: shape.Tree) -> TensorDict:
        """Of the most similar sibling, the parent, and the manager who is most often active with an agent."""
        alike, together = census.similarity(state), census.cosines(state["together"])
        mate = shape.best(alike, shape.siblings(tree) & self._fit(tree))
        home = shape.best(together, shape.homes(tree, self.limits))
        below = tree.alive & (tree.kind != shape.ROOT)

        def at(scores: Tensor, who: Tensor) -> Tensor:
            found = scores.gather(2, who.clamp_min(0)[..., None])[..., 0]
            return torch.where(who >= 0, found, 0.0).clamp(-1, 1)

        parent = torch.where(below, tree.parent, -1)
        return {
            "similarity": at(alike, mate)[..., None],
            "together": torch.stack([at(together, parent), at(together, home)], -1),
            "links": torch.stack([parent, mate], -1).float(),
        }

    def summary(self, state: TensorDict) -> TensorDict:
        """See Metrics."""
        tree = self.tree_of(state)
        return super().summary(state) | {
            "updates": state["updates"],
            "updated": state["total/updated"] / state["clock"].clamp_min(1),
            "alive": tree.alive.sum(-1),
            "experts": (tree.kind == shape.EXPERT).sum(-1),
            "managers": (tree.kind == shape.MANAGER).sum(-1),
            "depth": shape.depth(tree, self.limits).amax(-1),
            "tried": state["tried"].sum(-1),
            "undone": state["undone"].sum(-1),
        }

    def cases(self, state: TensorDict) -> TensorDict:
        """See Metrics."""
        tree = self.tree_of(state)
        found = super().cases(state)
        for number, name in enumerate(OPERATIONS[1:], start=1):
            found |= {f"{key}/{name}": state[key][:, number] for key in ("tried", "kept", "undone")}
        under = shape.child_of(tree) & (tree.kind == shape.ROOT)[:, None]
        below = tree.alive & (tree.kind != shape.ROOT)
        return found | {
            "specialisation/routed": census.specialisation(state["routed"], below),
            "specialisation/updates": census.specialisation(state["taught"], below),
            "updates_on_earlier": state["fell/earlier"] / state["fell/all"],
            "domain_information": census.information(state["routed"], under.any(-1)),
        }

    @property
    def milestones(self) -> tuple[int, ...]:
        """None: nothing is left in files."""
        return ()

    def leave(self, world: int, folder: Path) -> None:
        """Nothing."""


def _aged(steps: Tensor) -> Tensor:
    """T / (t + 10), 1 of infinity."""
    return torch.where(steps.isfinite(), steps / (steps + 10), 1.0)
