"""K-1's hierarchy (documented system 2): agents earn trust, are pruned, merged, grown and moved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ....envs.engine import TensorDict, World, rng
from ....envs.errors import ConfigError, one_of, short
from ....envs.language import tree
from ....envs.language.colony import nothing
from ....envs.language.spans import span
from ....envs.validation import flag, real
from ...policy import Decision
from ..remembering import Remembering
from . import controller, diagnostic, reasons, structure
from .controller import Measured
from .gardening import Gardening
from .stopping import PROGRESS, stopped
from .structure import Found
from .trust import FIRST, judged, just_learnt, places

_EVERY = {"split": 0.1, "dissolve": 0.1, "prune": 0.02, "merge": 0.02, "move": 0.1, "grow": 0.002}
"""Share of the episode after which a rule is asked again."""
_CALMER = 0.8  # share of the learning rate that is left where trust is unstable
_UNSTABLE = diagnostic.FINDINGS.index("unstable_trust")
_FALL = 0.15  # share by which the perplexity may be above its best before all is rolled back
_MOVED = 0.1  # share of the agents that are moved when the tree is reorganised


class K1Hierarchy(Remembering, Gardening):
    """The documented policy, fed with measurements.

    Of the agents but the root, which learns always, k learn a slice. In phase 1 a score is gradient · (1 + trust), and
    one of the k is drawn from the rest; in phase 2 it is .4·gradient + .3·trust + .3·recency, gradients counting by
    their places. In phase 2 the tree is changed by the rules of :mod:`.structure`: pruning and merging every 2 % of
    the episode, growing every .2 %, reorganising (splits, dissolutions, a tenth of the agents moved) every 10 %; as
    one change at a time is on trial, what is seldom due goes first. :mod:`.controller` tunes thresholds, k,
    exploration, the learning rate and intervals, and where :mod:`.diagnostic` finds unstable trust, the rate is
    lowered. Shares are those of a documented run of 500,000 steps, at least 10 steps, and in episodes of 3,000 steps
    and fewer five times as many, but a tenth of the episode at most. Where the perplexity that the mean of the cards
    stands for is 15 % above its lowest, all is rolled back. :meth:`decisions` says why a tree was changed, and reports
    of runs keep it.

    Args:
        phase1: Share of the episode that phase 1 takes, likewise.
        merge: Similarity from which on siblings are merged.
        trust: Whether trust counts for who learns; else it is taken as 0.
        stops: Whether learning stops by the rules of :mod:`.stopping`; a next domain would then never be learnt.
        without: Names of operations that are never proposed.
        lr: Learning rate at first. Bids are shares of the world's ``lr``, which is the highest that there is.

    Raises:
        ConfigError: A value out of range, or ``without`` is no list.
        UnknownName: No such operation.
    """

    world_kwargs: Mapping[str, Any] = {"k": None, "actions": "rate", "lr": controller.BOUNDS["lr"][1]}

    def __init__(
        self,
        phase1: float = 0.02,
        merge: float = 0.85,
        trust: bool = True,
        stops: bool = False,
        without: Sequence[str] = (),
        lr: float = 0.003,
    ) -> None:
        self.phase1 = real("phase1 (share of the episode)", phase1, 0, 1)
        self.merge = real("merge (similarity)", merge, 0, 1)
        self.trust, self.stops = flag("trust", trust), flag("stops", stops)
        if isinstance(without, str) or not isinstance(without, Sequence):
            raise ConfigError(f"without must be a list of operations, got {short(without)}")
        self.without = {one_of("operation", name, tree.OPERATIONS[1:]) for name in without}
        self.lr = real("lr", lr, *controller.BOUNDS["lr"])

    def bind(self, world: World) -> None:
        """Turn shares of the episode into steps."""
        super().bind(world)
        horizon = world.horizon
        self.first = span(self.phase1, horizon) if self.phase1 else 0
        self.every = {name: span(share, horizon) for name, share in _EVERY.items()}
        self.window, self.probation = span(0.02, horizon), span(0.002, horizon)
        self.look = span(0.01, horizon)

    def start(self) -> Mapping[str, Tensor]:
        """Trust of .3; nothing was done, and no loss is known."""
        n = self.world.num_agents
        of_agents = {"trust": FIRST, "learnt": 0.0, "alive": 1.0, "mother": -1.0, "error": 0.0, "born": 0.0}
        of_worlds = {
            **controller.start(self.lr),
            **{f"last/{name}": 0.0 for name in _EVERY},
            **{"loss": math.inf, "mean": math.inf, "square": math.inf, "best": math.inf, "stale": 0.0},
            **{"moves": 0.0, "asked": 0.0, "asked/who": 0.0, "tried": 0.0, "undone": 0.0},
            **{"lowest": math.inf, "rolled_at": -1.0},
        }
        found = {name: torch.full((n,), value) for name, value in of_agents.items()}
        found |= {name: torch.full((1,), value) for name, value in of_worlds.items()}
        return found | {"findings": torch.zeros(len(diagnostic.FINDINGS)), **reasons.start()}

    def act(self, obs: TensorDict) -> TensorDict:
        """Who learns, and one proposal at most."""
        steps = self.world.steps[:, None]
        self._remember(obs, steps)
        self._tune(obs, steps)
        second = steps >= self.first
        operation, reason = self._operation(obs, steps)
        operation = operation * second
        bids = self._bids(obs, second)
        if self.stops:
            memory = self.memory
            over = stopped(memory["stale"], memory["mean"], memory["square"], self.every["move"])
            bids, operation = bids * ~over, operation * ~over
        self.memory = {
            **self.memory,
            **reasons.kept(self.memory, (operation > 0).any(-1, keepdim=True), reason),
        }
        share = self.memory["lr"] / self.garden.learning.lr
        return {"bid": (bids * share.clamp(max=1.0))[..., None], "operation": operation}

    def decisions(self, world: int) -> list[Decision]:
        """The last operations proposed in a world, each with its rule and the figures that this went by."""
        return reasons.told(self.memory, world)

    # ---- what is remembered -------------------------------------------------------------------------

    def _remember(self, obs: TensorDict, steps: Tensor) -> None:
        """What the last slice says of those who learnt the one before it, and who came."""
        old, alive = self.memory, obs["alive"][..., 0]
        nats = math.log(self.garden.net.vocabulary)
        now = obs["losses"][:, :1, 0] * nats
        begun = steps > 0
        trust = judged(old["trust"], old["learnt"] > 0, old["loss"], now)
        young = obs["record"][..., 5] * self.world.horizon < 1.5  # else one is back from an undone trial
        came = (alive > 0) & (old["alive"] == 0) & young
        grown = came & (old["asked"] == tree.GROW)
        sibling = old["asked/who"].long().expand_as(came).clamp_min(0)
        merged = (old["asked"] == tree.MERGE) & ((alive == 0) & (old["alive"] > 0)).any(-1, keepdim=True)
        gone = ((alive == 0) & (old["alive"] > 0)).float().argmax(-1, keepdim=True)
        own = torch.arange(alive.shape[1], device=alive.device) == old["asked/who"]
        trust = torch.where(merged & own, torch.maximum(trust, trust.gather(1, gone)), trust)
        trust = torch.where(came, FIRST, trust)
        mean = obs["losses"][:, :1, 1] * nats
        better = mean < old["best"] - PROGRESS
        weight = 2 / (self.window + 1)
        known = old["square"].isfinite()
        share = obs["gap"][..., 0] * mean
        self.memory = {
            **old,
            "trust": trust,
            "learnt": just_learnt(obs).float(),
            "alive": alive,
            "loss": torch.where(begun, now, math.inf),
            "mean": torch.where(begun, mean, math.inf),
            "square": torch.where(known, old["square"].lerp(now.square(), weight), now.square()),
            "best": torch.where(begun & better, mean, old["best"]),
            "stale": torch.where(better, 0.0, old["stale"] + 1),
            "mother": torch.where(grown, sibling.float(), torch.where(alive > 0, old["mother"], -1.0)),
            "error": torch.where(grown, share.gather(1, sibling) + share, old["error"]),
            "born": torch.where(came, steps.float(), old["born"]),
            "asked": torch.zeros_like(old["asked"]),
        }

    def _tune(self, obs: TensorDict, steps: Tensor) -> None:
        """Let the controller and the diagnostic look, every .2 and 1 % of the episode."""
        memory, alive = self.memory, obs["alive"][..., 0] > 0
        tried, _, undone = obs["verdicts"][:, :1].unbind(-1)
        distrusted = (alive & (memory["trust"] < 0.15)).sum(-1, keepdim=True) / alive.sum(-1, keepdim=True)
        found = Measured(
            undone - memory["undone"],
            distrusted,
            memory["mean"],
            memory["best"],
            memory["stale"],
            (tried - memory["tried"]) / self.window,
        )
        due = (steps >= self.first) & (steps % self.every["grow"] == 0) & (steps > 0)
        memory = {**memory, **controller.tuned(memory, found, due, 2 * self.window)}
        anew = steps % self.window == 0
        looks = steps % self.look == 0
        looked = diagnostic.found(obs, memory["trust"], memory["stale"], 2 * self.window, self.merge).float()
        calmer = looks & (steps >= self.first) & (looked[:, _UNSTABLE, None] > 0)
        lr = torch.where(calmer, memory["lr"] * _CALMER, memory["lr"]).clamp(*controller.BOUNDS["lr"])
        self.memory = {
            **memory,
            "lr": lr,
            "undone": torch.where(anew, undone, memory["undone"]),
            "tried": torch.where(anew, tried, memory["tried"]),
            "findings": torch.where(looks, looked, memory["findings"]),
        }

    def findings(self) -> Tensor:
        """What the diagnostic found last, bool ``[W, 5]``; see :data:`~.diagnostic.FINDINGS`."""
        return self.memory["findings"] > 0

    # ---- what is done -------------------------------------------------------------------------------

    def _bids(self, obs: TensorDict, second: Tensor) -> Tensor:
        """1 of the root, and of the k that learn, ``[W, N]``."""
        memory, alive = self.memory, obs["alive"][..., 0] > 0
        root = obs["own_features"][..., 0] > 0
        others = alive & ~root
        trust = memory["trust"] if self.trust else torch.zeros_like(memory["trust"])
        size, k = obs["gradient"][..., 0], memory["k"]
        count = others.sum(-1, keepdim=True)
        since = structure.steps_of(obs["record"][..., 3])
        recency = (since * k / (2 * count).clamp_min(1)).clamp(max=1.0)
        first = 10.0**size * (1 + trust)
        later = 0.4 * places(size, others) + 0.3 * trust + 0.3 * recency
        scores = torch.where(others, torch.where(second, later, first), -torch.inf)
        key = rng.fold(self.world.keys, self.world.steps)
        luck = rng.draw(key, "policy/slot", (scores.shape[1] + 1,)).uniform()
        lucky = ~second | (luck[:, -1:] < memory["exploration"])
        ahead = scores[..., None, :] > scores[..., None]
        equal = scores[..., None, :] == scores[..., None]
        above = (ahead | (equal & (luck[:, None, :-1] > luck[:, :-1, None]))).sum(-1)
        sure = others & (above < k - lucky.float())
        rest = torch.where(others & ~sure, luck[:, :-1], -1.0)
        drawn = (rest == rest.amax(-1, keepdim=True)) & (rest >= 0) & lucky
        return (root | sure | drawn).float()

    def _operation(self, obs: TensorDict, steps: Tensor) -> tuple[Tensor, Tensor]:
        """One proposal at most in each world, of the first rule that is due and finds somebody; of equal ones by luck.

        Returns:
            Operations, int64 ``[W, N]``, and the reason of the one there is (:mod:`.reasons`).
        """
        fallen, failed = self._fallen(obs), self._failed(obs, steps)
        memory, trust = self.memory, self.memory["trust"]
        legal = obs["operation_mask"] > 0
        free = legal[..., 1:].any(-1).any(-1, keepdim=True)
        due = {
            name: steps - memory[f"last/{name}"] >= every * memory["stretch"]
            for name, every in self.every.items()
        }
        opens = due["move"] & free
        moves = torch.where(opens, (trust.shape[1] * _MOVED) // 1 + 1, memory["moves"])
        new = {**memory, "last/move": torch.where(opens, steps.float(), memory["last/move"])}
        always = torch.ones_like(free)
        due |= {"roll back": always, "fail": always, "move": moves > 0}
        rules = [
            ("roll back", tree.ROLL_BACK, fallen),
            ("fail", tree.RETIRE, failed),
            ("split", tree.SPLIT, structure.split(obs)),
            ("dissolve", tree.DISSOLVE, structure.dissolve(obs, self.window)),
            ("prune", tree.RETIRE, structure.prune(obs, trust, memory["deletion"], self.window)),
            ("merge", tree.MERGE, structure.merge(obs, trust, self.merge)),
            ("move", tree.MOVE, structure.move(obs)),
            ("grow", tree.GROW, structure.grow(obs, trust, self.window // 2)),
        ]
        operation = torch.zeros_like(trust, dtype=torch.int64)
        reason = reasons.none(trust)
        key = rng.fold(self.world.keys, self.world.steps)
        luck = rng.draw(key, "policy/rule", trust.shape[1:]).uniform()
        done = ~free
        for name, number, found in rules:
            if tree.OPERATIONS[number] in self.without:
                continue
            able = torch.where(legal[..., number], found.scores, -torch.inf)
            best = able.amax(-1, keepdim=True)
            asked = due[name] & ~done
            now = asked & (best > -torch.inf)
            who = torch.where(able == best, luck, -1.0).argmax(-1, keepdim=True)
            chosen = torch.arange(trust.shape[1], device=trust.device) == who
            operation = torch.where(now & chosen, number, operation)
            new["asked"] = torch.where(now, float(number), new["asked"])
            new["asked/who"] = torch.where(now, who.float(), new["asked/who"])
            if not nothing(now):
                reason = torch.where(now, reasons.numbers(name, found, who, number, steps), reason)
            if name == "move":
                moves = torch.where(asked, (moves - 1) * now, moves)
            elif name in self.every:  # asked in vain counts as well
                new[f"last/{name}"] = torch.where(asked, steps.float(), new[f"last/{name}"])
            done = done | now
        new["moves"] = moves
        rolled = new["asked"] == tree.ROLL_BACK
        new["rolled_at"] = torch.where(rolled, self._card(obs), memory["rolled_at"])
        self.memory = new
        return operation, reason

    def _card(self, obs: TensorDict) -> Tensor:
        """Mean of the cards, ``[W, 1]``."""
        return obs["cards"][:, 0].mean(-1, keepdim=True)

    def _fallen(self, obs: TensorDict) -> Found:
        """The root, where the cards are much worse than at their best; once for each exam."""
        card = self._card(obs)
        lowest = torch.minimum(self.memory["lowest"], card)
        self.memory = {**self.memory, "lowest": lowest}
        above = (card - lowest) * math.log(self.garden.net.vocabulary)  # of a card of 1
        fallen = (above > math.log1p(_FALL)) & (card != self.memory["rolled_at"])
        return structure.roll_back(obs, above, fallen)

    def _failed(self, obs: TensorDict, steps: Tensor) -> Found:
        """Newborn agents whose probation is over and who closed too little of their gap; the others are trusted."""
        memory = self.memory
        mother = memory["mother"].long()
        error = obs["gap"][..., 0] * memory["mean"]
        left = error + error.gather(1, mother.clamp_min(0))
        closed = 1 - left / memory["error"].clamp_min(1e-9)
        over = (mother >= 0) & (steps - memory["born"] >= self.probation)
        trusted = over & (closed > structure.CLOSED)
        trust = torch.where(trusted, structure.REWARDED, memory["trust"])
        failed = structure.fail(closed, over)
        stays = torch.where(over & ~failed.scores.isfinite(), -1.0, memory["mother"])
        self.memory = {**memory, "trust": trust, "mother": stays}
        return failed
