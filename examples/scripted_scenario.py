"""Run a scenario in code, with a change of one's own, and read its report."""

import argparse
import dataclasses

import torch

from studyhall.rollouts import interval, rollout
from studyhall.scenarios import get_scenario


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)  # small networks run fastest so

    documented = get_scenario("classroom-digits")
    mutual = dataclasses.replace(
        documented,
        policy="mutual",  # everyone learns from everyone
        policy_kwargs={"lr": 0.002},
        env_kwargs={**documented.env_kwargs, "horizon": steps},
        controls=("mute",),
    )
    for scenario in (dataclasses.replace(mutual, policy="classroom"), mutual):
        report = rollout(scenario, seeds=(0, 1))
        accuracy = interval(report.metrics["open"]["mean"])
        gain = interval(report.social_gain("mean")["mute"])
        print(
            f"{scenario.policy:<10} test accuracy {accuracy.mean:.1%} ± {accuracy.half:.1%}, "
            f"learnt from peers {gain.mean:+.1%} ± {gain.half:.1%}"
        )


if __name__ == "__main__":
    main()
