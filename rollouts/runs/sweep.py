"""Sweeps: many runs, or trainings, of one scenario with other settings each.

================  ========================================================================================
``config.json``   everything needed to repeat the sweep
``001-…``, …      the folder of a run, or of a training of one seed
``results.json``  what was found so far
``table.csv``     the same as a table: a row for each point, mode and seed
================  ========================================================================================

Points go one after the other. Whatever ends a sweep, ``--resume`` goes on: what was found is not run again, and what
had begun goes on from its own checkpoint. Worlds are not drawn.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...envs import make_world
from ...envs.errors import ConfigError, StudyhallError, StudyhallWarning, text, warn
from ...envs.files import as_path
from ...envs.validation import mapping, whole
from ...scenarios import Scenario, get_scenario
from ..reports.loggers import NO_LOGGERS, Loggers, loggers_of
from ..reports.sweeps import HELD_OUT, Found, Swept, read_found
from ..settings.parse import own_policy_of, parse_controls, parse_device
from ..settings.points import Point, points_of
from ..settings.read_scenario import read_scenario
from ..settings.search import Search, described, figure_of, read_search, search_of
from ..storage.folders import (
    ANEW,
    new_folder,
    own_folder,
    read_config,
    read_sealed,
    write_config,
    write_sealed,
)
from ..storage.text import as_csv, plain, write_text
from ..terminal.interrupts import Stopped, stop_requests
from ..training.begin import begin
from ..training.begin import configure as configure_training
from .launch import configure, launch, take_up
from .run import seeds_of
from .run_folder import RunConfig, RunFolder

_RESULTS = "results.json"
_SAVED_EVERY = 20.0  # seconds
_LONGEST = 80  # characters of a folder's name


@dataclass(frozen=True)
class SweepConfig:
    """What is swept.

    Args:
        scenario: What is changed at each point.
        points: What is set at each.
        seeds: Of runs the seeds of each; of trainings one training each.
        steps: Of runs; None takes the scenario's.
        controls: Of runs; None takes the scenario's.
        device: Where the tensors live.
        threads: CPU threads.
        training: Options of trainings by name; None runs the scenario instead.
        search: Chooses the points one by one, instead of ``points``, which are none then.
    """

    scenario: Scenario
    points: list[Point]
    seeds: tuple[int, ...]
    steps: int | None = None
    controls: tuple[str, ...] | None = None
    device: str = "cpu"
    threads: int = 1
    training: dict[str, Any] | None = None
    search: Search | None = None

    @property
    def count(self) -> int:
        """How many points there are, or are to be."""
        return len(self.points) if self.search is None else self.search.samples

    @property
    def examples(self) -> list[Point]:
        """All points, or such as have all that they may have."""
        return self.points if self.search is None else self.search.examples()

    @property
    def varied(self) -> list[str]:
        """Names of what is not the same at all points."""
        if self.search is not None:
            return self.search.varied
        return [n for n in self.points[0] if len({repr(point[n]) for point in self.points}) > 1]

    def point(self, number: int, swept: Swept) -> Point:
        """A point, by its number, where all before it are found."""
        if self.search is None:
            return self.points[number]
        before = [one for one in swept.points() if one.point < number]
        metric = swept.shown_metric() if before else ""
        mode = "open" if self.training is None else HELD_OUT
        return self.search.ask(
            [(one.settings, figure_of(one.metrics.get(mode, {}).get(metric, []))) for one in before]
        )

    def run(self, point: Point) -> RunConfig:
        """The run of a point."""
        return configure(
            self.scenario,
            assignments=point,
            steps=self.steps,
            seeds=self.seeds,
            controls=self.controls,
            device=self.device,
            threads=self.threads,
        )

    @property
    def options(self) -> dict[str, Any]:
        """Of the trainings."""
        given = {"threads": self.threads, **(self.training or {})}
        return given if self.device == "cpu" else {**given, "device": self.device}

    def check(self) -> None:
        """Check every point before anything is run.

        Raises:
            UnknownName, ConfigError: A name or value that cannot be.
        """
        if self.training is not None:
            if "seed" in self.training:
                raise ConfigError(
                    "the seeds of trainings are given by seeds, one training each: leave out seed"
                )
            if "assignments" in self.training:
                raise ConfigError("what trainings are set to is what is swept: give each setting by its name")
            if self.steps is not None or self.controls is not None:
                raise ConfigError("steps and controls are of runs, and trainings are swept: leave them out")
        tried: set[tuple[str, str]] = set()
        for point in self.examples:
            if self.training is None:
                _try_names(self.run(point).scenario, point, tried)
                continue
            config = configure_training(self.scenario, assignments=point, seed=self.seeds[0], **self.options)
            _try_names(config.scenario, point, tried)
            near = min(
                (b - a for a, b in zip(sorted(self.seeds), sorted(self.seeds)[1:], strict=False)),
                default=None,
            )
            if near is not None and near < config.worlds:
                warn(
                    f"a training has the worlds SEED … SEED + {config.worlds - 1}: these seeds are {near} apart, so "
                    f"trainings share worlds; independent ones are {config.worlds} apart or more"
                )


def _try_names(scenario: Scenario, point: Point, tried: set[tuple[str, str]]) -> None:
    """Make the world of a point that names something as no point before: whether it is there, only the world knows."""
    names = {
        (name, value)
        for name, value in point.items()
        if isinstance(value, str) and name in scenario.env_kwargs
    }
    if names - tried:
        make_world(scenario.env, **scenario.env_kwargs)
        tried |= names


def sweep(
    scenario: Scenario | str | None = None,
    *,
    seeds: int | Iterable[int] | None = None,
    steps: int | None = None,
    controls: str | Iterable[str] | None = None,
    policy: str | Iterable[str] | None = None,
    policy_kwargs: Mapping[str, Any] | None = None,
    samples: int | None = None,
    sampler: str | None = None,
    lower: bool = False,
    seed: int | None = None,
    training: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    device: str | None = None,
    metric: str | None = None,
    log: str | Iterable[str] | None = None,
    **changes: Any,
) -> Swept:
    """Run a scenario at every point of a grid, or at some, as ``studyhall sweep`` does.

    A list is of values to try: ``topology=["ring", "star"]``, ``policy_kwargs={"hidden": [[64], [128, 64]]}``. Where
    points are drawn a distribution of `scipy.stats` may stand instead, e.g. ``loguniform(1e-4, 1e-1)``.

    Args:
        scenario: What to run, or the name of one that is registered.
        seeds: World seeds of each run; of trainings one training each. None takes the scenario's.
        steps: Length of an episode.
        controls: Modes run beside the open worlds.
        policy: Names of policies.
        policy_kwargs: Arguments of the policy.
        samples: How many points are drawn; None takes all.
        sampler: ``"tpe"`` or ``"gp"`` of Optuna: each point is chosen by what was found at those before, so that
            ``metric`` gets high. None draws at random.
        lower: Whether it is to get low instead.
        seed: Of the draws; None is 0.
        training: Trains instead: options of :func:`~studyhall.train`, e.g. ``{"timesteps": 100_000}``, and
            ``"algorithm"``; settings of the algorithm may be swept as ``**{"ppo.learning_rate": […]}``.
        out: Folder to write, new or empty; None takes the first free ``runs/<scenario>-sweep-<n>``.
        resume: Folder of a stopped sweep, instead of a scenario and its settings.
        device: Where the tensors live, the CPU where not told; ``"auto"`` is the GPU where there is one.
        metric: What the table shows.
        log: Loggers that are told of each run or training as it is made, ``"wandb"`` or ``"mlflow"``, or both; those of
            a sweep are a group there. Of a sweep that is resumed they are told what is still to do.
        **changes: Arguments of the world.

    Returns:
        What was found; it prints as a table.

    Raises:
        UnknownName: No such scenario, policy or argument; lists the near ones.
        ConfigError: A value that cannot be, or a folder that cannot be used.
        Stopped: The user stopped it; what was found is kept.
    """
    loggers = loggers_of(log)
    if resume is not None:
        given = (scenario, seeds, steps, controls, samples, sampler, seed, training, out, device)
        if changes or policy_kwargs or lower or any(value is not None for value in given):
            raise ConfigError("resume goes on as the sweep began: leave out what would change it")
        return take_up_sweep(
            as_path("resume", resume, ConfigError),
            {} if policy is None else {"policy": policy},
            metric,
            loggers,
        )
    if scenario is None:
        raise ConfigError(
            "which scenario? give its name, e.g. sweep('classroom-digits', topology=['ring', 'star'])"
        )
    choices = {**({} if policy is None else {"policy": policy}), **changes}
    choices |= {f"policy.{name}": value for name, value in mapping("policy_kwargs", policy_kwargs).items()}
    config = configure_sweep(
        scenario,
        choices,
        seeds=None if seeds is None else seeds_of(seeds),
        steps=steps,
        controls=controls,
        device="cpu" if device is None else device,
        threads=torch.get_num_threads(),
        training=training,
        samples=samples,
        sampler=sampler,
        lower=lower,
        seed=0 if seed is None else seed,
        metric=metric,
    )
    return begin_sweep(config, None if out is None else as_path("out", out, ConfigError), metric, loggers)


def configure_sweep(
    scenario: Scenario | str,
    choices: Mapping[str, Any],
    *,
    seeds: tuple[int, ...] | None = None,
    steps: int | None = None,
    controls: str | Iterable[str] | None = None,
    device: str = "cpu",
    threads: int = 1,
    training: Mapping[str, Any] | None = None,
    samples: int | None = None,
    sampler: str | None = None,
    lower: bool = False,
    seed: int = 0,
    metric: str | None = None,
) -> SweepConfig:
    """What is swept, as a user says it: values by name, and the arguments of :func:`sweep`; ``seeds`` checked ones."""
    found = scenario if isinstance(scenario, Scenario) else get_scenario(scenario)
    points: list[Point] = []
    search = None
    if metric is not None:
        text("metric", metric, "mean")
    if sampler is not None:
        options = {"samples": samples, "sampler": sampler, "seed": seed, "metric": metric, "lower": lower}
        search = search_of(choices, **options)
    elif lower:
        raise ConfigError("lower is of a search: say by which sampler, e.g. tpe")
    else:
        points = points_of(choices, samples=samples, seed=seed)
    return SweepConfig(
        scenario=found,
        points=points,
        search=search,
        seeds=found.seeds if seeds is None else seeds,
        steps=steps,
        controls=None if controls is None else parse_controls(controls),
        device=parse_device(device),
        threads=threads,
        training=None if training is None else mapping("training", training),
    )


def begin_sweep(
    config: SweepConfig, out: Path | None, metric: str | None = None, log: Loggers = NO_LOGGERS
) -> Swept:
    """Sweep from the beginning; see :func:`sweep`."""
    config.check()
    with new_folder(out, f"{config.scenario.name}-sweep") as folder:
        write_config(folder, _described(config))
        return _to_the_end(config, _nothing_yet(config, folder, metric), log)


def take_up_sweep(
    folder: Path, named: Mapping[str, Any], metric: str | None = None, log: Loggers = NO_LOGGERS
) -> Swept:
    """Go on with a sweep.

    Args:
        folder: Of the sweep.
        named: Policies of the user's own that are swept, which a file cannot name: ``{"policy": …}``.
        metric: What the table shows.
        log: Loggers that are told of what is still to do.
    """
    config = _read(folder, named)
    config.check()
    with own_folder(folder, "sweep"):
        swept = _nothing_yet(config, folder, metric)
        try:
            found = read_sealed(
                folder / _RESULTS, "remove it: what was found is in the folders of its points"
            )
        except FileNotFoundError:
            found = {}
        swept.found = [read_found(name, one) for name, one in found.items()]
        if config.search is None:
            names = {name for name, *_ in _work(config, swept)}
            swept.found = [one for one in swept.found if one.name in names]
        return _to_the_end(config, swept, log)


def _nothing_yet(config: SweepConfig, folder: Path, metric: str | None) -> Swept:
    """A sweep in which nothing was found; a search shows what it goes by."""
    search = config.search
    if search is None:
        return Swept(folder, config.scenario.name, metric=metric)
    if metric not in (None, search.metric):
        raise ConfigError(f"this search goes by {search.metric or 'the usual metric'}: leave out the metric")
    return Swept(folder, config.scenario.name, metric=search.metric, lower=search.lower)


# ---- one after the other --------------------------------------------------------------------------------------


def _work(config: SweepConfig, swept: Swept) -> Iterator[tuple[str, Point, int, int | None]]:
    """Folder, point and its number and, of a training, seed of everything there is to do, one after the other."""
    seeds = [None] if config.training is None else config.seeds
    count, varied = 0, config.varied
    for number in range(config.count):
        point = config.point(number, swept)
        for seed in seeds:
            count += 1
            settings = {n: point[n] for n in varied} | ({} if seed is None else {"seed": seed})
            told = re.sub(r"[^\w.,=+-]+", "_", ",".join(f"{n}={value}" for n, value in settings.items()))
            yield f"{count:03d}-{told}"[:_LONGEST].rstrip("-"), point, number, seed


def _to_the_end(config: SweepConfig, swept: Swept, log: Loggers) -> Swept:
    with stop_requests() as stop:  # between two runs too
        return _each(config, swept, log, stop)


def _each(config: SweepConfig, swept: Swept, log: Loggers, stop: Callable[[], bool]) -> Swept:
    log = dataclasses.replace(log, group=swept.folder.name)
    done = {one.name for one in swept.found}
    count = config.count * (1 if config.training is None else len(config.seeds))
    for place, (name, point, number, seed) in enumerate(_work(config, swept), start=1):
        if name in done:
            continue
        print(f"studyhall: {place} of {count}: {name}", file=sys.stderr)
        folder = swept.folder / name
        try:
            if stop():
                raise Stopped(0, 0)
            found = (
                _run(config, name, point, number, folder, log)
                if seed is None
                else _train(config, name, point, number, seed, folder, log)
            )
        except Stopped:
            go_on = f"studyhall sweep --resume {swept.folder}"
            raise Stopped(place, count, go_on, what="point") from None
        except StudyhallError as fault:
            kept = (
                f"{len(swept.found)} of {count} are kept; once that is mended, go on with: "
                f"studyhall sweep --resume {swept.folder}"
            )
            raise ConfigError(f"{name}: {fault} ({kept})") from fault
        swept.found.append(found)
        _write(swept)
        swept.shown_metric()  # says so where there is none
    return swept


def _run(config: SweepConfig, name: str, point: Point, number: int, folder: Path, log: Loggers) -> Found:
    made = RunFolder(folder)
    kept: dict[str, Any] = {"checkpoint_every": _SAVED_EVERY, "pictures": 0, "log": log}
    if (folder / "config.json").exists():
        report = take_up(made, made.config(_own_policy(point)), **kept)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StudyhallWarning)  # which were told when all were checked
            asked = config.run(point)
        report = launch(asked, folder, point, **kept)[1]
    return Found(name, number, plain(point), list(report.seeds), report.headline, report.metrics)


def _train(
    config: SweepConfig, name: str, point: Point, number: int, seed: int, folder: Path, log: Loggers
) -> Found:
    if (folder / "config.json").exists():
        own = _own_policy(point)
        named = {} if own is None else {"policy": own}
        found = begin(config.scenario, assignments=named, resume=folder, log=log)
    else:
        found = begin(config.scenario, assignments=point, out=folder, log=log, seed=seed, **config.options)
    if found.stopped:
        raise Stopped(0, 0)
    at, best = found.best
    figures = {
        found.figure: best,
        "best_timesteps": at,
        "timesteps": found.timesteps,
        "seconds": found.seconds,
    }
    metrics = {metric: [float(value)] for metric, value in figures.items()}
    return Found(name, number, plain(point), [seed], found.figure, {HELD_OUT: metrics})


def _write(swept: Swept) -> None:
    """Write what was found so far, whole or not at all."""
    described = {one.name: dataclasses.asdict(one) for one in swept.found}
    for one in described.values():
        del one["name"]
    write_text(swept.folder / "table.csv", as_csv(swept.rows()))
    write_sealed(swept.folder / _RESULTS, described)


# ---- its file -------------------------------------------------------------------------------------------------


def _described(config: SweepConfig) -> dict[str, Any]:
    scenario = config.scenario
    env_kwargs, policy_kwargs = plain(scenario.env_kwargs), plain(scenario.policy_kwargs)
    scenario = dataclasses.replace(scenario, env_kwargs=env_kwargs, policy_kwargs=policy_kwargs)
    search = None if config.search is None else described(config.search)
    return {"sweep": plain({**vars(config), "scenario": dataclasses.asdict(scenario), "search": search})}


def _read(folder: Path, named: Mapping[str, Any]) -> SweepConfig:
    try:
        found = read_config(folder, "sweep")["sweep"]
        points, training, controls, steps = (found[n] for n in ("points", "training", "controls", "steps"))
        search = None if found.get("search") is None else read_search(found["search"])
        if not (points or search) or not all(
            isinstance(point, dict) and point.keys() == points[0].keys() for point in points
        ):
            raise TypeError
        _refuse_unnamed(points if search is None else search.examples(), named)
        return SweepConfig(
            scenario=read_scenario(found["scenario"]),
            points=points,
            seeds=seeds_of(found["seeds"]),
            steps=None if steps is None else whole("steps", steps, 1),
            controls=None if controls is None else parse_controls(controls),
            device=parse_device(found["device"]),
            threads=whole("threads", found["threads"], 1, 4096),
            training=None if training is None else dict(training),
            search=search,
        )
    except StudyhallError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as fault:
        raise ConfigError(f"{folder} holds no sweep: {ANEW['sweep']}") from fault


def _own_policy(point: Point) -> str | None:
    """The policy of a point, where it is a user's own."""
    from ...policies.registration import is_own

    policy = point.get("policy")
    return policy if isinstance(policy, str) and is_own(policy) else None


def _refuse_unnamed(points: list[Point], named: Mapping[str, Any]) -> None:
    """Refuse policies of a user's own that a file names and the user does not."""
    again = named.get("policy", [])
    if named.keys() - {"policy"}:
        own_policy_of(named)  # says what may be named
    again = [again] if isinstance(again, str) else again
    own = dict.fromkeys(found for point in points if (found := _own_policy(point)))
    if lacking := [policy for policy in own if policy not in again]:
        raise ConfigError(
            f"the folder names {', '.join(lacking)} as policies, and a file never says what is run: if these are "
            f"classes of your own, add --set policy={','.join(own)}"
        )
