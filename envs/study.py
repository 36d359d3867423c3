"""What worlds share that deal a stream, examine, and pay for progress: the arguments, and what is made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .errors import ConfigError, short
from .exam import Exam
from .streams import Dataset, Split, load_dataset
from .streams.domains import KINDS, joined, with_domains
from .streams.schedule import Schedule
from .validation import keep, real, whole

BITS_PER_KIB = 8 * 1024


@dataclass(frozen=True, kw_only=True)
class Study:
    """Which data are dealt in which order, and how learners are examined.

    Args:
        data: Data set: a name, arrays, a torch or HF data set, a folder of pictures.
        data_dir: Folder of parquet files for named data.
        exam_items: Items of the data set kept for exams; None: a fifth of its training part.
        stream_items: Items that learners see, of all classes alike; None: all there are.
        data_classes: Only the first so many classes of the data; None: all.
        slice_size: B.
        exam_size: E.
        order: As of :class:`~studyhall.envs.streams.schedule.Schedule`.
        topic_steps: Of topical order.
        topic_classes: Of topical order.
        task_classes: Of class-incremental order.
        task_order: Of class-incremental order, and of domains.
        domains: What else the data look like: "permuted", "rotated", or a list of further data sets; None: one domain.
        domain_count: D of those that are made.
        exam_every: Steps between two exam days.
        exam_smoothing: α of the smoothed score.
        card_every: Steps between two report cards.
    """

    data: Any = "digits"
    data_dir: str | None = None
    exam_items: int | None = None
    stream_items: int | None = None
    data_classes: int | None = None
    slice_size: int = 32
    exam_size: int = 64
    order: str = "iid"
    topic_steps: int = 20
    topic_classes: int = 2
    task_classes: int = 2
    task_order: str = "drawn"
    domains: Any = None
    domain_count: int = 5
    exam_every: int = 1
    exam_smoothing: float = 0.2
    card_every: int = 10

    def __post_init__(self) -> None:
        keep(self, domain_count=whole("domain_count", self.domain_count, 2, 1000))
        if self.domains is not None and not isinstance(self.domains, (str, list, tuple)):
            raise ConfigError(
                f"domains are {' or '.join(map(repr, KINDS))}, or a list of data sets, got {short(self.domains)}"
            )

    def dataset(self, device: torch.device) -> Dataset:
        """The data set, on a device."""
        first = self._load(self.data)
        if self.domains is None:
            return first.to(device)
        if isinstance(self.domains, str):
            return with_domains(first, self.domains, self.domain_count).to(device)
        return joined([first, *(self._load(data) for data in self.domains)]).to(device)

    def _load(self, data: Any) -> Dataset:
        found = load_dataset(data, data_dir=self.data_dir, exam_size=self.exam_items)
        return found.reduced(self.data_classes, self.stream_items)

    def schedule(self, split: Split, num_agents: int, horizon: int, **others: Any) -> Schedule:
        """The order in which a split is dealt to N agents; ``others`` are of the schedule, too."""
        names = ("order", "topic_steps", "topic_classes", "task_classes", "task_order")
        own = {name: getattr(self, name) for name in names}
        return Schedule(split, num_agents, self.slice_size, horizon, **{**own, **others})

    def exam(self, split: Split, horizon: int) -> Exam:
        """The exams, drawn from a split.

        Raises:
            ConfigError: It is too small for them, or episodes are too short for two.
        """
        exam = Exam(self.exam_size, self.exam_smoothing, self.exam_every, self.card_every)
        exam.check(split)
        exam.check_times(horizon)
        return exam


@dataclass(frozen=True, kw_only=True)
class Pay:
    """What progress earns, and what is paid for bytes and labels.

    Args:
        reward_scale: Reward of a progress of 1.
        cooperation: c, the share of everyone's mean progress in one's own reward.
        byte_price: Reward per KiB sent.
        label_price: Reward per label received.
    """

    reward_scale: float = 10.0
    cooperation: float = 0.0
    byte_price: float = 0.0
    label_price: float = 0.0

    def __post_init__(self) -> None:
        keep(
            self,
            reward_scale=real("reward_scale", self.reward_scale, 0),
            cooperation=real("cooperation", self.cooperation, 0, 1),
            byte_price=real("byte_price (reward per KiB)", self.byte_price, 0),
            label_price=real("label_price (reward per label)", self.label_price, 0),
        )

    def reward(self, before: Tensor, after: Tensor, bits: Tensor, labels: Tensor | float = 0.0) -> Tensor:
        """What progress earns, less what so many bits sent and labels received cost, ``[W, N]``."""
        earned = self.progress(before, after)
        return earned - self.prices(bits, labels) if self.byte_price or self.label_price else earned

    def progress(self, before: Tensor, after: Tensor) -> Tensor:
        """Scale · ((1 − c)·own progress + c·mean progress of the class), ``[W, N]``."""
        own = after - before
        if not self.cooperation:
            return self.reward_scale * own
        return self.reward_scale * (
            (1 - self.cooperation) * own + self.cooperation * own.mean(-1, keepdim=True)
        )

    def prices(self, bits: Tensor, labels: Tensor | float = 0.0) -> Tensor:
        """What so many bits sent and labels received cost, ``[W, N]``."""
        return self.byte_price * (bits / BITS_PER_KIB) + self.label_price * labels
