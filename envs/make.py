"""Worlds and their views by id: the engine, and what PettingZoo, Gymnasium and Stable-Baselines3 know them as."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .errors import ConfigError
from .registration import NAMESPACE, spec

if TYPE_CHECKING:
    import gymnasium
    from gymnasium.envs.registration import EnvSpec as GymnasiumSpec
    from pettingzoo import AECEnv
    from pettingzoo.env_registry.spec import EnvSpec as PettingZooSpec

    from .bridges.flat import FlatWorld
    from .bridges.gymnasium import WorldEnv, WorldVectorEnv
    from .bridges.pettingzoo import WorldParallelEnv
    from .bridges.sb3 import WorldVecEnv
    from .engine.world import World


def make_world(id: str, *, num_worlds: int = 1, device: str = "cpu", **kwargs: Any) -> World:
    """The batched engine: W worlds as tensors on one device.

    Args:
        id: E.g. ``"classroom-v0"``.
        num_worlds: W.
        device: E.g. ``"cuda"``.
        **kwargs: The world's own arguments; ``studyhall show ID`` is its page, ``studyhall.show(id)`` in code.

    Raises:
        UnknownName: The id or an argument is not known; lists the near ones.
    """
    found = spec(id)
    if kwargs.get("learners", "") is None:
        del kwargs["learners"]
    hosted = "learners" in kwargs
    known = found.arguments(hosted=hosted)
    for name in kwargs:
        if name not in known:
            raise found.refusal(name, hosted=hosted)
    return found.load()(**{**found.kwargs, **kwargs, "num_worlds": num_worlds, "device": device})


_OF_VIEWS = ("num_worlds", "autoreset", "validate")


def _viewed(id: str, num_worlds: int, flat: bool, kwargs: dict[str, Any]) -> World | FlatWorld:
    """The world behind a view, which decides for itself how many worlds there are and when they reset."""
    from .bridges.flat import FlatWorld
    from .validation import flag

    _refuse_own(kwargs)
    world = make_world(id, num_worlds=num_worlds, autoreset=False, validate=True, **kwargs)
    return FlatWorld(world) if flag("flat", flat) else world


def _refuse_own(kwargs: dict[str, Any]) -> None:
    """Raise where arguments name what views set themselves."""
    for name in _OF_VIEWS:
        if name in kwargs:
            raise ConfigError(
                f"{name} is set by the view: leave it out (make_vec takes num_envs, make_sb3 and make_world num_worlds)"
            )


def make_env(
    id: str, *, render_mode: str | None = None, flat: bool = False, **kwargs: Any
) -> WorldParallelEnv:
    """A PettingZoo ``ParallelEnv`` over one world; observations and actions are numpy.

    Args:
        id: E.g. ``"classroom-v0"``.
        render_mode: ``"ansi"``, ``"rgb_array"`` or ``"human"`` (a window, or a notebook's cell), or None.
        flat: Observations and actions are one vector each instead of dicts, for libraries that take no dicts; see
            ``studyhall.envs.bridges.flat``.
        **kwargs: The world's own arguments; ``studyhall show ID`` is its page, ``studyhall.show(id)`` in code.

    Raises:
        ConfigError: An argument is wrong, or the actions have no flat form; says which argument to set.
    """
    from .bridges.pettingzoo import WorldParallelEnv

    env = WorldParallelEnv(_viewed(id, 1, flat, kwargs), spec(id).id, render_mode)
    env.spec = _pettingzoo_spec("parallel", id, env, {"render_mode": render_mode, "flat": flat, **kwargs})
    return env


def make_aec(id: str, *, render_mode: str | None = None, flat: bool = False, **kwargs: Any) -> AECEnv:
    """A PettingZoo ``AECEnv``: PettingZoo's own conversion of :func:`make_env`."""
    from pettingzoo.utils.conversions import parallel_to_aec

    env = make_env(id, render_mode=render_mode, flat=flat, **kwargs)
    aec = parallel_to_aec(env)
    aec.spec = _pettingzoo_spec("aec", id, env, {"render_mode": render_mode, "flat": flat, **kwargs})
    return aec


def _pettingzoo_spec(kind: str, id: str, env: WorldParallelEnv, kwargs: dict[str, Any]) -> PettingZooSpec:
    """PettingZoo's spec of one environment: its registry's, with these arguments and the horizon."""
    from pettingzoo.env_registry import registration as pettingzoo_registry

    known = pettingzoo_registry.spec(kind, f"{NAMESPACE}/{spec(id).id}")  # type: ignore[arg-type]
    return replace(known, kwargs={**known.kwargs, **kwargs}, max_cycles=env.max_cycles)


def _gymnasium_spec(id: str, kwargs: dict[str, Any]) -> GymnasiumSpec:
    """Gymnasium's spec of one environment: its registry's, with these arguments."""
    import gymnasium

    known = gymnasium.spec(f"{NAMESPACE}/{spec(id).id}")
    return replace(known, kwargs={**known.kwargs, **kwargs})


def make_vec(
    id: str,
    num_envs: int = 1,
    *,
    autoreset_mode: str | gymnasium.vector.AutoresetMode = "NextStep",
    render_mode: str | None = None,
    flat: bool = False,
    **kwargs: Any,
) -> WorldVectorEnv:
    """A Gymnasium ``VectorEnv`` over W worlds, with joint actions and the mean reward of the agents.

    Args:
        id: E.g. ``"classroom-v0"``.
        num_envs: W.
        autoreset_mode: ``"NextStep"``, ``"SameStep"`` or ``"Disabled"``, or Gymnasium's enum.
        render_mode: ``"ansi"`` or ``"rgb_array"``, of every world, ``"human"``, which shows the first, or None.
        flat: As of :func:`make_env`; of all agents one after the other.
        **kwargs: The world's own arguments; ``studyhall show ID`` is its page, ``studyhall.show(id)`` in code.
    """
    from .bridges.gymnasium import WorldVectorEnv
    from .validation import whole

    whole("num_envs", num_envs, 1)
    env = WorldVectorEnv(
        _viewed(id, num_envs, flat, kwargs), autoreset_mode=autoreset_mode, render_mode=render_mode
    )
    told = {"autoreset_mode": env.autoreset_mode.value, "render_mode": render_mode, "flat": flat, **kwargs}
    how = {"num_envs": num_envs, "vectorization_mode": "vector_entry_point"}  # as gymnasium.make_vec tells it
    env.spec = _gymnasium_spec(id, {**told, **how})
    return env


def make_joint(id: str, *, render_mode: str | None = None, flat: bool = False, **kwargs: Any) -> WorldEnv:
    """A Gymnasium ``Env`` over one world: one controller acts for all agents.

    Args:
        id: E.g. ``"classroom-v0"``.
        render_mode: ``"ansi"``, ``"rgb_array"`` or ``"human"`` (a window, or a notebook's cell), or None.
        flat: As of :func:`make_env`; of all agents one after the other.
        **kwargs: The world's own arguments; ``studyhall show ID`` is its page, ``studyhall.show(id)`` in code.
    """
    from .bridges.gymnasium import WorldEnv

    env = WorldEnv(_viewed(id, 1, flat, kwargs), render_mode=render_mode)
    env.spec = _gymnasium_spec(id, {"render_mode": render_mode, "flat": flat, **kwargs})
    return env


def make_sb3(
    id: str,
    num_worlds: int = 1,
    *,
    seed: int | None = None,
    domain: str = "train",
    render_mode: str | None = None,
    flat: bool = False,
    **kwargs: Any,
) -> WorldVecEnv:
    """A Stable-Baselines3 ``VecEnv`` with W·N sub-environments, one for every agent of every world.

    * Actions are one ``Box(−1, 1)`` that is scaled to the world's bounds, a question asked where its number is
      above 0; ``actions="discrete"`` is one ``Discrete``, and only there is ``env_method("action_masks")``.
    * Rewards are each agent's own, not the mean of the class.
    * ``VecMonitor`` is not needed: infos tell of episodes that ended (``episode`` and ``metrics``).
    * In ``VecNormalize`` take ``norm_obs=False`` where the policy is to be saved with ``save_policy``: the file
      does not hold its statistics.

    Args:
        id: E.g. ``"society-v0"``.
        num_worlds: W.
        seed: Of the first reset; world w gets ``seed + w``. SB3's own ``seed`` argument comes after it.
        domain: ``"train"``, ``"eval"`` or ``"demo"``: equal seeds in different domains are unrelated worlds.
        render_mode: ``"rgb_array"``, or None.
        flat: Observations are one vector too, as of :func:`make_env`: for ``"MlpPolicy"``, and for algorithms that
            take no dicts. Policies over them are saved by SB3's own ``model.save`` alone.
        **kwargs: The world's own arguments; ``studyhall show ID`` is its page, ``studyhall.show(id)`` in code.

    Raises:
        ConfigError: The world's actions are unbounded or too many for SB3; says which form to use instead.
    """
    from .bridges.sb3 import WorldVecEnv
    from .validation import flag

    _refuse_own(kwargs)
    flag("flat", flat)
    world = make_world(id, num_worlds=num_worlds, autoreset=True, **kwargs)
    origin = {"env": spec(id).id, "env_kwargs": kwargs}
    return WorldVecEnv(world, seed=seed, domain=domain, render_mode=render_mode, origin=origin, flat=flat)


# ---- entry points of the other registries; their `make` has an `id` of its own, so ours is `env_id` ----


def gymnasium_env(env_id: str, **kwargs: Any) -> WorldEnv:
    """What ``gymnasium.make`` calls.

    Where it is given ``max_episode_steps`` it puts its own ``TimeLimit`` around, of which it does not tell: give
    ``horizon``, at which the world tells its metrics.
    """
    return make_joint(env_id, **kwargs)


def gymnasium_vec(env_id: str, max_episode_steps: int | None = None, **kwargs: Any) -> WorldVectorEnv:
    """What ``gymnasium.make_vec`` calls."""
    env = make_vec(env_id, **kwargs)
    _check_limit(env_id, max_episode_steps, env.world.horizon)
    return env


def _check_limit(env_id: str, steps: Any, horizon: int) -> None:
    """Raise where Gymnasium would end episodes elsewhere than the world does; it takes −1 for no limit."""
    if steps in (None, -1, horizon):
        return
    how = "horizon=N" if "horizon" in spec(env_id).arguments() else "rounds=N (an episode has one step more)"
    raise ConfigError(
        f"max_episode_steps is {steps!r}, but episodes of this {env_id} have {horizon} steps: set {how} instead"
    )


def pettingzoo_parallel(env_id: str, max_cycles: int | None = None, **kwargs: Any) -> WorldParallelEnv:
    """What PettingZoo's ``make("parallel", …)`` calls."""
    return make_env(env_id, **_with_horizon(env_id, kwargs, max_cycles))


def pettingzoo_aec(env_id: str, max_cycles: int | None = None, **kwargs: Any) -> AECEnv:
    """What PettingZoo's ``make("aec", …)`` calls."""
    return make_aec(env_id, **_with_horizon(env_id, kwargs, max_cycles))


def _with_horizon(env_id: str, kwargs: dict[str, Any], steps: int | None) -> dict[str, Any]:
    """PettingZoo's word for the horizon, as ours; an episode has one step more than rounds."""
    if steps is None:
        return kwargs
    if "horizon" in spec(env_id).arguments():
        return {**kwargs, "horizon": steps}
    from .validation import whole

    return {**kwargs, "rounds": whole("max_cycles", steps, 2) - 1}
