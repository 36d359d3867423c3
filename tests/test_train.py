"""Training from the command line: what it writes, what it prints, what it refuses, and how it stops."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from stable_baselines3 import PPO

from studyhall.envs.errors import StudyhallError
from studyhall.policies import make_policy
from studyhall.policies.listening.learned import LearnedPolicy
from studyhall.rollouts import rollout
from studyhall.rollouts.reports.figures import figure
from studyhall.rollouts.train import TrainConfig, configure, make_model, train
from studyhall.rollouts.training import by_reward as training
from studyhall.scenarios import Scenario, registry

WORLD = {"learners": "mlp", "hidden": [8], "agents": 3, "horizon": 8, "slice_size": 4, "exam_size": 10}
SCENARIO = Scenario("tiny", "a small society", env="society-v0", policy="random", env_kwargs=WORLD)
QUICK = ("--timesteps", "96", "--worlds", "4", "--eval-every", "48", "--set", "ppo.n_steps=4")


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, tmp_path):
    monkeypatch.setitem(registry, "tiny", SCENARIO)
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a training that has ended."""
    folder = tmp_path_factory.mktemp("trained") / "mine"
    train(quick(), folder)
    return folder


@pytest.fixture
def mine(trained, tmp_path):
    """A copy of it, called ``mine``, in the folder where commands run."""
    return shutil.copytree(trained, tmp_path / "mine")


def quick(**options):
    return configure(
        SCENARIO, assignments=["ppo.n_steps=4"], **{"timesteps": 96, "worlds": 4, "eval_every": 48} | options
    )


