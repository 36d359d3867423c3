"""A world of one's own that hosts learners: each knows a few classes and may believe its neighbour on the others.

python examples/own_hosted_world.py
"""

import numpy as np
import torch
from gymnasium import spaces

from studyhall import make_env, make_world
from studyhall.envs import EnvSpec, Outcome, World, register, rng
from studyhall.envs.channel import ledger
from studyhall.envs.hosted import Learners
from studyhall.envs.streams import load_dataset
from studyhall.learners import label_loss, make_networks, softmax
from studyhall.testing import check_world


class Neighbours(World):
    """Learners on a ring see one slice of handwritten digits; an agent says how far its learner believes the next.

    * Observes `agreement`, `Box(0, 1, (1,))`: share of the last slice on which both said the same; and `elapsed`.
    * Acts by `trust`, `Box(0, 1, (1,))`: weight of the neighbour's beliefs on rows of classes that are not one's own.
    * Is paid for progress on a fixed exam, which no learner is taught.
    """

    agent_noun = "neighbour"
    headline = "accuracy"  # the metric that curves and progress bars show
    crosses = frozenset({"soft_targets"})  # what `bytes` charges for

    def __init__(self, *, agents=5, horizon=60, rows=32, items=100, lr=3e-3, **kwargs):
        super().__init__(num_agents=agents, horizon=horizon, **kwargs)
        self.dataset = load_dataset("digits").to(self.device)
        shape, self.classes = self.dataset.shape, self.dataset.num_classes
        networks = make_networks("mlp", shape, self.classes, agents, hidden=(32,))
        self.learners = Learners(networks, agents, lr=lr)  # the engine begins, masks, saves and forks it
        share = spaces.Box(0, 1, (1,), np.float32)
        self.observation_space = spaces.Dict({"agreement": share, "elapsed": share})
        self.action_space = spaces.Dict({"trust": share})
        self.reset_draws = rng.Draws({"exam": (items,)})
        self.step_draws = rng.Draws({"slice": (rows,)})

    def start(self, draws, state):
        """Draw an exam; fresh learners sit it before they have learnt anything."""
        exam = draws["exam"].integers(len(self.dataset.exam))  # [W, items]
        nothing = torch.zeros_like(state["return"])  # [W, N]
        return {
            "exam": exam,
            "accuracy": self.examined(exam),
            "agreement": nothing,
            "bits": nothing.long(),
        }

    def advance(self, state, actions, draws):
        """Deal a slice, let everyone say what it believes, learn, and sit the exam."""
        index = draws["slice"].integers(len(self.dataset.stream))  # [W, rows]
        x, labels = self.dataset.inputs("stream", index), self.dataset.labels("stream", index)
        beliefs = softmax(self.learners.logits(x))  # [W, N, rows, C]
        heard = beliefs.roll(-1, dims=1)
        trust = torch.nan_to_num(actions["trust"], 0.0, 0.0, 0.0).clamp(0, 1)[..., None]  # [W, N, 1, 1]
        self.learn(x, labels, heard, trust)
        accuracy = self.examined(state["exam"])
        bits = torch.full_like(state["bits"], ledger.soft_targets(index.shape[1], self.classes))
        new = {
            **state,
            "accuracy": accuracy,
            "agreement": (beliefs.argmax(-1) == heard.argmax(-1)).float().mean(-1),
            "bits": state["bits"] + bits,
            "sound": beliefs.isfinite().flatten(2).all(-1),  # a world that is not is at an end
        }
        return Outcome(new, 10 * (accuracy - state["accuracy"]), {"bytes": bits / 8})

    def learn(self, x, labels, heard, trust):
        """One learning step on labels of one's own classes, and on the neighbour's word for the others."""
        own = labels[:, None] % self.num_agents == torch.arange(self.num_agents, device=self.device)[:, None]
        told = torch.where(own, labels[:, None], -1)  # [W, N, rows]

        def loss(logits):
            imitation = -(heard * logits.log_softmax(-1)).sum(-1) * ~own
            return label_loss(logits, told) + (trust[..., 0] * imitation).mean(-1)

        self.learners.population.learn(x, loss, rate=self.moving)  # only in the worlds that move

    def examined(self, exam):
        """Accuracy on exam items ``[W, items]``, ``[W, N]``."""
        answers = self.learners.logits(self.dataset.inputs("exam", exam)).argmax(-1)
        return (answers == self.dataset.labels("exam", exam)[:, None]).float().mean(-1)

    def observe(self, state):
        """See the class."""
        elapsed = (state["clock"].float() / self.horizon)[:, None, None].expand(-1, self.num_agents, 1)
        return {"agreement": state["agreement"][..., None], "elapsed": elapsed}

    def summary(self, state):
        """Accuracy on the exam, and bytes sent, ``[W, N]``."""
        return {"accuracy": state["accuracy"], "bytes": state["bits"] / 8}


register(
    EnvSpec("neighbours-v0", f"{__name__}:Neighbours", "learners on a ring may believe their neighbours")
)

if __name__ == "__main__":
    check_world(Neighbours, rows=8, items=20, horizon=4)
    for trust in (0.0, 1.0):
        world = make_world("neighbours-v0", num_worlds=4, autoreset=False)
        world.reset(seed=0)
        while not world.ended.all():
            world.step(torch.full((4, 5, 1), trust))
        print(f"trust {trust:.0f}: accuracy {world.metrics()['accuracy'].mean():.1%}")
    print(make_env("neighbours-v0").reset(seed=0)[0]["neighbour_0"])
