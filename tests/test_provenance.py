"""Rows of results: what made them, whether the arithmetic is still the same, and which seeds are for what."""

import importlib
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FIGURES = {"return": 0.5, "accuracy": 0.25}


@pytest.fixture
def benchmark(monkeypatch):
    """A module of ``benchmarks/`` by its name."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


@pytest.fixture
def record(benchmark, monkeypatch):
    """The module that writes rows, with a fingerprint that takes no time."""
    module = benchmark("record")
    monkeypatch.setattr(module, "figures", lambda name: dict(FIGURES))
    monkeypatch.setattr(
        sys, "argv", ["benchmarks/found.py", "--seeds", "0-1", "--out", "/somewhere/found.json"]
    )
    return module


def test_a_row_tells_what_made_it(record, tmp_path):
    file = record.File(tmp_path / "found.json", "found")
    choice = record.Choice(0.1, [0.1, 0.3], "exam split", range(10_000, 10_002), "accuracy")
    file.add(("rows", "ours"), {"accuracy": 0.5}, seeds=(0, 1), chosen=[choice])
    file.append(("each",), {"accuracy": 0.5, "threads": 2}, seeds=[0])
    row = file.get(("rows", "ours"))
    assert row["command"] == "python benchmarks/found.py --seeds 0-1"  # and not where it is on this machine
    assert {"commit", "versions", "python"} <= row.keys()
    assert (row["accuracy"], row["seeds"], row["fingerprint"]) == (0.5, [0, 1], "0")
    (chosen,) = row["chosen"]
    assert chosen["seeds"] == [10_000, 10_001]
    assert file.find(("each",), seeds=[0])["threads"] == 2
    held = json.loads((tmp_path / "found.json").read_text())
    assert held["fingerprints"]["0"]["figures"] == FIGURES
    assert len(list(record.rows_of(held))) == 2


def test_a_row_tells_nothing_of_its_making_itself(record):
    with pytest.raises(ValueError, match=r"commit, seeds of a row are told by the file"):
        record.File(None, "found").add(("row",), {"commit": "made up", "seeds": [7]}, seeds=[0])


def test_a_file_that_is_continued_under_other_arithmetic_says_so(record, tmp_path, capsys):
    path = tmp_path / "found.json"
    record.File(path, "found").add(("before",), {}, seeds=[0])
    held = json.loads(path.read_text())
    held["fingerprints"]["0"]["figures"]["return"] *= 1.01
    path.write_text(json.dumps(held))
    file = record.File(path, "found")
    for name in ("after", "last"):
        file.add((name,), {}, seeds=[0])
    assert {name: row["fingerprint"] for name, row in file.read().items()} == {
        "before": "0",
        "after": "1",
        "last": "1",
    }
    (line,) = capsys.readouterr().err.splitlines()
    assert "are of other arithmetic (return was 0.505, is 0.5)" in line


@pytest.mark.parametrize("factor", [1.00001, 1.01])
def test_rounding_is_no_other_arithmetic(benchmark, factor):
    now = {"loss": 2.3 * factor, "count": 3.0, "none": float("nan")}
    found = benchmark("fingerprints").differing({"loss": 2.3, "count": 3.0, "none": float("nan")}, now)
    assert list(found) == ([] if factor < 1.001 else ["loss"])


def test_rows_of_other_seeds_or_settings_are_not_mixed(record, tmp_path):
    file = record.File(tmp_path / "found.json", "found")
    file.about({"steps": 300})
    file.add(("rows", "ours"), {}, seeds=[0])
    assert file.has(("rows", "ours"), [0])
    file.only(("rows",), [0])
    with pytest.raises(
        SystemExit, match=r"holds rows of seeds \[0\], not \[1\]: give another file, or delete"
    ):
        file.only(("rows",), [1])
    with pytest.raises(SystemExit, match=r"holds rows of steps 300, not 400: give another file"):
        file.about({"steps": 400})


def test_seeds_of_another_range_are_refused(benchmark, capsys):
    argparse, Ranges = importlib.import_module("argparse"), benchmark("ranges").Ranges
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=Ranges(report=range(100, 120)).seeds("report"), default="100-101")
    assert parser.parse_args([]).seeds == (100, 101)
    for given, words in {
        "0-19": "seeds to report are 100-119, got 0",
        "10003": "seeds to report are 100-119, got 10003, which is one to choose",
    }.items():
        with pytest.raises(SystemExit):
            parser.parse_args(["--seeds", given])
        assert f"argument --seeds: {words}" in capsys.readouterr().err
    with pytest.raises(ValueError, match="seeds to choose and to report overlap: 0-9 and 5-14"):
        Ranges(choose=range(10), report=range(5, 15))


def test_checkpoints_are_chosen_on_worlds_to_choose_on(benchmark):
    from studyhall.rollouts.training.loop import EVAL_SEED

    assert EVAL_SEED in benchmark("ranges").Ranges().choose


def test_every_file_of_results_has_a_fingerprint(benchmark):
    sections = benchmark("readme").SECTIONS.values()
    files = {Path(section.json).stem for section in sections if hasattr(section, "json")}
    assert files <= {*benchmark("fingerprints").FINGERPRINTS, *benchmark("fresh").REPRODUCED}


def test_a_replay_that_differs_is_told_of_and_shown(benchmark, monkeypatch, tmp_path, capsys):
    record, fresh = benchmark("record"), benchmark("fresh")
    path, out = tmp_path / "results" / "draws.json", tmp_path / "fresh.json"
    monkeypatch.setattr(fresh, "FOLDERS", (path.parent,))
    monkeypatch.setattr(sys, "argv", ["fresh.py", "draws", "--out", str(out)])
    file = record.File(path, "draws")
    file.add(("found",), {}, seeds=[0])
    commit = record.short(file.get(("found",))["commit"])
    fresh.main()
    (told,) = json.loads(out.read_text()).values()
    assert (told["agree"], told["differ"], told["none"], told["differs"]) == (1, 0, 0, {"0": False})
    held = json.loads(path.read_text())
    held["fingerprints"]["0"]["figures"]["loss"] += 0.1
    path.write_text(json.dumps(held))
    with pytest.raises(SystemExit) as ended:
        fresh.main()
    assert ended.value.code == 1
    assert "loss" in capsys.readouterr().out
    (told,) = json.loads(out.read_text()).values()
    shown = benchmark("pages.recorded").recorded(held, "python benchmarks/fresh.py", told)
    assert shown[-1] == f"Recorded at {commit}; a replay differs."


def test_a_page_says_what_is_not_known_of_a_row(benchmark):
    recorded = benchmark("pages.recorded").recorded
    known = {"command": "python benchmarks/found.py --seeds 0-4", "commit": 40 * "a", "fingerprint": "0"}
    parts = "in parts, at aaaaaaa, unknown; commands of some rows were not kept"
    unknown = {"command": None, "commit": None}
    command = "python benchmarks/found.py"
    assert recorded({"ours": known}, command, {}) == [f"*Measured by `{known['command']}` at aaaaaaa.*"]
    assert recorded({"ours": unknown}, command, {}) == [
        "*`python benchmarks/found.py` measures it; the command that recorded these figures was not kept.*",
        "No fingerprint was recorded with these figures.",
    ]
    assert recorded([known, unknown], command, {"differs": {"0": True}}) == [
        f"*Measured by `python benchmarks/found.py`, {parts}.*",
        "Recorded at aaaaaaa; a replay differs. No fingerprint was recorded with 1 of 2 rows.",
    ]
