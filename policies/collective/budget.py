"""Swarm token allocation: a budget drifts towards what is relevant, then k tokens are drawn from it."""

from __future__ import annotations

import torch
from torch import Tensor

from ...envs.engine import rng
from ...envs.errors import ConfigError
from ...envs.validation import real, whole


def allocate(relevance: Tensor, *, rounds: int = 5, temperature: float = 1.0) -> Tensor:
    """Shares of the budget for tokens of some relevance.

    They start uniform; in each round half of what a token holds goes to
    ``softmax((relevance − allocation) / temperature)``: a token that holds more than it merits gives way.

    Args:
        relevance: ``[…, T]``.
        rounds: Of redistribution.
        temperature: Low ones concentrate the budget.

    Returns:
        ``[…, T]``, rows of sum 1.

    Raises:
        ConfigError: Negative rounds, or a temperature below 1e-6.
    """
    temperature = real("temperature", temperature, 1e-6)
    shares = torch.full_like(relevance, 1.0 / relevance.shape[-1])
    for _ in range(whole("rounds", rounds, 0)):
        shares = 0.5 * shares + 0.5 * ((relevance - shares) / temperature).softmax(-1)
    return shares / shares.sum(-1, keepdim=True)


def sample_tokens(shares: Tensor, k: int, key: Tensor) -> Tensor:
    """Draw k different tokens, one after the other, each in proportion to its share among those left.

    All at once by an exponential race (Efraimidis & Spirakis, 2006): the k least of ``Eᵢ / shareᵢ``.

    Args:
        shares: ``[*key.shape, …, T]``, non-negative; need not sum to 1. Tokens with no share come last.
        k: Tokens drawn.
        key: int64; another for every draw.

    Returns:
        int64 ``[*key.shape, …, k]``, in the order drawn.

    Raises:
        ConfigError: k is not between 0 and T, or the key does not fit the shares.
    """
    whole("k", k, 0, shares.shape[-1])
    if key.dtype != torch.int64 or key.shape != shares.shape[: key.ndim] or key.ndim == shares.ndim:
        raise ConfigError(
            f"key must be int64 with the shares' leading dimensions, got {key.dtype} {list(key.shape)} "
            f"for shares {list(shares.shape)}"
        )
    drawn = rng.draw(key, "token", tuple(shares.shape[key.ndim :])).uniform()
    waiting = (-torch.log1p(-drawn)).clamp_min(2.0**-25)  # 0 would win even without a share
    return (shares.detach() / waiting).topk(k, dim=-1).indices
