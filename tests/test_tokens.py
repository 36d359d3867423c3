"""Texts as streams of tokens: tokenisers, corpora by name and of one's own, documents in splits, windows."""

import json
import math
import os
import subprocess
import sys
from collections import Counter

import datasets
import pyarrow
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from studyhall.envs import rng
from studyhall.envs.errors import ConfigError, DataError, StudyhallWarning, UnknownName
from studyhall.envs.streams import (
    CORPORA,
    ByteTokeniser,
    installed,
    load_corpora,
    load_dataset,
    tokeniser_from_json,
    train_tokeniser,
)
from studyhall.envs.streams.schedule import Schedule

SPLITS = ("stream", "exam", "test")
STORY = "The cat sat on the mat, and the dog looked at the cat. " * 40
TEXTS = [f"Document {i}: the {i * 37} cats of {i * 7919} sat on a mat.\n" for i in range(60)]


def tokens_of(data, split, domain=0):
    """The concatenated tokens of a domain's windows, of stride T."""
    held = data.split(split)
    x = held.x[held.offsets[domain] :][: int(held.counts[domain])]
    return [*x[:, :-1].flatten().tolist(), int(x[-1, -1])]


def write(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(columns), path)


def fault(expected, corpora, error=DataError, **arguments):
    with pytest.raises(error, match=expected) as caught:
        load_corpora(corpora, **arguments)
    assert "\n" not in str(caught.value)


# ---- tokenisers ------------------------------------------------------------------------------------------

BPE = train_tokeniser("bpe", TEXTS, 400)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_comes_back_exactly(text):
    for tokeniser in (BPE, ByteTokeniser()):
        assert tokeniser.decode(tokeniser.encode(text)) == text
    assert BPE.end not in BPE.encode(text + BPE.decode([BPE.end]))


@settings(deadline=None, max_examples=30)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_tokenisers_come_back_from_json(text):
    for tokeniser in (BPE, ByteTokeniser(), train_tokeniser("words", [text, *TEXTS], 30)):
        again = tokeniser_from_json(json.loads(json.dumps(tokeniser.to_json())))
        assert again.to_json() == tokeniser.to_json()
        assert (again.size, again.end) == (tokeniser.size, tokeniser.end)
        assert again.encode(text) == tokeniser.encode(text)


@pytest.mark.parametrize("kind", ["bytes", "bpe", "words"])
def test_documents_in_a_stream_are_encoded_one_by_one_and_ended(kind):
    tokeniser = train_tokeniser(kind, TEXTS, 300)
    streamed = [int(token) for chunk in tokeniser.stream(TEXTS) for token in chunk]
    assert streamed == [token for text in TEXTS for token in [*tokeniser.encode(text), tokeniser.end]]
    assert max(streamed) < tokeniser.size <= 300


def test_another_process_trains_the_same_merges():
    script = (
        "import json, sys; from studyhall.envs.streams import train_tokeniser\n"
        "print(json.dumps(train_tokeniser('bpe', json.load(sys.stdin), 400).to_json()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(TEXTS),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7", "RAYON_NUM_THREADS": "3"},
    )
    assert json.loads(done.stdout) == BPE.to_json()


def test_bpe_merges_the_most_frequent_pair_first():
    """Against counting by hand, within words and their leading space."""
    learnt = train_tokeniser("bpe", ["ab ab ab abc"], 260)
    first = [learnt.decode([number]) for number in range(257, learnt.size)]
    assert first == ["ab", " ab", "abc"] or first == ["ab", " ab", " abc"]
    assert learnt.encode("ab ab") == [257, 258]


