"""``studyhall watch``."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Annotated

import typer

from .options import Debug, Device, Settings, Steps


def watch(
    scenario: Annotated[str, typer.Argument(help="See `studyhall list scenarios`.")],
    steps: Steps = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the world; the scenario's first.")] = None,
    device: Device = None,
    assignments: Settings = None,
    every: Annotated[int, typer.Option(min=1, help="Steps between two pictures.")] = 1,
    video: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a film instead: a .gif, or with moviepy .mp4, .webm, .mov."),
    ] = None,
    fps: Annotated[float, typer.Option(min=0.1, max=60, help="Pictures a second of the film.")] = 10.0,
    debug: Debug = False,
) -> None:
    """Watch a scenario's world while it runs, in a window or a film."""
    os.environ.pop("MPLBACKEND", None)  # here a window is wanted: matplotlib takes the first kind that works
    from ..runs.launch import configure
    from ..runs.watch import watch as show
    from ..terminal import output

    config = configure(
        scenario,
        assignments=assignments or (),
        steps=steps,
        seeds=None if seed is None else (seed,),
        controls=(),
        device="auto" if device is None else device,
    )
    config = dataclasses.replace(config, seeds=config.seeds[:1])
    found = show(config, every=every, video=video, fps=fps, how=" ".join(assignments or ()))
    if found is not None:
        from ..reports.tables import result

        output.console().print(result(found))
    if video is not None:
        output.say(f"the film is {video}")
