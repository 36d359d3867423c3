"""Scenarios as files describe them, checked like what a user types before anything is made of them.

A file is data: it names worlds, policies and data sets that are registered or are files themselves. It cannot name
code. What was run with a policy of a user's own, ``"module:Class"``, goes on only where the user names that again.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from ...envs import spec
from ...envs.errors import ConfigError
from ...scenarios import Claim, Scenario
from .checks import check_policy, check_world
from .parse import MODES

_NOTHING = type(None)
_PLAIN: Mapping[Any, Any] = {
    **{str: str, str | None: (str, _NOTHING)},
    **{float: (int, float), float | None: (int, float, _NOTHING)},
}


NAME_AGAIN = "add --set policy={policy}"
"""What to do about a policy of one's own, where ``--set`` is taken."""


def read_scenario(found: Any, own_policy: str | None = None, advice: str = NAME_AGAIN) -> Scenario:
    """The scenario that a file describes.

    Args:
        found: ``dataclasses.asdict`` of one, from JSON.
        own_policy: ``"module:Class"``, where the user named it.
        advice: What to do where it has to be named, and is not: with ``{policy}`` for its name.

    Raises:
        KeyError, TypeError: It is no description of a scenario.
        ConfigError: It says what cannot be, or names a policy that only the user may name.
        UnknownName: No such world, policy or argument.
    """
    from ...policies.registration import is_own, policy_name

    scenario = Scenario.from_json(found)
    check_fields(scenario)
    policy = scenario.policy
    if is_own(policy) and own_policy is None:
        raise ConfigError(
            f"the folder names {policy!r} as its policy, and a file never says what is run: "
            f"if that is a class of your own, {advice.format(policy=policy)}"
        )
    if own_policy is not None and policy_name(own_policy) != policy:
        raise ConfigError(
            f"the folder is of policy {policy!r}, not of {own_policy!r}: name that one, or none"
        )
    given = {name: value for name, value in scenario.env_kwargs.items() if name != "mode"}
    spec(scenario.env)  # says so where there is no such world
    check_world(scenario, given)
    check_policy(policy, scenario.policy_kwargs)
    return scenario


def check_fields(scenario: Scenario) -> None:
    """Check the types of all that a file says of a scenario, whatever the names in it stand for.

    Raises:
        TypeError: One is of another type.
    """
    _check_types(scenario)
    for claim in scenario.claims:
        _check_types(claim)
    twice = len(set(scenario.controls)) < len(scenario.controls)
    if (
        twice
        or set(scenario.controls) - set(MODES)
        or not all(type(step) is int for step in scenario.measure_at)
    ):
        raise TypeError("controls are modes, each once, and measure_at steps")


def _check_types(described: Scenario | Claim) -> None:
    hints = typing.get_type_hints(type(described))
    for field in dataclasses.fields(described):
        value, hint = getattr(described, field.name), hints[field.name]
        if not isinstance(value, _PLAIN.get(hint) or typing.get_origin(hint)):
            raise TypeError(f"{field.name} is {type(value).__name__}")
