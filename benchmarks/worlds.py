"""Steps a second of every registered world, and how they compare to those of another commit.

    python benchmarks/worlds.py [--before COMMIT] [--rounds 7] [--only NAME …] [--out FILE]

Contenders are "before", a checkout of the commit; "now", this one; and of worlds that take it "compiled", which is made
with ``compile=True``. The last two call :func:`studyhall.keep_memory` where there are 16 worlds or more. Each is a
process of its own on one thread, which they take in turns, in another order each round; times are the processor's.
Worlds have their default arguments, but hosted learners layers of 64 and 64, and are stepped with the same random
actions again and again. "staggered" are 64 worlds with episodes of 64 steps, one of which ends in every step. A figure
is in agent-steps a second; a ratio is the median over rounds of a contender's speed over that of "before".

Of single worlds the operations of a step are told besides, the mean of 24 steps: how often torch dispatches, which is
what their time goes to.

``--out`` adds what was found to a file, in this repository `docs/results/worlds.json`; let nothing else run then.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

BEFORE = "5444198"
CONTENDERS = ("before", "now", "compiled")
SECONDS = 0.25
"""Of a measurement, at least."""

LARGE = {
    "consensus-v0": (16, 256, 1024),
    "halves-v0": (256,),
    "referential-v0": (256,),
    "classroom-v0": (256,),
}
"""Worlds that are measured with many side by side, and how many."""

STAGGERED, LENGTH = 64, 64


def cases() -> list[str]:
    """Names of worlds, with what is said of learners, and how many there are."""
    from studyhall import registry

    found = []
    for name, spec in registry.items():
        forms = ("1", *map(str, LARGE.get(name, ())), "staggered")
        found += [f"{name} {form}" for form in forms]
        found += [f"{name} hosted {form}" for form in ("1", "staggered") if spec.hosted]
    return found


class Operations(TorchDispatchMode):
    """Counts what torch dispatches."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return operation(*args, **(kwargs or {}))


class Case:
    """A world that is stepped with the same random actions again and again."""

    def __init__(self, case: str, compiled: bool) -> None:
        from studyhall import make_world, registry
        from studyhall.policies import RandomPolicy

        id, *hosted, form = case.split()
        kwargs: dict[str, Any] = {"learners": "mlp", "hidden": (64, 64)} if hosted else {}
        if form == "staggered":
            known = registry[id].arguments(hosted=bool(hosted))
            kwargs |= {"horizon": LENGTH} if "horizon" in known else {"rounds": LENGTH - 1, "slice_size": 4}
        if compiled:
            kwargs["compile"] = True
        worlds = STAGGERED if form == "staggered" else int(form)
        self.world = make_world(id, num_worlds=worlds, **kwargs)
        policy = RandomPolicy()
        policy.bind(self.world)
        self.actions = policy.act(self.world.reset(seed=0))
        if form == "staggered":
            for late in range(1, worlds):
                self.world.step(self.actions, mask=torch.arange(worlds) >= late)
        for _ in range(5):
            self.world.step(self.actions)

    def speed(self) -> float:
        """Agent-steps a second."""
        begun, steps = time.process_time(), 0
        while (took := time.process_time() - begun) < SECONDS or steps < 4:
            self.world.step(self.actions)
            steps += 1
        return steps * self.world.num_worlds * self.world.num_agents / took

    def operations(self, steps: int = 24) -> float:
        """Operations of a step."""
        with Operations() as counted:
            for _ in range(steps):
                self.world.step(self.actions)
        return counted.count / steps


def serve(contender: str) -> None:
    """Answer, line by line, how fast a case is; "count" before it asks for operations."""
    import studyhall

    torch.set_num_threads(1)
    if contender != "before":
        from studyhall.envs.engine import kernels

        kernels.due("engine.rng_numba", torch.device("cpu"), kernels.START)  # as after some thousand steps
    made: dict[str, Case] = {}
    for line in sys.stdin:
        _, counts, case = json.loads(line).rpartition("count ")
        if case not in made:
            if contender != "before" and case.split()[-1] != "1":
                studyhall.keep_memory()
            made = {case: Case(case, contender == "compiled")}  # one at a time: they take memory
        print(made[case].operations() if counts else made[case].speed(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", default=BEFORE, metavar="COMMIT")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", default=[""], help="parts of the names of cases")
    parser.add_argument("--out", type=Path, help="a JSON file to add to")
    parser.add_argument("--serve", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    from checkouts import HERE, ask, checked_out, dismiss, measure, server
    from record import File

    file = File(options.out, "worlds")
    with ExitStack() as stack:
        before = checked_out(stack, options.before)
        with ExitStack() as running:
            sides = {
                name: server(running, __file__, name, before if name == "before" else HERE)
                for name in CONTENDERS
            }
            for case in cases():
                if not any(part in case for part in options.only):
                    continue
                taking = sides if _compiles(case) else {name: sides[name] for name in CONTENDERS[:2]}
                row = measure(taking, case, options.rounds)
                if case.endswith(" 1"):
                    for name in CONTENDERS[:2]:
                        row[name]["operations"] = ask(sides[name], f"count {case}")
                for name, found in row.items():
                    count = f"{found['operations']:>8.0f} operations" if "operations" in found else ""
                    print(
                        f"{case:<28}{name:<10}{found['per_second']:>12,.0f}{found['ratio']:>8.2f}x{count}",
                        flush=True,
                    )
                entry = {"before": options.before, "rounds": options.rounds, "found": row}
                file.add([case], entry, seeds=[0])
            dismiss(sides)


def _compiles(case: str) -> bool:
    """Whether a case's world takes ``compile=True``."""
    from studyhall import make_world
    from studyhall.envs.errors import ConfigError

    try:
        make_world(case.split()[0], compile=True)
    except ConfigError:
        return False
    return "hosted" not in case


if __name__ == "__main__":
    main()
