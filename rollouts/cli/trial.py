"""``studyhall test``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ...envs.errors import ConfigError, one_of
from .options import Debug, Device, Json, Threads


def trial(
    run: Annotated[Path | None, typer.Argument(help="Folder of a run that left networks in stages/.")] = None,
    use: Annotated[
        str | None,
        typer.Option(
            help="Whose answer: expert, student, grown, or masc, by default: the student's or the grown teacher's, "
            "by free energy."
        ),
    ] = None,
    agent: Annotated[int | None, typer.Option(min=0, help="Of the run; all by default.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the run; its first by default.")] = None,
    student: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Instead of a run: a student's network.")
    ] = None,
    grown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Instead of a run: a grown teacher's network.")
    ] = None,
    expert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Instead of a run: an expert's network.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="A named data set, or a folder of pictures with train/ and test/, a sub-folder a class; the run's by "
            "default."
        ),
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="Also: how often the label is among the TOP likeliest.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Pictures at once.")] = 1000,
    device: Device = None,
    threads: Threads = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Test networks that a run of masc left, by themselves. It is done on the test split of its data, or of others."""
    import torch

    from ..runs.run_folder import RunFolder
    from ..runs.trial import USES, LeftByARun, Networks, Trial, examine, in_files, loaded, refuse_file
    from ..settings import parse_device
    from ..terminal import output

    if run is not None:
        refuse_file(run)
    files = {"expert": expert, "student": student, "grown": grown}
    use = _use(use, {part for part, path in files.items() if path is not None}, run is not None, USES)
    where = parse_device("auto" if device is None else device)
    torch.set_num_threads(threads or 1)
    subjects: LeftByARun | list[Networks]
    if run is not None:
        subjects = LeftByARun(RunFolder(run), seed, agent, use)
        dataset = subjects.dataset() if data is None else loaded(data, next(iter(subjects)).all[0])
        source, of_seed = str(run), subjects.seed
    else:
        if agent is not None or seed is not None:
            named = [f"--{name}" for name, value in (("agent", agent), ("seed", seed)) if value is not None]
            raise ConfigError(f"files are of one agent and of no run: leave out {' and '.join(named)}")
        if data is None:
            raise ConfigError("on which data? give --data, a named data set or a folder of pictures")
        subjects = [in_files(files)]
        dataset = loaded(data, subjects[0].all[0])
        source, of_seed = ", ".join(one.source for one in subjects[0].all), None
    agents = examine(subjects, use, dataset, top=top, batch=batch, device=where)
    found = Trial(use, source, of_seed, dataset.name, len(dataset.test), dataset.num_classes, agents)
    if as_json:
        output.print_json(found.as_json())
        return
    from ..reports.trials import trial_table

    output.console().print(trial_table(found))


def _use(asked: str | None, given: set[str], of_a_run: bool, uses: dict[str, tuple[str, ...]]) -> str:
    """Whose answer is tested: what was asked, else all that there are networks for."""
    if asked is not None:
        one_of("--use", asked, uses)
    if of_a_run:
        if given:
            raise ConfigError(
                "test a run, or files: leave out the folder, or --expert, --student and --grown"
            )
        return asked or "masc"
    if not given:
        raise ConfigError("test what? give the folder of a run, or files: --student and --grown, or --expert")
    use = asked or ("masc" if given >= set(uses["masc"]) else "")
    if not use:
        if len(given) > 1:
            raise ConfigError(f"which of {' and '.join(sorted(given))} is to answer? give --use")
        (use,) = given
    if lacking := [part for part in uses[use] if part not in given]:
        takes = " and ".join(f"--{part}" for part in lacking)
        raise ConfigError(f"--use {use} takes {takes}: give {_them(lacking)} too")
    return use


def _them(named: Sequence[str]) -> str:
    return "it" if len(named) == 1 else "them"
