"""Learners: many small networks as stacked tensors, and one learning step for all of them."""

from .cnn import cnn
from .factory import make_networks, make_population
from .lesson import Lesson, label_loss, softmax, teach
from .mixed import MixedPopulation
from .modules import ModuleNetwork
from .networks import MLP, Network
from .optimisers import make_optimiser
from .population import Average, Population, learner_keys

__all__ = [
    "MLP",
    "Average",
    "Lesson",
    "MixedPopulation",
    "ModuleNetwork",
    "Network",
    "Population",
    "cnn",
    "label_loss",
    "learner_keys",
    "make_networks",
    "make_optimiser",
    "make_population",
    "softmax",
    "teach",
]
