"""The channel: who hears whom, what goes wrong on the way, and what crosses in which form, at which price."""

from .channel import Channel, Route, rearranged
from .delay import DelayLine
from .settings import LIAR_KINDS, MODES, TOPOLOGIES, ChannelSettings, RoomSettings, modes_of
from .topology import Neighbours

__all__ = [
    "LIAR_KINDS",
    "MODES",
    "TOPOLOGIES",
    "Channel",
    "ChannelSettings",
    "DelayLine",
    "Neighbours",
    "RoomSettings",
    "Route",
    "modes_of",
    "rearranged",
]
