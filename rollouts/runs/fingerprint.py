"""A short fixed run of a scenario: where its figures change, so has the arithmetic behind what was measured."""

from __future__ import annotations

from ...scenarios import Scenario
from ..settings.customise import customise
from .run import Rollout

STEPS = 6


def fingerprint(scenario: Scenario, steps: int = STEPS) -> dict[str, float]:
    """Metrics of the scenario's world of seed 0 after so many steps, or at its end where it counts rounds."""
    length = steps if "horizon" in scenario.world_arguments else None
    short = customise(scenario, steps=length, controls=())
    metrics = Rollout(short, seeds=(0,)).run().metrics["open"]
    return {name: float(values[0]) for name, values in metrics.items()}
