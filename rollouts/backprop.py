"""Training message policies through the channel: losses of the world, by gradient, back to whoever spoke.

=====================  =================================================================================
``config.json``        everything needed to train it again
``best.zip``           the weights with the lowest loss on validation slices so far, the untrained ones among them
``last.zip``           the weights as training left them
``checkpoint.pt``      where a stopped training can be taken up again (``--resume``)
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

from .backprop_config import ANEW, BackpropConfig, BackpropSettings, configure, resumed
from .backprop_training import Training
from .checkpoints import read_checkpoint, unreadable, write_checkpoint
from .figures import figure
from .interrupts import stop_requests
from .trained import Trained, TrainingProgress, describe, training_folder, world_settings

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

CHECKPOINT = "checkpoint.pt"


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
    if resume:
        assert out is not None
        folder = out
        found = _take_up(training, folder)
        describe(folder, config)
    else:
        folder = training_folder(out, config)
        found = Trained(folder, "loss")
    found.per_update = training.world.num_worlds * training.world.num_agents * training.world.horizon
    before, begun = found.seconds, time.perf_counter()
    bar = TrainingProgress(config.scenario.name, 1000)
    found.policy = config.scenario.policy if ":" in config.scenario.policy else None
    found.world = [
        text for text in world_settings(config.scenario) if not text.startswith(("mode=", "slice_size="))
    ]
    with stop_requests() as stop, bar, SummaryWriter(str(folder / "tensorboard")) as events:
        _loop(training, found, bar, stop, events)
        found.stopped = stop() and training.progress < 1
    found.seconds = before + time.perf_counter() - begun
    _keep(training, found)
    training.save_weights(folder / "last.zip")
    return found


def _loop(
    training: Training,
    found: Trained,
    bar: TrainingProgress,
    stop: Callable[[], bool],
    events: SummaryWriter,
) -> None:
    """Update until the end, or until asked to stop."""
    loss, shown = math.nan, 0.0
    while True:
        over = training.progress >= 1
        due = over or training.done % training.config.eval_every == 0
        if due and _evaluate(training, found, bar):
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
            figures = f"update {training.done:,} · loss {loss:.4f} · on validation slices {last}"
            bar.show(round(1000 * training.progress), figures)


def _evaluate(training: Training, found: Trained, bar: TrainingProgress) -> bool:
    """Evaluate the weights as they are now, unless that was just done, and keep them if they are the best.

    Returns:
        Whether there was something to evaluate.
    """
    if found.evaluations and found.evaluations[-1][0] == training.timesteps:
        return False
    value = training.evaluate()
    best = found.evaluated(training.timesteps, value)
    bar.tell(f"loss on validation slices {figure(value)} after {training.done:,} updates")
    if best:
        training.save_weights(found.folder / "best.zip")
    _keep(training, found)
    return True


def _keep(training: Training, found: Trained) -> None:
    """Write the checkpoint, whole or not at all."""
    found.timesteps = training.timesteps
    state = training.state_dict() | {"evaluations": found.evaluations, "seconds": found.seconds}
    write_checkpoint(found.folder / CHECKPOINT, state)


def _take_up(training: Training, folder: Path) -> Trained:
    """What a stopped training had found; puts the training where it stopped."""
    path = folder / CHECKPOINT
    saved = read_checkpoint(path, training.world.device, ANEW)
    try:
        training.load_state_dict(saved)
        evaluations = [(int(at), float(value)) for at, value in saved["evaluations"]]
        return Trained(folder, "loss", evaluations=evaluations, seconds=float(saved["seconds"]))
    except (
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
    ) as fault:  # what another training's makes of the lines above
        raise unreadable(path, fault, ANEW) from fault
