"""The channel: who hears whom, what goes wrong on the way, and what it costs in bytes.

Agents publish, :meth:`Channel.on_air` says what becomes of it at the sender, :meth:`Channel.route` whom it reaches and
what that is charged. Edges are ``[W, N, K]``: of each receiver the K slots of `topology.py`, in each of which is a
sender that it may hear. Every fault is drawn from the world's own random numbers, so it is the same whatever the policy
does. Order on the way: liars, noise, quantisation (at the sender), shuffled mode, byte cap, then drop
(per edge), delay (handled by the world, which hands feedback about a slice out as a whole). What a message holds beside
its rows (a number a row, a parcel of weights) shares its fate; see :meth:`Channel.beside`.

The sender is charged for every edge sent on, dropped, muted or not, at the widths of `ledger.py`. A row that
quantisation rounds to nothing is charged and arrives as an abstention.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from ..engine import rng
from ..engine.last import Last
from ..errors import ConfigError, one_of, short
from ..validation import keep, real, whole
from .lies import Liars, claim, liars, with_lies
from .settings import LIAR_KINDS, MODES, TOPOLOGIES, RoomSettings, modes_of
from .topology import (
    Neighbours,
    everyone,
    lattice,
    lattice_slots,
    relabelled_lattice,
    slots_of,
    small_world,
)


class Route(NamedTuple):
    """How one step's messages travelled."""

    order: Tensor | None  # int64 [W, B]: rows as they arrive, where some world shuffles them
    heard: Tensor  # bool [W, N, K]: receiver i got the message of the sender in its slot
    sent_bits: Tensor  # int64 [W, N]: charged to the sender


