"""MiniCoMo's network: what a plain form of it computes, and that a message is about its own sample only."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from studyhall.envs.errors import ConfigError, UnknownName
from studyhall.policies.messages.attention import Attention
from studyhall.policies.messages.minicomo import MiniCoMo
from studyhall.policies.messages.stacked import StackedLinear, own_part, product

N, VIEW, MESSAGE = 2, 12, 8
SIZES = {"width": 8, "layers": 2, "heads": 2, "tokens": 3, "hidden": 10}
MESSENGERS = ("attention", "simple")


def load_plain() -> SimpleNamespace:
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "plain_minicomo.py"
    spec = importlib.util.spec_from_file_location("plain_minicomo", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


plain = load_plain()


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(*, agents: int = N, sources: int | None = None, **kwargs) -> MiniCoMo:
    sources = agents - 1 if sources is None else sources
    settings = SIZES | {"generator": draw()} | kwargs
    return MiniCoMo(agents, sources, VIEW, VIEW * sources, MESSAGE, **settings)


def views(rows: int, agents: int = N) -> torch.Tensor:
    return torch.rand(agents, rows, VIEW, generator=draw(1))


def inboxes(rows: int, agents: int = N, sources: int = 1) -> torch.Tensor:
    return torch.randn(agents, rows, sources, MESSAGE, generator=draw(2))


def everyone(inbox: torch.Tensor) -> torch.Tensor:
    return torch.ones(inbox.shape[:3], dtype=torch.bool)


def exchange(net, view: torch.Tensor, rounds: int = 1, heard: torch.Tensor | None = None) -> torch.Tensor:
    """Answers after rounds in which every agent reads all others."""
    agents = len(view)
    memory = net.begin(view)
    for _ in range(rounds):
        messages = net.write(memory)
        inbox = torch.stack([messages.roll(-1 - s, 0) for s in range(agents - 1)], dim=2)
        memory = net.read(memory, inbox, everyone(inbox) if heard is None else heard)
    return net.answer(memory)


def answers(net: MiniCoMo, inbox: torch.Tensor, heard: torch.Tensor | None = None) -> torch.Tensor:
    """Answers after one reading of given messages."""
    rows, agents = inbox.shape[1], inbox.shape[0]
    memory = net.read(net.begin(views(rows, agents)), inbox, everyone(inbox) if heard is None else heard)
    return net.answer(memory)


@pytest.mark.parametrize("messenger", MESSENGERS)
@pytest.mark.parametrize(
    ("agents", "rounds", "rows", "shared"),
    [(2, 1, 16, False), (2, 1, 5, False), (2, 3, 16, False), (4, 2, 16, False), (4, 2, 16, True)],
)
def test_outputs_and_gradients_are_those_of_the_plain_form(messenger, agents, rounds, rows, shared):
    net = make(agents=agents, messenger=messenger, shared=shared)
    with torch.no_grad():  # away from scales of 1 and shifts of 0, which would hide a mistake
        for parameter in net.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=draw(parameter.numel()))
    sizes = (agents - 1, VIEW, VIEW * (agents - 1), MESSAGE)
    twin = plain.PlainMiniCoMo(net, agents, *sizes, messenger=messenger, **SIZES)
    heard = torch.rand(agents, rows, agents - 1, generator=draw(3)) < 0.7
    heard[:, 0] = False

    found = [exchange(form, views(rows, agents), rounds, heard) for form in (net, twin)]
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)

    weight = torch.randn(found[0].shape, generator=draw(4))
    for answer in found:
        (answer * weight).sum().backward()
    for key, parameter in net.named_parameters():
        ours = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        theirs = [dict(agent.named_parameters())[key].grad for agent in twin.agents]
        if shared:
            torch.testing.assert_close(own_part(key, ours, 0), sum(theirs), rtol=1e-3, atol=2e-4)
        else:
            for agent, grad in enumerate(theirs):
                torch.testing.assert_close(own_part(key, ours, agent), grad, rtol=1e-3, atol=2e-4)


def test_the_documented_size_has_the_documented_number_of_parameters():
    millions = {
        messenger: sum(
            p.numel()
            for p in MiniCoMo(2, 1, 392, 392, 128, messenger=messenger, generator=draw()).parameters()
        )
        / 1e6
        for messenger in MESSENGERS
    }
    assert millions == pytest.approx({"attention": 9.1, "simple": 4.8}, abs=0.05)


@pytest.mark.parametrize("messenger", MESSENGERS)
def test_it_matters_which_message_comes_with_which_sample(messenger):
    net, inbox = make(messenger=messenger), inboxes(16)
    moved = (answers(net, inbox) - answers(net, inbox.roll(1, 1))).abs().amax(-1)
    assert (moved > 1e-5).all()


@pytest.mark.parametrize("messenger", MESSENGERS)
def test_no_sample_depends_on_another(messenger):
    net, inbox = make(messenger=messenger), inboxes(16).requires_grad_()
    answer = answers(net, inbox)
    (grad,) = torch.autograd.grad(answer[:, 3].sum(), inbox)
    others = torch.arange(16) != 3
    assert (grad[:, 3] != 0).all()
    assert (grad[:, others] == 0).all()

    changed = inbox.detach().clone()
    changed[:, 3] += 1.0
    after = answers(net, changed)
    assert torch.equal(after[:, others], answer[:, others])
    assert (after[:, 3] != answer[:, 3]).any()


def test_the_published_reader_leaks_within_a_slice_and_no_further():
    net, inbox = make(reader="batch", slice_size=8), inboxes(16).requires_grad_()
    (grad,) = torch.autograd.grad(answers(net, inbox)[:, 3].sum(), inbox)
    assert (grad[:, :8] != 0).any(-1).all()
    assert (grad[:, 8:] == 0).all()


def test_the_published_reader_cannot_tell_whose_message_is_whose():
    net, inbox = make(reader="batch"), inboxes(16)
    torch.testing.assert_close(answers(net, inbox), answers(net, inbox.roll(1, 1)))


@pytest.mark.parametrize(
    "settings", [{"messenger": "attention"}, {"messenger": "simple"}, {"reader": "batch"}]
)
@pytest.mark.parametrize("sources", [1, 3])
def test_what_was_not_heard_plays_no_part(settings, sources):
    agents = sources + 1
    net = make(agents=agents, **settings)
    inbox = inboxes(16, agents, sources).requires_grad_()
    heard = everyone(inbox)
    heard[:, ::2, 0] = False
    answer = answers(net, inbox, heard)
    (grad,) = torch.autograd.grad(answer.square().sum(), inbox)
    assert (grad[~heard] == 0).all()
    assert (grad[heard] != 0).any(-1).all()
    noise = torch.where(heard[..., None], inbox, 100.0)
    assert torch.equal(answers(net, noise, heard), answer)


@pytest.mark.parametrize(
    "settings", [{"messenger": "attention"}, {"messenger": "simple"}, {"reader": "batch"}]
)
def test_who_hears_nobody_goes_on(settings):
    net = make(**settings)
    inbox = inboxes(16).requires_grad_()
    silence = torch.zeros_like(everyone(inbox))
    answer = answers(net, inbox, silence)
    assert answer.isfinite().all()
    assert torch.equal(answers(net, torch.zeros_like(inbox), silence), answer)
    answer.sum().backward()
    assert (inbox.grad == 0).all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("messenger", MESSENGERS)
def test_sources_are_told_apart(messenger):
    net, inbox = make(agents=4, messenger=messenger), inboxes(16, 4, 3)
    assert not torch.allclose(answers(net, inbox), answers(net, inbox.flip(2)), atol=1e-6)


@pytest.mark.parametrize("messenger", MESSENGERS)
def test_agents_are_alike_only_where_they_share_weights(messenger):
    same = views(16)[:1].expand(N, -1, -1)
    shared, apart = (exchange(make(messenger=messenger, shared=flag), same) for flag in (True, False))
    torch.testing.assert_close(shared[0], shared[1])
    assert not torch.allclose(apart[0], apart[1], atol=1e-3)


@pytest.mark.parametrize("messenger", MESSENGERS)
def test_a_later_round_passes_on_what_was_heard_before(messenger):
    net = make(messenger=messenger)
    first = inboxes(16).requires_grad_()
    memory = net.read(net.begin(views(16)), first, everyone(first))
    (grad,) = torch.autograd.grad(net.write(memory).square().sum(), first)
    assert (grad != 0).any(-1).all()


def test_memory_can_be_copied_before_anyone_wrote():
    net, inbox = make(), inboxes(16)
    memory = net.begin(views(16))
    copy = {name: tensor.clone() for name, tensor in memory.items()}
    net.write(memory)
    ours, theirs = (net.answer(net.read(m, inbox, everyone(inbox))) for m in (memory, copy))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("messenger", MESSENGERS)
def test_gradients_are_right(messenger):
    net = make(messenger=messenger, layers=1).double()
    view, inbox = views(2).double(), inboxes(2).double()

    def answer(view: torch.Tensor, inbox: torch.Tensor) -> torch.Tensor:
        return net.answer(net.read(net.begin(view), inbox, everyone(inbox)))

    assert torch.autograd.gradcheck(answer, (view.requires_grad_(), inbox.requires_grad_()))


@pytest.mark.parametrize("rows", [32, 5])
@pytest.mark.parametrize("groups", [1, 3])
def test_grouped_products(rows, groups):
    x = torch.randn(rows, 2, 3, 4, generator=draw(), requires_grad=True)
    weight = torch.randn(groups, 4, 6, generator=draw(1), requires_grad=True)
    bias = torch.randn(groups, 6, generator=draw(2), requires_grad=True)
    ours, theirs = (
        product(x, weight, bias),
        torch.einsum("rtgi,gio->rtgo", x, weight.expand(3, -1, -1)) + bias,
    )
    torch.testing.assert_close(ours, theirs)
    for a, b in zip(
        *(torch.autograd.grad(y.square().sum(), (x, weight, bias)) for y in (ours, theirs)), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_a_single_token_asks_as_many_do():
    attention = Attention(N, 8, 2, draw(), memory=True)
    x, y = (torch.randn(16, tokens, N, 8, generator=draw(tokens)) for tokens in (2, 5))
    together = attention(x, y)
    apart = torch.cat([attention(x[:, t : t + 1], y) for t in range(2)], 1)
    torch.testing.assert_close(apart, together)


def test_weights_start_as_those_of_torch_do():
    ours, torchs = StackedLinear(3, 50, 400, draw()), nn.Linear(50, 400)
    for mine, other in ((ours.weight, torchs.weight), (ours.bias, torchs.bias)):
        assert mine.abs().max() <= 50**-0.5
        assert mine.std().item() == pytest.approx(other.std().item(), rel=0.15)
    assert not torch.equal(ours.weight[0], ours.weight[1])


def test_weights_come_from_the_generator_alone():
    state = torch.get_rng_state()
    one, same, other = (make(generator=draw(seed)).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not torch.equal(one["tokens"], other["tokens"])


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"heads": 3}, ConfigError, "heads must divide width"),
        ({"layers": 0}, ConfigError, "layers must be a whole number"),
        ({"width": 8.0}, ConfigError, "width must be a whole number"),
        ({"messenger": "attentive"}, UnknownName, "did you mean 'attention'"),
        ({"reader": "batched"}, UnknownName, "did you mean 'batch'"),
        ({"reader": "batch", "messenger": "simple"}, ConfigError, "take messenger='attention'"),
        ({"reader": "batch", "slice_size": 0}, ConfigError, "slice_size must be a whole number"),
    ],
)
def test_bad_settings_are_refused_in_one_line(settings, error, says):
    with pytest.raises(error, match=says) as caught:
        make(**settings)
    assert "\n" not in str(caught.value)
