"""Socialized learning beside its rivals: who knows the others' classes in the end, for how many bytes.

    python benchmarks/masc.py tune    [--data digits mnist …] [--out docs/results/masc_tuning.json]
    python benchmarks/masc.py compare [--data …] [--seeds 0-4] [--runs NAME …] [--out docs/results/masc.json]
    python benchmarks/masc.py subsets | robustness | carriers | amounts [--data …] [--seeds 0-4] [--out …]

`tune` gives every method the same number of trials, the learning rates of RATES with two values of one more argument,
on worlds of seeds from 100 on, and takes the one with the best Average on the *exam* split. All others report the test
split in worlds of other seeds, in the scenarios `masc-…` and, where labels are told, `masc-…-labelled`. A run that the
file holds already is not run again.
"""

import argparse
import dataclasses
import itertools
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from ranges import Ranges
from record import RESULTS, Choice, File
from rich.console import Console
from rich.progress import Progress

from studyhall.policies.socialized import PRESETS
from studyhall.rollouts import Rollout, interval
from studyhall.rollouts.metrics.expertise import figures
from studyhall.rollouts.metrics.measure import kib
from studyhall.scenarios import get_scenario

DATA = ("digits", "mnist", "cifar10", "cifar100")
RATES = (0.003, 0.01, 0.03)
RANGES = Ranges(choose=range(100, 103), report=range(5))
SELECTION = {"digits": (100, 101, 102)}
"""Seeds of trials, by data; of others 100 alone."""

SHORTER = {"digits": 400, "mnist": 600, "cifar10": 800, "cifar100": 800}
"""Steps of a trial, where a whole episode would take too long."""

LONGER = {"cifar10": 2600, "cifar100": 2600}
"""Steps of what is reported; the scenarios have fewer, so that five seeds end within ten minutes."""

OF_THE_SCENARIO = ("learners", "width", "flip")


def horizon_of(data: str) -> int:
    """Steps of what is reported."""
    return LONGER.get(data, get_scenario(f"masc-{data}").env_kwargs["horizon"])


class Run(NamedTuple):
    """A run from which rows of the table come.

    Args:
        policy: Name.
        kwargs: Arguments that differ from the policy's defaults.
        also: One more argument, and two values of it, that are tried beside the rates.
        labelled: Whether all labels of public rows are told.
        mode: Of the channel.
        part: Whose Average is tuned.
        chosen: What was chosen before it is measured.
    """

    policy: str = "masc"
    kwargs: Mapping[str, Any] = {}
    also: tuple[str, tuple[Any, Any]] | None = None
    labelled: bool = False
    mode: str = "open"
    part: str = "masc"
    chosen: tuple[Choice, ...] = ()


DOCUMENTED = {"preset": "documented"}
JOINT = {"shares": (0.0, 1.0), **DOCUMENTED}
GATED = {"gate": "energy", "calibration": "detection"}
RUNS = {
    "mended": Run(kwargs={"preset": "mended"}, also=("calibrate", (1.0, 3.0))),
    "documented": Run(kwargs=DOCUMENTED, also=("distill", (0.3, 1.0))),
    "raw": Run(kwargs={"calibrate": 0.0, **DOCUMENTED}),
    "labelled": Run(kwargs=DOCUMENTED, also=("distill", (0.3, 1.0)), labelled=True),
    "unaligned heads": Run(kwargs={"calibrate_heads": 0.0, **DOCUMENTED}, labelled=True),
    "mute, labelled": Run(kwargs=DOCUMENTED, labelled=True, mode="mute"),
    "joint": Run(kwargs=JOINT, also=("align", (0.0, 0.1)), labelled=True, mode="mute", part="student"),
    "fedavg": Run("fedavg", also=("every", (5, 20)), part="averaged"),
    "mutual": Run("peer_distillation", {"gate": "all"}, also=("distill", (0.3, 1.0)), part="peer"),
    "mutual, gated": Run("peer_distillation", GATED, also=("distill", (0.3, 1.0)), part="peer"),
    "fine-tuning": Run("finetuning", also=("weight_decay", (5e-4, 5e-3)), labelled=True, part="tuned"),
    "lwf": Run("lwf", also=("distill", (1.0, 10.0)), labelled=True, part="tuned"),
    "ewc": Run("ewc", also=("strength", (1e3, 1e5)), labelled=True, part="tuned"),
    "mute": Run(kwargs={"preset": "mended"}, mode="mute"),
}
"""All runs by name. "joint" learns from labels of public slices alone, in every step of the episode."""

TUNED_AS = {
    "raw": "documented",
    "unaligned heads": "labelled",
    "mute, labelled": "labelled",
    "mute": "mended",
}
"""Runs that take the settings of another: they are that one with something taken away."""


