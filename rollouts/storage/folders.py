"""Folders of runs and trainings: each new or empty at first, written by one process at a time, and read with care.

``config.json`` and ``report.json`` carry a checksum of their content, so what was edited or damaged is noticed. Nothing
in them names code that is run: a policy of a user's own is named again by the user, see `settings/read_scenario.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ...envs.errors import ConfigError, short
from ...envs.files import PARTIAL, read_file, unwritable
from .text import as_json, write_text

_LOCK = ".studyhall.lock"  # says that a folder is ours; who writes to the folder holds it
_CONFIG = "config.json"
_CHECKSUM = "checksum"
ANEW = {"run": "run the scenario anew", "training": "train anew", "sweep": "sweep anew"}
"""What to do where a folder cannot be taken up, by what it is of."""
_COMMAND = {"run": "run", "training": "train", "sweep": "sweep"}  # which goes on in a folder, by the same
_TELLS = {
    "sweep": "sweep",
    "training": "algorithm",
    "run": "seeds",
}  # what only its config.json has, in this order


@contextlib.contextmanager
def new_folder(out: Path | None, name: str) -> Iterator[Path]:
    """Make a folder that nobody else writes to until the block ends.

    Args:
        out: The folder, new or empty; None takes the first free ``runs/<name>-<n>``.
        name: What is done in it.

    Raises:
        ConfigError: It cannot be made, holds something, or another process is at work in it.
    """
    if out == Path():
        raise ConfigError("--out names the current folder: give the folder a name of its own, e.g. runs/mine")
    if out is not None and not _is_text(out):
        raise ConfigError(
            f"--out {short(str(out))} is no text in UTF-8, as libraries that write there need it: give another name"
        )
    try:
        path = _free_folder(name) if out is None else out
        path.mkdir(parents=True, exist_ok=True)
        _refuse_what_is_there(path)
        lock = _claim(path)
    except OSError as fault:
        raise unwritable_out("runs/" if out is None else out, fault) from fault
    try:
        _refuse_what_is_there(path)  # another process may have been here in between
        yield path
    finally:
        os.close(lock)


@contextlib.contextmanager
def own_folder(path: Path, kind: str) -> Iterator[None]:
    """Take up a folder, which nobody else writes to until the block ends.

    Args:
        path: The folder.
        kind: What it is of: "run" or "training".

    Raises:
        ConfigError: It is no such folder, holds links to elsewhere, or another process is at work in it.
    """
    if not (path / _CONFIG).exists():
        raise _no_folder(path, kind)
    links = sorted(entry.name for entry in path.iterdir() if entry.is_symlink())
    if links:
        raise ConfigError(
            f"{path} holds links to elsewhere ({', '.join(links)}): put what they lead to there"
        )
    try:
        lock = _claim(path)
    except OSError as fault:
        raise unwritable(path, fault) from fault
    try:
        yield
    finally:
        os.close(lock)


def unwritable_out(path: Path | str, fault: OSError) -> ConfigError:
    """The error for what ``--out`` names, or leaves at its default, where that cannot be written."""
    return ConfigError(f"{unwritable(path, fault)}, or choose another with --out")


def _claim(path: Path) -> int:
    """Take a folder's lock, which the system lets go of however this process ends, and sweep out leftovers."""
    lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    if not _lock(lock):
        os.close(lock)
        raise ConfigError(f"{path} is in use by another process: wait until it has ended")
    for left in path.rglob(PARTIAL):
        # What is in a folder with a lock of its own, as of a run in a sweep, whoever takes that up sweeps out.
        if not any((above / _LOCK).exists() for above in left.parents if path in above.parents):
            left.unlink(missing_ok=True)
    return lock


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> bool:
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:  # no other reason is told apart
            return False
        return True
