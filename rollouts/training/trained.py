"""What came of a training, the same for every algorithm."""

from __future__ import annotations

import html
import math
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...envs.engine.fits import Misfit
from ..reports.figures import figure
from ..terminal.interrupts import INTERRUPTED

if TYPE_CHECKING:
    import pandas


@dataclass
class Trained:
    """What came of a training.

    Attributes:
        folder: Where it is.
        figure: What held-out worlds are evaluated by: the "return" of an agent, another metric, or the "loss".
        scenario: Its name.
        world: Settings of the world it was trained in that are not the scenario's own, to run it with.
        policy: Its name where it is a user's own, ``"module:Class"``.
        per_update: Agent-steps of an update, where updates are what is counted.
        evaluations: Agent-steps and that figure, in order.
        curve: A row for each of them: figures by name, see `curves.py`.
        timesteps: Agent-steps made.
        seconds: Wall time, evaluations included.
        stopped: Whether the user stopped it early.
    """

    folder: Path
    figure: str = "return"
    scenario: str = ""
    world: list[str] = field(default_factory=list)
    policy: str | None = None
    per_update: int | None = None
    evaluations: list[tuple[int, float]] = field(default_factory=list)
    curve: list[dict[str, float]] = field(default_factory=list)
    timesteps: int = 0
    seconds: float = 0.0
    stopped: bool = False

    def __repr__(self) -> str:
        """Where it is and what came of it."""
        return f"<Trained {self.folder}: {self.told()}; {self.counted(self.timesteps)} made>"

    def __str__(self) -> str:
        """What came of it, and how to run it."""
        took = f"{self.counted(self.timesteps)} took {self.seconds:.0f} s"
        return f"{self.told()}; {took}\n{self.command}"

    def _repr_html_(self) -> str:
        return f'<pre style="line-height: normal">{html.escape(str(self))}</pre>'

    def frame(self) -> pandas.DataFrame:
        """The curve: a row for each evaluation, figures by column, as in ``metrics.jsonl``."""
        import pandas

        return pandas.DataFrame(self.curve)

    @property
    def command(self) -> str:
        """The command that runs what was trained."""
        settings = (word for text in self.run_with() for word in ("--set", text))
        return shlex.join(["studyhall", "run", self.scenario, *settings])

    @property
    def best(self) -> tuple[int, float]:
        """Agent-steps and figure of ``best.zip``; NaN where nothing was evaluated, or to nothing finite."""
        return max(
            self.evaluations, key=lambda found: self._worth(found[1]), default=(self.timesteps, math.nan)
        )

    @property
    def improved(self) -> bool | None:
        """Whether training found anything better than its start; None where it was not evaluated since."""
        if len(self.evaluations) < 2:
            return None
        return self.best[0] > self.evaluations[0][0]

    def counted(self, timesteps: int) -> str:
        """Agent-steps as people count them."""
        return (
            f"{timesteps:,} agent-steps"
            if self.per_update is None
            else f"{timesteps // self.per_update:,} updates"
        )

    @property
    def measure(self) -> str:
        """What held-out worlds are evaluated by, in words."""
        return f"{self.figure.replace('_', ' ')} on held-out worlds"

    @property
    def kept(self) -> Path:
        """The file of what was measured to be best; the last where nothing was evaluated."""
        return self.folder / ("last.zip" if math.isnan(self.best[1]) else "best.zip")

    def told(self) -> str:
        """What came of it, as a line: the best on held-out worlds, and whether that was the start."""
        if math.isnan(self.best[1]):
            return f"no evaluation gave a number: {self.kept} is as training left it, perhaps no better than its start"
        found = f"{self.measure} {figure(self.best[1])}"
        if self.improved:
            return f"{found} after {self.counted(self.best[0])}, from {figure(self.evaluations[0][1])} at the start"
        if self.improved is None:
            return f"{found} at the start; what was learnt since was not evaluated, {self.kept} is the start"
        return (
            f"training did not improve on its start: {found} before any update, and {self.kept} is the start; "
            "try a lower learning rate, or a longer training"
        )

    def run_with(self) -> list[str]:
        """What to give ``studyhall run`` by ``--set``."""
        path = self.kept
        policy = (
            [f"policy={path}"] if self.policy is None else [f"policy={self.policy}", f"policy.weights={path}"]
        )
        return [*self.world, *policy]

    def evaluated(self, value: float, figures: Mapping[str, float]) -> bool:
        """Note an evaluation after :attr:`timesteps`; whether it is the best so far.

        Args:
            value: The figure of held-out worlds.
            figures: What else is to be told of this point of the curve, by name.
        """
        best = not self.evaluations or self._worth(value) > self._worth(self.best[1])
        self.evaluations.append((self.timesteps, value))
        done = {} if self.per_update is None else {"updates": self.timesteps // self.per_update}
        row = {"timesteps": self.timesteps, **done, "seconds": self.seconds, f"eval/{self.figure}": value}
        self.curve.append({**row, **figures})
        return best

    def go_on_from(self, curve: Any) -> None:
        """Note the evaluations of a saved training: rows as of :attr:`curve`.

        Raises:
            Misfit: They are something else.
        """
        key = f"eval/{self.figure}"
        needed = {"timesteps": int, "seconds": float, key: float}
        if self.per_update is not None:
            needed["updates"] = int
        if not isinstance(curve, list):
            raise Misfit("curve is something else")
        self.curve = [check_figures(row) for row in curve]
        if any(type(row.get(name)) is not kind for row in self.curve for name, kind in needed.items()):
            raise Misfit("curve is something else")
        self.evaluations = [(int(row["timesteps"]), row[key]) for row in self.curve]

    def _worth(self, value: float) -> float:
        return -math.inf if math.isnan(value) else -value if self.figure == "loss" else value

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain JSON types."""
        return {
            "folder": str(self.folder),
            "best": str(self.kept),
            "last": str(self.folder / "last.zip"),
            "best_timesteps": self.best[0],
            f"best_{self.figure}": self.best[1],
            "evaluations": [{"timesteps": at, self.figure: value} for at, value in self.evaluations],
            "timesteps": self.timesteps,
            "seconds": self.seconds,
            "agent_steps_per_second": self.timesteps / self.seconds if self.seconds else None,
            "stopped": self.stopped,
            "improved": self.improved,
        }


def check_figures(saved: Any) -> dict[str, float]:
    """Figures by name that somebody saved.

    Raises:
        Misfit: They are something else.
    """
    if not isinstance(saved, dict) or not all(
        isinstance(name, str) and type(value) in (int, float) for name, value in saved.items()
    ):
        raise Misfit("the figures of the training are something else")
    return dict(saved)


def interrupted(found: Trained) -> SystemExit:
    """What ends the program where the user stopped a training; says what was kept, and how to go on."""
    print(
        f"studyhall: stopped after {found.counted(found.timesteps)}; go on with: studyhall train --resume "
        f"{found.folder}; {found.told()}{f', in {found.kept}' if found.improved else ''}",
        file=sys.stderr,
    )
    return SystemExit(INTERRUPTED)
