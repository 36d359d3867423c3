"""Metrics of languages against published values, plain loops and scipy."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from studyhall.envs.errors import ConfigError, UnknownName
from studyhall.rollouts.language import (
    bosdis,
    causal_influence,
    edit_distance,
    hamming_distance,
    message_entropy,
    posdis,
    topographic_similarity,
)
from studyhall.rollouts.metrics import language


def all_meanings(values: int, attributes: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product(range(values), repeat=attributes)))


def random_language(messages=40, length=4, symbols=5, attributes=3, values=3, lead=(), seed=0):
    generator = torch.Generator().manual_seed(seed)
    sent = torch.randint(symbols, (*lead, messages, length), generator=generator)
    return sent, torch.randint(values, (*lead, messages, attributes), generator=generator)


def plain_edit(a: list[int], b: list[int]) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
    return row[-1]


def plain_entropy(items: list) -> float:
    counts = Counter(items).values()
    return -sum(n / len(items) * math.log2(n / len(items)) for n in counts)


def plain_disentanglement(columns: list[list[int]], attributes: list[list[int]]) -> float:
    gaps = []
    for column in columns:
        entropy = plain_entropy(column)
        if entropy > 0:
            known = sorted(
                entropy + plain_entropy(a) - plain_entropy(list(zip(column, a, strict=True)))
                for a in attributes
            )
            gaps.append((known[-1] - known[-2]) / entropy)
    return sum(gaps) / len(gaps)


# Published values


def test_posdis_of_the_published_sample():
    """The doctest of EGG's ``Disent``: 1,000 samples of 2 attributes × 10 values, torch's generator at seed 0."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randint(low=0, high=10, size=(1_000, 1), generator=generator) for _ in range(2)]
    meanings = torch.cat(drawn, dim=1)
    assert round(posdis(meanings, meanings).item(), 6) == 0.978656
    padded = torch.cat([meanings, torch.zeros_like(meanings)], dim=1)  # silent positions do not count
    assert round(posdis(padded, meanings).item(), 6) == 0.978656
    assert topographic_similarity(meanings, meanings).item() == pytest.approx(1)


def test_bosdis_of_the_published_mini_language():
    """Chaabouni et al. 2020, appendix 8.2, as in EGG's doctest, which counts symbols 1 and 2 only."""
    meanings = all_meanings(4, 2)
    messages = torch.tensor(
        [
            [0, 0, 4], [0, 0, 5], [0, 0, 6], [0, 0, 7],
            [1, 4, 1], [1, 5, 1], [1, 6, 1], [1, 7, 1],
            [2, 4, 2], [2, 5, 2], [2, 6, 2], [2, 7, 2],
            [3, 4, 3], [3, 3, 5], [3, 3, 6], [3, 3, 7],
        ]
    )  # fmt: skip
    assert bosdis(messages, meanings).item() == pytest.approx(1)
    assert bosdis(messages, meanings, padding=0).item() == pytest.approx(1)
    assert posdis(messages, meanings).item() < 0.8


def test_topographic_similarity_of_the_published_words():
    words = torch.tensor([[ord(c) for c in word] for word in ("cat", "dog", "pen", "ben", "ten")])
    assert topographic_similarity(words, words, "hamming").item() == pytest.approx(1)
    assert topographic_similarity(words, words, "edit").item() == pytest.approx(1)


def test_a_language_that_names_every_attribute_is_perfect():
    meanings = all_meanings(10, 2)
    messages = meanings + torch.tensor([0, 10])  # attributes use different words
    assert posdis(messages, meanings).item() == pytest.approx(1)
    assert bosdis(messages, meanings).item() == pytest.approx(1)
    assert topographic_similarity(messages, meanings).item() == pytest.approx(1)
    assert message_entropy(messages).item() == pytest.approx(math.log2(100))
    swapped = torch.where((meanings.sum(1) % 2 == 0)[:, None], messages, messages.flip(1))
    assert bosdis(swapped, meanings).item() == pytest.approx(1)  # word order is free
    assert posdis(swapped, meanings).item() < 0.6


# Independent computations


@pytest.mark.parametrize("lengths", [(1, 1), (5, 5), (3, 7), (7, 3), (0, 4), (4, 0), (0, 0)])
def test_edit_distance_equals_the_plain_loop(lengths):
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randint(3, (30, n), generator=generator) for n in lengths)
    table = edit_distance(a[:, None], b)
    assert table.dtype == torch.int64
    assert table.tolist() == [[plain_edit(x, y) for y in b.tolist()] for x in a.tolist()]


@pytest.mark.parametrize("distance", ["edit", "hamming"])
@pytest.mark.parametrize("count", [2, 3, 24, 25])
def test_topographic_similarity_equals_scipy(distance, count):
    messages, meanings = random_language(count, seed=count)
    messages[:, :2] = meanings[:, :2]
    pairs = list(itertools.combinations(range(count), 2))
    far = {"edit": plain_edit, "hamming": lambda x, y: sum(i != j for i, j in zip(x, y, strict=True))}[
        distance
    ]
    of_messages = [far(messages[i].tolist(), messages[j].tolist()) for i, j in pairs]
    of_meanings = [sum(meanings[i] != meanings[j]).item() for i, j in pairs]
    measured = topographic_similarity(messages, meanings, distance).item()
    if count == 2:
        assert math.isnan(measured)  # one pair
    else:
        assert measured == pytest.approx(spearmanr(of_meanings, of_messages).correlation, abs=1e-12)


