"""A learning step of a language model on a CPU: by group, and as an ordinary module under autograd.

    python benchmarks/transformer.py [--rounds 11] [--quick] [--json] [--out FILE]

The documented size, 10,000 words, 16 windows of 64 tokens: everything learns, or some groups do and the others rest,
and the same model as a plain module with ``cross_entropy`` and ``torch.optim.AdamW(fused=True)``. Then a small model
in one world, in three, in eight. The contenders take turns on one thread; times are the process's own, and a ratio is
taken within a round. Counted are the multiply-adds of all matrix products.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from record import File, machine
from rich.console import Console
from rich.table import Table
from torch import Tensor

from studyhall.envs import rng
from studyhall.learners import GroupedPopulation, Transformer

MASKS = {
    "dense": tuple(range(10)),
    "5–9": (5, 6, 7, 8, 9),
    "0–4": (0, 1, 2, 3, 4),
    "0, 2, 4, 6, 8": (0, 2, 4, 6, 8),
    "1, 3, 5, 7, 9": (1, 3, 5, 7, 9),
    "0, 9": (0, 9),
    "1–8": tuple(range(1, 9)),
    "nobody": (),
}
WORLDS = (1, 3, 8)
Step = Callable[[], Any]


def keys(worlds: int) -> Tensor:
    return rng.world_key(torch.arange(worlds), "train")


def masked(net: Transformer, groups: tuple[int, ...]) -> np.ndarray:
    learn = np.zeros(len(net.groups), dtype=bool)
    learn[list(groups)] = True
    return learn


def plain_step(net: Transformer, tokens: Tensor) -> Step:
    """Of a plain module, on windows ``[B, T + 1]``."""
    module = net.module().train()
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-3, weight_decay=0.01, fused=True)

    def step() -> None:
        optimiser.zero_grad()
        logits = module(tokens[:, :-1])
        F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
        optimiser.step()

    return step


def step_of(net: Transformer, tokens: Tensor, learn: np.ndarray) -> Step:
    """Of a fresh population, on ``[W, B, T + 1]``; who learns is ``[N]`` or ``[W, N]``."""
    population = GroupedPopulation(net, keys(len(tokens)))
    rate = torch.as_tensor(learn).float().expand(len(tokens), -1)
    return lambda: population.learn(tokens, rate)


def interleaved(steps: Mapping[str, Step], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each step, in turns."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 2):  # two to warm up
        for name, step in steps.items():
            begin = time.process_time()
            step()
            if turn >= 2:
                times[name].append(1000 * (time.process_time() - begin))
    return times


def ratio(times: list[float], to: list[float]) -> dict[str, float]:
    """Median and quartiles of the ratios within a round."""
    low, middle, high = statistics.quantiles([a / b for a, b in zip(times, to, strict=True)], n=4)
    return {"ratio": round(middle, 3), "ratio_low": round(low, 3), "ratio_high": round(high, 3)}


def documented(dropout: float, rounds: int) -> list[dict[str, Any]]:
    """The documented size: the plain module, and who learns by group against everyone."""
    net = Transformer(10_000, dropout=dropout)
    tokens = torch.randint(10_000, (1, 16, 65))
    steps = {"plain": plain_step(net, tokens[0])}
    steps |= {name: step_of(net, tokens, masked(net, groups)) for name, groups in MASKS.items()}
    times = interleaved(steps, rounds)
    dense = net.cost(masked(net, MASKS["dense"]), 16, 64)
    rows = []
    for name, own in times.items():
        row: dict[str, Any] = {"learns": name, "dropout": dropout, "ms": round(statistics.median(own), 1)}
        if name in MASKS:
            counted = net.cost(masked(net, MASKS[name]), 16, 64) / dense
            row |= {"to_dense": ratio(own, times["dense"]), "counted": round(float(counted), 3)}
        rows.append(row | {"to_plain": ratio(own, times["plain"])})
    return rows


def small(rounds: int) -> list[dict[str, Any]]:
    """A small model in several worlds: all groups learn, or five random ones in each world."""
    net = Transformer(512, width=32, heads=2, feedforward=64, length=32)
    steps: dict[str, Step] = {}
    costs: dict[str, float] = {}
    generator = np.random.default_rng(0)
    tokens = torch.randint(512, (max(WORLDS), 16, 33))
    steps["plain"] = plain_step(net, tokens[0])
    dense = net.cost(np.ones(10, dtype=bool), 16, 32)
    for worlds in WORLDS:
        five = np.stack([masked(net, tuple(generator.permutation(10)[:5])) for _ in range(worlds)])
        for name, learn in {"all": np.ones((worlds, 10), dtype=bool), "five each": five}.items():
            steps[f"{worlds} {name}"] = step_of(net, tokens[:worlds], learn)
            costs[f"{worlds} {name}"] = float(net.cost(learn, 16, 32).mean() / dense)
    times = interleaved(steps, rounds)
    rows: list[dict[str, Any]] = [
        {"worlds": 1, "learns": "plain", "ms": round(statistics.median(times["plain"]), 2)}
    ]
    for worlds in WORLDS:
        for name in ("all", "five each"):
            own = [one / worlds for one in times[f"{worlds} {name}"]]
            everyone = [one / worlds for one in times[f"{worlds} all"]]
            rows.append(
                {
                    "worlds": worlds,
                    "learns": name,
                    "ms": round(statistics.median(own), 2),
                    "to_dense": ratio(own, everyone),
                    "counted": round(costs[f"{worlds} {name}"], 3),
                    "to_plain": ratio(own, times["plain"]),
                }
            )
    return rows


def show(report: dict[str, Any]) -> None:
    console = Console()
    for title, rows in (
        ("10,000 words, 3,108,368 parameters, 16 × 64 tokens, one thread", report["documented"]),
        ("512 words, 68,544 parameters, 16 × 32 tokens: milliseconds of a world's step", report["small"]),
    ):
        table = Table("worlds", "learns", "dropout", "ms", "to dense", "counted", "to plain", title=title)
        for row in rows:
            table.add_row(
                *(str(row.get(name, "")) for name in ("worlds", "learns", "dropout", "ms")),
                _factor(row.get("to_dense")),
                str(row.get("counted", "")),
                _factor(row.get("to_plain")),
            )
        console.print(table)


def _factor(found: dict[str, float] | None) -> str:
    return f"{found['ratio']:.2f} ({found['ratio_low']:.2f}-{found['ratio_high']:.2f})" if found else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11, help="turns each contender takes")
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it runs")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--out", type=Path, help="JSON; rows it holds are kept")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rounds = 3 if arguments.quick else arguments.rounds
    file = File(arguments.out, "transformer")
    file.about({"rounds": rounds, "machine": machine()})
    for dropout in (0.1, 0.0):
        if not file.find(("documented",), dropout=dropout):
            for row in documented(dropout, rounds):
                file.append(("documented",), row, seeds=[0])
    if not file.get(("small",)):
        for row in small(3 * rounds):
            file.append(("small",), row, seeds=[0])
    if arguments.json:
        print(json.dumps(file.read(), indent=1))
    else:
        show(file.read())


if __name__ == "__main__":
    main()
