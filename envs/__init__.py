"""Worlds, and everything a world is made of."""

from .registry import EnvSpec, make_aec, make_env, make_vec, make_world, register, registry, spec

register(
    EnvSpec(
        "classroom-v0",
        "studyhall.envs.classroom:Classroom",
        "students learn from one stream, a teacher on a budget, and each other",
    )
)

__all__ = ["EnvSpec", "make_aec", "make_env", "make_vec", "make_world", "register", "registry", "spec"]
