"""Conformance checks of what a step is: its structure, its values, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ..envs.bridges.arrays import shown
from ..envs.channel.ledger import CHARGED
from ..envs.engine import TensorDict, World
from ..envs.engine.actions import in_whole_numbers
from ..envs.errors import ActionError, EpisodeEnded
from .tools import MASK, Subject, copied, leaves, same, sample_actions, seeded, walk_length


def check_spaces(subject: Subject) -> None:
    """Flat spaces, a mask that fits its action, N agents of different names."""
    world = subject.world(2)
    for name in ("observation_space", "action_space"):
        space = getattr(world, name)
        subject.require(isinstance(space, spaces.Dict), f"{name} must be a gymnasium.spaces.Dict")
        for key, part in space.spaces.items():
            subject.require(
                not isinstance(part, (spaces.Dict, spaces.Tuple)),
                f"{name} must be flat",
                f"{key!r} is nested",
            )
    subject.require(len(set(world.agents)) == world.num_agents, "agents must be N different names")
    if MASK in world.observation_space.spaces:
        # PettingZoo and Gymnasium hand it to the sample() of what the views show as the whole action space.
        choice, mask = shown(world.action_space), world.observation_space[MASK]
        subject.require(
            isinstance(choice, spaces.Discrete),
            f"only a single Discrete action can have an {MASK!r}: call the observation otherwise",
        )
        shape = (int(choice.n),)  # type: ignore[attr-defined]
        subject.require(
            mask.dtype == np.int8 and mask.shape == shape,
            f"{MASK!r} must be int8 {shape}",
            f"is {mask.dtype} {mask.shape}",
        )


def check_observations(subject: Subject) -> None:
    """Observations lie in their space, with its dtype, at every step."""
    world = subject.world(2, autoreset=True)
    generator = seeded(1)
    _require_in_space(subject, world, world.reset(seed=3), 0)
    for t in range(1, walk_length(world) + 1):
        step = world.step(sample_actions(world, generator))
        for obs in (step.obs, step.final_obs):
            _require_in_space(subject, world, obs, t)


def check_structure(subject: Subject) -> None:
    """Keys, shapes and dtypes of a step never change, whether or not episodes end."""
    for autoreset in (True, False):
        world = subject.world(2, autoreset=autoreset)
        generator = seeded(2)
        first: dict[str, Any] = {}
        started = _structure({"obs": world.reset(seed=3)})
        metrics = world.metrics()
        subject.require(
            world.headline in metrics, f"the headline must be one of {sorted(metrics)}", repr(world.headline)
        )
        for t in range(1, walk_length(world) + 1):
            step = world.step(sample_actions(world, generator))
            now = _structure(step)
            first = first or now
            for key in sorted(first.keys() | now.keys()):
                subject.require(
                    first.get(key) == now.get(key),
                    "the structure of a step must not change",
                    f"{key!r} was {first.get(key)}, is {now.get(key)}",
                    t,
                )
            if not autoreset and bool((step.terminated | step.truncated).all()):
                break
        observed = {key: value for key, value in first.items() if key.startswith("obs.")}
        subject.require(started == observed, "reset and step must observe alike")
        w, n = world.num_worlds, world.num_agents
        for key, expected in (
            ("reward", (torch.float32, (w, n))),
            ("loss", (torch.float32, (w, n))),
            ("terminated", (torch.bool, (w,))),
            ("truncated", (torch.bool, (w,))),
        ):
            subject.require(first[key] == expected, f"{key} must be {expected}", f"is {first[key]}")
        for key, (_, shape) in first.items():
            told = shape[:1] == (w,) and len(shape) <= 2 and shape[1:] in ((), (n,))
            subject.require(
                told or not key.startswith("info."), "info must be [W] or [W, N]", f"{key!r} is {shape}"
            )
        state = world.state()
        subject.require(
            state.dtype == torch.float32 and state.dim() == 2 and len(state) == w, "state() must be [W, S]"
        )


def check_state(subject: Subject) -> None:
    """What a step makes of the state is built as the start of an episode made it."""
    world = subject.world(2)
    generator = seeded(4)
    world.reset(seed=3)
    built = _structure(world.state_dict()["state"])
    for t in range(1, world.horizon + 1):
        step = world.step(sample_actions(world, generator))
        now = _structure(world.state_dict()["state"])
        for key in sorted(built.keys() | now.keys()):
            subject.require(
                built.get(key) == now.get(key),
                "advance() must build the state as start() does",
                f"{key!r} was {built.get(key)}, is {now.get(key)}",
                t,
            )
        if bool((step.terminated | step.truncated).all()):
            break


def check_episodes(subject: Subject) -> None:
    """Episodes end by the horizon at the latest, tell their metrics then and only then, and wait."""
    world = subject.world(2)
    generator = seeded(3)
    world.reset(seed=3)
    for t in range(1, world.horizon + 1):
        step = world.step(sample_actions(world, generator))
        terminated, truncated = step.terminated.cpu(), step.truncated.cpu()
        ended = terminated | truncated
        subject.require(
            not bool((terminated & truncated).any()), "terminated and truncated exclude each other", step=t
        )
        subject.require(
            bool((truncated == ((t == world.horizon) & ~terminated)).all()),
            "truncation is the horizon",
            step=t,
        )
        for key, value in step.info["episode"].items():
            silent = value.flatten(1).isnan() if value.dim() > 1 else value[:, None].isnan()
            subject.require(bool((silent.all(1).cpu() | ended).all()), "metrics before the end", repr(key), t)
            subject.require(not bool((silent.any(1).cpu() & ended).any()), "metrics missing", repr(key), t)
        if bool(ended.all()):
            break
    subject.require(bool(ended.all()), "an episode must end by its horizon", step=world.horizon)
    try:
        world.step(sample_actions(world, generator))
    except EpisodeEnded:
        return
    subject.require(False, "a step after the end must raise EpisodeEnded")


def check_returns(subject: Subject) -> None:
    """The return is the sum of rewards; where an exam scores without prices, it is what was learnt."""
    world = subject.world(2)
    generator = seeded(25)
    world.reset(seed=26)
    start = world.metrics()
    total = torch.zeros(world.num_worlds, world.num_agents, device=world.device)
    for t in range(1, world.horizon + 1):
        step = world.step(sample_actions(world, generator))
        subject.require(bool(step.reward.isfinite().all()), "rewards must be finite", step=t)
        total = total + step.reward
        close = same(world.metrics()["return"], total, 1e-5)
        subject.require(close, "metrics()['return'] must be the sum of rewards", step=t)
        if bool((step.terminated | step.truncated).all()):
            break
    told = step.info["episode"]["return"]
    subject.require(same(told, total, 1e-5), "the episode's return must be the sum of rewards", step=t)
    pay: Any = getattr(world, "pay", None)
    if pay is None or not hasattr(world, "exam"):
        return
    if not any((pay.byte_price, pay.label_price, pay.cooperation, getattr(world, "consult_price", 0))):
        learnt = pay.reward_scale * (world.metrics()["score"] - start["score"])
        subject.require(same(learnt, total, 1e-4), "the return must telescope to what was learnt", step=t)


def check_ledger(subject: Subject) -> None:
    """Where a world says that something crosses, and only there, infos and metrics charge it."""
    world = subject.world(2)
    unknown = sorted(world.crosses - CHARGED.keys())
    subject.require(not unknown, f"crosses must be of {', '.join(CHARGED)}", ", ".join(map(repr, unknown)))
    world.reset(seed=29)
    generator = seeded(30)
    before = world.metrics()
    for t in range(1, world.horizon + 1):
        step = world.step(sample_actions(world, generator, abstain=0.0))
        after = world.metrics()
        for key in sorted(set(CHARGED.values())):
            kinds = sorted(kind for kind in world.crosses if CHARGED[kind] == key)
            for where, charges in (("info", step.info), ("metrics()", after)):
                told = f"{', '.join(kinds)} cross: {where} must charge" if kinds else f"{where} charges"
                subject.require(
                    (key in charges) == bool(kinds),
                    told if kinds else f"nothing that crosses is charged so, but {told}",
                    repr(key),
                )
            if kinds:
                sums = same(after[key], before[key] + step.info[key], 1e-6)
                subject.require(sums, "metrics() must sum up what infos charge", repr(key), t)
        before = after
        if bool((step.terminated | step.truncated).all()):
            return


def check_gradients(subject: Subject) -> None:
    """Rewards are detached; only message worlds record a graph, and theirs leads from loss to actions."""
    world = subject.world(2, autoreset=True)
    generator = seeded(23)
    world.reset(seed=24)
    reached = False
    for t in range(1, walk_length(world) + 1):
        actions = sample_actions(world, generator)
        floating = [value.requires_grad_() for value in actions.values() if value.is_floating_point()]
        step = world.step(actions)
        subject.require(not step.reward.requires_grad, "reward must be detached", step=t)
        if world.differentiable:
            reached = reached or not floating  # choices have no gradient
            if step.loss.requires_grad:
                found = torch.autograd.grad(step.loss.sum(), floating, allow_unused=True, retain_graph=True)
                reached = reached or any(gradient is not None for gradient in found)
            continue
        for key, value in leaves({"step": step, "state": world._state}):
            subject.require(
                not value.requires_grad, "only message worlds may carry a graph", f"{key!r} does", t
            )
        subject.require(not bool(step.loss.any()), "loss must be zero outside message worlds", step=t)
    subject.require(reached or not world.differentiable, "no gradient leads from loss to actions")


def check_bad_actions(subject: Subject) -> None:
    """Wrong keys, shapes and values are refused before anything moves; unchecked, what cannot be read abstains."""
    world = subject.world(2, validate=True)
    world.reset(seed=27)
    before = copied(world.state_dict())
    good = sample_actions(world, seeded(28))
    for what, bad in _bad_actions(world, good):
        try:
            world.step(bad)
        except ActionError as error:
            subject.require("\n" not in str(error), "an ActionError must be one line", what)
        else:
            subject.require(False, "a wrong action must raise ActionError", what)
        after = copied(world.state_dict())
        subject.require_equal(f"an action refused ({what}) must not move the world", after, before)
    unchecked = subject.world(2)
    unchecked.reset(seed=27)
    unreadable = {k: torch.full_like(v, torch.nan if v.is_floating_point() else -7) for k, v in good.items()}
    try:
        step = unchecked.step(unreadable)
    except (IndexError, RuntimeError) as fault:
        subject.require(
            False, "NaN, or a choice that there is not, in unchecked actions must abstain", str(fault)
        )
    for key, value in leaves({"obs": step.obs, "reward": step.reward}):
        if value.is_floating_point():
            subject.require(bool(value.isfinite().all()), "NaN in unchecked actions must abstain", repr(key))


CHECKS: list[Callable[[Subject], None]] = [
    check_spaces,
    check_observations,
    check_structure,
    check_state,
    check_episodes,
    check_returns,
    check_ledger,
    check_gradients,
    check_bad_actions,
]


# ---- helpers ----------------------------------------------------------------------------------------


def _structure(tree: Any) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    return {key: (value.dtype, tuple(value.shape)) for key, value in leaves(tree)}


def _require_in_space(subject: Subject, world: World, obs: TensorDict, step: int) -> None:
    parts = world.observation_space.spaces
    subject.require(
        obs.keys() == parts.keys(), "observation keys", f"{sorted(obs)} instead of {sorted(parts)}", step
    )
    for key, part in parts.items():
        value = obs[key].cpu().numpy()
        shape = (world.num_worlds, world.num_agents, *(part.shape or ()))
        subject.require(
            value.dtype == part.dtype and value.shape == shape,
            "an observation must have its space's dtype and shape",
            f"{key!r} is {value.dtype} {value.shape}, its space says {part.dtype} {shape}",
            step,
        )
        if isinstance(part, spaces.Box):  # all agents in one comparison; NaN lies in no interval
            inside = bool(((value >= part.low) & (value <= part.high)).all())
        else:
            inside = all(part.contains(row) for row in value.reshape(-1, *(part.shape or ())))
        subject.require(inside, "an observation must lie in its space", f"{key!r} does not", step)
        if key == MASK:
            subject.require(bool(value.any(-1).all()), f"{MASK!r} must leave every agent a choice", step=step)


def _bad_actions(world: World, good: TensorDict) -> list[tuple[str, dict[str, Tensor]]]:
    """Actions with one fault each."""
    first = next(iter(good))
    bad = [
        ("a missing key", {k: v for k, v in good.items() if k != first}),
        ("an unknown key", {**good, "nonsense": good[first]}),
        ("a wrong shape", {**good, first: good[first][:, :-1] if world.num_agents > 1 else good[first][:-1]}),
    ]
    for key, part in world.action_space.spaces.items():
        value = good[key].clone()
        if isinstance(part, (spaces.Discrete, spaces.MultiDiscrete)):
            value[-1, -1] = int(
                np.max(part.start + (part.n if isinstance(part, spaces.Discrete) else part.nvec))
            )
            bad.append((f"{key!r} out of range", {**good, key: value}))
        elif in_whole_numbers(part):
            value[-1, -1] = int(part.high.max()) + 1  # type: ignore[attr-defined]
            bad.append((f"{key!r} out of range", {**good, key: value}))
        else:
            value[-1, -1] = torch.nan
            bad.append((f"{key!r} NaN", {**good, key: value}))
    return bad
