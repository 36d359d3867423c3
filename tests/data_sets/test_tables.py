"""Tables as data: frames, files and Hugging Face data sets of numbers, texts and pictures."""

from __future__ import annotations

import datasets
import numpy as np
import pandas as pd
import pyarrow
import pytest
from pyarrow import parquet

from studyhall import make_env
from studyhall.envs.streams import load_dataset

from .making import SPLITS, fake_pictures, fault, picture_bytes, same, write_parquet

N = 90
NAMES = np.array(["dog", "bird", "cat"])[np.arange(N) % 3]


@pytest.fixture
def frame() -> pd.DataFrame:
    """Three columns of numbers, a whole, a fractional and a boolean one, between them the label."""
    numbers = np.random.default_rng(0).normal(size=N).astype(np.float32)
    return pd.DataFrame(
        {"age": np.arange(N), "label": NAMES, "weight": numbers, "tall": numbers > 0}, index=range(7, 7 + N)
    )


def expected(frame: pd.DataFrame):
    x = frame[["age", "weight", "tall"]].astype(np.float32).to_numpy()
    return load_dataset((x, frame["label"].to_numpy()))


def test_every_form_of_a_table_gives_the_same_data(frame, tmp_path):
    frame.to_csv(tmp_path / "plain.csv", index=False)
    frame.to_csv(tmp_path / "index.csv")  # its first column has no name
    frame.to_csv(tmp_path / "marked.csv", index=False, encoding="utf-8-sig")
    frame.to_csv(tmp_path / "tabs.TSV", index=False, sep="\t")
    frame.to_parquet(tmp_path / "plain.parquet")
    frame.assign(row=range(N)).set_index("row").to_parquet(tmp_path / "index.parquet")
    arrow = pyarrow.Table.from_pandas(frame)
    ways = [
        frame,
        frame.assign(label=frame["label"].astype("category")),
        frame.convert_dtypes(),
        frame.rename(columns={"label": " Target"}),
        arrow,
        arrow.to_batches()[0],
        datasets.Dataset.from_pandas(frame, preserve_index=False),
        datasets.Dataset.from_pandas(frame, preserve_index=False).with_format("torch"),
        datasets.Dataset.from_pandas(frame, preserve_index=False).class_encode_column("label"),
        *tmp_path.iterdir(),
        str(tmp_path / "plain.csv"),
        {"train": tmp_path / "plain.csv"},
    ]
    truth = expected(frame)
    for way in ways:
        data = load_dataset(way)
        assert same(data, truth)
        assert data.classes == ("bird", "cat", "dog")
    assert load_dataset(tmp_path / "plain.csv").name == "plain"


def test_parts_of_tables(frame, tmp_path):
    frame[:60].to_csv(tmp_path / "train.csv", index=False)
    turned = frame[60:][["tall", "label", "weight", "age"]]  # columns are known by their names
    data = load_dataset({"train": str(tmp_path / "train.csv"), "test": turned})
    assert [len(data.split(name)) for name in SPLITS] == [48, 12, 30]
    assert sorted(data.test.x[:, 0].tolist()) == list(range(60, 90))
    fault(
        "test and train must have the same columns of numbers: test has no 'age' and train has no 'years'",
        {"train": frame, "test": frame.rename(columns={"age": "years"})},
    )


def test_columns_without_numbers_are_left_out_with_a_warning(frame):
    more = frame.assign(name="x", born=pd.Timestamp("2020-01-01"), month=pd.Period("2020-01"), none=None)
    with pytest.warns(
        UserWarning, match=r"^train: left out 'name', 'born', 'month', 'none', since"
    ) as warned:
        data = load_dataset(more)
    assert len(warned) == 1
    assert warned[0].filename == __file__  # the line that asked for the data
    assert same(data, expected(frame))


