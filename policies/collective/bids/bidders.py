"""Bids, for ``collective-v0`` with learners of its own: by rule, and learnt ones, which have to beat them."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from ....envs.archive import damaged
from ....envs.engine import TensorDict, World
from ....envs.errors import ConfigError, one_of
from ....envs.validation import real
from ...files import POLICY, read
from ...listening.observed import OWN
from ...policy import Policy
from .scorer import BidScorer

FORMAT = "studyhall bid scorer, 1"


class BiddingPolicy(Policy):
    """Bids for every sample; nobody imitates anybody, so that modes are no controls here."""

    @abstractmethod
    def bids(self, samples: Tensor, obs: TensorDict) -> Tensor:
        """Bids in [0, 1], ``[W, N, R]``, by features of samples ``[W, N, R, F]`` and whatever else is observed."""

    def bind(self, world: World) -> None:
        """Check that the world takes nothing but bids.

        Raises:
            ConfigError: It hosts no specialists.
        """
        super().bind(world)
        if not getattr(world, "sample_features", ()):
            raise ConfigError(
                f"bidders need collective-v0 with learners, {type(world).__name__} hosts none that bid: make it with "
                "learners='mlp'"
            )

    def act(self, obs: TensorDict) -> TensorDict:
        """Bid for the slice and for the exam."""
        world = self.world
        bids = self.bids(obs["samples"], obs)
        answers_bids = self.bids(obs["answers_samples"], obs)
        batch = (world.num_worlds, world.num_agents)
        silent = {
            key: torch.zeros(*batch, *(space.shape or ()), device=bids.device)
            for key, space in world.action_space.spaces.items()
            if key not in ("bids", "answers_bids")
        }
        return {"bids": bids, "answers_bids": answers_bids, **silent}


class Bidders(BiddingPolicy):
    """Bids are a feature of the sample, to a power.

    Args:
        by: One of the world's ``sample_features``.
        power: 0 bids alike, an ensemble; high ones leave the word to who is surest.
    """

    def __init__(self, by: str = "confidence", power: float = 4.0) -> None:
        self.by, self.power = by, real("power", power, 0)

    def bind(self, world: World) -> None:
        """Find the feature."""
        super().bind(world)
        features: tuple[str, ...] = world.sample_features  # type: ignore[attr-defined]
        one_of("feature of a sample", self.by, features)
        self._feature = features.index(self.by)

    def bids(self, samples: Tensor, obs: TensorDict) -> Tensor:
        """The feature to the power."""
        return samples[..., self._feature] ** self.power


class ScorerBids(BiddingPolicy):
    """The bids of a :class:`~studyhall.policies.collective.bids.scorer.BidScorer`, without noise.

    Args:
        scorer: On the device of the worlds it will act in.
    """

    def __init__(self, scorer: BidScorer) -> None:
        self.scorer = scorer

    def bind(self, world: World) -> None:
        """Check that the scorer fits the world's observations.

        Raises:
            ConfigError: It does not; says what differs.
        """
        super().bind(world)
        observed = world.observation_space.spaces
        given = (
            len(world.sample_features),  # type: ignore[attr-defined]
            sum(math.prod(observed[key].shape or ()) for key in OWN),
        )
        if given != self.scorer.features:
            raise ConfigError(
                f"{self} reads {self.scorer.features} features of a sample and of oneself, this world has {given}: "
                "train it anew"
            )

    def bids(self, samples: Tensor, obs: TensorDict) -> Tensor:
        """The scorer's best guess."""
        with torch.no_grad():
            return (self.scorer(samples, obs)[0].clamp(-1, 1) + 1) / 2

    def __str__(self) -> str:
        return "this bidder"


class LearnedBids(ScorerBids):
    """A trained bidder from a file, for any number of members, rows and exam items.

    Nothing in the file is ever unpickled: weights are loaded as bare tensors, the rest is JSON.

    Args:
        source: A zip that ``studyhall train`` or :func:`~studyhall.policies.sb3.save_policy` wrote, or the name of one
            that comes with the package; see :func:`~studyhall.policies.files.trained`.

    Attributes:
        about: What the file says of itself.

    Raises:
        ConfigError: There is no such file or name, or the file is no bidder of ours.
    """

    def __init__(self, source: str) -> None:
        self.source = str(source)
        self.about, weights = read(self.source, FORMAT)
        try:
            scorer = BidScorer.from_state(weights)
            self._features = [str(name) for name in self.about["sample_features"]]
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as fault:
            raise damaged(self.source, POLICY) from fault
        super().__init__(scorer.eval().requires_grad_(False))

    def bind(self, world: World) -> None:
        """Check that the bidder fits the world, and go to its device.

        Raises:
            ConfigError: It does not; says what differs.
        """
        super().bind(world)
        differ = set(self._features) ^ set(world.sample_features)  # type: ignore[attr-defined]
        if self._features != list(world.sample_features):  # type: ignore[attr-defined]
            raise ConfigError(
                f"{self} was trained on other features of samples (they differ in "
                f"{', '.join(sorted(differ)) or 'order'}): train it anew"
            )
        self.scorer.to(world.device)

    def __str__(self) -> str:
        return f"policy {self.source}"
