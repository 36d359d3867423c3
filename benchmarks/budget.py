"""A teacher on a budget: learned and scripted protocols beside stopping when the labels run out.

Every policy gets the same worlds of `classroom-budget-digits`, the seeds of the evaluation domain. A learned protocol
may come as several training seeds (`ppo=a.zip,b.zip`): each is a row, and `ppo` their mean, world by world.

    python benchmarks/budget.py [--policies NAME … ] [--seeds 0-19] [--out FILE]
"""

import argparse
import dataclasses
import json
from pathlib import Path

import torch
from pages.cells import known
from rich.console import Console
from rich.progress import track
from rich.table import Table

from studyhall.policies import PolicySpec, register_policy
from studyhall.policies.listening.weights import BestCard, Nobody
from studyhall.rollouts import interval, rollout
from studyhall.rollouts.settings import parse_seeds
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
    "listen_nobody": "ask always, then stop (the control)",
    "listen_two_phase": "the teacher, then the best card",
    "mean": "everyone from everyone",
    "most_confident_sample": "row by row the most confident",
    "best_card": "the best card throughout",
    "reputation_self": "whoever agreed with oneself",
    "composite": "hand-tuned (on the society)",
}
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
    parser.add_argument("--policies", nargs="+", metavar="NAME|LABEL=ZIP,…", default=list(RULES))
    parser.add_argument("--seeds", default="0-19")
    parser.add_argument("--out", type=Path, help="JSON; policies it holds already are kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds = parse_seeds(options.seeds)
    found = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    for given in track(options.policies, description="policies"):
        label, _, paths = given.partition("=")
        names = paths.split(",") if paths else [label]
        runs = [measure(name, seeds) for name in names]
        rows = {f"{label} ({Path(n).stem})": run for n, run in zip(names, runs, strict=True)} if paths else {}
        rows[label] = {
            m: [sum(v) / len(v) for v in zip(*(run[m] for run in runs), strict=True)] for m in METRICS
        }
        found |= {
            row: {m: {"values": v, **interval(v)._asdict()} for m, v in metrics.items()}
            for row, metrics in rows.items()
        }
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
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
