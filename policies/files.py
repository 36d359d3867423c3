"""Files of trained policies, in the form of ``envs/archive.py``: weights, the world, the command that trains anew."""

from __future__ import annotations

import difflib
import hashlib
import importlib.resources
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..envs.archive import Kind, unpack
from ..envs.errors import ConfigError
from ..envs.files import read_file

_BEST = "best.zip"  # in the folder of a training

POLICY = Kind("policy", "save models with save_policy", "train it anew", 1 << 26)
"""A scorer is some 100 KiB, a message network some MiB."""


def trained() -> dict[str, Any]:
    """The trained policies that come with the package: name to file."""
    folder = importlib.resources.files(__package__).joinpath("trained")
    found = folder.iterdir() if folder.is_dir() else ()
    return {
        f.name.removesuffix(".zip"): f for f in sorted(found, key=lambda f: f.name) if f.name.endswith(".zip")
    }


def is_path(name: str) -> bool:
    """Whether a policy's name is a path: it ends in ``.zip``, or a file or a folder of a training is there."""
    path = _path(name)
    return name.endswith(".zip") or os.path.isfile(path) or os.path.isfile(path / _BEST)


def _path(name: str) -> Path:
    """Where a name leads; like ``os.path.isfile`` of it, never an error, whatever the text is."""
    return Path(os.path.expanduser(name))


def digest(source: str) -> str | None:
    """SHA-256 of a policy's file, by its path or the name of one that comes with the package; None of any other."""
    file = trained().get(source, _path(source))
    if source not in trained() and not is_path(source):
        return None
    return hashlib.sha256(read_file(file)).hexdigest()


def read(source: str, *formats: str) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """What a policy's file says of itself, and its weights; nothing in it is ever unpickled.

    Args:
        source: Path of the file, or the name of one that comes with the package.
        *formats: What the reader understands.

    Returns:
        What ``studyhall.json`` says, and the weights by name, float32.

    Raises:
        ConfigError: There is no such file or name, or it is no policy of ours, or of another format.
    """
    shipped = trained()
    file = shipped.get(source, _path(source))
    try:
        content = read_file(file)
    except (OSError, ValueError) as fault:  # text with a zero byte is no path at all
        raise _missing(source, fault, list(shipped)) from fault
    return unpack(source, content, POLICY, *formats)


def _missing(source: str, fault: OSError | ValueError, shipped: list[str]) -> ConfigError:
    path, why = _path(source), getattr(fault, "strerror", None) or "cannot be read"
    beside = [str(f) for f in sorted(path.parent.glob("*.zip"))] if os.path.isdir(path.parent) else []
    near = difflib.get_close_matches(source, [*shipped, *beside], n=3, cutoff=0.4)
    if os.path.isfile(path / _BEST):
        near = [str(path / _BEST)]
    hint = (
        f"did you mean {' or '.join(map(repr, near))}?"
        if near
        else "give the path of a zip from studyhall train"
    )
    if not near and shipped:
        hint += f", or one of {', '.join(shipped)}"
    return ConfigError(f"no trained policy {source!r} ({why}): {hint}")