def test_train_writes_policies_that_run(call, tmp_path):
    code, out, err = call("train", "tiny", *QUICK, "--out", "mine", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["timesteps"] == 96
    assert [entry["timesteps"] for entry in found["evaluations"]] == [0, 48, 96]
    assert err.splitlines() == [
        f"studyhall: return on held-out worlds {figure(entry['return'])} after {entry['timesteps']} agent-steps"
        for entry in found["evaluations"]
    ]
    assert found["best_return"] == max(entry["return"] for entry in found["evaluations"])
    assert not found["stopped"]
    folder = tmp_path / "mine"
    config = json.loads((folder / "config.json").read_text())
    assert config["settings"]["n_steps"] == 4
    assert config["scenario"]["env_kwargs"] == WORLD
    assert list(folder.glob("tensorboard/events*"))
    assert not list(folder.glob("*.part"))
    for name in ("best", "last"):
        policy = LearnedPolicy(found[name])
        assert policy.about["command"] == config["command"]
        assert policy.world_kwargs == {"actions": "listen"}
        PPO.load(found[name], device="cpu")
    assert LearnedPolicy(found["best"]).about["timesteps"] == found["best_timesteps"]
    assert LearnedPolicy(found["last"]).about["timesteps"] == 96


def test_a_trained_policy_runs_by_path(trained):
    path = str(trained / "best.zip")
    assert isinstance(make_policy(path), LearnedPolicy)
    again = rollout(Scenario("again", "", env="society-v0", policy=path, env_kwargs=WORLD | {"agents": 5}))
    assert 0 <= again.metrics["open"]["mean"][0] <= 1


def test_train_says_what_to_do_next(call):
    code, out, _ = call("train", "tiny", *QUICK)
    assert code == 0
    assert "studyhall run tiny --set policy=runs/tiny-ppo-1/best.zip" in out
    assert "return on held-out worlds" in out
    assert call("train", "tiny", *QUICK)[0] == 0  # the next free folder


def test_its_command_trains_the_same(call):
    """The command in the file repeats the training to the bit."""
    call(
        "train",
        "tiny",
        *QUICK,
        "--seed",
        "3",
        "--set",
        "ppo.gamma=0.9",
        "--set",
        "byte_price=0.5",
        "--out",
        "a",
    )
    command = LearnedPolicy("a/last.zip").about["command"].split()
    assert command[:3] == ["studyhall", "train", "tiny"]
    assert call(*command[1:], "--out", "b")[0] == 0
    first, second = (LearnedPolicy(f"{name}/last.zip") for name in "ab")
    assert first.about == second.about
    for ours, theirs in zip(first.scorer.parameters(), second.scorer.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_best_is_the_best(monkeypatch, tmp_path):
    values = iter([2.0, 3.0, 5.0, 4.0, 4.5])
    monkeypatch.setattr(training.Evaluation, "__call__", lambda self, model, stop: next(values))
    found = train(quick(timesteps=192), tmp_path / "run")
    assert [value for _, value in found.evaluations] == [2.0, 3.0, 5.0, 4.0, 4.5]
    assert found.best == (96, 5.0)
    best = LearnedPolicy(str(tmp_path / "run" / "best.zip"))
    assert (best.about["timesteps"], best.about["eval_return"]) == (96, 5.0)


def test_evaluation_is_on_held_out_worlds_and_always_the_same():
    model = make_model(quick())
    evaluation = training.Evaluation(quick())
    first = evaluation(model, lambda: False)
    assert evaluation.world.domain == "eval"
    assert evaluation(model, lambda: False) == first
    assert evaluation(make_model(quick(seed=1)), lambda: False) != first


def test_evaluation_keeps_off_the_worlds_that_runs_measure():
    """A best policy chosen on the worlds that its claims are measured on would choose its own claims."""
    evaluation = training.Evaluation(quick(eval_worlds=5))
    evaluation(make_model(quick()), lambda: False)
    held_out = set(evaluation.world.seeds.tolist())
    assert evaluation.world.domain == "eval"
    assert len(held_out) == 5
    assert min(held_out) >= 10_000
    assert all(held_out.isdisjoint(scenario.seeds) for scenario in registry.values())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"eval_every": 0}, "eval_every must be a whole number of at least 1, got 0"),
        ({"worlds": 0}, "worlds must be"),
        ({"timesteps": 0.5}, "timesteps must be"),
        ({"threads": True}, "threads must be"),
        ({"eval_worlds": -1}, "eval_worlds must be"),
        ({"seed": -1}, "seed must be"),
        ({"seed": 2**32}, "seed must be"),
        ({"algorithm": "pp"}, "unknown algorithm 'pp': did you mean 'ppo'"),
        ({"algorithm": "a2c"}, "settings of a2c are A2CSettings, got PPOSettings"),
    ],
)
def test_configs_are_checked(fields, words):
    with pytest.raises(StudyhallError, match=words):
        TrainConfig(SCENARIO, **fields)


def test_a_factory_of_learners_is_trained_with_and_named(tmp_path):
    def my_factory():
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))

    scenario = dataclasses.replace(SCENARIO, env_kwargs=WORLD | {"learners": my_factory})
    config = dataclasses.replace(quick(timesteps=48), scenario=scenario)
    found = train(config, tmp_path / "run")
    assert found.timesteps == 48
    written = json.loads((tmp_path / "run" / "config.json").read_text())
    assert written["scenario"]["env_kwargs"]["learners"] == "<my_factory>"
    assert "<my_factory>" in written["command"]
    about = LearnedPolicy(str(tmp_path / "run" / "best.zip")).about
    assert about["env_kwargs"]["learners"] == "<my_factory>"
    assert about["command"] == written["command"]


def test_the_command_names_what_is_no_default():
    assert quick(threads=1, eval_worlds=16).command == quick().command
    assert "--threads" not in quick().command
    assert "--threads 2 --eval-worlds 3" in quick(threads=2, eval_worlds=3).command


def test_the_number_of_held_out_worlds_can_be_chosen(call):
    assert call("train", "tiny", *QUICK, "--eval-worlds", "3", "--out", "few")[0] == 0
    assert "--eval-worlds 3" in LearnedPolicy("few/best.zip").about["command"]
    assert json.loads(Path("few/config.json").read_text())["eval_worlds"] == 3


