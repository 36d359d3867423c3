"""Sizes out of all proportion are one line that says what to lower, and take no memory."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from studyhall import make_world, registry
from studyhall.envs.errors import ConfigError, StudyhallError
from studyhall.envs.validation import MOST_NUMBERS, MOST_OF_A_BATCH, afford
from studyhall.testing.tools import sample_actions, seeded

MEBIBYTES = 300  # what the largest accepted of these worlds, and its data, may take

WIDTHS = {"hidden", "attributes", "grid", "patch"}  # given as sequences
NEEDED = {
    ("swarm-v0", "hidden"): {"objective": "network"},
    ("swarm-v0", "slice_size"): {"objective": "network"},
    ("swarm-v0", "refine_steps"): {"refiners": 1},
    ("consensus-v0", "dimensions"): {"data": "vector"},
    ("halves-v0", "length"): {"vocabulary": 3},
    ("referential-v0", "width"): {"vocabulary": None},
    ("consensus-v0", "length"): {"vocabulary": 3},
    "delay": {"horizon": 2 * 10**9},
    "k": {"weighting": "top_k"},
    "degree": {"topology": "small_world"},
    "topic_steps": {"order": "topical"},
    "topic_classes": {"order": "topical"},
    "task_classes": {"order": "class_incremental"},
    "expert_classes": {"share": "class_experts"},
}
"""What an argument means nothing without."""


TEXTS = {name: [f"{name} {i} " * 30 for i in range(30)] for name in ("one", "other")}
LITTLE = {
    "agents": 3,
    "slice_size": 4,
    "exam_size": 10,
    "corpora": TEXTS,
    "width": 8,
    "feedforward": 8,
    "layers": 1,
}
"""Everything else is small, or most of the time goes into worlds that are accepted."""


def counts(id, *, hosted):
    """Names of a world's arguments that are sizes or counts."""
    defaults = registry[id].arguments(hosted=hosted)
    named = {"teacher_budget", "vocabulary", "exam_items", "expert_classes", "length", "dimensions"}
    named |= {"slice_size", "hidden", "patch"}
    found = {
        name
        for name, default in defaults.items()
        if (isinstance(default, int) and not isinstance(default, bool)) or name in named
    }
    return sorted(found | {"num_worlds"})


CASES = [
    (id, name, hosted)
    for id, spec in sorted(registry.items())
    for hosted in ((False, True) if spec.hosted else (False,))
    for name in counts(id, hosted=hosted)
]


def faults(id, name, hosted):
    """What is wrong with how a world takes absurd values of an argument."""
    known = {*registry[id].arguments(hosted=hosted), "num_worlds"}
    for absurd in (10**20, 2 * 10**9):
        kwargs = {**NEEDED.get(name, {}), **NEEDED.get((id, name), {})}
        little = {
            key: value for key, value in LITTLE.items() if registry[id].arguments().get(key) is not None
        }
        kwargs = little | {key: value for key, value in kwargs.items() if key in known}
        kwargs |= {name: [absurd] * 2 if name in WIDTHS else absurd}
        if hosted:
            kwargs["learners"] = "mlp"
        try:
            world = make_world(id, **kwargs)
            world.reset(seed=0)
            world.step(sample_actions(world, seeded(0)))
        except StudyhallError as fault:
            if "\n" in str(fault):
                yield f"several lines: {fault}"
        except (MemoryError, RuntimeError) as fault:  # as torch says of memory that it does not get
            yield f"{name}={absurd}: {fault}"
        else:
            if absurd == 10**20:  # what nothing grows with, such as a budget, may be great, but not as great
                yield f"{name}={absurd} is taken"


def main() -> None:
    """Try all cases in as much memory as this process has, and a little more; print what is wrong."""
    import resource

    torch.set_num_threads(1)
    for id, spec in registry.items():  # their data and code are loaded before memory is counted
        for hosted in (False, True) if spec.hosted else (False,):
            make_world(id, **({"learners": "mlp"} if hosted else {})).reset(seed=0)
    has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + MEBIBYTES * 2**20,) * 2)
    for id, name, hosted in CASES:
        for fault in faults(id, name, hosted):
            print(f"{id}{' hosted' if hosted else ''}: {fault}")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no limit of memory here")
def test_absurd_sizes_take_no_memory():
    found = subprocess.run([sys.executable, __file__], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, ""), found.stdout + found.stderr


@pytest.mark.parametrize(
    ("id", "kwargs", "says"),
    [
        ("classroom-v0", {"horizon": 10**20}, "horizon must be 2,147,483,647 at most"),
        (
            "classroom-v0",
            {"slice_size": 2 * 10**9},
            "slice_size 2,000,000,000 × .*: lower agents or slice_size$",
        ),
        (
            "swarm-v0",
            {"dimensions": 2 * 10**9},
            r"dimensions 2,000,000,000 .*: lower agents or the dimensions$",
        ),
        ("halves-v0", {"num_worlds": 2 * 10**9}, "num_worlds must be a whole number between 1 and 16777216"),
    ],
)
def test_it_is_said_what_to_lower(id, kwargs, says):
    with pytest.raises(ConfigError, match=says):
        make_world(id, **kwargs)


def test_what_is_affordable_is_a_matter_of_the_product():
    afford(1, "agents", agents=2**14, peers=2**14)
    afford(MOST_OF_A_BATCH // MOST_NUMBERS, "agents", agents=MOST_NUMBERS)
    with pytest.raises(ConfigError, match=r"agents 16,384 × peers 16,385 would be .*: lower agents$"):
        afford(1, "agents", agents=2**14, peers=2**14 + 1)
    with pytest.raises(ConfigError, match=r"greatest batch: lower num_worlds$"):
        afford(1 + MOST_OF_A_BATCH // MOST_NUMBERS, "agents", agents=MOST_NUMBERS)


if __name__ == "__main__":
    main()
