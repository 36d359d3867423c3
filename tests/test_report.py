"""The page of a run: what is on it, what it never loads, and the trace that runs leave for it."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from studyhall import make_world, report, rollout
from studyhall.envs.errors import ConfigError, StudyhallWarning
from studyhall.envs.untrusted import Unreadable
from studyhall.rollouts import Report, Rollout, Stopped
from studyhall.rollouts.reports.page.data import figures
from studyhall.rollouts.reports.trace import POINTS, ROOM, Trace
from studyhall.rollouts.runs.report import address_of, server_of
from studyhall.rollouts.runs.run_folder import RunFolder
from studyhall.rollouts.settings import customise
from studyhall.scenarios import get_scenario
from tests.report_pages import NASTY, TINY, Taken

pytest.importorskip("plotly", reason="reports need the extra `report`")

SECTIONS = ["results", "curves", "listening", "costs", "seen", "claims", "configuration"]
ANEW = "made before runs kept what belongs here"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Of a run that has ended."""
    out = tmp_path_factory.mktemp("run") / "run"
    rollout(TINY, out=out)
    return out


@pytest.fixture(scope="module")
def page(folder) -> Taken:
    return Taken(report(folder).read_text(encoding="utf-8"))


def data_of(page: Taken) -> list[dict]:
    return json.loads(page.scripts[0])["runs"]


# ---- what is on it --------------------------------------------------------------------------------------------


def test_a_page_is_well_formed_and_has_a_heading_for_each_section(page):
    assert page.open == []
    ids = [attributes["id"] for attributes in page.all("section")]
    assert ids == SECTIONS
    links = [a["href"] for a in page.all("a")]
    assert links == ["#results", *(f"#{name}" for name in SECTIONS)]
    headings = [a["id"] for a in page.all("h2")]
    assert [a["aria-labelledby"] for a in page.all("section")] == headings
    assert len(page.all("h1")) == 1
    assert page.all("html") == [{"lang": "en"}]
    assert all(image["alt"] for image in page.all("img"))


def test_a_page_loads_nothing(page):
    given = [value for _, attributes in page.elements for value in attributes.values()]
    links = [a[key] for _, a in page.elements for key in ("src", "href") if a.get(key)]
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert not page.all("link")
    assert any("default-src 'none'" in value for value in given if value)


def test_text_of_a_run_is_never_markup(page):
    assert NASTY[0].upper() + NASTY[1:] in page.texts[""]
    assert not page.all("b")
    assert len(page.scripts) == 3  # figures, Plotly, ours
    assert "alert(1)" not in "".join(page.scripts[1:])


def test_a_page_says_what_the_terminal_says(page, folder):
    for words in (
        "test accuracy, %",
        "student 2",
        "labels revealed",
        "social gain, points",
        "peers against mute",
    ):
        assert words in page.texts["results"]
    assert "No figures are documented for tiny" in page.texts["claims"]
    said = page.texts["configuration"]
    assert "teacher_budget" in said
    assert "python " in said
    assert "after step 6 of 6" in page.texts["seen"]
    assert "teacher's budget left" in page.texts["seen"]  # the world as text


def test_figures_of_a_page_are_those_of_the_run(page, folder):
    (run,) = data_of(page)
    found = RunFolder(folder).found()
    assert (run["modes"], run["seeds"], run["steps"]) == (["open", "mute"], [0, 1], [1, 2, 3, 4, 5, 6])
    shown = np.array(run["metrics"]["exam_accuracy"]["values"])  # [modes, S, P, N]
    for mode, curve in zip(run["modes"], shown, strict=True):
        np.testing.assert_allclose(curve.swapaxes(0, 1), found.curves[mode], rtol=1e-3)
    assert np.array(run["budget"])[0, 0, -1] == 0
    sent = np.array(run["metrics"]["bytes"]["values"], dtype=float)[..., -1, :].sum(-1) / 1024
    for mode, kib in zip(run["modes"], sent, strict=True):
        np.testing.assert_allclose(kib, found.metrics[mode]["kib"], rtol=1e-3)
    heard = np.array(run["listening"]["weights"])  # [P, S, N, K]
    assert heard.shape == (6, 2, 3, 2)
    assert heard.any()


