"""Texts as data: how words become numbers, how texts come in, and a world that reads a few of their words."""

import dataclasses
import hashlib

import datasets
import numpy as np
import pandas as pd
import pyarrow
import pytest
import torch

from studyhall import make_world
from studyhall.envs.allocation.reader import SetReader
from studyhall.envs.allocation.tokens import Tokens
from studyhall.envs.allocation.world import Allocation
from studyhall.envs.errors import ConfigError, DataError
from studyhall.envs.streams import TextDataset, load_dataset
from studyhall.envs.streams.text import hash_words, words_of
from studyhall.policies import RandomPolicy
from studyhall.policies.allocation import Router, Saliency
from studyhall.rollouts import rollout
from studyhall.scenarios import get_scenario
from studyhall.testing import check_engine

FILLER = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "a",
    "is",
    "that",
    "for",
    "it",
    "as",
    "was",
    "with",
    "be",
    "by",
    "on",
]
TOPICS = ("goal match team", "stock market price", "planet star orbit")


def passages(n, seed=0, words=8):
    """Texts of filler and one telling word, anywhere."""
    g = np.random.default_rng(seed)
    made = []
    for i in range(n):
        text = list(g.choice(FILLER, words))
        text[g.integers(words)] = g.choice(TOPICS[i % 3].split())
        made.append(" ".join(text))
    return {"text": made, "label": [i % 3 for i in range(n)]}


def fault(expected, data, error=DataError, **arguments):
    with pytest.raises(error, match=expected) as caught:
        load_dataset(data, **arguments)
    assert "\n" not in str(caught.value)


# ---- words ------------------------------------------------------------------------------------------


def by_hand(word, width):
    marked, found = f"<{word}>", [0] * width
    for feature in {a + b + c for a, b, c in zip(marked, marked[1:], marked[2:], strict=False)} | {marked}:
        digest = hashlib.blake2b(feature.encode("utf-8"), digest_size=8).digest()
        number = sum(byte * 256**place for place, byte in enumerate(digest))
        found[number // 2 % width] += 1 if number % 2 == 0 else -1
    return found


@pytest.mark.parametrize("width", [1, 7, 64])
def test_words_are_hashed_as_by_hand(width):
    words = ("now", "a", "banana", "Ærøskøbing".lower(), "物理")
    assert hash_words(words, width).tolist() == [by_hand(word, width) for word in words]


def test_hashes_are_the_same_everywhere():
    assert hash_words(("now", ""), 8).tolist() == [[0, 0, 0, 1, 0, 0, 0, 3], [0.0] * 8]


def test_inner_products_count_common_features_in_the_mean():
    stems = [f"{a}{b}{c}" for a in "bcdfg" for b in "aeiou" for c in "lmnpr"]
    playing, played = hash_words([f"{s}ing" for s in stems], 64), hash_words([f"{s}ed" for s in stems], 64)
    same = (playing * playing).sum(-1).mean().item()
    assert same == pytest.approx(7, abs=0.5)  # 6 runs of three characters and the whole
    # <xy, xyz and no more
    assert (playing * played).sum(-1).mean().item() == pytest.approx(2, abs=0.5)


def test_a_text_becomes_its_first_words_then_empty_ones():
    rows = ["One two, TWO -- three!", "It's\n4 o'clock", "one"] * 10
    data = load_dataset({"text": rows, "label": [0, 1, 0] * 10}, text_size=(4, 16))
    assert isinstance(data, TextDataset)
    assert (data.shape, data.num_classes) == ((4, 16), 2)
    found = {tuple(words) for words in data.texts("stream", torch.arange(len(data.stream)))}
    assert found == {("one", "two", "two", "three"), ("it", "s", "4", "o"), ("one", "", "", "")}
    for split in ("stream", "exam", "test"):
        index = torch.arange(len(data.split(split))).view(-1, 2)
        x = data.inputs(split, index)
        words = [w for row in data.texts(split, index.flatten()) for w in row]
        expected = hash_words(words, 16).view(*index.shape, 4, 16)
        torch.testing.assert_close(x, expected / data.std)
        assert torch.equal(x == 0, expected == 0)
        assert data.pixels(split, index).amin() >= 0
    x = data.inputs("stream", torch.arange(len(data.stream)))
    words = data.stream.x > 0
    assert x[words].square().mean().sqrt().item() == pytest.approx(1)
    assert not x[~words].any()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("हिन्दी भाषा", "हिन्दी भाषा"),  # vowel signs are marks
        ("สวัสดี", "สวัสดี"),
        ("ශ්\u200dරී ලංකා", "ශ්\u200dරී ලංකා"),  # a joiner in one cluster
        ("İstanbul", "i\u0307stanbul"),
        ("CAFE\u0301, café!", "café café"),
        ("ﬁne Straße STRASSE", "fine strasse strasse"),
        (
            "co\u00adoperate \u03aa\u0301",
            "cooperate \u0390",
        ),  # a soft hyphen; folding undoes what NFKC composed
        ("❤\ufe0f \u0301x 👩\u200d💻", "x"),  # marks and joiners of what is no letter
        ("&lt;b&gt; AT&amp;T\\it's \\", "lt b gt at amp t it s"),
    ],
)
def test_words_are_letters_and_their_marks(text, words):
    assert list(words_of(text)) == words.split()


