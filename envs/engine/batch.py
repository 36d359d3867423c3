"""How many worlds are stepped, where and how."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..validation import MOST_WORLDS, flag, keep, whole


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Arguments of every world, whatever it is about.

    Args:
        num_worlds: W, at least 1.
        device: Where every tensor lives.
        autoreset: Reset ended worlds within the step that ended them; otherwise they wait for ``reset``.
        validate: Check the values of actions too (shapes and dtypes always are). Without it, rows that
            are not finite count as abstaining.
    """

    num_worlds: int = 1
    device: str | torch.device = "cpu"
    autoreset: bool = True
    validate: bool = False

    def __post_init__(self) -> None:
        keep(
            self,
            num_worlds=whole("num_worlds", self.num_worlds, 1, MOST_WORLDS),
            autoreset=flag("autoreset", self.autoreset),
            validate=flag("validate", self.validate),
        )
