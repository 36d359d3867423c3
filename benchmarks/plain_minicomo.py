"""MiniCoMo as anyone would write it down: a module for each agent, in a loop, every attention computed in full.

The measure of `studyhall.policies.messages.minicomo`: the same architecture, the same names of parameters, tensors of
the same shapes going in and out, and nothing clever.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PlainAttention(nn.Module):
    """Multi-head attention of tokens ``[B, T, D]`` to tokens ``[B, K, D]``, both normalised first."""

    def __init__(self, width: int, heads: int, memory: bool) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.norm_memory = nn.LayerNorm(width) if memory else None
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, y: Tensor | None = None, heard: Tensor | None = None) -> Tensor:
        x = self.norm(x)
        y = x if y is None else self.norm_memory(y)
        query, key, value = (
            layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, heads, tokens, D / heads]
            for layer, tokens in ((self.query, x), (self.key, y), (self.value, y))
        )
        scores = query @ key.mT / math.sqrt(key.shape[-1])
        if heard is not None:
            scores = scores.masked_fill(~heard[:, None, None], -1e9)
        found = self.out((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))
        return found if heard is None else found * heard.any(1)[:, None, None]


class PlainBlock(nn.Module):
    """A pre-norm decoder block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.own = PlainAttention(width, heads, memory=False)
        self.cross = PlainAttention(width, heads, memory=True)
        self.norm = nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, y: Tensor, heard: Tensor | None = None) -> Tensor:
        x = x + self.own(x)
        x = x + self.cross(x, y, heard)
        return x + self.narrow(F.gelu(self.widen(self.norm(x))))


class PlainAttentionMessenger(nn.Module):
    """Writes by a query token, reads by attention to messages."""

    def __init__(self, sources: int, width: int, message_size: int, depth: int, heads: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.empty(1, width))
        self.norm = nn.LayerNorm(width)
        self.writer = nn.ModuleList(PlainBlock(width, heads) for _ in range(depth))
        self.speak = nn.Linear(width, message_size)
        self.placeholder = nn.Parameter(torch.empty(sources, message_size))
        self.hear = nn.Linear(message_size, width)
        self.reader = nn.ModuleList(PlainBlock(width, heads) for _ in range(depth))

    def write(self, state: Tensor) -> Tensor:
        token, state = self.query.expand(len(state), -1, -1), self.norm(state)
        for block in self.writer:
            token = block(token, state)
        return self.speak(token)[:, 0]

    def read(self, state: Tensor, inbox: Tensor, heard: Tensor) -> Tensor:
        tokens = self.hear(inbox + self.placeholder)
        for block in self.reader:
            state = block(state, tokens, heard)
        return state


class PlainSimpleMessenger(nn.Module):
    """Writes and reads by an affine map."""

    def __init__(self, sources: int, width: int, message_size: int) -> None:
        super().__init__()
        self.speak = nn.Linear(width, message_size)
        self.hear = nn.Linear(sources * message_size, width)
        self.norm = nn.LayerNorm(width)

    def write(self, state: Tensor) -> Tensor:
        return self.speak(state.mean(1))

    def read(self, state: Tensor, inbox: Tensor, heard: Tensor) -> Tensor:
        found = self.hear((inbox * heard[..., None]).flatten(1)) * heard.any(1, keepdim=True)
        return self.norm(state + found[:, None])


class PlainAgent(nn.Module):
    """One agent, on tensors ``[B, …]``."""

    def __init__(
        self,
        sources: int,
        view_size: int,
        answer_size: int,
        message_size: int,
        *,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        tokens: int = 16,
        hidden: int = 256,
        messenger: str = "attention",
    ) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.empty(tokens, width))
        self.encoder = nn.Sequential(nn.Linear(view_size, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.of_state = nn.ModuleList(PlainBlock(width, heads) for _ in range(layers))
        self.of_image = nn.ModuleList(PlainBlock(width, heads) for _ in range(layers))
        self.decoder = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, answer_size))
        if messenger == "simple":
            self.messenger = PlainSimpleMessenger(sources, width, message_size)
        else:
            self.messenger = PlainAttentionMessenger(sources, width, message_size, layers, heads)

    def begin(self, view: Tensor) -> tuple[Tensor, Tensor]:
        return self.run(self.tokens.expand(len(view), -1, -1), self.encoder(view)[:, None])

    def read(self, memory: tuple[Tensor, Tensor], inbox: Tensor, heard: Tensor) -> tuple[Tensor, Tensor]:
        state, image = memory
        return self.run(self.messenger.read(state, inbox, heard), image)

    def write(self, memory: tuple[Tensor, Tensor]) -> Tensor:
        return self.messenger.write(memory[0])

    def answer(self, memory: tuple[Tensor, Tensor]) -> Tensor:
        return self.decoder(memory[1][:, 0]).sigmoid()

    def run(self, state: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        for of_state, of_image in zip(self.of_state, self.of_image, strict=True):
            state, image = of_state(state, image), of_image(image, state)
        return state, image


class PlainMiniCoMo(nn.Module):
    """All agents, one after the other; takes and gives what the stacked network does, with its weights.

    Args:
        stacked: A `MiniCoMo`, unshared or shared, whose weights are copied.
        agents: N.
        sizes: As of :class:`PlainAgent`.
        settings: As of :class:`PlainAgent`.
    """

    def __init__(self, stacked: nn.Module, agents: int, *sizes: int, **settings: int | str) -> None:
        super().__init__()
        self.agents = nn.ModuleList(PlainAgent(*sizes, **settings) for _ in range(agents))
        for index, agent in enumerate(self.agents):
            agent.load_state_dict(
                {key: own(key, value, index) for key, value in stacked.state_dict().items()}
            )

    def begin(self, view: Tensor) -> list[tuple[Tensor, Tensor]]:
        return [agent.begin(own) for agent, own in zip(self.agents, view, strict=True)]

    def read(self, memory: list, inbox: Tensor, heard: Tensor) -> list[tuple[Tensor, Tensor]]:
        return [agent.read(*own) for agent, *own in zip(self.agents, memory, inbox, heard, strict=True)]

    def write(self, memory: list) -> Tensor:
        return torch.stack([agent.write(own) for agent, own in zip(self.agents, memory, strict=True)])

    def answer(self, memory: list) -> Tensor:
        return torch.stack([agent.answer(own) for agent, own in zip(self.agents, memory, strict=True)])


def own(key: str, stack: Tensor, agent: int) -> Tensor:
    """An agent's part of stacked weights (or gradients) ``[N or 1, …]``, laid out as torch's modules do."""
    part = stack[agent % len(stack)]
    return part.mT if key.endswith("weight") and part.dim() == 2 else part
