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
    missing = [
        {"name": "moe-cifar10-pixels", "unmeasured": "no data"},
        {"name": "swarm-sphere", "unmeasured": "none"},
    ]
    measured = [of for of in found["scenarios"] if of["scenario"]["name"] != "moe-cifar10-pixels"]
    told = page(found | {"unmeasured": missing, "scenarios": measured})
    assert "\n\nNot measured: moe-cifar10-pixels (no data); swarm-sphere (none)." in told
    row = next(line for line in told.splitlines() if line.startswith("| moe-cifar10-pixels"))
    assert "| 39.00 |" in row  # what is claimed of it stays in the table
    assert "| not measured |" in row


def test_a_claim_that_fails_stays_on_the_page_as_that(benchmark):
    told = benchmark("pages.classroom").reproduction(results("classroom"))
    rows = [line.split(" | ") for line in told.splitlines() if "| does not hold |" in line]
    assert [(row[1], row[2]) for row in rows] == [
        ("hard vote, dropout on − title holder, dropout on", "+1.88"),
        ("soft vote", "96.80"),
    ]


FOUND = {
    "kinds": {"sharp": [0.5, 0.7], "roll": [0.7, 0.9]},
    "runs": [{"name": "ours", "values": [0.3, 0.4]}, {"name": "theirs", "values": [0.1, 0.2]}],
    "best: of all": {
        "mean": 0.25,
        "half": 0.01,
        "n": 3,
        "low": 0,
        "high": 0,
        "min": 0,
        "max": 0,
        "missing": 0,
    },
    "error": 1.66e-13,
    "steps": 12_700,
}


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        ("percent.1 found:kinds:sharp", "60.0"),
        ("percent.1 found:kinds", "70.0"),  # of lists by case the mean, seed by seed
        ("points found:runs:{ours − theirs}:values", "+20.00 ± 0.00"),  # paired
        ("value.1 found:runs:*:values:0", "0.2"),
        ("value.1 found:runs:{0 / 1}:values:1", "2.0"),
        ("percent found:best: of all", "25.0 ± 1.0"),
        ("value.2g found:error", "1.7e-13"),
        ("count found:kinds", "2"),
        ("count found:steps", "12,700"),
        ("seconds found:steps", "12,700"),
        ("points.2 claims:classroom-mnist-as-published:hard_vote_dropout − title_dropout", "+1.88"),
        ("value.4 sources:minicomo-rerun:simple", "0.0337"),
    ],
)
def test_a_figure_in_a_sentence_is_that_of_its_place(benchmark, monkeypatch, tmp_path, recipe, text):
    sentences = benchmark("pages.sentences")
    monkeypatch.setattr(sentences, "FOLDERS", (tmp_path,))
    (tmp_path / "found.json").write_text(json.dumps(FOUND), encoding="utf-8")
    comment = f"<!--= {recipe} -->"
    page = "of {}, no more than {}."
    for before in ("", "made up −99.9 ± 0.1", "–"):  # a first time, a stale one, one that had no figure
        figure = before.removeprefix("made up ")
        after = sentences.filled(page.format(figure + comment, 5))
        assert after == page.format(text + comment, 5)


def test_figures_in_sentences_are_those_of_the_tables(benchmark):
    written, page = benchmark("pages.sentences").written, benchmark("pages.socialized")
    place = "masc:digits:{mended:metrics:masc_average − joint:metrics:student_average}"
    row = next(line for line in page.amounts(results("masc")).splitlines() if line.startswith("| digits"))
    assert row.split(" | ")[-1].strip(" |") == written(f"points {place}")


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("percent classroom:scenarios:none", "there is nothing at none"),
        ("percent lost:mean", "there is nothing at lost"),
        ("percents classroom:steps", "the format is one of percent, points"),
    ],
)
def test_a_figure_that_is_not_there_is_an_error(benchmark, recipe, words):
    with pytest.raises(LookupError, match=words):
        benchmark("pages.sentences").written(recipe)


BARE = re.compile(r"(?<![\w.,\-/])[+−±]?\.?\d[\d.,]*")  # not the end of a name: CIFAR-10, ackley-30D
SUBJECTS = sorted((ROOT / "docs" / "results").glob("*.md"))
NO_SENTENCE = re.compile(r"`[^`]*`|\]\([^)]*\)")  # code, and where links lead


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "docs" / "results.md", *SUBJECTS], ids=lambda page: page.name
)
def test_sentences_with_results_have_no_figure_typed_by_hand(benchmark, page):
    """Wherever one figure of a paragraph is filled in, all are; settings stand in code, or in words."""
    figure = benchmark("pages.sentences").FIGURE
    text = re.sub(r"<!-- results:.*?<!-- /results -->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    results = [part for part in text.split("\n\n") if figure.search(part)]
    typed = {
        found[0]: part
        for part in results
        for found in BARE.finditer(NO_SENTENCE.sub("", figure.sub("", part)))
    }
    assert not typed


@pytest.mark.parametrize("page", SUBJECTS, ids=lambda page: page.name)
def test_a_page_is_in_the_index_and_begins_with_what_it_is(page):
    index = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert f"](results/{page.name})\n" in index
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"^# .+$", text, re.MULTILINE) == [text.splitlines()[0]]
    assert text.count("<details>") == text.count("</details>")


def test_rows_that_a_reader_does_not_need_open_by_a_click(benchmark):
    table = benchmark("pages.cells").table
    rows = [("ours", ".5"), ("theirs", "v1.5"), ("weak", "−.25")]
    assert table(("policy", "at .5"), rows, lambda row: row[0] == "weak").splitlines() == [
        "| policy | at 0.5 |",
        "| --- | ---: |",
        "| ours | 0.5 |",
        "| theirs | v1.5 |",
        "",
        "<details>",
        "<summary>More rows</summary>",
        "",
        "| policy | at 0.5 |",
        "| --- | ---: |",
        "| weak | −0.25 |",
        "",
        "</details>",
    ]
    assert "<details>" not in table(("policy", "at .5"), rows, lambda row: False)


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


def test_few_worlds_leave_a_share_uncertain(benchmark):
    share = benchmark("pages.cells").share
    assert (share(19, 20), share(0, 20)) == ("19 of 20 (76–99)", "0 of 20 (0–16)")


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
