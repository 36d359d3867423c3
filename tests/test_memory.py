"""Memory that a process keeps, seen from outside."""

import subprocess
import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[1] / "envs" / "memory.py"
PROGRAM = f"""
import resource, runpy, sys
if sys.argv[1] == "kept":
    assert runpy.run_path({str(MODULE)!r})["keep_memory"]() is True
kept = b"1" * 2**27
del kept
held = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
print(held > 2**27)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is a library of Linux")
def test_memory_that_was_freed_is_kept_where_asked():
    for how, holds in (("by default", "False"), ("kept", "True")):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == holds, how
