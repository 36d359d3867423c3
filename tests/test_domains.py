"""Domains: the same classes looking otherwise, and what learners keep of each."""

import numpy as np
import pytest
import torch

from studyhall import make_world
from studyhall.envs import continual
from studyhall.envs.errors import ConfigError, UnknownName
from studyhall.envs.streams import load_dataset
from studyhall.envs.streams.domains import joined, with_domains


def pictures(n=80, sides=(1, 6, 6), classes=4, seed=0):
    rng = np.random.RandomState(seed)
    x, y = rng.randint(0, 256, size=(n, *sides)).astype(np.uint8), np.arange(n) % classes
    return load_dataset({"train": (x, y), "test": (x[: n // 2], y[: n // 2])})


def test_permuted_domains_hold_the_same_numbers_in_other_places():
    data = pictures(sides=(2, 3, 5))
    made = with_domains(data, "permuted", 3)
    n = len(data.stream)
    index = torch.arange(n)
    first, second, third = (made.inputs("stream", index + d * n) for d in range(3))
    assert torch.equal(first, data.inputs("stream", index))
    for other in (second, third):
        places = [other[0, 0].flatten().tolist().index(v) for v in first[0, 0].flatten().unique().tolist()]
        assert len(set(places)) == len(places)
        assert torch.equal(other.flatten(2).sort(-1).values, first.flatten(2).sort(-1).values)
        assert not torch.equal(other, first)
    assert not torch.equal(second, third)
    assert made.labels("stream", torch.arange(3 * n)).tolist() == data.stream.y.tolist() * 3


def test_a_quarter_turn_is_that_of_torch():
    data = pictures()
    made = with_domains(data, "rotated", 2)
    n = len(data.test)
    upright, turned = (made.pixels("test", torch.arange(n) + d * n) for d in range(2))
    assert torch.equal(upright, data.pixels("test", torch.arange(n)))
    torch.testing.assert_close(turned, torch.rot90(upright, -1, (-2, -1)), atol=1e-6, rtol=0)


def test_domains_of_ones_own_come_one_after_another():
    one, other = pictures(), pictures(n=120, seed=1)
    both = joined([one, other])
    n = len(one.stream)
    raw = both.pixels("stream", torch.arange(len(both.stream)))
    assert torch.equal(raw[:n], one.pixels("stream", torch.arange(n)))
    assert torch.equal(raw[n:], other.pixels("stream", torch.arange(len(other.stream))))
    assert both.stream.counts.tolist() == [*one.stream.counts.tolist(), *other.stream.counts.tolist()]


def test_an_exam_holds_as_much_of_each_domain_and_scores_are_read_off_it():
    world = make_world(
        "classroom-v0",
        num_worlds=2,
        domains="rotated",
        domain_count=2,
        order="domain_incremental",
        task_order="given",
        data_classes=3,
        slice_size=4,
        exam_size=12,
        agents=2,
        horizon=8,
        autoreset=False,
    )
    world.reset(seed=[0, 1])
    exam = world._begun()["exam"]
    cells = world.dataset.exam.strata[exam]
    assert all(torch.bincount(row, minlength=6).tolist() == [2] * 6 for row in cells)
    # Domain 0 is known from step 1 on, domain 1 from step 6 on, and domain 0 is then forgotten by the second agent.
    labels = torch.nn.functional.one_hot(world.dataset.exam.y[exam], 3).float()[:, None].repeat(1, 2, 1, 1)
    of_first = (cells < 3)[:, None, :, None]
    wrong = labels.roll(1, -1)
    for step in range(8):
        second_known = torch.tensor([step >= 6, step >= 6])[None, :, None, None]
        first_known = torch.tensor([step >= 1, 1 <= step < 7])[None, :, None, None]
        known = torch.where(of_first, first_known, second_known)
        world.step(
            {
                "soft_targets": torch.zeros(2, 2, 4, 3),
                "answers": torch.where(known, labels, wrong),
                "ask": torch.zeros(2, 2, dtype=torch.int64),
            }
        )
    scores = world.privileged()["scores"]
    assert scores[0].tolist() == [[[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 0], [0, 1]]]
    found = world.breakdown()
    assert found["final_accuracy"].tolist() == [0.75, 0.75]
    assert found["backward_transfer"].tolist() == [-0.5, -0.5]
    assert found["forward_transfer"].tolist() == [0, 0]
    assert found["forgetting"].tolist() == [0.5, 0.5]
    assert continual.drop(scores)[0].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"order": "drifting"}, "give domains"),
        ({"domains": "rotated", "order": "topical"}, "use order 'domain_incremental'"),
        ({"domains": "rotated", "share": "dirichlet"}, "use share 'shared' or 'own'"),
        ({"domains": "rotated", "domain_count": 1}, "domain_count must be"),
        ({"domains": 3}, "or a list of data sets"),
        ({"domains": []}, "two data sets or more"),
        ({"domains": [(np.zeros((200, 3), np.float32), np.arange(200) % 10)]}, "items of one shape"),
        ({"data": (np.eye(40, dtype=np.float32), np.arange(40) % 2), "domains": "rotated"}, "only pictures"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(arguments, says):
    with pytest.raises(ConfigError, match=says) as caught:
        make_world("classroom-v0", **arguments)
    assert "\n" not in str(caught.value)


def test_a_kind_of_domains_is_suggested():
    with pytest.raises(UnknownName, match="did you mean 'permuted'"):
        make_world("classroom-v0", domains="permuted2")
