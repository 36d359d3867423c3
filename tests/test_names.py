"""What is observed, done and told has names that no library takes for its own."""

import pytest
import torch

from studyhall import make_env, make_world, registry
from studyhall.testing.names import TOLD, reserved_names

HOSTED = [
    (name, {"learners": "mlp", "actions": form})
    for name, spec in sorted(registry.items())
    if spec.hosted
    for form in ("listen", "gated", "targets", "discrete")
    if (name, form) != ("collective-v0", "discrete")  # bids go beside no choices
]
FORMS = [
    *((name, {}) for name in sorted(registry)),
    *HOSTED,
    ("classroom-v0", {"share": "own"}),
    ("society-v0", {"public_labels": 1, "energies": True, "parcels": True}),
    ("society-v0", {"energies": True, "learners": "mlp", "actions": "targets"}),
    ("swarm-v0", {"actions": "coefficients"}),
    ("swarm-v0", {"actions": "velocity"}),
    ("consensus-v0", {"choices": True, "vocabulary": 3}),
    ("referential-v0", {"choices": True}),
]


def keys(id, kwargs):
    world = make_world(id, **kwargs)
    return {*world.observation_space.spaces, *world.action_space.spaces}


@pytest.mark.parametrize(("id", "kwargs"), FORMS)
def test_no_name_is_reserved(id, kwargs):
    reserved = reserved_names()
    assert {key: reserved[key] for key in keys(id, kwargs) & reserved.keys()} == {}


def test_what_libraries_reserve():
    """Read from the libraries themselves, not from memory."""
    reserved = reserved_names()
    assert {"values", "keys", "self", "seed", "time", "pixels", "state", "action", "split"} <= reserved.keys()
    assert set(dir(torch.nn.ModuleDict())) <= reserved.keys()


def test_infos_leave_recorders_their_names():
    for id in sorted(registry):
        env = make_env(id, **({"rounds": 1} if "rounds" in registry[id].arguments() else {"horizon": 2}))
        env.reset(seed=0)
        while env.agents:
            *_, infos = env.step({agent: env.action_space(agent).sample() for agent in env.agents})
        for info in infos.values():
            assert set(info) & set(TOLD) == {"metrics"}, id
