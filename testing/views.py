"""Conformance checks of the views: PettingZoo's and Gymnasium's own tests, and what those miss."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array
from pettingzoo import ParallelEnv
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test
from pettingzoo.test.state_test import state_test
from pettingzoo.utils.conversions import parallel_to_aec

from ..envs.bridges.arrays import by_key, to_arrays, to_tensors
from ..envs.bridges.flat import FlatWorld
from ..envs.bridges.gymnasium import WorldEnv, WorldVectorEnv
from ..envs.bridges.pettingzoo import WorldParallelEnv
from ..envs.engine import TensorDict, World
from ..envs.errors import ConfigError
from .tools import MASK, Subject, global_generators_untouched, leaves, same, walk_length
from .twins import DRIFT, ROUNDING

EXPECTED_WARNINGS = (
    # PettingZoo has in mind observations that are one array; ours are dicts of arrays.
    "Observation is not a NumPy array",
    "Observation space for each agent probably should be",
    "Action space for each agent probably should be",
    # Inputs are real numbers, without bounds.
    ".*minimum value is -infinity",
    ".*maximum value is infinity",
    ".*minimum state space value is -infinity",
    ".*maximum state space value is infinity",
    ".*we recommend using a symmetric and normalized space",
)


def check_pettingzoo_parallel(subject: Subject) -> None:
    """PettingZoo's ``parallel_api_test`` and ``parallel_seed_test``."""
    cycles = walk_length(subject.world())
    with _foreign(subject, "PettingZoo's parallel_api_test"):
        parallel_api_test(_parallel(subject), num_cycles=cycles)
    with _foreign(subject, "PettingZoo's parallel_seed_test"):
        parallel_seed_test(lambda: _parallel(subject), num_cycles=cycles)


def check_pettingzoo_aec(subject: Subject) -> None:
    """PettingZoo's ``api_test`` and ``seed_test`` on its own AEC conversion."""
    cycles = walk_length(subject.world())
    with _foreign(subject, "PettingZoo's api_test"):
        api_test(parallel_to_aec(_parallel(subject)), num_cycles=cycles)
    with _foreign(subject, "PettingZoo's seed_test"):
        seed_test(lambda: parallel_to_aec(_parallel(subject)), num_cycles=cycles)


def check_pettingzoo_state(subject: Subject) -> None:
    """PettingZoo's ``state_test``, on both its forms."""
    world = subject.world()
    world.reset(seed=0)
    begins_with_nothing = () if world.state().any() else ("State numpy array is all zeros",)
    with _foreign(subject, "PettingZoo's state_test", *begins_with_nothing):
        env = _parallel(subject)
        state_test(parallel_to_aec(_parallel(subject)), env, num_cycles=walk_length(env.world))


def check_render(subject: Subject) -> None:
    """A world can be drawn when its episode is over; Gymnasium's ``check_env`` draws it at the beginning."""
    for mode in subject.world().metadata["render_modes"]:
        if mode == "human":  # the picture of "rgb_array", in a window
            continue
        env = _parallel(subject, mode)
        seen, _ = env.reset(seed=1)
        while env.agents:
            seen, *_ = env.step(_actions(env, seen))
        frame = env.render()
        if mode == "ansi":
            subject.require(isinstance(frame, str) and bool(frame), "ansi must be drawn as text")
        if mode == "rgb_array":
            picture = isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.shape[2:] == (3,)
            subject.require(picture, "rgb_array must be drawn as uint8 [H, W, 3]")
    _check_shown(subject)


def _check_shown(subject: Subject) -> None:
    """What reports show of a world: names of its agents, who listens to whom, what agents see and make."""
    world = subject.world()
    world.reset(seed=1)
    n, labels, told = world.num_agents, world.agent_labels, world.listening()
    subject.require(
        len(labels) == n and all(isinstance(label, str) for label in labels),
        "agent_labels: one text an agent",
    )
    if told is not None:
        slots, least, most = told.weights.shape[-1], float(told.weights.min()), float(told.weights.max())
        subject.require(
            told.weights.shape == (world.num_worlds, n, slots), "listening(): weights are [W, N, K]"
        )
        subject.require(told.who.shape[-2:] == (n, slots), "listening(): who is [N, K] or [W, N, K]")
        subject.require(least >= 0 and most <= 1, "listening(): weights are in 0 … 1")
    for name, image in world.exhibits().items():
        whole = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape[2:] == (3,)
        subject.require(whole, f"exhibits(): {name!r} must be uint8 [H, W, 3]")


