"""Message worlds: what crosses and what it costs, gradients through the channel, halves and witnesses."""

import math

import numpy as np
import pytest
import torch

from studyhall import make_env, make_world
from studyhall.envs import ActionError, ConfigError, UnknownName, spec
from studyhall.envs.messages.consensus import Consensus
from studyhall.testing import check_engine, check_world
from studyhall.testing.tools import sample_actions, seeded

SMALL = {"slice_size": 2, "rounds": 3}

CONFIGURATIONS = {
    "quadrants-in-symbols": ("halves-v0", {"grid": (2, 2), "flip": True, "vocabulary": 3, "length": 2}),
    "shuffled-noisy-and-coarse": (
        "halves-v0",
        {"mode": "shuffled", "topology": "ring", "grid": (1, 4), "bits": 4, "bound": 1.0}
        | {"noise": 0.1, "drop": 0.3},
    ),
    "oracle-as-published": ("halves-v0", {"oracle": True, "target": "place", "swap": True}),
    "vector": ("consensus-v0", {"data": "vector", "topology": "random", "delay": 1, "cap": 500}),
    "priced-choices-unheard": (
        "consensus-v0",
        {"vocabulary": 5, "choices": True, "cooperation": 1.0, "byte_price": 0.1}
        | {"mode": "mute", "view_noise": 0.0, "view_keep": 1.0},
    ),
}
OF_ANOTHER_FORM = ("quadrants-in-symbols", "vector", "priced-choices-unheard")


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configuration(name):
    """The views too where messages or answers have another form than by default, which test_conformance.py views."""
    id, kwargs = CONFIGURATIONS[name]
    (check_world if name in OF_ANOTHER_FORM else check_engine)(id, **SMALL, **kwargs)


def talk(world, *, seed=0):
    """Reset, and random actions that ask for gradients."""
    world.reset(seed=seed)
    actions = sample_actions(world, seeded(seed), abstain=0.0)
    return {k: v.requires_grad_() if v.is_floating_point() else v for k, v in actions.items()}


# ---- gradients ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id", "kwargs"),
    [
        ("halves-v0", {"grid": (1, 2), "rotate": False}),
        ("consensus-v0", {"agents": 3, "data": "vector", "dimensions": 2}),
    ],
)
def test_the_loss_is_differentiable_through_the_channel(id, kwargs):
    """Finite differences agree with the gradient of what a receiver makes of a message."""
    world = make_world(id, slice_size=1, width=2, **kwargs)
    world.reset(seed=0)
    start = world.state_dict()
    shape = world.action_space["answer"].shape
    silent = torch.zeros(1, world.num_agents, *shape)
    projection = torch.randn(2, math.prod(shape), generator=seeded(1)) * 0.1

    def loss_after(message):
        world.load_state_dict(start)
        step = world.step({"message": message.float(), "answer": silent})
        answer = step.obs["inbox"].mean(2)[..., 0, :] @ projection + 0.5  # [W, N, A]
        last = world.step({"message": message.float(), "answer": answer.view(1, world.num_agents, *shape)})
        return last.loss.double()

    message = torch.rand(1, world.num_agents, 1, 2, generator=seeded(2)).double().requires_grad_()
    # The engine computes in float32: wide steps and a tolerance to match.
    assert torch.autograd.gradcheck(loss_after, message, eps=1e-2, atol=1e-3, rtol=1e-2)


def test_a_dropped_message_passes_no_gradient():
    world = make_world("consensus-v0", num_worlds=4, agents=3, drop=0.5, slice_size=2, data="vector")
    actions = talk(world)
    step = world.step(actions)
    heard = step.obs["heard"].bool()  # [W, N, S]
    assert heard.any()
    assert not heard.all()
    for receiver in range(3):
        for source in range(2):
            sender = (receiver + 1 + source) % 3
            arrived = step.obs["inbox"][:, receiver, source].sum()
            (gradient,) = torch.autograd.grad(arrived, actions["message"], retain_graph=True)
            passed = gradient[:, sender].flatten(1).any(1)
            assert torch.equal(passed, heard[:, receiver, source])


