"""A scenario with a user's changes, and whether its policy and its world fit each other.

``--set learners=mlp`` lets the world host the learners, whose arguments (``hidden``, ``lr``, ``actions``, …) are
then the world's; ``--set learners=null`` leaves them to the policy again, and what the scenario says of hosted
learners goes with them. How ``KEY=VALUE`` is read: `parse.py`.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from ...envs import spec
from ...envs.errors import ConfigError
from ...scenarios import Scenario
from .checks import check_policy, check_world
from .parse import Assignments, parse_assignments


def customise(
    scenario: Scenario,
    *,
    assignments: Assignments = (),
    steps: int | None = None,
    controls: tuple[str, ...] | None = None,
) -> Scenario:
    """A scenario with a user's changes.

    Args:
        scenario: What is changed.
        assignments: ``KEY=VALUE`` each, or a mapping; see the module's page.
        steps: The horizon.
        controls: Replaces the scenario's.

    Raises:
        ConfigError: An assignment is no ``KEY=VALUE``, belongs elsewhere, has a value of the wrong type, or is an
            argument of hosted learners where there are none; or a policy is not named by text.
        UnknownName: No such argument; lists the near ones.
    """
    from ...policies.registration import policy_name

    given = parse_assignments(assignments)
    if type(horizon := given.get("horizon", steps)) is int:
        scenario = scenario.within(horizon)
    env, policy = dict(scenario.env_kwargs), dict(scenario.policy_kwargs)
    name = scenario.policy
    if "policy" in given:
        name = policy_name(given.pop("policy"))
        policy = policy if name == scenario.policy else {}
    ours = {key.removeprefix("policy."): v for key, v in given.items() if key.startswith("policy.")}
    theirs = {key: v for key, v in given.items() if not key.startswith("policy.")}
    if steps is not None:
        if "horizon" in theirs and theirs["horizon"] != steps:
            raise ConfigError("--steps sets the horizon: leave out --set horizon=…")
        theirs["horizon"] = steps
    if theirs.get("learners", "") is None:
        del theirs["learners"]
        env = _without_hosting(scenario)
    chosen = dataclasses.replace(
        scenario,
        policy=name,
        env_kwargs=env | theirs,
        policy_kwargs=policy | ours,
        controls=scenario.controls if controls is None else controls,
    )
    if steps is not None and "horizon" not in chosen.world_arguments:
        raise ConfigError(
            f"{scenario.env} counts rounds: leave out --steps, and give --set rounds=N (an episode has one step more)"
        )
    if theirs:
        check_world(chosen, theirs)
    if name != scenario.policy or ours:
        check_policy(name, ours)
    return chosen


def dropped_policy_settings(scenario: Scenario, chosen: Scenario) -> str:
    """Name the policy settings of a scenario that another policy does not take over, as a line; empty for none."""
    from ...policies.files import is_path, trained
    from ...policies.registration import policy_arguments

    if chosen.policy == scenario.policy or is_path(chosen.policy) or chosen.policy in trained():
        return ""
    known = policy_arguments(chosen.policy)
    lost = {k: v for k, v in scenario.policy_kwargs.items() if k in known and k not in chosen.policy_kwargs}
    if not lost:
        return ""
    again = " ".join(f"--set policy.{k}={json.dumps(v)}" for k, v in lost.items())
    return f"policy {chosen.policy} runs with its own defaults; what {scenario.name} sets: {again}"


def check_policy_fits(scenario: Scenario, assignments: Assignments = ()) -> None:
    """Check that a scenario's policy and its world leave the learners to the same side.

    Args:
        scenario: As :func:`customise` made it.
        assignments: The user's, which no policy's needs shall override in silence.

    Raises:
        ConfigError: They do not; says what to set.
    """
    from ...policies import Students, make_policy

    name, hosted = scenario.policy, scenario.hosts_learners
    made = make_policy(name, **scenario.policy_kwargs)
    scenario.check_takes(made.world_kwargs)
    if isinstance(made, Students) and hosted:
        raise ConfigError(
            f"policy {name} brings its own learners, and this world hosts some: add --set learners=null, or take a rule"
        )
    given = parse_assignments(assignments)
    for key, needed in made.world_kwargs.items():
        value, said = given.get(key, needed), f"{key}={given.get(key)}"
        if key == "actions" and given.get("discrete_actions") is True:  # its short form
            value, said = "discrete", "discrete_actions=true"
        if value != needed:
            raise ConfigError(
                f"policy {name} needs {key}={needed}: leave out --set {said}, or take another policy"
            )


def _without_hosting(scenario: Scenario) -> dict[str, Any]:
    """A scenario's arguments of a world that hosts no learners."""
    known = spec(scenario.env).arguments().keys() - {"learners"}
    return {name: value for name, value in scenario.env_kwargs.items() if name in known}
