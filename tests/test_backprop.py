"""ChannelTraining through the channel: what it writes, that it learns to talk, and how it stops and goes on."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from studyhall import make_world
from studyhall.envs import ConfigError
from studyhall.policies import make_policy
from studyhall.policies.messages import MessagePolicy
from studyhall.policies.messages.speech import Gumbel, Sampled
from studyhall.rollouts import rollout
from studyhall.rollouts.training.through_channel import ChannelTraining, configure, train
from studyhall.scenarios import Scenario, get_scenario, registry

VECTOR = Scenario(
    "tiny",
    "two witnesses of a vector",
    env="consensus-v0",
    policy="consensus_network",
    env_kwargs={
        "data": "vector",
        "agents": 2,
        "slice_size": 32,
        "view_noise": 0.0,
        "width": 4,
        "dimensions": 4,
    },
    policy_kwargs={"width": 16},
    seeds=(0, 1),
    controls=("mute", "shuffled"),
    training={"updates": 300, "eval_every": 100, "learning_rate": 0.01},
)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, tmp_path):
    monkeypatch.setitem(registry, "tiny", VECTOR)
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


def quick(*assignments, **options):
    return configure(VECTOR, assignments=assignments, **({"updates": 12, "eval_every": 5} | options))


def weights(training):
    return torch.cat([p.detach().flatten() for p in training.policy.parameters()])


def test_a_message_comes_to_matter(tmp_path):
    """Muted and shuffled controls fall behind what messages teach, on the very worlds."""
    found = train(configure(VECTOR), tmp_path / "run")
    assert [at // 4 // 1 for at, _ in found.evaluations] == [0, 100, 200, 300]
    report = rollout(
        Scenario(**{**vars(VECTOR), "policy": str(found.folder / "best.zip"), "policy_kwargs": {}})
    )
    score = {mode: report.metrics[mode]["score"] for mode in report.modes}
    for seed in range(2):
        assert score["open"][seed] > score["mute"][seed] + 0.1
        assert score["open"][seed] > score["shuffled"][seed] + 0.1


@pytest.mark.parametrize(
    ("name", "assignments"),
    [
        ("consensus-digits", ["vocabulary=5", "length=2", "rounds=2"]),
        ("consensus-digits", ["vocabulary=5", "policy.estimator=sampled", "slice_size=1"]),
        ("halves-digits", ["bits=6", "bound=1"]),
        ("halves-digits", ["vocabulary=6"]),
        ("halves-quadrants", ["policy.shared=true", "policy.messenger=attention", "drop=0.2"]),
        (
            "halves-digits",
            ["oracle=true", "target=place", "policy.messenger=attention", "policy.reader=batch"],
        ),
    ],
)
def test_every_form_trains(name, assignments):
    """Losses fall within a few updates, and every weight gets a gradient or has none to get."""
    worlds = 32 if "slice_size=1" in assignments else 1
    size = [] if worlds > 1 else ["slice_size=32"]
    config = configure(get_scenario(name), assignments=[*assignments, *size], worlds=worlds, updates=30)
    training = ChannelTraining(config)
    before = training.evaluate()
    start = weights(training)
    for _ in range(30):
        training.update()
    assert training.evaluate() < before
    assert (weights(training) != start).float().mean() > 0.8


def test_best_has_the_lowest_loss_on_validation_slices(monkeypatch, tmp_path):
    values = iter([3.0, 2.0, 4.0, 2.5])
    monkeypatch.setattr(ChannelTraining, "evaluate", lambda self, stop: next(values))
    found = train(quick(), tmp_path / "run")
    assert found.best == (5 * 2 * 2, 2.0)
    assert make_policy(str(found.folder / "best.zip")).about["updates"] == 5
    assert make_policy(str(found.folder / "last.zip")).about["updates"] == 12


def test_neither_training_nor_validation_sees_the_test_split(monkeypatch, tmp_path):
    seen = []
    from studyhall.envs.streams import Dataset

    inputs = Dataset.inputs
    monkeypatch.setattr(
        Dataset, "inputs", lambda self, split, index: seen.append(split) or inputs(self, split, index)
    )
    config = configure(
        get_scenario("consensus-digits"), assignments=["slice_size=4"], updates=3, eval_every=1
    )
    train(config, tmp_path / "run")
    assert set(seen) == {"stream", "exam"}


def test_what_is_trained_runs_as_it_was_validated(tmp_path):
    """The weights in the file answer as the network did."""
    training = ChannelTraining(quick())
    for _ in range(5):
        training.update()
    value = training.evaluate()
    training.save_weights(tmp_path / "mine.zip")
    policy = make_policy(str(tmp_path / "mine.zip"))
    assert isinstance(policy, MessagePolicy)
    world = make_world(
        "consensus-v0", num_worlds=8, autoreset=False, **{**VECTOR.env_kwargs, "split": "exam"}
    )
    policy.bind(world)
    obs = world.reset(seed=10_000, options={"domain": "eval"})
    policy.reset()
    while not world.ended.all():
        obs = world.step(policy.act(obs)).obs
    assert float(world.metrics()["loss"].mean()) == value


def test_a_policy_acts_alike_when_saved_between_rounds_and_when_worlds_are_reset_apart():
    kwargs = {**VECTOR.env_kwargs, "rounds": 4, "num_worlds": 3, "autoreset": False}
    world, again = make_world("consensus-v0", **kwargs), make_world("consensus-v0", **kwargs)
    policy, other = make_policy("consensus_network"), make_policy("consensus_network", seed=5)
    for one, where in ((policy, world), (other, again)):
        one.bind(where)
        where.reset(seed=0)
        one.reset()
    obs = world.obs
    for _ in range(2):
        obs = world.step(policy.act(obs)).obs
    again.load_state_dict(world.state_dict())
    other.load_state_dict(policy.state_dict())
    first, second = policy.act(world.obs), other.act(again.obs)
    assert all(torch.equal(first[key], second[key]) for key in first)
    # World 1 begins anew while the others go on, as if each were alone.
    mask = torch.tensor([False, True, False])
    world.step(first)
    world.reset(mask=mask)
    policy.reset(mask)
    mixed = policy.act(world.obs)
    fresh = make_policy("consensus_network")
    fresh.bind(again)
    again.load_state_dict(world.state_dict())
    fresh.reset()
    assert torch.equal(fresh.act(again.obs)["answer"][1], mixed["answer"][1])
    assert not torch.equal(fresh.act(again.obs)["answer"][0], mixed["answer"][0])


def test_a_training_taken_up_again_ends_the_same(tmp_path):
    whole, part = ChannelTraining(quick()), ChannelTraining(quick())
    for _ in range(12):
        whole.update()
    for _ in range(5):
        part.update()
    saved = part.state_dict()
    torch.save(saved, tmp_path / "state.pt")
    later = ChannelTraining(quick())
    later.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for _ in range(7):
        later.update()
    assert torch.equal(weights(whole), weights(later))


def test_ctrl_c_keeps_the_best_and_resume_goes_on(call, tmp_path):
    """A real process, stopped by a real signal, and taken up again from the command line."""
    script = (
        "import sys\nfrom studyhall.rollouts import cli\nfrom studyhall.scenarios import get_scenario\n"
        "cli.main(sys.argv[1:])"
    )
    command = [
        "train",
        "consensus-vector",
        "--updates",
        "4000",
        "--eval-every",
        "10",
        "--set",
        "slice_size=8",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *command, "--out", str(tmp_path / "run")],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "after 10 updates" in line:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert "stopped after" in err
    stopped = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["done"]
    assert 0 < stopped < 4000
    more = ("--updates", str(stopped + 15), "--json")
    code, out, _ = call("train", "consensus-vector", "--resume", str(tmp_path / "run"), *more)
    found = json.loads(out)
    assert code == 0
    assert found["timesteps"] == (stopped + 15) * 4 * 6
    assert found["evaluations"][0]["timesteps"] == 0


def test_its_command_trains_the_same(call):
    arguments = [
        "train",
        "tiny",
        "--updates",
        "6",
        "--seed",
        "2",
        "--set",
        "rounds=2",
        "--set",
        "policy.width=8",
    ]
    assert call(*arguments, "--set", "backprop.answers=all", "--out", "a")[0] == 0
    about = make_policy("a/last.zip").about
    assert call(*about["command"].split()[1:], "--out", "b")[0] == 0
    again = make_policy("b/last.zip")
    assert again.about["command"] == about["command"]
    files = [
        torch.cat([v.flatten() for v in make_policy(f"{name}/last.zip")._weights.values()]) for name in "ab"
    ]
    assert torch.equal(*files)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["classroom-digits", "--algo", "backprop"], "no gradient through messages"),
        (["tiny", "--timesteps", "5"], "--timesteps is no option of backprop"),
        (["society-liar-digits", "--updates", "5"], "--updates is no option of ppo"),
        (["tiny", "--set", "backprop.rate=1"], "backprop"),
        (["tiny", "--set", "backprop.schedule=step"], "schedule"),
        (["tiny", "--set", "policy.estimator=magic"], "estimator"),
        (["tiny", "--set", "policy.temperature=0"], "temperature"),
        (["tiny", "--set", "ppo.gamma=1"], "ppo.gamma"),
        (["tiny", "--set", "split=test"], "split cannot be set"),
        (["tiny", "--set", "policy.estimator=sampled", "--set", "vocabulary=4"], "--algo reinforce"),
        (["tiny", "--set", "backprop.max_grad_norm=0"], "max_grad_norm of 0"),
        (["tiny", "--cpu-seconds", "0"], "cpu_seconds of 0"),
        (["consensus-digits", "--set", "choices=true", "--set", "vocabulary=5"], "--algo ppo"),
        (["tiny", "--device", "cuda:7"], "cuda:7"),
        (["tiny", "--resume", "nowhere"], "no folder of a training"),
        (["tiny", "--resume", "a", "--out", "b"], "leave out --out"),
        (["halves-digits", "--set", "policy=consensus_network"], "give it consensus-v0"),
    ],
)
def test_errors_are_one_line(call, arguments, words):
    code, out, err = call("train", *arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert words in err


def test_a_training_that_learns_nothing_says_so(call):
    command = ("train", "tiny", "--updates", "8", "--set", "backprop.learning_rate=1e6", "--out", "run")
    code, out, _ = call(*command)
    assert code == 0
    assert out.startswith("training did not improve on its start: loss on held-out worlds ")
    found = json.loads(call("train", "--resume", "run", "--json")[1])
    assert (found["improved"], found["best_timesteps"]) == (False, 0)


def test_a_training_that_learns_says_from_where(call):
    code, out, _ = call("train", "tiny", "--updates", "40", "--eval-every", "20", "--out", "run")
    assert code == 0
    assert re.match(
        r"loss on held-out worlds \S+ after \d+ updates, from \S+ at the start; 40 updates took", out
    )
    assert json.loads(call("train", "--resume", "run", "--json")[1])["improved"] is True


def test_events_are_written_for_tensorboard(call):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    call("train", "tiny", "--updates", "20", "--eval-every", "10", "--out", "run")
    events = EventAccumulator("run/tensorboard").Reload()
    losses = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    assert [event.step for event in losses["eval/loss"]] == [0, 10, 20]
    assert [event.step for event in losses["train/loss"]] == list(range(1, 21))


def test_what_was_learnt_stays_when_a_policy_goes_to_another_world():
    training = ChannelTraining(quick())
    for _ in range(3):
        training.update()
    learnt = weights(training)
    test = make_world("consensus-v0", num_worlds=2, mode=["open", "mute"], **VECTOR.env_kwargs)
    training.policy.bind(test)
    assert torch.equal(weights(training), learnt)
    with pytest.raises(ConfigError, match="weights are of another world"):
        training.policy.bind(make_world("consensus-v0", slice_size=4))


OWN = """
from torch import nn
from studyhall.policies.messages import MessagePolicy
from studyhall.policies.messages.policy import flat_sizes

