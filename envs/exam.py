"""Exams, scores and learning-progress rewards.

One exam per world and episode, stratified over classes and drawn without replacement from the exam split.
A fresh exam at every step would make the reward mostly noise.

Formulas, for an answer p on an item of class y, C classes:

* score s = 1 − ½·Σ_c (p_c − 1[c = y])², the Brier score (Brier 1950) turned so that 1 is perfect;
  uniform answers score ½ + 1/(2C);
* smoothed score s̄ₜ = s̄ₜ₋₁ + α(sₜ − s̄ₜ₋₁);
* own progress pₜ = s̄ₜ − s̄ₜ₋₁, which telescopes: its sum over an episode is what was learnt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from .engine import rng
from .engine.kernels import due, recorded
from .engine.masks import every, some
from .errors import ConfigError
from .streams import Split
from .validation import keep, real, whole

_DIVIDED, _SCORED, _RANKED = (40.0, 5e-3), (30.0, 4e-3), 2.5e-3
"""Microseconds that plain torch takes longer for a call and for a number, or for a number."""

_FEW = 10_000
"""Numbers of which plain torch finds the greatest as soon."""


Extent = Literal["none", "some", "all"]
"""In which worlds of a batch something is due. The host knows, and so what is due in none need not be computed, and
where it is due in all nothing of before need be kept."""


def extent(due: np.ndarray) -> Extent:
    """Of a mask of worlds on the host, bool ``[W]``."""
    return "all" if every(due) else "some" if some(due) else "none"


@dataclass(frozen=True)
class Exam:
    """Draws exams from a class-sorted split and scores answers.

    Args:
        size: E, items of an exam.
        smoothing: α of the smoothed score.
        every: Steps between two exam days: answers count in steps 0, ``every``, 2·``every``, …
        card_every: Steps between two refreshes of the report cards.
    """

    size: int = 64
    smoothing: float = 0.2
    every: int = 1
    card_every: int = 10

    def __post_init__(self) -> None:
        keep(
            self,
            size=whole("exam_size", self.size, 1),
            every=whole("exam_every", self.every, 1),
            card_every=whole("card_every", self.card_every, 1),
            smoothing=real("exam_smoothing", self.smoothing, 0, 1),
        )
        if self.smoothing == 0:
            raise ConfigError("exam_smoothing of 0 would never change the score: give a number above 0")

    def check(self, split: Split) -> None:
        """Raise where the exam split is too small for a stratified exam of this size."""
        quota, fewest = -(-self.size // len(split.counts)), int(split.counts.min())
        if fewest < quota:
            lower = f"set exam_size to {fewest * len(split.counts)} or less, or " if fewest else ""
            raise ConfigError(
                f"an exam of {self.size} items needs {quota} of each class in the exam split, one class has "
                f"{fewest}: {lower}give more data"
            )

    def check_times(self, horizon: int) -> None:
        """Raise where no second exam day falls into an episode, so that nothing learnt could be earned.

        Report cards have no such limit: without a second refresh they show the first day's accuracy.
        """
        if self.every >= horizon > 1:
            raise ConfigError(
                f"exam_every {self.every} leaves one exam within {horizon} steps, that of step 0, so that nothing "
                f"could be earned: lower it below {horizon}, or raise horizon"
            )

    def draws(self, split: Split) -> dict[str, tuple[int, ...]]:
        """Draws at the start of an episode."""
        return {
            "exam/items": (len(split.y),),
            "exam/classes": (len(split.counts),),
            "exam/order": (self.size,),
        }

    def draw(self, split: Split, draws: rng.DrawDict) -> Tensor:
        """Indices of an exam into the exam split, int64 ``[W, E]``: stratified, without replacement.

        Every class (of each domain) gives ⌊E/C⌋ items; the rest come one each from randomly chosen classes. The items
        come in random order: sorted by class, their places would tell the answers.
        """
        bits = draws["exam/items"].bits()
        device = bits.device
        items, classes = len(split.y), len(split.counts)
        low = max(1, (items - 1).bit_length())
        index = torch.arange(items, device=device)
        # Class above random bits above the index: sorting keeps the classes' blocks and shuffles inside.
        random = (bits >> (low + 24)) & ((1 << (40 - low)) - 1)
        keys = (split.strata << 40) | (random << low) | index
        shuffled = keys.sort(dim=-1).values & ((1 << low) - 1)  # [W, items]
        quota = -(-self.size // classes)
        offered = (split.offsets[:, None] + torch.arange(quota, device=device)).flatten()  # [C * quota]
        extra = self.size - (quota - 1) * classes  # classes that give one item more
        rank = draws["exam/classes"].ranks()  # [W, C]
        last = torch.arange(quota, device=device) == quota - 1
        skipped = (last & (rank >= extra)[..., None]).flatten(1)  # [W, C * quota]
        chosen = skipped.long().argsort(dim=-1, stable=True)[:, : self.size]
        order = draws["exam/order"].permutation()
        return shuffled[:, offered].gather(1, chosen).gather(1, order)

    def today(self, steps: Tensor | np.ndarray) -> Any:
        """Whether the answers of the step after ``steps [W]`` steps count, bool ``[W]`` of the same kind."""
        return steps % self.every == 0

    def day(self, steps: np.ndarray) -> Extent:
        """In which worlds the answers of the step after ``steps [W]`` steps count (host)."""
        return extent(self.today(steps))

    def card_day(self, steps: np.ndarray) -> Extent:
        """In which worlds report cards are refreshed by the step after ``steps [W]`` steps (host)."""
        return extent(steps % self.card_every == 0)

    def chance(self, classes: int) -> float:
        """The score of uniform answers."""
        return 0.5 + 0.5 / classes

    def score(self, answers: Tensor, abstained: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Score answers.

        Args:
            answers: Distributions, float32 ``[W, N, E, C]``.
            abstained: bool ``[W, N, E]``: scored as uniform, and wrong where accuracy counts.
            labels: int64 ``[W, E]``.

        Returns:
            Score, float32 ``[W, N]``, and which answers are correct, bool ``[W, N, E]``.
        """
        chance, loops = self.chance(answers.shape[-1]), _loops(answers, _SCORED)
        if loops is not None:
            score, correct = loops.marks(answers, abstained, labels, chance)
            return score.mean(-1), correct
        right = answers.gather(-1, labels[:, None, :, None].expand(*answers.shape[:3], 1)).squeeze(-1)
        score = 0.5 + right - 0.5 * answers.square().sum(-1)
        score = torch.where(abstained, chance, score)
        correct = (best(answers) == labels[:, None, :]) & ~abstained
        return score.mean(-1), correct

    def smooth(self, before: Tensor, score: Tensor) -> Tensor:
        """The smoothed score after one more exam."""
        return before + self.smoothing * (score - before)

    def update(
        self,
        before: Mapping[str, Tensor],
        marks: Mapping[str, Tensor],
        smoothed: Iterable[str],
        clock: Tensor,
        day: Extent,
        present: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The marks after a step: new ones where it was a day for them, else those of before.

        Args:
            before: The state before, which holds the old marks.
            marks: By name, of the agents ``[W, N]`` or of the world ``[W]``.
            smoothed: Names of those that are smoothed over exams.
            clock: int64 ``[W]``, this step counted.
            day: In which worlds it was a day for them; not "none".
            present: bool ``[W, N]``, who was there to be examined; None: all.
        """
        new = {**marks, **{name: self.smooth(before[name], marks[name]) for name in smoothed}}
        if day == "all" and present is None:
            return new
        today = self.today(clock - 1)
        each = today[:, None] if present is None else present & today[:, None]
        return {
            name: torch.where(each if mark.dim() > 1 else today, mark, before[name])
            for name, mark in new.items()
        }

    def cards(self, before: Tensor, accuracy: Tensor, clock: Tensor, day: Extent) -> Tensor:
        """Report cards ``[W, N]``: accuracy to 1/100, refreshed in steps 0, ``card_every``, … (clock 1, …).

        Args:
            before: The cards before.
            accuracy: ``[W, N]``.
            clock: int64 ``[W]``, this step counted.
            day: In which worlds they are refreshed.
        """
        if day == "none":
            return before
        new = (accuracy * 100).round() / 100
        if day == "all":
            return new
        return torch.where(((clock - 1) % self.card_every == 0)[:, None], new, before)


def distributions(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of weights as distributions.

    Args:
        weights: ``[…, C]``.

    Returns:
        The rows divided by their sums, all zero where a row abstains, and bool ``[…]``: which do. A row
        abstains if it is all zero, or holds anything not finite or negative.
    """
    loops = _loops(weights, _DIVIDED)
    if loops is not None:
        return loops.distributions(weights)
    given = weights.detach()
    largest = given.amax(-1)  # dividing by it first keeps the sum of large weights finite
    abstained = ~((largest > 0) & (largest < torch.inf) & (given.amin(-1) >= 0))  # also where it is no number
    scaled = weights / largest.masked_fill_(abstained, 1.0)[..., None]
    scaled = torch.where(abstained[..., None], 0.0, scaled)
    return scaled / scaled.sum(-1, keepdim=True).clamp_min(1.0), abstained


def sound(answers: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`distributions`, of what learners say: distributions already, or of a learner gone NaN.

    Args:
        answers: ``[…, C]``; rows of zeros abstain, too.
    """
    abstained = ~(answers.sum(-1) > 0)
    return answers.masked_fill(abstained[..., None], 0.0), abstained


def best(rows: Tensor) -> Tensor:
    """The place of the greatest of finite numbers in each row ``[…, C]``, the first of equal ones: int64 ``[…]``."""
    if rows.numel() <= _FEW or rows.dtype != torch.float32:
        return rows.max(-1).indices
    loops = due("exam_numba", rows.device, _RANKED * rows.numel())
    return rows.max(-1).indices if loops is None else loops.best(rows)


def _loops(rows: Tensor, saved: tuple[float, float]) -> ModuleType | None:
    """What does in one pass, and to the bit, what is asked of rows ``[…, C]``, where that is due."""
    if rows.dtype != torch.float32 or not rows.is_contiguous() or recorded(rows):
        return None
    loops = due("exam_numba", rows.device, saved[0] + saved[1] * rows.numel())
    return loops if loops is not None and loops.width(rows.shape[-1]) else None
