"""Policies: the documented classroom against a plain re-implementation, and each protocol's own promise."""

import subprocess
import sys

import pytest
import torch

from studyhall import make_world
from studyhall.envs.errors import ConfigError, UnknownName
from studyhall.learners import label_loss
from studyhall.policies import (
    PolicySpec,
    RandomPolicy,
    Students,
    Talk,
    make_policy,
    register_policy,
    registry,
)
from studyhall.policies.classroom.protocols import mean_of
from studyhall.scenarios import Scenario, register_scenario
from studyhall.scenarios import registry as scenarios
from studyhall.testing import check_exam_blind

SMALL = {
    "agents": 3,
    "slice_size": 8,
    "exam_size": 20,
    "horizon": 30,
    "teacher_budget": 12,
    "card_every": 5,
}

BRING_LEARNERS = sorted(
    name for name in registry if name == "random" or isinstance(make_policy(name), Students)
)
"""Policies of classes that host no learners; the others have tests of their own."""


def roll(policy, steps, *, num_worlds=1, seed=3, watch=None, **kwargs):
    world = make_world("classroom-v0", num_worlds=num_worlds, autoreset=False, **{**SMALL, **kwargs})
    policy.bind(world)
    obs = world.reset(seed=seed)
    policy.reset()
    for _ in range(steps):
        actions = policy.act(obs)
        if watch is not None:
            watch(obs, actions, policy)
        step = world.step(actions)
        obs = step.obs
    return world, obs, step


def test_the_documented_classroom_equals_a_plain_one():
    """Same initial weights, slices and report cards: the same weights after teacher and peer phases."""
    temperature, lr, budget = 2.0, 1e-2, SMALL["teacher_budget"]
    seen = []
    policy = make_policy("classroom", preset="faithful", dropout=0.0, lr=lr)

    def watch(obs, actions, policy):
        if not seen:  # the first look at the population, before anything was learnt
            seen.append([policy.population.extract(0, i) for i in range(3)])
        seen.append((obs, actions))

    roll(policy, 30, watch=watch)
    modules, history = seen[0], seen[1:]
    optimisers = [torch.optim.Adam(m.parameters(), lr=lr) for m in modules]
    title, peer_steps = 0, 0
    for t in range(1, 30):
        obs, _ = history[t]
        x, labels = obs["fb_slice"][0, 0], obs["fb_labels"][0, 0]
        if t - 1 < budget:
            assert (labels >= 0).all()
            losses = [torch.nn.functional.cross_entropy(m(x), labels) for m in modules]
            for loss, optimiser in zip(losses, optimisers, strict=True):
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        else:
            assert (labels == -1).all()
            peer_steps += 1
            with torch.no_grad():
                p = (modules[title](x) / temperature).softmax(-1)
            for i, (m, optimiser) in enumerate(zip(modules, optimisers, strict=True)):
                if i == title:
                    continue
                q = (m(x) / temperature).log_softmax(-1)
                loss = temperature**2 * torch.nn.functional.kl_div(q, p, reduction="batchmean")
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        title = int(obs["report"][0, :, 0].argmax())
    assert peer_steps > 10
    for i, m in enumerate(modules):
        ours = policy.population.extract(0, i)
        for mine, theirs in zip(ours.parameters(), m.parameters(), strict=True):
            assert torch.allclose(mine, theirs, atol=2e-4)


def test_presets_differ_in_what_they_say():
    published = make_policy("classroom", preset="as_published")
    faithful = make_policy("classroom", preset="faithful")
    assert published.always_dropout
    assert not faithful.always_dropout
    assert (published.distill_scale, faithful.distill_scale) == (1.0, 4.0)
    assert published.protocol.title_by == "loss"


@pytest.mark.parametrize("preset", ["stop_at_budget", "isolated", "single_pass"])
def test_presets_without_a_peer_phase_publish_nothing(preset):
    policy = make_policy("classroom", preset=preset)
    world, _, _ = roll(policy, 20)
    assert (world.metrics()["bytes"] == 0).all()
    assert (policy.population.steps == 12).all()