def test_disentanglement_and_entropy_equal_the_plain_loops():
    messages, meanings = random_language(60)
    messages[:, 0] = meanings[:, 0]
    messages[:, 3] = 4  # one position is silent
    attributes = meanings.T.tolist()
    assert posdis(messages, meanings).item() == pytest.approx(
        plain_disentanglement(messages.T.tolist(), attributes)
    )
    bags = [[row.count(v) for row in messages.tolist()] for v in range(5)]
    assert bosdis(messages, meanings).item() == pytest.approx(plain_disentanglement(bags, attributes))
    assert bosdis(messages, meanings, padding=2).item() == pytest.approx(
        plain_disentanglement(bags[:2] + bags[3:], attributes)
    )
    assert message_entropy(messages).item() == pytest.approx(
        plain_entropy([tuple(m) for m in messages.tolist()])
    )


def test_languages_side_by_side_are_measured_as_alone(monkeypatch):
    messages, meanings = random_language(20, lead=(3, 2))
    messages[1, 1] = 0
    for table in (meanings, meanings[0, 0]):  # own meanings, and one table for all
        for metric in (topographic_similarity, posdis, bosdis, lambda sent, _: message_entropy(sent)):
            alone = [
                metric(messages[w, n], table if table.ndim == 2 else table[w, n])
                for w in range(3)
                for n in range(2)
            ]
            together = metric(messages, table)
            assert together.shape == (3, 2)
            torch.testing.assert_close(together.flatten(), torch.stack(alone), equal_nan=True)
            with monkeypatch.context() as patch:
                patch.setattr(language, "_CELLS", 100)  # in many chunks
                torch.testing.assert_close(metric(messages, table), together, equal_nan=True)


def test_a_thousand_messages():
    meanings = all_meanings(10, 3)
    assert topographic_similarity(meanings, meanings, "hamming").item() == pytest.approx(1)
    # Less by edit distance, since 123 → 234 is two edits: the value is scipy's over all 499,500 pairs.
    assert topographic_similarity(meanings, meanings).item() == pytest.approx(0.9667046854)
    assert posdis(meanings, meanings).item() == pytest.approx(1)


# Properties

sequences = st.lists(st.integers(-1, 2), max_size=6).map(lambda row: torch.tensor(row, dtype=torch.int64))
languages = st.integers(0, 10_000).map(lambda seed: random_language(12, 3, 3, 2, 3, seed=seed))


@settings(max_examples=60, deadline=None)
@given(sequences, sequences, sequences)
def test_edit_distance_is_a_metric(a, b, c):
    ab = edit_distance(a, b)
    assert ab == edit_distance(b, a)
    assert (ab == 0) == (a.tolist() == b.tolist())
    assert ab <= edit_distance(a, c) + edit_distance(c, b)
    assert abs(len(a) - len(b)) <= ab <= max(len(a), len(b))
    if len(a) == len(b):
        assert ab <= hamming_distance(a, b)


@settings(max_examples=40, deadline=None)
@given(languages, st.randoms(use_true_random=False))
def test_names_and_order_mean_nothing(pair, random):
    messages, meanings = pair
    new_names = torch.tensor(random.sample(range(-50, 50), 3))
    order = torch.tensor(random.sample(range(len(messages)), len(messages)))
    positions = torch.tensor(random.sample(range(3), 3))
    for metric in (
        topographic_similarity,
        lambda m, a: topographic_similarity(m, a, "hamming"),
        posdis,
        bosdis,
        lambda m, a: message_entropy(m),
    ):
        expected = metric(messages, meanings)
        for same in (
            metric(new_names[messages], new_names[meanings]),
            metric(messages[order], meanings[order]),
            metric(messages, meanings.flip(1)),
        ):
            torch.testing.assert_close(same, expected, equal_nan=True)
    one_alphabet_each = torch.stack([new_names[messages[:, 0]], messages[:, 1], messages[:, 2] + 7], 1)[
        :, positions
    ]
    torch.testing.assert_close(
        topographic_similarity(one_alphabet_each, meanings, "hamming"),
        topographic_similarity(messages, meanings, "hamming"),
        equal_nan=True,
    )
    torch.testing.assert_close(
        posdis(one_alphabet_each, meanings), posdis(messages, meanings), equal_nan=True
    )


@settings(max_examples=40, deadline=None)
@given(languages)
def test_ranges(pair):
    messages, meanings = pair
    assert 0 <= message_entropy(messages) <= math.log2(len(messages)) + 1e-9
    assert message_entropy(messages[:, :1]) <= message_entropy(messages) + 1e-9  # saying more is never less
    assert abs(topographic_similarity(messages, meanings)) <= 1 + 1e-9
    for metric in (posdis, bosdis):
        assert -1e-9 <= metric(messages, meanings) <= 1 + 1e-9


