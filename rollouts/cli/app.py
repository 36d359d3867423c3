"""The command line: ``studyhall``, or ``python -m studyhall``.

Commands only read arguments and print, one file a command; the work is done in the other rooms, whose modules are
imported when a command needs them, so that ``--help`` is quick.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ...envs.errors import StudyhallError
from ..terminal.interrupts import INTERRUPTED, Stopped, quit_on_interrupt
from ..terminal.streams import fit_any_code_page, warnings_in_one_line
from .bench import bench
from .compare import compare
from .demo import demo
from .evaluate import evaluate
from .export import export
from .generate import generate
from .options import DEBUG, Debug, Json
from .report import report
from .reproduce import reproduce
from .run import run
from .show import show
from .sweep import sweep
from .train import train
from .trial import trial
from .watch import watch

app = typer.Typer(
    name="studyhall",
    help="Worlds in which neural networks learn from each other.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("list")
def list_command(
    kind: Annotated[
        str | None, typer.Argument(metavar="[envs|policies|scenarios|data|suites]", help="All by default.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List worlds, policies, scenarios, data sets and suites. `studyhall show ID` is the page of one."""
    from ..terminal import output
    from .catalogue import catalogue

    found = catalogue(kind)
    if as_json:
        output.print_json(found)
        return
    from .tables import listing

    for name, rows in found.items():
        output.console().print(listing(name, rows))


@app.command()
def doctor(as_json: Json = False, debug: Debug = False) -> None:
    """Check that everything works here."""
    from ..terminal import output
    from . import doctor as clinic

    checks = clinic.examine()
    if as_json:
        output.print_json(clinic.as_json(checks))
    else:
        from .tables import examination

        output.console().print(examination(checks))
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


for command in (
    demo,
    show,
    run,
    watch,
    report,
    sweep,
    compare,
    evaluate,
    train,
    reproduce,
    generate,
    export,
    bench,
):
    app.command()(command)
app.command("test")(trial)


def _version(asked: bool) -> None:
    if asked:
        from ... import __version__

        typer.echo(f"studyhall {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    """Worlds in which neural networks learn from each other."""


@functools.cache
def _command() -> Callable[..., Any]:
    """All commands with their options, put together once a process."""
    return typer.main.get_command(app)


def main(arguments: list[str] | None = None) -> None:
    """Entry point: a user's mistake is one line on standard error and exit code 2."""
    given = sys.argv[1:] if arguments is None else arguments
    fit_any_code_page()
    os.environ["MPLBACKEND"] = "agg"  # no window is opened, and what the environment says may not be there
    try:
        with quit_on_interrupt(), warnings_in_one_line():
            _command()(given, prog_name="studyhall")
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Stopped as stopped:
        print(f"studyhall: {stopped}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except (StudyhallError, OSError) as fault:
        if DEBUG in given:
            raise
        print(f"studyhall: {_line(fault)}", file=sys.stderr)
        sys.exit(2)


def _line(fault: Exception) -> str:
    """What went wrong, on one line that no terminal obeys."""
    from ..terminal.output import harmless

    said = str(fault)
    if isinstance(fault, OSError) and fault.strerror:
        said = fault.strerror if fault.filename is None else f"{fault.filename}: {fault.strerror}"
    return harmless(" ".join(said.split()))
