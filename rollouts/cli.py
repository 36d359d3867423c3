"""The command line: ``studyhall``, or ``python -m studyhall``.

Commands here only read arguments and print; the work is done by the modules beside this one, which are
imported when a command needs them, so that ``--help`` is quick.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..envs.errors import ConfigError, StudyhallError
from .interrupts import INTERRUPTED, quit_on_interrupt, raise_on_interrupt
from .terminal import fit_any_code_page, warnings_in_one_line

if TYPE_CHECKING:
    from .run import Rollout
    from .run_folder import RunConfig

_DEBUG = "--debug"

app = typer.Typer(
    name="studyhall",
    help="Worlds in which neural networks learn from each other.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")]
Debug = Annotated[bool, typer.Option(_DEBUG, help="Show the traceback of an error.")]
Device = Annotated[str | None, typer.Option(help="auto (the GPU where there is one), cpu, cuda, cuda:1, …")]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=4096,
        help="CPU threads, 1 by default: classes are small, and with more threads figures may differ in the "
        "last digits.",
    ),
]
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
        output.print_json(found)
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
        output.print_json(clinic.as_json(checks))
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
    threads: Threads = None,
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
    from .launch import launch, take_up
    from .run_folder import RunFolder
    from .settings import own_policy_of, parse_device

    if resume is None:
        config = _config(scenario, steps, seeds, device, threads, assignments or (), controls)
        folder, report = launch(config, out, assignments or (), checkpoint_every)
    else:
        if any(given is not None for given in (steps, seeds, threads, controls, out)):
            raise ConfigError("--resume goes on as the run began: leave out what would change it")
        folder = RunFolder(resume)
        config = folder.config(own_policy_of(assignments or ()))
        if scenario not in (None, config.scenario.name):
            raise ConfigError(f"{resume} is a run of {config.scenario.name}, not of {scenario}")
        if device is not None:
            config = dataclasses.replace(config, device=parse_device(device))
        report = take_up(folder, config, checkpoint_every)
    if as_json:
        output.print_json({"folder": str(folder.path), "device": config.device, **report.as_json()})
        return
    from .tables import result

    output.console().print(result(report))
    output.console().print(f"{report.seconds:.1f} s on {config.device}; everything is in {folder.path}")


def _config(
    scenario: str | None,
    steps: int | None,
    seeds: str | None,
    device: str | None,
    threads: int | None,
    assignments: Sequence[str],
    controls: str | None,
) -> RunConfig:
    """What the options of ``run`` say."""
    from ..scenarios import get_scenario
    from .run_folder import RunConfig
    from .settings import check_policy_fits, customise, left_behind, parse_controls, parse_device, parse_seeds

    if scenario is None:
        raise ConfigError("which scenario? see `studyhall list scenarios`")
    found = get_scenario(scenario)
    chosen = customise(
        found,
        assignments=assignments,
        steps=steps,
        controls=None if controls is None else parse_controls(controls),
    )
    check_policy_fits(chosen, assignments)
    if line := left_behind(found, chosen):
        print(f"studyhall: {line}", file=sys.stderr)
    return RunConfig(
        scenario=chosen,
        seeds=chosen.seeds if seeds is None else parse_seeds(seeds),
        device=parse_device(device or "auto"),
        threads=threads or 1,
    )


@app.command()
def train(
    scenario: Annotated[
        str | None, typer.Argument(help="See `studyhall list scenarios`; with --resume it is known.")
    ] = None,
    algo: Annotated[
        str | None,
        typer.Option(
            help="ppo or a2c, by reward; in message worlds also backprop through the channel, the default, or "
            "reinforce."
        ),
    ] = None,
    timesteps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of ppo and a2c: agent-steps, worlds × agents × steps; 1,000,000, of bidders 640,000, of swarms and "
            "other worlds 4,000,000.",
        ),
    ] = None,
    updates: Annotated[
        int | None,
        typer.Option(min=1, help="Of backprop and reinforce: steps of Adam; the scenario's, or 2,000."),
    ] = None,
    cpu_seconds: Annotated[
        float | None,
        typer.Option(min=0, help="Of backprop and reinforce: processor time after which to stop."),
    ] = None,
    worlds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Worlds side by side; 64 by default, 512 in message worlds, of backprop 1, of reinforce 128, of "
            "bidders, swarms and other worlds 32.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Of everything that is random, 0 by default. Worlds get the seeds SEED … SEED + WORLDS − 1: give "
            "seeds at least WORLDS apart for independent trainings.",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Of backprop: auto, cpu, cuda, …; cpu by default.")
    ] = None,
    threads: Threads = None,
    eval_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Agent-steps between two evaluations, 200,000 by default, of bidders 64,000; of backprop 200 updates.",
        ),
    ] = None,
    eval_worlds: Annotated[
        int | None,
        typer.Option(min=1, help="Held-out worlds of an evaluation, 16 by default; of backprop 8 slices."),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="KEY=VALUE sets an argument of the world (agents=8), ppo.KEY=VALUE or backprop.KEY=VALUE one of the "
            "algorithm (ppo.learning_rate=0.0003), policy.KEY=VALUE one of the policy, where it is trained by "
            "backprop. May be given several times.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder; the next free runs/SCENARIO-ALGO-N by default.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Folder of a stopped training, to be taken up again.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train the policy of a scenario's world, and keep the best."""
    from ..scenarios import get_scenario
    from . import output
    from .run_folder import resumed_scenario

    if scenario is None and resume is None:
        raise ConfigError("which scenario? see `studyhall list scenarios`")
    name = scenario or resumed_scenario(resume or Path())
    chosen = get_scenario(name)  # before what takes seconds to import
    from .settings import parse_device
    from .trained import interrupted
    from .training import begin

    found = begin(
        chosen,
        algorithm=algo,
        assignments=assignments or (),
        out=out,
        resume=resume,
        timesteps=timesteps,
        updates=updates,
        cpu_seconds=cpu_seconds,
        worlds=worlds,
        seed=seed,
        threads=threads,
        eval_every=eval_every,
        eval_worlds=eval_worlds,
        device=None if device is None else parse_device(device),
    )
    if as_json:
        output.print_json(found.as_json())
    elif not found.stopped:
        took = f"{found.counted(found.timesteps)} took {found.seconds:.0f} s"
        output.console().print(f"{found.told()}; {took}", markup=False, soft_wrap=True)
        settings = (word for text in found.run_with() for word in ("--set", text))
        words = ["studyhall", "run", chosen.name, *settings]
        output.console().print(shlex.join(words), markup=False, soft_wrap=True)
    if found.stopped:
        raise interrupted(found)