class Net(nn.Module):
    def __init__(self, view, answer, message, width):
        super().__init__()
        self.look, self.tell, self.say = nn.Linear(view, width), nn.Linear(width, message), nn.Linear(width, answer)
    def begin(self, view): return self.look(view)
    def read(self, memory, inbox, heard): return memory + inbox.sum((2, 3))[..., None]
    def write(self, memory): return self.tell(memory)
    def answer(self, memory): return self.say(memory)

class Mine(MessagePolicy):
    def __init__(self, *, units=8, **others):
        super().__init__(**others)
        self.units = units
    def make_network(self, world, generator):
        return Net(*flat_sizes(world), self.units)
"""


def test_a_policy_of_ones_own_trains_and_runs_by_its_import(call, tmp_path, monkeypatch):
    (tmp_path / "own_net.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = ("--set", "policy=own_net:Mine", "--set", "policy.units=5")
    code, out, err = call("train", "tiny", *own, "--updates", "4", "--out", "a")
    assert code == 0, err
    assert "--set policy=own_net:Mine --set policy.weights=a/best.zip" in out
    command = json.loads(Path("a/config.json").read_text())["command"]
    assert (
        command
        == "studyhall train tiny --algo backprop --updates 4 --set policy=own_net:Mine --set policy.units=5"
    )
    state = torch.random.get_rng_state()
    made = [make_policy("own_net:Mine", units=5, seed=3) for _ in range(2)]
    for policy in made:
        policy.bind(make_world("consensus-v0", **VECTOR.env_kwargs))
    assert torch.equal(*(policy.network.look.weight for policy in made))
    assert torch.equal(torch.random.get_rng_state(), state)
    code, out, err = call("run", "tiny", *own, "--set", "policy.weights=a/best.zip", "--out", "b", "--json")
    assert code == 0, err
    code, _, err = call("run", "tiny", "--set", "policy=a/best.zip", "--out", "c")  # a file imports nothing
    assert code == 2
    assert "policy.weights=a/best.zip" in err
    code, _, err = call("train", "tiny", "--set", "policy=own_net:Nobody")
    assert code == 2
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("begin", ["policy", "policy.weights"])
def test_training_goes_on_from_weights_in_a_file(tmp_path, begin):
    """By a policy's name too; what comes of it needs that file no more."""
    first = train(quick(), tmp_path / "first")
    start = first.folder / "last.zip"
    training = ChannelTraining(quick(f"{begin}={start}"))
    assert training.policy.about["updates"] == 12
    for name, value in make_policy(str(start))._weights.items():
        assert torch.equal(training.policy.network.state_dict()[name], value)
    training.save_weights(tmp_path / "second.zip")
    start.unlink()
    make_policy(str(tmp_path / "second.zip")).bind(make_world("consensus-v0", **VECTOR.env_kwargs))


