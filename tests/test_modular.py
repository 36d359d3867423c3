"""modular-v0: groups of a language model bid for who learns, and the world keeps its word about it."""

import math

import numpy as np
import pytest
import torch

from studyhall import make_env, make_sb3, make_world
from studyhall.envs import ConfigError, StudyhallError, continual
from studyhall.envs.language.files import read_model
from studyhall.policies import make_policy
from studyhall.rollouts import Rollout
from studyhall.scenarios import Scenario
from studyhall.testing import check_engine

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "saw",
    "one",
    "dog",
    "run",
    "past",
    "an",
    "old",
    "red",
    "barn",
    "by",
    "night",
]


def corpus(seed, letters, documents=40, length=60):
    """Documents of words of some letters only: a domain that another has never seen."""
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list(letters), 4)) for _ in range(20)]
    return [" ".join(rng.choice(words, length)) for _ in range(documents)]


CORPORA = {"left": corpus(0, "abcde"), "right": corpus(1, "vwxyz")}
SMALL = {
    "corpora": CORPORA,
    "tokeniser": "bytes",
    "width": 8,
    "heads": 2,
    "layers": 2,
    "feedforward": 16,
    "length": 12,
    "slice_size": 4,
    "exam_size": 4,
    "exam_every": 5,
    "horizon": 20,
}


def world_of(num_worlds=2, **changed):
    return make_world("modular-v0", num_worlds=num_worlds, autoreset=False, **{**SMALL, **changed})


def parameters(world):
    return [stack.clone() for stack in world.models.population.parameters]


def changed_groups(world, before):
    """Who moved, bool [W, N]."""
    net, after = world.net, world.models.population.parameters
    moved = [
        torch.stack([(a != b).flatten(1).any(1) for a, b in zip(after[own], before[own], strict=True)]).any(0)
        for own in net.groups
    ]
    return torch.stack(moved, dim=-1)


def bids(*rows):
    return {"bid": torch.tensor(rows, dtype=torch.float32)[..., None]}


def test_the_highest_bidders_learn_and_the_others_keep_every_bit():
    world = world_of(k=2, warmup=0)
    world.reset(seed=0)
    before = parameters(world)
    info = world.step(bids([0.1, 0.9, 0, 0.8, 0, 0.2], [0, 0, 0, 0, 0.1, 0])).info
    expected = torch.tensor([[0, 1, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0]], dtype=torch.bool)
    assert (changed_groups(world, before) == expected).all()
    assert (info["learnt"].bool() == expected).all()
    assert torch.allclose(info["updated"], (expected * world.sizes).sum(-1))


def test_equal_bids_are_drawn_and_zero_rests():
    world = world_of(num_worlds=40, k=2)
    world.reset(seed=0)
    info = world.step({"bid": torch.full((40, 6, 1), 0.5)}).info
    assert (info["learnt"].sum(-1) == 2).all()
    assert (info["learnt"].sum(0) > 0).all()  # who wins is luck, not the order of groups
    info = world.step({"bid": torch.zeros(40, 6, 1)}).info
    assert not info["learnt"].any()


def test_a_share_of_the_parameters_limits_who_learns():
    world = world_of(num_worlds=1, k=None, parameter_share=0.3)
    world.reset(seed=0)
    info = world.step(bids([0.1, 0.9, 0.8, 0.7, 0.6, 0.5])).info
    assert info["updated"].item() <= 0.3
    sizes = world.sizes[1:]
    fits = int((sizes.cumsum(0) <= 0.3).sum())
    assert info["learnt"][0, 1 : 1 + fits].all()
    assert info["learnt"].sum() == fits


def test_a_share_that_nobody_fits_into_is_refused():
    with pytest.raises(ConfigError, match="lets nobody learn: the smallest group holds"):
        world_of(k=None, parameter_share=0.001)


def test_rates_scale_the_step():
    full, half = (
        world_of(actions="rate", k=None, optimiser="sgd"),
        world_of(actions="rate", k=None, optimiser="sgd"),
    )
    for world in (full, half):
        world.reset(seed=0)
    before = parameters(full)
    full.step(bids([1.0] * 6, [1.0] * 6))
    half.step(bids([0.5] * 6, [0.5] * 6))
    for start, one, other in zip(before, parameters(full), parameters(half), strict=True):
        assert torch.allclose(one - start, 2 * (other - start), atol=1e-6)