def check_pettingzoo_dicts(subject: Subject) -> None:
    """Every dict has the same agents until the end and none after it; infos hold Python scalars; spaces stay."""
    env = _parallel(subject)
    seen, _ = env.reset(seed=1)
    agents, told = set(env.possible_agents), None
    for name in ("observation_space", "action_space"):
        of = getattr(env, name)
        subject.require(all(of(agent) is of(agent) for agent in agents), f"{name}() must be one object")
    for t in range(1, env.world.horizon + 1):
        seen, rewards, terminated, truncated, infos = env.step(_actions(env, seen))
        for what, keys in (
            ("observations", seen.keys()),
            ("rewards", rewards.keys()),
            ("terminations", terminated.keys()),
            ("truncations", truncated.keys()),
            ("infos", infos.keys()),
        ):
            subject.require(keys == agents, f"{what} must have all agents as keys", step=t)
        ended = [terminated[agent] or truncated[agent] for agent in rewards]
        for agent in agents:
            subject.require(type(rewards[agent]) is float, "rewards must be floats", agent, t)
            subject.require(
                type(terminated[agent]) is bool and type(truncated[agent]) is bool,
                "flags must be bools",
                agent,
                t,
            )
            stable = infos[agent].keys() - {"metrics"}
            told = stable if told is None else told
            subject.require(stable == told, "the keys of infos must not change", agent, t)
            subject.require(
                ("metrics" in infos[agent]) == ended[0], "infos must tell metrics at the end only", agent, t
            )
            for key, value in leaves(infos[agent]):
                subject.require(
                    type(value) in (float, int, bool), "infos must hold Python scalars", repr(key), t
                )
        subject.require(len(set(ended)) == 1, "agents must end together", step=t)
        if ended[0]:
            break
    subject.require(env.agents == [], "agents must be empty after the end")


def check_pettingzoo_engine(subject: Subject) -> None:
    """The PettingZoo view tells what the engine does, in copies nobody else reads."""
    with global_generators_untouched(subject, "the PettingZoo view"):
        env, world = _parallel(subject), subject.world()
        seen, _ = env.reset(seed=2)
        _require_as_engine(subject, seen, world.reset(seed=2), world.agents, 0)
        for t in range(1, world.horizon + 1):
            actions = _actions(env, seen)
            for observed in seen.values():
                for value in observed.values():
                    value.fill(7)  # nobody else may notice
            by_agent = [by_key(actions[agent], world.action_space, agent) for agent in world.agents]
            batch = {
                key: np.stack([np.asarray(action[key]) for action in by_agent])[None]
                for key in world.action_space.spaces
            }
            step = world.step(to_tensors(batch, world))
            seen, rewards, terminated, truncated, _ = env.step(actions)
            _require_as_engine(subject, seen, step.obs, world.agents, t)
            subject.require(
                list(rewards.values()) == step.reward[0].tolist(),
                "the view must pay as the engine does",
                step=t,
            )
            flags = (bool(step.terminated[0]), bool(step.truncated[0]))
            agent = world.agents[0]
            subject.require(
                (terminated[agent], truncated[agent]) == flags, "the view must end as the engine does", step=t
            )
            subject.require(
                same(env.state(), world.state()[0].cpu().numpy()), "the views must agree on state()", step=t
            )
            if any(flags):
                return


def _require_as_engine(
    subject: Subject, seen: dict[str, Any], obs: TensorDict, agents: list[str], step: int
) -> None:
    """Compare what agents see in the PettingZoo view of one world to the engine's observations."""
    for key, value in to_arrays(obs).items():
        for i, agent in enumerate(agents):
            alike = same(seen[agent][key], value[0, i])
            subject.require(alike, "the view must observe as the engine does", repr(key), step)


def check_gymnasium_env(subject: Subject) -> None:
    """Gymnasium's ``check_env`` on the joint view of one world."""
    _check_env(subject, "Gymnasium's check_env", lambda: subject.world(validate=True))


def check_gymnasium_vector(subject: Subject) -> None:
    """Spaces are the batched joint ones; what comes back lies in them, with Gymnasium's dtypes."""
    env = WorldVectorEnv(subject.world(2, validate=True))
    property = "a vector environment must"
    for name in ("observation_space", "action_space"):
        batched = gymnasium.vector.utils.batch_space(getattr(env, f"single_{name}"), 2)
        subject.require(getattr(env, name) == batched, f"{property} batch its {name}")
    subject.require(
        isinstance(env.metadata["autoreset_mode"], AutoresetMode), f"{property} tell its autoreset mode"
    )
    env.single_action_space.seed(4)
    obs, info = env.reset(seed=4)
    subject.require(info == {}, f"{property} reset with an empty info")
    for t in range(walk_length(env.world)):
        subject.require(obs in env.observation_space, f"{property} observe inside its space", step=t)
        obs, reward, terminated, truncated, _ = env.step(_joint_actions(env, obs))
        for what, value, dtype in (
            ("reward", reward, np.float64),
            ("terminated", terminated, np.bool_),
            ("truncated", truncated, np.bool_),
        ):
            subject.require(
                value.shape == (2,) and value.dtype == dtype,
                f"{property} return {what} as {dtype.__name__} [W]",
                step=t,
            )


