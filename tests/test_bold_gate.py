"""Hosted experts who know their own classes by their energy, the rule that believes energies, and who claims all."""

import pytest
import torch

from studyhall import make_world
from studyhall.envs import ConfigError
from studyhall.learners import MLP, Detection, Lesson, Population, label_loss, learner_keys, teach
from studyhall.learners.energy import ANCHOR, detection
from studyhall.policies import make_policy
from studyhall.rollouts import rollout
from studyhall.rollouts.settings.customise import customise
from studyhall.rollouts.training.by_reward import configure, train
from studyhall.scenarios import get_scenario

EXPERTS = {"agents": 4, "slice_size": 8, "exam_size": 10, "deal": "sorted", "public_order": "iid"}
HOSTED = EXPERTS | {"learners": "mlp", "hidden": (12,), "dropout": 0.0, "lr": 0.01, "energies": True}
NETWORK = MLP((6, 5, 4))


def society(num_worlds=3, seed=0, **kwargs):
    world = make_world("society-v0", num_worlds=num_worlds, autoreset=False, **{**HOSTED, **kwargs})
    return world, world.reset(seed=seed)


# ---- learning what is one's own -------------------------------------------------------------------------


@pytest.mark.parametrize("easy", [False, True], ids=["too many claimed", "too few claimed"])
def test_a_lesson_with_detection_is_what_autograd_makes_of_its_losses(easy):
    """On either side of where the risk of claiming others' rows is cut off."""
    gen = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=gen)  # noqa: E731
    one, other = (
        Population(NETWORK, learner_keys(torch.arange(2), 3), optimiser="sgd", lr=1.0) for _ in range(2)
    )
    x, about, labels = draw(2, 3, 7, 6), draw(2, 3, 7, 6), torch.randint(-1, 4, (2, 3, 7), generator=gen)
    labels[1, 2] = -1
    with torch.no_grad():  # energies about the line, to one side of it
        for population in (one, other):
            population.parameters[-1] += -ANCHOR + (3.0 if easy else -3.0)
    detect = Detection(0.7, torch.tensor([[0.2, 0.5, 0.9], [0.1, 1.0, 0.3]]))
    targets = draw(2, 3, 7, 4).softmax(-1)
    lesson = Lesson(draw(2, 3).abs(), draw(2, 3, 7).abs(), targets)
    cut = []

    def expected(logits):
        own, public = logits[..., :7, :], logits[..., 7:, :]
        energy = -1.5 * (logits / 1.5).logsumexp(-1)
        known = (labels >= 0).float()
        risk = detection(
            energy[..., :7], known, energy[..., 7:], torch.ones_like(energy[..., 7:]), detect.prior
        )
        cut.append(energy.detach())
        divergence = targets * (targets.log() - (public / 1.5).log_softmax(-1))
        labelled = lesson.label * (label_loss(own, labels) + detect.weight * risk)
        return labelled + 2.25 * (lesson.imitate * divergence.sum(-1)).mean(-1)

    losses = other.learn(torch.cat([x, about], -2), expected)
    taught = teach(
        one, lesson, inputs=x, labels=labels, about=about, allowed=torch.ones(2, 3, dtype=torch.bool),
        temperature=1.5, distill_scale=2.25, detect=detect,
    )  # fmt: skip
    assert ((cut[0].mean() < ANCHOR) == easy).all()
    assert torch.allclose(taught, losses, rtol=1e-4, atol=1e-5)
    for a, b in zip(one.parameters, other.parameters, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_hosted_learners_learn_by_that_lesson_with_the_share_of_their_classes():
    """One step in the world is one step of the same learners outside: 3 of 10 classes each, and one's own rows."""
    world, obs = society(detect=0.5, temperature=1.5, optimiser="sgd", lr=0.1, actions="targets")
    nobody = torch.zeros(3, 4, 8, 10)
    world.step({"targets": nobody})
    twin, state = world.population.extract, world._state
    twins = [[twin(w, n).train() for n in range(4)] for w in range(3)]
    own = world.dataset.inputs("stream", state["fb/slice"])
    public = world.dataset.inputs("stream", state["fb/public"])[:, 0]
    labels = world.dataset.dealt_labels(state["fb/slice"])
    world.step({"targets": nobody})
    for w in range(3):
        for n, net in enumerate(twins[w]):
            rows = torch.cat([own[w, n], public[w]]).flatten(1)
            logits = net(rows)
            energy = -1.5 * (logits / 1.5).logsumexp(-1)
            risk = detection(
                energy[:8], torch.ones(8), energy[8:], torch.ones(len(energy[8:])), torch.tensor(0.3)
            )
            loss = torch.nn.functional.cross_entropy(logits[:8], labels[w, n]) + 0.5 * risk
            loss.backward()
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter -= 0.1 * parameter.grad
            for a, b in zip(net.parameters(), world.population.extract(w, n).parameters(), strict=True):
                assert torch.allclose(a, b, atol=1e-5)


def test_without_a_weight_not_a_bit_differs():
    plain, silent = society()[0], society(detect=0.0)[0]
    other = society(detect=0.3)[0]
    for _ in range(4):
        listen = torch.full((3, 4, 3), 0.2)
        one, two, three = (world.step({"listen": listen}) for world in (plain, silent, other))
        assert all(torch.equal(one.obs[name], two.obs[name]) for name in one.obs)
    for a, b, c in zip(*(w.population.parameters for w in (plain, silent, other)), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_experts_come_to_know_whose_a_row_is():
    """Mostly: with detection the lowest energy on a row is that of who knows its class, without far less often."""
    right = {}
    for detect in (0.0, 1.0):
        world, obs = society(actions="targets", agents=5, horizon=200, detect=detect, liars=0, hidden=(32,))
        found = []
        while not world.ended.all():
            obs = world.step({"targets": torch.zeros(3, 5, 8, 10)}).obs
            told = world.privileged()
            lowest = obs["own_energies"].argmin(1)
            found.append(told["experts"][torch.arange(3)[:, None], lowest, told["labels"]].float().mean())
        right[detect] = torch.stack(found[-50:]).mean()
    assert right[1.0] > 0.9 > 0.8 > right[0.0]


@pytest.mark.parametrize(("id", "kwargs"), [("classroom-v0", {}), ("classroom-v0", {"share": "own"})])
def test_who_is_no_expert_has_nothing_to_tell_apart(id, kwargs):
    with pytest.raises(ConfigError, match=r"detect is for experts.*class_experts"):
        make_world(id, learners="mlp", detect=1.0, **kwargs)


# ---- the rule -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("faults", [{}, {"drop": 0.4, "churn": 0.2, "rejoin": 0.5, "mode": "shuffled"}])
def test_the_rule_imitates_who_claims_a_row_most(faults):
    """Row by row as plain loops have it; a bold liar is believed wherever its lowest energy is the lowest of all."""
    world, obs = society(actions="targets", detect=1.0, liar_kinds=("bold",), **faults)
    rule = make_policy("lowest_energy")
    rule.bind(world)
    rule.reset()
    believed = [0, 0]
    for _ in range(25):
        targets = rule.act(obs)["targets"]
        liars = world.privileged()["liar"]
        for w in range(3):
            for i in range(4):
                for b in range(8):
                    heard = [s for s in range(3) if obs["messages"][w, i, s, b].any()]
                    claims = {s: float(obs["energies"][w, i, s, b]) for s in heard}
                    best = min(claims, key=claims.get, default=None)
                    if best is None or claims[best] >= float(obs["own_energies"][w, i, b]):
                        assert not targets[w, i, b].any()
                    else:
                        torch.testing.assert_close(targets[w, i, b], obs["messages"][w, i, best, b])
                        believed[int(liars[w, (i + 1 + best) % 4])] += 1
        obs = world.step({"targets": targets}).obs
    assert min(believed) > 100


def test_the_rule_needs_energies():
    world, _ = society(actions="targets", energies=False)
    with pytest.raises(ConfigError, match="energies=True"):
        make_policy("lowest_energy").bind(world)


# ---- the scenario ---------------------------------------------------------------------------------------


def test_the_scenario_runs_with_its_rule_and_trains_a_gate(tmp_path):
    scenario = get_scenario("masc-digits-bold").within(4)
    report = rollout(scenario, seeds=(0, 1))
    assert list(report.metrics) == ["open", "mute"]
    config = configure(
        scenario, assignments=["actions=gated", "ppo.n_steps=4"], timesteps=80, worlds=2,
        eval_every=80, eval_worlds=2,
    )  # fmt: skip
    trained = train(config, tmp_path / "trained")
    gated = rollout(customise(scenario, assignments=[f"policy={trained.folder}/best.zip"]), seeds=(0, 1))
    assert gated.metrics["mute"] == report.metrics["mute"]  # whoever decides, nobody is heard there
    assert gated.metrics["open"] != report.metrics["open"]