@dataclass(frozen=True)
class Channel(RoomSettings):
    """Topology, faults, modes and the ledger of one world's channel.

    Args:
        num_agents: N.
        num_worlds: W.
        device: Where the tensors live.

    The others are those of :class:`RoomSettings`.

    Attributes:
        slots: K, the most neighbours that an agent can have, at least 1.
    """

    num_agents: int
    num_worlds: int = 1
    device: torch.device | str = "cpu"
    slots: int = field(init=False, compare=False)
    _given: tuple[Tensor, Tensor] | None = field(init=False, repr=False, compare=False)
    _mode: Tensor = field(init=False, repr=False, compare=False)
    _modes: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("rewire", "edge_probability", "drop", "churn", "rejoin"):
            keep(self, **{name: real(name, getattr(self, name), 0, 1)})
        keep(
            self,
            num_agents=whole("num_agents", self.num_agents, 1),
            num_worlds=whole("num_worlds", self.num_worlds, 1),
            degree=whole("degree", self.degree, 2),
            bits=whole("bits", self.bits, 1, 32),
            delay=whole("delay", self.delay, 0),
            wake=whole("wake", self.wake, 0),
            liars=whole("liars", self.liars, 0, self.num_agents),
            noise=real("noise", self.noise, 0),
        )
        if self.cap is not None:
            keep(self, cap=real("cap (bytes per agent and step)", self.cap, 0))
        if (
            isinstance(self.liar_kinds, str)
            or not isinstance(self.liar_kinds, Sequence)
            or not self.liar_kinds
        ):
            raise ConfigError(f"liar_kinds must be a list of kinds, got {short(self.liar_kinds)}")
        for kind in self.liar_kinds:
            one_of("kind of liar", kind, LIAR_KINDS)
        modes = modes_of(self.mode, self.num_worlds)
        codes = torch.tensor([MODES.index(mode) for mode in modes])
        object.__setattr__(self, "_modes", frozenset(modes))
        object.__setattr__(self, "_mode", codes.to(self.device))
        matrix = self._given_matrix()
        object.__setattr__(self, "_given", None if matrix is None else slots_of(matrix))
        if self._is("k_regular") or self._is("small_world"):
            if self.degree % 2:
                raise ConfigError(f"degree must be even, got {self.degree}")
            if self.degree >= self.num_agents:
                raise ConfigError(
                    f"degree {self.degree} is for {self.degree + 1} agents or more, there are {self.num_agents}: "
                    'add agents, lower degree, or take topology="complete"'
                )
        object.__setattr__(self, "slots", self._count())

    def _count(self) -> int:
        """K, before there is anything of its size."""
        if self._given is not None:
            return self._given[0].shape[1]
        bounded = {"ring": 2, "k_regular": self.degree}
        return lattice_slots(self.num_agents, bounded.get(str(self.topology), self.num_agents))

    def _given_matrix(self) -> Tensor | None:
        """The topology as a matrix, if it is given as one."""
        if isinstance(self.topology, str):
            one_of("topology", self.topology, TOPOLOGIES)
            return None
        n = self.num_agents
        try:
            given = torch.as_tensor(self.topology, device=self.device)
            matrix = given.bool() if bool(((given == 0) | (given == 1)).all()) else torch.empty(0)
        except (TypeError, ValueError, RuntimeError):  # what torch says of None, ragged lists and the like
            matrix = torch.empty(0)
        if matrix.shape != (n, n):
            names = ", ".join(TOPOLOGIES)
            raise ConfigError(f"topology must be one of {names}, or a matrix of {n} × {n} booleans")
        return matrix

    def check_times(self, horizon: int) -> None:
        """Refuse what can never happen within so many steps.

        Raises:
            ConfigError: Feedback that comes after the end, or liars that all sleep beyond it.
        """
        if self.delay >= horizon:
            raise ConfigError(
                f"what comes {self.delay} steps late never arrives within {horizon}: lower delay or lengthen episodes"
            )
        if self.liars and set(self.liar_kinds) - {"none"} == {"sleeper"} and self.wake >= horizon:
            raise ConfigError(
                f"sleepers that wake at step {self.wake} never lie within {horizon}: lower wake or lengthen episodes"
            )

    def _is(self, topology: str) -> bool:
        """Whether the topology is the one of that name; a matrix is none."""
        return isinstance(self.topology, str) and self.topology == topology

    # ---- what is drawn ------------------------------------------------------------------------------

    def reset_draws(self) -> dict[str, tuple[int, ...]]:
        """Draws at the start of an episode."""
        n = self.num_agents
        shapes: dict[str, tuple[int, ...]] = {}
        if self._is("k_regular"):
            shapes["channel/order"] = (n,)
        if self._is("small_world"):
            shapes |= {"channel/rewire": (n, self.degree // 2), "channel/target": (n, self.degree // 2)}
        if self.liars:
            shapes |= {"channel/liar": (n,), "channel/kind": (1,), "channel/shift": (1,)}
        return shapes

    def step_draws(self, rows: int, classes: int) -> dict[str, tuple[int, ...]]:
        """Draws of one step, for publications ``[rows, classes]``."""
        n = self.num_agents
        if self.shuffles and rows < 2:
            raise ConfigError("shuffled messages need slices of at least 2 samples: raise slice_size")
        shapes: dict[str, tuple[int, ...]] = {}
        if self._is("random"):
            shapes["channel/edge"] = (n, n)
        if self.drop:
            shapes["channel/drop"] = (n, n)
        if self.churn:
            shapes["channel/churn"] = (n,)
        if self.noise:
            shapes["channel/noise"] = (n, rows, classes)
        if self.shuffles:
            shapes["channel/shuffle"] = (rows,)
        if self.liars and "noise" in self.liar_kinds:
            shapes["channel/lie"] = (n, rows, classes)
        if self.liars and "modest" in self.liar_kinds:
            shapes["channel/wrong"] = (n, rows)
        if self.liars and "fickle" in self.liar_kinds:
            shapes["channel/mood"] = (n,)
        return shapes

    # ---- the episode's fixed part -------------------------------------------------------------------

    def start(self, draws: rng.DrawDict, classes: int, worlds: int) -> dict[str, Tensor]:
        """The channel's part of the state of so many worlds.

        Returns:
            ``edges`` bool ``[W, N, K]``: in which slots are neighbours, ``present`` bool ``[W, N]``; where each world
            has a graph of its own ``neighbours`` int64 ``[W, N, K]``, who is in which slot; and where there are liars
            ``liar`` int64 ``[W, N]`` (an index into :data:`LIAR_KINDS`, 0 = honest) and ``shift`` ``[W]``.
        """
        w, n = worlds, self.num_agents
        state = {"present": torch.ones(w, n, dtype=torch.bool, device=self.device)}
        if self._is("k_regular"):
            state["neighbours"] = relabelled_lattice(self.degree, draws["channel/order"].permutation())
        state["edges"] = self._edges(draws, self.neighbours(state)).expand(w, n, self.slots).contiguous()
        if self.liars:
            rank = draws["channel/liar"].ranks()
            codes = torch.tensor([LIAR_KINDS.index(kind) for kind in self.liar_kinds], device=self.device)
            kind = codes[draws["channel/kind"].integers(len(codes))]
            count = torch.where(kind == LIAR_KINDS.index("collude"), min(max(self.liars, 2), n), self.liars)
            state["liar"] = torch.where(rank < count, kind, 0)
            state["shift"] = 1 + draws["channel/shift"].integers(max(1, classes - 1))[:, 0]
        return state

    def neighbours(self, state: Mapping[str, Tensor]) -> Neighbours:
        """Who is in which slot.

        Args:
            state: The worlds', with :meth:`start`'s entries.
        """
        if "neighbours" in state:
            return Neighbours(state["neighbours"])
        return self._alike

    @functools.cached_property
    def _alike(self) -> Neighbours:
        """Who is in which slot in every world, where that is the same in all."""
        if self._given is not None:
            return Neighbours(self._given[0])
        device = torch.device(self.device)
        ring = self._is("ring")
        return Neighbours(lattice(self.num_agents, 2, device) if ring else everyone(self.num_agents, device))

    def _edges(self, draws: rng.DrawDict, who: Neighbours) -> Tensor:
        """In which slots are neighbours, bool ``[N, K]`` or ``[W, N, K]``."""
        if self._given is not None:
            return self._given[1]
        own = torch.arange(self.num_agents, device=self.device)[:, None]
        others = who.index != own  # all but where there is nobody else
        if self.topology == "star":  # agent 0 hears and is heard by all
            return others & ((own == 0) | (who.index == 0))
        if self.topology == "small_world":
            matrix = small_world(self.num_agents, self.degree, self.rewire, draws).to(self.device)
            return matrix.gather(2, who.index.expand(len(matrix), -1, -1)) & others
        return others

    # ---- one step -----------------------------------------------------------------------------------

    def presence(self, present: Tensor, draws: rng.DrawDict) -> Tensor:
        """Who is in the room next step, bool ``[W, N]``: a two-state Markov chain per agent."""
        if not self.churn:
            return present
        u = draws["channel/churn"].uniform()
        return torch.where(present, u >= self.churn, u < self.rejoin)

    def on_air(
        self, published: Tensor, state: dict[str, Tensor], draws: rng.DrawDict, clock: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What becomes of one step's publications at the sender: lies, noise and quantisation.

        Args:
            published: float32 ``[W, N, B, C]``; an all-zero row abstains.
            state: The world's state, with :meth:`start`'s entries.
            draws: This step's draws.
            clock: int64 ``[W]``.

        Returns:
            float32 ``[W, N, B, C]`` as it goes on the air, and bool ``[W, N, B]``: which rows say nothing.
        """
        if self.churn:
            published = published * state["present"][:, :, None, None]
        silent = published.sum(-1, keepdim=True) == 0
        on_air = self._distort(published, state, draws, clock)
        if self.bits < 32:
            levels = float(2**self.bits - 1)
            on_air = (on_air * levels).round() / levels
        if self.noise or self.bits < 32 or self.liars:
            total = on_air.sum(-1, keepdim=True)
            on_air = torch.where(silent | (total <= 0), 0.0, on_air / total.clamp_min(1e-12))
        return on_air, silent[..., 0]

    def beside(self, numbers: Tensor, on_air: Tensor, state: dict[str, Tensor]) -> Tensor:
        """What becomes of one more number a row at the sender: bold liars lie; nothing rounds it or adds noise.

        Args:
            numbers: float32 ``[W, N, B]``, finite.
            on_air: The rows as they go on the air, ``[W, N, B, C]``.
            state: The world's state, with :meth:`start`'s entries.

        Returns:
            float32 ``[W, N, B]``, 0 where a row says nothing.
        """
        spoken = on_air.any(-1)
        if self.liars and "bold" in self.liar_kinds:
            bold = state["liar"] == LIAR_KINDS.index("bold")
            numbers = torch.where(bold[..., None], claim(numbers, spoken), numbers)
        return torch.where(spoken, numbers, 0.0)

    def route(self, size: Tensor, state: dict[str, Tensor], draws: rng.DrawDict) -> Route:
        """Carry one step's messages, whatever they say.

        Args:
            size: int64 ``[W, N]``, bits of what each agent sends on every edge; 0 sends nothing.
            state: The world's state, with :meth:`start`'s entries.
            draws: This step's draws.
        """
        order = None
        if self.shuffles:
            place = draws["channel/shuffle"].permutation()
            order = torch.empty_like(place).scatter_(1, place, place.roll(-1, 1))  # one cycle: no row stays
            kept = torch.arange(order.shape[1], device=order.device)
            order = torch.where(self._in_mode("shuffled")[:, None], order, kept)
        edges, who = state["edges"], self.neighbours(state)
        if self._is("random"):
            edges = edges & draws["channel/edge"].at(who.pairs()).below(self.edge_probability)
        if self.isolates:
            edges = edges & ~self.isolated[:, None, None]
        sending = edges & who.of(size > 0)
        if self.churn:
            sending = sending & state["present"][:, :, None]
        sent_bits = who.heard_by(sending) * size
        if self.cap is not None:
            within = sent_bits <= self.cap * 8
            sending, sent_bits = sending & who.of(within), sent_bits * within
        heard = sending
        if self.drop:
            heard = heard & ~draws["channel/drop"].at(who.pairs()).below(self.drop)
        if "mute" in self._modes:
            heard = heard & ~self._in_mode("mute")[:, None, None]
        return Route(order, heard, sent_bits)

    def _distort(
        self, published: Tensor, state: dict[str, Tensor], draws: rng.DrawDict, clock: Tensor
    ) -> Tensor:
        """Lies and noise, at the sender."""
        if self.liars:
            who = self._liars(state["liar"])
            published = with_lies(published, who, state["shift"], draws, clock > self.wake)
        if self.noise:
            published = (published + self.noise * draws["channel/noise"].normal()).clamp_min(0.0)
        return published

    @functools.cached_property
    def _liars(self) -> Last[Liars]:
        return Last(self._who_lies)

    def _who_lies(self, codes: Tensor) -> Liars:
        """Who lies, of what each agent is, int64 ``[W, N]``."""
        kinds = frozenset(self.liar_kinds) - {"none"}
        return liars(codes, kinds, min(self.num_agents, max(self.liars, 2 if "collude" in kinds else 1)))

    @property
    def shuffles(self) -> bool:
        """Whether some world is in shuffled mode."""
        return "shuffled" in self._modes

    @property
    def isolates(self) -> bool:
        """Whether some world is in isolated mode."""
        return "isolated" in self._modes

    @property
    def deafens(self) -> bool:
        """Whether in some world nobody hears anybody."""
        return self.isolates or "mute" in self._modes

    @property
    def isolated(self) -> Tensor:
        """Which worlds are in isolated mode, bool ``[W]``."""
        return self._in_mode("isolated")

    @property
    def unheard(self) -> Tensor:
        """Worlds in which nobody hears anybody, muted ones and isolated ones: bool ``[W]``."""
        return self.isolated | self._in_mode("mute")

    @property
    def same_for_all(self) -> bool:
        """Whether in every step everybody hears the same of everyone (in muted and isolated worlds nothing)."""
        faultless = not (self.drop or self.churn or self.shuffles)
        return self._is("complete") and faultless

    def _in_mode(self, name: str) -> Tensor:
        return self._mode == MODES.index(name)


def rearranged(sent: Tensor, order: Tensor) -> Tensor:
    """Rows ``[W, N, B, …]`` in the order ``[W, B]`` of :class:`Route`, in which they arrive."""
    index = order.view(order.shape[0], 1, order.shape[1], *[1] * (sent.dim() - 3))
    return sent.gather(2, index.expand_as(sent))
