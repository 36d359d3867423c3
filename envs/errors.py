"""What a user can get wrong, as exceptions whose message is one line that says what to do.

The command line prints such a message without a traceback; everything else that escapes is a fault of ours.
Each class is also the built-in exception a caller would expect (``ValueError``, ``LookupError``, …).
"""

from __future__ import annotations

import difflib
import re
import sys
import warnings
from collections.abc import Iterable
from typing import Any


class StudyhallError(Exception):
    """A user's mistake, said in one line. The base of all the others."""


class ActionError(StudyhallError, ValueError):
    """An action that a world cannot take: names the agent, the key and the fault."""


class ConfigError(StudyhallError, ValueError):
    """Arguments of a world, policy or run that contradict each other or are out of range."""


class DataError(StudyhallError, ValueError):
    """Data that cannot be had or used: missing, corrupt, of the wrong type, or too little of it."""


class EpisodeEnded(StudyhallError, RuntimeError):  # noqa: N818  # a state of the world, told apart by name
    """A step was asked of a world whose episode has ended and that waits for a reset."""


class UnknownName(StudyhallError, LookupError):  # noqa: N818
    """A name that no registry knows; see :func:`unknown`."""


class UnknownArgument(UnknownName, TypeError):  # noqa: N818
    """An argument that a world or policy does not take; see :func:`unknown_argument`."""


_ECHOED = 80  # characters


def short(value: Any) -> str:
    """What a user gave, as a message repeats it: on one line, and at most about 80 characters of it."""
    if isinstance(value, int) and value.bit_length() > 1000:  # Python writes out no greater ones
        return f"a number of {value.bit_length():,} bits"
    if isinstance(value, (str, bytes)):
        value = value[: 2 * _ECHOED]
    said = re.sub(r"\s*\n\s*", " ", repr(value))  # arrays and tensors take several lines
    return said if len(said) <= _ECHOED else f"{said[:_ECHOED]}…"


def unknown(kind: str, name: str, known: Iterable[str], besides: str = "") -> UnknownName:
    """The exception for a name that is not among the known ones.

    Args:
        kind: What the name stands for, e.g. ``"data set"``.
        name: The name asked for.
        known: The names there are.
        besides: What else was looked for in vain.

    Returns:
        An :class:`UnknownName` (to be raised by the caller) that lists the near names, or all of them where
        none is near.
    """
    said = f"{short(name)}, {besides}" if besides else short(name)
    return UnknownName(f"unknown {kind} {said}: {_known(name, known)}")


def one_of(kind: str, name: Any, known: Iterable[str]) -> str:
    """The name, if it is one of the known ones.

    Args:
        kind: What the name stands for, e.g. ``"data set"``.
        name: The name asked for.
        known: The names there are.

    Raises:
        ConfigError: It is no text.
        UnknownName: It is not known; see :func:`unknown`.
    """
    names = list(known)
    if text(kind, name, names[0]) not in names:
        raise unknown(kind, name, names)
    return str(name)


def text(kind: str, name: Any, example: str) -> str:
    """The name, if it is text.

    Raises:
        ConfigError: It is not; shows the example.
    """
    if not isinstance(name, str):
        raise ConfigError(f"{kind} must be text, such as {example!r}, got {short(name)}")
    return str(name)  # numpy has strings of its own


def unknown_argument(taker: str, name: str, known: Iterable[str]) -> UnknownArgument:
    """The exception for an argument that is not taken, in the words of Python's own.

    Libraries that try arguments out expect a ``TypeError`` of "an unexpected keyword argument".

    Args:
        taker: What does not take it, e.g. ``"classroom-v0"``.
        name: The argument.
        known: The arguments there are.

    Returns:
        An :class:`UnknownArgument` (to be raised by the caller), as of :func:`unknown`.
    """
    return UnknownArgument(f"{taker} got an unexpected keyword argument {short(name)}: {_known(name, known)}")


def _known(name: str, known: Iterable[str]) -> str:
    """The known names that are near, or all of them where none is."""
    names = sorted(known)
    lower = {known_name.lower(): known_name for known_name in names}
    near = [
        lower[found] for found in difflib.get_close_matches(name[:_ECHOED].lower(), lower, n=3, cutoff=0.5)
    ]
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return f"known are {', '.join(names) if names else 'none'}"


def plural(noun: str) -> str:
    """Of an agent's name."""
    return f"{noun}es" if noun.endswith("s") else f"{noun}s"


class StudyhallWarning(UserWarning):
    """What a user should know of, said in one line; it is no mistake."""


def warn(line: str) -> None:
    """Warn of something; Python names the place outside this package that led here."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_globals):
        level, frame = level + 1, frame.f_back
    warnings.warn(line, StudyhallWarning, stacklevel=level)


def _is_ours(names: dict[str, object]) -> bool:
    package = __name__.partition(".")[0]
    return str(names.get("__name__")).partition(".")[0] == package
