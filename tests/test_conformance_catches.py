"""The conformance suite finds what it is there to find: small worlds with one fault each."""

import itertools
import os
from functools import partial

import numpy as np
import pytest
import torch
from gymnasium import spaces

from studyhall.envs.bridges.flat import FlatWorld
from studyhall.envs.bridges.gymnasium import WorldEnv, WorldVectorEnv
from studyhall.envs.bridges.pettingzoo import WorldParallelEnv
from studyhall.envs.channel.ledger import soft_targets
from studyhall.envs.engine.parts import Part
from studyhall.envs.engine.rng import Draw, Draws, draw
from studyhall.envs.engine.world import Outcome, World
from studyhall.envs.errors import ConfigError, EpisodeEnded
from studyhall.envs.study import Pay
from studyhall.testing import CHECKS, check_world, names, steps, twins, views
from studyhall.testing.tools import Subject, sample_actions

BOX = {"low": 0.0, "high": 1.0, "dtype": np.float32}


class Clean(World):
    """Agents say numbers and are paid for coming near a hidden random one."""

    def __init__(self, *, num_worlds=1, autoreset=True, validate=False, horizon=4):
        super().__init__(
            num_worlds=num_worlds, num_agents=2, horizon=horizon, autoreset=autoreset, validate=validate
        )
        self.observation_space = spaces.Dict(
            {"x": spaces.Box(shape=(3,), **BOX), "elapsed": spaces.Box(shape=(1,), **BOX)}
        )
        self.action_space = spaces.Dict({"say": spaces.Box(shape=(3,), **BOX), "turn": spaces.Discrete(2)})
        self.reset_draws = Draws({"x": (2, 3)})
        self.step_draws = Draws({"noise": (2, 3)})

    def start(self, draws, state):
        return {"x": draws["x"].uniform(), "score": torch.zeros(self.num_worlds, 2)}

    def advance(self, state, actions, draws):
        said = torch.where(actions["say"].isfinite(), actions["say"], 0.0)
        reward = 1 - (said - state["x"]).abs().mean(-1)
        x = 0.4 * state["x"] + 0.3 * said.clamp(0, 1) + 0.3 * draws["noise"].uniform()
        return Outcome({**state, "x": x, "score": state["score"] + reward}, reward, {"said": said.mean(-1)})

    def observe(self, state):
        time = (state["clock"] / self.horizon)[:, None, None].expand(self.num_worlds, 2, 1)
        return {"x": state["x"], "elapsed": time.float()}

    def summary(self, state):
        return {"score": state["score"]}

    def picture(self, state, world, mode):
        return "a picture" if mode == "ansi" else np.zeros((4, 4, 3), np.uint8)


