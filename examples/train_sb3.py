"""Train whom to listen to with Stable-Baselines3, and roll the trained policy out beside a scripted rule."""

import argparse
import dataclasses

import torch
from stable_baselines3 import PPO

from studyhall import make_sb3
from studyhall.policies.sb3 import SetPolicy, save_policy
from studyhall.rollouts import interval, rollout, spread
from studyhall.scenarios import get_scenario


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=160_000, help="of all agents together")
    parser.add_argument("--worlds", type=int, default=32)
    parser.add_argument("--horizon", type=int, default=400)
    parser.add_argument("--out", default="listening.zip")
    args = parser.parse_args()
    torch.set_num_threads(1)  # small networks run fastest so

    scenario = get_scenario("society-liar-digits")
    world = {**scenario.env_kwargs, "horizon": args.horizon}
    env = make_sb3(
        scenario.env, args.worlds, seed=0, actions="listen", **world
    )  # an agent is a sub-environment
    model = PPO(
        SetPolicy,  # scores sources one by one, so it fits worlds with any number of them
        env,
        learning_rate=lambda left: 1e-3 * left,
        n_steps=50,
        batch_size=env.num_envs * 10,
        n_epochs=4,
        gamma=0.95,
        gae_lambda=0.9,
        seed=0,
        device="cpu",
    )
    model.learn(args.steps)
    save_policy(model, args.out)  # loads with PPO.load, and as a policy of studyhall, by its path

    for policy in (args.out, "mean"):
        held_out = dataclasses.replace(scenario, policy=policy, env_kwargs=world, controls=())
        report = rollout(held_out, seeds=tuple(range(16)))
        honest = interval(report.metrics["open"]["honest"])
        print(f"{policy}: test accuracy of the honest {spread(honest)} % (95 % interval)")


if __name__ == "__main__":
    main()
