"""Rollouts: what is measured, what is paired, and what is the same after a checkpoint."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from studyhall.envs.errors import ConfigError, UnknownName
from studyhall.policies import Policy, PolicySpec
from studyhall.policies import registry as policies
from studyhall.policies.policy import RandomPolicy
from studyhall.rollouts import Report, Result, Rollout, Stopped, interval, rollout, spread
from studyhall.rollouts.cli.catalogue import catalogue
from studyhall.rollouts.cli.tables import listing
from studyhall.rollouts.metrics.measure import measure
from studyhall.rollouts.reports.cells import TRANSDUCTIVE
from studyhall.rollouts.reports.claims import claims_table, judged, judged_anew
from studyhall.rollouts.reports.comparisons import comparison
from studyhall.rollouts.reports.figures import as_interval
from studyhall.rollouts.reports.tables import result
from studyhall.rollouts.settings import customise
from studyhall.rollouts.storage.text import as_json
from studyhall.scenarios import Claim, Scenario

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"

TINY = Scenario(
    "tiny",
    "a small class",
    env="classroom-v0",
    policy="classroom",
    env_kwargs={
        "agents": 3,
        "slice_size": 16,
        "exam_size": 20,
        "horizon": 24,
        "teacher_budget": 10,
        "exam_every": 3,
    },
    policy_kwargs={"hidden": [16]},
    seeds=(0, 1),
    controls=("mute", "isolated"),
    measure_at=(12,),
)


def same(a: Any, b: Any) -> bool:
    """Whether two states are equal bit for bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def found(report: Report) -> dict[str, Any]:
    """A report without its times, as JSON, where what is not finite equals itself."""
    return json.loads(as_json({k: v for k, v in report.as_json().items() if k != "seconds"}))


# ---- measuring ------------------------------------------------------------------------------------------


class Fixed(Policy):
    """Predicts given numbers; draw d of its dropout shifts students by d + 1."""

    def __init__(self, probabilities: torch.Tensor, title: torch.Tensor | None) -> None:
        self.probabilities, self.holder = probabilities, title

    def act(self, obs):
        raise NotImplementedError

    def predict(self, x, *, dropout=None):
        return self.probabilities if dropout is None else self.probabilities.roll(dropout + 1, dims=2)

    def title(self):
        return self.holder


def vote(ballots: list[int]) -> int:
    """Most votes, ties to the lowest."""
    counts = Counter(ballots)
    return min(c for c in counts if counts[c] == max(counts.values()))


def test_measure_agrees_with_counting_by_hand():
    w, n, m, c = 2, 4, 60, 3  # four voters and three classes: ties abound
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(w, n, m, c, generator=generator)
    p /= p.sum(-1, keepdim=True)
    y = torch.randint(0, c, (m,), generator=generator)
    title = torch.tensor([2, 0])
    test = type("Test", (), {"y": y, "__len__": lambda self: m})()
    data = SimpleNamespace(test=test, inputs=lambda split, index: index)
    liar = torch.tensor([[0, 1, 0, 0], [0, 0, 0, 0]]).bool()
    experts = torch.tensor([[[1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]]] * w).bool()
    world = SimpleNamespace(
        dataset=data,
        device="cpu",
        num_agents=n,
        predict=lambda x, dropout=None: None,
        liars=1,
        privileged=lambda: {"liar": liar, "experts": experts},
    )
    policy = Fixed(p, title)
    got = measure(world, policy)
    assert got is not None
    ties = 0
    for world_index in range(w):
        beliefs = p[world_index].numpy()
        for suffix, shown in (("", beliefs), ("_dropout", np.roll(beliefs, 1, axis=1))):
            right = [[int(shown[i, j].argmax()) == int(y[j]) for j in range(m)] for i in range(n)]
            students = [sum(row) / m for row in right]
            hard = [vote([int(shown[i, j].argmax()) for i in range(n)]) == int(y[j]) for j in range(m)]
            soft = [int(sum(shown[i, j] for i in range(n)).argmax()) == int(y[j]) for j in range(m)]
            ties += sum(
                list(Counter(int(shown[i, j].argmax()) for i in range(n)).values()) == [2, 2]
                for j in range(m)
            )
            expected = {
                "mean": sum(students) / n,
                "best": max(students),
                "title": students[int(title[world_index])],
                "hard_vote": sum(hard) / m,
                "soft_vote": sum(soft) / m,
            }
            assert got[f"students{suffix}"][world_index].tolist() == pytest.approx(students)
            for name, value in expected.items():
                assert float(got[name + suffix][world_index]) == pytest.approx(value), name + suffix
        honest = [i for i in range(n) if not liar[world_index, i]]
        right = [[int(beliefs[i, j].argmax()) == int(y[j]) for j in range(m)] for i in range(n)]
        assert float(got["honest"][world_index]) == pytest.approx(
            sum(sum(right[i]) for i in honest) / m / len(honest)
        )
        for name, own in (("expert", True), ("general", False)):
            shares = []
            for i in honest:
                asked = [j for j in range(m) if bool(experts[world_index, i, int(y[j])]) == own]
                shares.append(sum(right[i][j] for j in asked) / len(asked))
            assert float(got[name][world_index]) == pytest.approx(sum(shares) / len(shares)), name
        draws = [np.roll(beliefs, d + 1, axis=1) for d in range(n)]
        own = [
            sum(vote([int(draw[i, j].argmax()) for draw in draws]) == int(y[j]) for j in range(m)) / m
            for i in range(n)
        ]
        assert float(got["dropout_vote"][world_index]) == pytest.approx(sum(own) / n)
    assert ties > 10