def test_nothing_said_is_not_a_number():
    _, meanings = random_language(10)
    silent = torch.full((10, 4), 7)
    assert message_entropy(silent).item() == 0
    assert topographic_similarity(silent, meanings).isnan()
    assert topographic_similarity(meanings, silent).isnan()
    assert posdis(silent, meanings).isnan()
    assert bosdis(silent, meanings).isnan()
    assert bosdis(silent, meanings, padding=7).isnan()


# The listener


def test_causal_influence_of_known_listeners():
    obeys = torch.eye(4)
    assert causal_influence(obeys).item() == pytest.approx(2)
    assert causal_influence(obeys, torch.tensor([0.5, 0.5, 0, 0])).item() == pytest.approx(1)
    assert (
        causal_influence(obeys, torch.tensor([1.0, 0, 0, 0])).item() == 0
    )  # the speaker says one thing only
    deaf = torch.tensor([0.7, 0.2, 0.1, 0.0]).expand(5, 4)
    assert causal_influence(deaf).item() == pytest.approx(0, abs=1e-12)
    noisy = torch.tensor([[0.9, 0.1], [0.1, 0.9]])  # a binary symmetric channel: 1 − H(0.1)
    assert causal_influence(noisy).item() == pytest.approx(1 + 0.1 * math.log2(0.1) + 0.9 * math.log2(0.9))


def test_causal_influence_is_mutual_information_under_intervention():
    generator = torch.Generator().manual_seed(0)
    listener = torch.rand(3, 2, 5, 4, generator=generator).softmax(
        -1
    )  # worlds, situations, messages, actions
    speaker = torch.rand(2, 5, generator=generator).softmax(-1)
    measured = causal_influence(listener, speaker)
    assert measured.shape == (3, 2)
    for w, t in itertools.product(range(3), range(2)):
        joint = (speaker[t][:, None] * listener[w, t]).tolist()
        acts = [sum(column) for column in zip(*joint, strict=True)]
        said = speaker[t].tolist()
        plain = sum(
            joint[m][a] * math.log2(joint[m][a] / (said[m] * acts[a])) for m in range(5) for a in range(4)
        )
        assert measured[w, t].item() == pytest.approx(plain, abs=1e-6)


# Mistakes


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m, a: posdis(m.float(), a), "messages are integers"),
        (lambda m, a: posdis(m, a[:, :1]), "two or more"),
        (lambda m, a: bosdis(m, a[:5]), "40 messages and 5 meanings"),
        (lambda m, a: topographic_similarity(m[0], a), r"\[\.\.\., M, L\]"),
        (lambda m, a: topographic_similarity(m.expand(2, -1, -1), a.expand(3, -1, -1)), "do not fit"),
        (lambda m, a: message_entropy(m[:0]), "not empty"),
        (lambda m, a: hamming_distance(m, a), "one length"),
        (lambda m, a: edit_distance(m, a[:5]), "do not fit"),
        (lambda m, a: causal_influence(torch.ones(3)), r"\[\.\.\., V, A\]"),
        (lambda m, a: causal_influence(torch.ones(3, 2)), "listener: not distributions"),
        (lambda m, a: causal_influence(torch.eye(3), torch.ones(3)), "speaker: not distributions"),
        (lambda m, a: causal_influence(torch.eye(3), torch.ones(2) / 2), "speaker's distribution"),
        (lambda m, a: causal_influence(torch.eye(3) * math.nan), "listener: not distributions"),
    ],
)
def test_mistakes_are_told_in_one_line(call, said):
    with pytest.raises(ConfigError, match=said) as raised:
        call(*random_language())
    assert "\n" not in str(raised.value)


def test_an_unknown_distance_names_the_known_ones():
    with pytest.raises(UnknownName, match="hamming"):
        topographic_similarity(*random_language(), distance="haming")


@pytest.mark.parametrize("as_table", [np.asarray, np.ndarray.tolist], ids=["arrays", "lists"])
def test_tables_may_be_arrays_and_lists(as_table):
    messages, meanings = random_language()
    given = [as_table(table.numpy()) for table in (messages, meanings)]
    for metric in (topographic_similarity, posdis, bosdis):
        assert torch.equal(metric(*given), metric(messages, meanings))
    assert torch.equal(message_entropy(given[0]), message_entropy(messages))
    for distance in (hamming_distance, edit_distance):
        assert torch.equal(distance(given[0], given[0][0]), distance(messages, messages[0]))
    acts = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).softmax(-1)
    assert torch.equal(causal_influence(as_table(acts.numpy())), causal_influence(acts))


@pytest.mark.parametrize("table", [[[1, 2], [3]], [["a", "b"]], None, "text"])
def test_what_is_no_table_is_refused(table):
    with pytest.raises(ConfigError, match="give a tensor, an array or lists of equal length"):
        message_entropy(table)
