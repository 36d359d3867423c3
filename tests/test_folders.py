"""Folders and files from strangers are data; nothing is overwritten, shared or taken for what it is not."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_folders import SMALL, contents, refused, rewrite

import studyhall
from studyhall.envs.archive import save
from studyhall.envs.errors import ConfigError, StudyhallError
from studyhall.policies import make_policy
from studyhall.policies.collective.bids import BidScorer
from studyhall.policies.files import read, trained
from studyhall.policies.listening.tournament import Tournament
from studyhall.rollouts import backprop, train
from studyhall.rollouts.runs.run import Rollout
from studyhall.rollouts.settings.read_scenario import read_scenario
from studyhall.rollouts.storage.checkpoints import Checkpoints, Misfit
from studyhall.rollouts.storage.folders import new_folder, own_folder, read_sealed
from studyhall.rollouts.training.sb3_state import put_back, state_of
from studyhall.scenarios import Scenario, registry
from studyhall.testing.tools import copied, leaves, same

OWN = """
print("imported", flush=True)
from studyhall.policies.policy import RandomPolicy
import own_sibling
class Mine(RandomPolicy):
    pass
"""


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def python(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **options},
    )


# ---- a file never says what is run --------------------------------------------------------------------------


@pytest.mark.parametrize("kept", ["checksum", "edited"])
def test_a_config_that_names_code_is_refused(call, stopped, kept):
    def evil(config):
        config["scenario"] |= {"policy": "subprocess:Popen", "policy_kwargs": {"args": ["touch", "harmed"]}}

    if kept == "checksum":
        rewrite(stopped / "config.json", evil)
    else:
        config = json.loads((stopped / "config.json").read_text())
        evil(config)
        (stopped / "config.json").write_text(json.dumps(config))
    before = contents(stopped)
    said = refused(call, "run", "--resume", "run")
    assert ("a file never says what is run" if kept == "checksum" else "edited, or damaged") in said
    if kept == "checksum":
        again = refused(call, "run", "--resume", "run", "--set", "policy=subprocess:Popen")
        assert "subprocess:Popen is no Policy" in again
        assert "is of policy 'subprocess:Popen', not of 'mutual'" in refused(
            call, "run", "--resume", "run", "--set", "policy=mutual"
        )
    assert not Path("harmed").exists()
    assert contents(stopped) == before


def test_a_module_beside_the_folder_is_not_imported(call, stopped):
    Path("beside.py").write_text('open("harmed", "w")')
    rewrite(stopped / "config.json", lambda config: config["scenario"].update(policy="beside:Mine"))
    refused(call, "run", "--resume", "run")
    assert not Path("harmed").exists()


def test_a_run_of_ones_own_policy_goes_on_where_it_is_named_again(call, tmp_path, monkeypatch):
    (tmp_path / "own_mine.py").write_text(OWN)
    (tmp_path / "own_sibling.py").write_text("")
    (tmp_path / "rich.py").write_text('open("harmed", "w")')
    named = ("--set", "policy=own_mine:Mine")
    first = python("-m", "studyhall", "run", *SMALL[:7], *named, "--out", "run", "--json")
    assert first.returncode == 0, first.stderr
    Path("run/report.json").unlink()
    assert "add --set policy=own_mine:Mine" in refused(call, "run", "--resume", "run")
    for command, advice in (
        ("export", "add --policy own_mine:Mine"),
        ("generate", "give the file of a model instead of the folder, in run/stages/seed_SEED/"),
        ("test", "give its networks instead of the folder, by --expert, --student and --grown"),
    ):
        assert advice in refused(call, command, "run")
    search = list(sys.path)
    code, again, err = call("run", "--resume", "run", *named, "--json")
    for module in ("own_mine", "own_sibling"):
        monkeypatch.delitem(sys.modules, module)
    assert (code, err, sys.path) == (0, "", search)
    both = [json.loads(told.partition("\n")[2])["metrics"] for told in (first.stdout, again)]
    assert both[0] == both[1]
    assert not Path("harmed").exists()


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("os:system", "os:system is no Policy: name a class of your own"),
        ("json:JSONDecoder", "json:JSONDecoder is no Policy"),
        ("studyhall.policies.policy:Policy", "it has no method act"),
        (":", "policy ':' is no module:Class"),
        ("os.:x", "is no module:Class"),
        (":system", "is no module:Class"),
        ("os:path.join", "is no module:Class"),
        ("no_such_module:Mine", "No module named 'no_such_module'"),
        ("own_broken:Mine", "cannot be imported"),
        ("os:no_such", "holds no no_such"),
    ],
)
def test_what_a_user_names_is_looked_at_before_it_is_called(call, policy, words):
    Path("own_broken.py").write_text("def")
    search = list(sys.path)
    assert words in refused(call, "run", *SMALL, "--set", f"policy={policy}")
    assert not Path("runs").exists()
    assert sys.path == search


def test_a_library_is_not_replaced_by_a_module_of_ones_own(call):
    Path("json.py").write_text('open("harmed", "w")')
    assert "it hides json.py in the current folder" in refused(
        call, "run", *SMALL, "--set", "policy=json:Mine"
    )
    assert not Path("harmed").exists()


def test_no_file_of_the_current_folder_is_run(tmp_path):
    for name in ("rich", "torch", "numpy", "typer", "gymnasium", "typing_extensions", "difflib", "html"):
        (tmp_path / f"{name}.py").write_text('open("harmed", "w")')
    for start in (("-m", "studyhall"), ("-Wignore", "-mstudyhall"), ("-m", "studyhall.__main__")):
        done = python(*start, "list", "envs")
        assert (done.returncode, done.stderr) == (0, ""), start
        assert "classroom-v0" in done.stdout
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("form", ["module", "command"])
@pytest.mark.parametrize("path", ["{colon}{search}", "{search}{colon}"])
def test_an_empty_element_of_the_search_path_runs_no_file_of_the_current_folder(tmp_path, form, path):
    search = path.format(search=Path(studyhall.__file__).parents[1], colon=os.pathsep)
    for name in ("rich", "typer"):
        (tmp_path / f"{name}.py").write_text('open("harmed", "w")')
    script = tmp_path / "bin" / "studyhall"
    script.parent.mkdir()
    script.write_text("from studyhall.rollouts.cli import main\nmain()\n")
    start = ("-m", "studyhall") if form == "module" else (str(script),)
    done = python(*start, "list", "envs", PYTHONPATH=search)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "harmed").exists()


def test_the_current_folder_is_searched_where_it_is_named(tmp_path):
    (tmp_path / "typer.py").write_text('open("mine", "w")')
    named = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    python("-m", "studyhall", "list", "envs", PYTHONPATH=named)
    assert (tmp_path / "mine").exists()


def test_a_deleted_current_folder_is_one_line(tmp_path, monkeypatch):
    script = "import os, sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir(os.getcwd()); "
    done = python("-c", script + "os.execv(sys.executable, [sys.executable, '-m', 'studyhall', 'list'])")
    assert done.returncode == 2
    assert done.stderr == "studyhall: the current folder was deleted: go to another one\n"


def test_every_scenario_survives_its_config(tmp_path):
    for scenario in registry.values():
        described = json.loads(json.dumps(dataclasses.asdict(scenario)))
        again = read_scenario(described)
        assert (again.name, again.env, again.policy) == (scenario.name, scenario.env, scenario.policy)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": [0, 1, 2]}, "is of another configuration (seeds)"),
        ({"env_kwargs": {"noise": 0.5}}, "is of another configuration (env_kwargs)"),
        ({"policy_kwargs": {"lr": 0.5}}, "is of another configuration (policy_kwargs)"),
        ({"policy_kwargs": {"lr": "much"}}, "policy.lr must be a number"),
        ({"env_kwargs": {"horizonn": 3}}, "did you mean 'horizon'"),
        ({"policy": 3}, "a scenario names its policy"),
        ({"env": "nowhere-v0"}, "unknown environment"),
        ({"controls": ["loud"]}, "not what a run writes"),
        ({"env_kwargs": []}, "not what a run writes"),
        ({"scenario": "x"}, "not what a run writes"),
        ({"versions": 5}, "not what studyhall writes"),
        ({"threads": 0}, "threads must be"),
        ({"seeds": ["a"]}, "each seed must be a whole number"),
        ({"device": "gpu"}, "gpu"),
    ],
)
def test_an_edited_config_is_one_line(call, stopped, change, words):
    def edit(config):
        for name, value in change.items():
            place = config if name in config else config["scenario"]
            merge = isinstance(value, dict) and isinstance(place[name], dict)
            place[name] = {**place[name], **value} if merge else value

    rewrite(stopped / "config.json", edit)
    before = contents(stopped)
    assert words in refused(call, "run", "--resume", "run")
    assert contents(stopped) == before


# ---- nothing is overwritten, nothing shared -----------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["config.json", "metrics.parquet", "curve.png", "notes.txt", "tensorboard/x"]
)
@pytest.mark.parametrize("command", ["run", "train"])
def test_a_folder_that_holds_something_is_refused(call, name, command):
    Path("held", name).parent.mkdir(parents=True)
    Path("held", name).write_text("somebody's")
    arguments = SMALL if command == "run" else ("halves-digits", "--updates", "1")
    said = refused(call, command, *arguments, "--out", "held")
    assert "held is not empty (it holds " in said
    assert contents(Path("held")) == {str(Path("held", name)): b"somebody's"}
    assert not [path for path in Path("held").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("out", ["", "."])
def test_the_current_folder_is_no_folder_of_a_run(call, out):
    assert "--out names the current folder" in refused(call, "run", *SMALL, "--out", out)
    assert "--out names the current folder" in refused(call, "train", "halves-digits", "--out", out)
    assert "--out names no file" in refused(call, "reproduce", "classroom", "--out", out)
    assert not list(Path().iterdir())


def test_only_a_former_reproduction_is_replaced(call, monkeypatch):
    tiny = Scenario(
        *("tiny", "", "classroom-v0", "random", {"agents": 2, "horizon": 2, "exam_size": 10}), system="tiny"
    )
    monkeypatch.setitem(registry, "tiny", tiny)
    Path("mine.json").write_text('{"mine": 1}')
    Path("link.json").symlink_to("mine.json")
    for name in ("mine.json", "link.json"):
        assert f"{name} is there already, and no reproduction" in refused(
            call, "reproduce", "tiny", "--out", name
        )
    assert Path("mine.json").read_text() == '{"mine": 1}'
    Path("found.json.part").write_text("somebody's")
    assert "found.json.part is there already" in refused(call, "reproduce", "tiny", "--out", "found.json")
    Path("found.json.part").unlink()
    for _ in range(2):
        assert call("reproduce", "tiny", "--out", "found.json")[0] == 0


def test_a_folder_in_use_is_refused_while_its_process_lives(call, stopped):
    """By the command, new or taken up, also where it is killed without a word."""
    script = (
        "import sys, time; from pathlib import Path; from studyhall.rollouts.storage.folders import own_folder\n"
        "with own_folder(Path('run'), 'run'):\n    print('in', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "in\n"
        assert "run is in use by another process" in refused(call, "run", "--resume", "run")
        assert "run holds a run already" in refused(call, "run", *SMALL, "--out", "run")
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    assert call("run", "--resume", "run")[0] == 0


def test_a_report_is_read_where_nothing_can_be_written(call, ended):
    """Here: the folder is another process's, whose files are left alone too."""
    shutil.copytree(ended, "run")
    Path("run/.studyhall-0.part").touch()
    with own_folder(Path("run"), "run"):
        Path("run/.studyhall-1.part").touch()
        before = contents(Path("run"))
        code, out, err = call("run", "--resume", "run", "--json")
        assert (code, err) == (0, "studyhall: run has ended; this is what it found\n")
        assert json.loads(out)["metrics"] == json.loads(Path("run/report.json").read_text())["metrics"]
        assert contents(Path("run")) == before


