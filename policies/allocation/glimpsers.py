"""Networks that learn which tokens to read: scorers behind a router, and the reader by which they learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from ...envs.engine import rng
from ..collective import Experts, RelevanceRouter
from ..collective.dispatch import grouped
from ..collective.routing import dense_weights


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
        drawn = rng.draw(key, purpose, tuple(preference.shape[1:])).uniform()
        luck = preference + rng.gumbel(drawn)
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
