"""Steps a second of every registered world, and how they compare to those of another checkout.

    python benchmarks/worlds.py [--against CHECKOUT] [--rounds 11] [--only NAME …] [--json]

Worlds have their default arguments; those that can host their learners are measured so, too. "staggered" are 64 worlds
with episodes of 64 steps, one of which ends in every step. Both sides run on one thread, in processes of their own that
take turns; a ratio is the median over rounds of theirs, above 1 where this checkout is faster.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from studyhall import make_world, registry
from studyhall.policies import RandomPolicy

HERE = Path(__file__).resolve().parents[1]
SECONDS = 0.25  # of a measurement
FORMS = {"1": 1, "64": 64, "staggered": 64}


def cases() -> list[str]:
    """Names of worlds, with what is said of learners."""
    return [
        f"{name}{suffix}"
        for name, spec in registry.items()
        for suffix in ("", " hosted")[: 1 + bool(spec.hosted)]
    ]


class Case:
    """A world that is stepped with the same random actions again and again."""

    def __init__(self, name: str, form: str) -> None:
        id, _, hosted = name.partition(" ")
        kwargs: dict[str, Any] = {"learners": "mlp"} if hosted else {}
        if form == "staggered":
            known = registry[id].arguments(hosted=bool(hosted))
            kwargs |= {"horizon": 64} if "horizon" in known else {"rounds": 63, "slice_size": 4}
        worlds = FORMS[form]
        self.world = make_world(id, num_worlds=worlds, **kwargs)
        policy = RandomPolicy()
        policy.bind(self.world)
        self.actions = policy.act(self.world.reset(seed=0))
        if form == "staggered":
            for late in range(1, worlds):
                self.world.step(self.actions, mask=torch.arange(worlds) >= late)
        for _ in range(3):
            self.world.step(self.actions)

    def speed(self) -> float:
        """Steps a second, all worlds of a step together."""
        begun, steps = time.perf_counter(), 0
        while (took := time.perf_counter() - begun) < SECONDS or steps < 2:
            self.world.step(self.actions)
            steps += 1
        return steps / took


def serve() -> None:
    """Answer, line by line, how fast a case is."""
    torch.set_num_threads(1)
    made: dict[tuple[str, str], Case] = {}
    for line in sys.stdin:
        name, form = json.loads(line)
        if (name, form) not in made:
            made = {(name, form): Case(name, form)}  # one at a time: they take memory
        print(made[name, form].speed(), flush=True)


def server(stack: ExitStack, checkout: Path) -> subprocess.Popen[str]:
    """A process that measures the package of a checkout, by this file."""
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    (Path(folder) / "studyhall").symlink_to(checkout, target_is_directory=True)
    return stack.enter_context(
        subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": folder, "OMP_NUM_THREADS": "1"},
        )
    )


def ask(process: subprocess.Popen[str], name: str, form: str) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps([name, form]) + "\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--only", nargs="+", default=None, help="parts of names")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    found = []
    with ExitStack() as stack:
        sides = [server(stack, HERE)]
        if options.against is not None:
            sides.append(server(stack, options.against.resolve()))
        for form in FORMS:
            for name in cases():
                if options.only and not any(part in name for part in options.only):
                    continue
                for side in sides:
                    ask(side, name, form)
                rounds = []
                for turn in range(options.rounds):
                    order = sides if turn % 2 else sides[::-1]
                    measured = {id(side): ask(side, name, form) for side in order}
                    rounds.append([measured[id(side)] for side in sides])
                row: dict[str, Any] = {"world": name, "worlds": form}
                row["steps_per_second"] = statistics.median(ours for ours, *_ in rounds)
                if len(sides) > 1:
                    row["ratio"] = statistics.median(ours / theirs for ours, theirs in rounds)
                found.append(row)
                if not options.json:
                    ratio = f"  {row['ratio']:.2f}x" if "ratio" in row else ""
                    print(f"{name:<24}{form:>10}{row['steps_per_second']:>12,.1f}{ratio}", flush=True)
        for side in sides:
            assert side.stdin is not None
            side.stdin.close()
    if options.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
