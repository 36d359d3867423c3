"""Metrics of emergent languages: the names of `metrics/language.py`, as scripts import them."""

from .metrics.language import (
    bosdis,
    causal_influence,
    edit_distance,
    hamming_distance,
    message_entropy,
    posdis,
    topographic_similarity,
)

__all__ = [
    "bosdis",
    "causal_influence",
    "edit_distance",
    "hamming_distance",
    "message_entropy",
    "posdis",
    "topographic_similarity",
]
