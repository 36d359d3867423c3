"""Learners taken out of runs: modules that plain PyTorch loads, and what they say is what the run's own said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import studyhall
from studyhall.envs import ConfigError
from studyhall.envs import registry as worlds
from studyhall.rollouts import Rollout
from studyhall.rollouts.runs.run_folder import RunConfig, RunFolder
from studyhall.scenarios import Scenario

ROWS = 7
TEXTS = {
    "letters": ["abcdefghij" * 30 + f" {i}" for i in range(30)],
    "digits": [f"{i} " + "0123456789" * 30 for i in range(30)],
}
LANGUAGE = {
    "corpora": TEXTS,
    "tokeniser": "bytes",
    "width": 16,
    "layers": 1,
    "heads": 2,
    "length": 12,
    "slice_size": 8,
    "exam_size": 4,
    "horizon": 8,
    "exam_every": 4,
}
TREE = LANGUAGE | {"agents": 12, "expert_hidden": 8, "trial": 1, "tolerance": 1e6, "min_children": 1}
CHANGED = {"chance": 1.0}  # every operation that there is
CLASSROOM = {"agents": 2, "slice_size": 4, "exam_size": 8, "horizon": 4}
SOCIETY = {"agents": 2, "expert_classes": 2, "liars": 0, "deal": "sorted", "slice_size": 16, "exam_size": 4}
ALLOCATION = {"agents": 3, "slice_size": 4, "exam_size": 4, "horizon": 4, "budget": 4}
SMALL = {"width": 8, "layers": 2, "heads": 2, "tokens": 3, "hidden": 10}


# ---- what the run's own say, by folder: inputs and outputs --------------------------------------------------------


def classifiers(said):
    """Of logits ``[N, M, C]`` or distributions, as the run says them."""

    def says(run):
        x = run.world.dataset.inputs("test", torch.arange(ROWS))
        return {f"seed_0/{name}": ([x], [logits]) for name, logits in said(run, x).items()}

    return says


@classifiers
def students(run, x):
    return dict(zip(run.world.agents, run.policy.population.logits(x.flatten(1))[0], strict=True))


@classifiers
def hosted(run, x):
    return dict(zip(run.world.agents, run.world.host.population.logits(x.flatten(1))[0], strict=True))


@classifiers
def socialized(run, x):
    found = {f"expert_{n}": run.policy.experts.logits(x)[0, n] for n in range(run.world.num_agents)}
    said = run.policy.logits(x.flatten(1))
    if "grown" in said:
        found |= {f"grown_{n}": said["grown"][0, n] for n in range(run.world.num_agents)}
        found["student"] = said["student"][0, 0]
    return found


def collective(run):
    x = run.world.dataset.inputs("test", torch.arange(ROWS))
    answers, bids = run.policy._whole(x)
    return {"seed_0/collective": ([x.flatten(1)], [answers[0], bids[0]])}


def allocation(run):
    tokens = run.world.tokens.cut(run.world.dataset.inputs("test", torch.arange(ROWS)))[None]
    read = torch.rand(tokens.shape[:3], generator=torch.Generator().manual_seed(0)) < 0.4
    seen = torch.cat([tokens * read[..., None], read[..., None].float()], -1)[0]
    seen = seen if run.scenario.env_kwargs.get("reader") == "set" else seen.flatten(1)
    glimpses = run.obs["exam"][:1]
    relevance, _ = run.policy.rate(glimpses)
    return {
        "seed_0/reader": ([seen], [run.world.reader.logits(tokens, read)[0]]),
        "seed_0/scorers": ([glimpses[0, 0]], [relevance[0]]),
    }


def swarm(run):
    objective = run.world.objective
    x = objective.dataset.inputs("test", torch.arange(ROWS))
    logits = objective.logits(run.world._state["best"], x.flatten(1)[None])[0]
    return {f"seed_0/{name}": ([x], [said]) for name, said in zip(run.world.agents, logits, strict=True)}


def talkers(run):
    """Two rounds of messages that nobody said, some of which got lost."""
    world, network, draw = run.world, run.policy.network, torch.Generator().manual_seed(0)
    n, rows = world.num_agents, 2 * world.rows
    view = torch.rand(n, rows, run.obs["own_view"][0, 0, 0].numel(), generator=draw)
    sources, size = run.obs["heard"].shape[-1], run.obs["inbox"][0, 0].flatten(2).shape[-1]
    inbox = torch.randn(2, n, rows, sources, size, generator=draw)
    heard = torch.rand(2, n, rows, sources, generator=draw) < 0.7
    with torch.no_grad():
        memory = network.begin(view)
        said = [(network.write(memory), network.answer(memory))]
        for messages, arrived in zip(inbox, heard, strict=True):
            memory = network.read(memory, messages, arrived)
            said.append((network.write(memory), network.answer(memory)))
    messages, answers = (torch.stack(parts) for parts in zip(*said, strict=True))
    alike = len(network.alone()) == 1
    return {
        world.agent_noun if alike else name: (
            [view[i], inbox[:, i], heard[:, i]],
            [messages[:, i], answers[:, i]],
        )
        for i, name in enumerate(world.agents)
    }


def language(run):
    models = run.world.models
    tokens = run.world.dataset.inputs("test", torch.arange(ROWS))[:, :-1]
    if hasattr(models, "tree"):
        logits = models.net.tree_logits(models.trunk, models.experts, models.paths(), tokens[None])[0]
        return {"seed_0/model": ([tokens], [logits[0]])}
    logits = models.net.logits(models.population.parameters, tokens.expand(models.each, -1, -1))
    names = run.world.dataset.classes if models.each > 1 else [""]
    return {
        f"seed_0/model_{name}" if name else "seed_0/model": ([tokens], [said])
        for name, said in zip(names, logits, strict=True)
    }


CASES = {
    "students": ("classroom-v0", "mutual", students, CLASSROOM, {"hidden": [16]}),
    "pictures": ("classroom-v0", "mutual", students, CLASSROOM, {"learners": "cnn"}),
    "hosted": ("classroom-v0", "mean", hosted, CLASSROOM | {"learners": ["mlp", "conv3"]}, {}),
    "masc": ("society-v0", "masc", socialized, SOCIETY | {"horizon": 12}, {"width": 2, "teachers": [0, 1]}),
    "fedavg": ("society-v0", "fedavg", socialized, SOCIETY | {"horizon": 6}, {"width": 2}),
    **{
        f"{name} {options}": (
            "collective-v0",
            name,
            collective,
            CLASSROOM | {"agents": 3, **({"weighting": "votes"} if "vote" in options.values() else {})},
            {"hidden": [8], **options},
        )
        for name, options in [
            ("ensemble", {"confidence": 2.0}),
            ("weighted_ensemble", {}),
            ("moe", {}),
            ("switch", {}),
            ("voting", {"voting": "weighted"}),
            ("unified", {"weighting": "uniform"}),
            ("unified", {"weighting": "confidence"}),
        ]
    },
    "members": ("collective-v0", "confident_bids", hosted, CLASSROOM | {"learners": "mlp"}, {}),
    "reader": ("allocation-v0", "relevance_router", allocation, ALLOCATION, {"hidden": 8}),
    "set": ("allocation-v0", "relevance_router", allocation, ALLOCATION | {"reader": "set"}, {"hidden": 8}),
    "swarm": (
        "swarm-v0",
        "pso",
        swarm,
        {"objective": "network", "agents": 3, "hidden": [5], "horizon": 4},
        {},
    ),
    **{
        f"minicomo {options}": ("halves-v0", "minicomo", talkers, {"slice_size": 4}, SMALL | options)
        for options in ({}, {"messenger": "simple"}, {"reader": "batch"})
    },
    "witnesses": ("consensus-v0", "consensus_network", talkers, {"agents": 3}, {"shared": False}),
    "witness": ("consensus-v0", "consensus_network", talkers, {"agents": 3}, {}),
    "feedforward": ("consensus-v0", "feedforward", talkers, {"agents": 3}, {}),
    "candidates": ("referential-v0", "referential", talkers, {"agents": 3}, {"width": 8}),
    "attributes": (
        "referential-v0",
        "referential",
        talkers,
        {"game": "reconstruction", "oracle": True},
        {"width": 8},
    ),
    "model": ("modular-v0", "dense", language, LANGUAGE, {}),
    "columns": ("modular-v0", "columns", language, LANGUAGE, {}),
    **{
        routing: ("hierarchy-v0", "random_operations", language, TREE | {"routing": routing}, CHANGED)
        for routing in ("hard", "three")
    },
}

LOADED = """\
import json, sys
sys.modules["studyhall"] = None  # as if it were not installed
import torch
from safetensors.torch import load_file

