"""What students can teach each other once the teacher's budget is spent: every rule we tried, on MNIST.

Each rule gets the same worlds: eight students, 1,000 calls to the teacher (64,000 labels), then no labels. A
rule decides what is published and imitated after that; the control stops. Rules are compared on the exam split with
seeds to choose on first (`--split exam --seeds 10000-10004`, kept in docs/results/peer_rules_exam.json); the table to
quote is measured on the test split with other seeds.

    STUDYHALL_DATA=… python benchmarks/peer_rules.py [--seeds 100-104] [--steps 3000] [--split test|exam]
                                                     [--rules NAME …] [--out FILE]
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from ranges import Ranges
from record import RESULTS, Choice, File
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch.nn import functional as F

from studyhall import make_world
from studyhall.envs.errors import ConfigError
from studyhall.policies import Policy, make_policy
from studyhall.policies.classroom.protocols import (
    Lesson,
    Mutual,
    SnapshotEnsemble,
    TwoPhase,
    budget_left,
    labelled,
    with_oneself,
)
from studyhall.policies.classroom.students import Students
from studyhall.rollouts import interval, spread
from studyhall.rollouts.settings import parse_seeds


class Live(Mutual):
    """After the labels, imitate the mean of the class as it is now, oneself included.

    Args:
        rate: Learning rate of the peer phase, as a fraction.
        gate: Imitate rows only where the mean's best class has at least this probability.
        hard: Imitate that class alone, not the distribution.
    """

    def __init__(self, rate: float = 1.0, gate: float = 0.0, hard: bool = False) -> None:
        super().__init__()
        self.rate, self.gate, self.hard = rate, gate, hard

    def lesson(self, obs):
        told = labelled(obs)
        _, rows, targets, _ = super().lesson(obs)
        confidence, best = targets.max(-1)
        rows = rows * (confidence >= self.gate) * ~told[..., None]
        if self.hard:
            targets = F.one_hot(best, targets.shape[-1]).float()
        return Lesson(told.float(), rows, targets, torch.where(told, 1.0, self.rate))

    def listens_to(self, obs):
        return with_oneself(obs["heard"])

    def publish(self, obs):
        return ~budget_left(obs)


class FrozenBest(SnapshotEnsemble):
    """After the labels, imitate the best report card's snapshot, which stands still."""

    def listens_to(self, obs):
        best = F.one_hot(obs["report"][..., 0].argmax(-1), obs["report"].shape[1])
        return self.students.world.neighbours().with_oneself(best) * super().listens_to(obs)


class Averaged(Students):
    """No peer phase: after the labels nobody moves, and each is judged by its averaged weights."""

    def predict(self, x, *, dropout=None):
        with torch.no_grad():
            parts = [self.protocol.publisher().logits(part.flatten(1)) for part in x.split(2000)]
        return torch.cat(parts, dim=2).softmax(-1)


def students(protocol, temperature: float) -> Students:
    return Students(protocol, temperature=temperature)


PURPOSE = {"test": "report", "exam": "choose"}
RANGES = Ranges(report=range(100, 1000))
COMPARED = RESULTS / "peer_rules_exam.json"

RULES: dict[str, Callable[[], Policy]] = {
    "stop at budget (control)": lambda: make_policy("stop_at_budget"),
    "averaged weights, no peer phase (control)": lambda: Averaged(
        SnapshotEnsemble(rate=0.0), temperature=1.0
    ),
    "best teaches, T 2, T² scaling": lambda: students(TwoPhase(), 2.0),
    "best's snapshot teaches, T 1, rate .1": lambda: students(FrozenBest(), 1.0),
    "mean of all, T 2": lambda: students(Live(), 2.0),
    "mean of all, T 1": lambda: students(Live(), 1.0),
    "mean of all, T 1, rate .02": lambda: students(Live(rate=0.02), 1.0),
    "mean where confident (.95), T 1": lambda: students(Live(gate=0.95), 1.0),
    "hard targets where confident (.95)": lambda: students(Live(gate=0.95, hard=True), 1.0),
    "snapshots, T 2, rate .1": lambda: students(SnapshotEnsemble(rate=0.1), 2.0),
    "snapshots, T 1, rate 1": lambda: students(SnapshotEnsemble(rate=1.0), 1.0),
    "snapshots, T 1, rate .1": lambda: students(SnapshotEnsemble(rate=0.1), 1.0),
    "snapshots, T 1, rate .03": lambda: students(SnapshotEnsemble(rate=0.03), 1.0),
    "snapshots, T ½, rate .03": lambda: students(SnapshotEnsemble(rate=0.03), 0.5),
}


