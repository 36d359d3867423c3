"""Students: the bring-your-own-learner side of a classroom. Networks that learn, as a protocol says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...envs.engine import TensorDict, World
from ...envs.errors import ConfigError, unknown_argument
from ...envs.registration import arguments_of
from ...envs.validation import flag, rate, real, widths
from ...learners import Average, Lesson, Population, learner_keys, make_network, softmax, teach
from ...learners.factory import Kind
from ...learners.lesson import none
from ...learners.plain import Plain, classifier
from ..observed import ordinary, present
from ..policy import MadeInReset, Policy

_PREDICT_ROWS = 2000  # rows of a test set evaluated at once


def labelled(obs: TensorDict) -> Tensor:
    """Who was told labels, bool ``[W, N]``."""
    return (obs["fb_labels"] >= 0).any(-1)


class Protocol:
    """The base, and the simplest: everyone asks, nobody publishes, students learn from labels alone."""

    students: Students

    def bind(self, students: Students) -> None:
        """Get to know the students; called before the first reset."""
        self.students = students

    def begin(self) -> None:
        """Make what it remembers, for fresh students in all worlds."""

    def reset(self, mask: Tensor) -> None:
        """Begin anew in the worlds of ``mask`` (bool ``[W]``); the students there are fresh already."""

    def lesson(self, obs: TensorDict) -> Lesson:
        """What each student learns from the feedback in ``obs``."""
        label = labelled(obs).float()
        return Lesson(
            label, label.new_zeros(obs["fb_targets"].shape[:2] + obs["fb_targets"].shape[3:4]), None
        )

    def learned(self, losses: Tensor, active: Tensor) -> None:
        """Hear how the lesson went: losses ``[W, N]`` of the students in ``active`` (bool ``[W, N]``)."""

    def look(self, obs: TensorDict) -> None:
        """Make up its mind from ``obs``, before it is asked who asks and who publishes."""

    def ask(self, obs: TensorDict) -> Tensor:
        """Who asks the teacher, bool ``[W, N]``."""
        return torch.ones(obs["heard"].shape[:2], dtype=torch.bool, device=obs["heard"].device)

    def publish(self, obs: TensorDict) -> Tensor:
        """Who publishes soft targets, bool ``[W, N]``."""
        return torch.zeros(obs["heard"].shape[:2], dtype=torch.bool, device=obs["heard"].device)

    def publisher(self) -> Population | Average:
        """Whose beliefs are published."""
        return self.students.population

    def title(self) -> Tensor | None:
        """Who holds the title of the best, int64 ``[W]``, if the protocol awards one."""
        return None

    def state_dict(self) -> dict[str, Tensor]:
        """What the protocol remembers."""
        return {}

    def load_state_dict(self, saved: dict[str, Tensor]) -> None:
        """Take over a :meth:`state_dict`."""


class Students(Policy):
    """W·N networks in one tensor program, taught as a protocol says.

    A student's loss on a slice is that of :func:`studyhall.learners.teach`; who has no lesson does not move by a
    bit.

    Args:
        protocol: Who asks, publishes, and listens to whom.
        learners: What each of them is, the same for all; see :func:`~studyhall.learners.make_networks`.
        hidden: Widths of the hidden layers of "mlp".
        dropout: Dropout of "mlp" in learning steps.
        lr: Learning rate of each student's Adam.
        temperature: T, of published beliefs and of the imitating student.
        distill_scale: Factor of the distillation loss; None is T².
        always_dropout: Never switch dropout off: published beliefs and exam answers have it too.

    Attributes:
        population: The networks.
    """

    population = MadeInReset[Population]()

    def __init__(
        self,
        protocol: Protocol,
        *,
        learners: Kind = "mlp",
        hidden: Sequence[int] = (128, 64),
        dropout: float = 0.2,
        lr: float = 1e-3,
        temperature: float = 2.0,
        distill_scale: float | None = None,
        always_dropout: bool = False,
    ) -> None:
        if real("temperature", temperature, 0) == 0:
            raise ConfigError("temperature must be above 0, got 0")
        real("dropout", dropout, 0, 1)
        if distill_scale is not None:
            real("distill_scale", distill_scale, 0)
        if isinstance(learners, Sequence) and not isinstance(learners, str):
            raise ConfigError('students are all of one kind: give learners="cnn" or the like, not a list')
        self.protocol = protocol
        self.learners = learners
        self.hidden = widths("hidden", hidden)
        self.dropout, self.lr = dropout, rate("lr", lr)
        self.temperature = temperature
        self.distill_scale = temperature**2 if distill_scale is None else distill_scale
        self.always_dropout = flag("always_dropout", always_dropout)

    def __repr__(self) -> str:
        """By whose rule they learn, and the world they are bound to."""
        return super().__repr__().replace("<Students", f"<Students by {type(self.protocol).__name__}", 1)

    def bind(self, world: World) -> None:
        """Read the sizes off the world's spaces; networks come with :meth:`reset`."""
        super().bind(world)
        needed = {"slice", "exam", "fb_slice", "fb_labels", "fb_targets"}
        if not needed <= set(world.observation_space.spaces):
            raise ConfigError(f"students need a world of soft targets, {type(world).__name__} is none")
        if more := sorted(world.action_space.spaces.keys() - {"soft_targets", "answers", "ask"}):
            raise ConfigError(
                f"students publish, answer and ask, {type(world).__name__} also wants {', '.join(more)}: use "
                "classroom-v0 or society-v0"
            )
        shape = (world.observation_space["slice"].shape or ())[1:]
        self._exam_shape = world.action_space["answers"].shape or ()
        self._private = "public" in world.observation_space.spaces
        classes = self._exam_shape[-1]
        self.network = make_network(self.learners, shape, classes, hidden=self.hidden, dropout=self.dropout)
        self.protocol.bind(self)

    def reset(self, mask: Tensor | None = None) -> None:
        """Fresh networks in the worlds of ``mask``."""
        world = self.world
        keys = learner_keys(world.keys, world.num_agents)
        if mask is None:
            self.population = Population(self.network, keys, lr=self.lr)
            self.protocol.begin()
        else:
            self.population.reset(mask, keys)
            self.protocol.reset(mask)

    def act(self, obs: TensorDict) -> TensorDict:
        """Learn from the feedback, then publish, answer and ask."""
        with torch.inference_mode(False), torch.no_grad():
            obs = ordinary(obs)
            self._learn(obs, present(obs))
            self.protocol.look(obs)
            actions = {"soft_targets": self._publish(obs), "answers": self._answer(obs)}
            if (
                "ask" in self.world.action_space.spaces
            ):  # where labels come by themselves there is none to ask
                actions["ask"] = self.protocol.ask(obs).long()
            return actions

    def end(self, final_obs: TensorDict, mask: Tensor) -> None:
        """Learn from the last feedback of an episode."""
        with torch.inference_mode(False), torch.no_grad():
            final_obs = ordinary(final_obs)
            self._learn(final_obs, present(final_obs) & mask[:, None])

    # ---- learning -----------------------------------------------------------------------------------

    def _learn(self, obs: TensorDict, allowed: Tensor) -> None:
        """One step for every student that has a lesson and is ``allowed`` (bool ``[W, N]``)."""
        population = self.population
        lesson = self.protocol.lesson(obs)
        shared = (obs["fb_slice"][:, 0] if not self._private else obs["fb_slice"]).flatten(
            -self._input_dims()
        )
        about = obs["fb_public"].flatten(-self._input_dims()) if self._private else None
        losses = teach(
            population,
            lesson,
            inputs=shared,
            labels=obs["fb_labels"],
            about=about,
            allowed=allowed,
            temperature=self.temperature,
            distill_scale=self.distill_scale,
        )
        if losses is not None:
            self.protocol.learned(losses, lesson.active & allowed)

    def _input_dims(self) -> int:
        return len(self.world.observation_space["slice"].shape or ()) - 1

    # ---- acting -------------------------------------------------------------------------------------

    def _publish(self, obs: TensorDict) -> Tensor:
        """Beliefs at temperature T of those who publish, zero of the others, ``[W, N, B, C]``."""
        publishes = self.protocol.publish(obs)
        shape = (*obs["fb_targets"].shape[:2], *obs["fb_targets"].shape[3:])
        if none(publishes):
            return torch.zeros(1, device=publishes.device).expand(shape)
        shown = obs["public" if self._private else "slice"][:, 0].flatten(2)
        publisher, draw = self.protocol.publisher(), self._draw(1)
        if _one_at_most(publishes):  # one network a world to compute instead of N
            speaker = publishes.long().argmax(-1)
            logits = publisher.logits_of(speaker, shown, dropout=self.always_dropout, draw=draw)
        else:
            logits = publisher.logits(shown, dropout=self.always_dropout, draw=draw)
        return softmax(logits / self.temperature) * publishes[..., None, None]

    def _answer(self, obs: TensorDict) -> Tensor:
        """Answers to the exam, ``[W, N, E, C]``; abstains from an exam that is not shown."""
        if none(obs["exam_now"]):
            return torch.zeros(1, device=obs["exam"].device).expand(
                *obs["present"].shape[:2], *self._exam_shape
            )
        exam = obs["exam"][:, 0].flatten(2)
        return softmax(self.population.logits(exam, dropout=self.always_dropout, draw=self._draw(2)))

    def _draw(self, purpose: int) -> Tensor | int:
        """Names the dropout draw of this step and purpose (1 publishing, 2 answering), ``[W·N]``."""
        if not self.always_dropout:
            return 0
        return (4 * self.world.steps + purpose).repeat_interleave(self.world.num_agents)

    # ---- reports and saving -------------------------------------------------------------------------

    def predict(self, x: Tensor, *, dropout: int | None = None) -> Tensor:
        """Class distributions ``[W, N, M, C]``; see :meth:`Policy.predict`."""
        parts = x.split(_PREDICT_ROWS)
        first = 0 if dropout is None else dropout * len(parts)
        with torch.no_grad():
            logits = [
                self.population.logits(part.flatten(1), dropout=dropout is not None, draw=4 * (first + i) + 3)
                for i, part in enumerate(parts)
            ]
        return softmax(torch.cat(logits, dim=2))

    def title(self) -> Tensor | None:
        """The protocol's title holder, if it has one."""
        _ = self.population  # made together with what a protocol remembers
        return self.protocol.title()

    def export(self, world: int) -> dict[str, Plain]:
        """Each student under its name."""
        names = self.world.agents
        return {name: classifier(self.population.extract(world, n), n) for n, name in enumerate(names)}

    def sound(self) -> Tensor:
        """Whose parameters are finite, bool ``[W, N]``."""
        return self.population.finite()

    def state_dict(self) -> dict[str, Any]:
        """Learners and protocol."""
        return {
            "population": self.population.state_dict(),
            "protocol": self.protocol.state_dict(),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        super().load_state_dict(saved)
        self.population.load_state_dict(saved["population"])
        self.protocol.load_state_dict(saved["protocol"])


def _one_at_most(mask: Tensor) -> bool:
    """Whether surely no world of ``mask [W, N]`` has more than one set; looks only where that is free."""
    return mask.device.type == "cpu" and bool((mask.sum(-1) <= 1).all())


def students(name: str, protocol: type[Protocol], /, **kwargs: Any) -> Students:
    """Students under a protocol, with the arguments of both in one dict.

    Args:
        name: Of this policy.
        protocol: Its class.
        **kwargs: Arguments.

    Raises:
        UnknownArgument: An argument of neither; lists the near ones.
    """
    of_protocol = set(arguments_of(protocol)[0])
    of_students = set(arguments_of(Students)[0]) - {"protocol"}
    for argument in kwargs:
        if argument not in of_protocol | of_students:
            raise unknown_argument(f"policy {name}", argument, of_protocol | of_students)
    chosen = {argument: kwargs.pop(argument) for argument in list(kwargs) if argument in of_protocol}
    return Students(protocol(**chosen), **kwargs)
