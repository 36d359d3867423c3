"""Checkpoints: files of tensors that exist whole or not at all, and are never unpickled."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..envs.errors import ConfigError


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: Of the file; its folder is made.
        state: Tensors and plain values, nested.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    with partial.open("wb") as file:
        torch.save(dict(state), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def read_checkpoint(path: Path, device: str | torch.device, advice: str) -> dict[str, Any]:
    """What a checkpoint holds.

    Args:
        path: Of the file.
        device: Where its tensors go.
        advice: What to do where it cannot be read.

    Raises:
        ConfigError: It is not there, or cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # checks the checksums that torch.save wrote
            if archive.testzip() is not None:
                raise zipfile.BadZipFile("a checksum is wrong")
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise ConfigError(f"{path.parent} holds no checkpoint: {advice}") from None
    except (OSError, RuntimeError, zipfile.BadZipFile, pickle.UnpicklingError) as fault:
        raise unreadable(path, fault, advice) from fault


def unreadable(path: Path, fault: Exception, advice: str) -> ConfigError:
    """The error for a checkpoint that is damaged, or another's."""
    reason = str(fault).partition("\n")[0].partition(". ")[0] or type(fault).__name__
    return ConfigError(f"{path} cannot be read ({reason}): {advice}")
