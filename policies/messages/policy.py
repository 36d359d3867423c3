"""Policies of message worlds: one network for all agents, which reads, writes and answers round by round.

Such a policy is trained from outside (`rollouts/training/through_channel.py`): in training mode its actions carry a
graph, and losses of the world lead back through messages to whoever wrote them.
"""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from ...envs.engine import TensorDict, World, rng
from ...envs.engine.fits import check_saved
from ...envs.errors import ConfigError
from ...envs.messages.world import MessageWorld
from ...envs.validation import LAST_SEED, whole
from ...learners.plain import Plain
from ..files import read
from ..policy import MadeInReset, Policy
from .speech import Speech, speech_of
from .stacked import Alone

FORMAT = "studyhall message network, 1"
"""Of the files that its weights are saved in."""

Memory = Any
"""What a network remembers from round to round: a named tuple of tensors ``[N, P, …]``."""


class MessageNetwork(Protocol):
    """What a policy of message worlds asks of its network; P = W·B rows, agents first."""

    def begin(self, view: Tensor) -> Memory:
        """Look at views ``[N, P, V]``."""

    def read(self, memory: Memory, inbox: Tensor, heard: Tensor) -> Memory:
        """Take in messages ``[N, P, S, M]`` where they were heard, bool ``[N, P, S]``."""

    def write(self, memory: Memory) -> Tensor:
        """Raw messages ``[N, P, M]``."""

    def answer(self, memory: Memory) -> Tensor:
        """Answers ``[N, P, A]`` as the world takes them.

        Weights ≥ 0 of classes (a softmax, not logits), pixels in [0, 1], or numbers.
        """


