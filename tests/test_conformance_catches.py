"""The conformance suite finds what it is there to find: small worlds with one fault each."""

import itertools
import os

import numpy as np
import pytest
import torch
from gymnasium import spaces

from studyhall.envs.bridges.gymnasium import WorldEnv, WorldVectorEnv
from studyhall.envs.bridges.pettingzoo import WorldParallelEnv
from studyhall.envs.errors import ConfigError, EpisodeEnded
from studyhall.envs.rng import Draws, uniform
from studyhall.envs.world import Outcome, World
from studyhall.testing import check_world, steps, twins, views
from studyhall.testing.tools import Subject

BOX = {"low": 0.0, "high": 1.0, "dtype": np.float32}


class Clean(World):
    """Agents say numbers and are paid for coming near a hidden random one."""

    def __init__(self, *, num_worlds=1, autoreset=True, validate=False, horizon=4):
        super().__init__(
            num_worlds=num_worlds, num_agents=2, horizon=horizon, autoreset=autoreset, validate=validate
        )
        self.observation_space = spaces.Dict(
            {"x": spaces.Box(shape=(3,), **BOX), "time": spaces.Box(shape=(1,), **BOX)}
        )
        self.action_space = spaces.Dict({"say": spaces.Box(shape=(3,), **BOX), "turn": spaces.Discrete(2)})
        self.reset_draws = Draws({"x": (2, 3)})
        self.step_draws = Draws({"noise": (2, 3)})

    def start(self, draws, state):
        return {"x": uniform(draws["x"]), "score": torch.zeros(self.num_worlds, 2)}

    def advance(self, state, actions, draws):
        said = torch.where(actions["say"].isfinite(), actions["say"], 0.0)
        reward = 1 - (said - state["x"]).abs().mean(-1)
        x = 0.4 * state["x"] + 0.3 * said.clamp(0, 1) + 0.3 * uniform(draws["noise"])
        return Outcome({**state, "x": x, "score": state["score"] + reward}, reward, {"said": said.mean(-1)})

    def observe(self, state):
        time = (state["clock"] / self.horizon)[:, None, None].expand(self.num_worlds, 2, 1)
        return {"x": state["x"], "time": time.float()}

    def summary(self, state):
        return {"score": state["score"]}

    def picture(self, state, world, mode):
        return "a picture" if mode == "ansi" else np.zeros((4, 4, 3), np.uint8)


def subject_of(world):
    return Subject(world.__name__, world)


def test_clean_world_passes():
    check_world(Clean)


def test_short_episodes_cannot_be_checked():
    with pytest.raises(ConfigError, match="longer horizon"):
        check_world(Clean, horizon=2)


def test_only_worlds_can_be_checked():
    with pytest.raises(ConfigError, match="is not a World"):
        check_world(dict)
    with pytest.raises(ConfigError, match="id or a callable"):
        check_world(3)


# ---- what a step is ---------------------------------------------------------------------------------


class NestedSpace(Clean):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        inner = spaces.Dict({"x": spaces.Box(shape=(3,), **BOX)})
        self.observation_space = spaces.Dict({"inner": inner})


class LeavesItsSpace(Clean):
    def observe(self, state):
        return {**super().observe(state), "time": 1.1 * super().observe(state)["time"]}


class SeesNaN(Clean):
    def observe(self, state):
        x = torch.where(state["clock"][:, None, None] == 3, torch.nan, state["x"])
        return {**super().observe(state), "x": x}


class SeesDoubles(Clean):
    def observe(self, state):
        return {**super().observe(state), "x": state["x"].double()}


class InfoComesAndGoes(Clean):
    def advance(self, state, actions, draws):
        outcome = super().advance(state, actions, draws)
        if int(state["clock"].max()) == 3:
            outcome.info["surprise"] = torch.zeros(self.num_worlds)
        return outcome