worst = {}
for folder, told in json.load(open(sys.argv[1])).items():
    learner = torch.hub.load(folder, "learner", source="local")
    tensors = load_file(told)
    inputs, outputs = ([tensors[n] for n in sorted(tensors) if n.startswith(kind)] for kind in ("in", "out"))
    with torch.no_grad():
        said = learner(*inputs)
    said = said if isinstance(said, tuple) else (said,)
    assert [one.shape for one in said] == [one.shape for one in outputs], folder
    worst[folder] = max(float((one - other).abs().max()) for one, other in zip(said, outputs, strict=True))
print(json.dumps(worst))
"""


def run_of(path: Path, env: str, policy: str, env_kwargs: dict, policy_kwargs: dict) -> Rollout:
    """A run to its end that leaves what it can go on from, and nothing else."""
    scenario = Scenario(
        "tiny", "", env, policy, env_kwargs=env_kwargs, policy_kwargs=policy_kwargs, seeds=(0,)
    )
    run = Rollout(scenario)
    config = RunConfig(scenario=scenario, seeds=(0,), device="cpu", threads=1)
    with RunFolder.create(path, config) as folder:
        run.simulate(checkpoint=folder.checkpoints)
    return run


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict[str, str]:
    """By folder of an exported learner the file of what the run's own said."""
    base, found = tmp_path_factory.mktemp("exported"), {}
    for case, (env, policy, says, env_kwargs, policy_kwargs) in CASES.items():
        path = base / case.replace(" ", "_")
        expected = says(run_of(path, env, policy, env_kwargs, policy_kwargs))
        folders = studyhall.export(path)
        assert {str(folder.relative_to(path / "export")) for folder in folders} == expected.keys(), case
        for place, (inputs, outputs) in expected.items():
            file = path / f"{place.replace('/', '-')}.safetensors"
            tensors = {f"in{n}": value for n, value in enumerate(inputs)}
            tensors |= {f"out{n}": value for n, value in enumerate(outputs)}
            save_file({name: value.detach().contiguous().clone() for name, value in tensors.items()}, file)
            found[str(path / "export" / place)] = str(file)
    return found


