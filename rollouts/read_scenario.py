"""Scenarios and reports as files describe them, checked like what a user types before anything is made of them.

A file is data: it names worlds, policies and data sets that are registered or are files themselves. It cannot name
code. What was run with a policy of a user's own, ``"module:Class"``, goes on only where the user names that again.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..envs import spec
from ..envs.errors import ConfigError
from ..scenarios import Claim, Scenario
from .report import Report, scenario_from_json
from .settings import MODES, check_env, check_policy, parse_assignments

_NOTHING = type(None)
_PLAIN: Mapping[Any, Any] = {
    **{str: str, str | None: (str, _NOTHING)},
    **{float: (int, float), float | None: (int, float, _NOTHING)},
}


def own_policy_of(assignments: Sequence[str]) -> str | None:
    """The policy of a user's own that is named again to go on with a folder: ``policy=module:Class`` and no more.

    Raises:
        ConfigError: The assignments hold anything else, which would make another run of it.
    """
    given = parse_assignments(assignments)
    if not given.keys() <= {"policy"}:
        raise ConfigError(
            "--resume goes on as it began: leave out --set, but for policy=module:Class of your own"
        )
    return None if not given else str(given["policy"])


def changes(options: Mapping[str, Any], changeable: Sequence[str]) -> dict[str, Any]:
    """The options that were given to a training that is taken up again.

    Raises:
        ConfigError: One would make it another training.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in changeable:
            raise ConfigError(f"--resume goes on as the training began: leave out --{name.replace('_', '-')}")
    return given


def read_scenario(found: Any, own_policy: str | None = None) -> Scenario:
    """The scenario that a file describes.

    Args:
        found: ``dataclasses.asdict`` of one, from JSON.
        own_policy: ``"module:Class"``, where the user named it.

    Raises:
        KeyError, TypeError: It is no description of a scenario.
        ConfigError: It says what cannot be, or names a policy that only the user may name.
        UnknownName: No such world, policy or argument.
    """
    from ..policies.registration import is_own

    scenario = scenario_from_json(found)
    _check_types(scenario)
    for claim in scenario.claims:
        _check_types(claim)
    if set(scenario.controls) - set(MODES) or not all(type(step) is int for step in scenario.measure_at):
        raise TypeError("controls are modes, and measure_at steps")
    policy = scenario.policy
    if is_own(policy) and own_policy is None:
        raise ConfigError(
            f"the folder names {policy!r} as its policy, and a file never says what is run: "
            f"if that is a class of your own, add --set policy={policy}"
        )
    if own_policy not in (None, policy):
        raise ConfigError(
            f"the folder is of policy {policy!r}, not of {own_policy!r}: leave out --set policy=…"
        )
    hosted = scenario.env_kwargs.get("learners") is not None
    given = {name: value for name, value in scenario.env_kwargs.items() if name != "mode"}
    spec(scenario.env)
    check_env(scenario.env, given, hosted=hosted)
    check_policy(policy, scenario.policy_kwargs)
    return scenario


def _check_types(described: Scenario | Claim) -> None:
    hints = typing.get_type_hints(type(described))
    for field in dataclasses.fields(described):
        value, hint = getattr(described, field.name), hints[field.name]
        if not isinstance(value, _PLAIN.get(hint) or typing.get_origin(hint)):
            raise TypeError(f"{field.name} is {type(value).__name__}")


def fitting_report(report: Report, scenario: Scenario, seeds: Sequence[int], source: Path) -> Report:
    """A report that was read, if it is one of this scenario and these seeds.

    Args:
        report: As the file has it.
        scenario: What was run.
        seeds: Of the run.
        source: The file.

    Raises:
        ConfigError: It is another's, or not built like one.
    """
    same = report.scenario == scenario and report.seeds == tuple(seeds)
    if not same or not is_measured(dataclasses.replace(report, scenario=scenario)):
        raise ConfigError(f"{source} is of another configuration, or damaged: run the scenario anew")
    return report


def is_measured(report: Report) -> bool:
    """Whether the figures of a report are built as a run records them, for its modes and seeds."""
    modes, seeds = report.modes, len(report.seeds)
    steps = report.steps
    return (
        _mapping(report.metrics, modes)
        and all(
            _mapping(found) and all(_rows(v, seeds) for v in found.values())
            for found in report.metrics.values()
        )
        and _mapping(report.students, modes)
        and all(_rows(rows, seeds, 1) for rows in report.students.values())
        and isinstance(steps, list)
        and all(type(step) is int and step > 0 for step in steps)
        and _mapping(report.curves, modes)
        and all(_rows(points, len(steps), 2) for points in report.curves.values())
        and all(len(point) == seeds for points in report.curves.values() for point in points)
        and type(report.budget_spent_at) in (int, type(None))
        and type(report.seconds) in (int, float)
        and 0 <= report.seconds < math.inf
        and type(report.transductive) is bool
        and isinstance(report.headline, str)
        and isinstance(report.noun, str)
        and _mapping(report.diverged, modes)
        and all(
            _mapping(worlds) and all(_mapping(agents) for agents in worlds.values())
            for worlds in report.diverged.values()
        )
    )


def _mapping(found: Any, names: Sequence[str] | None = None) -> bool:
    return isinstance(found, dict) and all(
        isinstance(name, str) and (names is None or name in names) for name in found
    )


def _rows(found: Any, count: int | None, depth: int = 0) -> bool:
    """Whether something is a list, of lists to a depth, of numbers; ``count``: entries of the outermost."""
    if not isinstance(found, list) or count not in (None, len(found)):
        return False
    if depth:
        return all(_rows(entry, None, depth - 1) for entry in found)
    return all(value is None or type(value) in (int, float) for value in found)