def test_in_two_phases_only_the_title_holder_publishes_and_only_after_the_teacher():
    counts = []
    roll(
        make_policy("two_phase"),
        30,
        watch=lambda obs, actions, policy: counts.append(
            int((actions["soft_targets"].sum((-1, -2)) > 0).sum())
        ),
    )
    assert counts == [0] * 12 + [1] * 18


def test_a_muted_class_ends_where_stopping_at_the_budget_ends():
    taught, stopped = make_policy("two_phase"), make_policy("stop_at_budget")
    roll(taught, 30, mode="mute")
    roll(stopped, 30)
    for ours, theirs in zip(taught.population.parameters, stopped.population.parameters, strict=True):
        assert torch.equal(ours, theirs)
    assert int(stopped.population.steps.max()) == 12


def test_isolated_students_in_an_isolated_world_spend_their_own_purse():
    policy = make_policy("isolated")
    world, _, _ = roll(policy, 30, mode="isolated")
    assert (policy.population.steps == 12 // 3).all()
    assert (world.metrics()["bytes"] == 0).all()


def test_mutual_listens_to_all_and_gossip_to_one_at_a_time():
    chosen = []

    def watch(obs, actions, policy):
        chosen.append(policy.protocol.listens_to(obs))

    roll(make_policy("mutual"), 5, watch=watch)
    assert (chosen[1] == torch.tensor([0.0, 1.0, 1.0])).all()  # in slot 0 is oneself
    chosen.clear()
    roll(make_policy("gossip"), 30, watch=watch)
    weights = torch.cat(chosen[1:])
    assert (weights.sum(-1) == 1).all()
    assert (weights[..., 0] == 0).all()
    assert (weights.sum(0)[:, 1:] > 5).all()


def test_nobody_learns_from_what_was_not_heard():
    policy = make_policy("gossip")
    roll(policy, 10, topology=torch.zeros(3, 3), teacher_budget=0)
    assert (policy.population.steps == 0).all()


def test_mean_teacher_publishes_its_averages():
    policy = make_policy("mean_teacher", decay=0.9, dropout=0.0)
    published = []

    def watch(obs, actions, policy):
        published.append(
            (obs["slice"], actions["soft_targets"], policy.protocol.publisher().parameters[0].clone())
        )

    roll(policy, 10, watch=watch)
    averaged = policy.protocol.publisher()
    x, targets, first = published[-1]
    assert torch.equal(first, averaged.parameters[0])
    assert torch.allclose((averaged.logits(x[:, 0].flatten(2)) / 2).softmax(-1), targets, atol=1e-6)
    assert not torch.allclose(averaged.parameters[0], policy.population.parameters[0])


def test_mean_of_sources_ignores_weightless_and_abstaining_ones():
    rows = torch.tensor([[0.8, 0.2], [0.4, 0.6], [0.0, 0.0]]).view(1, 1, 3, 1, 2)
    mixed, any_source = mean_of(rows, torch.tensor([[[1.0, 0.0, 1.0]]]))
    assert mixed.flatten().tolist() == pytest.approx([0.8, 0.2])
    assert any_source.item() == 1
    assert mean_of(rows, torch.zeros(1, 1, 3))[1].item() == 0


def test_label_loss_is_the_mean_over_labelled_rows():
    logits, labels = (
        torch.randn(1, 2, 5, 4, generator=torch.Generator().manual_seed(0)),
        torch.tensor([3, -1, 0, -1, 1]),
    )
    got = label_loss(logits, labels.expand(1, 2, 5))
    for n in range(2):
        expected = torch.nn.functional.cross_entropy(logits[0, n], labels, ignore_index=-1)
        assert got[0, n].item() == pytest.approx(expected.item(), abs=1e-6)
    assert label_loss(logits, torch.full((1, 2, 5), -1)).tolist() == [[0, 0]]


@pytest.mark.parametrize("name", BRING_LEARNERS)
def test_every_policy_is_blind_to_the_exam(name):
    check_exam_blind(lambda: make_policy(name), "classroom-v0", steps=15, **SMALL)


@pytest.mark.parametrize("name", BRING_LEARNERS)
def test_every_policy_goes_on_from_its_state(name):
    world, obs, _ = roll(policy := make_policy(name), 20, num_worlds=2)
    saved, branch = policy.state_dict(), world.fork()
    other = make_policy(name)
    other.bind(branch)
    other.reset()
    other.load_state_dict(saved)
    here = there = obs
    for _ in range(5):
        acted, expected = other.act(there), policy.act(here)
        for key in expected:
            assert torch.equal(acted[key], expected[key])
        there, here = branch.step(acted).obs, world.step(expected).obs


@pytest.mark.parametrize("name", BRING_LEARNERS)
def test_a_seed_gives_the_same_run_in_any_batch(name):
    _, _, batch = roll(make_policy(name), 6, num_worlds=3, seed=1)
    _, _, alone = roll(make_policy(name), 6, num_worlds=1, seed=3)
    for key in ("fb_slice", "fb_labels", "heard"):
        assert torch.equal(batch.obs[key][2:], alone.obs[key])
    assert torch.allclose(batch.obs["fb_targets"][2:], alone.obs["fb_targets"], atol=1e-4)


@pytest.mark.parametrize("share", ["own", "class_experts", "dirichlet"])
def test_students_learn_from_private_slices_and_public_talk(share):
    policy = make_policy("mutual", lr=3e-3, imitate=0.1)
    world, obs, _ = roll(policy, 120, horizon=120, share=share, teacher_budget=None, slice_size=16)
    test = world.dataset.test
    x = world.dataset.inputs("test", torch.arange(len(test)))
    accuracy = (policy.predict(x).argmax(-1) == test.y).float().mean(-1)
    assert (accuracy > 0.3).all()  # chance is .1


def test_the_absent_do_not_learn_from_the_last_feedback():
    policy = make_policy("stop_at_budget")
    _, obs, _ = roll(policy, 1, horizon=1, churn=1.0)
    assert not obs["present"].any()
    policy.end(obs, torch.tensor([True]))
    assert (policy.population.steps == 0).all()


@pytest.mark.parametrize("name", BRING_LEARNERS)
def test_a_policy_can_be_bound_to_another_world(name):
    policy = make_policy(name)
    roll(policy, 15)
    _, _, again = roll(policy, 15, agents=4, num_worlds=2)
    _, _, fresh = roll(make_policy(name), 15, agents=4, num_worlds=2)
    for key in again.obs:
        assert torch.equal(again.obs[key], fresh.obs[key])


@pytest.mark.parametrize("name", BRING_LEARNERS)
def test_policies_learn_the_same_under_inference_mode(name):
    _, _, usual = roll(make_policy(name), 15)
    with torch.inference_mode():
        _, _, inferred = roll(make_policy(name), 15)
    for key in usual.obs:
        assert torch.equal(usual.obs[key], inferred.obs[key])


def test_dropout_samples_of_a_large_test_set_are_independent():
    policy = make_policy("isolated", dropout=0.5)
    world, _, _ = roll(policy, 2)
    x = world.dataset.inputs("test", torch.arange(1)).expand(4000, *world.dataset.shape)
    first, second = policy.predict(x, dropout=0).split(2000, dim=2)
    assert not torch.equal(first, second)


def test_with_delays_the_class_listens_to_whoever_held_the_title():
    counts = {"heard": 0, "imitated": 0}

    def watch(obs, actions, policy):
        lesson = policy.protocol.lesson(obs)
        counts["heard"] += int((obs["heard"].sum(-1) > 0).sum())
        counts["imitated"] += int((lesson.imitate.sum(-1) > 0).sum())

    roll(make_policy("two_phase"), 30, watch=watch, delay=3, card_every=1, teacher_budget=5)
    assert counts["heard"] == counts["imitated"] > 20


def test_learners_begin_anew_with_a_new_episode():
    policy = make_policy("stop_at_budget")
    world, obs, step = roll(policy, 30)
    before = policy.population.parameters[0].clone()
    policy.end(step.final_obs, torch.tensor([True]))
    world.reset()
    policy.reset(torch.tensor([True]))
    assert (policy.population.steps == 0).all()
    assert not torch.equal(policy.population.parameters[0], before)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: make_policy("mutal"), UnknownName, "mutual"),
        (lambda: make_policy("mutual", temprature=2), UnknownName, "temperature"),
        (lambda: make_policy("minicomo", temprature=2), UnknownName, "temperature"),  # of its base
        (lambda: make_policy("swarm_allocation", hiden=2), UnknownName, "hidden"),
        (lambda: make_policy("classroom", preset="faithfull"), UnknownName, "faithful"),
        (lambda: make_policy("two_phase", title_by="luck"), ConfigError, "'card' or 'loss'"),
        (lambda: make_policy("mutual", temperature=0.0), ConfigError, "above 0"),
        (lambda: make_policy("mutual", lr=float("nan")), ConfigError, "lr must be a number"),
        (lambda: make_policy("mean_teacher", decay=2), ConfigError, "decay must be a number between 0 and 1"),
        (lambda: PolicySpec("mine", RandomPolicy, "mine"), ConfigError, "an entry point is text"),
        (lambda: Scenario("mine", "", "classroom-v0", RandomPolicy), ConfigError, "names its policy"),
    ],
)
def test_faults_are_said_in_one_line(make, error, text):
    with pytest.raises(error, match=text) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("policy", "made", "wrong"),
    [
        (
            "swarm_allocation",
            {"see": "coarse"},
            "made with spending='top_k'.* this policy needs spending='sample'",
        ),
        ("swarm_allocation", {}, "this policy needs see='coarse', spending='sample'"),
        ("relevance_router", {"see": "pixels"}, "this policy needs see='coarse'"),
    ],
)
def test_no_policy_acts_where_it_would_be_another(policy, made, wrong):
    world = make_world("allocation-v0", slice_size=4, exam_size=10, **made)
    with pytest.raises(ConfigError, match=wrong) as caught:
        make_policy(policy).bind(world)
    assert "\n" not in str(caught.value)


