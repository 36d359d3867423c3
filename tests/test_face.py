"""Runs and trainings from code: names and numbers in, tables, frames and pictures out; a notebook shows them."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import studyhall
from studyhall import compare, export, report, rollout, sweep, train
from studyhall.envs.errors import ConfigError, StudyhallError, UnknownName
from studyhall.policies.policy import RandomPolicy
from studyhall.rollouts import Report, Result, Stopped
from studyhall.rollouts.runs.progress import LiveProgress
from studyhall.rollouts.runs.run import Live

ROOT = Path(__file__).resolve().parents[1]
SMALL = {"agents": 3, "policy_kwargs": {"hidden": [16]}}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def found() -> Result:
    return rollout("classroom-digits", seeds=(0, 1), steps=5, controls="mute", **SMALL)


# ---- runs -----------------------------------------------------------------------------------------------


def test_names_and_numbers_are_what_the_command_line_takes(found, call):
    command = ("run", "classroom-digits", "--seeds", "0-1", "--steps", "5", "--controls", "mute", "--json")
    code, out, _ = call(*command, "--set", "agents=3", "--set", "policy.hidden=[16]")
    assert code == 0
    assert json.loads(out)["metrics"] == found.metrics


def test_a_result_prints_as_the_table(found):
    text = str(found)
    assert text.splitlines()[0].split() == (
        ["classroom-digits", "·", "5", "steps", "·", "mean", "±", "95", "%", "interval", "over", "2", "seeds"]
    )
    assert "\x1b" not in text
    shown = found._repr_html_()
    assert shown.startswith("<pre")
    for line in ("best student", "social gain, points", "mute"):
        assert line in text
        assert line in shown
    assert repr(found) == "<Result of classroom-digits: 5 steps, seeds [0, 1], open, mute>"


def test_a_result_as_frames(found):
    frame = found.frame()
    assert frame.groupby("mode").size().to_dict() == {"open": 2, "mute": 2}
    means = frame.groupby("mode")["mean"].mean()
    assert means["open"] == pytest.approx(found.interval("open", "mean").mean)
    history = found.history()
    assert list(history) == ["step", "mode", "seed", "agent", "exam_accuracy"]
    assert len(history) == len(found.steps) * 2 * 2 * 3
    found.save("kept")
    for written in (pd.read_parquet("kept/metrics.parquet"), pd.read_csv("kept/metrics.csv")):
        pd.testing.assert_frame_equal(written, history, check_dtype=False)


def test_figures_that_were_not_measured_are_said(found):
    for asked in (
        lambda: found.interval("open", "soft_votes"),
        lambda: found.interval("shuffled", "soft_vote"),
        lambda: found.social_gain("soft_votes"),
    ):
        with pytest.raises(UnknownName, match=r"did you mean 'soft_vote'|known are mute, open"):
            asked()
    assert found.interval("mute", "title") is not None


def test_a_result_is_drawn_and_shown(found):
    figure = found.plot()
    assert figure.axes[0].get_title().startswith("classroom-digits (2 seeds")
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_what_is_kept_is_found_again(found, call):
    folder = found.save("kept")
    assert Result.load(folder) == found
    code, out, _ = call("run", "--resume", "kept", "--json")
    assert code == 0
    assert json.loads(out)["metrics"] == found.metrics
    with pytest.raises(ConfigError, match="kept holds a run already"):
        found.save("kept")
    with pytest.raises(ConfigError, match="nothing is no folder of a run"):
        Result.load("nothing")
    with pytest.raises(ConfigError, match="kept kept no checkpoint"):
        studyhall.export("kept")


def test_a_folder_is_that_of_the_command_line(found):
    again = rollout("classroom-digits", seeds=(0, 1), steps=5, controls="mute", out="run", **SMALL)
    assert again.metrics == found.metrics
    assert {path.name for path in Path("run").iterdir()} >= {
        *("config.json", "report.json", "metrics.parquet", "curve.png", "checkpoints", "picture.png")
    }
    assert rollout(resume="run").metrics == found.metrics


def test_a_stopped_run_says_how_to_go_on_and_does(found):
    import signal

    def interrupt(live):
        signal.raise_signal(signal.SIGINT)

    asked = {"seeds": (0, 1), "steps": 5, "controls": "mute", **SMALL}
    with pytest.raises(Stopped, match="go on with: studyhall run --resume run"):
        rollout("classroom-digits", out="run", on_step=interrupt, checkpoint_every=0, **asked)
    with pytest.raises(ConfigError, match="has not ended"):
        Result.load("run")
    assert rollout(resume="run").metrics == found.metrics


def test_data_and_factories_are_given_as_they_are():
    x = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    found = rollout(
        "classroom-digits",
        data=(x, y),
        steps=3,
        seeds=0,
        controls=(),
        out="run",
        slice_size=8,
        exam_size=8,
        **SMALL,
    )
    assert found.modes == ["open"]
    assert (
        json.loads(Path("run/config.json").read_text())["scenario"]["env_kwargs"]["data"] == ["<ndarray>"] * 2
    )
    assert Result.load("run").metrics == found.metrics


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"topologie": "ring"}, UnknownName, "did you mean 'topology'"),
        ({"students": 3}, StudyhallError, "it is called 'agents' here"),
        ({"policy": "mutul"}, UnknownName, "did you mean 'mutual'"),
        ({"policy": RandomPolicy}, ConfigError, "say 'studyhall.policies.policy:RandomPolicy'"),
        ({"policy": RandomPolicy()}, ConfigError, "say 'studyhall.policies.policy:RandomPolicy'"),
        ({"policy": 5}, ConfigError, "policy must be text"),
        ({"policy_kwargs": {"lrr": 1}}, StudyhallError, "did you mean 'lr'"),
        ({"controls": "mut"}, UnknownName, "did you mean 'mute'"),
        ({"controls": ["mute", "mute"]}, ConfigError, "twice"),
        ({"device": "gpu"}, StudyhallError, "unknown device"),
        ({"seeds": ()}, ConfigError, "at least one seed"),
        ({"resume": "run"}, ConfigError, "leave out what would change it"),
        ({"controls": 5}, ConfigError, "controls are modes by name"),
        ({"policy_kwargs": [1]}, ConfigError, "policy_kwargs must be a mapping of names to values"),
        ({"policy_kwargs": {"hidden": {(1,): 2}}}, ConfigError, "policy.hidden must be a list"),
        ({"policy_kwargs": {"hidden": ["x"] * 999}}, ConfigError, "got .{80}…$"),
        ({"log": 5}, ConfigError, "log names loggers"),
        ({"out": 5}, ConfigError, "out must be a path, got 5"),
        ({"out": "a\0b"}, ConfigError, "out 'a.x00b' is no path"),
        ({"device": ""}, ConfigError, "unknown device ''"),
        ({"steps": math.nan}, ConfigError, "horizon must be a whole number"),
        ({"seeds": range(10**9)}, ConfigError, "1,000,000,000 seeds are too many"),
        (
            {"steps": 2, "out": "run", "checkpoint_every": math.nan},
            ConfigError,
            "checkpoint_every must be a number",
        ),
        (
            {"steps": 2, "out": "run", "checkpoint_every": "x"},
            ConfigError,
            "checkpoint_every must be a number",
        ),
    ],
)
def test_mistakes_are_one_line(given, error, words):
    with pytest.raises(error, match=words) as caught:
        rollout("classroom-digits", **given)
    assert "\n" not in str(caught.value)


def test_a_report_is_what_a_result_is(found):
    assert isinstance(found, Report)
    assert {field.name for field in dataclasses.fields(found)} == {f.name for f in dataclasses.fields(Report)}


def test_a_run_leaves_events_for_tensorboard(found):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found.save("kept")
    for mode in ("open", "mute"):
        events = EventAccumulator(f"kept/tensorboard/{mode}").Reload()
        curve = {event.step: event.value for event in events.Scalars("exam_accuracy/mean")}
        history = found.history().query("mode == @mode").groupby("step")["exam_accuracy"].mean()
        assert curve == pytest.approx(history.to_dict())
        (measured,) = events.Scalars("measured/mean")
        assert (measured.step, measured.value) == (5, pytest.approx(found.interval(mode, "mean").mean))


# ---- trainings ------------------------------------------------------------------------------------------


def test_a_training_by_name_prints_what_the_command_line_says():
    asked = {"updates": 2, "worlds": 1, "eval_worlds": 1, "eval_every": 1, "seed": 3}
    made = train("halves-digits", settings={"learning_rate": 0.001}, slice_size=8, out="made", **asked)
    said = str(made).splitlines()
    assert said[0].startswith(made.told())
    assert said[1] == made.command
    assert list(made.frame()["updates"]) == [0, 1, 2]
    pd.testing.assert_frame_equal(pd.read_csv("made/metrics.csv"), made.frame())
    assert "held-out" in made._repr_html_()
    command = json.loads(Path("made/config.json").read_text())["command"]
    for option in ("--updates 2", "--seed 3", "--set slice_size=8", "--set backprop.learning_rate=0.001"):
        assert option in command


def test_a_training_of_nothing_is_one_line():
    with pytest.raises(ConfigError, match="which scenario"):
        train()
    with pytest.raises(UnknownName, match="did you mean 'learning_rate'"):
        train("halves-digits", settings={"learnin_rate": 1})


# ---- notebooks ------------------------------------------------------------------------------------------


class Handle:
    def __init__(self, shown):
        self.seen = [shown]

    def update(self, shown):
        self.seen.append(shown)


@pytest.fixture
def cell(monkeypatch):
    """What IPython is to us: a shell with a kernel, and cells whose HTML can be replaced."""
    handles: list[Handle] = []

    def display(shown, display_id):
        assert display_id
        handles.append(Handle(shown))
        return handles[-1]

    ipython = types.SimpleNamespace(
        get_ipython=lambda: types.SimpleNamespace(kernel=object()),
        display=types.SimpleNamespace(display=display, HTML=str),
    )
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    return handles


def test_a_notebook_gets_one_bar(cell, capsys):
    with LiveProgress("class <1>", 100) as shown:
        for step in range(1, 101):
            shown(Live(step, 100, "exam_accuracy", 0.5, 0.6, float("nan"), 0.0, 10.0))
    (handle,) = cell
    assert 'value="0" max="100"' in handle.seen[0]
    assert "class &lt;1&gt;" in handle.seen[0]
    assert 'value="100" max="100"' in handle.seen[-1]
    assert "exam 50.0%" in handle.seen[-1]
    assert len(handle.seen) < 20
    assert capsys.readouterr() == ("", "")


NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def test_every_notebook_runs(tmp_path, monkeypatch):
    assert NOTEBOOKS
    monkeypatch.chdir(tmp_path)
    for path in NOTEBOOKS:
        cells, names = json.loads(path.read_text(encoding="utf-8"))["cells"], {"__name__": "__main__"}
        assert not any(cell.get("outputs") for cell in cells), "a notebook is committed without its outputs"
        for cell in cells:
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), path, "exec"), names)


def test_the_package_names_what_it_has():
    assert all(getattr(studyhall, name) for name in studyhall.__all__)
    with pytest.raises(AttributeError):
        studyhall.nothing  # noqa: B018


@pytest.mark.parametrize("given", [5, ["run"], "a\0b", "x" * 5000])
def test_what_is_no_path_is_one_line_wherever_it_is_given(found, given):
    calls = [
        lambda: rollout(resume=given),
        lambda: sweep(resume=given),
        lambda: train(resume=given),
        lambda: compare(given, found),
        lambda: report(given),
        lambda: report(found, out=given),
        lambda: export(given),
        lambda: export("run", out=given),
        lambda: Result.load(given),
        lambda: found.save(given),
        lambda: compare(found, found).save_plot(given),
    ]
    for place, called in enumerate(calls):
        with pytest.raises(
            ConfigError, match=r" must be a path, got | is no path that can be read "
        ) as caught:
            called()
        assert len(str(caught.value)) < 300, place
    assert not list(Path().iterdir())


def test_a_home_folder_may_be_named_by_its_sign(found, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found.save("~/kept")
    assert Result.load(tmp_path / "home" / "kept") == Result.load("~/kept") == found


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"policy_kwargs": 5}, "policy_kwargs must be a mapping of names to values, got 5"),
        ({"settings": [1]}, "settings must be a mapping of names to values"),
        ({"algorithm": 5}, "algorithm must be text, such as 'backprop', got 5"),
    ],
)
def test_what_is_no_training_is_one_line(given, words):
    with pytest.raises(ConfigError, match=words):
        train("halves-digits", **given)


def test_names_of_compared_runs_are_text(found):
    with pytest.raises(ConfigError, match="the name of a run must be text, such as 'mine', got 5"):
        compare({5: found, 6: found})
    with pytest.raises(ConfigError, match="lower must be true or false, got 'yes'"):
        compare(found, found, lower="yes")
    with pytest.raises(UnknownName, match="unknown metric of run 1 ''"):
        compare(found, found, metric="")
