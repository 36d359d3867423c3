"""Networks that a run leaves when a stage is over: which, when, and that each says by itself what it said there."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile

import pytest
import torch

from studyhall.envs.errors import ConfigError
from studyhall.learners import Conv3
from studyhall.rollouts.runs.run import Rollout, Stopped
from studyhall.rollouts.storage.networks import read_network
from studyhall.scenarios import get_scenario

EXPERTS = [f"expert_{agent}" for agent in range(5)]
GROWN = [f"grown_{agent}" for agent in range(5)]


def tiny(policy=None, controls=(), **env):
    scenario = get_scenario("masc-digits")
    small = {"horizon": 20, "exam_every": 19, "slice_size": 8}
    kwargs = {**scenario.env_kwargs, **small, **env}
    return dataclasses.replace(scenario, env_kwargs=kwargs, policy_kwargs=policy or {}, controls=controls)


def left(folder, seed=0):
    return sorted(path.stem for path in (folder / f"seed_{seed}").glob("*"))


def inputs(run):
    return run.world.dataset.inputs("test", torch.arange(len(run.world.dataset.test)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run to its end, and the folder of its networks."""
    run, folder = Rollout(tiny(controls=("mute",)), seeds=(3, 7)), tmp_path_factory.mktemp("stages")
    run.run(networks=folder)
    return run, folder


def test_each_network_says_what_it_said_in_the_run(whole):
    run, folder = whole
    x = inputs(run)
    said = run.policy.variants(x)
    assert sorted(path.name for path in folder.iterdir()) == ["seed_3", "seed_7"]
    for row, seed in enumerate((3, 7)):
        assert left(folder, seed) == sorted([*EXPERTS, "student", *GROWN])
        for name in left(folder, seed):
            part, _, agent = name.partition("_")
            network = read_network(folder / f"seed_{seed}" / f"{name}.zip")
            with torch.no_grad():
                own = network.module(x).softmax(-1)
            assert torch.allclose(own, said[part][row, int(agent or 0)], atol=1e-5)
            assert (network.part, network.agent) == (part, int(agent) if agent else None)


def test_a_file_says_what_the_network_is(whole):
    run, folder = whole
    grown = read_network(folder / "seed_3" / "grown_2.zip")
    data = run.world.dataset
    assert (grown.shape, grown.classes, grown.data) == (data.shape, data.classes, "digits")
    assert grown.own_classes == (4, 5)
    assert (grown.mean, grown.std) == (data.mean, data.std)
    assert grown.offset == pytest.approx(float(run.policy.offsets()[0, 2]), abs=1e-6)
    assert read_network(folder / "seed_3" / "student.zip").own_classes == ()
    assert read_network(folder / "seed_3" / "expert_4.zip").offset is None


def test_networks_of_a_seed_are_of_one_origin_whatever_runs_beside_it(whole, tmp_path):
    _, folder = whole
    Rollout(tiny(), seeds=7).run(networks=tmp_path)

    def origins(folder):
        return {read_network(path).origin for path in folder.glob("*.zip")}

    assert len(origins(folder / "seed_7")) == 1
    assert origins(folder / "seed_7") == origins(tmp_path / "seed_7")
    assert origins(folder / "seed_7") != origins(folder / "seed_3")


def test_networks_are_left_as_soon_as_a_stage_is_over(tmp_path):
    run = Rollout(tiny(), seeds=0)
    assert run.policy.milestones == (7, 18, 20)
    seen = {}
    run.simulate(networks=tmp_path, stop=lambda: seen.setdefault(run.done, left(tmp_path)) and False)
    assert seen[6] == []
    assert seen[7] == seen[17] == EXPERTS
    assert seen[18] == seen[19] == sorted([*EXPERTS, "student"])
    assert left(tmp_path) == sorted([*EXPERTS, "student", *GROWN])


@pytest.mark.parametrize("step", [5, 7, 12, 18, 19])
def test_a_run_that_is_taken_up_leaves_the_same(step, tmp_path, whole):
    _, folder = whole
    run = Rollout(tiny(controls=("mute",)), seeds=(3, 7))
    with pytest.raises(Stopped):
        run.simulate(checkpoint=tmp_path / "checkpoints", stop=lambda: run.done == step)
    again = Rollout(tiny(controls=("mute",)), seeds=(3, 7))
    again.load(tmp_path / "checkpoints")
    again.simulate(networks=tmp_path / "stages")
    assert left(tmp_path / "stages", 7) == left(folder, 7)
    for name in left(folder, 7):
        one, other = (root / "seed_7" / f"{name}.zip" for root in (folder, tmp_path / "stages"))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("step", [12, 19])
def test_a_run_that_is_taken_up_mends_what_was_damaged(step, tmp_path, whole):
    run = Rollout(tiny(controls=("mute",)), seeds=(3, 7))
    stages, checkpoints = tmp_path / "stages", tmp_path / "checkpoints"
    with pytest.raises(Stopped):
        run.simulate(checkpoint=checkpoints, networks=stages, stop=lambda: run.done == step)
    for path in (stages / "seed_7").iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    again = Rollout(tiny(controls=("mute",)), seeds=(3, 7))
    again.load(checkpoints)
    again.simulate(networks=stages)
    for name in [*EXPERTS, "student", *GROWN]:
        one, other = (root / "seed_7" / f"{name}.zip" for root in (whole[1], stages))
        assert one.read_bytes() == other.read_bytes()


