"""Learners: many small networks as stacked tensors, and one learning step for all of them."""

from .lesson import Lesson, label_loss, teach
from .networks import MLP
from .population import Average, Population, learner_keys

__all__ = ["MLP", "Average", "Lesson", "Population", "label_loss", "learner_keys", "teach"]
