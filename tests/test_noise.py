"""Random numbers of dropout and noise: even, independent, and a function of what they are said to follow from.

Seeds are fixed, so a test that passes once passes always; a bound of so many deviations says how likely it was that
sound random numbers exceed it: below 1e-6 for each test, all its comparisons together.
"""

import numpy as np
import pytest
from noise_twins import bits, key, mask, normal, splitmix
from numba import njit
from scipy import stats
from scipy.special import ndtri

from bpjit.engine import jit, noise, tile
from bpjit.engine.layout import Layout

DTYPES = ["float32", "float64"]
SIX = 6.0  # deviations: 2e-9 for each comparison, of which there are up to 500; eight are enough for a million


@njit(**jit.OPTIONS)
def called_drop(address, x, y, key, i_first, s_first, rate):
    jit.call(address, x, y, key, i_first, s_first, rate)


@njit(**jit.OPTIONS)
def called_draw_keys(address, layers, seed, epoch, step, before):
    jit.call(address, layers, seed, epoch, step, before)


@njit(**jit.OPTIONS)
def called_add_noise(address, layers, work, deviation, s_first, s_end):
    jit.call(address, layers, work, deviation, s_first, s_end)


@njit(**jit.OPTIONS)
def fill(key, found):
    for s in range(found.shape[0]):
        for i in range(found.shape[1]):
            found[s, i] = noise.random_bits(key, i, s)


@njit(**jit.OPTIONS)
def fill_normal(q, y):
    for k in range(q.size):
        y[k] = noise.normal(q[k])


@pytest.fixture(autouse=True)
def integers_wrap():
    """Plain Python minds that they do."""
    with np.errstate(over="ignore"):
        yield


def signed(key):
    return int(np.uint64(key).astype(np.int64))


def dropped(x, key, rate, i_first=0, s_first=0):
    """What the kernel makes of x (samples, units), in blocks of PANEL samples."""
    panel, found = tile.panel(x.dtype), []
    for s in range(0, len(x), panel):
        block = np.zeros((x.shape[1], panel), x.dtype)
        block[:, : len(x[s : s + panel])] = x[s : s + panel].T
        y = np.full_like(block, np.nan)
        called_drop(noise.drop.address(x.dtype), block, y, signed(key), i_first, s_first + s, rate)
        found.append(y.T)
    return np.concatenate(found)[: len(x)]


def drawn_bits(key, samples, units):
    """The engine's own (samples, units)."""
    found = np.zeros((samples, units), np.uint32)
    fill(signed(key), found)
    return found


def keys(sizes, seed, epoch, step, before=0):
    """The keys of a network's layers, and what else is noted beside them."""
    layers = Layout.of(sizes, np.dtype("float32"), 1).layers
    called_draw_keys(noise.draw_keys.address("float32"), layers, np.uint64(seed).astype(np.int64), epoch, step, before)
    return layers.key.astype(np.uint64), layers.before


def noisy(key, units, samples, deviation, dtype, before=0, parts=None):
    """Zeros (samples, units) with noise, added block by block of the parts, or to all blocks at once."""
    layout = Layout.of((units, 1), np.dtype(dtype), samples)
    layout.layers[0].key, layout.layers[0].before = signed(key), before
    work, address = np.zeros(layout.work_size, dtype), noise.add_noise.address(dtype)
    for s_first, s_end in parts or [(0, layout.blocks)]:
        called_add_noise(address, layout.layers, work, deviation, s_first, s_end)
    layer = layout.layers[0]
    x = work[layer.a : layer.a + layer.blocks * layer.unit_rows * layer.panel]
    x = x.reshape(layer.blocks, layer.unit_rows, layer.panel)
    assert not x[:, units:].any()  # nor does it write beyond the last unit
    return x[:, :units].transpose(0, 2, 1).reshape(-1, units)[:samples]


# What they follow from.


@pytest.mark.nojit
def test_the_generators_are_the_published_ones():
    """SplitMix64's first outputs for seed 1234567 are known; with a key of zeros the bits of unit 0 are lowbias32 of
    the sample's number. A change of any of them is one of every seeded run."""
    state = np.array([1234567], np.uint64) + np.arange(3, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert splitmix(state).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]
    plain = [lowbias32(x) for x in range(4)]
    assert drawn_bits(0, 4, 1)[:, 0].tolist() == plain
    assert drawn_bits(0, 1, 2)[0, 1] == lowbias32(0x9E3779B1)


