"""What a learned protocol needs: features of its sources, and which reward.

Trains the gated protocol of `society-liar-digits` as `studyhall train` does, each time with something taken away, and
measures it as `benchmarks/society.py` does. A feature is taken away by reading 0, in training and afterwards.

    python benchmarks/society_ablation.py [--variants NAME …] [--timesteps 960000] [--train-seeds 0 …] [--out FILE]
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from society import KINDS, summarise

from studyhall import make_world
from studyhall.envs.bridges.sb3 import WorldVecEnv
from studyhall.envs.sources import FEATURES
from studyhall.policies.learned import ScorerPolicy
from studyhall.rollouts.settings import parse_seeds
from studyhall.rollouts.train import configure, make_model
from studyhall.scenarios import get_scenario

RUNNING = [name for name in FEATURES if "mean_" in name]
WITHOUT = {
    "everything": [],
    "without cards": [name for name in FEATURES if "card" in name],
    "without running means": RUNNING,
    "without the present": [n for n in FEATURES if n not in RUNNING and "card" not in n and n != "heard"],
    "without confidence": [name for name in FEATURES if "confidence" in name],
    "without agreement with oneself": [
        n
        for n in FEATURES
        if n.removeprefix("relative_").removeprefix("mean_") in ("agreement", "anchored_agreement")
    ],
    "without agreement with the class": [name for name in FEATURES if "class_agreement" in name],
    "without relative features": [name for name in FEATURES if name.startswith("relative_")],
}
"""Features taken away."""

REWARDS = ("progress", "raw score", "final score only")
"""Progress telescopes to what was learnt; the raw score pays every step for what is known by then; the final score
pays all that was learnt at the last step."""


def keep(names: list[str]) -> np.ndarray:
    """1 for features that stay, 0 for those taken away, ``[F]``."""
    return np.array([name not in names for name in FEATURES], dtype=np.float32)


class Blinded(WorldVecEnv):
    """A bridge that shows some features as 0 and pays another reward."""

    features = keep([])
    reward = "progress"

    def _flat(self, obs):
        flat = super()._flat(obs)
        return flat | {"sources": flat["sources"] * self.features}

    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores and returns so far, ``[W·N]``."""
        metrics = self.world.metrics()
        return metrics["score"].numpy().reshape(-1), metrics["return"].numpy().reshape(-1)

    def step_wait(self):
        score, earned = self._known()
        obs, progress, dones, infos = super().step_wait()
        reward = {
            "progress": progress,
            "raw score": 0.1 * (score + progress / self.world.reward_scale),
            "final score only": np.where(dones, earned + progress, 0.0),
        }[self.reward]
        return obs, reward.astype(np.float32), dones, infos


class BlindPolicy(ScorerPolicy):
    """A trained scorer that sees some features as 0."""

    features = keep([])

    def act(self, obs):
        return super().act(obs | {"sources": obs["sources"] * torch.from_numpy(self.features)})


def train(features: np.ndarray, reward: str, timesteps: int, seed: int) -> BlindPolicy:
    """The protocol after training."""
    config = configure(
        get_scenario("society-liar-digits"), assignments=["actions=gated"], timesteps=timesteps, seed=seed
    )
    model = make_model(config)
    world = make_world(config.scenario.env, num_worlds=config.worlds, **config.scenario.env_kwargs)
    env = Blinded(world, seed=seed)
    env.features, env.reward = features, reward
    model.set_env(env)
    model.learn(timesteps)
    policy = BlindPolicy(model.policy.scorer)
    policy.features = features
    return policy


def accuracy(policy: BlindPolicy, kind: str, seeds: tuple[int, ...]) -> list[float]:
    """Test accuracy of the honest learners at the end, one value a world."""
    scenario = get_scenario("society-liar-digits")
    kwargs = {**scenario.env_kwargs, "actions": "gated", "liar_kinds": (kind,), "exam_every": 10}
    world = make_world(scenario.env, num_worlds=len(seeds), autoreset=False, **kwargs)
    policy.bind(world)
    obs = world.reset(seed=list(seeds), options={"domain": "eval"})
    while not world.ended.all():
        obs = world.step(policy.act(obs)).obs
    test = world.dataset.test
    right = world.predict(world.dataset.inputs("test", torch.arange(len(test)))).argmax(-1) == test.y
    honest = (~world.secrets()["liar"]).float()
    return ((right.float().mean(-1) * honest).sum(-1) / honest.sum(-1)).tolist()


def measure(name: str, reward: str, timesteps: int, train_seeds: list[int], seeds: tuple[int, ...]) -> dict:
    """One variant: trained once a seed, its figures averaged world by world."""
    begun = time.perf_counter()
    policies = [train(keep(WITHOUT[name]), reward, timesteps, seed) for seed in train_seeds]
    minutes = (time.perf_counter() - begun) / 60 / len(train_seeds)
    runs = [{kind: accuracy(policy, kind, seeds) for kind in KINDS} for policy in policies]
    mean = {k: [sum(v) / len(v) for v in zip(*(run[k] for run in runs), strict=True)] for k in KINDS}
    each = [summarise(run)["mean"]["mean"] for run in runs]
    return summarise(mean) | {"train_seeds": train_seeds, "mean_of_each": each, "minutes_each": minutes}


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
            f"{100 * entry['mean']['mean']:.1f} ± {100 * entry['mean']['half']:.1f}",
            f"{100 * worst['mean']:.1f} ({worst['kind']})",
            *(f"{100 * entry['kinds'][kind]['mean']:.1f}" for kind in KINDS),
        )
    return shown


def main() -> None:
    variants = [*WITHOUT, *REWARDS[1:]]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variants", nargs="+", choices=variants, default=variants)
    parser.add_argument("--timesteps", type=int, default=960_000)
    parser.add_argument("--train-seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--seeds", default="0-19")
    parser.add_argument("--out", type=Path, help="JSON; variants it holds already are kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    for variant in options.variants:
        features, reward = ("everything", variant) if variant in REWARDS else (variant, "progress")
        found[variant] = measure(
            features, reward, options.timesteps, options.train_seeds, parse_seeds(options.seeds)
        )
        if options.out:
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(found, indent=1) + "\n")
    Console(width=160).print(table(found))


if __name__ == "__main__":
    main()
