"""The command line: ``studyhall``, or ``python -m studyhall``.

Commands here only read arguments and print; the work is done by the modules beside this one, which are
imported when a command needs them, so that ``--help`` is quick.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..envs.errors import ConfigError, StudyhallError

if TYPE_CHECKING:
    from .report import Report
    from .run import Rollout
    from .run_folder import RunConfig, RunFolder

_DEBUG = "--debug"

app = typer.Typer(
    name="studyhall",
    help="Worlds in which neural networks learn from each other.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")]
Debug = Annotated[bool, typer.Option(_DEBUG, help="Show the traceback of an error.")]
Device = Annotated[str | None, typer.Option(help="auto (the GPU where there is one), cpu, cuda, cuda:1, …")]
Seeds = Annotated[
    str | None, typer.Option(help="One world each: 3, 0-4 or 0,2,5; the scenario's by default.")
]
Steps = Annotated[int | None, typer.Option(min=1, help="Length of an episode; the scenario's by default.")]


@app.command("list")
def list_command(
    kind: Annotated[
        str | None, typer.Argument(metavar="[envs|policies|scenarios|data]", help="All by default.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List worlds, policies, scenarios, data sets."""
    from . import output
    from .catalogue import catalogue

    found = catalogue(kind)
    if as_json:
        print(output.as_json(found))
        return
    from .tables import listing

    for name, rows in found.items():
        output.console().print(listing(name, rows))


@app.command()
def doctor(as_json: Json = False, debug: Debug = False) -> None:
    """Check that everything works here."""
    from . import doctor as clinic
    from . import output

    checks = clinic.examine()
    if as_json:
        print(output.as_json(clinic.as_json(checks)))
    else:
        from .tables import examination

        output.console().print(examination(checks))
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


