"""A world of your own, checked and run: guessers see a jar badly, and hear what the others guess."""

import argparse

import numpy as np
import torch
from gymnasium import spaces

from studyhall.envs import EnvSpec, Outcome, World, register, rng
from studyhall.envs.channel import ledger, modes_of
from studyhall.envs.validation import real
from studyhall.policies import Policy, PolicySpec, register_policy
from studyhall.rollouts import interval, rollout, spread
from studyhall.scenarios import Scenario
from studyhall.testing import check_policy, check_world


class Jar(World):
    """How full is the jar, from 0 to 1? Everyone takes one blurred look, then guesses aloud in each step.

    One is paid for coming nearer, and hears the others' last guesses. In a mute world they are sent and charged as
    ever, and nobody hears them.
    """

    agent_noun = "guesser"
    headline = "accuracy"
    crosses = frozenset({"messages"})

    def __init__(self, *, agents=5, horizon=4, blur=0.2, mode="open", **kwargs):
        super().__init__(num_agents=agents, horizon=horizon, **kwargs)
        modes = modes_of(mode, self.num_worlds, ("open", "mute"))
        self.heard = torch.tensor([one == "open" for one in modes], device=self.device)[:, None]
        self.blur = real("blur", blur, 0)
        one, all_of_them = (spaces.Box(0, 1, (size,), np.float32) for size in (1, self.num_agents))
        self.observation_space = spaces.Dict({"look": one, "guesses": all_of_them})
        self.action_space = spaces.Dict({"guess": one})
        self.reset_draws = rng.Draws({"level": (1,), "blur": (self.num_agents,)})

    def start(self, draws, state):
        """A level ``[W, 1]``, and what everyone sees of it ``[W, N]``."""
        level = draws["level"].uniform()
        look = (level + self.blur * draws["blur"].normal()).clamp(0, 1)
        return {"level": level, "look": look, "guess": 0 * look, "bits": torch.zeros_like(look).long()}

    def advance(self, state, actions, draws):
        """Everyone guesses; who says no number stays with the last guess."""
        said = actions["guess"][..., 0]
        new = {**state, "guess": torch.where(said.isfinite(), said, state["guess"]).clamp(0, 1)}
        sent = ledger.messages(torch.full_like(state["bits"], self.num_agents - 1), width=1)
        nearer = self._error(state) - self._error(new)
        return Outcome({**new, "bits": state["bits"] + sent}, nearer, {"bytes": sent / 8})

    def observe(self, state):
        """One's look, and everyone's last guess."""
        heard = (state["guess"] * self.heard)[:, None].expand(-1, self.num_agents, -1)
        return {"look": state["look"][..., None], "guesses": heard}

    def summary(self, state):
        """Whose guess is within a tenth, and what was said."""
        return {"accuracy": (self._error(state) < 0.1).float(), "bytes": state["bits"] / 8}

    def _error(self, state):
        return (state["guess"] - state["level"]).abs()


class Agree(Policy):
    """Everyone says the mean of the guesses heard, and before there are any, what it saw."""

    def act(self, obs):
        """Guesses ``[W, N, 1]``."""
        heard = (obs["guesses"] > 0).any(-1, keepdim=True)
        return {"guess": torch.where(heard, obs["guesses"].mean(-1, keepdim=True), obs["look"])}


register(EnvSpec("jar-v0", f"{__name__}:Jar", "guessers who see a jar badly hear each other"))
register_policy(PolicySpec("agree", f"{__name__}:Agree", "say the mean of what was heard"))

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4)
    kwargs = {"horizon": parser.parse_args().steps}
    check_world("jar-v0", agents=3)
    check_policy("agree", "jar-v0", agents=3)
    jars = Scenario("jars", "jars", "jar-v0", "agree", kwargs, seeds=tuple(range(50)), controls=("mute",))
    gain = interval(rollout(jars).social_gain("accuracy")["mute"])
    print(f"Guesses within a tenth, listening − mute: {spread(gain, signed=True)} points (95 % interval).")