def test_resume_knows_its_scenario(call):
    train(quick(updates=2), Path("a"))
    code, out, _ = call("train", "--resume", "a", "--updates", "4")
    assert code == 0
    assert "4 updates" in out
    assert call("train")[0] == 2


def test_a_training_with_idle_parameters_resumes(call):
    """Some of MiniCoMo's parameters get no gradient with a single other agent, so Adam keeps nothing of them."""
    sizes = (
        "--set",
        "slice_size=2",
        "--set",
        "backprop.schedule=constant",
        "--eval-worlds",
        "1",
        "--updates",
    )
    assert call("train", "halves-digits", *sizes, "2", "--out", "parts")[0] == 0
    assert call("train", "--resume", "parts", "--updates", "3")[0] == 0
    assert call("train", "halves-digits", *sizes, "3", "--out", "whole")[0] == 0
    parts, whole = (
        torch.load(f"{name}/checkpoint.pt", weights_only=True)["network"] for name in ("parts", "whole")
    )
    assert all(torch.equal(parts[key], whole[key]) for key in whole)


def test_weights_of_another_world_are_refused(tmp_path):
    training = ChannelTraining(quick())
    training.save_weights(tmp_path / "mine.zip")
    world = make_world("consensus-v0", slice_size=4)
    with pytest.raises(ConfigError, match="weights are of another world"):
        make_policy(str(tmp_path / "mine.zip")).bind(world)
    with pytest.raises(ConfigError, match="give it a message world"):
        make_policy(str(tmp_path / "mine.zip")).bind(make_world("classroom-v0"))


