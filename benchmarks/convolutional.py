"""Learning steps of convolutional learners on a CPU: one after the other, and stacked.

    python benchmarks/convolutional.py [--rounds 15] [--quick] [--json] [--out FILE]

Four learners of one architecture take a step of Adam on 64 pictures, which they share or which are their own. The two
ways, :class:`~studyhall.learners.LoopedNetwork` and :class:`~studyhall.learners.ModuleNetwork` of the same modules,
take turns on one thread; times are the process's own, and a ratio is taken within a round.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from record import File, machine
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from studyhall.learners import Conv3, LoopedNetwork, ModuleNetwork, Population, cnn, learner_keys

SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
CLASSES = 10
Factory = Callable[[], nn.Module]


def network_factory(name: str, shape: tuple[int, ...]) -> Factory:
    return cnn(shape, CLASSES) if name == "cnn" else lambda: Conv3(shape, CLASSES)


def steps_of(
    kind: type[ModuleNetwork], name: str, data: str, learners: int
) -> Callable[[Tensor, Tensor], Any]:
    """A learning step of a fresh population."""
    shape = SHAPES[data]
    keys = learner_keys(torch.arange(1), learners)
    population = Population(kind(network_factory(name, shape), shape, CLASSES), keys)

    def step(x: Tensor, y: Tensor) -> None:
        def loss(logits: Tensor) -> Tensor:
            rows = F.cross_entropy(logits.flatten(0, 1).mT, y.flatten(0, 1), reduction="none")
            return rows.view(y.shape).mean(-1)

        population.learn(x, loss)

    return step


def measure(name: str, data: str, own: bool, learners: int, rows: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of a step both ways, interleaved; medians over rounds, and of ratios within them."""
    ways = {kind: steps_of(kind, name, data, learners) for kind in (LoopedNetwork, ModuleNetwork)}
    x = torch.randn(1, *([learners] if own else []), rows, *SHAPES[data])
    y = torch.randint(0, CLASSES, (1, learners, rows))
    times: dict[type, list[float]] = {kind: [] for kind in ways}
    for turn in range(rounds + 3):  # three to warm up
        for kind, step in ways.items():
            begin = time.process_time()
            step(x, y)
            if turn >= 3:
                times[kind].append(1000 * (time.process_time() - begin))
    looped, stacked = times[LoopedNetwork], times[ModuleNetwork]
    ratios = [other / ours for ours, other in zip(looped, stacked, strict=True)]
    return {
        "learners": name,
        "data": data,
        "pictures": "own" if own else "shared",
        "looped_ms": round(statistics.median(looped), 2),
        "stacked_ms": round(statistics.median(stacked), 2),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_low": round(statistics.quantiles(ratios, n=4)[0], 2),
        "ratio_high": round(statistics.quantiles(ratios, n=4)[2], 2),
    }


def show(report: dict[str, Any]) -> None:
    title = f"A learning step of {report['count']}, {report['rows']} pictures each, one thread"
    table = Table("learners", "data", "pictures", "looped", "stacked", "looped is faster by", title=title)
    for row in report["results"]:
        factor = f"{row['ratio']:.2f}x ({row['ratio_low']:.2f}-{row['ratio_high']:.2f})"
        times = (f"{row[way]:.1f} ms" for way in ("looped_ms", "stacked_ms"))
        table.add_row(row["learners"], row["data"], row["pictures"], *times, factor)
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="turns each way takes")
    parser.add_argument("--learners", type=int, default=4, help="how many")
    parser.add_argument("--rows", type=int, default=64, help="pictures of a step")
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it runs")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--out", type=Path, help="JSON; rows it holds are kept")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rounds = 3 if arguments.quick else arguments.rounds
    file = File(arguments.out, "convolutional")
    file.about({"count": arguments.learners, "rows": arguments.rows, "rounds": rounds, "machine": machine()})
    for name, data, own in itertools.product(("cnn", "conv3"), SHAPES, (False, True)):
        if not file.find(("results",), learners=name, data=data, pictures="own" if own else "shared"):
            row = measure(name, data, own, arguments.learners, arguments.rows, rounds)
            file.append(("results",), row, seeds=[0])
    if arguments.json:
        print(json.dumps(file.read(), indent=1))
    else:
        show(file.read())


if __name__ == "__main__":
    main()