def accuracies(world, policy: Policy, split: str) -> dict[str, list[float]]:
    """Mean, best and soft vote on a split, one value per world."""
    items = world.dataset.split(split)
    beliefs = policy.predict(world.dataset.inputs(split, torch.arange(len(items))))
    each = (beliefs.argmax(-1) == items.y).float().mean(-1)
    vote = (beliefs.sum(1).argmax(-1) == items.y).float().mean(-1)
    return {"mean": each.mean(-1).tolist(), "best": each.amax(-1).tolist(), "vote": vote.tolist()}


def run(rule: str, seeds: list[int], steps: int, split: str) -> dict[str, dict[str, list[float]]]:
    """Accuracies when the budget is spent and at the end."""
    world = make_world(
        "classroom-v0", num_worlds=len(seeds), autoreset=False, data="mnist", slice_size=64, order="passes",
        horizon=steps, teacher_budget=1000, exam_size=500, exam_every=200, card_every=200,
    )  # fmt: skip
    policy = RULES[rule]()
    policy.bind(world)
    obs = world.reset(seed=seeds, options={"domain": "eval"})
    policy.reset()
    found = {}
    for t in track(range(steps), description=rule, console=Console(stderr=True), transient=True):
        if t == 1001:  # the last labelled slice has been learnt from
            found["budget spent"] = accuracies(world, policy, split)
        step = world.step(policy.act(obs))
        obs = step.obs
    policy.end(step.final_obs, step.truncated)
    return {**found, "end": accuracies(world, policy, split)}


def best_on_exam() -> tuple[Choice, ...]:
    """Which rule was the best on the exam split; nothing where that was not kept."""
    if not COMPARED.exists():
        return ()
    rows = json.loads(COMPARED.read_text(encoding="utf-8"))["rules"]
    best = max(rows, key=lambda rule: interval(rows[rule]["end"]["vote"]).mean)
    return (Choice(best, list(rows), "exam split", rows[best]["seeds"], "soft vote, mean over worlds"),)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=parse_seeds, default="100-104")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--split", choices=PURPOSE, default="test")
    parser.add_argument("--rules", nargs="*", default=list(RULES), choices=list(RULES), metavar="NAME")
    parser.add_argument("--out", type=Path, help="JSON; rules it holds are kept")
    args = parser.parse_args()
    try:
        seeds = list(RANGES.checked(PURPOSE[args.split], args.seeds))
    except ConfigError as fault:
        parser.error(f"--split {args.split}: {fault}")
    torch.set_num_threads(1)
    file = File(args.out, "peer_rules")
    file.about({"split": args.split, "steps": args.steps, "seeds": seeds})
    for rule in args.rules:
        if not file.has(("rules", rule), seeds):
            chosen = best_on_exam() if args.split == "test" else ()
            file.add(("rules", rule), run(rule, seeds, args.steps, args.split), seeds=seeds, chosen=chosen)
    table = Table(
        title=f"{args.split} accuracy in % after {args.steps} steps, {len(seeds)} seeds, 95 % intervals"
    )
    table.add_column("rule")
    for name in ("mean", "best", "vote", "vote − control, paired"):
        table.add_column(name, justify="right")
    rows = file.get(("rules",))
    control = next(iter(rows.values()))["end"]
    for rule, row in rows.items():
        gain = [a - b for a, b in zip(row["end"]["vote"], control["vote"], strict=True)]
        table.add_row(rule, *[spread(interval(values)) for values in (*row["end"].values(), gain)])
    Console().print(table)


if __name__ == "__main__":
    main()
