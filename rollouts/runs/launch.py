"""Running a scenario for the command line: folder, progress bar, stopping and taking up again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from ...envs.errors import ConfigError, StudyhallError
from ..reports.report import Report
from ..storage.checkpoints import say_no_checkpoint
from ..storage.folders import own_folder
from ..terminal.interrupts import INTERRUPTED, stop_requests
from .progress import LiveProgress
from .run import Rollout, Stopped
from .run_folder import RunConfig, RunFolder

_PICTURES = 6  # of the world, kept on the way


def launch(
    config: RunConfig, out: Path | None, assignments: Sequence[str], checkpoint_every: float
) -> tuple[RunFolder, Report]:
    """Run from the beginning.

    Args:
        config: What to run.
        out: The run's folder; None takes a free one.
        assignments: The settings given by the user, to be named where a run cannot be set up with them.
        checkpoint_every: Seconds.

    Raises:
        ConfigError: The run cannot be set up, or its folder not be written.
        SystemExit: The user stopped it; a checkpoint was saved.
    """
    run = _set_up(config, f"with {' '.join(assignments)}" if assignments else "")
    with RunFolder.create(out, config) as folder:
        return folder, _to_the_end(run, folder, checkpoint_every)


def take_up(folder: RunFolder, config: RunConfig, checkpoint_every: float) -> Report:
    """Go on from a folder's last checkpoint, or begin where there is none yet; a report that is there is read.

    Args:
        folder: Of the run.
        config: Its config, perhaps on another device.
        checkpoint_every: Seconds.

    Raises:
        ConfigError: The checkpoints cannot be read, are of another configuration, or another process is at work.
        SystemExit: The user stopped it; a checkpoint was saved.
    """
    found = folder.report(config)  # which needs no folder that can be written
    if found is not None:
        print(f"studyhall: {folder.path} has ended; this is what it found", file=sys.stderr)
        return found
    with own_folder(folder.path, "run"):
        run = _set_up(config, f"as {folder.path}/config.json says")
        if not run.load_if_saved(folder.checkpoints):
            say_no_checkpoint("step 0")
        return _to_the_end(run, folder, checkpoint_every)


def _set_up(config: RunConfig, how: str) -> Rollout:
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


def _to_the_end(run: Rollout, folder: RunFolder, checkpoint_every: float) -> Report:
    from ...policies.messages import MessagePolicy
    from ..reports.plots import draw_pictures

    if isinstance(run.policy, MessagePolicy) and not run.policy.about:
        name, policy = run.scenario.name, run.scenario.policy
        print(
            f"studyhall: {policy} is untrained: studyhall train {name}, then --set policy=FOLDER/best.zip",
            file=sys.stderr,
        )
    try:
        with stop_requests() as stop, LiveProgress(run.scenario.name, run.steps, run.done) as live:
            report = run.run(
                on_step=live,
                checkpoint=folder.checkpoints,
                checkpoint_every=checkpoint_every,
                stop=stop,
                pictures=_PICTURES,
                networks=folder.stages,
            )
    except Stopped as stopped:
        print(f"studyhall: {stopped}; go on with: studyhall run --resume {folder.path}", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    if run.pictures:
        draw_pictures(run.pictures, folder.path / "picture.png")
    folder.finish(report)
    return report