def test_choices_are_the_same_world():
    one, other = world_of(actions="bid"), world_of(actions="discrete")
    for world in (one, other):
        world.reset(seed=3)
    choice = torch.tensor([[1, 0, 1, 0, 0, 1], [0, 0, 0, 0, 0, 1]])
    one.step({"bid": choice[..., None].float()})
    other.step({"learn": choice})
    assert all(map(torch.equal, parameters(one), parameters(other)))


def test_the_return_is_what_the_model_became_better_by():
    world = world_of(k=None)
    world.reset(seed=0)
    first, total = world.metrics()["score"], torch.zeros(2, 6)
    while not world.ended.all():
        total += world.step({"bid": torch.ones(2, 6, 1)}).reward
    assert torch.allclose(total, (world.metrics()["score"] - first)[:, None].expand(-1, 6), atol=1e-5)
    assert (world.metrics()["nats"] < math.log(256)).all()
    assert torch.allclose(world.breakdown()["final_nats"], world.metrics()["nats"])


def test_compute_has_its_price():
    world = world_of(k=None, compute_price=2.0, exam_every=100)
    world.reset(seed=0)
    dense = world.step({"bid": torch.ones(2, 6, 1)})
    assert torch.allclose(dense.reward, torch.full((2, 6), -2.0))
    top = world.step(bids([0, 0, 0, 0, 0, 1], [0] * 6))
    assert (top.info["cost"][0] < 1) & (top.info["cost"][1] < top.info["cost"][0])
    assert torch.allclose(top.reward, -2 * top.info["cost"][:, None].expand(-1, 6))


def test_domains_come_as_tasks_say_and_the_others_are_examined_only():
    world = world_of(tasks=["right", "left"])
    obs = world.reset(seed=0)
    seen = []
    while not world.ended.all():
        classes = world.dataset.labels("stream", world._state["stream/slice"])
        seen.append((classes.unique().tolist(), obs["current_domain"][0, 0].tolist()))
        obs = world.step({"bid": torch.ones(2, 6, 1)}).obs
    assert seen == [([1], [0.0, 1.0])] * 10 + [([0], [1.0, 0.0])] * 10
    only = world_of(tasks=["right"])
    only.reset(seed=0)
    assert set(only.breakdown()) >= {"nats/left", "nats/right", "forgetting/left"}
    hidden = world_of(boundaries="hidden")
    assert not hidden.reset(seed=0)["current_domain"].any()


def test_what_tasks_did_is_told_domain_by_domain():
    world = world_of(tasks=["right", "left"], k=None)
    world.reset(seed=0)
    while not world.ended.all():
        world.step({"bid": torch.ones(2, 6, 1)})
    told = world.breakdown()
    rows = ("nats_before", "nats_after_right", "nats")
    matrix = torch.stack([torch.stack([told[f"{row}/{d}"] for d in CORPORA], -1) for row in rows], 1)
    assert torch.equal(matrix, -world.privileged()["scores"])
    assert (matrix[:, 1, 1] < matrix[:, 0, 1]).all()


def test_windows_may_overlap_in_the_stream_alone():
    one, other = world_of(), world_of(stride=6)
    for split in ("exam", "test"):
        assert torch.equal(one.dataset.split(split).x, other.dataset.split(split).x)
    assert torch.equal(other.dataset.stream.x[:20:2], one.dataset.stream.x[:10])
    with pytest.raises(ConfigError, match="stride must be a whole number between 1 and 12"):
        world_of(stride=13)


def test_a_state_goes_on_with_its_own_texts_alone():
    world, shorter = world_of(), world_of(corpora={"left": CORPORA["left"][:-1], "right": CORPORA["right"]})
    for one in (world, shorter):
        one.reset(seed=0)
    before = parameters(shorter)
    with pytest.raises(ConfigError, match="dealt other data"):
        shorter.load_state_dict(world.state_dict())
    assert all(map(torch.equal, parameters(shorter), before))


def test_one_domain_is_enough():
    world = world_of(corpora={"left": CORPORA["left"]})
    world.reset(seed=0)
    world.step({"bid": torch.ones(2, 6, 1)})
    assert "backward_transfer" in world.breakdown()


@pytest.mark.parametrize("wrong", ["nowhere", [], ["left", "left"], ["middle"]])
def test_tasks_are_domains(wrong):
    with pytest.raises(StudyhallError, match="tasks"):
        world_of(tasks=wrong)


