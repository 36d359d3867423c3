"""Text that a language model goes on with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ...envs.engine import rng
from ...envs.errors import ConfigError
from ...envs.language.files import SUFFIX, read_model
from ...envs.language.stored import StoredModel
from ...envs.validation import real, whole
from .run_folder import RunFolder

PROMPTS = (
    "The history of",
    "In the field of",
    "Scientists have discovered",
    "def main():",
    "The neural network model",
)
"""What is gone on with where nothing is said; the documented ones."""


class Generated(NamedTuple):
    """What a model made of a prompt."""

    prompt: str
    text: str
    """What it went on with."""
    given: list[int]
    """Tokens of the prompt."""
    made: list[int]
    """Tokens of the text."""


def find_model(source: Path, seed: int | None) -> StoredModel:
    """The model of a file, or the last one that a run left.

    Args:
        source: A file, or the folder of a run.
        seed: Of the run; None: its first.

    Raises:
        ConfigError: There is none; says where they are looked for.
    """
    if source.is_file():
        if seed is not None:
            raise ConfigError(f"{source} is a single model: leave out --seed, or give the folder of a run")
        return read_model(source)
    folder = RunFolder(source)
    stages = folder.stages
    config = folder.config(advice=f"give the file of a model instead of the folder, in {stages}/seed_SEED/")
    chosen = config.seeds[0] if seed is None else seed
    if chosen not in config.seeds:
        raise ConfigError(f"the run has no seed {chosen}: give one of {', '.join(map(str, config.seeds))}")
    path = stages / f"seed_{chosen}" / f"model{SUFFIX}"
    if not path.exists():
        raise ConfigError(
            f"{source} left no model in {path}: generate takes runs of modular-v0 and hierarchy-v0 that have "
            "ended"
        )
    return read_model(path)


def generate(
    model: StoredModel,
    prompts: Sequence[str],
    *,
    tokens: int = 50,
    temperature: float = 0.8,
    draw: int = 0,
) -> list[Generated]:
    """Go on with prompts, token by token, each drawn from the whole vocabulary.

    Args:
        model: The model.
        prompts: Texts; what is longer than the model reads at once is cut off in front.
        tokens: How many to add to each; fewer where the model ends the document.
        temperature: Logits are divided by it; 0 takes the likeliest.
        draw: Another number, another text.

    Raises:
        ConfigError: A number out of range, or a prompt without a token.
    """
    tokens = whole("tokens", tokens, 1, 100_000)
    temperature = real("temperature", temperature, 0, 100)
    key = torch.tensor(whole("draw", draw, 0))
    found = []
    for number, prompt in enumerate(prompts):
        ids = model.tokeniser.encode(prompt)
        if not ids:
            raise ConfigError(f"prompt {prompt!r} has no token: give some text")
        made: list[int] = []
        for step in range(tokens):
            logits = model.logits(window(model, [*ids, *made]))[-1]
            chosen = _drawn(logits, temperature, rng.fold(key, number, step))
            if chosen == model.tokeniser.end:
                break
            made.append(chosen)
        # Decoded together, since what two parts of a character are apart is not what they are together.
        whole_text, begun = model.tokeniser.decode([*ids, *made]), model.tokeniser.decode(ids)
        found.append(Generated(prompt, whole_text.removeprefix(begun), ids, made))
    return found


def window(model: StoredModel, ids: Sequence[int]) -> Tensor:
    """What a model reads of some tokens, int64 ``[T]``: as many of the last as it reads at once."""
    return torch.tensor(ids[-model.net.length :])


def _drawn(logits: Tensor, temperature: float, key: Tensor) -> int:
    """A token from logits ``[V]``: the greatest of them with Gumbel noise added."""
    if not temperature:
        return int(logits.argmax())
    noise = rng.gumbel(rng.draw(key, "generate", logits.shape).uniform())
    return int((logits / temperature + noise).argmax())
