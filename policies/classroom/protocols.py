"""Protocols: who asks the teacher, who publishes, and who listens to whom; everything is ``[W, N, …]``.

Each is a :class:`Protocol`, which turns observations into a :class:`~studyhall.learners.Lesson` for every student and
decides who publishes and asks; :class:`~studyhall.policies.Students` does the learning.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...envs.engine import TensorDict, rng
from ...envs.errors import ConfigError
from ...envs.mixing import weighted_sum
from ...envs.validation import afford, real, whole
from ...learners import Average, Lesson
from .students import Protocol, labelled


def mean_of(rows: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean over sources.

    Args:
        rows: Distributions ``[W, N, S, B, C]``; abstaining rows are zero.
        weights: ``[W, N, S]``.

    Returns:
        Mean distributions ``[W, N, B, C]`` and which rows have any source, float32 ``[W, N, B]``.
    """
    mixed = weighted_sum(weights.to(rows.dtype)[..., None], rows)
    total = mixed.sum(-1, keepdim=True)
    return mixed / total.clamp_min(1e-12), (total[..., 0] > 1e-6).float()


class LabelsOnly(Protocol):
    """Ask while the budget lasts, learn from labels, then stop: the control of every peer phase.

    In an open world the class spends one purse; in an isolated one each student has its share of it.
    """


def with_oneself(heard: Tensor) -> Tensor:
    """Weights ``[W, N, 1 + K]`` of 1 for oneself, in the first place, and of whom one heard."""
    return torch.cat([torch.ones_like(heard[..., :1]), heard[..., 1:]], dim=-1).float()


def budget_left(obs: TensorDict) -> Tensor:
    """Whether the teacher still answers, bool ``[W, N]``."""
    return obs["report"][..., -1] > 0


class TwoPhase(Protocol):
    """First the teacher, then the best student teaches the others (the documented classroom).

    The teacher phase lasts while labels come, for ``teacher_steps`` at most. Afterwards the title holder
    publishes and the others imitate it; with labels still in hand the two losses are weighted.

    Args:
        teacher_steps: Longest teacher phase.
        imitate: Weight of imitation where labels are in hand too.
        label: Weight of labels in the peer phase.
        title_by: ``"card"``: the best report card (its cadence is the world's ``card_every``);
            ``"loss"``: the lowest mean training loss over ``window`` steps, re-chosen every ``retitle_every``.
        window: Steps of the training-loss mean.
        retitle_every: Steps between two choices by training loss.
    """

    def __init__(
        self,
        teacher_steps: int = 2000,
        imitate: float = 0.7,
        label: float = 0.3,
        title_by: str = "card",
        window: int = 100,
        retitle_every: int = 200,
    ) -> None:
        if title_by not in ("card", "loss"):
            raise ConfigError(f"title_by must be 'card' or 'loss', got {title_by!r}")
        self.teacher_steps = whole("teacher_steps", teacher_steps, 0)
        self.imitate, self.label = real("imitate", imitate, 0), real("label", label, 0)
        self.title_by, self.window = title_by, whole("window", window, 1)
        self.retitle_every = whole("retitle_every", retitle_every, 1)

    def begin(self) -> None:
        """The title goes to student 0; no losses yet."""
        world = self.students.world
        self._title = torch.zeros(world.num_worlds, dtype=torch.int64, device=world.device)
        afford(world.num_worlds, "window", agents=world.num_agents, window=self.window)
        self._losses = torch.zeros(world.num_worlds, world.num_agents, self.window, device=world.device)

    def reset(self, mask: Tensor) -> None:
        """As in :meth:`begin`."""
        self._title = torch.where(mask, 0, self._title)
        self._losses = torch.where(mask[:, None, None], 0.0, self._losses)

    def lesson(self, obs: TensorDict) -> Lesson:
        """Labels in the teacher phase; the title holder's targets after it."""
        told = labelled(obs)
        teacher_phase = told.any(-1, keepdim=True) & (self._step(obs) <= self.teacher_steps)
        # Whoever was heard held the title when it spoke; with delays that need not be today's holder.
        targets, rows = mean_of(obs["fb_targets"], obs["heard"])
        follows = (obs["heard"] == 1).any(-1) & ~teacher_phase
        weight = torch.where(told, self.imitate, 1.0) * follows
        label = torch.where(follows, self.label, 1.0) * told
        return Lesson(label, weight[..., None] * rows, targets)

    def learned(self, losses: Tensor, active: Tensor) -> None:
        """Remember training losses where the title depends on them."""
        if self.title_by == "loss":
            shifted = torch.cat([self._losses[..., 1:], losses[..., None]], dim=-1)
            self._losses = torch.where(active[..., None], shifted, self._losses)

    def publish(self, obs: TensorDict) -> Tensor:
        """In the peer phase, the title holder."""
        index = torch.arange(obs["heard"].shape[1], device=self._title.device)
        peer_phase = ~budget_left(obs) | (self._step(obs) >= self.teacher_steps)
        return (index == self._title[:, None]) & peer_phase

    def look(self, obs: TensorDict) -> None:
        """Award the title."""
        if self.title_by == "card":
            in_sight = obs["present"][..., 1:].any(-1)  # nobody follows who is alone
            self._title = (obs["report"][..., 0] * in_sight).argmax(-1)
        else:
            best = self._losses.mean(-1).argmin(-1)
            due = (self._step(obs)[:, 0] % self.retitle_every) == 0
            self._title = torch.where(due, best, self._title)

    def _step(self, obs: TensorDict) -> Tensor:
        """Steps made, int64 ``[W, 1]``."""
        return (obs["elapsed"][:, :1, 0] * self.students.world.horizon).round().long()

    def title(self) -> Tensor:
        """The title holder, int64 ``[W]``."""
        return self._title

    def state_dict(self) -> dict[str, Tensor]:
        """Title and loss window."""
        return {"title": self._title.clone(), "losses": self._losses.clone()}

    def load_state_dict(self, saved: dict[str, Tensor]) -> None:
        """Take over title and loss window."""
        self._title, self._losses = saved["title"].clone(), saved["losses"].clone()