def test_gradients_are_shown_of_whom_measure_says():
    learners, probe, everyone = (
        world_of(measure=m, probe_every=3, k=2) for m in ("learners", "probe", "all")
    )
    rms = {}
    for name, world in (("learners", learners), ("probe", probe), ("all", everyone)):
        obs = world.reset(seed=0)
        rms[name] = [obs["gradient"]]
        for _ in range(2):
            obs = world.step(bids([1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0])).obs
            rms[name].append(obs["gradient"])
    never = torch.tensor([0.0, 0, 0, 1])
    assert torch.equal(rms["learners"][0], never.expand(2, 6, 4))
    assert torch.equal(rms["learners"][1][:, 1:], never.expand(2, 5, 4))
    assert (rms["learners"][1][:, 0, 3] == 0).all()
    assert (rms["probe"][1][..., 3] == 0).all()  # step 0 is a probe
    assert torch.allclose(rms["probe"][2][:, 1:, 3], torch.tensor(1 / 11))
    assert (rms["all"][0][..., 3] == 0).all()
    assert torch.equal(probe.metrics()["nats"], learners.metrics()["nats"])  # to look changes nothing


def test_what_all_see_is_the_gradient_of_the_slice_to_come():
    world = world_of(measure="all", k=None, warmup=0)
    obs = world.reset(seed=5)
    module = world.models.population.extract(0)
    tokens = world.tokens(world._state)[0]
    logits = module(tokens[:, :-1])
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
    values = list(module.parameters())
    for group, own in enumerate(world.net.groups):
        squares = sum(float(p.grad.square().sum()) for p in values[own])
        size = sum(p.numel() for p in values[own])
        assert obs["gradient"][0, group, 0].item() == pytest.approx(
            0.5 * math.log10(squares / size), abs=1e-4
        )


def test_columns_forget_nothing_and_know_their_domain():
    world = world_of(columns=True, k=None)
    policy = make_policy("columns")
    policy.bind(world)
    obs = world.reset(seed=0)
    policy.reset()
    nats = []
    while not world.ended.all():
        obs = world.step(policy.act(obs)).obs
        nats.append(world.breakdown()["nats/left"])
    assert torch.equal(nats[9], nats[-1])  # what the first task brought stays
    assert (world.breakdown()["backward_transfer"] == 0).all()
    learnt = world.metrics()["updates"]
    assert (learnt[:, :6] == 10).all()
    assert (learnt[:, 6:] == 10).all()


def test_an_anchor_holds_what_an_earlier_task_needed():
    def forgotten(**changed):
        world = world_of(num_worlds=3, k=None, horizon=120, lr=1e-2, warmup=0, **changed)
        world.reset(seed=0)
        while not world.ended.all():
            world.step({"bid": torch.ones(3, 6, 1)})
        return -world.breakdown()["backward_transfer"]

    free, held = forgotten(), forgotten(anchor="ewc", anchor_strength=100.0)
    assert (free > 0.2).all()
    assert (held < free).all()
    tied = forgotten(anchor="l2", anchor_strength=100.0)
    assert (tied < free).all()


def test_models_are_left_and_begun_with(tmp_path):
    scenario = Scenario("mine", "", "modular-v0", "dense", env_kwargs=SMALL, seeds=(0, 1))
    run = Rollout(scenario)
    report = run.run(networks=tmp_path)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.zip"))
    assert left == [f"seed_{s}/{name}.zip" for s in (0, 1) for name in ("after_left", "model")]
    world = world_of(num_worlds=1, warm=str(tmp_path / "seed_1" / "model.zip"), tasks=["left"])
    world.reset(seed=9)
    for own, was in zip(parameters(world), run.world.models.population.parameters, strict=True):
        assert torch.equal(own[0], was[1])
    assert report.metrics["open"]["test_nats"][0] == pytest.approx(run.world.tests()["test_nats"][0].item())
    with pytest.raises(ConfigError, match="width=8"):
        world_of(warm=str(tmp_path / "seed_1" / "model.zip"), width=16)
    with pytest.raises(ConfigError, match="give a file that studyhall run left in stages/seed_S/"):
        world_of(warm=str(tmp_path))


def test_a_column_says_that_it_has_learnt_its_own_domain(tmp_path):
    scenario = Scenario("own", "", "modular-v0", "columns", env_kwargs={**SMALL, "horizon": 2}, seeds=(0,))
    Rollout(scenario).run(networks=tmp_path)
    for name, domain in (("after_left", "left"), ("model", "right")):
        model = read_model(tmp_path / "seed_0" / f"{name}.zip")
        assert (model.learnt, list(model.facts["nats"])) == ((domain,), [domain])


