"""What benchmarks keep of their runs: files that may be added to, and of which commit and versions an entry is."""

import fcntl
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from studyhall.envs.files import whole_file

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"


def provenance() -> dict[str, Any]:
    """What was run, of which commit, by which versions."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "commit": commit.stdout.strip(),
        "versions": {name: version(name) for name in ("studyhall", "torch", "numpy")},
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
    }


class File:
    """A file of results, written after every run; others may write other entries meanwhile."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Any]:
        """What it holds now."""
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def get(self, names: Sequence[str]) -> Any:
        """An entry under names; None where there is none."""
        held: Any = self.read()
        for name in names:
            held = held.get(name) if isinstance(held, dict) else None
        return held

    def add(self, names: Sequence[str], entry: Any) -> None:
        """Put an entry under names."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with (self.path.parent / f".{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            held = self.read()
            place = held
            for name in names[:-1]:
                place = place.setdefault(name, {})
            place[names[-1]] = entry
            with whole_file(self.path) as file:
                file.write(json.dumps(held, indent=1).encode() + b"\n")
