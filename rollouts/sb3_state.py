"""The whole state of a training with Stable-Baselines3, to go on from exactly there.

Between two rollouts that is: policy, optimiser, the worlds, what was observed last, how far the training is (learning
rates follow from it), and the two global generators that SB3 draws actions and minibatches from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from ..envs.bridges.sb3 import WorldVecEnv


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


def put_back(model: OnPolicyAlgorithm, saved: Mapping[str, Any]) -> None:
    """Put a model, freshly made as that one was, into the state of :func:`state_of`.

    Go on with ``learn(…, reset_num_timesteps=False)``.
    """
    env = model.get_env()
    assert isinstance(env, WorldVecEnv)
    model.policy.load_state_dict(saved["policy"])
    model.policy.optimizer.load_state_dict(saved["optimiser"])
    model._last_obs = env.load_state_dict(saved["env"])  # type: ignore[assignment]
    model._last_episode_starts = saved["episode_starts"].numpy()
    model.ep_info_buffer = deque(saved["episodes"], maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    model.num_timesteps, model._n_updates = saved["timesteps"], saved["updates"]
    name, keys, position, has_gauss, gauss = saved["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(saved["torch"])
