"""Contenders of a benchmark as processes that take turns, each with a package of its own.

A ratio is taken within a round, since the speed of a machine changes from one to the next.
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
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
SECONDS = 0.25
"""Of a measurement, at least."""


def rate(work: Callable[[], object], count: int) -> float:
    """How many of ``count`` in a turn a process makes in a second of the processor's."""
    begun, turns = time.process_time(), 0
    while (took := time.process_time() - begun) < SECONDS or turns < 3:
        work()
        turns += 1
    return count * turns / took


def server(stack: ExitStack, script: str, contender: str, checkout: Path) -> subprocess.Popen[str]:
    """A process that measures the package of a checkout, by a script that is called with ``--serve CONTENDER``."""
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    (Path(folder) / "studyhall").symlink_to(checkout, target_is_directory=True)
    return stack.enter_context(
        subprocess.Popen(
            [sys.executable, script, "--serve", contender],
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


def answer(found: Callable[[str], float]) -> None:
    """Answer, line by line, what is found of a case: what a server does."""
    for line in sys.stdin:
        print(found(json.loads(line)), flush=True)


def ask(process: subprocess.Popen[str], case: str) -> float:
    """What a server finds of a case."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(case) + "\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def measure(sides: dict[str, subprocess.Popen[str]], case: str, rounds: int) -> dict[str, dict[str, float]]:
    """What each contender finds of a case, and its ratio to "before"."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for place in range(len(sides)):
            name = list(sides)[(place + turn) % len(sides)]
            found[name].append(ask(sides[name], case))
    found = {name: values[1:] for name, values in found.items()}  # the first round warms up
    row = {}
    for name, values in found.items():
        ratios = [own / before for own, before in zip(values, found["before"], strict=True)]
        row[name] = {
            "median": statistics.median(values),
            "ratio": statistics.median(ratios),
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
        }
    return row


def main(
    script: str,
    text: str | None,
    contenders: Sequence[str],
    cases: Callable[[], Sequence[str]],
    before: str,
    serve: Callable[[str], None],
) -> None:
    """What such a benchmark does as a script: measure its cases, or serve as one of its contenders.

    Args:
        script: Its file.
        text: Its page.
        contenders: Names; "before" is served by another commit.
        cases: Makes their names.
        before: The commit, unless the command line says another.
        serve: Answers as a contender, by :func:`answer`.
    """
    options = parse(text, contenders, before)
    if options.serve:
        serve(options.serve)
    else:
        compare(script, contenders, cases(), options)


def parse(text: str | None, contenders: Sequence[str], before: str) -> argparse.Namespace:
    """The command line of such a benchmark."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", default=[""], help="parts of the names of cases")
    parser.add_argument("--before", default=before, metavar="COMMIT")
    parser.add_argument("--out", type=Path, help="a JSON file to add to")
    parser.add_argument("--serve", choices=contenders, help=argparse.SUPPRESS)
    return parser.parse_args()


def compare(
    script: str, contenders: Sequence[str], cases: Sequence[str], options: argparse.Namespace
) -> None:
    """Measure all cases, and tell and keep what was found.

    Args:
        script: A file that serves, see :func:`server`.
        contenders: Names; "before" is served by another commit.
        cases: Names.
        options: Of :func:`parse`.
    """
    from record import File

    file = File(options.out, Path(script).stem)
    with ExitStack() as stack:
        before = checked_out(stack, options.before)
        with ExitStack() as running:
            sides = {
                name: server(running, script, name, before if name == "before" else HERE)
                for name in contenders
            }
            for case in cases:
                if not any(part in case for part in options.only):
                    continue
                row = measure(sides, case, options.rounds)
                for name, found in row.items():
                    print(f"{case:<32}{name:<8}{found['median']:>18,.2f}{found['ratio']:>8.2f}x", flush=True)
                entry = {"before": options.before, "rounds": options.rounds, "found": row}
                file.add([case], entry, seeds=[0])
            for side in sides.values():
                assert side.stdin is not None
                side.stdin.close()
