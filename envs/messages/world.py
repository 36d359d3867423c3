"""Message worlds: agents who see different parts of one thing, talk in rounds, and say what they make of it.

An episode is one slice of B samples; one step is one round. In each round every agent publishes a message and its
answer so far; messages sent in a round are in the inboxes observed after it. The world scores each answer, and the
reward is how much it improved on the one before, so the return is what the exchange taught. There are no exams: the
truth never leaves the world but through scores and :attr:`Step.loss <studyhall.envs.engine.world.Step.loss>`.

**Gradients.** ``Step.loss [W, N]`` is differentiable with respect to the answer, to the messages that were heard
before it, and through those to their senders (Foerster et al. 2016, *Learning to communicate with deep multi-agent
reinforcement learning*, the DIAL form). A message that was dropped, muted or said nothing passes none. Rewards,
scores and metrics carry none, and a reset cuts the graph.

A world file subclasses :class:`MessageWorld` and writes :meth:`~MessageWorld.deal`, :meth:`~MessageWorld.judge`,
its spaces, and what it measures.

## Common arguments
| argument | default | meaning |
|---|---|---|
| `slice_size` | 64 | B, samples of an episode |
| `rounds` | 1 | rounds of messages; an episode has one step more, for the answers after the last of them |
| `width` | 16 | M, numbers of a message |
| `bound` | inf | numbers of a message lie in [−bound, bound]; what is beyond counts as the bound |
| `vocabulary`, `length` | None, 1 | symbols instead of numbers: V of them to choose from, L in a message |
| `choices` | False | symbols and classes are whole numbers (MultiDiscrete), for categorical policies; none is silent |
| `oracle` | False | the control: everyone also sees what the others see, free; one's own first, along C (or D) |
| `split` | None | "stream", "exam" or "test"; None takes the stream in the domain "train", else the test split |
| `topology` | "complete" | "complete", "ring", "star", "k_regular", "small_world", "random", or a matrix |
| `degree`, `rewire`, `edge_probability` | 2, .1, .5 | of k-regular, small-world and random topologies |
| `drop`, `delay` | 0, 0 | losses per edge (of a whole slice's messages), rounds by which messages come late |
| `noise`, `bits`, `cap` | 0, 32, None | of numbers: noise, rounding (`bits` needs `bound`); bytes per agent and round |
| `mode` | "open" | "open", "mute", "shuffled" (over the samples of the slice), "isolated"; or one per world |
| `byte_price` | 0 | reward per KiB sent |
| `reward_scale`, `cooperation` | 1, 0 | reward = scale · ((1 − c)·own improvement + c·mean improvement) − price |
| `autoreset`, `validate` | True, False | of `make_world`, as in the classroom |
| `compile` | False | of `make_world`, in `consensus-v0` and `halves-v0`: steps are machine code, see `docs/design.md` |
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ..arguments import share_out
from ..channel import Channel, ChannelSettings, DelayLine, rearranged
from ..channel.topology import everyone
from ..channel.wire import Numbers, Symbols, Wire, limit
from ..engine import rng
from ..engine.batch import Batch
from ..engine.compiling import compilable
from ..engine.state import TensorDict, prefixed, under
from ..engine.world import HEARD, Listening, Outcome, World
from ..errors import ConfigError, one_of
from ..streams.dataset import SplitName
from ..study import Pay
from ..validation import afford, flag, whole

SPLITS: dict[str, SplitName] = {"train": "stream", "eval": "test", "demo": "test"}
"""Seed domain to the split that its slices are dealt from."""


class MessageWorld(World):
    """What all message worlds share; this module's page documents the arguments.

    Args:
        agents: N, at least 2.
        slice_size: B.
        **others: Of :class:`~studyhall.envs.engine.batch.Batch` and of
            :class:`~studyhall.envs.channel.ChannelSettings`; for the others see the page.

    Attributes:
        sources: S, the most neighbours that an agent can have; in a complete room N − 1, and source s of agent i is
            agent (i + 1 + s) mod N.
        wire: What messages are made of.
        rows: B.
        rounds: Of messages.
        chance: Score of an answer that knows nothing, from which improvement is counted.
    """

    differentiable = True
    finite_horizon = True  # nothing comes after the last answer
    trainee = ""  # but through the channel
    crosses = frozenset({"messages", "symbols"})
    headline = "score"
    forwarded_arguments_to: ClassVar[tuple[type, ...]] = (Batch, ChannelSettings)
    chance: float = 0.0
    roles: ClassVar[bool] = True
    """Whether who one is makes a difference, and is told as ``agent_id``."""

    def __init__(
        self,
        *,
        agents: int,
        slice_size: int = 64,
        rounds: int = 1,
        width: int = 16,
        bound: float = math.inf,
        vocabulary: int | None = None,
        length: int = 1,
        choices: bool = False,
        oracle: bool = False,
        split: str | None = None,
        byte_price: float = 0.0,
        reward_scale: float = 1.0,
        cooperation: float = 0.0,
        **others: Any,
    ) -> None:
        agents, rounds = whole("agents", agents, 2), whole("rounds", rounds, 1)
        batch, channel = share_out(type(self).__name__, others, *self.forwarded_arguments_to)
        super().__init__(num_agents=agents, horizon=rounds + 1, **batch)
        self.rows = whole("slice_size", slice_size, 1)
        self.rounds = rounds
        self.pay = Pay(reward_scale=reward_scale, cooperation=cooperation, byte_price=byte_price)
        self.oracle, self.choices = flag("oracle", oracle), flag("choices", choices)
        if split is not None:
            split = one_of("split", split, ("stream", "exam", "test"))
        self._split = split
        self.channel = Channel(
            agents, self.num_worlds, device=self.device, **channel
        )  # nobody leaves or lies
        self.channel.check_times(rounds)
        self.sources = self.channel.slots
        self.wire = _wire(width, bound, vocabulary, length, self.channel.noise, self.channel.bits)
        if self.choices and vocabulary is None:
            raise ConfigError("choices are of symbols: give vocabulary too")
        shape = dict(
            zip(
                ("length", "vocabulary") if isinstance(self.wire, Symbols) else ("width",),
                self.wire.shape,
                strict=True,
            )
        )
        lower = f"the number of agents, slice_size, {' or '.join(shape)}"
        afford(self.num_worlds, lower, agents=agents, senders=self.sources, slice_size=self.rows, **shape)
        afford(
            self.num_worlds,
            f"delay, {lower}",
            agents=agents,
            senders=self.sources,
            slice_size=self.rows,
            delay=self.channel.delay,
            **shape,
        )
        self.line = DelayLine(self.channel.delay)
        self._others = everyone(agents, self.device)  # of each agent, int64 [N, N − 1]

    def _declare(self, view: spaces.Box, answer: spaces.Space, deals: dict[str, tuple[int, ...]]) -> None:
        """Spaces and draws.

        Args:
            view: What one sees of the slice, ``(B, …)``; channels first, where samples have any.
            answer: Space of the action ``answer``.
            deals: Draws that :meth:`deal` needs.
        """
        n, s, b, shape = self.num_agents, self.sources, self.rows, self.wire.shape
        if self.oracle:
            view = spaces.Box(
                np.concatenate([view.low] * n, axis=1),
                np.concatenate([view.high] * n, axis=1),
                dtype=np.float32,
            )
        observed: dict[str, spaces.Space] = {
            "own_view": view,
            "inbox": spaces.Box(-np.inf, np.inf, (s, b, *shape), np.float32),
            "heard": spaces.Box(0, 1, (s,), np.int8),
            "elapsed": spaces.Box(0, 1, (1,), np.float32),
        }
        if self.roles:
            observed["agent_id"] = spaces.Box(0, 1, (n,), np.int8)
        self.observation_space = spaces.Dict(observed)
        message = self.wire.choices(b) if self.choices else self.wire.space(b)  # type: ignore[union-attr]
        self.action_space = spaces.Dict({"message": message, "answer": answer})
        self.reset_draws = rng.Draws(deals | self.channel.reset_draws())
        self.step_draws = rng.Draws(self.channel.step_draws(b, math.prod(shape)))

    # ---- what a world file writes -------------------------------------------------------------------

    @abstractmethod
    def deal(self, draws: rng.DrawDict) -> TensorDict:
        """A fresh slice: ``own_view [W, N, B, …]``, what each sees, and whatever judging it takes, ``[W, …]``.

        Views of an oracle are made here from these.
        """

    @abstractmethod
    def judge(self, answer: Tensor, state: TensorDict) -> tuple[Tensor, Tensor]:
        """Loss and score of answers ``[W, N, …]``, both ``[W, N]``, differentiable."""

    @abstractmethod
    def readable(self, answer: Tensor, state: TensorDict) -> Tensor:
        """The action ``answer`` as :meth:`judge` takes it; what cannot be read becomes :meth:`unanswered`."""

    @abstractmethod
    def unanswered(self, state: TensorDict) -> Tensor:
        """The answer ``[W, N, …]`` of who knows nothing, whose score is :attr:`chance`."""

    def figures(self, state: TensorDict) -> TensorDict:
        """Metrics of the answers in ``state["answer"]`` besides score and loss, ``[W]`` or ``[W, N]``."""
        return {}

    # ---- how it moves -------------------------------------------------------------------------------

    @property
    def split(self) -> SplitName:
        """The split that slices are dealt from."""
        return self._split or SPLITS[self.domain]  # type: ignore[return-value]

    def start(self, draws: rng.DrawDict, state: TensorDict) -> TensorDict:
        """A fresh slice, and nothing heard."""
        w, n, s = self.num_worlds, self.num_agents, self.sources
        fresh = self.deal(draws) | self.channel.start(draws, 1, w)
        del fresh["present"]  # everyone stays
        if self.oracle:
            seen = fresh["own_view"][:, self._others]  # [W, N, N − 1, B, …]
            everyone = torch.cat([fresh["own_view"][:, :, None], seen], dim=2)
            fresh["own_view"] = torch.cat(everyone.unbind(2), dim=3)
        letters = {
            "sent": torch.zeros(w, n, self.rows, *self.wire.shape, device=self.device),
            "heard": torch.zeros(w, n, s, dtype=torch.bool, device=self.device),
        }
        fresh |= letters | prefixed("line/", self.line.start(letters))
        fresh["answer"] = self.unanswered(fresh)
        fresh["loss"], _ = self.judge(fresh["answer"], fresh)
        fresh["score"] = torch.full((w, n), self.chance, device=self.device)
        fresh["bits"] = torch.zeros(w, n, dtype=torch.int64, device=self.device)
        return fresh

    @compilable
    def advance(self, state: TensorDict, actions: TensorDict, draws: rng.DrawDict) -> Outcome:
        """Judge the answers, carry the messages."""
        letters, sent_bits = self._carry(actions["message"], state, draws)
        line, arrived = self.line.push(under(state, "line/"), letters)
        answer = self.readable(actions["answer"], state)
        loss, score = self.judge(answer, state)
        found = score.detach()
        reward = self.pay.reward(state["score"], found, sent_bits)
        new = {
            **state,
            **arrived,
            **prefixed("line/", line),
            "answer": answer.detach(),
            "loss": loss.detach(),
            "score": found,
            "bits": state["bits"] + sent_bits,
        }
        info = {"bytes": sent_bits / 8, "score": found}
        return Outcome(new, reward, info, loss)

    def _carry(self, message: Tensor, state: TensorDict, draws: rng.DrawDict) -> tuple[TensorDict, Tensor]:
        """What arrives: messages ``[W, N, B, …]`` by sender, and whom they reach; and bits that senders are charged."""
        if not message.is_floating_point():
            symbols = torch.arange(self.wire.shape[-1], device=self.device)
            message = (message[..., None] == symbols).float()  # what is no symbol says nothing
        sent, silent = self.wire.on_air(message, draws.get("channel/noise"))
        rows = (~silent).sum(-1)  # [W, N]
        late = state["clock"] + self.line.steps >= self.horizon  # nobody would be there to read it
        size = torch.where(late[:, None], 0, rows * self.wire.bits_per_message)
        route = self.channel.route(size, state, draws)
        if route.order is not None:
            sent = rearranged(sent, route.order)
        return {"sent": sent, "heard": route.heard}, route.sent_bits

    def inbox(self, state: TensorDict) -> Tensor:
        """Messages by who hears them, ``[W, N, S, B, …]``; zeros where none was heard."""
        letters, heard = self.channel.neighbours(state).of(state["sent"]), state["heard"]
        heard = heard.view(*heard.shape, *[1] * (letters.dim() - 3))
        # What is on the air is finite, so a product is as good as a choice.
        return letters * heard if letters.requires_grad else letters.mul_(heard)

    def observe(self, state: TensorDict) -> TensorDict:
        """What each sees, and what it heard in the round before."""
        w, n = self.num_worlds, self.num_agents
        obs = {
            "own_view": state["own_view"],
            "inbox": self.inbox(state),
            "heard": state["heard"].to(torch.int8),
            "elapsed": self.elapsed(state),
        }
        if self.roles:
            obs["agent_id"] = torch.eye(n, dtype=torch.int8, device=self.device).expand(w, n, n)
        return obs

    def listening(self) -> Listening:
        """Who heard whom in the round before."""
        state = self._begun()
        return Listening(HEARD, self.channel.neighbours(state).index, state["heard"].float())

    @compilable
    def summary(self, state: TensorDict) -> TensorDict:
        """Score and loss of the last answers, bytes so far, and bytes of one message about one sample."""
        message = torch.full((self.num_worlds,), self.wire.bits_per_message / 8, device=self.device)
        return {
            "score": state["score"],
            "loss": state["loss"],
            **self.figures(state),
            "bytes": state["bits"] / 8,
            "message_bytes": message,
        }


def _wire(width: int, bound: float, vocabulary: int | None, length: int, noise: float, bits: int) -> Wire:
    """What the arguments say messages are made of."""
    width, length = whole("width", width, 1), whole("length", length, 1)
    bound = limit(bound)
    if vocabulary is None:
        if length != 1:
            raise ConfigError("length is of messages of symbols: give vocabulary too, or width for numbers")
        return Numbers(width, bound, bits, noise)
    if noise or bits != 32 or bound != math.inf:
        raise ConfigError(
            "noise, bits and bound are of numbers, not of symbols: leave them out, or the vocabulary"
        )
    return Symbols(length, vocabulary)
