"""Particle swarms: policies of ``swarm-v0``, and the same as an optimiser of any batched function."""

from .optimiser import Swarm
from .pso import PSO, HybridPSO

__all__ = ["PSO", "HybridPSO", "Swarm"]
