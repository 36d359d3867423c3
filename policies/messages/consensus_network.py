"""The consensus network: states that exchange messages until they know what all have seen.

Formulas (documented system "consensus network"), for a witness with state h of width m:

* h₀ = tanh MLP(view);
* in every round, u = MLP([h, mean of the messages heard]) and h ← GRU(u, h);
* message = W h, estimate = decoder(h).

The mean is over the others heard, never oneself; where nobody was heard it is zero. Where a witness has heard
nobody in a round, its state stays as it was.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...envs.errors import ConfigError
from ...envs.messages.answers import Classes
from ...envs.messages.consensus import Consensus
from ...envs.messages.world import MessageWorld
from ...envs.validation import flag, whole
from .agents import Witness
from .policy import MessagePolicy, flat_sizes
from .stacked import Alone, StackedLinear, own_parts


class Belief(NamedTuple):
    """What a witness remembers."""

    state: Tensor  # [N, P, m]


class ConsensusNetwork(nn.Module):
    """Witnesses with a state each; see the module's page.

    Args:
        agents: N, or 1 where all witnesses share their weights.
        view_size: Numbers of a view.
        answer_size: Classes, or numbers of an estimate.
        message_size: Numbers of a message.
        width: m.
        distribution: Whether estimates are distributions.
        generator: Draws the initial weights.
    """

    def __init__(
        self,
        agents: int,
        view_size: int,
        answer_size: int,
        message_size: int,
        *,
        width: int,
        distribution: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()

        def linear(ins: int, outs: int) -> StackedLinear:
            return StackedLinear(agents, ins, outs, generator)

        self.distribution = distribution
        self._alone = {"view": view_size, "answer": answer_size, "message": message_size, "width": width}
        self.look, self.know = linear(view_size, 2 * width), linear(2 * width, width)
        self.mix, self.take = linear(width + message_size, width), linear(width, width)
        self.gates_in, self.gates_state = linear(width, 3 * width), linear(width, 3 * width)
        self.say = linear(width, message_size)
        self.think, self.estimate = linear(width, width), linear(width, answer_size)

    def begin(self, view: Tensor) -> Belief:
        """First beliefs from views ``[N, P, V]``."""
        return Belief(_swap(self.know(self.look(_swap(view)).relu()).tanh()))

    def read(self, memory: Belief, inbox: Tensor, heard: Tensor) -> Belief:
        """Beliefs after the messages ``[N, P, S, M]`` that were heard, bool ``[N, P, S]``."""
        count = heard.sum(-1, keepdim=True)
        mean = (inbox * heard[..., None]).sum(2) / count.clamp_min(1)
        before = _swap(memory.state)
        update = self.take(self.mix(torch.cat([before, _swap(mean)], dim=-1)).relu())
        after = self._gru(update, before)
        return Belief(_swap(torch.where(_swap(count > 0), after, before)))

    def _gru(self, update: Tensor, state: Tensor) -> Tensor:
        """Gated recurrent unit (Cho et al. 2014, as ``torch.nn.GRUCell`` computes it)."""
        reset, keep, new = self.gates_in(update).chunk(3, dim=-1)
        reset_state, keep_state, new_state = self.gates_state(state).chunk(3, dim=-1)
        keep = (keep + keep_state).sigmoid()
        candidate = (new + (reset + reset_state).sigmoid() * new_state).tanh()
        return candidate + keep * (state - candidate)

    def write(self, memory: Belief) -> Tensor:
        """Raw messages ``[N, P, M]``."""
        return _swap(self.say(_swap(memory.state)))

    def answer(self, memory: Belief) -> Tensor:
        """Estimates ``[N, P, A]``."""
        out = _swap(self.estimate(self.think(_swap(memory.state)).relu()))
        return out.softmax(-1) if self.distribution else out

    def alone(self) -> list[Alone]:
        """Its agents as ordinary modules."""
        made_with = {**self._alone, "distribution": self.distribution}
        return [Alone(Witness, made_with, self._weights(n)) for n in range(len(self.say.weight))]

    def _weights(self, agent: int) -> dict[str, Tensor]:
        """By the names of a :class:`Witness`, whose GRU is torch's own cell."""
        cell = {"gates_in.": "gru.{}_ih", "gates_state.": "gru.{}_hh"}
        found = own_parts(self, agent)
        for ours, theirs in cell.items():
            for kind in ("weight", "bias"):
                found[theirs.format(kind)] = found.pop(ours + kind)
        return found


def _swap(tensor: Tensor) -> Tensor:
    """``[N, P, …]`` to and from ``[P, N, …]``, as stacked layers have it."""
    return tensor.transpose(0, 1)


class ConsensusPolicy(MessagePolicy):
    """The consensus network in ``consensus-v0``.

    Args:
        width: m.
        shared: Whether all witnesses share their weights, and so any number of them may talk.
        **others: Those of :class:`~studyhall.policies.messages.MessagePolicy`.
    """

    def __init__(self, *, width: int = 64, shared: bool = True, **others: Any) -> None:
        super().__init__(**others)
        self.settings |= {"width": whole("width", width, 1), "shared": flag("shared", shared)}

    def make_network(self, world: MessageWorld, generator: torch.Generator) -> nn.Module:
        """The network for a world's views, messages and answers."""
        if not isinstance(world, Consensus):
            raise ConfigError("consensus_network estimates what witnesses saw: give it consensus-v0")
        view, answer, message = flat_sizes(world)
        return ConsensusNetwork(
            1 if self.settings["shared"] else world.num_agents,
            view,
            answer,
            message,
            width=self.settings["width"],
            distribution=isinstance(world.answers, Classes),
            generator=generator,
        )