class Masked(Clean):
    """Agents turn in one of four ways, of which they see three open."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.action_space = spaces.Dict({"choice": spaces.Discrete(4)})
        self.observation_space["action_mask"] = spaces.Box(0, 1, (4,), np.int8)

    def advance(self, state, actions, draws):
        choice = actions["choice"].clamp(0, 3)
        legal = self.open(state["clock"] - 1).gather(-1, choice[..., None])
        said = choice[..., None] / 4 * legal
        return super().advance(state, {"say": said.expand(-1, -1, 3)}, draws)

    def observe(self, state):
        return {**super().observe(state), "action_mask": self.open(state["clock"])}

    def open(self, clock):
        closed = (clock % 4)[:, None, None].expand(self.num_worlds, 2, 1)
        return (torch.arange(4) != closed).to(torch.int8)


class Weights(Part):
    """Two linear learners in each world, ``[W, 2, 3, 3]``."""

    def reset(self, keys, moving):
        fresh = 0.1 * draw(keys, "weights", (2, 3, 3)).uniform()
        if not hasattr(self, "values"):
            self.values = fresh
        else:
            self.put(fresh, moving)

    def put(self, new, moving):
        """Change the learners of the worlds that move, in place."""
        self.values.copy_(torch.where(moving[:, None, None, None], new, self.values))

    def at(self, worlds):
        twin = type(self)()
        twin.values = self.values[worlds]
        return twin

    def finite(self):
        return self.values.isfinite().all(-1).all(-1)

    def state_dict(self):
        return {"weights": self.values.clone()}

    def load_state_dict(self, saved):
        self.values.copy_(saved["weights"])


class Hosting(Clean):
    """Agents say what a network of theirs should believe; it is trained in place, and graded."""

    kind = Weights

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.learners = self.kind()

    def put(self, new):
        self.learners.put(new, self.moving)

    def advance(self, state, actions, draws):
        x, weights = state["x"][..., None, :], self.learners.values
        error = x @ weights - torch.where(actions["say"].isfinite(), actions["say"], 0.0)[..., None, :]
        self.put(weights - 0.5 * x.mT @ error)
        return super().advance(state, {"say": (x @ weights)[..., 0, :]}, draws)


class Charging(Clean):
    """What agents say is charged."""

    crosses = frozenset({"soft_targets"})

    def start(self, draws, state):
        return {**super().start(draws, state), "bits": torch.zeros(self.num_worlds, 2, dtype=torch.int64)}

    def advance(self, state, actions, draws):
        outcome = super().advance(state, actions, draws)
        sent = soft_targets((actions["say"] > 0).any(-1).long(), 3)
        outcome.info["bytes"] = sent / 8
        return outcome._replace(state={**outcome.state, "bits": state["bits"] + sent})

    def summary(self, state):
        return {**super().summary(state), "bytes": state["bits"] / 8}


def subject_of(world):
    return Subject(world.__name__, world)


@pytest.mark.parametrize(
    ("world", "horizon"),
    [*itertools.product((Clean, Masked, Hosting, Charging), (1, 4)), (Clean, 2)],
)
def test_sound_worlds_pass(world, horizon):
    check_world(world, horizon=horizon)


def test_sampled_actions_keep_to_the_mask():
    world = Masked(num_worlds=500)
    seen, chosen = world.reset(seed=0), set()
    for _ in range(3):
        choice = sample_actions(world, torch.Generator().manual_seed(1))["choice"]
        assert seen["action_mask"].gather(-1, choice[..., None]).all()
        chosen |= set(choice.unique().tolist())
        seen = world.step(choice).obs
    assert chosen == {0, 1, 2, 3}


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


class MaskOfADict(Masked):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.action_space = spaces.Dict({"choice": spaces.Discrete(4), "ask": spaces.Discrete(2)})


class MaskOfWeights(Masked):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.action_space = spaces.Dict({"weights": spaces.Box(shape=(4,), **BOX)})


class ShortMask(Masked):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.observation_space["action_mask"] = spaces.Box(0, 1, (3,), np.int8)


class WideMask(Masked):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.observation_space["action_mask"] = spaces.Box(0, 1, (4,), np.int64)


class NoChoice(Masked):
    def observe(self, state):
        seen = super().observe(state)
        over = (state["clock"] == 2)[:, None, None]
        return {**seen, "action_mask": torch.where(over, 0, seen["action_mask"]).to(torch.int8)}


class LeavesItsSpace(Clean):
    def observe(self, state):
        return {**super().observe(state), "elapsed": 1.1 * super().observe(state)["elapsed"]}


class StateElsewhere(Clean):
    def state(self):
        return super().state()[:, :1] - 1


class SeesValues(Clean):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.observation_space["values"] = spaces.Box(shape=(1,), **BOX)


class TellsAnEpisode(Clean):
    def advance(self, state, actions, draws):
        outcome = super().advance(state, actions, draws)
        return outcome._replace(info={**outcome.info, "metrics": outcome.reward})


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


class CountsInAnotherType(Clean):
    """Starts with a whole number, and goes on with a real one."""

    def start(self, draws, state):
        return {**super().start(draws, state), "count": torch.zeros(self.num_worlds, dtype=torch.int64)}

    def advance(self, state, actions, draws):
        outcome = super().advance(state, actions, draws)
        return outcome._replace(state={**outcome.state, "count": state["count"] + 0.5})


class LearnsOnlyOutside(Hosting):
    """Looks whether gradients are on around the world's step."""

    def step(self, actions, *, mask=None):
        if torch.is_inference_mode_enabled():
            self.learners.values.mul_(0.9)
        return super().step(actions, mask=mask)


