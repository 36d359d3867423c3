"""K-1's hierarchy as a policy: trust, rules of structure, and what it tunes, by what it observes."""

import json
import math

import pytest
import torch

from studyhall import make_world
from studyhall.envs.errors import ConfigError, UnknownName
from studyhall.envs.language.spans import span
from studyhall.envs.language.tree import MOVE, OPERATIONS, RETIRE
from studyhall.policies import make_policy
from studyhall.policies.language.hierarchy import LinearTree, controller, diagnostic, reasons, structure
from studyhall.policies.language.hierarchy.learned import features
from studyhall.policies.language.hierarchy.stopping import stopped
from studyhall.policies.language.hierarchy.trust import judged, places
from studyhall.rollouts import Rollout
from studyhall.rollouts.reports.report import Report
from studyhall.rollouts.runs.run import Stopped
from studyhall.rollouts.training.evolution import configure, train
from studyhall.scenarios import Scenario

TEXTS = {name: [f"{name} {i} and {i * i} more " * 30 for i in range(30)] for name in ("one", "other")}
SMALL = {
    "corpora": TEXTS,
    "tokeniser": "bytes",
    "agents": 16,
    "width": 8,
    "feedforward": 16,
    "expert_hidden": 6,
    "length": 12,
    "slice_size": 4,
    "exam_size": 4,
    "exam_every": 5,
    "horizon": 100,
}


def played(name, steps, worlds=2, policy_kwargs=None, **changed):
    """World, policy, and all that it proposed, int64 [T, W, N]."""
    policy = make_policy(name, **(policy_kwargs or {}))
    given = {**policy.world_kwargs, **SMALL, **changed}
    world = make_world("hierarchy-v0", num_worlds=worlds, autoreset=False, **given)
    policy.bind(world)
    obs = world.reset(seed=0)
    policy.reset()
    proposed, bids = [], []
    for _ in range(steps):
        actions = policy.act(obs)
        legal = obs["operation_mask"].gather(-1, actions["operation"][..., None])
        assert legal.all()  # nothing is proposed in vain
        proposed.append(actions["operation"])
        bids.append((actions["bid"][..., 0] > 0) * obs["alive"][..., 0])
        obs = world.step(actions).obs
    return world, policy, torch.stack(proposed), torch.stack(bids)


@pytest.mark.parametrize(("steps", "expected"), [(500_000, 1000), (3_001, 10), (3_000, 30), (100, 10)])
def test_shares_of_an_episode_are_steps(steps, expected):
    assert span(0.002, steps) == expected


def test_trust_rises_with_a_falling_error_and_shrinks_otherwise():
    trust, learnt = torch.full((3, 2), 0.5), torch.tensor([[True, False]] * 3)
    before, now = torch.tensor([[4.0], [4.0], [4.0]]), torch.tensor([[3.8], [2.0], [4.1]])
    found = judged(trust, learnt, before, now)
    torch.testing.assert_close(found[:, 0], torch.tensor([0.6, 0.8, 0.45]))
    assert (found[:, 1] == 0.5).all()
    assert torch.equal(judged(trust, learnt, torch.full((3, 1), math.inf), now), trust)


def test_places_are_those_among_the_living():
    values, alive = torch.tensor([[3.0, 9.0, 1.0, 2.0]]), torch.tensor([[True, False, True, True]])
    assert places(values, alive)[alive].tolist() == [1.0, 0.0, 0.5]


def seen(n=4, **given):
    """Observations in which nothing stands out."""
    obs = {
        "record": torch.tensor([0.1, 0.1, 0.5, 0.1, 0.1, 0.5]).expand(1, n, 6).clone(),
        "links": torch.tensor([0.0, -1.0]).expand(1, n, 2).clone(),
        "similarity": torch.zeros(1, n, 1),
        "together": torch.zeros(1, n, 2),
        "gap": torch.zeros(1, n, 2),
        "own_features": torch.zeros(1, n, 5),
        "alive": torch.ones(1, n, 1),
    }
    return obs | given


