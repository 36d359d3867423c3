"""The views as TorchRL uses them, the real one, over every world; it takes many seconds to import."""

import inspect

import pytest

from studyhall import make_env, registry
from studyhall.testing.names import TORCHRL

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def torchrl():
    """Its environments, imported where a test runs: who leaves these out does not wait for them."""
    import torchrl.envs

    return torchrl.envs


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("id", sorted(registry))
def test_it_takes_every_world(torchrl, id, flat):
    form = {"agents": 3} if "agents" in registry[id].arguments() else {}
    if flat and id == "hierarchy-v0":  # a choice beside a number is no vector
        form["actions"] = "discrete"
    for env in (
        torchrl.PettingZooWrapper(make_env(id, flat=flat, **form)),
        torchrl.GymEnv(f"studyhall/{id}", flat=flat, **form),  # which tries arguments out
    ):
        torchrl.utils.check_env_specs(env, seed=0)


@pytest.mark.parametrize("actions", ["listen", "discrete"])
def test_it_rolls_out_what_is_observed(torchrl, actions):
    env = make_env(
        "society-v0",
        actions=actions,
        learners="mlp",
        hidden=(4,),
        agents=3,
        horizon=3,
        slice_size=4,
        exam_size=10,
    )
    found = torchrl.PettingZooWrapper(env, use_mask=True).to("cpu").rollout(5)
    assert found.batch_size == (3,)


def test_what_it_reserves():
    """Read from the library itself, not from memory."""
    from torchrl.data import Composite

    made = inspect.signature(Composite.__init__).parameters.values()
    assert {p.name for p in made if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)} <= TORCHRL
    assert {name for name in dir(Composite()) if not name.startswith("_")} <= TORCHRL
