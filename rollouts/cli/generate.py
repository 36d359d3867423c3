"""``studyhall generate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Debug, Json, Threads


def generate(
    model: Annotated[Path, typer.Argument(metavar="RUN|FILE", help="Folder of a run, or a model's file.")],
    prompt: Annotated[
        list[str] | None, typer.Option(help="What to go on with; may be given again. Five by default.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the run; its first by default.")] = None,
    tokens: Annotated[int, typer.Option(min=1, help="How many to add.")] = 50,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 takes the likeliest.")] = 0.8,
    draw: Annotated[int, typer.Option(min=0, help="Another number, another text.")] = 0,
    explain: Annotated[
        bool, typer.Option("--explain", help="Tell which agents wrote each token (of hierarchy-v0).")
    ] = False,
    threads: Threads = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Let a language model that a run left go on with a text."""
    import torch

    from ..runs import explanation, generation
    from ..terminal import output

    torch.set_num_threads(threads or 1)
    stored = generation.find_model(model, seed)
    tree = explanation.check_explains(stored) if explain else None
    found = generation.generate(
        stored, prompt or generation.PROMPTS, tokens=tokens, temperature=temperature, draw=draw
    )
    told = [None if tree is None else explanation.explain(tree, one) for one in found]
    if as_json:
        texts = [
            {"prompt": one.prompt, "text": one.text, **({} if why is None else why.as_json())}
            for one, why in zip(found, told, strict=True)
        ]
        output.print_json({"model": stored.source, "texts": texts})
        return
    from rich.text import Text

    from ..reports.explanations import explanation_table

    for one, why in zip(found, told, strict=True):
        shown = Text.assemble((output.harmless(one.prompt), "bold"), output.harmless(one.text))
        output.console().print(shown, soft_wrap=True, end="\n\n")
        if why is not None:
            output.console().print(explanation_table(why))