def named(found):
    return found.scores.isfinite().nonzero()[:, 1].tolist()


def test_two_faults_of_three_prune():
    obs = seen()
    obs["record"][0, 1, 1] = 0.001  # seldom used, and of little trust
    obs["record"][0, 2, 1], obs["record"][0, 2, 4] = 0.001, 0.99  # seldom used and long idle
    obs["record"][0, 3, 4] = 0.99  # long idle alone
    trust = torch.tensor([[0.1, 0.1, 0.9, 0.9]])
    assert named(structure.prune(obs, trust, torch.tensor([[0.2]]), idle=100)) == [1, 2]
    assert named(structure.prune(obs, trust, torch.tensor([[0.05]]), idle=100)) == [2]


def test_trusted_siblings_that_are_alike_merge():
    obs = seen()
    obs["links"][0, :, 1] = torch.tensor([1.0, 0.0, 3.0, 2.0])
    obs["similarity"][...] = 0.9
    trust = torch.tensor([[0.5, 0.5, 0.9, 0.3]])
    assert named(structure.merge(obs, trust, 0.85)) == [0, 1]  # .72 + .2; the others' .72 + .08
    assert named(structure.merge(obs, trust * 0.5, 0.85)) == []


def test_others_of_the_structure():
    obs = seen()
    obs["gap"][0, :2, 1] = 0.9  # 90 steps
    assert named(structure.grow(obs, torch.full((1, 4), 0.1), persisting=50)) == []  # no slot is free
    obs["alive"][0, 3] = 0
    assert named(structure.grow(obs, torch.tensor([[0.4, 0.6, 0.1, 0.1]]), persisting=50)) == [0]
    assert named(structure.grow(obs, torch.full((1, 4), 0.1), persisting=100)) == []
    obs["together"][0, 2] = torch.tensor([0.5, 0.6])
    assert named(structure.move(obs)) == [2]
    obs["own_features"][0, 0, 4], obs["own_features"][0, 1, 4] = 0.62, 0.6
    assert named(structure.split(obs)) == [0]
    obs["own_features"][0, 3, 1], obs["record"][0, 3, 4] = 1.0, 0.99
    assert named(structure.dissolve(obs, idle=100)) == [3]


def test_the_controller_prunes_less_after_failures_and_more_where_nobody_is_trusted():
    memory = {name: torch.full((4, 1), value) for name, value in controller.start(lr=0.003).items()}

    def column(*values):
        return torch.tensor(values)[:, None]

    found = controller.Measured(
        undone=column(3.0, 0.0, 0.0, 0.0),
        distrusted=column(0.0, 0.5, 0.0, 0.5),
        loss=column(2.0, 1.0, 1.02, 1.02),
        best=torch.ones(4, 1),
        stale=column(0.0, 0.0, 90.0, 0.0),
        at_work=column(0.0, 0.0, 0.2, 0.0),
    )
    due = torch.tensor([[True], [True], [True], [False]])
    new = controller.tuned(memory, found, due, patience=50)
    torch.testing.assert_close(new["deletion"][:, 0], torch.tensor([0.18, 0.22, 0.2, 0.2]))
    assert new["k"][:, 0].tolist() == [6.0, 4.0, 5.0, 5.0]
    torch.testing.assert_close(new["exploration"][:, 0], torch.tensor([0.09, 0.09, 0.25, 0.1]))
    torch.testing.assert_close(new["stretch"][:, 0], torch.tensor([1.0, 1.0, 1.3, 1.0]))
    torch.testing.assert_close(new["lr"][:, 0], torch.tensor([0.003, 0.003, 0.0033, 0.003]))
    for _ in range(30):
        new = controller.tuned(new, found, due, patience=50)
    for name, (low, high) in controller.BOUNDS.items():
        assert (new[name] >= low).all(), name
        assert (new[name] <= high).all(), name


