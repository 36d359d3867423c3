"""What is measured: of every world its own metrics, of a class what it knows, and of a language what it is like.

What a class knows is measured on the test split, which no learner and no exam ever touches.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ...envs.engine import TensorDict, World, rng
from ...policies import Policy
from .expertise import figures
from .language import bosdis, message_entropy, posdis, topographic_similarity
from .names import COSTS, EXAM, OF_TASKS

Measured = dict[str, Tensor]
"""Metric to values, float ``[W]``; per student ``[W, N]``."""

NAMED = 2048
"""Objects at most whose names are compared."""


def findings(world: World, policy: Policy) -> Measured:
    """What is measured at a step: what a class knows; unless the exam says it all, the rest too."""
    known = (measure(world, policy) or {}) if world.tested else {}
    if world.headline == EXAM:
        return known | world.tests()
    named = {name if v.dim() > 1 else f"{name}_accuracy": v for name, v in known.items()}
    return named | world.tests() | account(world) | language(world, policy)


def account(world: World) -> Measured:
    """What the episodes so far brought and cost, ``[W]``: every metric of the world, mean over agents.

    Where bytes are charged, ``kib`` is what all agents sent, and ``bytes_per_step`` what one sent in a step. What the
    world's ``cases`` say is told too. Of worlds whose headline is the exam, only what costs is, and what
    became of tasks.
    """
    final = {name: values.cpu() for name, values in (world.metrics() | world.breakdown()).items()}
    found = {name: values if values.dim() == 1 else values.mean(-1) for name, values in final.items()}
    if "bytes" in found:
        found["kib"] = kib(final)
        found["bytes_per_step"] = found["bytes"] / world.steps.cpu()
    if world.headline == EXAM:
        return {name: found[name] for name in (*COSTS, EXAM, *OF_TASKS) if name in found}
    return found


def language(world: World, policy: Policy) -> Measured:
    """What the names are like that a speaker of symbols has for objects of attributes: see `language.py`.

    Of all objects, or of :data:`NAMED` of them, always the same; so every world gets the same figures. Nothing where
    nobody names objects by symbols.
    """
    name = getattr(policy, "names", None)
    named = world.named_objects()
    if name is None or named is None:
        return {}
    objects, values = named
    drawn = rng.draw(torch.tensor(0, device=world.device), "measure/objects", (len(objects),))
    some = drawn.permutation()[:NAMED]
    names, values = name(objects[some]), values[some]
    found = {
        "topographic_similarity": topographic_similarity(names, values),
        "message_entropy": message_entropy(names),
    }
    if values.shape[-1] > 1:
        found |= {"posdis": posdis(names, values), "bosdis": bosdis(names, values)}
    return {name: value.expand(world.num_worlds) for name, value in found.items()}


def kib(metrics: TensorDict) -> Tensor:
    """KiB that all agents of a world sent so far, ``[W]``; NaN where nothing is charged."""
    if "bytes" not in metrics:
        return torch.full_like(metrics["return"][:, 0], torch.nan)
    return metrics["bytes"].reshape(len(metrics["bytes"]), -1).sum(-1) / 1024


def budget_left(world: World) -> Tensor:
    """Fraction of the teacher's budget left, ``[W]``; NaN without a limit, or without a teacher."""
    left = world.budget_fraction()
    return torch.full((world.num_worlds,), torch.nan) if left is None else left


def measure(world: World, policy: Policy, *, controls: bool = True) -> Measured | None:
    """Test accuracies of a class.

    ``students [W, N]``, and per world ``mean``, ``best`` (the maximum), ``title`` (who holds the title,
    where there is one), ``hard_vote`` (most argmax votes, ties to the lowest class), ``soft_vote`` (summed
    probabilities), ``together`` (what a collective says as one). The same with dropout left on end in ``_dropout``.
    ``dropout_vote`` is the control of every vote: the mean, over students, of the accuracy that N dropout samples of
    *one* student reach by voting. Where some lie, ``honest`` is the mean over those who do not; where classes are dealt
    out to experts, ``expert`` and ``general`` are the honest students' accuracies on their own classes and on the
    others, means over those who have such. All three are NaN in a world where everyone lies.

    Of a policy that says what parts of it would say (:meth:`~studyhall.policies.Policy.variants`), where classes are
    dealt out to experts, the figures of each part are there, too, ``<part>_<figure>``, means over the honest who have
    one: see :func:`~studyhall.rollouts.metrics.expertise.figures`, with ``top5`` of more than five classes, and
    ``forgetting``, by how much the part "expert" is better than this one on one's own classes.

    Args:
        world: Holds the test split.
        policy: Is asked for its predictions, unless the world hosts the learners.
        controls: Whether to measure with dropout on, too, unless learners have none.

    Returns:
        None for policies that predict nothing.
    """
    x, labels = _test_split(world)
    knows: World | Policy = world
    proper, parts = world.predict(x), {}
    if proper is None:
        knows, parts = policy, policy.variants(x)
        proper = parts[policy.main] if policy.main in parts else policy.predict(x)
    if proper is None:
        return None
    title = policy.title()
    found = _accuracies(proper, labels, title) | _among_honest(proper, labels, world)
    found |= _of_parts(parts, labels, world)
    whole = policy.collective_predict(x)
    if whole is not None:
        found["together"] = (whole.argmax(-1) == labels).float().mean(-1)
    if controls:
        votes = torch.zeros_like(proper)
        for draw in range(world.num_agents):
            sample = knows.predict(x, dropout=draw)
            if sample is None:  # no dropout to leave on
                return found
            if draw == 0:
                found |= {f"{k}_dropout": v for k, v in _accuracies(sample, labels, title).items()}
            votes += _one_hot(sample)
        found["dropout_vote"] = (_first_max(votes) == labels).float().mean(-1).mean(-1)
    return found


