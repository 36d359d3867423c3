"""Learners of your own: three networks in a PettingZoo loop, taught by a teacher and by each other."""

import argparse

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from studyhall import make_env


class Student:
    """Any network will do; the world only sees what it publishes and answers."""

    def __init__(self, inputs: int, classes: int) -> None:
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, classes))
        self.optimiser = torch.optim.Adam(self.net.parameters(), lr=3e-3)

    def believe(self, x: np.ndarray) -> np.ndarray:
        """Class distributions for a batch of inputs."""
        with torch.no_grad():
            return self.net(torch.from_numpy(x)).softmax(-1).numpy()

    def learn(self, obs: dict[str, np.ndarray]) -> None:
        """Learn from the feedback on the slice before: labels if the teacher gave any, and heard peers."""
        logits = self.net(torch.from_numpy(obs["fb_slice"]))
        loss = torch.zeros(())
        labels = torch.from_numpy(obs["fb_labels"])
        if (labels >= 0).any():
            loss = loss + F.cross_entropy(logits, labels, ignore_index=-1)
        heard = obs["heard"] == 1
        if heard.any():
            peers = torch.from_numpy(obs["fb_targets"][heard]).mean(0)
            loss = loss + 0.5 * F.kl_div(logits.log_softmax(-1), peers, reduction="batchmean")
        if loss.requires_grad:
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()

    def act(self, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray | int]:
        """Publish beliefs about the slice, answer the exam, and always ask the teacher."""
        return {"soft_targets": self.believe(obs["slice"]), "answers": self.believe(obs["exam"]), "ask": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)  # small networks run fastest so
    torch.manual_seed(0)

    env = make_env("classroom-v0", agents=3, data="digits", horizon=steps, teacher_budget=100)
    observations, infos = env.reset(seed=0)
    exam, classes = env.action_space("student_0")["answers"].shape
    students = {agent: Student(64, classes) for agent in env.agents}
    while env.agents:
        actions = {}
        for agent, student in students.items():
            student.learn(observations[agent])
            actions[agent] = student.act(observations[agent])
        observations, rewards, terminations, truncations, infos = env.step(actions)
    for agent in students:
        episode = infos[agent]["metrics"]
        print(
            f"{agent}: {episode['exam_accuracy']:.1%} of {exam} exam items right, return {episode['return']:.2f}"
        )


if __name__ == "__main__":
    main()
