"""Scenarios: a world, a policy, a horizon and what was claimed for it.

Every module of this folder is imported here, in alphabetical order, and registers its own.
"""

import importlib
import pkgutil

from .scenario import Claim, Scenario, get_scenario, register_scenario, registry
from .source import Source, get_source, sources
from .suites import Suite, Task, get_suite, register_suite

for _module in pkgutil.iter_modules(__path__):
    if _module.name.isidentifier():  # an editor's "copy of classroom.py" is none of ours
        importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "Claim",
    "Scenario",
    "Source",
    "Suite",
    "Task",
    "get_scenario",
    "get_source",
    "get_suite",
    "register_scenario",
    "register_suite",
    "registry",
    "sources",
]