def test_several_warm_models_are_drawn(tmp_path):
    run = Rollout(
        Scenario("mine", "", "modular-v0", "dense", env_kwargs={**SMALL, "horizon": 2}, seeds=(0, 1))
    )
    run.run(networks=tmp_path)
    files = [str(tmp_path / f"seed_{s}" / "model.zip") for s in (0, 1)]
    world = world_of(num_worlds=20, warm=files)
    world.reset(seed=0)
    first = world.models.population.parameters[0]
    same = torch.stack(
        [(first == run.world.models.population.parameters[0][s]).flatten(1).all(1) for s in (0, 1)]
    )
    assert (same.sum(0) == 1).all()
    assert (same.sum(1) > 0).all()


def test_a_stream_that_has_been_dealt_out_ends_with_an_exam():
    world = world_of(order="single_pass", slice_size=40, horizon=500, exam_every=1000, k=None)
    world.reset(seed=0)
    first, total = world.metrics()["score"], torch.zeros(2, 6)
    while not world.ended.all():
        step = world.step({"bid": torch.ones(2, 6, 1)})
        total += step.reward
    assert step.terminated.all()
    assert (world.clock == world.schedule.slices_per_pass).all()
    assert torch.allclose(total, (world.metrics()["score"] - first)[:, None].expand(-1, 6), atol=1e-5)
    assert (world.metrics()["score"] > first + 0.1).all()


def test_worlds_that_wait_learn_their_own_slice_afterwards():
    one, other = world_of(measure="all", k=None), world_of(measure="all", k=None)
    for world in (one, other):
        world.reset(seed=0)
        world.step({"bid": torch.ones(2, 6, 1)}, mask=np.array([True, False]))
    other.load_state_dict(one.state_dict())
    for world in (one, other):
        world.step({"bid": torch.ones(2, 6, 1)})
    assert all(map(torch.equal, parameters(one), parameters(other)))


def test_hidden_boundaries_are_hidden():
    world = world_of(boundaries="hidden", exam_every=4, k=None)
    obs = world.reset(seed=0)
    cards = [obs["cards"]]
    while not world.ended.all():
        obs = world.step({"bid": torch.ones(2, 6, 1)}).obs
        assert not obs["current_domain"].any()
        assert not obs["record"][..., 2:].any()
        cards.append(obs["cards"])
    assert torch.equal(cards[9], cards[10])  # a task ended with step 10, which is no regular day
    assert not torch.equal(cards[8], cards[12])
    for wrong in ({"columns": True}, {"columns": True, "boundaries": "told", "anchor": "ewc"}):
        with pytest.raises(ConfigError, match="columns"):
            world_of(**{"boundaries": "hidden", **wrong})
    with pytest.raises(ConfigError, match="boundaries='told'"):
        make_policy("partition").bind(world_of(boundaries="hidden", k=None))


def test_a_task_begins_with_a_fresh_record():
    world = world_of(k=1)
    world.reset(seed=0)
    shares = []
    for step in range(12):
        obs = world.step(bids([float(step % 2), 0, 0, 0, 0, 0], [0] * 6)).obs
        shares.append(obs["record"][0, 0, 2].item())
    assert shares[7] == pytest.approx(4 / 8)
    assert shares[9:] == [0.0, 0.0, pytest.approx(1 / 2)]


def test_a_model_gone_infinite_ends_its_world_and_pays_nothing():
    world = world_of(optimiser="sgd", lr=1e20, exam_every=1, k=None, warmup=0)
    world.reset(seed=0)
    total = torch.zeros(2, 6)
    while not world.ended.all():
        step = world.step({"bid": torch.ones(2, 6, 1)})
        total += step.reward
        assert (step.obs["cards"].isfinite()).all()
    assert step.terminated.all()
    assert world.clock.max() <= 2
    assert total.isfinite().all()


def test_only_what_has_ended_is_left(tmp_path):
    world = world_of(num_worlds=1, k=None)
    world.reset(seed=0)
    left = []
    for _ in range(20):
        world.step({"bid": torch.ones(1, 6, 1)})
        world.leave(0, tmp_path)
        left.append(sorted(path.name for path in tmp_path.glob("*")))
    assert left[:9] == [[]] * 9
    assert left[9:19] == [["after_left.zip"]] * 10
    assert left[19] == ["after_left.zip", "model.zip"]
    assert read_model(tmp_path / "after_left.zip").learnt == ("left",)
    assert read_model(tmp_path / "model.zip").learnt == ("left", "right")
    first = str(tmp_path / "after_left.zip")
    assert world_of(warm=first, tasks=["right"]).known == [0]
    assert world_of(warm=[first, str(tmp_path / "model.zip")], tasks=["right"]).known == [0]
    with pytest.raises(ConfigError, match="another tokeniser"):
        world_of(warm=first, tokeniser="words")


