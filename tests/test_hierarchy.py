"""hierarchy-v0: a tree of experts learns a stream of texts, and every change of it is on trial."""

import io

import numpy as np
import pytest
import torch

from studyhall import make_env, make_sb3, make_world
from studyhall.envs import ConfigError, StudyhallError
from studyhall.envs.language import census
from studyhall.envs.language.files import read_model
from studyhall.envs.language.proposals import tree_of
from studyhall.envs.language.tree import (
    DISSOLVE,
    EXPERT,
    FREE,
    GROW,
    MANAGER,
    MERGE,
    MOVE,
    OPERATIONS,
    RETIRE,
    ROLL_BACK,
    ROOT,
    SPLIT,
    broken,
)
from studyhall.testing import check_engine


def corpus(seed, letters, documents=40, length=60):
    """Documents of words of some letters only: a domain that another has never seen."""
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list(letters), 4)) for _ in range(20)]
    return [" ".join(rng.choice(words, length)) for _ in range(documents)]


SMALL = {
    "corpora": {"left": corpus(0, "abcde"), "right": corpus(1, "vwxyz")},
    "tokeniser": "bytes",
    "agents": 16,
    "width": 8,
    "heads": 2,
    "feedforward": 16,
    "expert_hidden": 6,
    "length": 12,
    "slice_size": 4,
    "exam_size": 4,
    "exam_every": 5,
    "horizon": 40,
    "trial": 5,
    "warmup": 0,
}


def world_of(num_worlds=2, **changed):
    world = make_world("hierarchy-v0", num_worlds=num_worlds, autoreset=False, **{**SMALL, **changed})
    world.reset(seed=0)
    return world


def acts(world, bid=0.5, **proposals):
    """All bid alike; some propose, e.g. ``grow=3``."""
    w, s = world.num_worlds, world.num_agents
    operation = torch.zeros(w, s, dtype=torch.int64)
    for name, agents in proposals.items():
        operation[:, agents] = OPERATIONS.index(name)
    return {"bid": torch.full((w, s, 1), float(bid)), "operation": operation}


def able(world, operation, w=0):
    """Agents who may propose it."""
    return world.obs["operation_mask"][w, :, operation].nonzero().flatten().tolist()


def tree(world):
    return tree_of(world.state_dict()["state"])


def agents_of(world):
    """Parameters of agents, by name, ``[W, S, …]``."""
    live, shape = world.models.live, (world.num_worlds, world.num_agents)
    return {k: v.clone().view(*shape, *v.shape[1:]) for k, v in live.items() if k.startswith("expert.")}


def test_it_learns():
    world = world_of(horizon=60, tasks=["left"], lr=0.01, k=None)
    first = world.breakdown()["nats/left"]
    for _ in range(60):
        world.step(acts(world))
    assert (world.breakdown()["nats/left"] < first - 2).all()


def test_the_highest_bidders_learn_and_the_trunk_with_the_root():
    world = world_of(k=2)
    before, trunk = agents_of(world), [stack.clone() for stack in world.models.trunk]
    bids = torch.zeros(2, 16, 1)
    bids[0, :, 0] = torch.arange(16) / 20
    bids[1, 0] = 0.1
    alive = tree(world).alive
    info = world.step({"bid": bids, "operation": torch.zeros(2, 16, dtype=torch.int64)}).info
    best = alive[0].nonzero().flatten()[-2:].tolist()
    assert info["learnt"].nonzero().tolist() == [[0, best[0]], [0, best[1]], [1, 0]]
    after = agents_of(world)
    moved = torch.stack([(after[k] != before[k]).flatten(2).any(-1) for k in before]).any(0)
    assert moved.nonzero().tolist() == [[0, best[0]], [0, best[1]], [1, 0]]
    still = [torch.equal(a[0], b[0]) for a, b in zip(trunk, world.models.trunk, strict=True)]
    assert all(still)  # in the world whose root rests
    assert not all(torch.equal(a[1], b[1]) for a, b in zip(trunk, world.models.trunk, strict=True))


