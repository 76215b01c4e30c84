"""What is accepted, with the bits of the C-ordered copy; what is refused, and what the message says."""

import linecache
import math
import re
import sys
import time
import tracemalloc
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import bpjit
from bpjit import validation

FLOAT32 = np.dtype("float32")
FLOAT64 = np.dtype("float64")
DTYPES = pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)

ROWS = np.random.default_rng(0).integers(-99, 99, (6, 4)) / 8  # exact in float16 and in every float above it


def features(X, dtype=FLOAT32, **more):
    return validation.features(X, dtype=dtype, **more)


def targets(t, kind="any", outputs=3, samples=2, dtype=FLOAT32, **more):
    return validation.targets(t, kind=kind, outputs=outputs, samples=samples, dtype=dtype, **more)


def refused(error, *parts):
    """The exact class, and a message that holds every part, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(map(re.escape, parts)), check=lambda e: type(e) is error)


def unaligned(A):
    """A, beginning one byte after where its numbers should."""
    memory = np.zeros(A.nbytes + 1, np.uint8)
    view = memory[1:].view(A.dtype).reshape(A.shape)
    view[...] = A
    assert not view.flags.aligned
    return view


def memory_mapped(A, folder):
    A.tofile(folder / "A.bin")
    return np.memmap(folder / "A.bin", A.dtype, "r", shape=A.shape)


def read_only(A):
    A = A.copy()
    A.flags.writeable = False
    return A


# Features that simply work


ACCEPTED = {
    "float32": lambda: ROWS.astype(np.float32),
    "float64": lambda: ROWS,
    "float16": lambda: ROWS.astype(np.float16),
    "long double": lambda: ROWS.astype(np.longdouble),
    "Fortran order": lambda: np.asfortranarray(ROWS),
    "transposed": lambda: ROWS.T.copy().T,
    "negative strides": lambda: ROWS[::-1, ::-1].copy()[::-1, ::-1],
    "every other": lambda: np.repeat(np.repeat(ROWS, 2, axis=0), 3, axis=1)[::2, ::3],
    "read-only": lambda: read_only(ROWS),
    "big-endian": lambda: ROWS.astype(">f8"),
    "big-endian float32": lambda: ROWS.astype(">f4"),
    "unaligned": lambda: unaligned(ROWS),
    "unaligned float32": lambda: unaligned(ROWS.astype(np.float32)),
    "object": lambda: ROWS.astype(object),
    "list": lambda: ROWS.tolist(),
    "tuple of arrays": lambda: tuple(ROWS),
    "fractions": lambda: [[Fraction(value) for value in row] for row in ROWS.tolist()],
    "decimals": lambda: [[Decimal(value) for value in row] for row in ROWS.tolist()],
    "pandas": lambda: pd.DataFrame(ROWS, columns=list("abcd")),
    "pandas, one block a column": lambda: pd.DataFrame({name: ROWS[:, k] for k, name in enumerate("abcd")}),
    "pandas Float64": lambda: pd.DataFrame(ROWS).astype("Float64"),
    "polars": lambda: pl.DataFrame(ROWS, schema=list("abcd")),
}


@DTYPES
@pytest.mark.parametrize("make", ACCEPTED.values(), ids=ACCEPTED)
def test_features_have_the_bits_of_the_c_ordered_copy(make, dtype):
    A = features(make(), dtype, columns=4)
    assert type(A) is np.ndarray
    assert A.dtype == dtype
    assert A.dtype.isnative
    assert A.flags.c_contiguous
    assert A.flags.aligned
    assert A.tobytes() == ROWS.astype(dtype).tobytes()


@DTYPES
def test_features_may_have_zero_strides(dtype):
    row, column = np.array([0.1, 0.2, 0.3]), np.array([[0.1], [0.2]])
    for view in (np.broadcast_to(row, (5, 3)), np.broadcast_to(column, (2, 4))):
        assert features(view, dtype).tobytes() == view.astype(dtype, order="C").tobytes()


@DTYPES
@pytest.mark.parametrize("kind", ["?", "i1", "u1", "<i2", ">i4", "i8", "u8"])
def test_features_may_be_booleans_and_integers(kind, dtype):
    A = np.array([[0, 1, 1], [1, 100, 7]]).astype(kind)
    assert features(A, dtype).tobytes() == A.astype(dtype).tobytes()


def test_frames_of_mixed_columns_are_numbers():
    wanted = [[1, 1.5, 1], [2, 2.5, 0]]
    columns = {"whole": [1, 2], "real": [1.5, 2.5], "flag": [True, False]}
    for frame in (pd.DataFrame(columns), pl.DataFrame(columns), pd.DataFrame(columns).astype(object)):
        assert features(frame).tolist() == wanted
    assert features(pd.DataFrame({"a": [1, 2]}, dtype="Int64")).tolist() == [[1], [2]]


@DTYPES
def test_features_that_are_right_are_not_copied(dtype, tmp_path):
    A = ROWS.astype(dtype)
    assert features(A, dtype) is A
    assert features(read_only(A), dtype).flags.writeable is False
    mapped = memory_mapped(A, tmp_path)
    assert np.shares_memory(features(mapped, dtype), mapped)
    assert features(mapped, dtype).tobytes() == A.tobytes()


def test_features_are_not_written_to():
    for make in ACCEPTED.values():
        X = make()
        before = np.array(X, dtype=object, copy=True)
        A = features(X)
        if not isinstance(X, np.ndarray) or not np.shares_memory(A, X):
            A += 1
        assert (np.array(X, dtype=object) == before).all()


@given(
    hnp.arrays(
        st.sampled_from(["<f4", ">f4", "<f8", ">f8", "f2", "i1", "<u8", ">i8", "?"]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
    ),
    st.lists(st.sampled_from([slice(None), slice(None, None, -1), slice(None, None, 2)]), min_size=2, max_size=2),
    st.booleans(),
    st.sampled_from([FLOAT32, FLOAT64]),
)
def test_features_of_any_dtype_and_order(A, slices, turned, dtype):
    view = A[tuple(slices)]
    view = view.T if turned else view
    with np.errstate(all="ignore"):
        wanted = view.astype(dtype, order="C")
    if np.isfinite(wanted).all():
        assert features(view, dtype).tobytes() == wanted.tobytes()
    else:
        row, column = np.argwhere(~np.isfinite(wanted))[0]
        with refused(ValueError, "X holds", f"row {row}, column {column}"):
            features(view, dtype)


# Features that are refused


@DTYPES
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 2), (999, 39)])
def test_features_must_be_finite(bad, row, column, dtype):
    A = np.ones((1000, 40), dtype)  # several chunks of the test
    A[row, column] = bad
    for X in (A, np.asfortranarray(A), A.astype(">f8"), A.tolist(), pd.DataFrame(A)):
        with refused(ValueError, f"X holds {bad} at row {row}, column {column}: "):
            features(X, dtype)


def test_the_first_bad_number_is_named():
    A = np.ones((300, 100), np.float32)
    A[7, 5] = A[7, 6] = A[200, 1] = np.nan
    with refused(ValueError, "row 7, column 5"):
        features(np.asfortranarray(A))


@pytest.mark.parametrize("bad", [3.5e38, -1e300])
def test_features_must_not_overflow_float32(bad):
    A = np.ones((50, 3))
    A[40, 1] = bad
    with refused(ValueError, f"X holds {bad} at row 40, column 1", "overflows float32", "float64"):
        features(A)
    assert features(A, FLOAT64) is A


def test_features_must_not_overflow_float64():
    with refused(ValueError, "1e+400", "row 0, column 1", "overflows float64"):
        features(np.array([[1, np.longdouble("1e400")]]), FLOAT64)
    for big in (10**400, -(10**400), 10**5000, Fraction(10**400), Decimal("1e400")):
        with refused(ValueError, "X holds", "row 1, column 0", "overflows float64"):
            features([[1], [big]], FLOAT64)


@DTYPES
def test_the_largest_numbers_are_finite(dtype):
    """Though the squares and sums that the test for finiteness forms are not."""
    A = np.full((300, 100), np.finfo(dtype).max, dtype)
    A[::2] *= -1
    assert features(A, dtype) is A


def test_missing_values_are_named():
    for X in (
        pd.DataFrame({"a": [1, 2], "b": [3, None]}),
        pl.DataFrame({"a": [1, 2], "b": [3, None]}),
        [[1, 2], [3, Decimal("sNaN")]],
    ):
        with refused(ValueError, "X holds nan at row 1, column "):
            features(X)
    for missing in (None, pd.NA, pd.NaT):
        with refused(TypeError, "X holds", "row 1, column 0", "not a number"):
            features([[1], [missing]])
    # Which of the two a nullable column becomes is up to the version of pandas.
    with pytest.raises((TypeError, ValueError), match=r"X holds .* at row 1, column 1"):
        features(pd.DataFrame({"a": [1, 2], "b": [3, None]}, dtype="Int64"))


@pytest.mark.parametrize(
    ("X", "parts"),
    [
        (np.ones(5), ["X is 1-d, of shape (5,)", "X.reshape(1, -1)", "X.reshape(-1, 1)"]),
        ([1, 2, 3], ["X is 1-d, of shape (3,)"]),
        (pd.Series([1.0, 2.0]), ["X is 1-d, of shape (2,)"]),
        (np.ones((2, 3, 4)), ["X is 3-d, of shape (2, 3, 4)", "X.reshape(len(X), -1)"]),
        (np.ones((2, 3, 4, 5), ">i4"), ["X is 4-d"]),
        (3.5, ["X is the number 3.5"]),
        ([], ["X has no rows"]),
        (np.ones((0, 4)), ["X has no rows (shape (0, 4))"]),
        (np.ones((4, 0)), ["X has no columns (shape (4, 0))"]),
        ([[], []], ["X has no columns"]),
        (pd.DataFrame({"a": []}), ["X has no rows"]),
        ([[1, 2], [3]], ["X", "rows", "differ in length"]),
    ],
)
def test_features_of_a_wrong_shape(X, parts):
    with refused(ValueError, *parts):
        features(X)


def test_features_of_another_number_of_columns():
    assert features(ROWS, columns=4).shape == (6, 4)
    with refused(ValueError, "validation[0] has 4 columns, but the network has 5 inputs"):
        features(ROWS, columns=5, name="validation[0]")


NOT_NUMBERS = {
    "complex": (np.ones((2, 2), complex), ["complex128"]),
    "list of complex": ([[1, 2j]], ["complex"]),
    "string": ([["1.5", "2"]], ["strings", "np.unique"]),
    "string beside a number": ([[1.0, "x"]], ["strings"]),
    "bytes": (np.array([[b"1"]]), ["bytes"]),
    "variable-width strings": (np.array([["1.5"]], np.dtypes.StringDType()), ["strings"]),
    "datetime": (np.zeros((2, 2), "datetime64[s]"), ["dates", "datetime64[s]"]),
    "timedelta": (np.zeros((2, 2), "timedelta64[s]"), ["time spans"]),
    "timedelta object": (
        np.array([[1, np.timedelta64(3, "s")]], object),
        ["row 0, column 1", "not a number"],
    ),
    "string object": (np.array([[1, 2], ["1.5", 3]], object), ["'1.5' (str) at row 1, column 0"]),
    "nested": (np.array([[1, [2]]], object), ["[2] (list) at row 0, column 1"]),
    "None": (None, ["None"]),
    "dict": ({"a": [1]}, ["dict"]),
    "generator": ((i for i in range(3)), ["generator"]),
    "text": ("data.csv", ["strings"]),
    "masked": (np.ma.masked_invalid([[1.0, np.nan]]), ["masked", "X.filled"]),
    "masked without a gap": (np.ma.ones((2, 2)), ["masked"]),
    "list of masked": ([np.ma.masked_equal([1, 2], 2)], ["masked"]),
    "structured": (np.zeros((2, 2), [("a", "f4"), ("b", "f4")]), ["records", "structured_to_unstructured"]),
    "record array": (np.rec.array([(1, 2.0)]), ["records"]),
    "csr": (scipy.sparse.csr_matrix(np.eye(3)), ["sparse", "X.toarray()"]),
    "coo array": (scipy.sparse.coo_array(np.eye(3)), ["sparse"]),
    "frame with text": (pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), ["'x' (str) at row 0, column 1"]),
    "frame with dates": (pd.DataFrame({"a": pd.to_datetime(["2020-01-01"])}), ["dates"]),
    "polars with text": (pl.DataFrame({"a": [1, 2], "b": ["x", "y"]}), ["'x' (str) at row 0, column 1"]),
}


@pytest.mark.parametrize(("X", "parts"), NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_features_that_are_no_numbers(X, parts):
    with refused(TypeError, "X ", *parts):
        features(X)


def test_an_array_that_cannot_be_read():
    class Closed:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("detach it first")

    with refused(TypeError, "X cannot be read", "detach it first"):
        features(Closed())


def test_the_test_for_finiteness_allocates_little():
    A = np.ones((20_000, 100))
    features(A, FLOAT64)
    tracemalloc.start()
    try:
        assert features(A, FLOAT64) is A
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < A.nbytes / 100


@pytest.mark.alone
def test_one_right_row_is_quick():
    """predict calls it for one row. Measured 2.5 µs; the bound leaves room for a busy machine."""
    A = np.ones((1, 64), np.float32)
    best = math.inf
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(100):
            features(A, columns=64)
        best = min(best, time.perf_counter() - start)
    assert best / 100 < 25e-6


# Targets


@pytest.mark.parametrize("kind", ["i1", "u1", "<i4", ">i4", "i8", "u8", "O"])
def test_labels_of_any_integer_dtype(kind):
    A = np.array([2, 0, 1, 2]).astype(kind)
    for t in (A, A[::-1][::-1], A.tolist(), tuple(A), read_only(A), pd.Series(A), pl.Series(A.tolist())):
        labels = targets(t, "distribution", samples=4)
        assert labels.dtype == np.int64
        assert labels.dtype.isnative
        assert labels.flags.c_contiguous
        assert labels.flags.aligned
        assert labels.tolist() == [2, 0, 1, 2]


def test_labels_that_are_right_are_not_copied():
    t = np.array([2, 0])
    assert targets(t, "distribution") is t


def test_labels_may_be_strided_unaligned_or_nullable():
    assert targets(np.array([2, 9, 0, 9])[::2], "distribution").tolist() == [2, 0]
    assert targets(np.broadcast_to(np.int64(1), 2), "distribution").tolist() == [1, 1]
    labels = targets(unaligned(np.array([2, 0])), "distribution")
    assert labels.flags.aligned
    assert labels.tolist() == [2, 0]
    assert targets(pd.Series([2, 0], dtype="Int64"), "distribution").tolist() == [2, 0]
    assert targets(pd.Series([2, 0], dtype="category"), "distribution").tolist() == [2, 0]


def test_boolean_labels_are_for_two_outputs():
    for t in ([True, False], np.array([True, False]), np.array([True, False], object)):
        assert targets(t, "distribution", outputs=2).tolist() == [1, 0]
        with refused(TypeError, "t holds booleans", "3 outputs"):
            targets(t, "distribution", outputs=3)


@pytest.mark.parametrize(
    ("t", "error", "parts"),
    [
        ([0, -1], ValueError, ["t holds -1 at row 1", "0 … 2"]),
        ([3, 0], ValueError, ["t holds 3 at row 0", "0 … 2"]),
        (np.array([0, 300], np.int16), ValueError, ["t holds 300 at row 1"]),
        (np.array([0, 2**64 - 1], np.uint64), ValueError, ["t holds 18446744073709551615 at row 1"]),
        ([0.0, 1.0], TypeError, ["t holds floats (float64)", "t.astype(int)"]),
        (np.ones(2, np.float16), TypeError, ["t holds floats (float16)"]),
        ([0, 2**70], TypeError, ["t holds floats"]),
        ([0.0, math.nan], ValueError, ["t holds nan at row 1"]),
        (pd.Series([1, None]), ValueError, ["t holds nan at row 1"]),
        (["cat", "dog"], TypeError, ["t holds strings", "np.unique(values, return_inverse=True)"]),
        ([1, None], TypeError, ["t holds None", "row 1"]),
        ([0, 1j], TypeError, ["t holds complex"]),
        (np.ma.array([0, 1]), TypeError, ["t is a masked array"]),
        (scipy.sparse.csr_matrix([[0, 1, 0], [1, 0, 0]]), TypeError, ["t is a sparse matrix"]),
        ([0], ValueError, ["t has 1 rows for 2 samples"]),
        ([0, 1, 2], ValueError, ["t has 3 rows for 2 samples"]),
        ([], ValueError, ["t has 0 rows for 2 samples"]),
        ([[0], [1]], ValueError, ["t has shape (2, 1)", "(2, 3)", "integer labels of shape (2,)"]),
        (np.zeros((2, 3, 1)), ValueError, ["t has shape (2, 3, 1)"]),
        (1, ValueError, ["t has shape ()"]),
    ],
)
def test_labels_that_are_refused(t, error, parts):
    with refused(error, *parts):
        targets(t, "distribution")


@pytest.mark.parametrize("kind", ["distribution", "unit", "count", "any"])
@DTYPES
def test_tables_of_targets(kind, dtype):
    one_hot = np.array([[0, 0, 1], [1, 0, 0]])
    soft = np.array([[0.25, 0.5, 0.25], [1, 0, 0]])
    for t in (
        one_hot,
        one_hot.astype(bool),
        soft,
        soft.astype(np.float16),
        np.asfortranarray(soft),
        soft.tolist(),
    ):
        A = targets(t, kind, dtype=dtype)
        assert A.dtype == dtype
        assert A.flags.c_contiguous
        assert A.tobytes() == np.asarray(t).astype(dtype, order="C").tobytes()
    right = soft.astype(dtype)
    assert targets(right, kind, dtype=dtype) is right


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ([0.5, 0.6, 0.0], ["t sums to 1.1 in row 1"]),
        ([0.0, 0.0, 0.0], ["t sums to 0 in row 1", "labels"]),
        ([1.0, 0.1, -0.1], ["t holds -0.1", "row 1, column 2", "non-negative"]),
        ([0.0, math.nan, 1.0], ["t holds nan at row 1, column 1"]),
        ([0.0, 1e39, 1.0], ["t holds 1e+39 at row 1, column 1", "overflows float32"]),
    ],
)
def test_distributions_that_are_none(row, parts):
    with refused(ValueError, *parts):
        targets([[1, 0, 0], row], "distribution")


def test_distributions_may_be_rounded():
    """A distribution is accepted in any float dtype, and printed with three decimals."""
    softmax = np.random.default_rng(0).dirichlet(np.ones(10), 500)
    for t in (softmax.astype(np.float16), softmax.astype(np.float32), softmax):
        targets(t, "distribution", outputs=10, samples=500)
    targets([[0.333, 0.333, 0.333]], "distribution", samples=1)


@pytest.mark.parametrize("kind", ["unit", "count", "any"])
def test_one_output_takes_a_column_or_a_vector(kind):
    for t in ([0, 1], [0.0, 1.0], [False, True], np.array([0, 1]), [[0], [1]], pd.Series([0, 1])):
        A = targets(t, kind, outputs=1)
        assert A.dtype == np.float32
        assert A.tolist() == [[0], [1]]
    with refused(ValueError, "t has shape (2,)", "(2, 3)"):
        targets([0, 1], kind, outputs=3)
    with refused(ValueError, "t has shape (2, 3)", "(2, 1)"):
        targets(np.zeros((2, 3)), kind, outputs=1)


@pytest.mark.parametrize("bad", [-0.25, 1.5])
def test_binary_targets_lie_between_zero_and_one(bad):
    with refused(ValueError, f"t holds {bad} at row 1, column 2", "in [0, 1]"):
        targets([[0, 1, 0.5], [0, 1, bad]], "unit")
    with refused(ValueError, f"t holds {bad} at row 0", "in [0, 1]"):
        targets([bad, 1], "unit", outputs=1)
    assert targets([[bad], [0]], outputs=1)[0, 0] == bad


@pytest.mark.parametrize("kind", validation.TARGETS)
def test_the_number_of_targets_is_that_of_the_samples(kind):
    with refused(ValueError, "validation[1] has 3 rows for 2 samples"):
        targets(np.zeros((3, 3)), kind, name="validation[1]")


@pytest.mark.parametrize("outputs", [1, 3])
def test_counts_are_not_negative(outputs):
    t = np.full((2, outputs), 2.5)
    assert (targets(t, "count", outputs=outputs) == 2.5).all()
    t[1, -1] = -1
    with refused(ValueError, "t holds -1.0 at row 1", "non-negative", "rescale t"):
        targets(t, "count", outputs=outputs)


def test_classes_are_labels_or_one_hot():
    assert targets([2, 0], "class").tolist() == [2, 0]
    assert targets([True, False], "class", outputs=2).tolist() == [1, 0]
    for t in ([[0, 0, 1], [1, 0, 0]], np.array([[0, 0, 1], [1, 0, 0]], bool)):
        assert targets(t, "class").tolist() == [[0, 0, 1], [1, 0, 0]]
    right = np.eye(3, dtype=np.float32)[:2]
    assert targets(right, "class") is right


@pytest.mark.parametrize(
    ("t", "error", "parts"),
    [
        ([0, 3], ValueError, ["t holds 3 at row 1", "0 … 2"]),
        ([0.0, 1.0], TypeError, ["t holds floats", "t.astype(int)"]),
        ([[0, 0, 1], [0.5, 0.5, 0]], ValueError, ["t holds 0.5 at row 1, column 0", "one class a sample", "labels"]),
        ([[0, 0, 1], [0, 0, -1]], ValueError, ["t holds -1.0 at row 1, column 2", "one class a sample"]),
        ([[0, 0, 1], [1, 1, 0]], ValueError, ["t holds 2 ones in row 1", "one class a sample"]),
        ([[0, 0, 0], [1, 0, 0]], ValueError, ["t holds 0 ones in row 0", "one class a sample"]),
        ([[0], [1]], ValueError, ["t has shape (2, 1)", "(2, 3)", "integer labels of shape (2,)"]),
    ],
)
def test_classes_that_are_refused(t, error, parts):
    with refused(error, *parts):
        targets(t, "class")


@DTYPES
def test_one_output_has_two_classes(dtype):
    signs = np.array([[-1], [1], [1]], dtype)
    for t in (signs, [-1, 1, 1], [0, 1, 1], [[0.0], [1.0], [1.0]], [False, True, True], pd.Series([0, 1, 1])):
        A = targets(t, "class", outputs=1, samples=3, dtype=dtype)
        assert A.dtype == dtype
        assert A.tolist() == signs.tolist()
    assert targets(signs, "class", outputs=1, samples=3, dtype=dtype) is signs
    assert targets([1, 1], "class", outputs=1).tolist() == [[1], [1]]
    assert (
        targets([0, 0], "class", outputs=1).tolist() == targets([-1, -1], "class", outputs=1).tolist() == [[-1], [-1]]
    )


@pytest.mark.parametrize(
    ("t", "parts"),
    [
        ([1, 2], ["t holds 2.0 at row 1", "-1 and 1, or 0 and 1", "t == 2.0"]),
        ([-1, 0], ["t holds 0.0 at row 1, column 0 beside -1.0", "-1 and 1, or 0 and 1"]),
        ([-0.5, 1], ["t holds -0.5 at row 0", "-1 and 1, or 0 and 1"]),
        ([0.5, 1], ["t holds 0.5 at row 0", "-1 and 1, or 0 and 1"]),
    ],
)
def test_one_output_has_no_other_classes(t, parts):
    with refused(ValueError, *parts):
        targets(t, "class", outputs=1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_targets_must_be_finite(bad):
    with refused(ValueError, f"t holds {bad} at row 1"):
        targets([0.5, bad], outputs=1)


# Sample weights, orders, parameters


def test_sample_weights():
    weights = validation.sample_weights([0, 2, 1], samples=3, dtype=FLOAT32)
    assert weights.dtype == np.float32
    assert weights.tolist() == [0, 2, 1]
    for bad, part in [
        ([1, -1, 1], "sample_weight holds -1.0 at row 1"),
        ([1, math.nan, 1], "holds nan at row 1"),
        ([1, 1], "shape (2,) for 3 samples"),
        ([[1], [1], [1]], "shape (3, 1)"),
    ]:
        with refused(ValueError, part):
            validation.sample_weights(bad, samples=3, dtype=FLOAT32)


@given(st.permutations(range(7)), st.sampled_from(["i1", ">i4", "u8", "O"]))
def test_permutations(order, kind):
    A = validation.permutation(np.array(order).astype(kind), 7)
    assert A.dtype == np.int64
    assert A.tolist() == order
    assert validation.permutation(order, 7).tolist() == order


@pytest.mark.parametrize(
    ("order", "error", "part"),
    [
        ([0, 1, 1, 3], ValueError, "shuffle holds sample 1 2 times"),
        ([0, 1, 2, 4], ValueError, "shuffle holds 4 at row 3"),
        ([0, -1, 2, 3], ValueError, "shuffle holds -1 at row 1"),
        ([0, 1, 2], ValueError, "shuffle has shape (3,)"),
        ([[0, 1], [2, 3]], ValueError, "shuffle has shape (2, 2)"),
        ([0.0, 1.0, 2.0, 3.0], TypeError, "float64"),
        ([True, False, True, False], TypeError, "bool"),
        (["a", "b", "c", "d"], TypeError, "strings"),
        ([], ValueError, "shuffle has shape (0,)"),
    ],
)
def test_orders_that_are_no_permutation(order, error, part):
    with refused(error, part):
        validation.permutation(order, 4)


def test_parameters():
    W, b = np.ones((3, 2), np.float32), np.zeros(3, np.float32)
    ((checked_W, checked_b),) = validation.parameters([(W, b)], sizes=(2, 3), bias=True, dtype=FLOAT32)
    assert checked_W is W
    assert checked_b is b
    ((W, b),) = validation.parameters([[W.tolist(), None]], sizes=(2, 3), bias=False, dtype=FLOAT64)
    assert W.dtype == np.float64
    assert b is None


@pytest.mark.parametrize(
    ("values", "bias", "error", "part"),
    [
        (None, True, TypeError, "list of pairs"),
        ([], True, ValueError, "has 0 layers, but the network has 1"),
        ([np.ones((3, 2))], True, TypeError, "layer 1 must be a pair"),
        (
            [(np.ones((2, 3)), np.ones(3))],
            True,
            ValueError,
            "W of layer 1 has shape (2, 3), but must have (3, 2)",
        ),
        ([(np.ones((3, 2)), np.ones((3, 1)))], True, ValueError, "b of layer 1 has shape (3, 1)"),
        ([(np.ones((3, 2)), None)], True, ValueError, "b of layer 1 must be an array"),
        ([(np.ones((3, 2)), np.ones(3))], False, ValueError, "b of layer 1 must be None"),
        (
            [(np.full((3, 2), np.nan), np.ones(3))],
            True,
            ValueError,
            "W of layer 1 holds nan at row 0, column 0",
        ),
        ([(np.ones((3, 2)), [1, 2, 1e39])], True, ValueError, "b of layer 1 holds 1e+39 at row 2"),
        ([(np.ones((3, 2)) * 1j, np.ones(3))], True, TypeError, "W of layer 1 holds complex"),
    ],
)
def test_parameters_that_are_refused(values, bias, error, part):
    with refused(error, part):
        validation.parameters(values, sizes=(2, 3), bias=bias, dtype=FLOAT32)


# Single values


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), np.array(3)])
def test_integers(value):
    number = validation.integer(value, "epochs", low=1, high=3)
    assert type(number) is int
    assert number == 3


@pytest.mark.parametrize(
    "value",
    [
        True,
        np.True_,
        np.array(True),
        3.0,
        np.float32(3),
        "3",
        None,
        [3],
        np.array([3]),
        3j,
        np.timedelta64(3),
    ],
)
def test_what_is_no_integer(value):
    with refused(TypeError, "epochs must be an integer, got "):
        validation.integer(value, "epochs")


def test_integers_out_of_range():
    with refused(ValueError, "epochs must be at least 1, got 0"):
        validation.integer(0, "epochs", low=1)
    with refused(ValueError, "epochs must be at least 1 and at most 5, got 6"):
        validation.integer(6, "epochs", low=1, high=5)
    with refused(ValueError, "epochs must be at most 5, got "):
        validation.integer(10**5000, "epochs", high=5)


@pytest.mark.parametrize(
    "value", [0.5, np.float32(0.5), np.float64(0.5), np.array(0.5), Fraction(1, 2), Decimal("0.5")]
)
def test_reals(value):
    number = validation.real(value, "momentum", low=0, high=1, high_open=True)
    assert type(number) is float
    assert number == 0.5
    assert validation.real(np.int32(0), "momentum", low=0) == 0.0


@pytest.mark.parametrize(
    "value", [True, np.False_, np.array(True), "0.5", None, [0.5], np.array([0.5]), 1j, np.timedelta64(1)]
)
def test_what_is_no_real_number(value):
    with refused(TypeError, "momentum must be a real number, got "):
        validation.real(value, "momentum")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan"), 10**400, Decimal("NaN")])
def test_reals_are_finite(value):
    with refused(ValueError, "momentum must be finite, got "):
        validation.real(value, "momentum")


def test_reals_out_of_range():
    with refused(ValueError, "learning_rate must be greater than 0, got 0.0"):
        validation.real(0, "learning_rate", low=0, low_open=True)
    with refused(ValueError, "momentum must be at least 0 and less than 1, got 1.0"):
        validation.real(1, "momentum", low=0, high=1, high_open=True)
    with refused(ValueError, "momentum must be at least 0 and less than 1, got -0.1"):
        validation.real(-0.1, "momentum", low=0, high=1, high_open=True)
    assert validation.real(1, "fraction", low=0, high=1) == 1


def test_switches():
    assert validation.switch(True, "bias") is True
    assert validation.switch(np.False_, "bias") is False
    for value in (0, 1, "yes", None, np.array(True)):
        with refused(TypeError, "bias must be True or False, got "):
            validation.switch(value, "bias")


KNOWN = ["identity", "leaky_relu", "relu", "sigmoid", "softmax", "tanh"]


def test_choices():
    assert all(validation.choice(name, KNOWN, "activation") == name for name in KNOWN)
    for value, nearest in [
        ("rleu", "relu"),
        ("ReLU", "relu"),
        ("sigmiod", "sigmoid"),
        ("leakyrelu", "leaky_relu"),
    ]:
        with refused(ValueError, f"activation is {value!r}", *map(repr, KNOWN), f"did you mean {nearest!r}?"):
            validation.choice(value, KNOWN, "activation")
    with refused(ValueError, "activation is 'qqqq'", "'tanh'"):
        validation.choice("qqqq", KNOWN, "activation")
    for value in (None, 3, True, max, ["relu"]):
        with refused(TypeError, "activation must be one of", "'tanh', got "):
            validation.choice(value, KNOWN, "activation")


def test_dtypes():
    for value in ("float32", np.float32, np.dtype("float32"), np.dtype(">f4")):
        dtype = validation.float_dtype(value)
        assert dtype == np.float32
        assert dtype.isnative
    assert validation.float_dtype(float) == np.float64
    for value in ("float16", "int32", np.int64, np.longdouble, "fp32"):
        with refused(ValueError, "dtype is", "'float32', 'float64'"):
            validation.float_dtype(value)
    for value in (None, 32):
        with refused(TypeError, "dtype must be one of"):
            validation.float_dtype(value)


def test_seeds():
    assert validation.seed(None) is None
    assert validation.seed(np.uint64(2**64 - 1)) == 2**64 - 1
    for value in (-1, 2**64):
        with refused(ValueError, "seed must be at least 0 and at most"):
            validation.seed(value)
    for value in (True, 1.0, "0"):
        with refused(TypeError, "seed must be an integer"):
            validation.seed(value)


def test_threads():
    assert validation.threads(None) is None
    assert validation.threads(np.int64(2)) == 2
    with refused(ValueError, "threads must be at least 1, got 0"):
        validation.threads(0)
    with refused(TypeError, "threads must be an integer, got True"):
        validation.threads(True)


def test_batch_sizes():
    assert validation.batch_size(np.int32(32), 100) == 32
    assert validation.batch_size(100, 100) == 100
    with refused(ValueError, "batch_size must be at least 1, got 0"):
        validation.batch_size(0, 100)
    with refused(TypeError, "batch_size must be an integer, got 32.0"):
        validation.batch_size(32.0, 100)


def test_a_batch_larger_than_the_data_is_cut_with_a_warning():
    X, t, net = np.zeros((5, 2)), np.zeros(5, int), bpjit.Network([2, 2], seed=0)
    with pytest.warns(UserWarning, match="batch_size is 128 for 5 samples: using 5") as caught:
        net.fit(X, t, epochs=1, batch_size=128)
        bpjit.Trainer(net, batch_size=128).fit(X, t, epochs=1)
    lines = [linecache.getline(warning.filename, warning.lineno).strip() for warning in caught]
    # Where the user called, not lines of ours.
    assert lines == [
        "net.fit(X, t, epochs=1, batch_size=128)",
        "bpjit.Trainer(net, batch_size=128).fit(X, t, epochs=1)",
    ]


@pytest.mark.parametrize("sizes", [[4, 3], (4, 3), np.array([4, 3]), [np.int8(4), 3], range(4, 2, -1)])
def test_layer_sizes(sizes):
    n = validation.layer_sizes(sizes)
    assert n == (4, 3)
    assert all(type(size) is int for size in n)


@pytest.mark.parametrize(
    ("sizes", "error", "part"),
    [
        ([4, 0, 3], ValueError, "sizes[1] must be at least 1"),
        ([-4, 3], ValueError, "sizes[0] must be at least 1"),
        ([4], ValueError, "sizes has 1 entries"),
        ([], ValueError, "sizes has 0 entries"),
        ([4, 3.0], TypeError, "sizes[1] must be an integer, got 3.0"),
        ([4, True], TypeError, "sizes[1] must be an integer, got True"),
        ([[4, 3]], TypeError, "sizes[0] must be an integer"),
        (np.array([[4, 3]]), TypeError, "sizes[0] must be an integer"),
        (np.array(4), TypeError, "sizes must be a sequence"),
        (4, TypeError, "sizes must be a sequence"),
        (None, TypeError, "sizes must be a sequence"),
        ("43", TypeError, "sizes must be a sequence"),
        (b"43", TypeError, "sizes must be a sequence"),
        ({4, 3}, TypeError, "sizes must be a sequence"),
        ([2**40, 2**40], ValueError, "GiB of memory: make a layer smaller"),
        ([2**32, 2**32], ValueError, "GiB of memory"),
        ([sys.maxsize] * 3, ValueError, "GiB of memory"),
        ([4, 2**63], ValueError, "sizes[1] must be at least 1 and at most"),
        ([4, 10**5000], ValueError, "sizes[1] must be at least 1 and at most"),
    ],
)
def test_layer_sizes_that_are_refused(sizes, error, part):
    with refused(error, part):
        validation.layer_sizes(sizes)


def test_layer_sizes_count_the_bytes_of_the_parameters():
    width = math.isqrt(validation.physical_memory() // 12)  # fits twice with 4 bytes each, not with 8
    assert validation.layer_sizes([width, width], itemsize=4) == (width, width)
    with refused(ValueError, "GiB of memory"):
        validation.layer_sizes([width, width], itemsize=8)


def test_the_memory_is_unbounded_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.delattr("os.sysconf")
    assert validation.physical_memory() == sys.maxsize
