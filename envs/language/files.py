"""Files of language models: bare weights, their sizes, and the tokeniser that they read by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...learners.plain import Plain
from ...learners.transformer import Transformer
from ..archive import Kind, damaged, save, unpack
from ..errors import ConfigError, StudyhallError, short
from ..files import as_path, read_file
from ..streams.tokenisers import Tokeniser, tokeniser_from_json
from .stored import StoredModel, StoredTree

SUFFIX = ".zip"
_MODEL = Kind("language model", "studyhall run leaves such files in stages/seed_S/", "take another", 1 << 31)
_STORED: tuple[type[StoredModel], ...] = (StoredModel, StoredTree)


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
        parameters: In the order of ``net.stored``.
        tokeniser: What it reads by.
        learnt: Domains that it has learnt.
        **facts: Figures and names to be kept with it.

    Raises:
        ConfigError: It cannot be written.
    """
    about = {
        "format": _stored_as(net).format,
        "net": asdict(net),
        "tokeniser": tokeniser.to_json(),
        "learnt": list(learnt),
        "facts": facts,
    }
    weights = {name: value.to(torch.float32) for name, value in zip(net.stored, parameters, strict=True)}
    save(path, about, weights)


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
    about, weights = unpack(source, content, _MODEL, *(stored.format for stored in _STORED))
    try:
        return _model(source, about, weights)
    except (StudyhallError, LookupError, TypeError, ValueError, OverflowError) as fault:
        raise damaged(source, _MODEL) from fault


def _model(source: str, about: Mapping[str, Any], weights: Mapping[str, Tensor]) -> StoredModel:
    """The model that a file tells of; raises whatever comes of it where that cannot be."""
    (stored,) = (stored for stored in _STORED if stored.format == about["format"])
    net = stored.kind(**about["net"])
    learnt, facts = about["learnt"], about.get("facts", {})
    if (
        weights.keys() != net.stored.keys()
        or not isinstance(learnt, list)
        or not all(isinstance(name, str) for name in learnt)
        or not isinstance(facts, dict)
    ):
        raise ValueError
    parameters = [weights[name].to(torch.float32) for name in net.stored]
    return stored(source, net, parameters, tokeniser_from_json(about["tokeniser"]), tuple(learnt), facts)


def _stored_as(net: Transformer) -> type[StoredModel]:
    """What a model of such sizes is as a file."""
    (stored,) = (stored for stored in _STORED if stored.kind is type(net))
    return stored


def exported(net: Transformer, parameters: Sequence[Tensor], tokeniser: Tokeniser) -> Plain:
    """A model by itself; arguments as of :func:`write_model`."""
    own = [value.detach().to("cpu", torch.float32) for value in parameters]
    model, made_with = _stored_as(net)("", net, own, tokeniser, (), {}).plain()
    takes = {"tokens": f"int64 [B, T], T ≤ {net.length}: tokens of `tokeniser`, below {net.vocabulary}"}
    gives = f"float32 [B, T, {net.vocabulary}]: logits of the token behind each"
    return Plain(model, takes, gives, made_with, facts={"tokeniser": tokeniser.to_json()})


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
    """Raise where a file's model is of another world, reads by another tokeniser, or is of other sizes.

    Raises:
        ConfigError: Says what to make the world with.
    """
    here = _stored_as(net)
    if model.world != here.world:
        raise ConfigError(
            f"{model.source} is a model of {model.world}: give a file that a run of {here.world} left"
        )
    if model.tokeniser.to_json() != tokeniser.to_json():
        raise ConfigError(
            f"{model.source} reads by another tokeniser than the world: leave tokeniser out, or take files of one"
        )
    if any(getattr(net, name) != value for name, value in model.sizes.items()):
        told = ", ".join(f"{name}={value!r}" for name, value in model.sizes.items())
        raise ConfigError(f"{model.source} is of other sizes: make the world with {told}")
