"""A feed-forward talker: what to say and what to answer from what is seen and was last heard, and nothing else.

Formulas, for one agent at time t (rounds made / horizon), with relu between layers:

* h = MLP([view, sum of the messages heard since the last round, share of sources heard, t]), two layers;
* raw message = W h, answer = V h (a softmax of it where answers are distributions).

All agents share the weights, and a sum has no order: the network fits any number of agents. It remembers nothing of
earlier rounds but the view, so it needs no state between steps: that makes it the network for reinforcement learning
(`sb3.py`), where each step is a sample of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...envs.errors import ConfigError
from ...envs.messages.answers import Classes
from ...envs.messages.consensus import Consensus
from ...envs.messages.world import MessageWorld
from ...envs.validation import afford, whole
from .agents import FeedforwardAgent
from .policy import MessagePolicy, flat_sizes
from .stacked import Alone


class Situation(NamedTuple):
    """What an agent acts on."""

    view: Tensor  # [..., V]
    told: Tensor  # [..., M], sum of the messages heard
    heard: Tensor  # [..., 1], share of the sources heard
    time: Tensor  # [..., 1], rounds made / horizon


class FeedforwardNetwork(nn.Module):
    """Two layers and two heads; see the module's page.

    Args:
        view_size: V, numbers of a view.
        answer_size: A, classes or numbers of an answer.
        message_size: M, numbers of a message.
        horizon: Steps of an episode.
        width: Of the hidden layers.
        distribution: Whether answers are distributions.
        generator: Draws the initial weights.
    """

    def __init__(
        self,
        view_size: int,
        answer_size: int,
        message_size: int,
        *,
        horizon: int,
        width: int,
        distribution: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.horizon, self.distribution, self.view_size = horizon, distribution, view_size
        self.body = hidden(view_size, message_size, width, generator)
        self.say = linear(width, message_size, generator)
        self.estimate = linear(width, answer_size, generator)

    def begin(self, view: Tensor) -> Situation:
        """Situations of the first step, from views ``[N, P, V]``."""
        nothing = view.new_zeros(*view.shape[:-1], 1)
        return Situation(view, nothing.expand(*nothing.shape[:-1], self.say.out_features), nothing, nothing)

    def read(self, memory: Situation, inbox: Tensor, heard: Tensor) -> Situation:
        """Situations after the messages ``[N, P, S, M]`` that were heard, bool ``[N, P, S]``."""
        return situation(memory.view, inbox, heard, memory.time + 1 / self.horizon)

    def forward(self, seen: Situation) -> tuple[Tensor, Tensor]:
        """Raw answers ``[..., A]`` and raw messages ``[..., M]``."""
        state = self.body(torch.cat(seen, dim=-1))
        return self.estimate(state), self.say(state)

    def write(self, memory: Situation) -> Tensor:
        """Raw messages ``[N, P, M]``."""
        return self(memory)[1]

    def answer(self, memory: Situation) -> Tensor:
        """Answers ``[N, P, A]``."""
        raw = self(memory)[0]
        return raw.softmax(-1) if self.distribution else raw

    def alone(self) -> list[Alone]:
        """Any of its agents, since all are alike."""
        made_with = {
            "view": self.view_size,
            "answer": self.estimate.out_features,
            "message": self.say.out_features,
            "width": self.say.in_features,
            "horizon": self.horizon,
            "distribution": self.distribution,
        }
        return [Alone(FeedforwardAgent, made_with, self.state_dict())]


def situation(view: Tensor, inbox: Tensor, heard: Tensor, time: Tensor) -> Situation:
    """Situations from views ``[..., V]``, inboxes ``[..., S, M]``, who was heard ``[..., S]``, time ``[..., 1]``."""
    share = heard.to(view.dtype)
    return Situation(view, (inbox * share[..., None]).sum(-2), share.mean(-1, keepdim=True), time)


def hidden(view_size: int, message_size: int, width: int, generator: torch.Generator) -> nn.Module:
    """Two hidden layers over a :class:`Situation`."""
    first = linear(view_size + message_size + 2, width, generator)
    return nn.Sequential(first, nn.ReLU(), linear(width, width, generator), nn.ReLU())


def linear(ins: int, outs: int, generator: torch.Generator) -> nn.Linear:
    """``nn.Linear`` initialised as ever, uniform within ±1/√ins, but by a generator of one's own."""
    afford(1, "the widths of the network", inputs=ins, outputs=outs)
    made = nn.utils.skip_init(nn.Linear, ins, outs)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.uniform_(-(ins**-0.5), ins**-0.5, generator=generator)
    return made


class FeedforwardPolicy(MessagePolicy):
    """The feed-forward talker in ``consensus-v0``, with or without ``choices``.

    Args:
        width: Of the hidden layers.
        **others: Those of :class:`~studyhall.policies.messages.MessagePolicy`.
    """

    def __init__(self, *, width: int = 128, **others: Any) -> None:
        super().__init__(**others)
        self.settings |= {"width": whole("width", width, 1)}

    def make_network(self, world: MessageWorld, generator: torch.Generator) -> nn.Module:
        """The network for a world's views, messages and answers."""
        if not isinstance(world, Consensus):
            raise ConfigError("feedforward estimates what witnesses saw: give it consensus-v0")
        view, answer, message = flat_sizes(world)
        return FeedforwardNetwork(
            view,
            answer,
            message,
            horizon=world.horizon,
            width=self.settings["width"],
            distribution=isinstance(world.answers, Classes),
            generator=generator,
        )