OWN = """
from studyhall.policies import PolicySpec, Rule, Talk, make_policy, register_policy
from studyhall.scenarios import Scenario, register_scenario


class First(Rule):
    def targets(self, talk: Talk):
        return talk.rows[:, :, 0]


register_policy(PolicySpec("first", "own_rule:First", "the first source"))
register_scenario(Scenario("own", "", "society-v0", "first", {"learners": "mlp"}))
if __name__ == "__main__":
    print(type(make_policy("first")).__name__)
"""


def test_a_script_registers_a_rule_of_its_own(tmp_path):
    """Its entry point imports the script a second time, which registers the same again."""
    (tmp_path / "own_rule.py").write_text(OWN)
    done = subprocess.run([sys.executable, "own_rule.py"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("First\n", "")


def test_a_name_stands_for_one_thing(monkeypatch):
    monkeypatch.setitem(registry, "mine", PolicySpec("mine", "own:Mine", "mine"))
    register_policy(PolicySpec("mine", "own:Mine", "mine"))
    with pytest.raises(ConfigError, match="registered already"):
        register_policy(PolicySpec("mine", "own:Another", "mine"))
    arrays = [Scenario("mine", "", "classroom-v0", "random", {"data": torch.ones(2)}) for _ in range(2)]
    monkeypatch.setitem(scenarios, "mine", arrays[0])
    register_scenario(arrays[0])
    with pytest.raises(ConfigError, match="registered already"):
        register_scenario(arrays[1])


def test_help_tells_the_shapes_of_what_was_said():
    for name in Talk._fields:
        assert f" {name}: " in Talk.__doc__
