"""Speaker and listeners of referential games.

Formulas, for a target t, a message m as one-hot symbols and a candidate c, all flat:

* the speaker's logits of symbols are an affine map of LayerNorm(MLP(t)): untrained speakers then say different things
  of different objects, where without it they say nearly the same of all, and languages of few symbols come of it;
* a listener understands u = MLP(m), and embeds candidates as e(c) = W c;
* it answers softmax over candidates of u · e(c) (Lazaridou, Peysakhovich & Baroni 2017, the agnostic receiver),
  or, in reconstruction, a softmax for each attribute of an affine map of u.

Who has heard nothing understands u = 0. A later message replaces an earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...envs.channel.wire import Symbols
from ...envs.errors import ConfigError
from ...envs.messages.referential import Referential
from ...envs.messages.world import MessageWorld
from ...envs.validation import whole
from .agents import Listener, Speaker
from .policy import MessagePolicy, flat_sizes
from .stacked import Alone, StackedLayerNorm, StackedLinear, own_parts


class Understanding(NamedTuple):
    """What is remembered: of the speaker what it will say, of N − 1 listeners what they see and understood."""

    said: Tensor  # [1, P, M]
    shown: Tensor  # [N − 1, P, C, E]
    understood: Tensor  # [N − 1, P, E]


class ReferentialNetwork(nn.Module):
    """One speaker and its listeners; see the module's page.

    Args:
        listeners: N − 1.
        candidates: C.
        features: F, numbers of an object.
        beyond: Further numbers of a view: what an oracle shows besides.
        message_size: M.
        width: Of hidden layers, and E.
        sizes: Values of each attribute, where these are answered; None where candidates are.
        generator: Draws the initial weights.
    """

    def __init__(
        self,
        listeners: int,
        candidates: int,
        features: int,
        beyond: int,
        message_size: int,
        *,
        width: int,
        sizes: Sequence[int] | None,
        generator: torch.Generator,
    ) -> None:
        super().__init__()

        def linear(agents: int, ins: int, outs: int) -> StackedLinear:
            return StackedLinear(agents, ins, outs, generator)

        self.listeners, self.candidates, self.features = listeners, candidates, features
        self.sizes = sizes
        self.look, self.think = linear(1, features, width), linear(1, width, width)
        self.norm, self.say = StackedLayerNorm(1, width), linear(1, width, message_size)
        self.hear, self.understand = linear(listeners, message_size, width), linear(listeners, width, width)
        self.see = linear(listeners, features, width)
        self.peek = linear(listeners, beyond, width) if beyond else None
        self.recall = None if sizes is None else linear(listeners, width, sum(sizes))

    def speak(self, objects: Tensor) -> Tensor:
        """Raw messages ``[P, M]`` that name objects ``[P, F]``."""
        return self.say(self.norm(self.think(self.look(objects[:, None]).relu())))[:, 0]

    def listen(self, messages: Tensor) -> Tensor:
        """What listeners understand, ``[N − 1, P, E]``, from messages ``[N − 1, P, M]``."""
        return self.understand(self.hear(messages.transpose(0, 1)).relu()).transpose(0, 1)

    def begin(self, view: Tensor) -> Understanding:
        """Look at views ``[N, P, C·F…]``."""
        own, beyond = view.tensor_split([self.candidates * self.features], dim=-1)
        seen = own[1:].unflatten(-1, (self.candidates, self.features))
        shown = self.see(seen.permute(1, 2, 0, 3)).permute(2, 0, 1, 3)
        understood = shown.new_zeros(*shown.shape[:2], shown.shape[-1])
        if self.peek is not None:
            understood = self.peek(beyond[1:].transpose(0, 1)).transpose(0, 1)
        return Understanding(self.speak(own[0, :, : self.features])[None], shown, understood)

    def read(self, memory: Understanding, inbox: Tensor, heard: Tensor) -> Understanding:
        """Take in what the speaker sent, of messages ``[N, P, S, M]`` that were heard, bool ``[N, P, S]``."""
        fresh = self.listen(inbox[1:, :, 0])  # the speaker is the one source of listeners
        understood = torch.where(heard[1:, :, 0, None], fresh, memory.understood)
        return memory._replace(understood=understood)

    def write(self, memory: Understanding) -> Tensor:
        """Raw messages ``[N, P, M]``; listeners have nothing to say."""
        silence = torch.zeros_like(memory.said).expand(self.listeners, -1, -1)
        return torch.cat([memory.said, silence])

    def answer(self, memory: Understanding) -> Tensor:
        """Distributions ``[N, P, A]``; the speaker's are zeros."""
        if self.recall is None:
            answer = self.choose(memory.shown, memory.understood)
        else:
            logits = self.recall(memory.understood.transpose(0, 1)).transpose(0, 1)
            answer = torch.cat([part.softmax(-1) for part in logits.split(self.sizes, -1)], dim=-1)
        return torch.cat([torch.zeros_like(answer[:1]), answer])

    def alone(self) -> list[Alone]:
        """The speaker and its listeners as ordinary modules."""
        width, message = self.say.weight.shape[1:]
        answer = self.candidates if self.sizes is None else sum(self.sizes)
        speaker = {"features": self.features, "message": message, "answer": answer, "width": width}
        listener = {
            "candidates": self.candidates,
            "features": self.features,
            "beyond": 0 if self.peek is None else self.peek.weight.shape[1],
            "message": message,
            "width": width,
            "sizes": None if self.sizes is None else list(self.sizes),
        }
        speaks = ("look.", "think.", "norm.", "say.")

        def weights(agent: int, *, spoken: bool) -> dict[str, Tensor]:
            return {k: v for k, v in own_parts(self, agent).items() if k.startswith(speaks) == spoken}

        hear = [Alone(Listener, listener, weights(n, spoken=False)) for n in range(self.listeners)]
        return [Alone(Speaker, speaker, weights(0, spoken=True)), *hear]

    @staticmethod
    def choose(shown: Tensor, understood: Tensor) -> Tensor:
        """Distributions over candidates ``[…, C, E]``, from what was understood ``[…, E]``."""
        return (shown @ understood[..., None])[..., 0].softmax(-1)