def test_several_runs_stand_side_by_side(folder, tmp_path):
    found = rollout(dataclasses.replace(TINY, env_kwargs={**TINY.env_kwargs, "topology": "ring"}))
    page = Taken(report(folder, found, out=tmp_path / "both.html").read_text(encoding="utf-8"))
    assert [a["id"] for a in page.all("section")] == ["compared", *SECTIONS]
    assert [run["name"] for run in data_of(page)] == [str(folder), "run 2"]
    assert "topology=ring" in page.texts["compared"]
    assert "No pictures were kept" in page.texts["seen"]


def test_a_page_says_first_what_was_changed(tmp_path):
    changes = {"policy": "mutual", "agents": 2, "topology": "ring", "controls": (), "seeds": 0, "steps": 2}
    one = rollout("classroom-digits", **changes, policy_kwargs={"hidden": [4]})
    page = report(one, out=tmp_path / "one.html").read_text(encoding="utf-8")
    assert "no controls. Changed in this run: policy, agents, topology.</p>" in page
    same = report(rollout(TINY), out=tmp_path / "same.html").read_text(encoding="utf-8")
    assert "Changed in this run" not in same  # of a scenario that nobody registered nothing is known


def test_claims_are_judged_where_the_run_is_the_scenario_alone(tmp_path):
    scenario = get_scenario("classroom-mnist-budgeted")
    found = Report(scenario, (0, 1, 2), curves={"open": [[[0.5]] * 3]}, steps=[1])
    found.metrics = {"open": {claim.metric: [claim.documented] * 3 for claim in scenario.claims}}
    said = Taken(report(found, out=tmp_path / "a.html").read_text(encoding="utf-8")).texts["claims"]
    assert "6 of 6 documented figures hold" in said
    changed = dataclasses.replace(found, scenario=customise(scenario, steps=2000))
    said = Taken(report(changed, out=tmp_path / "b.html").read_text(encoding="utf-8")).texts["claims"]
    assert "this run differs from the scenario in horizon" in said


# ---- folders ----------------------------------------------------------------------------------------------------


def test_runs_of_earlier_versions_say_what_is_missing(folder, tmp_path):
    old = shutil.copytree(folder, tmp_path / "old")
    (old / "trace.zip").unlink()
    page = Taken(report(old).read_text(encoding="utf-8"))
    assert ANEW in page.texts["seen"]
    (run,) = data_of(page)
    assert run["listening"] is None
    assert ANEW in run["unheard"]
    assert ANEW in run["uncharged"]
    assert np.shape(run["metrics"]["exam_accuracy"]["values"]) == (
        2,
        2,
        6,
        3,
    )  # the curves are there all the same


def test_a_damaged_trace_is_left_out(folder, tmp_path):
    hurt = shutil.copytree(folder, tmp_path / "hurt")
    (hurt / "trace.zip").write_bytes((folder / "trace.zip").read_bytes()[:-200])
    with pytest.warns(StudyhallWarning, match=r"trace\.zip cannot be read"):
        page = Taken(report(hurt).read_text(encoding="utf-8"))
    assert ANEW in page.texts["seen"]


