"""The whole MNIST classroom beside plain loops that do the same: seconds of each, and their ratios.

All run the documented classroom with its budget charged: eight students 784-128-64-10, slices of 64, a
teacher for the first fifth of the steps, then the best student teaches; every 200 steps all students sit 500
exam images. One thread, in turn, in one process. The loops have eight modules and an Adam each and train one
seed after the other; "tensors" indexes float32 inputs that lie ready in memory, "loader" reads pictures
through a DataLoader with ToTensor and Normalize, as the documented classroom did.

"arithmetic" is no contender but a bound: for the same steps only what no exact implementation can leave out, the
products of the forward and backward pass and Adam, by the fastest kernels we know (float32), with no data, losses,
dropout, world or teaching beside them.

    python benchmarks/classroom.py [--steps 500] [--rounds 3] [--seeds 3] [--json] [--out FILE]
"""

import argparse
import dataclasses
import json
import statistics
import time
from pathlib import Path

import torch
from PIL import Image
from record import File
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F

from studyhall.envs.streams import load_dataset
from studyhall.envs.streams.torchvision_shim import import_torchvision
from studyhall.learners import MLP, Population, learner_keys
from studyhall.learners.adam import StackedAdam
from studyhall.learners.networks import Block
from studyhall.rollouts import Rollout
from studyhall.scenarios import get_scenario

STUDENTS, ROWS, TEMPERATURE, EXAM, EXAM_EVERY = 8, 64, 2.0, 500, 200


def tensor_slices(dataset):
    """Slices of tensors that lie ready, pass after pass."""
    x = dataset.inputs("stream", torch.arange(len(dataset.stream))).flatten(1)
    while True:
        for index in torch.randperm(len(x)).split(ROWS):
            if len(index) == ROWS:
                yield x[index], dataset.stream.y[index]


def loader_slices(dataset):
    """Slices from a DataLoader over pictures."""
    transforms = import_torchvision().transforms
    prepare = transforms.Compose(
        [
            transforms.ToTensor(),
            transforms.Normalize(dataset.mean.flatten().tolist(), dataset.std.flatten().tolist()),
        ]
    )

    class Pictures(torch.utils.data.Dataset):
        def __len__(self):
            return len(dataset.stream)

        def __getitem__(self, i):
            picture = Image.fromarray(dataset.stream.x[i, 0].numpy())
            return prepare(picture), int(dataset.stream.y[i])

    loader = torch.utils.data.DataLoader(Pictures(), batch_size=ROWS, shuffle=True, drop_last=True)
    while True:
        for x, y in loader:
            yield x.flatten(1), y


def plain_loop(dataset, slices, steps: int, budget: int) -> float:
    """Seconds of a plain loop over slices."""
    exam = torch.randperm(len(dataset.exam))[:EXAM]
    exam_x, exam_y = dataset.inputs("exam", exam).flatten(1), dataset.exam.y[exam]
    width, classes = exam_x.shape[1], dataset.num_classes
    models = [
        nn.Sequential(
            nn.Linear(width, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 64), nn.ReLU(), nn.Dropout(0.2),
            nn.Linear(64, classes),
        )
        for _ in range(STUDENTS)
    ]  # fmt: skip
    optimisers = [torch.optim.Adam(m.parameters(), lr=1e-3) for m in models]
    best = 0
    begun = time.perf_counter()
    for step, (batch, labels) in zip(range(steps), slices, strict=False):
        if step % EXAM_EVERY == 0:
            scores = []
            for m in models:
                m.eval()
                with torch.no_grad():
                    scores.append((m(exam_x).argmax(1) == exam_y).float().mean().item())
                m.train()
            best = max(range(STUDENTS), key=scores.__getitem__)
        if step >= budget:
            models[best].eval()
            with torch.no_grad():
                target = (models[best](batch) / TEMPERATURE).softmax(1)
            models[best].train()
        for i, (m, optimiser) in enumerate(zip(models, optimisers, strict=True)):
            if step < budget:
                loss = F.cross_entropy(m(batch), labels)
            elif i != best:
                own = (m(batch) / TEMPERATURE).log_softmax(1)
                loss = TEMPERATURE**2 * F.kl_div(own, target, reduction="batchmean")
            else:
                continue
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
    return time.perf_counter() - begun


def studyhall_scenario(seeds: int, steps: int, budget: int) -> float:
    """Seconds of the scenario's simulation, all seeds in one batch."""
    scenario = get_scenario("classroom-mnist")
    kwargs = {**scenario.env_kwargs, "horizon": steps, "teacher_budget": budget}
    scenario = dataclasses.replace(scenario, env_kwargs=kwargs, controls=(), measure_at=())
    run = Rollout(scenario, seeds=tuple(range(seeds)))
    run.simulate()
    return run.report.seconds


def arithmetic(seeds: int, steps: int, budget: int) -> float:
    """Seconds of the learners' arithmetic alone: eight a step while there are labels, seven afterwards."""
    network = MLP(dropout=0.0)
    population = Population(network, learner_keys(torch.arange(seeds), STUDENTS))
    stacks, adam = population.parameters, StackedAdam(population.parameters, lr=1e-6)
    x, gradient = torch.randn(1, ROWS, 784), torch.randn(STUDENTS, ROWS, 10) / ROWS
    begun = time.perf_counter()
    for step in range(steps):
        learning = STUDENTS if step < budget else STUDENTS - 1
        for world in range(seeds):
            span = slice(world * STUDENTS, world * STUDENTS + learning)
            blocks = [Block([stack[span] for stack in stacks], x)]
            _, saved = network.forward(blocks)
            for gradients in network.backward(blocks, saved, gradient[:learning]):
                adam.step(gradients, first=span.start)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=500, help="steps of each run (the scenario has 5,000)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, help="JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dataset, budget = load_dataset("mnist"), args.steps // 5
    loops = {"tensors": tensor_slices, "loader": loader_slices}
    studyhall_scenario(1, 10, 5)  # imports and caches
    rounds = []
    for _ in range(args.rounds):
        seconds = {"studyhall": studyhall_scenario(args.seeds, args.steps, budget)}
        seconds["arithmetic"] = arithmetic(args.seeds, args.steps, budget)
        for name, slices in loops.items():
            seconds[name] = sum(
                plain_loop(dataset, slices(dataset), args.steps, budget) for _ in range(args.seeds)
            )
        rounds.append(seconds)
    ratios = {name: [r[name] / r["studyhall"] for r in rounds] for name in loops}
    row = {
        "steps": args.steps,
        "rounds": rounds,
        "loop_over_arithmetic": statistics.median(r["tensors"] / r["arithmetic"] for r in rounds),
        "loop_over_studyhall": {
            name: {"median": statistics.median(r), "min": min(r), "max": max(r)} for name, r in ratios.items()
        },
    }
    file = File(args.out, "classroom")
    file.add(("results",), row, seeds=range(args.seeds))
    if args.json:
        print(json.dumps(file.read(), indent=1))
        return
    table = Table(title=f"MNIST classroom, {args.steps} steps, {args.seeds} seeds, one thread")
    for column in ("", "median s", "slower than studyhall by"):
        table.add_column(column, justify="right")
    for name in ("arithmetic", "studyhall", *loops):
        cells = [name, f"{statistics.median(r[name] for r in rounds):.2f}", ""]
        if name in loops:
            r = ratios[name]
            cells[2] = f"{statistics.median(r):.2f}x ({min(r):.2f}-{max(r):.2f})"
        table.add_row(*cells)
    Console().print(table)


if __name__ == "__main__":
    main()
