"""``studyhall demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Debug, Json

_EVERY = 10  # steps between two pictures


def demo(
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Where the moving picture goes: a .gif, or with moviepy .mp4."),
    ] = Path("demo.gif"),
    seeds: Annotated[
        str | None, typer.Option(help="One society each, like 3, 0-4 or 0,2,5; five by default.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what listening is worth in a society with a liar. Nobody is heard, all alike, or whom a protocol chose."""
    import torch
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from ..reports.figures import spread
    from ..reports.film import Film
    from ..reports.societies import frame
    from ..reports.stats import interval
    from ..runs.demo import SEEDS, STEPS, WAYS, play
    from ..runs.progress import LiveProgress
    from ..settings.parse import parse_seeds
    from ..terminal import output

    torch.set_num_threads(1)
    film = Film(out, fps=8)
    chosen = SEEDS if seeds is None else parse_seeds(seeds)
    played = []
    for way in WAYS:
        with LiveProgress(way.title, STEPS) as bar:
            played.append(play(way, chosen, on_step=bar))
    for step in range(0, STEPS + 1, _EVERY):
        film.add(frame(played, step))
    film.write()
    if as_json:
        found = {one.way.title: dict(zip(map(str, chosen), one.honest, strict=True)) for one in played}
        output.print_json({"film": str(out), "honest_accuracy": found})
        return
    table = Table(title="accuracy of those who do not lie, %", box=SIMPLE_HEAD, title_justify="left")
    table.add_column("whom they listen to")
    table.add_column("all ten digits", justify="right")
    for one in played:
        table.add_row(one.way.title, spread(interval(one.honest)))
    output.console().print(table)
    output.say(f"five experts of two digits each; mean over {len(chosen)} societies ± 95 % interval")
    output.say(f"the moving picture of the first is {out}")
