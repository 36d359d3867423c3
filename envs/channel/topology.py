"""Who may hear whom: matrices of edges, bool ``[N, N]``, receivers in rows and senders in columns."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..engine import rng


def lattice(agents: int, degree: int, device: torch.device | str = "cpu") -> Tensor:
    """The ring lattice: each hears its ``degree`` nearest neighbours, and itself."""
    index = torch.arange(agents, device=device)
    gap = (index[:, None] - index) % agents
    return torch.minimum(gap, agents - gap) <= degree // 2


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
        bool ``[W, N, N]`` on the host.
    """
    moved = draws["channel/rewire"].below(rewire).cpu().numpy()
    target = draws["channel/target"].bits().cpu().numpy().view(np.uint64) >> np.uint64(32)
    edges = lattice(agents, degree).repeat(len(moved), 1, 1).numpy()  # oneself among them
    for world, gap, agent in np.argwhere(moved.transpose(0, 2, 1)).tolist():
        of_world = edges[world]
        free = (~of_world[agent]).nonzero()[0]
        if len(free):
            old = (agent + gap + 1) % agents
            new = free[int(target[world, agent, gap]) * len(free) >> 32]
            of_world[agent, old] = of_world[old, agent] = False
            of_world[agent, new] = of_world[new, agent] = True
    return torch.from_numpy(edges)
