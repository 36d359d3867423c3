"""Learners: many small networks as stacked tensors, and one learning step for all of them."""

from .cnn import cnn
from .convolutional import VGG, Conv3
from .factory import make_network, make_networks, make_population
from .groups import GroupedPopulation
from .lesson import Detection, Lesson, label_loss, softmax, teach
from .looped import LoopedNetwork
from .mixed import MixedPopulation
from .modules import ModuleNetwork
from .networks import MLP, Network
from .optimisers import make_optimiser
from .population import Average, Population, learner_keys
from .transformer import Transformer

__all__ = [
    "MLP",
    "VGG",
    "Average",
    "Conv3",
    "Detection",
    "GroupedPopulation",
    "Lesson",
    "LoopedNetwork",
    "MixedPopulation",
    "ModuleNetwork",
    "Network",
    "Population",
    "Transformer",
    "cnn",
    "label_loss",
    "learner_keys",
    "make_network",
    "make_networks",
    "make_optimiser",
    "make_population",
    "softmax",
    "teach",
]
