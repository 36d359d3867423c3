"""Worlds that are stepped again and again with the same random actions."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...envs import make_world, registry, spec
from ...envs.engine import Part
from ...envs.errors import ConfigError
from ...policies import RandomPolicy

SIZES = {"N": "agents", "B": "slice_size"}
"""What a step's cost is fitted against, beside W, and the argument that sets it."""


@dataclass(frozen=True)
class Case:
    """A world with its default arguments.

    Args:
        id: Of the world.
        hosted: Whether it hosts learners.
        given: Arguments that differ from the defaults.
    """

    id: str
    hosted: bool = False
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """``"classroom-v0"``, or ``"classroom-v0 hosted"``."""
        return f"{self.id}{' hosted' if self.hosted else ''}"

    @property
    def arguments(self) -> dict[str, Any]:
        """All arguments of the world."""
        return spec(self.id).arguments(hosted=self.hosted) | self.given

    def of_size(self, what: str, size: int) -> Case:
        """The same with another number of agents (``"N"``) or rows (``"B"``)."""
        return Case(self.id, self.hosted, {**self.given, SIZES[what]: size})

    def sized(self, what: str) -> bool:
        """Whether that can be chosen."""
        return self.arguments.get(SIZES[what]) is not None


def cases_of(id: str | None) -> list[Case]:
    """Every world, or that of an id, and with learners of its own where it hosts them.

    Raises:
        UnknownName: There is no such world; lists the near ones.
    """
    found = list(registry.values()) if id is None else [spec(id)]
    return [Case(one.id, hosted) for one in found for hosted in (False, True)[: 1 + one.hosted]]


class Stepped:
    """A case as W worlds on a CPU.

    Args:
        case: Which.
        worlds: W.

    Raises:
        ConfigError: The world refuses these arguments.
    """

    def __init__(self, case: Case, worlds: int) -> None:
        learners = {"learners": "mlp"} if case.hosted else {}
        self.case, self.worlds = case, worlds
        self.world = make_world(case.id, num_worlds=worlds, **learners, **case.given)
        policy = RandomPolicy()
        policy.bind(self.world)
        self._actions = policy.act(self.world.reset(seed=0))
        self.run(2)  # what is made when it is first wanted

    @torch.no_grad()
    def run(self, steps: int) -> None:
        """Make so many steps."""
        for _ in range(steps):
            self.world.step(self._actions)

    def step_seconds(self, at_least: float) -> float:
        """Seconds of a step, the mean over as many as take so long."""
        begun, steps = time.process_time(), 0
        while (took := time.process_time() - begun) < at_least or not steps:
            self.run(1)
            steps += 1
        return took / steps

    @property
    def learners(self) -> int:
        """Networks in a world that learn or may do so; 0 where it hosts none. A language model is one."""
        return sum(_each(part) for part in self.world.parts.values())

    @property
    def rows(self) -> int:
        """Samples that are studied in a step of all worlds, each by everyone who studies it."""
        return (
            self.worlds
            * (self.learners or self.world.num_agents)
            * (self.case.arguments.get("slice_size") or 0)
        )

    def updates(self, steps: int) -> float:
        """Learning steps of all networks in a step: the mean over so many steps, without those that end an episode."""
        counts = [self._taken()]
        found = []
        for _ in range(steps):
            self.run(1)
            counts.append(self._taken())
            if self.world.clock.all():  # nobody has begun anew
                found.append(counts[-1] - counts[-2])
        return sum(found) / len(found) if found else 0.0

    def _taken(self) -> float:
        return sum(float(value.sum()) for name, value in self._kept() if name == "steps")

    def bytes_of_learners(self) -> int:
        """What networks, their optimisers and statistics take."""
        return sum(value.nbytes for _, value in self._kept())

    def _kept(self) -> list[tuple[str, Tensor]]:
        return list(_tensors({name: part.state_dict() for name, part in self.world.parts.items()}))


def _each(part: Part) -> int:
    population = getattr(part, "population", None)
    return int(getattr(population, "learners", 1))


def _tensors(tree: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of nested dicts, each by its own name."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _tensors(value)
        elif isinstance(value, Tensor):
            yield name, value


def room_for(stepped: Stepped, worlds: int) -> bool:
    """Whether there is memory for so many worlds: for what they keep, and three times as much while they step."""
    kept = sum(value.nbytes for _, value in _tensors(stepped.world.state_dict()))
    return 4 * kept * worlds / stepped.worlds < _available()


def _available() -> float:
    """Bytes of memory that are free; infinite where the system does not say."""
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return math.inf


def stepped_or_refused(case: Case, worlds: int) -> Stepped | None:
    """The case in W worlds; None where it does not take these arguments."""
    try:
        return Stepped(case, worlds)
    except ConfigError:
        return None
