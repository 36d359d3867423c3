"""MiniCoMo as anyone would write it down: a module for each agent, in a loop, every attention computed in full.

The measure of `studyhall.policies.messages.minicomo`: the same architecture, the same names of parameters, tensors of
the same shapes going in and out, and nothing clever.
"""

import torch
from torch import Tensor, nn

from studyhall.policies.messages.agents import MiniCoMoAgent
from studyhall.policies.messages.stacked import own_parts


class PlainMiniCoMo(nn.Module):
    """All agents, one after the other; takes and gives what the stacked network does, with its weights.

    Args:
        stacked: A `MiniCoMo`, unshared or shared, whose weights are copied.
        agents: N.
        sizes: As of :class:`~studyhall.policies.messages.agents.MiniCoMoAgent`.
        settings: As of :class:`~studyhall.policies.messages.agents.MiniCoMoAgent`.
    """

    def __init__(self, stacked: nn.Module, agents: int, *sizes: int, **settings: int | str) -> None:
        super().__init__()
        self.agents = nn.ModuleList(MiniCoMoAgent(*sizes, **settings) for _ in range(agents))
        for index, agent in enumerate(self.agents):
            agent.load_state_dict(own_parts(stacked, index))

    def begin(self, view: Tensor) -> list[tuple[Tensor, Tensor]]:
        return [agent.begin(own) for agent, own in zip(self.agents, view, strict=True)]

    def read(self, memory: list, inbox: Tensor, heard: Tensor) -> list[tuple[Tensor, Tensor]]:
        return [agent.read(*own) for agent, *own in zip(self.agents, memory, inbox, heard, strict=True)]

    def write(self, memory: list) -> Tensor:
        return torch.stack([agent.write(own) for agent, own in zip(self.agents, memory, strict=True)])

    def answer(self, memory: list) -> Tensor:
        return torch.stack([agent.answer(own) for agent, own in zip(self.agents, memory, strict=True)])
