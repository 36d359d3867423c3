"""The whole state of a training with Stable-Baselines3, to go on from exactly there.

Between two rollouts that is: policy, optimiser, the worlds, what was observed last, how far the training is (learning
rates follow from it), and the two global generators that SB3 draws actions and minibatches from.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from ...envs.bridges.sb3 import WorldVecEnv
from ...envs.engine.fits import Misfit, check_fits
from ..storage.checkpoints import check_optimiser


def state_of(model: OnPolicyAlgorithm) -> dict[str, Any]:
    """The state of a model between two rollouts; loads with ``torch.load(weights_only=True)``."""
    env = model.get_env()
    assert isinstance(env, WorldVecEnv)
    starts = model._last_episode_starts
    assert starts is not None
    generator: Any = np.random.get_state()
    name, keys, position, has_gauss, gauss = generator
    return {
        "policy": model.policy.state_dict(),
        "optimiser": model.policy.optimizer.state_dict(),
        "env": env.state_dict(),
        "episode_starts": torch.from_numpy(starts.copy()),
        "episodes": [dict(found) for found in model.ep_info_buffer or ()],
        "timesteps": model.num_timesteps,
        "updates": model._n_updates,
        "torch": torch.get_rng_state(),
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(gauss)],
    }


def put_back(model: OnPolicyAlgorithm, saved: Any) -> None:
    """Put a model, freshly made as that one was, into the state of :func:`state_of`.

    Go on with ``learn(…, reset_num_timesteps=False)``.

    Raises:
        Misfit, ConfigError: It is the state of something else; nothing was changed then, but that worlds which had
            not begun have.
    """
    env = model.get_env()
    assert isinstance(env, WorldVecEnv)
    if model._last_obs is None:  # so that there is a state to compare with
        model._last_obs = env.reset()  # type: ignore[assignment]
        model._last_episode_starts = np.ones(env.num_envs, dtype=bool)
    _check(saved, model)
    model._last_obs = env.load_state_dict(saved["env"])  # type: ignore[assignment]  # the last that may refuse it
    torch.set_rng_state(saved["torch"])
    name, keys, position, has_gauss, gauss = saved["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    model.policy.load_state_dict(saved["policy"])
    model.policy.optimizer.load_state_dict(saved["optimiser"])
    model._last_episode_starts = saved["episode_starts"].numpy()
    model.ep_info_buffer = deque(saved["episodes"], maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    model.num_timesteps, model._n_updates = saved["timesteps"], saved["updates"]


def _check(saved: Any, model: OnPolicyAlgorithm) -> None:
    like = state_of(model)
    if not isinstance(saved, dict) or saved.keys() != like.keys():
        raise Misfit("the model is something else")
    episodes = saved["episodes"]
    if not isinstance(episodes, list) or not all(map(_is_episode, episodes)):
        raise Misfit("the model's episodes are something else")
    check_optimiser(saved["optimiser"], model.policy.optimizer)
    check_fits(saved, like | {"episodes": ..., "optimiser": ...}, "model")
    moments = [value for state in saved["optimiser"]["state"].values() for value in state.values()]
    for value in [*saved["policy"].values(), *moments]:
        if isinstance(value, torch.Tensor) and not torch.isfinite(value).all():
            raise Misfit("the model holds weights that are not finite")
    try:
        torch.Generator().set_state(saved["torch"])
    except RuntimeError as fault:
        raise Misfit("the generator's state is something else") from fault
    if saved["numpy"][2] > len(saved["numpy"][1]):
        raise Misfit("the generator's state is something else")


def _is_episode(found: Any) -> bool:
    """What SB3 keeps of an episode that has ended, e.g. for its curves."""
    return (
        isinstance(found, dict)
        and found.keys() == {"r", "l"}
        and all(type(v) in (int, float) for v in found.values())
    )
