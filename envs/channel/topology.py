"""Who may hear whom: of each agent a list of neighbours, whose messages reach it.

Agent i has K *slots*, and in each another agent, in order of index counted on from itself: i + 1, i + 2, …, around the
end. Where everyone may hear everyone K is N − 1, and slot s of agent i is agent (i + 1 + s) mod N. Elsewhere K is the
greatest number of neighbours that an agent can have; one with fewer has other agents in some of its slots, without an
edge to them. An agent without any other has itself there.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..engine import rng
from ..engine.kernels import recorded


@dataclass(frozen=True)
class Neighbours:
    """Which agent is in which slot.

    Args:
        index: int64 ``[N, K]``, or ``[W, N, K]`` where each world has a graph of its own.
    """

    index: Tensor

    def of(self, x: Tensor) -> Tensor:
        """What is each agent's, ``[W, N, …]``, by slot: ``[W, N, K, …]``."""
        return self._look_up(x, self.index, self._in_a_row)

    def with_oneself(self, x: Tensor) -> Tensor:
        """As :meth:`of`, with one's own before: ``[W, N, 1 + K, …]``, a new tensor."""
        return self._look_up(x, self._with_oneself, self._with_oneself.reshape(-1))

    def by_agent(self, known: Tensor) -> Tensor:
        """What each knows of itself and its neighbours, ``[W, N, 1 + K, …]``, by agent: ``[W, N, N, …]``; else zero."""
        w, n = known.shape[:2]
        who, known = self._with_oneself[..., :n], known[:, :, :n]  # one alone has itself for a neighbour, too
        place = who.expand(w, n, -1).view(w, n, -1, *[1] * (known.dim() - 3)).expand_as(known)
        return known.new_zeros(w, n, n, *known.shape[3:]).scatter_(2, place, known)

    def heard_by(self, edges: Tensor) -> Tensor:
        """On how many edges, bool ``[W, N, K]`` at the receivers, each agent is the sender: int64 ``[W, N]``."""
        w, n, _ = edges.shape
        senders = self.index.expand(edges.shape).reshape(w, -1)
        return torch.zeros(w, n, dtype=torch.int64, device=edges.device).scatter_add_(
            1, senders, edges.reshape(w, -1).long()
        )

    def pairs(self) -> Tensor:
        """Where each edge is in a flattened ``[N, N]`` of receivers and senders, int64 ``[1 or W, N, K]``."""
        n = self.index.shape[-2]
        places = torch.arange(n, device=self.index.device)[:, None] * n + self.index
        return places if places.dim() == 3 else places[None]

    @functools.cached_property
    def _with_oneself(self) -> Tensor:
        own = torch.arange(self.index.shape[-2], device=self.index.device)[:, None]
        return torch.cat([own.expand(*self.index.shape[:-1], 1), self.index], dim=-1)

    @functools.cached_property
    def _in_a_row(self) -> Tensor:
        return self.index.reshape(-1)

    def _look_up(self, x: Tensor, index: Tensor, in_a_row: Tensor) -> Tensor:
        if index.dim() == 2 and recorded(x):  # the gradient of what is faster is in no fixed order on a GPU
            return x[:, index]
        if index.dim() == 2:
            return x.index_select(1, in_a_row).view(len(x), *index.shape, *x.shape[2:])
        return x[torch.arange(len(x), device=x.device)[:, None, None], index]


@functools.cache
def everyone(agents: int, device: torch.device) -> Tensor:
    """All the others of each agent, int64 ``[N, N − 1]``."""
    return _counted_on(torch.arange(1, max(2, agents), device=device), agents)


@functools.cache
def lattice(agents: int, degree: int, device: torch.device) -> Tensor:
    """The ring lattice: of each agent its ``degree`` nearest, int64 ``[N, K]``; K is less where there are fewer."""
    return _counted_on(_steps(agents, degree).to(device), agents)


def relabelled_lattice(degree: int, place: Tensor) -> Tensor:
    """Neighbours in the ring lattice on which agents have places, int64 ``[W, N, K]``.

    Args:
        degree: Neighbours of an agent.
        place: int64 ``[W, N]``, a permutation in each world.
    """
    agents = place.shape[1]
    near = (place[:, :, None] + _steps(agents, degree).to(place.device)) % agents  # their places
    who = place.argsort(dim=1).gather(1, near.flatten(1)).view(near.shape)
    own = torch.arange(agents, device=place.device)[:, None]
    return (((who - own) % agents).sort(dim=-1).values + own) % agents


def slots_of(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix of edges, bool ``[N, N]``, receivers in rows, as neighbours ``[N, K]`` and edges to them ``[N, K]``.

    K is the most that an agent hears. Who hears fewer gets the next others in its free slots.
    """
    index = everyone(len(matrix), matrix.device)
    own = torch.arange(len(matrix), device=matrix.device)[:, None]
    edges = matrix.gather(1, index) & (index != own)
    most = max(1, int(edges.sum(1).amax()))
    chosen = (~edges).long().argsort(dim=1, stable=True)[:, :most].sort(dim=1).values
    return index.gather(1, chosen), edges.gather(1, chosen)


def small_world(agents: int, degree: int, rewire: float, draws: rng.DrawDict) -> Tensor:
    """The ring lattice, some of whose N·degree/2 edges have another far end: one that the agent had no edge to.

    Watts & Strogatz, "Collective dynamics of 'small-world' networks" (Nature 393, 1998): one edge after the
    other, so that no two coincide; an agent that has an edge to everyone keeps its own. On the host: each edge
    hangs on those before.

    Args:
        agents: N.
        degree: Neighbours in the lattice.
        rewire: Chance that an edge is moved.
        draws: ``channel/rewire`` and ``channel/target``, ``[W, N, degree/2]`` each.

    Returns:
        bool ``[W, N, N]`` on the host, receivers in rows.
    """
    moved = draws["channel/rewire"].below(rewire).cpu().numpy()
    target = draws["channel/target"].bits().cpu().numpy().view(np.uint64) >> np.uint64(32)
    known = torch.eye(agents, dtype=torch.bool).scatter_(
        1, lattice(agents, degree, torch.device("cpu")), True
    )
    edges = known.repeat(len(moved), 1, 1).numpy()  # oneself among them
    for world, gap, agent in np.argwhere(moved.transpose(0, 2, 1)).tolist():
        of_world = edges[world]
        free = (~of_world[agent]).nonzero()[0]
        if len(free):
            old = (agent + gap + 1) % agents
            new = free[int(target[world, agent, gap]) * len(free) >> 32]
            of_world[agent, old] = of_world[old, agent] = False
            of_world[agent, new] = of_world[new, agent] = True
    return torch.from_numpy(edges)


def lattice_slots(agents: int, degree: int) -> int:
    """K of the ring lattice."""
    return max(1, min(degree, agents - 1))


def _steps(agents: int, degree: int) -> Tensor:
    """From each agent on to its nearest on the ring, ascending, int64 ``[K]``."""
    ahead = torch.arange(1, degree // 2 + 1)
    return torch.cat([ahead, agents - ahead]).unique()[: lattice_slots(agents, degree)]


def _counted_on(steps: Tensor, agents: int) -> Tensor:
    """Agents so many steps on from each, ``[N, K]``."""
    with torch.inference_mode(False):  # it is kept, and graphs may need it
        return (torch.arange(agents, device=steps.device)[:, None] + steps) % agents
