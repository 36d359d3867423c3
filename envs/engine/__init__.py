"""The engine: the batched contract of all worlds, their random numbers, and how they are kept and drawn."""

from . import rng
from .parts import Part
from .state import TensorDict
from .world import Listening, Outcome, Step, World

__all__ = ["Listening", "Outcome", "Part", "Step", "TensorDict", "World", "rng"]
