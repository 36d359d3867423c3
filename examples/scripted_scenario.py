"""Run scenarios in code, with changes of one's own, and read their reports; write a rule of listening."""

import argparse
import dataclasses

import torch
from torch import Tensor

from studyhall.policies import PolicySpec, Rule, Talk, register_policy
from studyhall.rollouts import interval, rollout, spread
from studyhall.scenarios import Scenario, get_scenario


class Unsure(Rule):
    """Imitate the mean of the others row by row, the more the less sure oneself is."""

    def targets(self, talk: Talk) -> Tensor:
        """Distributions to imitate, ``[W, N, B, C]``; the sum of a row is its weight."""
        mean = talk.rows.sum(2) / talk.spoke.sum(2).clamp_min(1)[..., None]  # over the sources that spoke
        return mean * (1 - talk.own.amax(-1, keepdim=True))


register_policy(PolicySpec("unsure", f"{__name__}:Unsure", "the mean, where oneself is unsure"))


def show(scenario: Scenario) -> None:
    """Run all seeds and their controls side by side, and print what talking to each other was worth."""
    report = rollout(scenario)
    accuracy = interval(report.metrics["open"]["mean"])
    gain = interval(report.social_gain("mean")["mute"])
    print(
        f"{scenario.name}, {scenario.policy}: test accuracy {spread(accuracy)} %, "
        f"learnt from peers {spread(gain, signed=True)} points (95 % intervals)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)  # small networks run fastest so

    # Policies that bring their own learners.
    documented = get_scenario("classroom-digits")
    shorter = {**documented.env_kwargs, "horizon": steps}
    classroom = dataclasses.replace(documented, policy_kwargs={}, env_kwargs=shorter, controls=("mute",))
    for policy in ("classroom", "mutual"):  # the best teaches; everyone learns from everyone
        show(dataclasses.replace(classroom, policy=policy, policy_kwargs={"lr": 0.002}))

    # Rules, for learners that the world hosts.
    documented = get_scenario("society-liar-digits")
    shorter = {**documented.env_kwargs, "horizon": steps}
    society = dataclasses.replace(documented, env_kwargs=shorter, seeds=tuple(range(6)))
    for policy in ("mean", "one_coin", "unsure"):
        show(dataclasses.replace(society, policy=policy))


if __name__ == "__main__":
    main()
