"""The host: learners of a world that speaks soft targets, what their agents decide, and what these see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ...learners import Detection, make_networks, softmax, teach
from ..channel import Neighbours, rearranged
from ..engine.last import Last
from ..engine.state import TensorDict
from ..errors import ConfigError, one_of
from ..validation import MOST_STEPS, flag, keep, real, whole
from .heard import Heard
from .imitation import lesson_of
from .learners import Learners
from .listening import FORMS, Seen
from .sources import ENERGY, FEATURES, HISTORY, OWN_FEATURES, Sources, apart

_PREDICT_ROWS = 2000  # rows of a test set evaluated at once


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    """How hosted learners learn, and what their agents decide; arguments of the worlds.

    Args:
        actions: Form of actions, one of :data:`~studyhall.envs.hosted.listening.FORMS`.
        discrete_actions: Short for ``actions="discrete"``.
        hidden: Widths of the hidden layers of ``"mlp"``.
        dropout: Of the hidden layers of ``"mlp"``.
        optimiser: ``"adam"`` or ``"sgd"``.
        lr: Learning rate.
        temperature: T of published beliefs and of imitation, whose loss is scaled by T².
        learning_steps: Learning steps on each slice.
        detect: Weight of the risk by which learners come to know their own classes by their energy, beside the loss
            on labels; see :mod:`~studyhall.learners.energy`.

    Raises:
        ConfigError: A value out of range.
    """

    actions: str = "listen"
    discrete_actions: bool = False
    hidden: Sequence[int] = (128, 64)
    dropout: float = 0.2
    optimiser: str = "adam"
    lr: float = 1e-3
    temperature: float = 2.0
    learning_steps: int = 1
    detect: float = 0.0

    def __post_init__(self) -> None:
        one_of("form of actions", self.actions, FORMS)
        if flag("discrete_actions", self.discrete_actions) and self.actions not in ("listen", "discrete"):
            raise ConfigError(
                f"discrete_actions=True means actions='discrete', not {self.actions!r}: give one of them"
            )
        keep(
            self,
            temperature=real("temperature", self.temperature, 0),
            learning_steps=whole("learning_steps", self.learning_steps, 1, MOST_STEPS),
            detect=real("detect (a weight)", self.detect, 0),
        )
        if not self.temperature:
            raise ConfigError("temperature must be above 0")

    @property
    def form(self) -> str:
        """The form of actions."""
        return "discrete" if self.discrete_actions else self.actions


class Feedback(NamedTuple):
    """What came back on the last slice, from which learners learn."""

    inputs: Tensor  # the labelled slice, [W, B, D] where a world's learners share it, else [W, N, B, D]
    labels: Tensor  # int64 [W, N, B], -1 where one learns none
    told: Tensor  # bool [W, N]: who learns labels
    about: Tensor | None  # the slice that messages are about, shaped like inputs; None: the same
    heard: Heard
    prior: (
        Tensor | None
    )  # [W, N]: share of one's own classes among all, where learners detect them; else None


class Oneself(NamedTuple):
    """What an agent is told of itself."""

    cards: Tensor  # [W, N]
    budget_left: Tensor  # [W, N]
    told: Tensor  # bool [W, N]: whether the labels of the last slice came
    taught: Tensor  # [W, N]: share of the steps so far in which labels came
    listened: Tensor  # [W, N, S]: how much it listened to each source of late
    elapsed: Tensor  # [W, N, 1]: share of the episode


class Host(Learners):
    """Learners ``[W, N]`` of a world that a policy does not bring: it only decides who learns from whom.

    Args:
        learners: As of :func:`~studyhall.learners.make_networks`.
        settings: How they learn, and what their agents decide.
        agents: N.
        slots: S, the sources of an agent: K of the channel.
        shape: Of a sample.
        rows: B, of a slice.
        classes: C.
        teacher: Whether there is a teacher to ask.
        energies: Whether energies cross beside the soft targets.

    Attributes:
        form: Turns actions into targets.
        sources: Keeps what there is to know of the peers.
        source_features: Names of the F features of a source.
        own_features: Names of the G features of oneself.
    """

    own_features = OWN_FEATURES

    def __init__(
        self,
        learners: Any,
        settings: HostSettings,
        *,
        agents: int,
        slots: int,
        shape: Sequence[int],
        rows: int,
        classes: int,
        teacher: bool,
        energies: bool = False,
    ) -> None:
        networks = make_networks(
            learners, shape, classes, agents, hidden=settings.hidden, dropout=settings.dropout
        )
        super().__init__(networks, agents, optimiser=settings.optimiser, lr=settings.lr)
        self.settings = settings
        self.sources = Sources(agents, slots)
        self.energies = energies
        self._heard = Last(self._hear)  # learnt from in the step after it came
        self.source_features = (*FEATURES, ENERGY) if energies else FEATURES
        self.form = FORMS[settings.form](self.sources.count, rows, classes, teacher, energies)

    # ---- what agents see and decide -----------------------------------------------------------------

    @property
    def observation_space(self) -> spaces.Dict:
        """What an agent sees; see the page of this package."""
        s = self.sources.count
        observed: dict[str, spaces.Space] = {
            "sources": spaces.Box(-2, 2, (s, len(self.source_features)), np.float32),
            "sources_mask": spaces.Box(0, 1, (s,), np.int8),
            "history": spaces.Box(-1, 1, (s, len(HISTORY)), np.float32),
            "own_features": spaces.Box(-2, 2, (len(OWN_FEATURES),), np.float32),
            "report": spaces.Box(0, 1, (2,), np.float32),
            "elapsed": spaces.Box(0, 1, (1,), np.float32),
        }
        return spaces.Dict(observed | self.form.observed())

    @property
    def action_space(self) -> spaces.Dict:
        """What an agent decides."""
        return spaces.Dict(self.form.action_parts())

    def heard(self, came: Mapping[str, Tensor], who: Neighbours) -> Heard:
        """The messages of a slice.

        Args:
            came: What came back on the slice: ``published [W, N, B, C]``, ``heard [W, N, S]``, where some world
                shuffles rows their ``order [W, B]``, and where energies cross ``energies [W, N, B]`` as they went on
                the air and ``own_energies [W, N, B]`` as they were meant.
            who: Which agent each source is.
        """
        order = (came["order"],) if "order" in came else ()
        return self._heard(came["published"], came["heard"], who.index, *order)

    def _hear(self, published: Tensor, mask: Tensor, index: Tensor, order: Tensor | None = None) -> Heard:
        rows = published if order is None else rearranged(published, order)
        return Heard(rows, Neighbours(index), mask)

    def _arriving(self, came: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        """Rows ``[W, N, B, …]`` of a slice as they arrive."""
        return rearranged(rows, came["order"]) if "order" in came else rows

    def update_statistics(
        self, known: Mapping[str, Tensor], came: Mapping[str, Tensor], who: Neighbours
    ) -> TensorDict:
        """What there is to know of the sources after one more slice.

        Args:
            known: As :meth:`Sources.start` gave it, or this.
            came: As of :meth:`heard`, and ``beliefs [W, N, B, C]``, what each believed of the slice itself.
            who: Which agent each source is.
        """
        return self.sources.update_statistics(known, self.heard(came, who), came["beliefs"])

    def observe(
        self, known: Mapping[str, Tensor], came: Mapping[str, Tensor], who: Neighbours, about: Oneself
    ) -> TensorDict:
        """What agents see, ``[W, N, …]``; arguments as of :meth:`update_statistics`."""
        messages = self.heard(came, who)
        heard = messages.mask
        cards = who.of(about.cards) * heard
        obs = {
            "sources": self.sources.features(known, who, cards, heard),
            "sources_mask": heard.to(torch.int8),
            "history": self.sources.history(known, about.listened, who.of(about.taught), heard),
            "own_features": self.sources.own_features(known, heard, about.told.float()),
            "report": torch.stack([about.cards, about.budget_left], dim=-1),
            "elapsed": about.elapsed,
        }
        energies: TensorDict = {}
        if self.energies:
            own = came["own_energies"]
            spoke = messages.spoken()
            told = who.of(self._arriving(came, came["energies"])) * spoke
            obs["sources"] = torch.cat([obs["sources"], apart(told, own, spoke)[..., None]], dim=-1)
            energies = {"energies": told, "own_energies": own}
        seen = Seen(messages, came["beliefs"], cards, about.budget_left, energies)
        return obs | self.form.observe(seen)

    # ---- what the learners do -----------------------------------------------------------------------

    def learn(self, actions: TensorDict, feedback: Feedback, allowed: Tensor) -> Tensor:
        """Make the learning steps on the last slice that the actions ask for.

        Args:
            actions: In the host's form.
            feedback: On that slice.
            allowed: Who may learn, bool ``[W, N]``; the others keep every bit.

        Returns:
            How much each agent listened to each source, ``[W, N, S]``, 1 at most in all.
        """
        lesson = lesson_of(self.form.targets(actions, feedback.heard), feedback.told)
        prior, weight = feedback.prior, self.settings.detect
        detect = None if prior is None else Detection(weight, prior)
        for _ in range(self.settings.learning_steps):
            teach(
                self.population,
                lesson,
                inputs=feedback.inputs,
                labels=feedback.labels,
                about=feedback.about,
                allowed=allowed,
                temperature=self.settings.temperature,
                distill_scale=self.settings.temperature**2,
                detect=detect,
            )
        return self.form.shares(actions, feedback.heard)

    def publications(self, x: Tensor, exam: Tensor | None = None) -> TensorDict:
        """What the learners publish, and what they answer to an exam, in one forward pass.

        Args:
            x: What they publish on, ``[W, B, D]``.
            exam: ``[W, E, D]``; None: there is none.

        Returns:
            ``soft_targets [W, N, B, C]``, beliefs at temperature T; where energies cross ``energies [W, N, B]``,
            the free energy −T·logsumexp(z/T) of logits z (LeCun et al. 2006; Liu et al. 2020); and where there is an
            exam ``answers [W, N, E, C]``, class distributions.
        """
        temperature, rows = self.settings.temperature, x.shape[1]
        logits = self.logits(x if exam is None else torch.cat([x, exam], dim=1))
        scaled = logits[:, :, :rows] / temperature
        said = {"soft_targets": softmax(scaled)}
        if self.energies:
            said["energies"] = -temperature * scaled.logsumexp(-1)
        if exam is not None:
            said["answers"] = softmax(logits[:, :, rows:])
        return said

    def answers(self, x: Tensor) -> Tensor:
        """Class distributions on inputs ``[W, M, D]`` or ``[W, N, M, D]``, ``[W, N, M, C]``."""
        return softmax(self.logits(x))

    def predict(self, x: Tensor, *, dropout: int | None = None) -> Tensor | None:
        """Class distributions for inputs ``[M, D…]``, ``[W, N, M, C]``; None where there is no dropout to leave on.

        Args:
            x: Inputs.
            dropout: None evaluates properly; a number switches training-time dropout on and names the draw.
        """
        if dropout is not None and not self.settings.dropout:
            return None
        parts = x.flatten(1).split(_PREDICT_ROWS)
        first = 0 if dropout is None else dropout * len(parts)
        with torch.no_grad():
            logits = [
                self.population.logits(part, dropout=dropout is not None, draw=first + i + 1)
                for i, part in enumerate(parts)
            ]
        return softmax(torch.cat(logits, dim=2))
