"""Random numbers: exact, independent of the batch, of other purposes and of the global generators."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from studyhall.envs import rng
from studyhall.envs.engine import kernels, rng_numba, rng_torch

FORMS = {
    "bits": rng.Draw.bits,
    "uniform": rng.Draw.uniform,
    "normal": rng.Draw.normal,
    "below": lambda drawn: drawn.below(0.3),
    "integers": lambda drawn: drawn.integers(7),
}
MASK = (1 << 64) - 1


def reference_mix(z: int) -> int:
    """splitmix64's finaliser in Python's own unbounded integers."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def signed(z: int) -> int:
    return z - (1 << 64) if z >> 63 else z


@given(st.integers(0, MASK))
def test_mix_equals_the_reference(z):
    assert rng.mix(torch.tensor([signed(z)])).item() == signed(reference_mix(z))


def test_splitmix_sequence_from_zero_matches_published_values():
    # The first outputs of splitmix64 seeded with 0, as every reference implementation gives them.
    outputs = [rng.mix(torch.tensor(signed(rng_torch.GOLDEN * i & MASK))).item() & MASK for i in (1, 2, 3)]
    assert outputs == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@settings(max_examples=20)
@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=5), st.integers(1, 20))
def test_draws_equal_single_ones_alone_or_in_a_batch(seeds, n):
    keys = rng.world_key(torch.tensor(seeds), "train")
    few = rng.Draws({"b": (3, n)})(keys)
    many = rng.Draws({"a": (n,), "b": (3, n), "c": (2,), "vast": (2**20,)})(keys)
    for form in FORMS.values():
        assert torch.equal(form(few["b"]), form(many["b"]))
        for w in range(len(seeds)):
            assert torch.equal(form(rng.draw(keys[w : w + 1], "b", (3, n)))[0], form(many["b"])[w])


