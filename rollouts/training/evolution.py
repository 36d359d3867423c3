"""Training by evolution strategies: variants of a policy's numbers play whole episodes, the better ones are followed.

For policies of few numbers (:class:`~studyhall.policies.parametric.Parametric`), in any world. An update is a
generation, one batched rollout: every candidate has some worlds of the batch, and all candidates the same seeds, new
ones each generation. After Salimans et al., "Evolution strategies as a scalable alternative to reinforcement learning"
(arXiv:1703.03864, 2017): mirrored Gaussian perturbations, fitness by ranks, and Adam.

What a training writes: see the page of this package. Held-out worlds are those of training by reward (`by_reward.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...envs import make_world
from ...envs.engine import rng
from ...envs.engine.fits import check_fits
from ...envs.engine.world import World
from ...envs.errors import ConfigError, unknown
from ...envs.validation import keep, rate, whole
from ...policies import Policy, make_policy, registry
from ...policies.files import is_path, trained
from ...policies.parametric import Parametric, save_parametric
from ...policies.registration import policy_factory
from ...scenarios import Scenario
from ..reports.figures import figure
from ..reports.loggers import NO_LOGGERS, Loggers
from ..settings.customise import customise
from ..settings.parse import Assignments
from ..storage.checkpoints import check_optimiser
from . import loop
from .by_updates import UpdateTraining
from .config import TrainingConfig, plain
from .loop import EVAL_SEED, MovingAverage
from .trained import Trained


@dataclass(frozen=True)
class EvolutionSettings:
    """Each can be set with ``--set es.NAME=VALUE``.

    Args:
        candidates: Variants of a generation, an even number: each is tried with its mirror image.
        sigma: Standard deviation of what is added to the numbers.
        learning_rate: Of Adam; falls linearly to 0.

    Raises:
        ConfigError: A value out of range.
    """

    candidates: int = 16
    sigma: float = 0.3
    learning_rate: float = 0.1

    def __post_init__(self) -> None:
        keep(
            self,
            candidates=whole("candidates", self.candidates, 2),
            sigma=rate("sigma", self.sigma),
            learning_rate=rate("learning_rate", self.learning_rate),
        )
        if self.candidates % 2:
            raise ConfigError(
                f"candidates come in mirrored pairs: give an even number, got {self.candidates}"
            )


@dataclass(frozen=True)
class EvolutionConfig(TrainingConfig):
    """What is trained by evolution strategies.

    Args:
        scenario: Its world, and its policy, whose numbers are trained.
        settings: Of the training.
        algorithm: "es".
        worlds: W of a generation, a multiple of its candidates: each plays W / candidates episodes.
        eval_every: Generations between two evaluations, the first of which is before the first.
        eval_worlds: Held-out worlds, one episode each.
        seed: Of the worlds and of what is tried.
        threads: CPU threads.
        updates: Generations in all.
        device: Where the worlds live.

    Raises:
        ConfigError: A value out of range.
    """

    settings: EvolutionSettings = field(default_factory=EvolutionSettings)
    algorithm: str = "es"
    worlds: int = 64
    eval_every: int = 5
    eval_worlds: int = 16
    updates: int = 100
    device: str = "cpu"

    kind = "by evolution"
    length = "updates"
    options = ("updates", "worlds", "seed", "eval_every", "threads", "eval_worlds", "device")
    always_given = ("updates", "worlds", "seed", "eval_every")
    changeable = ("updates", "threads", "device")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.worlds % self.settings.candidates:
            raise ConfigError(
                f"worlds are dealt to the candidates in equal shares: give a multiple of {self.settings.candidates}, "
                f"got {self.worlds}"
            )
        if not isinstance(self.device, str):
            raise TypeError("a device is a text")

    @property
    def episodes(self) -> int:
        """Of each candidate in a generation."""
        return self.worlds // self.settings.candidates

    @classmethod
    def prefix(cls, algorithm: str) -> str:
        """The algorithm's name."""
        return algorithm

    @classmethod
    def settings_type(cls, algorithm: str) -> type[EvolutionSettings]:
        """The same for all."""
        return EvolutionSettings

    @classmethod
    def usual(cls, scenario: Scenario, algorithm: str) -> tuple[EvolutionSettings, dict[str, Any]]:
        """The defaults."""
        return EvolutionSettings(), {}

    @classmethod
    def change(cls, scenario: Scenario, algorithm: str, given: Mapping[str, Any]) -> Scenario:
        """The scenario with a user's arguments of the world and of the policy, which must be one of numbers."""
        for name in given:
            head, dot, _ = name.partition(".")
            if dot and head != "policy":
                settings = [f"{algorithm}.{f.name}" for f in dataclasses.fields(EvolutionSettings)]
                raise unknown("setting", name, ["policy.…", *settings])
        return customise(scenario, assignments=given)

    @property
    def run_with(self) -> list[str]:
        """Whatever is not the scenario's own."""
        return self.changed

    @property
    def trained_with(self) -> list[str]:
        """The policy and its arguments too."""
        return [*self.changed, *self.changed_policy]