def rollout(data: str, run: Run, seeds: Iterable[int], steps: int | None = None, **env: Any) -> Rollout:
    """The rollout of a run: the scenario of its data, with its policy; as long as what is reported, if not told.

    Students of masc are twice as wide as its experts; the one network of everybody else is as wide as a student.
    """
    scenario = get_scenario(f"masc-{data}-labelled" if run.labelled else f"masc-{data}")
    kept = {name: value for name, value in scenario.policy_kwargs.items() if name in OF_THE_SCENARIO}
    if run.policy != "masc":
        kept["width"] = 2 * kept.get("width", 8)
    horizon = horizon_of(data) if steps is None else steps
    scenario = dataclasses.replace(
        scenario,
        policy=run.policy,
        policy_kwargs=kept | dict(run.kwargs),
        env_kwargs={
            **scenario.env_kwargs,
            "horizon": horizon,
            "exam_every": horizon - 1,
            "mode": run.mode,
            **env,
        },
        controls=(),
    )
    return Rollout(scenario, seeds=list(seeds))


def trials(run: Run) -> list[dict[str, Any]]:
    """What a run is tried with: every rate, with both values of its other argument."""
    rates = [{"lr": rate} | ({"lr_student": rate} if run.policy == "masc" else {}) for rate in RATES]
    name, values = run.also
    return [rate | {name: value} for rate, value in itertools.product(rates, values)]


def on_the_exam(done: Rollout, part: str) -> float:
    """Average of a part on the exam split, mean over worlds and agents."""
    world, exam = done.world, done.world.dataset.exam
    x = world.dataset.inputs("exam", torch.arange(len(exam)))
    said = done.policy.variants(x)[part]
    return float(figures(said, exam.y, world.privileged()["experts"], top=5)["average"].mean())


def watched(done: Rollout, title: str) -> list[float]:
    """Run to the end, under a bar; KiB that a world's agents had sent at the end of each stage, mean over worlds."""
    sent = []

    def sends() -> float:
        return float(kib(done.world.metrics()).mean())

    def looks() -> bool:  # is asked after every step whether to stop
        if done.done in done.policy.stages.ends:
            sent.append(sends())
        return False

    with Progress(transient=True, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=done.steps)
        done.run(on_step=lambda live: bar.update(task, completed=live.step), stop=looks)
    return [*sent, sends()]


def tune(options: argparse.Namespace) -> None:
    """Every method with everything that it is tried with."""
    file = File(options.out, "masc_tuning")
    for data, (name, run) in itertools.product(options.data, RUNS.items()):
        if name in TUNED_AS or (options.runs and name not in options.runs):
            continue
        tried = file.read().get(data, {}).get(name, [])
        for kwargs in trials(run):
            if any(trial["kwargs"] == kwargs for trial in tried):
                continue
            seeds = RANGES.checked("choose", SELECTION.get(data, (100,)))
            done = rollout(data, altered(run, kwargs), seeds, SHORTER.get(data))
            watched(done, f"{data}, {name}, {kwargs}")
            found = {"kwargs": kwargs, "average": on_the_exam(done, run.part), "steps": done.steps}
            file.append((data, name), found, seeds=seeds)
            print(data, name, kwargs, round(100 * found["average"], 1), flush=True)


def altered(run: Run, kwargs: Mapping[str, Any]) -> Run:
    """The run with other arguments; its own win."""
    return run._replace(kwargs={**kwargs, **run.kwargs})


def trials_of(data: str, name: str) -> list[dict[str, Any]]:
    """What `tune` found of a run, or of the one whose settings it takes."""
    held = json.loads((RESULTS / "masc_tuning.json").read_text())
    return held.get(data, {}).get(TUNED_AS.get(name, name), [])


def tuned(data: str, name: str) -> Run:
    """A run with the best that `tune` found."""
    of, tried = TUNED_AS.get(name, name), trials_of(data, name)
    if len(tried) < len(trials(RUNS[of])):
        sys.exit(
            f"{of} on {data} has had {len(tried)} trials of {len(trials(RUNS[of]))}: go on with tune first"
        )
    best = max(tried, key=lambda trial: trial["average"])
    among = [trial["kwargs"] for trial in tried]
    statistic = f"{RUNS[of].part}'s Average, mean over worlds and agents"
    choice = Choice(best["kwargs"], among, "exam split", best["seeds"], statistic)
    return altered(RUNS[name], best["kwargs"])._replace(chosen=(choice,))