def test_free_slots_cannot_act_and_earn_nothing():
    world = world_of()
    free = ~tree(world).alive
    assert free.any()
    assert (world.obs["operation_mask"][free].sum(-1) == 1).all()
    for _ in range(5):
        step = world.step(acts(world, grow=free[0].nonzero().flatten()))
    assert not step.reward[free].any()
    assert step.reward[~free].any()
    assert not step.info["learnt"][free].any()
    assert not world.metrics()["tried"].any()


def test_every_operation_is_carried_out_once():
    world = world_of(num_worlds=1, horizon=100, tolerance=1e6, min_children=1, exam_every=5)
    world.step(acts(world))
    done = []
    for operation in (GROW, SPLIT, MOVE, MERGE, RETIRE, DISSOLVE, ROLL_BACK):
        while world.clock[0] % 5 or not able(world, operation):
            world.step(acts(world))  # until what is on trial was judged, and there is a copy
        before = tree(world)
        who = able(world, operation)[0]
        world.step(acts(world, **{OPERATIONS[operation]: who}))
        after = tree(world)
        assert not broken(after, world.limits).any()
        done.append(int(after.alive.sum() - before.alive.sum()))
        if operation in (SPLIT, DISSOLVE):
            assert int((after.kind == MANAGER).sum() - (before.kind == MANAGER).sum()) == done[-1]
        if operation == MOVE:
            assert after.parent[0, who] != before.parent[0, who]
        if operation != ROLL_BACK:
            assert not able(world, GROW)  # one at a time
    while world.clock[0] % 5:
        world.step(acts(world))
    assert done[:6] == [1, 1, 0, -1, -1, -1]
    cases = world.breakdown()
    assert [int(cases[f"tried/{name}"]) for name in OPERATIONS[1:]] == [1] * 7
    assert [int(cases[f"kept/{name}"]) for name in OPERATIONS[1:]] == [1] * 7


def test_of_several_proposals_the_highest_bid_counts_and_equal_ones_are_drawn():
    world = world_of(num_worlds=30)
    leaves = able(world, GROW)
    actions = acts(world, grow=leaves)
    actions["bid"][:, leaves[2]] = 0.9
    world.step(actions)
    touched = world.state_dict()["state"]["trial/touched"]
    assert touched[:, leaves[2]].all()
    world = world_of(num_worlds=30)
    world.step(acts(world, grow=leaves))
    touched = world.state_dict()["state"]["trial/touched"][:, leaves]
    assert (touched.sum(-1) == 1).all()
    assert (touched.sum(0) > 0).sum() > 3


def test_a_bad_change_is_undone_and_its_agents_are_protected():
    world = world_of(num_worlds=2, horizon=60, tolerance=0.0, protect=12)
    for _ in range(10):
        world.step(acts(world))
    who = able(world, MERGE)[0]
    mate = int(world.obs["links"][0, who, 1])
    before, old = agents_of(world), tree(world)
    world.step(acts(world, bid=0, merge=who))
    assert tree(world).alive.sum() == old.alive.sum() - 2
    with torch.no_grad():  # let it be bad in one world
        world.models.live["expert.narrow.bias"].view(2, 16, -1)[0, who] += 20.0
    for _ in range(4):
        world.step(acts(world, bid=0))
    now, after = tree(world), agents_of(world)
    assert torch.equal(now.kind[0], old.kind[0])
    assert torch.equal(now.parent[0], old.parent[0])
    assert all(torch.equal(after[k][0, [who, mate]], before[k][0, [who, mate]]) for k in before)
    cases = world.breakdown()
    assert cases["undone/merge"][0] == 1
    assert cases["kept/merge"][0] == 0
    obs = world.obs
    assert obs["trial"][0, [who, mate], 1].all()
    assert not obs["operation_mask"][0, who, 1:].any()
    for _ in range(12):
        world.step(acts(world, bid=0))
    assert not world.obs["trial"][0, :, 1].any()


@pytest.mark.parametrize(("times", "undone"), [(0.99, 1), (1.01, 0)])
def test_what_a_change_may_cost_is_a_share_of_the_perplexity(times, undone):
    def spoilt(tolerance):
        world = world_of(num_worlds=1, tolerance=tolerance)
        for _ in range(10):
            world.step(acts(world))
        who, before = able(world, MERGE)[0], world.metrics()["perplexity"].item()
        world.step(acts(world, bid=0, merge=who))
        with torch.no_grad():
            world.models.live["expert.narrow.bias"].view(1, 16, -1)[0, who] += torch.linspace(-20, 20, 8)
        for _ in range(4):
            world.step(acts(world, bid=0))
        return world.metrics()["perplexity"].item() / before - 1, world.breakdown()["undone/merge"].item()

    worse, _ = spoilt(1e6)
    assert worse > 0.1
    assert spoilt(worse * times)[1] == undone


