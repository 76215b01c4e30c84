"""Every activation against decimal arithmetic of 60 digits, at extreme z, where pieces meet, and as machine code."""

import decimal
import platform
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import twins
from numba import njit, types
from test_machine_code import innermost_loops

import bpjit
from bpjit.engine import activations, jit, tile
from bpjit.engine.activations import ACTIVATIONS

DTYPES = ["float32", "float64"]
SINGLE = [name for name, entry in ACTIVATIONS.items() if not entry.output_only]  # of one unit each

# The table of the module's docstring is what is promised: {"elu": ULP of sigma in float32, in float64, of sigma', ...}
PROMISED = {
    name: [float(number) for number in numbers.split()]
    for name, numbers in re.findall(r"^    (\w+)((?: +[\d.]+){4})$", activations.__doc__, re.MULTILINE)
}


@njit(**jit.OPTIONS)
def call_sigma(address, z, a, setting):
    jit.call(address, z, a, setting)


@njit(**jit.OPTIONS)
def call_sigma_prime(address, z, a, delta, setting):
    jit.call(address, z, a, delta, setting)


def computed(name, z):
    """sigma and sigma' of the numbers z, as the engine computes them: z in a's place where it need not be kept."""
    entry = ACTIVATIONS[name]
    setting = 0.0 if entry.setting is None else entry.setting.default
    a, delta = np.empty((1, z.size), z.dtype), np.ones((1, z.size), z.dtype)
    with np.errstate(all="ignore"):  # of no effect but under NUMBA_DISABLE_JIT
        call_sigma(entry.sigma.address(z.dtype), z[None].copy(), a, setting)
        kept = z[None].copy() if entry.needs_z else a
        call_sigma_prime(entry.sigma_prime.address(z.dtype), kept, a, delta, setting)
    return a[0], delta[0]


# The exact values.