@app.command()
def run(
    scenario: Annotated[str | None, typer.Argument(help="See `studyhall list scenarios`.")] = None,
    steps: Steps = None,
    seeds: Seeds = None,
    device: Device = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="KEY=VALUE sets an argument of the world (horizon=200), policy.KEY=VALUE one of the policy "
            "(policy.lr=0.01), policy=NAME takes another policy, with its own defaults. VALUE is JSON, else "
            "text. May be given several times.",
        ),
    ] = None,
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
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run a scenario, all seeds and controls side by side."""
    from . import output
    from .run_folder import RunConfig, RunFolder
    from .settings import customise, parse_controls, parse_device, parse_seeds

    if resume is not None:
        if any(given is not None for given in (steps, seeds, assignments, controls, out)):
            raise ConfigError(
                "--resume goes on as the run began: only --device, --checkpoint-every may be given"
            )
        folder = RunFolder(resume)
        config = folder.config()
        if scenario not in (None, config.scenario.name):
            raise ConfigError(f"{resume} is a run of {config.scenario.name}, not of {scenario}")
        if device is not None:
            config = RunConfig(config.scenario, config.seeds, parse_device(device))
        report = folder.report() or _simulate(config, folder, checkpoint_every, taken_up=True)
    else:
        if scenario is None:
            raise ConfigError("which scenario? see `studyhall list scenarios`")
        from ..scenarios import get_scenario

        chosen = customise(
            get_scenario(scenario),
            assignments=assignments or (),
            steps=steps,
            controls=None if controls is None else parse_controls(controls),
        )
        config = RunConfig(
            chosen,
            chosen.seeds if seeds is None else parse_seeds(seeds),
            parse_device(device or "auto"),
        )
        rollout = _prepare(config, assignments or [])
        folder = RunFolder.create(out, config)
        report = _simulate(config, folder, checkpoint_every, rollout=rollout)
    if as_json:
        print(output.as_json({"folder": str(folder.path), "device": config.device, **report.as_json()}))
        return
    from .tables import result

    output.console().print(result(report))
    output.console().print(f"{report.seconds:.1f} s on {config.device}; everything is in {folder.path}")


def _prepare(config: RunConfig, assignments: list[str]) -> Rollout:
    """Set up a run; what a user's own settings make impossible is the user's to mend."""
    from .run import Rollout

    try:
        return Rollout(config.scenario, seeds=config.seeds, device=config.device)
    except StudyhallError:
        raise
    except (TypeError, ValueError, RuntimeError) as fault:  # what torch makes of, say, a width below zero
        if not assignments:
            raise
        first = str(fault).splitlines()[0]
        raise ConfigError(f"the run cannot be set up with {' '.join(assignments)}: {first}") from fault


def _simulate(
    config: RunConfig,
    folder: RunFolder,
    checkpoint_every: float,
    *,
    rollout: Rollout | None = None,
    taken_up: bool = False,
) -> Report:
    """Run to the end with a progress bar, saving on the way, and fill the folder."""
    from .interrupts import stop_requests
    from .progress import LiveProgress
    from .run import Stopped

    rollout = rollout or _prepare(config, [])
    if taken_up:
        rollout.load(folder.checkpoints)
    try:
        with stop_requests() as stop, LiveProgress(config.scenario.name, rollout.steps, rollout.done) as live:
            report = rollout.run(
                on_step=live, checkpoint=folder.checkpoints, checkpoint_every=checkpoint_every, stop=stop
            )
    except Stopped as stopped:
        _complain(f"{stopped}; go on with: studyhall run --resume {folder.path}")
        raise typer.Exit(130) from None
    folder.finish(report)
    return report


@app.command()
def reproduce(
    system: Annotated[str | None, typer.Argument(help="E.g. classroom; every system by default.")] = None,
    seeds: Seeds = None,
    steps: Steps = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A short run of 2 seeds, whose figures are not comparable.")
    ] = False,
    device: Device = None,
    out: Annotated[Path | None, typer.Option(help="Write everything measured to this JSON file.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Hold documented figures beside measured ones."""
    from . import output
    from .progress import LiveProgress
    from .reproduce import reproduce as entries_of
    from .reproduce import scenarios_of
    from .settings import parse_device, parse_seeds

    where = parse_device(device or "auto")
    scenarios = scenarios_of(system)
    chosen = None if seeds is None else parse_seeds(seeds)
    found = _reproduction(system, where)
    if out is not None:
        _write(out, found)
    bars: list[LiveProgress] = []

    def watch(rollout: Rollout) -> LiveProgress:
        for bar in bars:
            bar.__exit__(None, None, None)
        bars[:] = [LiveProgress(rollout.scenario.name, rollout.steps).__enter__()]
        return bars[0]

    try:
        for entry in entries_of(scenarios, seeds=chosen, steps=steps, quick=quick, device=where, watch=watch):
            found["scenarios"].append(entry)
            if out is not None:
                _write(out, found)
    finally:
        for bar in bars:
            bar.__exit__(None, None, None)
    if as_json:
        print(output.as_json(found))
        return
    from .tables import claims, comparison

    console = output.console()
    if not all(entry["comparable"] for entry in found["scenarios"]):
        console.print(
            "Shortened runs: these figures are not comparable with the documented ones.", style="yellow"
        )
    console.print(claims(found["scenarios"]))
    console.print(comparison(found["scenarios"]))


def _reproduction(system: str | None, device: str) -> dict[str, Any]:
    import torch

    from .. import __version__

    versions = {"studyhall": __version__, "torch": torch.__version__}
    return {"system": system, "device": device, "versions": versions, "scenarios": []}


def _write(path: Path, found: dict[str, Any]) -> None:
    from .output import as_json, write_text

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, as_json(found, indent=1) + "\n")
    except OSError as fault:
        raise ConfigError(
            f"cannot write {path} ({fault.strerror}): choose another file with --out"
        ) from fault


def _complain(message: str) -> None:
    print(f"studyhall: {' '.join(message.split())}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> None:
    """Entry point: a user's mistake is one line on standard error and exit code 2."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        app(given, prog_name="studyhall")
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (StudyhallError, OSError) as fault:
        if _DEBUG in given:
            raise
        _complain(str(fault))
        sys.exit(2)
