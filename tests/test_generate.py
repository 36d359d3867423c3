"""``studyhall generate``: a model that a run left goes on with a text, in a process of its own or here."""

import dataclasses
import json

import pytest
import torch

from studyhall.envs import ConfigError
from studyhall.envs.archive import save
from studyhall.envs.language.files import read_model
from studyhall.envs.language.stored import StoredModel
from studyhall.rollouts import Rollout
from studyhall.rollouts.runs.explanation import check_explains, explain
from studyhall.rollouts.runs.generation import PROMPTS, generate
from studyhall.scenarios import Scenario

TEXTS = {"letters": ["abcdefghij" * 30 + f" {i}" for i in range(30)]}
SMALL = {
    "corpora": TEXTS,
    "tokeniser": "bytes",
    "width": 16,
    "layers": 2,
    "length": 12,
    "slice_size": 16,
    "exam_size": 4,
    "horizon": 150,
    "exam_every": 150,
    "lr": 1e-2,
}


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """A model that knows how letters follow each other."""
    folder = tmp_path_factory.mktemp("left")
    Rollout(Scenario("letters", "", "modular-v0", "dense", env_kwargs=SMALL)).run(networks=folder)
    return folder / "seed_0" / "model.zip"


TREE = {
    **SMALL,
    "agents": 12,
    "expert_hidden": 8,
    "layers": 1,
    "horizon": 60,
    "exam_every": 5,
    "trial": 1,
    "tolerance": 1e6,
    "min_children": 1,
}


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A model with a tree that was changed at random."""
    folder = tmp_path_factory.mktemp("grown")
    chance = {"policy_kwargs": {"chance": 1.0}, "env_kwargs": TREE}
    Rollout(Scenario("letters", "", "hierarchy-v0", "random_operations", **chance)).run(networks=folder)
    return folder / "seed_0" / "model.zip"


def test_it_goes_on_as_it_has_learnt(left, call):
    code, out, err = call(
        "generate", str(left), "--prompt", "abcdefghijab", "--temperature", "0", "--tokens", "8"
    )
    assert (code, err) == (0, "")
    assert out.strip() == "abcdefghijabcdefghij"


def test_what_is_drawn_hangs_on_draw_alone(left, call):
    def texts(*options):
        code, out, _ = call("generate", str(left), "--json", *options)
        assert code == 0
        return json.loads(out)["texts"]

    first = texts()
    assert [one["prompt"] for one in first] == list(PROMPTS)
    assert texts() == first
    assert texts("--draw", "1") != first
    assert all(len(one["text"]) <= 50 for one in first)


def test_the_documented_temperature_draws_from_the_whole_vocabulary(left):
    model = read_model(left)
    cold, hot = (generate(model, ["abc"], temperature=t, tokens=40)[0].text for t in (0.01, 50.0))
    assert set(cold) <= set("abcdefghij 0123456789")
    assert not set(hot) <= set("abcdefghij 0123456789")


def test_who_wrote_each_token_of_a_tree(grown, call):
    asked = ("generate", str(grown), "--prompt", "abcdefghijabc", "--tokens", "6")
    code, out, _ = call(*asked, "--explain", "--json")
    assert code == 0
    (found,) = json.loads(out)["texts"]
    assert call(*asked)[1].strip() == (found["prompt"] + found["text"]).strip()  # explaining changes no text
    assert "".join(one["token"] for one in found["tokens"]) == found["text"]
    agents = {one["path"][-1]: one for one in found["agents"]}
    assert agents[found["agents"][0]["path"][0]]["weight"] == pytest.approx(1)  # the root's
    leaves = [a for a, one in agents.items() if not any(a in other["path"][:-1] for other in agents.values())]
    assert sum(agents[leaf]["weight"] for leaf in leaves) == pytest.approx(1, abs=1e-5)
    for one in found["tokens"]:
        weights = [asked["weight"] for asked in one["by"]]
        assert weights == sorted(weights, reverse=True)
        assert all(asked["path"] == agents[asked["path"][-1]]["path"] for asked in one["by"])
        assert all(asked["path"][-1] in leaves for asked in one["by"])
    model = read_model(grown)
    ids = list((found["prompt"] + found["text"]).encode())
    last = model.weights(torch.tensor(ids[-13:-1]))[-1]  # what the last was written after
    best = found["tokens"][-1]["by"][0]
    assert last[leaves].max() == pytest.approx(best["weight"])


def test_a_path_that_ends_before_a_leaf_names_who_ends_it(tmp_path):
    """Hard routing follows one path, and stops where the best child has too little."""
    given = {**TREE, "routing": "hard", "horizon": 5, "agents": 24, "sharpness": 0}
    Rollout(Scenario("letters", "", "hierarchy-v0", "fixed_tree", env_kwargs=given)).run(networks=tmp_path)
    model = check_explains(read_model(tmp_path / "seed_0" / "model.zip"))
    found = explain(model, generate(model, ["abc"], tokens=30)[0])
    ends = [asked for written in found.tokens for asked in written.by]
    assert len(ends) == len(found.tokens)
    assert {(asked.kind, len(asked.path)) for asked in ends} == {
        ("manager", 2)
    }  # whose four experts are alike
    assert all(0 < asked.weight <= 1 for asked in ends)


def test_who_wrote_it_lines_up_for_people(grown, call):
    code, out, err = call("generate", str(grown), "--prompt", "abc", "--tokens", "4", "--explain")
    assert (code, err) == (0, "")
    assert "\x1b" not in out  # no colours in a pipe
    rows = [line for line in out.splitlines() if " › " in line]
    assert len(rows) == 4
    assert len({line.index("0 › ") for line in rows}) == 1
    assert "root 0" in out
    assert "of the text, %" in out


def test_no_terminal_obeys_what_a_model_writes(call, tmp_path):
    """A model of bytes may draw ESC; here all that it ever read is that."""
    given = {**SMALL, "corpora": {"escapes": ["\x1b[2J\r" * 50 + str(i) for i in range(30)]}, "horizon": 60}
    Rollout(Scenario("escapes", "", "modular-v0", "dense", env_kwargs=given)).run(networks=tmp_path)
    options = ("generate", str(tmp_path / "seed_0" / "model.zip"), "--prompt", "\x1b[2", "--temperature", "0")
    code, out, err = call(*options, "--tokens", "4")
    assert (code, err) == (0, "")
    assert out.strip() == r"\x1b[2J\r\x1b["
    (found,) = json.loads(call(*options, "--tokens", "4", "--json")[1])["texts"]
    assert found["text"] == "J\r\x1b["


def test_groups_of_one_path_explain_nothing(left, call):
    code, out, err = call("generate", str(left), "--explain")
    assert (code, out) == (2, "")
    assert "all of them write every token; leave --explain out" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "nowhere"),
        (["FILE", "--seed", "3"], "single model: leave out --seed"),
        (["FILE", "--prompt", ""], "has no token"),
        (["FILE", "--draw", str(2**40)], "draw must be"),
    ],
)
def test_what_cannot_be_is_one_line(left, call, arguments, says):
    code, out, err = call("generate", *(str(left) if a == "FILE" else a for a in arguments))
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


def test_a_damaged_model_is_one_line(left, call, tmp_path):
    content = left.read_bytes()
    broken = tmp_path / "model.zip"
    broken.write_bytes(content[: len(content) // 2])
    code, _, err = call("generate", str(broken))
    assert code == 2
    assert "damaged" in err
    other = tmp_path / "other.zip"
    model = read_model(left)
    wide = dataclasses.asdict(model.net) | {"width": 18}
    about = {
        "format": StoredModel.format,
        "net": wide,
        "tokeniser": model.tokeniser.to_json(),
        "learnt": ["letters"],
    }
    save(other, about, dict(zip(model.net.names, model.parameters, strict=True)))
    code, _, err = call("generate", str(other))
    assert code == 2
    assert err.count("\n") == 1


def test_a_file_that_holds_no_tree_is_damaged(grown, tmp_path):
    model = read_model(grown)
    about = {"format": model.format, "net": dataclasses.asdict(model.net), "learnt": ["letters"]}
    about["tokeniser"] = model.tokeniser.to_json()
    weights = dict(zip(model.net.stored, model.parameters, strict=True))
    save(tmp_path / "whole.zip", about, weights)
    assert read_model(tmp_path / "whole.zip").net == model.net
    loop = weights["tree.parent"].clone()
    loop[1], loop[2] = 2, 1
    for name, value in (
        ("tree.parent", loop),
        ("tree.kind", weights["tree.kind"] * 0),
        ("tree.gate", loop * 0),
    ):
        save(tmp_path / "other.zip", about, {**weights, name: value})
        with pytest.raises(ConfigError, match="damaged"):
            read_model(tmp_path / "other.zip")


def test_a_run_is_asked_by_its_folder(call, tmp_path):
    files = tmp_path / "texts"
    files.mkdir()
    for i in range(12):
        (files / f"{i}.txt").write_text("the cat sat on the mat. " * 20 + str(i))
    run = tmp_path / "run"
    options = ["horizon=4", f"corpora={files}", "layers=1", "width=8", "exam_size=2", "vocabulary=260"]
    settings = [part for option in options for part in ("--set", option)]
    code, _, err = call(
        "run", "k1-quick", "--seeds", "2", "--out", str(run), "--set", "tasks=null", *settings
    )
    assert code == 0, err
    code, out, err = call("generate", str(run), "--prompt", "the cat", "--tokens", "3")
    assert code == 0, err
    assert out.startswith("the cat")
    code, _, err = call("generate", str(run), "--seed", "1")
    assert code == 2
    assert "no seed 1: give one of 2" in err
