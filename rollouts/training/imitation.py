"""A listener for all tasks of a suite, by imitation of a teacher of each (DAgger: Ross, Gordon & Bagnell 2011).

A network of :class:`Tournament` learns what teachers would do in the states that it meets: in the first gathering the
teachers act, in those to come the network itself does, while the teacher of each task says what it would have done.
Tasks that are held out are never seen, and worlds are those of the training domain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from ...envs import make_world
from ...envs.bridges.flat import FlatActions
from ...envs.engine import TensorDict
from ...envs.hosted.heard import Heard
from ...envs.hosted.listening import FORMS
from ...envs.validation import real, whole
from ...policies import make_policy
from ...policies.listening.learned import LearnedPolicy
from ...policies.listening.observed import OWN, observed_sizes
from ...policies.listening.rule import Talk
from ...policies.listening.tournament import Tournament
from ...policies.listening.weights import Weighted
from ...scenarios.suites import Suite, Task
from .samples import CHOOSE_SEED, READ, padded

_KEPT = 8192
"""Samples of a task and gathering that are learnt from."""
POOLED = ("ask", "gate")  # what is decided beside the sources, in the order of flat actions


@dataclass(frozen=True)
class ImitationConfig:
    """What is trained, and how.

    Args:
        suite: Whose tasks, but for those that are held out.
        seed: Of everything that is random; worlds have the seeds from there on.
        worlds: Of a task, in each gathering.
        gatherings: The teachers act in the first.
        updates: Steps of Adam after each.
        batch: Samples of each task in a step.
        learning_rate: Falls linearly to 0 after each gathering.
        width: Of the network's hidden layers.
    """

    suite: Suite
    seed: int = 0
    worlds: int = 6
    gatherings: int = 2
    updates: int = 2500
    batch: int = 64
    learning_rate: float = 1e-3
    width: int = 64

    def __post_init__(self) -> None:
        for name in ("worlds", "gatherings", "updates", "batch", "width"):
            whole(f"imitation.{name}", getattr(self, name), 1)
        whole("seed", self.seed, 0, CHOOSE_SEED - self.gatherings * self.worlds)
        real("imitation.learning_rate", self.learning_rate, 0)


def teacher_of(task: Task) -> str:
    """Who is imitated on a task: whoever was best there among those whose choices a gate and weights can say."""
    limited = task.env == "classroom-v0" and task.env_kwargs.get("teacher_budget") is not None
    return "even_trust" if limited else "society-gated"


def imitate(
    config: ImitationConfig, show: Callable[[str], None], kind: type[Tournament] = Tournament
) -> Tournament:
    """Teach a fresh network what teachers do.

    Args:
        config: How.
        show: Called after every task that was gathered and every hundred updates, with a few words.
        kind: Of the network.

    Raises:
        ConfigError: A task's data are not there.
    """
    tasks = config.suite.to_train_on
    random = torch.Generator().manual_seed(config.seed)
    network: Tournament | None = None
    known: dict[str, list[TensorDict]] = {task.name: [] for task in tasks}
    losses: list[float] = []
    for gathering in range(config.gatherings):
        for task in tasks:
            first = config.seed + gathering * config.worlds
            known[task.name].append(gather(task, network, range(first, first + config.worlds), random))
            show(f"worlds of {task.name}")
        if network is None:
            network = _begun(config, known, kind)
        data = padded([part for parts in known.values() for part in parts], {"target": -1.0})
        starts = torch.tensor([sum(len(p["target"]) for p in parts) for parts in known.values()]).cumsum(0)
        sizes = starts.diff(prepend=torch.zeros(1, dtype=torch.int64))
        optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
        falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, config.updates)
        for update in range(config.updates):
            drawn = torch.rand(len(tasks), config.batch, generator=random)
            rows = ((starts - sizes)[:, None] + (drawn * sizes[:, None]).long()).flatten()
            loss = imitation_loss(network, {key: value[rows] for key, value in data.items()})
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            falling.step()
            losses.append(float(loss.detach()))
            if update % 100 == 99:
                show(f"loss {sum(losses[-100:]) / 100:.4f}")
    assert network is not None
    return network


def _begun(config: ImitationConfig, known: dict[str, list[TensorDict]], kind: type[Tournament]) -> Tournament:
    """A fresh network for what was gathered."""
    (part, *_), *_ = known.values()
    own = sum(part[key].shape[-1] for key in OWN)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return kind(part["sources"].shape[-1], own, len(POOLED), config.width)


def gather(task: Task, network: Tournament | None, seeds: range, random: torch.Generator) -> TensorDict:
    """What agents of a task see on the way to its end, and what its teacher would do.

    Args:
        task: The task.
        network: Who acts; None lets the teacher act.
        seeds: Of the worlds, of the training domain.
        random: Draws which samples are kept.

    Returns:
        Of M samples what the network reads, ``target [M, P + S]`` as of its scores, and ``may_ask [M]``: whether
        there is a teacher of labels to ask.
    """
    kwargs = {**task.env_kwargs, "actions": "targets"}
    world: Any = make_world(task.env, num_worlds=len(seeds), autoreset=False, **kwargs)
    teacher = make_policy(teacher_of(task))
    if not isinstance(teacher, LearnedPolicy):
        teacher.bind(world)
    obs = world.reset(seed=list(seeds))
    if not isinstance(teacher, LearnedPolicy):
        teacher.reset()
    may_ask = "ask" in world.action_space.spaces
    sizes = observed_sizes(world.observation_space.spaces, "imitation")
    rows, classes = world.action_space["targets"].shape
    form = FORMS["gated"](sizes.sources, rows, classes, may_ask)
    flat = FlatActions(spaces.Dict(form.action_parts()))
    seen: list[TensorDict] = []
    while not world.ended.all():
        target = would_do(teacher, obs)
        seen.append({key: obs[key] for key in READ} | {"target": target})
        with torch.no_grad():
            scores = target if network is None else network(obs)[0]
            actions = flat.split(scores if may_ask else scores[..., 1:])
            heard = Heard.by_slot(obs["messages"], obs["sources_mask"] == 1)
            asked = {"ask": actions["ask"]} if may_ask else {}
            obs = world.step({"targets": form.targets(actions, heard), **asked}).obs
    found = {key: torch.stack([part[key] for part in seen]).flatten(0, 2) for key in seen[0]}
    kept = torch.randperm(len(found["target"]), generator=random)[:_KEPT]
    found = {key: value[kept] for key, value in found.items()}
    return found | {"may_ask": torch.full((len(kept),), float(may_ask))}


def would_do(teacher: Any, obs: TensorDict) -> Tensor:
    """What a teacher would do, as scores in [−1, 1], ``[W, N, P + S]``.

    Args:
        teacher: A trained listener with a gate, or a rule that weighs sources as a whole and is bound to the world.
        obs: Of a world of the form "targets".
    """
    if isinstance(teacher, LearnedPolicy):
        with torch.no_grad():
            scores = teacher.scorer(obs)[0]
        asks = scores[..., :0] if teacher.asks else torch.ones_like(scores[..., :1])
        return torch.cat([asks, scores], dim=-1).clamp(-1, 1)
    assert isinstance(teacher, Weighted)
    talk = Talk.of(obs)
    weights = teacher.weights(talk)
    weights = weights / weights.amax(-1, keepdim=True).clamp_min(1e-12)
    asks = teacher.asks(talk).float()[..., None]
    return 2 * torch.cat([asks, torch.zeros_like(asks), weights], dim=-1) - 1


def imitation_loss(network: Tournament, data: TensorDict) -> Tensor:
    """Squared differences from what teachers would do: of what is heard, of the gate where it counts, of questions.

    Beyond a bound a score counts as the bound, so there it is no error to be farther out.
    """
    scores, target = network(data)[0], data["target"]
    error = scores - target
    error = torch.where(target >= 1, error.clamp(max=0), torch.where(target <= -1, error.clamp(min=0), error))
    ask, gate, listen = error.square().split([1, 1, error.shape[-1] - 2], dim=-1)
    heard = data["sources_mask"].float()
    listens = ((target[:, 2:] > -1) * heard).any(-1)
    of_sources = (listen * heard).sum(-1) / heard.sum(-1).clamp_min(1)
    return (of_sources + gate[:, 0] * listens + ask[:, 0] * data["may_ask"]).mean()
