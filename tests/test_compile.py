"""Worlds with ``compile=True``: as they are without, but for rounding."""

from __future__ import annotations

import pytest
import torch

from studyhall import make_world
from studyhall.envs.engine import compiling
from studyhall.envs.errors import ConfigError
from studyhall.policies import RandomPolicy
from studyhall.testing.tools import leaves

needs_compiler = pytest.mark.skipif(not compiling._compiler(), reason="no C++ compiler")


def walk(id: str, *, steps: int, gradients: bool = False, **kwargs) -> None:
    """Step two worlds alike, one of them compiled, and compare all that they hand out."""
    plain, fast = (make_world(id, num_worlds=3, compile=compile, **kwargs) for compile in (False, True))
    policy = RandomPolicy()
    policy.bind(plain)
    obs, same = plain.reset(seed=4), fast.reset(seed=4)
    for _ in range(steps):
        actions = policy.act(obs)
        mine = {k: v.clone().requires_grad_(gradients and v.is_floating_point()) for k, v in actions.items()}
        yours = {k: v.clone().requires_grad_(gradients and v.is_floating_point()) for k, v in actions.items()}
        expected, found = plain.step(mine), fast.step(yours)
        pairs = zip(leaves(expected._asdict()), leaves(found._asdict()), strict=True)
        for (name, one), (_, other) in pairs:
            torch.testing.assert_close(other, one, rtol=0, atol=1e-5, equal_nan=True, msg=name)
        if gradients:
            expected.loss.sum().backward()
            found.loss.sum().backward()
            for key, value in mine.items():
                if value.grad is not None:
                    torch.testing.assert_close(yours[key].grad, value.grad, rtol=0, atol=1e-5)
        obs, same = expected.obs, found.obs
    assert {k: v.shape for k, v in obs.items()} == {k: v.shape for k, v in same.items()}


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("id", ["consensus-v0", "halves-v0"])
@pytest.mark.parametrize("gradients", [False, True])
def test_a_compiled_world_moves_as_it_would_without(id, gradients):
    walk(id, steps=4, gradients=gradients, slice_size=8, rounds=2)


@needs_compiler
@pytest.mark.slow
def test_a_compiled_world_with_faults_and_vectors_moves_as_it_would_without():
    faults = {
        "drop": 0.2,
        "noise": 0.1,
        "bits": 8,
        "bound": 2.0,
        "delay": 1,
        "mode": ["open", "mute", "shuffled"],
    }
    walk("consensus-v0", steps=5, data="vector", rounds=3, slice_size=8, **faults)


@needs_compiler
@pytest.mark.slow
def test_a_compiled_world_restarts_some_worlds_and_forks():
    plain, fast = (make_world("consensus-v0", num_worlds=3, slice_size=4, compile=c) for c in (False, True))
    policy = RandomPolicy()
    policy.bind(plain)
    actions = policy.act(plain.reset(seed=1))
    fast.reset(seed=1)
    for world in (plain, fast):
        world.step(actions)
        world.reset(mask=torch.tensor([True, False, True]))
    twin = fast.fork()
    expected = plain.step(actions)
    for found in (fast.step(actions), twin.step(actions)):
        torch.testing.assert_close(found.reward, expected.reward, rtol=0, atol=1e-5)
        assert torch.equal(found.obs["own_view"], expected.obs["own_view"])


@pytest.mark.parametrize("id", ["classroom-v0", "referential-v0", "swarm-v0"])
def test_a_world_that_would_not_be_faster_refuses(id):
    with pytest.raises(ConfigError, match="takes no compile"):
        make_world(id, compile=True)


def test_without_a_compiler_one_line_says_so(monkeypatch):
    monkeypatch.setattr(compiling, "_compiler", lambda: False)
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler"):
        make_world("consensus-v0", compile=True)
