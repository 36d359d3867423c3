"""What socialized learning is compared with: averaging, mutual learning, and going on to others' classes alone."""

from functools import partial

import pytest
import torch
from torch.nn import functional as F

from studyhall import make_world
from studyhall.envs import ConfigError
from studyhall.envs.errors import UnknownName
from studyhall.learners import label_loss
from studyhall.policies import make_policy
from studyhall.policies.socialized import EWC, FedAvg, FineTuning, LwF, PeerDistillation
from studyhall.testing import check_policy

SMALL = {"agents": 3, "slice_size": 6, "exam_size": 10, "horizon": 10, "liars": 0, "public_order": "iid"}
NAMES = ["fedavg", "peer_distillation", "finetuning", "lwf", "ewc"]
SEQUENTIAL = [FineTuning, LwF, EWC]


class Life:
    """A policy in worlds of one seed, step by step."""

    def __init__(self, policy, seed=3, num_worlds=1, **kwargs):
        self.policy = policy
        told = {"public_labels": 1.0} if isinstance(policy, FineTuning) else {}
        arguments = {**SMALL, **policy.world_kwargs, **told, **kwargs}
        self.world = make_world("society-v0", num_worlds=num_worlds, autoreset=False, **arguments)
        policy.bind(self.world)
        self.obs = self.world.reset(seed=[seed] * num_worlds)
        policy.reset()

    def steps(self, count):
        for _ in range(count):
            step = self.world.step(self.policy.act(self.obs))
            self.obs = step.obs
            if self.world.ended.all():
                self.policy.end(step.final_obs, step.truncated)
        return self

    def modules(self, world=0):
        return [self.policy.experts.extract(world, agent) for agent in range(self.world.num_agents)]

    def stacks(self):
        """Parameters and statistics, copied."""
        return [stack.clone() for stack in (*self.policy.experts.parameters, *self.policy.experts.statistics)]


def equal(some, others):
    return all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


def close(module, expected):
    """Two modules, or a module and a state."""
    expected = expected if isinstance(expected, dict) else expected.state_dict()
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6)


def mean(modules):
    """The mean of modules' states; of counts none is made."""
    states = [module.state_dict() for module in modules]
    return {
        name: torch.stack([state[name] for state in states]).mean(0)
        for name, value in states[0].items()
        if value.is_floating_point()
    }


def without_labels(obs):
    return {**obs, "fb_labels": torch.full_like(obs["fb_labels"], -1)}


def trained_alone(life, steps):
    """Experts as they would be who are taught their own labels by hand, beside the life of a policy."""
    policy, world = life.policy, life.world
    alone = policy.population(policy.networks.expert, policy.keys("", world.num_agents), policy.lr)
    for _ in range(steps):
        clock = world.clock.copy()
        life.steps(1)
        (stage,) = policy.stages.at(clock, world.device)
        labels = life.obs["fb_labels"]
        alone.learn(life.obs["fb_slice"].flatten(3), partial(label_loss, labels=labels), rate=stage.rate)
    policy.act(life.obs)  # learns from the last feedback
    return [*alone.parameters, *alone.statistics]


# ---- federated averaging ----------------------------------------------------------------------------


def test_a_round_ends_with_the_plain_mean_of_all_networks():
    life = Life(FedAvg(width=2, every=3)).steps(3)
    before = life.modules()
    assert not equal(before[0].parameters(), before[1].parameters())
    life.policy.act(without_labels(life.obs))
    for module, own in zip(life.modules(), before, strict=True):
        close(module, {**own.state_dict(), **mean(before)})


def test_networks_are_sent_in_the_last_step_of_a_round_whole():
    life = Life(FedAvg(width=2, every=3))
    size = sum(value.numel() for value in life.modules()[0].state_dict().values())
    sent = [int(life.steps(1).obs["fb_parcels"].sum()) for _ in range(9)]
    assert sent == 3 * [0, 0, 9 * size]


def test_only_networks_that_arrived_are_in_the_mean():
    life = Life(FedAvg(width=2, every=2), agents=5, drop=0.5).steps(2)
    arrived, before = life.world.neighbours().by_agent(life.obs["fb_parcels"])[0] > 0, life.modules()
    assert 5 < arrived.sum() < 25
    life.policy.act(without_labels(life.obs))
    for agent, module in enumerate(life.modules()):
        senders = [one for one, came in zip(before, arrived[agent], strict=True) if came]
        close(module, {**before[agent].state_dict(), **mean(senders)})


