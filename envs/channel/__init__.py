"""The channel: who hears whom, what goes wrong on the way, and what crosses in which form, at which price."""

from .channel import Channel, Delivery, Route
from .delay import DelayLine
from .settings import LIAR_KINDS, MODES, TOPOLOGIES, ChannelSettings, RoomSettings

__all__ = [
    "LIAR_KINDS",
    "MODES",
    "TOPOLOGIES",
    "Channel",
    "ChannelSettings",
    "DelayLine",
    "Delivery",
    "RoomSettings",
    "Route",
]