def test_learning_stops_after_long_patience_or_when_losses_have_converged():
    stale = torch.tensor([[0.0], [200.0], [10.0], [10.0]])
    mean = torch.tensor([[2.0], [2.0], [2.0], [2.0]])
    square = torch.tensor([[5.0], [5.0], [4.0], [5.0]])
    assert stopped(stale, mean, square, patience=100)[:, 0].tolist() == [False, True, True, False]


def test_the_diagnostic_says_what_it_finds():
    obs = seen(n=10)
    quiet = diagnostic.found(
        obs | {"alive": obs["alive"] * (torch.arange(10) < 8)[:, None]},
        torch.full((1, 10), 0.5),
        torch.zeros(1, 1),
        50,
        0.8,
    )
    assert not quiet.any()
    obs["similarity"][0, :4] = 0.9
    trust = torch.tensor([[0.0] * 5 + [1.0] * 5])
    assert diagnostic.found(obs, trust, torch.full((1, 1), 60.0), 50, 0.8).all()


def test_in_the_first_phase_nothing_is_changed_and_k_learn_beside_the_root():
    world, policy, proposed, bids = played("k1_hierarchy", 12, policy_kwargs={"phase1": 0.5})
    assert policy.first > 12
    assert not proposed.any()
    assert (bids.sum(-1) == 6).all()
    assert (bids[..., 0] == 1).all()  # the root is the first slot
    learnt = [frozenset(row.nonzero().flatten().tolist()) for row in bids[:, 0]]
    assert len(set(learnt)) > 1  # one is drawn


def test_it_changes_trees_and_goes_by_its_intervals():
    world, policy, proposed, _ = played(
        "k1_hierarchy", 99, policy_kwargs={"merge": 0.6}, min_children=1, tolerance=10.0
    )
    done = {name: int(world.breakdown()[f"tried/{name}"].sum()) for name in OPERATIONS[1:]}
    assert sum(done.values()) == int((proposed > 0).sum())
    assert done["retire"] > 0
    assert done["merge"] > 0
    first = (proposed > 0).any(-1).nonzero()[:, 0].min()
    assert first >= policy.first
    merges = (proposed[:, 0] == OPERATIONS.index("merge")).any(-1).nonzero().flatten()
    assert (merges.diff() >= policy.every["merge"]).all()
    memory = policy.memory
    assert ((memory["trust"] >= 0) & (memory["trust"] <= 1)).all()
    assert policy.findings().shape == (2, len(diagnostic.FINDINGS))


def test_the_learning_rate_falls_with_unstable_trust_and_rises_without_progress():
    world, policy, _, _ = played("k1_hierarchy", 10, policy_kwargs={"phase1": 0.0, "lr": 0.002})
    assert policy.memory["lr"].flatten().tolist() == pytest.approx([0.002, 0.002])
    memory = policy.memory
    memory["trust"][0, ::2], memory["trust"][0, 1::2] = 0.0, 1.0
    memory["stale"][:] = torch.tensor([[0.0], [3 * policy.window + 1.0]])
    memory["best"][1] = 0.0
    bids = policy.act(world.obs)["bid"][..., 0]
    assert policy.memory["lr"].flatten().tolist() == pytest.approx([0.0016, 0.0022])
    shares = [row[row > 0].unique().tolist() for row in bids]
    assert shares == [[pytest.approx(0.16)], [pytest.approx(0.22)]]