def test_the_command_writes_beside_the_run_or_where_it_is_told(call, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = call("report", str(folder))
    assert (code, err) == (0, "")
    assert f"the report is {folder}/report.html" in out
    assert call("report", str(folder), str(folder), "--out", "both.html")[0] == 0
    assert Path("both.html").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nothing",), "nothing is no folder of a run"),
        (("RUN", "--out", "none/a.html"), "none is no folder: make it first"),
        (("RUN", "--out", "."), "is a folder: name a file in it"),
    ],
)
def test_what_cannot_be_reported_is_said_in_one_line(call, folder, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = call("report", *(str(folder) if a == "RUN" else a for a in arguments))
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_without_plotly_a_line_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(ConfigError, match=r"pip install 'studyhall\[report\]'"):
        report(folder)


def test_one_file_is_served_and_nothing_else(folder):
    path = report(folder)
    server = server_of(path, 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with urllib.request.urlopen(address_of(server)) as answer:
            assert answer.read() == path.read_bytes()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(address_of(server) + "config.json")
        with pytest.raises(ConfigError, match="give another with --port"):
            server_of(path, server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# ---- traces -------------------------------------------------------------------------------------------------------


def test_traces_are_sparse_and_end_with_the_run():
    run = Rollout(dataclasses.replace(get_scenario("swarm-sphere"), env_kwargs={"horizon": 501}), seeds=(0,))
    run.simulate()
    trace = run.run().trace
    assert len(trace.steps) == 167 <= POINTS  # every third
    assert trace.steps[-1] == 501
    np.testing.assert_allclose(trace.figures["best"][-1], run.world.metrics()["best"].numpy())


def test_a_trace_of_many_agents_has_fewer_points_and_one_of_too_many_no_edges():
    many = {"agents": 600, "topology": "complete", "slice_size": 1, "exam_size": 10, "horizon": 400}
    scenario = dataclasses.replace(TINY, env_kwargs=many, policy="random", policy_kwargs={}, controls=())
    run = Rollout(scenario, seeds=range(6))
    trace = run._recorder.trace
    assert ROOM < 600 * 599 * 6 * 2
    assert trace.title == "who heard whom"
    assert not trace.who.size
    assert run._recorder.every > 2
    run.report.curves, run.report.steps = {"open": [[[0.5]] * 6]}, [1]
    run._recorder.look(1)
    run.report.trace = run._recorder.made()
    shown = figures(run.report)  # nobody reads 600 lines: the page has means
    assert "a graph of 600 students" in shown["unheard"]
    assert (shown["labels"], shown["metrics"]["bytes"]["of"]) == ([], 600)
    assert np.shape(shown["metrics"]["bytes"]["values"]) == (1, 6, 1)


def test_a_trace_comes_back_from_its_bytes_and_other_bytes_are_refused(folder):
    content = (folder / "trace.zip").read_bytes()
    trace = Trace.from_bytes(content)
    assert trace.as_bytes() == content
    assert trace.labels == ["student_0", "student_1", "student_2"]
    trace.weights = trace.weights[:-1]
    with pytest.raises(Unreadable, match="do not fit"):
        Trace.from_bytes(trace.as_bytes())
    with pytest.raises(Unreadable):
        Trace.from_bytes(content[: len(content) // 2])
    with pytest.raises(Unreadable):
        Trace.from_bytes(b"")


def test_a_checkpoint_of_an_earlier_version_is_taken_up_with_what_is_left(tmp_path):
    run = Rollout(TINY)
    with pytest.raises(Stopped):
        run.run(checkpoint=tmp_path, stop=lambda: run.done == 3)
    checkpoints = run._checkpoints(tmp_path)
    saved = checkpoints.read("cpu")
    del saved["trace"]
    checkpoints.write(saved)
    again = Rollout(TINY)
    again.load(tmp_path)
    assert again.run().trace.steps == [4, 5, 6]


def test_who_listens_to_whom_is_what_agents_decided():
    world = make_world("society-v0", agents=3, learners="mlp", hidden=(4,), liars=1, horizon=5, exam_size=10)
    obs = world.reset(seed=0)
    for _ in range(2):
        listen = obs["sources_mask"].clone().float()
        listen[:, :, 1] = 0  # to the next but one nobody listens
        obs = world.step({"listen": listen}).obs
    told = world.listening()
    assert told.title == "who listens to whom"
    assert told.who.tolist() == [[1, 2], [2, 0], [0, 1]]
    assert (told.weights[..., 1] == 0).all()
    assert (told.weights[..., 0] > 0).all()


def test_halves_keep_what_was_seen_painted_and_right():
    world = make_world("halves-v0", slice_size=3)
    world.reset(seed=0)
    shown = world.exhibits()
    assert list(shown) == [f"viewer_{i} {what}" for i in (0, 1) for what in ("saw", "painted", "truth")]
    assert {image.shape for image in shown.values()} == {(56, 168, 3)}
