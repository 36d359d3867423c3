"""Training message policies through the channel: losses of the world, by gradient, back to whoever spoke.

=====================  =================================================================================
``config.json``        everything needed to train it again
``best.zip``           the weights with the lowest loss on validation slices so far, the untrained ones among them
``last.zip``           the weights as training left them
``checkpoint.pt``      where a stopped training can be taken up again (``--resume``); ``checkpoint-before.pt``: before
``tensorboard/``       events: the loss in training, and on validation slices
=====================  =================================================================================

Training slices come from the stream split, validation slices from the exam split, which message worlds do not use
otherwise; the test split is for runs and reports only. Symbols without a gradient (``estimator="sampled"``) are learnt
by REINFORCE in the same loop; see `policies/messages/speech.py`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..envs.engine.saving import Misfit, check_fits
from ..policies.registration import is_own
from .backprop_config import OF_RESUME, BackpropConfig, BackpropSettings, configure, resumed
from .backprop_training import Training
from .checkpoints import CHECKPOINT, Checkpoints, check_evaluations, say_no_checkpoint
from .figures import figure
from .interrupts import stop_requests
from .trained import Trained, TrainingProgress, checkpoints_of, describe, training_folder, world_settings

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = [
    "CHECKPOINT",
    "BackpropConfig",
    "BackpropSettings",
    "Training",
    "configure",
    "resumed",
    "train",
]


def train(config: BackpropConfig, out: Path | None = None, *, resume: bool = False) -> Trained:
    """Train, evaluate on the way, and keep the best and the last.

    A first Ctrl-C stops after the running update; what was best by then is kept, and ``resume`` goes on.

    Args:
        config: What to train.
        out: The folder; None takes the first free ``runs/<scenario>-<algorithm>-<n>``.
        resume: Whether ``out`` holds a training of the same config that is to be taken up again.

    Raises:
        ConfigError: It cannot be set up, the folder not be written, or its checkpoint not be read.
    """
    from torch.utils.tensorboard import SummaryWriter  # takes a second

    torch.set_num_threads(config.threads)
    training = Training(config)
    with training_folder(out, config, resume=resume) as folder:
        found = Trained(folder, "loss")
        checkpoints = checkpoints_of(folder, config, OF_RESUME)
        if resume:
            _take_up(training, found, checkpoints)
            describe(folder, config)
        found.per_update = training.world.num_worlds * training.world.num_agents * training.world.horizon
        before, begun = found.seconds, time.perf_counter()
        bar = TrainingProgress(config.scenario.name, 1000)
        found.policy = config.scenario.policy if is_own(config.scenario.policy) else None
        found.world = [
            text for text in world_settings(config.scenario) if not text.startswith(("mode=", "slice_size="))
        ]
        with stop_requests() as stop, bar, SummaryWriter(str(folder / "tensorboard")) as events:
            _loop(training, found, checkpoints, bar, stop, events)
            found.stopped = stop() and training.progress < 1
        found.seconds = before + time.perf_counter() - begun
        _keep(training, found, checkpoints)
        training.save_weights(folder / "last.zip")
    return found


def _loop(
    training: Training,
    found: Trained,
    checkpoints: Checkpoints,
    bar: TrainingProgress,
    stop: Callable[[], bool],
    events: SummaryWriter,
) -> None:
    """Update until the end, or until asked to stop."""
    loss, shown = math.nan, 0.0
    while True:
        over = training.progress >= 1
        due = over or training.done % training.config.eval_every == 0
        if due and _evaluate(training, found, checkpoints, bar):
            events.add_scalar("eval/loss", found.evaluations[-1][1], training.done)
            if not math.isnan(loss):
                events.add_scalar("train/loss", loss, training.done)
        if over or stop():
            return
        now = training.update()
        loss = now if math.isnan(loss) else 0.98 * loss + 0.02 * now
        if time.perf_counter() - shown >= 0.1:
            shown = time.perf_counter()
            last = figure(found.evaluations[-1][1]) if found.evaluations else "–"
            figures = f"update {training.done:,} · loss {loss:.4f} · on held-out worlds {last}"
            bar.show(round(1000 * training.progress), figures)


def _evaluate(training: Training, found: Trained, checkpoints: Checkpoints, bar: TrainingProgress) -> bool:
    """Evaluate the weights as they are now, unless that was just done, and keep them if they are the best.

    Returns:
        Whether there was something to evaluate.
    """
    if found.evaluations and found.evaluations[-1][0] == training.timesteps:
        return False
    value = training.evaluate()
    best = found.evaluated(training.timesteps, value)
    bar.tell(f"loss on held-out worlds {figure(value)} after {training.done:,} updates")
    if best:
        training.save_weights(found.folder / "best.zip")
    _keep(training, found, checkpoints)
    return True


def _keep(training: Training, found: Trained, checkpoints: Checkpoints) -> None:
    """Write the checkpoint, whole or not at all."""
    found.timesteps = training.timesteps
    checkpoints.write(
        training.state_dict() | {"evaluations": found.evaluations, "seconds": float(found.seconds)}
    )


def _take_up(training: Training, found: Trained, checkpoints: Checkpoints) -> None:
    """Put a training where its last checkpoint left it, and note what it had found; where there is none, it begins."""
    if not checkpoints.exist:
        say_no_checkpoint("update 0")
        return
    saved = checkpoints.read(training.world.device)
    try:
        evaluations = check_evaluations(saved.pop("evaluations", None))
        seconds = saved.pop("seconds", None)
        check_fits(seconds, 0.0, "seconds")
        training.check(saved)
    except Misfit as fault:
        raise checkpoints.misfit(fault) from fault
    training.load_state_dict(saved)
    found.evaluations, found.seconds = evaluations, seconds
