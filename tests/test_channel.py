"""The channel: topologies by their degrees, faults by counting, the ledger to the byte."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from studyhall.envs import rng
from studyhall.envs.channel import LIAR_KINDS, Channel, DelayLine
from studyhall.envs.channel.ledger import soft_targets
from studyhall.envs.errors import ConfigError, UnknownName

B, C = 6, 4


def start(channel: Channel, seed: int = 0):
    key = rng.fold(rng.world_key(torch.arange(channel.num_worlds) + seed, "train"), 0)
    draws = rng.Draws(channel.reset_draws())(rng.fold(key, 0))
    return key, channel.start(draws, C, channel.num_worlds)


def carry(channel: Channel, published: torch.Tensor, step: int = 1, seed: int = 0):
    key, state = start(channel, seed)
    draws = rng.Draws(channel.step_draws(B, C))(rng.fold(key, step))
    clock = torch.full((channel.num_worlds,), step)
    on_air, silent = channel.on_air(published, state, draws, clock)
    size = soft_targets((~silent).sum(-1), published.shape[-1], channel.bits)
    return SimpleNamespace(published=on_air, **channel.route(size, state, draws)._asdict()), state


def matrix(channel: Channel, state: dict, slots: torch.Tensor) -> torch.Tensor:
    """What is said of the slots of each agent, as [W, N, N] of receivers and senders."""
    return channel.neighbours(state).by_agent(torch.cat([torch.zeros_like(slots[..., :1]), slots], dim=-1))


def edges_of(channel: Channel, seed: int = 0) -> torch.Tensor:
    _, state = start(channel, seed)
    return matrix(channel, state, state["edges"])


def beliefs(channel: Channel, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.rand(channel.num_worlds, channel.num_agents, B, C, generator=g).softmax(-1)


@pytest.mark.parametrize(
    ("topology", "degrees"),
    [("complete", [5] * 6), ("ring", [2] * 6), ("star", [5] + [1] * 5), ("k_regular", [4] * 6)],
)
def test_degrees_of_fixed_topologies(topology, degrees):
    channel = Channel(6, 3, topology=topology, degree=4)
    edges = edges_of(channel)
    assert edges.sum(-1).tolist() == [degrees] * 3
    assert torch.equal(edges, edges.transpose(1, 2))
    assert not edges.diagonal(dim1=1, dim2=2).any()


def test_small_world_rewires_about_its_share_and_keeps_symmetry():
    channel = Channel(20, 50, topology="small_world", degree=4, rewire=0.3)
    lattice = edges_of(Channel(20, 1, topology="small_world", degree=4, rewire=0.0))
    edges = edges_of(channel)
    assert torch.equal(edges, edges.transpose(1, 2))
    assert lattice.sum() == 80
    kept = (edges & lattice).sum() / (50 * 80)
    assert 0.68 < kept < 0.78  # an edge is kept with .7, or lands on a lattice edge again


@pytest.mark.parametrize(("agents", "degree"), [(12, 4), (5, 2), (7, 6), (4, 2)])
@pytest.mark.parametrize("rewire", [0.0, 0.5, 1.0])
def test_small_world_has_as_many_edges_as_its_lattice(agents, degree, rewire):
    channel = Channel(agents, 40, topology="small_world", degree=degree, rewire=rewire)
    edges = edges_of(channel)
    assert torch.equal(edges, edges.transpose(1, 2))
    assert not edges.diagonal(dim1=1, dim2=2).any()
    assert edges.sum((1, 2)).tolist() == [agents * degree] * 40  # each edge in both directions


def test_rewired_edges_go_where_networkx_has_them():
    channel = Channel(12, 1000, topology="small_world", degree=4, rewire=1.0)
    edges = edges_of(channel)
    around = torch.stack([edges.roll(gap, 2).diagonal(dim1=1, dim2=2) for gap in range(12)]).float()
    chance = around.mean((1, 2)).tolist()
    # The mean of 2,000 graphs watts_strogatz_graph(12, 4, 1.0), by distance around the ring.
    known = [0, 0.350, 0.113, 0.433, 0.441, 0.439, 0.448]
    assert chance == pytest.approx(known + known[5:0:-1], abs=0.015)
    alone = edges_of(Channel(12, 1, topology="small_world", degree=4, rewire=1.0), seed=7)
    assert torch.equal(alone[0], edges[7])


@pytest.mark.parametrize("topology", ["k_regular", "small_world"])
def test_a_degree_that_few_agents_cannot_have(topology):
    with pytest.raises(ConfigError, match="degree 2 is for 3 agents or more, there are 2: add agents"):
        Channel(2, topology=topology)


def test_random_edges_are_new_each_step_with_their_chance():
    channel = Channel(10, 40, topology="random", edge_probability=0.3)
    first = carry(channel, beliefs(channel), step=1)[0].heard
    second = carry(channel, beliefs(channel), step=2)[0].heard
    assert not torch.equal(first, second)
    assert abs(first.float().sum() / (40 * 90) - 0.3) < 0.03


def test_a_matrix_is_taken_as_it_is_but_for_oneself():
    given = torch.tensor([[1, 1, 0], [0, 1, 1], [0, 0, 0]]).bool()
    sent, state = carry(channel := Channel(3, 2, topology=given), beliefs(channel))
    assert channel.slots == 1  # the most that anyone hears
    assert matrix(channel, state, sent.heard)[0].int().tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("kind", [np.array, torch.tensor, list])
def test_matrices_come_as_arrays_tensors_or_lists(kind):
    given = kind([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    sent, state = carry(channel := Channel(3, topology=given), beliefs(channel))
    assert matrix(channel, state, sent.heard)[0].int().tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_the_ledger_counts_every_sent_edge_to_the_byte():
    channel = Channel(4, 1, topology="ring", bits=8, drop=1.0)
    published = beliefs(channel)
    published[0, 1, 2:] = 0  # agent 1 abstains on four of six rows
    published[0, 3] = 0  # agent 3 publishes nothing
    sent, _ = carry(channel, published)
    assert sent.sent_bits.tolist() == [
        [8 * 2 * B * C, 8 * 2 * 2 * C, 8 * 2 * B * C, 0]
    ]  # dropped ones included
    assert not sent.heard.any()


def test_a_cap_drops_the_whole_message_and_charges_nothing():
    published = beliefs(Channel(4))
    size = 3 * B * C * 4
    over, _ = carry(Channel(4, cap=size - 1), published)
    within, _ = carry(Channel(4, cap=size), published)
    assert over.sent_bits.sum() == 0
    assert not over.heard.any()
    assert within.sent_bits.tolist() == [[8 * size] * 4]


def test_drops_have_their_chance_and_do_not_depend_on_what_is_said():
    channel = Channel(10, 50, drop=0.2)
    one, _ = carry(channel, beliefs(channel, 1))
    other, _ = carry(channel, beliefs(channel, 2))
    assert torch.equal(one.heard, other.heard)
    assert abs(one.heard.float().sum() / (50 * 90) - 0.8) < 0.02


def test_quantisation_leaves_the_levels_of_its_bits():
    channel = Channel(3, bits=2)
    published = torch.tensor([0.5, 0.3, 0.2, 0.0]).expand(1, 3, B, C)
    sent, _ = carry(channel, published)
    assert torch.allclose(sent.published[0, 0, 0], torch.tensor([2, 1, 1, 0]) / 4)


def test_modes_of_a_batch():
    channel = Channel(4, 4, mode=["open", "mute", "shuffled", "isolated"])
    published = beliefs(channel)[:1].expand(4, -1, -1, -1)
    sent, _ = carry(channel, published)
    assert [int(h.sum()) for h in sent.heard] == [12, 0, 12, 0]
    assert torch.equal(sent.published[0], published[0])
    in_place = torch.arange(B)
    assert [torch.equal(order, in_place) for order in sent.order] == [True, True, False, True]
    assert torch.equal(sent.order[2].sort().values, in_place)
    assert sent.sent_bits[1].sum() == sent.sent_bits[0].sum()
    assert sent.sent_bits[3].sum() == 0


def test_the_absent_neither_send_nor_hear():
    channel = Channel(4, churn=0.5)
    _, state = start(channel)
    state["present"] = torch.tensor([[True, False, True, True]])
    draws = rng.Draws(channel.step_draws(B, C))(rng.world_key(torch.arange(1), "train"))
    _, silent = channel.on_air(beliefs(channel), state, draws, torch.ones(1))
    sent = channel.route((~silent).sum(-1), state, draws)
    heard = matrix(channel, state, sent.heard)
    assert not heard[0, 1].any()
    assert not heard[0, :, 1].any()
    assert sent.sent_bits[0, 1] == 0


def test_churn_is_a_markov_chain_with_its_rates():
    channel = Channel(50, 20, churn=0.1, rejoin=0.3)
    key, state = start(channel)
    present, history = state["present"], []
    for step in range(1, 200):
        present = channel.presence(present, rng.Draws(channel.step_draws(B, C))(rng.fold(key, step)))
        history.append(present)
    assert abs(torch.stack(history[50:]).float().mean() - 0.75) < 0.01  # rejoin / (churn + rejoin)


def test_liars_are_as_many_as_said_hidden_anew_and_of_the_kinds_given():
    channel = Channel(6, 200, liars=2, liar_kinds=("sharp", "noise", "none"))
    liar = start(channel)[1]["liar"]
    counts = (liar > 0).sum(-1)
    assert set(counts.tolist()) == {0, 2}
    kinds = {LIAR_KINDS[k] for k in liar.unique().tolist()}
    assert kinds == {"none", "sharp", "noise"}
    assert (liar > 0).float().mean(0).std() < 0.1  # nobody in particular


@pytest.mark.parametrize("kind", [k for k in LIAR_KINDS if k != "none"])
def test_each_kind_lies_as_described_and_the_honest_stay_honest(kind):
    channel = Channel(5, 8, liars=2, liar_kinds=(kind,), wake=10)
    published = beliefs(channel)
    sent, state = carry(channel, published, step=20)
    lying = state["liar"] > 0
    assert torch.allclose(sent.published[~lying], published[~lying], atol=1e-6)
    told, meant = sent.published[lying].view(8, 2, B, C), published[lying].view(8, 2, B, C)
    assert torch.allclose(told.sum(-1), torch.ones(8, 2, B), atol=1e-5)
    shift = state["shift"][:, None, None]
    if kind == "roll":
        for w in range(8):
            assert torch.allclose(told[w], meant[w].roll(int(shift[w]), dims=-1), atol=1e-6)
    elif kind in ("sharp", "sleeper"):
        assert (told.amax(-1) == 1).all()
        assert torch.equal(told.argmax(-1), (meant.argmax(-1) + shift) % C)
    elif kind == "collude":
        assert torch.equal(told[:, 0], told[:, 1])
        assert torch.equal(told[:, 0].argmax(-1), (meant[:, 0].argmax(-1) + shift[..., 0]) % C)
    elif kind == "bold":
        assert torch.equal(told, torch.nn.functional.one_hot(meant.argmax(-1), C).float())
    elif kind == "modest":
        confidence = meant.amax(-1)
        assert torch.allclose(told.amax(-1), torch.maximum(confidence, (1 - confidence) / 3), atol=1e-5)
    else:
        assert not torch.allclose(told, meant, atol=0.05)


def test_colluders_follow_the_first_of_them_who_speaks():
    channel = Channel(5, 8, liars=2, liar_kinds=("collude",))
    published = beliefs(channel)
    lying = start(channel)[1]["liar"] > 0
    first = lying.float().argmax(-1)
    published[torch.arange(8), first, :3] = 0  # the first liar keeps silent on three rows
    sent, state = carry(channel, published)
    told, meant = sent.published[lying].view(8, 2, B, C), published[lying].view(8, 2, B, C)
    shifted = (meant.argmax(-1) + state["shift"][:, None, None]) % C
    assert (told[:, 0, :3] == 0).all()
    assert torch.equal(told[:, 1, :3].argmax(-1), shifted[:, 1, :3])
    assert torch.equal(told[:, 1, 3:].argmax(-1), shifted[:, 0, 3:])


def test_a_sleeper_is_honest_until_it_wakes():
    channel = Channel(5, 8, liars=2, liar_kinds=("sleeper",), wake=10)
    published = beliefs(channel)
    assert torch.allclose(carry(channel, published, step=10)[0].published, published, atol=1e-6)
    assert not torch.allclose(carry(channel, published, step=11)[0].published, published, atol=0.1)


def test_a_delay_line_holds_what_went_in_and_lets_gradients_through():
    line = DelayLine(2)
    state = line.start({"x": torch.zeros(1, 1)})
    items = [torch.full((1, 1), float(i), requires_grad=True) for i in range(1, 5)]
    out = []
    for item in items:
        state, got = line.push(state, {"x": item})
        out.append(got["x"])
    assert [o.item() for o in out] == [0, 0, 1, 2]
    (gradient,) = torch.autograd.grad(out[3], items[1])
    assert gradient.item() == 1


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        ({"topology": "rign"}, UnknownName, "ring"),
        ({"mode": "mut"}, UnknownName, "mute"),
        ({"liar_kinds": ("sharpe",)}, UnknownName, "sharp"),
        ({"topology": torch.ones(2, 2)}, ConfigError, "4 × 4"),
        ({"topology": np.full((4, 4), 0.5)}, ConfigError, "a matrix of . × . booleans"),
        ({"topology": None}, ConfigError, "must be one of complete"),
        ({"topology": [[1, 0], [1]]}, ConfigError, "must be one of complete"),
        ({"liars": 1, "liar_kinds": ()}, ConfigError, "list of kinds"),
        ({"liar_kinds": "sharp"}, ConfigError, "list of kinds"),
        ({"noise": float("nan")}, ConfigError, "noise must be a number"),
        ({"delay": 1.5}, ConfigError, "delay must be a whole number"),
        ({"drop": "much"}, ConfigError, "drop must be a number"),
        ({"topology": "k_regular", "degree": 3}, ConfigError, "even"),
        ({"drop": 1.5}, ConfigError, "between 0 and 1"),
        ({"bits": 0}, ConfigError, "between 1 and 32"),
        ({"delay": -1}, ConfigError, "at least 0"),
        ({"cap": -1}, ConfigError, "at least 0"),
        ({"liars": 5}, ConfigError, "between 0 and 4"),
        ({"mode": ["open"]}, ConfigError, "one per world"),
    ],
)
def test_faults_are_said_in_one_line(fault, error, text):
    with pytest.raises(error, match=text) as caught:
        Channel(4, 2, **fault)
    assert "\n" not in str(caught.value)
