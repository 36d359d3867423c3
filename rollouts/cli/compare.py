"""``studyhall compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Debug, Json


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN…", help="Folders of runs; the first is what others are held against."),
    ],
    metric: Annotated[
        str | None,
        typer.Option(
            help="As in report.json; a class's mean test accuracy, of other worlds the headline by default."
        ),
    ] = None,
    mode: Annotated[str, typer.Option(help="open, or a control that ran in all.")] = "open",
    lower: Annotated[bool, typer.Option("--lower", help="A lower value is the better one.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a PNG of means and performance profiles.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Hold runs of one world and the same seeds beside each other."""
    from ..runs.compare import compare as compared
    from ..terminal import output

    found = compared(*runs, metric=metric, mode=mode, lower=lower)
    if plot is not None:
        found.save_plot(plot)
    if as_json:
        output.print_json(found.as_json())
        return
    from ..reports.compare import table

    output.console().print(table(found))
