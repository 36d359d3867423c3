"""Which texts are dealt, in which order, and what models are examined on: arguments of the worlds, and what is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..engine import rng
from ..errors import ConfigError, one_of, short
from ..exam import Exam
from ..streams import Split
from ..streams.labels import few
from ..streams.schedule import ORDERS_OF_CLASSES, Schedule
from ..streams.tokens import TokenDataset, load_corpora
from ..study import Study
from ..validation import keep, whole

REFUSED: Mapping[str, str] = {
    "data": "texts are given as corpora",
    "exam_items": "texts are divided by document",
    "task_classes": "a task is one domain",
    "task_order": "the order of tasks is that of tasks, or of corpora",
    "domains": "corpora are domains",
    "domain_count": "corpora are domains",
    "card_every": "cards are told on the days of the exam",
}
"""Arguments of a :class:`~studyhall.envs.study.Study` that worlds of texts do not take."""


@dataclass(frozen=True, kw_only=True)
class Texts(Study):
    """A :class:`~studyhall.envs.study.Study` of texts, whose items are windows of tokens and whose classes are domains.

    Args:
        corpora: As of :func:`~studyhall.envs.streams.tokens.load_corpora`.
        length: T, tokens that are read at once.
        stride: Tokens from the beginning of a window of the stream to that of the next; None: ``length``, so that none
            is dealt twice in a pass. As published: ``length // 2``.
        vocabulary: V, the most tokens that a tokeniser may have.
        tokeniser: "bpe", "bytes" or "words", or one that was trained before.
        tokeniser_from: "all" or a domain: on whose stream it is trained.
        characters: At most so many of each domain are dealt; None: all.
        tasks: Domains in the order in which they are learnt, in "class_incremental" order; None: all, as given.
    """

    corpora: Any = "texts"
    length: int = 32
    stride: int | None = None
    vocabulary: int = 512
    tokeniser: Any = "bpe"
    tokeniser_from: str = "all"
    characters: int | None = 500_000
    tasks: Sequence[str] | None = None
    slice_size: int = 16
    exam_size: int = 16
    order: str = "class_incremental"
    task_classes: int = 1
    topic_classes: int = 1
    exam_every: int = 20
    exam_smoothing: float = 1.0

    def __post_init__(self) -> None:
        keep(
            self,
            order=one_of("order", self.order, ORDERS_OF_CLASSES),
            length=whole("length (tokens)", self.length, 1, 65_536),
            exam_size=whole("exam_size (windows of each domain)", self.exam_size, 1),
            characters=None if self.characters is None else whole("characters", self.characters, 1),
        )
        if self.tasks is not None and self.order != "class_incremental":
            raise ConfigError(f"tasks come in order 'class_incremental', not {self.order!r}: leave tasks out")

    def dataset(self, device: torch.device) -> TokenDataset:
        """The texts, on a device."""
        found = load_corpora(
            self.corpora,
            data_dir=self.data_dir,
            length=self.length,
            stride=self.stride,
            vocabulary=self.vocabulary,
            tokeniser=self.tokeniser,
            tokeniser_from=self.tokeniser_from,
            most=self.characters,
        )
        return found.reduced(self.data_classes, self.stream_items).to(device)

    def order_of(self, domains: Sequence[str]) -> tuple[int, ...]:
        """The number of the domain of each task, K of them; a single one, 0, where all are mixed.

        Raises:
            ConfigError: Tasks that are no domains, none, or one twice.
        """
        if self.order != "class_incremental":
            return (0,)
        if self.tasks is None:
            return tuple(range(len(domains)))
        if isinstance(self.tasks, (str, bytes)) or not isinstance(self.tasks, Sequence) or not self.tasks:
            raise ConfigError(
                f"tasks must be a list of domains, got {short(self.tasks)}: give some of {few(domains)}"
            )
        found = tuple(domains.index(one_of("domain in tasks", name, domains)) for name in self.tasks)
        if len(set(found)) < len(found):
            raise ConfigError("tasks names a domain twice: give each once")
        return found

    def schedule(self, split: Split, num_agents: int, horizon: int, **others: Any) -> Schedule:
        """The order in which a split is dealt; one slice serves all."""
        return super().schedule(split, num_agents, horizon, share="shared", **others)

    def exam(self, split: Split, horizon: int) -> Exam:
        """The exams: ``exam_size`` windows of each domain."""
        exam = Exam(self.exam_size * len(split.counts), self.exam_smoothing, self.exam_every)
        exam.check(split)
        return exam


@dataclass(frozen=True)
class Calendar:
    """When tasks end and exams are held; of counts of steps, on the host or on the device alike.

    Args:
        horizon: Steps of an episode, or as many as its stream lasts.
        tasks: K, of equal shares of it.
        every: Steps between exams; one is held at each end of a task, too.
    """

    horizon: int
    tasks: int
    every: int

    def task(self, steps: Any) -> Any:
        """Which task the slice is of that is dealt after so many steps, 0 … K − 1."""
        return (steps * self.tasks // self.horizon).clip(max=self.tasks - 1)

    def ends(self, steps: Any) -> Any:
        """Whether a task ends with the last of so many steps."""
        return (self.task(steps) != self.task(steps - 1)) | (steps == self.horizon)

    def examined(self, steps: Any) -> Any:
        """Whether an exam follows the last of so many steps."""
        return (steps % self.every == 0) | self.ends(steps)


def drawn_windows(split: Split, domain: int, drawn: rng.Draw) -> Tensor:
    """Windows of one domain, drawn at random, int64 of the draw's shape."""
    return split.offsets[domain] + drawn.integers(split.counts[domain])
