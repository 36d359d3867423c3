"""Checkpoints: the last two states of a run or training, in files that exist whole or not at all.

A file is what ``torch.save`` writes, which loads with ``torch.load(weights_only=True)``, and a checksum behind it. It
holds the configuration it belongs to. Where the last one is damaged, the one before is used.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...envs.archive import name_of
from ...envs.engine.fits import Misfit, check_fits
from ...envs.errors import ConfigError
from ...envs.files import make_folder, read_file, whole_file
from ...envs.untrusted import Unreadable, load_tensors

CHECKPOINT = "checkpoint.pt"
BEFORE = "checkpoint-before.pt"
_CONFIGURATION = "configuration"
_SEAL = b"\nblake2b "


@dataclass(frozen=True)
class Checkpoints:
    """Those of one run or training.

    Args:
        folder: Where they are.
        configuration: What decides how it goes on; what may change when it is taken up again is left out.
        advice: What to do where none can be used.
    """

    folder: Path
    configuration: Mapping[str, Any]
    advice: str

    @property
    def path(self) -> Path:
        """Of the last one."""
        return self.folder / CHECKPOINT

    @property
    def before(self) -> Path:
        """Of the one before."""
        return self.folder / BEFORE

    @property
    def exist(self) -> bool:
        """Whether there is one."""
        return self.path.exists() or self.before.exists()

    def write(self, state: Mapping[str, Any]) -> None:
        """Write the last one, whole or not at all, and keep the one before.

        Args:
            state: Tensors and plain values, nested.

        Raises:
            ConfigError: It cannot be written.
        """
        buffer = io.BytesIO()
        torch.save({**state, _CONFIGURATION: self._said()}, buffer)
        make_folder(self.folder)
        with whole_file(self.path, keep=self.before) as file:
            file.write(buffer.getbuffer())
            file.write(_seal(buffer.getbuffer()))

    def read(self, device: str | torch.device) -> dict[str, Any]:
        """What the last one holds that is not damaged; says so where it is the one before.

        Args:
            device: Where its tensors go.

        Raises:
            ConfigError: There is none, none can be read, or it is of another configuration.
        """
        if not self.exist:
            raise ConfigError(f"{self.folder} holds no checkpoint: {self.advice}")
        try:
            found = _read(self.path, device)
        except (OSError, Unreadable) as fault:
            why = f"{self.path} cannot be read ({getattr(fault, 'strerror', None) or fault})"
            try:
                found = _read(self.before, device)
            except (OSError, Unreadable):
                raise ConfigError(f"{why}, and none before it: {self.advice}") from fault
            print(f"studyhall: {why}: going on from the one before", file=sys.stderr)
        self._check(found.pop(_CONFIGURATION, None))
        return found

    def misfit(self, fault: Exception) -> ConfigError:
        """The error for a checkpoint that holds something else than what is saved here."""
        why = fault.__cause__ if isinstance(fault.__cause__, Misfit) else fault
        return ConfigError(f"the checkpoint in {self.folder} does not fit ({why}): {self.advice}")

    def _said(self) -> str:
        return json.dumps(self.configuration, sort_keys=True, default=name_of)

    def _check(self, said: Any) -> None:
        if said == self._said():
            return
        try:
            then, now = json.loads(said), json.loads(self._said())
            differ = ", ".join(key for key in {**then, **now} if then.get(key) != now.get(key))
        except (ValueError, TypeError, AttributeError, RecursionError):
            differ = "it does not say which"
        raise ConfigError(
            f"the checkpoint in {self.folder} is of another configuration ({differ}): {self.advice}"
        )


def say_no_checkpoint(start: str) -> None:
    """Say where a run or training that is taken up begins, since it was stopped before it wrote a checkpoint."""
    print(f"studyhall: no checkpoint yet: starting from {start}", file=sys.stderr)


def _seal(content: bytes | memoryview) -> bytes:
    return _SEAL + hashlib.blake2b(content, digest_size=32).hexdigest().encode()


_SEAL_LENGTH = len(_seal(b""))


def _read(path: Path, device: str | torch.device) -> dict[str, Any]:
    content = memoryview(read_file(path))
    state = content[:-_SEAL_LENGTH]
    if content[-_SEAL_LENGTH:] != _seal(state):
        raise Unreadable("its checksum is wrong")
    found = load_tensors(io.BytesIO(state), device)
    if not isinstance(found, dict):
        raise Unreadable("it is no dictionary")
    return found


# ---- whether what was read is what is written ---------------------------------------------------------------


def check_optimiser(saved: Any, optimiser: torch.optim.Optimizer, where: str = "optimiser") -> None:
    """Check that a saved state is one of an optimiser of the same parameters, before or after its first step.

    Raises:
        Misfit: It is not.
    """
    twin = copy.deepcopy(optimiser)  # and as it is after a step
    for group in twin.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    twin.step()
    like = twin.state_dict()
    if isinstance(saved, dict) and isinstance(saved.get("state"), dict):
        # A parameter that never had a gradient has no state yet.
        like["state"] = {key: state for key, state in like["state"].items() if key in saved["state"]}
    check_fits(saved, like, where)
    if any(group["params"] != ours["params"] for group, ours in _pairs(saved, like)):
        raise Misfit(f"{where} is of other parameters")


def _pairs(*states: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    return zip(*(state["param_groups"] for state in states), strict=True)
