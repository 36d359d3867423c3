"""Numbers and words: intervals, digits, verdicts, and learners that diverged."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats

from studyhall.envs.errors import ConfigError
from studyhall.rollouts import Report, interval, rollout, spread
from studyhall.rollouts.reports.figures import as_interval, figure
from studyhall.rollouts.reports.stats import verdict
from studyhall.rollouts.reports.tables import result
from studyhall.rollouts.reports.verdicts import worth
from studyhall.rollouts.storage.text import as_json
from studyhall.scenarios import Scenario, get_scenario

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
NAN = math.nan

CLASS = Scenario("tiny", "a small class", env="classroom-v0", policy="classroom", controls=("mute",))


def shown(report: Report, width: int = 100) -> str:
    """What a terminal shows of a report."""
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(result(report))
    return console.export_text()


# ---- intervals ------------------------------------------------------------------------------------------


def test_intervals_are_scipys():
    values = [0.91, 0.93, 0.905, 0.97]
    got = interval(values)
    limits = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert (got.low, got.high) == pytest.approx(limits)
    assert got.half == pytest.approx((got.high - got.low) / 2)
    assert (got.n, got.min, got.max, got.missing) == (4, 0.905, 0.97, 0)


def test_one_value_has_no_interval():
    got = interval([0.5])
    assert (got.mean, got.n, got.min, got.max) == (0.5, 1, 0.5, 0.5)
    assert all(math.isnan(end) for end in (got.half, got.low, got.high))


def test_equal_values_have_an_interval_of_no_width():
    got = interval([0.1] * 3)  # whose sum in floating point is not 0.3
    assert (got.mean, got.half, got.low, got.high) == (0.1, 0, 0.1, 0.1)


def test_no_values_are_refused():
    with pytest.raises(ConfigError, match="give the values of the seeds"):
        interval([])


def test_seeds_without_a_value_are_counted():
    got = interval([0.2, NAN, 0.4, math.inf])
    assert (got.mean, got.n, got.missing) == (pytest.approx(0.3), 2, 2)
    nobody = interval([NAN, NAN])
    assert (nobody.n, nobody.missing) == (0, 2)
    assert math.isnan(nobody.mean)
    assert spread(got) == "30 ± 127 (2 of 4)"
    assert spread(nobody) == "–"


@pytest.mark.parametrize("values", [[0.4, 0.7], [0.5, 0.6, NAN], [0.5]])
def test_intervals_come_back_from_json(values):
    found = interval(values)
    read = as_interval(json.loads(as_json(found._asdict())))
    assert spread(read) == spread(found)
    assert (read.n, read.min, read.max, read.missing) == (found.n, found.min, found.max, found.missing)


def test_committed_results_hold_limits_and_extremes():
    """Wherever an interval is written: its limits are around the mean, its extremes around all values."""

    def intervals(value):
        if isinstance(value, dict):
            if {"mean", "half", "n"} <= set(value):
                yield value
            for entry in value.values():
                yield from intervals(entry)
        elif isinstance(value, list):
            for entry in value:
                yield from intervals(entry)

    count = 0
    for path in RESULTS.glob("*.json"):
        for found in intervals(json.loads(path.read_text(encoding="utf-8"))):
            count += 1
            assert {"low", "high", "min", "max", "missing"} <= set(found), path.name
            if found["half"] is not None:
                assert found["low"] == pytest.approx(found["mean"] - found["half"])
                assert found["high"] == pytest.approx(found["mean"] + found["half"])
            if found["mean"] is not None:
                assert found["min"] - 1e-6 <= found["mean"] <= found["max"] + 1e-6
            if "values" in found:
                again = interval([NAN if v is None else v for v in found["values"]])
                assert (again.min, again.max, again.n) == (found["min"], found["max"], found["n"])
                assert again.half == pytest.approx(found["half"])
    assert count > 1000


# ---- digits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "how", "text"),
    [
        ([0.5], {}, "50.00"),
        ([0.5, 0.6, 0.7], {}, "60 ± 25"),
        ([0.9, 0.91, 0.905], {}, "90.5 ± 1.2"),
        ([0.03979, 0.06, 0.02, 0.04], {"percent": False, "digits": None}, "0.04 ± 0.03"),
        ([-0.015, -0.0001, -0.008], {"signed": True}, "−0.8 ± 1.9"),
        ([30, 30], {"percent": False, "digits": 0}, "30 ± 0"),
        ([70_000, 70_400, 69_800], {"percent": False, "digits": 0}, "70,067 ± 759"),
        ([1e-41], {"percent": False, "digits": None}, "1e-41"),
        ([1e-41, 2e-41, 3e-41], {"percent": False, "digits": None}, "2e-41 ± 2e-41"),
        ([1234.5], {"percent": False, "digits": None}, "1,234"),
        ([2e9], {"percent": False, "digits": None}, "2e+09"),
        ([0.25, 0.75], {"percent": False, "digits": None, "signed": True}, "0 ± 3"),
        ([0, 0, 0], {"signed": True}, "0.00 ± 0.00"),
    ],
)
def test_digits_follow_the_error(values, how, text):
    assert spread(interval(values), **how) == text


def test_nothing_is_minus_zero():
    assert figure(-0.0004, 1) == "0.0"
    assert figure(-0.0004, 1, signed=True) == "0.0"
    assert figure(0.0004, 2, signed=True) == "0.00"
    assert figure(-0.06, 1) == "−0.1"
    assert figure(-2e-9) == "−2e-09"


@example([0.875], False, 2)
@given(
    st.lists(st.floats(-1e6, 1e6).filter(lambda v: v == 0 or abs(v) > 1e-12), min_size=1, max_size=5),
    st.booleans(),
    st.sampled_from([None, 0, 1, 2, 4]),
)
def test_figures_say_what_they_are(values, signed, digits):
    """Read back, a mean is within its rounding of what it was, whatever the values."""
    found = interval(values)
    text = spread(found, percent=False, signed=signed, digits=digits)
    assert not text.startswith(("−0 ", "+0 ", "-"))
    mean = float(text.partition(" ±")[0].replace("−", "-").replace(",", ""))
    error = 0.5 * 10.0 ** -(digits or 0) if digits is not None else 0.0
    half = 0.0 if math.isnan(found.half) else found.half
    most = max(error, half, 1e-3 * abs(found.mean), 1e-9)
    assert abs(mean - found.mean) <= most * (
        1 + 1e-9
    )  # a half is rounded up, and the difference of two floats too


# ---- verdicts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("differences", "word"),
    [
        ([0.1, 0.12, 0.11], "gain"),
        ([-0.1, -0.12, -0.11], "loss"),
        ([-0.01, 0.02, 0.0], None),
        ([0.1, 0.3], None),  # two seeds: the interval is thirteen times as wide as their distance
        ([0.1, 0.1], None),  # equal by chance or rounding, which two seeds cannot tell
        ([0.1], None),
        ([0.0, 0.0], "equal"),
        ([NAN, NAN], None),
        ([NAN, 0.1, 0.12, 0.11], "gain"),
    ],
)
def test_a_verdict_is_what_the_interval_shows(differences, word):
    assert verdict(interval(differences)) == word


def classes(differences: list[float]) -> Report:
    """A report of a class whose students gained so much from peers, seed by seed."""
    report = Report(CLASS, seeds=tuple(range(len(differences))), steps=[24])
    report.metrics = {
        "open": {"mean": [0.5 + gain for gain in differences]},
        "mute": {"mean": [0.5] * len(differences)},
    }
    return report


@pytest.mark.parametrize(
    ("differences", "line"),
    [
        (
            [0.1, 0.12, 0.11],
            "peers against mute: +11.0 points, 95 % interval +8.5 to +13.5 (3 seeds): a gain",
        ),
        (
            [-0.1, -0.12, -0.11],
            "peers against mute: −11.0 points, 95 % interval −13.5 to −8.5 (3 seeds): a loss",
        ),
        (
            [-0.704, -0.351],
            "peers against mute: −53 points, 95 % interval −277 to +172 (2 seeds): not resolved with 2 seeds",
        ),
        ([0.053], "peers against mute: +5.30 points (1 seed): not resolved with 1 seed"),
        (
            [0, 0],
            "peers against mute: 0.00 points, 95 % interval 0.00 to 0.00 (2 seeds): exactly equal in 2 seeds",
        ),
        (
            [NAN, 0.1, 0.1, 0.13],
            "peers against mute: +11.0 points, 95 % interval +6.7 to +15.3 (3 of 4 seeds): a gain",
        ),
    ],
)
def test_the_line_prints_the_interval_that_was_used(differences, line):
    (said,) = worth(classes(differences))
    assert said == line
    assert line in shown(classes(differences), 120)


def test_no_gain_is_claimed_of_what_may_be_better_lower():
    for headline, words in (("distance", ["a difference"] * 2), ("accuracy", ["a loss", "a gain"])):
        for shift, word in zip((-0.1, 0.1), words, strict=True):
            report = Report(CLASS, seeds=(0, 1, 2), steps=[4], headline=headline)
            report.metrics = {
                "open": {headline: [0.5 + shift, 0.52 + shift, 0.51 + shift]},
                "mute": {headline: [0.51, 0.51, 0.51]},
            }
            (line,) = worth(report)
            assert line.startswith(f"open − mute, {headline}: ")
            assert line.endswith(f"(3 seeds): {word}")


def test_the_table_says_which_interval_it_shows():
    text = shown(classes([0.1, 0.2]))
    assert "mean ± 95 % interval over 2 seeds" in text
    assert "±: 95 % interval of the mean over seeds, by Student's t" in text
    assert "65 ± 64" in text
    assert "–" not in text.replace("peers – ", "")
    assert "±" not in shown(classes([0.1]))


# ---- learners that diverged -----------------------------------------------------------------------------

SHORT = {"horizon": 6, "agents": 3}


def diverging(name: str, seeds: tuple[int, ...] = (0, 1), env=(), policy=(), **kwargs) -> Report:
    scenario = get_scenario(name)
    changed = dataclasses.replace(
        scenario,
        env_kwargs={**scenario.env_kwargs, "horizon": 6, **dict(env)},
        policy_kwargs={**scenario.policy_kwargs, **dict(policy)},
        controls=("mute",),
        **kwargs,
    )
    return rollout(changed, seeds=seeds)


def test_learners_that_diverge_are_named():
    report = diverging("classroom-digits", env={"agents": 3}, policy={"lr": 1e30, "hidden": [16, 16]})
    for mode in ("open", "mute"):
        assert set(report.diverged[mode]) == {"0", "1"}
        assert set(report.diverged[mode]["0"]) == {"student_0", "student_1", "student_2"}
        assert all(1 <= step <= 6 for seed in report.diverged[mode].values() for step in seed.values())
        assert all(math.isnan(value) for value in report.metrics[mode]["mean"])
        assert all(math.isnan(own) for seed in report.students[mode] for own in seed)
    assert report.metrics["open"]["labels"] == [6 * 32] * 2  # what it cost is known all the same
    text = shown(report)
    assert "diverged in 2 of 2 seeds, open: seed 0: student_0 by step " in text
    assert "not resolved" not in text
    read = Report.from_json(json.loads(as_json(report.as_json())))
    assert read.diverged == report.diverged
    assert shown(read) == shown(report)


def test_hosted_learners_that_diverge_are_named():
    report = diverging("society-liar-digits", env={"lr": 1e30})
    assert set(report.diverged["open"]) == {"0", "1"}
    assert all(math.isnan(value) for value in report.metrics["open"]["honest"])


def test_who_is_sound_is_not_named():
    report = diverging("classroom-digits", env={"agents": 3}, policy={"hidden": [16]})
    assert report.diverged == {}
    assert "diverged" not in shown(report)


def test_a_case_that_did_not_occur_is_no_divergence():
    report = classes([0.1, 0.2, 0.3])
    report.metrics["open"]["honest"] = [0.5, NAN, 0.6]
    report.metrics["mute"]["honest"] = [0.4, NAN, 0.4]
    text = shown(report)
    assert "55 ± 64 (2 of 3)" in text
    assert "where a case did not occur, there is none" in text
    assert "diverged" not in text
    report.diverged = {"open": {"1": {"student_0": 3}}, "mute": {"1": {"student_2": 4}}}
    text = shown(report)
    assert "diverged in 1 of 3 seeds, open: seed 1: student_0 by step 3" in text
    assert "where a learner diverged, its world has none" in text
    assert "did not occur" not in text


def test_agents_are_called_what_the_world_calls_them():
    text = shown(diverging("society-liar-digits", seeds=(0,)))
    assert "agent 0" in text
    assert "mean of agents" in text
    assert "labelled slices per agent" in text
    assert "student" not in text