def check_flat(subject: Subject) -> None:
    """Flat views hold what views by name do, in the order of names, and pass the same foreign tests."""

    def flat_world() -> FlatWorld:
        return FlatWorld(subject.world(validate=True))

    try:
        cycles = walk_length(flat_world())
    except ConfigError as error:
        mixed = _mixes_choices_and_numbers(subject.world().action_space)
        subject.require(mixed, "a flat view must take these actions", str(error))
        return
    _check_env(subject, "Gymnasium's check_env of the flat view", flat_world, skip_render_check=True)
    with _foreign(subject, "PettingZoo's parallel_api_test of the flat view"):
        parallel_api_test(_parallel(subject, flat=True), num_cycles=cycles)
    flat, named = _parallel(subject, flat=True), _parallel(subject)
    seen, expected = flat.reset(seed=2)[0], named.reset(seed=2)[0]
    _require_flat(subject, seen, expected, 0)
    for t in range(1, named.world.horizon + 1):
        actions = _actions(flat, seen)
        world = named.world
        batch = torch.stack([torch.as_tensor(actions[agent]) for agent in named.agents])
        split = flat.action_space(named.agents[0]).split(batch)  # type: ignore[attr-defined]
        single = len(world.action_space.spaces) == 1
        by_name = {
            agent: next(iter(split.values()))[i] if single else {key: part[i] for key, part in split.items()}
            for i, agent in enumerate(named.agents)
        }
        seen, paid, *_ = flat.step(actions)
        expected, due, *_ = named.step(by_name)
        _require_flat(subject, seen, expected, t)
        subject.require(paid == due, "a flat view must pay as one by name", step=t)
        if not named.agents:
            return


def _require_flat(subject: Subject, seen: dict[str, Any], named: dict[str, Any], step: int) -> None:
    """Compare flat observations of the agents to those by name."""
    for agent, parts in named.items():
        one = seen[agent]
        names = [name for name in sorted(parts) if name != MASK]
        joined = np.concatenate([parts[name].ravel().astype(np.float32) for name in names])
        same_mask = not isinstance(one, dict) or same(one[MASK], parts[MASK])
        numbers = one["observation"] if isinstance(one, dict) else one
        subject.require(
            same_mask and same(numbers, joined), "a flat view must observe as one by name", agent, step
        )


def check_autoreset_modes(subject: Subject) -> None:
    """In every autoreset mode the vector view equals Gymnasium's ``SyncVectorEnv`` of single views."""
    # Two worlds, soon out of step with each other.
    for mode in AutoresetMode:
        _check_autoreset_mode(subject, mode)


def _check_autoreset_mode(subject: Subject, mode: AutoresetMode) -> None:
    ours = WorldVectorEnv(subject.world(2, validate=True), mode)
    theirs = SyncVectorEnv([lambda: WorldEnv(subject.world(validate=True))] * 2, autoreset_mode=mode)
    first, later = (ROUNDING, DRIFT) if ours.world.hosts_learners else (0.0, 0.0)
    ours.single_action_space.seed(5)

    def compare(t: int, one: Any, other: Any, what: str) -> None:
        property = f"{what} in mode {mode.value} must be as in Gymnasium's SyncVectorEnv"
        subject.require_equal(property, one, other, t, first if t < 2 else later)

    obs = ours.reset(seed=6)[0]
    compare(0, obs, theirs.reset(seed=6)[0], "reset")
    for t in range(1, walk_length(ours.world) + 1):
        actions = _joint_actions(ours, obs)
        step, expected = ours.step(actions), theirs.step(actions)
        obs = step[0]
        for what, one, other in zip(
            ("obs", "reward", "terminated", "truncated"), step[:4], expected[:4], strict=True
        ):
            compare(t, one, other, what)
        compare(t, _told(step[4], expected[4]), _told(expected[4], expected[4]), "info")
        ended = step[2] | step[3]
        mask = ended if mode == AutoresetMode.DISABLED else np.zeros_like(ended)
        if t == 1:
            mask = mask | np.array([False, True])  # worlds soon end at different steps
        if mask.any():
            obs = ours.reset(options={"reset_mask": mask.copy()})[0]
            compare(t, obs, theirs.reset(options={"reset_mask": mask.copy()})[0], "masked reset")


