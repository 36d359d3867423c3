"""What a run tells of experts: figures of each part of a policy on the test split, and tables of them."""

from __future__ import annotations

import dataclasses
import io
import math

import pytest
import torch
from rich.console import Console

from studyhall.policies import Policy
from studyhall.rollouts import rollout
from studyhall.rollouts.metrics.expertise import figures
from studyhall.rollouts.metrics.measure import measure
from studyhall.rollouts.metrics.names import human
from studyhall.rollouts.reports.report import Report
from studyhall.rollouts.reports.tables import result
from studyhall.rollouts.runs.run import Rollout
from studyhall.scenarios import get_scenario

PARTS = ("expert", "ensemble", "student", "shifted", "grown", "masc")


def tiny(**env):
    scenario = get_scenario("masc-digits")
    small = {"horizon": 30, "exam_every": 29, "slice_size": 16}
    return dataclasses.replace(scenario, env_kwargs={**scenario.env_kwargs, **small, **env})


@pytest.fixture(scope="module")
def run():
    """A short run with a liar among the five, at its end."""
    found = Rollout(tiny(liars=1, liar_kinds=["noise"], deal="random"), seeds=(0, 1))
    found.run()
    return found


def shown(report: Report) -> list[str]:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(result(report))
    return console.export_text().splitlines()


def by_hand(
    said: torch.Tensor, labels: list[int], owned: list[set[int]], honest: list[int]
) -> dict[str, float]:
    """The figures of one world, item by item, from distributions ``[N, M, C]``."""
    agents = range(len(owned))
    guesses = said.argmax(-1).tolist()

    def accuracy(agent: int, classes: set[int]) -> float:
        right = [
            guess == label for guess, label in zip(guesses[agent], labels, strict=True) if label in classes
        ]
        return sum(right) / len(right)

    everything = set(labels)
    expert = {a: accuracy(a, owned[a]) for a in agents}
    general = {a: accuracy(a, everything - owned[a]) for a in agents}
    best = {a: all(expert[a] > accuracy(b, owned[a]) for b in agents if b != a) for a in agents}
    five = said.sort(-1, descending=True).indices[..., :5].tolist()
    top5 = {a: sum(y in row for y, row in zip(labels, five[a], strict=True)) / len(labels) for a in agents}

    def mean(values) -> float:
        return sum(values[a] for a in honest) / len(honest)

    return {
        "expert": mean(expert),
        "general": mean(general),
        "average": mean({a: (expert[a] + general[a]) / 2 for a in agents}),
        "global": mean({a: accuracy(a, everything) for a in agents}),
        "directionality": mean({a: expert[a] - general[a] for a in agents}),
        "own_best": mean(best),
        "top5": mean(top5),
    }


def test_figures_are_those_of_the_predictions(run):
    test, secrets = run.world.dataset.test, run.world.privileged()
    said = run.policy.variants(run.world.dataset.inputs("test", torch.arange(len(test))))
    assert tuple(said) == PARTS
    for mode, row, seed in (("open", 0, 0), ("open", 1, 1), ("mute", 2, 0)):
        honest = (~secrets["liar"][row]).nonzero().flatten().tolist()
        assert len(honest) == 4
        owned = [set(own.nonzero().flatten().tolist()) for own in secrets["experts"][row]]
        hand = {part: by_hand(said[part][row], test.y.tolist(), owned, honest) for part in PARTS}
        for part in PARTS:
            hand[part]["forgetting"] = hand["expert"]["expert"] - hand[part]["expert"]
            found = {
                name.removeprefix(f"{part}_"): values[seed]
                for name, values in run.report.metrics[mode].items()
                if name.startswith(f"{part}_")
            }
            assert found == pytest.approx(hand[part], abs=1e-6)


def test_what_answers_is_the_main_part(run):
    metrics = run.report.metrics["open"]
    assert metrics["masc_expert"] == metrics["expert"]
    assert metrics["masc_general"] == metrics["general"]
    assert metrics["masc_global"] == pytest.approx(metrics["honest"])


def test_best_at_its_own_is_who_nobody_equals():
    labels = torch.tensor([0, 0, 1, 1])
    own = torch.tensor([[[True, False], [False, True]]])
    answers = torch.tensor(
        [[[0, 0, 0, 1], [0, 0, 1, 0]]]
    )  # the second is as good at class 0, and nobody at 1
    said = torch.nn.functional.one_hot(answers, 2).float()
    assert figures(said, labels, own)["own_best"].tolist() == [[0, 0]]
    answers[0, 1, 0] = 1  # the first is the better one at its own now
    answers[0, 1, 3] = 1  # and so is the second
    said = torch.nn.functional.one_hot(answers, 2).float()
    assert figures(said, labels, own)["own_best"].tolist() == [[1, 1]]


