"""The preset for a GPU on a device without values: every stage steps there, and nothing is read back."""

import subprocess
import sys

PRETENDED = """
import dataclasses
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_setup_privateuseone_for_python_backend("pretended")

import studyhall
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

device, mode, seen = torch.device("pretended:0"), FakeTensorMode(), {}


def moved(value):
    if id(value) in seen:
        return seen[id(value)][1]
    found = value
    if isinstance(value, torch.nn.Parameter):
        found = value  # of modules that are only called on others' parameters
    elif isinstance(value, torch.Tensor):
        found = mode.from_tensor(value).to(device)
    elif isinstance(value, torch.device):
        found = device
    elif isinstance(value, dict):
        seen[id(value)] = value, value
        entries = {moved(key): moved(entry) for key, entry in value.items()}
        value.clear()
        value.update(entries)
    elif isinstance(value, list):
        seen[id(value)] = value, value
        value[:] = [moved(entry) for entry in value]
    elif isinstance(value, tuple):
        parts = [moved(entry) for entry in value]
        found = type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    elif type(value).__module__.startswith("studyhall.") and hasattr(value, "__dict__"):
        seen[id(value)] = value, value
        if not isinstance(value, (torch.nn.Module, type)):
            for name, entry in list(vars(value).items()):
                vars(value)[name] = moved(entry)  # past what guards attributes
    seen[id(value)] = value, found  # the object itself, so that its id stays its own
    return found


def of_the_host(make):
    def made(values, *, device=None, **options):  # else it stays a constant, which this device cannot take
        value = mode.from_tensor(make(values, **options))
        return value if device is None else value.to(device)

    return made


with mode:
    moved([world, policy])
    obs = moved(dict(obs))
    torch.tensor, torch.from_numpy = of_the_host(torch.tensor), of_the_host(torch.from_numpy)
    for step in range(1, 9):
        done = world.step(policy.act(obs))
        obs = done.obs
        assert done.reward.device == device
    names = policy.logits(torch.empty(3, 3 * 32 * 32, device=device))
    for name, logits in names.items():
        assert logits.shape == (1, 4, 3, 100), (name, logits.shape)
        assert logits.device == device, (name, logits.device)
print("stepped", list(names))
"""


def test_all_stages_step_on_a_pretended_device():
    done = subprocess.run([sys.executable, "-c", PRETENDED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "stepped" in done.stdout
