"""A tree of experts in a language model: its weights, its operations, and what they leave alone."""

import math

import pytest
import torch

from studyhall.envs.language import census, gaps, operations
from studyhall.envs.language.colony import Colony
from studyhall.envs.language.models import Learning
from studyhall.envs.language.tree import (
    DISSOLVE,
    EXPERT,
    FREE,
    GROW,
    MANAGER,
    MERGE,
    MOVE,
    RETIRE,
    ROOT,
    SPLIT,
    Limits,
    Tree,
    above,
    best,
    broken,
    depth,
    height,
    homes,
    leaves,
    legal,
    mates,
    paths,
    plant,
    siblings,
)
from studyhall.learners.tree_model import STOP, TreeTransformer

LIMITS = Limits()
SIZES = {
    "vocabulary": 20,
    "width": 8,
    "heads": 2,
    "layers": 1,
    "feedforward": 16,
    "length": 6,
    "dropout": 0.0,
}


def colony_of(agents=12, worlds=2, form="balanced", **changed):
    net = TreeTransformer(**SIZES, agents=agents, expert_hidden=5, **changed)
    colony = Colony(net, learning=Learning(lr=0.01), form=form, limits=LIMITS, snapshots=2)
    colony.reset(torch.arange(worlds) * 977 + 5, torch.ones(worlds, dtype=torch.bool))
    return colony


def shaken(colony, seed=0):
    """With offsets, and gates that differ; managers still say nothing."""
    generator = torch.Generator().manual_seed(seed)
    tree, silent = colony.tree, (colony.tree.kind != EXPERT).flatten()
    for name, scale in (("expert.offset", 0.5), ("tree.gate", 0.3)):
        stack = colony.live[name]
        stack.add_(scale * torch.rand(stack.shape, generator=generator))
    for name in ("expert.narrow.weight", "expert.narrow.bias"):
        colony.live[name].masked_fill_(silent.view(-1, *[1] * (colony.live[name].dim() - 1)), 0.0)
    assert tree.gate is colony.live["tree.gate"]
    return colony


def tokens_of(colony, windows=3, seed=1, extra=0):
    generator = torch.Generator().manual_seed(seed)
    worlds = len(colony.live["keys"])
    return torch.randint(SIZES["vocabulary"], (worlds, windows, SIZES["length"] + extra), generator=generator)


def applied(colony, operation, who, mask=None, **others):
    """Carry out an operation of one agent in all worlds of a mask."""
    worlds = len(colony.live["keys"])
    where = torch.ones(worlds, dtype=torch.bool) if mask is None else mask
    chosen = torch.full((worlds,), who)
    change = operation(operations.unchanged(colony.tree), where, chosen, **others)
    routes = torch.ones(worlds, colony.net.agents, colony.net.width)
    colony.apply(where, change, routes)
    assert not broken(colony.tree, colony.limits).any()
    return change


def by_hand(colony, world, x):
    """Weights of agents for one activation, from the root down: shares of siblings times those of their parents."""
    tree, net = colony.tree, colony.net
    kind, parent = tree.kind[world].tolist(), tree.parent[world].tolist()
    routes = colony.live["expert.route"].view(-1, net.agents, net.width)[world]
    offset = colony.offsets[world].tolist()
    below = {
        s: [c for c in range(net.agents) if kind[c] and c != s and parent[c] == s] for s in range(net.agents)
    }

    def strength(s):
        if below[s]:
            return math.exp(offset[s]) * sum(strength(c) for c in below[s])
        cosine = torch.cosine_similarity(x, routes[s], dim=0).item()
        return tree.gate[world, s].item() * math.exp(net.sharpness * cosine + offset[s])

    weights = [0.0] * net.agents
    nodes = [(kind.index(ROOT), 1.0)]
    while nodes:
        s, weight = nodes.pop()
        weights[s] = weight
        total = sum(strength(c) for c in below[s])
        nodes += [(c, weight * strength(c) / total) for c in below[s]]
    return torch.tensor(weights)


def test_weights_are_the_shares_of_siblings_times_those_of_their_parents():
    colony = shaken(colony_of())
    x = torch.randn(2, 7, SIZES["width"], generator=torch.Generator().manual_seed(0))
    found = colony.net.route(colony.experts, colony.paths(), x)
    for world in range(2):
        for token in range(7):
            expected = by_hand(colony, world, x[world, token])
            torch.testing.assert_close(found[world, token], expected, atol=1e-6, rtol=1e-5)
    leaf = leaves(colony.tree)
    torch.testing.assert_close((found * leaf[:, None]).sum(-1), torch.ones(2, 7))


