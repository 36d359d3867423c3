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
from ..errors import ConfigError, StudyhallError
from ..files import as_path, read_file
from ..streams.tokenisers import Tokeniser, tokeniser_from_json

FORMAT = "studyhall language model 1"
SUFFIX = ".zip"
_MODEL = Kind("language model", "studyhall run leaves such files in models/", "take another", 1 << 31)


@dataclass(frozen=True, eq=False)
class StoredModel:
    """A language model by itself.

    Attributes:
        source: Where it was read.
        net: Its sizes.
        parameters: In the order of ``net.shapes``, on the CPU.
        tokeniser: What it reads by.
        domains: What it was examined on.
        facts: What else is known of it, by name.
    """

    source: str
    net: Transformer
    parameters: list[Tensor]
    tokeniser: Tokeniser
    domains: tuple[str, ...]
    facts: Mapping[str, Any]


def write_model(
    path: Path,
    net: Transformer,
    parameters: Sequence[Tensor],
    tokeniser: Tokeniser,
    domains: Sequence[str],
    **facts: Any,
) -> None:
    """Write a model, whole or not at all.

    Args:
        path: Of the file.
        net: Its sizes.
        parameters: In the order of ``net.shapes``.
        tokeniser: What it reads by.
        domains: What it was examined on.
        **facts: Figures and names to be kept with it.

    Raises:
        ConfigError: It cannot be written.
    """
    about = {
        "format": FORMAT,
        "net": asdict(net),
        "tokeniser": tokeniser.to_json(),
        "domains": list(domains),
        "facts": facts,
    }
    save(path, about, dict(zip(net.names, parameters, strict=True)))


def read_model(path: str | Path) -> StoredModel:
    """What :func:`write_model` wrote; nothing in it is ever unpickled.

    Raises:
        ConfigError: It is not there, no such file, or damaged.
    """
    source = str(path)
    try:
        content = read_file(as_path("a model's path", path))
    except (OSError, ValueError) as fault:
        why = getattr(fault, "strerror", None) or "cannot be read"
        raise ConfigError(
            f"no language model {source!r} ({why}): give a file that studyhall run left in models/"
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
    domains, facts = about["domains"], about.get("facts", {})
    if (
        {name: tuple(value.shape) for name, value in weights.items()} != net.shapes
        or tokeniser.size != net.vocabulary
        or not isinstance(domains, list)
        or not all(isinstance(name, str) for name in domains)
        or not isinstance(facts, dict)
    ):
        raise ValueError
    parameters = [weights[name].to(torch.float32) for name in net.names]
    return StoredModel(source, net, parameters, tokeniser, tuple(domains), facts)