def test_equal_runs_leave_equal_bytes_whatever_the_date(whole):
    """The bytes are compared above; a second later dates in the files would differ."""
    for path in (whole[1] / "seed_7").iterdir():
        with zipfile.ZipFile(path) as archive:
            assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_each_has_a_student_of_its_own_where_not_everybody_hears_the_same(tmp_path):
    run = Rollout(tiny(topology="ring"), seeds=0)
    run.run(networks=tmp_path)
    assert left(tmp_path) == sorted([*EXPERTS, *(f"student_{agent}" for agent in range(5)), *GROWN])
    student = read_network(tmp_path / "seed_0" / "student_1.zip")
    assert (student.agent, student.own_classes) == (1, (2, 3))
    x = inputs(run)
    with torch.no_grad():
        own = student.module(x).softmax(-1)
    assert torch.allclose(own, run.policy.variants(x)["student"][0, 1], atol=1e-5)


def test_a_student_taught_across_networks_is_left_without_its_teachers(tmp_path):
    run = Rollout(tiny({"teaching": "networks", "carrier": "weights"}), seeds=0)
    run.run(networks=tmp_path)
    x = inputs(run)
    with torch.no_grad():
        own = read_network(tmp_path / "seed_0" / "student.zip").module(x).softmax(-1)
    assert torch.allclose(own, run.policy.variants(x)["student"][0, 0], atol=1e-5)


def test_nobody_is_left_whom_nobody_taught(tmp_path):
    Rollout(tiny(mode="mute"), seeds=0).run(networks=tmp_path)
    assert left(tmp_path) == EXPERTS


def test_no_teacher_is_left_of_a_run_without_a_third_stage(tmp_path):
    Rollout(tiny({"shares": [0.5, 0.5]}), seeds=0).run(networks=tmp_path)
    assert left(tmp_path) == sorted([*EXPERTS, "student"])


def test_a_policy_without_stages_leaves_nothing(tmp_path):
    Rollout(get_scenario("classroom-digits").within(3), seeds=0).run(networks=tmp_path / "stages")
    assert not (tmp_path / "stages").exists()


# ---- files that are not as they should be ---------------------------------------------------------------


def changed(path, **about) -> bytes:
    """The file, saying something else of itself."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(out, "w") as other:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "studyhall.json":
                content = json.dumps({**json.loads(content), **about})
            other.writestr(name, content)
    return out.getvalue()


@pytest.mark.parametrize(
    "about",
    [
        {"part": 1},
        {"kind": "vgg"},
        {"kind": "cnn"},
        {"kind": ["conv3"]},
        {"kind": 3},
        {"width": 2**31 - 1},
        {"width": -1},
        {"width": "8"},
        {"shape": [1, 8]},
        {"shape": [1, 10**9, 10**9]},
        {"shape": "188"},
        {"classes": ["0", "1"]},
        {"classes": ["0"] * 10},
        {"classes": [[]] * 10},
        {"own_classes": [10]},
        {"own_classes": None},
        {"agent": "0"},
        {"origin": 7},
        {"data": None},
        {"mean": [0.1, 0.2]},
        {"std": ["x"]},
        {"std": [float("nan")]},
        {"offset": 10**400},
        {"offset": "b"},
    ],
    ids=str,
)
def test_what_a_file_says_of_itself_is_checked(about, whole, tmp_path):
    path = tmp_path / "grown.zip"
    path.write_bytes(changed(whole[1] / "seed_3" / "grown_2.zip", **about))
    with pytest.raises(ConfigError, match=r"is damaged or no network of studyhall: take another") as caught:
        read_network(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "lacking", ["part", "kind", "shape", "classes", "own_classes", "agent", "origin", "data", "mean"]
)
def test_what_a_file_does_not_say_is_missed(lacking, whole, tmp_path):
    path, about = tmp_path / "grown.zip", {}
    with zipfile.ZipFile(whole[1] / "seed_3" / "grown_2.zip") as archive, zipfile.ZipFile(path, "w") as other:
        about = json.loads(archive.read("studyhall.json"))
        del about[lacking]
        other.writestr("studyhall.json", json.dumps(about))
        other.writestr("policy.pth", archive.read("policy.pth"))
    with pytest.raises(ConfigError, match="is damaged or no network of studyhall"):
        read_network(path)


def test_a_file_that_is_cut_or_scribbled_over_is_damaged(whole, tmp_path):
    path = tmp_path / "grown.zip"
    content = (whole[1] / "seed_3" / "grown_2.zip").read_bytes()
    for cut in range(0, len(content), len(content) // 50):
        path.write_bytes(content[:cut])
        with pytest.raises(ConfigError, match=r"is damaged or no network of studyhall|is no network of"):
            read_network(path)
    said = []
    for place in range(40, len(content), len(content) // 50):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            read_network(path)  # a byte that nobody reads, such as a date
        except ConfigError as fault:
            said.append(str(fault))
    assert len(said) > 25
    assert not [line for line in said if "\n" in line]


def test_a_network_of_ones_own_is_kept_and_not_made(tmp_path):
    def factory():
        return Conv3((1, 8, 8), 10, 4)

    run = Rollout(tiny({"learners": [factory, factory]}), seeds=0)
    run.run(networks=tmp_path)
    path = tmp_path / "seed_0" / "student.zip"
    with pytest.raises(ConfigError, match="of a class of somebody's own, which a file cannot make"):
        read_network(path)
    with zipfile.ZipFile(path) as archive:  # its owner can
        weights = torch.load(io.BytesIO(archive.read("policy.pth")), weights_only=True)
    module = factory().eval()
    module.load_state_dict(weights)
    x = inputs(run)
    with torch.no_grad():
        own = module(x).softmax(-1)
    assert torch.allclose(own, run.policy.variants(x)["student"][0, 0], atol=1e-5)


def test_there_is_no_such_file(tmp_path):
    for path in (tmp_path / "none.zip", tmp_path):
        with pytest.raises(
            ConfigError, match=r"^no network '.*' \(.*\): give a file that studyhall run left"
        ):
            read_network(path)
