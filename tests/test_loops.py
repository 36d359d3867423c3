"""Loops compiled by numba give what plain torch gives."""

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from studyhall import make_world
from studyhall.envs import exam, exam_numba
from studyhall.envs.channel import Neighbours
from studyhall.envs.engine import kernels
from studyhall.envs.hosted import heard

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 40), st.integers(2, 70))


def tried(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Rows of weights, some of which abstain or are tied."""
    drawn = torch.Generator().manual_seed(seed)
    rows = torch.rand(shape, generator=drawn)
    rows = (
        torch.where(rows < 0.2, 0.25, rows)
        * 10.0 ** torch.randint(-30, 30, shape[:-1], generator=drawn)[..., None]
    )
    faults = torch.tensor([0.0, 0.0, torch.nan, torch.inf, -torch.inf, -1.0, -0.0])
    kind = torch.randint(2 * len(faults), shape[:-1], generator=drawn)
    rows[kind == 0] = 0.0
    rows[..., 0] = torch.where(kind < len(faults), faults[kind % len(faults)], rows[..., 0])
    return rows


@settings(deadline=None, max_examples=40)  # numba compiles on the way
@given(SHAPES, st.integers(0, 1000))
def test_rows_are_divided_ranked_and_scored_to_the_bit(shape, seed):
    rows, labels = tried(shape, seed), torch.randint(shape[-1], (shape[0], shape[2]))
    assert exam_numba.width(shape[-1])

    def found(loops):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(exam, "due", lambda *args: loops)
            patch.setattr(exam, "_FEW", 0)
            shares, abstained = exam.distributions(rows)
            marks = exam.Exam().score(shares, abstained, labels)
            turned = shares.mT.contiguous().mT
            return shares, abstained, exam.best(shares), exam.best(turned), exam.best(shares[:, :1]), *marks

    for fast, plain in zip(found(exam_numba), found(None), strict=True):
        assert torch.equal(fast, plain)


def test_a_gradient_is_recorded_where_one_is_asked_for(monkeypatch):
    monkeypatch.setattr(exam, "due", lambda *args: exam_numba)
    rows = torch.rand(3, 4, requires_grad=True)
    exam.distributions(rows)[0].square().sum().backward()
    assert rows.grad is not None
    assert rows.grad.any()


@settings(deadline=None, max_examples=30)
@given(SHAPES, st.integers(1, 4), st.booleans(), st.booleans(), st.integers(0, 1000))
def test_messages_are_mixed_and_compared_alike(shape, sources, by_world, gated, seed):
    drawn = torch.Generator().manual_seed(seed)
    worlds, agents, samples, _ = shape
    rows, beliefs = (exam.distributions(tried(shape, seed + i))[0] for i in range(2))
    index = torch.randint(agents, (*[worlds] * by_world, agents, sources), generator=drawn)
    each = (worlds, agents, sources)
    mask = torch.rand(each, generator=drawn) < 0.7
    weights = (torch.rand(each, generator=drawn) * 1.5 - 0.5).clamp(0, 1)
    by_row = torch.rand(*each, samples, generator=drawn) if gated else None

    def found(least):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(heard, "MANY", least)
            came = heard.Heard(rows, Neighbours(index), mask)
            return came.mixture(weights, by_row), *came.likeness(beliefs)

    for fast, plain in zip(found(0), found(sys.maxsize), strict=True):
        torch.testing.assert_close(fast, plain, rtol=0, atol=1e-6)


@pytest.mark.parametrize("actions", ["listen", "gated", "targets", "discrete"])
def test_a_hosted_world_moves_alike(actions, monkeypatch):
    def beliefs(least):
        monkeypatch.setattr(heard, "MANY", least)
        world = make_world(
            "society-v0", num_worlds=3, learners="mlp", hidden=(8,), actions=actions, topology="k_regular"
        )
        obs = world.reset(seed=0)
        torch.manual_seed(0)
        acts = {key: torch.rand(3, 5, *space.shape) for key, space in world.action_space.spaces.items()}
        if actions == "discrete":
            acts = {"choice": torch.randint(world.action_space["choice"].n, (3, 5))}
        for _ in range(3):
            obs = world.step(acts).obs
        return obs

    fast, plain = beliefs(0), beliefs(sys.maxsize)
    for key, value in fast.items():
        torch.testing.assert_close(value, plain[key], rtol=0, atol=1e-5)


def test_loops_are_loaded_when_they_would_have_paid(monkeypatch):
    monkeypatch.setattr(kernels, "_lost", 0.0)
    cpu = torch.device("cpu")
    assert kernels.due("exam_numba", cpu, kernels.START / 2) is None
    assert kernels.due("exam_numba", torch.device("meta"), kernels.START) is None
    assert kernels.due("exam_numba", cpu, kernels.START / 2) is exam_numba
    assert kernels.load("no_such_loops") is None