class PaysDoubles(Clean):
    def advance(self, state, actions, draws):
        outcome = super().advance(state, actions, draws)
        return outcome._replace(reward=outcome.reward.double())


class LargeInfo(Clean):
    def advance(self, state, actions, draws):
        outcome = super().advance(state, actions, draws)
        return outcome._replace(info={"x": state["x"]})


class NeverEnds(Clean):
    def _advance_clock(self, chosen):
        return np.zeros(self.num_worlds, dtype=bool)


class EndsEarly(Clean):
    def _advance_clock(self, chosen):
        self.horizon -= 1
        ended = super()._advance_clock(chosen)
        self.horizon += 1
        return ended


class BothFlags(Clean):
    def _move(self, actions, chosen):
        step = super()._move(actions, chosen)
        return step._replace(terminated=step.truncated)


class TellsTooSoon(Clean):
    def _episode_metrics(self, ended):
        return self.metrics()


class TellsNothing(Clean):
    def _episode_metrics(self, ended):
        return {key: value * torch.nan for key, value in self.metrics().items()}


class GoesOnForEver(Clean):
    def step(self, actions, *, mask=None):
        if (self._terminated | self._truncated).all():
            self.reset()
        return super().step(actions, mask=mask)


class CountsTwice(Clean):
    def metrics(self):
        return {**super().metrics(), "return": 2 * super().metrics()["return"]}


class InfiniteReward(Clean):
    def advance(self, state, actions, draws):
        outcome = super().advance(state, actions, draws)
        return outcome._replace(reward=outcome.reward / 0)


class DoesNotTelescope(Clean):
    exam, reward_scale = True, 2.0  # says: the return is twice the score


class GraphInState(Clean):
    def advance(self, state, actions, draws):
        with torch.enable_grad():
            return super().advance(state, actions, draws)


class GraphInReward(Clean):
    differentiable = True

    def _move(self, actions, chosen):
        step = super()._move(actions, chosen)
        return step._replace(reward=step.reward + 0 * actions["say"].sum())


class NoGradient(Clean):
    differentiable = True

    def _move(self, actions, chosen):
        return super()._move({key: value.detach() for key, value in actions.items()}, chosen)


class TakesAnything(Clean):
    def step(self, actions, *, mask=None):
        self.validate = False
        return super().step(actions, mask=mask)


class NaNGoesThrough(Clean):
    def advance(self, state, actions, draws):
        outcome = super().advance(state, actions, draws)
        return outcome._replace(state={**outcome.state, "x": outcome.state["x"] + 0 * actions["say"]})


# ---- where steps lead -------------------------------------------------------------------------------


class Entropy(Clean):
    def advance(self, state, actions, draws):
        outcome = super().advance(state, actions, draws)
        noise = torch.tensor(list(os.urandom(2))) / 1e6
        return outcome._replace(reward=outcome.reward + noise)


class OneDomain(Clean):
    def reset(self, *, seed=None, mask=None, options=None):
        return super().reset(seed=seed, mask=mask)


class IgnoresItsSeed(Clean):
    def start(self, draws, state):
        return {**super().start(draws, state), "x": torch.full((self.num_worlds, 2, 3), 0.5)}

    def advance(self, state, actions, draws):
        return super().advance(state, actions, {"noise": torch.zeros_like(draws["noise"])})


class MixesWorlds(Clean):
    def advance(self, state, actions, draws):
        outcome = super().advance(state, actions, draws)
        return outcome._replace(
            state={**outcome.state, "x": outcome.state["x"] * 0.9 + 0.1 * state["x"].mean()}
        )


class HiddenShift(Clean):
    """Keeps something outside its state that a reset of any world renews."""

    shift = 0.0

    def start(self, draws, state):
        self.shift = float(uniform(draws["x"]).mean())
        return super().start(draws, state)

    def observe(self, state):
        return {**super().observe(state), "x": (state["x"] + self.shift) / 2}