@pytest.mark.parametrize("mode", ["mute", "isolated"])
def test_nothing_reaches_the_sender_where_nothing_is_heard(mode):
    world = make_world("consensus-v0", agents=2, slice_size=2, mode=mode)
    step = world.step(talk(world))
    assert not step.obs["heard"].any()
    assert not step.obs["inbox"].any()
    assert bool(world.metrics()["bytes"].any()) == (mode == "mute")  # muted messages were sent


def test_a_reset_cuts_the_graph_of_its_own_world_only():
    world = make_world("consensus-v0", num_worlds=2, agents=2, slice_size=2, rounds=3, delay=1)
    actions = talk(world)
    world.step(actions)
    world.step(actions)
    obs = world.reset(mask=torch.tensor([True, False]))
    (gradient,) = torch.autograd.grad(obs["inbox"].sum(), actions["message"])
    assert not gradient[0].any()
    assert gradient[1].any()


def test_gradients_cross_a_channel_with_everything_wrong_with_it():
    """What arrives, late, shuffled, partly lost and of several worlds, is the gradient that comes back."""
    kwargs = {"agents": 3, "slice_size": 4, "rounds": 3, "delay": 1, "drop": 0.4, "topology": "random"}
    modes = ["open", "shuffled", "mute"]
    world = make_world("consensus-v0", num_worlds=3, width=2, mode=modes, **kwargs)
    actions = talk(world)
    world.step(actions)
    silent = {"message": torch.zeros_like(actions["message"]), "answer": actions["answer"]}
    inbox = world.step(silent).obs["inbox"]  # [W, N, S, B, M]
    assert inbox[:2].any()
    weight = torch.randn(inbox.shape, generator=seeded(5))
    (gradient,) = torch.autograd.grad((inbox * weight).sum(), actions["message"])
    sent = actions["message"].detach()
    assert torch.allclose(
        (gradient * sent).sum((1, 2, 3)), (inbox * weight).detach().sum((1, 2, 3, 4)), atol=1e-5
    )
    assert not gradient[2].any()


def test_a_nan_answer_spoils_no_other_gradient():
    world = make_world("consensus-v0", agents=2, slice_size=2)
    world.reset(seed=0)
    weights = torch.rand(1, 2, 2, 10, generator=seeded(0))
    weights[0, 0, 0, 3] = torch.nan
    weights.requires_grad_()
    step = world.step({"message": torch.zeros(1, 2, 2, 16), "answer": weights})
    step.loss.sum().backward()
    assert weights.grad.isfinite().all()
    assert weights.grad[0, 0, 1].any()


def test_rewards_and_carried_scores_are_detached():
    world = make_world("halves-v0", slice_size=3, rounds=2)
    step = world.step(talk(world))
    assert step.loss.requires_grad
    assert step.obs["inbox"].requires_grad
    for value in (step.reward, *world.metrics().values()):
        assert not value.requires_grad


def test_symbols_pass_gradients_straight_through():
    world = make_world("consensus-v0", agents=2, slice_size=2, vocabulary=4, length=3)
    actions = talk(world)
    inbox = world.step(actions).obs["inbox"]
    assert torch.equal(inbox.sum(-1), torch.ones_like(inbox[..., 0]))
    assert torch.equal(inbox[0, 0, 0].argmax(-1), actions["message"][0, 1].argmax(-1))
    weight = torch.randn(inbox.shape, generator=seeded(3))
    (gradient,) = torch.autograd.grad((inbox * weight).sum(), actions["message"])
    assert torch.equal(gradient[0, 1], weight[0, 0, 0])


# ---- the channel ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kwargs", "bits"),
    [
        ({"width": 6}, 6 * 32),
        ({"width": 6, "bits": 5, "bound": 1.0}, 6 * 5),
        ({"vocabulary": 10}, 4),
        ({"vocabulary": 16, "length": 3}, 12),
    ],
)
def test_every_bit_is_charged_once_for_every_edge(kwargs, bits):
    world = make_world("consensus-v0", agents=4, slice_size=8, rounds=2, topology="ring", **kwargs)
    world.reset(seed=0)
    for round in range(3):
        actions = sample_actions(world, seeded(round), abstain=0.0)
        actions["message"][0, 1, 3] = 0  # a row that says nothing is free
        sent = world.step(actions).info["bytes"][0]
        rows = torch.tensor([8, 7, 8, 8])
        expected = (
            rows * 2 * bits / 8 if round < 2 else torch.zeros(4)
        )  # after the last round nobody is there
        assert torch.equal(sent, expected.float())
    assert world.metrics()["message_bytes"].item() == bits / 8


