"""Pages of results: what benchmarks report, and what tables say about it."""

import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def benchmark(monkeypatch):
    """A module of ``benchmarks/`` by its name."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


def results(name):
    return json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def test_no_result_names_a_folder_of_the_machine():
    for path in (ROOT / "docs" / "results").glob("*.json"):
        assert not re.search(r'["\' ](/|~/|[A-Z]:\\)\w+/', path.read_text(encoding="utf-8")), path.name


def test_a_page_names_what_was_not_measured(benchmark):
    page = benchmark("pages.classroom").reproduction
    found = results("collective")
    whole = page(found | {"unmeasured": []})
    assert "Not measured" not in whole
    missing = [{"name": "lost", "unmeasured": "no data"}, {"name": "gone", "unmeasured": "none either"}]
    told = page(found | {"unmeasured": missing})
    assert told.replace("\n\nNot measured: lost (no data); gone (none either).", "") == whole != told


def test_rivals_may_have_any_name(benchmark):
    ours = np.array([[1.0, 2.0], [3.0, 4.0]])
    found = benchmark("trainings").compared(ours, {"learned": np.array([1.0, 1.0]), "trainings": ours[0]})
    assert found["learned"]["mean"] == 2.5
    assert [one["learned"]["mean"] for one in found["trainings"]] == [1.5, 3.5]
    assert found["gain_over"]["learned"]["mean"] == 1.5
    assert {name: rival["mean"] for name, rival in found["rivals"].items()} == {
        "learned": 1,
        "trainings": 1.5,
    }


def test_tables_of_swarms_say_how_many_and_what_time(benchmark):
    swarm, found = benchmark("pages.swarm"), results("swarm")
    assert "over 100 swarms (ours) and 20 runs (pyswarms);" in swarm.yardsticks(found)
    assert {
        (name.split()[0].rstrip(","), entry["n"])
        for case in found["yardsticks"].values()
        for name, entry in case.items()
        if name != "documented"
    } == {("ours", 100), ("pyswarms", 20)}
    assert "per second of processor time" in swarm.speed(found)
