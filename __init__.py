"""Worlds in which neural networks learn from each other."""

from . import _start  # noqa: F401, I001  # before anything that it guards
from . import _moved  # noqa: F401
import importlib as _importlib
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any
from .envs.memory import keep_memory
from .envs import EnvSpec, make_aec, make_env, make_sb3, make_vec, make_world, register, registry, spec

if _TYPE_CHECKING:
    from .rollouts.cli.pages import show
    from .rollouts.runs.compare import compare
    from .rollouts.runs.evaluate import evaluate
    from .rollouts.runs.export import export
    from .rollouts.runs.launch import rollout
    from .rollouts.runs.report import report
    from .rollouts.runs.sweep import sweep
    from .rollouts.training.begin import train

__version__ = "0.1.0"

__all__ = [
    "EnvSpec",
    "__version__",
    "compare",
    "evaluate",
    "export",
    "keep_memory",
    "make_aec",
    "make_env",
    "make_sb3",
    "make_vec",
    "make_world",
    "register",
    "registry",
    "report",
    "rollout",
    "show",
    "spec",
    "sweep",
    "train",
]

_LATER = {
    "compare": "rollouts.runs.compare",
    "evaluate": "rollouts.runs.evaluate",
    "report": "rollouts.runs.report",
    "export": "rollouts.runs.export",
    "rollout": "rollouts.runs.launch",
    "show": "rollouts.cli.pages",
    "sweep": "rollouts.runs.sweep",
    "train": "rollouts.training.begin",
}
"""What is imported when it is first used: policies, scenarios and all that trains them take seconds."""


def __getattr__(name: str) -> _Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_importlib.import_module(f".{_LATER[name]}", __name__), name)
