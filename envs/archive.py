"""A zip with bare weights and a JSON that says what they are: trained policies, single networks, language models.

=====================  =============================================================================
``studyhall.json``     ``format``, and whatever its reader wants to know
``policy.pth``         weights by name, which load with ``torch.load(weights_only=True)``
=====================  =============================================================================

Other entries, such as those of Stable-Baselines3's own format, are not looked at.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import ConfigError
from .files import whole_file
from .untrusted import is_plain_tensor, load_tensors, read_entry

ABOUT = "studyhall.json"
"""Entry that says what it is."""
WEIGHTS = "policy.pth"
"""Entry of the weights."""

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


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


def unpack(
    source: str, content: bytes, kind: Kind, *formats: str
) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """What a file says of itself, and its weights, float32 by name; nothing in it is ever unpickled.

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


def damaged(source: str, kind: Kind) -> ConfigError:
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
