"""Who learns and what becomes of a tree of experts: the documented K-1 hierarchy, and what it is held against."""

from .choosing import LeastUsed, Newcomers, RandomAgents, TrunkAlone
from .fixed import FixedTree, FlatMixture, RandomOperations
from .k1 import K1Hierarchy
from .learned import LinearTree

__all__ = [
    "FixedTree",
    "FlatMixture",
    "K1Hierarchy",
    "LeastUsed",
    "LinearTree",
    "Newcomers",
    "RandomAgents",
    "RandomOperations",
    "TrunkAlone",
]
