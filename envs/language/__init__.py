"""Worlds in which agents are the parts of language models that learn from a stream of texts."""

from .hierarchy import Hierarchy
from .modular import Modular

__all__ = ["Hierarchy", "Modular"]
