"""``studyhall test``: networks that a run left, tested by themselves, and everything that can be wrong with them."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from studyhall.envs.streams import load_dataset
from studyhall.rollouts import cli
from studyhall.rollouts.storage.networks import read_network

TINY = ("--set", "horizon=60", "--set", "exam_every=59", "--set", "slice_size=16", "--controls", "none")
BRIEF = ("--set", "horizon=20", "--set", "exam_every=19", "--set", "slice_size=16", "--controls", "none")
SIX = ("--set", "data_classes=6", "--set", "stream_items=600", "--set", "expert_classes=1")
FIGURES = ("expert", "general", "average", "global", "directionality", "forgetting", "top5")
DATA = ("--data", "digits")
USES = ("expert", "student", "grown", "masc")


def ended(folder, *settings):
    """The folder of a tiny run by the command line."""
    with pytest.raises(SystemExit) as done:
        cli.main(["run", "masc-digits", *settings, "--out", str(folder), "--json"])
    assert not done.value.code
    return folder


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A run."""
    return ended(tmp_path_factory.mktemp("ran") / "run", "--seeds", "2,5", *TINY)


@pytest.fixture(scope="module")
def of_six(tmp_path_factory):
    """A run on six of the classes."""
    return ended(tmp_path_factory.mktemp("of_six") / "run", "--seeds", "0", *BRIEF, *SIX)