def lowbias32(x):
    """As its author prints it, on Python's integers."""
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ x >> 16


@pytest.mark.variants
@pytest.mark.nojit
def test_keys_follow_from_seed_epoch_step_and_layer():
    for seed, epoch, step in [(0, 0, 0), (7, 3, 11), (2**64 - 1, 10**6, 10**9), (2**63, 0, 1)]:
        for before in (0, 64):
            found, noted = keys((3, 4, 5, 2), seed, epoch, step, before)
            assert found.tolist() == [key(seed, epoch, step, layer) for layer in range(4)]
            assert noted.tolist() == [before] * 4


@pytest.mark.nojit
def test_no_two_keys_are_alike():
    """Of 50,000 that differ in small numbers; by chance two of 64 bits are with a probability of 1e-10."""
    found = {
        int(k)
        for seed in range(5)
        for epoch in range(8)
        for step in range(8)
        for k in keys((1,) * 5, seed, epoch, step)[0]
    }
    assert len(found) == 5 * 8 * 8 * 5


@pytest.mark.variants
@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_kernel_drops_what_the_twin_drops(dtype):
    """Exactly, wherever a piece of the layer begins; 0 of what is dropped, 1 / (1 - rate) times the others."""
    x = np.random.default_rng(0).standard_normal((21, 35)).astype(dtype)
    for rate in (0.1, 0.5, 0.9):
        k = key(1, 2, 3, 4)
        whole, kept = dropped(x, k, rate), mask(k, 35, 21, rate) != 0
        scale = np.dtype(dtype).type(1 / (1 - rate))
        np.testing.assert_array_equal(whole, np.where(kept, x * scale, 0))
        assert 0 < kept.sum() < kept.size
        for i, s in [(3, 0), (0, 5), (20, 17)]:
            np.testing.assert_array_equal(dropped(x[s:, i:], k, rate, i, s), whole[s:, i:])


@pytest.mark.nojit
def test_dropping_in_place():
    x = np.random.default_rng(0).standard_normal((8, tile.panel(np.dtype("float64"))))
    wanted = dropped(x.T, 99, 0.5)
    called_drop(noise.drop.address("float64"), x, x, 99, 0, 0, 0.5)
    np.testing.assert_array_equal(x.T, wanted)