class WritesIntoState(Clean):
    def advance(self, state, actions, draws):
        state["x"].mul_(0.5)
        return super().advance(state, actions, draws)


class IgnoresTheMask(Clean):
    def _merge(self, new, old, chosen):
        return new


class FinalIsFirst(Clean):
    def _move(self, actions, chosen):
        step = super()._move(actions, chosen)
        return step._replace(final_obs=step.obs)


class AutoresetsToTheFirstEpisode(Clean):
    def _restart(self, chosen, *, first_episode):
        super()._restart(chosen, first_episode=first_episode or self.autoreset)


class HiddenCounter(Clean):
    """Counts steps outside its state."""

    count = 0

    def advance(self, state, actions, draws):
        self.count += 1
        outcome = super().advance(state, actions, draws)
        return outcome._replace(reward=outcome.reward + self.count / 100)


class SharedList(Clean):
    """Counts steps in a list that its forks share."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.trace = []

    def advance(self, state, actions, draws):
        self.trace.append(0)
        outcome = super().advance(state, actions, draws)
        return outcome._replace(reward=outcome.reward + len(self.trace) / 100)


class SharedByAll(Clean):
    """Counts the steps of all instances."""

    counter = itertools.count()

    def advance(self, state, actions, draws):
        outcome = super().advance(state, actions, draws)
        return outcome._replace(reward=outcome.reward + next(self.counter) / 100)


class GlobalTorch(Clean):
    def advance(self, state, actions, draws):
        torch.rand(1)
        return super().advance(state, actions, draws)


class GlobalNumpy(Clean):
    def start(self, draws, state):
        np.random.rand()
        return super().start(draws, state)


class GlobalSeed(Clean):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        torch.manual_seed(1234)


class ReusesItsBuffer(Clean):
    def observe(self, state):
        if not hasattr(self, "buffer"):
            self.buffer = torch.zeros(self.num_worlds, 2, 3)
        return {**super().observe(state), "x": self.buffer.copy_(state["x"])}


class KeepsActions(Clean):
    """Remembers the caller's own tensor."""

    def advance(self, state, actions, draws):
        outcome = super().advance(state, actions, draws)
        return outcome._replace(state={**outcome.state, "x": actions["say"]})


class WritesIntoActions(Clean):
    def advance(self, state, actions, draws):
        actions["say"].zero_()
        return super().advance(state, actions, draws)


class SilencedByWords(Clean):
    """Who speaks loudly is sent out of the room."""

    def start(self, draws, state):
        return {**super().start(draws, state), "present": torch.ones(self.num_worlds, 2, dtype=torch.bool)}

    def advance(self, state, actions, draws):
        outcome = super().advance(state, actions, draws)
        return outcome._replace(state={**outcome.state, "present": actions["say"].mean(-1) < 0.5})


class WrongPicture(Clean):
    def picture(self, state, world, mode):
        return np.zeros((4, 4), np.float32)


