"""What all who learn in a society of experts share: networks of their own, labels of their own classes, answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...envs.engine import TensorDict, World, rng
from ...envs.engine.actions import in_whole_numbers
from ...envs.errors import ConfigError, short
from ...envs.validation import flag, rate, real
from ...learners import Network, Population, learner_keys, softmax
from ...learners.lesson import label_loss, none
from ...learners.plain import Plain, classifier
from ...learners.population import Adjust, load
from ..observed import ordinary, present
from ..policy import MadeInReset, Policy
from .networks import Learners, Networks
from .samples import flipped
from .stages import Stage, Stages

_BY_SLOT = ("fb_targets", "fb_energies", "fb_parcels", "heard")  # what is known of neighbours
_PREDICT_ROWS = 1000  # rows of a test set evaluated at once


class Socialized(Policy):
    """Experts ``[W, N]`` in private rooms of one society; what they do in which stage is a subclass's.

    All learn by gradient descent with Nesterov's momentum of .9 and weight decay, at a rate that falls along half a
    cosine in each stage.

    Args:
        learners: See :data:`~studyhall.policies.socialized.networks.Learners`.
        width: Of experts of "conv3".
        shares: Of the episode, one for each stage but the last.
        lr: Learning rate of experts.
        weight_decay: Of everyone.
        flip: Whether learners see pictures turned left to right half of the time.

    Attributes:
        experts: The networks that begin as experts.
        own_classes: Classes that each was told labels of itself, bool ``[W, N, C]``.
        episode: Keys of the worlds' episodes, ``[W]``: in the last lesson of one the world's own may be the next one's.
        lesson: The step that each world's last lesson was about, int64 ``[W]`` on the host; below 0 before the first.
    """

    experts = MadeInReset[Population]()
    own_classes = MadeInReset[Tensor]()
    episode = MadeInReset[Tensor]()
    lesson = MadeInReset[np.ndarray]()
    world_kwargs: Mapping[str, Any] = {"public_order": "iid"}
    """Batch norm, and what is known of the share of one's own classes, want public slices of all classes alike."""

    def __init__(
        self,
        *,
        learners: Learners = "conv3",
        width: int = 8,
        shares: Sequence[float],
        lr: float = 0.01,
        weight_decay: float = 5e-3,
        flip: bool = False,
    ) -> None:
        if isinstance(shares, str) or not isinstance(shares, Sequence):
            raise ConfigError(
                f"shares are a list, of each stage of an episode but the last, got {short(shares)}"
            )
        Stages(1, shares)  # refuses what are no shares before there is a world
        self.learners, self.width, self.shares = learners, width, tuple(shares)
        self.lr, self.weight_decay = rate("lr", lr), real("weight_decay", weight_decay, 0)
        self.flip = flag("flip", flip)

    def bind(self, world: World) -> None:
        """Read the sizes off the world; networks come with :meth:`reset`.

        Raises:
            ConfigError: It is no society of experts who bring their learners, or was made without what this needs.
        """
        super().bind(world)
        seen, acts = world.observation_space.spaces, world.action_space.spaces
        needed = {"fb_slice", "fb_public", "public", "fb_labels", "fb_targets"}
        if not needed <= seen.keys() or "ask" in acts:
            raise ConfigError(
                f"{type(self).__name__} is for experts who bring their learners and talk about public slices: use "
                f"society-v0 without learners=, unlike this {type(world).__name__}"
            )
        order = world.public_schedule.order  # type: ignore[attr-defined]
        made = {name: getattr(world, name) for name in self.world_kwargs if name != "public_order"}
        self.require(public_order=order, **made)
        self._shape = (world.observation_space["slice"].shape or ())[1:]
        self.rows: int = (world.observation_space["slice"].shape or ())[0]
        self._exam_shape = world.action_space["answers"].shape or ()
        self.classes: int = self._exam_shape[-1]
        if self.flip and len(self._shape) != 3:
            raise ConfigError("flip=True turns pictures, and these samples are none: leave it out")
        self.networks = Networks(self.learners, self.width, self._shape, self.classes)
        self.delay: int = world.channel.delay  # type: ignore[attr-defined]
        self.stages = Stages(world.horizon, self.shares, self.delay)
        self.when = torch.full(
            (world.num_worlds,), -1, device=world.device
        )  # the step that a lesson is about

    @property
    def milestones(self) -> tuple[int, ...]:
        """The ends of stages; see :meth:`Policy.milestones`."""
        return self.stages.milestones

    def population(self, network: Network, keys: Tensor, lr: float) -> Population:
        """Fresh networks ``[W, …]`` of keys like that."""
        options: dict[str, Any] = {"momentum": 0.9, "nesterov": True, "weight_decay": self.weight_decay}
        return Population(network, keys, optimiser="sgd", lr=lr, **options)

    def keys(self, purpose: str, count: int) -> Tensor:
        """Keys ``[W, count]`` of networks for a purpose; those of experts have none."""
        world = self.world
        return learner_keys(world.keys ^ rng.purpose_id(purpose) if purpose else world.keys, count)

    def reset(self, mask: Tensor | None = None) -> None:
        """Fresh experts in the worlds of ``mask``."""
        world, keys = self.world, self.keys("", self.world.num_agents)
        if mask is None:
            self.experts = self.population(self.networks.expert, keys, self.lr)
            shape = (world.num_worlds, world.num_agents, self.classes)
            self.own_classes = torch.zeros(shape, dtype=torch.bool, device=world.device)
            self.episode = world.keys.clone()
            self.lesson = np.full(world.num_worlds, -1)
        else:
            self.experts.reset(mask, keys)
            self.episode.copy_(torch.where(mask, world.keys, self.episode))
            self.lesson[mask.cpu().numpy()] = -1
            self.own_classes.masked_fill_(mask[:, None, None], False)

    # ---- acting and learning ------------------------------------------------------------------------

    def act(self, obs: TensorDict) -> TensorDict:
        """Learn from the feedback, then talk about the public slice and answer the exam."""
        with torch.inference_mode(False), torch.no_grad():
            obs, clock = ordinary(obs), self.world.clock
            # Kept for the last lesson of an episode: by then the world may have begun the next, with another graph.
            self._who = self.world.neighbours()  # type: ignore[attr-defined]
            self._learn(obs, clock - 1)
            actions = self._silence()
            for stage in self.stages.at(clock, self.world.device):
                for name, said in self.say(obs, stage).items():
                    here = stage.here.view(-1, *[1] * (said.dim() - 1))
                    actions[name] = torch.where(here, said, actions[name])
            return actions | {"answers": self._answers(obs)}

    def end(self, final_obs: TensorDict, mask: Tensor) -> None:
        """Learn from the last feedback of an episode."""
        with torch.inference_mode(False), torch.no_grad():
            ended = mask.cpu().numpy()
            self._learn(ordinary(final_obs), np.where(ended, self.world.horizon - 1, -1))

    def _learn(self, obs: TensorDict, step: np.ndarray) -> None:
        """Learn from what came back in a step, int ``[W]`` on the host, below 0 where nothing did."""
        step = np.where(step < 0, -1, step - self.delay)  # when what came back was done
        self.lesson = np.where(step < 0, self.lesson, step)
        self.when = torch.from_numpy(step).to(self.world.device)
        labels, there = obs["fb_labels"], present(obs)
        obs = obs | {key: self._who.by_agent(obs[key]) for key in _BY_SLOT if key in obs}
        told = F.one_hot(labels.clamp_min(0), self.classes).bool() & (labels >= 0)[..., None]
        for stage in self.stages.at(step, self.world.device):
            allowed = there & stage.here[:, None]
            self.own_classes |= told.any(2) & allowed[..., None]
            self.learn(obs, stage, allowed)

    @abstractmethod
    def learn(self, obs: TensorDict, stage: Stage, allowed: Tensor) -> None:
        """Learn in the worlds that are in a stage.

        Args:
            obs: With feedback on what was done then, by agent: ``fb_targets [W, N, N, B, C]`` and so on.
            stage: The stage.
            allowed: bool ``[W, N]``: who is there in these worlds; nobody else learns.
        """

    def learn_own(self, obs: TensorDict, rates: Tensor, adjust: Adjust | None = None) -> None:
        """One step of the experts on the labels of their own slices, at rates ``[W, N]``; nobody without any moves."""
        labels = obs["fb_labels"]
        rates = rates * (labels >= 0).any(-1)
        if not none(rates > 0):
            x = self.seen(obs["fb_slice"], "own")
            self.experts.learn(x, lambda logits: label_loss(logits, labels), rate=rates, adjust=adjust)

    @abstractmethod
    def say(self, obs: TensorDict, stage: Stage) -> TensorDict:
        """What is said in the worlds that are in a stage: some of ``soft_targets``, ``energies`` and ``parcel``."""

    def _silence(self) -> TensorDict:
        """Actions that say nothing."""
        world, shape = self.world, (self.world.num_worlds, self.world.num_agents)
        blank = torch.zeros(1, device=world.device)
        return {
            name: (blank.long() if in_whole_numbers(space) else blank).expand(*shape, *(space.shape or ()))
            for name, space in world.action_space.spaces.items()
            if name != "answers"
        }

    def _answers(self, obs: TensorDict) -> Tensor:
        """Answers to the exam, ``[W, N, E, C]``; abstains from one that is not shown."""
        if none(obs["exam_now"]):
            blank = torch.zeros(1, device=self.world.device)
            return blank.expand(*obs["present"].shape[:2], *self._exam_shape)
        return self.answer(obs["exam"][:, 0].flatten(2))

    def flat(self, x: Tensor) -> Tensor:
        """Samples ``[…, D…]`` flattened."""
        return x.flatten(x.dim() - len(self._shape))

    def seen(self, x: Tensor, purpose: str) -> Tensor:
        """Samples ``[W, A, B, D…]`` as learners see them, ``[W, A, B, D]``: perhaps turned."""
        if self.flip:
            x = flipped(x, rng.fold(self.episode ^ rng.purpose_id(purpose), self.when))
        return self.flat(x)

    # ---- what they know -----------------------------------------------------------------------------

    @abstractmethod
    def logits(self, x: Tensor) -> dict[str, Tensor]:
        """Logits ``[W, N, M, C]`` by name of inputs ``[W, M, D]`` or ``[M, D]``: of what each knows in which way."""

    def answer(self, x: Tensor) -> Tensor:
        """Class distributions ``[W, N, M, C]`` of inputs ``[W, M, D]``."""
        return softmax(self.logits(x)[self.main])

    def variants(self, x: Tensor) -> dict[str, Tensor]:
        """Class distributions ``[W, N, M, C]`` by name, for inputs ``[M, D…]``; see :meth:`Policy.variants`."""
        with torch.inference_mode(False), torch.no_grad():
            parts = [self.logits(part.flatten(1).clone()) for part in x.split(_PREDICT_ROWS)]
        return {name: softmax(torch.cat([part[name] for part in parts], dim=2)) for name in parts[0]}

    def predict(self, x: Tensor, *, dropout: int | None = None) -> Tensor | None:
        """Class distributions ``[W, N, M, C]``; see :meth:`Policy.predict`."""
        return self.variants(x)[self.main] if dropout is None else None

    def sound(self) -> Tensor:
        """Whose networks are finite, bool ``[W, N]``."""
        return self.experts.finite()

    def export(self, world: int) -> dict[str, Plain]:
        """The networks that began as experts, ``expert_K``, as they are now."""
        agents = range(self.world.num_agents)
        return {f"expert_{n}": classifier(self.experts.extract(world, n), n) for n in agents}

    def state_dict(self) -> dict[str, Any]:
        """Networks, what was told, and in which episode."""
        told = {name: value.clone() for name, value in self._told().items()}
        lesson = torch.from_numpy(self.lesson.copy())
        return {"experts": self.experts.state_dict(), "lesson": lesson, **told}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        super().load_state_dict(saved)
        self.experts.load_state_dict(saved["experts"])
        told = self._told()
        load(told, {name: saved[name] for name in told})
        self.lesson = saved["lesson"].cpu().numpy().copy()

    def _told(self) -> dict[str, Tensor]:
        return {"own_classes": self.own_classes, "episode": self.episode}
