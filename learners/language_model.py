"""The transformers as ordinary PyTorch modules, to be taken anywhere: this file needs torch alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class LanguageModel(nn.Module):
    """A causal transformer with post-norm (Vaswani et al., 2017), from tokens ``[B, T]`` to logits ``[B, T, V]``.

    Args:
        vocabulary: V.
        width: E.
        heads: Of attention; they divide the width.
        layers: An attention and a feed-forward part each.
        hidden: Width within the feed-forward parts.
        length: Tokens of the longest window.
        dropout: Of embeddings, of attention, and of what is added to the residual stream.
    """

    def __init__(
        self, vocabulary: int, width: int, heads: int, layers: int, hidden: int, length: int, dropout: float
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(length, width)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential()
        for _ in range(layers):
            self.layers.append(Attention(width, heads, dropout))
            self.layers.append(FeedForward(width, hidden, dropout))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits ``[B, T, V]`` of the next tokens, from tokens int64 ``[B, T]``."""
        return self.output(self.norm(self.read(tokens)))

    def read(self, tokens: Tensor) -> Tensor:
        """What the layers make of tokens, ``[B, T, E]``."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        return self.layers(self.dropout(self.tokens(tokens) + self.positions(places)))


class TreeLanguageModel(LanguageModel):
    """A :class:`LanguageModel` to whose last activations h the agents of a tree add: ``h + Σ_s p_s(x) f_s(x)``.

    x is the layer norm of h, f_s a feed-forward network with GELU. A leaf has the weight ``gate · exp(sharpness ·
    cos(x, route) + Σ offset)``, with the offsets of itself and of all above it; p of the leaves are these over their
    sum, p of any other agent is the sum of those below it. Who is not on a path that the routing takes adds nothing.

    Args:
        agents: S, those who live.
        within: Width within the agents' networks.
        sharpness: Factor of the cosine.
        routing: "soft": all paths. "hard": the one by the best child of each node, up to where it has less than .3 of
            its parent. "three": those by the three best children of each node, of .01 or more.
        **model: Arguments of :class:`LanguageModel`.
    """

    def __init__(self, *, agents: int, within: int, sharpness: float, routing: str, **model: Any) -> None:
        super().__init__(**model)
        width = self.output.in_features
        self.sharpness, self.routing = sharpness, routing
        self.wide = nn.Parameter(torch.empty(agents, within, width))
        self.wide_bias = nn.Parameter(torch.empty(agents, within))
        self.narrow = nn.Parameter(torch.empty(agents, within, width))
        self.narrow_bias = nn.Parameter(torch.empty(agents, width))
        self.route = nn.Parameter(torch.empty(agents, width))
        self.offset = nn.Parameter(torch.empty(agents))
        self.gate: Tensor
        self.above: Tensor
        self.parent: Tensor
        self.register_buffer("gate", torch.zeros(agents))  # 0 of who is no leaf
        self.register_buffer("above", torch.eye(agents))  # [s, t]: 1 where t is s or above it
        self.register_buffer("parent", torch.arange(agents))  # the root's is itself

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits ``[B, T, V]`` of the next tokens, from tokens int64 ``[B, T]``."""
        h = self.read(tokens)
        x = nn.functional.layer_norm(h, h.shape[-1:])
        weights = self.weights(x)
        hidden = nn.functional.gelu(torch.einsum("bte,she->btsh", x, self.wide) + self.wide_bias)
        added = torch.einsum("bts,btsh,she->bte", weights, hidden, self.narrow) + weights @ self.narrow_bias
        return self.output(self.norm(h + added))

    def weights(self, x: Tensor) -> Tensor:
        """The p of each agent for each token, ``[B, T, S]``, from x ``[B, T, E]``."""
        normal = nn.functional.normalize
        score = self.sharpness * (normal(x, dim=-1) @ normal(self.route, dim=-1).mT)
        leaf = torch.softmax(score + self.above @ self.offset + self.gate.log(), -1)
        weights = leaf @ self.above
        return weights if self.routing == "soft" else weights * self.followed(weights)

    def followed(self, weights: Tensor) -> Tensor:
        """Who is on a path that is taken, 1 or 0, ``[B, T, S]``."""
        agents = len(self.parent)
        same = torch.arange(agents, device=weights.device)
        below = self.parent != same
        child = (self.parent == same[:, None]) & below  # [parent, child]
        share = weights / weights[..., self.parent].clamp_min(1e-12)
        of_all = torch.where(child, share[..., None, :], -1.0)
        count = 1 if self.routing == "hard" else min(3, agents)
        least = of_all.topk(count, dim=-1).values[..., -1].clamp_min(0.0)
        follows = (share >= least[..., self.parent]) & below
        if self.routing == "hard":
            follows &= share >= 0.3
        on = (below & ~follows).float() @ self.above.mT == 0  # nobody above strays
        return (on & (weights >= 0.01)).float() if self.routing == "three" else on.float()


class Attention(nn.Module):
    """Causal attention of several heads: ``LN(x + dropout(attention(x)))``."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """From ``[B, T, E]`` to ``[B, T, E]``."""
        later = nn.Transformer.generate_square_subsequent_mask(x.shape[1], x.device, x.dtype)
        heard, _ = self.attention(x, x, x, attn_mask=later, is_causal=True, need_weights=False)
        return self.norm(x + self.dropout(heard))


class FeedForward(nn.Module):
    """Two linear layers with GELU between them: ``LN(x + dropout(feed_forward(x)))``."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.wide = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """From ``[B, T, E]`` to ``[B, T, E]``."""
        return self.norm(x + self.dropout(self.narrow(nn.functional.gelu(self.wide(x)))))
