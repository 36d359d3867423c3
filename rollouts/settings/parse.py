"""Texts of the command line as values: ``KEY=VALUE``, seeds, controls, devices.

``--set KEY=VALUE`` sets an argument of the world, ``--set policy.KEY=VALUE`` one of the policy, and
``--set policy=NAME`` puts another policy in its place, which then starts from its own defaults. Values are
JSON (``0.01``, ``true``, ``null``, ``[64,32]``), or ``.5``, ``True``, ``False`` and ``None`` as Python spells them;
whatever is neither is text, unless it begins with ``[`` or ``{``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...envs.arguments import find_device
from ...envs.errors import ConfigError, short, unknown
from ...envs.validation import LAST_SEED

Assignments = Sequence[str] | Mapping[str, Any]
"""``KEY=VALUE`` each, as on the command line, or keys and values, as in code."""

MODES = ("mute", "shuffled", "isolated")
"""Channel modes that may run as controls beside the open worlds."""


_MOST_SEEDS = 1024


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from ``"3"``, ``"0-4"`` or ``"0,2,5-7"``.

    Raises:
        ConfigError: The text is none of these, names a seed twice or one that is too great, or more seeds than memory
            should hold.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ConfigError(f"seeds look like 3, 0-4 or 0,2,5, got {short(text)}")
        if max(len(first), len(last)) > len(str(LAST_SEED)) or int(last or first) > LAST_SEED:
            raise ConfigError(f"a seed is {LAST_SEED} at most, got {short(text)}")
        if dash and int(last) < int(first):
            raise ConfigError(f"seeds look like 3, 0-4 or 0,2,5, got {short(text)}")
        if len(seeds) + int(last or first) - int(first) >= _MOST_SEEDS:
            raise ConfigError(
                f"{short(text)} are too many seeds: each is a world in memory, so run {_MOST_SEEDS:,} at most, "
                "and more in parts"
            )
        seeds += range(int(first), int(last or first) + 1)
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds {short(text)} name a seed twice: every seed is one world")
    return tuple(seeds)


def parse_controls(given: str | Iterable[str]) -> tuple[str, ...]:
    """Controls from ``"mute,isolated"`` or ``"none"``, or by name.

    Raises:
        ConfigError: It is neither, or names a mode twice.
        UnknownName: There is no such mode.
    """
    if isinstance(given, str):
        given = () if given.strip() == "none" else given.split(",")
    if not isinstance(given, Iterable):
        raise ConfigError(
            f"controls are modes by name, e.g. 'mute' or ['mute', 'isolated'], got {short(given)}"
        )
    names = tuple(str(name).strip() for name in given)
    for name in names:
        if name not in MODES:
            raise unknown("control", name, (*MODES, "none"))
    if len(set(names)) < len(names):
        raise ConfigError(
            f"controls {','.join(names)!r} name a mode twice: every control is one more world a seed"
        )
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


def parse_assignments(given: Assignments) -> dict[str, Any]:
    """Keys and values of ``KEY=VALUE`` each; see the module's page. Those of a mapping are taken as they are.

    Raises:
        ConfigError: A text is no ``KEY=VALUE``, or two give the same key.
    """
    if isinstance(given, Mapping):
        return dict(given)
    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set takes KEY=VALUE, e.g. horizon=200 or policy.lr=0.01, got {text!r}")
        if key.strip() in found:
            raise ConfigError(f"--set gives {key.strip()} twice: give it once")
        found[key.strip()] = _value(value)
    return found


def own_policy_of(assignments: Assignments) -> str | None:
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
_POINT_FIRST = re.compile(r"[+-]?(\d+\.|\.\d+)([eE][+-]?\d+)?")  # .5 and 5., which JSON lacks


def _value(text: str) -> Any:
    """What ``VALUE`` stands for.

    Raises:
        ConfigError: It begins as a list or object of JSON and is none, or names something twice.
    """
    if text.strip() in _PYTHON:
        return _PYTHON[text.strip()]
    try:
        return json.loads(text, object_pairs_hook=_named_once)
    except ConfigError:
        raise
    except (ValueError, RecursionError) as fault:  # no JSON, or beyond what is read of it
        if text.lstrip().startswith(("[", "{")):
            raise ConfigError(
                f"{short(text)} begins as JSON and is none: put names in double quotes, and all of it in single ones "
                """for the shell, as in --set 'tasks=["code"]'"""
            ) from fault
        return float(text) if _POINT_FIRST.fullmatch(text.strip()) else text


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, of which Python would keep the last of equal names."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"{short(twice)} is named twice: give each name once")
    return found
