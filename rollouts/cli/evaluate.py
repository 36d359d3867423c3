"""``studyhall evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...envs.errors import ConfigError
from .options import Debug, Json


def evaluate(
    policy: Annotated[
        str,
        typer.Argument(
            help="See `studyhall list policies`; a trained one by its file, one's own as module:Class."
        ),
    ],
    suite: Annotated[str, typer.Option(help="Name of the suite, with its version.")] = "listen-v1",
    quick: Annotated[
        bool, typer.Option("--quick", help="Some tasks on few worlds: a look, no entry.")
    ] = False,
    worlds: Annotated[
        int | None, typer.Option(min=1, help="Of each task; as many as the suite says by default.")
    ] = None,
    tasks: Annotated[str | None, typer.Option(help="Only these (with commas).")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="policy.KEY=VALUE", help="An argument of the policy. May be given several times."
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=4096, help="Processes side by side, a task each.")] = 2,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="JSON of the entry, written after every task and taken up again from there."
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure a policy on every task of a suite. See docs/leaderboard.md."""
    import torch

    from ..runs.evaluate import evaluate as evaluated
    from ..settings.parse import parse_assignments
    from ..terminal import output

    given = parse_assignments(assignments or ())
    if wrong := [name for name in given if not name.startswith("policy.")]:
        raise ConfigError(
            f"the worlds of a suite are what they are, so {wrong[0]} cannot be set: give policy.KEY=VALUE"
        )
    torch.set_num_threads(1)
    found = evaluated(
        policy,
        suite,
        policy_kwargs={name.removeprefix("policy."): value for name, value in given.items()},
        quick=quick,
        worlds=worlds,
        tasks=None if tasks is None else [name.strip() for name in tasks.split(",")],
        out=out,
        jobs=jobs,
        progress=True,
    )
    if as_json:
        output.print_json(found.as_json())
        return
    from ..reports.evaluations import table

    output.console().print(table(found))
