"""The command line: every command, its JSON, its errors, and runs that are killed and taken up again."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from pyarrow import parquet

from studyhall import __version__ as studyhall_version
from studyhall.envs.errors import ConfigError
from studyhall.rollouts import cli
from studyhall.rollouts.settings import parse_assignments, parse_seeds
from studyhall.scenarios import Claim, Scenario, Source, registry, sources

SMALL = ("--set", "agents=3", "--set", "policy.hidden=[16]")
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    """Every command runs in an empty folder."""
    monkeypatch.chdir(tmp_path)


def studyhall(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """The command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "studyhall", *arguments],
        cwd=cwd,
        env=ONE_THREAD,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def results(folder: Path) -> dict:
    found = json.loads((folder / "report.json").read_text())
    del found["seconds"], found["checksum"]
    return found


# ---- list and doctor ------------------------------------------------------------------------------------


def test_list(call):
    code, out, _ = call("list")
    assert code == 0
    for name in (
        "classroom-v0",
        "society-v0",
        "mutual",
        "median",
        "classroom-digits",
        "society-liar-digits",
        "fashion_mnist",
    ):
        assert name in out
    code, out, _ = call("list", "data")
    assert "corpus: prose" in out
    assert "mnist" in out
    assert "classroom-v0" not in out


def test_list_fits_80_columns(call, monkeypatch):
    from rich.console import Console

    monkeypatch.setattr("studyhall.rollouts.terminal.output.console", lambda: Console(width=80))
    _, out, _ = call("list")
    lines = [line for line in out.splitlines() if line.strip()]
    assert max(len(line) for line in lines) <= 80
    assert len(lines) < 3 * sum(len(rows) for rows in json.loads(call("list", "--json")[1]).values())


def test_worlds_are_listed_by_that_name_too(call):
    assert call("list", "worlds") == call("list", "envs")
    code, _, err = call("list", "policiez")
    assert (code, "did you mean 'policies'" in err) == (2, True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("True", True),
        ("False", False),
        ("None", None),
        ("true", True),
        ("null", None),
        ("Truely", "Truely"),
        (".5", 0.5),
        ("-5.", -5.0),
    ],
)
def test_values_may_be_spelt_as_python_does(text, value):
    assert parse_assignments([f"key={text}"]) == {"key": value}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[code]", "begins as JSON and is none"),  # what a shell makes of ["code"]
        ('{"a": "b"', "begins as JSON and is none"),
        ('{"a": 1, "b": {"c": 2, "c": 3}}', "'c' is named twice"),
    ],
)
def test_values_that_begin_as_json_are_json(text, says):
    with pytest.raises(ConfigError, match=says):
        parse_assignments([f"key={text}"])