def test_who_predicts_nothing_is_not_measured():
    scenario = dataclasses.replace(TINY, policy="random", policy_kwargs={}, controls=())
    report = rollout(scenario, seeds=(0,))
    assert set(report.metrics["open"]) == {
        "calls",
        "labels",
        "labelled_slices",
        "kib",
        "return",
        "exam_accuracy",
    }
    assert report.students == {}
    assert report.as_json()["social_gain"] == {}
    with pytest.raises(UnknownName, match="unknown metric 'mean': known are calls,"):
        report.social_gain()


# ---- what runs beside what ------------------------------------------------------------------------------


def test_controls_share_exam_slices_and_learners_with_the_open_world():
    run = Rollout(TINY)
    seeds = len(run.seeds)
    test = run.world.dataset.inputs("test", torch.arange(10))
    untaught = run.policy.predict(test)
    assert not torch.equal(untaught[0], untaught[1])  # two seeds
    for control in range(1, 3):
        for seed in range(seeds):
            assert torch.equal(untaught[seed], untaught[control * seeds + seed])
    while run.world.clock[0] < 20:
        for key in ("slice", "exam", "fb_slice"):
            parts = run.obs[key].chunk(3)
            assert torch.equal(parts[0], parts[1]), key
            assert torch.equal(parts[0], parts[2]), key
        run.obs = run.world.step(run.policy.act(run.obs)).obs
    opened, mute, _ = run.obs["heard"].chunk(3)
    assert opened.any()
    assert not mute.any()


def test_until_messages_are_heard_open_and_mute_are_one():
    report = rollout(TINY)
    assert report.budget_spent_at == 10
    before = [i for i, step in enumerate(report.steps) if step <= 10]
    assert [report.curves["open"][i] for i in before] == [report.curves["mute"][i] for i in before]
    assert report.metrics["open"]["mean"] != report.metrics["mute"]["mean"]
    gain = report.social_gain("mean")["mute"]
    assert gain == [
        a - b for a, b in zip(report.metrics["open"]["mean"], report.metrics["mute"]["mean"], strict=True)
    ]


def test_ledger():
    report = rollout(TINY)
    opened, mute, isolated = (report.metrics[mode] for mode in report.modes)
    assert opened["calls"] == [10, 10]
    assert opened["labels"] == [160, 160]
    assert isolated["calls"] == [9, 9]  # three calls each
    # the title holder publishes to two others in the steps after the budget: 16 rows of 10 classes, 4 bytes
    assert opened["kib"] == mute["kib"] == [14 * 2 * 16 * 10 * 4 / 1024] * 2
    assert isolated["kib"] == [0, 0]


def test_steps_override_the_horizon():
    report = rollout(customise(TINY, steps=12))
    assert report.steps[-1] == 12
    assert report.metrics["open"]["mean@12"] == report.metrics["open"]["mean"]
    assert rollout(customise(TINY, steps=30)).steps[-1] == 30