@pytest.mark.parametrize("label", [NAMES, np.arange(N) % 3 > 0, np.arange(N) % 3 * 1.0, np.arange(N) % 3])
def test_texts_of_tables(label):
    texts = [f"item {i} of {name}" for i, name in enumerate(NAMES)]
    columns = {"id": range(N), "text": texts, "label": label}
    truth = load_dataset((texts, label))
    for table in (pd.DataFrame(columns), datasets.Dataset.from_dict(columns)):
        data = load_dataset(table)
        assert same(data, truth)
        assert data.words == truth.words
        assert data.classes == truth.classes


def test_arrays_in_cells():
    x = np.random.default_rng(0).normal(size=(N, 2, 3))
    flat = pd.DataFrame({"x": list(x.reshape(N, 6)), "label": NAMES})
    assert same(load_dataset(flat), load_dataset((x.reshape(N, 6), NAMES)))
    kind = datasets.Features({"x": datasets.Array2D((2, 3), "float64"), "label": datasets.Value("string")})
    held = datasets.Dataset.from_dict({"x": x, "label": NAMES}, features=kind)
    assert same(load_dataset(held), load_dataset((x, NAMES)))
    part = held.shuffle(seed=0).select(range(60))
    assert same(load_dataset(part), load_dataset((np.array(part["x"]), part["label"])))
    ragged = flat.assign(x=[*x.reshape(N, 6)[1:].tolist(), [1.0]])
    fault(r"column 'x' of train holds arrays of unequal length", ragged)


def test_pictures_in_parquet(tmp_path):
    pictures = fake_pictures(N, 0, (6, 5))
    encoded, labels = [picture_bytes(pixels) for pixels in pictures], [i % 3 for i in range(N)]
    truth = load_dataset((pictures[:, None], labels))
    assert same(load_dataset(write_parquet(tmp_path / "a.parquet", encoded, labels)), truth)
    parquet.write_table(pyarrow.table({"scan": encoded, "fine": labels}), tmp_path / "b.parquet")
    assert same(load_dataset(tmp_path / "b.parquet"), truth)  # the only whole numbers beside the pictures
    kinds = datasets.Features({"scan": datasets.Image(), "kind": datasets.ClassLabel(names=["c", "b", "a"])})
    rows = {"scan": [{"bytes": raw, "path": None} for raw in encoded], "kind": labels}
    datasets.Dataset.from_dict(rows, features=kinds).to_parquet(tmp_path / "c.parquet")
    data = load_dataset(tmp_path / "c.parquet")
    assert same(data, truth)
    assert data.classes == ("c", "b", "a")


def test_the_label_must_be_plain(frame):
    names = r"rename the one to learn to 'label' \(or to 'labels', 'y', 'target', 'class'\)"
    without = frame.drop(columns="label")
    fault(rf"train has no label column among 'age', 'weight', 'tall': {names}", without)
    fault(rf"more than one column that could be the label \('label', 'Y'\): {names}", frame.assign(Y=1))
    fault("train has nothing to learn from beside the label 'label'", frame[["label"]])
    fault("column 'label' of train has no label in row 0", frame.assign(label=[None, *NAMES[1:]]))
    fault("column 'label' of train holds bytes: labels are", frame.assign(label=NAMES.astype("S")))


def test_faulty_frames(frame):
    fault("train has no rows", frame[:0])
    twice = pd.concat([frame, frame[["age"]]], axis=1)
    fault("train has more than one column named 'age': rename or drop", twice)
    fault("more than one column named '1'", frame.assign(**{"1": 0}).rename(columns={"age": 1}))
    mixed = frame.assign(weight=np.array([1, "a"] * 45, dtype=object))
    fault("column 'weight' of train holds int and str, which cannot be read", mixed)
    fault("column 'weight' of train holds complex", frame.assign(weight=1j))
    gap = frame.assign(weight=[None, *frame["weight"][1:]])
    fault(r"column 'weight' of train is empty, infinite or no number in row 0 \(1 of 90 rows\): fill", gap)
    fault(r"column 'weight' of train is empty, infinite", frame.assign(weight=1e300))


