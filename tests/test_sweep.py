"""Sweeps: grids and draws, one folder and one table, and going on after whatever ended them."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from studyhall import rollout, sweep
from studyhall.envs.errors import ConfigError, UnknownName
from studyhall.rollouts import Rollout, Stopped
from studyhall.rollouts.settings.points import parse_choices, points_of
from studyhall.rollouts.settings.search import Search, search_of
from studyhall.rollouts.storage.folders import read_sealed, write_sealed
from studyhall.rollouts.storage.text import plain

SMALL = {"agents": 3, "policy_kwargs": {"hidden": [[16]]}, "controls": ()}
SET = ("--set", "agents=3", "--set", "policy.hidden=[16]", "--controls", "none")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# ---- points ---------------------------------------------------------------------------------------------


def test_a_grid_is_every_combination():
    choices = parse_choices(
        ["topology=ring,star", "drop=0,.2", "policy.hidden=[64],[128, 64]", "data=digits"]
    )
    points = points_of(choices)
    assert len(points) == 8
    assert points[0] == {"topology": "ring", "drop": 0, "policy.hidden": [64], "data": "digits"}
    assert points[1]["policy.hidden"] == [128, 64]
    assert points[-1]["topology"] == "star"
    assert points[-1]["drop"] == 0.2
    assert points_of({}) == [{}]


def test_draws_of_a_grid_do_not_repeat_and_a_seed_is_the_same_draw():
    choices = {"a": range(10), "b": ["x", "y"], "c": 3}
    found = points_of(choices, samples=12, seed=1)
    assert len({repr(point) for point in found}) == len(found) == 12
    assert all(point in points_of(choices) for point in found)
    assert found == points_of(choices, samples=12, seed=1) != points_of(choices, samples=12, seed=2)
    assert points_of(choices, samples=99) == points_of(choices)
    many = {name: range(100) for name in "abc"}  # a million, of which not all are listed
    assert len({repr(point) for point in points_of(many, samples=50)}) == 50


def test_numbers_are_drawn_from_distributions():
    choices = parse_choices(["policy.lr=loguniform(1e-4,0.1)", "drop=uniform(0,.5)", "topology=ring,star"])
    points = points_of(choices, samples=200)
    rates = [point["policy.lr"] for point in points]
    assert min(rates) >= 1e-4
    assert max(rates) <= 0.1
    assert 70 < sum(rate < 10**-2.5 for rate in rates) < 130  # half of them in the lower half of the decades
    assert all(0 <= point["drop"] <= 0.5 for point in points)
    assert list(points[0]) == ["policy.lr", "drop", "topology"]
    assert {point["topology"] for point in points} == {"ring", "star"}
    assert points_of({"lr": stats.loguniform(1e-4, 0.1)}, samples=3, seed=5)


@pytest.mark.parametrize(
    ("texts", "samples", "words"),
    [
        (["drop"], None, "--set takes KEY=VALUE"),
        (["drop=0,0"], None, "names a value twice"),
        (["drop=0", "drop=.5"], None, "--set gives drop twice"),
        (["drop=uniform(0,1)", "drop=.5"], 2, "--set gives drop twice"),
        (["drop=.5", "drop=uniform(0,1)"], 2, "--set gives drop twice"),
        (["lr=uniform(-1e308,1e308)"], 3, "two numbers in order"),
        (["lr=loguniform(0,1)"], 3, "two numbers in order, above 0"),
        (["lr=uniform(1,0)"], 3, "two numbers in order"),
        (["lr=uniform(0,1)"], None, "say how many points to draw, with --samples"),
        ([f"{name}={','.join(map(str, range(30)))}" for name in "abc"], None, "27,000 points are too many"),
    ],
)
def test_what_is_no_list_of_values_is_one_line(texts, samples, words):
    with pytest.raises(ConfigError, match=words):
        points_of(parse_choices(texts), samples=samples)


# ---- sweeps of runs -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What :data:`GRID` finds when nothing comes between."""
    folder = tmp_path_factory.mktemp("whole") / "sweep"
    return sweep(
        "classroom-digits",
        topology=["ring", "star"],
        drop=[0, 0.2],
        seeds=(0, 1),
        steps=12,
        out=folder,
        **SMALL,
    )


AXES = ("--set", "topology=ring,star", "--set", "drop=0,.2")
GRID = ("classroom-digits", *AXES, "--seeds", "0-1", "--steps", "12", *SET)