def test_who_hears_nobody_takes_no_mean():
    life = Life(FedAvg(width=2, every=2), num_worlds=2, mode=["mute", "open"], topology="star").steps(7)
    alone = Life(FedAvg(width=2, every=100), num_worlds=2).steps(7)
    n = life.world.num_agents
    assert equal([stack[:n] for stack in life.stacks()], [stack[:n] for stack in alone.stacks()])
    assert not equal([stack[n:] for stack in life.stacks()], [stack[n:] for stack in alone.stacks()])


def test_a_network_that_is_not_finite_spoils_itself_only():
    life = Life(FedAvg(width=2, every=2)).steps(2)
    before = life.modules()
    life.policy.experts.parameters[0][1] = torch.nan
    life.policy.act(without_labels(life.obs))
    assert life.policy.sound().tolist() == [[True, False, True]]
    close(life.modules()[2], {**before[2].state_dict(), **mean(before[::2])})


def test_parcels_that_come_late_are_refused():
    with pytest.raises(ConfigError, match="they come 2 steps late: use delay=0"):
        Life(FedAvg(width=2), delay=2)


# ---- mutual learning --------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [FedAvg(width=2, every=3), PeerDistillation(width=2, shares=(0.3,))])
def test_in_a_mute_world_experts_are_those_trained_alone(policy):
    life = Life(policy, mode="mute")
    assert equal(trained_alone(life, 8), life.stacks())
    life = Life(policy)
    assert not equal(trained_alone(life, 8), life.stacks())


@pytest.mark.parametrize("calibration", ["alignment", "detection"])
def test_in_a_mute_world_calibrated_experts_are_as_if_they_imitated_nothing(calibration):
    options = {"width": 2, "calibration": calibration, "gate": "energy"}
    life = Life(PeerDistillation(**options), mode="mute").steps(10)
    other = Life(PeerDistillation(distill=5.0, **options), mode="mute").steps(10)
    assert equal(life.stacks(), other.stacks())


@pytest.mark.parametrize("gate", ["all", "energy"])
def test_a_step_of_mutual_learning_is_that_of_plain_modules(gate):
    policy = PeerDistillation(width=2, shares=(0.0,), gate=gate, weight_decay=0.0)
    life = Life(policy, seed=5, agents=4, slice_size=12).steps(1)
    modules, obs = life.modules(), life.obs
    policy.act(obs)
    chosen = obs["fb_energies"][0].argmin(1)  # of each listener and row; 0 is oneself
    foreign = (chosen != 0).sum(-1)
    assert ((foreign > 0) & (foreign < 12)).any()  # somebody is taught about some rows only
    for agent, (module, learnt) in enumerate(zip(modules, life.modules(), strict=True)):
        said = obs["fb_targets"][0, agent]
        if gate == "all":
            targets = said[1:].mean(0)
        else:
            best = chosen[agent]
            targets = said[best, torch.arange(12)] * (best != 0)[:, None]
        taught = bool(targets.any())  # who is surer than all others of every row learns alone
        parts = [obs["fb_slice"][0, agent], *([obs["fb_public"][0, agent]] * taught)]
        own, *public = module.train()(torch.cat(parts)).split(12)
        loss = F.cross_entropy(own, obs["fb_labels"][0, agent])
        for logits in public:
            loss = loss - 4 * (targets * (logits / 2).log_softmax(-1)).sum(-1).mean()
        module.zero_grad()
        loss.backward()
        torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9, nesterov=True).step()
        close(learnt, module)


def test_experts_imitate_in_the_second_stage_and_are_kept_as_they_were():
    life = Life(PeerDistillation(width=2, shares=(0.4,)), seed=5).steps(4)
    assert not life.obs["fb_targets"].any()
    life.policy.act(life.obs)  # learns from the last feedback of the first stage
    x = life.world.dataset.inputs("test", torch.arange(20))
    first = life.policy.variants(x)
    assert torch.equal(first["expert"], first["peer"])
    life = Life(PeerDistillation(width=2, shares=(0.4,)), seed=5).steps(8)
    later = life.policy.variants(x)
    assert torch.equal(later["expert"], first["expert"])
    assert not torch.equal(later["peer"], first["peer"])
    assert torch.equal(life.policy.predict(x), later["peer"])


# ---- going on alone ---------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [EWC(width=2, strength=0.0), LwF(width=2, distill=0.0)])
def test_what_nothing_holds_is_fine_tuned_bit_for_bit(policy):
    tuned, other = (Life(one, public_labels=0.7).steps(10) for one in (FineTuning(width=2), policy))
    assert equal(tuned.stacks(), other.stacks())
    assert not equal(tuned.stacks(), [*tuned.policy.before.parameters, *tuned.policy.before.statistics])


