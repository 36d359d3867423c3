"""What comes late: a line of things under way."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class DelayLine:
    """Holds what was put in for a number of steps; functional, so gradients and forks pass through.

    Args:
        steps: Steps between going in and coming out; 0 hands items through.
    """

    steps: int

    def start(self, empty: dict[str, Tensor]) -> dict[str, Tensor]:
        """A line of ``empty`` items ``[W, …]``: what comes out before anything has arrived."""
        if not self.steps:
            return {}
        return {k: torch.stack([v] * self.steps, dim=1) for k, v in empty.items()}

    def push(
        self, line: dict[str, Tensor], item: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Put an item in; returns the new line and the item that comes out."""
        if not self.steps:
            return line, item
        moved = {k: torch.cat([line[k][:, 1:], v[:, None]], dim=1) for k, v in item.items()}
        return moved, {k: line[k][:, 0] for k in item}
