"""Rollouts of worlds without a teacher, an exam or a data set: what is measured, shown and taken up again."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from gymnasium import spaces
from matplotlib.figure import Figure
from matplotlib.image import imread
from rich.console import Console

import studyhall
from studyhall.envs import ConfigError, EnvSpec, Outcome, World, register
from studyhall.envs.classroom.world import Classroom
from studyhall.envs.engine import rng
from studyhall.policies import Policy, PolicySpec
from studyhall.policies import registry as policies
from studyhall.rollouts import Report, Rollout, Stopped, cli, interval, rollout, spread
from studyhall.rollouts.metrics.names import human, is_fraction
from studyhall.rollouts.reports.claims import claim_cells, claims_table, judged
from studyhall.rollouts.reports.comparisons import (
    COMPARED_OTHERS,
    comparison,
    other_rows,
)
from studyhall.rollouts.reports.plots import plot_curve
from studyhall.rollouts.reports.tables import result
from studyhall.rollouts.runs.progress import figures
from studyhall.rollouts.runs.reproduce import reproduce
from studyhall.rollouts.settings import check_policy_fits, customise
from studyhall.rollouts.storage.text import as_json
from studyhall.scenarios import Claim, Scenario, registry
from studyhall.testing import check_world

# ---- two worlds that are no classrooms ------------------------------------------------------------------


class Descent(World):
    """Agents on a line go to zero; no channel. Metrics of the world (`best`, the lowest) and of agents."""

    headline = "best"
    reset_draws = rng.Draws({"place": (3,)})

    def __init__(self, *, horizon=6, **kwargs):
        super().__init__(num_agents=3, horizon=horizon, **kwargs)
        self.observation_space = spaces.Dict({"place": spaces.Box(-np.inf, np.inf, (1,), np.float32)})
        self.action_space = spaces.Dict({"factor": spaces.Box(-1, 1, (1,), np.float32)})

    def start(self, draws, state):
        place = 1 + draws["place"].uniform()
        return {"place": place, "best": place.amin(-1)}

    def advance(self, state, actions, draws):
        place = state["place"] * actions["factor"][..., 0].nan_to_num().clamp(-1, 1)
        best = torch.minimum(state["best"], place.abs().amin(-1))
        reward = state["place"].abs() - place.abs()
        return Outcome({**state, "place": place, "best": best}, reward, {})

    def observe(self, state):
        return {"place": state["place"][..., None]}

    def summary(self, state):
        return {"distance": state["place"].abs(), "best": state["best"]}

    def picture(self, state, world, mode):
        if mode == "ansi":
            return str(state["place"][world].tolist())
        shade = (60 * state["place"][world].abs().clamp(0, 4)).to(torch.uint8).cpu().numpy()
        return np.repeat(np.repeat(shade[None, :, None], 2, axis=0), 3, axis=2)


class Talk(World):
    """What is heard helps: a tenth of a round in the open, nothing where all is mute. Its length is `rounds` + 1."""

    differentiable = True
    crosses = frozenset({"messages"})
    headline = "score"
    refused_arguments: ClassVar = {"horizon": "its length is rounds"}
    reset_draws = rng.Draws({"skill": (2,)})

    def __init__(self, *, rounds=2, mode="open", **kwargs):
        super().__init__(num_agents=2, horizon=rounds + 1, **kwargs)
        modes = [mode] * self.num_worlds if isinstance(mode, str) else mode
        self.open = torch.tensor([name == "open" for name in modes], device=self.device)[:, None]
        self.observation_space = spaces.Dict({"skill": spaces.Box(0, 1, (1,), np.float32)})
        self.action_space = spaces.Dict({"message": spaces.Box(-1, 1, (3,), np.float32)})
        self.graphs = []

    def start(self, draws, state):
        skill = draws["skill"].uniform()
        return {"skill": skill, "score": skill, "bytes": torch.zeros_like(skill)}

    def advance(self, state, actions, draws):
        self.graphs.append(torch.is_grad_enabled())
        score = state["skill"] + 0.1 * self.open * state["clock"][:, None]
        sent = torch.where(state["clock"][:, None] < self.horizon, 12.0, 0.0).expand_as(score)
        new = {**state, "score": score, "bytes": state["bytes"] + sent}
        loss = (actions["message"].nan_to_num().mean(-1) - score).square()
        return Outcome(new, score - state["score"], {"bytes": sent}, loss)

    def observe(self, state):
        return {"skill": state["skill"][..., None]}

    def summary(self, state):
        right = (state["score"] > 0.5).float()
        size = torch.full((self.num_worlds,), 1.5, device=self.device)
        return {"score": state["score"], "accuracy": right, "bytes": state["bytes"], "message_bytes": size}


class Scored(Classroom):
    """A class whose exam accuracy does not say it all."""

    headline = "score"


class Halve(Policy):
    """Says one half to everything, with a gradient attached."""

    def act(self, obs):
        shape = (self.world.num_worlds, self.world.num_agents)
        return {
            name: torch.full((*shape, *space.shape), 0.5).requires_grad_()
            for name, space in self.world.action_space.spaces.items()
        }


@pytest.fixture(scope="module", autouse=True)
def _registered():
    """Worlds and the policy under their names, while this module's tests run."""
    module = SimpleNamespace(Descent=Descent, Talk=Talk, Scored=Scored, Halve=Halve)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "worlds_without_teacher", module)
        patch.setitem(policies, "halve", PolicySpec("halve", "worlds_without_teacher:Halve", "one half"))
        for name in ("Descent", "Talk", "Scored"):
            register(EnvSpec(f"{name.lower()}-v0", f"worlds_without_teacher:{name}", "a dummy"))
        yield
        for name in ("descent-v0", "talk-v0", "scored-v0"):
            del studyhall.registry[name]