def fisher_of(module, tokens):
    """Squared gradient of the mean loss times the tokens, by autograd."""
    module.zero_grad()
    logits = module(tokens[:, :-1])
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
    return [p.grad.square() * tokens[:, 1:].numel() for p in module.parameters()]


def test_fisher_information_is_summed_over_tasks():
    corpora = {**CORPORA, "middle": corpus(2, "klmno")}
    world = world_of(num_worlds=1, corpora=corpora, horizon=12, k=None, anchor="ewc", anchor_slices=2)
    world.reset(seed=0)
    expected, dealt = None, []
    inform = world.models.inform

    def noted(where, slices, **options):
        dealt.append(slices)
        inform(where, slices, **options)

    world.models.inform = noted
    for step in range(1, 9):
        world.step({"bid": torch.ones(1, 6, 1)})
        if step % 4 == 0:  # a task has ended
            module = world.models.population.extract(0)
            each = [fisher_of(module, slices[0]) for slices in dealt[-1]]
            mean = [torch.stack(parts).mean(0) for parts in zip(*each, strict=True)]
            expected = mean if expected is None else [a + b for a, b in zip(expected, mean, strict=True)]
            for own, stack in zip(world.models._fisher, expected, strict=True):
                torch.testing.assert_close(own[0], stack, rtol=1e-3, atol=1e-6)
            assert all(map(torch.equal, world.models._reference, parameters(world)))
    stream = world.dataset.stream
    for number, slices in enumerate(dealt):
        own = stream.x[int(stream.offsets[number]) : int(stream.offsets[number] + stream.counts[number])]
        assert (slices[0, 0, 0] == own).all(-1).any()  # of the domain that was just learnt


@pytest.mark.parametrize("by", ["norm", "rms", "relative"])
def test_the_largest_gradients_learn(by):
    policy = make_policy("largest_gradients", by=by)
    world = world_of(k=2, **policy.world_kwargs)
    policy.bind(world)
    obs = world.reset(seed=0)
    policy.reset()
    for _ in range(5):
        rms = 10 ** obs["gradient"][..., 0]
        norm = rms * (world.sizes * world.net.num_parameters).sqrt()
        seen = {"norm": norm, "rms": rms, "relative": obs["gradient"][..., 2]}[by]
        step = world.step(policy.act(obs))
        chosen, largest = (x.topk(2).indices.sort().values for x in (step.info["learnt"], seen))
        assert torch.equal(chosen, largest)
        obs = step.obs


def test_trust_follows_the_loss():
    policy = make_policy("k1", phase1=0.0)
    world = world_of(num_worlds=1, k=3, **policy.world_kwargs)
    policy.bind(world)
    obs = world.reset(seed=0)
    policy.reset()

    def told(loss, learnt):
        seen = {name: value.clone() for name, value in obs.items()}
        seen["losses"][..., 0] = loss / math.log(world.net.vocabulary)
        seen["elapsed"][:] = 0.5
        seen["record"][..., 1] = 1.0
        seen["record"][0, learnt, 1] = 0.0
        policy.act(seen)
        return policy.memory["trust"][0].tolist()

    assert told(5.0, [0, 1]) == pytest.approx([0.3] * 6)  # nothing to compare with yet
    assert told(4.8, [2]) == pytest.approx([0.4, 0.4, 0.3, 0.3, 0.3, 0.3])  # 0 and 1 had learnt, and it fell
    assert told(4.9, [2]) == pytest.approx([0.4, 0.4, 0.27, 0.3, 0.3, 0.3])
    assert told(2.0, []) == pytest.approx([0.4, 0.4, 0.57, 0.3, 0.3, 0.3])  # .3 at most