def test_a_shortened_run_measures_and_examines_within_its_steps():
    short = customise(TINY, steps=3)
    assert short.env_kwargs["exam_every"] == 2
    assert short.measure_at == ()
    assert customise(TINY, assignments=["horizon=13"]).measure_at == (12,)
    assert (rollout(short).metrics["open"]["return"] != np.zeros(2)).any()
    with pytest.raises(ConfigError, match="exam_every 9 leaves one exam within 3 steps"):
        rollout(customise(TINY, steps=3, assignments=["exam_every=9"]))
    with pytest.raises(ConfigError, match="measure_at names step 99 of an episode of 24: leave it out"):
        Rollout(dataclasses.replace(TINY, measure_at=(99,)))


def test_a_stream_dealt_out_ends_the_run():
    scenario = customise(
        TINY, assignments=["order=single_pass", "slice_size=200", "teacher_budget=null"], controls=()
    )
    report = rollout(scenario, seeds=(0,))
    assert report.steps[-1] == 1079 // 200
    assert report.budget_spent_at is None


def test_a_seed_in_a_batch_equals_the_seed_alone():
    scenario = dataclasses.replace(TINY, controls=(), measure_at=())
    together, alone = (Rollout(scenario, seeds=seeds) for seeds in ((0, 1, 2), (1,)))
    for run in (together, alone):
        run.simulate()
    x = together.world.dataset.inputs("test", torch.arange(50))
    torch.testing.assert_close(together.policy.predict(x)[1], alone.policy.predict(x)[0], rtol=0, atol=1e-4)
    assert torch.equal(together.obs["slice"][1], alone.obs["slice"][0])


def test_nobody_is_no_run():
    with pytest.raises(ConfigError, match="at least one seed"):
        Rollout(TINY, seeds=())


# ---- checkpoints ----------------------------------------------------------------------------------------

FAULTS = {"topology": "random", "drop": 0.2, "delay": 2, "churn": 0.05, "noise": 0.1, "liars": 1}


@pytest.mark.parametrize("policy", ["classroom", "gossip", "mean_teacher", "mutual", "isolated", "random"])
def test_a_resumed_run_is_bit_identical(policy, tmp_path):
    kwargs = {} if policy == "random" else {"hidden": [16]}
    scenario = dataclasses.replace(
        TINY, policy=policy, policy_kwargs=kwargs, env_kwargs={**TINY.env_kwargs, **FAULTS}
    )
    whole = Rollout(scenario)
    expected = found(whole.run())

    stopped = Rollout(scenario)
    with pytest.raises(Stopped, match="stopped at step 13 of 24"):
        stopped.run(checkpoint=tmp_path, stop=lambda: stopped.done == 13)
    resumed = Rollout(scenario)
    resumed.load(tmp_path)
    assert resumed.done == 13
    assert found(resumed.run()) == expected
    assert resumed.report.trace.as_bytes() == whole.report.trace.as_bytes()
    assert same(resumed.world.state_dict(), whole.world.state_dict())
    assert same(resumed.policy.state_dict(), whole.policy.state_dict())


def test_a_checkpoint_of_the_end_only_needs_measuring(tmp_path):
    scenario = dataclasses.replace(TINY, controls=())
    first = Rollout(scenario)
    expected = found(first.run(checkpoint=tmp_path, checkpoint_every=1e9))
    again = Rollout(scenario)
    again.load(tmp_path)
    assert again.done == 24
    assert found(again.run()) == expected


def test_checkpoints_that_cannot_be_loaded_say_so(tmp_path):
    scenario = dataclasses.replace(TINY, controls=())
    run = Rollout(scenario, seeds=(0,))
    with pytest.raises(ConfigError, match="holds no checkpoint"):
        run.load(tmp_path)
    run.save(tmp_path)
    file = tmp_path / "checkpoint.pt"
    whole = file.read_bytes()
    middle = len(whole) // 2
    faults = {
        "cut": whole[:middle],
        "empty": b"",
        "other": b"not a checkpoint",
        "flipped": whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :],
    }
    for name, content in faults.items():
        file.write_bytes(content)
        with pytest.raises(ConfigError, match="cannot be read") as caught:
            run.load(tmp_path)
        assert "\n" not in str(caught.value), name
    file.write_bytes(whole)
    with pytest.raises(ConfigError, match=r"of another configuration \(seeds\)"):
        Rollout(scenario, seeds=(0, 1)).load(tmp_path)
    assert not list(tmp_path.glob(".*"))


