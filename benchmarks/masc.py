"""Socialized learning beside its rivals: who knows the others' classes in the end, for how many bytes.

    python benchmarks/masc.py tune    [--data digits mnist cifar100] [--out docs/results/masc_tuning.json]
    python benchmarks/masc.py compare [--data …] [--seeds 0-4] [--runs NAME …] [--out docs/results/masc.json]
    python benchmarks/masc.py subsets | robustness | carriers | amounts [--data …] [--seeds 0-4] [--out …]

`tune` gives every method the same trials, the learning rates of RATES, on worlds of seeds from 100 on, and takes
the one with the best Average on the *exam* split. All others report the test split in worlds of other seeds, in the
scenarios `masc-…` and, where labels are told, `masc-…-labelled`. A run that the file holds already is not run again.
"""

import argparse
import dataclasses
import itertools
import json
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.progress import Progress

from studyhall.rollouts import Rollout, interval
from studyhall.rollouts.metrics.expertise import figures
from studyhall.rollouts.settings import parse_seeds
from studyhall.scenarios import get_scenario

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
DATA = ("digits", "mnist", "cifar10", "cifar100")
RATES = (0.003, 0.01, 0.03)
SELECTION = {"digits": (100, 101, 102)}
"""Seeds of trials, by data; of others 100 alone."""

SHORTER = {"mnist": 800, "cifar10": 1200, "cifar100": 1200}
"""Steps of a trial, where a whole episode would take too long."""

OF_THE_SCENARIO = ("learners", "width", "flip")


class Run(NamedTuple):
    """A run from which rows of the table come.

    Args:
        policy: Name.
        kwargs: Arguments that differ from the policy's defaults.
        labelled: Whether all labels of public rows are told.
        mode: Of the channel.
        part: Whose Average is tuned.
    """

    policy: str = "masc"
    kwargs: Mapping[str, Any] = {}
    labelled: bool = False
    mode: str = "open"
    part: str = "masc"


DOCUMENTED = {"preset": "documented"}
RUNS = {
    "mended": Run(kwargs={"preset": "mended"}),
    "documented": Run(kwargs=DOCUMENTED),
    "raw": Run(kwargs={"calibrate": 0.0, **DOCUMENTED}, part="ensemble"),
    "labelled": Run(kwargs=DOCUMENTED, labelled=True),
    "unaligned heads": Run(kwargs={"calibrate_heads": 0.0, **DOCUMENTED}, labelled=True),
    "joint": Run(kwargs=DOCUMENTED, labelled=True, mode="mute", part="student"),
    "joint, unaligned": Run(kwargs={"align": 0.0, **DOCUMENTED}, labelled=True, mode="mute", part="student"),
    "fedavg": Run("fedavg", part="average"),
    "mutual": Run("peer_distillation", {"gate": "all"}, part="peer"),
    "mutual, gated": Run("peer_distillation", {"gate": "energy", "calibration": "detection"}, part="peer"),
    "fine-tuning": Run("finetuning", labelled=True, part="tuned"),
    "lwf": Run("lwf", labelled=True, part="tuned"),
    "ewc": Run("ewc", labelled=True, part="tuned"),
    "mute": Run(kwargs={"preset": "mended"}, mode="mute"),
}
"""All runs by name."""

TUNED_AS = {"raw": "documented", "unaligned heads": "labelled", "mute": "mended", "joint, unaligned": "joint"}
"""Runs that take the learning rate of another: they are that one with something taken away."""


def rollout(data: str, run: Run, seeds: Iterable[int], steps: int | None = None, **env: Any) -> Rollout:
    """The rollout of a run: the scenario of its data, with its policy."""
    scenario = get_scenario(f"masc-{data}-labelled" if run.labelled else f"masc-{data}")
    kept = {name: value for name, value in scenario.policy_kwargs.items() if name in OF_THE_SCENARIO}
    scenario = dataclasses.replace(
        scenario,
        policy=run.policy,
        policy_kwargs=kept | dict(run.kwargs),
        env_kwargs={**scenario.env_kwargs, "mode": run.mode, **env},
        controls=(),
    )
    return Rollout(scenario if steps is None else scenario.within(steps), seeds=list(seeds))


def with_rate(run: Run, rate: float) -> Run:
    """The run at a learning rate."""
    rates = {"lr": rate, "lr_student": rate} if run.policy == "masc" else {"lr": rate}
    return run._replace(kwargs={**run.kwargs, **rates})


