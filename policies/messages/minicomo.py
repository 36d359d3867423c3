"""MiniCoMo: agents that see a part of an image each, tell each other one vector, and paint what the others hold.

Every agent has an image token, encoded from its part, and a few state tokens, learned and the same for each sample.
A stack of layers in which state attends to image and image to state runs before messages are written and again, with
the same weights, after they were read; the painting is decoded from the image token. Messages are written from the
state tokens and read into them, by attention or by one affine map (:data:`MESSENGERS`).

All agents are one tensor program (`stacked.py`), and what the algebra makes idle is not computed (`attention.py`). The
last update of the state serves nobody but a messenger, so it is left due until one asks.

The reader of the published code lets every sample attend to the messages of all samples of the batch. That is a fault,
kept for comparison as ``reader="batch"``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...envs.errors import ConfigError, one_of
from ...envs.validation import MOST_LAYERS, afford, whole
from .agents import MiniCoMoAgent
from .attention import Block
from .stacked import Alone, StackedLayerNorm, StackedLinear, own_parts

Memory = dict[str, Tensor]
"""``image [N, P, 1, D]``, and the state as its last update found things: ``before [N, P, T, D]`` and ``seen``, the
image then. ``state`` joins them once it has been asked for."""


class Messenger(nn.Module, ABC):
    """Writes messages from state tokens ``[P, T, N, D]`` and reads them into these."""

    @abstractmethod
    def write(self, state: Tensor) -> Tensor:
        """Messages ``[P, N, M]``."""

    @abstractmethod
    def read(self, state: Tensor, inbox: Tensor, heard: Tensor) -> Tensor:
        """State after messages ``[P, S, N, M]``, of which those in ``heard [P, S, N]`` arrived."""


class AttentionMessenger(Messenger):
    """A learned query attends to the state and becomes the message; the state attends to messages as tokens.

    A message is told from another source's by what is added to it, a placeholder for each source. Where no message
    arrived the cross attention finds nothing.

    Args:
        agents: N, or 1 for weights that all agents share.
        sources: S.
        width: D.
        message_size: M.
        depth: Blocks of the writer, and of the reader.
        heads: Of their attention.
        generator: Draws the initial weights.
    """

    def __init__(
        self,
        agents: int,
        sources: int,
        width: int,
        message_size: int,
        depth: int,
        heads: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(agents, 1, width, generator=generator))
        self.norm = StackedLayerNorm(agents, width)
        self.writer = nn.ModuleList(Block(agents, width, heads, generator) for _ in range(depth))
        self.speak = StackedLinear(agents, width, message_size, generator)
        self.placeholder = nn.Parameter(torch.randn(agents, sources, message_size, generator=generator))
        self.hear = StackedLinear(agents, message_size, width, generator)
        self.reader = nn.ModuleList(Block(agents, width, heads, generator) for _ in range(depth))

    def write(self, state: Tensor) -> Tensor:
        """Messages ``[P, N, M]``."""
        token, state = _learned(self.query, state.shape[2]), self.norm(state)
        for block in self.writer:
            token = block(token, state)
        return self.speak(token)[:, 0]

    def read(self, state: Tensor, inbox: Tensor, heard: Tensor) -> Tensor:
        """State after messages ``[P, S, N, M]``, of which those in ``heard [P, S, N]`` arrived."""
        tokens, heard = self.within_reach(self.hear(inbox + self.placeholder.transpose(0, 1)), heard)
        for block in self.reader:
            state = block(state, tokens, heard)
        return state

    def within_reach(self, tokens: Tensor, heard: Tensor) -> tuple[Tensor, Tensor]:
        """The messages that a sample attends to: those about itself."""
        return tokens, heard


class LeakyMessenger(AttentionMessenger):
    """As published: every sample attends to the messages about all samples of its slice.

    Args:
        slice_size: B, rows that are one slice; None if all are.
        settings: As for :class:`AttentionMessenger`.
    """

    def __init__(self, *, slice_size: int | None, **settings: Any) -> None:
        super().__init__(**settings)
        self.slice_size = slice_size

    def within_reach(self, tokens: Tensor, heard: Tensor) -> tuple[Tensor, Tensor]:
        """All messages of the slice, ``[P/B, B·S, N, D]``."""
        size = self.slice_size or len(tokens)
        return tokens.unflatten(0, (-1, size)).flatten(1, 2), heard.unflatten(0, (-1, size)).flatten(1, 2)


class SimpleMessenger(Messenger):
    """Writes an affine map of the mean state token, and adds one of what was heard to all state tokens.

    Args:
        agents: N, or 1 for weights that all agents share.
        sources: S; each has a map of its own, and their sum is added.
        width: D.
        message_size: M.
        generator: Draws the initial weights.
    """

    def __init__(
        self, agents: int, sources: int, width: int, message_size: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.speak = StackedLinear(agents, width, message_size, generator)
        self.hear = StackedLinear(agents, sources * message_size, width, generator)
        self.norm = StackedLayerNorm(agents, width)

    def write(self, state: Tensor) -> Tensor:
        """Messages ``[P, N, M]``."""
        return self.speak(state.mean(1))

    def read(self, state: Tensor, inbox: Tensor, heard: Tensor) -> Tensor:
        """State after messages ``[P, S, N, M]``, of which those in ``heard [P, S, N]`` arrived."""
        messages = (inbox * heard[..., None]).transpose(1, 2).flatten(2)
        found = self.hear(messages) * heard.any(1)[..., None]
        return self.norm(state + found[:, None])


class MiniCoMo(nn.Module):
    """The network of all agents; P rows are the samples of all worlds.

    Args:
        agents: N.
        sources: S, whose messages an agent reads.
        view_size: Numbers in a view of one sample.
        answer_size: A, numbers in an answer about one sample, each within [0, 1].
        message_size: M, numbers in a message about one sample.
        width: D, of tokens.
        layers: Of the stack, and blocks of the writer and of the reader of messages.
        heads: Of all attentions; they divide the width.
        tokens: T, state tokens.
        hidden: Units of the hidden layer of encoder and decoder.
        messenger: "attention" or "simple".
        reader: "sample", or "batch" for the published fault ("attention" only).
        slice_size: Rows that leak into each other with the reader "batch"; None if all do.
        shared: Whether all agents have the same weights.
        generator: Draws the initial weights: affine maps as ``nn.Linear``, learned tokens from N(0, 1).

    Raises:
        ConfigError: A size out of range, or a reader that the messenger does not have.
        UnknownName: No such messenger or reader.
    """

    def __init__(
        self,
        agents: int,
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
        reader: str = "sample",
        slice_size: int | None = None,
        shared: bool = False,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        counts = {"agents": agents, "sources": sources, "layers": layers, "heads": heads, "tokens": tokens}
        sizes = {"view_size": view_size, "answer_size": answer_size, "message_size": message_size}
        for name, value in (counts | sizes | {"width": width, "hidden": hidden}).items():
            whole(name, value, 1, MOST_LAYERS if name == "layers" else None)
        afford(1, "tokens or width", agents=agents, tokens=tokens, width=width)
        if width % heads:
            raise ConfigError(f"heads must divide width: {heads} do not divide {width}")
        self.agents = agents
        own = 1 if shared else agents  # sets of weights
        self._alone: dict[str, Any] = {
            "sources": sources,
            "view": view_size,
            "answer": answer_size,
            "message": message_size,
            "width": width,
            "layers": layers,
            "heads": heads,
            "tokens": tokens,
            "hidden": hidden,
            "messenger": messenger,
        }
        if reader == "batch" and slice_size is not None:
            self._alone["leak"] = slice_size
        self.tokens = nn.Parameter(torch.randn(own, tokens, width, generator=generator))
        self.encoder = _two_layers(own, view_size, hidden, width, generator)
        self.of_state = nn.ModuleList(Block(own, width, heads, generator) for _ in range(layers))
        self.of_image = nn.ModuleList(Block(own, width, heads, generator) for _ in range(layers))
        self.decoder = _two_layers(own, width, hidden, answer_size, generator)
        settings = {"agents": own, "sources": sources, "width": width, "message_size": message_size}
        if messenger == "attention":
            settings |= {"depth": layers, "heads": heads}
        self.messenger = _messenger(messenger, reader, slice_size)(**settings, generator=generator)

    def begin(self, view: Tensor) -> Memory:
        """What agents know from views ``[N, P, …]`` alone."""
        image = self.encoder(view.flatten(2).transpose(0, 1))[:, None]
        return self._run(_learned(self.tokens, self.agents), image)

    def read(self, memory: Memory, inbox: Tensor, heard: Tensor) -> Memory:
        """What they know after messages.

        Args:
            memory: Of :meth:`begin` or :meth:`read`.
            inbox: ``[N, P, S, M]``; what was not heard plays no part.
            heard: bool ``[N, P, S]``.
        """
        state = self.messenger.read(self._state(memory), inbox.movedim(0, 2), heard.movedim(0, 2))
        return self._run(state, _inward(memory["image"]))

    def write(self, memory: Memory) -> Tensor:
        """Messages ``[N, P, M]``."""
        return self.messenger.write(self._state(memory)).transpose(0, 1)

    def answer(self, memory: Memory) -> Tensor:
        """Answers ``[N, P, A]`` within [0, 1]."""
        return self.decoder(_inward(memory["image"])).sigmoid()[:, 0].transpose(0, 1)

    def alone(self) -> list[Alone]:
        """Its agents as ordinary modules."""
        return [Alone(MiniCoMoAgent, self._alone, own_parts(self, n)) for n in range(len(self.tokens))]

    def _run(self, state: Tensor, image: Tensor) -> Memory:
        """The stack, in which state and image attend to what both were before, less the state's last update."""
        *layers, (_, last) = zip(self.of_state, self.of_image, strict=True)
        for of_state, of_image in layers:
            state, image = of_state(state, image), of_image(image, state)
        before = state.expand(len(image), -1, -1, -1)
        memory = {"image": last(image, state), "before": before, "seen": image}
        return {name: _outward(tokens) for name, tokens in memory.items()}

    def _state(self, memory: Memory) -> Tensor:
        if "state" not in memory:
            state = self.of_state[-1](_inward(memory["before"]), _inward(memory["seen"]))
            memory["state"] = _outward(state)
        return _inward(memory["state"])


