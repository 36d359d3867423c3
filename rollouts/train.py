"""Training by reward: the names of `training/by_reward.py`, as scripts import them."""

from .training.by_reward import RewardConfig, configure, make_model, resumed, train

TrainConfig = RewardConfig

__all__ = ["RewardConfig", "TrainConfig", "configure", "make_model", "resumed", "train"]