def test_faulty_csv_files(frame, tmp_path):
    def written(text: str | bytes, name: str = "t.csv"):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / name

    fault(r"there is no table '.*nope\.csv'", tmp_path / "nope.csv")
    fault(r"there is no table 'nope\.csv'", "nope.csv")
    fault(r"there is no table '.*nope\.parquet'", {"train": str(tmp_path / "nope.parquet")})
    fault(r"'.*t\.txt' is no folder: .* or a table \(\.csv, \.tsv, \.parquet\)", written("a", "t.txt"))
    fault(r"t\.csv' cannot be read as csv \(Empty CSV file\)", written(""))
    fault(r"t\.csv' has no rows", written("a,label\n"))
    fault(r"t\.csv' cannot be read as csv .*Expected 2 columns, got 1", written("a,label\n1,x\n2\n"))
    fault(r"has one column, 'a;label': separate columns by commas", written("a;label\n1;x\n"))
    fault(r"more than one column named 'a'", written("a,a,label\n1,2,x\n"))
    fault(r"no label column among '5\.1', 'x'", written("5.1,x\n4.9,y\n"))
    fault(r"column 'label' is not in UTF-8", written("a,label\n1,café\n".encode("latin-1")))
    fault(r"column names are not in UTF-8", written("é,label\n1,x\n".encode("latin-1")))
    fault(r"cannot be read as csv", written("a,label\n1,x\n".encode("utf-16")))
    fault(r"cannot be read as csv", written(bytes(1000)))
    fault(r"cannot be read as parquet", written(b"a,label\n1,x\n", "t.parquet"))
    (tmp_path / "folder.csv").mkdir()
    fault(r"folder\.csv' is no folder of picture classes", tmp_path / "folder.csv")


def test_the_type_of_a_column_is_that_of_all_its_rows(tmp_path):
    rows = [f"{i},{i % 2}" for i in range(300_000)] + ["0.5,1"]  # more than a reader's block
    (tmp_path / "long.csv").write_text("\n".join(["a,label", *rows]))
    assert load_dataset(tmp_path / "long.csv").stream.x.max() > 299_000


def test_faulty_parquet_files(frame, tmp_path):
    path = tmp_path / "t.parquet"
    frame.to_parquet(path)
    raw = path.read_bytes()
    path.write_bytes(raw[:-200])
    fault(r"'.*t\.parquet' cannot be read as parquet", path)
    path.write_bytes(raw[:100] + b"\xff" * 1200 + raw[1300:])
    fault(r"t\.parquet'", path)
    equal = pyarrow.table({name: np.zeros(10**7, dtype=np.int8) for name in ("a", "label")})
    parquet.write_table(equal, path)
    fault(r"says that its [\d,]+ bytes hold 20,000,000 values, which would not fit", path)
    for about in ({"huggingface": "[1]"}, {"huggingface": "{"}, {"pandas": "{"}):
        parquet.write_table(pyarrow.Table.from_pandas(frame).replace_schema_metadata(about), path)
        fault(r"the description of the columns of '.*t\.parquet' cannot be read", path)


def test_a_world_learns_from_a_table(frame, tmp_path):
    frame.to_csv(tmp_path / "t.csv", index=False)
    seen = []
    for data in (frame, str(tmp_path / "t.csv")):
        env = make_env("classroom-v0", data=data, agents=2, horizon=5, slice_size=4, exam_size=6)
        seen.append(env.reset(seed=0)[0]["student_0"]["slice"])
        assert seen[-1].shape == (4, 3)
    assert np.array_equal(*seen)


def test_the_command_line_runs_on_a_table(frame, tmp_path, call):
    frame.to_csv(tmp_path / "t.csv", index=False)
    small = [f"data={tmp_path / 't.csv'}", "exam_size=6", "agents=2", "slice_size=4"]
    arguments = [word for setting in small for word in ("--set", setting)]
    code, _, err = call("run", "classroom-digits", *arguments, "--steps", "3", "--out", str(tmp_path / "run"))
    assert code == 0, err
    code, _, err = call("run", "classroom-digits", "--set", "data=nope.csv", "--steps", "3")
    assert code == 2
    assert err.strip().splitlines()[-1].startswith("studyhall: there is no table 'nope.csv'")
