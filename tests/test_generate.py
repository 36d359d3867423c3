"""``studyhall generate``: a model that a run left goes on with a text, in a process of its own or here."""

import dataclasses
import json

import pytest

from studyhall.envs.archive import save
from studyhall.envs.language.files import read_model
from studyhall.envs.language.stored import StoredModel
from studyhall.rollouts import Rollout
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


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "nowhere"),
        (["FILE", "--seed", "3"], "single model: leave out --seed"),
        (["FILE", "--prompt", ""], "has no token"),
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
    about = {"format": StoredModel.format, "net": wide, "tokeniser": model.tokeniser.to_json(), "learnt": ["letters"]}
    save(other, about, dict(zip(model.net.names, model.parameters, strict=True)))
    code, _, err = call("generate", str(other))
    assert code == 2
    assert err.count("\n") == 1


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