@pytest.mark.variants
@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_noise_is_that_of_the_twin(dtype):
    """As exact as the quantile is, 1e-7, or float32's; wherever blocks and pieces begin."""
    k = key(5, 0, 2, 0)
    x = noisy(k, 7, 37, 0.25, dtype)
    np.testing.assert_allclose(x, 0.25 * normal(k, 7, 37), rtol=1.5e-6 if dtype == "float32" else 1.5e-7)
    blocks = -(-37 // Layout.of((7, 1), np.dtype(dtype), 37).layers[0].panel)
    for parts in ([(s, s + 1) for s in range(blocks)], [(1, blocks), (0, 1)]):
        np.testing.assert_array_equal(noisy(k, 7, 37, 0.25, dtype, parts=parts), x)
    np.testing.assert_array_equal(noisy(k, 7, 20, 0.25, dtype, before=17), x[17:])  # the rest of a mini-batch


@pytest.mark.nojit
def test_dropout_and_noise_of_the_input_have_nothing_in_common():
    k = key(0, 0, 0, 0)
    kept, x = mask(k, 32, 512, 0.5) > 0, noisy(k, 32, 512, 1.0, "float64")
    assert abs(np.corrcoef(kept.ravel(), x.ravel())[0, 1]) < SIX / np.sqrt(x.size)


# How many are dropped.


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_share_that_is_dropped(dtype):
    """Of 2^17 units, within the binomial bounds of 1e-8; each unit and each sample by itself, too."""
    x = np.ones((2048, 64), dtype)
    for rate in (0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999):
        zeros = dropped(x, key(8, 1, 0, 1), rate) == 0
        for count, of in [(zeros.sum(), zeros.size), (zeros.sum(axis=0), 2048), (zeros.sum(axis=1), 64)]:
            low, high = stats.binom.interval(1 - 1e-11, of, rate)
            assert (low <= count).all() and (count <= high).all(), rate


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_rates(dtype):
    x = np.full((512, 64), 3.0, dtype)
    for rate in (1e-300, 1e-12, 2.0**-33):  # finer than the random numbers: none is dropped
        np.testing.assert_array_equal(dropped(x, 1, rate), x * np.dtype(dtype).type(1 / (1 - rate)))
    y = dropped(np.full((4096, 64), 3.0, dtype), 5, 0.9999)
    assert set(np.unique(y)) == {0.0, np.dtype(dtype).type(3) * np.dtype(dtype).type(1 / (1 - 0.9999))}
    assert 0 < np.count_nonzero(y) < 80  # 26 are expected; over 80 of 1e-15
    for rate in (0.999999, 1 - 2.0**-53):
        y = dropped(x, 2, rate)
        assert np.isfinite(y).all() and np.count_nonzero(y) < 10  # of 0.03, over 10 of 1e-22
    least = 2.0**-32  # of the greatest rate that leaves anything at all
    k = next(k for k in range(100_000) if bits(k, [0], [0])[0, 0] >= 2**32 * (1 - 2.0**-14))
    assert dropped(x[:1, :1], k, 1 - 2.0**-14)[0, 0] == 3 * 2.0**14 and dropped(x[:1, :1], k, 1 - least)[0, 0] == 0


# Evenness and independence.


def test_every_bit_is_as_often_1_as_0():
    found = drawn_bits(key(3, 0, 0, 1), 2048, 64)
    for axis in ((0, 1), 0, 1):
        ones = np.array([((found >> np.uint32(b)) & np.uint32(1)).sum(axis=axis) for b in range(32)])
        of = found.size // (ones.size // 32)
        assert np.abs(ones - of / 2).max() <= 8 * np.sqrt(of) / 2  # 1e-15 each, but for few tosses: 64 within 32 +- 32


def correlations(one, other):
    """Between any bit of one and any of the other, in deviations of what chance gives: (32, 32)."""
    a, b = (2.0 * ((x.ravel()[:, None] >> np.arange(32, dtype=np.uint32)) & np.uint32(1)) - 1 for x in (one, other))
    return np.abs(a.T @ b) / np.sqrt(one.size)


def neighbours():
    """Pairs of arrays of random bits, one of them a step away from the other."""
    units, samples = 64, 512
    base = drawn_bits(key(1, 2, 3, 1), samples, units)
    for step in (1, 2, 8, 16):
        yield f"units {step} apart", base[:, :-step], base[:, step:]
        yield f"samples {step} apart", base[:-step], base[step:]
    yield "a unit and a sample apart", base[:-1, :-1], base[1:, 1:]
    others = {
        "layers": key(1, 2, 3, 2), "steps": key(1, 2, 4, 1), "epochs": key(1, 3, 3, 1), "seeds": key(2, 2, 3, 1),
        "step and epoch": key(1, 3, 2, 1), "layer and step": key(1, 2, 1, 3),
    }  # fmt: skip
    for what, k in others.items():
        other = drawn_bits(k, samples, units)
        yield what, base, other
        yield f"{what}, a unit apart", base[:, :-1], other[:, 1:]


def test_no_bit_knows_of_a_neighbour():
    """Each of 25,000 correlations within 7 deviations, which chance exceeds with 3e-12: 1e-7 for all together."""
    for what, one, other in neighbours():
        worst = correlations(one, other)
        assert worst.max() < 7, (what, np.unravel_index(worst.argmax(), worst.shape), worst.max())


def test_masks_of_neighbours_meet_as_often_as_chance_has_it():
    """Chi square of what two of them are together, at rates where a mask has more than one bit to say."""
    for rate in (0.1, 0.3, 0.5, 0.8):
        limit = np.uint32(rate * 2**32)
        chances = np.outer([1 - rate, rate], [1 - rate, rate])
        for what, one, other in neighbours():
            both = np.histogram2d((one < limit).ravel(), (other < limit).ravel(), bins=2)[0]
            chi_square = ((both - one.size * chances) ** 2 / (one.size * chances)).sum()
            assert stats.chi2.sf(chi_square, 3) > 1e-9, (what, rate)  # 84 of them


def test_many_steps_of_one_unit():
    """The masks of unit 0, sample 0 over 50 epochs of 50 steps: their rate, and pairs that follow one another."""
    limit = np.uint32(0.5 * 2**32)
    found = np.array([[bits(key(4, e, n, 1), [0], [0])[0, 0] < limit for n in range(50)] for e in range(50)])
    assert abs(found.sum() - 1250) < SIX * 25
    for one, other in [(found[:, :-1], found[:, 1:]), (found[:-1], found[1:]), (found[:-1, 1:], found[1:, :-1])]:
        assert abs((one == other).sum() - one.size / 2) < SIX * np.sqrt(one.size) / 2


def test_few_of_the_bits_are_alike_in_a_large_layer():
    """Numbers of 32 bits repeat by chance: n^2 / 2^33 times among n. Where units and samples would fall upon one
    another they do so far more often."""
    found = bits(key(1, 0, 0, 1), np.arange(1000), np.arange(500)).ravel()
    again = found.size - len(np.unique(found))
    assert again <= stats.poisson.isf(1e-9, found.size**2 / 2**33)


# The normal distribution.


@pytest.mark.nojit
@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1.5e-7), ("float32", 1.5e-6)])
def test_the_normal_quantile(dtype, bound):
    """AS 241's PPND7 promises about 1 part in 10^7; float32 adds a few roundings, of the root of a logarithm most.

    Over the middles of 2^24 steps, the ends and the place of the seam among them."""
    whole = np.concatenate(
        [np.arange(40), np.arange(40) + 2**23, np.arange(0, 2**24, 65_521), 2**24 - 1 - np.arange(40)]
    )
    seam = int((0.5 - 0.425) * 2**24)
    whole = np.concatenate([whole, seam + np.arange(-20, 20), 2**24 - seam + np.arange(-20, 20)])
    q = ((whole - (2**23 - 0.5)) / 2**24).astype(dtype)
    assert np.abs(q).max() == 0.5 - 2.0**-25 and (q.astype(float) * 2**24 + 2**23 - 0.5 == whole).all()  # exact
    y = np.empty_like(q)
    with np.errstate(all="ignore"):
        fill_normal(q, y)
    wanted = ndtri(q.astype(np.float64) + 0.5)
    np.testing.assert_allclose(y, wanted, rtol=bound)
    assert np.abs(wanted).max() == pytest.approx(5.4, abs=0.02)
    order = np.argsort(q)
    assert (np.diff(y[order].astype(np.float64)) >= -4 * np.finfo(np.float32).eps * np.abs(y[order][1:])).all()