def honest_figures(world: World, policy: Policy) -> Measured | None:
    """How good the honest are on the test split, means over them, ``[W]``.

    ``accuracy``, and ``score``, 1 − ½·Brier of their class distributions, as exams are scored. NaN in a world where
    everyone lies.

    Returns:
        None for policies that predict nothing.
    """
    x, labels = _test_split(world)
    said = world.predict(x)
    said = policy.predict(x) if said is None else said
    if said is None:
        return None
    right = said.gather(-1, labels[:, None].expand(*said.shape[:-1], 1))[..., 0]  # [W, N, M]
    score = 1 - (said.square().sum(-1) - 2 * right + 1) / 2
    accuracy = (said.argmax(-1) == labels).float().mean(-1)
    honest = _honest(world.privileged(), accuracy)
    return {"accuracy": _mean(accuracy, honest), "score": _mean(score.mean(-1), honest)}


def _test_split(world: World) -> tuple[Tensor, Tensor]:
    """Inputs and labels of the test split."""
    dataset = world.dataset  # type: ignore[attr-defined]
    return dataset.inputs("test", torch.arange(len(dataset.test), device=world.device)), dataset.test.y


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
    secrets = world.privileged()
    correct = (probabilities.argmax(-1) == labels).float()  # [W, N, M]
    honest = _honest(secrets, correct[..., 0])
    found = {}
    if world.liars:
        found["honest"] = _mean(correct.mean(-1), honest)
    if "experts" in secrets:
        own = secrets["experts"][..., labels]  # [W, N, M]
        for name, where in (("expert", own), ("general", ~own)):
            found[name] = _mean((correct * where).sum(-1) / where.sum(-1), honest)
    return found


def _of_parts(parts: Mapping[str, Tensor], labels: Tensor, world: World) -> Measured:
    """Figures of what parts of a policy say, ``[W, N, M, C]`` by name; see :func:`measure`."""
    secrets = world.privileged()
    if "experts" not in secrets:
        return {}
    of_parts = {part: figures(said, labels, secrets["experts"], top=5) for part, said in parts.items()}
    found: Measured = {}
    for part, own in of_parts.items():
        if "expert" in of_parts:
            own["forgetting"] = of_parts["expert"]["expert"] - own["expert"]
        honest = _honest(secrets, own["expert"])
        found |= {f"{part}_{name}": _mean(values, honest) for name, values in own.items()}
    return found


def honest_mean(world: World, values: Tensor) -> Tensor:
    """Mean over those who do not lie of values ``[W, N]``, ``[W]``; NaN where everyone does."""
    return _mean(values, _honest(world.privileged(), values))


def _honest(secrets: TensorDict, like: Tensor) -> Tensor:
    """Who does not lie, 1 or 0 ``[W, N]``."""
    liar = secrets.get("liar")
    return torch.ones_like(like) if liar is None else (~liar).float()


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of values ``[W, N]`` over those who count (1 or 0) and have one, ``[W]``; NaN where nobody does."""
    counted = counted * values.isfinite()
    return (values.nan_to_num() * counted).sum(-1) / counted.sum(-1)


def _one_hot(probabilities: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(probabilities.argmax(-1), probabilities.shape[-1]).float()


def _first_max(votes: Tensor) -> Tensor:
    """Index of the maximum, the lowest where several are equal; ``votes [..., C]`` are whole numbers."""
    classes = votes.shape[-1]
    return (votes * classes - torch.arange(classes, device=votes.device)).argmax(-1)
