"""What each part of a listener for all tasks buys: the tournament, features in hundredths, the pace, the memory.

    STUDYHALL_DATA=… python benchmarks/listen_parts.py [--variants NAME …] [--train-seeds 1000,2000,3000]
        [--worlds 20] [--out FILE]

Each variant is a network without that part, which imitates the teachers of `listen-v1` as `studyhall train --suite`
does (no reward follows), once a seed of training, and is measured on the tasks of a quick evaluation, on worlds of the
evaluation domain. A part is taken away by reading 0, in training and afterwards. Trainings that the file holds are not
made again.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from pages.cells import known
from ranges import Ranges
from record import File
from rich.console import Console
from rich.table import Table

from studyhall.envs.archive import save
from studyhall.policies.listening.learned import LearnedPolicy
from studyhall.policies.listening.tournament import Tournament
from studyhall.rollouts import interval
from studyhall.rollouts.runs.evaluate import measure
from studyhall.rollouts.training.for_suites import about, configure
from studyhall.rollouts.training.imitation import imitate
from studyhall.scenarios.suites import get_suite

SUITE = get_suite("listen-v1")
TASKS = tuple(task for task in SUITE.tasks if task.quick)
RANGES = Ranges(report=range(SUITE.seeds[0], SUITE.seeds[-1] + 1))
_CARD_GAP, _PACE = 0, 1
"""What is derived of oneself, by place."""


class WithoutTournament(Tournament):
    """Sources do not compete."""

    def compete(self, keys, there):
        return torch.zeros_like(super().compete(keys, there))


class WithoutHundredths(Tournament):
    """Nothing of the sources is shown in hundredths, nor how far one's card is behind the best."""

    def derive(self, obs, heard):
        of_sources, of_self = super().derive(obs, heard)
        return torch.zeros_like(of_sources), of_self * _only(of_self, _PACE)


class WithoutPace(Tournament):
    """How far questions are behind an even pace is not shown."""

    def derive(self, obs, heard):
        of_sources, of_self = super().derive(obs, heard)
        return of_sources, of_self * _only(of_self, _CARD_GAP)


class WithoutMemory(Tournament):
    """What became of those who followed a source is forgotten."""

    def forward(self, obs):
        return super().forward({**obs, "history": torch.zeros_like(obs["history"])})


VARIANTS: dict[str, type[Tournament]] = {
    "everything": Tournament,
    "without the tournament": WithoutTournament,
    "without hundredths": WithoutHundredths,
    "without the pace": WithoutPace,
    "without memory": WithoutMemory,
}


def _only(like, place):
    """1 at a place of the last axis, else 0."""
    return torch.eye(like.shape[-1], dtype=like.dtype)[place]


class Variant(LearnedPolicy):
    """A listener of one of the variants, from its file."""

    def __init__(self, source: str, variant: str) -> None:
        super().__init__(source)
        weights = self.scorer.state_dict()
        self.scorer = VARIANTS[variant].from_state(weights).eval().requires_grad_(False)


def trained(variant: str, seed: int, path: Path) -> None:
    """Train a variant into a file."""
    config = configure(SUITE, seed=seed)
    network = imitate(config.imitation, lambda words: None, VARIANTS[variant])
    weights = {f"scorer.{key}": value for key, value in network.state_dict().items()}
    save(path, about(config, "python benchmarks/listen_parts.py"), weights)


def table(found: dict) -> Table:
    """One row a variant."""
    shown = Table(title="scores by task, mean over trainings", title_justify="left")
    for column in ("variant", *(task.name for task in TASKS)):
        shown.add_column(column, justify="left" if column == "variant" else "right")
    for variant, runs in found.items():
        each = [
            interval([sum(run["tasks"][task.name]["accuracy"]) / len(run["worlds"]) for run in runs])
            for task in TASKS
        ]
        shown.add_row(variant, *(known(own._asdict(), 1) for own in each))
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--train-seeds", type=RANGES.seeds("fit"), default="1000,2000,3000")
    parser.add_argument("--worlds", type=int, default=SUITE.worlds)
    parser.add_argument("--out", type=Path, help="JSON; trainings it holds are kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    file, worlds = File(options.out, "listen_parts"), list(SUITE.seeds[: options.worlds])
    for seed in options.train_seeds:
        for variant in options.variants:
            if file.find((variant,), train_seed=seed):
                continue
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "clone.zip"
                trained(variant, seed, path)
                given = {"source": str(path), "variant": variant}
                tasks = {task.name: measure(task, f"{__name__}:Variant", given, worlds) for task in TASKS}
            file.append((variant,), {"train_seed": seed, "worlds": worlds, "tasks": tasks}, seeds=worlds)
    Console(width=160).print(table(file.read()))


if __name__ == "__main__":
    main()
