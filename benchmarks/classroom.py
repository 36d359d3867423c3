"""The whole MNIST classroom beside a plain loop that does the same: seconds of each, and their ratio.

Both run the documented classroom with its budget charged: eight students 784-128-64-10, slices of 64, a
teacher for the first fifth of the steps, then the best student teaches; every 200 steps all students sit 500
exam images. One thread, in turn, in one process. The plain loop is the one its original wrote: eight modules,
an Adam each, inputs as float32 tensors in memory.

    python benchmarks/classroom.py [--steps 1000] [--rounds 3] [--data mnist|digits] [--json] [--out FILE]
"""

import argparse
import dataclasses
import json
import statistics
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F

from studyhall.envs.streams import load_dataset
from studyhall.rollouts import Rollout
from studyhall.scenarios import get_scenario

STUDENTS, ROWS, TEMPERATURE, EXAM, EXAM_EVERY = 8, 64, 2.0, 500, 200


def plain_loop(dataset, steps: int, budget: int) -> float:
    """Seconds of the plain loop."""
    everything = torch.arange(len(dataset.stream))
    x, y = dataset.inputs("stream", everything).flatten(1), dataset.stream.y
    exam = torch.randperm(len(dataset.exam))[:EXAM]
    exam_x, exam_y = dataset.inputs("exam", exam).flatten(1), dataset.exam.y[exam]
    width, classes = x.shape[1], dataset.num_classes
    models = [
        nn.Sequential(
            nn.Linear(width, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 64), nn.ReLU(), nn.Dropout(0.2),
            nn.Linear(64, classes),
        )
        for _ in range(STUDENTS)
    ]  # fmt: skip
    optimisers = [torch.optim.Adam(m.parameters(), lr=1e-3) for m in models]
    order = torch.randperm(len(x))
    best, place = 0, 0
    begun = time.perf_counter()
    for step in range(steps):
        if place + ROWS > len(x):
            order, place = torch.randperm(len(x)), 0
        index = order[place : place + ROWS]
        place += ROWS
        batch, labels = x[index], y[index]
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


def studyhall_scenario(data: str, steps: int, budget: int) -> float:
    """Seconds of the scenario's simulation."""
    scenario = get_scenario("classroom-mnist")
    kwargs = {**scenario.env_kwargs, "data": data, "horizon": steps, "teacher_budget": budget}
    if data == "digits":
        kwargs |= {"exam_size": 64}
    run = Rollout(dataclasses.replace(scenario, env_kwargs=kwargs, controls=(), measure_at=()), seeds=(0,))
    run.simulate()
    return run.report.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=1000, help="steps of each run (the scenario has 5,000)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dataset, budget = load_dataset(args.data), args.steps // 5
    rounds = []
    for _ in range(args.rounds):
        ours = studyhall_scenario(args.data, args.steps, budget)
        rounds.append({"studyhall": ours, "loop": plain_loop(dataset, args.steps, budget)})
    ratios = [r["loop"] / r["studyhall"] for r in rounds]
    result = {
        "steps": args.steps,
        "data": args.data,
        "threads": 1,
        "rounds": rounds,
        "loop_over_studyhall": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
    }
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    if args.json:
        print(json.dumps(result))
        return
    table = Table(title=f"{args.data}, {args.steps} steps, 8 students, one thread")
    for column in ("round", "studyhall s", "plain loop s", "loop / studyhall"):
        table.add_column(column, justify="right")
    for i, (r, ratio) in enumerate(zip(rounds, ratios, strict=True)):
        table.add_row(str(i), f"{r['studyhall']:.2f}", f"{r['loop']:.2f}", f"{ratio:.2f}")
    table.add_row("median", "", "", f"{statistics.median(ratios):.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
