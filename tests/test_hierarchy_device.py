"""hierarchy-v0 on a device without values: it steps there, and nothing is read back."""

import subprocess
import sys
from pathlib import Path

import pytest

PRETENDED = """
from pretended import stepped
from studyhall import make_world
from studyhall.policies import make_policy

texts = {name: [f"{name} {i} " * 30 for i in range(30)] for name in ("one", "other")}
small = {"corpora": texts, "tokeniser": "bytes", "width": 8, "expert_hidden": 4, "length": 8, "slice_size": 4,
         "exam_size": 4, "horizon": 6, "exam_every": 2, "dropout": 0.1, "agents": 8, "trial": 2}
for name, others in POLICIES:
    policy = make_policy(name)
    world = make_world("hierarchy-v0", num_worlds=3, autoreset=False, **{**small, **policy.world_kwargs, **others})
    policy.bind(world)
    obs = world.reset(seed=0)
    policy.reset()
    obs = world.step(policy.act(obs)).obs  # what is made when it is first wanted is made now
    for optimiser in world.models._optimisers.values():
        optimiser.fused = False  # chosen by the device when it was made
    found = stepped(world, policy, obs, 5)
    assert found == set(), (name, found)
    print("stepped", name)
"""

POLICIES = [
    ("k1_hierarchy", {}),
    ("random", {"routing": "hard", "grow": "fresh", "fresh_optimiser": True}),
]


@pytest.mark.slow
def test_it_steps_on_a_pretended_device():
    here = {"cwd": Path(__file__).parent, "capture_output": True, "text": True, "check": False}
    script = PRETENDED.replace("POLICIES", repr(POLICIES))
    done = subprocess.run([sys.executable, "-c", script], **here)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("stepped") == len(POLICIES)
