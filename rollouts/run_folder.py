"""The folder of a run: what was run, how it went, and where it can be taken up again.

=====================  =================================================================================
``config.json``        everything needed to repeat the run
``checkpoints/``       the last state, whole or not at all; loads with ``torch.load(weights_only=True)``
``metrics.parquet``    the headline (exam accuracy, score, …) in long form: step, mode, seed, student, its value
``report.json``        everything that was found
``curve.png``          the headline over time
``picture.png``        the first open world, from step to step, where it can be drawn
=====================  =================================================================================

The last three are there when the run has ended.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..envs.errors import ConfigError
from ..scenarios import Scenario
from .output import as_json, write_text
from .report import Report, scenario_from_json


@dataclass(frozen=True)
class RunConfig:
    """What is run."""

    scenario: Scenario
    seeds: tuple[int, ...]
    device: str
    threads: int


@dataclass(frozen=True)
class RunFolder:
    """One run's folder; see the module's page."""

    path: Path

    @classmethod
    def create(cls, out: Path | None, config: RunConfig) -> RunFolder:
        """Make a folder and write ``config.json`` into it.

        Args:
            out: The folder; None takes the first free ``runs/<scenario>-<n>``.
            config: What is to be run.

        Raises:
            ConfigError: It cannot be written, or holds another run.
        """
        try:
            folder = cls(free_folder(config.scenario.name) if out is None else out)
            folder.path.mkdir(parents=True, exist_ok=True)
            if folder.report_file.exists() or folder.checkpoints.exists():
                raise ConfigError(
                    f"{folder.path} holds a run already: choose another folder with --out, "
                    f"or take it up with --resume {folder.path}"
                )
            write_text(folder.config_file, as_json(_described(config), indent=2) + "\n")
        except OSError as fault:
            where = "runs/" if out is None else str(out)
            raise ConfigError(
                f"cannot write to {where} ({fault.strerror}): choose another folder with --out"
            ) from fault
        return folder

    @property
    def config_file(self) -> Path:
        """What was run."""
        return self.path / "config.json"

    @property
    def report_file(self) -> Path:
        """What was found; there when the run has ended."""
        return self.path / "report.json"

    @property
    def checkpoints(self) -> Path:
        """Where the run's state is saved."""
        return self.path / "checkpoints"

    def config(self) -> RunConfig:
        """Read ``config.json``.

        Raises:
            ConfigError: It is not there, or not a run's.
        """
        try:
            found = json.loads(self.config_file.read_text(encoding="utf-8"))
            return RunConfig(
                scenario=scenario_from_json(found["scenario"]),
                seeds=tuple(found["seeds"]),
                device=found["device"],
                threads=found["threads"],
            )
        except OSError:
            raise ConfigError(f"{self.path} is no folder of a run: it has no config.json to resume") from None
        except (ValueError, KeyError, TypeError) as fault:
            raise ConfigError(
                f"{self.config_file} is not what a run writes: run the scenario anew"
            ) from fault

    def report(self) -> Report | None:
        """What was found; None where the run has not ended."""
        try:
            return Report.from_json(json.loads(self.report_file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as fault:
            raise ConfigError(
                f"{self.report_file} is not what a run writes: run the scenario anew"
            ) from fault

    def finish(self, report: Report) -> None:
        """Write curves, plot and report; the report last, since it says that the run has ended."""
        from .plots import draw_curve

        _write_metrics(self.path / "metrics.parquet", report)
        draw_curve(report, self.path / "curve.png")
        write_text(self.report_file, as_json(report.as_json()) + "\n")


def free_folder(name: str) -> Path:
    """Make and return the first ``runs/<name>-<n>`` that is not taken."""
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


def _described(config: RunConfig) -> dict[str, Any]:
    import torch

    from .. import __version__

    return {
        "scenario": dataclasses.asdict(config.scenario),
        "seeds": list(config.seeds),
        "device": config.device,
        "threads": config.threads,
        "versions": {
            "studyhall": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _write_metrics(path: Path, report: Report) -> None:
    import pyarrow
    from pyarrow import parquet

    columns: dict[str, list[Any]] = {n: [] for n in ("step", "mode", "seed", "student", report.headline)}
    for mode, points in report.curves.items():
        for step, seeds in zip(report.steps, points, strict=True):
            for seed, students in zip(report.seeds, seeds, strict=True):
                for student, accuracy in enumerate(students):
                    for column, value in zip(
                        columns.values(), (step, mode, seed, student, accuracy), strict=True
                    ):
                        column.append(value)
    partial = path.with_name(f".{path.name}.part")
    parquet.write_table(pyarrow.table(columns), partial)
    os.replace(partial, path)


def resumed_scenario(folder: Path) -> str:
    """Name of the scenario of a run or training.

    Raises:
        ConfigError: The folder does not say.
    """
    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8"))["scenario"]["name"])
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise ConfigError(f"{folder} is no folder of a training: it has no config.json to resume") from fault
