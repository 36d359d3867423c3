"""The channel: who hears whom, what goes wrong on the way, and what crosses in which form, at which price."""

from .channel import Channel, ChannelSettings, DelayLine, Delivery, RoomSettings, Route

__all__ = ["Channel", "ChannelSettings", "DelayLine", "Delivery", "RoomSettings", "Route"]