def configure(
    scenario: Scenario, *, algorithm: str = "es", assignments: Assignments = (), **options: Any
) -> EvolutionConfig:
    """What the options of ``studyhall train`` say; see :meth:`TrainingConfig.configure`.

    Args:
        scenario: The scenario.
        algorithm: ``"es"``.
        assignments: ``KEY=VALUE`` for arguments of the world, ``policy.KEY=VALUE`` and ``es.KEY=VALUE``.
        **options: Fields of :class:`EvolutionConfig`; None takes the default.

    Raises:
        ConfigError: A name or value that cannot be.
    """
    return EvolutionConfig.configure(scenario, algorithm=algorithm, assignments=assignments, **options)


resumed = EvolutionConfig.resumed
OPTIONS = EvolutionConfig.options


def train(
    config: EvolutionConfig, out: Path | None = None, *, resume: bool = False, log: Loggers = NO_LOGGERS
) -> Trained:
    """Train, evaluate on the way, and keep the best and the last; see :func:`loop.train`."""
    return loop.train(EvolutionTraining, config, out, resume=resume, log=log)


class EvolutionTraining(UpdateTraining):
    """Generations of candidates, and what the numbers they vary are worth on held-out worlds.

    Everything drawn is a function of the seed and the generation's number, so nothing but the numbers, Adam's moments
    and that number is to be saved.

    Args:
        config: What to train.

    Raises:
        ConfigError: The scenario's policy is none of numbers, or does not act in its world.
    """

    config: EvolutionConfig
    figure = "return"
    train_figure = "train/return"
    start = "generation 0"

    def __init__(self, config: EvolutionConfig) -> None:
        self.config = config
        self.tried, self.kept = self._policy(), self._policy()
        self.world, self._held_out = self._world(config.worlds), self._world(config.eval_worlds)
        self.tried.bind(self.world)
        self.kept.bind(self._held_out)
        self.numbers = self.kept.parameters.clone()
        self.optimiser = torch.optim.Adam([self.numbers], lr=config.settings.learning_rate)
        self._done = 0
        self._return = MovingAverage(0.1)

    def _policy(self) -> Parametric:
        scenario = self.config.scenario
        made = make_policy(scenario.policy, **scenario.policy_kwargs)
        if not isinstance(made, Parametric):
            raise ConfigError(
                f"policy {scenario.policy} is no vector of numbers, which es trains: add --set "
                f"policy={' or '.join(_parametric())}"
            )
        return made

    def _world(self, count: int) -> World:
        scenario, device = self.config.scenario, self.config.device
        return make_world(
            scenario.env, num_worlds=count, device=device, autoreset=False, **self._world_kwargs
        )

    @property
    def _world_kwargs(self) -> dict[str, Any]:
        """What the policy needs, and what the scenario says."""
        return {**self.tried.world_kwargs, **self.config.scenario.env_kwargs}

    @property
    def progress(self) -> float:
        """Share of the generations."""
        return self._done / self.config.updates

    @property
    def live(self) -> str:
        """Generations, and the smoothed return of their candidates."""
        return f"generation {self._done:,} · return {figure(self._return.value, 4)}"

    def update(self, show: Callable[[], None] = lambda: None) -> dict[str, float]:
        """One generation; "train/return" is the smoothed mean of its candidates, "train/spread" their deviation."""
        settings, episodes = self.config.settings, self.config.episodes
        key = rng.fold(torch.tensor(self.config.seed), self._done)
        noise = rng.draw(key, "es/noise", (settings.candidates // 2, len(self.numbers))).normal()
        noise = torch.cat([noise, -noise])  # [candidates, P]
        seeds = (rng.draw(key, "es/seeds", (episodes,)).bits() >> 1) & (2**62 - 1)
        candidates = self.numbers + settings.sigma * noise
        self.tried.parameters = candidates.repeat_interleave(episodes, dim=0).to(self.config.device)
        found = returns(self.tried, self.world, seeds.repeat(settings.candidates).tolist(), show=show)
        assert found is not None
        fitness = found.view(settings.candidates, episodes).mean(-1)
        self.optimiser.param_groups[0]["lr"] = settings.learning_rate * (1 - self.progress)
        self.numbers.grad = -(centred_ranks(fitness)[:, None] * noise).mean(0) / settings.sigma
        self.optimiser.step()
        self._done += 1
        finite = fitness[fitness.isfinite()]
        self._return.add(float(finite.mean()))
        return {self.train_figure: self._return.value, "train/spread": float(finite.std(correction=0))}

    def evaluate(self, stop: Callable[[], bool] = lambda: False) -> float | None:
        """Mean return of the numbers on held-out worlds, always the same ones."""
        self.kept.parameters = self.numbers.clone()
        seeds = range(EVAL_SEED, EVAL_SEED + self.config.eval_worlds)
        found = returns(self.kept, self._held_out, list(seeds), domain="eval", stop=stop)
        return None if found is None else float(found.mean())

    def save_weights(self, path: Path, **about: Any) -> None:
        """Write the numbers as a policy that runs."""
        scenario, policy = self.config.scenario, self.kept
        name = scenario.policy
        if is_path(name) or name in trained():  # trained on from a file: it is what the file said
            name = policy.about["policy"]
        policy.parameters = self.numbers.clone()
        said = {
            "env": scenario.env,
            "env_kwargs": plain(self._world_kwargs),
            "scenario": scenario.name,
            "algorithm": self.config.algorithm,
            "settings": dataclasses.asdict(self.config.settings),
            "updates": self.done,
            "timesteps": self.timesteps,
            "command": self.config.command,
            **about,
        }
        save_parametric(policy, path, name, **said)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here."""
        return {
            "numbers": self.numbers.clone(),
            "optimiser": self.optimiser.state_dict(),
            "done": self._done,
            "return": self._return.state,
            "data": self.world.data_digest(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        check_fits(saved, {**self.state_dict(), "optimiser": ...})
        check_optimiser(saved["optimiser"], self.optimiser)
        self.numbers.copy_(saved["numbers"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self._done, self._return.state = saved["done"], saved["return"].cpu()


def returns(
    policy: Policy,
    world: World,
    seeds: Sequence[int],
    *,
    domain: str = "train",
    stop: Callable[[], bool] = lambda: False,
    show: Callable[[], None] = lambda: None,
) -> Tensor | None:
    """The return of an episode of every world, its agents' together, float32 ``[W]`` on the host.

    Args:
        policy: Bound to the world.
        world: Does not reset itself.
        seeds: Of the worlds.
        domain: Of the seeds.
        stop: Asked before every step.
        show: Called after every step.

    Returns:
        None where ``stop`` said so on the way.
    """
    obs = world.reset(seed=list(seeds), options={"domain": domain})
    policy.reset()
    while not world.ended.all():
        if stop():
            return None
        with torch.no_grad():
            obs = world.step(policy.act(obs)).obs
        show()
    return world.team_return().cpu()


def centred_ranks(fitness: Tensor) -> Tensor:
    """−½ for the lowest of ``[n]``, ½ for the highest, equal steps between; equal ones share a rank.

    What is not finite is last. Whatever the scale of returns, a single one pulls no more than its rank.
    """
    values = torch.where(fitness.isfinite(), fitness, -torch.inf)
    below = (values[:, None] > values).sum(-1) + 0.5 * ((values[:, None] == values).sum(-1) - 1)
    return below / (len(values) - 1) - 0.5


def _parametric() -> list[str]:
    """Names of the registered policies that can be trained."""
    made = {name: policy_factory(name) for name in registry}
    return [name for name, kind in made.items() if isinstance(kind, type) and issubclass(kind, Parametric)]