class Mutual(Protocol):
    """Everyone from everyone: labels where there are any, and the mean of the peers heard.

    Deep mutual learning (Zhang et al., CVPR 2018); its mean of KL divergences to the peers has the gradient
    of one divergence to their mean.

    Args:
        imitate: Weight of imitation.
    """

    def __init__(self, imitate: float = 1.0) -> None:
        self.weight = real("imitate", imitate, 0)

    def lesson(self, obs: TensorDict) -> Lesson:
        """Labels and the mean of the peers heard."""
        targets, rows = mean_of(obs["fb_targets"], self.listens_to(obs))
        return Lesson(labelled(obs).float(), self.weight * rows, targets)

    def listens_to(self, obs: TensorDict) -> Tensor:
        """Weights of oneself and the neighbours, ``[W, N, 1 + K]``."""
        return obs["heard"].float()

    def publish(self, obs: TensorDict) -> Tensor:
        """Everyone, always."""
        return torch.ones_like(self.ask(obs))


class Gossip(Mutual):
    """Each listens to one peer at a time, chosen at random among those heard."""

    def listens_to(self, obs: TensorDict) -> Tensor:
        """One-hot weights, zero where nobody was heard."""
        world = self.students.world
        shape = obs["heard"].shape[1:]
        drawn = rng.draw(rng.fold(world.keys, world.steps), "policy/gossip", shape).uniform()
        luck = torch.where(obs["heard"] == 1, drawn + 1.0, 0.0)
        chosen = torch.nn.functional.one_hot(luck.argmax(-1), shape[-1])
        return (chosen * obs["heard"]).float()


class MeanTeacher(Mutual):
    """Imitate the mean of everyone's slowly averaged self, one's own included.

    Students publish what an exponential moving average of their weights believes (Tarvainen & Valpola,
    NeurIPS 2017).

    Args:
        imitate: Weight of imitation.
        decay: Of the moving average, per learning step.
    """

    def __init__(self, imitate: float = 1.0, decay: float = 0.995) -> None:
        super().__init__(imitate)
        self.decay = real("decay", decay, 0, 1)

    def begin(self) -> None:
        """The averages begin at the fresh weights."""
        self._average = self.students.population.average(self.decay)

    def reset(self, mask: Tensor) -> None:
        """As in :meth:`begin`."""
        self._average.reset(mask)

    def listens_to(self, obs: TensorDict) -> Tensor:
        """Everyone heard, and oneself."""
        return with_oneself(obs["heard"])

    def learned(self, losses: Tensor, active: Tensor) -> None:
        """The averages follow those who learnt."""
        self._average.update(active)

    def publisher(self) -> Average:
        """The averages."""
        return self._average

    def state_dict(self) -> dict[str, Tensor]:
        """The averages."""
        return self._average.state_dict()

    def load_state_dict(self, saved: dict[str, Tensor]) -> None:
        """Take over the averages."""
        self._average.load_state_dict(saved)


class SnapshotEnsemble(MeanTeacher):
    """Labels first; then everyone imitates the class as it was when the labels ran out.

    While labels come, a moving average follows each student's weights. When the budget is spent the averages
    freeze and are published, and all imitate their mean, slowly (a distilled ensemble: Hinton, Vinyals &
    Dean, 2015). A moving class that teaches itself drifts away together; this target stands still.

    Args:
        decay: Of the moving average, per learning step.
        rate: Learning rate of the peer phase, as a fraction of the labelled one's.
    """

    def __init__(self, decay: float = 0.99, rate: float = 0.03) -> None:
        super().__init__(decay=decay)
        self.rate = real("rate (a fraction of the learning rate)", rate, 0, 1)

    def lesson(self, obs: TensorDict) -> Lesson:
        """Labels where there are any, else the mean of the snapshots heard."""
        told = self._told = labelled(obs)
        targets, rows = mean_of(obs["fb_targets"], self.listens_to(obs))
        rows = rows * ~told[..., None]
        return Lesson(told.float(), rows, targets, torch.where(told, 1.0, self.rate))

    def learned(self, losses: Tensor, active: Tensor) -> None:
        """The averages follow those who learnt from labels."""
        self._average.update(active & self._told)

    def publish(self, obs: TensorDict) -> Tensor:
        """Everyone, once the budget is spent."""
        return ~budget_left(obs)