# ---- ways in ----------------------------------------------------------------------------------------


class Items(torch.utils.data.Dataset):
    classes = ("sport", "money", "space")

    def __len__(self):
        return 60

    def __getitem__(self, i):
        given = passages(60)
        return given["text"][i], given["label"][i]


def test_texts_come_in_as_columns_pairs_torch_and_hugging_face_data_sets():
    given = passages(60)
    kinds = {
        "text": datasets.Value("string"),
        "label": datasets.ClassLabel(names=["sport", "money", "space"]),
    }
    hugging_face = datasets.Dataset.from_dict(given, features=datasets.Features(kinds))
    ways = [
        given,
        (given["text"], given["label"]),
        (np.array(given["text"]), np.array(given["label"])),
        (np.array(given["text"], dtype=object), given["label"]),
        (pd.Series(given["text"]), pd.Series(given["label"])),
        pd.DataFrame(given).to_dict("series"),
        (pyarrow.array(given["text"]), given["label"]),
        {"x": given["text"], "y": given["label"]},
        {"train": given},
        Items(),
        hugging_face,
        datasets.DatasetDict({"train": hugging_face}),
    ]
    first, *others = (load_dataset(data, text_size=8) for data in ways)
    for other in others:
        for split in ("stream", "exam", "test"):
            index = torch.arange(len(first.split(split)))
            assert first.texts(split, index) == other.texts(split, index)
            assert torch.equal(first.inputs(split, index), other.inputs(split, index))
            assert torch.equal(first.split(split).y, other.split(split).y)
    assert others[-1].classes == ("sport", "money", "space")


def test_given_parts_share_their_words():
    data = load_dataset({"train": passages(60), "test": passages(30, seed=1)}, text_size=8)
    expected = passages(30, seed=1)["text"]
    assert sorted(" ".join(words) for words in data.texts("test", torch.arange(30))) == sorted(expected)


@pytest.fixture
def news(tmp_path, monkeypatch):
    """A tiny data set under the name of AG News: 80 training texts in two files, 40 for the test."""
    monkeypatch.setenv("STUDYHALL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "ag_news").mkdir()
    names = ["World", "Sports", "Business", "Sci/Tech"]
    kinds = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)})
    for name, first in (("train-0", 0), ("train-1", 40), ("test", 80)):
        rows = {"text": [f"Item {i}: {names[i % 4]} again" for i in range(first, first + 40)]}
        rows["label"] = [i % 4 for i in range(first, first + 40)]
        datasets.Dataset.from_dict(rows, features=kinds).to_parquet(tmp_path / "ag_news" / f"{name}.parquet")
    return tmp_path