@pytest.mark.parametrize("policy", [EWC(width=2), LwF(width=2)])
def test_what_holds_holds(policy):
    tuned, held = (Life(one).steps(10) for one in (FineTuning(width=2), policy))
    x = tuned.world.dataset.inputs("test", torch.arange(20))
    assert torch.equal(tuned.policy.variants(x)["expert"], held.policy.variants(x)["expert"])
    assert not equal(tuned.stacks(), held.stacks())


@pytest.mark.parametrize("kind", SEQUENTIAL)
def test_of_public_rows_only_labels_of_others_classes_teach(kind):
    """Who knows all classes has nothing to learn there."""
    life = Life(kind(width=2), expert_classes=10, slice_size=64).steps(10)
    assert life.policy.own_classes.all()
    assert equal(life.stacks(), [*life.policy.before.parameters, *life.policy.before.statistics])


def test_a_step_of_fine_tuning_is_that_of_plain_modules():
    policy = FineTuning(width=2, shares=(0.0,), weight_decay=0.0)
    life = Life(policy, slice_size=30, public_labels=0.5).steps(1)
    modules, obs = life.modules(), life.obs
    policy.act(obs)
    for agent, (module, learnt) in enumerate(zip(modules, life.modules(), strict=True)):
        labels = obs["fb_public_labels"][0, agent]
        rows = (labels >= 0) & ~policy.own_classes[0, agent][labels.clamp_min(0)]
        assert 0 < rows.sum() < 30
        out = module.train()(obs["fb_public"][0, agent])
        module.zero_grad()
        F.cross_entropy(out[rows], labels[rows]).backward()
        torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9, nesterov=True).step()
        close(learnt, module)


def test_lwf_keeps_to_what_the_expert_said_of_its_own_classes():
    life = Life(LwF(width=2, temperature=3.0, distill=0.5)).steps(6)
    policy, agents = life.policy, life.world.num_agents
    x, labels = torch.rand(1, agents, 6, 64), torch.tensor([1, 3, -1, 5, 9, -1]).expand(1, agents, 6)
    logits = torch.randn(1, agents, 6, 10, requires_grad=True)
    (found,) = torch.autograd.grad(policy.loss(x, labels)(logits).sum(), logits)
    for agent in range(agents):
        said = policy.before.extract(0, agent)(x[0, agent].view(6, 1, 8, 8)).detach()
        own, rows = policy.own_classes[0, agent], labels[0, agent] >= 0
        mine = logits.detach()[0, agent].requires_grad_()
        old, new = ((z[rows][:, own] / 3).log_softmax(-1) for z in (said, mine))
        loss = 0.5 * 9 * F.kl_div(new, old, log_target=True, reduction="batchmean")
        loss = loss + F.cross_entropy(mine, labels[0, agent], ignore_index=-1)
        (expected,) = torch.autograd.grad(loss, mine)
        torch.testing.assert_close(found[0, agent], expected, rtol=1e-4, atol=1e-6)


def test_the_fisher_information_is_the_mean_square_of_gradients_on_own_slices():
    life = Life(EWC(width=2, shares=(0.5,), memory=2)).steps(1)
    expected = {agent: [0.0] * len(life.policy.fisher) for agent in range(life.world.num_agents)}
    for step in range(1, 6):
        modules, obs = life.modules(), life.obs
        life.steps(1)  # learns from what it saw
        share = 1 / min(step, 2)  # the mean of two, then of exponential weights
        for agent, module in enumerate(modules):
            out = module.train()(obs["fb_slice"][0, agent])
            loss = F.cross_entropy(out, obs["fb_labels"][0, agent])
            squares = [6 * g.square() for g in torch.autograd.grad(loss, list(module.parameters()))]
            pairs = zip(expected[agent], squares, strict=True)
            expected[agent] = [(1 - share) * old + share * new for old, new in pairs]
            for stack, own in zip(life.policy.fisher, expected[agent], strict=True):
                torch.testing.assert_close(stack[agent], own, rtol=1e-3, atol=1e-7)
    kept = [stack.clone() for stack in life.policy.fisher]
    assert all(stack.any() for stack in kept)
    assert equal(life.steps(3).policy.fisher, kept)  # it is of the first stage