def on_the_exam(done: Rollout, part: str) -> float:
    """Average of a part on the exam split, mean over worlds and agents."""
    world, exam = done.world, done.world.dataset.exam
    x = world.dataset.inputs("exam", torch.arange(len(exam)))
    said = done.policy.variants(x)[part]
    return float(figures(said, exam.y, world.privileged()["experts"], top=5)["average"].mean())


def provenance() -> dict[str, Any]:
    """What was run, of which commit, by which versions."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "command": " ".join(["python", "benchmarks/masc.py", *sys.argv[1:]]),
        "commit": commit.stdout.strip(),
        "versions": {name: version(name) for name in ("studyhall", "torch", "numpy")},
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
    }


class File:
    """A file of results, written after every run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.held: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def entry(self, *names: str) -> dict[str, Any]:
        """The part of it of those names."""
        found = self.held
        for name in names:
            found = found.setdefault(name, {})
        return found

    def write(self) -> None:
        """Write everything."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.held, indent=1) + "\n")


def watched(done: Rollout, title: str) -> Rollout:
    """Run to the end, under a bar."""
    with Progress(transient=True, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=done.steps)
        done.run(on_step=lambda live: bar.update(task, completed=live.step))
    return done


def tune(options: argparse.Namespace) -> None:
    """Every method at every rate."""
    file = File(options.out)
    for data, (name, run) in itertools.product(options.data, RUNS.items()):
        if name in TUNED_AS or (options.runs and name not in options.runs):
            continue
        for rate in RATES:
            tried = file.entry(data, name)
            if str(rate) not in tried:
                steps = SHORTER.get(data)
                done = rollout(data, with_rate(run, rate), SELECTION.get(data, (100,)), steps)
                watched(done, f"{data}, {name}, rate {rate}")
                tried[str(rate)] = {
                    "average": on_the_exam(done, run.part),
                    "steps": done.steps,
                    **provenance(),
                }
                file.write()
        found = {rate: entry["average"] for rate, entry in file.entry(data, name).items()}
        print(data, name, {rate: round(100 * value, 1) for rate, value in found.items()}, flush=True)


def best_rate(data: str, name: str) -> float:
    """What `tune` found."""
    tuned = json.loads((RESULTS / "masc_tuning.json").read_text())
    tried = tuned[data][TUNED_AS.get(name, name)]
    return float(max(tried, key=lambda rate: tried[rate]["average"]))


def measured(
    file: File, where: tuple[str, ...], data: str, run: Run, options: argparse.Namespace, **env: Any
) -> None:
    """Run one and keep its figures, unless the file holds them."""
    entry, seeds = file.entry(*where), list(options.seeds)
    if entry.get("seeds") == seeds:
        return
    report = watched(rollout(data, run, seeds, **env), ", ".join(where)).report
    metrics = {name: values for name, values in report.metrics["open"].items() if "dropout" not in name}
    entry |= {"seeds": seeds, "metrics": metrics, "seconds": report.seconds, "kwargs": dict(run.kwargs)}
    entry |= provenance()
    file.write()
    averages = {n: 100 * interval(v).mean for n, v in metrics.items() if n.endswith("_average")}
    print(
        *where,
        {name: round(value, 1) for name, value in averages.items()},
        f"{report.seconds:.0f} s",
        flush=True,
    )


def compare(options: argparse.Namespace) -> None:
    """Every run at its rate."""
    file = File(options.out)
    for data, (name, run) in itertools.product(options.data, RUNS.items()):
        if options.runs and name not in options.runs:
            continue
        measured(file, (data, name), data, with_rate(run, best_rate(data, name)), options)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=sorted(PARTS))
    parser.add_argument("--data", nargs="+", choices=DATA, default=["digits", "mnist", "cifar100"])
    parser.add_argument("--seeds", type=parse_seeds, default=parse_seeds("0-4"))
    parser.add_argument("--runs", nargs="+", choices=list(RUNS), help="default: all")
    parser.add_argument("--out", type=Path, help="JSON; what it holds is kept")
    options = parser.parse_args()
    if options.out is None:
        options.out = RESULTS / ("masc_tuning.json" if options.what == "tune" else "masc.json")
    PARTS[options.what](options)


PARTS = {"tune": tune, "compare": compare}

if __name__ == "__main__":
    main()
