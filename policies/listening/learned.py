"""Protocols that were trained: the weights of a network in a file, acting in any world they fit."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...envs.archive import damaged
from ...envs.bridges.flat import FlatActions
from ...envs.engine import TensorDict, World
from ...envs.errors import ConfigError
from ..files import POLICY, read
from ..policy import Policy, require_engine
from .observed import legal_logits, observed_sizes
from .tournament import Tournament

FORMAT = "studyhall listener, 2"
"""Files of a :class:`Tournament`. Version 1 held a network with a mean over sources alone."""


class ScorerPolicy(Policy):
    """A network that acts: the best guess of every agent, without noise.

    What it says of asking counts only where there is a teacher; where it says nothing of it, it always asks.

    Args:
        scorer: On the device of the worlds it will act in.
        asks: Whether it says if to ask; None: as the world that it is bound to has it.
    """

    def __init__(self, scorer: Tournament, asks: bool | None = None) -> None:
        self.scorer, self.asks = scorer, asks

    def bind(self, world: World) -> None:
        """Check that the scorer fits the world's observations and actions.

        Raises:
            ConfigError: It does not; says what differs.
        """
        super().bind(world)
        observed = world.observation_space.spaces
        sizes = observed_sizes(observed, str(self))
        given = (sizes.source_features, sizes.own_features)
        if given != self.scorer.features:
            raise ConfigError(
                f"{self} reads {self.scorer.features} features of a source and of oneself, this world has "
                f"{given}: train it anew"
            )
        choice: Any = world.action_space.spaces.get("choice")
        if choice is None:
            self._flat = FlatActions(world.action_space)
        self._taught = "ask" in world.action_space.spaces
        if self.asks is None:
            self.asks = self._taught
        has = (self._flat.shape[0] if choice is None else choice.n) - sizes.sources
        if has - self._taught != self.scorer.pooled - self.asks:
            raise ConfigError(
                f"{self} decides {self.scorer.pooled} things beside its sources, this world asks for {has}: "
                "give the world the form of actions that it was trained with"
            )

    def act(self, obs: TensorDict) -> TensorDict:
        """Actions ``[W, N, …]``."""
        chooses = "choice" in self.world.action_space.spaces
        with torch.no_grad():
            scores, _ = self.scorer(obs)
        if chooses:
            return {"choice": legal_logits(scores, obs["action_mask"]).argmax(-1)}
        if self.asks and not self._taught:
            scores = scores[..., 1:]  # "ask" stands before all others
        elif self._taught and not self.asks:
            scores = torch.cat([torch.ones_like(scores[..., :1]), scores], dim=-1)
        return self._flat.split(scores)

    def predict(self, x: Tensor, *, dropout: int | None = None) -> Tensor | None:
        """Of the world's learners."""
        return self.world.predict(x, dropout=dropout)  # type: ignore[attr-defined]

    def __str__(self) -> str:
        return "this policy"


class LearnedPolicy(ScorerPolicy):
    """A trained policy from a file.

    Nothing in the file is ever unpickled: weights are loaded as bare tensors, the rest is JSON.

    Args:
        source: A zip that ``studyhall train`` or :func:`~studyhall.policies.sb3.save_policy` wrote, or the name
            of one that comes with the package; see :func:`~studyhall.policies.files.trained`.

    Attributes:
        about: What the file says of itself.
        world_kwargs: The form of actions that it was trained in.

    Raises:
        ConfigError: There is no such file or name, or the file is no policy of ours.
    """

    def __init__(self, source: str) -> None:
        self.source = str(source)
        self.about, weights = read(self.source, FORMAT)
        try:
            scorer = Tournament.from_state(
                {k.removeprefix("scorer."): v for k, v in weights.items() if k.startswith("scorer.")}
            )
            self.world_kwargs = {"actions": str(self.about["world_kwargs"]["actions"])}
        except (KeyError, TypeError, ValueError, RuntimeError) as fault:
            raise damaged(self.source, POLICY) from fault
        super().__init__(scorer.eval().requires_grad_(False), "ask" in self.about.get("actions", ()))

    def bind(self, world: World) -> None:
        """Check that the policy fits the world, and go to its device.

        Raises:
            ConfigError: It does not; says what differs.
        """
        require_engine(world)
        observed_sizes(world.observation_space.spaces, str(self))
        actions, learnt = sorted(world.action_space.spaces), self.about.get("actions")
        if not isinstance(learnt, list) or _unasked(actions) != _unasked(learnt):
            raise ConfigError(
                f"{self} decides {learnt}, this world asks for {actions}: make the world with {self.world_kwargs}"
            )
        features = list(world.source_features)  # type: ignore[attr-defined]
        if features != self.about.get("source_features"):
            differ = sorted(set(features) ^ set(self.about.get("source_features") or ()))
            raise ConfigError(
                f"{self} was trained on other features of sources (they differ in {', '.join(differ) or 'order'}): "
                "train it anew"
            )
        super().bind(world)
        self.scorer.to(world.device)

    def __str__(self) -> str:
        return f"policy {self.source}"


def _unasked(actions: list[Any]) -> list[Any]:
    """Parts of an action that no teacher is asked with."""
    return [name for name in actions if name != "ask"]