def test_a_cap_refuses_whole_messages():
    world = make_world(
        "consensus-v0", agents=3, slice_size=4, width=2, cap=63
    )  # a message to two is 64 bytes
    step = world.step(talk(world))
    assert not step.obs["heard"].any()
    assert not step.info["bytes"].any()


def test_shuffled_messages_are_those_of_other_samples():
    modes = ["open", "shuffled"]
    world = make_world("halves-v0", num_worlds=2, slice_size=16, mode=modes)
    world.reset(seed=[4, 4])
    actions = sample_actions(world, seeded(0), abstain=0.0)
    actions = {key: value[:1].expand(2, *value.shape[1:]).clone() for key, value in actions.items()}
    inbox = world.step(actions).obs["inbox"][:, 0, 0]  # [W, B, M]
    place = (inbox[1][:, None] == inbox[0]).all(-1).float()
    assert torch.equal(place.sum(0), torch.ones(16))
    assert torch.equal(place.sum(1), torch.ones(16))
    assert not place.diag().any()  # none is about its own sample


def test_messages_come_late_by_the_delay():
    world = make_world("consensus-v0", agents=2, slice_size=2, rounds=3, delay=1, width=1, autoreset=False)
    world.reset(seed=0)
    heard = []
    for round in range(4):
        actions = sample_actions(world, seeded(0))
        actions["message"] = torch.full((1, 2, 2, 1), float(round + 1))
        heard.append(world.step(actions).obs["inbox"][0, 0, 0, 0, 0].item())
    assert heard == [0.0, 1.0, 2.0, 0.0]
    assert world.metrics()["bytes"][0, 0].item() == 2 * 2 * 4  # only two messages could be read in time


def test_quantised_numbers_lie_on_the_grid_and_within_their_bounds():
    world = make_world("consensus-v0", agents=2, slice_size=50, width=4, bits=2, bound=3.0)
    world.reset(seed=0)
    actions = sample_actions(world, seeded(0), abstain=0.0)
    inbox = world.step(actions).obs["inbox"]
    assert {round(value, 5) for value in inbox.flatten().tolist()} == {-3.0, -1.0, 1.0, 3.0}


def test_what_is_not_finite_says_nothing_and_knows_nothing():
    world = make_world("halves-v0", slice_size=3)
    world.reset(seed=0)
    actions = sample_actions(world, seeded(0), abstain=0.0)
    actions["message"][0, 0, 1, 0] = torch.nan
    actions["answer"][:] = torch.inf
    step = world.step(actions)
    assert not step.obs["inbox"][0, 1, 0, 1].any()
    assert step.obs["inbox"].isfinite().all()
    assert step.info["score"].abs().max() < 1  # mean parts


# ---- halves ---------------------------------------------------------------------------------------------


def test_a_perfect_painting_scores_one_and_the_mean_part_zero_on_average():
    world = make_world("halves-v0", num_worlds=8, slice_size=200, grid=(2, 2))
    world.reset(seed=0)
    state = world._state
    answer = state["truth"][:, world._others]
    message = torch.zeros(8, 4, 200, 16)
    step = world.step({"message": message, "answer": answer})
    assert torch.allclose(step.info["score"], torch.ones(8, 4))
    assert torch.allclose(world.metrics()["return"], torch.ones(8, 4))  # scores telescope
    assert not step.info["bytes"].any()
    mean = world.mean_part[world._others].view(1, 4, 3, 1, *world.part_shape).expand_as(answer)
    again = world.step({"message": message, "answer": mean.contiguous()})
    assert again.info["score"].mean().abs() < 0.05


