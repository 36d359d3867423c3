"""Learner-updates per second: a population in one tensor program, and a loop over modules.

    python benchmarks/population.py [--rounds 15] [--hosted] [--quick] [--json] [--out FILE]

The loop is the one everyone writes: a module and a ``torch.optim.Adam`` for each learner, once with the
optimiser's default settings and once with ``fused=True``. All train 784-128-64-10 with dropout 0.2 and
cross-entropy on a slice of 64 samples which the learners share. The three take turns, round after round, on
one thread; a ratio is taken within a round, so whatever else the machine is doing falls on both sides.

With ``--hosted`` the learners are those of worlds that host them: 5 in each of 64, or 8 in each of 256, all
64-64-64-10 without dropout on 16 samples of their own; a third contender gives every learner another rate.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from studyhall.learners import MLP, Population, learner_keys

SLICE, CLASSES = 64, 10
LABELS = {"population": "Population", "loop": "loop, Adam", "loop_fused": "loop, Adam(fused=True)"}
Step = Callable[[Tensor, Tensor], Any]


def population(learners: int) -> Step:
    """One world of learners, stacked."""
    class_ = Population(MLP(), learner_keys(torch.tensor([0]), learners))

    def step(x: Tensor, y: Tensor) -> None:
        def loss(logits: Tensor) -> Tensor:
            labels = y.expand(learners, SLICE)
            return F.cross_entropy(logits.flatten(0, 1).mT, labels, reduction="none").mean(dim=1)[None]

        class_.learn(x, loss)

    return step


def loop(learners: int, fused: bool | None = None) -> Step:
    """A module and an optimiser for each learner, one after the other."""
    modules = [MLP().module() for _ in range(learners)]
    optimisers = [torch.optim.Adam(module.parameters(), lr=1e-3, fused=fused) for module in modules]

    def step(x: Tensor, y: Tensor) -> None:
        for module, optimiser in zip(modules, optimisers, strict=True):
            optimiser.zero_grad(set_to_none=True)
            F.cross_entropy(module(x), y).backward()
            optimiser.step()

    return step


def measure(learners: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Updates per second of each contender, interleaved; medians over rounds, and ratios within them."""
    contenders = {
        "population": population(learners),
        "loop": loop(learners),
        "loop_fused": loop(learners, fused=True),
    }
    slices = [(torch.randn(SLICE, 28, 28), torch.randint(0, CLASSES, (SLICE,))) for _ in range(16)]
    steps = {}
    for name, step in contenders.items():
        for x, y in slices:  # warm up
            step(x, y)
        begin = time.perf_counter()
        for x, y in slices:
            step(x, y)
        steps[name] = max(1, round(seconds * len(slices) / (time.perf_counter() - begin)))
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, step in contenders.items():
            begin = time.perf_counter()
            for turn in range(steps[name]):
                step(*slices[turn % len(slices)])
            speeds[name].append(steps[name] * learners / (time.perf_counter() - begin))
    result: dict[str, Any] = {"learners": learners, "updates_per_second": {}, "ratio": {}}
    for name, values in speeds.items():
        result["updates_per_second"][name] = summary(values)
        if name != "population":
            ratios = [ours / other for ours, other in zip(speeds["population"], values, strict=True)]
            result["ratio"][name] = summary(ratios)
    return result


def summary(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 2),
        "min": round(min(values), 2),
        "max": round(max(values), 2),
    }


def show(report: dict[str, Any]) -> None:
    title = "Updates per learner and second, 784-128-64-10, slice of 64, one thread"
    table = Table("learners", "", "updates/s", "Population is faster by", title=title)
    for result in report["results"]:
        for name, speed in result["updates_per_second"].items():
            ratio = result["ratio"].get(name)
            factor = f"{ratio['median']:.2f}x ({ratio['min']:.2f}-{ratio['max']:.2f})" if ratio else ""
            table.add_row(str(result["learners"]), LABELS[name], f"{speed['median']:,.0f}", factor)
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="turns each contender takes")
    parser.add_argument("--quick", action="store_true", help="few short rounds: to see that it runs")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rounds, seconds = (3, 0.05) if arguments.quick else (arguments.rounds, 0.5)
    report = {
        "benchmark": "population",
        "sizes": list(MLP().sizes),
        "dropout": MLP().dropout,
        "slice": SLICE,
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        "results": [measure(learners, rounds, seconds) for learners in (8, 64)],
    }
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=2) + "\n")
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        show(report)


if __name__ == "__main__":
    main()