def test_words_are_the_most_frequent_and_at_equal_counts_alphabetical():
    words = train_tokeniser("words", ["The b a\tthe", "c THE a b"], 7)
    assert [words.decode([number]) for number in range(7)] == [
        "<PAD>",
        "<UNK>",
        "<BOS>",
        "<EOS>",
        "the",
        "a",
        "b",
    ]
    assert words.encode("The  C\nb") == [4, 1, 6]
    assert words.end == 3


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        (None, "no tokeniser: its kind is None, expected one of bytes, bpe, words"),
        ({"kind": ["bpe"]}, "no tokeniser: its kind"),
        ({"kind": "gpt"}, "no tokeniser: its kind is 'gpt'"),
        ({"kind": "bytes", "merges": []}, "a tokeniser of bytes has kind, this one has 'kind, merges'"),
        ({"kind": "bpe"}, "a tokeniser of bpe has kind and merges"),
        ({"kind": "bpe", "merges": {}}, "merges of the tokeniser must be a list"),
        ({"kind": "bpe", "merges": ["ab"]}, "must be pairs"),
        (
            {"kind": "bpe", "merges": [[1, 257]]},
            r"merge 0 of the tokeniser is \[1, 257\]: expected two earlier",
        ),
        ({"kind": "bpe", "merges": [[0, 1]]}, "merge 0"),
        ({"kind": "bpe", "merges": [[True, 1]]}, "merge 0"),
        ({"kind": "bpe", "merges": [[1.0, 1]]}, "merge 0"),
        (
            {"kind": "bpe", "merges": [[256 + i or 1] * 2 for i in range(99)]},
            "merge 6 .* longer than 64 bytes",
        ),
        (
            {"kind": "words", "words": ["a", "B"]},
            "word 1 of the tokeniser is 'B': expected one word in lower",
        ),
        ({"kind": "words", "words": ["a b"]}, "word 0"),
        ({"kind": "words", "words": [3]}, "word 0"),
        ({"kind": "words", "words": ["a", "a"]}, "twice"),
    ],
)
def test_a_strangers_tokeniser_is_not_believed(saved, expected):
    with pytest.raises(DataError, match=expected) as caught:
        tokeniser_from_json(saved)
    assert "\n" not in str(caught.value)


