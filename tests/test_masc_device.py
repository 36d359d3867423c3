"""The preset for a GPU on a device without values: every stage steps there, and nothing is read back."""

import subprocess
import sys
from pathlib import Path

import pytest

PRETENDED = """
from pretended import DEVICE, MODE, moved, of_the_host
import torch
from studyhall import make_world
from studyhall.policies import make_policy
from studyhall.scenarios import get_scenario

scenario = get_scenario("masc-cifar100-full")
pictures = torch.randint(0, 256, (800, 3, 32, 32), dtype=torch.uint8), torch.arange(800) % 100
small = {"data": pictures, "slice_size": 2, "exam_items": 100, "horizon": 9, "exam_every": 8}
policy = make_policy(scenario.policy, **{**scenario.policy_kwargs, "shares": (0.34, 0.34)})
world = make_world(scenario.env, **{**scenario.env_kwargs, **small, **policy.world_kwargs}, autoreset=False)
policy.bind(world)
obs = world.reset(seed=0)
policy.reset()
obs = world.step(policy.act(obs)).obs  # what is made when it is first wanted is made now

with MODE:
    moved([world, policy])
    obs = moved(dict(obs))
    torch.tensor, torch.from_numpy = of_the_host(torch.tensor), of_the_host(torch.from_numpy)
    for step in range(1, 9):
        done = world.step(policy.act(obs))
        obs = done.obs
        assert done.reward.device == DEVICE
    names = policy.logits(torch.empty(3, 3 * 32 * 32, device=DEVICE))
    for name, logits in names.items():
        assert logits.shape == (1, 4, 3, 100), (name, logits.shape)
        assert logits.device == DEVICE, (name, logits.device)
print("stepped", list(names))
"""


@pytest.mark.slow
def test_all_stages_step_on_a_pretended_device():
    here = {"cwd": Path(__file__).parent, "capture_output": True, "text": True, "check": False}
    done = subprocess.run([sys.executable, "-c", PRETENDED], **here)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "stepped" in done.stdout
