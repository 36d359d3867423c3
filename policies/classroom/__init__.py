"""Students who bring their own networks, and the protocols by which they teach each other."""

from .documented import PRESETS, classroom
from .protocols import Gossip, LabelsOnly, MeanTeacher, Mutual, SnapshotEnsemble, TwoPhase
from .students import Protocol, Students

__all__ = [
    "PRESETS",
    "Gossip",
    "LabelsOnly",
    "MeanTeacher",
    "Mutual",
    "Protocol",
    "SnapshotEnsemble",
    "Students",
    "TwoPhase",
    "classroom",
]