def test_ag_news_from_local_parquet_and_then_from_the_cache(news, monkeypatch):
    data = load_dataset("ag_news", data_dir=news)
    assert data.classes == ("World", "Sports", "Business", "Sci/Tech")
    assert (data.shape, len(data.stream), len(data.exam), len(data.test)) == ((32, 64), 64, 16, 40)
    assert data.texts("test", torch.tensor([0, 39])) == [
        ["item", "80", "world", "again", *[""] * 28],
        ["item", "119", "sci", "tech", "again", *[""] * 27],
    ]
    monkeypatch.setattr("studyhall.envs.streams.named._Reader", None)  # not read a second time
    again = load_dataset("ag_news", data_dir=news)
    index = torch.arange(40)
    assert torch.equal(data.inputs("test", index), again.inputs("test", index))
    assert data.words == again.words
    monkeypatch.undo()
    assert load_dataset("ag_news", data_dir=news, text_size=(2, 8)).texts("test", index[:1]) == [
        ["item", "80"]
    ]


def test_words_left_of_html_do_no_harm(news):
    """As in AG News of the hub."""
    odd = r"&lt;b&gt;Sun #39;s\$5\\band - &lt;A HREF='http://x.y'&gt;\ " + "\u00a0\\"
    rows = {"text": [odd] * 40, "label": [i % 4 for i in range(40)]}
    datasets.Dataset.from_dict(rows).to_parquet(news / "ag_news" / "test.parquet")
    (words,) = load_dataset("ag_news", data_dir=news).texts("test", torch.tensor([3]))
    assert " ".join(words).rstrip() == "lt b gt sun 39 s 5 band lt a href http x y gt"


def test_texts_without_words_are_set_aside_with_a_warning():
    good = passages(60)
    odd = good | {"text": [text if row % 7 else "🎉!?" for row, text in enumerate(good["text"])]}
    kept = [row for row in range(60) if row % 7]
    says = r"^train: set aside 9 of 60 texts, .* \(row 0, 7, 14, 21, 28, …\)$"
    with pytest.warns(UserWarning, match=says) as warned:
        data = load_dataset(odd, text_size=8)
    assert len(warned) == 1
    assert warned[0].filename == __file__
    expected = load_dataset(
        {name: [column[row] for row in kept] for name, column in good.items()}, text_size=8
    )
    for split in ("stream", "exam", "test"):
        index = torch.arange(len(expected.split(split)))
        assert data.texts(split, index) == expected.texts(split, index)
        assert torch.equal(data.split(split).y, expected.split(split).y)


def test_a_word_of_many_letters_costs_no_more_than_its_beginning():
    long = "a" * 1000
    assert torch.equal(hash_words([long + "b" * 10_000], 16), hash_words([long], 16))


def test_faulty_texts(news):
    good = passages(60)
    fault("none of the 60 texts of train has a letter or digit", good | {"text": ["!?"] * 60})
    gaps = [None, *good["text"][1:3], 0.5, *good["text"][4:]]
    for texts in (gaps, np.array(gaps, dtype=object)):
        says = r"train has rows that are no strings, 2 in all \(row 0 is NoneType, 3 is float\): give strings"
        fault(says, good | {"text": texts})
        fault(says, (texts, good["label"]))
    fault("column 'text' of train is of type str: give a list or an array", good | {"text": "abc"})
    fault("train x is of type str: give a list", ("abc", [0, 1, 0]))
    fault("column 'text' of train is of type generator", good | {"text": (t for t in good["text"])})
    fault("train x is of type generator", ((t for t in good["text"]), good["label"]))
    fault("train has a column 'text' but no 'label', only text, topic", {"text": good["text"], "topic": [0]})
    fault("60 items in x but 59 labels", good | {"label": good["label"][1:]})
    for none in ([], [3] * 60, 3, np.zeros(60), torch.zeros(60)):
        fault("column 'text' of train holds no strings", good | {"text": none})
    fault(
        "test items are float32 .*, train items are texts",
        {"train": good, "test": (np.zeros((9, 2)), [0, 1, 2] * 3)},
    )
    fault("text_size is 0: give words", good, text_size=0)
    fault("text_size is 1000000000: .*4096 at most", good, text_size=10**9)
    fault(r"text_size is \(4, 'x'\)", good, text_size=(4, "x"))
    renamed = datasets.Dataset.from_dict({"sentence": good["text"], "label": good["label"]})
    fault("nothing to learn from .*'sentence', 'label'.* strings in a column 'text'", renamed)
    datasets.Dataset.from_dict({"text": [1, 2], "label": [0, 1]}).to_parquet(
        news / "ag_news" / "test.parquet"
    )
    fault("column 'text' of .*test.parquet holds int64, not strings", "ag_news", data_dir=news)
    rows = {"text": ["?"] * 2 + ["one"] * 4, "label": [0, 1, 2, 3, 0, 1]}
    datasets.Dataset.from_dict(rows).to_parquet(news / "ag_news" / "test.parquet")
    says = r"test.parquet, from row 0 to 5, has rows without words, 2 in all \(row 0, 1\)"
    fault(says, "ag_news", data_dir=news)