class NoSuchHeadline(Clean):
    headline = "accuracy"


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
    exam, pay = True, Pay(reward_scale=2.0)  # says: the return is twice the score


class ChargesNothing(Clean):
    crosses = frozenset({"labels"})


class ChargesInSecret(Charging):
    crosses = frozenset()


class ChargesAnythingElse(Charging):
    crosses = frozenset({"soft_targets", "thoughts"})


class LosesCount(Charging):
    def summary(self, state):
        return {**super().summary(state), "bytes": (state["bits"] / 8).clamp_max(20)}


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
        return super().advance(state, actions, {"noise": Draw(torch.zeros_like(state["key"]), (2, 3))})


class MixesWorlds(Clean):
    def advance(self, state, actions, draws):
        outcome = super().advance(state, actions, draws)
        return outcome._replace(
            state={**outcome.state, "x": outcome.state["x"] * 0.9 + 0.1 * state["x"].mean()}
        )


class HiddenShift(Clean):
    """Keeps something outside its state that a reset of any world renews."""

    shift = 0.0

    def _restart(self, chosen, *, first_episode):
        super()._restart(chosen, first_episode=first_episode)
        self.shift = float(Draw(self._state["key"]).uniform().mean())

    def observe(self, state):
        return {**super().observe(state), "x": (state["x"] + self.shift) / 2}


class WritesIntoState(Clean):
    def advance(self, state, actions, draws):
        state["x"].mul_(0.5)
        return super().advance(state, actions, draws)


class IgnoresTheMask(Clean):
    def _merge(self, new, old, moving):
        return new

    def _restart(self, chosen, *, first_episode):
        super()._restart(np.ones_like(chosen), first_episode=first_episode)


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


class ResetsAllLearners(Hosting):
    def _restart(self, chosen, *, first_episode):
        super()._restart(chosen, first_episode=first_episode)
        if not chosen.all():
            self.learners.values.mul_(0.5)


class TeachesTheSleeping(Hosting):
    def put(self, new):
        self.learners.values.copy_(new)


class LearnsLessWhileOthersSleep(Hosting):
    def put(self, new):
        weights = self.learners.values
        super().put(weights + (new - weights) * self.moving.float().mean())


class TeachesBeforeItChecks(Hosting):
    def step(self, actions, *, mask=None):
        self.learners.values.mul_(0.9)
        return super().step(actions, mask=mask)


class ForgetsToSaveLearners(Hosting):
    class kind(Weights):  # noqa: N801
        def state_dict(self):
            return {"weights": torch.zeros_like(self.values)}


class SavesItsLearnersOwnMemory(Hosting):
    class kind(Weights):  # noqa: N801
        def state_dict(self):
            return {"weights": self.values}


class LoadsIntoTheSavedMemory(Hosting):
    class kind(Weights):  # noqa: N801
        def load_state_dict(self, saved):
            self.values = saved["weights"]


class ForksShareLearners(Hosting):
    class kind(Weights):  # noqa: N801
        def fork(self):
            return self


class LearnersInterfere(Hosting):
    def put(self, new):
        super().put(new + 1e-3 * new.mean())


class HurriesTheLate(Hosting):
    """Learners learn faster while another world is ahead of theirs."""

    def advance(self, state, actions, draws):
        late = (state["clock"] < state["clock"].max())[:, None, None]
        return super().advance(state, {**actions, "say": actions["say"] + 1e-3 * late}, draws)


class WrongPicture(Clean):
    def picture(self, state, world, mode):
        return np.zeros((4, 4), np.float32)


