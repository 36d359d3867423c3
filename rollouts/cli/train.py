"""``studyhall train``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...envs.errors import ConfigError
from .memory import keep_memory_of
from .options import Debug, Json, Log, Threads

if TYPE_CHECKING:
    from ..reports.loggers import Loggers


def train(
    scenario: Annotated[
        str | None, typer.Argument(help="See `studyhall list scenarios`; with --resume it is known.")
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            help="Instead of a scenario: one listener for all tasks of a suite that are not held out. It imitates "
            "the best teacher of each, then learns from reward. Takes --set imitation.KEY=VALUE and "
            "reinforcement.KEY=VALUE, --seed, --threads and --out."
        ),
    ] = None,
    algo: Annotated[
        str | None,
        typer.Option(
            help="ppo or a2c, by reward; es, evolution strategies, for policies of few numbers (linear_bids); in "
            "message worlds also backprop through the channel, the default, or reinforce."
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
        typer.Option(
            min=1,
            help="Of backprop and reinforce: steps of Adam; the scenario's, or 2,000. Of es: generations, 100.",
        ),
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
            "bidders, swarms and other worlds 32; of es candidates × episodes, 64.",
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
    seeds: Annotated[
        str | None,
        typer.Option(
            help="Trains once for each instead: 0,100,200. Then --set may give several values, as of `studyhall sweep`."
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Of backprop and es: auto, cpu, cuda, …; cpu by default.")
    ] = None,
    threads: Threads = None,
    eval_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Agent-steps between two evaluations, 200,000 by default, of bidders 64,000; of backprop 200 updates, "
            "of es 5.",
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
            "algorithm (ppo.learning_rate=0.0003, es.sigma=0.2), policy.KEY=VALUE one of the policy, where it is "
            "trained by backprop or es. May be given several times.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder; the next free runs/SCENARIO-ALGO-N by default.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Folder of a stopped training, to be taken up again.")
    ] = None,
    log: Log = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train the policy of a scenario's world, and keep the best."""
    from ...scenarios import get_scenario

    if suite is not None:
        others = (
            scenario,
            algo,
            timesteps,
            updates,
            cpu_seconds,
            worlds,
            seeds,
            device,
            eval_every,
            eval_worlds,
            resume,
            log,
        )
        if any(given is not None for given in others):
            raise ConfigError(
                "--suite trains one listener: give it --set imitation.KEY=VALUE or reinforcement.KEY=VALUE, --seed, "
                "--threads, --out alone"
            )
        _for_suite(suite, assignments or (), seed or 0, threads, out, as_json)
        return
    if scenario is None and resume is None:
        raise ConfigError("which scenario? see `studyhall list scenarios`")
    if scenario is not None:
        get_scenario(scenario)  # says so where there is none, before what takes seconds to import
    from ..reports.loggers import loggers_of
    from ..settings import parse_device
    from ..terminal import output
    from ..training import carry_out, scenario_of, settle
    from ..training.trained import interrupted

    options = {
        "timesteps": timesteps,
        "updates": updates,
        "cpu_seconds": cpu_seconds,
        "worlds": worlds,
        "eval_every": eval_every,
        "eval_worlds": eval_worlds,
    }
    where, loggers = None if device is None else parse_device(device), loggers_of(log)
    if seeds is not None:
        if scenario is None or resume is not None or seed is not None:
            raise ConfigError(
                "--seeds begins trainings: leave out --seed, and --resume (studyhall sweep --resume does it)"
            )
        _once_for_each(
            scenario, seeds, algo, options, assignments or (), where, threads, out, loggers, as_json
        )
        return
    chosen = get_scenario(scenario or scenario_of(resume or Path()))
    config = settle(
        chosen,
        algorithm=algo,
        assignments=assignments or (),
        out=out,
        resume=resume,
        seed=seed,
        threads=threads,
        device=where,
        **options,
    )
    keep_memory_of(config.worlds)
    found = carry_out(config, out, resume, loggers)
    if as_json:
        output.print_json(found.as_json())
    elif not found.stopped:
        output.say(str(found))
    if found.stopped:
        raise interrupted(found)


def _for_suite(
    suite: str,
    assignments: Sequence[str],
    seed: int,
    threads: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """One listener for a suite."""
    from ...scenarios import get_suite

    chosen = get_suite(suite)  # says so where there is none, before what takes seconds to import
    import torch

    from ..terminal import output
    from ..training.for_suites import configure, train

    torch.set_num_threads(threads or 1)
    words = ["studyhall", "train", "--suite", suite, "--seed", str(seed)]
    words += [] if threads is None else ["--threads", str(threads)]
    for assignment in assignments:
        words += ["--set", assignment]
    found = train(configure(chosen, assignments, seed), out, shlex.join(words))
    if as_json:
        output.print_json({"best": str(found.best), "clone": str(found.clone), "seconds": found.seconds})
        return
    evaluates = shlex.join(["studyhall", "evaluate", str(found.best), "--suite", suite])
    output.say(f"{found.seconds:.0f} s; {evaluates}")


def _once_for_each(
    scenario: str,
    seeds: str,
    algo: str | None,
    options: dict[str, Any],
    assignments: Sequence[str],
    device: str | None,
    threads: int | None,
    out: Path | None,
    loggers: Loggers,
    as_json: bool,
) -> None:
    """A sweep of trainings."""
    from ..runs.sweep import begin_sweep, configure_sweep
    from ..settings.parse import parse_seeds
    from ..settings.points import parse_choices
    from .tables import show_sweep

    given = {name: value for name, value in options.items() if value is not None}
    config = configure_sweep(
        scenario,
        parse_choices(assignments),
        seeds=parse_seeds(seeds),
        device="cpu" if device is None else device,
        threads=threads or 1,
        training=given if algo is None else {**given, "algorithm": algo},
    )
    show_sweep(begin_sweep(config, out, log=loggers), as_json)