def test_reinforce_is_the_gradient_of_the_expected_cost():
    """One symbol of three: the mean of the estimates of many worlds, against the sum over all that may be said."""
    logits = torch.tensor([0.3, -0.2, 0.5], requires_grad=True)
    price = torch.tensor([1.0, 4.0, 2.0])
    (exact,) = torch.autograd.grad((logits.softmax(-1) * price).sum(), logits)
    worlds = 200_000
    speech = Sampled((1, 3), entropy=0.0)
    said = speech.say(logits.expand(worlds, 1, 1, 3), torch.arange(worlds), training=True)
    costs = (said[:, 0, 0, 0] * price).sum(-1)
    (found,) = torch.autograd.grad(speech.surrogate(costs), logits)
    assert torch.allclose(found, exact, atol=0.02)
    assert not speech.surrogate(costs).requires_grad  # what was said is forgotten


def test_gumbel_noise_is_finite_for_every_draw():
    speech = Gumbel((1, 2), 1.0)
    weights = speech.say(torch.zeros(200_000, 1, 1, 2), torch.arange(200_000), training=True)
    assert weights.isfinite().all()
    assert abs(weights[:, 0, 0, 0, 0].gt(0.5).float().mean() - 0.5) < 0.01


@pytest.mark.parametrize("name", ["minicomo", "consensus_network", "feedforward"])
def test_a_sample_never_hears_of_another(name):
    """Another view of one sample of one world changes what is said and answered about it, and nothing else."""
    id, kwargs = ("halves-v0", {"grid": (2, 2)}) if name == "minicomo" else ("consensus-v0", {})
    small = {"width": 16, "layers": 1, "tokens": 4} if name == "minicomo" else {}
    world = make_world(id, num_worlds=2, slice_size=5, rounds=2, **kwargs)
    policy = make_policy(name, **small)
    policy.bind(world)
    answers = []
    for other in (0.0, 1.0):
        obs = world.reset(seed=0)
        policy.reset()
        for _ in range(3):
            obs["own_view"][1, :, 3] += other
            actions = policy.act(obs)
            obs = world.step(actions).obs
        answers.append(actions["answer"])
    dim = 3 if name == "minicomo" else 2  # where the samples are
    changed = (answers[0] - answers[1]).abs().movedim(dim, 1).flatten(2).amax(-1) > 1e-5  # [W, B]
    assert changed.nonzero().tolist() == [[1, 3]]


