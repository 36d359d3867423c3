"""Agents of message worlds one by one, as ordinary modules, to be taken anywhere: this file needs torch alone.

Each does what the stacked network of all agents (`minicomo.py`, `consensus_network.py`, `feedforward.py`,
`referential_network.py`) does for one of them, with no trick that makes it fast. B samples are looked at side by side.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Memory = Any
"""What an agent remembers from round to round: tensors ``[B, …]``."""


class Agent(nn.Module):
    """Looks once; then, round by round, says something, answers, and reads what others said."""

    def forward(self, view: Tensor, inbox: Tensor, heard: Tensor) -> tuple[Tensor, Tensor]:
        """What an agent says and answers in each of R + 1 rounds, the last with all messages read.

        Args:
            view: ``[B, V]``.
            inbox: Messages of S sources in R rounds, ``[R, B, S, M]``; what was not heard plays no part.
            heard: bool ``[R, B, S]``.

        Returns:
            Raw messages ``[R + 1, B, M]`` and answers ``[R + 1, B, A]``.
        """
        memory = self.begin(view)
        said, answers = [self.write(memory)], [self.answer(memory)]
        for messages, arrived in zip(inbox, heard, strict=True):
            memory = self.read(memory, messages, arrived)
            said.append(self.write(memory))
            answers.append(self.answer(memory))
        return torch.stack(said), torch.stack(answers)

    @abstractmethod
    def begin(self, view: Tensor) -> Memory:
        """Look at views ``[B, V]``."""

    @abstractmethod
    def read(self, memory: Memory, inbox: Tensor, heard: Tensor) -> Memory:
        """Take in messages ``[B, S, M]`` where they were heard, bool ``[B, S]``."""

    @abstractmethod
    def write(self, memory: Memory) -> Tensor:
        """Raw messages ``[B, M]``."""

    @abstractmethod
    def answer(self, memory: Memory) -> Tensor:
        """Answers ``[B, A]``."""


class Attention(nn.Module):
    """Multi-head attention of tokens ``[B, T, D]`` to tokens ``[B, K, D]``, both normalised first."""

    def __init__(self, width: int, heads: int, memory: bool) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.norm_memory = nn.LayerNorm(width) if memory else None
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, y: Tensor | None = None, heard: Tensor | None = None) -> Tensor:
        """What tokens find, ``[B, T, D]``; ``heard`` bool ``[B, K]``: who has heard none finds 0."""
        x = self.norm(x)
        y = x if y is None or self.norm_memory is None else self.norm_memory(y)
        query, key, value = (
            layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, heads, tokens, D / heads]
            for layer, tokens in ((self.query, x), (self.key, y), (self.value, y))
        )
        scores = query @ key.mT / math.sqrt(key.shape[-1])
        if heard is not None:
            scores = scores.masked_fill(~heard[:, None, None], -1e9)
        found = self.out((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))
        return found if heard is None else found * heard.any(1)[:, None, None]


class Block(nn.Module):
    """A pre-norm decoder block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.own = Attention(width, heads, memory=False)
        self.cross = Attention(width, heads, memory=True)
        self.norm = nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, y: Tensor, heard: Tensor | None = None) -> Tensor:
        """Tokens ``[B, T, D]`` after a look at ``y``."""
        x = x + self.own(x)
        x = x + self.cross(x, y, heard)
        return x + self.narrow(F.gelu(self.widen(self.norm(x))))


class AttentionMessenger(nn.Module):
    """Writes by a query token, reads by attention to messages.

    ``leak``: samples that attend to each other's messages, as published; 0: none do.
    """

    def __init__(self, sources: int, width: int, message: int, depth: int, heads: int, leak: int) -> None:
        super().__init__()
        self.leak = leak
        self.query = nn.Parameter(torch.empty(1, width))
        self.norm = nn.LayerNorm(width)
        self.writer = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.speak = nn.Linear(width, message)
        self.placeholder = nn.Parameter(torch.empty(sources, message))
        self.hear = nn.Linear(message, width)
        self.reader = nn.ModuleList(Block(width, heads) for _ in range(depth))

    def write(self, state: Tensor) -> Tensor:
        """Messages ``[B, M]``."""
        token, state = self.query.expand(len(state), -1, -1), self.norm(state)
        for block in self.writer:
            token = block(token, state)
        return self.speak(token)[:, 0]

    def read(self, state: Tensor, inbox: Tensor, heard: Tensor) -> Tensor:
        """The state ``[B, T, D]`` after messages."""
        tokens = self.hear(inbox + self.placeholder)
        if self.leak:
            tokens, heard = (
                each.unflatten(0, (-1, self.leak)).flatten(1, 2).repeat_interleave(self.leak, 0)
                for each in (tokens, heard)
            )
        for block in self.reader:
            state = block(state, tokens, heard)
        return state