def test_idle_is_whom_few_tokens_pick_among_those_of_their_kind():
    kind = torch.tensor([[ROOT, MANAGER, MANAGER, EXPERT, EXPERT, FREE]])
    weights = torch.tensor([1.0, 0.6, 0.4, 0.6, 0.4, 0.0]).expand(
        1, 2, 3, 6
    )  # all tokens pick the first leaf
    above = torch.eye(6)[None].clone()
    above[0, 1:5, 0] = above[0, 3, 1] = above[0, 4, 2] = 1
    state = census.begin(1, 6, 2, torch.device("cpu"))
    learns, known = torch.zeros(1, 6, dtype=torch.bool), torch.ones(1, 2, 2) / 2
    new = census.after(state, weights, torch.zeros(1, 6, 4), known, learns, kind, above, 10)
    assert new["idle"].tolist() == [[0, 0, 1, 0, 1, 1]]
    assert torch.allclose(new["picked/window"][0] * 10, torch.tensor([1.0, 1, 0, 1, 0, 0]))


def test_an_agent_more_is_no_return_more():
    world = world_of()
    for _ in range(5):
        step = world.step(acts(world, grow=slice(None)))
    world.step(acts(world))
    assert step.reward[:, 0].any()
    assert torch.equal(world.team_return(), world.metrics()["return"][:, 0])


def test_what_is_beyond_all_numbers_is_seen_as_0():
    world = world_of(num_worlds=1, lr=1e30)
    while not world.ended[0]:
        world.step(acts(world))
    assert world.clock[0] < world.horizon  # a model is no longer finite
    assert all(value.isfinite().all() for value in world.obs.values())


def test_who_comes_back_from_a_trial_is_who_left():
    """What was known of an agent goes on where its retirement is undone, and ends where it is kept."""
    world = world_of(num_worlds=2, horizon=60, tolerance=0.05, min_children=1, k=None)
    for _ in range(10):
        world.step(acts(world))
    who = able(world, RETIRE)[0]
    old, taught = world.metrics()["updates"][:, who], world.state_dict()["state"]["taught"][:, who]
    assert old.tolist() == [10, 10]
    world.step(acts(world, bid=0, retire=who))
    assert not world.metrics()["updates"][:, who].any()
    assert not world.obs["record"][:, who].any()
    spoil(world)
    while not world.breakdown()["undone/retire"][0]:
        world.step(acts(world, bid=0))
    assert world.obs["alive"][:, who, 0].tolist() == [1, 0]
    assert world.metrics()["updates"][:, who].tolist() == [10, 0]
    assert torch.equal(world.state_dict()["state"]["taught"][0, who], taught[0])
    assert not world.state_dict()["state"]["taught"][1, who].any()


def test_what_follows_an_undone_change_is_held_against_what_was_before_it():
    """Not against the exam of what was undone, else the second of two bad changes would stay."""
    world = world_of(num_worlds=1, horizon=60, min_children=1)
    for _ in range(10):
        world.step(acts(world))
    before, sound = world.metrics()["nats"].item(), [stack.clone() for stack in world.models.trunk]
    for undone in (1, 2):
        world.step(acts(world, bid=0, retire=able(world, RETIRE)[0]))
        spoil(world)
        while world.clock[0] % 5:
            world.step(acts(world, bid=0))
        assert world.metrics()["nats"].item() > before + 0.1
        assert world.breakdown()["undone/retire"].item() == undone
        for stack, kept in zip(world.models.trunk, sound, strict=True):
            stack.copy_(kept)


def spoil(world, w=0):
    """Make a model's outputs bad."""
    stack = world.models.trunk[-1]
    stack[w] += torch.randn(stack[w].shape, generator=torch.Generator().manual_seed(0)) * 3