@settings(deadline=None)  # numba compiles on the way
@given(st.lists(st.integers(0, MASK), min_size=1, max_size=5), st.integers(0, 200), st.integers(0, 2**24))
def test_both_ways_to_make_numbers_give_the_same_bits(states, n, limit):
    state = torch.tensor([signed(z) for z in states])
    drawn = rng_torch.bits(state, n)
    assert torch.equal(drawn, rng_numba.bits(state, n))
    assert torch.equal(rng_torch.uniform(drawn), rng_numba.uniform(state, n))
    assert torch.equal(rng_torch.below(drawn, limit), rng_numba.below(state, n, limit))
    assert torch.equal(rng_torch.normal(drawn[:, : (n + 1) // 2], n), rng_numba.normal(state, n))


@pytest.mark.parametrize("shape", [(60_000,), (3, 5, 1_333)])
def test_a_world_alone_a_batch_and_a_machine_without_numba_draw_alike(shape, monkeypatch):
    keys = rng.world_key(torch.arange(4), "eval")

    def drawn(keys, loops):
        monkeypatch.setattr(rng, "due", lambda *args: loops)
        return [form(rng.draw(keys, "x", shape)) for form in FORMS.values()]

    for fused, plain, alone in zip(
        drawn(keys, rng_numba), drawn(keys, None), drawn(keys[2], rng_numba), strict=True
    ):
        assert fused.shape == (4, *shape)
        assert torch.equal(fused, plain)
        assert torch.equal(fused[2], alone)


def test_what_cannot_be_kept_on_disk_is_compiled_all_the_same(recwarn):
    scope = {}
    exec("def twice(x): return 2 * x", scope)  # no file, beside which it could be kept
    assert kernels.compiled(scope["twice"])(21) == 42
    assert not recwarn


@given(st.one_of(st.floats(0, 1), st.sampled_from([0.5, 1 / 3, 2.0**-24, 1 - 2.0**-24])))
def test_chances_are_those_of_uniform_numbers(chance):
    drawn = rng.draw(rng.world_key(torch.arange(3), "train"), "chance", (50,))
    assert torch.equal(drawn.below(chance), drawn.uniform() < chance)


def test_domains_and_episodes_and_steps_are_unrelated():
    seeds = torch.arange(100)
    keys = [rng.world_key(seeds, domain) for domain in rng.DOMAINS]
    keys += [rng.fold(keys[0], 1), rng.fold(keys[0], 0, 1), rng.fold(keys[0], 1, 0)]
    assert len(torch.cat(keys).unique()) == 100 * len(keys)


@pytest.mark.parametrize("high", [1, 2, 10, 1797, 2**31 - 1])
def test_integers_match_exact_arithmetic(high):
    drawn = rng.draw(rng.world_key(torch.tensor(3), "eval"), "x", (1000,))
    expected = [(((int(b) & MASK) >> 32) * high) >> 32 for b in drawn.bits()]
    assert drawn.integers(high).tolist() == expected
    assert 0 <= min(expected) <= max(expected) < high


def test_uniforms_are_multiples_of_two_to_minus_24_below_one():
    u = rng.draw(rng.world_key(torch.tensor([1]), "train"), "u", (200_000,)).uniform()
    assert u.dtype == torch.float32
    assert u.min() >= 0
    assert u.max() < 1
    assert torch.equal(u * 2**24, (u * 2**24).round())
    assert abs(u.mean().item() - 0.5) < 0.005


@pytest.fixture(scope="module")
def normals():
    """Of 1,000 worlds 2,001 numbers each: number i and number 1,001 + i come of one draw."""
    z = rng.draw(rng.world_key(torch.arange(1000), "train"), "z", (2001,)).normal()
    assert z.dtype == torch.float32
    return z.double().numpy()


def test_normals_are_standard_normal(normals):
    assert stats.kstest(normals.ravel(), "norm").pvalue > 0.01
    for kind in (normals[:, :1001], normals[:, 1001:]):  # cosines, sines
        z = kind.ravel()
        n = len(z)
        assert abs(z.mean()) < 3 * n**-0.5
        assert abs(z.std() - 1) < 3 * (2 * n) ** -0.5
        assert abs(stats.skew(z)) < 3 * (6 / n) ** 0.5
        assert abs(stats.kurtosis(z)) < 3 * (24 / n) ** 0.5
        for limit in (1, 2, 3, 4):
            chance = stats.norm.sf(limit)
            for beyond in (int((z > limit).sum()), int((z < -limit).sum())):
                assert stats.binomtest(beyond, n, chance).pvalue > 0.001, limit


def test_normals_do_not_know_of_each_other(normals):
    """Neighbours, numbers of one draw, worlds of neighbouring seeds: neither in value nor in size."""
    pairs = {
        "neighbours": (normals[:, :-1], normals[:, 1:]),
        "of one draw": (normals[:, :1000], normals[:, 1001:]),
        "worlds": (normals[:-1], normals[1:]),
    }
    cuts = stats.norm.ppf(np.arange(1, 16) / 16)
    for what, (a, b) in pairs.items():
        x, y = a.ravel(), b.ravel()
        for form in (np.array, np.abs, np.square):
            assert abs(np.corrcoef(form(x), form(y))[0, 1]) < 3.5 * len(x) ** -0.5, what
        table = np.bincount(16 * np.digitize(x, cuts) + np.digitize(y, cuts), minlength=256)
        assert stats.chisquare(table).pvalue > 0.01, what


def test_normals_are_box_muller_to_a_millionth():
    drawn = rng.draw(rng.world_key(torch.tensor(5), "train"), "z", (200_000,))
    bits = drawn.bits()[:100_000].numpy().view(np.uint64)
    chance = ((bits >> np.uint64(33)) | np.uint64(1)).astype(np.float32)  # which rounds it to 24 bits
    radius = np.sqrt(-2 * np.log(chance * 2.0**-31, dtype=np.float64))
    angle = ((bits & np.uint64(2**30 - 1)) - 2.0**29 + 0.5) * (np.pi / 2 * 2.0**-30)
    right, turned = bits & np.uint64(2**31) != 0, bits & np.uint64(2**30) != 0
    along, across = np.where(right, 1, -1) * np.cos(angle), np.sin(angle)
    expected = radius * np.where(turned, [across, along], [along, across])
    np.testing.assert_allclose(drawn.normal().view(2, -1).numpy(), expected, atol=2e-6)


def test_the_rarest_draws_are_finite():
    """The largest radius, the smallest, and angles on either side of each quadrant."""
    ends = [
        signed(top << 33 | low) for top in (0, 2**31 - 1) for low in (0, 2**30 - 1, 2**30, 2**31, 2**32 - 1)
    ]
    z = rng_torch.normal(torch.tensor(ends)[:, None], 2).double()
    radius = z.square().sum(1).sqrt()
    np.testing.assert_allclose(radius, [(2 * 31 * np.log(2)) ** 0.5] * 5 + [0] * 5, rtol=1e-6)


@given(st.integers(1, 300), st.integers(0, 1000))
def test_permutations_are_permutations(n, seed):
    order = rng.draw(rng.world_key(torch.tensor([seed]), "train"), "p", (n,)).permutation()
    assert order.sort().values.tolist() == [list(range(n))]


def test_every_position_of_a_permutation_is_uniform():
    keys = rng.world_key(torch.arange(20_000), "train")
    order = rng.draw(keys, "p", (5,)).permutation()
    for place in range(5):
        counts = torch.bincount(order[:, place], minlength=5)
        assert (counts - 4000).abs().max() < 300


def test_global_generators_stay_where_they_were():
    torch.manual_seed(0)
    np.random.seed(0)
    before = (torch.get_rng_state().clone(), np.random.get_state()[1].copy())
    rng.draw(rng.world_key(torch.arange(3), "train"), "n", (7,)).normal()
    rng_numba.normal(torch.arange(3), 7)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()