BROKEN = [
    (steps.check_spaces, NestedSpace, "'inner' is nested"),
    (steps.check_spaces, MaskOfADict, "only a single Discrete action can have an 'action_mask'"),
    (steps.check_spaces, MaskOfWeights, "only a single Discrete action"),
    (steps.check_spaces, ShortMask, r"int8 \(4,\): is int8 \(3,\)"),
    (steps.check_spaces, WideMask, r"int8 \(4,\): is int64"),
    (steps.check_observations, NoChoice, "leave every agent a choice at step 2"),
    (steps.check_observations, LeavesItsSpace, "'elapsed' does not at step 4"),
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
    (steps.check_structure, NoSuchHeadline, "the headline must be one of .*: 'accuracy'"),
    (steps.check_state, CountsInAnotherType, "must build the state as start.* does: 'count' was .*int64"),
    (twins.check_inference, LearnsOnlyOutside, "inference mode must change nothing"),
    (steps.check_returns, DoesNotTelescope, "must telescope"),
    (steps.check_ledger, ChargesNothing, "labels cross: info must charge: 'label_bytes'"),
    (steps.check_ledger, ChargesInSecret, "nothing that crosses is charged so, but info charges: 'bytes'"),
    (steps.check_ledger, ChargesAnythingElse, "crosses must be of .*: 'thoughts'"),
    (steps.check_ledger, LosesCount, "sum up what infos charge: 'bytes' at step 2"),
    (steps.check_gradients, GraphInState, "may carry a graph"),
    (steps.check_gradients, GraphInReward, "detached at step 1"),
    (steps.check_gradients, NoGradient, "no gradient leads"),
    (steps.check_bad_actions, TakesAnything, "must raise ActionError: 'say' NaN"),
    (steps.check_bad_actions, NaNGoesThrough, "NaN in unchecked actions must abstain"),
    (steps.check_bad_actions, TeachesBeforeItChecks, "must not move the world: 'learners.weights'"),
    (twins.check_determinism, Entropy, "'reward' differs at step 1"),
    (twins.check_seeds, OneDomain, "unrelated keys"),
    (twins.check_seeds, IgnoresItsSeed, "seeds 0 and 1"),
    (twins.check_batch, MixesWorlds, r"\(world 0\): 'obs.x' differs at step 1"),
    (twins.check_batch, LearnersInterfere, r"\(world 0\): 'obs.x' differs at step 1"),
    (twins.check_batch, HurriesTheLate, r"\(world 1\): 'obs.x' differs at step 2"),
    (twins.check_masked_reset, HiddenShift, "must leave world 0 alone: 'x' differs"),
    (twins.check_masked_reset, ResetsAllLearners, "must leave world 0 alone: 'learners.weights'"),
    (twins.check_masked_reset, IgnoresTheMask, "must leave world 0 alone"),
    (twins.check_masked_step, IgnoresTheMask, "must not move world 1"),
    (twins.check_masked_step, WritesIntoState, "must not move world 1"),
    (twins.check_masked_step, LearnsLessWhileOthersSleep, "world 0 as an unmasked one does"),
    (twins.check_masked_step, TeachesTheSleeping, "must not move world 1: 'learners.weights'"),
    (twins.check_autoreset, FinalIsFirst, "final_obs must be the last"),
    (twins.check_autoreset, AutoresetsToTheFirstEpisode, "must equal a masked reset"),
    (twins.check_state_dict, HiddenCounter, "'reward' differs at step 1"),
    (twins.check_state_dict, ForgetsToSaveLearners, "continue identically: '.*' differs at step 1"),
    (twins.check_state_dict, SavesItsLearnersOwnMemory, "stay as it was: 'learners.weights' differs"),
    (twins.check_state_dict, LoadsIntoTheSavedMemory, "stay as it was: 'learners.weights' differs"),
    (twins.check_fork, ForksShareLearners, "a fork must not move the world"),
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
    (views.check_pettingzoo_state, StateElsewhere, "state is outside of it's state space"),
    (views.check_render, WrongPicture, "drawn as text"),
    (views.check_gymnasium_env, SeesDoubles, "check_env"),
    (views.check_gymnasium_vector, LeavesItsSpace, "inside its space"),
    (names.check_names, SeesValues, "observation 'values' is a name of torch.nn.ModuleDict"),
    (names.check_names, TellsAnEpisode, r"info \['metrics'\] are names of recorders"),
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


NEVER_IN_ONE_STEP = {
    *(NoChoice, SeesNaN, InfoComesAndGoes),  # at their second or third step
    *(EndsEarly, TellsTooSoon),  # before the last step
    *(LosesCount, HurriesTheLate),  # with many steps, or between worlds at different ones
}
"""Worlds whose faults do not show where an episode is one step."""


@pytest.mark.parametrize(
    ("check", "world"),
    [(c, w) for c, w, _ in BROKEN if w not in NEVER_IN_ONE_STEP],
    ids=[f"{w.__name__}-{c.__name__}" for c, w, _ in BROKEN if w not in NEVER_IN_ONE_STEP],
)
def test_broken_world_is_caught_in_episodes_of_one_step(check, world):
    with torch.random.fork_rng(), pytest.raises(AssertionError, match=f"^{world.__name__}: .*$"):
        check(Subject(world.__name__, partial(world, horizon=1)))


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

    class RoundsTooMuch(RoundsAndHosts):
        def advance(self, state, actions, draws):
            outcome = super().advance(state, actions, draws)
            return outcome._replace(reward=outcome.reward + self.num_worlds * 1e-4)

    twins.check_batch(subject_of(RoundsAndHosts))
    with pytest.raises(AssertionError, match="'reward' differs at step 1"):
        twins.check_batch(subject_of(RoundsTooMuch))
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


class Backwards(FlatWorld):
    def flattened(self, obs):
        return super().flattened(obs).flip(-1)


class TellsNoState(WorldParallelEnv):
    def state(self):
        return 0 * super().state()


class TakesNothing(FlatWorld):
    def __init__(self, world):
        raise ConfigError("these actions have no flat form")


BROKEN_VIEWS = [
    (views.check_pettingzoo_parallel, ForgetsAnAgent, "Live agent was not given info"),
    (views.check_pettingzoo_parallel, NewSpaces, "exact same space object"),
    (views.check_pettingzoo_dicts, ForgetsAnAgent, "infos must have all agents"),
    (views.check_pettingzoo_dicts, KeepsItsAgents, "empty after the end"),
    (views.check_pettingzoo_dicts, TensorRewards, "rewards must be floats"),
    (views.check_pettingzoo_engine, HandsOutState, "must (observe|pay) as the engine does"),
    (views.check_gymnasium_env, SameObservation, "share an object"),
    (views.check_gymnasium_vector, SingleReward, "reward as float64"),
    (views.check_pettingzoo_state, TellsNoState, "State numpy array is all zeros"),
    (views.check_flat, TakesNothing, "must take these actions: these actions have no flat form"),
    (views.check_flat, Backwards, "observe as one by name: agent_0 at step 0"),
    (views.check_autoreset_modes, NoFinalObs, "SameStep"),
    (views.check_autoreset_modes, RewardsTheReset, "reward in mode NextStep"),
]


@pytest.mark.parametrize(
    ("check", "view", "message"),
    BROKEN_VIEWS,
    ids=[f"{v.__name__}-{c.__name__}" for c, v, _ in BROKEN_VIEWS],
)
def test_broken_view_is_caught(check, view, message, monkeypatch):
    monkeypatch.setattr(views, view.__mro__[1].__name__, view)
    with pytest.raises(AssertionError, match=message):
        check(subject_of(Clean))


NEVER_IN_ONE_STEP_OF_A_VIEW = {
    NewSpaces,  # PettingZoo's test asks the agents who are left: check_pettingzoo_dicts finds it
    SameObservation,  # of episodes of one step Gymnasium's test is shown a view of its own
}


@pytest.mark.parametrize(
    ("check", "view"),
    [(c, v) for c, v, _ in BROKEN_VIEWS if v not in NEVER_IN_ONE_STEP_OF_A_VIEW]
    + [(views.check_pettingzoo_dicts, NewSpaces)],
)
def test_broken_view_is_caught_in_episodes_of_one_step(check, view, monkeypatch):
    monkeypatch.setattr(views, view.__mro__[1].__name__, view)
    with pytest.raises(AssertionError, match=r"^Clean: "):
        check(Subject("Clean", partial(Clean, horizon=1)))


def test_every_check_has_a_world_or_view_that_fails_it():
    shown = {check for check, _, _ in BROKEN + BROKEN_VIEWS}
    assert shown == set(CHECKS)


def test_waiting_world_raises():
    world = Clean(num_worlds=1, autoreset=False)
    with pytest.raises(EpisodeEnded, match="reset"):
        world.step({"say": torch.zeros(1, 2, 3), "turn": torch.zeros(1, 2, dtype=torch.long)})