DESCENT = Scenario(
    "descent", "to zero", "descent-v0", "halve", env_kwargs={"horizon": 12}, seeds=(0, 1, 2), measure_at=(4,)
)
TALK = Scenario(
    "talk", "what is heard", "talk-v0", "halve",
    env_kwargs={"rounds": 3}, seeds=(0, 1, 2), controls=("mute",),
    claims=(Claim("score", 0.9, "masc-notes", 1.0, "ours"), Claim("message_bytes", 1500.0, "k1-notes", 1.0, "ours")),
    system="talking",
)  # fmt: skip


@pytest.mark.parametrize("world", [Descent, Talk])
def test_the_dummies_keep_the_contract(world):
    check_world(world)


def printed(*tables, width=100):
    console = Console(width=width, record=True, file=io.StringIO())
    for table in tables:
        console.print(table)
    return console.export_text()


def row(text, name):
    """The cells of a row of a table."""
    (line,) = [line for line in text.splitlines() if line.strip().startswith(f"{name}  ")]
    return [cell.strip() for cell in line.strip().split("  ") if cell.strip()]


def places(seed):
    """Where the agents of a world begin, from the world alone."""
    world = Descent(num_worlds=1)
    return world.reset(seed=seed, options={"domain": "eval"})["place"][0, :, 0]


# ---- measuring ------------------------------------------------------------------------------------------


def test_every_metric_is_reported_as_its_mean_over_agents():
    report = rollout(DESCENT)
    (metrics,) = report.metrics.values()
    assert set(metrics) == {m + at for m in ("distance", "best", "return") for at in ("", "@4")}
    for seed in DESCENT.seeds:
        begin = places(seed)
        for at, step in (("@4", 4), ("", 12)):
            end = begin / 2**step
            assert metrics[f"distance{at}"][seed] == pytest.approx(float(end.mean()))
            assert metrics[f"best{at}"][seed] == pytest.approx(float(end.min()))
            assert metrics[f"return{at}"][seed] == pytest.approx(float((begin - end).mean()))
    assert report.students == {}
    assert report.budget_spent_at is None


