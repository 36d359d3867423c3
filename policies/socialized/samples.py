"""What happens to samples on their way to a learner: some are flipped, and some are held out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...envs.engine import rng
from ...learners.population import load

_SLICES = 64  # of which held-out samples are kept
_OF_A_SLICE = 4


def flipped(x: Tensor, keys: Tensor) -> Tensor:
    """Pictures ``[W, N, B, channels, height, width]``, each turned left to right with probability ½.

    Args:
        x: The pictures.
        keys: int64 ``[W]``, of the world, the step and the purpose.
    """
    turn = rng.draw(keys, "policy/flip", x.shape[1:3]).below(0.5)
    return torch.where(turn[..., None, None, None], x.flip(-1), x)


def held_out(x: Tensor, share: float, dims: int) -> Tensor:
    """Which samples are never learnt from, by their content: the same sample always, bool ``[W, N, B]``.

    Args:
        x: float32 ``[W, N, B, D…]``.
        share: Of the samples, about.
        dims: Of D….
    """
    # Whole numbers: their sum does not depend on the order in which a device adds them up.
    content = x.contiguous().view(torch.int32).flatten(x.dim() - dims).long().sum(-1)
    return rng.Draw(content).below(share)


class HeldOut:
    """The last held-out samples of each agent, to choose by what it answers; of 64 slices, at most four of each.

    Args:
        worlds: W.
        agents: N.
        shape: Of a sample.
        device: Where the tensors live.

    Attributes:
        x: ``[W, N, K, D]``.
        labels: int64 ``[W, N, K]``; −1 where there is no sample.
    """

    def __init__(self, worlds: int, agents: int, shape: Sequence[int], device: torch.device) -> None:
        count = _SLICES * _OF_A_SLICE
        self.x = torch.zeros(worlds, agents, count, math.prod(shape), device=device)
        self.labels = torch.full((worlds, agents, count), -1, device=device)

    def add(self, x: Tensor, labels: Tensor, kept: Tensor, time: Tensor) -> None:
        """Keep samples of a slice in the place of those of 64 slices ago.

        Args:
            x: ``[W, N, B, D]``.
            labels: int64 ``[W, N, B]``.
            kept: bool ``[W, N, B]``: the held-out ones, in the worlds where they are to be kept.
            time: int64 ``[W]``: which slice it is.
        """
        count = min(_OF_A_SLICE, x.shape[2])
        first = kept.float().sort(dim=-1, descending=True, stable=True).indices[..., :count]
        there = kept.gather(2, first)
        at = (time % _SLICES * _OF_A_SLICE)[:, None, None] + torch.arange(count, device=x.device)
        at = at.expand_as(first)
        changes = kept.any(-1, keepdim=True)  # elsewhere older samples stay
        labels = torch.where(there, labels.gather(2, first), -1)
        self.labels.scatter_(2, at, torch.where(changes, labels, self.labels.gather(2, at)))
        width = (-1, -1, -1, x.shape[-1])
        samples = x.gather(2, first[..., None].expand(width))
        place = at[..., None].expand(width)
        self.x.scatter_(2, place, torch.where(there[..., None], samples, self.x.gather(2, place)))

    def reset(self, mask: Tensor) -> None:
        """Forget the samples of the worlds of ``mask`` (bool ``[W]``)."""
        self.labels.masked_fill_(mask[:, None, None], -1)
        self.x.masked_fill_(mask[:, None, None, None], 0.0)

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of everything."""
        return {"x": self.x.clone(), "labels": self.labels.clone()}

    def load_state_dict(self, saved: Mapping[str, Tensor]) -> None:
        """Take over a :meth:`state_dict`, in place."""
        load({"x": self.x, "labels": self.labels}, saved)
