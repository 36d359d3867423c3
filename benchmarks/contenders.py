"""Who takes part in a comparison: rules by their names, and learned policies, trained where they are not there yet."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from record import Choice

from studyhall.policies.files import read
from studyhall.policies.listening.learned import FORMAT
from studyhall.rollouts.training import begin
from studyhall.rollouts.training.loop import EVAL_SEED
from studyhall.scenarios import get_scenario

_OPTIONS = ("updates", "cpu_seconds", "eval_worlds", "device")
EVAL_WORLDS = 16


class Training(NamedTuple):
    """How a policy is trained, once for each seed; as ``studyhall train`` does.

    Args:
        scenario: Where.
        sets: Its ``--set``.
        timesteps: Agent-steps.
        worlds: Side by side.
        seeds: Of the first world of each training.
        eval_every: Agent-steps between two evaluations, of which the best is kept.
    """

    scenario: str
    sets: tuple[str, ...]
    timesteps: int = 1_200_000
    worlds: int = 64
    seeds: tuple[int, ...] = (1000, 2000, 3000, 4000, 5000)
    eval_every: int = 300_000

    def made(self, folder: Path) -> dict[str, str]:
        """Files by what their rows are called, those that are missing trained."""
        found = {}
        for seed in self.seeds:
            place = folder / f"seed-{seed}"
            if not (place / "best.zip").exists():
                options = dict.fromkeys(_OPTIONS) | {"timesteps": self.timesteps, "worlds": self.worlds}
                options |= {"seed": seed, "threads": 1, "eval_every": self.eval_every}
                options |= {"eval_worlds": EVAL_WORLDS}
                begin(
                    get_scenario(self.scenario), algorithm="ppo", assignments=self.sets, out=place, **options
                )
            found[f"seed-{seed}"] = str(place / "best.zip")
        return found


def add_options(parser: argparse.ArgumentParser, usual: Sequence[str], folder: str) -> None:
    """``--policies`` and ``--models``."""
    parser.add_argument(
        "--policies", nargs="+", metavar="NAME|LABEL=ZIP,…", default=list(usual), help="default: all"
    )
    parser.add_argument(
        "--models", type=Path, default=Path(folder), help="where policies are kept that were trained for this"
    )


def contenders(
    given: Sequence[str], trainings: Mapping[str, Training], folder: Path
) -> dict[str, dict[str, str]]:
    """Label to names of policies, by what is behind the label in their rows: one of a rule, several of a training."""
    found = {}
    for text in given:
        label, _, paths = text.partition("=")
        if paths:
            found[label] = {Path(path).stem: path for path in paths.split(",")}
        elif label in trainings:
            found[label] = trainings[label].made(folder / label.replace(" ", "-"))
        else:
            found[label] = {"": label}
    return found


def trained_by(names: Mapping[str, str]) -> dict[str, list[str]]:
    """The commands that trained policies, for their row; nothing of rules."""
    paths = [name for name in names.values() if name.endswith(".zip")]
    return {"trained_by": [read(path, FORMAT)[0]["command"] for path in paths]} if paths else {}


def checkpoints(names: Mapping[str, str], statistic: str) -> tuple[Choice, ...]:
    """That of each training the best of its evaluations was kept; nothing of rules."""
    if not any(name.endswith(".zip") for name in names.values()):
        return ()
    seeds = range(EVAL_SEED, EVAL_SEED + EVAL_WORLDS)
    return (
        Choice("best.zip", "evaluations of a training", "evaluation domain, exam split", seeds, statistic),
    )
