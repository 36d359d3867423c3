"""Policies on suites: what is measured is kept, scored between floor and ceiling, and never measured twice."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch

from studyhall import evaluate
from studyhall.envs.errors import ConfigError, DataError, UnknownName
from studyhall.envs.hosted.sources import FEATURES, OWN_FEATURES
from studyhall.policies import make_policy
from studyhall.policies.files import trained
from studyhall.policies.listening.tournament import Tournament
from studyhall.rollouts.reports.evaluations import Evaluation
from studyhall.rollouts.training import for_suites
from studyhall.rollouts.training.for_suites import configure
from studyhall.rollouts.training.reinforcement import Batch, ReinforcementConfig, learn, matters, reinforce
from studyhall.scenarios import Suite, Task, get_suite, suites

_SMALL = {"learners": "mlp", "hidden": (8,), "slice_size": 4, "exam_size": 10, "horizon": 3}
TASKS = (
    Task(
        "society",
        "three experts",
        "society-v0",
        _SMALL | {"agents": 3, "liars": 1, "liar_kinds": ("roll",)},
        quick=True,
    ),
    Task("class", "two students", "classroom-v0", _SMALL | {"agents": 2, "teacher_budget": 1}, held_out=True),
)
SUITE = Suite(
    "small-v1", "small", TASKS, seeds=tuple(range(30, 40)), worlds=2, quick_worlds=1, floor="listen_nobody"
)


@pytest.fixture(autouse=True)
def _scales(tmp_path, monkeypatch):
    """Floors of 10 and ceilings of 60 per cent."""
    scale = {"floor": 0.1, "ceiling": 0.6, "by": "mean", "worlds": 2, "provisional": True}
    monkeypatch.setattr(suites, "FROZEN", tmp_path)
    (tmp_path / "small-v1.json").write_text(json.dumps({task.name: scale for task in TASKS}))


def entry(**accuracies) -> dict:
    """An entry of these accuracies, one a world."""
    found = {name: {"accuracy": values, "score": values} for name, values in accuracies.items()}
    return {"policy": "it", "seeds": list(range(len(next(iter(accuracies.values()))))), "tasks": found}


def test_a_task_is_scored_between_its_floor_and_its_ceiling():
    found = Evaluation.of(SUITE, entry(society=[0.35, 0.6], **{"class": [0.0, 0.1]}))
    by_name = {of.task.name: of for of in found.tasks}
    assert by_name["society"].score == pytest.approx(75)
    assert by_name["society"].worst == pytest.approx(50)
    assert by_name["class"].score == 0, "worse than alone is worth nothing, and no less"
    assert found.mean.value == pytest.approx(37.5)
    assert (found.worst_task.value, found.worst_worlds.value) == (0, 0)
    assert found.held_out.value == 0
    above = dict(zip(found.thresholds, found.profile, strict=True))
    assert (above[0], above[45], above[50]) == (0.5, 0.5, 0.25)
    assert "class *" in str(found)
    assert "*: held out" in str(found)
    assert "*" not in str(Evaluation.of(SUITE, entry(society=[0.35, 0.6])))


def test_the_worst_tenth_shows_what_the_mean_hides():
    fine, lost = [0.6] * 20, [0.6] * 18 + [0.1] * 2
    found = Evaluation.of(SUITE, entry(society=fine, **{"class": lost}))
    assert found.mean.value == pytest.approx(95)
    assert found.worst_worlds.value == pytest.approx(50)
    assert found.tasks[1].worst == pytest.approx(0)


def test_worlds_are_drawn_within_their_task():
    """Tasks that differ much, each with worlds that hardly do, leave a narrow interval."""
    close = np.random.default_rng(0).normal(0, 0.005, (2, 20))
    found = Evaluation.of(
        SUITE, entry(society=(0.2 + close[0]).tolist(), **{"class": (0.5 + close[1]).tolist()})
    )
    assert found.mean.low < 50 < found.mean.high
    assert found.mean.high - found.mean.low < 1


def test_what_was_measured_is_kept_and_not_measured_again(tmp_path):
    out = tmp_path / "mean.json"
    first = evaluate("mean", SUITE, tasks=["class"], out=out)
    held = json.loads(out.read_text())
    assert held["tasks"].keys() == {"class"}
    assert (held["seeds"], held["policy_digest"]) == ([30, 31], None)
    assert held["scores"]["tasks"]["class"]["score"] == first.tasks[0].score
    held["tasks"]["class"]["accuracy"] = [0.25, 0.35]
    out.write_text(json.dumps(held))
    found = evaluate("mean", SUITE, out=out)
    assert found.entry["tasks"]["class"]["accuracy"] == [0.25, 0.35]
    assert [of.task.name for of in found.tasks] == ["society", "class"]
    assert json.loads(out.read_text())["scores"]["scales"] == {"society": [0.1, 0.6], "class": [0.1, 0.6]}
    assert "*: held out" in str(found)
    assert "provisional" in str(found)
    with pytest.raises(ConfigError, match=r"holds an entry of policy mean, not median: give another file"):
        evaluate("median", SUITE, out=out)
    with pytest.raises(ConfigError, match=r"holds an entry of seeds \[30, 31\], not \[30\]"):
        evaluate("mean", SUITE, worlds=1, out=out)
    out.write_text("[]")
    with pytest.raises(ConfigError, match=r"mean\.json holds no entry of a suite"):
        evaluate("mean", SUITE, out=out)


def test_who_cannot_act_in_a_task_has_nothing_there():
    found = evaluate("oracle_expert", SUITE, worlds=1)
    society, classroom = found.tasks
    assert society.refused == ""
    assert (classroom.score, classroom.accuracy) == (0, None)
    assert "needs a world with experts" in classroom.refused
    assert "cannot act there (class: " in str(found)
    with pytest.raises(ConfigError, match=r"can act in no task of small-v1: "):
        evaluate("lowest_energy", SUITE, worlds=1, tasks=["class"])


def test_data_that_are_not_there_are_no_fault_of_the_policy():
    lost = Task("lost", "no data", "society-v0", _SMALL | {"data": "mnist", "data_dir": "nowhere"})
    with pytest.raises(DataError, match="nowhere"):
        evaluate("mean", Suite("small-v1", "", (lost,), (0,), 1, 1, "listen_nobody"))


def test_the_command_prints_what_the_call_returns(call, monkeypatch, tmp_path):
    monkeypatch.setitem(suites.registry, "small-v1", SUITE)
    code, out, _ = call("evaluate", "even_two", "--suite", "small-v1", "--quick", "--jobs", "1", "--json")
    assert code == 0
    printed = json.loads(out)
    assert printed["tasks"].keys() == {"society"}
    found = evaluate("even_two", SUITE, quick=True)
    assert printed["tasks"]["society"]["accuracy"] == found.entry["tasks"]["society"]["accuracy"]
    assert printed["scores"]["mean"]["value"] == found.mean.value


def test_mistakes_are_named(call):
    for arguments, says in (
        (("nobody",), "unknown policy 'nobody'"),
        (("mean", "--suite", "listen-v2"), "unknown suite 'listen-v2'"),
        (("mean", "--tasks", "budget21"), "unknown task 'budget21'"),
        (("mean", "--worlds", "101"), "worlds must be"),
        (("mean", "--set", "drop=0.5"), "the worlds of a suite are what they are"),
    ):
        code, _, err = call("evaluate", *arguments)
        assert code == 2
        assert says in err
        assert err.count("\n") == 1
    with pytest.raises(UnknownName, match="unknown task"):
        evaluate("mean", SUITE, tasks=["nothing"])


def test_listen_v1_is_frozen(monkeypatch):
    """Another list is another version: give it another name."""
    monkeypatch.undo()
    suite = get_suite("listen-v1")
    assert suite.digest == "4635d4bfd3b559d8"
    held_out = {task.name for task in suite.tasks if task.held_out}
    assert {"budget10", "budget40", "budget20-16", "soc16-3liars", "soc5-fickle", "soc5-mnist"} <= held_out
    assert held_out.isdisjoint(task.name for task in suite.to_train_on)
    assert all(scale.floor < scale.ceiling for scale in suite.scales.values())
    assert set(trained()) & {scale.by for scale in suite.scales.values()}
    assert max(suite.seeds) < 10_000, "trainings choose on worlds from there"


SMALL = [
    *(
        f"imitation.{name}={value}"
        for name, value in (("worlds", 2), ("updates", 3), ("batch", 4), ("width", 8))
    ),
    *(
        f"reinforcement.{name}={value}"
        for name, value in (("worlds", 2), ("updates", 2), ("n_steps", 4), ("value_updates", 1))
    ),
    *("reinforcement.choose_every=1", "reinforcement.n_epochs=1", "reinforcement.batch_size=8"),
]
"""A few steps of both stages."""


def test_a_listener_is_trained_on_what_is_not_held_out_and_can_be_evaluated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found, again = (for_suites.train(configure(SUITE, SMALL), tmp_path / x, "as made") for x in ("a", "b"))
    policy = make_policy(str(found.best))
    assert policy.about["teachers"] == {"society": "society-gated"}
    assert policy.about["command"] == "as made"
    assert policy.about["settings"]["reinforcement"]["updates"] == 2
    entry = evaluate(str(found.best), SUITE, worlds=1).entry
    assert not any("refused" in of for of in entry["tasks"].values())
    assert len(entry["policy_digest"]) == 64
    for name in ("best", "clone"):
        assert getattr(again, name).read_bytes() == getattr(found, name).read_bytes()


def test_settings_of_a_training_for_a_suite_are_named():
    with pytest.raises(UnknownName, match=r"did you mean 'imitation.updates'"):
        configure(SUITE, ["imitation.update=3"])
    with pytest.raises(ConfigError, match=r"reinforcement\.worlds must be"):
        configure(SUITE, ["reinforcement.worlds=0"])
    with pytest.raises(ConfigError, match=r"reinforcement\.exploration must be"):
        configure(SUITE, ["reinforcement.exploration=0"])
    with pytest.raises(ConfigError, match="seed must be"):
        configure(SUITE, seed=9_995)  # some of its worlds would be those to choose on


def test_what_has_no_effect_does_not_matter():
    heard = torch.tensor([[True, False], [True, False], [False, False]])
    action = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, -1.2, 0.5], [0.0, 0.0, 0.5, 0.5]])
    assert matters(action, heard, may_ask=True).tolist() == [[1, 1, 1, 0], [1, 0, 1, 0], [1, 0, 0, 0]]
    assert matters(action, heard, may_ask=False)[:, 0].tolist() == [0, 0, 0]


def test_reward_moves_the_network_and_the_pull_holds_it():
    """With a strong pull it stays nearer to the clone; without updates it is the clone."""
    torch.manual_seed(0)
    clone = Tournament(len(FEATURES), len(OWN_FEATURES) + 3, 2, width=8)
    told = {
        "suite": SUITE,
        "worlds": 2,
        "n_steps": 6,
        "updates": 4,
        "value_updates": 1,
        "choose_every": 100,
        "batch_size": 16,
    }
    assert reinforce(ReinforcementConfig(**told | {"updates": 0}), clone, print) is clone

    def moved(pull):
        config = ReinforcementConfig(**told, pull=pull, learning_rate=1e-2)
        batch = Batch(SUITE.to_train_on[0], 2, 0)
        data = [batch.collect(clone, config, torch.Generator().manual_seed(0))]
        network = copy.deepcopy(clone)
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
        learn(network, clone, data, optimiser, config, False, torch.Generator().manual_seed(0))
        return float((network(data[0])[0] - clone(data[0])[0]).abs().mean().detach())

    assert 0 < moved(10.0) < moved(0.0)
