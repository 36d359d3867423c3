"""Who bids for learners that the world hosts: by rule, or as learnt by reward."""

from __future__ import annotations

from .bidders import Bidders, BiddingPolicy, LearnedBids, ScorerBids
from .scorer import BidScorer

__all__ = ["BidScorer", "Bidders", "BiddingPolicy", "LearnedBids", "ScorerBids"]