MESSENGERS = ("attention", "simple")
READERS = ("sample", "batch")


def _messenger(name: str, reader: str, slice_size: int | None) -> Callable[..., Messenger]:
    """The class of a messenger, by the names of what it does."""
    one_of("messenger", name, MESSENGERS)
    one_of("reader", reader, READERS)
    if reader == "sample":
        return AttentionMessenger if name == "attention" else SimpleMessenger
    if name == "simple":
        raise ConfigError("the simple messenger has no reader 'batch': take messenger='attention'")
    if slice_size is not None:
        whole("slice_size", slice_size, 1)
    return partial(LeakyMessenger, slice_size=slice_size)


def _two_layers(agents: int, ins: int, hidden: int, outs: int, generator: torch.Generator) -> nn.Sequential:
    return nn.Sequential(
        StackedLinear(agents, ins, hidden, generator),
        nn.ReLU(),
        StackedLinear(agents, hidden, outs, generator),
    )


def _learned(tokens: Tensor, agents: int) -> Tensor:
    """Learned tokens ``[N or 1, T, D]``, the same for each row, as ``[1, T, N, D]``."""
    return tokens.transpose(0, 1)[None].expand(-1, -1, agents, -1)


def _inward(tokens: Tensor) -> Tensor:
    """``[N, P, T, D]`` as the layers take them, ``[P, T, N, D]``."""
    return tokens.movedim(0, 2)


def _outward(tokens: Tensor) -> Tensor:
    return tokens.movedim(2, 0)
