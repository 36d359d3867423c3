"""Policies of message worlds, trained through the channel or by reinforcement."""

from .consensus_network import ConsensusNetwork, ConsensusPolicy
from .minicomo import MiniCoMo
from .painters import MiniCoMoPolicy
from .policy import MessageNetwork, MessagePolicy
from .referential_network import ReferentialNetwork, ReferentialPolicy

__all__ = [
    "ConsensusNetwork",
    "ConsensusPolicy",
    "MessageNetwork",
    "MessagePolicy",
    "MiniCoMo",
    "MiniCoMoPolicy",
    "ReferentialNetwork",
    "ReferentialPolicy",
]
