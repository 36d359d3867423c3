"""The README and the results: code runs as written, commands and files exist, figures are those of the JSON."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest

from studyhall import testing
from studyhall.rollouts.cli import app
from studyhall.scenarios import registry

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
RESULTS = "".join(
    TEXTS[page] for page in PAGES if (ROOT / "docs" / "results") in (page.parent, page.with_suffix(""))
)


@pytest.fixture
def readme(monkeypatch):
    """The script that fills the pages, as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("readme")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.strip().splitlines()[-1][:30])
def test_code_runs_as_written(code):
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


def test_the_first_block_is_ten_lines():
    assert len([line for line in blocks("python")[0].splitlines() if line.strip()]) <= 10


def test_commands_exist():
    commands = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    calls = [
        shlex.split(line, comments=True)
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("studyhall ")
    ]
    assert calls
    for call in calls:
        assert call[1] in commands
        assert call[1] != "run" or call[2] in {*registry, "--resume"}
    targets = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make ([\w-]+)", README):
        assert f"\n{target}:" in targets


def test_files_exist():
    named = re.findall(r"\b((?:docs|examples|benchmarks)/[\w./-]+\.\w+)", README)
    named += re.findall(r"`(\w+\.md)`", README)
    assert {"docs/classroom.png", "CONTRIBUTING.md"} <= set(named)
    measured = re.sub(r"^Not measured yet: .*$", "", RESULTS, flags=re.MULTILINE)  # names files to come
    named += re.findall(r"\b((?:docs|examples|benchmarks)/[\w./-]+\.\w+)", measured)
    assert not [name for name in named if not (ROOT / name).exists()]
    assert (ROOT / "docs" / "classroom.png").stat().st_size <= 150 * 1024


def test_contributing_names_what_there_is():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:docs|examples|benchmarks|tests|envs|policies|scenarios)/[\w/.-]+)`", text)
    assert {"examples/own_world.py", "policies/listening/rule.py"} <= set(named)
    assert not [name for name in named if not (ROOT / name).exists()]
    checks = set(re.findall(r"`studyhall\.testing\.(\w+)`", text))
    assert checks == {"check_world", "check_policy", "check_exam_blind"}
    assert all(callable(getattr(testing, name)) for name in checks)
    families = {"allocation", "classroom", "collective", "messages", "society", "swarm"}
    assert set(re.search(r"one name everywhere: ([\w, ]+)\.", text)[1].split(", ")) == families
    for room in ("scenarios", "benchmarks/pages"):
        assert families <= {path.stem for path in (ROOT / room).iterdir()}
    assert families - {"society"} <= {path.name for path in (ROOT / "policies").iterdir() if path.is_dir()}


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = (re.sub(r"\]\(.*?\)", "", heading).lower() for heading in headings)
    return {re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_a_file_and_a_heading(page):
    """From where the page lies, pictures too."""
    prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", TEXTS[page], flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if link.startswith("https://"):
            continue
        name, _, heading = link.partition("#")
        to = (page.parent / name).resolve() if name else page
        assert to.exists(), link
        if heading:
            assert heading in anchors(TEXTS[to]), link


def test_every_section_is_on_a_page(readme):
    marks = re.findall(r"<!-- results:([\w-]+) -->", "".join(TEXTS.values()))
    assert sorted(marks) == sorted(readme.SECTIONS)
    assert set(readme.HISTORY) <= set(readme.SECTIONS)


def test_results_are_those_of_the_json(readme, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["readme.py", "--check"])
    readme.main()  # exits where a page is stale, as below


def test_a_stale_page_is_refused_and_left_alone(readme, monkeypatch, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- results:population -->\nmade up\n<!-- /results -->\n", encoding="utf-8")
    monkeypatch.setattr(readme, "PAGES", (page,))
    monkeypatch.setattr(sys, "argv", ["readme.py", "--check"])
    with pytest.raises(SystemExit, match=r"page\.md is stale"):
        readme.main()
    assert "made up" in page.read_text(encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["readme.py"])
    readme.main()
    assert "| learners | updates/s |" in page.read_text(encoding="utf-8")


def test_what_is_not_measured_says_how_to(readme, monkeypatch, tmp_path):
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    swarm = tmp_path / "docs" / "results" / "swarm.json"
    swarm.parent.mkdir(parents=True)
    swarm.write_text('{"speed": {}}', encoding="utf-8")  # one part of several
    texts = {name: readme.SECTIONS[name].text() for name in ("halves", "swarm_hybrid")}
    assert texts == {
        "halves": "Not measured yet: `python benchmarks/halves.py --out docs/results/halves.json "
        "--plot docs/halves.png`.",
        "swarm_hybrid": "Not measured yet: `python benchmarks/swarm.py --parts hybrid --out docs/results/swarm.json`.",
    }


def columns(text: str) -> list[dict[str, str]]:
    """The rows of the first table of a section."""
    lines = re.search(r"(?:^\|.*\n?)+", text, re.MULTILINE)[0].splitlines()
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    assert all(len(row) == len(header) for row in rows)
    return [dict(zip(header, row, strict=True)) for row in rows]


def halves_run(upright: float, shuffled: float) -> dict:
    def cases(value: float) -> dict[str, float]:
        named = dict.fromkeys(("summed_upright", "summed_turned", "summed_swapped", "summed"), value)
        return named | {"message_bytes": 256.0}

    modes = {"open": cases(upright), "mute": cases(0.2), "shuffled": cases(shuffled)}
    return {"updates": 1000, "test": modes}


def test_halves_beside_what_is_documented(readme):
    runs = [halves_run(0.02, 0.16), halves_run(0.04, 0.16)]
    found = readme.SECTIONS["halves"].render({"cpu_seconds": 120.0, "rows": {"simple": runs}})
    assert "At equal updates: not measured yet" in found
    simple = columns(found)[-1]
    assert simple["messenger"] == "simple"
    assert simple["documented"] == "0.0337"
    assert simple["shuffled, documented"] == "0.1794"
    assert simple["upright"] == "0.03 ± 0.13"  # t of one degree of freedom · 0.01
    assert simple["shuffled / open"] == "6.0×"  # mean of 8 and 4


def test_consensus_differences_are_paired(readme):
    curves = [[0.5, 0.6, 0.7, 0.7, 0.7, 0.8], [0.5, 0.7, 0.8, 0.8, 0.8, 0.9]]
    averages = {
        "mean of estimates, trained mute": {"values": [0.7, 0.8]},
        "geometric mean, trained mute": {"values": [0.75, 0.8]},
    }
    given = {"curves": {"complete": {"0.5": {"accuracy": curves}}}, "averages": averages}
    found = readme.SECTIONS["consensus"].render(
        {"witnesses": 8, "message_bytes": 64, "seeds": [0, 1], "updates": 10, **given}
    )
    (row,) = columns(found)
    assert (row["messages lost"], row["0"], row["5"]) == ("50 %", "50.0", "85.0")
    assert row["gain of round 5 over 1"] == "+20.0 ± 0.0"  # though accuracies differ from seed to seed
    assert row["round 5 − mean of estimates"] == "+10.0 ± 0.0"