DIGITS = 60
CONTEXT = decimal.Context(prec=DIGITS, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")


def upper_tail(t):
    """Phi(-t) for t >= 0: 1/2 less the series of Phi(t) - 1/2, or Laplace's continued fraction of Mills' ratio."""
    density = (-t * t / 2).exp() / (2 * PI).sqrt()
    if t < 6:
        term = total = t
        k = 1
        while term > total * Decimal(10) ** -DIGITS:
            k += 2
            term *= t * t / k
            total += term
        return Decimal("0.5") - density * total
    fraction = t
    for k in range(200, 0, -1):
        fraction = t + k / fraction
    return density / fraction


def logistic(z):
    return 1 / (1 + (-z).exp())


def hyperbolic_tangent(z):
    if abs(z) < Decimal("1e-10"):  # a power series where digits would be lost
        return z - z**3 / 3 + 2 * z**5 / 15
    return 1 - 2 / ((2 * z).exp() + 1)


def log_1p_exp(z):
    e = z.exp()
    return e - e**2 / 2 + e**3 / 3 if e < Decimal("1e-20") else (1 + e).ln()


def exact_elu(z, alpha):
    return z if z > 0 else alpha * (z.exp() - 1)


def piece(z):
    return min(max(z + 3, Decimal(0)), Decimal(6)) / 6


SELU = Decimal("1.0507009873554804934193349852946"), Decimal("1.6732632423543772848170429916717")
EXACT = {  # sigma(z, setting)
    "identity": lambda z, c: z,
    "sigmoid": lambda z, c: logistic(z),
    "tanh": lambda z, c: hyperbolic_tangent(z),
    "softsign": lambda z, c: z / (1 + abs(z)),
    "hard_sigmoid": lambda z, c: piece(z),
    "relu": lambda z, c: max(z, Decimal(0)),
    "leaky_relu": lambda z, c: z if z > 0 else c * z,
    "relu6": lambda z, c: min(max(z, Decimal(0)), Decimal(6)),
    "elu": exact_elu,
    "selu": lambda z, c: SELU[0] * exact_elu(z, SELU[1]),
    "gelu": lambda z, c: z * (upper_tail(-z) if z < 0 else 1 - upper_tail(z)),
    "gelu_tanh": lambda z, c: z * logistic((8 / PI).sqrt() * (z + Decimal("0.044715") * z**3)),
    "silu": lambda z, c: z * logistic(z),
    "mish": lambda z, c: z * hyperbolic_tangent(log_1p_exp(z)),
    "hard_swish": lambda z, c: z * piece(z),
    "softplus": lambda z, c: log_1p_exp(z),
    "exp": lambda z, c: z.exp(),
}
# What a rounded exponent costs: that of gelu_tanh is a product itself, and is -87 where the result is near its least.
AMPLIFIED = {"gelu_tanh": lambda z: max(Decimal(1), (8 / PI).sqrt() * abs(z + Decimal("0.044715") * z**3))}
UNRESOLVED = 1100
"""Smallest normal numbers, below which sigma only has to be as small: z sigmoid(z) where sigmoid(z) is one of them."""
STEP = Decimal("1e-22")  # a central difference of it leaves about 1e-38


def exact(name, z):
    """sigma and sigma' of each number z: the slope by differences, which no second formula could get wrong."""
    entry, values = ACTIVATIONS[name], []
    setting = None if entry.setting is None else Decimal(float(z.dtype.type(entry.setting.default)))
    with decimal.localcontext(CONTEXT):
        for number in map(Decimal, z.tolist()):
            h = STEP * (1 + abs(number))
            below, at, above = (EXACT[name](number + move, setting) for move in (-h, 0 * h, h))
            values.append((at, (above - below) / (2 * h)))
    return values


# What a search of all numbers (float32) and of many (float64) found to be the hardest.
HARD = {
    "sigmoid": [-16.642431259155273, 8.661344528198242, -36.75588426609511, 8.461930315066969],
    "tanh": [-0.015494766645133495, 3.4660959243774414, -0.21381282969560725, 1.66418],
    "elu": [-0.3608206510543823, -0.3578753427393877],
    "selu": [-0.8398900032043457, -0.9999290704727173, -0.8408408391034463, -0.4346169822359592],
    "gelu": [0.001841663965024054, 0.014502594247460365, 0.0006051544332876801],
    "gelu_tanh": [-5.097032070159912, -1.3546382481102377, 1.0530675649642944, 0.9559926161978471],
    "silu": [-16.69605590270996, -1.9465220216048755, 1.5760796070098877, 1.5425298572083745],
    "mish": [-7.6240034103393555, -7.597543148318605, 0.9218822121620178],
    "softplus": [0.008188633248209953, -0.4436603949636835, 0.3155194818973541],
    "exp": [-5.849655628204346, 3.812479373442361, 80.75177764892578, 12.198318483252725],
}


def arguments(name, dtype, count=120):
    """Numbers of every magnitude, as far as exp(|z|) goes, and close to where pieces meet; none where they do."""
    draw, info = np.random.default_rng(3), np.finfo(dtype)
    most = np.log(float(info.max)) - 5
    small = draw.choice([-1.0, 1.0], count) * 10.0 ** draw.uniform(-7, 1.5, count)
    kinks = np.array(twins.KINKS.get(name, [0.0]))[:, None]
    near = kinks + draw.choice([-1.0, 1.0], 60) * 2.0 ** draw.uniform(-info.nmant / 2, 0, 60)
    parts = [draw.uniform(-most, most, count // 4), draw.uniform(-12, 12, count), small, near.ravel()]
    z = np.concatenate([*parts, HARD.get(name, [])]).astype(dtype)
    return z[~np.isin(z, twins.KINKS.get(name, []))]


def errors(name, z):
    """Of sigma in ULP, of sigma' in eps, absolute up to 1, relative above."""
    info, found = np.finfo(z.dtype), computed(name, z)
    of_sigma, of_slope = [], []
    for z_q, a, slope, (sigma, sigma_prime) in zip(z.tolist(), *found, exact(name, z), strict=True):
        if abs(sigma) > UNRESOLVED * Decimal(float(info.tiny)):
            ulp = Decimal(float(np.spacing(abs(z.dtype.type(sigma))))) * AMPLIFIED.get(name, lambda z: 1)(Decimal(z_q))
            of_sigma.append(float(abs(Decimal(float(a)) - sigma) / ulp))
        else:
            assert abs(a) <= UNRESOLVED * info.tiny
        scale = Decimal(float(info.eps)) * max(Decimal(1), abs(sigma_prime))
        of_slope.append(float(abs(Decimal(float(slope)) - sigma_prime) / scale))
    return np.array(of_sigma), np.array(of_slope)


@pytest.mark.variants
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SINGLE)
def test_as_exact_as_the_docstring_says(name, dtype):
    of_sigma, of_slope = errors(name, arguments(name, dtype))
    k = DTYPES.index(dtype)
    assert of_sigma.max() <= PROMISED[name][k] + 1e-9  # for what 60 digits and the differences leave
    assert of_slope.max() <= PROMISED[name][2 + k] + 1e-9


def test_the_docstring_promises_for_every_activation():
    assert [*PROMISED] == SINGLE


@pytest.mark.variants
@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_is_exact(dtype):
    """z_i - max z is rounded: y_i by half an eps for each unit of it; the rest is exp, a sum of 20 and a quotient."""
    eps, panel = np.finfo(dtype).eps, tile.panel(dtype)
    z = np.random.default_rng(0).normal(0, 10, (20, panel)).astype(dtype)
    y = np.empty_like(z)
    call_sigma(ACTIVATIONS["softmax"].sigma.address(dtype), z, y, 0.0)
    with decimal.localcontext(CONTEXT):
        for z_s, y_s in zip(z.T.tolist(), y.T, strict=True):
            powers = [(Decimal(z_i) - Decimal(max(z_s))).exp() for z_i in z_s]
            wanted = np.array([float(power / sum(powers)) for power in powers])
            assert (np.abs(y_s - wanted) <= eps * wanted * (8 + max(z_s) - np.array(z_s))).all()


# Where there are no digits to compare.


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SINGLE)
def test_extreme_numbers_give_finite_ones(name, dtype):
    info = np.finfo(dtype)
    most = float(info.max)
    z = np.array([sign * number for number in (1e4, 1e30, most / 2, most) for sign in (-1.0, 1.0)], dtype)
    a, slope = computed(name, z)
    assert np.isfinite(slope).all()
    for z_q, a_q, slope_q in zip(z.tolist(), a.tolist(), slope.tolist(), strict=True):
        with np.errstate(over="ignore"):
            sigma, sigma_prime = (part(z_q) for part in twins.ACTIVATIONS[name])
        if abs(sigma) > most:  # 1.05 z of selu, which has no greater number to go to; exp stays below
            assert a_q > most / 4
        else:
            assert abs(a_q - sigma) <= 4 * info.eps * abs(sigma) + UNRESOLVED * info.tiny or min(sigma, a_q) > most / 4
            assert abs(slope_q - sigma_prime) <= 4 * info.eps or min(sigma_prime, slope_q) > most / 4


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_extreme_numbers(dtype):
    most, panel = np.finfo(dtype).max, tile.panel(dtype)
    z = np.full((3, panel), [[most], [-most], [most]], dtype)
    y, delta = np.empty_like(z), np.ones_like(z)
    with np.errstate(over="ignore"):
        call_sigma(ACTIVATIONS["softmax"].sigma.address(dtype), z, y, 0.0)
        call_sigma_prime(ACTIVATIONS["softmax"].sigma_prime.address(dtype), z, y, delta, 0.0)
    np.testing.assert_allclose(y, np.full_like(y, [[0.5], [0.0], [0.5]]), atol=4 * np.finfo(dtype).tiny)
    np.testing.assert_allclose(delta, 0.0, atol=4 * np.finfo(dtype).tiny)


@pytest.mark.variants
@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SINGLE)
def test_nan_goes_through(name, dtype):
    """In vectors and in what is left beside them."""
    z = np.linspace(-7, 7, 2 * tile.panel(dtype) + 5).astype(dtype)
    z[::3] = np.nan
    a, slope = computed(name, z)
    assert (np.isnan(a) == np.isnan(z)).all()
    assert not np.isnan(slope[~np.isnan(z)]).any()


