"""The stages of socialized learning as shares of an episode, and the learning rate within each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...envs.errors import ConfigError
from ...envs.validation import real


class Stage(NamedTuple):
    """A stage that some worlds are in.

    Known on the host, so that what nobody does need not be computed.
    """

    number: int
    rate: Tensor
    """float32 ``[W]``: multiplies learning rates, from 1 along half a cosine to just above 0; 0 in other worlds."""
    begins: Tensor | None
    """bool ``[W]``: the worlds that enter it with this step; None where none does."""

    @property
    def here(self) -> Tensor:
        """The worlds that are in it, bool ``[W]``."""
        return self.rate > 0


class Stages:
    """Divides an episode.

    Args:
        horizon: Its steps.
        shares: Of it, one for each stage but the last, which has the rest.
        delay: Steps by which the lesson on what was done in a step comes late; without it comes with the next step.

    Raises:
        ConfigError: They are no shares, or more than there is.
    """

    def __init__(self, horizon: int, shares: Sequence[float], delay: int = 0) -> None:
        shares = [real("each share of the stages", share, 0, 1) for share in shares]
        if sum(shares) > 1 + 1e-9:
            raise ConfigError(f"shares of the stages are {sum(shares):g} in all: lower them to 1")
        ends = [round(horizon * sum(shares[: count + 1])) for count in range(len(shares))]
        self.ends, self.delay = (*ends, horizon), delay

    def number(self, step: np.ndarray) -> np.ndarray:
        """The stage of each step ``[W]``."""
        return np.searchsorted(self.ends, step, side="right").clip(max=len(self.ends) - 1)

    @property
    def milestones(self) -> tuple[int, ...]:
        """Steps after which another stage is over, and its last lesson has come."""
        return tuple(sorted({min(end + 1 + self.delay, self.ends[-1]) for end in self.ends}))

    def length(self, stage: int) -> int:
        """Steps of a stage."""
        return self.ends[stage] - (self.ends[stage - 1] if stage else 0)

    def over(self, lesson: int) -> int:
        """How many stages are over after the lesson on a step; those of the last steps may come too late."""
        return sum(lesson >= min(end, self.ends[-1] - self.delay) - 1 for end in self.ends)

    def at(self, step: np.ndarray, device: torch.device) -> list[Stage]:
        """Stages that worlds are in after so many steps ``[W]``; none of worlds where that is below 0."""
        found, number = [], self.number(step)
        for stage in sorted(set(number[step >= 0].tolist())):
            begin = self.ends[stage - 1] if stage else 0
            length = max(1, self.length(stage))
            inside = (number == stage) & (step >= 0)
            rate = inside * 0.5 * (1 + np.cos(math.pi * (step - begin) / length))
            begins = inside & (step == begin)
            found.append(
                Stage(
                    stage,
                    torch.from_numpy(rate).to(device, torch.float32),
                    torch.from_numpy(begins).to(device) if begins.any() else None,
                )
            )
        return found
