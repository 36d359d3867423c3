"""Socialized learning: experts who make each other better (documented system 4), and what it is compared with."""

from .masc import PRESETS, Masc

__all__ = ["PRESETS", "Masc"]
