"""Socialized learning: experts who make each other better (documented system 4), and what it is compared with."""

from .averaging import FedAvg
from .masc import PRESETS, Masc
from .mutual import PeerDistillation
from .sequential import EWC, FineTuning, LwF

__all__ = ["EWC", "PRESETS", "FedAvg", "FineTuning", "LwF", "Masc", "PeerDistillation"]