# ---- windows ---------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.integers(90, 140), st.integers(1, 7), st.data())
def test_windows_are_the_stream_cut_at_its_stride(size, length, data):
    """Of one long document, whose blocks are 8:1:1."""
    stride = data.draw(st.integers(1, length))
    text = "".join(chr(97 + (i * i + i // 7) % 26) for i in range(size))
    held = load_corpora({"own": [text]}, length=length, stride=stride, tokeniser="bytes")
    tenth = size // 10
    blocks = {"stream": text[: -2 * tenth], "exam": text[-2 * tenth : -tenth], "test": text[-tenth:]}
    for split, block in blocks.items():
        ids, step = [*block.encode(), 0], stride if split == "stream" else length
        expected = [ids[i : i + length + 1] for i in range(0, len(ids) - length - 1, step)]
        got = held.inputs(split, torch.arange(len(held.split(split))))
        assert got.dtype == torch.int64
        assert got.tolist() == expected


def test_as_published_windows_overlap_by_half():
    for size in range(670, 740, 3):
        held = load_corpora({"own": ["x" * size]}, length=64, stride=32, tokeniser="bytes")
        ids = size - 2 * (size // 10) + 1
        assert len(held.stream) == math.ceil((ids - 65) / 32)


def test_dealt_windows_and_no_windows():
    data = load_corpora({"a": TEXTS, "b": [STORY]}, length=16)
    dealt = data.dealt(torch.tensor([[0, -1], [2, 1]]))
    assert dealt.dtype == torch.int64
    assert data.shape == (17,)
    assert torch.equal(dealt[1, 0], data.stream.x[2].long())
    assert not dealt[0, 1].any()
    schedule = Schedule(data.stream, 1, 4, 10, order="class_incremental", task_classes=1, task_order="given")
    draws = rng.Draws({"stream/items": (1, 4)})(torch.arange(2))
    state = schedule.start(draws, torch.tensor([0, 5]))
    assert data.dealt_labels(state["slice"]).unique(dim=-1).flatten().tolist() == [0, 1]


def test_the_data_set_tells_what_it_is():
    data = load_corpora({"a": TEXTS, "b": [STORY]}, length=16)
    assert data.classes == ("a", "b")
    assert (data.mean.item(), data.std.item()) == (0, 1)
    assert data.texts("stream", torch.tensor([0]))[0].startswith("Document ")
    assert data.fingerprint == load_corpora({"a": TEXTS, "b": [STORY]}, length=16).fingerprint
    others = [
        load_corpora({"a": TEXTS[1:], "b": [STORY]}, length=16),
        load_corpora({"b": TEXTS, "a": [STORY]}, length=16),
        load_corpora({"a": TEXTS, "b": [STORY]}, length=15),
        data.reduced(1, None),
    ]
    assert len({data.fingerprint, *(other.fingerprint for other in others)}) == 5
    few = data.reduced(1, 3)
    assert data.bytes_per_token("exam").shape == (2,)
    assert (few.classes, len(few.stream), few.bytes_per_token("exam").shape) == (("a",), 3, (1,))
    assert data.to("cpu") is data
    with pytest.raises(DataError, match="for worlds of language models"):
        load_dataset(data)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_another_device():
    data = load_corpora({"a": TEXTS}, length=16)
    moved = data.to("cuda")
    assert moved.bytes_per_token("test").device == moved.inputs("test", torch.arange(1).cuda()).device
    assert moved.fingerprint == data.fingerprint


@pytest.mark.parametrize("kind", ["bytes", "bpe", "words"])
def test_bytes_per_token_make_bits_per_byte(kind):
    """Of words, too, most of which are unknown here."""
    data = load_corpora({"own": ["ä é " * 200]}, length=4, vocabulary=260, tokeniser=kind)
    stream = "ä é " * 160
    tokens = len(data.tokeniser.encode(stream)) + 1
    expected = torch.tensor([len(stream.encode()) / tokens], dtype=torch.float64)
    assert torch.equal(data.bytes_per_token("stream"), expected)


# ---- splits ----------------------------------------------------------------------------------------------


def documents(data, split, domain=0):
    """The whole documents of a split."""
    text = data.tokeniser.decode(tokens_of(data, split, domain))
    return [one for one in text.split(data.tokeniser.decode([data.tokeniser.end])) if one.endswith(".\n")]


def test_documents_are_divided_whole_by_their_text_alone():
    data, turned = (
        load_corpora({"own": texts}, length=4, tokeniser="bytes") for texts in (TEXTS, TEXTS[::-1])
    )
    found = {split: documents(data, split) for split in SPLITS}
    assert [len(found[split]) for split in SPLITS] == pytest.approx([48, 6, 6], abs=1)  # the last may be cut
    assert not set(found["stream"]) & set(found["exam"]) | set(found["exam"]) & set(found["test"])
    assert found["stream"] == [text for text in TEXTS if text in found["stream"]]
    for split in SPLITS:
        assert len(set(found[split]) ^ set(documents(turned, split))) <= 2


def test_no_document_is_in_two_splits(tmp_path):
    """Whether it comes twice in a part, in two parts, or in two domains."""
    for part, texts in {
        "train": [*TEXTS[:30], *TEXTS[:30]],
        "validation": TEXTS[20:40],
        "test": TEXTS[35:50],
    }.items():
        write(tmp_path / "text" / f"arxiv-{part}.parquet", text=texts)
    data = load_corpora({"a": "arxiv", "b": TEXTS}, data_dir=tmp_path, length=2, tokeniser="bytes")
    found = {split: {*documents(data, split, 0), *documents(data, split, 1)} for split in SPLITS}
    for one, other in (("stream", "exam"), ("stream", "test"), ("exam", "test")):
        assert not found[one] & found[other]
    assert set(documents(data, "test")) >= set(TEXTS[35:49])  # given parts are kept
    assert max(Counter(documents(data, "stream")).values()) == 2


def test_two_documents_are_cut_into_blocks_each():
    """As one is: there is none for every split."""
    one, other = "ab" * 100, "cd" * 50
    data = load_corpora({"own": [one, other, one]}, length=4, tokeniser="bytes")
    found = {split: data.tokeniser.decode(tokens_of(data, split)) for split in SPLITS}
    end = data.tokeniser.decode([data.tokeniser.end])
    for split, kept in {"stream": (160, 80), "exam": (20, 10), "test": (20, 10)}.items():
        expected = one[: kept[0]] + end + other[: kept[1]] + end
        assert expected.startswith(found[split])
        assert len(expected) - len(found[split]) < 5


def test_most_is_of_the_stream_alone():
    data = load_corpora({"own": [STORY]}, length=4, tokeniser="bytes", most=100)
    whole = load_corpora({"own": [STORY]}, length=4, tokeniser="bytes")
    assert len(data.stream) == math.ceil((101 - 5) / 4)
    assert torch.equal(data.stream.x[:24], whole.stream.x[:24])
    assert torch.equal(data.test.x, whole.test.x)


def test_the_tokeniser_may_know_one_domain_alone():
    domains = {"a": TEXTS, "b": [STORY]}
    first = load_corpora(domains, length=8, tokeniser_from="a", vocabulary=300)
    alone = load_corpora({"a": TEXTS}, length=8, vocabulary=300)
    both = load_corpora(domains, length=8, vocabulary=300)
    assert first.tokeniser.to_json() == alone.tokeniser.to_json() != both.tokeniser.to_json()
    again = load_corpora(domains, length=8, tokeniser=first.tokeniser)
    assert again.fingerprint == first.fingerprint


# ---- corpora ---------------------------------------------------------------------------------------------


def test_embedded_texts_need_no_network_and_are_parsed_once(monkeypatch):
    first = load_corpora("texts", tokeniser="bytes", most=20_000)
    assert first.classes == ("prose", "code", "science")
    assert first.name == "texts"
    code = first.texts("exam", first.exam.offsets[1] + torch.arange(200))
    assert "def " in "".join(text[:-1] for text in code)
    assert '"""' not in "".join(text[:-1] for text in code)
    monkeypatch.setattr(installed, "_parsed", lambda *_: pytest.fail("parsed again"))
    again = load_corpora({"x": "python", "y": "python_docs"}, tokeniser="bytes", most=30_000)
    assert torch.equal(again.stream.x[:600], first.stream.x[first.stream.counts[0] :][:600])
    installed._library.cache_clear()  # as another process
    load_corpora("python", tokeniser="bytes", most=10_000)


def test_a_corpus_may_be_a_path(tmp_path):
    folder = tmp_path / "texts"
    for i, text in enumerate(TEXTS):
        path = folder / f"{i % 7}" / f"{i:02}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / ".hidden").write_bytes(b"\xff")
    in_order = [TEXTS[i] for j in range(7) for i in range(j, 60, 7)]
    write(tmp_path / "table.parquet", text=in_order, other=[0] * 60)
    quoted = "\n".join('"' + text.replace('"', '""') + '"' for text in in_order)
    (tmp_path / "table.csv").write_text(f"text\n{quoted}\n", encoding="utf-8")
    lines = [json.dumps({"text": text, "year": 1}) for text in in_order]
    (tmp_path / "table.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    expected = load_corpora({"x": in_order}, length=8)
    for name in ("texts", "table.parquet", "table.csv", "table.jsonl"):
        assert load_corpora({"x": tmp_path / name}, length=8).fingerprint == expected.fingerprint, name
    (folder / "picture.png").write_bytes(b"\x89PNG\0\0")
    with pytest.warns(StudyhallWarning, match="1 files .* hold NUL bytes and are left out"):
        assert load_corpora({"x": str(folder)}, length=8).fingerprint == expected.fingerprint
    (tmp_path / "story.txt").write_text(STORY, encoding="utf-8-sig")
    story = load_corpora(str(tmp_path / "story.txt"), length=8)
    assert story.classes == ("story",)
    assert torch.equal(story.stream.x, load_corpora({"x": [STORY]}, length=8).stream.x)


def wikitext(texts):
    """Articles as the hub has them, in lines."""
    lines = []
    for i, text in enumerate(texts):
        lines += ["", f" = Title {i} = \n", "", f" {text}", " = = Section = = \n", " More . \n"]
    return lines


@pytest.fixture
def local(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("STUDYHALL_DATA", str(folder))
    return folder


def test_articles_of_wikitext_are_documents(local):
    for part, held in {"train": TEXTS[:40], "validation": TEXTS[40:50], "test": TEXTS[50:]}.items():
        write(local / "wikitext2" / f"{part}-00000-of-00001.parquet", text=wikitext(held))
    data = load_corpora("wikitext2", length=4, tokeniser="bytes")
    exam = bytes(tokens_of(data, "exam")).decode()
    assert exam.split("\0")[1] == f" = Title 1 = \n {TEXTS[41]} = = Section = = \n More . \n"
    assert data.classes == ("wikitext2",)


def test_without_training_text_one_learns_from_the_validation_text_and_is_told(local):
    write(local / "text" / "wikitext2-validation.parquet", text=wikitext(TEXTS[:40]))
    write(local / "text" / "wikitext2-test.parquet", text=wikitext(TEXTS[40:]))
    for _ in range(2):  # also where the tokens come from the cache
        with pytest.warns(StudyhallWarning, match="no train part of wikitext2: its validation text"):
            data = load_corpora("wikitext2", length=4, tokeniser="bytes")
    titles = [bytes(tokens_of(data, split)).count(b" = Title") for split in SPLITS]
    assert titles == pytest.approx([36, 4, 20], abs=1)


def test_code_and_abstracts_from_local_files(local):
    write(local / "code_search_net" / "train-0.parquet", func_code_string=TEXTS[:30])
    write(local / "code_search_net" / "train-1.parquet", whole_func_string=TEXTS[30:])
    write(local / "text" / "science-train.parquet", text=[text.upper() for text in TEXTS])
    write(local / "text" / "science-test.parquet", text=[STORY])
    data = load_corpora({"code": "code_search_net", "science": "arxiv"}, length=4, tokeniser="bytes")
    ours = {text for split in SPLITS for text in documents(data, split)}
    assert len(set(TEXTS) - ours) <= 3
    assert bytes(tokens_of(data, "test", 1)[:99]).decode() == STORY[:99]


def test_the_hub_gives_the_same_and_is_asked_once(local, monkeypatch):
    write(local / "arxiv" / "train.parquet", abstract=TEXTS)
    expected = load_corpora("arxiv", length=8).fingerprint
    monkeypatch.delenv("STUDYHALL_DATA")
    opened = datasets.DatasetDict({"train": datasets.Dataset.from_dict({"abstract": TEXTS, "id": TEXTS})})
    asked = []

    def hub(repository, **others):
        asked.append((repository, others["revision"]))
        return opened

    monkeypatch.setattr(datasets, "load_dataset", hub)
    assert load_corpora("arxiv", length=8).fingerprint == expected
    load_corpora("arxiv", length=8, vocabulary=300)
    assert asked == [("gfissore/arxiv-abstracts-2021", "refs/convert/parquet")]


def test_an_unreachable_hub_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDYHALL_CACHE", str(tmp_path))
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    for name in ("wikitext2", "code_search_net", "arxiv"):
        fault(r"from the Hugging Face hub \(no answer from http://127\.0\.0\.1:9", name)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    fault("HF_HUB_OFFLINE forbids to ask", "wikitext2")


def test_faults_are_one_line_each(tmp_path, local):
    nor = "nor is there such a file or folder here"
    fault(f"unknown corpus 'wikitxt2', {nor}: did you mean 'wikitext2'", "wikitxt2", UnknownName)
    fault(f"unknown corpus 'zzz', {nor}: known are {', '.join(sorted(CORPORA))}", {"a": "zzz"}, UnknownName)
    fault("unknown corpus ''", "", UnknownName)
    fault("there is no file or folder '.*nothing.txt'", {"a": str(tmp_path / "nothing.txt")})
    fault("domain 'a' is empty: a list of strings holds no text", {"a": ["", " \n"]})
    fault("domain 'a' is empty", {"a": []})
    fault("row 1 of a corpus is 3: give strings only", {"a": ["x", 3]})
    fault("a corpus is 3: give a known name, a path, or a list", {"a": 3})
    fault("half a surrogate pair", {"a": ["x\ud800"]})
    fault("exam split of domain 'a' has 13 tokens, and 34 make", {"a": ["x" * 120]}, tokeniser="bytes")
    for names in ({}, [TEXTS], 3, None):
        fault("corpora is .*give 'texts', a known name", names, ConfigError)
    for name in ("", "a/b", "a:b", " a", "a\nb", "a" * 101, 3):
        fault("a domain is called", {name: TEXTS}, ConfigError)
    fault("two domains are called 'a'", {"a": TEXTS, "A": TEXTS}, ConfigError)
    fault("vocabulary must be at least 257 for a tokeniser of bpe", {"a": TEXTS}, ConfigError, vocabulary=256)
    fault("at least 256 for a tokeniser of bytes", {"a": TEXTS}, ConfigError, vocabulary=9, tokeniser="bytes")
    fault("unknown tokeniser 'wordpiece'", {"a": TEXTS}, UnknownName, tokeniser="wordpiece")
    fault("tokeniser must be text", {"a": TEXTS}, ConfigError, tokeniser=3)
    fault("unknown tokeniser_from 'b': known are a, all", {"a": TEXTS}, UnknownName, tokeniser_from="b")
    for name in ("length", "stride", "most"):
        fault(f"{name} must be a whole number", {"a": TEXTS}, ConfigError, **{name: 0})
    fault("stride must be a whole number between 1 and 32", {"a": TEXTS}, ConfigError, stride=33)


def test_faulty_files_are_one_line_each(tmp_path, local):
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1") * 100)
    fault("byte 0 of '.*latin.txt' is not UTF-8", {"a": tmp_path / "latin.txt"})
    (tmp_path / "latin.csv").write_bytes("text\né\n".encode("latin-1"))
    fault("a row of '.*latin.csv' is not UTF-8", {"a": tmp_path / "latin.csv"})
    (tmp_path / "empty").mkdir()
    fault("the folder '.*empty' holds no text files", {"a": tmp_path / "empty"})
    write(tmp_path / "other.parquet", body=TEXTS)
    fault("'.*other.parquet' has no column 'text', only 'body'", {"a": tmp_path / "other.parquet"})
    write(tmp_path / "numbers.parquet", text=[1, 2])
    fault("row 0 of column 'text' of .* is 1", {"a": tmp_path / "numbers.parquet"})
    (tmp_path / "other.jsonl").write_text('{"text": "a"}\n{"body": "b"}\n', encoding="utf-8")
    fault("line 2 of '.*other.jsonl' has no 'text', only 'body'", {"a": tmp_path / "other.jsonl"})
    (tmp_path / "broken.jsonl").write_text('{"text": \n', encoding="utf-8")
    fault("line 1 of '.*broken.jsonl' is no JSON", {"a": tmp_path / "broken.jsonl"})
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    fault("'.*broken.parquet' cannot be read as parquet", {"a": tmp_path / "broken.parquet"})
    fault("STUDYHALL_DATA '.*' has no arxiv/.*: add arxiv/train.parquet, or leave STUDYHALL_DATA", "arxiv")
    fault("data_dir is '.*nowhere', which is no folder", "arxiv", data_dir=tmp_path / "nowhere")
    write(local / "arxiv" / "train.parquet", title=TEXTS)
    fault("has no column 'abstract' or 'text', only title", "arxiv")
    (local / "arxiv" / "train.parquet").write_bytes(b"PAR1")
    fault("cannot be read as parquet .*: fetch it again", "arxiv")


def test_real_texts(real_data):
    if not (real_data / "text").is_dir():
        pytest.skip("no real texts")
    with pytest.warns(StudyhallWarning, match="no train part"):
        data = load_corpora({"prose": "wikitext2"}, tokeniser="words", length=64, vocabulary=10_000)
    assert data.tokeniser.size == 10_000
    words = sum(len(data.split(name)) for name in SPLITS) * 64
    assert abs(words - (214_000 + 241_000)) < 5_000
    assert "robert" in data.texts("test", torch.tensor([0]))[0]
