"""How well a reader answers that sees only what scorers choose for it: budgets and policies of `allocation-v0`.

    [STUDYHALL_DATA=…] python benchmarks/allocation.py [--seeds 100-104] [--quick] [--out FILE]

Digits: 16 patches of 2×2 pixels. Text: the first 32 words of passages, each from an abstract of a scientific paper or
from an encyclopedia, of which the reader says which; it needs `text/science-*.parquet` and `text/wikitext2-*.parquet`
(a column `text`) in the data folder, and is left out where they are not there. The seeds are the worlds of one batch.
The worlds' exam is the test split, from which neither reader nor scorers learn. Settings are defaults, but for the
reader of texts, "set", and what scorers see there: they were chosen on exams cut from training passages, with other
seeds. A first comparison of kinds of readers, without scorers, used the encyclopedia's passages that are the test here.
"Everything" is the same reader where the budget is all tokens.
"""

import argparse
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pyarrow import parquet
from ranges import Ranges
from record import File
from rich.console import Console
from rich.table import Table

from studyhall.envs.allocation.world import Allocation
from studyhall.envs.streams import Dataset, load_dataset
from studyhall.envs.streams.text import words_of
from studyhall.policies import RandomPolicy
from studyhall.policies.allocation import Router, Saliency, SwarmAllocation
from studyhall.policies.policy import Policy
from studyhall.rollouts import interval, spread

RANGES = Ranges(report=range(100, 1000))
"""Worlds 0 to 4 were looked at."""
WORDS = 32
SOURCES = {
    "science": ("science-train", "science-test"),
    "encyclopedia": ("wikitext2-validation", "wikitext2-test"),
}


class Task(NamedTuple):
    """Samples, arguments of their worlds, the budgets, and how many exam items there are."""

    data: Dataset
    reader: str
    budgets: tuple[int, ...]
    tokens: int
    steps: int


def contenders(reader: str) -> dict[str, Callable[[], Policy]]:
    """Policies by name; learnt scorers have a reader of their own like the world's."""
    return {
        "random": RandomPolicy,
        "ink": Saliency,
        "relevance_router, glances": lambda: Router(reader=reader),
        "relevance_router": lambda: Router(reader=reader, see="pixels"),
        "swarm_allocation": lambda: SwarmAllocation(reader=reader, see="pixels"),
    }


def digits() -> Task:
    """The embedded digits."""
    return Task(on_test(load_dataset("digits")), "mlp", (1, 2, 4, 8), 16, 600)


def text(folder: Path) -> Task:
    """Passages of two sources, as many of each."""
    parts = {}
    for part, name in enumerate(("train", "test")):
        passages = [rows(folder / f"{files[part]}.parquet") for files in SOURCES.values()]
        count = min(map(len, passages))
        parts[name] = {
            "text": [passage for source in passages for passage in source[:count]],
            "label": [label for label in range(len(passages)) for _ in range(count)],
        }
    return Task(on_test(load_dataset(parts, text_size=WORDS)), "set", (1, 2, 4, 8), WORDS, 400)


def rows(file: Path) -> list[str]:
    """Rows of at least so many words. ``<unk>`` stands for rare words in one of the sources, and would tell it."""
    texts = (row.replace("<unk>", " ") for row in parquet.read_table(file)["text"].to_pylist())
    return [row for row in texts if sum(1 for _ in words_of(row)) >= WORDS]


def on_test(data: Dataset) -> Dataset:
    """The same with its test split as the exam; what was cut off as an exam is not used."""
    return dataclasses.replace(data, exam=data.test)


def exam_size(task: Task) -> int:
    """As many items of each class as there are of the rarest."""
    return int(task.data.exam.counts.min()) * task.data.num_classes


def measure(policy: Policy, task: Task, budget: int, seeds: list[int], steps: int) -> list[float]:
    """The reader's accuracy on the exam after so many slices, one value a seed."""
    options: dict[str, Any] = getattr(policy, "world_kwargs", {})
    env = Allocation(
        data=task.data,
        num_worlds=len(seeds),
        autoreset=False,
        reader=task.reader,
        budget=budget,
        horizon=steps + 1,  # what is answered after the last lesson counts
        exam_every=steps,
        exam_size=exam_size(task),
        **options,
    )
    policy.bind(env)
    obs = env.reset(seed=seeds)
    policy.reset()
    for _ in range(steps + 1):
        obs = env.step(policy.act(obs)).obs
    return env.metrics()["reader_accuracy"].tolist()


def run(file: File, name: str, task: Task, seeds: list[int], steps: int, budgets: tuple[int, ...]) -> None:
    """Accuracies by policy and budget, those that the file lacks."""
    about = {"tokens": task.tokens, "classes": task.data.num_classes, "reader": task.reader, "slices": steps}
    items = {"stream": len(task.data.stream), "test": exam_size(task)}
    file.about({**about, "items": items}, ("tasks", name))
    if not file.has(("tasks", name, "everything"), seeds):
        whole = {"values": measure(RandomPolicy(), task, task.tokens, seeds, steps)}
        file.add(("tasks", name, "everything"), whole, seeds=seeds)
    for policy, make in contenders(task.reader).items():
        if not file.has(("tasks", name, "accuracy", policy), seeds):
            row = {str(budget): measure(make(), task, budget, seeds, steps) for budget in budgets}
            file.add(("tasks", name, "accuracy", policy), row, seeds=seeds)


def show(name: str, found: dict[str, Any]) -> None:
    budgets = [key for key in next(iter(found["accuracy"].values())) if key.isdigit()]
    table = Table("policy", *(f"{budget} of {found['tokens']}" for budget in budgets))
    whole = interval(found["everything"]["values"])
    table.title = f"{name}: test accuracy in %; everything read: {spread(whole)}"
    for policy, by_budget in found["accuracy"].items():
        table.add_row(policy, *(spread(interval(by_budget[budget])) for budget in budgets))
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=RANGES.seeds("report"), default="100-104")
    parser.add_argument("--quick", action="store_true", help="few seeds and slices: to see that it runs")
    parser.add_argument("--out", type=Path, help="JSON; rows it holds are kept")
    args = parser.parse_args()
    torch.set_num_threads(1)
    seeds = list(args.seeds[:2] if args.quick else args.seeds)
    tasks = {"digits": digits()}
    folder = Path(os.environ.get("STUDYHALL_DATA", ".")) / "text"
    if all((folder / f"{file}.parquet").exists() for files in SOURCES.values() for file in files):
        tasks["text"] = text(folder)
    else:
        Console().print("No text: set STUDYHALL_DATA to a folder with text/*.parquet of the two sources.")
    file = File(args.out, "allocation")
    file.about({"seeds": seeds})
    for name, task in tasks.items():
        steps, budgets = (10, task.budgets[:1]) if args.quick else (task.steps, task.budgets)
        run(file, name, task, seeds, steps, budgets)
        show(name, file.get(("tasks", name)))


if __name__ == "__main__":
    main()