else:
    import fcntl

    def _lock(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _free_folder(name: str) -> Path:
    number = 1
    while True:
        path = Path("runs") / f"{name}-{number}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if not path.parent.is_dir():
                raise
            number += 1
        else:
            return path


def _refuse_what_is_there(path: Path) -> None:
    """Raise where a folder holds anything but what a process killed at once has left."""
    names = sorted(entry.name for entry in path.iterdir())
    held = [name for name in names if name != _LOCK and not fnmatch(name, PARTIAL)]
    if not held:
        return
    if _LOCK in names and _CONFIG in names:  # what is without one, such as an export, cannot be taken up
        raise ConfigError(
            f"{path} holds a run already: choose another folder with --out, or take it up with --resume {path}"
        )
    some = ", ".join(held[:3]) + (", …" if len(held) > 3 else "")
    raise ConfigError(f"{path} is not empty (it holds {some}): choose a new or an empty folder with --out")


# ---- what is written in them --------------------------------------------------------------------------------


def write_sealed(path: Path, content: Mapping[str, Any], *, indent: int | None = None) -> None:
    """Write JSON with a checksum of its content, whole or not at all."""
    text = as_json(content, indent=indent)
    sealed = {**json.loads(text), _CHECKSUM: _checksum(json.loads(text))}
    write_text(path, as_json(sealed, indent=indent) + "\n")


def read_sealed(path: Path, advice: str) -> dict[str, Any]:
    """What :func:`write_sealed` wrote.

    Args:
        path: Of the file.
        advice: What to do where it is not as it was written.

    Raises:
        FileNotFoundError, NotADirectoryError: It is not there.
        ConfigError: It cannot be read, or was edited or damaged.
    """
    try:
        content = read_file(path)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as fault:
        raise ConfigError(f"{path} cannot be read ({fault.strerror}): {advice}") from fault
    try:
        found = json.loads(content)
        if found.pop(_CHECKSUM) != _checksum(found):
            raise ConfigError(f"{path} is not as it was written (edited, or damaged): {advice}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        if isinstance(fault, ConfigError):
            raise
        raise ConfigError(f"{path} is not what studyhall writes: {advice}") from fault
    return found


def _checksum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def made_by() -> dict[str, str]:
    """Versions of what runs here."""
    import torch

    from ... import __version__

    return {"studyhall": __version__, "python": platform.python_version(), "torch": torch.__version__}


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write ``config.json``: what is done there, and by what."""
    started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    write_sealed(folder / _CONFIG, {**config, "versions": made_by(), "started": started}, indent=2)


def read_config(folder: Path, *kinds: str) -> dict[str, Any]:
    """What ``config.json`` says.

    Args:
        folder: Of what was done there.
        *kinds: What that may be: "run", "training" or "sweep".

    Raises:
        ConfigError: It is not there, not as it was written, or of another kind; then it says what goes on there.
    """
    kind = kinds[0]
    advice = f"if there is a checkpoint, it is of another configuration; restore the file, or {ANEW[kind]}"
    try:
        found = read_sealed(folder / _CONFIG, advice)
    except (FileNotFoundError, NotADirectoryError):
        raise _no_folder(folder, kind) from None
    if not isinstance(found.get("versions", {}), dict) or not isinstance(found.get("started", ""), str):
        raise ConfigError(f"{folder / _CONFIG} is not what studyhall writes: {advice}")
    held = next((name for name, key in _TELLS.items() if key in found), None)
    if held is not None and held not in kinds:
        inside = "its runs or trainings are the folders in it; " if held == "sweep" else ""
        raise ConfigError(
            f"{folder} is the folder of a {held}, not of a {kind}: {inside}it goes on with: studyhall "
            f"{_COMMAND[held]} --resume {folder}"
        )
    return found


def _is_text(path: Path) -> bool:
    """Whether a path is characters all through: names of files may be any bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_folder(path: Path, kind: str) -> ConfigError:
    if path.is_file():
        return ConfigError(f"{path} is a file: give the folder of a {kind}")
    return ConfigError(f"{path} is no folder of a {kind}: it has no config.json")
