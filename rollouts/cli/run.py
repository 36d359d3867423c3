"""``studyhall run``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ...envs.errors import ConfigError
from .memory import keep_memory_of
from .options import Debug, Device, Json, Log, Seeds, Settings, Steps, Threads


def run(
    scenario: Annotated[str | None, typer.Argument(help="See `studyhall list scenarios`.")] = None,
    steps: Steps = None,
    seeds: Seeds = None,
    device: Device = None,
    threads: Threads = None,
    assignments: Settings = None,
    controls: Annotated[
        str | None,
        typer.Option(
            help="Modes run beside the open worlds: mute, shuffled, isolated (with commas), or none."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; the next free runs/SCENARIO-N by default.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Folder of a stopped run, to be taken up again.")
    ] = None,
    checkpoint_every: Annotated[float, typer.Option(min=0, help="Seconds between two checkpoints.")] = 20.0,
    log: Log = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run a scenario, all seeds and controls side by side."""
    if scenario is None and resume is None:
        raise ConfigError("which scenario? see `studyhall list scenarios`")
    from ..reports.loggers import loggers_of
    from ..runs.launch import configure, launch, take_up
    from ..runs.run_folder import RunFolder
    from ..settings.parse import own_policy_of, parse_device, parse_seeds
    from ..terminal import output

    loggers = loggers_of(log)
    if scenario is not None and resume is None:
        config = configure(
            scenario,
            assignments=assignments or (),
            steps=steps,
            seeds=None if seeds is None else parse_seeds(seeds),
            controls=controls,
            device="auto" if device is None else device,
            threads=threads or 1,
        )
        keep_memory_of(config.worlds)
        folder, report = launch(config, out, assignments or (), checkpoint_every, log=loggers)
    elif resume is not None:
        if any(given is not None for given in (steps, seeds, threads, controls, out)):
            raise ConfigError("--resume goes on as the run began: leave out what would change it")
        folder = RunFolder(resume)
        config = folder.config(own_policy_of(assignments or ()))
        if scenario not in (None, config.scenario.name):
            raise ConfigError(f"{resume} is a run of {config.scenario.name}, not of {scenario}")
        if device is not None:
            config = dataclasses.replace(config, device=parse_device(device))
        keep_memory_of(config.worlds)
        report = take_up(folder, config, checkpoint_every, log=loggers)
    if as_json:
        output.print_json({"folder": str(folder.path), **report.as_json()})
        return
    from ..reports.tables import result

    output.console().print(result(report))
    output.say(f"{report.seconds:.1f} s on {config.device}; everything is in {folder.path}")