def test_a_run_tells_why_each_operation_was_proposed_also_when_it_is_taken_up(tmp_path):
    given = {"env_kwargs": {**SMALL, "min_children": 1}, "policy_kwargs": {"merge": 0.6}, "seeds": (0, 1)}
    scenario = Scenario("mine", "", "hierarchy-v0", "k1_hierarchy", **given)
    whole = Rollout(scenario)
    report = whole.run(networks=tmp_path / "whole")
    told = report.decisions["open"]
    for row, seed in enumerate(("0", "1")):
        counts = {name: sum(one["what"] == name for one in told[seed]) for name in OPERATIONS[1:]}
        assert counts == {name: int(whole.world.breakdown()[f"tried/{name}"][row]) for name in OPERATIONS[1:]}
        steps = [one["step"] for one in told[seed]]
        assert steps == sorted(steps)
        assert min(steps) >= whole.policy.first
    of = {one["what"]: one["why"] for seed in told.values() for one in seed}
    assert "≥ 0.60, trust" in of["merge"]
    assert all(" > " in why or " < " in why or " ≥ " in why for why in of.values())
    assert Report.from_json(json.loads(json.dumps(report.as_json()))).decisions == report.decisions
    saved, left = tmp_path / "saved", [tmp_path / "whole", tmp_path / "again"]
    cut = Rollout(scenario)
    with pytest.raises(Stopped):
        cut.run(checkpoint=saved, stop=lambda: cut.done == 70, networks=left[1])
    again = Rollout(scenario)
    assert again.load_if_saved(saved)
    assert again.run(networks=left[1]).decisions == report.decisions
    files = [{p.relative_to(f): p.read_bytes() for p in f.rglob("*.zip")} for f in left]
    assert len(files[0]) == 4
    assert files[0] == files[1]  # to a bit


def test_of_very_many_decisions_the_last_are_kept():
    memory = reasons.start()
    memory = {name: value[None].repeat(2, 1) for name, value in memory.items()}
    found = structure.Found(torch.zeros(2, 3), (torch.tensor([[0.7], [0.8]]), 0.25))
    for step in range(reasons.KEPT + 3):
        who, steps = torch.tensor([[1], [2]]), torch.full((2, 1), step)
        decision = reasons.numbers("move", found, who, MOVE, steps)
        memory |= reasons.kept(memory, torch.tensor([[True], [step > 500]]), decision)
    first, second = (reasons.told(memory, world) for world in range(2))
    assert [one.step for one in first] == list(range(3, reasons.KEPT + 3))
    assert second == [
        (step, 2, "move", "active with another manager 0.80 > 0.25 with its own")
        for step in range(501, reasons.KEPT + 3)
    ]


def test_faults_that_hold_are_named():
    obs = seen()
    obs["record"][0, 1, 1], obs["record"][0, 2, 4] = 0.001, 0.99
    found = structure.prune(obs, torch.tensor([[0.1, 0.1, 0.15, 0.9]]), torch.tensor([[0.2]]), idle=100)
    memory = {name: value[None] for name, value in reasons.start().items()}
    for agent in named(found):
        decision = reasons.numbers("prune", found, torch.tensor([[agent]]), RETIRE, torch.tensor([[7]]))
        memory |= reasons.kept(memory, torch.tensor([[True]]), decision)
    assert [one.why for one in reasons.told(memory, 0)] == [
        "trust 0.10 < 0.20, usage 0.0010 < 0.005",
        "trust 0.15 < 0.20, idle for 990 steps > 100",
    ]


def test_stopped_it_bids_no_more():
    world, policy, _, bids = played("k1_hierarchy", 5, policy_kwargs={"stops": True})
    assert bids[-1].any(-1).all()
    policy.memory["best"][0], policy.memory["stale"][0] = 0.0, 1.0 + policy.every["move"]
    assert policy.act(world.obs)["bid"].flatten(1).any(-1).tolist() == [False, True]


def test_a_fallen_exam_is_rolled_back_once():
    policy = make_policy("k1_hierarchy", phase1=0.0)
    world = make_world(
        "hierarchy-v0",
        num_worlds=1,
        autoreset=False,
        **{**policy.world_kwargs, **SMALL, "lr": 0.01, "warmup": 0},
    )
    policy.bind(world)
    obs = world.reset(seed=0)
    policy.reset()
    rolled = []
    for t in range(45):
        if t == 30:
            with torch.no_grad():
                world.models.trunk[-1].copy_(
                    torch.randn(world.models.trunk[-1].shape, generator=torch.Generator().manual_seed(0)) * 6
                )
        actions = policy.act(obs)
        rolled.append(bool((actions["operation"] == OPERATIONS.index("roll_back")).any()))
        if t >= 20:  # nothing else, so that there is a copy and no trial
            actions["operation"] = actions["operation"] * (
                actions["operation"] == OPERATIONS.index("roll_back")
            )
        obs = world.step(actions).obs
    assert sum(rolled) == 1
    assert rolled.index(True) >= 30


