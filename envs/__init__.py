"""Worlds, and everything a world is made of."""

from .errors import (
    ActionError,
    ConfigError,
    DataError,
    EpisodeEnded,
    StudyhallError,
    UnknownName,
)
from .registration import EnvSpec, make_aec, make_env, make_vec, make_world, register, registry, spec
from .world import Outcome, Step, World

register(
    EnvSpec(
        "classroom-v0",
        "studyhall.envs.classroom:Classroom",
        "students learn from one stream, a teacher on a budget, and each other",
    )
)

__all__ = [
    "ActionError",
    "ConfigError",
    "DataError",
    "EnvSpec",
    "EpisodeEnded",
    "Outcome",
    "Step",
    "StudyhallError",
    "UnknownName",
    "World",
    "make_aec",
    "make_env",
    "make_vec",
    "make_world",
    "register",
    "registry",
    "spec",
]