@pytest.mark.parametrize("after", [0, 1])
def test_ctrl_c_keeps_the_best(call, monkeypatch, after):
    """Stopped before anything was evaluated, and after it."""
    evaluate, values = training.Evaluation.__call__, []

    def then_stop(self, model, stop):
        if len(values) == after:
            signal.raise_signal(signal.SIGINT)
        values.append(evaluate(self, model, stop))
        return values[-1]

    monkeypatch.setattr(training.Evaluation, "__call__", then_stop)
    code, out, err = call("train", "tiny", *QUICK, "--timesteps", "480", "--out", "mine", "--json")
    assert code == 130
    assert "studyhall train --resume mine" in err
    found = json.loads(out)
    assert found["stopped"]
    assert len(found["evaluations"]) == after
    assert found["timesteps"] < 480
    for name in ("best", "last"):
        assert LearnedPolicy(found[name]).about["algorithm"] == "PPO"


# ---- taken up again -------------------------------------------------------------------------------------


def same_training(first, second):
    """Whether two folders hold the same policies, bit for bit, and what came of them is the same."""
    for name in ("best", "last"):
        one, other = (LearnedPolicy(f"{found['folder']}/{name}.zip") for found in (first, second))
        assert one.about == other.about
        for ours, theirs in zip(one.scorer.parameters(), other.scorer.parameters(), strict=True):
            assert torch.equal(ours, theirs)
    for key in ("evaluations", "best_timesteps", "best_return", "timesteps", "stopped"):
        assert first[key] == second[key]


@pytest.mark.parametrize("algorithm", ["ppo", pytest.param("a2c", marks=pytest.mark.slow)])
def test_a_stopped_training_ends_as_if_it_had_never_stopped(call, monkeypatch, algorithm):
    """Stopped in the middle of an evaluation, which is then made anew."""
    arguments = (
        "train",
        "tiny",
        "--algo",
        algorithm,
        "--timesteps",
        "240",
        "--worlds",
        "4",
        "--eval-every",
        "96",
    )
    arguments = (*arguments, "--set", f"{algorithm}.n_steps=3", "--json")  # episodes have 8 steps
    whole = json.loads(call(*arguments, "--out", "whole")[1])
    evaluate, calls = training.Evaluation.__call__, []

    def stop_at_the_second(self, model, stop):
        calls.append(None)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return evaluate(self, model, stop)

    with monkeypatch.context() as patch:
        patch.setattr(training.Evaluation, "__call__", stop_at_the_second)
        code, out, _ = call(*arguments, "--out", "parts")
    assert code == 130
    assert 0 < json.loads(out)["timesteps"] < 240
    code, out, _ = call("train", "tiny", "--resume", "parts", "--json")
    assert code == 0
    same_training(json.loads(out), whole)
    same_training(
        json.loads(call("train", "tiny", "--resume", "parts", "--json")[1]), whole
    )  # nothing is left