def test_a_matrix_of_0_and_1_is_a_topology(call):
    hears = json.dumps([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    arguments = ("run", "classroom-digits", "--steps", "2", "--seeds", "0", "--controls", "none", *SMALL)
    code, out, err = call(*arguments, "--set", f"topology={hears}", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["scenario"]["env_kwargs"]["topology"][0] == [0, 1, 0]
    code, _, err = call(*arguments, "--set", "topology=[[0,2],[1,0]]")
    assert code == 2
    assert "each a list (each true, false, 1 or 0)" in err


def test_a_device_that_is_none_says_which_there_are(call):
    code, _, err = call("run", "classroom-digits", "--device", "gpu")
    assert (code, err) == (2, "studyhall: unknown device 'gpu': use 'cpu', or 'cuda' (cuda:1, …) for a GPU\n")


def test_version_and_help(call):
    code, out, _ = call("--version")
    assert code == 0
    assert out.split() == ["studyhall", studyhall_version]
    for command in ((), ("list",), ("doctor",), ("run",), ("test",), ("reproduce",)):
        assert call(*command, "-h") == call(*command, "--help")
        assert call(*command, "-h")[0] == 0


def test_help_says_what_each_command_does_in_whole_sentences(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    commands = call("--help")[1].partition("Commands:\n")[2].splitlines()
    assert len(commands) > 10
    for line in commands:
        assert line.endswith("."), line
        assert not line.endswith("..."), line


def test_list_as_json(call):
    code, out, err = call("list", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert list(found) == ["envs", "policies", "scenarios", "data", "suites"]
    assert "classroom-v0" in [row["id"] for row in found["envs"]]
    assert list(json.loads(call("list", "envs", "--json")[1])) == ["envs"]


def test_the_list_says_which_worlds_can_host_learners(call):
    rows = {row["id"]: row for row in json.loads(call("list", "envs", "--json")[1])["envs"]}
    assert rows["society-v0"]["hosted"] is True
    assert rows["society-v0"]["summary"].endswith("; can host the learners")


def test_policies_are_listed_by_what_they_decide(call, shipped):
    """Those with learners of their own, then rules, then trained ones, whatever the order of registration."""
    rows = json.loads(call("list", "policies", "--json")[1])["policies"]
    needs = {row["id"]: row["world_kwargs"] for row in rows}
    assert (needs["mutual"], needs["median"], needs[shipped]) == (
        {},
        {"actions": "targets"},
        {"actions": "listen"},
    )
    names = list(needs)
    first, last = names.index("listen_nobody"), names.index("oracle_expert")
    assert names[-1] == shipped
    assert {name for name in names if needs[name].get("actions") == "targets"} == set(names[first : last + 1])
    assert {row["id"] for row in rows if row["summary"].startswith("rule: ")} == set(names[first : last + 1])
    assert rows[-1]["summary"] == "trained: PPO on society-liar-digits, 0 agent-steps"
    assert shipped in call("list", "policies")[1]


def test_doctor(call, monkeypatch):
    code, out, err = call("doctor", "--json")
    found = json.loads(out)
    assert (code, err, found["ok"]) == (0, "", True)
    names = [check["name"] for check in found["checks"]]
    assert {"python", "torch", "data", "cache", "registries", "classroom-v0", "society-v0"} <= set(names)
    monkeypatch.setenv("STUDYHALL_DATA", "/no/such/folder")
    code, out, _ = call("doctor")
    assert code == 1
    assert "✗" in out
    assert "is no folder" in out


def test_the_doctor_tries_every_world(call, monkeypatch):
    from studyhall.envs import registry
    from studyhall.envs.messages.halves import Halves

    def worlds():
        code, out, _ = call("doctor", "--json")
        (check,) = [check for check in json.loads(out)["checks"] if check["name"] == "worlds"]
        return code, check["found"]

    code, found = worlds()
    assert code == 0
    assert all(name in found for name in registry)

    def broken(self, *_):
        raise RuntimeError("no such part")

    monkeypatch.setattr(Halves, "judge", broken)
    assert worlds() == (1, "halves-v0: RuntimeError: no such part")


def test_the_doctor_looks_at_trained_policies(call, shipped, tmp_path):
    from studyhall.policies.files import trained

    assert " and 1 trained, " in call("doctor", "--json")[1]
    trained()[shipped].write_bytes(b"scribble")
    code, out, _ = call("doctor", "--json")
    (check,) = [check for check in json.loads(out)["checks"] if check["name"] == "registries"]
    assert (code, check["ok"]) == (1, False)
    assert f"{shipped} is damaged" in check["found"]


def test_help_is_light():
    """Neither help nor the list of worlds loads what takes seconds."""
    heavy = {"torch", "datasets", "matplotlib", "stable_baselines3", "torchvision", "sklearn", "scipy"}
    script = (
        "import sys\nfrom studyhall.rollouts.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        f"loaded = {heavy!r} & set(sys.modules)\nassert not loaded, loaded"
    )
    for arguments in (["--help"], ["run", "--help"], ["list", "envs"]):
        subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True)


# ---- run ------------------------------------------------------------------------------------------------


def test_run(call, tmp_path):
    code, out, err = call("run", "classroom-digits", "--steps", "20", "--seeds", "0-1", *SMALL)
    assert (code, err) == (0, "")
    for words in (
        "student 2",
        "best student",
        "soft vote",
        "dropout vote",
        "labels revealed",
        "labelled slices per student",
        "KiB sent",
    ):
        assert words in out
    assert "social gain" in out
    folder = tmp_path / "runs" / "classroom-digits-1"
    made = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    pictures = {"curve.png", "picture.png"}
    tables = {"metrics.parquet", "metrics.csv", "tensorboard"}
    assert made == {"config.json", "report.json", "trace.zip", "checkpoints", *tables, *pictures}
    table = parquet.read_table(folder / "metrics.parquet")
    assert table.column_names == ["step", "mode", "seed", "agent", "exam_accuracy"]
    assert table.num_rows == 20 * 3 * 2 * 3
    assert set(table["mode"].to_pylist()) == {"open", "mute", "isolated"}
    for name in pictures:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    saved = torch.load(folder / "checkpoints" / "checkpoint.pt", weights_only=True)
    assert saved["done"] == 20
    config = json.loads((folder / "config.json").read_text())
    assert config["scenario"]["env_kwargs"]["horizon"] == 20
    assert config["seeds"] == [0, 1]


def test_run_as_json(call, tmp_path):
    arguments = ("run", "classroom-digits", "--steps", "5", "--seeds", "3", "--controls", "none", *SMALL)
    code, out, err = call(*arguments, "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["folder"] == str(Path("runs") / "classroom-digits-1")
    mean = found["metrics"]["open"]["mean"][0]
    assert found["summary"]["open"]["mean"] == {
        "mean": mean,
        "half": None,
        "n": 1,
        "low": None,
        "high": None,
        "min": mean,
        "max": mean,
        "missing": 0,
    }
    assert list(found["metrics"]) == ["open"]
    assert found["scenario"]["policy_kwargs"] == {"preset": "faithful", "hidden": [16]}
    again = json.loads(call(*arguments, "--json", "--out", "elsewhere/deep")[1])
    assert again["folder"] == str(Path("elsewhere") / "deep")
    assert again["metrics"] == found["metrics"]


def test_another_policy_starts_from_its_own_defaults(call):
    arguments = ("--set", "policy=mutual", "--set", "policy.lr=0.01", "--steps", "3", "--json")
    found = json.loads(call("run", "classroom-digits", "--seeds", "0", *arguments)[1])
    assert found["scenario"]["policy"] == "mutual"
    assert found["scenario"]["policy_kwargs"] == {"lr": 0.01}


@pytest.mark.parametrize("command", ["run", "sweep", "watch", "train"])
def test_a_setting_given_twice_is_refused(call, command):
    scenario = "halves-digits" if command == "train" else "classroom-digits"
    code, out, err = call(command, scenario, "--set", "drop=0", "--set", "drop=0.5")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--set gives drop twice: give " in err


@pytest.mark.parametrize("seeds", ["9223372036854775808", "9" * 5000, "0-" + "9" * 30])
def test_a_seed_beyond_all_is_one_line_and_leaves_nothing(call, seeds):
    for command in (("run", "classroom-digits"), ("sweep", "classroom-digits"), ("demo",)):
        code, out, err = call(*command, "--seeds", seeds)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "a seed is 9223372036854775807 at most, got " in err
        assert len(err) < 300
    assert not list(Path().iterdir())


def test_a_device_of_no_name_is_none(call):
    for command in (
        ("run", "classroom-digits"),
        ("sweep", "classroom-digits"),
        ("watch", "classroom-digits"),
    ):
        code, _, err = call(*command, "--device", "")
        assert (code, err) == (
            2,
            "studyhall: unknown device '': use 'cpu', or 'cuda' (cuda:1, …) for a GPU\n",
        )


@pytest.mark.parametrize(
    "command",
    [
        ("demo", "--out"),
        ("watch", "classroom-digits", "--video"),
        ("bench", "--plot"),
        ("evaluate", "even_trust", "--quick", "--out"),
    ],
)
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("folder.gif", "folder.gif is a folder: name a file in it"),
        ("none/a.gif", "none is no folder: make it first"),
    ],
)
def test_a_file_that_cannot_be_written_is_told_before_what_takes_long(call, command, name, words):
    Path("folder.gif").mkdir()
    assert call(*command, name) == (2, "", f"studyhall: {words}\n")


def test_a_file_of_no_name_is_one_line(call):
    from studyhall.envs.files import whole_file

    with pytest.raises(ConfigError, match=r"'\.' names no file: give it a name"), whole_file(Path()):
        pass
    code, _, err = call("bench", "--plot", "")
    assert (code, err) == (2, "studyhall: . is a folder: name a file in it\n")
    code, _, err = call("bench", "before.json", "after.json")
    assert code == 2
    assert "before.json cannot be read (No such file or directory)" in err


# ---- hosted worlds --------------------------------------------------------------------------------------

SOCIETY = ("run", "society-liar-digits", "--steps", "3", "--seeds", "0", "--controls", "none", "--json")


@pytest.fixture(scope="module")
def trained_file(tmp_path_factory):
    """A policy for hosted worlds, as training saves it."""
    from stable_baselines3 import PPO

    from studyhall import make_sb3
    from studyhall.policies.sb3 import SetPolicy, save_policy

    env = make_sb3("society-v0", seed=0, learners="mlp", hidden=(8,), agents=3)
    path = tmp_path_factory.mktemp("trained") / "listener.zip"
    model = PPO(SetPolicy, env, n_steps=4, batch_size=12, policy_kwargs={"width": 8}, device="cpu")
    save_policy(model, path, scenario="society-liar-digits")
    return path


@pytest.fixture
def shipped(trained_file, tmp_path, monkeypatch):
    """The name of a trained policy, as if it came with the package."""
    copy = tmp_path / "stand-in.zip"
    copy.write_bytes(trained_file.read_bytes())
    for module in ("files", "registration"):
        monkeypatch.setattr(f"studyhall.policies.{module}.trained", lambda: {"stand-in": copy})
    return "stand-in"


def settings(*texts: str) -> list[str]:
    return [word for text in texts for word in ("--set", text)]


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("learners=cnn",),
        ('learners=["mlp","mlp","cnn","mlp","mlp"]',),
        ("hidden=[32]", "lr=0.001", "optimiser=sgd", "learning_steps=2"),
        ("policy=one_coin", "policy.decay=0.9"),
        ("policy=median", 'liar_kinds=["sharp"]', "agents=4"),
        ("policy=random", "actions=gated"),
        ("policy=random", "discrete_actions=true"),
    ],
    ids=" ".join,
)
def test_a_hosted_world_runs(call, given):
    code, out, err = call(*SOCIETY, *settings(*given))
    assert (code, err) == (0, "")
    assert 0 <= json.loads(out)["metrics"]["open"]["honest"][0] <= 1


def test_where_everyone_lies_there_is_no_accuracy_of_the_honest(call):
    """Neither 0 nor a word that JSON does not know; an ended run is shown again as it was."""
    assert (
        '"honest": [null]' in call(*SOCIETY, *settings("liars=5", 'liar_kinds=["roll"]'), "--out", "run")[1]
    )
    shown = call("run", "--resume", "run")[1]
    assert ["mean of the honest", "–"] in [
        line.strip().split("  ")[:1] + line.split()[-1:] for line in shown.splitlines()
    ]
    assert "nan" not in shown
    assert '"honest": [null]' in call("run", "--resume", "run", "--json")[1]


def test_trained_policies_run_by_path_and_by_name(call, trained_file, shipped):
    by_path, by_name = (call(*SOCIETY, *settings(f"policy={policy}")) for policy in (trained_file, shipped))
    assert (by_path[0], by_path[2]) == (0, "")
    found = [json.loads(out)["metrics"] for _, out, _ in (by_path, by_name)]
    assert found[0] == found[1]


def test_any_classroom_can_host_its_learners(call):
    given = settings("learners=mlp", "hidden=[16]", "agents=3", "policy=median")
    arguments = ("run", "classroom-digits", "--steps", "3", "--seeds", "0", *given, "--json")
    code, out, err = call(*arguments)
    assert (code, err) == (0, "")
    assert json.loads(out)["scenario"]["env_kwargs"]["learners"] == "mlp"


def test_training_says_how_to_run_what_it_trained(call):
    given = settings("learners=mlp", "hidden=[8]", "agents=3", "horizon=6", "ppo.n_steps=6")
    code, out, _ = call("train", "classroom-digits", "--timesteps", "18", "--worlds", "1", *given)
    assert code == 0
    command = shlex.split(out[out.index("studyhall run") :])
    assert call(*command[1:], "--seeds", "0", "--controls", "none")[0] == 0
    assert "ppo.n_steps=6" not in command


def test_a_society_gives_its_learners_back(call):
    """What the scenario says of hosted learners goes with them; the policy has its own defaults."""
    given = settings("learners=null", "policy=mutual", "policy.hidden=[16]")
    code, out, err = call(*SOCIETY, *given)
    assert (code, err) == (0, "")
    assert json.loads(out)["scenario"]["env_kwargs"] == {"data": "digits", "agents": 5, "horizon": 3}


def test_a_hosted_run_resumes(call):
    given = ("--steps", "3", "--seeds", "0", "--set", "hidden=[8]", "--out", "run")
    call("run", "society-liar-digits", *given)
    first = results(Path("run"))
    Path("run/report.json").unlink()
    code, _, err = call("run", "--resume", "run", "--json")
    assert (code, err) == (0, "")
    assert results(Path("run")) == first


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("learners=mpl", "unknown kind of learner 'mpl': did you mean 'mlp'"),
        ("learners=3", "got int"),
        ('learners=["mlp"]', "1 learners for 5 agents"),
        ("actions=gatd policy=random", "unknown form of actions 'gatd': did you mean 'gated'"),
        ("actions=gated", "policy composite needs actions=targets: leave out --set actions=gated"),
        ("policy={trained} actions=gated", "needs actions=listen: leave out --set actions=gated"),
        ("discrete_actions=true", "needs actions=targets: leave out --set discrete_actions=true"),
        ("policy={trained} discrete_actions=true", "actions=listen: leave out --set discrete_actions=true"),
        ("hidden=32", "hidden must be a list (each a whole number), got 32"),
        ("hidden=[0]", "each width in hidden must be a whole number of at least 1"),
        ("lr=high", 'lr must be a number, got "high"'),
        ("lr=-1", "lr must be a number above 0"),
        ("optimiser=sdg", "did you mean 'sgd'"),
        ("students=3", "it is called 'agents' here"),
        ("learners=null policy=mutual learner=mlp", "did you mean 'learners'"),
        (
            "learners=null",
            "policy composite decides for learners that the world hosts: add --set learners=mlp",
        ),
        (
            "learners=null policy=mutual lr=0.1",
            "lr is an argument of worlds that host their learners: give learners too",
        ),
        (
            "policy=mutual",
            "policy mutual brings its own learners, and this world hosts some: add --set learners=null",
        ),
        ("policy=one_coin policy.decy=1", "did you mean 'decay'"),
        ("policy=one_coin policy.decay=much", 'policy.decay must be a number, got "much"'),
        ("policy=no/such.zip", "no trained policy 'no/such.zip'"),
    ],
)
def test_mistakes_about_hosted_worlds_are_one_line(call, trained_file, given, words):
    code, out, err = call(*SOCIETY, *settings(*given.format(trained=trained_file).split()))
    assert (code, out) == (2, "")
    assert err.startswith("studyhall: ")
    assert err.count("\n") == 1
    assert words in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "classroom-digits", "--set", "policy=median"], "add --set learners=mlp"),
        (["run", "classroom-digits", "--set", "learners=mlp"], "add --set learners=null, or take a rule"),
        (["run", "classroom-digits", "--set", "hidden=[8]"], "give learners too"),
        (["run", "classroom-digit"], "unknown scenario 'classroom-digit': did you mean 'classroom-digits'"),
        (["run"], "which scenario?"),
        (["run", "classroom-digits", "--set", "horizonn=3"], "did you mean 'horizon'"),
        (["run", "classroom-digits", "--set", "horizon=abc"], 'horizon must be a whole number, got "abc"'),
        (["run", "classroom-digits", "--set", "horizon=1.5"], "horizon must be a whole number, got 1.5"),
        (["run", "classroom-digits", "--set", "teacher_budget=x"], "a whole number or null"),
        (["run", "classroom-digits", "--set", "horizon"], "--set takes KEY=VALUE"),
        (["run", "classroom-digits", "--set", "horizon=3", "--steps", "4"], "leave out --set horizon"),
        (
            ["run", "consensus-vector", "--steps", "4"],
            "consensus-v0 counts rounds: leave out --steps, and give --set rounds=N (an episode has one step more)",
        ),
        (["run", "classroom-digits", "--set", "num_worlds=3"], "--seeds"),
        (["run", "classroom-digits", "--set", "mode=mute"], "--controls"),
        (["run", "classroom-digits", "--controls", "mut"], "did you mean 'mute'"),
        (["run", "classroom-digits", "--set", "policy=mutul"], "did you mean 'mutual'"),
        (["run", "classroom-digits", "--set", "policy.lrr=1"], "did you mean 'lr'"),
        (["run", "classroom-digits", "--set", "policy.lr=high"], 'policy.lr must be a number, got "high"'),
        (
            ["run", "classroom-digits", "--set", "policy.hidden=[-1]"],
            "each width in hidden must be a whole number of at least 1",
        ),
        (["run", "classroom-digits", "--set", "data=mnst"], "did you mean 'mnist'"),
        (["run", "classroom-digits", "--seeds", "4-1"], "seeds look like"),
        (["run", "classroom-digits", "--seeds", "0-100000"], "each is a world in memory"),
        (["reproduce", "--seeds", "0-1023,2000"], "1,024 at most, and more in parts"),
        (["run", "classroom-digits", "--seeds", "1,1"], "twice"),
        (["run", "classroom-digits", "--device", "gpu"], "unknown device 'gpu'"),
        (["run", "classroom-digits", "--device", "cuda:99"], "cuda:99"),
        (["run", "classroom-digits", "--out", "file/below"], "cannot write to file/below"),
        (["run", "--resume", "nothing"], "nothing is no folder of a run"),
        (["run", "--resume", "nothing", "--steps", "3"], "goes on as the run began"),
        (["reproduce", "clasroom"], "unknown system 'clasroom': did you mean 'classroom'"),
        (["reproduce", "classroom-digits"], "no figures are documented for classroom-digits"),
        (
            ["run", "halves-v0"],
            "halves-v0 is a world: run one of its scenarios, halves-digits, halves-quadrants",
        ),
        (
            ["bench", "nothing.json", "nothing.json"],
            "nothing.json cannot be read (No such file or directory)",
        ),
        (["list", "polices"], "did you mean 'policies'"),
    ],
)
def test_mistakes_are_one_line(call, arguments, words):
    Path("file").write_text("not a folder")
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("studyhall: ")
    assert err.count("\n") == 1
    assert words in err


