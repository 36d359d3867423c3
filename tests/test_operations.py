"""How many operations a step is made of: in a single world that is what its time goes to."""

from __future__ import annotations

from typing import Any

import pytest
from torch.utils._python_dispatch import TorchDispatchMode

from studyhall import make_world
from studyhall.envs.engine import kernels
from studyhall.policies import RandomPolicy

MOST = {
    "classroom-v0": 165,
    "society-v0": 270,
    "collective-v0": 480,
    "allocation-v0": 540,
    "swarm-v0": 165,
    "halves-v0": 135,
    "consensus-v0": 150,
    "referential-v0": 180,
}


class Operations(TorchDispatchMode):
    """Counts what torch dispatches."""

    count = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return operation(*args, **(kwargs or {}))


def operations(id: str, **kwargs: Any) -> float:
    """Of a step of one world, the mean of twenty."""
    world, policy = make_world(id, **kwargs), RandomPolicy()
    policy.bind(world)
    actions = policy.act(world.reset(seed=0))
    for _ in range(4):
        world.step(actions)
    with Operations() as counted:
        for _ in range(20):
            world.step(actions)
    return counted.count / 20


@pytest.fixture(autouse=True)
def _loops(monkeypatch):
    """Loops in the place of plain torch, as after some thousand steps."""
    pytest.importorskip("numba")
    monkeypatch.setattr(kernels, "_lost", kernels.START)


@pytest.mark.parametrize("id", MOST)
def test_a_step_of_one_world_takes_no_more_operations_than_it_did(id):
    assert operations(id) <= MOST[id]


def test_a_step_of_a_world_with_learners_takes_no_more_operations_than_it_did():
    assert operations("classroom-v0", learners="mlp", hidden=(64, 64)) <= 460


def test_what_no_world_asks_for_is_not_computed():
    kinds = {"churn": 0.1, "mode": "isolated", "exam_every": 3, "cooperation": 0.5, "byte_price": 1.0}
    plain = operations("classroom-v0")
    for name, value in kinds.items():
        if name != "exam_every":
            assert operations("classroom-v0", **{name: value}) > plain
    assert operations("classroom-v0", exam_every=3) < plain