@pytest.fixture(autouse=True)
def _here(ran, tmp_path, monkeypatch):
    """Every command runs in a folder that holds a copy of the run."""
    shutil.copytree(ran, tmp_path / "run")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def found(call):
    """What a command prints as JSON."""

    def run(*arguments: str) -> dict:
        code, out, err = call("test", *arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return run


def files(seed: int = 2, **parts: str) -> list[str]:
    return [
        text for part, name in parts.items() for text in (f"--{part}", f"run/stages/seed_{seed}/{name}.zip")
    ]


def pictures(root: Path, names: dict[int, str] | None = None, size: int = 8) -> Path:
    """The stream and the test split of the digits as a folder of pictures, by default named as the digits are."""
    digits = load_dataset("digits")
    for part, split in (("train", digits.stream), ("test", digits.test)):
        for index, (x, y) in enumerate(zip(split.x, split.y.tolist(), strict=True)):
            if names is not None and y not in names:
                continue
            folder = root / part / (str(y) if names is None else names[y])
            folder.mkdir(parents=True, exist_ok=True)
            grey = np.round(x[0].numpy().astype(float) * 255 / 16).astype(np.uint8)
            Image.fromarray(grey).resize((size, size), Image.Resampling.NEAREST).save(folder / f"{index}.png")
    return root


# ---- the figures are those of the run ---------------------------------------------------------------------


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(("place", "seed"), [(0, 2), (1, 5)])
def test_figures_are_those_of_the_report(use, place, seed, found):
    report = json.loads(Path("run/report.json").read_text())["metrics"]["open"]
    trial = found("run", "--seed", str(seed), "--use", use, "--top", "5")
    assert (trial["use"], trial["seed"], trial["data"]) == (use, seed, "digits")
    assert (trial["items"], trial["classes"]) == (len(load_dataset("digits").test), 10)
    assert [figure["agent"] for figure in trial["agents"]] == [0, 1, 2, 3, 4]
    for name in FIGURES:
        assert trial["mean"][name] == pytest.approx(report[f"{use}_{name}"][place], abs=1e-6)


def test_the_choice_and_the_first_seed_are_the_defaults(found):
    assert found("run") == found("run", "--use", "masc", "--seed", "2")


def test_one_agent(found):
    everyone = found("run", "--use", "grown")
    one = found("run", "--use", "grown", "--agent", "3")
    assert one["agents"] == [everyone["agents"][3]]


def test_batches_change_nothing(found):
    one, other = found("run"), found("run", "--batch", "7")
    for a, b in zip(one["agents"], other["agents"], strict=True):
        assert a == pytest.approx(b, abs=1e-6)


def test_the_choice_is_by_free_energy(found):
    """Beside a reckoning by hand from the files."""
    digits = load_dataset("digits")
    x = digits.inputs("test", torch.arange(len(digits.test)))
    student, grown = (read_network(Path(f"run/stages/seed_2/{name}.zip")) for name in ("student", "grown_1"))
    with torch.no_grad():
        known, own = student.module(x), grown.module(x)
    right = 0
    for a, b, label in zip(known, own, digits.test.y, strict=True):
        grows = -float(b.double().logsumexp(0)) + grown.offset < -float(a.double().logsumexp(0))
        right += int((b if grows else a).argmax() == label)
    assert found("run", "--agent", "1")["agents"][0]["global"] == pytest.approx(right / len(x), abs=1e-6)


# ---- files, and other data --------------------------------------------------------------------------------


def test_files_say_what_the_run_says(found):
    of_run = found("run", "--agent", "2")
    both = files(student="student", grown="grown_2")
    of_files = found(*both, *files(expert="expert_2"), "--data", "digits")
    assert of_files["agents"] == of_run["agents"]
    assert of_files["seed"] is None
    without = found(*both, "--data", "digits")["agents"][0]
    assert without == {name: value for name, value in of_run["agents"][0].items() if name != "forgetting"}
    expert = found(*files(expert="expert_2"), "--data", "digits")
    assert expert["use"] == "expert"
    assert expert["agents"] == found("run", "--agent", "2", "--use", "expert")["agents"]
    grown = found(*both, "--use", "grown", "--data", "digits")["agents"][0]
    assert grown["global"] == found("run", "--agent", "2", "--use", "grown")["agents"][0]["global"]


def test_files_need_nothing_of_the_run(found, tmp_path):
    of_run = found("run", "--agent", "2")
    for name in ("student", "grown_2"):
        shutil.copy(f"run/stages/seed_2/{name}.zip", tmp_path)
    shutil.rmtree("run")
    alone = found("--student", "student.zip", "--grown", "grown_2.zip", "--data", "digits")
    assert alone["agents"][0]["expert"] == of_run["agents"][0]["expert"]


def test_a_student_alone_does_not_say_whose_classes_are_whose(found, call):
    agents = found(*files(student="student"), "--data", "digits", "--top", "3")["agents"]
    assert agents[0]["expert"] is None
    assert agents[0]["agent"] is None
    assert 0 < agents[0]["global"] < agents[0]["top3"] < 1
    assert "–" in call("test", *files(student="student"), "--data", "digits")[1]


def test_a_folder_of_the_same_pictures_gives_the_same_figures(found, tmp_path):
    folder = pictures(tmp_path / "drawn")
    of_run, of_folder = found("run"), found("run", "--data", str(folder))
    assert of_folder["data"] == "drawn"
    assert of_folder["items"] == of_run["items"]
    for one, other in zip(of_run["agents"], of_folder["agents"], strict=True):
        assert other == pytest.approx(one, abs=0.03)  # greys are rounded, 16 steps to 255


def test_pictures_are_resized_and_normalised_as_in_training(found, tmp_path):
    folder = pictures(tmp_path / "large", size=16)
    agents = found("run", "--data", str(folder), "--use", "student")["agents"]
    test = load_dataset(str(folder), image_size=8).test
    student, digits = read_network(Path("run/stages/seed_2/student.zip")), load_dataset("digits")
    with torch.no_grad():
        said = student.module((test.x / 255 - digits.mean) / digits.std).argmax(-1)
    assert agents[0]["global"] == pytest.approx(float((said == test.y).float().mean()), abs=3e-3)


def test_classes_are_found_by_name(found, tmp_path):
    """Of a folder with some of the classes only, in another order of places."""
    folder = pictures(tmp_path / "some", {7: "7", 2: "2"})
    digits = load_dataset("digits")
    trial = found("run", "--data", str(folder), "--agent", "3", "--use", "student")
    assert (trial["classes"], trial["items"]) == (2, int(digits.test.counts[[2, 7]].sum()))
    student = read_network(Path("run/stages/seed_2/student.zip"))
    for name, label in (("expert", 7), ("general", 2)):  # agent 3 owns 6 and 7
        rows = (digits.test.y == label).nonzero().flatten()
        with torch.no_grad():
            said = student.module(digits.inputs("test", rows)).argmax(-1)
        assert trial["agents"][0][name] == pytest.approx(float((said == label).float().mean()), abs=0.05)


def test_an_agent_none_of_whose_classes_is_there_has_no_figure_of_them(found, tmp_path):
    folder = pictures(tmp_path / "some", {7: "7", 2: "2"})
    trial = found("run", "--data", str(folder))
    assert [figure["expert"] is None for figure in trial["agents"]] == [True, False, True, False, True]
    assert [figure["average"] is None for figure in trial["agents"]] == [True, False, True, False, True]
    assert trial["mean"]["general"] is not None
    assert trial["mean"]["expert"] is None
    assert trial["mean"]["global"] is not None


# ---- on a terminal ----------------------------------------------------------------------------------------


def test_the_table_fits_a_terminal(call, monkeypatch):
    monkeypatch.setattr("studyhall.rollouts.terminal.output.console", lambda: Console(width=80))
    code, out, err = call("test", "run", "--top", "5")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "run · seed 2 · digits: 359 test items of 10 classes"
    heading = next(line for line in lines if "masc, %" in line)
    assert heading.split() == ["masc,", "%", "expert", "general", "average", "global", "forgetting", "top-5"]
    assert sum(line.strip().startswith("agent ") for line in lines) == 5
    assert any(line.strip().startswith("mean ") for line in lines)


def test_help_and_the_list_of_commands(call):
    assert "Test networks that a run" in call("--help")[1]
    assert call("test", "--help")[0] == 0


# ---- what can be wrong ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "test what? give the folder of a run, or files"),
        (["nothing"], "nothing is no folder of a run"),
        (["run", "--seed", "3"], "run is a run of seeds 2, 5, not of 3"),
        (["run/stages/seed_2/student.zip"], "student.zip is a network: give it as --student"),
        (["run/stages/seed_2/grown_1.zip", *DATA], "grown_1.zip is a network: give it as --grown"),
        (["run/stages/seed_2/student.zip", *files(grown="grown_0"), *DATA], "give it as --student"),
        (["run/config.json"], "run/config.json is damaged or no network of studyhall"),
        (["run/stages"], "run/stages is no folder of a run: it has no config.json\n"),
        (["run", "--agent", "9"], "the agents of run are 0 … 4, there is none 9"),
        (["run", "--use", "grow"], "unknown --use 'grow': did you mean 'grown'"),
        (["run", "--top", "10"], "--top takes less than all 10 classes, got 10"),
        (["run", "--device", "gpu"], "unknown device 'gpu'"),
        (["run", "--data", "digit"], "did you mean 'digits'"),
        (["run", "--data", "run"], "run has no train/ and test/: give a folder with both"),
        (["run", "--data", "run/config.json"], "has no test split: give a folder of pictures"),
        (["run", *files(student="student")], "leave out the folder, or --expert, --student and --grown"),
        ([*files(student="student")], "on which data?"),
        (
            [*files(student="student"), *DATA, "--agent", "1"],
            "files are of one agent and of no run: leave out --agent\n",
        ),
        (
            [*files(student="student"), *DATA, "--agent", "1", "--seed", "2"],
            "of no run: leave out --agent and --seed\n",
        ),
        (
            [*files(expert="expert_0"), *DATA, "--use", "masc"],
            "--use masc takes --student and --grown: give them too",
        ),
        ([*files(student="student"), *DATA, "--use", "masc"], "--use masc takes --grown: give it too"),
        ([*files(student="student", expert="expert_0"), *DATA], "which of expert and student is to answer?"),
        (
            [*files(student="grown_0"), *DATA],
            "is not a student's network, but a grown teacher's: give it as --grown",
        ),
        ([*files(grown="expert_0"), *DATA], "is not a grown teacher's network, but an expert's"),
        ([*files(grown="grown_0", expert="expert_1"), *DATA, "--use", "grown"], "give networks of one agent"),
        ([*files(student="student_7"), *DATA], "no network 'run/stages/seed_2/student_7.zip' (No such file"),
        (["--student", "run", *DATA], "no network 'run' ("),
        (["--student", "run/config.json", *DATA], "is damaged or no network of studyhall"),
        (["--student", "run/checkpoints/checkpoint.pt", *DATA], "no network of studyhall"),
    ],
)
def test_mistakes_are_one_line(call, arguments, words):
    code, out, err = call("test", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("studyhall: ")
    assert err.count("\n") == 1
    assert words in err


def refused(call, *arguments: str) -> str:
    """The one line of an error."""
    code, out, err = call("test", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("studyhall: ")
    assert err.count("\n") == 1
    return err


def test_files_that_are_cut_or_of_another_kind(call):
    path = Path("run/stages/seed_2/grown_0.zip")
    content = path.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        assert "is damaged or no network of studyhall: take another" in refused(call, "run")
    path.write_bytes(content.replace(b"digits", b"digitS", 1))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "x")
    assert "is no network of studyhall: it holds no studyhall.json" in refused(call, "run")
    from studyhall.policies.files import trained

    shutil.copy(str(trained()["society-gated"]), path)
    assert "what reads it here reads 'studyhall network 1'" in refused(call, "run")


def test_a_network_that_is_not_finite(call):
    from studyhall.envs.archive import save

    path = Path("run/stages/seed_2/grown_0.zip")
    with zipfile.ZipFile(path) as archive:
        about = json.loads(archive.read("studyhall.json"))
    weights = read_network(path).module.state_dict()
    save(path, about, {name: value.float() * float("nan") for name, value in weights.items()})
    assert "holds weights that are not finite" in refused(call, "run")


def test_networks_of_different_data(call, of_six):
    shutil.copytree(of_six, "other")
    strange = ["--student", "other/stages/seed_0/student.zip", *files(grown="grown_0"), *DATA]
    assert "are of different data: give networks of one run" in refused(call, *strange)
    shutil.copy("other/stages/seed_0/grown_1.zip", "run/stages/seed_2/grown_1.zip")
    assert "are of different data" in refused(call, "run")


def test_networks_of_different_seeds(call):
    two, five = (Path(f"run/stages/seed_{seed}") for seed in (2, 5))
    strange = ["--student", str(two / "student.zip"), "--grown", str(five / "grown_0.zip"), *DATA]
    assert "are of different runs or seeds: give networks of one" in refused(call, *strange)
    strange = ["--expert", str(five / "expert_0.zip"), *files(student="student"), *DATA, "--use", "student"]
    assert "are of different runs or seeds" in refused(call, *strange)
    shutil.copy(five / "grown_1.zip", two / "grown_1.zip")
    assert "seed_2/grown_1.zip are of different runs or seeds" in refused(call, "run")


def test_a_grown_teacher_of_another_student(call):
    """Of the same seed and configuration, but on another machine for example."""
    from studyhall.envs.archive import save

    path = Path("run/stages/seed_2/student.zip")
    with zipfile.ZipFile(path) as archive:
        about = json.loads(archive.read("studyhall.json"))
    weights = read_network(path).module.state_dict()
    save(path, about, {name: value.float() * 1.001 for name, value in weights.items()})
    assert "grown_0.zip did not grow from run/stages/seed_2/student.zip" in refused(call, "run")
    assert "did not grow from" in refused(call, *files(student="student", grown="grown_0"), *DATA)


def test_a_file_under_the_name_of_another_agent(call):
    folder = Path("run/stages/seed_2")
    shutil.copy(folder / "grown_1.zip", folder / "grown_3.zip")
    assert "grown_3.zip is of agent 1, unlike its name" in refused(call, "run")
    shutil.copy(folder / "student.zip", folder / "student_0.zip")
    assert "student_0.zip is everybody's, unlike its name" in refused(call, "run", "--use", "student")


def test_a_run_on_some_of_the_classes_is_tested_on_these(found, of_six):
    shutil.copytree(of_six, "other")
    trial = found("other")
    assert trial["classes"] == 6
    report = json.loads(Path("other/report.json").read_text())["metrics"]["open"]
    assert trial["mean"]["average"] == pytest.approx(report["masc_average"][0], abs=1e-6)
    single = [
        "--student",
        "other/stages/seed_0/student.zip",
        "--grown",
        "other/stages/seed_0/grown_0.zip",
        *DATA,
    ]
    assert found(*single)["classes"] == 6  # the first so many of the digits


def test_classes_that_a_network_does_not_know(call, tmp_path):
    folder = pictures(tmp_path / "odd", {1: "1", 2: "zebra"})
    said = refused(call, "run", "--data", str(folder))
    assert "odd has classes that run/stages/seed_2/expert_0.zip does not know: 'zebra'; it knows '0'," in said


def test_only_a_test_split_of_its_own_is_tested(call, tmp_path):
    """Pictures of train/ may be what the networks learnt from."""
    folder = pictures(tmp_path / "drawn", {1: "1", 2: "2"})
    assert "test has no train/ and test/" in refused(call, "run", "--data", str(folder / "test"))
    (folder / "test").rename(folder / "val")
    assert "drawn has no test/ beside train/" in refused(call, "run", "--data", str(folder))
    shutil.rmtree(folder / "val")
    assert "drawn has no test/ beside train/" in refused(call, "run", "--data", str(folder))
    (folder / "train").rename(folder / "test")
    assert "drawn has no train/ beside test/" in refused(call, "run", "--data", str(folder))


def test_pictures_of_other_channels(call, tmp_path):
    folder = pictures(tmp_path / "odd", {1: "1", 2: "2"})
    for path in folder.rglob("*.png"):
        Image.open(path).convert("RGB").save(path)
    said = refused(call, "run", "--data", str(folder))
    assert (
        "pictures of odd are coloured, and run/stages/seed_2/expert_0.zip reads grey ones: give grey" in said
    )


def test_grey_pictures_for_a_network_of_coloured_ones(call, tmp_path):
    folder = pictures(tmp_path / "coloured")
    for path in folder.rglob("*.png"):
        Image.open(path).convert("RGB").save(path)
    settings = ("--set", f"data={folder}", "--set", "stream_items=900", "--out", "other")
    assert call("run", "masc-digits", "--seeds", "0", *BRIEF, *settings)[0] == 0
    said = refused(call, "other", "--data", "digits")
    assert (
        "pictures of digits are grey, and other/stages/seed_0/expert_0.zip reads coloured ones: give" in said
    )


def test_a_run_that_has_not_come_so_far(call, found):
    for path in Path("run/stages/seed_2").glob("grown_*"):
        path.unlink()
    said = refused(call, "run")
    assert "holds no grown_0: its stage is not over, or nobody taught it; take --use student" in said
    assert found("run", "--use", "student")["mean"]["global"] > 0
    Path("run/stages/seed_2/student.zip").unlink()
    assert "holds no student: its stage is not over, or nobody taught it; take --use expert" in refused(
        call, "run"
    )
    shutil.rmtree("run/stages")
    assert "run left no networks in run/stages/seed_2: its first stage is not over" in refused(call, "run")


def test_a_network_that_somebody_removed(call, found):
    whole = found("run", "--agent", "4")
    Path("run/stages/seed_2/expert_1.zip").unlink()
    assert "run/stages/seed_2/expert_1.zip is missing: put it back" in refused(call, "run")
    assert found("run", "--agent", "4") == whole


def test_policies_that_leave_experts_only_or_nothing(call, found):
    for policy in ("finetuning", "fedavg"):
        settings = ("--seeds", "0", *BRIEF, "--set", f"policy={policy}", "--set", "public_labels=1.0")
        assert call("run", "masc-digits", *settings, "--out", policy)[0] == 0
    said = refused(call, "finetuning")
    assert "holds no student: finetuning leaves experts only; take --use expert" in said
    assert found("finetuning", "--use", "expert")["mean"]["global"] > 0
    assert refused(call, "fedavg").endswith("left no networks in fedavg/stages/seed_0: fedavg leaves none\n")


def test_the_legend_tells_of_the_columns_that_are_there(call):
    both = files(student="student", grown="grown_2")
    assert "forgetting" not in call("test", *both, *DATA)[1]
    assert "forgetting: how much" in call("test", *both, *files(expert="expert_2"), *DATA)[1]


def test_each_with_a_student_of_its_own(call, found):
    ring = ("--set", "topology=ring")
    assert call("run", "masc-digits", "--seeds", "0", *BRIEF, *ring, "--out", "ring")[0] == 0
    report = json.loads(Path("ring/report.json").read_text())["metrics"]["open"]
    for use in USES:
        trial = found("ring", "--use", use)
        assert trial["mean"]["average"] == pytest.approx(report[f"{use}_average"][0], abs=1e-6)
    one, other = (f"ring/stages/seed_0/{name}.zip" for name in ("student_1", "grown_2"))
    assert "student_1.zip is of agent 1 and ring/stages/seed_0/grown_2.zip is of agent 2" in refused(
        call, "--student", one, "--grown", other, *DATA
    )