def test_the_checkpoint_before_is_used_where_the_last_one_is_damaged(tmp_path, capsys):
    scenario = dataclasses.replace(TINY, controls=())
    whole = Rollout(scenario, seeds=(0,))
    expected = found(whole.run(checkpoint=tmp_path, checkpoint_every=0))
    file = tmp_path / "checkpoint.pt"
    file.write_bytes(file.read_bytes()[:-1])
    again = Rollout(scenario, seeds=(0,))
    again.load(tmp_path)
    assert again.done == 23
    assert "its checksum is wrong): going on from the one before" in capsys.readouterr().err
    assert found(again.run()) == expected
    file.unlink()  # killed after the last was put aside, before the new one was in its place
    Rollout(scenario, seeds=(0,)).load(tmp_path)


def test_pictures_before_a_stop_are_kept(tmp_path):
    scenario = dataclasses.replace(TINY, controls=())
    whole = Rollout(scenario, seeds=(0,))
    whole.run(pictures=6)
    stopped = Rollout(scenario, seeds=(0,))
    with pytest.raises(Stopped):
        stopped.run(checkpoint=tmp_path, pictures=6, stop=lambda: stopped.done == 13)
    assert 0 < len(stopped.pictures) < len(whole.pictures)
    resumed = Rollout(scenario, seeds=(0,))
    resumed.load(tmp_path)
    resumed.run(pictures=6)
    assert len(resumed.pictures) == len(whole.pictures)
    assert all(map(np.array_equal, resumed.pictures, whole.pictures))


# ---- reports --------------------------------------------------------------------------------------------


def test_a_report_survives_json():
    report = rollout(TINY)
    assert Result.from_json(json.loads(as_json(report.as_json()))) == report


def test_numbers_that_are_not_finite_become_null():
    assert json.loads(as_json({"half": math.nan, "rows": [1.5, math.inf]})) == {
        "half": None,
        "rows": [1.5, None],
    }


def test_live_figures_reach_the_end():
    seen = []
    rollout(TINY, seeds=(0,), on_step=seen.append)
    last = seen[-1]
    assert (last.step, last.steps) == (24, 24)
    assert last.budget == 0
    assert last.headline == "exam_accuracy"
    assert last.best >= last.mean >= 0
    assert last.kib > 0
    assert last.steps_per_second > 0


def test_data_given_as_arrays_do_not_spoil_the_json():
    g = torch.Generator().manual_seed(0)
    data = (torch.rand(300, 5, generator=g), torch.arange(300) % 3)
    scenario = Scenario(
        "own", "own data", "classroom-v0", "isolated",
        env_kwargs={"data": data, "agents": 2, "slice_size": 4, "exam_size": 6, "horizon": 5},
    )  # fmt: skip
    found = json.loads(json.dumps(rollout(scenario).as_json()))
    assert found["scenario"]["env_kwargs"]["data"] == ["<Tensor>", "<Tensor>"]


def test_a_mode_and_controls_exclude_each_other():
    scenario = dataclasses.replace(TINY, controls=("mute",), env_kwargs={"mode": "mute"})
    with pytest.raises(ConfigError, match="one or the other"):
        Rollout(scenario)


def printed(*tables: Any, width: int = 80) -> str:
    """What a terminal shows of tables."""
    console = Console(width=width, record=True, file=io.StringIO())
    for table in tables:
        console.print(table)
    return console.export_text()


def shown(report: Report) -> str:
    """What a terminal of 80 columns shows of a report."""
    return printed(result(report))


def test_the_legend_explains_the_rows_that_are_there():
    legend = {
        "title": "title holder: ",
        "hard_vote": "hard vote: ",
        "dropout_vote": "dropout vote: ",
        "honest": "mean of the honest: test accuracy of the agents that do not lie",
        "expert": "honest, own/others' classes: ",
        "return": "mean over agents: progress × reward_scale",
    }
    for metrics in ({"mean"}, {"mean", "title", "hard_vote", "dropout_vote"}, {"honest", "expert", "return"}):
        report = Report(dataclasses.replace(TINY, controls=()), seeds=(0,), steps=[24])
        report.metrics = {"open": {metric: [0.5] for metric in metrics}}
        text = shown(report)
        assert {metric for metric, words in legend.items() if words in text} == metrics - {"mean"}
        assert max(len(line.rstrip()) for line in text.splitlines()) <= 80


