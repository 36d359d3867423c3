"""A small convolutional network for pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from ..envs.errors import ConfigError
from .modules import Factory

_SMALL = 16  # pictures up to this side keep their resolution in the first layer


def cnn(shape: Sequence[int], classes: int) -> Factory:
    """A factory of two-layer convolutional networks, for :class:`~studyhall.learners.looped.LoopedNetwork`.

    3×3 convolutions to 16 and 32 channels, each with ReLU, then a linear layer. Strides halve the picture
    twice (once if no side is above 16): 9,930 parameters for digits, 20,490 for MNIST, 25,578 for CIFAR-10.
    No normalisation: two layers train without, and GroupNorm would take half of the time on a CPU.

    Args:
        shape: Of a picture, ``(channels, height, width)``.
        classes: C.

    Raises:
        ConfigError: The shape is no picture's.
    """
    if len(shape) != 3 or min(shape[1:]) < 4:
        raise ConfigError(
            f'learners="cnn" needs pictures (channels, height, width) of 4×4 or more, '
            f'got samples of shape {tuple(shape)}: use learners="mlp"'
        )
    channels, height, width = shape
    first = 1 if max(height, width) <= _SMALL else 2
    sides = [math.ceil(math.ceil(side / first) / 2) for side in (height, width)]

    def make() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(channels, 16, 3, stride=first, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.Flatten(),  # before the ReLU, whose gradient would else have channels in two places in memory
            nn.ReLU(),
            nn.Linear(32 * sides[0] * sides[1], classes),
        )

    return make