def test_views_are_the_parts_of_the_turned_picture():
    """Against a picture turned and cut by numpy."""
    world = make_world("halves-v0", slice_size=64, swap=False, flip=True)
    obs = world.reset(seed=1)
    views = obs["own_view"][0].numpy()  # [N, B, 1, 8, 4]
    seen = np.concatenate([views[0], views[1]], axis=-1)[:, 0]  # [B, 8, 8]
    raw = world.dataset.pixels("stream", torch.arange(len(world.dataset.stream)))[:, 0].numpy()
    known = {picture.tobytes() for picture in raw}
    found = set()
    for picture in seen:
        origins = {
            (turn, flip)
            for flip in (0, 1)
            for turn in range(4)
            if (np.rot90(picture, -turn)[:, :: -1 if flip else 1]).copy().tobytes() in known
        }
        assert origins
        found |= origins
    assert len(found) == 8


def test_partners_paint_each_other_and_places_stay_where_they_are():
    for target in ("partner", "place"):
        world = make_world("halves-v0", slice_size=40, rotate=False, target=target)
        world.reset(seed=2)
        view, truth = (world._state[key][0] for key in ("own_view", "truth"))
        swapped = world._state["swapped"][0]
        assert swapped.any()
        assert not swapped.all()
        assert torch.equal(truth[:, ~swapped], view[:, ~swapped])
        expected = view if target == "partner" else view.flip(0)
        assert torch.equal(truth[:, swapped], expected[:, swapped])


def test_an_oracle_sees_what_the_others_see():
    plain, oracle = (make_world("halves-v0", slice_size=4, oracle=flag) for flag in (False, True))
    own, all_of_it = plain.reset(seed=3)["own_view"], oracle.reset(seed=3)["own_view"]
    assert all_of_it.shape == (1, 2, 4, 2, 8, 4)
    assert torch.equal(all_of_it[:, :, :, :1], own)
    assert torch.equal(all_of_it[:, :, :, 1:], own.flip(1))


def test_training_validating_and_testing_never_share_a_picture():
    """The domain decides the split; the validation part is neither."""
    kinds = {"train": "stream", "eval": "test", "demo": "test"}
    for domain, split in kinds.items():
        world = make_world("consensus-v0", slice_size=30, view_noise=0.0, view_keep=1.0)
        view = world.reset(seed=0, options={"domain": domain})["own_view"][0, 0]
        known = world.dataset.inputs(split, torch.arange(len(world.dataset.split(split))))
        assert all(bool((known == sample).flatten(1).all(1).any()) for sample in view)
    validation = make_world("consensus-v0", slice_size=30, view_noise=0.0, view_keep=1.0, split="exam")
    view = validation.reset(seed=0)["own_view"][0, 0]
    known = validation.dataset.inputs("exam", torch.arange(len(validation.dataset.exam)))
    assert all(bool((known == sample).flatten(1).all(1).any()) for sample in view)


# ---- consensus ------------------------------------------------------------------------------------------


def test_estimates_are_judged_as_the_page_says():
    world = make_world("consensus-v0", agents=2, slice_size=3)
    world.reset(seed=0)
    truth = world._state["truth"][0, 0]
    weights = torch.rand(1, 2, 3, 10, generator=seeded(0))
    weights[0, 1, 2] = 0  # uniform
    step = world.step({"message": torch.zeros(1, 2, 3, 16), "answer": weights})
    for agent in range(2):
        losses, scores = [], []
        for row in range(3):
            p = weights[0, agent, row].double().numpy()
            p = p / p.sum() if p.sum() else np.full(10, 0.1)
            right = np.eye(10)[int(truth[row])]
            losses.append(-math.log(p[int(truth[row])]))
            scores.append(1 - 0.5 * ((p - right) ** 2).sum())
        assert step.loss[0, agent].item() == pytest.approx(np.mean(losses), rel=1e-5)
        assert step.reward[0, agent].item() == pytest.approx(np.mean(scores) - 0.55, rel=1e-4)


def test_witnesses_see_different_things_of_the_same_state():
    world = make_world("consensus-v0", num_worlds=2, slice_size=100, data="vector", view_keep=0.25)
    view = world.reset(seed=0)["own_view"]
    seen = view != 0
    assert abs(seen.float().mean().item() - 0.25) < 0.02
    assert not torch.equal(seen[:, 0], seen[:, 1])
    truth = world._state["truth"]
    noise = (view - truth)[seen]
    assert abs(noise.std().item() - 1) < 0.05
    assert torch.equal(truth[:, 0], truth[:, 3])