class ReferentialPolicy(MessagePolicy):
    """A speaker and listeners in ``referential-v0``.

    Args:
        width: Of hidden layers and embeddings.
        **others: Those of :class:`~studyhall.policies.messages.MessagePolicy`.
    """

    def __init__(self, *, width: int = 100, **others: Any) -> None:
        super().__init__(**others)
        self.settings |= {"width": whole("width", width, 1)}

    def make_network(self, world: MessageWorld, generator: torch.Generator) -> nn.Module:
        """The network for a world's objects, candidates and messages."""
        if not isinstance(world, Referential):
            raise ConfigError("referential names objects and finds them: give it referential-v0")
        view, _, message = flat_sizes(world)
        features = sum(world.sizes)
        return ReferentialNetwork(
            world.num_agents - 1,
            world.candidates,
            features,
            view - world.candidates * features,
            message,
            width=self.settings["width"],
            sizes=world.sizes if world.game == "reconstruction" else None,
            generator=generator,
        )

    @torch.no_grad()
    def names(self, objects: Tensor) -> Tensor:
        """What the speaker calls objects, for the metrics of `rollouts/metrics/language.py`.

        Args:
            objects: float32 ``[M, F]``, e.g. all of ``world.objects``.

        Returns:
            The likeliest symbols, int64 ``[M, L]``.

        Raises:
            ConfigError: The world's messages are numbers.
        """
        wire = self.world.wire  # type: ignore[attr-defined]
        if not isinstance(wire, Symbols):
            raise ConfigError(
                "names are symbols, and this world's messages are numbers: give it a vocabulary"
            )
        logits = self.network.speak(objects)  # type: ignore[operator]
        return logits.unflatten(-1, wire.shape).argmax(-1)