def test_worlds_that_wait_keep_what_they_know():
    kwargs = {**VECTOR.env_kwargs, "rounds": 4, "num_worlds": 2, "autoreset": False}
    world, plain = make_world("consensus-v0", **kwargs), make_world("consensus-v0", **kwargs)
    policy, other = make_policy("consensus_network"), make_policy("consensus_network")
    for one, where in ((policy, world), (other, plain)):
        one.bind(where)
        where.reset(seed=0)
        one.reset()
    both, only = torch.tensor([True, True]), torch.tensor([False, True])
    world.step(policy.act(world.obs), mask=both)
    world.step(policy.act(world.obs), mask=only)  # world 0 waits
    plain.step(other.act(plain.obs))
    assert torch.allclose(policy.act(world.obs)["answer"][0], other.act(plain.obs)["answer"][0], atol=1e-6)


def test_a_scribbled_checkpoint_is_told_of_and_the_one_before_is_used(call):
    train(quick(updates=3), Path("a"))
    whole = make_policy("a/last.zip")._weights
    (Path("a") / "checkpoint.pt").write_bytes(b"scribble")
    code, _, err = call("train", "tiny", "--resume", "a", "--json")
    assert code == 0
    assert "checkpoint.pt cannot be read (its checksum is wrong): going on from the one before" in err
    assert all(torch.equal(value, whole[name]) for name, value in make_policy("a/last.zip")._weights.items())
    for name in ("checkpoint.pt", "checkpoint-before.pt"):
        (Path("a") / name).write_bytes(b"scribble")
    code, _, err = call("train", "tiny", "--resume", "a")
    assert code == 2
    assert "cannot be read" in err
    assert len(err.splitlines()) == 1