def test_a_warning_is_one_line(call):
    rows = [f"{place},{place % 2},somebody" for place in range(400)]
    Path("table.csv").write_text("\n".join(["x,label,name", *rows]))
    arguments = ("run", "classroom-digits", "--steps", "2", "--seeds", "0", "--controls", "none", "--json")
    code, out, err = call(*arguments, *SMALL, "--set", "data=table.csv")
    assert (code, err) == (0, "studyhall: 'table.csv': left out 'name', since no numbers are in them\n")
    assert json.loads(out)


def test_debug_shows_the_traceback(call):
    from studyhall.envs.errors import UnknownName

    with pytest.raises(UnknownName):
        cli.main(["run", "classroom-digit", "--debug"])


@pytest.mark.parametrize(
    "arguments", [["run", "--steps", "x"], ["run", "--steps", "0"], ["runn"], ["list", "--x"]]
)
def test_usage_errors_are_short(call, arguments):
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert "Error" in err
    assert err.count("\n") <= 4


def test_seeds():
    assert parse_seeds("3") == (3,)
    assert parse_seeds("0-4") == (0, 1, 2, 3, 4)
    assert parse_seeds("0,2,5-7") == (0, 2, 5, 6, 7)
    assert len(parse_seeds("0-1023")) == 1024


