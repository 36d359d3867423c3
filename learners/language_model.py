"""The transformer as an ordinary PyTorch module, to be taken anywhere."""

from __future__ import annotations

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
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.dropout(self.tokens(tokens) + self.positions(places))
        return self.output(self.norm(self.layers(x)))


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
