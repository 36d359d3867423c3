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

from studyhall.policies import make_policy
from studyhall.rollouts import Rollout, interval
from studyhall.rollouts.metrics.expertise import figures
from studyhall.rollouts.metrics.measure import kib
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


def watched(done: Rollout, title: str) -> list[float]:
    """Run to the end, under a bar; KiB that a world's agents had sent at the end of each stage, mean over worlds."""
    sent = []

    def sends() -> float:
        return float(kib(done.world.metrics()).mean())

    def looks() -> bool:  # is asked after every step whether to stop
        if done.done in done.policy.milestones:
            sent.append(sends())
        return False

    with Progress(transient=True, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=done.steps)
        done.run(on_step=lambda live: bar.update(task, completed=live.step), stop=looks)
    return [*sent, sends()]


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
    done = rollout(data, run, seeds, **env)
    sent = watched(done, ", ".join(where))
    report = done.report
    metrics = {name: values for name, values in report.metrics["open"].items() if "dropout" not in name}
    entry |= {
        "seeds": seeds,
        "metrics": metrics,
        "seconds": report.seconds,
        "kwargs": dict(run.kwargs),
        "env": env,
    }
    entry |= {"kib_by_stage": sent, "stages": list(done.policy.milestones)}
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


def carriers(options: argparse.Namespace) -> None:
    """What is sent: rows that an expert claims, all rows, or networks once."""
    file = File(options.out)
    for data, carrier in itertools.product(options.data, ("claims", "logits", "weights")):
        run = Run(kwargs={"preset": "mended", "carrier": carrier})
        measured(file, (data, f"carrier {carrier}"), data, with_rate(run, best_rate(data, "mended")), options)


def subsets(options: argparse.Namespace) -> None:
    """Who teaches: every subset of the agents. Students alone are looked at, so nobody grows."""
    file = File(options.out)
    for data in options.data:
        scenario = get_scenario(f"masc-{data}")
        experts, students = make_policy("masc").shares
        steps = round(scenario.env_kwargs["horizon"] * (experts + students))
        shares = (experts / (experts + students), students / (experts + students))
        agents = range(scenario.env_kwargs["agents"])
        for teachers in itertools.chain.from_iterable(
            itertools.combinations(agents, count) for count in range(1, len(agents) + 1)
        ):
            run = Run(kwargs={"preset": "mended", "teachers": teachers, "shares": shares})
            run = with_rate(run, best_rate(data, "mended"))
            measured(file, (data, f"teachers {list(teachers)}"), data, run, options, steps=steps)


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "prior half as large": ({"prior": 0.5}, {}),
    "prior twice as large": ({"prior": 2.0}, {}),
    "a quarter of the public slices to teach on": ({"shares": (0.3, 0.1375)}, {}),
    "a sixteenth of them": ({"shares": (0.3, 0.034)}, {}),
    "one bold liar": ({}, {"liars": 1, "liar_kinds": ("bold",)}),
    "a fifth of the messages lost": ({}, {"drop": 0.2}),
    "no samples held out, b = 0": ({"held_out": 0.0, "offset": 0.0}, {}),
}
"""What is changed: arguments of the policy, and of the world."""


def robustness(options: argparse.Namespace) -> None:
    """What was mended, with something made worse."""
    file = File(options.out)
    for data, (name, (kwargs, env)) in itertools.product(options.data, CHANGES.items()):
        run = with_rate(Run(kwargs={"preset": "mended", **kwargs}), best_rate(data, "mended"))
        measured(file, (data, name), data, run, options, **env)


AMOUNTS = {"digits": (), "mnist": (6000, 24_000), "cifar10": (20_000,), "cifar100": (8000,)}
"""Items that learners see, beside those of the scenarios."""


def amounts(options: argparse.Namespace) -> None:
    """With more data: what was mended, and joint training."""
    file = File(options.out)
    for data, name in itertools.product(options.data, ("mended", "joint")):
        for items in AMOUNTS[data]:
            run = with_rate(RUNS[name], best_rate(data, name))
            measured(file, (data, f"{name}, {items} items"), data, run, options, stream_items=items)


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


PARTS = {
    "tune": tune,
    "compare": compare,
    "carriers": carriers,
    "subsets": subsets,
    "robustness": robustness,
    "amounts": amounts,
}

if __name__ == "__main__":
    main()
