"""Running a scenario from names and numbers: its settings, folder, progress bar, stopping and taking up again.

:func:`rollout` is what code calls; ``studyhall run`` calls the functions that it is made of.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from ...envs.errors import ConfigError, StudyhallError, short, warn
from ...envs.files import as_path
from ...envs.validation import mapping
from ...scenarios import Scenario, get_scenario
from ..reports.events import following
from ..reports.loggers import NO_LOGGERS, Loggers, loggers_of
from ..settings.customise import check_policy_fits, customise, dropped_policy_settings
from ..settings.parse import Assignments, parse_controls, parse_device
from ..storage.checkpoints import say_no_checkpoint
from ..storage.folders import own_folder
from ..terminal.interrupts import Stopped, stop_requests
from .progress import LiveProgress
from .result import Result
from .run import Live, Rollout, seeds_of
from .run_folder import RunConfig, RunFolder

OnStep = Callable[[Live], None]

_PICTURES = 6  # of the world, kept on the way: drawing one takes longer than many steps


def rollout(
    scenario: Scenario | str | None = None,
    *,
    seeds: int | Iterable[int] | None = None,
    steps: int | None = None,
    controls: str | Iterable[str] | None = None,
    policy: str | None = None,
    policy_kwargs: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    device: str | None = None,
    progress: bool = False,
    on_step: OnStep | None = None,
    log: str | Iterable[str] | None = None,
    checkpoint_every: float = 20.0,
    **changes: Any,
) -> Result:
    """Run a scenario to its end, as ``studyhall run`` does; see :class:`Rollout` for stepping and saving by hand.

    Args:
        scenario: What to run, or the name of one that is registered.
        seeds: World seeds; a number is that one seed, as on the command line, and None takes the scenario's.
        steps: Length of an episode; None takes the scenario's.
        controls: Modes run beside the open worlds, e.g. ``"mute"`` or ``["mute", "isolated"]``, none if empty; None
            takes the scenario's.
        policy: Name of another policy, which has its own defaults.
        policy_kwargs: Arguments of the policy.
        out: Folder to write, new or empty, which keeps checkpoints on the way; None writes nothing.
        resume: Folder of a stopped run, to be taken up again, instead of a scenario and its settings; of one that has
            ended, what it found is read.
        device: Where the tensors live: the CPU where not told, or where a run that is resumed was; ``"auto"`` is the
            GPU where there is one.
        progress: Whether a bar is drawn, on a terminal or in a notebook.
        on_step: Is told the live figures, some ten times a second and at the last step.
        log: Loggers that are told the curves as they are made, ``"wandb"`` or ``"mlflow"``, or both; each mode is a run
            there. Of a run that is resumed they are told everything.
        checkpoint_every: Seconds between two checkpoints, where there is a folder.
        **changes: Arguments of the world, e.g. ``topology="ring"``.

    Returns:
        What was found; it prints as a table.

    Raises:
        UnknownName: No such scenario, policy or argument; lists the near ones.
        ConfigError: A value that cannot be, or a folder that cannot be used.
        Stopped: The user stopped a run that has a folder; a checkpoint was saved.
    """
    assignments = {**changes, **({} if policy is None else {"policy": policy})}
    assignments |= {
        f"policy.{name}": value for name, value in mapping("policy_kwargs", policy_kwargs).items()
    }
    loggers = loggers_of(log)
    if resume is not None:
        given = (seeds, steps, controls, out, policy_kwargs)
        if scenario is not None or changes or any(value is not None for value in given):
            raise ConfigError(
                "resume goes on as the run began: leave out what would change it, but for device, and a policy of "
                "your own"
            )
        folder = RunFolder(as_path("resume", resume, ConfigError))
        config = folder.config(policy)
        if device is not None:
            config = dataclasses.replace(config, device=parse_device(device))
        return take_up(folder, config, checkpoint_every, progress=progress, on_step=on_step, log=loggers)
    if scenario is None:
        raise ConfigError("which scenario? give its name, e.g. rollout('classroom-digits')")
    config = configure(
        scenario,
        assignments=assignments,
        steps=steps,
        seeds=None if seeds is None else seeds_of(seeds),
        controls=controls,
        device="cpu" if device is None else device,
        threads=torch.get_num_threads(),
    )
    if out is not None:
        shown: dict[str, Any] = {"progress": progress, "on_step": on_step, "log": loggers}
        return launch(config, as_path("out", out, ConfigError), assignments, checkpoint_every, **shown)[1]
    run = set_up(config, _as_given(assignments))
    with _shown(run, progress, on_step) as tell, following(run.report, loggers, None) as follow:
        return run.run(on_step=tell, after_step=follow if loggers else None)


def configure(
    scenario: Scenario | str,
    *,
    assignments: Assignments = (),
    steps: int | None = None,
    seeds: tuple[int, ...] | None = None,
    controls: str | Iterable[str] | None = None,
    device: str = "auto",
    threads: int = 1,
) -> RunConfig:
    """What is run, as a user says it; None takes the scenario's. Warns where another policy drops settings.

    Args:
        scenario: The scenario, or its name.
        assignments: Changes of it; see `settings/customise.py`.
        steps: Length of an episode.
        seeds: Checked ones.
        controls: As text, ``"mute,isolated"`` or ``"none"``, or by name.
        device: As torch names it, or "auto".
        threads: CPU threads.

    Raises:
        UnknownName: No such scenario, policy or argument; lists the near ones.
        ConfigError: A value that cannot be.
    """
    found = scenario if isinstance(scenario, Scenario) else get_scenario(scenario)
    chosen = customise(
        found,
        assignments=assignments,
        steps=steps,
        controls=None if controls is None else parse_controls(controls),
    )
    check_policy_fits(chosen, assignments)
    if line := dropped_policy_settings(found, chosen):
        warn(line)
    return RunConfig(
        scenario=chosen,
        seeds=chosen.seeds if seeds is None else seeds,
        device=parse_device(device),
        threads=threads,
    )


def launch(
    config: RunConfig,
    out: Path | None,
    assignments: Assignments,
    checkpoint_every: float,
    *,
    progress: bool = True,
    on_step: OnStep | None = None,
    pictures: int = _PICTURES,
    log: Loggers = NO_LOGGERS,
) -> tuple[RunFolder, Result]:
    """Run from the beginning.

    Args:
        config: What to run.
        out: The run's folder; None takes a free one.
        assignments: The settings given by the user, to be named where a run cannot be set up with them.
        checkpoint_every: Seconds.
        progress: Whether a bar is drawn.
        on_step: Is told the live figures.
        pictures: How many of the first open world to keep, at most.
        log: Loggers that are told, as of :func:`~studyhall.rollouts.reports.loggers.loggers_of`.

    Raises:
        ConfigError: The run cannot be set up, or its folder not be written.
        Stopped: The user stopped it; a checkpoint was saved.
    """
    run = set_up(config, _as_given(assignments))
    with RunFolder.create(out, config) as folder:
        return folder, _to_the_end(run, folder, checkpoint_every, progress, on_step, pictures, log)


def take_up(
    folder: RunFolder,
    config: RunConfig,
    checkpoint_every: float,
    *,
    progress: bool = True,
    on_step: OnStep | None = None,
    pictures: int = _PICTURES,
    log: Loggers = NO_LOGGERS,
) -> Result:
    """Go on from a folder's last checkpoint, or begin where there is none yet; a report that is there is read.

    Args:
        folder: Of the run.
        config: Its config, perhaps on another device.
        checkpoint_every: Seconds.
        progress: Whether a bar is drawn.
        on_step: Is told the live figures.
        pictures: How many of the first open world to keep, at most.
        log: Loggers that are told, as of :func:`~studyhall.rollouts.reports.loggers.loggers_of`.

    Raises:
        ConfigError: The checkpoints cannot be read, are of another configuration, or another process is at work.
        Stopped: The user stopped it; a checkpoint was saved.
    """
    found = folder.report(config)  # which needs no folder that can be written
    if found is not None:
        print(f"studyhall: {folder.path} has ended; this is what it found", file=sys.stderr)
        return Result.of(found)
    with own_folder(folder.path, "run"):
        run = set_up(config, f"as {folder.path}/config.json says")
        if not run.load_if_saved(folder.checkpoints):
            say_no_checkpoint("step 0")
        return _to_the_end(run, folder, checkpoint_every, progress, on_step, pictures, log)


def _as_given(assignments: Assignments) -> str:
    """How a run was asked for, to be named where it cannot be set up so; empty for nothing."""
    if isinstance(assignments, Mapping):
        assignments = [f"{name}={short(value)}" for name, value in assignments.items()]
    return f"with {' '.join(assignments)}" if assignments else ""


def set_up(config: RunConfig, how: str) -> Rollout:
    """The run at its beginning; ``how`` it was asked for, to be named where it cannot be set up so."""
    torch.set_num_threads(config.threads)
    try:
        return Rollout(config.scenario, seeds=config.seeds, device=config.device)
    except StudyhallError:
        raise
    except (TypeError, ValueError, RuntimeError) as fault:  # what torch makes of, say, a width below zero
        if not how:
            raise
        first = str(fault).partition("\n")[0]
        raise ConfigError(f"the run cannot be set up {how}: {first}") from fault


@contextlib.contextmanager
def _shown(run: Rollout, progress: bool, on_step: OnStep | None) -> Iterator[OnStep | None]:
    """What is told of a run's steps: a bar, where there is to be one, and whoever else asked."""
    if not progress:
        yield on_step
        return
    with LiveProgress(run.scenario.name, run.steps, run.done) as bar:

        def tell(live: Live) -> None:
            bar(live)
            if on_step is not None:
                on_step(live)

        yield tell


def _to_the_end(
    run: Rollout,
    folder: RunFolder,
    checkpoint_every: float,
    progress: bool,
    on_step: OnStep | None,
    pictures: int,
    log: Loggers,
) -> Result:
    from ...policies.messages import MessagePolicy

    if isinstance(run.policy, MessagePolicy) and not run.policy.about:
        name, policy = run.scenario.name, run.scenario.policy
        print(
            f"studyhall: {policy} is untrained: studyhall train {name}, then --set policy=FOLDER/best.zip",
            file=sys.stderr,
        )
    try:
        with (
            stop_requests() as stop,
            following(run.report, log, folder.path) as follow,
            _shown(run, progress, on_step) as tell,
        ):
            report = run.run(
                on_step=tell,
                checkpoint=folder.checkpoints,
                checkpoint_every=checkpoint_every,
                stop=stop,
                pictures=pictures,
                networks=folder.stages,
                after_step=follow if log else None,
            )
    except Stopped as stopped:
        raise Stopped(stopped.step, stopped.steps, f"studyhall run --resume {folder.path}") from None
    if run.pictures:
        from ...envs.engine.drawing import write_pictures

        write_pictures(run.pictures, folder.path / "picture.png")
    folder.finish(report)
    return report
