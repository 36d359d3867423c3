"""How fast random numbers are drawn, and what that is worth to worlds, against the commit before and plain torch.

    python benchmarks/draws.py [--rounds 7] [--only NAME …] [--before COMMIT] [--out FILE]

Contenders are "before", a checkout of the commit before draws were made on demand; "plain", this one where numba is
missing; "now"; and "kept", which calls :func:`studyhall.keep_memory` too. Each is a process of its own on one thread,
which they take in turns, in another order each round. Numbers are 4.2 million, of 256 worlds; worlds have default
arguments and are stepped with the same random actions again and again. Times are the processor's. A ratio is the
median over rounds of a contender's speed over that of "before", with its smallest and greatest.

``--out`` adds what was found to a file, in this repository `docs/results/draws.json`; let nothing else run then.
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
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
BEFORE = "c2c11eb"
CONTENDERS = ("before", "plain", "now", "kept")
WORLDS, SHAPE = 256, (4, 64, 64)
NUMBERS = ("bits", "uniform", "normal")
STEPPED = (
    *(("consensus-v0", worlds) for worlds in (1, 16, 256, 1024)),
    ("halves-v0", 256),
)
CASES = (*NUMBERS, *(f"{name} {worlds}" for name, worlds in STEPPED))
SECONDS = 0.25
"""Of a measurement, at least."""


def drawing(form: str) -> tuple[Callable[[], object], int]:
    """What draws, and how many numbers at a time."""
    import torch

    from studyhall.envs import rng

    keys = rng.world_key(torch.arange(WORLDS), "train")
    draws = rng.Draws({"noise": SHAPE})
    if hasattr(rng, "Draw"):
        return lambda: getattr(draws(keys)["noise"], form)(), WORLDS * 4 * 64 * 64
    make = {"bits": lambda drawn: drawn, "uniform": rng.uniform, "normal": rng.normal}[form]
    return lambda: make(draws(keys)["noise"]), WORLDS * 4 * 64 * 64


def stepping(name: str, worlds: int) -> tuple[Callable[[], object], int]:
    """What makes a step, and of how many agents."""
    from studyhall import make_world
    from studyhall.policies import RandomPolicy

    world = make_world(name, num_worlds=worlds)
    policy = RandomPolicy()
    policy.bind(world)
    actions = policy.act(world.reset(seed=0))
    return lambda: world.step(actions), worlds * world.num_agents


def serve(contender: str) -> None:
    """Answer, line by line, how many numbers or agent-steps a second a case makes."""
    if contender == "plain":
        sys.modules["numba"] = None  # type: ignore[assignment]  # as where it is not installed
    import torch

    import studyhall

    torch.set_num_threads(1)
    if contender == "kept" and not studyhall.keep_memory():
        raise SystemExit("the C library is not glibc: there is no memory to keep")
    for _ in range(8):  # as in a process that has drawn much: numba is imported on the way
        drawing("bits")[0]()
    made: dict[str, tuple[Callable[[], object], int]] = {}
    for line in sys.stdin:
        case = json.loads(line)
        if case not in made:
            name, _, worlds = case.partition(" ")
            made = {case: stepping(name, int(worlds)) if worlds else drawing(name)}  # one at a time
            for _ in range(5):
                made[case][0]()
        work, count = made[case]
        begun, turns = time.process_time(), 0
        while (took := time.process_time() - begun) < SECONDS or turns < 3:
            work()
            turns += 1
        print(count * turns / took, flush=True)


def server(stack: ExitStack, contender: str, checkout: Path) -> subprocess.Popen[str]:
    """A process that measures the package of a checkout, by this file."""
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    (Path(folder) / "studyhall").symlink_to(checkout, target_is_directory=True)
    return stack.enter_context(
        subprocess.Popen(
            [sys.executable, __file__, "--serve", contender],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": folder, "OMP_NUM_THREADS": "1"},
        )
    )


def checked_out(stack: ExitStack, commit: str) -> Path:
    """A checkout of a commit, as long as the stack lasts."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "before"
    git = ["git", "-C", str(HERE), "worktree"]
    subprocess.run([*git, "add", "-q", "--detach", str(folder), commit], check=True)
    stack.callback(subprocess.run, [*git, "remove", "--force", str(folder)], check=True)
    return folder


def ask(process: subprocess.Popen[str], case: str) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(case) + "\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def measure(sides: dict[str, subprocess.Popen[str]], case: str, rounds: int) -> dict[str, dict[str, float]]:
    """Of each contender its speed, and its ratio to "before"."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for place in range(len(sides)):
            name = list(sides)[(place + turn) % len(sides)]
            found[name].append(ask(sides[name], case))
    found = {name: speeds[1:] for name, speeds in found.items()}  # the first round warms up
    row = {}
    for name, speeds in found.items():
        ratios = [own / before for own, before in zip(speeds, found["before"], strict=True)]
        row[name] = {
            "per_second": statistics.median(speeds),
            "ratio": statistics.median(ratios),
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
        }
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", default=[""], help="parts of the names of cases")
    parser.add_argument("--before", default=BEFORE, metavar="COMMIT")
    parser.add_argument("--out", type=Path, help="a JSON file to add to")
    parser.add_argument("--serve", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    from record import File

    file = File(options.out, "draws")
    with ExitStack() as stack:
        before = checked_out(stack, options.before)
        with ExitStack() as running:
            sides = {name: server(running, name, before if name == "before" else HERE) for name in CONTENDERS}
            for case in CASES:
                if not any(part in case for part in options.only):
                    continue
                row = measure(sides, case, options.rounds)
                for name, speed in row.items():
                    print(
                        f"{case:<20}{name:<8}{speed['per_second']:>16,.0f}{speed['ratio']:>8.2f}x", flush=True
                    )
                entry = {"before": options.before, "rounds": options.rounds, "found": row}
                file.add([case], entry, seeds=[0])
            for side in sides.values():
                assert side.stdin is not None
                side.stdin.close()


if __name__ == "__main__":
    main()
