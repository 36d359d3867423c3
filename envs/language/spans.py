"""Shares of an episode as steps."""

from __future__ import annotations

_MANY = 3_000  # steps up to which an episode counts as short


def span(share: float, horizon: int) -> int:
    """Steps that are a share of an episode, at least 10; of one of 3,000 steps or fewer five times as many.

    But of such a short one a tenth at most, so that what is documented to happen ten times happens as often.
    """
    return max(10, round(horizon * (min(5 * share, max(share, 0.1)) if horizon <= _MANY else share)))
