"""Running all scenarios of a documented system and holding what was documented beside what is measured."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...envs.errors import DataError, UnknownName, unknown
from ...envs.streams import DATASETS
from ...scenarios import Scenario, registry
from ..reports.claims import judged
from ..reports.report import Report
from ..settings.customise import customise
from .run import Live, Rollout

QUICK_STEPS = 300
QUICK_SEEDS = 2
QUICK_TRAINING = 5.0  # CPU-seconds


def scenarios_of(name: str | None) -> list[Scenario]:
    """All scenarios of a system in the order of their registration, or one by its name; None is every system's.

    A scenario that is too long to be run with the others of its system belongs to none, but may hold claims.

    Raises:
        UnknownName: There is no such system, and no such scenario of one or with claims.
    """
    known = [s for s in registry.values() if s.system is not None or s.claims]
    found = [s for s in known if name == s.name or (s.system is not None and name in (None, s.system))]
    if not found and name in registry:
        raise UnknownName(f"no figures are documented for {name}: run it with: studyhall run {name}")
    if not found:
        systems = dict.fromkeys(s.system for s in known if s.system is not None)
        raise unknown("system", str(name), [*systems, *(s.name for s in known)])
    return found


def reproduce(
    scenarios: list[Scenario],
    *,
    seeds: tuple[int, ...] | None = None,
    steps: int | None = None,
    quick: bool = False,
    device: str = "cpu",
    watch: Callable[[Rollout], Callable[[Live], None] | None] = lambda run: None,
) -> Iterator[dict[str, Any]]:
    """Run scenarios one after the other; yields what :func:`entry` makes of each. Those that say how are trained first.

    Of a scenario whose data are not there it yields ``name``, ``claims`` and ``unmeasured``, why, and goes on. Of one
    that is trained an entry holds ``trained_by`` too, the command that trains the same.

    Args:
        scenarios: What to run.
        seeds: World seeds; None takes each scenario's.
        steps: Horizon instead of each scenario's; the figures are then not comparable with the claims.
        quick: :data:`QUICK_STEPS` steps at most and :data:`QUICK_SEEDS` seeds, to see that everything works.
        device: Where the tensors live.
        watch: Is told each run before it starts, and may return an ``on_step`` for it.
    """
    for scenario in scenarios:
        length = _length(scenario, steps, quick)
        chosen = scenario.seeds if seeds is None else seeds
        if quick and seeds is None:
            chosen = chosen[:QUICK_SEEDS]
        try:
            with tempfile.TemporaryDirectory() as folder:
                ready, how = _trained(scenario, quick, Path(folder) / "training")
                run = Rollout(customise(ready, steps=length), seeds=chosen, device=device)
        except DataError:
            claims = [judged(claim, {}) for claim in scenario.claims]
            yield {"name": scenario.name, "unmeasured": _unmeasured(scenario), "claims": claims}
            continue
        report = run.run(on_step=watch(run))
        whole = length in (None, _horizon(scenario)) and not (quick and scenario.training)
        # What was trained lay in a folder that is gone: the entry says what was registered.
        registered = dataclasses.replace(report, scenario=customise(scenario, steps=length))
        yield entry(registered, comparable=whole) | how


def _trained(scenario: Scenario, quick: bool, folder: Path) -> tuple[Scenario, dict[str, str]]:
    """The scenario with its policy trained once where it says how, and by which command."""
    if not scenario.training:
        return scenario, {}
    from ..training import through_channel

    config = through_channel.configure(scenario, cpu_seconds=QUICK_TRAINING if quick else None)
    found = through_channel.train(config, folder)
    trained = dataclasses.replace(scenario, policy=str(found.folder / "best.zip"), policy_kwargs={})
    return trained, {"trained_by": config.command}


def _unmeasured(scenario: Scenario) -> str:
    """That data are missing; without the message of the fault, which may name folders of this machine."""
    data = scenario.env_kwargs.get("data")
    named = f", {data}," if isinstance(data, str) and data in DATASETS else ""
    return f"its data{named} are not at hand or cannot be used: see `studyhall run {scenario.name}`"


def _length(scenario: Scenario, steps: int | None, quick: bool) -> int | None:
    """The horizon that a run is given; None leaves it as it is."""
    if quick and steps is None:
        horizon = _horizon(scenario)
        return None if horizon is None else min(QUICK_STEPS, horizon)
    return steps


def _horizon(scenario: Scenario) -> int | None:
    """The scenario's horizon; None where its world's arguments are others, e.g. rounds."""
    return {**scenario.world_arguments, **scenario.env_kwargs}.get("horizon")


def too_short(scenarios: list[Scenario], *, steps: int | None = None, quick: bool = False) -> dict[str, int]:
    """The teacher's calls of each scenario that, shortened so, ends before they are spent.

    Args:
        scenarios: What is to be run.
        steps: As of :func:`reproduce`.
        quick: As of :func:`reproduce`.
    """
    found = {}
    for scenario in scenarios:
        budget, length = scenario.env_kwargs.get("teacher_budget"), _length(scenario, steps, quick)
        counts_calls = scenario.env_kwargs.get("teacher_unit", "calls") == "calls"
        shortened = length not in (None, _horizon(scenario))
        if budget is not None and length is not None and counts_calls and shortened and length <= budget:
            found[scenario.name] = budget
    return found


def entry(report: Report, *, comparable: bool = True) -> dict[str, Any]:
    """A report beside its claims, as plain JSON types, without the curves.

    Args:
        report: Of a run with the scenario's own arguments.
        comparable: Whether it ran for as long as the claims suppose; otherwise they are not measured.
    """
    found = report.as_json()
    return {
        "name": report.scenario.name,
        "summary_line": report.scenario.summary,
        "system": report.scenario.system,
        "comparable": comparable,
        "transductive": report.transductive,
        "headline": report.headline,
        "steps": report.steps[-1],
        "seeds": found["seeds"],
        "claims": [judged(claim, report.metrics, comparable=comparable) for claim in report.scenario.claims],
        "summary": found["summary"],
        "students": found["students"],
        "metrics": found["metrics"],
        "social_gain": found["social_gain"],
        "budget_spent_at": report.budget_spent_at,
        "scenario": found["scenario"],
        "seconds": report.seconds,
    }
