"""``studyhall report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Debug


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="Folders of runs; several stand side by side.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The page; RUN/report.html by default, of several runs report.html in this folder.",
        ),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Then serve the page to a browser on this machine, until Ctrl-C.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of --serve; 0 takes a free one.")] = 0,
    debug: Debug = False,
) -> None:
    """Write a page about runs, which works offline. It has curves, who listened to whom, costs, pictures, claims."""
    from ..runs import report as pages
    from ..terminal import output

    path = pages.report(*runs, out=out)
    output.say(f"the report is {path} ({path.stat().st_size / 2**20:.1f} MiB)")
    if serve:
        server = pages.server_of(path, port)
        print(f"serving it at {pages.address_of(server)} until Ctrl-C", flush=True)
        pages.serve(server)
