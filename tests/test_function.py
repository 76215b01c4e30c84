"""What the disk cache and a registration take of a function: all that may change what it does."""

import math

import numba
import numpy as np
import pytest
from runs import python

from bpjit.engine import cache, function, jit

rate = 2.0
table = np.array([1.0, 2.0])


@numba.njit
def inner(z):
    return rate * z


def plain(z):
    return rate * z


def of_global(z):
    return rate * z


def of_array(z):
    return table[1] * z


def of_jitted(z):
    return inner(z) + 1.0


def of_plain(z):
    return plain(z) + 1.0


def of_lambda(z):
    return (lambda x: rate * x)(z)


def recursive(n):
    return n * recursive(n - 1) if n > 1 else rate


def with_default(k):
    return lambda z, k=k: k * z


def with_cell(k):
    return lambda z: k * z


def with_inner_constant(k):
    return eval(f"lambda z: (lambda x: x + {k})(z)")


def with_flags(fastmath):
    jitted = numba.njit(fastmath=fastmath)(lambda z: z + 1.0)
    return lambda z: jitted(z)


READERS = [of_global, of_jitted, of_plain, of_lambda, recursive, inner]


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_what_a_function_reads_belongs_to_it(reader, monkeypatch):
    before = function.fingerprint(reader)
    assert before is not None
    assert function.fingerprint(reader) == before
    monkeypatch.setitem(globals(), "rate", 3.0)
    assert function.fingerprint(reader) != before


def test_so_does_an_array(monkeypatch):
    before = function.fingerprint(of_array)
    monkeypatch.setitem(globals(), "table", np.array([1.0, 3.0]))
    assert function.fingerprint(of_array) != before


@pytest.mark.parametrize("make", [with_default, with_cell, with_inner_constant])
def test_two_functions_of_one_text(make):
    assert function.fingerprint(make(1.0)) != function.fingerprint(make(2.0))
    assert function.fingerprint(make(1.0)) == function.fingerprint(make(1.0))


def test_the_options_of_a_jitted_function_belong_to_it():
    assert function.fingerprint(with_flags(True)) != function.fingerprint(with_flags(False))


class Strange:
    pass


def test_what_cannot_be_known_is_not_kept(tmp_path, monkeypatch):
    strange = Strange()
    assert function.fingerprint(lambda z: strange) is None
    assert function.fingerprint(lambda z: z) is not None
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "kernels")
    monkeypatch.setattr(cache, "fingerprint", lambda function: None)

    def scaled(x):
        x[0] *= 2.0

    assert jit.kernel(jit.vector, name="test.kernel")(scaled).address("float64")
    assert not (tmp_path / "kernels").exists()


def test_it_is_the_same_in_every_process():
    """Sets come in another order there."""
    program = "import test_function as t; print(hash(repr([t.function.fingerprint(f) for f in t.READERS])))"
    shown = program.replace("hash(repr(", "t.function.hashlib.sha256(repr(").replace("]))", "]).encode()).hexdigest()")
    assert len({python(shown, PYTHONHASHSEED=seed)[0] for seed in ("1", "2")}) == 1


def values(read):
    """What copies made before and after a global changes give, compiled when both are there."""
    return [float(numba.njit(copy)(2.0)) for copy in read]


def test_a_snapshot_keeps_what_it_reads(monkeypatch):
    inner(2.0)  # compiled with what rate is now: for those who call it themselves it stays so
    before = [function.snapshot(reader, numba.njit) for reader in (of_global, of_jitted, of_plain)]
    monkeypatch.setitem(globals(), "rate", 3.0)
    after = [function.snapshot(reader, numba.njit) for reader in (of_global, of_jitted, of_plain)]
    assert values(before) == [4.0, 5.0, 5.0]
    assert values(after) == [6.0, 7.0, 7.0]
    assert inner(2.0) == 4.0


def test_a_snapshot_of_functions_that_call_each_other():
    @numba.njit
    def even(n):
        return True if n == 0 else odd(n - 1)

    @numba.njit
    def odd(n):
        return False if n == 0 else even(n - 1)

    copy = function.snapshot(lambda n: even(n), numba.njit)
    assert copy.__closure__[0].cell_contents is not even
    assert function.fingerprint(copy) is not None


def test_functions_of_libraries_stay():
    assert function.snapshot(math.exp, numba.njit) is math.exp
    copy = function.snapshot(lambda z: np.where(z > 0, math.exp(z), z), numba.njit)
    assert copy.__globals__["np"] is np
