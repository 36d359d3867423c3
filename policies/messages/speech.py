"""How a network's raw output becomes a message: numbers, or symbols by one of two gradient estimators.

========== ============================== =========================================================
speech     in training                    gradient to the sender
========== ============================== =========================================================
numbers    as they are (tanh if bounded)  through the channel
gumbel     the greatest of logits + noise through the channel, straight through the softmax of
                                          (logits + Gumbel noise) / temperature (Jang, Gu & Poole 2017;
                                          Maddison, Mnih & Teh 2017)
sampled    drawn from softmax(logits)     REINFORCE (Williams 1992): cost less its mean over the other worlds
                                          of the batch, times the log probability of what was said
========== ============================== =========================================================

Out of training both kinds of symbols say the likeliest one.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from ...envs.channel.wire import Symbols
from ...envs.engine import rng
from ...envs.errors import ConfigError, one_of
from ...envs.messages.world import MessageWorld
from ...envs.validation import real

SPEECHES = ("gumbel", "sampled")
_TOLD = "raw messages are logits [{}, {}]; of each row the likeliest symbol is sent, one-hot"


class Speech(ABC):
    """Turns raw output ``[W, N, B, M]`` into messages ``[W, N, B, *message_shape]``."""

    told: str
    """How, out of training, in words."""

    @abstractmethod
    def say(self, raw: Tensor, key: Tensor, *, training: bool) -> Tensor:
        """The action ``message``.

        Args:
            raw: float32 ``[W, N, B, M]``.
            key: int64 ``[W]``, of this step.
            training: Whether to explore.
        """

    def surrogate(self, costs: Tensor) -> Tensor:
        """What to add to the loss, for senders that no gradient reaches; forgets what was said.

        Args:
            costs: ``[W]``, what the episodes cost.
        """
        return costs.new_zeros(())


class Aloud(Speech):
    """Numbers.

    Args:
        bound: Of the world's messages.
    """

    def __init__(self, bound: float) -> None:
        self.bound = bound
        self.told = f"{bound:g} · tanh(raw)" if math.isfinite(bound) else "raw messages are sent as they are"

    def say(self, raw: Tensor, key: Tensor, *, training: bool) -> Tensor:
        """The numbers, within their bounds."""
        return raw.tanh() * self.bound if math.isfinite(self.bound) else raw


class Gumbel(Speech):
    """Symbols by the straight-through Gumbel-softmax.

    Args:
        shape: ``(L, V)``.
        temperature: Of the softmax whose gradient is taken.
    """

    def __init__(self, shape: tuple[int, ...], temperature: float) -> None:
        self.shape, self.temperature = shape, temperature
        self.told = _TOLD.format(*shape)

    def say(self, raw: Tensor, key: Tensor, *, training: bool) -> Tensor:
        """Weights of the symbols, of which the world sends the greatest."""
        logits = raw.unflatten(-1, self.shape)
        if training:
            logits = (logits + _noise(key, logits.shape)) / self.temperature
        return logits.softmax(-1)


class Sampled(Speech):
    """Symbols drawn at random, learnt by REINFORCE.

    Args:
        shape: ``(L, V)``.
        entropy: Weight of a bonus for the entropy of what is said.
    """

    def __init__(self, shape: tuple[int, ...], entropy: float) -> None:
        self.shape, self.entropy = shape, entropy
        self.told = _TOLD.format(*shape)
        self._said: list[tuple[Tensor, Tensor]] = []  # log probability and entropy of each round, [W]

    def say(self, raw: Tensor, key: Tensor, *, training: bool) -> Tensor:
        """Symbols, one-hot."""
        logits = raw.unflatten(-1, self.shape).log_softmax(-1)
        noise = _noise(key, logits.shape) if training else 0.0  # the greatest of the sum is a fair draw
        symbols = F.one_hot((logits.detach() + noise).argmax(-1), self.shape[-1]).to(logits.dtype)
        if training:
            probability = (logits * symbols).flatten(1).sum(-1)
            entropy = -(logits.exp() * logits).flatten(1).sum(-1)
            self._said.append((probability, entropy))
        return symbols

    def surrogate(self, costs: Tensor) -> Tensor:
        """REINFORCE with a leave-one-out baseline (Kool, van Hoof & Welling 2019), less the entropy bonus."""
        if not self._said:
            return super().surrogate(costs)
        count = len(costs)
        costs = costs.detach()
        above = (costs - costs.mean()) * (count / max(1, count - 1))
        probability, entropy = (torch.stack(part).sum(0) for part in zip(*self._said, strict=True))
        self._said = []
        return (above * probability - self.entropy * entropy).mean()


def speech_of(world: MessageWorld, estimator: str, temperature: float, entropy: float) -> Speech:
    """The speech for a world's messages.

    Args:
        world: Says what messages are made of.
        estimator: One of :data:`SPEECHES`; of symbols only.
        temperature: Of "gumbel".
        entropy: Of "sampled".

    Raises:
        UnknownName: No such estimator.
        ConfigError: A value out of range.
    """
    one_of("estimator", estimator, SPEECHES)
    if real("temperature", temperature, 0) == 0:
        raise ConfigError("temperature must be above 0")
    real("entropy", entropy, 0)
    if not isinstance(world.wire, Symbols):
        return Aloud(world.wire.bound)
    if estimator == "gumbel":
        return Gumbel(world.wire.shape, temperature)
    return Sampled(world.wire.shape, entropy)


def _noise(key: Tensor, shape: torch.Size) -> Tensor:
    """Gumbel noise ``[W, …]``."""
    return rng.gumbel(rng.draw(key, "policy/speech", shape[1:]).uniform())
