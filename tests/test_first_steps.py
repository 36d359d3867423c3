"""The page of first steps: all that it tells a new user to do, done in its order in an empty folder."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "first-steps.md"
BLOCKS = re.findall(
    r"^```(\w+) ?([^\n]*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
)
INSTALL = "install"  # stands behind the language of the block that these tests' own installation has done


@pytest.mark.slow
def test_a_new_user_gets_from_an_empty_folder_to_a_protocol_of_ones_own(tmp_path):
    for library in ("plotly", "moviepy"):
        pytest.importorskip(library, reason=f"{library} of the extras is not installed")
    programs = Path(sys.executable).parent
    env = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    assert shutil.which("studyhall", path=env["PATH"])
    ran = 0
    for language, title, text in BLOCKS:
        if title == INSTALL:
            continue
        if title.startswith("file="):
            (tmp_path / title.removeprefix("file=")).write_text(text, encoding="utf-8")
            continue
        calls = (
            [[sys.executable, "-c", text]] if language == "python" else map(shlex.split, text.splitlines())
        )
        for call in calls:
            done = subprocess.run(call, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{' '.join(call)}\n{done.stderr}"
            ran += 1
    assert ran > 12
    left = ("demo.gif", "compared.png", "report.html", "film.gif", "runs/protocol/best.zip", "exported")
    assert not [name for name in left if not (tmp_path / name).exists()]
