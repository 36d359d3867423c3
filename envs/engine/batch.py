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
        compile: Have torch.compile make machine code of how the world moves. Message worlds on a CPU take it; the
            first steps take half a minute, or seconds where an earlier process has left the code behind. Figures then
            agree with those of other worlds to 1e-5, not to the bit.
    """

    num_worlds: int = 1
    device: str | torch.device = "cpu"
    autoreset: bool = True
    validate: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        keep(
            self,
            num_worlds=whole("num_worlds", self.num_worlds, 1, MOST_WORLDS),
            autoreset=flag("autoreset", self.autoreset),
            validate=flag("validate", self.validate),
            compile=flag("compile", self.compile),
        )
