"""Single networks that a run leaves, in files that need neither the run nor its policy to be asked.

A file is a zip as of `policies/files.py`: weights by name, as the module's ``state_dict`` has them, and in
``studyhall.json`` what the network is:

================  ====================================================================================
``part``          "expert", "student" or "grown", of what the policy says
``kind``          "conv3", "vgg" or "vgg-wide"; null of a user's own, which a file cannot make
``width``         of "conv3"
``shape``         of a picture
``classes``       their names
``own_classes``   places among them, of the agent whose network it is
``agent``         which that is; null: everybody's
``origin``        a hash of the seed and the configuration that it learnt in: networks of one origin go together
``data``          the name of the data set
``mean``, ``std`` what pictures, scaled to 0 … 1, are normalised by: one number, or one a channel
``offset``        of a grown teacher: b of its choice, see `policies/socialized/choice.py`
================  ====================================================================================
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...envs.archive import Kind, damaged, name_of, save, unpack
from ...envs.errors import ConfigError, StudyhallError
from ...envs.files import read_file
from ...envs.streams import Dataset
from ...envs.validation import real, whole
from ...learners.convolutional import make_convolutional
from ...policies.policy import Finished

FORMAT = "studyhall network 1"
SUFFIX = ".zip"
_NETWORK = Kind("network", "studyhall run leaves such files in stages/", "take another", 1 << 30)


@dataclass(frozen=True, eq=False)
class StoredNetwork:
    """A network, and what is known of it; see this module.

    Attributes:
        source: Where it was read.
        module: From normalised pictures ``[M, *shape]`` to logits ``[M, C]``, in evaluation mode, on the CPU.
        mean: ``[]`` or ``[channels, 1, 1]``.
        std: Likewise.
        offset: None of a network that is no grown teacher.
    """

    source: str
    part: str
    module: nn.Module
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    own_classes: tuple[int, ...]
    agent: int | None
    origin: str
    data: str
    mean: Tensor
    std: Tensor
    offset: float | None


def origin_of(configuration: Mapping[str, Any], seed: int) -> str:
    """What networks have in common that learnt from one seed in one configuration, and others have not."""
    said = json.dumps([configuration, seed], sort_keys=True, default=name_of)
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()


def write_network(
    path: Path, network: Finished, dataset: Dataset, own_classes: Sequence[int], origin: str
) -> None:
    """Write a network, whole or not at all.

    Args:
        path: Of the file.
        network: The network.
        dataset: What it learnt from.
        own_classes: Of the agent whose it is.
        origin: As of :func:`origin_of`.

    Raises:
        ConfigError: It cannot be written.
    """
    about = {
        "format": FORMAT,
        "part": network.part,
        **network.made,
        "shape": list(dataset.shape),
        "classes": list(dataset.classes),
        "own_classes": list(own_classes),
        "agent": network.agent,
        "origin": origin,
        "data": dataset.name,
        "mean": dataset.mean.flatten().tolist(),
        "std": dataset.std.flatten().tolist(),
        **network.facts,
    }
    # Batch norm counts its batches in a whole number, which nothing reads: a file holds one type of numbers.
    save(path, about, {name: value.float() for name, value in network.module.state_dict().items()})


def read_network(path: Path) -> StoredNetwork:
    """What :func:`write_network` wrote; nothing in it is ever unpickled.

    Raises:
        ConfigError: It is not there, no such file, damaged, or of a network that a file cannot make.
    """
    source = str(path)
    try:
        content = read_file(path)
    except (OSError, ValueError) as fault:  # text with a zero byte is no path at all
        why = getattr(fault, "strerror", None) or "cannot be read"
        raise ConfigError(
            f"no network {source!r} ({why}): give a file that studyhall run left in stages/"
        ) from fault
    about, weights = unpack(source, content, _NETWORK, FORMAT)
    if about.get("kind", "") is None:
        raise ConfigError(f"{source} holds a network of a class of somebody's own, which a file cannot make")
    try:
        return _network(source, about, weights)
    except (StudyhallError, LookupError, TypeError, ValueError, RuntimeError, OverflowError) as fault:
        # What becomes of facts that cannot be, or of sizes beyond all numbers.
        raise damaged(source, _NETWORK) from fault


def _network(source: str, about: Mapping[str, Any], weights: Mapping[str, Tensor]) -> StoredNetwork:
    """The network that a file tells of; raises whatever comes of it where that cannot be."""
    shape = tuple(whole("side", side, 1) for side in _listed(about["shape"]))
    classes = tuple(_listed(about["classes"]))
    own = tuple(whole("class", place, 0, len(classes) - 1) for place in _listed(about["own_classes"]))
    named = (*classes, about["data"], about["kind"], about["part"], about["origin"])
    if not all(isinstance(name, str) for name in named) or any(
        len(set(all_)) < len(all_) for all_ in (classes, own)
    ):
        raise ValueError
    width = {"width": about["width"]} if about["kind"] == "conv3" else {}
    with torch.device("meta"):  # takes no memory, whatever the file says
        module = make_convolutional(shape, len(classes), about["kind"], **width)
    like = module.state_dict()
    if {name: value.shape for name, value in weights.items()} != {
        name: value.shape for name, value in like.items()
    }:
        raise ValueError
    module.load_state_dict({name: value.to(like[name].dtype) for name, value in weights.items()}, assign=True)
    agent, offset = about["agent"], about.get("offset")
    return StoredNetwork(
        source,
        about["part"],
        module.eval(),
        shape,
        classes,
        own,
        None if agent is None else whole("agent", agent, 0),
        about["origin"],
        about["data"],
        _moment(about["mean"], shape),
        _moment(about["std"], shape).clamp_min(1e-12),
        None if offset is None else real("offset", offset, -1e6, 1e6),
    )


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _moment(value: Any, shape: Sequence[int]) -> Tensor:
    """A mean or deviation: of everything ``[]``, or of each channel ``[channels, 1, 1]``."""
    numbers = torch.tensor([real("moment", number, -1e6, 1e6) for number in _listed(value)])
    if len(numbers) not in (1, shape[0]):
        raise ValueError
    return numbers[0] if len(numbers) == 1 else numbers.view(-1, 1, 1)