def test_without_offsets_the_shape_of_the_tree_changes_nothing():
    balanced, flat = colony_of(10, 1), colony_of(10, 1, form="flat")
    taken = balanced.tree.kind == EXPERT
    assert 0 < taken.sum() < 9
    flat.live["tree.kind"].copy_(torch.where(taken, EXPERT, FREE).to(torch.int8))
    flat.live["tree.kind"][0, 0] = ROOT
    own = torch.arange(10)
    flat.live["tree.parent"].copy_(torch.where(taken, 0, own))
    x = torch.randn(1, 5, SIZES["width"], generator=torch.Generator().manual_seed(0))
    one, other = (c.net.route(c.experts, c.paths(), x) * taken for c in (balanced, flat))
    torch.testing.assert_close(one, other)


def test_gradients_are_those_of_the_losses():
    """Against autograd through a model written out by hand; the trunk's own is tested in test_transformer.py."""
    colony = shaken(colony_of(worlds=1))
    net, tokens = colony.net, tokens_of(colony, extra=1)
    paths_now = colony.paths()
    trunk = [stack.clone().requires_grad_() for stack in colony.trunk]
    experts = [stack.clone().requires_grad_() for stack in colony.experts]
    module = net.module()
    own = [stack[0] for stack in trunk]
    names = [name for name, _ in module.named_parameters()]
    assert names == list(net.names)

    h = torch.func.functional_call(
        _Below(module), dict(zip([f"of.{n}" for n in names], own, strict=True)), tokens[0, :, :-1]
    )
    x = torch.nn.functional.layer_norm(h, h.shape[-1:])
    weights = net.route(experts, paths_now, x.view(1, -1, net.width))
    said = net.answers(experts, x.view(1, -1, net.width))
    y = h + torch.einsum("kms,ksme->kme", weights, said).view_as(h)
    logits = torch.nn.functional.layer_norm(y, y.shape[-1:], *own[-4:-2]) @ own[-2].T + own[-1]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[0, :, 1:].flatten())
    expected = torch.autograd.grad(loss, [*trunk, *experts])
    seen = net.gradients(colony.trunk, colony.experts, paths_now, tokens, colony.live["keys"])
    torch.testing.assert_close(seen.nats.mean(), loss.detach())
    for one, other in zip([*seen.trunk, *seen.experts], expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(colony.losses(tokens[:, None])[0, 0].mean(), loss.detach())


class _Below(torch.nn.Module):
    """A language model up to its last norm."""

    def __init__(self, of):
        super().__init__()
        self.of = of

    def forward(self, tokens):
        places = torch.arange(tokens.shape[1])
        return self.of.layers(self.of.tokens(tokens) + self.of.positions(places))


@pytest.mark.parametrize("routing", ["soft", "hard", "three"])
def test_a_later_token_changes_no_earlier_logit(routing):
    colony = shaken(colony_of(routing=routing))
    tokens = tokens_of(colony)
    other = tokens.clone()
    other[..., 4:] = (other[..., 4:] + 1) % SIZES["vocabulary"]
    one, two = colony.logits(tokens), colony.logits(other)
    assert torch.equal(one[:, :, :4], two[:, :, :4])
    assert not torch.equal(one[:, :, 4:], two[:, :, 4:])


def test_hard_routing_takes_the_best_child_of_each_node_and_stops_at_none_that_stands_out():
    colony = shaken(colony_of(routing="hard", sharpness=2.0))
    x = torch.randn(2, 40, SIZES["width"], generator=torch.Generator().manual_seed(3))
    weights = colony.net.route(colony.experts, colony.paths(), x)
    parent = colony.tree.parent
    stopped = 0
    for world in range(2):
        for token in range(40):
            soft = by_hand(colony, world, x[world, token])
            on, s = set(), int((colony.tree.kind[world] == ROOT).nonzero())
            while True:
                on.add(s)
                below = [
                    c for c in range(12) if c != s and parent[world, c] == s and colony.tree.kind[world, c]
                ]
                if not below:
                    break
                following = max(below, key=lambda c: soft[c].item())
                if soft[following] < STOP * soft[s]:
                    stopped += 1
                    break
                s = following
            assert set(weights[world, token].nonzero().flatten().tolist()) == on
    assert 0 < stopped < 80


def test_three_paths_of_a_node_are_followed_and_slight_ones_dropped():
    colony = shaken(colony_of(worlds=1, form="flat", routing="three"))
    x = torch.randn(1, 30, SIZES["width"], generator=torch.Generator().manual_seed(3))
    weights = colony.net.route(colony.experts, colony.paths(), x)[0]
    for token in range(30):
        soft = by_hand(colony, 0, x[0, token])
        expected = {s for s in soft[1:].topk(3).indices.add(1).tolist() if soft[s] >= 0.01} | {0}
        assert set(weights[token].nonzero().flatten().tolist()) == expected


def free_slot(colony):
    return int((colony.tree.kind[0] == FREE).nonzero()[0])


def exact(colony, operation, who, **others):
    """How far an operation moves a logit at most."""
    tokens = tokens_of(colony)
    before = colony.logits(tokens)
    applied(colony, operation, who, **others)
    return (colony.logits(tokens) - before).abs().max().item()


def test_exact_operations_change_no_output():
    colony = shaken(colony_of(16))
    tree = colony.tree
    leaf = int((tree.kind[0] == EXPERT).nonzero()[0])
    manager = int(tree.parent[0, leaf])
    other = next(s for s in (tree.kind[0] == MANAGER).nonzero().flatten().tolist() if s != manager)
    home = torch.full((2,), other)
    twin = free_slot(colony)
    assert exact(colony, operations.grow, leaf) < 1e-5
    assert (tree.kind[:, twin] == EXPERT).all()
    offsets = {"offsets": colony.offsets}
    assert exact(colony, operations.move, leaf, home=home, limits=LIMITS, **offsets) < 1e-5
    assert (tree.parent[:, leaf] == other).all()
    half = (tree.parent == 0) & (torch.arange(16) != 0) & tree.alive
    assert exact(colony, operations.split, 0, half=half & (torch.arange(16) < 3)) < 1e-5
    assert (depth(tree, LIMITS).amax(-1) == 3).all()
    assert exact(colony, operations.dissolve, other, offsets=colony.offsets) < 1e-5
    assert (tree.kind[:, other] == FREE).all()


def test_merging_twins_changes_no_output_and_merging_strangers_does():
    colony = shaken(colony_of())
    leaf, twin = int((colony.tree.kind[0] == EXPERT).nonzero()[0]), free_slot(colony)
    applied(colony, operations.grow, leaf)
    assert exact(colony, operations.merge, leaf, mate=torch.full((2,), twin)) < 1e-6
    assert (colony.tree.kind[:, twin] == FREE).all()
    stranger = int(siblings(colony.tree)[0, leaf].nonzero()[0])
    assert exact(colony, operations.merge, leaf, mate=torch.full((2,), stranger)) > 1e-3


def test_one_hired_begins_closed_and_is_opened():
    colony = shaken(colony_of())
    leaf, born = int((colony.tree.kind[0] == EXPERT).nonzero()[0]), free_slot(colony)
    assert exact(colony, operations.hire, leaf, offsets=colony.offsets) < 1e-6
    assert (colony.live["expert.route"].view(2, 12, -1)[:, born] == 1).all()  # as it was given one
    opening = torch.zeros(2, 12)
    opening[0, born] = 0.75
    everywhere = torch.ones(2, dtype=torch.bool)
    for expected in (0.75, 1.0, 1.0):
        colony.open(everywhere, opening)
        assert colony.tree.gate[:, born].tolist() == [expected, 0.0]


def test_twins_go_apart_though_both_learn():
    """The newborn has no moments."""
    colony = shaken(colony_of(worlds=1))
    leaf, twin = int((colony.tree.kind[0] == EXPERT).nonzero()[0]), free_slot(colony)
    learns, tokens = torch.ones(1, 12), tokens_of(colony, extra=1)
    for _ in range(2):
        colony.learn(tokens, learns, torch.ones(1))
    applied(colony, operations.grow, leaf)
    colony.learn(tokens, learns, torch.ones(1))
    assert not torch.equal(colony.experts[0][leaf], colony.experts[0][twin])


def rows(colony, name, world, slot):
    return colony.live[name].view(-1, colony.net.agents, *colony.live[name].shape[1:])[world, slot].clone()


def test_who_rests_keeps_every_bit():
    colony = colony_of()
    names = [n for n in colony.live if n.startswith(("expert.", "moment.expert."))]
    learns = torch.zeros(2, 12)
    learns[0, 3] = 1
    before = {(n, w, s): rows(colony, n, w, s) for n in names for w in range(2) for s in range(12)}
    trunk = [stack.clone() for stack in colony.trunk]
    for _ in range(2):
        colony.learn(tokens_of(colony, extra=1), learns, torch.tensor([0.0, 1.0]))
    for (n, w, s), old in before.items():
        assert torch.equal(rows(colony, n, w, s), old) == ((w, s) != (0, 3)), (n, w, s)
    for old, new in zip(trunk, colony.trunk, strict=True):
        assert torch.equal(old[0], new[0])
    assert any(not torch.equal(old[1], new[1]) for old, new in zip(trunk, colony.trunk, strict=True))


def test_an_operation_changes_the_worlds_of_its_mask_alone_and_can_be_undone():
    colony = shaken(colony_of())
    leaf = int((colony.tree.kind[0] == EXPERT).nonzero()[0])
    mate = int(siblings(colony.tree)[0, leaf].nonzero()[0])
    before = {name: stack.clone() for name, stack in colony.live.items()}
    first = torch.tensor([True, False])
    change = applied(colony, operations.merge, leaf, first, mate=torch.full((2,), mate))
    for name, stack in colony.live.items():
        half = len(stack) // 2
        assert torch.equal(stack[half:], before[name][half:]), name
    bystander = next(s for s in range(12) if s not in (leaf, mate))
    colony.learn(tokens_of(colony, extra=1), torch.ones(2, 12), torch.ones(2))
    learnt = rows(colony, "expert.wide.weight", 0, bystander)
    colony.undo(first, change.touched)
    for name in ("tree.kind", "tree.parent", "tree.gate"):
        assert torch.equal(colony.live[name][0], before[name][0])
    for s in (leaf, mate):
        assert torch.equal(
            rows(colony, "expert.wide.weight", 0, s), before["expert.wide.weight"].view(2, 12, 5, 8)[0, s]
        )
    assert torch.equal(
        rows(colony, "expert.wide.weight", 0, bystander), learnt
    )  # what others learnt they keep


def test_rolling_back_goes_to_the_newest_copy_and_then_to_the_one_before():
    colony = colony_of(worlds=1)
    everywhere, tokens = torch.ones(1, dtype=torch.bool), tokens_of(colony, extra=1)
    seen = []
    for _ in range(3):
        colony.learn(tokens, torch.ones(1, 12), torch.ones(1))
        seen.append({n: s.clone() for n, s in colony.live.items() if n not in ("keys", "steps")})
        colony.take_snapshot(everywhere)
    colony.learn(tokens, torch.ones(1, 12), torch.ones(1))
    for expected in (seen[2], seen[1]):  # two are kept
        colony.roll_back(everywhere)
        assert all(torch.equal(colony.live[name], stack) for name, stack in expected.items())


@pytest.mark.parametrize("seed", range(2))
def test_a_thousand_random_operations_leave_a_tree(seed):
    limits = Limits(depth=4, most=6, fewest=2)
    worlds, agents = 8, 14
    tree = plant(agents, "balanced", worlds, torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed)
    quiet = torch.zeros(worlds, dtype=torch.bool)
    offsets = torch.zeros(worlds, agents)
    done = torch.zeros(8, dtype=torch.int64)
    x = torch.randn(worlds, 3, SIZES["width"], generator=generator)
    net = TreeTransformer(**SIZES, agents=agents, expert_hidden=2)
    experts = net.draw_experts(torch.arange(worlds))
    for _ in range(1000 // worlds + 1):
        allowed = legal(
            tree, limits, protected=torch.zeros_like(tree.alive), busy=quiet, kept=torch.zeros(worlds)
        )
        assert not allowed[..., 7].any()
        chance = torch.rand(allowed.shape, generator=generator) * allowed
        chance[..., 0] = 0
        pick = chance.flatten(1).argmax(-1)
        who, operation = pick // 8, pick % 8
        scores = torch.rand(worlds, agents, agents, generator=generator)

        def of(which, which_of=who):
            return which.gather(1, which_of[:, None])[:, 0]

        mate = of(best(scores, mates(tree, limits)))
        home = of(best(scores, homes(tree, limits)))
        own = (tree.parent == who[:, None]) & tree.alive & (tree.kind != ROOT)
        half = own & (own.cumsum(-1) <= own.sum(-1, keepdim=True) // 2)
        change = operations.unchanged(tree)
        change = operations.retire(change, operation == RETIRE, who)
        change = operations.merge(change, operation == MERGE, who, mate)
        change = operations.grow(change, operation == GROW, who)
        change = operations.move(change, operation == MOVE, who, home, offsets, limits)
        change = operations.split(change, operation == SPLIT, who, half)
        change = operations.dissolve(change, operation == DISSOLVE, who, offsets)
        tree = change.tree
        done += torch.bincount(operation, minlength=8)
        assert not broken(tree, limits).any()
        assert (depth(tree, limits) + height(tree, limits) <= limits.depth).all()
        now = paths(tree, limits)
        weights = net.route(experts, now, x)
        torch.testing.assert_close((weights * leaves(tree)[:, None]).sum(-1), torch.ones(worlds, 3))
        assert (weights[~tree.alive[:, None].expand_as(weights)] == 0).all()
    assert (done[RETIRE : DISSOLVE + 1] > 10).all(), done


def test_what_is_no_tree_is_seen():
    tree = plant(16, "balanced", 6, torch.device("cpu"))
    assert not broken(tree, LIMITS).any()
    kind, parent = tree.kind.clone(), tree.parent.clone()
    experts = (kind[0] == EXPERT).nonzero().flatten().tolist()
    managers = (kind[0] == MANAGER).nonzero().flatten().tolist()
    kind[1, experts[0]] = ROOT  # two roots
    parent[2, experts[0]] = experts[1]  # an expert has a child
    parent[3, managers[0]], parent[3, managers[1]] = managers[1], managers[0]  # a cycle
    kind[4, managers[0]] = FREE  # a dead parent
    kind[5, experts[0]] = MANAGER  # of nobody
    assert broken(Tree(kind, parent, tree.gate), LIMITS).tolist() == [False, True, True, True, True, True]
    assert (above(tree, LIMITS).sum(-1) == depth(tree, LIMITS) + tree.alive).all()


def test_specialisation_and_information_of_counts():
    counts = torch.tensor([[[4.0, 0.0], [1.0, 1.0], [0.0, 0.0], [9.0, 1.0]]])
    alive = torch.tensor([[True, True, True, False]])
    assert census.specialisation(counts, alive).item() == pytest.approx(0.5)  # of 1 and 0; one has no count
    assert census.specialisation(counts, torch.zeros_like(alive)).isnan().all()
    assert census.specialisation(counts[..., :1], alive).isnan().all()  # of one domain nothing can be told
    apart = torch.tensor([[[5.0, 0.0], [0.0, 5.0], [3.0, 9.0]]])
    first = torch.tensor([[True, True, False]])
    assert census.information(apart, first).item() == pytest.approx(math.log(2))
    assert census.information(torch.ones(1, 3, 2), first).item() == pytest.approx(0.0, abs=1e-6)


def test_errors_fall_into_clusters_that_a_leaf_serves():
    """Of errors at two places only, each is some clusters', and the leaf routed there is theirs."""
    state = gaps.begin(1, 2, 3, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    places_of = torch.tensor([[5.0, 0.0], [0.0, 5.0]])
    for _ in range(60):
        which = torch.randint(2, (1, gaps.CLUSTERS), generator=generator)
        points = places_of[which] + 0.1 * torch.randn(1, gaps.CLUSTERS, 2, generator=generator)
        state |= gaps.after(state, points, 1.0 + 2.0 * which)
    near = torch.cdist(gaps.centres(state), places_of[None])
    assert (near.min(-1).values[state["gap/weight"] > 1] < 0.3).all()
    weights = torch.softmax(gaps.centres(state) @ torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]]), -1)
    state |= gaps.served(state, weights)
    share = state["gap/share_of"][0]
    assert share.sum().item() == pytest.approx(1.0)
    assert share[1].item() == pytest.approx(0.75, abs=0.08)
    assert share[2] == 0
    assert 60 >= state["gap/age_of"][0, 1] > 50
    oldest = gaps.oldest(state, torch.tensor([1]))
    assert oldest.sum() == 1
    assert state["gap/server"][oldest] == 1
    assert not gaps.oldest(state, torch.tensor([2])).any()


def test_an_agent_is_held_against_its_siblings_alone():
    weights = torch.rand(1, 50, 3, generator=torch.Generator().manual_seed(0))
    with_parent = torch.cat([weights.sum(-1, keepdim=True), weights], -1)  # the parent, then its children
    products = with_parent.mT @ with_parent / 50
    found = census.beside(products, torch.tensor([[0, 0, 0, 0]]))
    for child in range(3):
        others = weights[0].sum(-1) - weights[0, :, child]
        expected = torch.cosine_similarity(weights[0, :, child], others, dim=0)
        assert found[0, 1 + child].item() == pytest.approx(expected.item(), abs=1e-5)
    alone = with_parent[..., :1].expand(1, 50, 2)
    assert census.beside(alone.mT @ alone, torch.tensor([[0, 0]]))[0, 1] == 0