def test_the_curve_is_of_the_headline_and_a_worlds_value_is_everyones():
    report = rollout(DESCENT)
    assert report.headline == "best"
    assert report.steps == list(range(1, 13))
    best = np.array(report.curves["open"])
    assert best.shape == (12, 3, 3)
    for seed in DESCENT.seeds:
        expected = float(places(seed).min()) / 2.0 ** np.arange(1, 13)
        np.testing.assert_allclose(best[:, seed], expected[:, None].repeat(3, axis=1), rtol=1e-6)
    spoken = np.array(rollout(TALK).curves["open"])  # agents differ
    assert spoken.shape == (4, 3, 2)
    np.testing.assert_allclose(spoken[3] - spoken[0], 0.3, rtol=1e-5)
    assert (spoken[..., 0] != spoken[..., 1]).all()


def test_controls_are_paired_and_bytes_told_per_message_and_step():
    report = rollout(TALK)
    opened, mute = report.metrics["open"], report.metrics["mute"]
    assert report.social_gain("score")["mute"] == pytest.approx([0.4] * 3)
    assert opened["message_bytes"] == [1.5] * 3
    assert opened["bytes"] == mute["bytes"] == [36.0] * 3  # three rounds; the fourth step reaches nobody
    assert opened["bytes_per_step"] == [9.0] * 3
    assert opened["kib"] == [2 * 36 / 1024] * 3
    right = [np.mean(np.array(report.curves["open"])[-1, seed] > 0.5) for seed in range(3)]
    assert opened["accuracy"] == right


def test_a_class_with_another_headline_tells_everything():
    kwargs = {"agents": 3, "slice_size": 8, "exam_size": 20, "horizon": 6, "teacher_budget": 4}
    scenario = Scenario(
        "scored", "a class", "scored-v0", "mutual",
        env_kwargs=kwargs, policy_kwargs={"hidden": [8]}, measure_at=(3,),
    )  # fmt: skip
    run = Rollout(scenario)
    report = run.run()
    found, final = report.metrics["open"], run.world.metrics()
    for name in ("score", "exam_accuracy", "label_bytes", "bytes"):
        assert found[name] == pytest.approx([float(final[name].mean())])
    assert (found["labels"], found["labelled_slices"]) == ([32.0], [4.0])
    assert {"mean_accuracy", "soft_vote_accuracy", "mean_accuracy@3", "score@3"} <= found.keys()
    assert report.budget_spent_at == 4
    assert len(report.students["open"][0]) == 3
    assert list(report.curves["open"][-1][0]) == pytest.approx(final["score"][0].tolist())


def test_no_graph_is_recorded():
    run = Rollout(TALK)
    run.run()
    assert run.world.graphs == [False] * 4
    assert torch.is_grad_enabled()


def test_a_report_survives_json():
    for scenario in (DESCENT, TALK):
        report = rollout(scenario)
        found = json.loads(as_json(report.as_json()))
        assert type(report).from_json(found) == report
        assert set(found["curve"]) == {"steps", report.headline}
        assert set(found["social_gain"]) == {report.headline}
    gain = found["social_gain"]["score"]["mute"]
    assert gain["mean"] == pytest.approx(0.4)
    assert gain["n"] == 3


def test_a_resumed_run_is_the_same(tmp_path):
    expected = rollout(DESCENT).as_json()
    stopped = Rollout(DESCENT)
    with pytest.raises(Stopped, match="stopped at step 7 of 12"):
        stopped.run(checkpoint=tmp_path, stop=lambda: stopped.done == 7)
    resumed = Rollout(DESCENT)
    resumed.load(tmp_path)
    found = resumed.run().as_json()
    assert {k: v for k, v in found.items() if k != "seconds"} == {
        k: v for k, v in expected.items() if k != "seconds"
    }


# ---- what a person sees ---------------------------------------------------------------------------------


