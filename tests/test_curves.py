"""The curve that every training leaves, by reward and through the channel alike: whole, whatever stopped it."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from studyhall.envs import ConfigError
from studyhall.rollouts import cli
from studyhall.rollouts.storage.checkpoints import Checkpoints
from studyhall.rollouts.training import by_reward, through_channel
from studyhall.rollouts.training.loop import MovingAverage
from studyhall.scenarios import registry

_SOCIETY = ("agents=3", "horizon=8", "slice_size=4", "exam_size=10", "hidden=[8]", "ppo.n_steps=3")
COMMANDS = {
    "ppo": (
        *("society-liar-digits", "--timesteps", "360", "--worlds", "4", "--eval-every", "120"),
        *("--eval-worlds", "2", *(word for text in _SOCIETY for word in ("--set", text))),
    ),
    "backprop": (
        *("consensus-vector", "--updates", "30", "--eval-every", "10", "--eval-worlds", "2"),
        *("--set", "slice_size=8"),
    ),
}
FIGURES = {"ppo": ("eval/return", "train/reward"), "backprop": ("eval/loss", "train/loss")}
KINDS = {"ppo": by_reward.RewardTraining, "backprop": through_channel.ChannelTraining}


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a training that nothing stopped and what its command printed, by its algorithm; trained once."""
    made = {}

    def training(algorithm):
        if algorithm not in made:
            folder = tmp_path_factory.mktemp(algorithm) / "run"
            with (
                pytest.raises(SystemExit) as ended,
                contextlib.redirect_stdout(io.StringIO()) as said,
                contextlib.redirect_stderr(io.StringIO()),
            ):
                cli.main(["train", *COMMANDS[algorithm], "--out", str(folder), "--json"])
            assert not ended.value.code
            made[algorithm] = folder, json.loads(said.getvalue())
        return made[algorithm]

    return training


def rows(folder):
    """The curve without wall time, which is another in every training."""
    lines = (Path(folder) / "metrics.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def drawn(folder):
    return matplotlib.image.imread(Path(folder) / "curve.png")


def scalars(folder, tag):
    events = EventAccumulator(str(Path(folder) / "tensorboard")).Reload()
    return {event.step: event.value for event in events.Scalars(tag)}


@pytest.mark.parametrize("algorithm", COMMANDS)
def test_every_training_leaves_its_curve(whole, algorithm):
    folder, found = whole(algorithm)
    curve = rows(folder)
    held_out, trained = FIGURES[algorithm]
    told = [(entry["timesteps"], entry[held_out.partition("/")[2]]) for entry in found["evaluations"]]
    assert [(row["timesteps"], row[held_out]) for row in curve] == told
    assert trained not in curve[0]  # nothing is trained yet
    assert all(isinstance(row[trained], float) for row in curve[1:])
    unit = "updates" if algorithm == "backprop" else "timesteps"
    expected = {row[unit]: pytest.approx(row[held_out], rel=1e-6) for row in curve}
    assert scalars(folder, held_out) == expected
    assert len(scalars(folder, trained)) >= len(curve) - 1
    assert drawn(folder).std() > 0


@pytest.mark.parametrize("algorithm", COMMANDS)
def test_a_training_that_goes_on_has_the_whole_curve(call, whole, monkeypatch, algorithm):
    """Stopped in the middle of an evaluation, which is then made anew."""
    folder, _ = whole(algorithm)
    evaluate, calls = KINDS[algorithm].evaluate, []

    def stop_at_the_third(self, stop=lambda: False):
        calls.append(None)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return evaluate(self, stop)

    with monkeypatch.context() as patch:
        patch.setattr(KINDS[algorithm], "evaluate", stop_at_the_third)
        assert call("train", *COMMANDS[algorithm], "--out", "parts")[0] == 130
    assert rows("parts") == rows(folder)[:2]
    (Path("parts") / "metrics.jsonl").write_text("anything\n")  # written, and never read
    assert call("train", "--resume", "parts")[0] == 0
    assert rows("parts") == rows(folder)
    assert (drawn("parts") == drawn(folder)).mean() > 0.99
    assert scalars("parts", FIGURES[algorithm][0]) == scalars(folder, FIGURES[algorithm][0])


@pytest.mark.slow  # a process each; what is stopped within one goes on as above
@pytest.mark.parametrize("algorithm", COMMANDS)
def test_a_killed_training_leaves_a_curve_and_goes_on_with_it(call, whole, algorithm):
    """Killed as soon as its second evaluation is told of, wherever it is by then."""
    script = "import sys\nfrom studyhall.rollouts import cli\ncli.main(sys.argv[1:])"
    with subprocess.Popen(
        [sys.executable, "-c", script, "train", *COMMANDS[algorithm], "--out", "killed"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
    ) as process:
        assert process.stderr is not None
        told = (line for line in process.stderr if "held-out worlds" in line)
        next(told), next(told)
        process.kill()
    assert 2 <= len(rows("killed")) <= 4
    assert call("train", "--resume", "killed")[0] == 0
    assert rows("killed") == rows(whole(algorithm)[0])


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """The configuration and the folder of a short training, to copy."""
    config = through_channel.configure(
        registry["consensus-vector"], assignments=["slice_size=8"], updates=2, eval_worlds=1
    )
    folder = tmp_path_factory.mktemp("short") / "run"
    through_channel.train(config, folder)
    return config, folder


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("curve"),
        lambda state: state.update(curve=3),
        lambda state: state["curve"].append({}),
        lambda state: state["curve"][0].update(timesteps=0.5),
        lambda state: state["curve"][0].update({"eval/loss": "low"}),
        lambda state: state["curve"][0].pop("updates"),
        lambda state: state["curve"][0].update({3: 3.0}),
        lambda state: state.update(figures={"train/loss": None}),
    ],
)
def test_a_crafted_curve_is_one_line(short, tmp_path, change):
    config, folder = short
    shutil.copytree(folder, tmp_path / "run")
    checkpoints = Checkpoints(tmp_path / "run", config.decides, "train anew")
    state = checkpoints.read("cpu")
    change(state)
    checkpoints.write(state)
    with pytest.raises(ConfigError, match="does not fit") as caught:
        through_channel.train(config, tmp_path / "run", resume=True)
    assert "\n" not in str(caught.value)


def test_a_moving_average_is_right_from_its_first_value_on():
    average = MovingAverage(0.1)
    assert average.value != average.value
    average.add(3.0)
    assert average.value == pytest.approx(3.0)
    average.add(5.0)
    assert average.value == pytest.approx((0.9 * 3 + 5) / 1.9)