# ---- tokens and readers -----------------------------------------------------------------------------


def test_a_token_is_a_word_or_several():
    data = load_dataset(passages(60), text_size=(8, 16))
    x = data.inputs("stream", torch.arange(5))
    assert torch.equal(Tokens.of(data, None).cut(x), x)
    pairs = Tokens.of(data, 2)
    assert (pairs.count, pairs.width) == (4, 32)
    assert torch.equal(pairs.cut(x), x.view(5, 4, 32))
    assert pairs.paint(torch.arange(4.0))[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    with pytest.raises(ConfigError, match=r"patch \(3, 16\) does not divide samples of shape \(8, 16\)"):
        Tokens.of(data, 3)
    with pytest.raises(ConfigError, match="words of a token"):
        Tokens.of(data, (1, 16))


def test_patches_need_not_be_square():
    assert Tokens((1, 4, 6), (1, 6)).cut(torch.arange(24.0).view(1, 1, 4, 6)).tolist() == [
        torch.arange(24.0).view(4, 6).tolist()
    ]
    digits = load_dataset("digits")
    assert (Tokens.of(digits, None).grid, Tokens.of(digits, (8, 1)).grid) == ((4, 4), (1, 8))
    for patch, says in (((1, 2, 3), "a side, or"), ("22", "whole number"), ((0, 2), "patch must be a whole")):
        with pytest.raises(ConfigError, match=says):
            Tokens((4, 6), patch)
    with pytest.raises(ConfigError, match="patch must be a length"):
        Tokens((6,), (1, 2))


def test_longer_words_stand_out_and_empty_ones_are_nothing():
    data = load_dataset(
        {"text": ["a extraordinary", "extraordinary a"] * 10, "label": [0, 1] * 10}, text_size=3
    )
    tokens = Tokens.of(data, None)
    seen = tokens.glance(data.inputs("stream", torch.tensor([0])))[0]  # a, extraordinary, nothing
    assert (seen[1, [1, 3]] > 2 * seen[0, [1, 3]]).all()  # deviation and change
    assert not seen[2].any()


def test_the_set_reader_is_a_mean_over_what_was_read_wherever_it_stands():
    reader = SetReader(Tokens((5, 3), (1, 3)), 4, hidden=(6, 7), optimiser="adam", lr=0.01, steps=1)
    reader.reset(torch.tensor([1, 2]), torch.ones(2, dtype=torch.bool))
    g = torch.Generator().manual_seed(0)
    tokens, read = torch.randn(2, 9, 5, 3, generator=g), torch.rand(2, 9, 5, generator=g) < 0.5
    read[0, 0] = False
    out = reader.logits(tokens, read)
    assert torch.allclose(out, reader.logits(tokens.flip(2), read.flip(2)), atol=1e-6)
    for w in range(2):
        weights = [stack[w] for stack in reader.population.parameters]
        for m in range(9):
            bought = tokens[w, m][read[w, m]]
            mean = (bought @ weights[0].T + weights[1]).relu().mean(0) if len(bought) else torch.zeros(6)
            expected = (mean @ weights[2].T + weights[3]).relu() @ weights[4].T + weights[5]
            assert torch.allclose(out[w, m], expected, atol=1e-5)
    with pytest.raises(ConfigError, match='"set" reader needs a hidden layer'):
        SetReader(Tokens((5, 3), (1, 3)), 4, hidden=(), optimiser="adam", lr=0.01, steps=1)


# ---- worlds -----------------------------------------------------------------------------------------

SMALL = {"agents": 2, "slice_size": 4, "exam_size": 9, "horizon": 5, "hidden": (8,), "budget": 2}


def test_the_world_on_texts_keeps_the_contract():
    data = load_dataset(passages(120), text_size=(8, 16))
    check_engine(Allocation, **SMALL, data=data, reader="set", see="coarse", exam_every=2)


def test_other_worlds_learn_from_texts():
    env = make_world("classroom-v0", learners="mlp", data=passages(600), agents=2, horizon=100, exam_size=60)
    env.reset(seed=0)
    ask = {"listen": torch.zeros(1, 2, 1), "ask": torch.ones(1, 2, dtype=torch.int64)}
    for _ in range(99):
        env.step(ask)
    assert (env.metrics()["exam_accuracy"] > 0.6).all()


def found(policy, data, steps=150):
    env = Allocation(
        num_worlds=2,
        data=data,
        reader="set",
        hidden=(32,),
        budget=1,
        horizon=steps + 1,
        exam_size=90,
        exam_every=steps,
        autoreset=False,
        **getattr(policy, "world_kwargs", {}),
    )
    policy.bind(env)
    obs = env.reset(seed=0)
    policy.reset()
    for _ in range(steps + 1):
        obs = env.step(policy.act(obs)).obs
    return env, env.metrics()["reader_accuracy"].mean().item()


def test_scorers_find_the_word_that_tells():
    data = load_dataset(passages(600), text_size=(8, 64))
    (_, chance), (_, ink) = (found(policy, data) for policy in (RandomPolicy(), Saliency()))
    env, learnt = found(Router(see="pixels", reader="set"), data)
    assert learnt > 0.9
    assert learnt > max(chance, ink) + 0.1
    read = [line for line in env.render("ansi").splitlines() if "[" in line]
    assert len(read) == 5
    telling = " ".join(TOPICS).split()
    bought = [word.strip("[]") for line in read for word in line.split() if word.startswith("[")]
    assert len(bought) == 5
    assert sum(word in telling for word in bought) >= 4


def test_the_scenario_reads_ag_news(news, monkeypatch):
    monkeypatch.setenv("STUDYHALL_DATA", str(news))
    scenario = get_scenario("allocation-text")
    small = {"exam_items": 16, "exam_size": 16, "slice_size": 8, "horizon": 4}
    scenario = dataclasses.replace(scenario, env_kwargs={**scenario.env_kwargs, **small})
    found = rollout(scenario, seeds=(0, 1)).metrics["open"]
    assert found["tokens_read"] == [4, 4]
    assert all(0 <= value <= 1 for value in found["reader_accuracy"])


def test_pictures_show_the_words():
    env = Allocation(data=passages(120), autoreset=False, patch=2, **SMALL)
    before = env.reset(seed=0) and env.render("rgb_array")
    env.step({k: torch.rand(1, 2, *s.shape) for k, s in env.action_space.spaces.items()})
    words = [
        line.count("[") for line in env.render("ansi").splitlines() if " " in line and "dominates" not in line
    ]
    assert max(words[1:]) <= 4  # two tokens of two words
    image = env.render("rgb_array")
    assert image.shape == before.shape
    assert (image != before).any()


def test_readers_of_policies_are_known_by_name():
    with pytest.raises(LookupError, match="unknown reader 'cnn'"):
        Router(reader="cnn")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a device")
def test_texts_move_to_a_device_bit_for_bit():
    data = load_dataset(passages(60), text_size=8)
    index = torch.arange(len(data.exam))
    moved = data.to("cuda")
    assert torch.equal(moved.inputs("exam", index.cuda()).cpu(), data.inputs("exam", index))
    assert moved.texts("exam", index.cuda()) == data.texts("exam", index)
    assert dataclasses.replace(moved).to("cuda").device == moved.device
