"""A classroom as a PettingZoo environment, with random actions."""

import argparse

import torch

from studyhall import make_env


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)  # small worlds and networks run fastest so

    env = make_env("classroom-v0", agents=4, horizon=steps, render_mode="ansi")
    observations, infos = env.reset(seed=0)
    returns = dict.fromkeys(env.agents, 0.0)
    while env.agents:
        actions = {agent: env.action_space(agent).sample() for agent in env.agents}
        observations, rewards, terminations, truncations, infos = env.step(actions)
        for agent, reward in rewards.items():
            returns[agent] += reward
    print(env.render())
    print("returns:", {agent: round(total, 2) for agent, total in returns.items()})


if __name__ == "__main__":
    main()
