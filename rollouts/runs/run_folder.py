"""The folder of a run: what was run, how it went, and where it can be taken up again.

=====================  =================================================================================
``config.json``        everything needed to repeat the run
``checkpoints/``       the last two states; see `storage/checkpoints.py`
``stages/seed_S/``     networks of the open world of seed S that learn no more; see `storage/networks.py`
``metrics.parquet``    the headline (exam accuracy, score, …) in long form: step, mode, seed, agent, its value
``metrics.csv``        the same
``tensorboard/``       the same and what was measured, as events of TensorBoard, one run a mode
``report.json``        everything that was found; of policies that tell it, what they decided and why
``trace.zip``          figures of every agent over time, who listened to whom, how the first open world looked
``curve.png``          the headline over time
``picture.png``        the first open world, from step to step, where it can be drawn
=====================  =================================================================================

The last seven are there when the run has ended.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ...envs.errors import ConfigError, StudyhallError, warn
from ...envs.files import read_file, whole_file
from ...envs.untrusted import Unreadable
from ...envs.validation import LAST_SEED, whole
from ...scenarios import Scenario
from ..reports.report import Report, has_ended, is_measured
from ..reports.trace import Trace
from ..settings.read_scenario import NAME_AGAIN, check_fields, read_scenario
from ..storage.folders import ANEW, new_folder, read_config, read_sealed, write_config, write_sealed
from ..storage.text import as_csv, plain, write_text

_WITHOUT = "remove it; --resume then goes on from the checkpoint"


@dataclass(frozen=True)
class RunConfig:
    """What is run."""

    scenario: Scenario
    seeds: tuple[int, ...]
    device: str
    threads: int

    @property
    def worlds(self) -> int:
        """How many run side by side, controls among them."""
        return len(self.seeds) * (1 + len(self.scenario.controls))


@dataclass(frozen=True)
class RunFolder:
    """One run's folder; see the module's page."""

    path: Path

    @classmethod
    @contextlib.contextmanager
    def create(cls, out: Path | None, config: RunConfig) -> Iterator[RunFolder]:
        """Make a folder, write ``config.json`` into it, and keep it from other processes until the block ends.

        Args:
            out: The folder, new or empty; None takes the first free ``runs/<scenario>-<n>``.
            config: What is to be run.

        Raises:
            ConfigError: It cannot be written, holds something, or another process is at work in it.
        """
        scenario = config.scenario
        env_kwargs, policy_kwargs = plain(scenario.env_kwargs), plain(scenario.policy_kwargs)
        scenario = replace(scenario, env_kwargs=env_kwargs, policy_kwargs=policy_kwargs)
        with new_folder(out, scenario.name) as path:
            write_config(path, dataclasses.asdict(replace(config, scenario=scenario)))
            yield cls(path)

    @property
    def report_file(self) -> Path:
        """What was found; there when the run has ended."""
        return self.path / "report.json"

    @property
    def checkpoints(self) -> Path:
        """Where the run's state is saved."""
        return self.path / "checkpoints"

    @property
    def stages(self) -> Path:
        """Where networks are left when a stage is over, where the policy has stages."""
        return self.path / "stages"

    def config(self, own_policy: str | None = None, advice: str = NAME_AGAIN) -> RunConfig:
        """Read ``config.json``.

        Args:
            own_policy: ``"module:Class"``, as the user named it; a file cannot.
            advice: What to do where it has to be named, as of :func:`read_scenario`.

        Raises:
            ConfigError: It is not there, not as it was written, or says what cannot be.
        """
        found = read_config(self.path, "run")
        try:
            seeds, device, threads = found["seeds"], found["device"], found["threads"]
            scenario = read_scenario(found["scenario"], own_policy, advice)
            if not isinstance(seeds, list) or not isinstance(device, str):
                raise TypeError
        except StudyhallError:  # what it says cannot be, in one line; some are TypeErrors too
            raise
        except (KeyError, TypeError) as fault:
            raise ConfigError(f"{self.path}/config.json is not what a run writes: {ANEW['run']}") from fault
        return RunConfig(
            scenario=scenario,
            seeds=tuple(whole("each seed", seed, 0, LAST_SEED) for seed in seeds),
            device=device,
            threads=whole("threads", threads, 1, 4096),
        )

    def report(self, config: RunConfig) -> Report | None:
        """What was found; None where the run has not ended.

        Args:
            config: Of the run.

        Raises:
            ConfigError: The file is not as it was written, or not this run's.
        """
        try:
            found = self._read()
        except FileNotFoundError:
            return None
        if found.scenario != config.scenario or found.seeds != config.seeds:
            raise ConfigError(f"{self.report_file} is of another configuration, or damaged: {_WITHOUT}")
        return found

    def found(self) -> Report:
        """What was found, without a look at ``config.json``, which may name what only the user may name.

        Raises:
            ConfigError: There is no run, it has not ended, or the file is not as it was written.
        """
        try:
            return self._read()
        except (FileNotFoundError, NotADirectoryError):
            read_config(self.path, "run")  # says so where there is none
            raise ConfigError(
                f"the run in {self.path} has not ended: go on with: studyhall run --resume {self.path}"
            ) from None

    def _read(self) -> Report:
        try:
            found = Report.from_json(read_sealed(self.report_file, _WITHOUT))
            check_fields(found.scenario)
        except (FileNotFoundError, NotADirectoryError, StudyhallError):
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as fault:
            raise ConfigError(f"{self.report_file} is not what a run writes: {_WITHOUT}") from fault
        if not (is_measured(found) and has_ended(found)):
            raise ConfigError(f"{self.report_file} is of another configuration, or damaged: {_WITHOUT}")
        found.trace = self._trace(found)
        return found

    def _trace(self, report: Report) -> Trace | None:
        """What was kept of the way; None of runs of earlier versions, and where it cannot be read, which is said."""
        path = self.path / "trace.zip"
        if not path.exists():
            return None
        try:
            found = Trace.from_bytes(read_file(path))
            whole = not found.figures or report.headline in found.figures
            if not (whole and found.fits(len(report.modes) * len(report.seeds), len(report.seeds))):
                raise Unreadable("it is of another run")
        except (OSError, Unreadable) as fault:
            warn(f"{path} cannot be read ({getattr(fault, 'strerror', None) or fault}): going on without it")
            return None
        return found

    def finish(self, report: Report) -> None:
        """Write curves, plot and report; the report last, since it says that the run has ended."""
        from ..reports.events import write_events
        from ..reports.plots import draw_curve

        _write_metrics(self.path / "metrics.parquet", report)
        columns = report.columns()
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        write_text(self.path / "metrics.csv", as_csv(rows))
        draw_curve(report, self.path / "curve.png")
        write_events(report, self.path / "tensorboard")
        if report.trace is not None:
            with whole_file(self.path / "trace.zip") as file:
                file.write(report.trace.as_bytes())
        write_sealed(self.report_file, report.as_json())


def _write_metrics(path: Path, report: Report) -> None:
    import pyarrow
    from pyarrow import parquet

    with whole_file(path) as file:
        parquet.write_table(pyarrow.table(report.columns()), file, write_page_checksum=True)
