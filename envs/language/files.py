"""Files of language models: bare weights, their sizes, and the tokeniser that they read by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...learners.transformer import Transformer
from ..archive import Kind, damaged, save, unpack
from ..errors import ConfigError, StudyhallError, short
from ..files import as_path, read_file
from ..streams.tokenisers import Tokeniser, tokeniser_from_json

FORMAT = "studyhall language model 1"
SUFFIX = ".zip"
_MODEL = Kind("language model", "studyhall run leaves such files in stages/seed_S/", "take another", 1 << 31)


@dataclass(frozen=True, eq=False)
class StoredModel:
    """A language model by itself.

    Attributes:
        source: Where it was read.
        net: Its sizes.
        parameters: In the order of ``net.shapes``, on the CPU.
        tokeniser: What it reads by.
        learnt: Domains that it has learnt.
        facts: What else is known of it, by name.
    """

    source: str
    net: Transformer
    parameters: list[Tensor]
    tokeniser: Tokeniser
    learnt: tuple[str, ...]
    facts: Mapping[str, Any]


def write_model(
    path: Path,
    net: Transformer,
    parameters: Sequence[Tensor],
    tokeniser: Tokeniser,
    learnt: Sequence[str],
    **facts: Any,
) -> None:
    """Write a model, whole or not at all.

    Args:
        path: Of the file.
        net: Its sizes.
        parameters: In the order of ``net.shapes``.
        tokeniser: What it reads by.
        learnt: Domains that it has learnt.
        **facts: Figures and names to be kept with it.

    Raises:
        ConfigError: It cannot be written.
    """
    about = {
        "format": FORMAT,
        "net": asdict(net),
        "tokeniser": tokeniser.to_json(),
        "learnt": list(learnt),
        "facts": facts,
    }
    save(path, about, dict(zip(net.names, parameters, strict=True)))


def read_model(path: str | Path) -> StoredModel:
    """What :func:`write_model` wrote; nothing in it is ever unpickled.

    Raises:
        ConfigError: It is not there, no such file, or damaged.
    """
    found = as_path("a language model (warm)", path)
    source = str(found)
    try:
        content = read_file(found)
    except (OSError, ValueError) as fault:
        why = getattr(fault, "strerror", None) or "cannot be read"
        raise ConfigError(
            f"no language model {short(source)} ({why}): give a file that studyhall run left in stages/seed_S/"
        ) from fault
    about, weights = unpack(source, content, _MODEL, FORMAT)
    try:
        return _model(source, about, weights)
    except (StudyhallError, LookupError, TypeError, ValueError, OverflowError) as fault:
        raise damaged(source, _MODEL) from fault


def _model(source: str, about: Mapping[str, Any], weights: Mapping[str, Tensor]) -> StoredModel:
    """The model that a file tells of; raises whatever comes of it where that cannot be."""
    net = Transformer(**about["net"])
    tokeniser = tokeniser_from_json(about["tokeniser"])
    learnt, facts = about["learnt"], about.get("facts", {})
    if (
        {name: tuple(value.shape) for name, value in weights.items()} != net.shapes
        or tokeniser.size != net.vocabulary
        or not isinstance(learnt, list)
        or not all(isinstance(name, str) for name in learnt)
        or not isinstance(facts, dict)
    ):
        raise ValueError
    parameters = [weights[name].to(torch.float32) for name in net.names]
    return StoredModel(source, net, parameters, tokeniser, tuple(learnt), facts)


def read_models(paths: Any) -> list[StoredModel]:
    """The models of one file or of several, none of None.

    Raises:
        ConfigError: A file cannot be read, or there is none in the list.
    """
    if paths is None:
        return []
    listed = list(paths) if isinstance(paths, (list, tuple)) else [paths]
    if not listed:
        raise ConfigError("warm names no model: give a file, or leave it out")
    return [read_model(path) for path in listed]


def check_fits(model: StoredModel, net: Transformer, tokeniser: Tokeniser) -> None:
    """Raise where a file's model reads by another tokeniser than a world, or is of other sizes than the world's.

    Raises:
        ConfigError: Says what to make the world with.
    """
    if model.tokeniser.to_json() != tokeniser.to_json():
        raise ConfigError(
            f"{model.source} reads by another tokeniser than the world: leave tokeniser out, or take files of one"
        )
    if (model.net.shapes, model.net.heads, model.net.length) != (net.shapes, net.heads, net.length):
        sizes = ("width", "heads", "layers", "feedforward", "length")
        told = ", ".join(f"{name}={getattr(model.net, name)}" for name in sizes)
        raise ConfigError(f"{model.source} is of other sizes: make the world with {told}")