def test_what_is_seldom_due_goes_first():
    _, policy, proposed, _ = played("k1_hierarchy", 12, policy_kwargs={"merge": 0.0}, max_children=6)
    assert len(set(policy.every.values())) == 1  # all at once, in an episode so short
    assert not proposed[:10].any()
    assert (proposed[10].amax(-1) == OPERATIONS.index("split")).all()  # two managers of four, of six at most


def test_of_agents_who_are_equal_one_is_drawn():
    """Of managers who were all idle for as long; the first slot is no fault."""
    policy = make_policy("k1_hierarchy", phase1=0.0)
    world = make_world("hierarchy-v0", num_worlds=12, **{**policy.world_kwargs, **SMALL, "agents": 24})
    policy.bind(world)
    obs = world.reset(seed=0)
    policy.reset()
    policy.memory["last/dissolve"] -= 100.0
    obs = {**obs, "record": obs["record"].clone()}
    obs["record"][..., 4] = 0.99
    operation = policy.act(obs)["operation"]
    assert ((operation == OPERATIONS.index("dissolve")).sum(-1) == 1).all()
    assert len(set(operation.argmax(-1).tolist())) > 1


def test_operations_that_are_left_out_are_never_proposed():
    others = ("retire", "merge", "move", "split", "dissolve", "roll_back")
    _, _, proposed, _ = played("k1_hierarchy", 60, policy_kwargs={"without": others})
    assert {OPERATIONS[number] for number in proposed.unique().tolist()} == {"nothing", "grow"}
    with pytest.raises(UnknownName, match="roll_back"):
        make_policy("k1_hierarchy", without=["rollback"])
    with pytest.raises(ConfigError, match="a list of operations, got 'grow'"):
        make_policy("k1_hierarchy", without="grow")


@pytest.mark.parametrize("name", ["fixed_tree", "flat_mixture"])
def test_trees_that_nobody_looks_after(name):
    world, _, proposed, bids = played(name, 5)
    assert not proposed.any()
    assert torch.equal(bids, world.obs["alive"][..., 0].expand_as(bids))
    flat = name == "flat_mixture"
    assert (world.metrics()["managers"] == 0).all() == flat
    assert (world.metrics()["alive"] == (16 if flat else 11)).all()


def test_random_operations_are_of_all_kinds():
    world, _, proposed, _ = played(
        "random_operations", 100, policy_kwargs={"chance": 1.0}, trial=1, exam_every=1, min_children=1
    )
    tried = world.breakdown()
    assert all(tried[f"tried/{name}"].sum() > 0 for name in OPERATIONS[1:-1])
    assert tried["tried/roll_back"].sum() == 0


def learners(bids):
    """Who but the root learns, sets of agents of the first world by step."""
    return [frozenset(row[1:].nonzero().flatten().tolist()) for row in bids[:, 0]]


def test_few_who_knew_the_first_domain_learn_the_second():
    first = None
    for earlier in (0, 1, 2):
        world, _, _, bids = played(
            "newcomers", 20, policy_kwargs={"learners": 2, "earlier": earlier}, horizon=20
        )
        own = learners(bids)
        assert len(set(own[:10])) == len(set(own[10:])) == 1
        assert len(own[0]) == len(own[10]) == 2
        assert len(own[0] & own[10]) == earlier
        assert (world.breakdown()["updates_on_earlier"] == earlier / 2).all()
        assert bids[:, :, 0].all()  # the trunk
        first = first or own[0]
        assert own[0] == first  # until the second domain nothing differs


def test_a_trunk_may_rest_after_the_first_domain():
    _, _, _, bids = played("newcomers", 12, policy_kwargs={"learners": 9, "trunk": False}, horizon=20)
    assert bids[:10, :, 0].all()
    assert not bids[10:, :, 0].any()
    assert len(learners(bids)[10]) == 1  # of ten, who is left
    with pytest.raises(ConfigError, match="cannot be 6"):
        make_policy("newcomers", earlier=6)
    with pytest.raises(ConfigError, match="boundaries"):
        make_policy("newcomers").bind(make_world("hierarchy-v0", k=None, boundaries="hidden", **SMALL))


