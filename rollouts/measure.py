"""What a class knows, measured on the test split, which no learner and no exam ever touches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..envs.world import World
from ..policies import Policy

Measured = dict[str, Tensor]
"""Metric to values, float ``[W]``; per student ``[W, N]``."""


def measure(world: World, policy: Policy, *, controls: bool = True) -> Measured | None:
    """Test accuracies of a class.

    ``students [W, N]``, and per world ``mean``, ``best`` (the maximum), ``title`` (who holds the title,
    where there is one), ``hard_vote`` (most argmax votes, ties to the lowest class), ``soft_vote`` (summed
    probabilities). The same with dropout left on end in ``_dropout``. ``dropout_vote`` is the control of
    every vote: the mean, over students, of the accuracy that N dropout samples of *one* student reach by
    voting. Where some lie, ``honest`` is the mean over those who do not; where classes are dealt out to experts,
    ``expert`` and ``general`` are the honest students' accuracies on their own classes and on the others. All
    three are NaN in a world where everyone lies.

    Args:
        world: Holds the test split.
        policy: Is asked for its predictions, unless the world hosts the learners.
        controls: Whether to measure with dropout on, too, unless hosted learners have none.

    Returns:
        None for policies that predict nothing.
    """
    test = world.dataset.test  # type: ignore[attr-defined]
    x = world.dataset.inputs("test", torch.arange(len(test), device=world.device))  # type: ignore[attr-defined]
    knows: Any = world if world.hosts_learners else policy
    proper = knows.predict(x)
    if proper is None:
        return None
    title = policy.title()
    found = _accuracies(proper, test.y, title) | _among_honest(proper, test.y, world)
    if controls and not (world.hosts_learners and not world.dropout):  # type: ignore[attr-defined]
        votes = torch.zeros_like(proper)
        for draw in range(world.num_agents):
            sample = knows.predict(x, dropout=draw)
            assert sample is not None
            if draw == 0:
                found |= {f"{k}_dropout": v for k, v in _accuracies(sample, test.y, title).items()}
            votes += _one_hot(sample)
        found["dropout_vote"] = (_first_max(votes) == test.y).float().mean(-1).mean(-1)
    return found


def _accuracies(probabilities: Tensor, labels: Tensor, title: Tensor | None) -> Measured:
    """Accuracies from ``[W, N, M, C]``."""
    students = (probabilities.argmax(-1) == labels).float().mean(-1)
    found = {
        "students": students,
        "mean": students.mean(-1),
        "best": students.amax(-1),
        "hard_vote": (_first_max(_one_hot(probabilities).sum(1)) == labels).float().mean(-1),
        "soft_vote": (probabilities.sum(1).argmax(-1) == labels).float().mean(-1),
    }
    if title is not None:
        found["title"] = students.gather(1, title[:, None])[:, 0]
    return found


def _among_honest(probabilities: Tensor, labels: Tensor, world: World) -> Measured:
    """Means over the students who do not lie, where some may; see :func:`measure`."""
    secrets = world.secrets()  # type: ignore[attr-defined]
    honest = (~secrets["liar"]).float()  # [W, N]
    among = honest.sum(-1)  # 0 makes NaN below: there is no accuracy of nobody
    correct = (probabilities.argmax(-1) == labels).float()  # [W, N, M]
    found = {}
    if world.channel.liars:  # type: ignore[attr-defined]
        found["honest"] = (correct.mean(-1) * honest).sum(-1) / among
    if "experts" in secrets:
        own = secrets["experts"][..., labels]  # [W, N, M]
        for name, where in (("expert", own), ("general", ~own)):
            share = (correct * where).sum(-1) / where.sum(-1).clamp_min(1)
            found[name] = (share * honest).sum(-1) / among
    return found


def _one_hot(probabilities: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(probabilities.argmax(-1), probabilities.shape[-1]).float()


def _first_max(votes: Tensor) -> Tensor:
    """Index of the maximum, the lowest where several are equal; ``votes [..., C]`` are whole numbers."""
    classes = votes.shape[-1]
    return (votes * classes - torch.arange(classes, device=votes.device)).argmax(-1)
