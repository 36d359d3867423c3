"""What a run found, as people look at it: printed, as tables of data, drawn, kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ...envs.errors import ConfigError
from ...envs.files import as_path
from ..reports.report import Report
from ..terminal import output
from .run_folder import RunConfig, RunFolder

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure
    from typing_extensions import Self


class Result(Report):
    """A report that prints as the table of the command line, in a notebook too."""

    def __str__(self) -> str:
        """The table."""
        from ..reports.tables import result

        return output.as_text(result(self))

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        from ..reports.tables import result

        return output.as_html(result(self))

    def frame(self) -> pandas.DataFrame:
        """What was measured: a row for each mode and seed, a column for each metric.

        A metric that was not measured in a mode is NaN there.
        """
        import pandas

        rows = [
            {"mode": mode, "seed": seed} | {metric: values[i] for metric, values in found.items()}
            for mode, found in self.metrics.items()
            for i, seed in enumerate(self.seeds)
        ]
        return pandas.DataFrame(rows)

    def history(self) -> pandas.DataFrame:
        """The headline over time: a row for each step, mode, seed and agent, as in ``metrics.parquet``."""
        import pandas

        return pandas.DataFrame(self.columns())

    def plot(self) -> Figure:
        """The headline over time, as a figure of matplotlib; notebooks show it."""
        from ..reports.plots import curve_figure

        return curve_figure(self)

    def report(self, path: str | Path = "report.html") -> Path:
        """Write a page of HTML that needs no network, as ``studyhall report`` does.

        Pictures of the world are on it where the run had a folder.

        Args:
            path: Of the file.

        Returns:
            The file.

        Raises:
            ConfigError: It cannot be written, or plotly is not installed.
        """
        from .report import report

        return report(self, out=path)

    def save(self, folder: str | Path) -> Path:
        """Write a run's folder, as ``studyhall run`` leaves it, but for checkpoints and pictures.

        Args:
            folder: New or empty.

        Returns:
            The folder.

        Raises:
            ConfigError: It cannot be written, or holds something.
        """
        config = RunConfig(self.scenario, self.seeds, self.device, torch.get_num_threads())
        with RunFolder.create(as_path("folder", folder, ConfigError), config) as made:
            made.finish(self)
            return made.path

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """What the run in a folder found.

        Raises:
            ConfigError: There is no run in it, none that has ended, or its report is not as it was written.
        """
        return cls.of(RunFolder(as_path("folder", folder, ConfigError)).found())

    @classmethod
    def of(cls, report: Report) -> Self:
        """The same, as one of these."""
        return cls(**{field.name: getattr(report, field.name) for field in dataclasses.fields(report)})
