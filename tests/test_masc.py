"""Socialized learning: energies and gates, what crosses, who learns from whom, and what one run yields."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from studyhall import make_world
from studyhall.envs.errors import ConfigError, UnknownName
from studyhall.learners import Conv3, Population, learner_keys
from studyhall.learners.energy import ANCHOR, alignment, detection, free_energy
from studyhall.policies import make_policy
from studyhall.policies.socialized.choice import offsets
from studyhall.policies.socialized.crossing import Crossing
from studyhall.policies.socialized.masc import Masc
from studyhall.policies.socialized.networks import Networks
from studyhall.policies.socialized.opinions import GATES, Opinions
from studyhall.policies.socialized.samples import HeldOut, held_out
from studyhall.policies.socialized.stages import Stages
from studyhall.testing import check_policy

SMALL = {"data": "digits", "agents": 3, "slice_size": 8, "exam_size": 10, "liars": 0, "public_order": "iid"}
STAGED = {**SMALL, "horizon": 20, "exam_every": 19}


def begun(seeds=(0,), *, domain="eval", world=None, **kwargs):
    """A policy in its worlds, with the first observation."""
    policy = Masc(**kwargs)
    env = {**STAGED, "mode": "open", **policy.world_kwargs, **(world or {})}
    made = make_world("society-v0", num_worlds=len(seeds), autoreset=False, **env)
    policy.bind(made)
    obs = made.reset(seed=list(seeds), options={"domain": domain})
    policy.reset()
    return policy, made, obs


def to_the_end(policy, world, obs, stop=None):
    """Steps up to the end, or until so many are made."""
    while not world.ended.all() and (stop is None or int(world.clock[0]) < stop):
        step = world.step(policy.act(obs))
        obs = step.obs
        if world.ended.all():
            policy.end(step.final_obs, step.truncated | step.terminated)
    return obs


# ---- energies ---------------------------------------------------------------------------------------------


def test_energies_and_their_losses_are_what_the_formulas_say():
    torch.manual_seed(0)
    z = torch.randn(2, 3, 5, 4) * 3
    energy = free_energy(z)
    assert torch.allclose(energy, -z.exp().sum(-1).log(), atol=1e-5)
    rows = (torch.rand(2, 3, 5) < 0.6).float()
    rows[0, 0] = 0
    others, prior = free_energy(torch.randn(2, 3, 6, 4)), torch.rand(2, 3)
    counts = (torch.rand(2, 1, 6) < 0.8).float()
    counts[..., 0] = 1
    found, aligned = detection(energy, rows, others, counts, prior), alignment(energy, rows)
    assert found[0, 0] == aligned[0, 0] == 0
    for w, n in [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]:
        own = [float(e) for e, keep in zip(energy[w, n], rows[w, n], strict=True) if keep]
        pi = float(prior[w, n])

        def loss(g):
            return math.log(1 + math.exp(-g))

        def over(values, of):
            return sum(of(value) for value in values) / len(values)

        positive = pi * over(own, lambda e: loss(ANCHOR - e))
        there = [float(e) for e, keep in zip(others[w, n], counts[w, 0], strict=True) if keep]
        negative = over(there, lambda e: loss(e - ANCHOR))
        negative -= pi * over(own, lambda e: loss(e - ANCHOR))
        assert float(found[w, n]) == pytest.approx(positive + max(0.0, negative), rel=1e-4)
        assert float(aligned[w, n]) == pytest.approx(over(own, lambda e: (e - ANCHOR) ** 2), rel=1e-4)


def test_gates_believe_whom_they_say_and_nobody_who_is_silent():
    energies = torch.tensor([[-3.0, -1.0], [-7.0, -9.0], [-5.0, -2.0]])[None, None]
    spoke = torch.tensor([[True, False], [False, False], [True, False]])[None, None]
    opinions = Opinions(torch.zeros(1, 1, 3, 2, 4), energies, spoke)
    assert GATES["energy"](opinions)[0, 0].tolist() == [[0, 0], [0, 0], [1, 0]]
    assert GATES["all"](opinions)[0, 0].tolist() == [[0.5, 0], [0, 0], [0.5, 0]]


@given(st.integers(0, 2**32), st.floats(0, 1))
def test_held_out_samples_are_the_same_wherever_they_are_seen(seed, share):
    x = torch.randn(1, 2, 40, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    kept = held_out(x, share, 3)
    order = torch.randperm(40)
    assert torch.equal(held_out(x[:, :, order], share, 3), kept[:, :, order])
    assert torch.equal(held_out(x[:, :1, 7:9], share, 3), kept[:, :1, 7:9])
    assert not held_out(x, 0.0, 3).any()
    assert held_out(x, 1.0, 3).all()


def test_about_the_share_of_samples_is_held_out():
    x = torch.randn(1, 1, 4000, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    assert held_out(x, 0.1, 3).float().mean().item() == pytest.approx(0.1, abs=0.02)


def test_kept_samples_are_the_last_ones_and_those_of_the_mask():
    kept = HeldOut(1, 2, (1,), torch.device("cpu"))
    for time in range(70):
        x = torch.full((1, 2, 3, 1), float(time))
        mask = torch.tensor([[[True, False, time % 2 == 0], [False, False, False]]])
        kept.add(x, torch.full((1, 2, 3), time), mask, torch.tensor([time]))
    there = kept.labels[0, 0] >= 0
    assert set(kept.x[0, 0][there].flatten().tolist()) == set(map(float, range(6, 70)))
    assert (kept.x[0, 0, :, 0][there] == kept.labels[0, 0][there]).all()
    assert not (kept.labels[0, 1] >= 0).any()


@given(st.integers(1, 60), st.lists(st.floats(0, 0.5), min_size=2, max_size=2))
def test_stages_follow_each_other_and_rates_fall_within_each(horizon, shares):
    import numpy as np

    stages = Stages(horizon, shares)
    seen = []
    for step in range(horizon):
        (stage,) = stages.at(np.array([step]), torch.device("cpu"))
        begun = stage.begins is not None
        assert begun == (not seen or seen[-1][0] != stage.number)
        if not begun:
            assert float(stage.rate) < seen[-1][1]
        else:
            assert float(stage.rate) == 1
        seen.append((stage.number, float(stage.rate)))
    numbers = [number for number, _ in seen]
    assert numbers == sorted(numbers)
    for number, end in enumerate(stages.ends):
        assert sum(n <= number for n in numbers) == end
    assert stages.at(np.array([-1]), torch.device("cpu")) == []


# ---- the choice -------------------------------------------------------------------------------------------


def test_the_offset_is_the_greatest_that_is_as_good_as_the_expert():
    # The grown teacher is right where its energy is far below the student's, the student nowhere.
    labels = torch.zeros(1, 1, 8, dtype=torch.int64)
    expert = torch.tensor([5.0, 0.0]).expand(1, 1, 8, 2)
    student = torch.tensor([0.0, 5.0]).expand(1, 1, 8, 2)
    grown = torch.stack([torch.arange(8.0) + 6, torch.zeros(8)], -1)[None, None]
    b = offsets(expert, student, grown, labels)
    apart = free_energy(student) - free_energy(grown)
    assert (apart > b[..., None]).all()  # the grown teacher answers everywhere
    student_too = torch.where(
        (torch.arange(8) < 4)[:, None], torch.tensor([5.0, 0.0]), torch.tensor([0.0, 5.0])
    )
    better = offsets(expert, student_too[None, None], grown, labels)
    assert better > b  # what the student knows as well is left to it
    assert offsets(expert, student, grown, torch.full_like(labels, -1)) == 0


# ---- teaching across networks -----------------------------------------------------------------------------


def test_a_crossing_is_the_student_and_each_teachers_own_rest():
    networks = Networks("conv3", 4, (1, 8, 8), 5)
    experts = Population(networks.expert, learner_keys(torch.arange(2), 3), optimiser="sgd", lr=0.1)
    x = torch.randn(2, 3, 16, 64)
    experts.learn(
        x, lambda z: F.cross_entropy(z.flatten(0, 2), torch.arange(96) % 5).expand(2, 3)
    )  # batch norm moves
    keys = learner_keys(torch.arange(2), 1)
    crossings = Population(Crossing.network(networks, 2, 3), keys, optimiser="sgd", lr=0.1)
    Crossing.lend(crossings, experts, 2, torch.tensor([True, False]))
    untouched = Population(crossings.network, keys, optimiser="sgd", lr=0.1)
    said = crossings.logits(x[:, 0])
    assert torch.equal(said[1], untouched.logits(x[:, 0])[1])
    crossing, pictures = crossings.extract(0, 0), x[0, 0].view(-1, 1, 8, 8)
    with torch.no_grad():
        h = crossing.student.upto(pictures, 2)
        parts = [crossing.student.rest(h, 2)]
        for teacher in range(3):
            module = experts.extract(0, teacher)
            parts.append(module.rest(crossing.adapters[teacher](h), 2))
    assert torch.allclose(said[0, 0], torch.cat(parts, -1), atol=1e-4)

    rests = {
        name: stack.clone()
        for name, stack in zip(crossings.network.shapes, crossings.parameters, strict=True)
    }
    crossings.learn(x[:, 0], lambda z: z.square().mean((-1, -2)))
    for name, stack in zip(crossings.network.shapes, crossings.parameters, strict=True):
        assert torch.equal(rests[name], stack) == name.startswith("rests."), name


def test_teaching_across_networks_needs_their_weights_and_a_depth_that_fits():
    with pytest.raises(ConfigError, match="give carrier='weights'"):
        Masc(teaching="networks")
    with pytest.raises(ConfigError, match="depth must be"):
        begun(teaching="networks", carrier="weights", depth=9)


# ---- who learns what --------------------------------------------------------------------------------------


def test_experts_do_not_move_by_a_bit_while_others_learn():
    policy, world, obs = begun()
    obs = to_the_end(
        policy, world, obs, stop=8
    )  # the last step of the first stage is learnt from in the next act
    frozen = copy.deepcopy(policy.experts.state_dict())
    to_the_end(policy, world, obs)
    assert all(torch.equal(value, frozen[name]) for name, value in policy.experts.state_dict().items())


def test_a_student_for_all_learns_what_each_of_many_would():
    one, world, obs = begun(seeds=(3, 4))
    every = [[i != j for j in range(3)] for i in range(3)]
    many, crowd, seen = begun(seeds=(3, 4), world={"topology": every})
    assert one.students_each == 1
    assert many.students_each == 3
    to_the_end(one, world, obs)
    to_the_end(many, crowd, seen)
    x = world.dataset.inputs("test", torch.arange(50))
    own, theirs = one.variants(x), many.variants(x)
    assert torch.allclose(own["expert"], theirs["expert"], atol=1e-5)
    assert torch.allclose(own["student"][:, 0], theirs["student"][:, 0], atol=1e-4)  # of the same key


def test_who_hears_nobody_and_is_told_nothing_answers_as_its_expert():
    policy, world, obs = begun(seeds=(1, 2), world={"mode": ["open", "mute"]})
    students = copy.deepcopy(policy.pupils.students.parameters)
    to_the_end(policy, world, obs)
    moved = [
        [
            not torch.equal(a[w], b[w])
            for a, b in zip(students, policy.pupils.students.parameters, strict=True)
        ]
        for w in (0, 1)
    ]
    assert all(moved[0])
    assert not any(moved[1])
    said = policy.variants(world.dataset.inputs("test", torch.arange(30)))
    for name in ("ensemble", "student", "shifted", "grown", "masc"):
        assert torch.equal(said[name][1], said["expert"][1])
        assert not torch.equal(said[name][0], said["expert"][0])


def test_a_mute_society_told_all_labels_trains_on_labels_alone():
    told = {"public_labels": 1.0, "mode": ["open", "mute"]}
    talks, world, obs = begun(seeds=(1, 1), preset="documented", world=told)
    alone, quiet, seen = begun(seeds=(1,), preset="documented", distill=0.0, world={"public_labels": 1.0})
    to_the_end(talks, world, obs)
    to_the_end(alone, quiet, seen)
    x = world.dataset.inputs("test", torch.arange(30))
    both, labels = talks.variants(x)["student"], alone.variants(x)["student"]
    assert torch.allclose(both[1], labels[0], atol=1e-5)
    assert not torch.allclose(both[0], labels[0], atol=1e-3)


def test_teachers_are_those_who_are_named():
    policy, world, obs = begun(teachers=[1])
    obs = to_the_end(policy, world, obs, stop=10)
    said = policy.act(obs)["soft_targets"]
    assert said[0, 1].any()
    assert not said[0, [0, 2]].any()
    for teachers in ([3], []):
        with pytest.raises(ConfigError, match="teachers are some of 0 … 2"):
            begun(teachers=teachers)


def test_grown_teachers_begin_with_their_students_heads():
    policy, world, obs = begun()
    begins = policy.stages.ends[1]
    to_the_end(policy, world, obs, stop=begins)
    assert policy.stages.number(world.clock - 1) == 1
    policy.grown.begin(torch.ones(1, dtype=torch.bool))
    x = world.dataset.inputs("test", torch.arange(20)).flatten(1)
    student, grown = policy.grown.both(x)
    assert torch.allclose(student, grown, atol=1e-5)
    assert torch.allclose(student, policy.pupils.students.logits(x).expand_as(student), atol=1e-5)


def stepped(module, loss, lr, decay=5e-3):
    """The module after one step from rest, as PyTorch makes it."""
    optimiser = torch.optim.SGD(module.parameters(), lr, momentum=0.9, nesterov=True, weight_decay=decay)
    loss.backward()
    optimiser.step()
    return module


@pytest.mark.parametrize("gate", ["energy", "all"])
def test_a_students_step_is_that_of_a_plain_module(gate):
    policy, world, obs = begun(
        gate=gate, world={"public_labels": 0.5}, temperature=3.0, distill=0.7, align=0.2
    )
    obs = to_the_end(policy, world, obs, stop=policy.stages.ends[0] + 1)  # what comes back now was first
    module = policy.pupils.students.extract(0, 0).train()
    x = obs["fb_public"][0, 0]
    targets, energies = obs["fb_targets"][0, 0], obs["fb_energies"][0, 0]  # [N, B, C], [N, B]
    labels = obs["fb_public_labels"][0, 0]
    learnt = ~held_out(x[None, None], 0.1, 3)[0, 0]
    z = module(x)
    kl = torch.zeros(())
    for row in range(8):
        if learnt[row]:
            teachers = [int(energies[:, row].argmin())] if gate == "energy" else [0, 1, 2]
            for teacher in teachers:
                own = (z[row] / 3).log_softmax(-1)
                kl = kl - 9 * (targets[teacher, row] * own).sum() / len(teachers) / 8
    told = torch.where(learnt, labels, -1)
    loss = 0.7 * kl + 0.2 * (free_energy(z)[learnt] - ANCHOR).square().mean()
    loss = loss + F.cross_entropy(z[told >= 0], told[told >= 0])
    plain = stepped(module, loss, 0.01).state_dict()
    policy.act(obs)
    ours = policy.pupils.students.extract(0, 0).state_dict()
    for name, value in ours.items():
        assert torch.allclose(value, plain[name], atol=1e-5), name


@pytest.mark.parametrize("preset", ["documented", "mended"])
def test_a_grown_teachers_step_is_that_of_a_plain_head(preset):
    policy, world, obs = begun(preset=preset, world={"public_labels": 1.0}, temperature=3.0, distill=0.7)
    obs = to_the_end(policy, world, obs, stop=policy.stages.ends[1] + 1)
    student, expert = policy.pupils.students.extract(0, 0), policy.experts.extract(0, 1)
    head = copy.deepcopy(student.head)
    own, public, labels = obs["fb_slice"][0, 1], obs["fb_public"][0, 1], obs["fb_labels"][0, 1]
    share = policy.held_out
    kept, left = (~held_out(x[None, None], share, 3)[0, 0] for x in (own, public))
    with torch.no_grad():
        features = [student.upto(x, student.depth) for x in (own, public)]
        word = [student.head(h) for h in features]
        claimed = free_energy(expert(public)) < ANCHOR
        word[1] = torch.where(claimed[:, None], expert(public), word[1])
    mine, others = (head(h) for h in features)
    energy, foreign = free_energy(mine), free_energy(others)
    loss = F.cross_entropy(mine[kept], labels[kept])
    if preset == "documented":
        loss = loss + 0.1 * (energy - ANCHOR).square().mean()
    else:
        prior = float(policy.own_classes[0, 1].float().mean())
        found = prior * F.softplus(energy[kept] - ANCHOR).mean()
        refused = F.softplus(ANCHOR - foreign[left]).mean() - prior * F.softplus(ANCHOR - energy[kept]).mean()
        loss = loss + found + refused.clamp_min(0)
        for said, taught, counts in ((mine, word[0], kept), (others, word[1], left)):
            rows = (taught / 3).softmax(-1) * (said / 3).log_softmax(-1)
            loss = loss - 0.7 * 9 * (rows.sum(-1) * counts).mean()
    plain = stepped(head, loss, policy.lr_head).state_dict()
    policy.act(obs)
    ours = policy.grown.heads.extract(0, 1).state_dict()
    for name, value in ours.items():
        assert torch.allclose(value, plain[name], atol=1e-5), name


def test_nobody_has_grown_before_the_first_lesson_of_altruism():
    policy, world, obs = begun(preset="documented", world={"public_labels": 1.0})
    x = world.dataset.inputs("test", torch.arange(20))
    obs = to_the_end(policy, world, obs, stop=policy.stages.ends[1] + 1)
    said = policy.variants(x)
    assert torch.equal(said["grown"], said["student"])
    world.step(policy.act(obs))
    said = policy.variants(x)
    assert not torch.equal(said["grown"], said["student"])
    assert torch.allclose(said["grown"], said["student"], atol=0.1)  # it began as the student's head


# ---- what crosses -----------------------------------------------------------------------------------------


def sent(**kwargs):
    policy, world, obs = begun(**kwargs)
    to_the_end(policy, world, obs)
    return policy, world.metrics()["bytes"]


def test_bytes_are_those_of_what_each_carrier_sends():
    policy, logits = sent()
    first, last = policy.stages.ends[:2]
    assert (logits == (last - first) * 2 * 8 * 4 * (10 + 1)).all()  # 2 neighbours, 8 rows, C and an energy
    policy, weights = sent(carrier="weights")
    size = sum(tensor.numel() for tensor in Conv3((1, 8, 8), 10, 8).state_dict().values())
    assert (weights == 2 * 4 * size).all()


def test_an_expert_claims_what_is_below_the_anchor_and_pays_for_that():
    policy, world, obs = begun(carrier="claims")
    obs = to_the_end(policy, world, obs, stop=policy.stages.ends[0])
    policy.stages.ends = (1, 19, 20)  # nobody learns any more before it speaks
    public = obs["public"][:, 0].flatten(2)
    energies = free_energy(policy.experts.logits(public))
    bias = policy.experts.parameters[list(policy.experts.network.shapes).index("head.1.bias")]
    bias += (energies.median(-1).values - ANCHOR).view(-1, 1)  # half of the rows are below the anchor now
    said = policy.act(obs)
    claimed = free_energy(policy.experts.logits(public)) < ANCHOR
    assert claimed.any()
    assert not claimed.all()
    assert torch.equal(said["soft_targets"].any(-1), claimed)
    before = world.metrics()["bytes"]
    world.step(said)
    assert torch.equal(world.metrics()["bytes"] - before, claimed.sum(-1) * 2.0 * 4 * 11)


@pytest.mark.parametrize("carrier", ["logits", "weights"])
@pytest.mark.parametrize("teacher", [0, 1, 2])
def test_a_single_teacher_teaches_whoever_it_is(carrier, teacher):
    policy, world, obs = begun(carrier=carrier, teachers=[teacher])
    to_the_end(policy, world, obs)
    assert policy.taught.all()


@pytest.mark.parametrize(
    "kwargs",
    [{}, {"shares": (0.3, 0.7)}, {"carrier": "weights", "teaching": "networks"}],
    ids=["mended", "no altruism", "networks"],
)
def test_the_end_of_one_world_leaves_the_others_alone(kwargs):
    policy, world, obs = begun(seeds=(1, 2), **kwargs)
    to_the_end(policy, world, obs, stop=12)
    before = copy.deepcopy(policy.state_dict())
    policy.end(world.obs, torch.tensor([True, False]))

    def of_world(state, w):
        found = {}
        for name, value in state.items():
            if isinstance(value, dict):
                found |= {f"{name}.{key}": entry for key, entry in of_world(value, w).items()}
            else:
                each = len(value) // 2
                found[name] = value[w * each : (w + 1) * each]
        return found

    after = policy.state_dict()
    for name, value in of_world(before, 1).items():
        assert torch.equal(value, of_world(after, 1)[name]), name


def test_nobody_draws_from_the_global_generators():
    before = torch.get_rng_state()
    begun(carrier="weights", teaching="networks")
    assert torch.equal(torch.get_rng_state(), before)


def test_lessons_are_those_of_the_stage_in_which_something_was_said():
    policy, world, obs = begun(shares=(0.3, 0.4), world={"delay": 4})
    paid = learnt = 0
    while not world.ended.all():
        before = world.metrics()["bytes"].sum()
        taught = copy.deepcopy(policy.pupils.students.parameters)
        step = world.step(policy.act(obs))
        obs = step.obs
        paid += bool(world.metrics()["bytes"].sum() > before)
        learnt += not torch.equal(taught[0], policy.pupils.students.parameters[0])
    assert paid == learnt == policy.stages.length(1)


def test_lost_parcels_teach_nobody():
    policy, world, obs = begun(carrier="weights", world={"drop": 1.0})
    to_the_end(policy, world, obs)
    assert not policy.arrived.any()
    said = policy.variants(world.dataset.inputs("test", torch.arange(10)))
    assert torch.equal(said["masc"], said["expert"])


def test_weights_teach_what_soft_targets_do():
    by_weights, world, obs = begun(carrier="weights")
    by_logits, other, seen = begun()
    to_the_end(by_weights, world, obs)
    to_the_end(by_logits, other, seen)
    x = world.dataset.inputs("test", torch.arange(30))
    assert by_weights.arrived.sum() == 6
    # The parcel comes back with the first slice, so that both learn from the same slices.
    assert torch.allclose(by_weights.variants(x)["student"], by_logits.variants(x)["student"], atol=1e-4)


# ---- what every policy promises ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("world", "kwargs"),
    [
        pytest.param({"drop": 0.3, "churn": 0.2}, {}, marks=pytest.mark.slow),
        ({"delay": 1, "public_labels": 0.5}, {"preset": "documented", "flip": True}),
        pytest.param({"churn": 0.2}, {"carrier": "claims", "gate": "all"}, marks=pytest.mark.slow),
        pytest.param({"drop": 0.3}, {"carrier": "weights"}, marks=pytest.mark.slow),
        ({"topology": "ring"}, {"carrier": "weights", "teaching": "networks"}),
    ],
    ids=["own students", "late", "claims", "weights", "networks"],
)
def test_all_of_it_keeps_what_policies_promise_into_the_third_stage(world, kwargs):
    def make():
        return Masc(width=2, shares=(0.25, 0.4), **kwargs)

    check_policy(make, "society-v0", **{**SMALL, "horizon": 8, **make().world_kwargs}, **world)


# ---- what cannot work -------------------------------------------------------------------------------------


def test_what_does_not_fit_is_said_in_one_line():
    with pytest.raises(UnknownName, match="unknown preset of masc 'mendet': did you mean 'mended'"):
        Masc("mendet")
    with pytest.raises(ConfigError, match="use society-v0 without learners="):
        Masc().bind(make_world("classroom-v0", slice_size=4))
    with pytest.raises(ConfigError, match="this policy needs energies=True"):
        Masc().bind(make_world("society-v0", **SMALL))
    with pytest.raises(ConfigError, match="32×32 or more"):
        begun(learners="vgg")
    with pytest.raises(ConfigError, match="must make Convolutional networks"):
        begun(learners=[lambda: torch.nn.Linear(64, 10)] * 2)
    with pytest.raises(ConfigError, match="lower them to 1"):
        Masc(shares=(0.7, 0.7))
    with pytest.raises(ConfigError, match="shares are a list"):
        Masc(shares=0.3)
    with pytest.raises(ConfigError, match="teachers are a list"):
        Masc(teachers=2)
    with pytest.raises(ConfigError, match="teachers name an agent twice"):
        Masc(teachers=[0, 0])
    with pytest.raises(ConfigError, match="calibrate_heads must be a number"):
        Masc(calibrate_heads=-1)
    with pytest.raises(ConfigError, match="a list of two factories"):
        begun(learners=[Conv3((1, 8, 8), 10)] * 2)
    with pytest.raises(ConfigError, match="held_out must be a number"):
        Masc(held_out=1.0)
    with pytest.raises(ConfigError, match="this policy needs public_order='iid'"):
        begun(world={"public_order": "topical"})
    assert isinstance(make_policy("masc", preset="documented"), Masc)