def test_what_bids_cannot_do_the_world_does():
    assert make_policy("elastic").world_kwargs["anchor"] == "ewc"
    policy = make_policy("joint")
    world = world_of(**policy.world_kwargs)
    policy.bind(world)
    obs = world.reset(seed=0)
    domains = []
    while not world.ended.all():
        domains.append(world.dataset.labels("stream", world._state["stream/slice"])[0].unique().tolist())
        obs = world.step(policy.act(obs)).obs
    assert all(len(one) == 1 for one in domains)
    assert 2 < sum(one == [0] for one in domains) < 18
    published = make_policy("k1_as_published")
    plain = {name: value for name, value in SMALL.items() if name != "tokeniser"}
    assert world_of(**plain, **published.world_kwargs).dataset.tokeniser.to_json()["kind"] == "words"
    fixed = make_policy("fixed_groups", groups=[1, 4])
    world = world_of(**fixed.world_kwargs)
    fixed.bind(world)
    step = world.step(fixed.act(world.reset(seed=0)))
    assert step.info["learnt"].tolist() == [[0, 1, 0, 0, 1, 0]] * 2
    for wrong in ([], "09", [99]):
        with pytest.raises(ConfigError, match="groups"):
            make_policy("fixed_groups", groups=wrong).bind(world_of(k=1))


@pytest.mark.slow
def test_the_contract_where_everything_is_on():
    on = {"measure": "all", "anchor": "ewc", "anchor_slices": 2, "fresh_optimiser": True, "dropout": 0.1}
    check_engine("modular-v0", **{**SMALL, **on, "horizon": 4})


RULES = [
    "dense",
    "k1",
    "largest_gradients",
    "cooldown",
    "ucb",
    "random_k",
    "round_robin",
    "vocabulary",
    "partition",
]


@pytest.mark.parametrize("name", RULES)
def test_rules_choose_as_they_say(name):
    policy = make_policy(name)
    world = world_of(**{"k": 3, **policy.world_kwargs})
    policy.bind(world)
    obs = world.reset(seed=0)
    policy.reset()
    learnt = []
    while not world.ended.all():
        step = world.step(policy.act(obs))
        learnt.append(step.info["learnt"])
        obs = step.obs
    learnt = torch.stack(learnt)  # [T, W, N]
    count = learnt.sum(-1)
    if name == "dense":
        assert (count == 6).all()
    elif name == "vocabulary":
        assert (learnt == torch.tensor([1.0, 0, 0, 0, 0, 1])).all()
    elif name == "partition":
        assert (learnt[:10] == torch.tensor([1.0, 0, 1, 0, 1, 0])).all()
        assert (learnt[10:] == torch.tensor([0.0, 1, 0, 1, 0, 1])).all()
    elif name == "cooldown":
        assert (count <= 3).all()
        assert (learnt.sum(0) < 20).all()  # nobody learns all the time
    else:
        assert (count == 3).all()
    if name == "round_robin":
        assert (learnt.sum(0) == 10).all()
        assert (learnt[0::2] + learnt[1::2] == 1).all()  # each pass is of all
        assert not torch.equal(learnt[0], learnt[2])  # and not two fixed halves


def test_rules_ask_for_the_world_they_need():
    policy = make_policy("dense")
    with pytest.raises(ConfigError, match="k=None"):
        policy.bind(world_of())
    with pytest.raises(ConfigError, match="modular-v0"):
        make_policy("vocabulary").bind(make_world("swarm-v0"))


def test_the_views_take_it():
    env = make_env("modular-v0", **SMALL)
    obs, _ = env.reset(seed=0)
    assert env.agents == [f"group_{i}" for i in range(6)]
    env.step({agent: np.ones(1, np.float32) for agent in env.agents})
    vec = make_sb3("modular-v0", num_worlds=2, **SMALL)
    assert vec.reset()["gradient"].shape == (12, 4)


def test_transfer_is_that_of_lopez_paz_and_ranzato():
    scores = torch.tensor([[[0.0, 0.1, 0.2], [0.9, 0.2, 0.2], [0.5, 0.8, 0.4], [0.4, 0.6, 0.7]]])
    assert continual.average(scores).item() == pytest.approx(1.7 / 3)
    assert continual.backward_transfer(scores, (0, 1, 2)).item() == pytest.approx(
        ((0.4 - 0.9) + (0.6 - 0.8)) / 2
    )
    assert continual.forward_transfer(scores, (0, 1, 2)).item() == pytest.approx(
        ((0.2 - 0.1) + (0.4 - 0.2)) / 2
    )
    assert continual.backward_transfer(scores[:, :2], (0,)).isnan().all()
    lost = continual.forgetting(torch.tensor([4.4, 3.0]), torch.tensor([4.0, 3.0]))
    assert torch.allclose(lost, torch.tensor([0.1, 0.0]))