def test_live_figures_are_those_the_world_has():
    seen = []
    rollout(DESCENT, seeds=(0,), on_step=seen.append)
    last = seen[-1]
    assert (last.headline, last.mean) == ("best", pytest.approx(float(places(0).min()) / 2**12))
    assert math.isnan(last.best)
    assert math.isnan(last.budget)
    assert math.isnan(last.kib)
    text = figures(last)
    assert text.startswith(f"step 12/12 · best {last.mean:.4g} · ")
    assert not any(word in text for word in ("max", "budget", "KiB", "nan", "exam"))
    rollout(TALK, on_step=seen.append)
    last = seen[-1]
    assert last.best > last.mean
    assert f"score {last.mean:.4g} · max {last.best:.4g} · 0 KiB" in figures(last)
    exam = dataclasses.replace(last, headline="exam_accuracy", mean=0.5, best=0.75, budget=0.25)
    assert "exam 50.0% · best 75.0% · budget 25% · 0 KiB" in figures(exam)


def test_the_table_has_a_row_a_metric_and_columns_for_the_difference():
    report = rollout(TALK)
    text = printed(result(report))
    (header,) = [line for line in text.splitlines() if "open − mute" in line and ":" not in line]
    assert header.split() == ["open", "mute", "open", "−", "mute"]
    score = [spread(report.interval(mode, "score"), percent=False, digits=None) for mode in report.modes]
    assert row(text, "score")[:3] == ["score", *score]
    assert row(text, "score")[3].startswith("+0.4 ± ")
    assert row(text, "accuracy, %")[1].endswith(spread(report.interval("open", "accuracy")))
    assert row(text, "bytes per message")[1:] == ["1.5 ± 0", "1.5 ± 0", "0 ± 0"]
    assert row(text, "bytes per agent and step")[1:] == ["9 ± 0", "9 ± 0", "0 ± 0"]
    assert row(text, "KiB sent")[1] == "0.07031 ± 0"
    assert "test accuracy" not in text
    assert "student" not in text
    assert text.index("score") < text.index("accuracy, %") < text.index("bytes per message")
    assert max(len(line.rstrip()) for line in printed(result(report), width=80).splitlines()) <= 80


def test_metrics_at_a_step_stand_in_a_section_of_their_own():
    report = rollout(DESCENT)
    lines = [line.strip() for line in printed(result(report)).splitlines()]
    at = lines.index("at step 4")
    assert lines[at + 1].startswith("best  ")
    assert lines[at + 2].startswith("distance  ")
    assert spread(report.interval("open", "best@4"), percent=False, digits=None) in lines[at + 1]


def test_names_are_read_by_the_headline():
    assert (human("best"), human("best", "best"), human("best@4", "score")) == (
        "best student",
        "best",
        "best, step 4",
    )
    assert human("title_dropout", "score") == "title dropout"
    assert is_fraction("best")
    assert not is_fraction("best", "best")
    assert is_fraction("query_accuracy@3", "score")


def axes_of(report):
    axes = Figure().subplots()
    plot_curve(axes, report)
    return axes


def test_the_plot_is_named_by_the_metric():
    axes = axes_of(rollout(TALK))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "score")
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["open: mean of agents", "mute: mean of agents"]
    assert axes.get_yscale() == "linear"
    report = rollout(TALK)
    report.headline = "accuracy"
    axes = axes_of(report)
    assert axes.get_ylabel() == "accuracy, %"
    assert "open: best agent" in [text.get_text() for text in axes.get_legend().get_texts()]
    mean = np.array(report.curves["open"]).mean((1, 2))
    np.testing.assert_allclose(axes.lines[0].get_ydata(), 100 * mean)


def test_curves_over_decades_have_a_logarithmic_axis():
    assert axes_of(rollout(DESCENT)).get_yscale() == "log"
    short = axes_of(rollout(customise(DESCENT, steps=5)))
    assert short.get_yscale() == "linear"
    report = rollout(DESCENT)
    report.curves["open"][0] = [[-1.0] * 3] * 3
    assert axes_of(report).get_yscale() == "linear"


