"""``studyhall bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...envs.errors import ConfigError
from ...envs.files import check_writable
from .options import Debug, Json


def bench(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[BEFORE AFTER]", help="Compare two files that --json printed, instead of measuring."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer and shorter measurements: under a minute, with more noise.")
    ] = False,
    world: Annotated[str | None, typer.Option(metavar="ID", help="Only this one; all by default.")] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a PNG of what a step costs by worlds, agents and rows."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure how fast worlds step on one thread of the CPU. And where a step goes, and what it costs by size."""
    from ..bench import report
    from ..terminal import output

    if files:
        if len(files) != 2:
            raise ConfigError(
                f"two files are compared, got {len(files)}: give what was measured before, and after"
            )
        if quick or world is not None or plot is not None:
            raise ConfigError("two files are compared as they are: leave out what says how to measure")
        rows = report.compared(*map(report.read, files))
        if as_json:
            output.print_json({"compared": rows})
        else:
            output.console().print(report.comparison(rows))
        return
    import torch

    from ..bench import measure
    from ..bench.cases import cases_of
    from ..terminal.progress import ProgressBar
    from .memory import keep_memory_of

    if plot is not None:
        check_writable(plot)
    cases, plan = cases_of(world), measure.QUICK if quick else measure.Plan()
    torch.set_num_threads(1)
    keep_memory_of(max(plan.widths))
    command = f"studyhall bench{' --quick' if quick else ''}{f' --world {cases[0].id}' if world else ''}"
    with ProgressBar("bench", len(cases)) as bar:
        found = measure.bench(plan, cases, command, bar.show)
    if plot is not None:
        report.draw(found, plot)
    if as_json:
        output.print_json(found)
    else:
        output.console().print(report.tables(found))
