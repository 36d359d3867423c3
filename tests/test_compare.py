"""Runs beside each other: paired by seed, with the statistics of Agarwal et al. (2021)."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from studyhall import compare
from studyhall.envs.errors import ConfigError, UnknownName
from studyhall.rollouts import Result
from studyhall.scenarios import get_scenario

CLASS = dataclasses.replace(get_scenario("classroom-digits"), controls=())
SEEDS = tuple(range(20))


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run_of(values, seeds=SEEDS, scenario=CLASS, metric="mean", **changes) -> Result:
    """What a run found that ended with these values."""
    scenario = dataclasses.replace(scenario, env_kwargs={**scenario.env_kwargs, **changes})
    values = [float(value) for value in values]
    curves = {"open": [[[value] for value in values]]}
    return Result(scenario, tuple(seeds), {"open": {metric: values}}, curves=curves, steps=[5])


@pytest.fixture
def two():
    """A run that is better by 2 points in every seed, though seeds differ by much more."""
    base = np.random.default_rng(0).normal(0.6, 0.1, len(SEEDS))
    return run_of(base, topology="ring"), run_of(base + 0.02, topology="star")


def test_seeds_are_paired(two):
    found = compare({"ring": two[0], "star": two[1]})
    first, second = found.runs
    assert second.difference.mean == pytest.approx(0.02)
    assert second.difference.half < 1e-9
    assert (first.difference, first.improvement) == (None, None)
    assert "star − ring: +2.0" in str(found)
    assert str(found).count("better") > 1
    assert second.settings == {"topology": "star"}


def test_the_order_of_seeds_is_of_no_account(two):
    turned = run_of(two[1].metrics["open"]["mean"][::-1], seeds=SEEDS[::-1])
    assert compare(two[0], turned).runs[1].difference.mean == pytest.approx(0.02)


def test_the_interquartile_mean_leaves_out_the_extremes():
    values = [0.0] * 5 + [0.5] * 5 + [0.7] * 5 + [1.0] * 5
    iqm = compare(run_of(values), run_of(values)).runs[0].iqm
    assert iqm.value == pytest.approx(0.6)
    assert iqm.low < 0.6 < iqm.high


def test_probability_of_improvement_is_that_of_all_pairs():
    one, other = np.linspace(0, 1, 20), np.linspace(0.3, 0.8, 20)
    pairs = np.mean([(b > a) + 0.5 * (b == a) for a in one for b in other])
    found = compare(run_of(one), run_of(other)).runs[1].improvement
    assert found.value == pytest.approx(pairs)
    lower = compare(run_of(one), run_of(other), lower=True).runs[1].improvement
    assert lower.value == pytest.approx(1 - pairs)
    assert compare(run_of(one), run_of(one)).runs[1].improvement == pytest.approx((0.5, 0.5, 0.5), abs=0.15)
    never = compare(run_of(one), run_of(one - 2)).runs[1].improvement
    assert never == (0, 0, 0)


def test_profiles_are_shares_of_seeds_above_a_threshold(two):
    found = compare(*two)
    for run in found.runs:
        counted = [np.mean([value > at for value in run.values]) for at in found.thresholds]
        assert run.profile == pytest.approx(counted)


def test_bootstrap_intervals_cover_as_they_say_with_twenty_seeds():
    """Of 24 runs whose interquartile mean is 0 in truth, about 95 % should have it in their interval."""
    draws = np.random.default_rng(1).normal(size=(24, 20))
    found = compare({str(i): run_of(values) for i, values in enumerate(draws)})
    assert 19 <= sum(run.iqm.low <= 0 <= run.iqm.high for run in found.runs) <= 24


def test_a_seed_without_a_figure_is_left_out_of_both_and_told(two):
    values = [*two[0].metrics["open"]["mean"]]
    values[3] = math.nan
    found = compare(run_of(values), two[1])
    assert found.left_out == [3]
    assert len(found.runs[1].values) == 19
    assert "left out, since a run has no figure of them: seeds 3" in str(found)


def test_a_single_seed_has_no_interval():
    found = compare(run_of([0.5], seeds=(0,)), run_of([0.6], seeds=(0,)))
    assert math.isnan(found.runs[0].iqm.low)
    assert "not resolved with 1 seed" in str(found)
    assert "too narrow below 8" in str(found)


@pytest.mark.parametrize(
    ("second", "options", "error", "words"),
    [
        (run_of([0.5] * 2, seeds=(0, 1)), {}, ConfigError, "run both with the same"),
        (
            run_of([0.5] * 20, scenario=dataclasses.replace(get_scenario("swarm-sphere"), controls=())),
            {},
            ConfigError,
            "run 1 is of classroom-v0, run 2 of swarm-v0",
        ),
        (run_of([math.nan] * 20), {}, ConfigError, "no seed has a mean"),
        (run_of([0.5] * 20), {"metric": "mena"}, UnknownName, "did you mean 'mean'"),
        (run_of([0.5] * 20), {"mode": "mute"}, UnknownName, "unknown mode of run 1 'mute': known are open"),
    ],
)
def test_what_cannot_be_compared_is_one_line(second, options, error, words):
    with pytest.raises(error, match=words) as caught:
        compare(run_of([0.5] * 20), second, **options)
    assert "\n" not in str(caught.value)


def test_compare_on_the_command_line(call, two):
    two[0].save("runs/ring")
    two[1].save("runs/star")
    code, out, _ = call("compare", "runs/ring", "runs/star", "--plot", "compared.png")
    assert code == 0
    assert "runs/star − runs/ring" in out
    assert Path("compared.png").read_bytes().startswith(b"\x89PNG")
    code, out, err = call("compare", "runs/ring", "runs/star", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [run["name"] for run in found["runs"]] == ["runs/ring", "runs/star"]
    assert found["runs"][1]["difference"]["mean"] == pytest.approx(0.02)
    assert len(found["runs"][0]["profile"]) == len(found["thresholds"])
    for arguments, words in (
        (("runs/ring",), "two runs or more"),
        (("runs/ring", "runs/ring"), "named twice"),
        (("runs/ring", "nothing"), "nothing is no folder of a run"),
    ):
        code, out, err = call("compare", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert words in err


def test_a_comparison_as_a_frame_and_a_picture(two):
    found = compare({"ring": two[0], "star": two[1]})
    assert found.frame().groupby("run")["mean"].mean()["star"] == pytest.approx(found.runs[1].mean.mean)
    assert len(found.plot().axes) == 2
    assert found._repr_html_().startswith("<pre")
    assert repr(found) == "<Comparison of mean in 20 seeds: ring, star>"
