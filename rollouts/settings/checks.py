"""Names and types of arguments that a user or a file gives, checked before anything is made with them."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from ...envs import spec
from ...envs.archive import name_of
from ...envs.errors import ConfigError
from ...envs.registration import constructors
from ...scenarios import Scenario
from .parse import MODES

_DECIDED = {
    "num_worlds": "give the seeds with --seeds",
    "device": "give it with --device",
    "mode": f"name the controls to run beside the open worlds with --controls {','.join(MODES)}",
    "autoreset": "a run is one episode",
    "validate": "the actions of a policy are checked by its tests",
}
_ECHOED = 80  # characters
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}


def check_world(scenario: Scenario, given: Mapping[str, Any]) -> None:
    """Check names and types of arguments that a user or a file gives to a scenario's world.

    Args:
        scenario: Says which world, and whether it hosts its learners.
        given: Name to value.

    Raises:
        ConfigError: An argument is decided elsewhere, or of the wrong type.
        UnknownName: There is no such argument; lists the near ones.
    """
    found, hosted = spec(scenario.env), scenario.hosts_learners
    hints = _hints(found.load())
    known = [name for name in scenario.world_arguments if name not in _DECIDED]
    for name, value in given.items():
        if name in _DECIDED:
            raise ConfigError(f"{name} cannot be set: {_DECIDED[name]}")
        if name not in known:
            raise found.refusal(name, hosted=hosted)
        _check_type(name, value, hints.get(name, Any))


def check_policy(policy: str, given: Mapping[str, Any]) -> None:
    """Check names and types of arguments of a policy that a user or a file gives.

    :func:`make_policy` knows the names, and the made policy its parts' types.
    """
    from ...policies import make_policy
    from ...policies.registration import policy_factory

    made = make_policy(policy)  # says so where there is no such policy
    factory = policy_factory(policy)
    hints = _hints(factory) | _hints(type(made)) | _hints(type(getattr(made, "protocol", None)))
    for name, value in given.items():
        _check_type(f"policy.{name}", value, hints.get(name, Any))
    make_policy(policy, **given)


def _hints(factory: Any) -> dict[str, Any]:
    """Types of the arguments of a function, or of a class and what it may pass arguments on to."""
    hints: dict[str, Any] = {}
    for called in reversed(constructors(factory)):
        if isinstance(called, types.FunctionType):
            hints |= typing.get_type_hints(called)
    return hints


def _check_type(name: str, value: Any, hint: Any) -> None:
    if not _fits(value, hint):
        raise ConfigError(f"{name} must be {_words(hint)}, got {_told(value)}")


def _told(value: Any) -> str:
    """A value as a user types it, at most about 80 characters of it."""
    said = json.dumps(value, default=name_of, skipkeys=True)
    return said if len(said) <= _ECHOED else f"{said[:_ECHOED]}…"


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is one of a type, so far as JSON has it; types that are not told apart here take anything.

    What JSON lacks, such as arrays and factories, only code can give, and the world or policy looks at it.
    """
    if value is not None and not isinstance(value, (bool, int, float, str, list, tuple, dict)):
        return True
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in typing.get_args(hint))
    if _is_list(hint):
        (of,) = typing.get_args(hint)
        if of is bool and isinstance(
            value, (list, tuple)
        ):  # the row of a matrix, in which people write 0 and 1
            return all(entry in (0, 1) for entry in value)
        return isinstance(value, (list, tuple)) and all(_fits(entry, of) for entry in value)
    if hint in (int, float):
        return isinstance(value, (int, float) if hint is float else int) and not isinstance(value, bool)
    return isinstance(value, hint) if hint in _WORDS else True


def _words(hint: Any) -> str:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_words(part) for part in typing.get_args(hint))
    if not _is_list(hint):
        return _WORDS.get(hint, str(hint))
    (of,) = typing.get_args(hint)
    return "a list (each true, false, 1 or 0)" if of is bool else f"a list (each {_words(of)})"


def _is_list(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, Sequence) and len(typing.get_args(hint)) == 1
