"""What hosted learners lose where their products are made of bfloat16.

    python benchmarks/bfloat16.py [--seeds 10] [--steps 300] [--out FILE]

``torch.set_float32_matmul_precision("medium")`` lets a processor round what it multiplies to bfloat16, eight bits of
precision, while sums stay float32; one without instructions for that ignores it. Here the factors of all products of
matrices are rounded so, on any processor, and beside it are not. Worlds have default arguments and hosted learners
64-64-64-10 without dropout, Adam at 0.003; all weigh all their peers alike. Told is the exam accuracy of all after so
many steps, one value a seed.

``--out`` adds what was found to a file, in this repository `docs/results/bfloat16.json`.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from record import File
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from studyhall import make_world
from studyhall.rollouts import interval

WORLDS = ("society-v0", "classroom-v0")
LEARNERS = {"learners": "mlp", "hidden": (64, 64), "dropout": 0.0, "lr": 3e-3}
FACTORS = {torch.ops.aten.bmm.default: 0, torch.ops.aten.mm.default: 0, torch.ops.aten.baddbmm.default: 1}
"""Products, and the first of their two factors among the arguments."""
if torch.backends.mkldnn.is_available():
    FACTORS[torch.ops.mkldnn._linear_pointwise.default] = 0


class Rounded(TorchDispatchMode):
    """Products whose factors are rounded to bfloat16."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in FACTORS:
            args = list(args)
            for place in range(FACTORS[func], FACTORS[func] + 2):
                args[place] = args[place].bfloat16().float()
        return func(*args, **(kwargs or {}))


def accuracies(name: str, seeds: int, steps: int, rounded: bool) -> list[float]:
    """Exam accuracy of a world's learners in the end, one value a seed."""
    with Rounded() if rounded else contextlib.nullcontext():
        world = make_world(
            name, num_worlds=seeds, horizon=steps, exam_every=max(1, steps // 10), autoreset=False, **LEARNERS
        )
        world.reset(seed=0, options={"domain": "eval"})
        sources = world.action_space["listen"].shape[0]
        shape = (seeds, world.num_agents)
        actions: dict[str, Tensor] = {"listen": torch.full((*shape, sources), 0.5 / sources)}
        if "ask" in world.action_space.spaces:
            actions["ask"] = torch.ones(shape, dtype=torch.int64)
        for _ in range(steps):
            world.step(actions)
        return world.metrics()["exam_accuracy"].mean(-1).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--out", type=Path, help="a JSON file to add to")
    options = parser.parse_args()
    torch.set_num_threads(1)
    file = File(options.out, "bfloat16")
    for name in WORLDS:
        found = {
            kind: accuracies(name, options.seeds, options.steps, kind == "bfloat16")
            for kind in ("float32", "bfloat16")
        }
        apart = interval([b - a for a, b in zip(found["float32"], found["bfloat16"], strict=True)])
        told = "  ".join(f"{kind} {interval(values).mean:.4f}" for kind, values in found.items())
        print(f"{name:<14}{told}  apart {apart.mean:+.4f} ± {apart.half:.4f}", flush=True)
        file.add([name], {"settings": LEARNERS, "steps": options.steps, **found}, seeds=range(options.seeds))


if __name__ == "__main__":
    main()
