"""Order and shares: which items of the stream split an agent sees, and when.

A schedule hands out indices, never data: int64 ``[W, A, B]`` into the class-sorted stream split, with
A = 1 where one slice serves all agents and A = N where slices are their own; −1 means "nothing left".

=====================  ===========================================================================
order                  items of a slice
=====================  ===========================================================================
``iid``                drawn independently from the whole split
``passes``             dealt from a shuffled pass; when it is used up, a new one is shuffled
``single_pass``        dealt from one shuffled pass; the episode ends when it is used up
``topical``            drawn from a few classes, which change every ``topic_steps`` steps
``class_incremental``  drawn from ``task_classes`` classes at a time, each set once, over the horizon
``domain_incremental`` drawn from one domain at a time, each once, over the horizon
``drifting``           drawn from two domains, of which one fades into the next, over the horizon
=====================  ===========================================================================

=====================  ===========================================================================
share                  whose items
=====================  ===========================================================================
``shared``             one slice for all
``own``                each agent its own slice, of the same distribution
``class_experts``      each agent only items of ``expert_classes`` classes, dealt out anew each episode
``dirichlet``          each agent's class frequencies are skewed by weights drawn from Dirichlet(α)
=====================  ===========================================================================

``single_pass`` and ``passes`` deal in random order and so allow the shares ``shared`` and ``own`` (disjoint
parts of the pass) only. Under ``topical`` and ``class_incremental`` a Dirichlet share skews the classes that are
on now, so that no others are dealt. Experts keep to their classes: in a ``topical`` order one whose classes are
all off studies its own; in ``class_incremental``, where no class may come back, experts are refused.

The last two need data of several domains (:mod:`~studyhall.envs.streams.domains`), which ``iid``, ``passes`` and
``single_pass`` mix. There slices are ``shared`` or ``own``. What follows calls each class of each domain a class.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..engine import rng
from ..engine.last import Last
from ..engine.masks import some
from ..errors import ConfigError, one_of
from ..validation import keep, real, whole
from .dataset import Split

ORDERS_OF_CLASSES = ("iid", "passes", "single_pass", "topical", "class_incremental")
_OF_DOMAINS = ("domain_incremental", "drifting")
ORDERS = (*ORDERS_OF_CLASSES, *_OF_DOMAINS)
UNLIMITED_ORDERS = ("iid", "topical", "class_incremental", "domain_incremental", "drifting")
"""Orders that draw independently, so that a slice can always be had."""
DEALS = ("random", "sorted")
SHARES = ("shared", "own", "class_experts", "dirichlet")
TASK_ORDERS = ("drawn", "given")

_SKEW_LEVELS = 4096  # Dirichlet weights as whole numbers: sampling stays exact integer arithmetic
_FADED = 256  # steps in which one domain fades into the next
_GAMMA_TRIES = 8  # proposals per Gamma variate; all are rejected less than once in 1e10


class _Tickets(NamedTuple):
    """Which of a lottery's numbers stand for items of which class, int64 ``[W, A, C]``."""

    skew: Tensor  # how many an item has
    starts: Tensor
    ends: Tensor