class SimpleMessenger(nn.Module):
    """Writes and reads by an affine map."""

    def __init__(self, sources: int, width: int, message: int) -> None:
        super().__init__()
        self.speak = nn.Linear(width, message)
        self.hear = nn.Linear(sources * message, width)
        self.norm = nn.LayerNorm(width)

    def write(self, state: Tensor) -> Tensor:
        """Messages ``[B, M]``."""
        return self.speak(state.mean(1))

    def read(self, state: Tensor, inbox: Tensor, heard: Tensor) -> Tensor:
        """The state ``[B, T, D]`` after messages."""
        found = self.hear((inbox * heard[..., None]).flatten(1)) * heard.any(1, keepdim=True)
        return self.norm(state + found[:, None])


class MiniCoMoAgent(Agent):
    """One agent of `minicomo.py`; its memory are state tokens ``[B, T, D]`` and an image token ``[B, 1, D]``.

    Args:
        sources: S.
        view: V.
        answer: A.
        message: M.
        width: D.
        layers: Of the stack, and blocks of the attention messenger.
        heads: Of attention.
        tokens: State tokens.
        hidden: Of encoder and decoder.
        messenger: "attention" or "simple".
        leak: Samples that attend to each other's messages, the published fault; 0: none do.
    """

    def __init__(
        self,
        sources: int,
        view: int,
        answer: int,
        message: int,
        *,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        tokens: int = 16,
        hidden: int = 256,
        messenger: str = "attention",
        leak: int = 0,
    ) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.empty(tokens, width))
        self.encoder = nn.Sequential(nn.Linear(view, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.of_state = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.of_image = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.decoder = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, answer))
        self.messenger = (
            SimpleMessenger(sources, width, message)
            if messenger == "simple"
            else AttentionMessenger(sources, width, message, layers, heads, leak)
        )

    def begin(self, view: Tensor) -> Memory:
        """As of :class:`Agent`."""
        return self.run(self.tokens.expand(len(view), -1, -1), self.encoder(view)[:, None])

    def read(self, memory: Memory, inbox: Tensor, heard: Tensor) -> Memory:
        """As of :class:`Agent`."""
        state, image = memory
        return self.run(self.messenger.read(state, inbox, heard), image)

    def write(self, memory: Memory) -> Tensor:
        """As of :class:`Agent`."""
        return self.messenger.write(memory[0])

    def answer(self, memory: Memory) -> Tensor:
        """As of :class:`Agent`; pixels within [0, 1]."""
        return self.decoder(memory[1][:, 0]).sigmoid()

    def run(self, state: Tensor, image: Tensor) -> Memory:
        """The stack, in which state and image attend to what both were before."""
        for of_state, of_image in zip(self.of_state, self.of_image, strict=True):
            state, image = of_state(state, image), of_image(image, state)
        return state, image


class Witness(Agent):
    """One agent of `consensus_network.py`; its memory is a state ``[B, m]``.

    Args:
        view: V.
        answer: A.
        message: M.
        width: m.
        distribution: Whether answers are distributions.
    """

    def __init__(self, view: int, answer: int, message: int, *, width: int, distribution: bool) -> None:
        super().__init__()
        self.distribution = distribution
        self.look, self.know = nn.Linear(view, 2 * width), nn.Linear(2 * width, width)
        self.mix, self.take = nn.Linear(width + message, width), nn.Linear(width, width)
        self.gru = nn.GRUCell(width, width)
        self.say = nn.Linear(width, message)
        self.think, self.estimate = nn.Linear(width, width), nn.Linear(width, answer)

    def begin(self, view: Tensor) -> Memory:
        """As of :class:`Agent`."""
        return self.know(self.look(view).relu()).tanh()

    def read(self, memory: Memory, inbox: Tensor, heard: Tensor) -> Memory:
        """As of :class:`Agent`; who has heard nobody stays as it was."""
        count = heard.sum(-1, keepdim=True)
        mean = (inbox * heard[..., None]).sum(1) / count.clamp_min(1)
        update = self.take(self.mix(torch.cat([memory, mean], -1)).relu())
        return torch.where(count > 0, self.gru(update, memory), memory)

    def write(self, memory: Memory) -> Tensor:
        """As of :class:`Agent`."""
        return self.say(memory)

    def answer(self, memory: Memory) -> Tensor:
        """As of :class:`Agent`."""
        out = self.estimate(self.think(memory).relu())
        return out.softmax(-1) if self.distribution else out


