"""Learners that a world hosts, as a part that the engine keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...learners import learner_keys, make_optimiser, make_population
from ...learners.mixed import MixedPopulation
from ...learners.networks import Network
from ...learners.plain import Plain, classifier
from ...learners.population import Population
from ..engine.parts import Part
from ..errors import EpisodeEnded

if TYPE_CHECKING:
    from typing_extensions import Self


class Learners(Part):
    """N learners in each of W worlds, made when the first episode begins.

    Args:
        networks: The architecture of all, or one for each; see :func:`~studyhall.learners.make_networks`.
        count: N.
        optimiser: ``"adam"`` or ``"sgd"``.
        lr: Learning rate.

    Attributes:
        networks: The architecture.
        count: N.

    Ask the learners by :meth:`logits`; teach them by ``population.learn``, at the rate 0 in worlds that do not move.

    Raises:
        ConfigError: No such optimiser, or a rate that cannot be.
    """

    def __init__(
        self, networks: Network | Sequence[Network], count: int, *, optimiser: str = "adam", lr: float = 1e-3
    ) -> None:
        self.networks, self.count = networks, count
        self.learning: dict[str, Any] = {"optimiser": optimiser, "lr": lr}
        make_optimiser(optimiser, lr=lr)  # says what is wrong before there are learners
        self._population: Population | MixedPopulation | None = None

    @property
    def population(self) -> Population | MixedPopulation:
        """The learners.

        Raises:
            EpisodeEnded: No episode has begun.
        """
        if self._population is None:
            raise EpisodeEnded(
                "the learners have not begun: assign them to an attribute of the world, and call its reset()"
            )
        return self._population

    def reset(self, keys: Tensor, moving: Tensor) -> None:
        """Draw the weights of fresh learners from their worlds' keys."""
        own = learner_keys(keys, self.count)
        if self._population is None:
            self._population = make_population(self.networks, own, **self.learning)
        else:
            self._population.reset(moving, own)

    def at(self, worlds: Tensor) -> Self:
        """Copies of the learners of some worlds; they answer, and are not taught."""
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self), _population=self.population.at(worlds))
        return twin

    def finite(self) -> Tensor:
        """Whose parameters are all finite, bool ``[W, N]``."""
        return self.population.finite()

    def state_dict(self) -> dict[str, Any]:
        """Weights, moments and step counts."""
        return self.population.state_dict()

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over a :meth:`state_dict`; see :meth:`Part.load_state_dict`."""
        self.population.load_state_dict(saved)

    def export(self, world: int, agents: Sequence[str]) -> dict[str, Plain]:
        """Each learner under the name of its agent, or ``learner_K`` where there are not as many; classifiers."""
        own = len(agents) == self.count
        names = agents if own else [f"learner_{place}" for place in range(self.count)]
        return {
            name: classifier(self.population.extract(world, place), place if own else None)
            for place, name in enumerate(names)
        }

    def logits(self, x: Tensor) -> Tensor:
        """Logits ``[W, N, M, C]`` of inputs; see :meth:`Population.logits`. No gradient is recorded."""
        with torch.no_grad():
            return self.population.logits(x)