def test_a_point_is_the_run_of_its_settings(whole):
    alone = rollout(
        *("classroom-digits",),
        **{"topology": "star", "drop": 0.2, "seeds": (0, 1), "steps": 12, "agents": 3, "controls": ()},
        policy_kwargs={"hidden": [16]},
    )
    assert whole.points()[3].metrics == alone.metrics
    assert whole.points()[3].settings["topology"] == "star"


def test_a_sweep_is_one_folder_and_one_table(whole):
    folders = sorted(path.name for path in whole.folder.iterdir() if path.is_dir())
    assert folders == [
        f"00{i}-topology={t},drop={d}"
        for i, (t, d) in enumerate([("ring", 0), ("ring", 0.2), ("star", 0), ("star", 0.2)], start=1)
    ]
    table = pd.read_csv(whole.folder / "table.csv")
    assert list(table.columns[:2]) == ["topology", "drop"]
    assert len(table) == 4 * 2
    assert table["mean"].tolist() == pytest.approx(whole.frame()["mean"].tolist())
    text = str(whole)
    assert text.splitlines()[0].startswith("classroom-digits: mean of students, %")
    assert "agents" not in text  # the same in all
    assert whole._repr_html_().startswith("<pre")
    assert repr(whole) == f"<Swept {whole.folder}: 4 points of classroom-digits>"


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_sweep_that_was_ended_goes_on(number, call, tmp_path, whole):
    process = subprocess.Popen(
        [sys.executable, "-m", "studyhall", "sweep", *GRID, "--out", "swept"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    folder = tmp_path / "swept"
    while not list(folder.glob("002-*/config.json")) and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(number)
    _, err = process.communicate()
    assert not list(folder.glob("004-*/report.json")), "it was too quick to be stopped"
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert err.splitlines()[-1].endswith("of 4; go on with: studyhall sweep --resume swept")
    (first,) = folder.glob("001-*/report.json")
    before = first.stat().st_mtime_ns
    code, out, err = call("sweep", "--resume", "swept", "--json")
    assert code == 0
    assert "001-" not in err  # what has ended is not run again
    assert first.stat().st_mtime_ns == before
    assert json.loads(out)["points"] == json.loads(json.dumps(whole.as_json()["points"]))
    assert call("sweep", "--resume", "swept")[0] == 0  # the table, once more


def test_nothing_is_run_where_a_point_cannot_be(call):
    for given, words in (
        (("topology=ring,rnig",), "rnig"),
        (("drop=0,x",), "drop must be a number"),
        (("policy=mutual,mutul",), "did you mean 'mutual'"),
        (("topologie=ring",), "did you mean 'topology'"),
    ):
        arguments = [text for value in given for text in ("--set", value)]
        code, out, err = call("sweep", "classroom-digits", "--steps", "2", "--seeds", "0", *arguments, *SET)
        assert (code, out, err.count("\n")) == (2, "", 1), given
        assert words in err
    assert not Path("runs").exists()
    code, _, err = call("sweep", "classroom-digits", "--resume", "x")
    assert code == 2
    assert "goes on as the sweep began" in err
    code, _, err = call("sweep", "--resume", "nothing")
    assert "nothing is no folder of a sweep" in err


def test_a_point_that_fails_keeps_the_others(call):
    """What only the world can tell: an exam of more items than there are."""
    given = ("--set", "exam_size=20,20000", "--steps", "2", "--seeds", "0", "--out", "swept")
    code, _, err = call("sweep", "classroom-digits", *given, *SET)
    assert code == 2
    assert (
        "1 of 2 are kept; once that is mended, go on with: studyhall sweep --resume swept"
        in err.splitlines()[-1]
    )
    assert len(pd.read_csv("swept/table.csv")) == 1


def test_a_metric_that_was_not_measured_is_one_line(call):
    given = ("--steps", "2", "--seeds", "0", "--out", "swept", *SET)
    code, _, err = call("sweep", "classroom-digits", *given, "--metric", "mena")
    assert code == 2
    assert "did you mean 'mean'" in err.splitlines()[-1]
    code, out, _ = call("sweep", "--resume", "swept", "--metric", "soft_vote")
    assert code == 0
    assert "soft vote" in out


def test_a_file_names_no_code(call, tmp_path, monkeypatch):
    sweep("classroom-digits", steps=2, seeds=0, policy=["mutual"], out="swept", agents=3, controls=())
    config = json.loads(Path("swept/config.json").read_text())
    del config["checksum"]
    config["sweep"]["points"][0]["policy"] = "os:system"
    write_sealed(Path("swept/config.json"), config)
    code, _, err = call("sweep", "--resume", "swept")
    assert code == 2
    assert "a file never says what is run" in err
    config["sweep"]["points"] = "none"
    write_sealed(Path("swept/config.json"), config)
    code, _, err = call("sweep", "--resume", "swept")
    assert (code, err.count("\n")) == (2, 1)


def test_the_folder_of_a_sweep_is_none_of_a_run(whole, call):
    folder = str(whole.folder)
    point = next(str(path) for path in whole.folder.iterdir() if path.is_dir())
    of_sweep = f"{folder} is the folder of a sweep, not of a"
    for arguments, words in (
        (("run", "--resume", folder), f"{of_sweep} run: its runs or trainings are the folders in it"),
        (("train", "--resume", folder), f"{of_sweep} training"),
        (("compare", folder, point), f"{of_sweep} run"),
        (("report", folder), f"goes on with: studyhall sweep --resume {folder}"),
        (("export", folder), f"{of_sweep} run"),
        (
            ("sweep", "--resume", point),
            f"{point} is the folder of a run, not of a sweep: it goes on with: studyhall",
        ),
        (("train", "--resume", point), f"studyhall run --resume {point}"),
        (
            ("compare", point, f"{folder}/table.csv"),
            f"{folder}/table.csv is a file: give the folder of a run",
        ),
        (("export", f"{point}/config.json"), "config.json is a file: give the folder of a run"),
    ):
        code, out, err = call(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), arguments
        assert words in err


def test_data_of_ones_own_are_points_apart():
    x = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)
    sets = [(x, (x[:, 0] > 0).astype(int)), (x, (x[:, 1] > 0).astype(int))]
    small = {"slice_size": 8, "exam_size": 8, "agents": 2, "controls": ()}
    found = sweep("classroom-digits", data=sets, seeds=(0, 1), steps=2, out="swept", **small)
    assert [one.seeds for one in found.points()] == [[0, 1], [0, 1]]
    assert json.loads(Path("swept/results.json").read_text())


def test_runs_of_a_sweep_can_be_compared(whole, call):
    folders = sorted(str(path) for path in whole.folder.iterdir() if path.is_dir())
    code, out, _ = call("compare", *folders[:2])
    assert code == 0
    assert "drop=0.2" in out


# ---- sweeps of trainings --------------------------------------------------------------------------------


def test_trainings_of_several_seeds_are_one_command(call):
    quick = ("--updates", "1", "--worlds", "1", "--eval-worlds", "1", "--set", "slice_size=8")
    code, out, err = call("train", "halves-digits", *quick, "--seeds", "0,5", "--out", "trained", "--json")
    assert code == 0
    (point,) = json.loads(out)["points"]
    assert point["seeds"] == [0, 5]
    assert len(point["metrics"]["held-out"]["loss"]) == 2
    assert {path.name for path in Path("trained").iterdir() if path.is_dir()} == {"001-seed=0", "002-seed=5"}
    assert Path("trained/002-seed=5/best.zip").exists()
    assert "share worlds" not in err
    Path("trained/results.json").unlink()  # as if it had been killed before this was written
    code, again, _ = call("sweep", "--resume", "trained", "--json")
    assert code == 0
    losses = json.loads(again)["points"][0]["metrics"]["held-out"]["loss"]
    assert losses == point["metrics"]["held-out"]["loss"]
    table = call("sweep", "--resume", "trained")[1]
    assert re.search(r"^ +scenario +held-out", table, re.MULTILINE)  # not the folder of one seed
    assert re.search(r"^ +halves-digits +\d", table, re.MULTILINE)
    code, _, err = call("train", "halves-digits", "--seeds", "0-1", "--seed", "3")
    assert (code, err.count("\n")) == (2, 1)


def test_seeds_that_share_worlds_are_told():
    with pytest.warns(UserWarning, match="these seeds are 1 apart, so trainings share worlds"):
        sweep(
            "halves-digits",
            seeds=(0, 1),
            training={"updates": 1, "worlds": 2, "eval_worlds": 1},
            slice_size=8,
            out="trained",
        )
    with pytest.raises(ConfigError, match="leave out seed"):
        sweep("halves-digits", training={"seed": 1})
    with pytest.raises(UnknownName, match="did you mean 'learning_rate'"):
        sweep("halves-digits", training={}, **{"backprop.learning_rat": [0.1]})


# ---- a sampler chooses ----------------------------------------------------------------------------------------


needs_optuna = pytest.mark.skipif(
    importlib.util.find_spec("optuna") is None,
    reason="optuna is not installed: pip install 'studyhall[sweep]'",
)
SEARCH = (
    "sweep",
    "swarm-ackley-30d",
    "--steps",
    "3",
    "--seeds",
    "0-1",
    "--set",
    "agents=3",
    "--set",
    "policy=pso",
)
CHOSEN = (
    *SEARCH,
    "--set",
    "policy.inertia=uniform(0.1,0.9)",
    "--set",
    "topology=ring,complete",
    "--sampler",
    "tpe",
)


@needs_optuna
def test_a_sampler_goes_by_what_was_found(call, tmp_path, monkeypatch):
    asked = []
    ask = Search.ask
    monkeypatch.setattr(Search, "ask", lambda self, found: asked.append(list(found)) or ask(self, found))
    options = ("--samples", "3", "--metric", "best", "--lower", "--out", str(tmp_path / "sought"))
    code, out, err = call(*CHOSEN, *options, "--json")
    assert code == 0, err
    points = json.loads(out)["points"]
    told = [(one["settings"], sum(one["metrics"]["open"]["best"]) / 2) for one in points]
    assert asked == [told[:0], told[:1], told[:2]]
    assert all(
        0.1 <= one["policy.inertia"] <= 0.9 and one["topology"] in ("ring", "complete") for one, _ in told
    )
    best = min(told, key=lambda found: found[1])[0]
    swept = sweep(resume=tmp_path / "sought")
    assert swept.best().settings == best
    assert f"best: {tmp_path / 'sought' / swept.best().name}" in str(swept).replace("\n", "")


@needs_optuna
def test_a_search_that_goes_on_asks_for_the_same_points(call, tmp_path, monkeypatch):
    asked = {"steps": 2, "seeds": 0, "agents": [3, 4, 5], "samples": 3, "sampler": "tpe"}
    whole = sweep("swarm-ackley-30d", out=tmp_path / "whole", **asked)
    stopped = iter([False, False, True])
    run = Rollout.run

    def stops(self, **options):
        return run(self, **(options | ({"stop": lambda: True} if next(stopped) else {})))

    monkeypatch.setattr(Rollout, "run", stops)
    with pytest.raises(Stopped):
        sweep("swarm-ackley-30d", out=tmp_path / "parts", **asked)
    monkeypatch.setattr(Rollout, "run", run)
    parts = sweep(resume=tmp_path / "parts")
    assert parts.rows() == whole.rows()
    assert len(list((tmp_path / "parts").glob("00*"))) == 3


@needs_optuna
@pytest.mark.parametrize("sampler", ["tpe", "gp"])
@pytest.mark.parametrize("lower", [False, True])
def test_samplers_find_what_is_high_or_low(sampler, lower):
    given = {"lr": 0.5, "rate": stats.loguniform(1e-3, 1e-1), "kind": [(1,), (2,)]}
    search = search_of(given, samples=14, sampler=sampler, lower=lower)
    found = []
    for _ in range(14):
        point = plain(search.ask(found))  # as results.json has it
        found.append((point, math.log10(point["rate"]) + point["kind"][0]))
    early, late = (sum(value for _, value in part) / len(part) for part in (found[:10], found[10:]))
    assert late < early if lower else late > early
    assert plain(search.ask(found[:12])) == found[12][0]
    assert all(point["lr"] == 0.5 and 1e-3 <= point["rate"] <= 1e-1 for point, _ in found)


def test_a_search_that_cannot_be_is_one_line(call, monkeypatch):
    def said(*options):
        code, _, err = call(*SEARCH, *options)
        assert code == 2
        return err.removeprefix("studyhall: ").rstrip("\n")

    assert said("--set", "drop=0,.2", "--sampler", "tpe").startswith("a sampler chooses a number of points")
    assert said("--set", "drop=0,.2", "--samples", "2", "--lower").startswith("lower is of a search")
    assert "did you mean 'tpe'" in said("--set", "drop=0,.2", "--samples", "2", "--sampler", "tpee")
    assert said("--samples", "2", "--sampler", "tpe").startswith("there is nothing to choose")
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "optuna" else there(name))
    lacking = said("--set", "drop=0,.2", "--samples", "2", "--sampler", "tpe")
    assert lacking == "sampler tpe needs Optuna: pip install 'studyhall[sweep]'"