def test_the_noise_is_normal():
    """Moments of 2^17 numbers within six deviations, and the test of Kolmogorov and Smirnov."""
    units, samples = 64, 2048
    x = noisy(key(2, 0, 5, 0), units, samples, 1.0, "float32").astype(np.float64)
    n = x.size
    for moment, mean, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:  # E x^2k - (E x^k)^2
        assert abs((x**moment).mean() - mean) < SIX * np.sqrt(variance / n)
    assert stats.kstest(x.ravel(), "norm").pvalue > 1e-7
    later = noisy(key(2, 0, 6, 0), units, samples, 1.0, "float32").astype(np.float64)
    pairs = [
        (x[:, :-1], x[:, 1:]),
        (x[:-1], x[1:]),
        (x, later),
        (x**2 - 1, later**2 - 1),
        (x[:-1] ** 2 - 1, x[1:] ** 2 - 1),
    ]
    for one, other in pairs:
        assert abs((one * other).mean()) < SIX * one.std() * other.std() / np.sqrt(one.size)


@pytest.mark.nojit
def test_both_dtypes_see_the_same_numbers():
    x, wanted = (noisy(77, 9, 50, 0.5, dtype) for dtype in DTYPES)
    np.testing.assert_allclose(x, wanted, rtol=1.5e-6)
    ones = [dropped(np.ones((50, 9), dtype), 77, 0.3) for dtype in DTYPES]
    np.testing.assert_allclose(*ones, rtol=1e-7)


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
def test_tiny_and_huge_deviations(dtype):
    tiny = float(np.finfo(dtype).tiny)
    for deviation in (1e5 * tiny, 1e-30, 1e30):
        x = noisy(3, 5, 20, deviation, dtype)
        np.testing.assert_allclose(x / deviation, noisy(3, 5, 20, 1.0, dtype), rtol=1e-4)
    assert not noisy(3, 5, 20, 0.0, dtype).any()
