"""What a learned protocol needs: features of its sources, and which reward.

Trains the gated protocol of `society-liar-digits` as `studyhall train` does, each time with something taken away, and
measures it as `benchmarks/society.py` does. A feature is taken away by reading 0, in training and afterwards.

    python benchmarks/society_ablation.py [--variants NAME …] [--train-seeds 1000,2000,…] [--seeds 100-109] [--out FILE]

What the last update left is measured: no checkpoint is chosen. Variants that the file holds of the same seeds are not
measured again.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from pages.cells import known
from record import File
from rich.console import Console
from rich.table import Table
from society import KINDS, RANGES, honest_accuracy, summarise

from studyhall import make_world
from studyhall.envs.bridges.sb3 import WorldVecEnv
from studyhall.envs.hosted.sources import FEATURES, OWN_FEATURES
from studyhall.policies.listening.learned import ScorerPolicy
from studyhall.rollouts.train import configure, make_model
from studyhall.scenarios import get_scenario

WITHOUT = {
    "everything": (),
    "without cards": ("card",),
    "without running means": ("mean_",),
    "without agreement with oneself": ("self",),
}
"""Variants, and what is taken away: of the sources, of oneself, and with cards one's own report card, too."""

REWARDS = {
    "raw score": {"gamma": 0.95, "gae_lambda": 0.9},
    "final score only": {"gamma": 1.0, "gae_lambda": 0.95},
}
"""Other rewards, with what PPO needs for them: the raw score pays every step for what is known by then; the final
score pays all that was learnt at the last step. Progress, the world's own, telescopes to the same sum."""


def concerns(name: str, what: str) -> bool:
    """Whether a feature goes with a part that is taken away."""
    base = name.removeprefix("relative_").removeprefix("mean_")
    if what == "self":
        return base in ("agreement", "anchored_agreement")
    return what in name


def kept(names: tuple[str, ...], without: tuple[str, ...]) -> np.ndarray:
    """1 for features that stay, 0 for those taken away."""
    return np.array([not any(concerns(name, what) for what in without) for name in names], dtype=np.float32)


def blind(obs: dict, without: tuple[str, ...]) -> dict:
    """An observation (arrays or tensors) with what is taken away read as 0."""
    report = np.array([0.0 if "card" in without else 1.0, 1.0], dtype=np.float32)
    masks = {
        "sources": kept(FEATURES, without),
        "own_features": kept(OWN_FEATURES, without),
        "report": report,
    }
    like = torch.from_numpy if isinstance(obs["report"], torch.Tensor) else np.asarray
    return {**obs, **{key: obs[key] * like(mask) for key, mask in masks.items()}}


class Blinded(WorldVecEnv):
    """A bridge that shows some features as 0 and pays another reward."""

    without: tuple[str, ...] = ()
    reward = "progress"

    def _flat(self, obs):
        return blind(super()._flat(obs), self.without)

    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores and returns so far, ``[W·N]``."""
        metrics = self.world.metrics()
        return metrics["score"].numpy().reshape(-1), metrics["return"].numpy().reshape(-1)

    def step_wait(self):
        score, earned = self._known()
        obs, reward, dones, infos = super().step_wait()
        if self.reward == "raw score":
            reward = 0.1 * (score + reward / self.world.pay.reward_scale)
        elif self.reward == "final score only":
            reward = np.where(dones, earned + reward, 0.0)
        return obs, reward.astype(np.float32), dones, infos


class BlindPolicy(ScorerPolicy):
    """A trained scorer that sees some features as 0; it imitates through a gate."""

    world_kwargs = {"actions": "gated"}  # noqa: RUF012
    without: tuple[str, ...] = ()

    def act(self, obs):
        return super().act(blind(obs, self.without))


def train(without: tuple[str, ...], reward: str, timesteps: int, seed: int) -> BlindPolicy:
    """The protocol as training leaves it."""
    settings = [f"ppo.{key}={value}" for key, value in REWARDS.get(reward, {}).items()]
    config = configure(
        get_scenario("society-liar-digits"),
        assignments=["actions=gated", *settings],
        timesteps=timesteps,
        seed=seed,
    )
    model = make_model(config)
    env = Blinded(
        make_world(config.scenario.env, num_worlds=config.worlds, **config.scenario.env_kwargs), seed=seed
    )
    env.without, env.reward = without, reward
    model.set_env(env)
    model.learn(timesteps)
    policy = BlindPolicy(model.policy.scorer)
    policy.without = without
    return policy


def measure(name: str, reward: str, timesteps: int, train_seeds: list[int], seeds: tuple[int, ...]) -> dict:
    """One variant: trained once a seed, its figures averaged world by world."""
    begun = time.perf_counter()
    policies = [train(WITHOUT[name], reward, timesteps, seed) for seed in train_seeds]
    minutes = (time.perf_counter() - begun) / 60 / len(train_seeds)
    runs = [{kind: honest_accuracy(policy, kind, {}, seeds) for kind in KINDS} for policy in policies]
    mean = {k: [sum(v) / len(v) for v in zip(*(run[k] for run in runs), strict=True)] for k in KINDS}
    each = [summarise(run)["mean"]["mean"] for run in runs]
    trained = {"train_seeds": train_seeds, "timesteps": timesteps, "minutes_each": minutes}
    return summarise(mean) | trained | {"mean_of_each": each}


def table(found: dict) -> Table:
    """One row a variant."""
    shown = Table(
        title="gated PPO with something taken away: test accuracy of the honest, %", title_justify="left"
    )
    for column in ("variant", "mean over kinds", "worst kind", *KINDS):
        shown.add_column(column, justify="left" if column == "variant" else "right")
    for name, entry in found.items():
        worst = entry["worst"]
        shown.add_row(
            name,
            known(entry["mean"], 1),
            f"{100 * worst['mean']:.1f} ({worst['kind']})",
            *(f"{100 * entry['kinds'][kind]['mean']:.1f}" for kind in KINDS),
        )
    return shown


def main() -> None:
    variants = [*WITHOUT, *REWARDS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variants", nargs="+", choices=variants, default=variants)
    parser.add_argument("--timesteps", type=int, default=300_000)
    parser.add_argument("--train-seeds", type=RANGES.seeds("fit"), default="1000,2000,3000,4000,5000")
    parser.add_argument("--seeds", type=RANGES.seeds("report"), default="100-109")
    parser.add_argument("--out", type=Path, help="JSON; variants it holds of the same seeds are kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    file = File(options.out, "society_ablation")
    file.only((), options.seeds)
    for variant in options.variants:
        if file.has((variant,), options.seeds):
            continue
        features, reward = ("everything", variant) if variant in REWARDS else (variant, "progress")
        found = measure(features, reward, options.timesteps, options.train_seeds, options.seeds)
        file.add((variant,), found, seeds=options.seeds)
    Console(width=160).print(table(file.read()))


if __name__ == "__main__":
    main()
