"""What made a figure: the command, the commit and the versions, told beside it."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ... import __version__

_PACKAGE = Path(__file__).resolve().parents[2]


def provenance(command: str) -> dict[str, Any]:
    """The command, the commit it was run at, the versions of what it was run with, and CPU threads."""
    return {
        "command": command,
        "commit": commit(),
        "versions": {"studyhall": __version__, "torch": torch.__version__, "numpy": np.__version__},
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
    }


def commit() -> str | None:
    """The commit of this package, with ``-dirty`` behind it where its code was changed since.

    None where the package is no git checkout, as when it was installed by pip.
    """
    found = _git("rev-parse", "--show-toplevel", "HEAD").stdout.split()
    if len(found) != 2 or Path(found[0]) != _PACKAGE:
        return None
    changed = _git("diff", "--quiet", "HEAD", "--", "*.py").returncode
    return f"{found[1]}-dirty" if changed else found[1]


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "-C", str(_PACKAGE), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # git is not there
        return subprocess.CompletedProcess(command, 1, "", "")