@dataclass(frozen=True)
class Schedule:
    """Deals slices from a class-sorted split.

    Args:
        split: The stream split.
        num_agents: N.
        rows: B, rows of a slice.
        horizon: Steps of an episode, which is divided among its tasks.
        order: One of :data:`ORDERS`.
        share: One of :data:`SHARES`.
        topic_steps: ``topical``: steps until the topic changes.
        topic_classes: ``topical``: classes of a topic.
        task_classes: ``class_incremental``: classes of a task.
        task_order: Which classes or domains come when, "drawn" anew in each episode, or "given": in their order.
        tasks: ``class_incremental``: instead, classes in the order in which they come; others never do.
        expert_classes: ``class_experts``: classes of an agent; None is ⌈C/N⌉, so that every
            class has an expert.
        deal: ``class_experts``: whose classes are whose, "random" anew in each episode, or "sorted": the first classes
            are the first agent's, and so on.
        alpha: ``dirichlet``: concentration; small is skewed, large is even.
        name: Prefix of the random purposes, so that two schedules of a world are independent.
    """

    split: Split
    num_agents: int
    rows: int
    horizon: int
    order: str = "iid"
    share: str = "shared"
    topic_steps: int = 20
    topic_classes: int = 2
    task_classes: int = 2
    task_order: str = "drawn"
    tasks: tuple[int, ...] | None = None
    expert_classes: int | None = None
    deal: str = "random"
    alpha: float = 0.5
    name: str = "stream"

    def __post_init__(self) -> None:
        keep(self, order=one_of("order", self.order, ORDERS), share=one_of("share", self.share, SHARES))
        keep(self, deal=one_of("deal", self.deal, DEALS))
        keep(self, task_order=one_of("task_order", self.task_order, TASK_ORDERS))
        for name in ("topic_classes", "task_classes", "expert_classes"):
            if name != "expert_classes" or self.expert_classes is not None:
                keep(self, **{name: whole(name, getattr(self, name), 1, self.classes)})
        keep(
            self,
            rows=whole("slice_size", self.rows, 1),
            topic_steps=whole("topic_steps", self.topic_steps, 1, 2**31),
            alpha=real("alpha", self.alpha, 1e-9, 1e9),
        )
        self._check_domains()
        if self.dealt and self.share not in ("shared", "own"):
            raise ConfigError(
                f"order {self.order!r} deals the stream in random order, whatever the classes, which share "
                f"{self.share!r} goes by: use order 'iid' or 'topical'"
            )
        if self.order == "class_incremental" and self.share == "class_experts":
            raise ConfigError(
                "order 'class_incremental' shows each class once, so experts of other classes would have nothing "
                "to study: use order 'iid' or 'topical'"
            )
        if self.dealt and self.slices_per_pass < 1:
            raise ConfigError(
                f"one step needs {self.slots * self.rows} items, the stream has {len(self.split.y)}: "
                "lower slice_size or the number of agents"
            )

    def _check_domains(self) -> None:
        """Raise where the order, or the share, does not go with the number of domains."""
        domains = self.split.domain_count
        if domains == 1 and self.order in _OF_DOMAINS:
            raise ConfigError(
                f"order {self.order!r} is of data in several domains: give domains, e.g. domains='permuted'"
            )
        if domains > 1 and self.order in ("topical", "class_incremental"):
            raise ConfigError(
                f"order {self.order!r} is of classes, but here are {domains} domains: use order 'domain_incremental', "
                "'drifting' or 'iid'"
            )
        if domains > 1 and self.share not in ("shared", "own"):
            raise ConfigError(
                f"share {self.share!r} is of classes, but here are {domains} domains: use share 'shared' or 'own'"
            )

    @property
    def classes(self) -> int:
        """C; of several domains, all of their classes."""
        return len(self.split.counts)

    @property
    def task_count(self) -> int:
        """Tasks that come one after another over the horizon; 0 where the order knows none."""
        if self.order == "class_incremental":
            return -(-(self.classes if self.tasks is None else len(self.tasks)) // self.task_classes)
        return self.split.domain_count if self.order in _OF_DOMAINS else 0

    def task_at(self, clock: Tensor) -> Tensor:
        """Which task is on after ``clock [W]`` steps, int64 ``[W]``; while domains drift, the stronger one."""
        tasks = self.task_count
        if self.order == "drifting":
            now = (2 * clock * (tasks - 1) + self.horizon) // (2 * self.horizon)
        else:
            now = clock * tasks // self.horizon
        return now.clamp(max=tasks - 1)

    @property
    def dealt(self) -> bool:
        """Whether items come from a shuffled pass rather than independent draws."""
        return self.order in ("passes", "single_pass")

    @property
    def slots(self) -> int:
        """A: 1 where one slice serves all agents, else N."""
        return 1 if self.share == "shared" else self.num_agents

    @property
    def slices_per_pass(self) -> int:
        """Steps that one pass lasts; what is left over at its end is not dealt."""
        return len(self.split.y) // (self.slots * self.rows)

    def exhausted(self, clock: np.ndarray) -> np.ndarray:
        """Which worlds have been shown everything after ``clock`` steps (host, ``[W]``)."""
        if self.order != "single_pass":
            return np.zeros_like(clock, dtype=bool)
        return clock >= self.slices_per_pass

    # ---- what is drawn ------------------------------------------------------------------------------

    def _purpose(self, what: str) -> str:
        return f"{self.name}/{what}"

    def reset_draws(self) -> dict[str, tuple[int, ...]]:
        """Draws at the start of an episode, its first slice included."""
        shapes: dict[str, tuple[int, ...]] = {}
        if self.dealt:
            shapes[self._purpose("pass")] = (len(self.split.y),)
        if self.order == "class_incremental" and self.task_order == "drawn" and self.tasks is None:
            shapes[self._purpose("tasks")] = (self.classes,)
        if self.order in _OF_DOMAINS and self.task_order == "drawn":
            shapes[self._purpose("domains")] = (self.split.domain_count,)
        if self.share == "class_experts" and self.deal == "random":
            shapes[self._purpose("experts")] = (self.classes,)
        if self.share == "dirichlet":
            shapes[self._purpose("gamma")] = (self.num_agents, self.classes, _GAMMA_TRIES)
            shapes[self._purpose("accept")] = (self.num_agents, self.classes, _GAMMA_TRIES)
            shapes[self._purpose("boost")] = (self.num_agents, self.classes)
        return shapes | self.step_draws()

    def step_draws(self) -> dict[str, tuple[int, ...]]:
        """Draws of one step."""
        if self.dealt:
            return {}
        shapes: dict[str, tuple[int, ...]] = {self._purpose("items"): (self.slots, self.rows)}
        if self.order == "topical":
            shapes[self._purpose("topic")] = (self.classes,)
        return shapes

    # ---- dealing ------------------------------------------------------------------------------------

    def start(self, draws: rng.DrawDict, clock: Tensor) -> dict[str, Tensor]:
        """The schedule's part of a world's state, its first slice (``slice [W, A, B]``) included."""
        state: dict[str, Tensor] = {}
        worlds, device = clock.shape[0], clock.device
        if self.dealt:
            state["pass"] = draws[self._purpose("pass")].permutation().to(torch.int32)
        else:
            state["skew"] = self._skew(draws, worlds, device)  # of each class, [W, A, C]
        if self.order == "class_incremental":
            place = self._places(draws, worlds, device)
            state["task"] = torch.where(place < 0, -1, place // self.task_classes)
        if self.order in _OF_DOMAINS:
            state["task"] = self._domain_places(draws, worlds, device)
        if self.order == "topical":
            state["topic"] = torch.ones(worlds, self.classes, dtype=torch.bool, device=device)
        return self.advance(state, draws, clock, np.zeros(worlds, dtype=np.int64))

    def _places(self, draws: rng.DrawDict, worlds: int, device: torch.device) -> Tensor:
        """Each class's place in the order of tasks, int64 ``[W, C]``; −1 of one that never comes."""
        if self.tasks is not None:
            places = torch.full((self.classes,), -1, device=device)
            order = torch.tensor(self.tasks, device=device)
            return places.scatter(0, order, torch.arange(len(order), device=device)).repeat(worlds, 1)
        if self.task_order == "given":
            return torch.arange(self.classes, device=device).repeat(worlds, 1)
        return draws[self._purpose("tasks")].ranks()

    def _domain_places(self, draws: rng.DrawDict, worlds: int, device: torch.device) -> Tensor:
        """When the domain of each class comes, int64 ``[W, C]``."""
        domains = self.split.domain_count
        places = torch.arange(domains, device=device).repeat(worlds, 1)
        if self.task_order == "drawn":
            places = draws[self._purpose("domains")].ranks()
        each = torch.arange(self.classes, device=device) // (self.classes // domains)
        return places[:, each]

    def step(
        self, state: dict[str, Tensor], draws: rng.DrawDict, clock: Tensor, key: Tensor, made: np.ndarray
    ) -> dict[str, Tensor]:
        """The schedule's state with the next slice, of a new pass where the last is used up.

        Args:
            state: As :meth:`start` gave it.
            draws: This step's draws.
            clock: int64 ``[W]``, this step counted.
            key: Keys of the worlds' episodes, int64 ``[W]``.
            made: ``clock`` on the host.
        """
        if self._begins_pass(made):
            state = self._shuffle(state, clock, key)
        return self.advance(state, draws, clock, made)

    def _begins_pass(self, clock: np.ndarray) -> bool:
        """Whether some world's pass is used up after ``clock`` steps and a new one begins (host)."""
        return self.order == "passes" and some(clock % self.slices_per_pass == 0)

    def _shuffle(self, state: dict[str, Tensor], clock: Tensor, key: Tensor) -> dict[str, Tensor]:
        """A new permutation in the worlds where a pass begins; ``key [W]`` are the episodes' keys."""
        key = rng.fold(key, clock // self.slices_per_pass)
        drawn = rng.draw(key, self._purpose("pass"), (len(self.split.y),))
        due = (clock % self.slices_per_pass == 0)[:, None]
        return {**state, "pass": torch.where(due, drawn.permutation().to(torch.int32), state["pass"])}

    def advance(
        self, state: dict[str, Tensor], draws: rng.DrawDict, clock: Tensor, made: np.ndarray
    ) -> dict[str, Tensor]:
        """The schedule's state with the slice to be shown after ``clock [W]`` steps.

        Args:
            state: As :meth:`start` gave it.
            draws: This step's draws.
            clock: int64 ``[W]``.
            made: ``clock`` on the host.
        """
        if self.dealt:
            return self._deal(state, clock)
        state, drawn = dict(state), draws[self._purpose("items")]
        if self._even:
            state["slice"] = drawn.integers(len(self.split.y))
            return state
        if self.order == "topical" and some(made % self.topic_steps == 0):
            rank = draws[self._purpose("topic")].ranks()
            change = (clock % self.topic_steps == 0)[:, None]
            state["topic"] = torch.where(change, rank < self.topic_classes, state["topic"])
        tickets = self._tickets(state["skew"], *self._limits(state, clock))
        ticket = drawn.integers(tickets.ends[..., -1:])
        drawn_class = torch.searchsorted(tickets.ends, ticket, right=True)
        offset = ticket - tickets.starts.gather(-1, drawn_class)
        if self._uneven:  # a ticket each item elsewhere
            offset = offset // tickets.skew.gather(-1, drawn_class)
        state["slice"] = self.split.offsets[drawn_class] + offset
        return state

    @property
    def _even(self) -> bool:
        """Whether every item of the split is as likely as any other, at all times."""
        return self.order == "iid" and self.share in ("shared", "own")

    @property
    def _uneven(self) -> bool:
        """Whether classes that are on may be more or less likely than their items are many."""
        return self.order == "drifting" or self.share == "dirichlet"

    @functools.cached_property
    def _tickets(self) -> Last[_Tickets]:
        return Last(self._share_out)

    def _share_out(self, skew: Tensor, *limits: Tensor) -> _Tickets:
        """Tickets of the classes, of whose items so many are drawn, by what limits these now."""
        if self.order == "drifting":
            skew = skew * limits[0][:, None]
        elif limits:
            skew = self._masked(skew, limits[0][:, None, :])
        weights = skew * self.split.counts
        ends = weights.cumsum(-1)  # exact: whole numbers
        return _Tickets(skew, ends - weights, ends)

    def _limits(self, state: dict[str, Tensor], clock: Tensor) -> tuple[Tensor, ...]:
        """Which classes the order allows now, bool ``[W, C]``; while domains drift how much, int64; () allows all."""
        if self.order == "topical":
            return (state["topic"],)
        if self.order in ("class_incremental", "domain_incremental"):
            return (state["task"] == self.task_at(clock)[:, None],)
        return (self._faded(state["task"], clock),) if self.order == "drifting" else ()

    def _faded(self, places: Tensor, clock: Tensor) -> Tensor:
        """How strong each class's domain is, int64 ``[W, C]``: one in full, or two, one of which goes as one comes."""
        distance = (clock[:, None] * (self.split.domain_count - 1) - places * self.horizon).abs()
        return (self.horizon - distance).clamp_min(0) * _FADED // self.horizon

    def _deal(self, state: dict[str, Tensor], clock: Tensor) -> dict[str, Tensor]:
        """The next rows of the pass, ``[W, A, B]``."""
        take = self.slots * self.rows
        place = (clock % self.slices_per_pass)[:, None] * take + torch.arange(take, device=clock.device)
        dealt = state["pass"].gather(1, place).long()
        if self.order == "single_pass":
            dealt = torch.where((clock >= self.slices_per_pass)[:, None], -1, dealt)
        return {**state, "slice": dealt.view(-1, self.slots, self.rows)}

    # ---- shares -------------------------------------------------------------------------------------

    def _skew(self, draws: rng.DrawDict, worlds: int, device: torch.device) -> Tensor:
        """How much each slot has of each class, int64 ``[W, A, C]``.

        Of a Dirichlet share in an order that switches classes on and off: the weights' logarithms, float64.
        """
        if self.share == "class_experts":
            if self.deal == "sorted":
                rank = torch.arange(self.classes, device=device).expand(worlds, -1)  # [W, C]
            else:
                rank = draws[self._purpose("experts")].ranks()
            each = self.expert_classes or -(-self.classes // self.num_agents)
            first = torch.arange(self.num_agents, device=device) * each
            return ((rank[:, None, :] - first[:, None]) % self.classes < each).long()
        if self.share == "dirichlet":
            tries, accept, boost = (draws[self._purpose(name)] for name in ("gamma", "accept", "boost"))
            gamma = _log_gamma_variates(self.alpha, tries.normal(), accept.uniform(), boost.uniform())
            return self._levels(gamma) if self.order == "iid" else gamma
        return torch.ones(worlds, self.slots, self.classes, dtype=torch.int64, device=device)

    def _masked(self, skew: Tensor, on: Tensor) -> Tensor:
        """Whole-number weights ``[W, A, C]``, some above 0, of the classes that are ``on`` (bool ``[W, 1, C]``)."""
        if self.share == "dirichlet":  # weights given that the class is on are a Dirichlet of these classes
            return self._levels(skew.masked_fill(~on, -torch.inf))
        masked = skew * on
        return torch.where(masked.any(-1, keepdim=True), masked, skew)  # an expert off topic studies its own

    def _levels(self, log_weights: Tensor) -> Tensor:
        """Weights as whole numbers, int64 ``[W, A, C]``, of which some are above 0."""
        most = min(_SKEW_LEVELS, (2**31 - 1) // len(self.split.y))  # tickets stay below 2**31
        share = log_weights.softmax(-1)
        largest = share.amax(-1, keepdim=True)
        share = torch.where(largest * most > 0.5, share, share / largest)  # classes so many that none had one
        return (share * most).round().long()


def _log_gamma_variates(alpha: float, tries: Tensor, accept: Tensor, boost: Tensor) -> Tensor:
    """Logarithms of Gamma(α, 1) variates, float64 ``[…]``, without a loop of unknown length.

    Marsaglia & Tsang, "A simple method for generating gamma variables" (2000), for shape α + 1, boosted
    to α by U^(1/α); of a fixed number of tries, normal and uniform numbers ``[…, tries]``,
    the first accepted is taken.
    """
    d = alpha + 1 - 1 / 3
    c = (9 * d) ** -0.5
    x = tries.double()
    v = (1 + c * x) ** 3
    u = accept.double().clamp_min(2.0**-25)
    safe = v.clamp_min(1e-12)
    accepted = (v > 0) & (u.log() < 0.5 * x * x + d * (1 - safe + safe.log()))
    first = accepted.long().argmax(-1, keepdim=True)
    log_sample = (d * safe).log().gather(-1, first).squeeze(-1)
    return log_sample + boost.double().clamp_min(2.0**-25).log() / alpha
