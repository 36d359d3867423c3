"""A message network of one's own: witnesses send sums of evidence, trained through the channel.

python examples/own_messenger.py [--steps 600]
"""

import argparse

import torch
from torch import nn

from studyhall import make_world
from studyhall.policies.messages import MessagePolicy
from studyhall.policies.messages.policy import flat_sizes


class Evidence(nn.Module):
    """Each witness turns its view into evidence for every class, tells it, and adds what it hears."""

    def __init__(self, view: int, classes: int, message: int) -> None:
        super().__init__()
        self.look = nn.Sequential(nn.Linear(view, 64), nn.ReLU(), nn.Linear(64, classes))
        self.tell, self.hear = nn.Linear(classes, message), nn.Linear(message, classes, bias=False)

    def begin(self, view):
        """Look at views ``[N, P, V]`` of P samples."""
        return self.look(view)

    def read(self, memory, inbox, heard):
        """Take in messages ``[N, P, S, M]``."""
        return memory + (self.hear(inbox) * heard[..., None]).sum(2)

    def write(self, memory):
        """What to say, ``[N, P, M]``."""
        return self.tell(memory)

    def answer(self, memory):
        """Weights of the classes ``[N, P, C]``, not logits."""
        return memory.softmax(-1)


class EvidencePolicy(MessagePolicy):
    """`studyhall train consensus-digits --set policy=own_messenger:EvidencePolicy` trains it too."""

    def make_network(self, world, generator):
        """The network for a world's sizes."""
        return Evidence(*flat_sizes(world))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=600)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    kwargs = {"agents": 4, "rounds": 1, "slice_size": 128}
    world, policy = make_world("consensus-v0", autoreset=False, **kwargs), EvidencePolicy()
    policy.bind(world)
    optimiser = torch.optim.Adam(policy.parameters(), lr=3e-3)
    policy.training = True
    for episode in range(steps):
        obs = world.reset(seed=episode)
        policy.reset()
        while not world.ended.all():
            step = world.step(policy.act(obs))
            obs = step.obs
        optimiser.zero_grad()
        step.loss.mean().backward()
        optimiser.step()
    policy.training = False
    modes = ["open", "mute", "shuffled"]
    test = make_world(
        "consensus-v0", num_worlds=3, mode=modes, autoreset=False, **{**kwargs, "slice_size": 1000}
    )
    policy.bind(test)
    obs = test.reset(seed=[0, 0, 0], options={"domain": "eval"})
    policy.reset()
    while not test.ended.all():
        obs = test.step(policy.act(obs)).obs
    for mode, accuracy in zip(modes, test.metrics()["accuracy"].mean(-1).tolist(), strict=True):
        print(f"{mode:<9} {accuracy:.1%}")


if __name__ == "__main__":
    main()
