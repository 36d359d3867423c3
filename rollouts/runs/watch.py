"""Watching a world while it runs: in a window, in a notebook's cell, or as a film."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...envs.engine.window import Screen
from ...envs.errors import ConfigError
from ..reports.film import Film
from ..terminal.interrupts import Stopped, stop_requests
from .launch import set_up
from .progress import LiveProgress
from .result import Result
from .run_folder import RunConfig


def watch(
    config: RunConfig, *, every: int = 1, video: Path | None = None, fps: float = 10.0, how: str = ""
) -> Result | None:
    """Run a scenario and show its first world, in a window or in a film.

    Args:
        config: What to run.
        every: Steps between two pictures; the first and the last are always shown.
        video: File of the film; None opens a window.
        fps: Pictures a second of the film.
        how: How the run was asked for, to be named where it cannot be set up so.

    Returns:
        What was found; None where the window was closed, or Ctrl-C pressed, before the end. The film is of what there
        was.

    Raises:
        ConfigError: The world cannot be drawn, there is no window to be had, or the film cannot be written.
    """
    film = None if video is None else Film(video, fps)
    run = set_up(config, how)
    if "rgb_array" not in run.world.metadata["render_modes"]:
        raise ConfigError(f"{config.scenario.env} cannot be drawn: watch another world")
    screen = Screen(config.scenario.name)
    looking = True

    def show() -> None:
        nonlocal looking
        if not run.world.ended[0] and run.done % every:
            return
        picture = np.asarray(run.world.render("rgb_array"))
        if film is None:
            looking = screen.show(picture)
        else:
            film.add(picture)

    try:
        with stop_requests() as stop, LiveProgress(config.scenario.name, run.steps) as bar:
            show()
            found = run.run(on_step=bar, after_step=show, stop=lambda: stop() or not looking)
    except Stopped:
        found = None
    finally:
        screen.close()
    if film is not None:
        film.write()
    return found
