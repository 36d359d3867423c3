"""``studyhall reproduce``."""

from __future__ import annotations

import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..terminal.interrupts import INTERRUPTED, raise_on_interrupt
from .options import Debug, Device, Json, Seeds, Steps, Threads

if TYPE_CHECKING:
    from ..runs.run import Rollout


def reproduce(
    system: Annotated[
        str | None,
        typer.Argument(help="E.g. classroom, or one of its scenarios; every system by default."),
    ] = None,
    seeds: Seeds = None,
    steps: Steps = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A short run of 2 seeds, whose figures are not comparable.")
    ] = False,
    device: Device = None,
    threads: Threads = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write everything measured to this JSON file; until the end it is FILE.part."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Hold documented figures beside measured ones.

    A claim holds where all of the 95 % interval of measured − documented is within its tolerance, does not hold where
    none of it is, and is not resolved otherwise.

    Exits with 1 where a claim does not hold, and with 2 where something could not run.
    """
    import torch

    from ...scenarios import get_scenario
    from ..reports.claims import FAILS
    from ..runs.fingerprint import fingerprint
    from ..runs.progress import LiveProgress
    from ..runs.reproduce import reproduce as entries_of
    from ..runs.reproduce import scenarios_of, too_short
    from ..runs.reproduction_file import ReproductionFile
    from ..settings import parse_device, parse_seeds
    from ..storage.provenance import provenance
    from ..terminal import output

    where = parse_device("auto" if device is None else device)
    torch.set_num_threads(threads or 1)
    scenarios = scenarios_of(system)
    chosen = None if seeds is None else parse_seeds(seeds)
    found, made = _reproduction(system, where), provenance(_command(system, seeds, steps, quick))
    file = None if out is None else ReproductionFile(out)
    if file is not None:
        file.write(found)  # a file that cannot be written is found before the long work
    budgets = too_short(scenarios, steps=steps, quick=quick)
    if budgets:
        names = ", ".join(f"{name} ({calls:,} calls)" for name, calls in budgets.items())
        print(
            f"studyhall: too few steps to spend the teacher's budget, the peer phase does not begin: {names}",
            file=sys.stderr,
        )
    try:
        with raise_on_interrupt(), ExitStack() as shown:

            def watch(rollout: Rollout) -> LiveProgress:
                shown.close()  # the bar of the run before
                return shown.enter_context(LiveProgress(rollout.scenario.name, rollout.steps))

            for entry in entries_of(
                scenarios, seeds=chosen, steps=steps, quick=quick, device=where, watch=watch
            ):
                if "unmeasured" in entry:
                    found["unmeasured"].append(entry)
                else:
                    found["scenarios"].append(entry | made | {"fingerprint": entry["name"]})
                    if file is not None:
                        figures = fingerprint(get_scenario(entry["name"]))
                        found["fingerprints"][entry["name"]] = {"commit": made["commit"], "figures": figures}
                if file is not None:
                    file.write(found)
    except KeyboardInterrupt:
        done = f"{len(found['scenarios'])} of {len(scenarios)} scenarios measured"
        kept = "nothing is kept without --out" if file is None else f"they are in {file.unfinished}"
        print(f"studyhall: stopped with {done}; {kept}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    if file is not None:
        file.finish(found)
    if as_json:
        output.print_json(found)
    else:
        _show(found)
    for entry in found["unmeasured"]:
        print(f"studyhall: {entry['name']} is not measured: {entry['unmeasured']}", file=sys.stderr)
    if found["unmeasured"]:
        raise typer.Exit(2)
    if any(claim["verdict"] == FAILS for entry in found["scenarios"] for claim in entry["claims"]):
        raise typer.Exit(1)


def _command(system: str | None, seeds: str | None, steps: int | None, quick: bool) -> str:
    """What measures the same; where it is written, and on what device, is no part of it."""
    given = [system] if system else []
    given += ["--seeds", seeds] if seeds else []
    given += ["--steps", str(steps)] if steps else []
    given += ["--quick"] if quick else []
    return shlex.join(["studyhall", "reproduce", *given])


def _show(found: dict[str, Any]) -> None:
    """Claims, where they come from and what was changed about them, and the scenarios beside each other."""
    from ..reports.claims import cited, claims_table, history, sources_table
    from ..reports.comparisons import comparison
    from ..terminal import output

    console, measured = output.console(), found["scenarios"]
    entries = [*measured, *found["unmeasured"]]
    if not all(entry["comparable"] for entry in measured):
        console.print(
            "Shortened runs: these figures are not comparable with the documented ones.", style="yellow"
        )
    if keys := cited(entries):
        console.print(claims_table(entries))
        for text in history(entries):
            console.print(f"Changed after a figure had been seen: {text}")
        console.print(sources_table(keys))
    if measured:
        console.print(comparison(measured))


def _reproduction(system: str | None, device: str) -> dict[str, Any]:
    import torch

    from ... import __version__

    versions = {"studyhall": __version__, "torch": torch.__version__}
    found: dict[str, Any] = {"system": system, "device": device, "versions": versions}
    return {**found, "scenarios": [], "unmeasured": [], "fingerprints": {}}
