"""Files that are written whole or not at all, and ordinary ones that are read."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .errors import ConfigError, DataError, StudyhallError, short

PARTIAL = ".studyhall-*.part"
"""How files are called that are being written; what a killed process leaves of them is nobody's."""

_FULL = (errno.ENOSPC, errno.EFBIG, *([errno.EDQUOT] if hasattr(errno, "EDQUOT") else []))


def as_path(name: str, given: Any, error: type[StudyhallError] = DataError) -> Path:
    """The path that a user gave, with ``~`` made a home folder; nothing need be there.

    Args:
        name: Of the argument.
        given: The path.
        error: What is raised; of data that are read a DataError.

    Raises:
        StudyhallError: It is no path, or one that cannot be looked at: of an unknown home, too long, closed to us.
    """
    if not isinstance(given, (str, os.PathLike)) or not isinstance(os.fspath(given), str):
        raise error(f"{name} must be a path, got {short(given)}")
    try:
        path = Path(given).expanduser()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
    except (OSError, RuntimeError, ValueError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else str(fault).rstrip(".")
        raise error(
            f"{name} {short(str(given))} is no path that can be read ({reason}): give another"
        ) from fault
    return path


@contextlib.contextmanager
def whole_file(path: Path, *, keep: Path | None = None) -> Iterator[BinaryIO]:
    """A file to write to, which becomes ``path`` when the block ends; with an exception it is gone.

    Args:
        path: Of the file.
        keep: Where to move what is at ``path`` before; None lets it go.

    Raises:
        ConfigError: It cannot be written; names the file.
    """
    partial = _partial(path)
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            os.replace(path, keep)
        os.replace(partial, path)
    except OSError as fault:
        raise unwritable(path, fault) from fault
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Check that a file can be written, before what is to be in it is made.

    Raises:
        ConfigError: It names no file, is a folder, or its folder is not there or takes none; says which.
    """
    try:
        if path.is_dir():
            raise ConfigError(f"{path} is a folder: name a file in it")
        if not path.absolute().parent.is_dir():
            raise ConfigError(f"{path.parent} is no folder: make it first")
        partial = _partial(path)
        partial.touch(exist_ok=False)
        partial.unlink()
    except OSError as fault:
        raise unwritable(path, fault) from fault


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where it is not there yet.

    Raises:
        ConfigError: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise unwritable(path, fault) from fault


def _partial(path: Path) -> Path:
    """Beside a file, what it is called while it is written."""
    if not path.name:
        raise ConfigError(f"{short(str(path))} names no file: give it a name")
    return path.with_name(PARTIAL.replace("*", secrets.token_hex(8)))


def unwritable(path: Path | str, fault: OSError) -> ConfigError:
    """The error for a file or folder that cannot be written."""
    advice = "make room there" if fault.errno in _FULL else "make it writable"
    return ConfigError(f"cannot write to {path} ({fault.strerror or fault}): {advice}")


def read_file(path: Path) -> bytes:
    """What is in an ordinary file.

    Raises:
        OSError: There is none: nothing, a folder, or a device that never ends.
    """
    if path.exists() and not path.is_dir() and not path.is_file():
        raise OSError(errno.EINVAL, "not an ordinary file", str(path))
    return path.read_bytes()
