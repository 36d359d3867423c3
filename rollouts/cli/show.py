"""``studyhall show``."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Debug, Json


def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="As `studyhall list` names it.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show the page of a world, policy, scenario, data set or suite. It says what that is, and names its arguments."""
    from ..terminal import output
    from .pages import pages, shown

    found = pages(name)
    if as_json:
        output.print_json({"pages": [page.as_json() for page in found]})
        return
    for page in found:
        output.console().print(shown(page))
