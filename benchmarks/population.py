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
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from record import File, machine
from rich.console import Console
from rich.table import Table
from torch import Tensor

from studyhall.learners import MLP, Population, learner_keys

CLASSES = 10
LABELS = {
    "population": "Population",
    "population_apart": "Population, all rates distinct",
    "loop": "loop, Adam",
    "loop_fused": "loop, Adam(fused=True)",
}
Step = Callable[[Tensor, Tensor], Any]


@dataclass(frozen=True)
class Case:
    """Worlds of learners, and the samples ``[W, M, D]`` or ``[W, N, M, D]`` of a step."""

    network: MLP
    worlds: int
    learners: int
    rows: int
    own: bool = False

    @property
    def total(self) -> int:
        return self.worlds * self.learners

    def slices(self, count: int) -> list[tuple[Tensor, Tensor]]:
        shape = (self.worlds, self.learners, self.rows)
        inputs = (*shape, self.network.sizes[0]) if self.own else (self.worlds, *shape[2:], 28, 28)
        return [(torch.randn(inputs), torch.randint(0, CLASSES, shape)) for _ in range(count)]


SHARED = [Case(MLP(), 1, learners, 64) for learners in (8, 64)]
HOSTED = [Case(MLP((64, 64, 64, CLASSES), 0.0), worlds, n, 16, own=True) for worlds, n in ((64, 5), (256, 8))]


def population(case: Case, rate: Tensor | None = None) -> Step:
    """All of them stacked."""
    learners = Population(case.network, learner_keys(torch.arange(case.worlds), case.learners))

    def step(x: Tensor, y: Tensor) -> None:
        def loss(logits: Tensor) -> Tensor:
            flat = logits.flatten(0, 1).mT
            rows = F.cross_entropy(flat, y.flatten(0, 1), reduction="none")
            return rows.view(y.shape).mean(-1)

        learners.learn(x, loss, rate=rate)

    return step


def loop(case: Case, fused: bool | None = None) -> Step:
    """A module and an optimiser for each learner, one after the other."""
    modules = [case.network.module() for _ in range(case.total)]
    optimisers = [torch.optim.Adam(module.parameters(), lr=1e-3, fused=fused) for module in modules]

    def step(x: Tensor, y: Tensor) -> None:
        inputs = x.flatten(0, 1) if case.own else x.repeat_interleave(case.learners, dim=0)
        for module, optimiser, seen, labels in zip(modules, optimisers, inputs, y.flatten(0, 1), strict=True):
            optimiser.zero_grad(set_to_none=True)
            F.cross_entropy(module(seen), labels).backward()
            optimiser.step()

    return step


def measure(case: Case, rounds: int, seconds: float) -> dict[str, Any]:
    """Updates per second of each contender, interleaved; medians over rounds, and ratios within them."""
    contenders = {
        "population": population(case),
        "loop": loop(case),
        "loop_fused": loop(case, fused=True),
    }
    if case.own:
        contenders["population_apart"] = population(case, torch.rand(case.worlds, case.learners) + 0.1)
    slices = case.slices(max(2, 128 // case.total))
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
            speeds[name].append(steps[name] * case.total / (time.perf_counter() - begin))
    result: dict[str, Any] = {"learners": case.total, "updates_per_second": {}, "ratio": {}}
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
    sizes = "-".join(map(str, report["sizes"]))
    title = f"Learner updates per second, {sizes}, slice of {report['slice']}, one thread"
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
    parser.add_argument("--hosted", action="store_true", help="learners of worlds that host them")
    parser.add_argument("--quick", action="store_true", help="few short rounds: to see that it runs")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--out", type=Path, help="JSON; rows it holds are kept")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rounds, seconds = (3, 0.05) if arguments.quick else (arguments.rounds, 0.5)
    cases = HOSTED if arguments.hosted else SHARED
    file = File(arguments.out, "population")
    about = {
        "sizes": list(cases[0].network.sizes),
        "dropout": cases[0].network.dropout,
        "slice": cases[0].rows,
    }
    file.about({**about, "rounds": rounds, "machine": machine()})
    for case in cases:
        if not file.find(("results",), learners=case.total):
            file.append(("results",), measure(case, rounds, seconds), seeds=[0])
    if arguments.json:
        print(json.dumps(file.read(), indent=1))
    else:
        show(file.read())


if __name__ == "__main__":
    main()
