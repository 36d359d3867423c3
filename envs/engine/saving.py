"""What a world is at a moment: its state and parts, and how they are saved, restored and forked."""

from __future__ import annotations

import copy
import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..errors import ConfigError, EpisodeEnded, one_of
from . import rng
from .fits import check_saved
from .parts import Part
from .state import TensorDict

if TYPE_CHECKING:
    from typing_extensions import Self


class Restorable(ABC):
    """Holds a world's state ``[W, …]`` and clocks, functional, and its parts, which change in place."""

    horizon: int
    device: torch.device

    def __init__(self, worlds: int) -> None:
        self.seeds: np.ndarray | None = None
        self.domain = "train"
        self._state: TensorDict = {}
        self._clock = np.zeros(worlds, dtype=np.int64)  # host mirror of state["clock"]
        self._terminated = np.zeros(worlds, dtype=bool)
        self._truncated = np.zeros(worlds, dtype=bool)

    @abstractmethod
    def reset(self, *, seed: int | None = None) -> TensorDict:
        """Begin."""

    @property
    def parts(self) -> dict[str, Part]:
        """What changes in place, by the names of the attributes that hold it."""
        return {name: getattr(self, name) for name in self._parts}

    @functools.cached_property
    def _parts(self) -> tuple[str, ...]:
        """Attributes that hold parts: looked for once, since they are assigned in ``__init__``."""
        return tuple(name for name, value in vars(self).items() if isinstance(value, Part))

    def _begun(self) -> TensorDict:
        """The state, once there is one."""
        if not self._state:
            raise EpisodeEnded("the world has not begun: call reset() first")
        return self._state

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here; loads with ``torch.load(weights_only=True)``."""
        if self.parts:
            self._begun()
        return {
            "state": {k: v.detach().clone() for k, v in self._state.items()},
            "seeds": None if self.seeds is None else torch.from_numpy(self.seeds.copy()),
            "domain": self.domain,
            "horizon": self.horizon,
            "data": self.data_digest(),
            "clock": torch.from_numpy(self._clock.copy()),
            "terminated": torch.from_numpy(self._terminated.copy()),
            "truncated": torch.from_numpy(self._truncated.copy()),
            **{name: part.state_dict() for name, part in self.parts.items()},
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict` of a world made with the same arguments.

        Raises:
            ConfigError: It is of another kind of world; nothing was changed then.
        """
        with ExitStack() as undo:
            if not self._state:
                self.reset(seed=0)  # to have something to compare with
                undo.callback(self._forget)
            self._compare(saved)
            for name, part in self.parts.items():
                before = part.state_dict()
                part.load_state_dict(saved[name])
                undo.callback(part.load_state_dict, before)
            undo.pop_all()
        self._state = {k: v.to(self.device).clone() for k, v in saved["state"].items()}
        self.seeds = None if saved["seeds"] is None else saved["seeds"].cpu().numpy().copy()
        self.domain = saved["domain"]
        self._clock[:] = saved["clock"].cpu().numpy()
        self._terminated[:] = saved["terminated"].cpu().numpy()
        self._truncated[:] = saved["truncated"].cpu().numpy()

    def _forget(self) -> None:
        """As if there had been no reset."""
        self._state, self.seeds = {}, None

    def _compare(self, saved: Mapping[str, Any]) -> None:
        """Refuse a state of another kind of world."""
        if isinstance(saved, Mapping) and "data" in saved and saved["data"] != self.data_digest():
            raise ConfigError("the saved world dealt other data: give those, as they were")
        check_saved("world", saved, {**self.state_dict(), "domain": ...})
        one_of("seed domain", saved["domain"], rng.DOMAINS)
        if saved["horizon"] != self.horizon:
            raise ConfigError(
                f"the saved world has a horizon of {saved['horizon']}, this one of {self.horizon}: make it alike"
            )

    def data_digest(self) -> str | None:
        """A digest of the data that the world deals, its ``dataset``; None where there is none that tells."""
        return getattr(getattr(self, "dataset", None), "fingerprint", None)

    def fork(self) -> Self:
        """A copy that goes its own way from here; the two share only what neither ever writes to."""
        if self.parts:
            self._begun()
        twin = copy.copy(self)
        twin._state = dict(self._state)
        vars(twin).update({name: part.fork() for name, part in self.parts.items()})
        for name in ("_clock", "_terminated", "_truncated"):
            setattr(twin, name, getattr(self, name).copy())
        twin.seeds = None if self.seeds is None else self.seeds.copy()
        return twin
