"""The file of a reproduction: everything measured as JSON, called ``FILE.part`` until the end."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...envs.errors import ConfigError
from ...envs.files import read_file
from ..storage.folders import unwritable_out
from ..storage.text import as_json, write_text

_KEYS = {"system", "device", "versions", "scenarios"}


class ReproductionFile:
    """A file that takes the place of nothing but a former reproduction.

    Args:
        path: Of the file; its folder is made.

    Raises:
        ConfigError: It is no name of a file, or something else is there.
    """

    def __init__(self, path: Path) -> None:
        if not path.name:
            raise ConfigError("--out names no file: give it one, e.g. --out found.json")
        self.path, self.unfinished = path, path.with_name(f"{path.name}.part")
        for file in (self.path, self.unfinished):
            _refuse_others(file)

    def write(self, found: Mapping[str, Any]) -> None:
        """Write what was measured so far."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise unwritable_out(self.path, fault) from fault
        write_text(self.unfinished, as_json(found, indent=1) + "\n")

    def finish(self, found: Mapping[str, Any]) -> None:
        """Put it in its place; where nothing was measured, what is in the file already stays."""
        if found["scenarios"]:
            os.replace(self.unfinished, self.path)
        else:
            self.unfinished.unlink()


def _refuse_others(file: Path) -> None:
    """Raise where something is there that ``studyhall reproduce`` has not written."""
    if not file.is_symlink() and not file.exists():
        return
    try:
        found = None if file.is_symlink() else json.loads(read_file(file))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not found.keys() >= _KEYS:
        raise ConfigError(f"{file} is there already, and no reproduction: choose another file with --out")