def test_ewc_pulls_parameters_back_as_its_penalty_says():
    life = Life(EWC(width=2, strength=0.5)).steps(8)
    policy = life.policy
    nothing = [torch.zeros_like(stack) for stack in policy.experts.parameters]
    found = policy.hold()(slice(0, 3), nothing)
    for agent, module in enumerate(life.modules()):
        kept = policy.before.extract(0, agent).parameters()
        fisher = [stack[agent] for stack in policy.fisher]
        penalty = sum(
            (f * (now - then.detach()) ** 2).sum()
            for f, now, then in zip(fisher, module.parameters(), kept, strict=True)
        )
        expected = torch.autograd.grad(0.5 / 2 * penalty, list(module.parameters()))
        assert any(gradient.any() for gradient in expected)
        for stack, gradient in zip(found, expected, strict=True):
            torch.testing.assert_close(stack[agent], gradient, rtol=1e-4, atol=1e-8)


def test_what_is_held_with_all_might_stays():
    held, tuned = (Life(policy).steps(10) for policy in (EWC(width=2, strength=1e9), FineTuning(width=2)))

    def moved(life):
        pairs = zip(life.policy.experts.parameters, life.policy.before.parameters, strict=True)
        return sum((now - then).square().sum() for now, then in pairs)

    assert held.policy.sound().all()
    assert moved(held) < 0.3 * moved(tuned)


@pytest.mark.parametrize("kind", SEQUENTIAL)
def test_without_labels_of_public_rows_there_is_nothing_to_go_on_to(kind):
    with pytest.raises(ConfigError, match="here none are told: make the world") as caught:
        Life(kind(), public_labels=0.0)
    assert "\n" not in str(caught.value)


# ---- all of them ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [name if name in ("fedavg", "lwf") else pytest.param(name, marks=pytest.mark.slow) for name in NAMES],
)
def test_each_keeps_what_policies_promise_into_the_second_stage(name):
    """A state saved mid-episode goes on bit for bit, under losses and absences."""
    options = {"every": 2} if name == "fedavg" else {"shares": (0.25,)}
    make = partial(make_policy, name, width=2, **options)
    world = {**SMALL, "horizon": 8, "public_labels": 0.5}
    check_policy(make, "society-v0", **world, drop=0.3, churn=0.2)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_for_societies_who_bring_their_learners(name):
    for world in (make_world("classroom-v0"), make_world("society-v0", learners="mlp")):
        with pytest.raises(ConfigError, match="use society-v0 without learners="):
            make_policy(name).bind(world)


@pytest.mark.parametrize(
    ("kind", "arguments", "says"),
    [
        (FedAvg, {"every": 0}, "every must be"),
        (PeerDistillation, {"shares": (0.3, 0.3)}, "shares are of the first stage of two, got 2"),
        (PeerDistillation, {"gate": "best"}, "unknown gate 'best'"),
        (PeerDistillation, {"calibration": "none"}, "unknown calibration 'none'"),
        (PeerDistillation, {"temperature": 0}, "temperature must be above 0"),
        (LwF, {"temperature": 0}, "temperature must be above 0"),
        (LwF, {"distill": -1}, "distill must be"),
        (EWC, {"strength": -1}, "strength must be"),
        (EWC, {"memory": 0}, "memory must be"),
    ],
)
def test_arguments_out_of_range_are_refused_in_one_line(kind, arguments, says):
    with pytest.raises((ConfigError, UnknownName), match=says) as caught:
        kind(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["peer_distillation", "finetuning"])
@pytest.mark.parametrize("delay", [0, 2])
def test_experts_are_known_from_the_step_on_in_which_their_stage_is_over(name, delay):
    policy = make_policy(name, width=2, shares=(0.4,))
    world = make_world(
        "society-v0",
        **{**SMALL, "horizon": 15, "public_labels": 0.5, **policy.world_kwargs},
        delay=delay,
        autoreset=False,
    )
    policy.bind(world)
    obs = world.reset(seed=2)
    policy.reset()
    over = policy.milestones[0]
    assert over == 6 + 1 + delay
    x = world.dataset.inputs("test", torch.arange(20))
    expected = None
    for step in range(1, 16):
        trained = policy.experts.state_dict()
        obs = world.step(policy.act(obs)).obs
        assert bool(policy.modules(0)) == (step >= over)
        if step < over:
            assert torch.equal(policy.variants(x)["expert"], policy.variants(x)[policy.main])
            continue
        if expected is None:
            expected = policy.variants(x)["expert"]
            assert not all(
                torch.equal(value, trained[key]) for key, value in policy.experts.state_dict().items()
            )
        assert torch.equal(policy.variants(x)["expert"], expected)
        for agent in range(world.num_agents):
            own = policy.modules(0)[f"expert_{agent}"].module
            assert torch.allclose(own(x).softmax(-1), expected[0, agent], atol=1e-5)