def test_committed_results_can_be_shown():
    entries = json.loads((RESULTS / "classroom.json").read_text(encoding="utf-8"))["scenarios"]
    entries = [judged_anew(entry) for entry in entries]
    text = printed(claims_table(entries), comparison(entries), width=200)
    for entry in entries:
        assert entry["name"] in text
        mean = entry["summary"]["open"]["mean"]
        assert spread(as_interval(mean)) in text


# ---- transductive policies ------------------------------------------------------------------------------


class Peeking(RandomPolicy):
    """Publishes what the exam looks like."""

    transductive = True

    def act(self, obs):
        actions = super().act(obs)
        return {**actions, "soft_targets": actions["soft_targets"] + obs["exam"].square().mean()}


@pytest.fixture
def peeking(monkeypatch):
    """The name of a registered transductive policy."""
    monkeypatch.setitem(sys.modules, "peeking", SimpleNamespace(Peeking=Peeking))
    monkeypatch.setitem(policies, "peeking", PolicySpec("peeking", "peeking:Peeking", "looks at the exam"))
    return "peeking"


def test_a_transductive_policy_is_marked_wherever_it_is_shown(peeking):
    scenario = dataclasses.replace(TINY, policy=peeking, policy_kwargs={}, measure_at=())
    report = rollout(scenario, seeds=(0,))
    assert "tiny† · 24 steps" in shown(report)
    assert TRANSDUCTIVE in shown(report)
    again = Report.from_json(json.loads(as_json(report.as_json())))
    assert "tiny† · 24 steps" in shown(again)
    listed = printed(listing("policies", catalogue("policies")["policies"]))
    assert "peeking†" in listed
    assert "mutual†" not in listed
    assert TRANSDUCTIVE in listed


def test_entries_of_a_transductive_policy_are_marked():
    claim = judged(Claim("mean", 0.9, "masc-notes"), {})
    summary = {"open": {"mean": interval([0.9])._asdict()}, "mute": {}}
    blind, peeking = (
        {
            "name": name,
            "claims": [claim],
            "summary": summary,
            "transductive": name == "b",
        }
        for name in "ab"
    )
    for table in (claims_table, comparison):
        text = printed(table([blind, peeking]))
        assert "b†" in text
        assert "a†" not in text
        assert TRANSDUCTIVE in text
        assert "†" not in printed(table([blind]))
    assert "b†, mute" in printed(comparison([peeking]))


def test_who_is_not_transductive_is_not_marked():
    report = rollout(dataclasses.replace(TINY, controls=(), measure_at=()), seeds=(0,))
    assert "†" not in shown(report)
    early = {k: v for k, v in report.as_json().items() if k != "transductive"}  # as written before
    assert Result.from_json(early) == report


# ---- names and seeds ------------------------------------------------------------------------------------


@pytest.fixture
def brief(monkeypatch):
    """The name of a small registered scenario."""
    from studyhall.scenarios import registry

    scenario = dataclasses.replace(TINY, name="brief", controls=(), measure_at=(), env_kwargs={"horizon": 2})
    monkeypatch.setitem(registry, "brief", scenario)
    return "brief"


def test_a_scenario_may_be_given_by_its_name(brief):
    report = rollout(brief, seeds=(4,))
    assert (report.scenario.name, report.seeds, report.steps) == ("brief", (4,), [1, 2])
    with pytest.raises(UnknownName, match="did you mean 'brief'"):
        rollout("brif")


@pytest.mark.parametrize(
    ("given", "seeds"),
    [
        (3, (3,)),
        (np.int64(3), (3,)),
        ([0, 2], (0, 2)),
        (range(3), (0, 1, 2)),
        (None, (0, 1)),
        (2**63 - 1, (2**63 - 1,)),
    ],
)
def test_a_number_is_one_seed_as_on_the_command_line(brief, given, seeds):
    assert Rollout(brief, seeds=given).seeds == seeds


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), "at least one seed"),
        (-1, "seed"),
        (2**63, f"a seed must be a whole number between 0 and {2**63 - 1}"),
        ("0-4", "one whole number or several"),
        (1.5, "one whole number or several"),
        ((1, 1), "name a seed twice"),
        ((0.5,), "seed"),
    ],
)
def test_what_is_no_seed_is_one_line(brief, given, words):
    with pytest.raises(ConfigError, match=words) as caught:
        Rollout(brief, seeds=given)
    assert "\n" not in str(caught.value)
