"""The repository's root is the package: what is listed, imported, built and shipped."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import studyhall

ROOT = Path(__file__).resolve().parents[1]
NOT_OURS = {"build", "dist", "runs", "tests"}


def section(name: str) -> str:
    """The text of a table of pyproject.toml (``tomllib`` is not in Python 3.10)."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return re.split(r"^\[", text.partition(f"[{name}]\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def test_listed_packages_are_the_folders():
    listed = re.search(r"^packages = \[(.*?)\]", section("tool.setuptools"), re.DOTALL | re.MULTILINE)
    assert listed is not None
    inits = (path.parent.relative_to(ROOT).parts for path in ROOT.rglob("__init__.py"))
    folders = {
        ".".join(("studyhall", *parts))
        for parts in inits
        if not (parts and (parts[0] in NOT_OURS or parts[0].startswith(".")))
    }
    assert set(re.findall(r'"(.+?)"', listed[1])) == folders


def test_the_package_is_imported_once():
    init = ROOT / "__init__.py"
    files = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
    ours = [name for name, file in files.items() if file and Path(file).resolve() == init]
    assert ours == ["studyhall"]


def test_constraints_fit_the_dependencies():
    pinned = {
        re.split(r"[=;]", line)[0].replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    }
    needed = re.search(r"^dependencies = \[(.*?)^\]", section("project"), re.DOTALL | re.MULTILINE)
    assert needed is not None
    assert set(re.findall(r'^ *"([\w-]+)', needed[1], re.MULTILINE)) <= pinned


def test_the_table_of_parts_names_what_is_used():
    """Every library that the package asks for, with the version that constraints.txt pins."""
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    (table,) = re.findall(
        r"(?:^\|.*\n)+", design.partition("## 7. Dependencies")[2].partition("## 8.")[0], re.MULTILINE
    )
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w-]+)==([\w.]+)", constraints, re.MULTILINE))
    told = dict(re.findall(r"`([\w-]+)` (\d+\.[\d.]*\d) \(", table))
    assert told == {name: pinned[name] for name in told}
    asked = (
        section("project").partition("dependencies = [")[2]
        + section("project.optional-dependencies").partition("dev = [")[0]
    )
    needed = {name for name in re.findall(r'"([\w-]+)[><=]', asked)}
    assert {"torch", "plotly", "alembic"} <= needed
    assert not [name for name in needed if f"`{name}`" not in table]
    assert needed & set(pinned) <= set(told)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, since building leaves files behind, with a trained policy more."""
    copy = tmp_path_factory.mktemp("sources") / "studyhall"
    hidden = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")

    def ignored(folder: str, names: list[str]) -> set[str]:
        return hidden(folder, names) | ({"runs"} if Path(folder) == ROOT else set())

    shutil.copytree(ROOT, copy, ignore=ignored)
    trained = copy / "policies" / "trained"
    trained.mkdir(exist_ok=True)
    (trained / "stand-in.zip").write_bytes(b"")
    return copy


def data_files(sources: Path) -> set[str]:
    """Files of the trained policies there are and of the scales of suites, below the package."""
    found = ("policies/trained/*.zip", "scenarios/frozen/*.json")
    return {path.relative_to(sources).as_posix() for pattern in found for path in sources.glob(pattern)}


def build(sources: Path, hook: str, out: Path) -> Path:
    """Call a hook of the build backend in a process of its own; returns what it built."""
    script = f"import sys, setuptools.build_meta as b; print(b.{hook}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", script, str(out)], cwd=sources, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


def test_the_wheel_imports_elsewhere(sources, tmp_path):
    wheel = build(sources, "build_wheel", tmp_path)
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(site)
    modules = [name for name in names if not name.startswith("studyhall-")]
    assert "studyhall/py.typed" in modules
    shipped = {f"studyhall/{name}" for name in data_files(sources)}
    shipped |= {f"studyhall/rollouts/reports/page/page.{kind}" for kind in ("css", "js")}
    assert {name for name in modules if not name.endswith((".py", "py.typed"))} == shipped
    assert all(name.startswith("studyhall/") for name in modules)
    assert not [name for name in modules if re.match(r"studyhall/(tests|docs|examples|benchmarks)/", name)]
    assert any(name.endswith("licenses/LICENSE") for name in names)
    # A scenario is found by lying in the folder.
    own = "from .scenario import Scenario, register_scenario\n"
    own += "register_scenario(Scenario('own-digits', 'mine', env='classroom-v0', policy='mutual'))\n"
    (site / "studyhall" / "scenarios" / "own.py").write_text(own)
    (site / "studyhall" / "scenarios" / "copy of own.py").write_text("no Python")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import studyhall, studyhall.policies; from studyhall.rollouts import cli\n"
        "from studyhall.envs.streams import DATASETS\n"
        "assert studyhall.__file__.startswith(sys.argv[1]), studyhall.__file__\n"
        "env = studyhall.make_env('classroom-v0', agents=2, horizon=2)\n"
        "env.reset(seed=0)\n"
        "env.step({agent: env.action_space(agent).sample() for agent in env.agents})\n"
        "studyhall.policies.make_policy('median')\n"
        "from studyhall.scenarios import registry\n"
        "assert {'classroom-digits', 'own-digits'} <= registry.keys(), registry.keys()\n"
        "print(studyhall.__version__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(site)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == studyhall.__version__


def test_the_sdist_holds_what_is_needed(sources, tmp_path):
    with tarfile.open(build(sources, "build_sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "pyproject.toml",
        "py.typed",
        "__main__.py",
        "envs/engine/world.py",
        "LICENSE",
        "README.md",
        "constraints.txt",
        "Makefile",
        "tests/test_packaging.py",
        "examples/quickstart.py",
        "docs/classroom.png",
        *data_files(sources),
    } <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith((".venv", "runs"))]
