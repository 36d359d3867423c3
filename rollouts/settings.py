"""What a user may change about a scenario on the command line.

``--set KEY=VALUE`` sets an argument of the world, ``--set policy.KEY=VALUE`` one of the policy, and
``--set policy=NAME`` puts another policy in its place, which then starts from its own defaults. Values are
JSON (``0.01``, ``true``, ``null``, ``[64,32]``), or ``True``, ``False`` and ``None`` as Python spells them; whatever is
neither is text.

``--set learners=mlp`` lets the world host the learners, whose arguments (``hidden``, ``lr``, ``actions``, …) are
then the world's; ``--set learners=null`` leaves them to the policy again, and what the scenario says of hosted
learners goes with them.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from ..envs import spec
from ..envs.arguments import find_device
from ..envs.errors import ConfigError, unknown
from ..envs.registration import constructors
from ..scenarios import Scenario

MODES = ("mute", "shuffled", "isolated")
"""Channel modes that may run as controls beside the open worlds."""

_DECIDED = {
    "num_worlds": "give the seeds with --seeds",
    "device": "give it with --device",
    "mode": f"name the controls to run beside the open worlds with --controls {','.join(MODES)}",
    "autoreset": "a run is one episode",
    "validate": "the actions of a policy are checked by its tests",
}
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}


_MOST_SEEDS = 1024


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from ``"3"``, ``"0-4"`` or ``"0,2,5-7"``.

    Raises:
        ConfigError: The text is none of these, names a seed twice, or more seeds than memory should hold.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise ConfigError(f"seeds look like 3, 0-4 or 0,2,5, got {text!r}")
        if len(seeds) + int(last or first) - int(first) >= _MOST_SEEDS:
            raise ConfigError(
                f"{text!r} are too many seeds: each is a world in memory, so run {_MOST_SEEDS:,} at most, "
                "and more in parts"
            )
        seeds += range(int(first), int(last or first) + 1)
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds {text!r} name a seed twice: every seed is one world")
    return tuple(seeds)


def parse_controls(text: str) -> tuple[str, ...]:
    """Controls from ``"mute,isolated"`` or ``"none"``."""
    names = () if text.strip() == "none" else tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in MODES:
            raise unknown("control", name, (*MODES, "none"))
    if len(set(names)) < len(names):
        raise ConfigError(f"controls {text!r} name a mode twice: every control is one more world a seed")
    return names


def parse_device(text: str) -> str:
    """A device of torch; ``"auto"`` is the GPU where there is one.

    Raises:
        ConfigError: There is no such device here.
    """
    import torch

    if text == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    find_device(text)
    return text


def customise(
    scenario: Scenario,
    *,
    assignments: Sequence[str] = (),
    steps: int | None = None,
    controls: tuple[str, ...] | None = None,
) -> Scenario:
    """A scenario with a user's changes.

    Args:
        scenario: What is changed.
        assignments: ``KEY=VALUE`` each; see the module's page.
        steps: The horizon.
        controls: Replaces the scenario's.

    Raises:
        ConfigError: An assignment is no ``KEY=VALUE``, belongs elsewhere, has a value of the wrong type, or is an
            argument of hosted learners where there are none.
        UnknownName: No such argument; lists the near ones.
    """
    given = parse_assignments(assignments)
    if type(horizon := given.get("horizon", steps)) is int:
        scenario = scenario.within(horizon)
    env, policy = dict(scenario.env_kwargs), dict(scenario.policy_kwargs)
    name = scenario.policy
    if "policy" in given:
        name = str(given.pop("policy"))
        policy = policy if name == scenario.policy else {}
    ours = {key.removeprefix("policy."): v for key, v in given.items() if key.startswith("policy.")}
    theirs = {key: v for key, v in given.items() if not key.startswith("policy.")}
    if steps is not None and theirs.setdefault("horizon", steps) != steps:
        raise ConfigError("--steps sets the horizon: leave out --set horizon=…")
    if theirs.get("learners", "") is None:
        del theirs["learners"]
        env = _without_hosting(scenario)
    env |= theirs
    if steps is not None and "horizon" not in spec(scenario.env).arguments(hosted=_hosted(env)):
        raise ConfigError(
            f"{scenario.env} counts rounds: leave out --steps, and give --set rounds=N (an episode has one step more)"
        )
    if theirs:
        check_env(scenario.env, theirs, hosted=_hosted(env))
    if name != scenario.policy or ours:
        check_policy(name, ours)
    return dataclasses.replace(
        scenario,
        policy=name,
        env_kwargs=env,
        policy_kwargs=policy | ours,
        controls=scenario.controls if controls is None else controls,
    )


def left_behind(scenario: Scenario, chosen: Scenario) -> str:
    """What a scenario sets for its own policy and another one leaves at its defaults, as a line; empty for nothing."""
    from ..policies.files import is_path, trained
    from ..policies.registration import policy_arguments

    if chosen.policy == scenario.policy or is_path(chosen.policy) or chosen.policy in trained():
        return ""
    known = policy_arguments(chosen.policy)
    lost = {k: v for k, v in scenario.policy_kwargs.items() if k in known and k not in chosen.policy_kwargs}
    if not lost:
        return ""
    again = " ".join(f"--set policy.{k}={json.dumps(v)}" for k, v in lost.items())
    return f"policy {chosen.policy} runs with its own defaults; what {scenario.name} sets: {again}"


def parse_assignments(texts: Sequence[str]) -> dict[str, Any]:
    """Keys and values of ``KEY=VALUE`` each; see the module's page.

    Raises:
        ConfigError: A text is no ``KEY=VALUE``.
    """
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set takes KEY=VALUE, e.g. horizon=200 or policy.lr=0.01, got {text!r}")
        found[key.strip()] = _value(value)
    return found


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


_PYTHON = {"True": True, "False": False, "None": None}


def _value(text: str) -> Any:
    """What ``VALUE`` stands for."""
    if text.strip() in _PYTHON:
        return _PYTHON[text.strip()]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # no JSON, or beyond what is read of it
        return text


def check_policy_fits(scenario: Scenario, assignments: Sequence[str] = ()) -> None:
    """Check that a scenario's policy and its world leave the learners to the same side.

    Args:
        scenario: As :func:`customise` made it.
        assignments: The user's, which no policy's needs shall override in silence.

    Raises:
        ConfigError: They do not; says what to set.
    """
    from ..policies import Students, make_policy

    name, hosted = scenario.policy, _hosted(scenario.env_kwargs)
    made = make_policy(name, **scenario.policy_kwargs)
    found = spec(scenario.env)
    lacking = [key for key in made.world_kwargs if key not in found.arguments(hosted=hosted)]
    if lacking and found.hosted and not hosted:
        raise ConfigError(
            f"policy {name} decides for learners that the world hosts: add --set learners=mlp, or take another policy"
        )
    if lacking:
        raise ConfigError(
            f"policy {name} needs a world that takes {', '.join(lacking)}, unlike {found.id}: take another policy"
        )
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


def _hosted(env_kwargs: Mapping[str, Any]) -> bool:
    """Whether a world made with these arguments hosts its learners."""
    return env_kwargs.get("learners") is not None


def _without_hosting(scenario: Scenario) -> dict[str, Any]:
    """A scenario's arguments of a world that hosts no learners."""
    known = spec(scenario.env).arguments()
    return {name: value for name, value in scenario.env_kwargs.items() if name in known}


def check_env(env: str, given: Mapping[str, Any], *, hosted: bool) -> None:
    """Check names and types of arguments of a world that a user or a file gives."""
    found = spec(env)
    hints = _hints(found.load())
    known = [name for name in found.arguments(hosted=hosted) if name not in _DECIDED]
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
    from ..policies import make_policy
    from ..policies.registration import policy_factory

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
        raise ConfigError(f"{name} must be {_words(hint)}, got {json.dumps(value)}")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value from JSON is one of a type; types that are not told apart here take anything."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in typing.get_args(hint))
    if _is_list(hint):
        (of,) = typing.get_args(hint)
        if of is bool and isinstance(value, list):  # the row of a matrix, in which people write 0 and 1
            return all(entry in (0, 1) for entry in value)
        return isinstance(value, list) and all(_fits(entry, of) for entry in value)
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
