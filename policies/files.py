"""Files of trained policies and of single networks: a zip with bare weights and a JSON that says what they are.

=====================  =============================================================================
``studyhall.json``     ``format``, the world it was trained in, the command that trains it again
``policy.pth``         weights by name, which load with ``torch.load(weights_only=True)``
=====================  =============================================================================

Other entries, such as those of Stable-Baselines3's own format, are not looked at.
"""

from __future__ import annotations

import difflib
import importlib.resources
import io
import json
import os
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..envs.errors import ConfigError
from ..envs.files import read_file, whole_file
from ..envs.untrusted import is_plain_tensor, load_tensors, read_entry

ABOUT = "studyhall.json"
"""Entry of a policy's zip that says what it is."""
WEIGHTS = "policy.pth"
"""Entry of its weights."""
_BEST = "best.zip"  # in the folder of a training


@dataclass(frozen=True)
class Kind:
    """What kind of file is read, in the words of its errors.

    Args:
        noun: What it holds.
        written: How such files are written.
        anew: What to do where one is damaged.
        most: Bytes of an entry that is still read.
    """

    noun: str
    written: str
    anew: str
    most: int


POLICY = Kind("policy", "save models with save_policy", "train it anew", 1 << 26)
"""A scorer is some 100 KiB, a message network some MiB."""

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def trained() -> dict[str, Any]:
    """The trained policies that come with the package: name to file."""
    folder = importlib.resources.files(__package__).joinpath("trained")
    found = folder.iterdir() if folder.is_dir() else ()
    return {
        f.name.removesuffix(".zip"): f for f in sorted(found, key=lambda f: f.name) if f.name.endswith(".zip")
    }


def is_path(name: str) -> bool:
    """Whether a policy's name is a path: it ends in ``.zip``, or a file or a folder of a training is there."""
    path = _path(name)
    return name.endswith(".zip") or os.path.isfile(path) or os.path.isfile(path / _BEST)


def _path(name: str) -> Path:
    """Where a name leads; like ``os.path.isfile`` of it, never an error, whatever the text is."""
    return Path(os.path.expanduser(name))


def read(source: str, *formats: str) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """What a policy's file says of itself, and its weights; nothing in it is ever unpickled.

    Args:
        source: Path of the file, or the name of one that comes with the package.
        *formats: What the reader understands.

    Returns:
        What ``studyhall.json`` says, and the weights by name, float32.

    Raises:
        ConfigError: There is no such file or name, or it is no policy of ours, or of another format.
    """
    shipped = trained()
    file = shipped.get(source, _path(source))
    try:
        content = read_file(file)
    except (OSError, ValueError) as fault:  # text with a zero byte is no path at all
        raise _missing(source, fault, list(shipped)) from fault
    return unpack(source, content, POLICY, *formats)


