"""Policies of a user's own, named ``"module:Class"`` on the command line or in Python, never by a file.

Their modules may lie in the current folder. It is searched last, after everything that is installed, and only while
the module is imported, with what it imports itself: a file that happens to be called like a library is never run in
its place.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from ..envs.errors import ConfigError
from .classroom.students import Protocol
from .policy import Policy


def own_class(name: str) -> type[Policy] | type[Protocol]:
    """The class that a user names ``"module:Class"``; looked at before anything of it is called.

    Raises:
        ConfigError: The text is no such name, the module cannot be imported, or the class is no policy.
    """
    module, _, attribute = name.partition(":")
    if not attribute.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise ConfigError(
            f"policy {name!r} is no module:Class: name a class of your own like my_module:MyPolicy"
        )
    try:
        with _current_folder_last():
            imported = importlib.import_module(module)
    except (ImportError, SyntaxError) as fault:
        raise ConfigError(
            f"policy {name} cannot be imported ({fault}): its module must be installed or lie in the current folder"
        ) from fault
    found = getattr(imported, attribute, None)
    if found is None:
        raise ConfigError(
            f"policy {name} cannot be imported: {_place(imported)} holds no {attribute}{_hidden(imported)}"
        )
    if isinstance(found, type) and issubclass(found, Policy) and inspect.isabstract(found):
        raise ConfigError(f"policy {name} cannot act yet: it has no method {', '.join(_abstract(found))}")
    if not isinstance(found, type) or not issubclass(found, (Policy, Protocol)) or inspect.isabstract(found):
        raise ConfigError(
            f"{name} is no Policy: name a class of your own that derives from studyhall.policies.Policy "
            f"or Protocol{_hidden(imported)}"
        )
    return found


@contextlib.contextmanager
def _current_folder_last() -> Iterator[None]:
    """Within it, modules of the current folder are found where no others of their name are installed."""
    try:
        folder = os.getcwd()
    except FileNotFoundError:  # it was deleted, and what was in it
        yield
        return
    sys.path.append(folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if folder in sys.path:
            del sys.path[len(sys.path) - 1 - sys.path[::-1].index(folder)]


def _abstract(policy: type[Policy]) -> list[str]:
    """Methods that a policy must have and has not."""
    return sorted(policy.__abstractmethods__)


def _place(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or f"the built-in module {module.__name__}"


def _hidden(module: ModuleType) -> str:
    """That an installed module hides one of the current folder, where it does."""
    first = module.__name__.partition(".")[0]
    own = [path for path in (Path(f"{first}.py"), Path(first)) if path.exists()]
    file = getattr(module, "__file__", None)
    if not own or (file is not None and Path(file).resolve().is_relative_to(Path.cwd())):
        return ""
    return f"; it hides {own[0]} in the current folder: give that another name"
