"""What a slice's messages brought, kept by who sent it, and what is made of them for each who heard it.

By source these would be K copies of every message. Where there are many, loops (`heard_numba.py`) look each up where it
is instead; their last bits are others, and whether there are many is said by shapes alone, so that a run is the same
whenever it is repeated.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from ..channel import Neighbours
from ..engine.kernels import always
from ..mixing import weighted_sum

MANY = 2**18
"""Numbers of all messages by source, from which an episode of some hundred steps pays for the start of the loops."""


@dataclass(frozen=True)
class Heard:
    """Messages of one slice, and whom they reached.

    Args:
        rows: What each said, as it arrives, ``[W, N, B, C]``; a row of zeros says nothing.
        who: Which agent each source is.
        mask: bool ``[W, N, S]``: whose message arrived.
    """

    rows: Tensor
    who: Neighbours
    mask: Tensor

    @classmethod
    def by_slot(cls, messages: Tensor, mask: Tensor) -> Heard:
        """What agents observe: messages ``[W, N, S, B, C]``, each for one agent alone."""
        agents, sources = mask.shape[1:]
        index = torch.arange(agents * sources, device=mask.device).view(agents, sources)
        return cls(messages.flatten(1, 2), Neighbours(index), mask)

    @functools.cached_property
    def messages(self) -> Tensor:
        """By source, ``[W, N, S, B, C]``; zero where not heard."""
        # Classes before samples in memory, as learners give them: sums over classes are fast so.
        with torch.inference_mode(False):  # they are kept, and graphs may need them
            return self.who.of(self.rows.mT).mT * self.mask[..., None, None]

    def confidence(self) -> Tensor:
        """The greatest probability of each row, ``[W, N, S, B]``."""
        return self.who.of(self.rows.amax(-1)) * self.mask[..., None]

    def spoken(self) -> Tensor:
        """Which rows say something, bool ``[W, N, S, B]``."""
        return self.who.of(self.rows.any(-1)) & self.mask[..., None]

    def mixture(self, weights: Tensor, by_row: Tensor | None = None) -> Tensor:
        """Weighted mixture of messages.

        Args:
            weights: ``[W, N, S]`` in [0, 1].
            by_row: Further factors, ``[W, N, S, B]``.

        Returns:
            ``[W, N, B, C]``; a row sums to min(1, Σ weights of those heard), or to 0 where nobody spoke of it.
        """
        weights = weights * self.mask
        if loops := self._loops():
            return loops.mixture(self.rows, self.who.index, weights, by_row)
        mixed = weighted_sum(weights[..., None] * (1.0 if by_row is None else by_row), self.messages)
        total = mixed.sum(-1, keepdim=True)
        weight = weights.sum(-1).clamp(max=1.0)[..., None, None]
        return torch.where(total > 1e-12, mixed / total.clamp_min(1e-12) * weight, 0.0)

    def likeness(self, beliefs: Tensor) -> tuple[Tensor, Tensor]:
        """How sure messages are, and how much they have in common with what others believe; see `sources.py`.

        Args:
            beliefs: ``[W, N, B, C]``, one's own.

        Returns:
            ``[W, N, S, 4]``, of each source confidence, agreement with oneself and with the class, and anchored
            agreement, 0 where not heard; and ``[W, N, 2]``, of oneself confidence and agreement with the class.
        """
        if loops := self._loops():
            return loops.likeness(self.rows, self.who.index, self.mask, beliefs)
        messages = self.messages
        voices = self.mask.sum(-1).clamp_min(1)[..., None, None]  # [W, N, 1, 1]
        told = messages.sum(2)
        others = ((told + beliefs)[:, :, None] - messages) / voices[:, :, None]
        surest = beliefs.amax(-1)  # [W, N, B]
        trust = surest.square()
        trust = (trust / trust.sum(-1, keepdim=True).clamp_min(1e-12))[:, :, None]
        with_self = torch.minimum(messages, beliefs[:, :, None]).sum(-1)  # [W, N, S, B]
        seen = torch.stack(
            [
                messages.amax(-1).mean(-1),
                with_self.mean(-1),
                torch.minimum(messages, others).sum(-1).mean(-1),
                (with_self * trust).sum(-1),
            ],
            dim=-1,
        )
        with_class = torch.minimum(beliefs, told / voices).sum(-1)
        return seen, torch.stack([surest.mean(-1), with_class.mean(-1)], dim=-1)

    def _loops(self) -> ModuleType | None:
        """What makes these in one pass, where messages are many."""
        if self.mask.numel() * self.rows[0, 0].numel() < MANY:
            return None
        return always("hosted.heard_numba", self.rows.device)