def unpack(
    source: str, content: bytes, kind: Kind, *formats: str
) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """What a file says of itself, and its weights, as of :func:`read`.

    Args:
        source: What to call it in errors.
        content: Of the file.
        kind: What it should be.
        *formats: What the reader understands.

    Raises:
        ConfigError: It is no such file, damaged, or of another format.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if not {ABOUT, WEIGHTS} <= set(archive.namelist()):
                raise ConfigError(
                    f"{source} is no {kind.noun} of studyhall: it holds no {ABOUT}; {kind.written}"
                )
            # The zip's checksums cover both entries whole.
            about = json.loads(read_entry(archive, ABOUT, kind.most))
            weights = load_tensors(io.BytesIO(read_entry(archive, WEIGHTS, kind.most)))
    except ConfigError:
        raise
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, struct.error, RecursionError) as fault:
        # What a cut or scribbled-over directory of a zip, or text that is no JSON, makes of the lines above.
        raise damaged(source, kind) from fault
    if not _is_about(about) or not _are_weights(weights, kind.most):
        raise damaged(source, kind)
    if about["format"] not in formats:
        known = " or ".join(map(repr, formats))
        raise ConfigError(f"{source} is of format {about['format']!r}, what reads it here reads {known}")
    for name, value in weights.items():
        weights[name] = value.float()
        if not torch.isfinite(weights[name]).all():
            raise ConfigError(
                f"{source} holds weights that are not finite ({name}): its training diverged, take another {kind.noun}"
            )
    return about, dict(weights)


def _is_about(about: Any) -> bool:
    """Whether what a file says of itself has the types that its readers suppose."""
    if not isinstance(about, dict) or not isinstance(about.get("format"), str):
        return False
    mappings = [about.get(name, {}) for name in ("env_kwargs", "world_kwargs", "policy_kwargs")]
    lists = [about.get(name, []) for name in ("source_features", "sample_features")]
    actions = about.get("actions", [])  # their names, or by name what they are
    return all(isinstance(value, dict) for value in mappings) and all(
        isinstance(value, list) and all(isinstance(name, str) for name in value)
        for value in [*lists, list(actions) if isinstance(actions, dict) else actions]
    )


def _are_weights(weights: Any, most: int) -> bool:
    """Whether these are tensors of ordinary numbers, of no more of them than the file could hold."""
    return (
        isinstance(weights, dict)
        and all(
            isinstance(name, str)
            and is_plain_tensor(value)
            and value.dtype in _FLOATS
            and 0 not in value.shape  # no number vouches for the other sizes then
            for name, value in weights.items()
        )
        and sum(value.nbytes for value in weights.values()) <= most
    )


def _missing(source: str, fault: OSError | ValueError, shipped: list[str]) -> ConfigError:
    path, why = _path(source), getattr(fault, "strerror", None) or "cannot be read"
    beside = [str(f) for f in sorted(path.parent.glob("*.zip"))] if os.path.isdir(path.parent) else []
    near = difflib.get_close_matches(source, [*shipped, *beside], n=3, cutoff=0.4)
    if os.path.isfile(path / _BEST):
        near = [str(path / _BEST)]
    hint = (
        f"did you mean {' or '.join(map(repr, near))}?"
        if near
        else "give the path of a zip from studyhall train"
    )
    if not near and shipped:
        hint += f", or one of {', '.join(shipped)}"
    return ConfigError(f"no trained policy {source!r} ({why}): {hint}")


def damaged(source: str, kind: Kind = POLICY) -> ConfigError:
    """The error for a file that is not what it should be."""
    return ConfigError(f"{source} is damaged or no {kind.noun} of studyhall: {kind.anew}, or copy it again")


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; it gets the suffix ``.zip`` where it has none."""
    with whole_file(path if path.suffix else path.with_suffix(".zip")) as file:
        file.write(content)


def save(path: Path, about: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Save weights and what is to be known of them, whole or not at all; equal ones in equal bytes.

    Args:
        path: Of the file.
        about: ``format`` among it; what JSON cannot hold is named.
        weights: By name, on any device.
    """
    file, entry = io.BytesIO(), io.BytesIO()
    torch.save({name: value.detach().cpu() for name, value in weights.items()}, entry)
    with zipfile.ZipFile(file, "w") as archive:
        # Of a date of their own entries would differ where all that they say is equal.
        archive.writestr(_dated(ABOUT), json.dumps(about, indent=1, default=name_of), zipfile.ZIP_DEFLATED)
        archive.writestr(_dated(WEIGHTS), entry.getvalue(), zipfile.ZIP_STORED)  # can hardly be packed
    write(path, file.getvalue())


def _dated(name: str) -> zipfile.ZipInfo:
    """An entry of the first date that a zip knows, readable by its owner alone as others are."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o600 << 16
    return entry


def name_of(value: Any) -> str:
    """What JSON says of a value that it cannot hold: the name of a function or class, or that of its type."""
    return f"<{getattr(value, '__name__', type(value).__name__).strip('<>')}>"