@pytest.mark.parametrize(("name", "count"), [("random_agents", 3), ("least_used", 3), ("trunk_alone", 0)])
def test_as_many_learn_as_the_world_takes(name, count):
    world, _, proposed, bids = played(name, 8, k=3)
    assert not proposed.any()
    assert bids[:, :, 0].all()
    assert (world.metrics()["updated"] - count / 10).abs().max() < 1e-6
    if name == "least_used":
        usage = world.obs["record"][0, :, 1]
        highest = world.obs["alive"][0, :, 0] * make_bids(world, name)[0]
        assert usage[highest[1:].argmax() + 1] == usage[1:11].min()


def make_bids(world, name):
    policy = make_policy(name)
    policy.bind(world)
    policy.reset()
    return policy.act(world.obs)["bid"][..., 0]


def test_at_first_all_learn_and_nobody_proposes_anything():
    _, _, proposed, bids = played("linear_tree", 5, k=None)
    assert not proposed.any()
    assert ((bids > 0).sum(-1) == 11).all()


def test_numbers_say_what_is_proposed_and_who_rests():
    policy = make_policy("linear_tree")
    numbers = dict.fromkeys(policy.names, 0.0) | {
        "bid: expert": 0.5,
        "bid: usage": 0.1,
        "grow: expert": 0.5,
        "dissolve: manager": 1.0,
        "dissolve: expert": 1.0,  # who may not
    }
    policy.parameters = torch.tensor(list(numbers.values()))
    world = make_world("hierarchy-v0", num_worlds=2, **{**SMALL, "k": None})
    policy.bind(world)
    obs = world.reset(seed=0)
    policy.reset()
    for _ in range(6):
        actions = policy.act(obs)
        found = features(obs)
        assert found.isfinite().all()
        assert found.abs().max() <= 2
        assert not found[obs["alive"][..., 0] == 0].any()
        obs = world.step(actions).obs
        if obs["elapsed"][0, 0, 0] == 0.01:
            who = obs["own_features"][0, :11, :3].argmax(-1)
            expected = torch.tensor([0, OPERATIONS.index("dissolve"), OPERATIONS.index("grow")])[who]
            assert torch.equal(actions["operation"][0, :11], expected)
            assert not actions["bid"][0, who.eq(0).nonzero()].any()


def test_numbers_are_trained_and_kept(tmp_path):
    scenario = Scenario(
        "tree",
        "tiny",
        env="hierarchy-v0",
        policy="linear_tree",
        env_kwargs={**SMALL, "k": None, "horizon": 10},
    )
    given = {"updates": 2, "worlds": 4, "eval_every": 2, "eval_worlds": 2}
    train(configure(scenario, assignments=["es.candidates=4"], **given), tmp_path / "run")
    policy = make_policy(str(tmp_path / "run" / "last.zip"))
    assert isinstance(policy, LinearTree)
    assert not torch.equal(policy.parameters, policy.start())
    assert policy.world_kwargs == {"k": None}


def test_policies_of_trees_refuse_what_is_none():
    with pytest.raises(ConfigError, match="make a world of hierarchy-v0"):
        make_policy("k1_hierarchy").bind(make_world("swarm-v0"))
    with pytest.raises(ConfigError, match="tree='flat'"):
        make_policy("flat_mixture").bind(make_world("hierarchy-v0", k=None, **SMALL))
    with pytest.raises(ConfigError, match=r"lr=0\.01"):
        make_policy("k1_hierarchy").bind(make_world("hierarchy-v0", k=None, actions="rate", **SMALL))
    with pytest.raises(ConfigError, match="actions='bid'"):
        make_policy("fixed_tree").bind(make_world("hierarchy-v0", k=None, actions="discrete", **SMALL))