@pytest.mark.parametrize(
    ("choices", "options", "words"),
    [
        ({"a": {1, 2}}, {}, r"a must be a list where it is several values, got \{1, 2\}"),
        ({"a": (i for i in range(2))}, {}, "a must be a list where it is several values"),
        ({"a": range(10**12)}, {}, "a has 1,000,000,000,000 values: give 10,000 at most"),
        ({"a": [1]}, {"samples": "x"}, "samples must be a whole number of at least 1, got 'x'"),
        ({"a": [1]}, {"samples": 0}, "samples must be a whole number of at least 1, got 0"),
        ({"a": [1]}, {"samples": 1, "seed": "x"}, "seed must be a whole number"),
    ],
)
def test_what_code_gives_that_is_no_list_of_values_is_one_line(choices, options, words):
    with pytest.raises(ConfigError, match=words):
        points_of(choices, **options)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"training": 5}, "training must be a mapping of names to values, got 5"),
        ({"training": {1: 2}}, "training must be a mapping of names to values"),
        ({"training": {"assignments": ["rounds=3"]}}, "give each setting by its name"),
        ({"training": {"updates": 1}, "steps": 3}, "steps and controls are of runs"),
        ({"training": {"updates": 1}, "controls": "mute"}, "steps and controls are of runs"),
        ({"policy_kwargs": 5}, "policy_kwargs must be a mapping of names to values, got 5"),
        ({"metric": 5}, "metric must be text, such as 'mean', got 5"),
        ({"out": 5}, "out must be a path, got 5"),
    ],
)
def test_what_is_no_sweep_is_one_line_and_leaves_nothing(given, words):
    with pytest.raises(ConfigError, match=words):
        sweep("consensus-vector", **{"seeds": 0, "out": "swept", **given})
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    "given",
    [
        {"samples": 5},
        {"sampler": "tpe"},
        {"seed": 3},
        {"lower": True},
        {"controls": "mute"},
        {"training": {"updates": 1}},
        {"device": "cpu"},
    ],
)
def test_a_sweep_that_goes_on_is_not_changed(whole, given):
    with pytest.raises(ConfigError, match="leave out what would change it"):
        sweep(resume=whole.folder, **given)


