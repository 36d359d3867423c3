"""Worlds in which neural networks learn from each other."""

from . import _start  # noqa: F401, I001  # before anything that it guards
from . import _moved  # noqa: F401
from .envs import EnvSpec, make_aec, make_env, make_sb3, make_vec, make_world, register, registry, spec

__version__ = "0.1.0"

__all__ = [
    "EnvSpec",
    "__version__",
    "make_aec",
    "make_env",
    "make_sb3",
    "make_vec",
    "make_world",
    "register",
    "registry",
    "spec",
]