def test_a_damaged_report_can_be_removed(call, ended):
    shutil.copytree(ended, "run")
    whole = json.loads(Path("run/report.json").read_text())
    Path("run/report.json").write_text("{}")
    said = refused(call, "run", "--resume", "run")
    assert said.endswith("remove it; --resume then goes on from the checkpoint\n")
    Path("run/report.json").unlink()
    code, out, err = call("run", "--resume", "run", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["metrics"] == whole["metrics"]


def test_what_cannot_be_written_names_an_option_of_the_command_line_there_alone(call):
    Path("file").touch()
    save_to = Path("file/it.zip")
    with pytest.raises(
        ConfigError, match=r"^cannot write to file/it\.zip \(Not a directory\): make it writable$"
    ):
        save(save_to, {"format": "x"}, {})
    assert refused(call, "run", *SMALL, "--out", "file/run").endswith("or choose another with --out\n")


def test_two_processes_do_not_begin_in_one_folder(tmp_path):
    again = new_folder(tmp_path / "run", "x")
    with new_folder(tmp_path / "run", "x"), pytest.raises(ConfigError, match="in use by another process"):
        again.__enter__()
    with new_folder(tmp_path / "run", "x"):  # nothing was written: it is as good as new
        pass


def test_links_out_of_a_folder_are_not_followed(call, stopped):
    Path("elsewhere").mkdir()
    Path("elsewhere/checkpoint.pt").write_text("somebody's")
    for file in (stopped / "checkpoints").iterdir():
        file.unlink()
    (stopped / "checkpoints").rmdir()
    (stopped / "checkpoints").symlink_to("../elsewhere")
    assert "holds links to elsewhere (checkpoints)" in refused(call, "run", "--resume", "run")
    assert Path("elsewhere/checkpoint.pt").read_text() == "somebody's"


def test_a_run_killed_before_its_first_checkpoint_begins_again(call, stopped):
    whole = call("run", *SMALL, "--out", "other", "--json")[1]
    for file in (stopped / "checkpoints").iterdir():
        file.unlink()
    (stopped / ".studyhall-0123.part").write_text("half a file")
    code, out, err = call("run", "--resume", "run", "--json")
    assert (code, err) == (0, "studyhall: no checkpoint yet: starting from step 0\n")
    assert json.loads(out)["metrics"] == json.loads(whole)["metrics"]
    assert not (stopped / ".studyhall-0123.part").exists()


def test_a_training_killed_before_its_first_checkpoint_begins_again(call):
    train = ("train", "consensus-vector", "--updates", "2", "--set", "slice_size=2")
    assert call(*train, "--out", "a")[0] == 0
    assert call(*train, "--out", "b")[0] == 0
    for name in ("checkpoint.pt", "checkpoint-before.pt", "best.zip", "last.zip"):
        Path("b", name).unlink()
    code, _, err = call("train", "--resume", "b")
    assert code == 0
    assert "no checkpoint yet: starting from update 0\n" in err
    weights = [make_policy(f"{name}/last.zip")._weights for name in "ab"]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_full_disk_is_told_with_the_file(call):
    """Here: a process that may write no larger files."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        said = refused(call, "run", *SMALL, "--set", "slice_size=64", "--out", "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "cannot write to run/checkpoints/checkpoint.pt (File too large): make room there" in said
    code, _, err = call("run", "--resume", "run")  # now there is room
    assert (code, err) == (0, "studyhall: no checkpoint yet: starting from step 0\n")


# ---- what is read is what was written -----------------------------------------------------------------------

TINY = Scenario("x", "", "classroom-v0", "classroom", {"agents": 2, "horizon": 4, "exam_size": 10})
TINY = dataclasses.replace(TINY, policy_kwargs={"hidden": [4]})


@pytest.fixture(scope="module")
def run_and_checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    Rollout(TINY).run(checkpoint=folder, checkpoint_every=1e9)
    return Rollout(TINY), (folder / "checkpoint.pt").read_bytes()


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_a_flipped_bit_or_a_cut_in_a_checkpoint_is_noticed(
    tmp_path_factory, run_and_checkpoint, place, bit, cut
):
    run, whole = run_and_checkpoint
    at = int(place * len(whole))
    damaged = whole[:at] if cut else bytes([*whole[:at], whole[at] ^ (1 << bit), *whole[at + 1 :]])
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "checkpoint.pt").write_bytes(damaged)
    with pytest.raises(ConfigError, match="checksum is wrong"):
        run.load(folder)


def _without(*path):
    def change(state):
        for name in path[:-1]:
            state = state[name]
        del state[path[-1]]

    return change


def _with(value, *path):
    def change(state):
        for name in path[:-1]:
            state = state[name]
        state[path[-1]] = value(state[path[-1]]) if callable(value) else value

    return change


def progress(run):
    """What a refused checkpoint must leave as it is."""
    return {"world": run.world.state_dict(), "policy": run.policy.state_dict(), "done": run.done}


def assert_same(before, now):
    after = dict(leaves(now))
    assert before.keys() == after.keys()
    assert [key for key, value in before.items() if not same(value, after[key])] == []


@pytest.mark.parametrize(
    "change",
    [
        _without("done"),
        _without("world", "clock"),
        _without("policy", "population", "keys"),
        _without("report", "steps"),
        _with("four", "done"),
        _with(-1, "done"),
        _with(3, "done"),
        _with(True, "done"),
        _with(float("nan"), "done"),
        _with(None, "world"),
        _with([], "policy"),
        _with({}, "policy"),
        _with(lambda x: x.double(), "policy", "population", "steps"),
        _with(lambda x: x[:, :1], "policy", "population", "keys"),
        _with(lambda x: x.to_sparse(), "policy", "population", "steps"),
        _with(lambda x: torch.zeros(1, dtype=x.dtype).expand(2**40), "policy", "population", "keys"),
        _with(lambda x: torch.zeros(1, dtype=x.dtype).expand(x.shape), "policy", "population", "keys"),
        _with("demo", "world", "domain"),
        _with(5, "world", "horizon"),
        _with(lambda x: x - 9, "world", "clock"),
        _with(float("nan"), "report", "seconds"),
        _with({"open": 3}, "report", "metrics"),
        _with([1, "2"], "report", "steps"),
        _with({"loud": []}, "report", "curves"),
        _with(0.5, "report", "budget_spent_at"),
        _with(5, "pictures"),
        _with([torch.zeros(4)], "pictures"),
        _with([torch.zeros(4, dtype=torch.uint8)], "pictures"),
    ],
)
def test_a_crafted_checkpoint_is_one_line(tmp_path, run_and_checkpoint, change):
    """Of somebody who knows how it is sealed; what it does not fit in is named, and nothing is taken over."""
    run, whole = run_and_checkpoint
    before = copied(progress(run))
    state = torch.load(io.BytesIO(whole), weights_only=True)
    configuration = json.loads(state.pop("configuration"))
    change(state)
    Checkpoints(tmp_path, configuration, "run the scenario anew").write(state)
    with pytest.raises(ConfigError, match=r"does not fit|another kind of world") as caught:
        run.load(tmp_path)
    assert "\n" not in str(caught.value)
    assert_same(before, progress(run))


@pytest.fixture(scope="module")
def trainings():
    """One of each kind, and its state as a checkpoint holds it."""
    consensus = registry["consensus-vector"]
    of_messages = backprop.ChannelTraining(
        backprop.configure(consensus, assignments=["slice_size=2"], worlds=1, eval_worlds=1)
    )
    of_messages.update()
    small = ["agents=2", "hidden=[4]", "horizon=8", "exam_size=10", "ppo.n_steps=4", "ppo.batch_size=16"]
    config = train.configure(registry["society-liar-digits"], assignments=small, worlds=2, eval_worlds=1)
    model = train.make_model(config)
    model.learn(16)
    states = {"optimiser": of_messages.state_dict(), "model": state_of(model)}
    buffer = io.BytesIO()
    torch.save(states, buffer)
    of_messages.update()  # both go on, so that what is loaded would be seen
    model.learn(16, reset_num_timesteps=False)
    return of_messages, model, buffer.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        _without("optimiser"),
        _without("optimiser", "state", 0, "exp_avg"),
        _with(lambda x: x[None], "optimiser", "state", 0, "exp_avg"),
        _with(lambda x: x[::-1], "optimiser", "param_groups", 0, "params"),
        _with(float("inf"), "optimiser", "param_groups", 0, "lr"),
        _with({0: {}}, "optimiser", "state"),
        _with(None, "optimiser"),
    ],
)
def test_a_crafted_checkpoint_of_a_training_does_not_fit(trainings, change):
    training, model, content = trainings
    for name, check in (("optimiser", training.check), ("model", lambda state: put_back(model, state))):
        state = torch.load(io.BytesIO(content), weights_only=True)[name]
        change(state)
        with pytest.raises(Misfit):
            check(state)


@pytest.mark.parametrize(
    "change",
    [
        _with(lambda x: x * float("nan"), "policy", "scorer.mix.weight"),
        _with(lambda x: torch.zeros_like(x), "torch"),
        _with(["MT19937", torch.zeros(624, dtype=torch.int64), 900, 0, 0.0], "numpy"),
        _with([{"r": "much", "l": 3}], "episodes"),
        _with(5, "env", "world", "horizon"),
        _with("nowhere", "env", "world", "domain"),
    ],
)
def test_a_crafted_checkpoint_of_a_training_by_reward_does_not_fit(trainings, change):
    _, model, content = trainings
    state = torch.load(io.BytesIO(content), weights_only=True)["model"]
    change(state)
    before = copied(state_of(model))
    with pytest.raises((Misfit, ConfigError)):
        put_back(model, state)
    assert_same(before, state_of(model))


@pytest.mark.parametrize("name", ["config.json", "report.json"])
def test_a_flipped_bit_in_json_is_noticed(ended, name):
    whole, draw = (ended / name).read_bytes(), random.Random(0)
    content = read_sealed(ended / name, "")
    for _ in range(200):
        at = draw.randrange(len(whole))
        flipped = bytes([*whole[:at], whole[at] ^ (1 << draw.randrange(8)), *whole[at + 1 :]])
        Path(name).write_bytes(flipped)
        with contextlib.suppress(ConfigError):
            assert read_sealed(Path(name), "advice") == content  # a blank became another blank


def test_flipped_bits_in_a_policys_file_are_noticed(tmp_path):
    for name, file in trained().items():
        whole, draw = file.read_bytes(), random.Random(0)
        about, weights = read(name, json.loads(zipfile.ZipFile(file).read("studyhall.json"))["format"])
        for _ in range(150):
            at = draw.randrange(len(whole))
            flipped = bytes([*whole[:at], whole[at] ^ (1 << draw.randrange(8)), *whole[at + 1 :]])
            (tmp_path / "it.zip").write_bytes(flipped)
            try:
                found, again = read(str(tmp_path / "it.zip"), about["format"])
            except ConfigError:
                continue
            assert found == about  # a date, or another field that nothing depends on
            assert all(torch.equal(value, weights[key]) for key, value in again.items())


def test_weights_that_are_not_finite_are_refused(tmp_path):
    about, weights = read("society-gated", "studyhall listener, 2")
    name = next(iter(weights))
    weights[name].view(-1)[0] = float("nan")
    save(tmp_path / "it.zip", about, weights)
    with pytest.raises(ConfigError, match=f"it.zip holds weights that are not finite \\({name}\\)"):
        make_policy(str(tmp_path / "it.zip"))


@pytest.mark.parametrize(
    "about",
    [
        {"policy": "os:system"},
        {"policy": "mutual"},
        {"policy_kwargs": {"weights": "/etc/passwd"}},
        {"policy_kwargs": {"width": "wide"}},
        {"policy_kwargs": {"no_such": 1}},
        {"policy_kwargs": []},
        {"env_kwargs": 3},
        {"format": ["x"]},
        {"source_features": 5},
        {"sample_features": [{}]},
        {"actions": [["listen"]]},
    ],
)
def test_a_policys_file_names_only_what_it_is(tmp_path, about):
    described = {"format": "studyhall message network, 1", "policy": "consensus_network", "policy_kwargs": {}}
    save(tmp_path / "it.zip", described | about, {"x": torch.zeros(1)})
    with pytest.raises(
        ConfigError, match=r"it\.zip (is damaged|holds weights for a class of somebody)"
    ) as caught:
        make_policy(str(tmp_path / "it.zip"))
    assert "os:system" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(0, 10**7),
        torch.zeros(3, 0),
        torch.zeros(2, dtype=torch.int8),
        torch.zeros(2, dtype=torch.bool),
        torch.zeros(2, dtype=torch.complex64),
        torch.zeros(2, dtype=torch.float8_e4m3fn),
    ],
    ids=str,
)
def test_weights_are_ordinary_numbers(tmp_path, value):
    save(tmp_path / "it.zip", {"format": "x"}, {"weight": value})
    with pytest.raises(ConfigError, match=r"it\.zip is damaged"):
        read(str(tmp_path / "it.zip"), "x")


def test_weights_beyond_single_precision_are_not_finite(tmp_path):
    save(tmp_path / "it.zip", {"format": "x"}, {"weight": torch.full((2,), 1e300, dtype=torch.float64)})
    with pytest.raises(ConfigError, match=r"not finite \(weight\)"):
        read(str(tmp_path / "it.zip"), "x")


def test_one_tensor_under_many_names_takes_no_more_than_a_file_may(tmp_path):
    value = torch.zeros(2**20)
    save(tmp_path / "it.zip", {"format": "x"}, {str(name): value for name in range(17)})
    with pytest.raises(ConfigError, match=r"it\.zip is damaged"):
        read(str(tmp_path / "it.zip"), "x")


@pytest.mark.parametrize("make", [Tournament.from_state, BidScorer.from_state])
def test_no_network_is_made_of_sizes_that_do_not_fit_together(make):
    """A layer of 10^14 numbers could not be made to be compared."""
    thin = {
        f"{name}.weight": torch.zeros(1).expand(10**7, 2) for name in ("of_source", "of_sample", "of_self")
    }
    with pytest.raises(RuntimeError, match="size mismatch"):
        make(thin | {"mix.weight": torch.zeros(1, 1)})


@pytest.mark.parametrize("name", ["a\0.zip", "~nosuch/x.zip", "~nosuch", "a" * 5000, "a" * 5000 + ".zip"])
def test_whatever_text_a_policys_name_is_the_answer_is_one_line(name):
    with pytest.raises(StudyhallError, match=r"^(unknown|no trained) policy") as caught:
        make_policy(name)
    assert "\n" not in str(caught.value)


def test_what_never_ends_is_no_policy(tmp_path):
    with pytest.raises(ConfigError, match="not an ordinary file"):
        read("/dev/zero", "x")
