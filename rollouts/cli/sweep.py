"""``studyhall sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...envs.errors import ConfigError
from .options import Debug, Device, Json, Log, Seeds, Steps, Threads


def sweep(
    scenario: Annotated[
        str | None, typer.Argument(help="See `studyhall list scenarios`; with --resume it is known.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=V1,V2,…",
            help="Values of an argument to try, as of `studyhall run`; with --samples also KEY=uniform(LOW,HIGH) or "
            "KEY=loguniform(LOW,HIGH). May be given several times.",
        ),
    ] = None,
    seeds: Seeds = None,
    steps: Steps = None,
    controls: Annotated[
        str | None, typer.Option(help="Modes run beside the open worlds, as of `studyhall run`.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Draw so many points instead of trying all combinations.")
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="tpe or gp, of Optuna (extra sweep): chooses each of --samples points by what was found before, "
            "so that --metric gets high."
        ),
    ] = None,
    lower: Annotated[bool, typer.Option("--lower", help="With --sampler: so that it gets low.")] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the draws, 0 by default.")] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="In the table; a class's mean test accuracy, of other worlds the headline by default."
        ),
    ] = None,
    device: Device = None,
    threads: Threads = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder; the next free runs/SCENARIO-sweep-N by default.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Folder of a stopped sweep, of runs or trainings, to be taken up again."),
    ] = None,
    log: Log = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run a scenario with many settings. Each has a folder of its own, and what was found is in one table."""
    if scenario is None and resume is None:
        raise ConfigError("which scenario? see `studyhall list scenarios`")
    from ..reports.loggers import loggers_of
    from ..runs.sweep import begin_sweep, configure_sweep, take_up_sweep
    from ..settings.parse import parse_seeds
    from ..settings.points import parse_choices
    from .tables import show_sweep

    choices, loggers = parse_choices(assignments or ()), loggers_of(log)
    if resume is not None:
        begun = (scenario, seeds, steps, controls, samples, sampler, seed, device, threads, out)
        if lower or any(given is not None for given in begun):
            raise ConfigError("--resume goes on as the sweep began: leave out what would change it")
        show_sweep(take_up_sweep(resume, choices, metric, loggers), as_json)
        return
    config = configure_sweep(
        scenario or "",
        choices,
        seeds=None if seeds is None else parse_seeds(seeds),
        steps=steps,
        controls=controls,
        device="auto" if device is None else device,
        threads=threads or 1,
        samples=samples,
        sampler=sampler,
        lower=lower,
        seed=seed or 0,
        metric=metric,
    )
    show_sweep(begin_sweep(config, out, metric, loggers), as_json)
