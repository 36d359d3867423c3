"""Worlds, and everything a world is made of.

What worlds are made with (``World``, ``Part``, ``Step``, ``Outcome``, ``rng``) is looked up when first used, so that
names and help need no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import ActionError, ConfigError, DataError, EpisodeEnded, StudyhallError, UnknownName
from .make import make_aec, make_env, make_sb3, make_vec, make_world
from .registration import EnvSpec, register, registry, spec

if TYPE_CHECKING:
    from .engine import Outcome, Part, Step, World, rng

register(
    EnvSpec(
        "classroom-v0",
        "studyhall.envs.classroom:Classroom",
        "students learn from one stream, a teacher on a budget, and each other",
        hosted=True,
    )
)
register(
    EnvSpec(
        "society-v0",
        "studyhall.envs.society:Society",
        "experts of a few classes each learn the others', with liars among them",
        hosted=True,
    )
)
register(
    EnvSpec(
        "halves-v0",
        "studyhall.envs.messages.halves:Halves",
        "viewers hold one part of a picture each, talk, and paint what the others hold",
    )
)
register(
    EnvSpec(
        "consensus-v0",
        "studyhall.envs.messages.consensus:Consensus",
        "witnesses with noisy, partial views talk until they know what they all looked at",
    )
)
register(
    EnvSpec(
        "referential-v0",
        "studyhall.envs.messages.referential:Referential",
        "a speaker names what it sees, and listeners find it among others or say what it is",
    )
)
register(
    EnvSpec(
        "collective-v0",
        "studyhall.envs.collective:Collective",
        "specialists answer and bid, and the collective says the weighted sum",
        hosted=True,
    )
)
register(
    EnvSpec(
        "allocation-v0",
        "studyhall.envs.allocation:Allocation",
        "scorers choose which few tokens of a sample a reader may read",
    )
)
register(
    EnvSpec(
        "swarm-v0",
        "studyhall.envs.swarm:SwarmWorld",
        "particles look for the lowest point of an objective, and tell each other the best they found",
    )
)
register(
    EnvSpec(
        "modular-v0",
        "studyhall.envs.language:Modular",
        "the groups of a language model's parameters bid for who learns a slice of text, and who rests",
    )
)
register(
    EnvSpec(
        "hierarchy-v0",
        "studyhall.envs.language:Hierarchy",
        "experts in a tree share a trunk, learn by turns, and are hired, retired, merged and moved",
    )
)

__all__ = [
    "ActionError",
    "ConfigError",
    "DataError",
    "EnvSpec",
    "EpisodeEnded",
    "Outcome",
    "Part",
    "Step",
    "StudyhallError",
    "UnknownName",
    "World",
    "make_aec",
    "make_env",
    "make_sb3",
    "make_vec",
    "make_world",
    "register",
    "registry",
    "rng",
    "spec",
]


def __getattr__(name: str) -> Any:
    if name not in ("Outcome", "Part", "Step", "World", "rng"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import engine

    return getattr(engine, name)