def test_agreement_is_reported_and_not_rewarded():
    """Whether the others agree with a witness changes nothing for it."""
    rewards, agreements = [], []
    for others in (0, 7):
        world = make_world("consensus-v0", agents=3, slice_size=4)
        world.reset(seed=0)
        answer = torch.zeros(1, 3, 4, 10)
        answer[:, 0, :, 0] = answer[:, 1:, :, others] = 1
        step = world.step({"message": torch.zeros(1, 3, 4, 16), "answer": answer})
        rewards.append(step.reward[0, 0].item())
        agreements.append(world.metrics()["agreement"].item())
    assert rewards[0] == rewards[1]
    assert agreements[0] == 1.0
    assert agreements[1] < 1.0


# ---- bad input ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id", "kwargs", "text"),
    [
        ("halves-v0", {"grid": (1, 3)}, "cannot be cut"),
        ("halves-v0", {"grid": 2}, "rows and columns"),
        ("halves-v0", {"grid": (1, 1)}, "cut in two at least"),
        ("halves-v0", {"rounds": 0}, "rounds must be"),
        ("halves-v0", {"data": (np.arange(360.0).reshape(60, 6), np.arange(60) % 2)}, "holds no pictures"),
        ("halves-v0", {"bits": 8}, "give bound"),
        ("halves-v0", {"bound": 0}, "bound must be"),
        ("halves-v0", {"length": 2}, "give vocabulary"),
        ("halves-v0", {"vocabulary": 1}, "vocabulary must be"),
        ("halves-v0", {"vocabulary": 4, "noise": 0.1}, "are of numbers"),
        ("halves-v0", {"vocabulary": 4, "bound": 1.0}, "are of numbers"),
        ("halves-v0", {"rotate": "no"}, "rotate must be true or false"),
        ("halves-v0", {"oracle": 2}, "oracle must be true or false"),
        ("halves-v0", {"mode": 3}, "mode must be one word"),
        ("halves-v0", {"mode": "shuffled", "slice_size": 1}, "at least 2 samples"),
        ("halves-v0", {"delay": 1}, "never arrive"),
        ("halves-v0", {"data": (np.zeros((60, 1, 4, 4)), np.arange(60) % 2)}, "always the same"),
        ("consensus-v0", {"choices": True}, "give vocabulary"),
        ("consensus-v0", {"choices": True, "vocabulary": 4, "data": "vector"}, "vectors have none"),
        ("consensus-v0", {"view_keep": 1.5}, "view_keep must be"),
        ("consensus-v0", {"agents": 1}, "agents must be a whole number of at least 2"),
    ],
)
def test_arguments_that_cannot_be(id, kwargs, text):
    with pytest.raises(ConfigError) as caught:
        make_world(id, **kwargs)
    assert "\n" not in str(caught.value)
    assert text in str(caught.value)


def test_an_unknown_target_lists_those_there_are():
    with pytest.raises(UnknownName, match="partner"):
        make_world("halves-v0", target="partners")


def test_a_view_refuses_a_painting_beyond_the_paper():
    env = make_env("halves-v0", slice_size=2)
    env.reset(seed=0)
    actions = {agent: env.action_space(agent).sample() for agent in env.agents}
    actions["viewer_1"]["answer"][0, 0, 0, 0, 0] = 1.5
    with pytest.raises(ActionError, match=r"'answer' of viewer_1 .*outside \[0, 1\]"):
        env.step(actions)


def test_message_worlds_take_the_settings_of_their_channel_by_name_and_no_others():
    """Nobody leaves the room or lies: what a classroom's channel takes besides is refused."""
    world = make_world("consensus-v0", topology="ring", drop=0.5, delay=1, rounds=3)
    assert (world.channel.topology, world.channel.drop, world.line.steps) == ("ring", 0.5, 1)
    shared = spec("consensus-v0").arguments()
    assert shared["drop"] == spec("classroom-v0").arguments()["drop"] == 0
    assert "liars" in spec("classroom-v0").arguments().keys() - shared.keys()
    with pytest.raises(UnknownName, match="churn"):
        make_world("consensus-v0", churn=0.5)
    with pytest.raises(TypeError, match="liars"):
        Consensus(liars=1)
