"""Pre-norm attention of several agents at once, on tokens ``[R, T, N, D]``: rows, tokens, agents, features.

Nothing is approximated, but what the algebra makes idle is not computed:

* Over a single token the softmax is 1, whatever was asked: attention is ``out(value(y))``.
* A single token that asks needs no keys and values of all the tokens it looks at:
  ``q·(K y + b) = (Kᵀ q)·y + const`` and ``Σ a (V y + c) = V (Σ a y) + c``, so it looks at the tokens themselves.
* What is the same in every row (learned tokens) has R = 1 and is broadcast when the rows first differ.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .stacked import StackedLayerNorm, StackedLinear, product


class Attention(nn.Module):
    """Attention with several heads, its normalisations included.

    Args:
        agents: N, or 1 for weights that all agents share.
        width: D.
        heads: Among which D is divided.
        generator: Draws the initial weights.
        memory: Whether it looks at other tokens, with a normalisation of their own, or at those that ask.
    """

    def __init__(
        self, agents: int, width: int, heads: int, generator: torch.Generator, *, memory: bool = False
    ) -> None:
        super().__init__()
        self.heads = heads
        self.norm = StackedLayerNorm(agents, width)
        self.norm_memory = StackedLayerNorm(agents, width) if memory else None
        self.query = StackedLinear(agents, width, width, generator)
        self.key = StackedLinear(agents, width, width, generator)
        self.value = StackedLinear(agents, width, width, generator)
        self.out = StackedLinear(agents, width, width, generator)

    def forward(self, x: Tensor, y: Tensor | None = None, heard: Tensor | None = None) -> Tensor:
        """What tokens find where they look.

        Args:
            x: Tokens that ask, ``[R, T, N, D]``.
            y: Tokens they look at, ``[Q, K, N, D]``: Q = R; or Q a divisor of R, where R/Q rows look at the same;
                or R = 1 (all rows ask alike) or Q = 1 (all look at the same). None is x itself.
            heard: bool ``[Q, K, N]``: which of them there are. Who has none finds nothing, 0.

        Returns:
            ``[R, T, N, D]``, to be added to x; with T = 1 or R = 1 where that is the same for all.
        """
        if self.norm_memory is None or y is None:
            x = y = self.norm(x)
        else:
            y = self.norm_memory(y)
            x = x if y.shape[1] == 1 else self.norm(x)
        if y.shape[1] == 1:
            found = self.out(self.value(y))
        elif x.shape[1] == 1 and heard is None:
            found = self._one_asks(x, y)
        else:
            found = self._many_ask(x, y, heard)
        if heard is None:
            return found
        any_heard = heard.any(1)[:, None, :, None]
        return (found.reshape(len(y), -1, *found.shape[2:]) * any_heard).reshape(found.shape)

    def _one_asks(self, x: Tensor, y: Tensor) -> Tensor:
        agents, width = y.shape[2:]
        each = width // self.heads
        keys = self.key.weight.unflatten(2, (self.heads, each)).permute(0, 2, 3, 1).flatten(0, 1)
        values = self.value.weight.unflatten(2, (self.heads, each)).transpose(1, 2).flatten(0, 1)
        asked = self.query(x).reshape(len(x), agents * self.heads, each)
        rows = max(len(x), len(y))
        asked = product(asked, keys).reshape(len(x), agents, self.heads, width).expand(rows, -1, -1, -1)
        tokens = y.transpose(1, 2).expand(rows, -1, -1, -1)
        seen = F.scaled_dot_product_attention(asked, tokens, tokens, scale=each**-0.5)
        found = product(seen.reshape(rows, agents * self.heads, width), values)
        return self.out(found.reshape(rows, 1, agents, width) + self.value.bias)

    def _many_ask(self, x: Tensor, y: Tensor, heard: Tensor | None) -> Tensor:
        mask = None
        if heard is not None:
            reachable = heard | ~heard.any(1, keepdim=True)  # a softmax over nothing is not a number
            mask = reachable.transpose(1, 2).repeat_interleave(self.heads, 1)[:, :, None]
        split = (len(y), -1, x.shape[2] * self.heads, x.shape[3] // self.heads)
        query, key, value = (
            layer(tokens).reshape(split).transpose(1, 2)
            for layer, tokens in ((self.query, x), (self.key, y), (self.value, y))
        )
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out(found.transpose(1, 2).reshape(x.shape))


class Block(nn.Module):
    """A decoder block: ``x += SelfAttn(LN x); x += CrossAttn(LN x, LN y); x += MLP(LN x)``, MLP D → 4D → D, GELU.

    Args:
        agents: N, or 1 for weights that all agents share.
        width: D.
        heads: Of both attentions.
        generator: Draws the initial weights.
    """

    def __init__(self, agents: int, width: int, heads: int, generator: torch.Generator) -> None:
        super().__init__()
        self.own = Attention(agents, width, heads, generator)
        self.cross = Attention(agents, width, heads, generator, memory=True)
        self.norm = StackedLayerNorm(agents, width)
        self.widen = StackedLinear(agents, width, 4 * width, generator)
        self.narrow = StackedLinear(agents, 4 * width, width, generator)

    def forward(self, x: Tensor, y: Tensor, heard: Tensor | None = None) -> Tensor:
        """Tokens ``[R, T, N, D]`` after a look at ``y``; see :meth:`Attention.forward`."""
        x = x + self.own(x)
        x = x + self.cross(x, y, heard)
        return x + self.narrow(F.gelu(self.widen(self.norm(x))))