def _told(infos: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    """What infos tell under the keys of ``like``, in the worlds that ``like`` speaks of."""
    told: dict[str, Any] = {}
    for key, value in like.items():
        if key.startswith("_") or key not in infos:
            continue
        speaks = like[f"_{key}"]
        if isinstance(value, dict):
            told[key] = _told(infos[key], value)
        elif value.dtype == object:  # final_obs: a dict per world that ended
            told[key] = {w: infos[key][w] for w in np.flatnonzero(speaks)}
        else:
            told[key] = infos[key][speaks]
    # Our infos keep their keys; these only appear when an episode ended.
    told["present"] = [key for key in ("final_obs", "final_info", "metrics") if key in infos]
    return told


CHECKS: list[Callable[[Subject], None]] = [
    check_pettingzoo_parallel,
    check_pettingzoo_aec,
    check_pettingzoo_state,
    check_render,
    check_pettingzoo_dicts,
    check_pettingzoo_engine,
    check_gymnasium_env,
    check_gymnasium_vector,
    check_flat,
    check_autoreset_modes,
]


# ---- helpers ----------------------------------------------------------------------------------------


class _TwoInOne(WorldEnv):
    """A view that shows two episodes of one step as one of two: Gymnasium's ``check_env`` insists on a second step."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        self._goes_on = True
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if not self._goes_on:
            super().reset()
        obs, reward, terminated, truncated, info = super().step(action)
        truncated, self._goes_on = truncated and not self._goes_on, False
        return obs, reward, terminated, truncated, info


def _check_env(subject: Subject, what: str, world: Callable[[], World | FlatWorld], **options: bool) -> None:
    """Run Gymnasium's ``check_env`` on the view of such a world."""
    view = WorldEnv if world().horizon > 1 else _TwoInOne

    def make(**kwargs: Any) -> WorldEnv:
        env = view(world(), **kwargs)
        env.action_space.seed(3)
        # "human" is the picture of "rgb_array", in a window.
        env.metadata["render_modes"] = [mode for mode in env.metadata["render_modes"] if mode != "human"]
        return env

    env = make()
    # With a spec, check_env also tests seeds, every render mode and closing.
    env.spec = EnvSpec("Checked-v0", entry_point=make)
    with _foreign(subject, what):
        check_env(env, **options)


def _parallel(subject: Subject, render_mode: str | None = None, *, flat: bool = False) -> WorldParallelEnv:
    world = subject.world(validate=True)
    env = WorldParallelEnv(FlatWorld(world) if flat else world, subject.name, render_mode)
    for i, agent in enumerate(env.possible_agents):
        env.action_space(agent).seed(i)  # what is sampled is the same in every run
    return env


def _actions(env: ParallelEnv, seen: dict[str, Any]) -> dict[str, Any]:
    masks = {agent: one.get(MASK) if isinstance(one, dict) else None for agent, one in seen.items()}
    return {agent: env.action_space(agent).sample(mask=masks[agent]) for agent in env.agents}


def _joint_actions(env: WorldVectorEnv, seen: dict[str, Any]) -> Any:
    """Random joint actions of all worlds, of those that the masks leave."""
    masks = [tuple(mask) for mask in seen[MASK]] if MASK in seen else [None] * env.num_envs
    space = env.single_action_space
    out: Any = create_empty_array(space, env.num_envs)
    return concatenate(space, [space.sample(mask=mask) for mask in masks], out)


def _mixes_choices_and_numbers(parts: spaces.Dict) -> bool:
    """Whether an action has numbers beside choices that are more than yes or no: these have no flat form."""
    numbers = any(isinstance(part, spaces.Box) for part in parts.spaces.values())
    choices = any(
        isinstance(part, spaces.MultiDiscrete) or (isinstance(part, spaces.Discrete) and part.n > 2)
        for part in parts.spaces.values()
    )
    return numbers and choices


@contextlib.contextmanager
def _foreign(subject: Subject, what: str, *expected: str) -> Iterator[None]:
    """Run another library's test: quietly, its warnings as errors, its complaints in one line of ours.

    Args:
        subject: What is tested.
        what: The test's name in errors.
        *expected: Warnings that are none here, beside :data:`EXPECTED_WARNINGS`.
    """
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("error")
            for message in (*EXPECTED_WARNINGS, *expected):
                warnings.filterwarnings("ignore", message=f".*{message}")
            yield
    except (AssertionError, Warning) as error:
        text = " ".join(str(error).split()) or "failed"
        raise AssertionError(f"{subject.name}: {what}: {text}") from error
