"""Modules that moved: an earlier path that documents named imports what is at the new one."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "envs.answers": "envs.messages.answers",
    "envs.collective_hosted": "envs.collective.specialists",
    "envs.consensus": "envs.messages.consensus",
    "envs.halves": "envs.messages.halves",
    "envs.ledger": "envs.channel.ledger",
    "envs.listening": "envs.hosted.listening",
    "envs.objectives": "envs.swarm.objectives",
    "envs.particles": "envs.swarm.particles",
    "envs.reader": "envs.allocation.reader",
    "envs.referential": "envs.messages.referential",
    "envs.rng": "envs.engine.rng",
    "envs.sources": "envs.hosted.sources",
    "envs.teacher": "envs.classroom.teacher",
    "envs.tokens": "envs.allocation.tokens",
    "envs.weights": "envs.engine.weights",
    "envs.wire": "envs.channel.wire",
    "envs.world": "envs.engine.world",
    "policies.allocators": "policies.allocation",
    "policies.bids": "policies.collective.bids",
    "policies.learned": "policies.listening.learned",
    "policies.panels": "policies.collective.panels",
    "policies.protocols": "policies.classroom.protocols",
    "policies.rules": "policies.listening",
    "policies.students": "policies.classroom.students",
    "rollouts.backprop": "rollouts.training.through_channel",
}
"""Earlier path to the new one, within the package; what lay below it lies below the new one."""


def moved(name: str) -> str | None:
    """Where a module is that was called so; None for any other."""
    package, _, path = name.partition(".")
    if package != __package__:
        return None
    parts = path.split(".")
    new = MOVED.get(".".join(parts[:2]))
    return None if new is None else ".".join([package, new, *parts[2:]])


class Forward(MetaPathFinder, Loader):
    """Imports a module that moved from where it is."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A spec for what moved."""
        return None if moved(fullname) is None else ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        """Put the module from its new place where the earlier name looks."""
        sys.modules[module.__name__] = importlib.import_module(str(moved(module.__name__)))


sys.meta_path.insert(0, Forward())  # before whoever would find files below the new place by the earlier name