def test_what_is_on_trial_at_the_end_stays():
    world = world_of(num_worlds=1, horizon=6, exam_every=5, tolerance=0.0, trial=1)
    for _ in range(5):
        world.step(acts(world, bid=0))
    alive = tree(world).alive.sum()
    world.step(acts(world, bid=0, retire=able(world, RETIRE)[0]))
    assert tree(world).alive.sum() == alive - 1
    assert world.breakdown()["undone/retire"] == 0


def test_rolling_back_goes_back_to_the_best_exam():
    world = world_of(num_worlds=1, horizon=80, k=None)
    for _ in range(10):
        world.step(acts(world))
    best, nats = [stack.clone() for stack in world.models.trunk], world.metrics()["nats"].item()
    with torch.no_grad():
        world.models.trunk[-1].add_(
            torch.randn(world.models.trunk[-1].shape, generator=torch.Generator().manual_seed(0)) * 3
        )
    for _ in range(5):
        world.step(acts(world, bid=0))
    assert world.metrics()["nats"].item() > nats * 1.15
    world.step(acts(world, bid=0, roll_back=0))
    assert all(torch.equal(a, b) for a, b in zip(best, world.models.trunk, strict=True))
    for _ in range(4):
        world.step(acts(world, bid=0))
    assert world.metrics()["nats"].item() == pytest.approx(nats, abs=1e-3)


def test_saved_in_the_middle_of_a_trial_it_goes_on_bit_for_bit():
    world = world_of(tolerance=0.0)
    for _ in range(4):
        world.step(acts(world))
    world.step(acts(world, retire=able(world, RETIRE)))
    world.step(acts(world))
    file = io.BytesIO()
    torch.save(world.state_dict(), file)
    file.seek(0)
    twin = world_of(tolerance=0.0)
    twin.load_state_dict(torch.load(file, weights_only=True))
    for _ in range(12):
        one, other = world.step(acts(world, grow=slice(None))), twin.step(acts(twin, grow=slice(None)))
        assert torch.equal(one.reward, other.reward)
        assert all(torch.equal(v, other.obs[k]) for k, v in one.obs.items())
    one, other = world.models.state_dict(), twin.models.state_dict()
    assert all(torch.equal(v, other["live"][k]) for k, v in one["live"].items())


def test_a_gap_stays_with_a_leaf_and_its_twin():
    """So that what a newborn closes of it can be told."""
    world = world_of(num_worlds=1)
    for _ in range(8):
        world.step(acts(world))
    served = [leaf for leaf in able(world, GROW) if world.obs["gap"][0, leaf, 0] > 0]
    born = int((tree(world).kind[0] == FREE).nonzero()[0])
    assert len(served) > 1
    for leaf in served:
        left, grown = world.fork(), world.fork()
        before = left.step(acts(left, bid=0)).obs["gap"][0, :, 0]
        after = grown.step(acts(grown, bid=0, grow=leaf)).obs["gap"][0, :, 0]
        torch.testing.assert_close(after[leaf] + after[born], before[leaf])


def test_twins_give_the_same_gap_and_sibling_in_any_batch():
    """Whose weights are equal but for rounding are compared after it."""
    batch = world_of(num_worlds=3)
    alone = make_world("hierarchy-v0", num_worlds=1, autoreset=False, **SMALL)
    alone.reset(seed=1)
    for t in range(12):
        grown = {"grow": slice(None)} if t in (2, 6) else {}
        one, other = batch.step(acts(batch, **grown)).obs, alone.step(acts(alone, **grown)).obs
        for key, value in one.items():
            torch.testing.assert_close(value[1:2], other[key], atol=1e-4, rtol=1e-3)


def test_choices_in_one_number_do_the_same():
    two, one = world_of(k=None), world_of(k=None, actions="discrete")
    assert one.obs["action_mask"].shape == (2, 16, 9)
    for t in range(8):
        learns = torch.rand(2, 16, generator=torch.Generator().manual_seed(t)) < 0.5
        actions = {"bid": learns[..., None].float(), "operation": torch.zeros(2, 16, dtype=torch.int64)}
        choice = learns.long()
        if t == 3:
            who = able(two, GROW)[1]
            actions["operation"][:, who], choice[:, who] = GROW, GROW + 1
            actions["bid"][:, who] = 0
        first, second = two.step(actions), one.step(choice)
        assert torch.equal(first.info["learnt"], second.info["learnt"])
        assert torch.equal(first.info["slice_nats"], second.info["slice_nats"])
        assert torch.equal(first.obs["alive"], second.obs["alive"])