@app.command()
def reproduce(
    system: Annotated[
        str | None,
        typer.Argument(help="E.g. classroom, or one of its scenarios; every system by default."),
    ] = None,
    seeds: Seeds = None,
    steps: Steps = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A short run of 2 seeds, whose figures are not comparable.")
    ] = False,
    device: Device = None,
    threads: Threads = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write everything measured to this JSON file; until the end it is FILE.part."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Hold documented figures beside measured ones."""
    import torch

    from . import output
    from .progress import LiveProgress
    from .reproduce import reproduce as entries_of
    from .reproduce import scenarios_of, too_short
    from .reproduction_file import ReproductionFile
    from .settings import parse_device, parse_seeds

    where = parse_device(device or "auto")
    torch.set_num_threads(threads or 1)
    scenarios = scenarios_of(system)
    chosen = None if seeds is None else parse_seeds(seeds)
    found = _reproduction(system, where)
    file = None if out is None else ReproductionFile(out)
    if file is not None:
        file.write(found)  # a file that cannot be written is found before the long work
    budgets = too_short(scenarios, steps=steps, quick=quick)
    if budgets:
        names = ", ".join(f"{name} ({calls:,} calls)" for name, calls in budgets.items())
        print(
            f"studyhall: too few steps to spend the teacher's budget, the peer phase does not begin: {names}",
            file=sys.stderr,
        )
    try:
        with raise_on_interrupt(), ExitStack() as shown:

            def watch(rollout: Rollout) -> LiveProgress:
                shown.close()  # the bar of the run before
                return shown.enter_context(LiveProgress(rollout.scenario.name, rollout.steps))

            for entry in entries_of(
                scenarios, seeds=chosen, steps=steps, quick=quick, device=where, watch=watch
            ):
                found["unmeasured" if "unmeasured" in entry else "scenarios"].append(entry)
                if file is not None:
                    file.write(found)
    except KeyboardInterrupt:
        done = f"{len(found['scenarios'])} of {len(scenarios)} scenarios measured"
        kept = "nothing is kept without --out" if file is None else f"they are in {file.unfinished}"
        print(f"studyhall: stopped with {done}; {kept}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    if file is not None:
        file.finish(found)
    if as_json:
        output.print_json(found)
    elif found["scenarios"]:
        from .tables import claims, comparison

        console = output.console()
        if not all(entry["comparable"] for entry in found["scenarios"]):
            console.print(
                "Shortened runs: these figures are not comparable with the documented ones.", style="yellow"
            )
        console.print(claims(found["scenarios"]))
        console.print(comparison(found["scenarios"]))
    for entry in found["unmeasured"]:
        print(f"studyhall: {entry['name']} is not measured: {entry['unmeasured']}", file=sys.stderr)
    if found["unmeasured"]:
        raise typer.Exit(2)


def _reproduction(system: str | None, device: str) -> dict[str, Any]:
    import torch

    from .. import __version__

    versions = {"studyhall": __version__, "torch": torch.__version__}
    return {"system": system, "device": device, "versions": versions, "scenarios": [], "unmeasured": []}


def _version(asked: bool) -> None:
    if asked:
        from .. import __version__

        typer.echo(f"studyhall {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    """Worlds in which neural networks learn from each other."""


def main(arguments: list[str] | None = None) -> None:
    """Entry point: a user's mistake is one line on standard error and exit code 2."""
    given = sys.argv[1:] if arguments is None else arguments
    fit_any_code_page()
    os.environ["MPLBACKEND"] = "agg"  # no window is opened, and what the environment says may not be there
    try:
        with quit_on_interrupt(), warnings_in_one_line():
            app(given, prog_name="studyhall")
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (StudyhallError, OSError) as fault:
        if _DEBUG in given:
            raise
        print(f"studyhall: {' '.join(str(fault).split())}", file=sys.stderr)
        sys.exit(2)
