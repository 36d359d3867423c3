"""Keeping a trace of a run on the way: see :class:`~studyhall.rollouts.reports.trace.Trace`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...envs.engine import Listening, World
from ...envs.engine.fits import Misfit
from ...envs.untrusted import Unreadable
from ..metrics.measure import budget_left
from ..reports.trace import BUDGET, POINTS, ROOM, Scene, Trace


class Recorder:
    """Looks at a world now and then.

    Args:
        world: That has begun.
        seeds: S; the first so many worlds of the batch are open.
    """

    def __init__(self, world: World, seeds: int) -> None:
        self.world, self.seeds = world, seeds
        liars = world.privileged().get("liar") if world.liars else None
        nobody = np.zeros((seeds, world.num_agents), bool)
        self.trace = Trace(
            labels=list(world.agent_labels), liars=nobody if liars is None else liars[:seeds].cpu().numpy()
        )
        room = 4 * sum(values.numel() for values in self._figures().values())
        self._listens = False
        if (found := world.listening()) is not None:
            self.trace.title = found.title
            of_open = found.weights[:seeds].numel()
            if 2 * of_open <= ROOM:
                self._listens, room = True, room + of_open
                who = found.who if found.who.dim() == 3 else found.who[None].expand(seeds, -1, -1)
                self.trace.who = who[:seeds].cpu().numpy().astype(np.int32)
        self.every = -(-world.horizon // max(1, min(POINTS, ROOM // room)))
        self._kept: dict[str, list[np.ndarray]] = {}
        self._weights: list[np.ndarray] = []

    def look(self, step: int) -> None:
        """Take the figures after a step."""
        self.trace.steps.append(step)
        for name, values in self._on_the_host(self._figures()).items():
            self._kept.setdefault(name, []).append(values)
        if self._listens and (found := self.world.listening()) is not None:
            self._weights.append(_as_bytes(found, self.seeds))

    def keep_scene(self, step: int, picture: bytes) -> None:
        """Keep how the first open world looks after a step: as text, and what its agents see and make, or its picture.

        Args:
            step: Which.
            picture: Of the world, as PNG.
        """
        from ...envs.engine.drawing import as_png

        shown = {name: as_png(image) for name, image in self.world.exhibits().items()} or {"": picture}
        text = str(self.world.render("ansi")) if "ansi" in self.world.metadata["render_modes"] else ""
        self.trace.scenes.append(Scene(step, text, shown))

    def made(self) -> Trace:
        """What was kept so far."""
        self.trace.figures = {name: np.stack(values) for name, values in self._kept.items()}
        if self._weights:
            self.trace.weights = np.stack(self._weights)
        return self.trace

    def state(self) -> Tensor:
        """What was kept so far, for a checkpoint: uint8."""
        return torch.frombuffer(bytearray(self.made().as_bytes()), dtype=torch.uint8)

    def take_up(self, saved: Any) -> None:
        """Go on from a :meth:`state`.

        Raises:
            Misfit: It is something else, or of another run.
        """
        if not isinstance(saved, Tensor) or saved.dtype != torch.uint8:
            raise Misfit("trace is something else")
        try:
            found = Trace.from_bytes(saved.cpu().numpy().tobytes())
        except Unreadable as fault:
            raise Misfit(f"trace cannot be read: {fault}") from fault
        if found.labels != self.trace.labels or not found.fits(self.world.num_worlds, self.seeds):
            raise Misfit("trace is of another run")
        self.trace = found
        self._kept = {name: list(values) for name, values in found.figures.items()}
        self._weights = list(found.weights)

    def _figures(self) -> Mapping[str, Tensor]:
        found = {**self.world.metrics(), **self.world.breakdown()}
        left = self.world.budget_fraction()
        return found if left is None else {**found, BUDGET: budget_left(self.world)}

    def _on_the_host(self, figures: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        """Figures as float32, ``[W]`` and ``[W, N]`` each in one transfer."""
        found: dict[str, np.ndarray] = {}
        for dims in (1, 2):
            names = [name for name, values in figures.items() if values.dim() == dims]
            if names:
                stacked = torch.stack([figures[name].float() for name in names]).cpu().numpy()
                found |= zip(names, stacked, strict=True)
        return found


def _as_bytes(found: Listening, seeds: int) -> np.ndarray:
    return (found.weights[:seeds].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
