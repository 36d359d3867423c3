"""``studyhall export``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .options import Debug, Json


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or of a training.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write, new or empty; RUN/export by default.")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help="module:Class, where the policy is one of your own.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Take the learners of a run out of it. They become plain PyTorch modules and safetensors."""
    from ..runs.export import export as take_out
    from ..terminal import output

    folders = take_out(run, out=out, policy=policy)
    if as_json:
        output.print_json({"learners": [str(folder) for folder in folders]})
        return
    many = "1 learner" if len(folders) == 1 else f"{len(folders)} learners"
    output.say(f"{many} in {run / 'export' if out is None else out}; the first is loaded by")
    output.say(f'torch.hub.load({json.dumps(str(folders[0]))}, "learner", source="local")')