def test_who_has_no_classes_of_its_own_or_no_others_has_no_figure_of_them():
    own = torch.tensor([[[True, True], [False, False]]])
    said = torch.eye(2).expand(1, 2, 2, 2)
    found = figures(said, torch.tensor([0, 1]), own, top=5)
    assert found["expert"][0].tolist() == pytest.approx([1, math.nan], nan_ok=True)
    assert found["general"][0].tolist() == pytest.approx([math.nan, 1], nan_ok=True)
    assert found["average"].isnan().all()
    assert found["directionality"].isnan().all()
    assert found["own_best"].tolist() == [[0, 0]]
    assert "top5" not in found  # of two classes


def test_where_everybody_owns_every_class_there_is_nothing_general():
    run = Rollout(dataclasses.replace(tiny(expert_classes=10, agents=2), controls=()), seeds=0)
    report = run.run()
    found = report.metrics["open"]
    for part in PARTS:
        assert found[f"{part}_expert"] == pytest.approx(found[f"{part}_global"])
        assert all(
            math.isnan(found[f"{part}_{name}"][0]) for name in ("general", "average", "directionality")
        )
    assert math.isnan(found["general"][0])
    (row,) = (line.split() for line in shown(report) if line.strip().startswith("masc "))
    assert row[2:4] == ["–", "–"]


def test_parts_are_asked_once_a_measurement(run, monkeypatch):
    asked, variants = [], run.policy.variants
    monkeypatch.setattr(run.policy, "variants", lambda x: asked.append(len(x)) or variants(x))
    measure(run.world, run.policy)
    assert asked == [len(run.world.dataset.test)]


def test_tables_tell_of_every_part_and_fit_a_terminal(run):
    lines = shown(run.report)
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    heading = next(line for line in lines if "experts, %" in line)
    assert heading.split() == ["experts,", "%", "expert", "general", "average", "global", "own", "best"]
    for part in PARTS:
        assert sum(line.strip().startswith(f"{part} ") for line in lines) == 2  # open, mute
    assert "average, masc − student: " in text
    assert "average, masc − grown: " in text


def test_parts_are_compared_seed_by_seed():
    report = Report(get_scenario("masc-digits"), (0, 1, 2))
    averages = {"student": [0.5, 0.7, 0.9], "grown": [0.52, 0.69, 0.9], "masc": [0.51, 0.71, 0.91]}
    report.metrics = {
        mode: {f"{part}_average": values for part, values in averages.items()} for mode in ("open", "mute")
    }
    assert report.parts == ["student", "grown", "masc"]
    assert report.differences()["masc", "student"] == pytest.approx([0.01] * 3)
    text = "\n".join(shown(report))
    assert "average, masc − student: +1.00 points" in text
    assert "a gain" in text
    assert "not resolved" in text
    found = report.as_json()["differences"]
    assert found["masc_average − grown_average"]["mute"]["values"] == pytest.approx([-0.01, 0.02, 0.01])


def test_a_single_seed_has_differences_without_an_interval():
    report = Report(get_scenario("masc-digits"), (0,))
    report.metrics = {mode: {"student_average": [0.5], "masc_average": [0.6]} for mode in ("open", "mute")}
    assert "average, masc − student: +10.00 points: not resolved" in "\n".join(shown(report))
    report.metrics["open"]["masc_average"] = [math.nan]
    assert "average, masc" not in "\n".join(shown(report))


def test_only_where_some_may_lie_there_are_honest_ones(run):
    found = "\n".join(shown(run.report))
    assert "honest, own classes" in found
    assert "honest, own/others' classes: on test items" in found
    without = Rollout(dataclasses.replace(tiny(), controls=()), seeds=0).run()
    lines = shown(without)
    assert "honest" not in "\n".join(lines)
    assert any(line.strip().startswith("own classes ") for line in lines)
    assert any(line.strip().startswith("others' classes ") for line in lines)


def test_what_is_forgotten_is_of_ones_own_classes_or_of_tasks(run):
    own = "\n".join(shown(run.report))
    assert "exam, own classes, %" in own
    assert "forgetting: the best on one's own classes so far" in own
    scenario = get_scenario("classroom-digits").within(10)
    in_turn = {**scenario.env_kwargs, "order": "class_incremental", "agents": 2}
    of_tasks = "\n".join(
        shown(rollout(dataclasses.replace(scenario, env_kwargs=in_turn, controls=()), seeds=0))
    )
    assert "exam by task, %" in of_tasks
    assert "exam by task: ACC, BWT, FWT; forgetting: the best on a task" in of_tasks
    assert "own classes" not in of_tasks


def test_worlds_without_parts_are_told_of_as_ever():
    scenario = dataclasses.replace(get_scenario("classroom-digits"), controls=())
    report = rollout(scenario.within(3), seeds=0)
    assert report.parts == []
    assert "differences" not in report.as_json()
    assert "experts, %" not in "\n".join(shown(report))
    assert Policy.main == ""


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        ("masc_average", "masc, mean of own and others'"),
        ("grown_own_best@100", "grown, best of all at its own, step 100"),
        ("student_general", "student, others' classes"),
        ("hard_vote_dropout", "hard vote, dropout on"),
        ("general", "honest, others' classes"),
    ],
)
def test_names_for_people(metric, says):
    assert human(metric) == says
