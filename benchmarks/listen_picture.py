"""The picture of a listener in a classroom with little to ask: who asks, and who is listened to when.

    python benchmarks/listen_picture.py [--policy listen-anyone] [--task budget20-liar] [--out docs/listen-anyone.png]

The policy is a trained one: of rules, which say targets, no world knows whom they listen to. Above: every student of
one world, over time; colours say whom it listens to most, dots that it asks. Below: the means over the honest of 20
worlds: the share of the budget that is spent, and how much is listened to whom. All worlds are those that the suite
`listen-v1` measures.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from studyhall import make_world
from studyhall.envs.engine.drawing import BLUE, GREEN, GREY, ORANGE, RED, Picture, name_rows, style
from studyhall.envs.hosted.sources import FEATURES, HISTORY
from studyhall.policies import make_policy
from studyhall.policies.listening.learned import LearnedPolicy
from studyhall.scenarios.suites import get_suite

SUITE = get_suite("listen-v1")
WHOM = {"nobody": "#eeeeee", "the best report card": GREEN, "another": BLUE, "a liar": RED}
"""Whom somebody listens to, in the order of numbers, and colours."""
_FOLLOWS = 0.25
"""Below so much, over all sources, somebody listens to nobody."""


def watched(policy_name: str, task: str, worlds: int) -> dict[str, np.ndarray]:
    """What agents did in every step.

    Returns:
        ``asks [T, W, N]``, ``spent [T, W]``, ``weights [T, W, N, 4]`` of those of :data:`WHOM`, and ``liar [W, N]``.
    """
    (chosen,) = SUITE.chosen((task,))
    policy = make_policy(policy_name)
    if not isinstance(policy, LearnedPolicy):
        sys.exit(f"{policy_name} is no trained listener: give one, or its file")
    kwargs = {**chosen.env_kwargs, **policy.world_kwargs}
    world = make_world(chosen.env, num_worlds=worlds, autoreset=False, **kwargs)
    policy.bind(world)
    obs = world.reset(seed=list(SUITE.seeds[:worlds]), options={"domain": "eval"})
    policy.reset()
    liar = world.privileged()["liar"]
    n = world.num_agents
    # A complete room: slots are the others, in their order.
    others = torch.tensor([[j for j in range(n) if j != i] for i in range(n)])
    lies = liar[:, others]
    found = {"asks": [], "spent": [], "weights": []}
    while not world.ended.all():
        actions = policy.act(obs)
        left = obs["report"][..., 1]
        found["asks"].append((actions["ask"] > 0) & (left > 0))
        found["spent"].append(1 - left.mean(-1))
        followed = obs["history"][..., HISTORY.index("followed")]
        cards = obs["sources"][..., FEATURES.index("card")].masked_fill(obs["sources_mask"] == 0, -1)
        best = cards == cards.amax(-1, keepdim=True)
        parts = [
            1 - followed.sum(-1),
            *((followed * who).sum(-1) for who in (best & ~lies, ~best & ~lies, lies)),
        ]
        found["weights"].append(torch.stack(parts, -1).clamp_min(0))
        obs = world.step(actions).obs
    return {key: torch.stack(parts).numpy() for key, parts in found.items()} | {"liar": liar.numpy()}


def drawn(found: dict[str, np.ndarray], path: Path, title: str) -> None:
    """The picture as a PNG."""
    asks, weights, liar = found["asks"], found["weights"], found["liar"]
    steps, _, n, _ = weights.shape
    honest = ~liar
    most = np.where(weights[:, 0, :, 0] > 1 - _FOLLOWS, 0, 1 + weights[:, 0, :, 1:].argmax(-1))
    colours = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in WHOM.values()], dtype=np.uint8)
    with style():
        made = Picture((9.0,), (0.36 * n, 2.6), left=1.1, above=(0.5, 0.75), below=(0.1, 0.6), title=title)
        (above,), (below,) = made.panels
        above.imshow(
            colours[most.T], aspect="auto", interpolation="nearest", extent=(0, steps, n - 0.5, -0.5)
        )
        when, who = np.nonzero(asks[:, 0])
        above.plot(when + 0.5, who, ".", color="black", markersize=5)
        name_rows(above, [f"{i}, lies" if liar[0, i] else str(i) for i in range(n)])
        above.set(title="One world: students; dots ask the teacher", xticks=[])
        below.plot(found["spent"].mean(1), color=ORANGE, label="share of the budget that is spent")
        for k, (whom, colour) in enumerate(WHOM.items()):
            of_honest = np.array([step[honest].mean() for step in weights[..., k]])
            below.plot(of_honest, color=GREY if k == 0 else colour, label=f"listened to: {whom}")
        below.set(xlim=(0, steps), ylim=(0, 1.02), xlabel="step", title="Mean over the honest of all worlds")
        below.legend(loc="upper center", ncols=2)
    made.write(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tasks = [task.name for task in SUITE.tasks if task.name.startswith("budget")]
    parser.add_argument("--policy", default="listen-anyone")
    parser.add_argument("--task", choices=tasks, default="budget20-liar")
    parser.add_argument("--worlds", type=int, default=SUITE.worlds)
    parser.add_argument("--out", type=Path, default=Path("docs/listen-anyone.png"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = watched(options.policy, options.task, options.worlds)
    drawn(found, options.out, f"{options.policy} in {options.task}")
    print(options.out)


if __name__ == "__main__":
    main()