SLOPES = {  # PyTorch's, where pieces meet
    "relu": {0.0: 0.0},
    "leaky_relu": {0.0: 0.01},
    "relu6": {0.0: 0.0, 6.0: 0.0},
    "elu": {0.0: 1.0},
    "selu": {0.0: 1.0507009873554805 * 1.6732632423543772},
    "hard_sigmoid": {-3.0: 0.0, 3.0: 0.0},
    "hard_swish": {-3.0: 0.0, 3.0: 1.0},
}


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SLOPES)
def test_the_slope_where_pieces_meet(name, dtype):
    _, slope = computed(name, np.array([*SLOPES[name]], dtype))
    np.testing.assert_array_equal(slope, np.array([*SLOPES[name].values()], dtype))


@pytest.mark.nojit
def test_every_kink_has_its_slope():
    assert {name.partition("(")[0] for name in twins.KINKS} <= SLOPES.keys()


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SINGLE)
def test_saturation_is_exact(name, dtype):
    """What is 0, 1 or 6 once and for all is that very number, and so is 0 at the origin; tails may stay."""
    z = np.array([0.0, -50.0, 50.0], dtype)
    a, _ = computed(name, z)
    wanted = [twins.ACTIVATIONS[name][0](z_q) for z_q in z.tolist()]
    for found, exactly in zip(a.tolist(), wanted, strict=True):
        assert abs(found - exactly) <= UNRESOLVED * np.finfo(dtype).tiny or exactly not in (0.0, 1.0, 6.0)