# ---- stopping and resuming ------------------------------------------------------------------------------

LONG = ("classroom-digits", "--seeds", "0-1", "--steps", "150", "--controls", "mute", *SMALL)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """What :data:`LONG` finds when nothing comes between."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", *LONG, "--out", str(folder)])
    assert not ended.value.code
    return results(folder)


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_stopped_run_resumes_to_the_same_end(number, call, tmp_path, uninterrupted):
    process = studyhall("run", *LONG, "--out", "run", "--checkpoint-every", "0", cwd=tmp_path)
    folder = tmp_path / "run"
    ready = folder / "checkpoints" / "checkpoint.pt"
    while not ready.exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(number)
    _, err = process.communicate()
    assert not (folder / "report.json").exists(), "it was too quick to be stopped"
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130
        assert "go on with: studyhall run --resume run" in err
    done = torch.load(folder / "checkpoints" / "checkpoint.pt", weights_only=True)["done"]
    assert 0 < done < 150
    code, out, err = call("run", "--resume", "run", "--json")
    assert code == 0
    assert all(line.startswith("studyhall: step ") for line in err.splitlines())  # of a machine that is slow
    assert json.loads(out)["metrics"] == uninterrupted["metrics"]
    assert results(folder) == uninterrupted


def test_resume_of_an_ended_run_shows_its_report(call):
    call("run", "classroom-digits", "--steps", "3", "--seeds", "0", "--out", "run", *SMALL)
    first = json.loads(Path("run/report.json").read_text())
    code, out, _ = call("run", "--resume", "run", "--json")
    assert code == 0
    assert json.loads(out)["metrics"] == first["metrics"]
    code, _, err = call("run", "classroom-digits", "--out", "run")
    assert code == 2
    assert "holds a run already" in err
    code, _, err = call("run", "classroom-mnist", "--resume", "run")
    assert code == 2
    assert "is a run of classroom-digits" in err


def test_a_scenarios_settings_stay_with_its_policy(call):
    """Named again it keeps them; another one does not have them, which is said."""
    run = ("run", "swarm-ackley-30d", "--steps", "2", "--seeds", "0", "--json", "--set")
    code, out, err = call(*run, "policy=hybrid_pso", "--out", "same")
    assert (code, err) == (0, "")
    assert json.loads(out)["scenario"]["policy_kwargs"] == {"refine_rate": 2.0}
    run = ("run", "swarm-sphere", "--steps", "2", "--seeds", "0", "--json", "--set")
    code, out, err = call(*run, "policy=hybrid_pso", "--set", "policy.inertia=0.8", "--out", "other")
    assert code == 0
    assert json.loads(out)["scenario"]["policy_kwargs"] == {"inertia": 0.8}
    assert err == (
        "studyhall: policy hybrid_pso runs with its own defaults; what swarm-sphere sets: "
        "--set policy.cognitive=0.5 --set policy.social=0.3\n"
    )


# ---- reproduce ------------------------------------------------------------------------------------------


@pytest.fixture
def tiny_system(monkeypatch):
    """A system of one scenario, with a claim of every verdict."""
    monkeypatch.setitem(sources, "a-note", Source("a class", author="Somebody", ran_on="a napkin"))
    kwargs = {"agents": 3, "horizon": 12, "exam_size": 20}
    claims = (
        Claim("soft_vote", 0.5, "a-note", 0.7, "a tester's, wide"),
        Claim("hard_vote", 0.0, "a-note", 0.001, "a tester's, narrow", history=("It was wider.",)),
        Claim("soft_vote", 0.0, "a-note", minus="mute/soft_vote@6"),
        Claim("mean@3", 0.3, "a-note"),
    )
    scenario = Scenario(
        "tiny",
        "a tiny class",
        env="classroom-v0",
        policy="classroom",
        env_kwargs=kwargs,
        policy_kwargs={"hidden": [16]},
        seeds=(0, 1, 2),
        controls=("mute",),
        measure_at=(6,),
        claims=claims,
        system="tiny",
    )
    monkeypatch.setitem(registry, "tiny", scenario)


def test_reproduce(call, tiny_system):
    code, out, err = call("reproduce", "tiny", "--out", "docs/tiny.json")
    assert (code, err) == (1, "")  # a claim does not hold
    for words in (
        "± 0.1 (a tester's, narrow)",
        "soft vote − soft vote, step 6 (mute)",
        "Changed after a figure had been seen: It was wider.",
        "Somebody",
        "not recorded",
        "tiny, mute",
        "at step 6",
    ):
        assert words in out
    assert "not comparable" not in out
    found = json.loads(Path("docs/tiny.json").read_text())
    (entry,) = found["scenarios"]
    assert entry["command"] == "studyhall reproduce tiny"
    assert {"commit", "versions", "python", "threads"} <= entry.keys()
    assert 0 <= found["fingerprints"][entry["fingerprint"]]["figures"]["soft_vote"] <= 1
    verdicts = ["holds", "does not hold", "not resolved", "not measured"]
    assert [claim["verdict"] for claim in entry["claims"]] == verdicts
    assert all(verdict in out for verdict in verdicts)
    metrics = entry["metrics"]
    apart = [a - b for a, b in zip(metrics["open"]["soft_vote"], metrics["mute"]["soft_vote@6"], strict=True)]
    assert entry["claims"][2]["measured"]["mean"] == pytest.approx(statistics.fmean(apart))
    assert list(entry["summary"]) == ["open", "mute"]


def test_reproduce_quickly(call, tiny_system):
    code, out, err = call("reproduce", "tiny", "--quick", "--steps", "6", "--json")
    (entry,) = json.loads(out)["scenarios"]
    assert (code, err) == (0, "")
    assert entry["seeds"] == [0, 1]
    assert entry["steps"] == 6
    assert not entry["comparable"]
    assert {claim["verdict"] for claim in entry["claims"]} == {"not measured"}
    assert "not comparable" in call("reproduce", "tiny", "--steps", "3")[1]


def test_reproduce_goes_on_where_data_are_missing(call, tiny_system, monkeypatch):
    tiny, system = registry["tiny"], {"system": "tiny"}
    lost = dataclasses.replace(
        tiny, name="lost", env_kwargs={"data": "cifar10", "data_dir": "nowhere"}, **system
    )
    more = dataclasses.replace(tiny, name="more", **system)
    for scenario in (lost, more):
        monkeypatch.setitem(registry, scenario.name, scenario)
    code, out, err = call("reproduce", "tiny", "--steps", "3", "--out", "found.json")
    assert code == 2
    assert err.startswith("studyhall: lost is not measured: ")
    assert err.count("\n") == 1
    assert "more" in out
    written = Path("found.json").read_text()
    found = json.loads(written)
    assert [entry["name"] for entry in found["scenarios"]] == ["tiny", "more"]
    says = "its data, cifar10, are not at hand or cannot be used: see `studyhall run lost`"
    (missing,) = found["unmeasured"]
    assert (missing["name"], missing["unmeasured"]) == ("lost", says)
    assert {claim["verdict"] for claim in missing["claims"]} == {"not measured"}
    assert says in err
    assert "nowhere" not in written  # folders of a machine are no result
    assert "'nowhere'" in call("run", "lost")[2]
    code, out, _ = call("reproduce", "lost", "--out", "found.json")
    assert code == 2
    assert "not measured" in out
    assert Path("found.json").read_text() == written  # nothing came of it, so nothing is lost
    assert not Path("found.json.part").exists()
    code, _, err = call("reproduce", "more", "--steps", "3")  # by its own name
    assert (code, err) == (0, "")
    odd = dataclasses.replace(lost, env_kwargs={"data": ([[1.0]], [0])})  # no data set with a name
    monkeypatch.setitem(registry, "lost", odd)
    assert "not measured: its data are not at hand or cannot be used" in call("reproduce", "lost")[2]


def test_reproduce_says_when_the_budget_is_never_spent(call, tiny_system, monkeypatch):
    tiny = registry["tiny"]
    budgeted = dataclasses.replace(tiny, env_kwargs={**tiny.env_kwargs, "teacher_budget": 4})
    monkeypatch.setitem(registry, "tiny", budgeted)
    for steps, warned in (("4", True), ("5", False), ("12", False)):
        code, _, err = call("reproduce", "tiny", "--seeds", "0", "--steps", steps, "--json")
        assert code == 0  # of one seed nothing is resolved
        assert ("the peer phase does not begin: tiny (4 calls)\n" in err) == warned
        assert err.count("\n") == warned


def test_an_interrupted_reproduction_says_what_is_kept(call, tiny_system, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("studyhall.rollouts.runs.reproduce.Rollout.run", interrupted)
    code, out, err = call("reproduce", "tiny", "--out", "found.json")
    assert (code, out) == (130, "")
    assert err == "studyhall: stopped with 0 of 1 scenarios measured; they are in found.json.part\n"
    assert "nothing is kept" in call("reproduce", "tiny")[2]


# ---- show -----------------------------------------------------------------------------------------------


def test_everything_listed_has_a_page(call):
    from studyhall.rollouts.cli.pages import pages

    listed = json.loads(call("list", "--json")[1])
    for name in [row["id"] for rows in listed.values() for row in rows]:
        for page in pages(name):
            assert json.loads(json.dumps(page.as_json()))["id"] == name
            assert page.summary
            assert page.kind in ("world", "policy", "scenario", "data set", "suite")


def test_a_worlds_page_has_its_arguments_with_defaults_and_types(call):
    code, out, _ = call("show", "studyhall/classroom-v0")
    assert code == 0
    for line in ("Observation Space", "Action Space", "fb_slice", "with learners=…"):
        assert line in out
    (page,) = json.loads(call("show", "classroom-v0", "--json")[1])["pages"]
    arguments = {argument["name"]: argument for argument in page["arguments"]}
    assert arguments["agents"] == {"name": "agents", "default": "8", "type": "int", "hosted": False}
    assert arguments["lr"]["hosted"]
    assert page["arguments"][0]["name"] == "agents"  # its own before those that many worlds take


def test_pages_of_policies_and_scenarios_say_how_to_use_them(call):
    (page,) = json.loads(call("show", "mutual", "--json")[1])["pages"]
    assert {"imitate", "hidden", "lr"} <= {argument["name"] for argument in page["arguments"]}
    out = call("show", "classroom-digits")[1]
    assert "policy: classroom with preset=faithful" in out
    assert "studyhall run classroom-digits" in out
    assert "(collaborative classroom, its published code)" in call("show", "classroom-mnist-as-published")[1]
    page = call("show", "listen-v1")[1]
    assert "budget10 (held out): eight students, ten calls; 0 is " in page
    assert "studyhall evaluate POLICY --suite listen-v1" in page
    assert not re.search(r":\w+:`|``", call("show", "k1_hierarchy")[1] + call("show", "moe")[1])
    Path("bare.py").write_text(
        "from studyhall.policies.policy import RandomPolicy\nclass Bare(RandomPolicy):\n    pass\n"
    )
    page = call("show", "bare:Bare")[1]
    assert page.splitlines()[0] == "policy bare:Bare: a user's own"
    assert "Random" not in page  # that is what its base says of itself
    code, _, err = call("show", "classroom-v1")
    assert code == 2
    assert err.startswith("studyhall: unknown name 'classroom-v1': did you mean 'classroom-v0'")


def test_a_page_in_code_is_that_of_the_command_line(call):
    import studyhall

    page = studyhall.show("classroom-digits")
    assert str(page).split() == call("show", "classroom-digits")[1].split()
    assert page._repr_html_().startswith("<pre")
    assert repr(page).startswith("<Page of scenario classroom-digits: eight students")
    assert "studyhall show ID" in studyhall.make_env.__doc__
