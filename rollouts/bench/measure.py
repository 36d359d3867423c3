"""What ``studyhall bench`` measures."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..storage.provenance import provenance
from .cases import SIZES, Case, Stepped, room_for, stepped_or_refused
from .counting import PARTS, Clocks, Operations, methods_of

FORMAT = "studyhall bench 1"
_PROFILED = 16
"""Worlds whose step is taken apart, and whose agents and rows are varied."""
_GROWTH = 0.7
"""A step's time grows at least with this power of worlds, as a guess before they are made."""
_UPDATES = 3
"""Steps of which learners' updates are counted."""
_PRODUCT = 768
"""Rows and columns of the product that others are held against."""


@dataclass(frozen=True)
class Plan:
    """How long is measured.

    Args:
        widths: Numbers of worlds side by side.
        seconds: Of a measurement.
        rounds: How often each is measured; they take turns.
        longest: Seconds that a step may take; wider ones are left out.
        sizes: Of N and B, as multiples of the default.
    """

    widths: tuple[int, ...] = (1, 4, 16, 64, 256, 1024)
    seconds: float = 0.2
    rounds: int = 5
    longest: float = 4.0
    sizes: tuple[float, ...] = (0.5, 1, 2, 4)


QUICK = Plan(widths=(1, 16, 256), seconds=0.02, rounds=3, longest=0.15, sizes=(1, 2))


def bench(
    plan: Plan, cases: Sequence[Case], command: str, told: Callable[[int, str], None]
) -> dict[str, Any]:
    """Measure worlds.

    Args:
        plan: How long.
        cases: The worlds.
        command: What asked for it, for the record.
        told: Is called with how many are done, and which comes next.

    Returns:
        Plain JSON types: what was measured with what, and a row of each world.
    """
    found = []
    for done, case in enumerate(cases):
        told(done, case.name)
        found.append(measured(case, plan))
    told(len(cases), "")
    about = provenance(command) | {"capability": torch.backends.cpu.get_cpu_capability()}
    return {"format": FORMAT, **about, "rounds": plan.rounds, "seconds": plan.seconds, "worlds": found}


def measured(case: Case, plan: Plan) -> dict[str, Any]:
    """The row of a world."""
    wide, left_out = widths(case, plan)
    profiled = max((one for one in wide if one.worlds <= _PROFILED), key=lambda one: one.worlds)
    turns = take_turns(
        [*(_clock(one, plan.seconds) for one in wide), lambda: product(plan.seconds)], plan.rounds
    )
    *steps, gflops = turns
    apart = taken_apart(
        profiled, max(2, round(plan.seconds / statistics.median(steps[wide.index(profiled)])))
    )
    whole = statistics.median(steps[wide.index(profiled)])
    rates = apart["flops"] / whole / 1e9 / statistics.median(gflops)
    learners = profiled.learners
    return {
        "world": case.id,
        "hosted": case.hosted,
        "agents": profiled.world.num_agents,
        "learners": learners,
        "speeds": [
            _speed(one, took, apart["updates"] / profiled.worlds)
            for one, took in zip(wide, steps, strict=True)
        ],
        "left_out": left_out,
        "profiled": profiled.worlds,
        "shares": apart["shares"],
        "operations": apart["operations"],
        "sgemm_gflops": spread(gflops),
        "products_of_sgemm": rates,
        "bytes_per_learner": profiled.bytes_of_learners() / (profiled.worlds * learners)
        if learners
        else None,
        "costs": {
            "W": _cost([one.worlds for one in wide], steps),
            **{what: varied(case, what, profiled.worlds, plan) for what in SIZES},
        },
    }


def widths(case: Case, plan: Plan) -> tuple[list[Stepped], dict[str, str]]:
    """The case in each width, as long as a step is not too long and there is memory; why the others are left out."""
    made = [Stepped(case, plan.widths[0])]
    for place, worlds in enumerate(plan.widths[1:], start=1):
        took = made[-1].step_seconds(0.0) * (worlds / made[-1].worlds) ** _GROWTH
        fits = room_for(made[-1], worlds)
        if took > plan.longest or not fits:
            why = f"a step takes more than {plan.longest:g} s" if fits else "not enough memory"
            return made, {str(left): why for left in plan.widths[place:]}
        made.append(Stepped(case, worlds))
    return made, {}


def take_turns(measure: Sequence[Callable[[], float]], rounds: int) -> list[list[float]]:
    """What each says in each round, one after the other, so that what disturbs the machine disturbs all."""
    found: list[list[float]] = [[] for _ in measure]
    for _ in range(rounds):
        for own, one in zip(found, measure, strict=True):
            own.append(one())
    return found


def product(seconds: float) -> float:
    """GFLOP a second of one large float32 product."""
    a = torch.ones(_PRODUCT, _PRODUCT)
    begun, done = time.process_time(), 0
    while (took := time.process_time() - begun) < seconds or not done:
        torch.mm(a, a)
        done += 1
    return 2 * _PRODUCT**3 * done / took / 1e9


def taken_apart(stepped: Stepped, steps: int) -> dict[str, Any]:
    """Shares of a step by part, operations, products and updates of a step."""
    clocks = Clocks()
    with clocks.running(*methods_of(stepped.world)):
        stepped.run(steps)
    whole = sum(clocks.seconds.values())
    with Operations() as operations:
        stepped.run(steps)
    return {
        "shares": {part: clocks.seconds[part] / whole for part in PARTS},
        "operations": operations.count / steps,
        "flops": operations.flops / steps,
        "updates": stepped.updates(_UPDATES) if stepped.learners else 0.0,
    }


def varied(case: Case, what: str, worlds: int, plan: Plan) -> dict[str, Any] | None:
    """What a step costs with more agents, or more rows; None where their number is not free."""
    if not case.sized(what):
        return None
    usual = case.arguments[SIZES[what]]
    sizes, made = [], []
    for factor in plan.sizes:
        one = stepped_or_refused(case.of_size(what, max(1, round(usual * factor))), worlds)
        if one is not None:
            sizes.append(max(1, round(usual * factor)))
            made.append(one)
            if one.step_seconds(0.0) > plan.longest / 2:
                break
    return _cost(sizes, take_turns([_clock(one, plan.seconds) for one in made], plan.rounds))


def _clock(one: Stepped, seconds: float) -> Callable[[], float]:
    return lambda: one.step_seconds(seconds)


def _cost(sizes: Sequence[int], steps: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Milliseconds of a step by size, and the exponent of size that fits them best (least squares of logarithms)."""
    took = [1e3 * statistics.median(one) for one in steps]
    exponent = float(np.polyfit(np.log(sizes), np.log(took), 1)[0]) if len(sizes) > 1 else None
    return {"sizes": list(sizes), "milliseconds": took, "exponent": exponent}


def _speed(one: Stepped, took: Sequence[float], updates: float) -> dict[str, Any]:
    """Speeds of a width; ``updates`` are those of a world and step."""
    agents = one.world.num_agents
    steps = [1 / seconds for seconds in took]
    median = statistics.median(steps)
    return {
        "worlds": one.worlds,
        "steps_per_second": spread(steps),
        "agent_steps_per_second": spread([one.worlds * agents * speed for speed in steps]),
        "rows_per_second": one.rows * median,
        "updates_per_second": updates * one.worlds * median,
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest of the rounds."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}