BROKEN = [
    (steps.check_spaces, NestedSpace, "'inner' is nested"),
    (steps.check_observations, LeavesItsSpace, "'time' does not at step 4"),
    (steps.check_observations, SeesNaN, "'x' does not at step 3"),
    (steps.check_observations, SeesDoubles, "'x' is float64"),
    (steps.check_structure, InfoComesAndGoes, "'info.surprise' was None.* at step 3"),
    (steps.check_structure, PaysDoubles, "reward must be"),
    (steps.check_structure, LargeInfo, "'info.x' is"),
    (steps.check_episodes, NeverEnds, "horizon at step 4"),
    (steps.check_episodes, EndsEarly, "horizon at step 3"),
    (steps.check_episodes, BothFlags, "exclude each other at step 4"),
    (steps.check_episodes, TellsTooSoon, "metrics before the end.*at step 1"),
    (steps.check_episodes, TellsNothing, "metrics missing.*at step 4"),
    (steps.check_episodes, GoesOnForEver, "must raise EpisodeEnded"),
    (steps.check_returns, CountsTwice, "sum of rewards at step 1"),
    (steps.check_returns, InfiniteReward, "finite at step 1"),
    (steps.check_returns, DoesNotTelescope, "must telescope"),
    (steps.check_gradients, GraphInState, "may carry a graph"),
    (steps.check_gradients, GraphInReward, "detached at step 1"),
    (steps.check_gradients, NoGradient, "no gradient leads"),
    (steps.check_bad_actions, TakesAnything, "must raise ActionError: 'say' NaN"),
    (steps.check_bad_actions, NaNGoesThrough, "NaN in unchecked actions must abstain"),
    (twins.check_determinism, Entropy, "'reward' differs at step 1"),
    (twins.check_seeds, OneDomain, "unrelated keys"),
    (twins.check_seeds, IgnoresItsSeed, "seeds 0 and 1"),
    (twins.check_batch, MixesWorlds, r"\(world 0\): 'obs.x' differs at step 1"),
    (twins.check_masked_reset, HiddenShift, "must leave world 0 alone: 'x' differs"),
    (twins.check_masked_reset, IgnoresTheMask, "must leave world 0 alone"),
    (twins.check_masked_step, IgnoresTheMask, "must not move world 1"),
    (twins.check_masked_step, WritesIntoState, "must not move world 1"),
    (twins.check_autoreset, FinalIsFirst, "final_obs must be the last"),
    (twins.check_autoreset, AutoresetsToTheFirstEpisode, "must equal a masked reset"),
    (twins.check_state_dict, HiddenCounter, "'reward' differs at step 1"),
    (twins.check_fork, SharedList, "must not move the world: 'reward'"),
    (twins.check_interleaved, SharedByAll, "must not touch each other: 'reward'"),
    (twins.check_global_generators, GlobalTorch, "step moves .* torch"),
    (twins.check_global_generators, GlobalNumpy, "reset moves .* numpy"),
    (twins.check_global_generators, GlobalSeed, "making a world moves .* torch"),
    (twins.check_handed_out, ReusesItsBuffer, "stay as it was: 'obs.x'"),
    (twins.check_handed_out, WritesIntoActions, "write into actions: 'say'"),
    (twins.check_poison, KeepsActions, "keep no view"),
    (twins.check_fates, SilencedByWords, "'state.present' differs at step 1"),
    (views.check_pettingzoo_parallel, Entropy, "parallel_seed_test"),
    (views.check_pettingzoo_aec, LeavesItsSpace, "api_test: Out of bounds"),
    (views.check_render, WrongPicture, "drawn as text"),
    (views.check_gymnasium_env, SeesDoubles, "check_env"),
    (views.check_gymnasium_vector, LeavesItsSpace, "inside its space"),
]


@pytest.mark.parametrize(
    ("check", "world", "message"), BROKEN, ids=[f"{w.__name__}-{c.__name__}" for c, w, _ in BROKEN]
)
def test_broken_world_is_caught(check, world, message):
    with torch.random.fork_rng(), pytest.raises(AssertionError, match=message) as caught:
        check(subject_of(world))
    text = str(caught.value)
    assert text.startswith(f"{world.__name__}: ")
    assert "\n" not in text


def test_check_world_runs_every_check():
    """A fault that only the last engine check or a view check sees does not slip through."""
    for world in (SilencedByWords, WrongPicture):
        with pytest.raises(AssertionError, match=world.__name__):
            check_world(world)


def test_learners_are_compared_to_rounding():
    class Rounds(Clean):
        def advance(self, state, actions, draws):
            outcome = super().advance(state, actions, draws)
            return outcome._replace(reward=outcome.reward + self.num_worlds * 1e-6)

    class RoundsAndHosts(Rounds):
        hosts_learners = True

    twins.check_batch(subject_of(RoundsAndHosts))
    with pytest.raises(AssertionError, match="'reward' differs"):
        twins.check_batch(subject_of(Rounds))