def test_one_hired_is_opened_over_its_trial():
    world = world_of(num_worlds=1, grow="fresh", trial=4, exam_every=4, tolerance=1e6)
    slot = int((tree(world).kind[0] == FREE).nonzero()[0])
    world.step(acts(world, grow=able(world, GROW)[0]))
    gates = [tree(world).gate[0, slot].item()]
    for _ in range(5):
        world.step(acts(world))
        gates.append(tree(world).gate[0, slot].item())
    assert gates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert gates[4:] == [1.0, 1.0]
    assert tree(world).kind[0, slot] == EXPERT


def test_updates_on_those_who_learnt_earlier_domains():
    """Agents dealt to the domains beforehand share none; where all learn, all of them are shared."""
    for shared, expected in ((False, 0.0), (True, 1.0)):
        world = world_of(num_worlds=1, k=None)
        while not world.ended[0]:
            domain = int(world.obs["current_domain"][0, 0].argmax())
            bids = torch.zeros(1, 16, 1)
            bids[:, domain + 1 :: 2] = 1.0
            actions = {"bid": bids if not shared else torch.ones_like(bids)}
            world.step({**actions, "operation": torch.zeros(1, 16, dtype=torch.int64)})
        cases = world.breakdown()
        assert cases["updates_on_earlier"].item() == expected
        assert cases["specialisation/updates"].item() == pytest.approx(1 - expected, abs=1e-6)
        assert 0 <= cases["specialisation/routed"].item() <= 1
        assert cases["domain_information"].item() >= 0


def test_observations_follow_the_tree():
    world = world_of()
    for _ in range(6):
        obs = world.step(acts(world)).obs
    now = tree(world)
    kinds = torch.stack([now.kind == kind for kind in (ROOT, MANAGER, EXPERT)], -1)
    assert torch.equal(obs["own_features"][..., :3].bool(), kinds)
    below = now.alive & (now.kind != ROOT)
    assert torch.equal(obs["links"][..., 0], torch.where(below, now.parent, -1).float())
    siblings = obs["links"][..., 1].long()
    leaf = now.kind == EXPERT
    assert (now.parent.gather(1, siblings.clamp_min(0))[leaf] == now.parent[leaf]).all()
    leaves_weights = (obs["record"][..., 0] * leaf).sum(-1)
    torch.testing.assert_close(leaves_weights, torch.ones(2))
    assert (obs["record"][..., 0][now.kind == ROOT] - 1).abs().max() < 1e-6
    torch.testing.assert_close(obs["gap"][..., 0].sum(-1), torch.ones(2))
    assert torch.equal(obs["alive"][..., 0].bool(), now.alive)


def test_a_picture_shows_every_agent_below_its_parent():
    world = world_of(num_worlds=1)
    for _ in range(6):
        world.step(acts(world))
    *lines, read = world.render("ansi").splitlines()
    assert read.startswith("reads: ")
    now = tree(world)
    assert "nats: left" in lines[0]
    order = [int(line.split()[1].rstrip(":")) for line in lines[1:]]
    assert sorted(order) == now.alive[0].nonzero().flatten().tolist()
    indent = {s: len(line) - len(line.lstrip()) for s, line in zip(order, lines[1:], strict=True)}
    for place, s in enumerate(order[1:], start=1):
        above = next(t for t in reversed(order[:place]) if indent[t] < indent[s])
        assert above == now.parent[0, s]
    assert world.render("rgb_array").dtype == np.uint8


def test_rates_scale_the_step_of_each_agent_and_of_the_trunk():
    full, half = (world_of(actions="rate", k=None, optimiser="sgd") for _ in range(2))
    before, trunk = agents_of(full), [stack.clone() for stack in full.models.trunk]
    full.step(acts(full, bid=1.0))
    half.step(acts(half, bid=0.5))
    one, other = agents_of(full), agents_of(half)
    for name, start in before.items():
        torch.testing.assert_close(one[name] - start, 2 * (other[name] - start), atol=1e-6, rtol=1e-3)
    for start, whole, part in zip(trunk, full.models.trunk, half.models.trunk, strict=True):
        torch.testing.assert_close(whole - start, 2 * (part - start), atol=1e-6, rtol=1e-3)


