"""Weights & Biases and MLflow are told what runs and trainings find, offline too; a run that goes on is told whole."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from studyhall import rollout, sweep, train
from studyhall.envs.errors import ConfigError, StudyhallWarning
from studyhall.rollouts import Rollout, Stopped
from studyhall.rollouts.reports import loggers
from studyhall.rollouts.runs.launch import launch
from studyhall.rollouts.runs.run_folder import RunConfig
from studyhall.scenarios import Scenario

SWARM = Scenario("tiny", "", "swarm-v0", "pso", env_kwargs={"agents": 3, "horizon": 4}, measure_at=(2,))


class Told(loggers.Log):
    """Keeps what it is told, of all runs."""

    runs: list[SimpleNamespace]

    def __init__(self, name, group, config, folder):
        self.run = SimpleNamespace(
            name=name, group=group, config=config, folder=folder, told=[], measured={}, failed=None
        )
        Told.runs.append(self.run)

    def tell(self, step, figures):
        assert all(map(math.isfinite, figures.values()))
        self.run.told.append((step, figures))

    def measure(self, step, figures):
        self.run.measured |= {f"{name}@{step}": value for name, value in figures.items()}

    def close(self, *, failed):
        self.run.failed = failed


@pytest.fixture
def told(monkeypatch):
    """The runs of a logger that is called "json", as a library that is there is."""
    monkeypatch.setitem(loggers.LOGGERS, "json", Told)
    Told.runs = []
    return Told.runs


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_each_mode_of_a_run_is_told_its_curve_and_what_was_measured(told):
    found = rollout(SWARM, controls="mute", log="json")
    assert [run.name for run in told] == ["tiny open", "tiny mute"]
    for run, mode in zip(told, ("open", "mute"), strict=True):
        assert run.failed is False
        assert run.config["mode"] == mode
        assert run.config["env_kwargs"]["horizon"] == 4
        means = [figures["return/mean"] for _, figures in run.told]
        assert [step for step, _ in run.told] == [1, 2, 3, 4]
        curve = [sum(agents) / 3 for (agents,) in found.curves[mode]]
        assert means == pytest.approx(curve)
        assert run.measured["measured/best@4"] == pytest.approx(found.metrics[mode]["best"][0])
        assert run.measured["measured/best@2"] == pytest.approx(found.metrics[mode]["best@2"][0])


def test_a_run_that_goes_on_is_told_whole(told, tmp_path, monkeypatch):
    whole = Rollout.run

    def stopped(self, **options):
        return whole(self, **(options | {"stop": lambda: self.done >= 2}))

    config = RunConfig(scenario=SWARM, seeds=(0,), device="cpu", threads=1)
    monkeypatch.setattr(Rollout, "run", stopped)
    with pytest.raises(Stopped):
        launch(config, tmp_path / "run", (), 20.0, log=loggers.loggers_of("json"))
    monkeypatch.setattr(Rollout, "run", whole)
    rollout(resume=tmp_path / "run", log="json")
    first, second = told
    assert [step for step, _ in first.told] == [1, 2]
    assert first.failed
    assert not first.measured
    assert [step for step, _ in second.told] == [1, 2, 3, 4]
    assert second.measured


def test_a_training_is_told_its_curve_and_one_that_goes_on_is_told_whole(told, tmp_path):
    small = {"agents": 2, "rounds": 1, "policy_kwargs": {"width": 4}, "worlds": 1, "eval_worlds": 1}
    begun = train("consensus-digits", updates=2, eval_every=1, out=tmp_path / "trained", log="json", **small)
    train(resume=tmp_path / "trained", updates=3, log=["json"])
    first, second = told
    assert first.name == "trained"
    assert first.config["scenario"]["name"] == "consensus-digits"
    losses = {step: figures["eval/loss"] for step, figures in first.told if "eval/loss" in figures}
    assert losses == {row["updates"]: row["eval/loss"] for row in begun.curve}
    assert {step: f["eval/loss"] for step, f in second.told if "eval/loss" in f} == {
        **losses,
        3: second.told[-1][1]["eval/loss"],
    }
    steps = [step for step, _ in second.told]
    assert steps == sorted(steps)


SWEPT = ("swarm-ackley-30d", "--steps", "3", "--seeds", "0-1", "--set", "agents=3", "--set", "policy=pso")


def test_each_point_of_a_sweep_is_told_in_one_group(told, call, tmp_path):
    code, _, err = call(
        *("sweep", *SWEPT, "--set", "topology=ring,complete", "--controls", "mute"),
        *("--out", "swept", "--log", "json"),
    )
    assert code == 0, err
    points = ("001-topology=ring", "002-topology=complete")
    assert [run.name for run in told] == [f"{point} {mode}" for point in points for mode in ("open", "mute")]
    assert {run.group for run in told} == {"swept"}
    assert [run.config["env_kwargs"]["topology"] for run in told[::2]] == ["ring", "complete"]
    assert [run.folder.name for run in told[::2]] == list(points)
    for run, found in zip(told[::2], sweep(resume="swept").points(), strict=True):
        assert [step for step, _ in run.told] == [1, 2, 3]
        best = found.metrics["open"]["best"]
        assert run.measured["measured/best@3"] == pytest.approx(sum(best) / len(best))


def test_a_sweep_that_goes_on_tells_what_was_still_to_do(told, monkeypatch):
    whole = Rollout.run

    def stopped(self, **options):
        return whole(self, **(options | {"stop": lambda: self.scenario.env_kwargs["topology"] != "ring"}))

    monkeypatch.setattr(Rollout, "run", stopped)
    with pytest.raises(Stopped):
        sweep(SWARM, topology=["ring", "complete"], seeds=0, out="swept", log="json")
    monkeypatch.setattr(Rollout, "run", whole)
    sweep(resume="swept", log=["json"])
    first, second, again = (run.name.removesuffix(" open") for run in told)
    assert (first, second) == ("001-topology=ring", again)
    assert [run.failed for run in told] == [False, True, False]
    assert [step for step, _ in told[-1].told] == [1, 2, 3, 4]


TRAINED = (
    *("train", "consensus-digits", "--updates", "1", "--worlds", "1", "--eval-worlds", "1", "--seeds", "0,5"),
    *("--set", "agents=2", "--set", "rounds=1", "--set", "policy.width=4", "--out", "trained"),
)


def test_each_training_of_several_seeds_is_told_in_one_group(told, call):
    code, _, err = call(*TRAINED, "--log", "json")
    assert code == 0, err
    assert [(run.name, run.group) for run in told] == [("001-seed=0", "trained"), ("002-seed=5", "trained")]
    assert [run.config["seed"] for run in told] == [0, 5]
    found = sweep(resume="trained").points()[0].metrics["held-out"]["loss"]
    assert [min(f["eval/loss"] for _, f in run.told if "eval/loss" in f) for run in told] == found


def test_a_run_outlives_its_logger(told, monkeypatch):
    def lost(self, step, figures):
        raise OSError("the network is gone")

    monkeypatch.setattr(Told, "tell", lost)
    with pytest.warns(StudyhallWarning, match=r"json cannot log any more \(the network is gone\)") as warned:
        found = rollout(SWARM, log="json")
    assert len(warned) == 1
    assert found.steps == [1, 2, 3, 4]


def test_what_is_wrong_in_a_logger_itself_is_not_hidden(told, monkeypatch):
    def wrong(self, step, figures):
        raise AttributeError("no such method")

    monkeypatch.setattr(Told, "tell", wrong)
    with pytest.raises(AttributeError, match="no such method"):
        rollout(SWARM, log="json")


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """Both libraries, told to keep to this folder."""
    for library in ("wandb", "mlflow"):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed: pip install 'studyhall[{library}]'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # quicker than a database
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlflow").as_uri())
    import wandb

    wandb.teardown()  # settings of the environment are read once otherwise


def _kept_by_mlflow():
    """A client of MLflow, and the runs that it finds, by their names."""
    from mlflow import MlflowClient

    client = MlflowClient()
    runs = client.search_runs([client.get_experiment_by_name("studyhall").experiment_id])
    return client, {run.info.run_name: run for run in runs}


@pytest.mark.usefixtures("offline")
def test_wandb_and_mlflow_keep_figures_without_a_network(tmp_path):
    found = rollout(SWARM, log=["wandb", "mlflow"])

    (kept,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    assert b"return/mean" in kept.read_bytes()
    client, runs = _kept_by_mlflow()
    (run,) = runs.values()
    assert (run.info.run_name, run.info.status) == ("tiny open", "FINISHED")
    assert run.data.params["env_kwargs.horizon"] == "4"
    history = client.get_metric_history(run.info.run_id, "measured/best")
    assert {point.step: point.value for point in history} == pytest.approx(
        {2: found.metrics["open"]["best@2"][0], 4: found.metrics["open"]["best"][0]}
    )


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("command", "names"),
    [
        (
            ("sweep", *SWEPT, "--set", "topology=ring,complete", "--controls", "none", "--out", "swept"),
            {
                "001-topology=ring": "001-topology=ring open",
                "002-topology=complete": "002-topology=complete open",
            },
        ),
        (TRAINED, {"001-seed=0": "001-seed=0", "002-seed=5": "002-seed=5"}),
    ],
    ids=["sweep", "train --seeds"],
)
def test_sweeps_are_kept_as_groups_without_a_network(command, names, call, tmp_path):
    code, _, err = call(*command, "--log", "wandb", "--log", "mlflow")
    assert code == 0, err
    folder = tmp_path / command[command.index("--out") + 1]
    _, runs = _kept_by_mlflow()
    assert set(runs) == set(names.values())
    for place, name in names.items():
        (kept,) = (folder / place / "wandb").glob("offline-run-*/run-*.wandb")
        assert folder.name.encode() in kept.read_bytes()
        assert runs[name].data.tags["group"] == folder.name
        assert runs[name].info.status == "FINISHED"
        assert runs[name].data.metrics


def test_a_logger_that_cannot_be_had_is_one_line(call, monkeypatch):
    code, _, err = call("run", "swarm-ackley-30d", "--log", "wandbb")
    assert (code, err) == (2, "studyhall: unknown logger 'wandbb': did you mean 'wandb'?\n")
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mlflow" else there(name))
    for command in ("run", "sweep", "train"):
        code, _, err = call(command, "swarm-ackley-30d", "--log", "mlflow")
        assert (code, err) == (
            2,
            "studyhall: --log mlflow needs its library: pip install 'studyhall[mlflow]'\n",
        )


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("name", "variable", "value", "words"),
    [
        ("wandb", "WANDB_PROJECT", "a/b", "Invalid project name"),
        ("wandb", "WANDB_MODE", "of line", "validation error"),
        ("mlflow", "MLFLOW_TRACKING_URI", "nowhere://x", "unsupported URI"),
        ("mlflow", "MLFLOW_TRACKING_URI", "sqlite:///none.db", "not a database"),
    ],
)
def test_settings_that_a_logger_cannot_use_are_one_line(name, variable, value, words, monkeypatch):
    Path("none.db").write_text("nothing that SQLite knows\n" * 100)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=f"^{name} cannot log: .*{words}.*$"):
        rollout(SWARM, log=name)