# ---- views with a fault -----------------------------------------------------------------------------


class ForgetsAnAgent(WorldParallelEnv):
    def step(self, actions):
        obs, rewards, terminated, truncated, infos = super().step(actions)
        return obs, rewards, terminated, truncated, {"agent_0": infos["agent_0"]}


class KeepsItsAgents(WorldParallelEnv):
    def step(self, actions):
        results = super().step(actions)
        self.agents = self.possible_agents[:]
        return results


class TensorRewards(WorldParallelEnv):
    def step(self, actions):
        obs, rewards, *rest = super().step(actions)
        return obs, {agent: np.float32(reward) for agent, reward in rewards.items()}, *rest


class NewSpaces(WorldParallelEnv):
    def action_space(self, agent):
        return spaces.Dict(super().action_space(agent).spaces)


class HandsOutState(WorldParallelEnv):
    def reset(self, seed=None, options=None):
        super().reset(seed=seed, options=options)
        obs = self.world.observe(self.world._state)
        return {
            agent: {key: value[0, i].numpy() for key, value in obs.items()}
            for i, agent in enumerate(self.agents)
        }, {agent: {} for agent in self.agents}


class SameObservation(WorldEnv):
    def step(self, action):
        obs, *rest = super().step(action)
        self.kept = getattr(self, "kept", obs)
        for key, value in obs.items():
            self.kept[key][...] = value
        return self.kept, *rest


class SingleReward(WorldVectorEnv):
    def step(self, actions):
        obs, reward, *rest = super().step(actions)
        return obs, reward.astype(np.float32), *rest


class NoFinalObs(WorldVectorEnv):
    def step(self, actions):
        *rest, info = super().step(actions)
        return *rest, {key: value for key, value in info.items() if "final_obs" not in key}


class RewardsTheReset(WorldVectorEnv):
    def step(self, actions):
        obs, reward, *rest = super().step(actions)
        return obs, reward + 1.0 * (reward == 0), *rest


BROKEN_VIEWS = [
    (views.check_pettingzoo_parallel, ForgetsAnAgent, "Live agent was not given info"),
    (views.check_pettingzoo_parallel, NewSpaces, "exact same space object"),
    (views.check_pettingzoo_dicts, ForgetsAnAgent, "infos must have all agents"),
    (views.check_pettingzoo_dicts, KeepsItsAgents, "empty after the end"),
    (views.check_pettingzoo_dicts, TensorRewards, "rewards must be floats"),
    (views.check_pettingzoo_engine, HandsOutState, "must (observe|pay) as the engine does"),
    (views.check_gymnasium_env, SameObservation, "share an object"),
    (views.check_gymnasium_vector, SingleReward, "reward as float64"),
    (views.check_autoreset_modes, NoFinalObs, "SameStep"),
    (views.check_autoreset_modes, RewardsTheReset, "reward in mode NextStep"),
]


@pytest.mark.parametrize(
    ("check", "view", "message"), BROKEN_VIEWS, ids=[f"{v.__name__}-{c.__name__}" for c, v, _ in BROKEN_VIEWS]
)
def test_broken_view_is_caught(check, view, message, monkeypatch):
    monkeypatch.setattr(views, view.__mro__[1].__name__, view)
    with pytest.raises(AssertionError, match=message):
        check(subject_of(Clean))


def test_every_check_has_a_world_or_view_that_fails_it():
    shown = {check for check, _, _ in BROKEN + BROKEN_VIEWS}
    assert shown == {*steps.CHECKS, *twins.CHECKS, *views.CHECKS}


def test_waiting_world_raises():
    world = Clean(num_worlds=1, autoreset=False)
    with pytest.raises(EpisodeEnded, match="reset"):
        world.step({"say": torch.zeros(1, 2, 3), "turn": torch.zeros(1, 2, dtype=torch.long)})
