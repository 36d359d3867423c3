"""Who learns a slice of text: rules by which groups of a language model's parameters bid, and fixed choices."""

from .k1 import K1, AsPublished
from .learned import LinearBids
from .rules import UCB, Cooldown, LargestGradients, RandomGroups, RoundRobin
from .sets import Columns, Dense, Elastic, FixedGroups, Joint, Partition, Vocabulary

__all__ = [
    "K1",
    "UCB",
    "AsPublished",
    "Columns",
    "Cooldown",
    "Dense",
    "Elastic",
    "FixedGroups",
    "Joint",
    "LargestGradients",
    "LinearBids",
    "Partition",
    "RandomGroups",
    "RoundRobin",
    "Vocabulary",
]