class FeedforwardAgent(Agent):
    """Any agent of `feedforward.py`; its memory are its view and what it heard last.

    Args:
        view: V.
        answer: A.
        message: M.
        width: Of the hidden layers.
        horizon: Steps of an episode.
        distribution: Whether answers are distributions.
    """

    def __init__(
        self, view: int, answer: int, message: int, *, width: int, horizon: int, distribution: bool
    ) -> None:
        super().__init__()
        self.horizon, self.distribution, self.view = horizon, distribution, view
        first = nn.Linear(view + message + 2, width)
        self.body = nn.Sequential(first, nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.say, self.estimate = nn.Linear(width, message), nn.Linear(width, answer)

    def begin(self, view: Tensor) -> Memory:
        """As of :class:`Agent`: view, sum of the messages heard, share of sources heard, time."""
        return F.pad(view, (0, self.say.out_features + 2))

    def read(self, memory: Memory, inbox: Tensor, heard: Tensor) -> Memory:
        """As of :class:`Agent`."""
        share = heard.to(inbox.dtype)
        told, time = (inbox * share[..., None]).sum(-2), memory[:, -1:] + 1 / self.horizon
        return torch.cat([memory[:, : self.view], told, share.mean(-1, keepdim=True), time], -1)

    def write(self, memory: Memory) -> Tensor:
        """As of :class:`Agent`."""
        return self.say(self.body(memory))

    def answer(self, memory: Memory) -> Tensor:
        """As of :class:`Agent`."""
        out = self.estimate(self.body(memory))
        return out.softmax(-1) if self.distribution else out


class Speaker(Agent):
    """Who names its target in `referential_network.py`; its memory is what it says.

    Args:
        features: F, numbers of an object; the first of a view are the target.
        message: M.
        answer: A; a speaker's answers are zeros.
        width: Of the hidden layer.
    """

    def __init__(self, features: int, message: int, answer: int, *, width: int) -> None:
        super().__init__()
        self.features, self.size = features, answer
        self.look, self.think = nn.Linear(features, width), nn.Linear(width, width)
        self.norm, self.say = nn.LayerNorm(width), nn.Linear(width, message)

    def begin(self, view: Tensor) -> Memory:
        """As of :class:`Agent`."""
        return self.say(self.norm(self.think(self.look(view[:, : self.features]).relu())))

    def read(self, memory: Memory, inbox: Tensor, heard: Tensor) -> Memory:
        """A speaker reads nothing."""
        return memory

    def write(self, memory: Memory) -> Tensor:
        """As of :class:`Agent`."""
        return memory

    def answer(self, memory: Memory) -> Tensor:
        """Zeros."""
        return memory.new_zeros(len(memory), self.size)


class Listener(Agent):
    """Who finds a target or spells it out in `referential_network.py`; its memory: what is shown, and understood.

    Args:
        candidates: C.
        features: F, numbers of an object.
        beyond: Further numbers of a view: what an oracle shows besides.
        message: M.
        width: E.
        sizes: Values of each attribute, where these are answered; None where candidates are.
    """

    def __init__(
        self,
        candidates: int,
        features: int,
        beyond: int,
        message: int,
        *,
        width: int,
        sizes: Sequence[int] | None,
    ) -> None:
        super().__init__()
        self.candidates, self.features, self.message = candidates, features, message
        self.sizes = None if sizes is None else list(sizes)
        self.hear, self.understand = nn.Linear(message, width), nn.Linear(width, width)
        self.see = nn.Linear(features, width)
        self.peek = nn.Linear(beyond, width) if beyond else None
        self.recall = None if sizes is None else nn.Linear(width, sum(sizes))

    def begin(self, view: Tensor) -> Memory:
        """As of :class:`Agent`."""
        own, beyond = view.tensor_split([self.candidates * self.features], dim=-1)
        shown = self.see(own.unflatten(-1, (self.candidates, self.features)))
        return shown, torch.zeros_like(shown[:, 0]) if self.peek is None else self.peek(beyond)

    def read(self, memory: Memory, inbox: Tensor, heard: Tensor) -> Memory:
        """As of :class:`Agent`; a later message replaces an earlier one."""
        shown, understood = memory
        fresh = self.understand(self.hear(inbox[:, 0]).relu())
        return shown, torch.where(heard[:, :1], fresh, understood)

    def write(self, memory: Memory) -> Tensor:
        """Zeros: listeners have nothing to say."""
        return memory[1].new_zeros(len(memory[1]), self.message)

    def answer(self, memory: Memory) -> Tensor:
        """As of :class:`Agent`."""
        shown, understood = memory
        if self.recall is None or self.sizes is None:
            return (shown @ understood[..., None])[..., 0].softmax(-1)
        parts = self.recall(understood).split(self.sizes, -1)
        return torch.cat([part.softmax(-1) for part in parts], -1)