def measured(
    names: Sequence[str],
    data: str,
    run: Run,
    options: argparse.Namespace,
    steps: int | None = None,
    **env: Any,
) -> None:
    """Run one and keep its figures, unless the file holds them."""
    file = File(options.out, "masc")
    asked = json.loads(json.dumps({"kwargs": dict(run.kwargs), "env": env, "steps": steps}))
    held = file.get(names) or {}
    if file.has(names, options.seeds) and all(held.get(key, ...) == value for key, value in asked.items()):
        return
    done = rollout(data, run, options.seeds, steps, **env)
    sent, report = watched(done, ", ".join(names)), done.report
    metrics = {name: values for name, values in report.metrics["open"].items() if "dropout" not in name}
    stages = {"kib_by_stage": sent, "stages": list(done.policy.stages.ends)}
    row = {**asked, "metrics": metrics, "seconds": report.seconds, **stages}
    file.add(names, row, seeds=options.seeds, chosen=run.chosen)
    averages = {n: round(100 * interval(v).mean, 1) for n, v in metrics.items() if n.endswith("_average")}
    print(*names, averages, f"{report.seconds:.0f} s", flush=True)


def compare(options: argparse.Namespace) -> None:
    """Every run as it was tuned; those that never were are left out, unless they are asked for."""
    for data, name in itertools.product(options.data, options.runs or RUNS):
        if not options.runs and not trials_of(data, name):
            print(f"{name} on {data} was not tuned: left out", file=sys.stderr)
            continue
        measured((data, name), data, tuned(data, name), options)


def mended(data: str, **kwargs: Any) -> Run:
    """What was mended, as it was tuned, with something else."""
    run = tuned(data, "mended")
    return run._replace(kwargs={**run.kwargs, **kwargs})


def carriers(options: argparse.Namespace) -> None:
    """What is sent: rows that an expert claims, all rows, or networks once."""
    for data, carrier in itertools.product(options.data, ("claims", "logits", "weights")):
        measured((data, f"carrier {carrier}"), data, mended(data, carrier=carrier), options)


def stages_of(data: str, *lengths: float) -> tuple[int, tuple[float, float]]:
    """Steps and shares of an episode whose stages are so many times as long as they are."""
    steps, own = horizon_of(data), PRESETS["mended"]["shares"]
    parts = [steps * share * length for share, length in zip((*own, 1 - sum(own)), lengths, strict=True)]
    return round(sum(parts)), (parts[0] / sum(parts), parts[1] / sum(parts))


FOUR = {"agents": 4, "data_classes": 8}
"""A world of four agents with two classes each, where the scenario has five."""


def subsets(options: argparse.Namespace) -> None:
    """Who teaches: every subset of five agents, and of four. Students alone are looked at, so nobody grows."""
    for data in options.data:
        steps, shares = stages_of(data, 1, 1, 0)
        count = get_scenario(f"masc-{data}").env_kwargs["agents"]
        for env in ({}, FOUR) if count > FOUR["agents"] else ({},):
            agents = range(env.get("agents", count))
            for taught in itertools.chain.from_iterable(
                itertools.combinations(agents, n + 1) for n in agents
            ):
                run = mended(data, teachers=list(taught), shares=shares)
                names = (data, f"teachers {list(taught)} of {len(agents)}")
                measured(names, data, run, options, steps, **env)


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "prior half as large": ({"prior": 0.5}, {}),
    "prior twice as large": ({"prior": 2.0}, {}),
    "one bold liar": ({}, {"liars": 1, "liar_kinds": ("bold",)}),
    "a fifth of the messages lost": ({}, {"drop": 0.2}),
    "no samples held out, b = 0": ({"held_out": 0.0, "offset": 0.0}, {}),
}
"""What is changed: arguments of the policy, and of the world."""


def robustness(options: argparse.Namespace) -> None:
    """What was mended, with something made worse."""
    for data in options.data:
        for name, (kwargs, env) in CHANGES.items():
            measured((data, name), data, mended(data, **kwargs), options, **env)
        for part in (4, 16):
            steps, shares = stages_of(data, 1, 1 / part, 1)
            names = (data, f"1/{part} of the public slices to teach on")
            measured(names, data, mended(data, shares=shares), options, steps)


AMOUNTS = {"digits": (), "mnist": (6000, 24_000), "cifar10": (20_000,), "cifar100": (8000,)}
"""Items that learners see, beside those of the scenarios."""


def amounts(options: argparse.Namespace) -> None:
    """With more data: what was mended, and joint training."""
    for data, name in itertools.product(options.data, ("mended", "joint")):
        for items in AMOUNTS[data]:
            names = (data, f"{name}, {items} items")
            measured(names, data, tuned(data, name), options, stream_items=items)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=sorted(PARTS))
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--seeds", type=RANGES.seeds("report"), default="0-4")
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