def test_a_sweep_that_goes_on_draws_by_the_seed_it_began_with(whole, call):
    code, _, err = call("sweep", "--resume", str(whole.folder), "--seed", "3")
    assert (code, err) == (
        2,
        "studyhall: --resume goes on as the sweep began: leave out what would change it\n",
    )


def _found(**changes):
    return lambda found: [one.update(changes) for one in found.values()]


def _config(**changes):
    return lambda config: config["sweep"].update(changes)


def _search(choices):
    return _config(points=[], search={"choices": choices, "samples": 2, "sampler": "tpe"})


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("results.json", _found(metrics={}), "is something else: remove results.json"),
        ("results.json", _found(metrics={"open": {"mean": ["x", "y"]}}), "is something else"),
        ("results.json", _found(settings=[1]), "is something else"),
        ("results.json", _found(point="x"), "is something else"),
        ("results.json", _found(seeds="01"), "is something else"),
        ("config.json", _config(points=[{"drop": 0.1}, {}]), "holds no sweep"),
        ("config.json", _config(scenario="x"), "holds no sweep"),
        ("config.json", _search({"drop": {"range": [1, 0, False]}}), "holds no sweep"),
        ("config.json", _search({"drop": {"range": [-1, 1, True]}}), "holds no sweep"),
        ("config.json", _search(5), "holds no sweep"),
    ],
)
def test_a_crafted_sweep_is_one_line(whole, call, file, change, words):
    shutil.copytree(whole.folder, "swept")
    described = read_sealed(Path("swept", file), "")
    change(described)
    write_sealed(Path("swept", file), described)
    code, out, err = call("sweep", "--resume", "swept")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
