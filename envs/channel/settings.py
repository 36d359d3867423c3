"""Topology, faults and modes of a channel, as they are arguments of the worlds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ConfigError, one_of, short

TOPOLOGIES = ("complete", "ring", "star", "k_regular", "small_world", "random")
MODES = ("open", "mute", "shuffled", "isolated")
LIAR_KINDS = ("none", "sharp", "roll", "noise", "modest", "sleeper", "collude", "fickle", "bold")


@dataclass(frozen=True, kw_only=True)
class ChannelSettings:
    """Topology, faults and modes of a channel, which are arguments of the worlds too.

    Args:
        topology: One of :data:`TOPOLOGIES`, or a bool matrix ``[N, N]`` (rows hear columns).
        degree: Neighbours of an agent in ``k_regular`` and ``small_world``; even, below N.
        rewire: ``small_world``: chance that an edge of the ring lattice is moved (Watts & Strogatz 1998).
        edge_probability: ``random``: chance of each directed edge, drawn anew at each step.
        drop: Chance that a message is lost on an edge.
        delay: Steps by which feedback about a slice comes late.
        noise: Standard deviation of Gaussian noise on published probabilities.
        bits: Bits per published number, 1 to 32; below 32 the numbers are quantised.
        cap: Bytes an agent may send per step, over all its edges; a message above it is not sent.
        mode: One of :data:`MODES` for all worlds, or one per world. ``mute`` delivers nothing,
            ``shuffled`` permutes messages over the rows of the slice so that none stays, ``isolated`` has no
            peers at all.
    """

    topology: str | Sequence[Sequence[bool]] = "complete"
    degree: int = 2
    rewire: float = 0.1
    edge_probability: float = 0.5
    drop: float = 0.0
    delay: int = 0
    noise: float = 0.0
    bits: int = 32
    cap: float | None = None
    mode: str | Sequence[str] = "open"


@dataclass(frozen=True, kw_only=True)
class RoomSettings(ChannelSettings):
    """Those of a channel whose agents may leave the room, and lie.

    Args:
        churn: Chance per step that a present agent leaves.
        rejoin: Chance per step that an absent agent comes back.
        liars: Number of liars per world (who collude are two at least); who lies is hidden and new each
            episode.
        liar_kinds: Kinds a world's liars are drawn from, of :data:`LIAR_KINDS`.
        wake: Step at which a ``sleeper`` starts to lie.
    """

    churn: float = 0.0
    rejoin: float = 0.1
    liars: int = 0
    liar_kinds: Sequence[str] = ("sharp",)
    wake: int = 100


def modes_of(mode: str | Sequence[str], worlds: int, known: Sequence[str] = MODES) -> list[str]:
    """The mode of each of some worlds, from the argument ``mode``.

    Args:
        mode: One word for all, or one for each.
        worlds: W.
        known: What a world can be in.

    Raises:
        ConfigError: It is neither.
        UnknownName: A mode that is not known.
    """
    if not isinstance(mode, (str, Sequence)):
        raise ConfigError(f"mode must be one word, or one per world, got {short(mode)}")
    modes = [mode] * worlds if isinstance(mode, str) else list(mode)
    if len(modes) != worlds:
        raise ConfigError(f"mode must be one word or one per world ({worlds}), got {len(modes)}")
    for word in modes:
        one_of("channel mode", word, known)
    return modes