class MessagePolicy(Policy):
    """Acts in a message world by one network.

    Subclasses write :meth:`make_network`, which returns a module with the four methods of :class:`MessageNetwork`;
    :func:`flat_sizes` tells the sizes. Trained by ``studyhall train``, or in a loop of one's own: set ``training``,
    call :meth:`reset` at the start of each episode, and step on :meth:`parameters` by the world's losses.

    Args:
        estimator: "gumbel" or "sampled": how senders of symbols are trained; see `speech.py`.
        temperature: Of "gumbel".
        entropy: Weight of the entropy bonus of "sampled".
        seed: Of the weights.
        weights: File to take them from, as training wrote it.

    Attributes:
        about: What the file that its weights came from says of itself.
        network: Once bound.
        training: Whether actions explore and carry a graph; False at first.
        settings: What the policy was made with, to be kept with its weights.
    """

    network: nn.Module
    speech: Speech
    _memory = MadeInReset[Memory]()
    _seen = MadeInReset[np.ndarray]()  # the world's clock when it was last looked at

    def __init__(
        self,
        *,
        estimator: str = "gumbel",
        temperature: float = 1.0,
        entropy: float = 0.01,
        seed: int = 0,
        weights: str | None = None,
    ) -> None:
        self.training = False
        self.seed = whole("seed", seed, 0, LAST_SEED)
        self.settings: dict[str, Any] = {
            "estimator": estimator,
            "temperature": temperature,
            "entropy": entropy,
        }
        self.about: dict[str, Any] = {}
        self._weights: Mapping[str, Tensor] | None = None
        if weights is not None:
            about, self._weights = read(str(weights), FORMAT)
            self.about = dict(about)

    @abstractmethod
    def make_network(self, world: MessageWorld, generator: torch.Generator) -> nn.Module:
        """A :class:`MessageNetwork` for a world's sizes, its weights drawn from the generator."""

    def bind(self, world: World) -> None:
        """Make the network for a world, with the weights that were loaded or learnt before, if there are any.

        Raises:
            ConfigError: The world is none of messages, or not one that the loaded weights are for.
        """
        super().bind(world)
        if not isinstance(world, MessageWorld):
            raise ConfigError(
                f"{type(self).__name__} talks: give it a message world (halves-v0, consensus-v0, …)"
            )
        learnt = self.network.state_dict() if hasattr(self, "network") else self._weights
        self.speech = speech_of(world, **self.settings_of_speech)
        with torch.random.fork_rng(
            devices=[]
        ):  # ordinary modules draw their weights from the global generator
            torch.manual_seed(self.seed)
            network = self.make_network(world, torch.Generator().manual_seed(self.seed))
        if learnt is not None:
            try:
                network.load_state_dict(learnt)
            except RuntimeError as fault:
                raise ConfigError(
                    "the weights are of another world or network: give the world the number of agents, the pictures "
                    f"and the messages, and the policy the settings, that they were trained with{self._trained_in()}"
                ) from fault
        self.network = network.to(world.device).requires_grad_(True)
        self._memory = None
        self._seen = np.full(world.num_worlds, -1)

    def _trained_in(self) -> str:
        """What the file of the weights says of their world."""
        kwargs = {"env": self.about.get("env"), **self.about.get("env_kwargs", {})}
        return f" ({', '.join(f'{k}={v}' for k, v in kwargs.items())})" if self.about else ""

    @property
    def settings_of_speech(self) -> dict[str, Any]:
        """Of the settings, those of speech."""
        return {name: self.settings[name] for name in ("estimator", "temperature", "entropy")}

    def parameters(self) -> Iterator[nn.Parameter]:
        """What training moves."""
        return self.network.parameters()

    def reset(self, mask: Tensor | None = None) -> None:
        """Forget the episodes of the worlds in ``mask``; the weights stay."""
        self._seen[... if mask is None else mask.cpu().numpy()] = -1

    def act(self, obs: TensorDict) -> TensorDict:
        """Messages and answers, ``[W, N, …]``."""
        with torch.set_grad_enabled(self.training):
            self._memory = self._remember(obs)
            answer = self._worlds_first(self.network.answer(self._memory))  # type: ignore[operator]
            message = self._message()
        self._seen = self.world.clock
        return {"message": message, "answer": self._shaped(answer)}

    def _remember(self, obs: TensorDict) -> Memory:
        """The network's memory after what was observed; that of worlds that have not moved stays as it was."""
        clock = self.world.clock
        fresh = (clock == 0) | (self._seen < 0)
        moved = ~fresh & (clock != self._seen)
        network: Any = self.network
        memory = self._memory
        if moved.any():
            inbox = obs["inbox"].flatten(4) if obs["inbox"].dim() > 5 else obs["inbox"]  # [W, N, S, B, M]
            heard = obs["heard"].bool()[:, :, None].expand(-1, -1, self._rows, -1)
            read = network.read(memory, self._agents_first(inbox.transpose(2, 3)), self._agents_first(heard))
            memory = read if moved.all() else _where(self._of_rows(moved), read, memory)
        if fresh.any():
            begun = network.begin(self._agents_first(obs["own_view"]).flatten(2))
            memory = begun if fresh.all() else _where(self._of_rows(fresh), begun, memory)
        return memory

    def _of_rows(self, worlds: np.ndarray) -> Tensor:
        """A mask of worlds as one of rows, bool ``[P]``."""
        return torch.from_numpy(worlds).to(self.world.device).repeat_interleave(self._rows)

    def _message(self) -> Tensor:
        """What is said; nothing in a world's last round, when nobody would read it."""
        world, rows = self.world, self._rows
        last = world.clock + 1 >= world.horizon
        if last.all():
            blank = torch.zeros(
                world.num_worlds, world.num_agents, rows, *self._wire_shape, device=world.device
            )
            return blank.argmax(-1) if world.choices else blank  # type: ignore[attr-defined]
        raw = self._worlds_first(self.network.write(self._memory))  # type: ignore[operator]
        key = rng.fold(world.keys, world.steps)
        message = self.speech.say(raw, key, training=self.training)
        if last.any():
            going_on = torch.from_numpy(~last).to(message)
            message = message * going_on.view(-1, *[1] * (message.dim() - 1))
        choices = self.world.choices  # type: ignore[attr-defined]
        return message.argmax(-1) if choices else message

    @property
    def _rows(self) -> int:
        return self.world.rows  # type: ignore[attr-defined]

    @property
    def _wire_shape(self) -> tuple[int, ...]:
        return self.world.wire.shape  # type: ignore[attr-defined]

    def _agents_first(self, tensor: Tensor) -> Tensor:
        """``[W, N, B, …]`` as ``[N, W·B, …]``."""
        return tensor.transpose(0, 1).flatten(1, 2)

    def _worlds_first(self, tensor: Tensor) -> Tensor:
        """``[N, W·B, …]`` as ``[W, N, B, …]``."""
        return tensor.unflatten(1, (self.world.num_worlds, self._rows)).transpose(0, 1)

    def _shaped(self, answer: Tensor) -> Tensor:
        """Flat answers ``[W, N, B, A]`` as the world takes them."""
        space = self.world.action_space["answer"]
        if isinstance(space, spaces.MultiDiscrete):
            return answer.argmax(-1)
        assert space.shape is not None
        if len(space.shape) > 2:  # paintings of S parts: [W, N, S, B, C, h, w]
            parts = answer.unflatten(-1, (space.shape[0], -1))
            return parts.transpose(2, 3).unflatten(-1, space.shape[2:])
        return answer

    def state_dict(self) -> dict[str, Any]:
        """The weights, and what was read so far."""
        memory = {} if self._memory is None else dict(enumerate(_leaves(self._memory)))
        return {
            "network": {key: value.clone() for key, value in self.network.state_dict().items()},
            "memory": {str(key): value.detach().clone() for key, value in memory.items()},
            "seen": torch.from_numpy(self._seen.copy()),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        fresh = self._fresh_memory()
        leaves = {str(place): leaf for place, leaf in enumerate(_leaves(fresh))}
        memory = saved.get("memory") if isinstance(saved, Mapping) else None
        if isinstance(memory, Mapping):  # it may be none yet, or hold more than a fresh one; see `_where`
            saved = {**saved, "memory": {name: memory[name] for name in leaves if name in memory}}
            leaves = leaves if memory else {}
        check_saved("policy and its world", saved, {**self.state_dict(), "memory": leaves})
        self.network.load_state_dict(saved["network"])
        self._seen[:] = saved["seen"].cpu().numpy()
        if saved["memory"]:
            self._memory = _filled(fresh, iter(saved["memory"].values()))

    def _fresh_memory(self) -> Memory:
        """Of episodes that begin."""
        view = self._agents_first(self.world.obs["own_view"]).flatten(2)
        with torch.no_grad():
            return self.network.begin(view)  # type: ignore[operator]

    def export(self, world: int) -> dict[str, Plain]:
        """Each agent by itself, one for all where they are alike; a network of one's own as it is, ``network``."""
        if not hasattr(self.network, "alone"):
            told = "what its methods begin, read, write and answer take"
            return {"network": Plain(copy.deepcopy(self.network).eval(), {}, told, everywhere=True)}
        alone: list[Alone] = self.network.alone()  # type: ignore[operator]
        many = len(alone) > 1
        names = self.world.agents if many else [self.world.agent_noun]
        return {
            name: self._plain(one, place if many else None)
            for place, (name, one) in enumerate(zip(names, alone, strict=True))
        }

    def _plain(self, alone: Alone, agent: int | None) -> Plain:
        module = alone.kind(**alone.arguments)
        module.load_state_dict(alone.weights)
        world: Any = self.world
        view, answer, message = flat_sizes(world)
        takes = {
            "view": f"float32 [B, {view}]: what the world shows of each sample, its `own_view`, flat",
            "inbox": f"float32 [R, B, S, {message}]: R rounds of messages of S sources, as they arrive",
            "heard": "bool [R, B, S]: which of them did",
        }
        gives = f"float32 [R + 1, B, {message}]: raw messages, and [R + 1, B, {answer}]: answers"
        return Plain(module.eval(), takes, gives, alone.arguments, agent, True, {"speech": self.speech.told})

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take weights that the next :meth:`bind` puts into its network."""
        self._weights = weights


def flat_sizes(world: MessageWorld) -> tuple[int, int, int]:
    """Numbers in a sample's view, in an answer about it, and in a message."""
    view, answer = world.observation_space["own_view"].shape, world.action_space["answer"]
    assert view is not None
    assert answer.shape is not None
    if isinstance(answer, spaces.MultiDiscrete):
        return math.prod(view[1:]), int(answer.nvec[0]), math.prod(world.wire.shape)
    return math.prod(view[1:]), math.prod(answer.shape) // world.rows, math.prod(world.wire.shape)


def _leaves(memory: Memory) -> list[Tensor]:
    """Tensors of a nested named tuple or dict, in order; what is None is left out."""
    if memory is None:
        return []
    if isinstance(memory, Tensor):
        return [memory]
    parts = memory.values() if isinstance(memory, Mapping) else memory
    return [leaf for part in parts for leaf in _leaves(part)]


def _filled(like: Memory, leaves: Iterator[Tensor]) -> Memory:
    """A memory of the same structure with other tensors in it."""
    if like is None or isinstance(like, Tensor):
        return None if like is None else next(leaves)
    if isinstance(like, Mapping):
        return type(like)((key, _filled(part, leaves)) for key, part in like.items())  # type: ignore[call-arg]
    parts = [_filled(part, leaves) for part in like]
    return type(like)(*parts) if hasattr(like, "_fields") else type(like)(parts)


def _where(where: Tensor, one: Memory, other: Memory) -> Memory:
    """``one`` in the rows of ``where [P]``, ``other`` elsewhere."""
    # A memory may hold more than a fresh one, such as what was computed on demand: that is left out.
    pairs = zip(_leaves(one), _leaves(other), strict=False)
    chosen = (torch.where(where.view(1, -1, *[1] * (a.dim() - 2)), a, b) for a, b in pairs)
    return _filled(one, chosen)
