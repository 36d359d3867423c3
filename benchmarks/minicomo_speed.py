"""Training steps per second of MiniCoMo at its documented size, and of a plain form of the same network.

Two agents of 392 pixels, width 128, 4 layers, 16 state tokens, batches of 128 MNIST images, each rotated by a random
quarter turn; both paint what the other sees; Adam 1e-3 on the sum of their mean squared errors. Both forms start from
the same weights, take the same batches in turn, and must reach the same losses. Seconds are those of the processor,
on one thread, so that other load on the machine weighs less.

    python benchmarks/minicomo_speed.py [--rounds 10] [--steps 3] [--json] [--out FILE]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from plain_minicomo import PlainMiniCoMo
from record import File, machine
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from studyhall.envs.streams import load_dataset
from studyhall.policies.messages.minicomo import MESSENGERS, MiniCoMo
from studyhall.scenarios import get_source

AGENTS, SOURCES, PIXELS, MESSAGE, BATCH = 2, 1, 14 * 28, 128, 128


def batches(count: int) -> list[Tensor]:
    """Halves of rotated images, ``[N, B, pixels]`` each."""
    data, draw = load_dataset("mnist"), torch.Generator().manual_seed(0)
    index = torch.randint(len(data.stream), (count, BATCH), generator=draw)
    turns = torch.randint(4, (count, BATCH), generator=draw)
    images = data.pixels("stream", index)[:, :, 0]
    for turn in range(1, 4):
        images = torch.where((turns == turn)[..., None, None], images.rot90(turn, (-2, -1)), images)
    return list(torch.stack(images.split(14, dim=-1)).flatten(3).unbind(1))


def loss_of(network: nn.Module, view: Tensor) -> Tensor:
    """The sum of both agents' mean squared errors after one exchange."""
    memory = network.begin(view)
    inbox = network.write(memory).flip(0)[:, :, None]
    memory = network.read(memory, inbox, torch.ones(inbox.shape[:3], dtype=torch.bool))
    return (network.answer(memory) - view.flip(0)).square().mean((1, 2)).sum()


def trainer(network: nn.Module) -> Callable[[Tensor], float]:
    """One learning step; gives the loss before it."""
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)

    def step(view: Tensor) -> float:
        optimiser.zero_grad()
        loss = loss_of(network, view)
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def measure(messenger: str, views: list[Tensor], steps: int) -> dict[str, Any]:
    """Both forms in turn, some steps each; the first turn warms up and is not timed."""
    sizes = (SOURCES, PIXELS, PIXELS, MESSAGE)
    stacked = MiniCoMo(AGENTS, *sizes, messenger=messenger, generator=torch.Generator().manual_seed(0))
    plain = PlainMiniCoMo(stacked, AGENTS, *sizes, messenger=messenger)
    contenders = {"stacked": trainer(stacked), "plain": trainer(plain)}
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    losses: dict[str, list[float]] = {name: [] for name in contenders}
    for first in range(0, len(views), steps):
        for name, step in contenders.items():
            begin = time.process_time()
            losses[name] += [step(view) for view in views[first : first + steps]]
            speeds[name].append(steps / (time.process_time() - begin))
    ratios = [ours / other for ours, other in zip(*(values[1:] for values in speeds.values()), strict=True)]
    gaps = [abs(a - b) / b for a, b in zip(losses["stacked"], losses["plain"], strict=True)]
    return {
        "messenger": messenger,
        "parameters": sum(p.numel() for p in stacked.parameters()),
        "steps_per_second": {name: summary(values[1:]) for name, values in speeds.items()},
        "ratio": summary(ratios),
        "first_loss": {name: values[0] for name, values in losses.items()},
        "last_loss": {name: values[-1] for name, values in losses.items()},
        "greatest_relative_difference_of_losses": max(gaps),
    }


def summary(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 2),
        "min": round(min(values), 2),
        "max": round(max(values), 2),
    }


def show(report: dict[str, Any]) -> None:
    title = f"MiniCoMo, training steps per second, batch {BATCH}, one thread"
    columns = ("messenger", "stacked", "plain", "ratio", "published", f"loss after {report['steps']} steps")
    table = Table(*columns, title=title, title_justify="left")
    for result in report["results"]:
        ours, plain, ratio = (
            f"{entry['median']:.2f} ({entry['min']:.2f}-{entry['max']:.2f})"
            for entry in (*result["steps_per_second"].values(), result["ratio"])
        )
        losses = " / ".join(f"{loss:.6f}" for loss in result["last_loss"].values())
        documented = f"{get_source('minicomo-speed').figures[result['messenger']]:g}"
        table.add_row(result["messenger"], ours, plain, ratio, documented, losses)
    Console(width=110).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10, help="turns each form takes")
    parser.add_argument("--steps", type=int, default=3, help="of a turn")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--out", type=Path, help="JSON; rows it holds are kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    views = batches((options.rounds + 1) * options.steps)
    file = File(options.out, "minicomo_speed")
    file.about({"batch": BATCH, "rounds": options.rounds, "steps": len(views), "machine": machine()})
    for messenger in MESSENGERS:
        if not file.find(("results",), messenger=messenger):
            file.append(("results",), measure(messenger, views, options.steps), seeds=[0])
    if options.json:
        print(json.dumps(file.read(), indent=1))
    else:
        show(file.read())


if __name__ == "__main__":
    main()
