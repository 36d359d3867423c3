"""Evaluating a policy on a suite: every task's worlds to their end, kept in one JSON as they are measured."""

from __future__ import annotations

import json
import multiprocessing
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch

from ...envs import make_world
from ...envs.errors import ConfigError
from ...envs.files import as_path, check_writable, read_file
from ...envs.validation import mapping, whole
from ...policies import make_policy
from ...policies.files import digest
from ...scenarios import Scenario
from ...scenarios.suites import Suite, Task, get_suite
from ..metrics.measure import honest_figures
from ..reports.evaluations import Evaluation
from ..storage.provenance import provenance
from ..storage.text import as_json, plain, write_text
from ..terminal.progress import ProgressBar
from .run import Rollout

_SAME = ("suite", "digest", "policy", "policy_kwargs", "policy_digest", "seeds", "versions")
"""What an entry that is taken up again must agree in."""


def evaluate(
    policy: str,
    suite: Suite | str = "listen-v1",
    *,
    policy_kwargs: Mapping[str, Any] | None = None,
    quick: bool = False,
    worlds: int | None = None,
    tasks: Iterable[str] | None = None,
    out: str | Path | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> Evaluation:
    """Measure a policy on every task of a suite, as ``studyhall evaluate`` does.

    Args:
        policy: A registered name, the path of a trained policy's file, or ``"module:Class"``.
        suite: The suite, or its name.
        policy_kwargs: Arguments of the policy.
        quick: Only some tasks, on few worlds: a look, no entry.
        worlds: Of each task, the first of the suite's; None takes as many as the suite says.
        tasks: Names of those to measure; None is all, or where ``quick`` those of a quick evaluation.
        out: File of the entry, written after every task; tasks that it holds are not measured again. None writes
            nothing.
        jobs: Processes side by side, a task each.
        progress: Whether a bar is drawn, on a terminal or in a notebook.

    Returns:
        The entry and what it shows; it prints as a table.

    Raises:
        UnknownName: No such suite, policy or task; lists the near ones.
        ConfigError: A value that cannot be, data that are not there, a policy that can act in no task, or a file that
            holds another entry.
    """
    suite = suite if isinstance(suite, Suite) else get_suite(suite)
    count = whole("worlds", worlds or (suite.quick_worlds if quick else suite.worlds), 1, len(suite.seeds))
    whole("jobs", jobs, 1, 4096)
    chosen = suite.chosen(None if tasks is None else tuple(tasks))
    if quick and tasks is None:
        chosen = tuple(task for task in chosen if task.quick)
    if not chosen:
        raise ConfigError(f"{suite.name} has no tasks for a quick evaluation: leave out quick")
    given = mapping("policy_kwargs", policy_kwargs)
    make_policy(policy, **given)  # says so where there is none
    path = None if out is None else as_path("out", out, ConfigError)
    if path is not None:
        check_writable(path)
    entry = _entry(suite, policy, given, suite.seeds[:count], _command(policy, suite, given, count, quick))
    if path is not None and path.exists():
        entry = _taken_up(path, entry)
    missing = [task for task in chosen if task.name not in entry["tasks"]]
    done = len(chosen) - len(missing)
    with ProgressBar(f"{policy} on {suite.name}", len(chosen), done) as bar:
        for name, found in _measured(missing, policy, given, entry["seeds"], jobs):
            entry["tasks"][name] = found
            if path is not None:
                write_text(path, as_json(entry, indent=1) + "\n")
            done += 1
            if progress:
                bar.show(done, name)
    refused = [found.get("refused") for found in entry["tasks"].values()]
    if all(refused):
        raise ConfigError(f"{policy} can act in no task of {suite.name}: {refused[0]}")
    evaluation = Evaluation.of(suite, {name: value for name, value in entry.items() if name != "scores"})
    if path is not None:
        write_text(path, as_json(evaluation.as_json(), indent=1) + "\n")
    return evaluation


def read_entry(path: Path) -> dict[str, Any]:
    """What an entry's file holds.

    Raises:
        ConfigError: It cannot be read, or is none.
    """
    try:
        entry = json.loads(read_file(path))
        fits = {*_SAME, "tasks"} <= entry.keys() and all(
            "refused" in found or len(found["accuracy"]) == len(found["score"]) == len(entry["seeds"])
            for found in entry["tasks"].values()
        )
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as fault:
        raise ConfigError(f"{path} holds no entry of a suite: give another file") from fault
    if not fits:
        raise ConfigError(f"{path} holds no entry of a suite: give another file")
    return entry


def _command(policy: str, suite: Suite, given: Mapping[str, Any], worlds: int, quick: bool) -> str:
    """What repeats an entry."""
    words = ["studyhall", "evaluate", policy, "--suite", suite.name, *(["--quick"] if quick else [])]
    words += ["--worlds", str(worlds)]
    for name, value in plain(given).items():
        words += ["--set", f"policy.{name}={json.dumps(value)}"]
    return shlex.join(words)


def _entry(
    suite: Suite, policy: str, given: Mapping[str, Any], seeds: tuple[int, ...], command: str
) -> dict[str, Any]:
    """An entry without a task."""
    return {
        "suite": suite.name,
        "digest": suite.digest,
        "policy": policy,
        "policy_kwargs": plain(given),
        "policy_digest": digest(policy),
        "seeds": list(seeds),
        **provenance(command),
        "tasks": {},
    }


def _taken_up(path: Path, entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry that a file holds, where it is of the same policy, suite, seeds and versions."""
    held = read_entry(path)
    for name in _SAME:
        if held[name] != entry[name]:
            raise ConfigError(
                f"{path} holds an entry of {name} {held[name]}, not {entry[name]}: give another file, or delete it"
            )
    return held


# ---- measuring --------------------------------------------------------------------------------------------------


def _measured(
    tasks: list[Task], policy: str, given: Mapping[str, Any], seeds: list[int], jobs: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each task's name and figures, as soon as they are there."""
    if min(jobs, len(tasks)) < 2:
        for task in tasks:
            yield task.name, measure(task, policy, given, seeds)
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    threads = torch.get_num_threads()  # figures may differ in the last digits with another number
    with ProcessPoolExecutor(min(jobs, len(tasks)), context, torch.set_num_threads, (threads,)) as pool:
        running = {pool.submit(measure, task, policy, given, seeds): task.name for task in tasks}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # of what has not begun, where somebody stops it


def measure(task: Task, policy: str, given: Mapping[str, Any], seeds: Iterable[int]) -> dict[str, Any]:
    """What a policy reaches on a task.

    Args:
        task: The task.
        policy: As of :func:`evaluate`.
        given: Arguments of the policy.
        seeds: Of the worlds.

    Returns:
        ``accuracy`` and ``score`` of the honest on the test split, one a world, and ``seconds``; or why the policy is
        ``refused`` by the worlds.

    Raises:
        ConfigError: The worlds cannot be made, e.g. since data are not there.
    """
    begun = time.perf_counter()
    scenario = Scenario(task.name, task.summary, task.env, policy, task.env_kwargs, given)
    try:
        run = Rollout(scenario, seeds=seeds)
    except ConfigError as fault:
        make_world(task.env, **task.env_kwargs)  # raises where it is the world that cannot be
        return {"refused": str(fault)}
    run.simulate()
    found = honest_figures(run.world, run.policy)
    assert found is not None  # the world hosts the learners
    return {name: values.tolist() for name, values in found.items()} | {
        "seconds": time.perf_counter() - begun
    }
