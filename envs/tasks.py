"""What learners know of each task, while tasks come one after another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import continual
from .engine.state import TensorDict
from .streams import Split
from .streams.schedule import Schedule


@dataclass(frozen=True)
class Tasks:
    """Accuracy on the exam's items of each task, before all and after each: R of :mod:`~studyhall.envs.continual`.

    Args:
        schedule: Of the stream; its :attr:`~Schedule.task_count` is K.
        exam: The exam split.
    """

    schedule: Schedule
    exam: Split

    def start(self, num_worlds: int, num_agents: int, device: torch.device) -> TensorDict:
        """Nothing known yet: ``tasks/scores``, float32 ``[W, N, K + 1, K]`` of NaN."""
        count = self.schedule.task_count
        return {
            "tasks/scores": torch.full((num_worlds, num_agents, count + 1, count), torch.nan, device=device)
        }

    def noted(self, state: TensorDict, correct: Tensor, counts: Tensor) -> TensorDict:
        """The scores after an exam; the last within a task is the one that stays.

        Args:
            state: The world's, this step counted in its clock.
            correct: Which answers are right, bool ``[W, N, E]``.
            counts: Whose answers count, bool ``[W, N]``.
        """
        count, scores = self.schedule.task_count, state["tasks/scores"]
        number = torch.arange(count + 1, device=scores.device)
        task = state["stream/task"].gather(1, self.exam.strata[state["exam"]])  # of each item, [W, E]
        mine = (task[..., None] == number[:-1]).float()
        share = (correct.float() @ mine) / mine.sum(1, keepdim=True)  # NaN of a task without an item
        learnt = state["clock"] - 1  # slices: answers are given before the step's is
        row = torch.where(learnt > 0, self.schedule.task_at((learnt - 1).clamp_min(0)) + 1, 0)
        here = (row[:, None] == number)[:, None, :, None] & counts[..., None, None]
        return {"tasks/scores": torch.where(here, share[:, :, None], scores)}

    def cases(self, state: TensorDict) -> TensorDict:
        """ACC, BWT, FWT and forgetting, ``[W]``, means over agents; NaN before the last task."""
        scores, order = state["tasks/scores"], range(self.schedule.task_count)
        found = {
            "final_accuracy": continual.average(scores),
            "backward_transfer": continual.backward_transfer(scores, order),
            "forward_transfer": continual.forward_transfer(scores, order),
            "forgetting": continual.drop(scores),
        }
        return {name: value.mean(-1) for name, value in found.items()}
