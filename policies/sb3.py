"""Policies of Stable-Baselines3: those of ours to train, and trained models saved, whichever kind they are."""

from __future__ import annotations

import os
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import MultiInputActorCriticPolicy

from .collective.bids.sb3 import BidPolicy, save_bids
from .listening.sb3 import SetPolicy, save_set_policy
from .multi_input import save_multi_input

__all__ = ["BidPolicy", "SetPolicy", "save_policy"]


def save_policy(model: BaseAlgorithm, path: str | os.PathLike[str], **about: Any) -> None:
    """Save a model whole or not at all, as a policy that ``make_policy`` and ``studyhall run`` take.

    Of a :class:`SetPolicy` the file is what ``model.save`` writes with one more entry, a JSON that says which worlds
    the policy is for. ``PPO.load`` reads the first (and unpickles it),
    :class:`~studyhall.policies.listening.learned.LearnedPolicy` the second and the bare weights. Of a
    ``"MultiInputPolicy"`` and a :class:`BidPolicy` it holds weights and that JSON alone.

    Args:
        model: Trained on an environment of ``make_sb3``, with one of these policies.
        path: Gets the suffix ``.zip`` where it has none.
        **about: More to remember in the JSON.

    Raises:
        ConfigError: The model's policy is none of these, its environment not one of ``make_sb3``, or what it
            sees is normalised on the way (``VecNormalize`` with ``norm_obs``), which the file would not know.
    """
    for kind, saves in ((MultiInputActorCriticPolicy, save_multi_input), (BidPolicy, save_bids)):
        if isinstance(model.policy, kind):
            saves(model, path, **about)
            return
    save_set_policy(model, path, **about)
