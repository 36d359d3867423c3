"""Training through the channel: the names of `training/through_channel.py`, as scripts import them."""

from .training.through_channel import (
    ChannelConfig,
    ChannelSettings,
    ChannelTraining,
    configure,
    resumed,
    train,
)

BackpropConfig, BackpropSettings, Training = ChannelConfig, ChannelSettings, ChannelTraining

__all__ = [
    "BackpropConfig",
    "BackpropSettings",
    "ChannelConfig",
    "ChannelSettings",
    "ChannelTraining",
    "Training",
    "configure",
    "resumed",
    "train",
]