@pytest.mark.external
@pytest.mark.parametrize("name", SINGLE)
def test_the_same_as_pytorch(name):
    import torch
    from torch.nn import functional

    same = {
        "identity": lambda z: z,
        "gelu_tanh": lambda z: functional.gelu(z, approximate="tanh"),
        "hard_sigmoid": functional.hardsigmoid,
        "hard_swish": functional.hardswish,
        "exp": torch.exp,
    }
    function = same.get(name) or getattr(functional, name)
    z = np.concatenate([np.linspace(-9, 9, 181), twins.KINKS.get(name, [])])
    given = torch.tensor(z, requires_grad=True)
    wanted = function(given)
    wanted.sum().backward()
    a, slope = computed(name, z)
    np.testing.assert_allclose(a, wanted.detach().numpy(), rtol=1e-14, atol=1e-14)  # its gelu loses digits of tails
    rtol = 1e-7 if name == "hard_sigmoid" else 1e-14  # whose 1/6 is a float32 there
    np.testing.assert_allclose(slope, given.grad.numpy(), rtol=rtol, atol=1e-14)


# The machine code.

TO_MEMORY = {"memcpy", "memmove", "memset", "NRT_MemInfo_call_dtor"}


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads the assembly of x86-64")
@pytest.mark.parametrize("part", ["sigma", "sigma_prime"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nothing_is_done_number_by_number(name, part):
    """No function of a library is called, no number widened, and float32 are computed by whole vectors."""
    kernel = getattr(ACTIVATIONS[name], part)
    function = njit(**kernel.options)(kernel.function)
    function.compile(kernel.parameters(types.float32))
    (assembly,) = function.inspect_asm().values()
    assert set(re.findall(r"movabsq\s+\$([A-Za-z_]\w*)", assembly)) <= TO_MEMORY
    assert not re.search(r"call\w*\s+[A-Za-z_]", assembly)
    assert not re.search(r"cvts[sd]2s[sd]|cvtp[sd]2p[sd]", assembly.partition("cvtsd2ss")[2])  # but for the setting
    if name not in ("identity", "softmax"):  # nothing to compute; loops of known length, unrolled
        loops = [loop for function in assembly.split(".cfi_endproc") for loop in innermost_loops(function)]
        assert any(computes_vectors(loop) for loop in loops)


def computes_vectors(loop):
    """Whether the arithmetic of a loop is packed, and none is scalar."""
    arithmetic = r"v?(add|sub|mul|div|min|max|fn?m\w+?)"
    packed = [instruction for instruction in loop if re.match(arithmetic + r"ps\s", instruction)]
    scalar = [instruction for instruction in loop if re.match(arithmetic + r"ss\s", instruction)]
    return packed and not scalar


def test_the_documents_list_every_activation():
    page = (Path(__file__).parent.parent / "docs" / "activations.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == [*ACTIVATIONS]
    for entry in ACTIVATIONS.values():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{entry.name}` |"))
        assert entry.initializer.partition("_")[0] in row.lower()
        assert entry.setting is None or f"{entry.setting.name} = {entry.setting.default:g}" in row
        assert f'"{entry.name}"' in bpjit.Network.__doc__ or entry.setting is not None