@pytest.mark.slow  # two processes; what is stopped within one goes on as above
def test_ctrl_c_in_a_process_and_resume(call, tmp_path):
    """A real signal, wherever it comes, to a training with learners in its worlds."""
    small = ["agents=3", "horizon=8", "slice_size=4", "exam_size=10", "hidden=[8]", "ppo.n_steps=3"]
    command = [
        "train",
        "society-liar-digits",
        "--timesteps",
        "720",
        "--worlds",
        "4",
        "--eval-every",
        "240",
        "--eval-worlds",
        "4",
        "--json",
    ]
    command += [word for text in small for word in ("--set", text)]
    process = subprocess.Popen(
        [sys.executable, "-m", "studyhall", *command, "--out", "parts"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
    )
    while not (tmp_path / "parts" / "checkpoint.pt").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, err
    assert json.loads(out)["timesteps"] < 720
    found = json.loads(call("train", "society-liar-digits", "--resume", "parts", "--json")[1])
    same_training(found, json.loads(call(*command, "--out", "whole")[1]))


@pytest.mark.usefixtures("mine")
def test_more_timesteps_go_on_from_the_end(call):
    code, out, _ = call("train", "tiny", "--resume", "mine", "--timesteps", "144", "--json")
    found = json.loads(out)
    assert code == 0
    assert [entry["timesteps"] for entry in found["evaluations"]] == [0, 48, 96, 144]


@pytest.mark.usefixtures("mine")
def test_what_cannot_be_taken_up_again(call, tmp_path):
    def says(*arguments):
        code, out, err = call("train", *arguments)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        return err

    assert "leave out --set" in says("tiny", "--resume", "mine", "--set", "agents=4")
    assert "leave out --out" in says("tiny", "--resume", "mine", "--out", "other")
    assert "is a training of tiny, not of society-liar-digits" in says(
        "society-liar-digits", "--resume", "mine"
    )
    assert "by ppo, not by a2c" in says("tiny", "--algo", "a2c", "--resume", "mine")
    assert "no config.json" in says("tiny", "--resume", "nowhere")
    assert "leave out --worlds" in says("tiny", "--resume", "mine", "--worlds", "3")
    for name in ("checkpoint.pt", "checkpoint-before.pt"):
        path = tmp_path / "mine" / name
        path.write_bytes(path.read_bytes()[:-100])
    assert "checkpoint.pt cannot be read" in says("tiny", "--resume", "mine")
    (tmp_path / "mine" / "config.json").write_text('{"algorithm": "ppo"}')
    assert "config.json is not what studyhall writes" in says("tiny", "--resume", "mine")


def test_a2c(call):
    code, out, _ = call(
        "train",
        "tiny",
        "--algo",
        "a2c",
        "--timesteps",
        "48",
        "--worlds",
        "4",
        "--set",
        "a2c.n_steps=2",
        "--json",
    )
    assert code == 0
    assert LearnedPolicy(json.loads(out)["last"]).about["algorithm"] == "A2C"


@pytest.mark.parametrize("rows", [2, 7, 48, 1000])
def test_minibatches_divide_what_was_collected(rows):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = make_model(
            configure(SCENARIO, assignments=["ppo.n_steps=4", f"ppo.batch_size={rows}"], worlds=4)
        )
    assert 48 % model.batch_size == 0
    assert model.batch_size == {2: 2, 7: 6, 48: 48, 1000: 48}[rows]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tiny", "--algo", "sac"], ["'sac'", "ppo or a2c", "replay"]),
        (["tinny"], ["tinny", "'tiny'"]),
        (["tiny", "--set", "ppo.gama=1"], ["gama", "'gamma'"]),
        (["tiny", "--set", "ppo.gamma=2"], ["gamma", "between 0 and 1", "2"]),
        (["tiny", "--set", "ppo.width=0.5"], ["width", "whole number"]),
        (["tiny", "--set", "ppo.n_steps=all"], ["n_steps", "whole number", "'all'"]),
        (["tiny", "--set", "a2c.gamma=0.5"], ["a2c.gamma", "ppo.gamma"]),
        (["tiny", "--set", "policy=mean"], ["policy", "training makes the policy"]),
        (["tiny", "--set", "agnets=4"], ["agnets", "'agents'"]),
        (["targets"], ["train takes actions=listen, gated or discrete"]),
        (["society-liar-digits", "--set", "actions=targets"], ["train takes actions=listen"]),
        (["tiny", "--set", "ppo.batch_size=1"], ["batch_size", "at least 2"]),
        (["classroom-digits"], ["classroom-digits does not host its learners: add --set learners=mlp"]),
        (["tiny", "--out", "file"], ["cannot write to file", "--out"]),
        (["tiny", "--out", "held"], ["held", "is not empty (it holds best.zip)"]),
    ],
)
def test_errors_are_one_line(call, tmp_path, monkeypatch, arguments, words):
    targets = dataclasses.replace(SCENARIO, name="targets", env_kwargs=WORLD | {"actions": "targets"})
    monkeypatch.setitem(registry, "targets", targets)
    (tmp_path / "file").touch()
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "best.zip").touch()
    code, out, err = call("train", *arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert all(word in err for word in words), err
    assert not (tmp_path / "runs").exists()
