"""A teacher on a budget: learned and scripted protocols beside stopping when the labels run out.

Every policy gets the same worlds of `classroom-budget-digits`, of seeds of the evaluation domain. Learned protocols are
trained three times each (kept in `--models`, made where they are not there yet): each training is a row, and the label
their mean, world by world; others may be given as `LABEL=a.zip,b.zip`.

    python benchmarks/budget.py [--policies NAME … ] [--seeds 100-119] [--out FILE]

Rows that the file holds of the same seeds are not measured again.
"""

import argparse
import dataclasses
from pathlib import Path

import torch
from contenders import Training, add_options, checkpoints, contenders, trained_by
from pages.cells import known
from ranges import Ranges
from record import File
from rich.console import Console
from rich.progress import track
from rich.table import Table

from studyhall.policies import PolicySpec, register_policy
from studyhall.policies.listening.weights import BestCard, Nobody
from studyhall.rollouts import interval, rollout
from studyhall.scenarios import get_scenario


class AskEvenly(Nobody):
    """Spread the questions over the episode, and learn from labels alone."""

    def act(self, obs):
        return super().act(obs) | {"ask": evenly(self.world)}


class AskEvenlyBestCard(BestCard):
    """Spread the questions over the episode, and imitate the best report card in between."""

    def act(self, obs):
        return super().act(obs) | {"ask": evenly(self.world)}


def evenly(world) -> torch.Tensor:
    """Whether it is time for a question, int64 ``[W, N]``: every horizon / budget steps."""
    due = world.steps * world.teacher.budget % world.horizon < world.teacher.budget
    return due.long()[:, None].expand(world.num_worlds, world.num_agents)


register_policy(PolicySpec("ask_evenly", f"{__name__}:AskEvenly", "labels at even intervals"))
register_policy(
    PolicySpec("ask_evenly_best_card", f"{__name__}:AskEvenlyBestCard", "and the best card between")
)

RULES = {
    "ask_evenly": "labels at even intervals",
    "ask_evenly_best_card": "labels at even intervals, the best card in between",
    "even_two": "labels at even intervals, the best card in between if it beats one's own",
    "even_trust": "the same among sources that agree with oneself",
    "listen_nobody": "ask always, then stop (the control)",
    "listen_two_phase": "the teacher, then the best card",
    "mean": "everyone from everyone",
    "most_confident_sample": "row by row the most confident",
    "best_card": "the best card throughout",
    "reputation_self": "whoever agreed with oneself",
    "composite": "hand-tuned (on the society)",
}
_LENGTH = {"timesteps": 800_000, "worlds": 32, "eval_every": 200_000}
_FAR = ("cooperation=1", "ppo.gamma=0.99", "ppo.log_std_init=0")
TRAININGS = {
    "ppo listen": Training("classroom-budget-digits", ("actions=listen", *_FAR), **_LENGTH),
    "ppo discrete": Training("classroom-budget-digits", ("actions=discrete", "ppo.ent_coef=0.01"), **_LENGTH),
}
RANGES = Ranges(report=range(100, 1000))
"""Worlds 0 to 19 were looked at."""

METRICS = ("mean", "best", "hard_vote", "soft_vote", "calls", "labelled_slices", "kib")


def measure(name: str, seeds: tuple[int, ...]) -> dict[str, list[float]]:
    """What a run of the scenario with that policy reports, by metric, one value a world."""
    scenario = dataclasses.replace(
        get_scenario("classroom-budget-digits"), policy=name, policy_kwargs={}, controls=()
    )
    metrics = rollout(scenario, seeds=seeds).metrics["open"]
    return {metric: metrics[metric] for metric in METRICS}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser, [*RULES, *TRAININGS], "runs/budget")
    parser.add_argument("--seeds", type=RANGES.seeds("report"), default="100-119")
    parser.add_argument("--out", type=Path, help="JSON; rows it holds of the same seeds are kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds, file = options.seeds, File(options.out, "budget")

    file.only((), seeds)

    def add(row: str, by_metric: dict[str, list[float]], names: dict[str, str]) -> None:
        found = {metric: {"values": v, **interval(v)._asdict()} for metric, v in by_metric.items()}
        chosen = checkpoints(names, "return, mean over worlds and agents")
        file.add((row,), found | trained_by(names), seeds=seeds, chosen=chosen)

    policies = contenders(options.policies, TRAININGS, options.models)
    for label, names in track(policies.items(), description="policies"):
        if file.has((label,), seeds):
            continue
        runs = {member: measure(name, seeds) for member, name in names.items()}
        if len(names) > 1:
            for member, run in runs.items():
                add(f"{label} ({member})", run, {member: names[member]})
        mean = {
            m: [sum(v) / len(v) for v in zip(*(run[m] for run in runs.values()), strict=True)]
            for m in METRICS
        }
        add(label, mean, names)
    found = file.read()
    table = Table(
        title=f"20 calls to the teacher: test accuracy, %, {len(seeds)} worlds", title_justify="left"
    )
    for column in ("policy", *METRICS):
        table.add_column(column, justify="left" if column == "policy" else "right")
    for row, metrics in sorted(found.items(), key=lambda item: -item[1]["mean"]["mean"]):
        cells = []
        for metric in METRICS:
            entry = metrics[metric]
            share = metric not in ("calls", "labelled_slices", "kib")
            cells.append(known(entry, 1) if share else f"{entry['mean']:.1f}")
        table.add_row(row, *cells)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
