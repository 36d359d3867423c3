"""Who spends the reading budget of ``allocation-v0``: relevance by ink, by learnt scorers, or as a swarm."""

from .allocator import Allocator, Saliency
from .glimpsers import Glimpsers
from .router import Router, SwarmAllocation

__all__ = ["Allocator", "Glimpsers", "Router", "Saliency", "SwarmAllocation"]
