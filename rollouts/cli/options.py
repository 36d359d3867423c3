"""Options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

DEBUG = "--debug"

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")]
Debug = Annotated[bool, typer.Option(DEBUG, help="Show the traceback of an error.")]
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
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="KEY=VALUE sets an argument of the world (horizon=200), policy.KEY=VALUE one of the policy "
        "(policy.lr=0.01), policy=NAME takes another policy, with its own defaults. VALUE is JSON, else "
        "text. May be given several times.",
    ),
]
Seeds = Annotated[
    str | None, typer.Option(help="One world each: 3, 0-4 or 0,2,5; the scenario's by default.")
]
Steps = Annotated[int | None, typer.Option(min=1, help="Length of an episode; the scenario's by default.")]
Log = Annotated[
    list[str] | None,
    typer.Option(
        "--log",
        metavar="NAME",
        help="Tell a logger, too: wandb or mlflow, each by an extra of its name. May be given several times.",
    ),
]
