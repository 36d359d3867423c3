"""Who spends the reading budget of ``allocation-v0``: relevance by ink, by learnt scorers, or as a swarm.

The learnt scorers see glimpses only, never the tokens that the world's reader sees. They learn by a reader of their
own: it classifies the labelled slice from glimpses of k tokens, drawn by relevance with Gumbel noise, and its loss
reaches the scorers straight through the draw ("Learning to explain", Chen et al., ICML 2018). The reader itself learns
from k tokens drawn uniformly: one that learnt from theirs would let them tell it the class by their choice (REAL-X,
Jethani et al., AISTATS 2021). What is relevant to it should be relevant to the world's reader.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from ..envs.engine import rng
from ..envs.engine.world import TensorDict, World
from ..envs.errors import ConfigError, one_of
from ..envs.validation import real, whole
from ..learners import make_optimiser
from ..learners.lesson import none
from .collective import Experts, RelevanceRouter, allocate
from .collective.dispatch import grouped
from .collective.routing import dense_weights
from .copies import Copies
from .policy import MadeInReset, Policy


class Allocator(Policy):
    """The base: how a policy's ratings become actions."""

    def bind(self, world: World) -> None:
        """Read the sizes off the world's spaces."""
        if "answers_relevance" not in world.action_space.spaces:
            raise ConfigError(f"this policy rates tokens: {type(world).__name__} has none, use allocation-v0")
        self.require(see=world.see, spending=world.spending)  # type: ignore[attr-defined]
        super().bind(world)

    def act(self, obs: TensorDict) -> TensorDict:
        """Rate the tokens of the slice, and of the exam where it is shown."""
        with torch.inference_mode(False), torch.no_grad():
            self.learn(obs, torch.ones_like(obs["elapsed"][:, 0, 0], dtype=torch.bool))
            relevance, bids = self.rate(obs["tokens"].clone())
            if none(obs["exam_now"]):
                blank = torch.zeros(1, device=bids.device)
                answers, answers_bids = (
                    blank.expand(obs["exam"].shape[:-1]),
                    blank.expand(obs["exam"].shape[:-2]),
                )
            else:
                answers, answers_bids = self.rate(obs["exam"].clone())
        return {
            "relevance": relevance,
            "bids": bids,
            "answers_relevance": answers,
            "answers_bids": answers_bids,
        }

    def end(self, final_obs: TensorDict, mask: Tensor) -> None:
        """Learn from the last feedback of an episode."""
        with torch.inference_mode(False), torch.no_grad():
            self.learn(final_obs, mask)

    def learn(self, obs: TensorDict, worlds: Tensor) -> None:
        """Learn from the feedback of ``worlds`` (bool ``[W]``)."""

    @abstractmethod
    def rate(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Relevance ``[W, N, R, T]`` and bids ``[W, N, R]`` of glimpses ``[W, N, R, T, F]``."""


class Saliency(Allocator):
    """Ink: a token is as relevant as what is seen of it exceeds the sample's faintest token."""

    def rate(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """As in :meth:`Allocator.rate`; all bid alike."""
        seen = tokens.mean(-1)
        relevance = seen - seen.amin(-1, keepdim=True)
        relevance = relevance / relevance.amax(-1, keepdim=True).clamp_min(
            1e-12
        )  # at most 1; only ratios count
        return relevance, torch.ones_like(relevance[..., 0])


class Router(Allocator):
    """Scorers behind a router: the k that fit a token rate it; who rates more, bids more.

    Args:
        hidden: Width of a scorer's hidden layer, and of the policy's own reader's.
        k: Scorers asked for a token.
        lr: Learning rate of Adam.
        temperature: Of the relaxed draw that gradients pass through.
        see: What scorers see of a token, the same for all: "coarse" or "pixels".
        reader: The policy's own: "mlp" knows the tokens' places, "set" does not. Best the kind that the world has.
    """

    copies = MadeInReset[Copies]()

    def __init__(
        self,
        hidden: int = 32,
        k: int = 2,
        lr: float = 3e-3,
        temperature: float = 0.5,
        see: str = "coarse",
        reader: str = "mlp",
    ) -> None:
        self.hidden, self.k = whole("hidden", hidden, 1), whole("k", k, 1)
        self.temperature = real("temperature", temperature, 1e-3)
        if see not in ("coarse", "pixels"):
            raise ConfigError(
                f"a router's scorers see the same: see must be 'coarse' or 'pixels', got {see!r}"
            )
        one_of("reader", reader, READERS)
        self.reader = reader
        self.make_optimiser = make_optimiser("adam", lr=lr)
        self.world_kwargs = {"see": see}

    def bind(self, world: World) -> None:
        """Read the sizes off the world's spaces; networks come with :meth:`reset`."""
        super().bind(world)
        whole("k (scorers asked for a token)", self.k, 1, world.num_agents)

    def reset(self, mask: Tensor | None = None) -> None:
        """Fresh networks in the worlds of ``mask``."""
        if mask is None:
            self.copies = Copies(self._make, self.world.keys, self.make_optimiser)
        else:
            self.copies.reset(mask, self.world.keys)

    def _make(self, keys: Tensor) -> nn.Module:
        world: Any = self.world
        features = world.observation_space["tokens"].shape[-1]
        return Glimpsers(
            world.num_agents,
            world.tokens.count,
            features,
            world.dataset.num_classes,
            budget=world.budget,
            hidden=self.hidden,
            k=self.k,
            temperature=self.temperature,
            reader=self.reader,
            key=keys,
        )

    def learn(self, obs: TensorDict, worlds: Tensor) -> None:
        """One step on the labelled slice."""
        copies, labels = self.copies, obs["fb_labels"][:, 0].clone()
        told = (labels >= 0).any(-1) & worlds
        if none(told):
            return
        tokens = obs["fb_tokens"][:, 0].clone()
        key = rng.fold(self.world.keys ^ rng.purpose_id("policy/draw"), self.world.steps)
        copies.learn(lambda net: cast(Glimpsers, net).loss(tokens, labels, key), told)

    def rate(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """As in :meth:`Allocator.rate`."""
        relevance = cast(Glimpsers, self.copies.module)(tokens[:, 0])
        return relevance, relevance.mean(-1)

    def state_dict(self) -> dict[str, Any]:
        """Networks and optimiser."""
        return {"scorers": self.copies.state_dict()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        super().load_state_dict(saved)
        self.copies.load_state_dict(saved["scorers"])


class SwarmAllocation(Router):
    """The same scorers; the budget drifts towards what they find relevant, and k tokens are drawn from it.

    Args:
        rounds: Of redistribution.
        drift: Temperature of the redistribution; low ones concentrate the budget.
        **kwargs: Arguments of :class:`Router`.
    """

    def __init__(self, rounds: int = 5, drift: float = 0.02, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rounds, self.drift = whole("rounds", rounds, 0), real("drift", drift, 1e-6)
        self.world_kwargs = {**self.world_kwargs, "spending": "sample"}

    def rate(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """As in :meth:`Allocator.rate`."""
        relevance, _ = super().rate(tokens)
        score = relevance.sum(1, keepdim=True)  # [W, 1, R, T]
        shares = allocate(score, rounds=self.rounds, temperature=self.drift)
        relevance = relevance * shares / score.clamp_min(1e-12)
        return relevance, relevance.sum(-1)


class Glimpsers(nn.Module):
    """Scorers, their router, and the reader they learn by; W copies.

    Args:
        scorers: N.
        tokens: T.
        features: F, of a glimpse; a token's place is added.
        classes: C.
        budget: Tokens that the reader may see.
        hidden: Width of hidden layers.
        k: Scorers asked for a token.
        temperature: Of the relaxed draw.
        key: int64 ``[W]``.
        reader: One of :data:`READERS`.
    """

    def __init__(
        self,
        scorers: int,
        tokens: int,
        features: int,
        classes: int,
        *,
        budget: int,
        hidden: int,
        k: int,
        temperature: float,
        key: Tensor,
        reader: str = "mlp",
    ) -> None:
        super().__init__()
        names = [f"scorer_{i}" for i in range(scorers)]
        self.router = RelevanceRouter(features + tokens, hidden, key=key, scorers=names, k=k)
        self.reader = READERS[reader](tokens, features, 2 * hidden, classes, key ^ rng.purpose_id("reader"))
        self.budget, self.temperature = budget, temperature
        self.register_buffer("places", torch.eye(tokens, device=key.device), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Each scorer's part of the relevance of tokens ``[W, R, T, F]``, ``[W, N, R, T]``; their sum is in [0, 1]."""
        places = cast(Tensor, self.places).expand(*tokens.shape[:-1], -1)
        rows = torch.cat([tokens, places], dim=-1).flatten(1, 2)  # [W, R·T, F + T]
        route = self.router.router(rows)
        # Room for all of them: how many each scorer is asked for would have to be read on the host.
        score, _ = grouped(self.router.scorers, rows, route.chosen, route.gates, rows.shape[1])
        return (dense_weights(route) * score).unflatten(1, tokens.shape[1:3]).movedim(-1, 1)

    def loss(self, tokens: Tensor, labels: Tensor, key: Tensor) -> Tensor:
        """What the two halves have to learn, ``[W]``; labels ``[W, R]``.

        The reader learns from k tokens of each sample drawn uniformly, the scorers from its loss on k drawn by
        relevance, which changes nothing of it.
        """
        score = self(tokens).sum(1)  # [W, R, T]
        chosen = self._draw(score.clamp_min(1e-6).log(), key, "gumbel")
        anything = self._draw(torch.zeros_like(score), key, "anything")
        fixed = {name: parameter.detach() for name, parameter in self.reader.named_parameters()}
        logits = functional_call(self.reader, fixed, (self._seen(tokens, chosen),))[:, 0]
        practice = self.reader(self._seen(tokens, anything))[:, 0]
        return (_loss(logits, labels) + _loss(practice, labels)).mean(-1)

    def _draw(self, preference: Tensor, key: Tensor, purpose: str) -> Tensor:
        """Draw k tokens by log preference ``[W, R, T]``; gradients pass straight through to the relaxed draw."""
        drawn = rng.uniform(rng.bits(key, purpose, tuple(preference.shape[1:])))
        luck = preference - (-drawn.clamp(2.0**-24, 1 - 2.0**-24).log()).log()
        soft = (self.budget * (luck / self.temperature).softmax(-1)).clamp(max=1.0)
        first = luck.topk(self.budget, dim=-1).indices
        return torch.zeros_like(soft).scatter(-1, first, 1.0) + soft - soft.detach()

    def _seen(self, tokens: Tensor, read: Tensor) -> Tensor:
        """What the reader is given, ``[W, R, T·(F + 1)]``: tokens that are read, and which are."""
        return torch.cat([tokens * read[..., None], read[..., None]], dim=-1).flatten(2)


class SetReader(nn.Module):
    """What is read of each token by one layer, the mean of it, and an answer from that (Zaheer et al., 2017)."""

    def __init__(self, tokens: int, features: int, hidden: int, classes: int, key: Tensor) -> None:
        super().__init__()
        self.tokens = tokens
        self.of_token = Experts(1, (features, hidden), key=key)
        self.answer = Experts(1, (hidden, classes), key=key ^ rng.purpose_id("answer"))

    def forward(self, seen: Tensor) -> Tensor:
        """Logits ``[W, 1, R, C]`` of what is seen, ``[W, R, T·(F + 1)]``; a token's last entry tells if it is read."""
        each = seen.unflatten(-1, (self.tokens, -1))
        read = each[..., -1:]
        told = self.of_token(each[..., :-1])[:, 0].relu() * read
        return self.answer(told.sum(-2) / read.sum(-2).clamp_min(1))


def _place_reader(tokens: int, features: int, hidden: int, classes: int, key: Tensor) -> Experts:
    """The same, with all tokens at their places in one layer."""
    return Experts(1, (tokens * (features + 1), hidden, classes), key=key)


READERS: dict[str, Callable[[int, int, int, int, Tensor], nn.Module]] = {
    "mlp": _place_reader,
    "set": SetReader,
}
"""A policy's own readers by name; from T, F, width, C and keys ``[W]``."""


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Of logits ``[W, R, C]`` on labels ``[W, R]``; 0 where there is none (−1)."""
    return F.cross_entropy(logits.mT, labels, ignore_index=-1, reduction="none")
