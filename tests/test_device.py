"""Every world and policy steps on a device without any being there, and waits for it only where the list says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from small_worlds import POLICIES, one_of_a_module

from studyhall.testing.read_backs import READ_BACKS, table

HERE = Path(__file__).parent
LISTED = {found.function for found in READ_BACKS}


def stepped(*names):
    """What cases of ``pretended_cases.py`` did, in a process of their own, as a device is registered for good."""
    script = [sys.executable, str(HERE / "pretended_cases.py"), *names]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = {}
    for line in done.stdout.splitlines():
        found |= json.loads(line)
    assert found
    wrong = {name: case["fault"] for name, case in found.items() if case["fault"]}
    assert not wrong, "\n".join(f"{name}: {fault}" for name, fault in wrong.items())
    return {name: set(case["looks"]) for name, case in found.items()}


def unlisted(found):
    return {name: looks - LISTED for name, looks in found.items() if looks - LISTED}


QUICK = [
    "catches",
    "worlds",
    "losses",
    "small world",
    "liars",
    *(f"policy {p}" for p in one_of_a_module(POLICIES)),
]


def test_worlds_and_policies_step_on_a_pretended_device():
    """One policy of each module; what the device is to notice is among the cases."""
    assert unlisted(stepped(*QUICK)) == {}


@pytest.mark.slow
def test_everything_does_and_the_list_names_nothing_else():
    found = stepped("all")
    assert unlisted(found) == {}
    assert set().union(*found.values()) == LISTED


def test_the_list_is_on_the_page():
    assert table() in (HERE.parent / "docs" / "design.md").read_text(encoding="utf-8")