def test_a_full_rate_is_a_bid():
    rate, bid = world_of(actions="rate", k=None), world_of(k=None)
    for _ in range(3):
        rate.step(acts(rate, bid=1.0))
        bid.step(acts(bid))
    assert all(torch.equal(value, agents_of(bid)[name]) for name, value in agents_of(rate).items())


def test_models_are_left_and_begun_with(tmp_path):
    world = world_of(num_worlds=2, min_children=1, trial=1)
    for t in range(40):
        world.step(acts(world, **({"grow": able(world, GROW)} if t % 6 == 1 else {})))
        world.leave(1, tmp_path)
    assert world.milestones == (20,)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["after_left.zip", "model.zip"]
    assert not torch.equal(tree(world).kind, tree(world_of()).kind)  # it has grown
    stored = read_model(tmp_path / "model.zip")
    assert stored.learnt == ("left", "right")
    own = world.models.extract(1)
    assert all(torch.equal(a, b) for a, b in zip(stored.parameters, own, strict=True))
    tokens = torch.randint(256, (12,), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(stored.logits(tokens), world.models.logits(tokens.expand(2, 1, 12))[1, 0])
    warm = world_of(num_worlds=1, warm=str(tmp_path / "model.zip"), tasks=["left"])
    assert all(torch.equal(a, b) for a, b in zip(warm.models.extract(0), own, strict=True))
    assert torch.equal(tree(warm).parent[0], tree(world).parent[1])
    for _ in range(3):
        warm.step(acts(warm))
    warm.reset(seed=4)
    assert all(torch.equal(a, b) for a, b in zip(warm.models.extract(0), own, strict=True))
    for changed, says in (
        ({"agents": 12}, "agents=16"),
        ({"tree": "flat"}, "leave tree='flat' out"),
        ({"max_children": 5}, "raise max_depth or max_children"),
    ):
        with pytest.raises(ConfigError, match=says):
            world_of(warm=str(tmp_path / "model.zip"), **changed)
    with pytest.raises(ConfigError, match="a run of modular-v0"):
        make_world("modular-v0", warm=str(tmp_path / "model.zip"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed",
    [
        {"actions": "discrete", "grow": "fresh", "trial": 1, "exam_every": 2, "tolerance": 0.0, "protect": 2},
        {
            "routing": "hard",
            "dropout": 0.1,
            "tree": "flat",
            "fresh_optimiser": True,
            "order": "class_incremental",
        },
    ],
)
def test_it_keeps_the_contract(changed):
    check_engine("hierarchy-v0", **{**SMALL, "agents": 8, "horizon": 3, "min_children": 1, **changed})


def test_views():
    env = make_env("hierarchy-v0", **{**SMALL, "actions": "discrete"})
    obs, _ = env.reset(seed=0)
    env.step({a: env.action_space(a).sample(obs[a]["action_mask"]) for a in env.agents})
    vec = make_sb3("hierarchy-v0", num_worlds=2, **{**SMALL, "actions": "discrete"})
    assert vec.num_envs == 32
    vec.close()
    with pytest.raises(ConfigError, match="make the world with actions='discrete'"):
        make_sb3("hierarchy-v0", **SMALL)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"agents": 1}, "agents"),
        ({"tree": "tall"}, "tree"),
        ({"routing": "loose"}, "routing"),
        ({"grow": "never"}, "grow"),
        ({"actions": "vote"}, "form of actions"),
        ({"snapshots": 0}, "snapshots"),
        ({"tree": "flat", "max_children": 3}, "raise max_children"),
        ({"max_depth": 1}, "raise max_depth"),
        ({"warm": "model.zip"}, "no language model"),
        ({"anchor": "ewc"}, "anchor"),
    ],
)
def test_what_cannot_be_is_one_line(changed, says):
    with pytest.raises(StudyhallError, match=says) as caught:
        world_of(**changed)
    assert "\n" not in str(caught.value)