# ---- the command line -----------------------------------------------------------------------------------


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    """Call the command line in an empty folder, with the two scenarios: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    for scenario in (DESCENT, TALK):
        monkeypatch.setitem(registry, scenario.name, scenario)

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_run_as_json_leaves_a_folder(call):
    code, out, err = call("run", "descent", "--steps", "5", "--seeds", "0-1", "--json", "--out", "run")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["curve"]["steps"] == [1, 2, 3, 4, 5]
    assert found["summary"]["open"]["best"]["mean"] == pytest.approx(
        float(places(0).min() + places(1).min()) / 2 / 2**5
    )
    made = {path.name for path in Path("run").iterdir()}
    assert {"config.json", "report.json", "curve.png", "picture.png", "checkpoints"} <= made
    drawn = imread("run/picture.png")  # [H, W, 4] in [0, 1]
    shade = (60 * places(0) / 2**5).to(torch.uint8).numpy()
    np.testing.assert_allclose(255 * drawn[-1, :, 0], shade, atol=1e-4)  # the last step is at the bottom
    code, out, _ = call("run", "--resume", "run")
    assert code == 0
    assert "distance" in out


@pytest.mark.parametrize("drawn", [(1, 3), (1, 2, 6), (1, 4, 15, 60), (1, 3, 11, 36, 121, 400)])
def test_pictures_are_of_more_and_more_distant_steps(drawn):
    """Fewer of a short run, where less happens; what happens first is seen of a long one."""
    run = Rollout(customise(DESCENT, steps=drawn[-1]), seeds=(0,))
    run.run(pictures=6)
    shades = [(60 * places(0) / 2.0**step).to(torch.uint8).tolist() for step in drawn]
    assert [picture[0, :, 0].tolist() for picture in run.pictures] == shades


def test_a_world_that_cannot_be_drawn_leaves_no_picture(call):
    code, _, err = call("run", "talk", "--seeds", "0", "--out", "run")
    assert (code, err) == (0, "")
    assert Path("run/curve.png").exists()
    assert not Path("run/picture.png").exists()


def test_a_run_whose_report_is_gone_resumes(call):
    first = json.loads(call("run", "talk", "--json", "--out", "run")[1])
    Path("run/report.json").unlink()
    code, out, err = call("run", "--resume", "run", "--json")
    assert (code, err) == (0, "")
    again = json.loads(out)
    for key in ("metrics", "curve", "social_gain"):
        assert again[key] == first[key]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["talk", "--steps", "5"],
            "talk-v0 counts rounds: leave out --steps, and give --set rounds=N",
        ),
        (["descent", "--controls", "mute"], "descent-v0 has no modes to run controls in"),
        (["descent", "--set", "policy=median"], "policy median needs a world that takes actions"),
        (["talk", "--set", "policy=mutual"], "students need a world of soft targets"),
        (["descent", "--set", "learners=mlp"], "hosts no learners"),
        (["descent", "--set", "rounds=3"], "'rounds': it is called 'horizon' here"),
    ],
)
def test_mistakes_are_one_line(call, arguments, words):
    code, out, err = call("run", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("studyhall: ")
    assert err.count("\n") == 1
    assert words in err


def test_reproduce(call):
    code, out, err = call("reproduce", "talking", "--out", "found.json")
    assert (code, err) == (1, "")
    (entry,) = json.loads(Path("found.json").read_text(encoding="utf-8"))["scenarios"]
    assert entry["headline"] == "score"
    assert [claim["verdict"] for claim in entry["claims"]] == ["holds", "does not hold"]
    assert row(out.partition("sources")[0], "talk")[:4] == ["talk", "score", "0.9", "masc-notes"]
    assert row(out, "bytes per message")[:4] == ["bytes per message", "1,500", "k1-notes", "1.5 ± 0"]
    assert "± 1 (ours)" in out
    assert "talk, mute" in out
    assert "exam" not in out
    code, out, _ = call("reproduce", "talking", "--quick", "--json")
    (entry,) = json.loads(out)["scenarios"]
    assert (code, entry["steps"], entry["seeds"]) == (0, 4, [0, 1])  # its length is not a horizon to cut


def test_a_quick_reproduction_never_lengthens_a_run():
    scenario = dataclasses.replace(DESCENT, env_kwargs={}, measure_at=(), system="descending")
    (entry,) = reproduce([scenario], quick=True)
    assert entry["steps"] == 6  # the world's own default
    assert entry["comparable"]


def test_what_was_trained_first_can_be_repeated(call, monkeypatch):
    scenario = Scenario(
        "told",
        "two witnesses of a vector",
        env="consensus-v0",
        policy="consensus_network",
        env_kwargs={"data": "vector", "agents": 2, "slice_size": 8, "width": 4, "dimensions": 4},
        policy_kwargs={"width": 8},
        training={"updates": 4, "learning_rate": 0.01},
        system="telling",
    )
    monkeypatch.setitem(registry, "told", scenario)
    (entry,) = reproduce([scenario])
    assert entry["scenario"] == Report(scenario, (0,)).as_json()["scenario"]
    assert entry["trained_by"] == "studyhall train told --algo backprop"
    code, _, err = call(*entry["trained_by"].split()[1:], "--out", "again")
    assert code == 0, err
    again = rollout(dataclasses.replace(scenario, policy="again/best.zip", policy_kwargs={}))
    assert again.metrics == entry["metrics"]
    monkeypatch.setattr("studyhall.rollouts.runs.reproduce.QUICK_TRAINING", 0.5)
    (short,) = reproduce([scenario], quick=True)
    assert short["trained_by"].endswith(" --cpu-seconds 0.5")
    assert not short["comparable"]
    (plain,) = reproduce([TALK])
    assert "trained_by" not in plain


def test_comparisons_keep_classes_and_other_worlds_apart():
    (talk,) = reproduce([TALK])
    (descent,) = reproduce([DESCENT])
    summary = {"open": {"mean": interval([0.91])._asdict()}}
    early = {"name": "class", "claims": [], "summary": summary}  # as written when there were classes only
    text = printed(comparison([talk, early, descent]), width=200)
    assert text.index("test accuracy, %") < text.index("91.00") < text.index("headline")
    assert text.index("headline") < text.index("talk, mute") < text.index("descent")
    assert "headline" not in printed(comparison([early]), width=200)
    assert "test accuracy" not in printed(comparison([talk]), width=200)
    opened, mute = other_rows(talk)
    assert len(opened) == len(COMPARED_OTHERS)
    assert (opened[:2], mute[:2]) == (("talk", "score"), ("talk, mute", "score"))
    assert opened[3:5] == ("1.5 ± 0", "9 ± 0")
    end, step = other_rows(descent)
    assert (end[3], step[0]) == ("–", "  at step 4")
    assert "documented beside measured; accuracies in %" in printed(claims_table([talk, early]), width=200)


def test_claims_are_written_in_the_metrics_unit():
    claim = Claim("best@4", 1e-41, "masc-notes", 2e-42, "ours", half=3e-42)
    cells = claim_cells(judged(claim, {"open": {"best@4": [2e-41, 2e-41, 2e-41]}}), "best")
    measured = ("masc-notes", "2e-41 ± 0", "does not hold", "± 2e-42 (ours)")
    assert cells == ("best, step 4", "1e-41 ± 3e-42", *measured)


def test_a_mode_and_no_channel_say_so_without_the_command_line():
    with pytest.raises(ConfigError, match="leave the controls out"):
        Rollout(dataclasses.replace(DESCENT, controls=("mute",)))
    with pytest.raises(ConfigError, match="take another policy"):
        check_policy_fits(dataclasses.replace(TALK, policy="median"))
