"""modular-v0 on a device without values: it steps there, and only who learns is read back, once a step."""

import subprocess
import sys
from pathlib import Path

import pytest

PRETENDED = """
from pretended import stepped
from studyhall import make_world
from studyhall.policies import make_policy

texts = {name: [f"{name} {i} " * 30 for i in range(30)] for name in ("one", "other")}
small = {"corpora": texts, "tokeniser": "bytes", "width": 8, "layers": 2, "length": 8, "slice_size": 4, "exam_size": 4,
         "horizon": 8, "exam_every": 2, "dropout": 0.1, "anchor": "ewc", "anchor_slices": 2, "fresh_optimiser": True}
for name in ("k1", "dense", "partition", "columns"):
    policy = make_policy(name)
    given = {**small, **policy.world_kwargs, **({"anchor": "none"} if name == "columns" else {})}
    world = make_world("modular-v0", num_worlds=3, autoreset=False, **given)
    policy.bind(world)
    obs = world.reset(seed=0)
    policy.reset()
    obs = world.step(policy.act(obs)).obs  # what is made when it is first wanted is made now
    for optimiser in world.models.population._optimisers:
        optimiser.fused = False  # chosen by the device when it was made
    found = stepped(world, policy, obs, 7)
    assert found == {"learners.groups._learners"}, (name, found)
    print("stepped", name)
"""


@pytest.mark.slow
def test_it_steps_on_a_pretended_device():
    here = {"cwd": Path(__file__).parent, "capture_output": True, "text": True, "check": False}
    done = subprocess.run([sys.executable, "-c", PRETENDED], **here)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("stepped") == 4
