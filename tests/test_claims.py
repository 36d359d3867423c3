"""Documented figures held against measured ones: verdicts, sources, and what the package claims."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studyhall.envs.errors import StudyhallError
from studyhall.rollouts import interval
from studyhall.rollouts.reports.claims import claim_cells, judged, source_rows, verdict_on
from studyhall.scenarios import Claim, Scenario, register_scenario, registry, sources

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
NEAR, FAR = [0.90, 0.91, 0.92], [0.80, 0.91, 1.02]  # ± 0.025 and ± 0.27


def claim(documented: float, tolerance: float | None = None, **kwargs) -> Claim:
    return Claim("mean", documented, "masc-notes", tolerance, "a tester's", **kwargs)


@pytest.mark.parametrize(
    ("held", "values", "verdict"),
    [
        (claim(0.91, 0.05), NEAR, "holds"),
        (claim(0.91, 0.02), NEAR, "not resolved"),  # the interval is wider than the tolerance
        (claim(0.91, 0.05), FAR, "not resolved"),
        (claim(0.80, 0.05), NEAR, "does not hold"),
        (claim(0.80, 0.05, half=0.1), NEAR, "not resolved"),  # it was not measured better than that
        (claim(0.91, 0.05, half=0.1), NEAR, "not resolved"),
        (claim(0.91), NEAR, "not resolved"),  # without a tolerance nothing holds
        (claim(0.80), NEAR, "does not hold"),
        (claim(0.91, 0.05), [0.91], "not resolved"),  # one seed has no interval
        (claim(0.91, 0.05), [0.91, 0.91], "not resolved"),
        (claim(0.91, 0.05), [0.91, 0.91, 0.91], "holds"),
        (claim(0.7), [0.7 + 2e-8] * 3, "holds"),  # but for rounding
        (claim(0.91, 0.05), [float("nan")], "not measured"),
    ],
)
def test_verdicts_take_both_intervals(held, values, verdict):
    assert verdict_on(held, interval(values)) == verdict


def test_a_difference_is_paired_by_seed():
    held = claim(0.02, 0.005, minus="mute/mean@5")
    metrics = {"open": {"mean": [0.5, 0.9, 0.7]}, "mute": {"mean@5": [0.48, 0.879, 0.681]}}
    found = judged(held, metrics)
    assert found["verdict"] == "holds"  # though the seeds differ by 20 points each
    assert found["measured"]["mean"] == pytest.approx(0.02)
    assert claim_cells(found)[:2] == ("mean of students − mean of students, step 5 (mute)", "+2.00")
    assert judged(held, {"open": metrics["open"]})["verdict"] == "not measured"
    of_a_domain = judged(Claim("nats/prose", 4.0, "k1-notes"), {"open": {"nats/prose": [4.0, 4.1, 3.8]}})
    assert of_a_domain["verdict"] == "not resolved"  # its line names no control
    assert judged(held, metrics, comparable=False)["verdict"] == "not measured"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (Claim("mean", 0.5, "masc-note"), r"unknown source of a claim 'masc-note'.*masc-notes"),
        (Claim("mean", 0.5, "masc-notes", 0.1), "tolerance of 0.1: say in tolerance_why who chose it"),
        (Claim("mean", 0.5, "masc-notes", -0.1, "ours"), "the tolerance of a claim must be a number"),
    ],
)
def test_a_claim_nobody_answers_for_is_refused(wrong, words):
    scenario = Scenario("odd", "a class", "classroom-v0", "classroom", claims=(wrong,))
    with pytest.raises(StudyhallError, match=words) as refused:
        register_scenario(scenario)
    assert "\n" not in str(refused.value)
    assert "odd" not in registry


def test_what_is_not_known_of_a_source_is_said():
    assert len(source_rows(sources)) == len(sources)
    (row,) = source_rows(["classroom-rerun"])
    assert row[2:6] == ("not recorded",) * 4


@pytest.mark.parametrize("name", ["classroom", "collective"])
def test_what_was_changed_since_it_was_measured_has_a_history(name):
    """Figures, tolerances and seeds are those that were declared when results were measured, or the page says so."""
    found = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    for entry in found["scenarios"]:
        scenario = registry[entry["name"]]
        declared = {(c["metric"], c.get("minus"), c["documented"], c["tolerance"]) for c in entry["claims"]}
        claimed = {
            c for c in scenario.claims if (c.metric, c.minus, c.documented, c.tolerance) not in declared
        }
        assert all(c.history for c in claimed)
        now = {(c.metric, c.minus) for c in scenario.claims}
        assert {declared_as[:2] for declared_as in declared} <= now  # no claim has gone
        assert list(scenario.seeds) == entry["seeds"]