def test_learners_of_every_world_are_exported():
    assert {env for env, *_ in CASES.values()} == set(worlds)


def test_in_a_process_without_studyhall_learners_say_what_they_said_in_the_run(told, tmp_path):
    (tmp_path / "told.json").write_text(json.dumps(told))
    command = [sys.executable, "-I", "-c", LOADED, str(tmp_path / "told.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    worst = json.loads(done.stdout)
    assert worst.keys() == told.keys()
    assert {folder: gap for folder, gap in worst.items() if gap > 1e-5} == {}


# ---- what is written -----------------------------------------------------------------------------------------------


class Own(nn.Module):
    """A learner of the user's own class."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(64, 10)

    def forward(self, x):
        return 2 * self.map(x.flatten(1))


def layers() -> nn.Module:
    """A learner of the user's, of stock layers."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 10))


def test_learners_of_ones_own_are_named_again_and_a_class_is_made_by_its_owner(tmp_path):
    run_of(tmp_path / "run", "classroom-v0", "mean", CLASSROOM | {"learners": [layers, Own]}, {})
    with pytest.raises(ConfigError, match="which a file cannot hold: name it again"):
        studyhall.export(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"was made with another learners than .*give the same again"):
        studyhall.export(tmp_path / "run", learners=["mlp", Own])

    folders = studyhall.export(tmp_path / "run", learners=[layers, Own], out=tmp_path / "mine")
    assert [folder.relative_to(tmp_path / "mine") for folder in folders] == [
        Path("seed_0/student_0"),
        Path("seed_0/student_1"),
    ]
    first = torch.hub.load(str(folders[0]), "learner", source="local")
    assert [repr(layer) for layer in first] == [repr(layer) for layer in layers()]
    assert "nn.Linear(in_features=64, out_features=8),\n" in (folders[0] / "hubconf.py").read_text()
    own = torch.hub.load(str(folders[1]), "learner", Own(), source="local")
    assert torch.equal(own.map.weight, load_file(folders[1] / "model.safetensors")["map.weight"])
    assert not own.training
    about = json.loads((folders[1] / "config.json").read_text())
    assert about["class"].endswith("test_export.Own")
    assert about["data"]["classes"] == [str(digit) for digit in range(10)]
    found = studyhall.make_world("classroom-v0", data="digits", agents=2).dataset
    raw, data = found.test.x[:5].float(), about["data"]
    scaled = (raw / data["scale"] - torch.tensor(data["mean"])) / torch.tensor(data["std"])
    torch.testing.assert_close(scaled, found.inputs("test", torch.arange(5)))
    told = ("name", "agent", "seed", "steps", "env", "policy", "parameters")
    assert [about[name] for name in told] == ["student_1", "student_1", 0, 4, "classroom-v0", "mean", 650]


def test_a_training_gives_its_best_policy(tmp_path, call):
    small = {"policy_kwargs": {**SMALL, "messenger": "simple"}, "slice_size": 4, "eval_worlds": 1}
    studyhall.train("halves-digits", updates=1, worlds=1, out=tmp_path / "trained", **small)
    code, out, err = call("export", str(tmp_path / "trained"), "--json")
    assert code == 0, err
    folders = [Path(folder) for folder in json.loads(out)["learners"]]
    assert [folder.name for folder in folders] == ["viewer_0", "viewer_1"]
    assert json.loads((folders[0] / "config.json").read_text())["seed"] is None
    said, answers = torch.hub.load(str(folders[0]), "learner", source="local")(
        torch.rand(3, 32), torch.zeros(0, 3, 1, 128), torch.zeros(0, 3, 1, dtype=torch.bool)
    )
    assert len(said) == len(answers) == 1


def test_where_there_is_nothing_to_export_one_line_says_so(tmp_path, call):
    run_of(tmp_path / "run", "swarm-v0", "pso", {"agents": 3, "horizon": 2}, {})
    code, _, err = call("export", str(tmp_path / "run"))
    assert (code, err) == (
        2,
        f"studyhall: nobody learns in the run in {tmp_path}/run, so there is nothing to export\n",
    )
    run_of(tmp_path / "class", "classroom-v0", "mutual", CLASSROOM, {"hidden": [4]})
    assert call("export", str(tmp_path / "class"))[0] == 0
    code, _, err = call("export", str(tmp_path / "class"))
    assert code == 2
    assert "class/export is not empty (it holds seed_0): choose a new" in err  # there is nothing to --resume
    code, _, err = call("export", str(tmp_path / "none"))
    assert (code, err) == (2, f"studyhall: {tmp_path}/none is no folder of a run: it has no config.json\n")
