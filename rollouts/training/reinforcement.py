"""A listener taught further by reward, on all tasks of a suite at once, and pulled back to what it was.

Proximal policy optimisation (Schulman et al. 2017) of a :class:`Tournament`: one batch of worlds a task, which go on
from update to update, all tasks in one loss, each of equal weight.

* Paid is what the suite reports, as far as an episode knows it: how one's own report card changes, whose sum is the
  accuracy on the exam that was learnt. The worlds' own reward, progress of a Brier score, ranks listeners otherwise
  where labels are few: whoever has seen ten slices is unsure, and is paid for being surer before being right.
* The pull is the Kullback-Leibler divergence from the clone, both as Gaussians of one width.
* Kept is whoever was best on worlds to choose on, by the mean over tasks of the scale's score of report cards.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...envs import make_world
from ...envs.bridges.flat import FlatActions
from ...envs.engine import TensorDict
from ...envs.errors import ConfigError
from ...envs.validation import real, whole
from ...policies.listening.learned import ScorerPolicy
from ...policies.listening.tournament import Tournament
from ...scenarios.suites import Suite, Task
from ..metrics.measure import honest_mean
from .samples import CHOOSE_SEED, READ, padded


@dataclass(frozen=True)
class ReinforcementConfig:
    """What is trained, and how.

    Args:
        suite: Whose tasks, but for those that are held out.
        seed: Of everything that is random; worlds have the seeds from there on.
        worlds: Of a task, side by side, to learn in and to choose on.
        updates: Of the network; 0 leaves the clone as it is.
        n_steps: Of every world between two updates.
        n_epochs: How often an update goes through its samples; each task gives as many as the one that has fewest.
        batch_size: Samples of each task in a step of Adam.
        learning_rate: Of Adam.
        gamma: γ.
        gae_lambda: λ of generalised advantage estimation (Schulman et al. 2016).
        clip_range: By how much the ratio of probabilities may change.
        exploration: Standard deviation of actions, whose bounds are −1 and 1.
        pull: Weight of the divergence from the clone.
        value_updates: The first so many, which teach the value alone.
        choose_every: Updates between two evaluations; there is one after the last, too.
    """

    suite: Suite
    seed: int = 0
    worlds: int = 8
    updates: int = 30
    n_steps: int = 50
    n_epochs: int = 4
    batch_size: int = 512
    learning_rate: float = 3e-4
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    exploration: float = 0.135
    pull: float = 0.02
    value_updates: int = 5
    choose_every: int = 10

    def __post_init__(self) -> None:
        for name in ("worlds", "n_steps", "n_epochs", "batch_size", "choose_every"):
            whole(f"reinforcement.{name}", getattr(self, name), 1)
        whole("seed", self.seed, 0, CHOOSE_SEED - self.worlds)  # others are to choose on
        for name in ("updates", "value_updates"):
            whole(f"reinforcement.{name}", getattr(self, name), 0)
        for name in ("learning_rate", "clip_range", "pull"):
            real(f"reinforcement.{name}", getattr(self, name), 0)
        real("reinforcement.exploration", self.exploration, 1e-6)  # densities are divided by it
        for name in ("gamma", "gae_lambda"):
            real(f"reinforcement.{name}", getattr(self, name), 0, 1)


class Batch:
    """The worlds of a task, as somebody learns in them.

    Args:
        task: The task.
        worlds: How many.
        seed: Of the first.
    """

    def __init__(self, task: Task, worlds: int, seed: int) -> None:
        self.task = task
        self.world = made(task, worlds)
        self.flat = FlatActions(self.world.action_space)
        self.may_ask = "ask" in self.world.action_space.spaces
        self.obs = self.world.reset(seed=list(range(seed, seed + worlds)))

    def collect(
        self, network: Tournament, config: ReinforcementConfig, random: torch.Generator
    ) -> TensorDict:
        """Go on for some steps.

        Returns:
            Of M samples, one an agent, world and step, what the network reads; ``action [M, P + S]`` and whether each
            number of it ``matters``; ``log_prob``, ``advantage`` (of unit spread) and ``return``, ``[M]``.
        """
        seen: list[TensorDict] = []
        for _ in range(config.n_steps):
            obs = self.obs
            with torch.no_grad():
                scores, value = network(obs)
            noise = torch.randn(scores.shape, generator=random)
            action = scores + config.exploration * noise
            counts = matters(action, obs["sources_mask"], self.may_ask)
            sample = {key: obs[key] for key in READ} | {"action": action, "matters": counts, "value": value}
            sample["log_prob"] = -(noise.square() * counts).sum(-1) / 2
            step = self.world.step(self.flat.split(action if self.may_ask else action[..., 1:]))
            self.obs = step.obs
            after = step.final_obs["report"][..., 0]
            over = (step.terminated | step.truncated).float()[:, None]
            seen.append(sample | {"reward": after - obs["report"][..., 0], "goes_on": 1 - over})
        with torch.no_grad():
            next_value = network(self.obs)[1]
        found = {key: torch.stack([sample[key] for sample in seen]) for key in seen[0]}
        advantage, later = torch.empty_like(found["reward"]), torch.zeros_like(next_value)
        for t in reversed(range(config.n_steps)):  # an episode's end is the end of what it pays
            goes_on = found["goes_on"][t]
            surprise = found["reward"][t] + config.gamma * next_value * goes_on - found["value"][t]
            later = surprise + config.gamma * config.gae_lambda * goes_on * later
            advantage[t], next_value = later, found["value"][t]
        found["return"] = advantage + found.pop("value")
        found["advantage"] = advantage / advantage.std().clamp_min(1e-8)
        del found["reward"], found["goes_on"]
        return {key: value.flatten(0, 2) for key, value in found.items()}


def made(task: Task, worlds: int, **others: Any) -> Any:
    """Worlds of a task whose agents decide what a listener does."""
    return make_world(task.env, num_worlds=worlds, **{**task.env_kwargs, "actions": "gated", **others})


def matters(action: Tensor, heard: Tensor, may_ask: bool) -> Tensor:
    """Which numbers of an action ``[…, P + S]`` have an effect, 1 or 0.

    Asking has where there is a teacher, weights have of sources that were heard, and the gate where any weighs.
    """
    weighs = (heard.bool() & (action[..., 2:] > -1)).any(-1)
    pooled = torch.stack([torch.full_like(weighs, may_ask), weighs], dim=-1)
    return torch.cat([pooled.float(), heard.float()], dim=-1)


def log_prob(scores: Tensor, data: TensorDict, width: float) -> Tensor:
    """Logarithm of the density of actions ``[M]``, but for a constant."""
    return -(((data["action"] - scores) / width).square() * data["matters"]).sum(-1) / 2


def reinforce(config: ReinforcementConfig, clone: Tournament, show: Callable[[str], None]) -> Tournament:
    """Teach a copy of a clone by reward.

    Args:
        config: How.
        clone: Where it begins and is pulled to.
        show: Called after every update, with a few words.

    Returns:
        The best that was found, which may be the clone itself.
    """
    tasks = config.suite.to_train_on
    if not config.updates:
        return clone
    random = torch.Generator().manual_seed(config.seed)
    network = copy.deepcopy(clone).requires_grad_(True)
    batches = [Batch(task, config.worlds, config.seed) for task in tasks]
    best, reached = clone, chosen_by(clone, config)
    every = list(network.parameters())
    of_value = [*network.judge.parameters(), *network.value.parameters()]
    first = torch.optim.Adam(of_value, lr=10 * config.learning_rate)  # the value begins from nothing
    then = torch.optim.Adam(every, lr=config.learning_rate)
    for update in range(config.updates):
        of_value_alone = update < config.value_updates
        optimiser = first if of_value_alone else then
        data = [batch.collect(network, config, random) for batch in batches]
        learn(network, clone, data, optimiser, config, of_value_alone, random)
        if (update + 1) % config.choose_every == 0 or update + 1 == config.updates:
            if not all(bool(weights.isfinite().all()) for weights in every):
                raise ConfigError("the listener's weights are not finite: lower reinforcement.learning_rate")
            found = chosen_by(network, config)
            if found > reached:
                best, reached = copy.deepcopy(network), found
        show(f"rewarded, at best {reached:.1f} of the scale")
    return best.requires_grad_(False)


def learn(
    network: Tournament,
    clone: Tournament,
    data: list[TensorDict],
    optimiser: torch.optim.Optimizer,
    config: ReinforcementConfig,
    of_value_alone: bool,
    random: torch.Generator,
) -> None:
    """One update: every sample so many times, as many of each task in a step."""
    fewest = min(len(part["action"]) for part in data)
    size = min(config.batch_size, fewest)
    for _ in range(config.n_epochs):
        orders = [torch.randperm(len(part["action"]), generator=random) for part in data]
        for first in range(0, fewest - size + 1, size):
            rows = [
                {key: value[order[first : first + size]] for key, value in part.items()}
                for part, order in zip(data, orders, strict=True)
            ]
            loss = reinforcement_loss(
                network, clone, padded(rows, {"action": 0.0, "matters": 0.0}), config, of_value_alone
            )
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(optimiser.param_groups[0]["params"], 0.5)  # others keep stale ones
            optimiser.step()


def reinforcement_loss(
    network: Tournament,
    clone: Tournament,
    data: TensorDict,
    config: ReinforcementConfig,
    of_value_alone: bool,
) -> Tensor:
    """What is minimised; of the value alone, or of all."""
    scores, value = network(data)
    of_value = (value - data["return"]).square().mean()
    if of_value_alone:
        return of_value
    ratio = (log_prob(scores, data, config.exploration) - data["log_prob"]).exp()
    held = ratio.clamp(1 - config.clip_range, 1 + config.clip_range)
    gained = torch.minimum(ratio * data["advantage"], held * data["advantage"]).mean()
    with torch.no_grad():
        cloned = clone(data)[0]
    apart = ((scores - cloned) / config.exploration).square() * data["matters"]
    return -gained + of_value / 2 + config.pull * apart.sum(-1).mean() / 2


def chosen_by(network: Tournament, config: ReinforcementConfig) -> float:
    """Mean over tasks of the scale's score, at least 0, of what report cards say of the honest at the end."""
    scales = config.suite.scales
    found = [
        float(
            scales[task.name].score(
                cards(network, task, range(CHOOSE_SEED, CHOOSE_SEED + config.worlds)).mean()
            )
        )
        for task in config.suite.to_train_on
    ]
    return sum(max(0.0, score) for score in found) / len(found)


def cards(network: Tournament, task: Task, seeds: Iterable[int]) -> Tensor:
    """Last report cards of the honest, means over them ``[W]``, in worlds of the training domain."""
    seeds = list(seeds)
    world = made(task, len(seeds), autoreset=False)
    policy = ScorerPolicy(network, asks=True)
    policy.bind(world)
    obs = world.reset(seed=seeds)
    while not world.ended.all():
        obs = world.step(policy.act(obs)).obs
    return honest_mean(world, obs["report"][..., 0])
