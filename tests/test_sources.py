"""Sparse matrices and arrays in files: the bits of the dense array, block by block; what is refused; the memory."""

import re

import numpy as np
import pytest
import scipy.sparse
from runs import bits, classes, python, state_bits, trainer

import bpjit
from bpjit import holdout, sources
from bpjit.validation import blocks, is_mapped

pytestmark = pytest.mark.usefixtures("one_thread")

DENSE, T = classes(50)
DENSE = np.where(np.random.default_rng(1).random(DENSE.shape) < 0.5, DENSE, 0)
W = np.random.default_rng(5).uniform(0, 3, 50)


@pytest.fixture
def small_blocks(monkeypatch):
    """Of 12 rows: two mini-batches of 5, and three times as many samples as are asked about at a time."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 12 * 3 * 8)
    monkeypatch.setattr("bpjit.network.PREDICT_BATCH", 4)


def in_file(A, folder, name="X.npy"):
    np.save(folder / name, A)
    return np.load(folder / name, mmap_mode="r")


def duplicated():
    """CSR with places that are given twice, in halves, which add up without rounding."""
    A = scipy.sparse.coo_array(DENSE)
    rows, columns = A.coords
    halves = np.concatenate([A.data / 2, A.data / 2]), (np.concatenate([rows] * 2), np.concatenate([columns] * 2))
    B = scipy.sparse.coo_array(halves, shape=A.shape)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(B.coords[0], minlength=50))])
    order = np.argsort(B.coords[0], kind="stable")
    return scipy.sparse.csr_array((B.data[order], B.coords[1][order], indptr), shape=A.shape)


FORMS = {
    "csr_matrix": lambda folder: scipy.sparse.csr_matrix(DENSE),
    "csr_array": lambda folder: scipy.sparse.csr_array(DENSE),
    "coo": lambda folder: scipy.sparse.coo_array(DENSE),
    "csc": lambda folder: scipy.sparse.csc_matrix(DENSE),
    "duplicates": lambda folder: duplicated(),
    "file": lambda folder: in_file(DENSE, folder),
    "file of another byte order": lambda folder: in_file(DENSE.astype(">f8"), folder),
    "file by columns": lambda folder: in_file(np.asfortranarray(DENSE), folder),
    "every other row of a file": lambda folder: in_file(np.repeat(DENSE, 2, axis=0), folder)[::2],
    "view of a file": lambda folder: np.asarray(in_file(DENSE, folder)),
}
EACH = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@EACH
def test_the_answers_have_the_bits_of_the_dense_array(form, tmp_path, small_blocks):
    X, net = form(tmp_path), trainer().net
    assert net.predict(X).tobytes() == net.predict(DENSE).tobytes()
    assert net.classify(X).tolist() == net.classify(DENSE).tolist()
    assert net.loss(X, T) == net.loss(DENSE, T)
    assert net.loss(X, T, W) == pytest.approx(net.loss(DENSE, T, W), rel=1e-14)
    names = ["loss", "accuracy", "r2"]
    assert net.evaluate(X, T, names) == net.evaluate(DENSE, T, names)
    for pair, other in zip(net.gradients(X, T), net.gradients(DENSE, T), strict=True):
        assert [A.tobytes() for A in pair] == [A.tobytes() for A in other]


@EACH
def test_training_has_the_bits_of_the_dense_array(form, tmp_path, small_blocks):
    X = form(tmp_path)
    options = {"epochs": 2, "validation": 0.2, "sample_weight": W, "class_weight": "balanced"}
    for more in ({}, options):
        whole, one = trainer(), trainer()
        whole.fit(DENSE, T, **{"epochs": 2} | more)
        one.fit(X, T, **{"epochs": 2} | more)
        assert state_bits(one) == state_bits(whole)
        assert one.history["loss"] == whole.history["loss"]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("form", ["csr_array", "file of another byte order"])
def test_after_any_number_of_steps_and_for_any_threads(form, threads, monkeypatch, tmp_path, small_blocks):
    X, whole, path = FORMS[form](tmp_path), trainer(), tmp_path / "run.ckpt"
    whole.fit(DENSE, T, epochs=2, validation=(DENSE, T))
    monkeypatch.setattr("bpjit.engine.plan.available_cpus", lambda: threads)
    for k in (1, 9, 12):
        one = trainer(threads=threads)
        one.fit(X, T, epochs=2, max_steps=k, validation=(X, T), checkpoint=path, checkpoint_every=1)
        one = bpjit.Trainer.resume(path)
        other = FORMS[form](tmp_path).copy()
        if form == "csr_array":
            other.data[0] += 1
        else:
            other[0, 0] += 1
        for data in ((other, T), (X, T[::-1])):
            with pytest.raises(ValueError, match="not those that epoch"):
                one.fit(*data)
        one.fit(X, T, validation=(X, T))
        assert state_bits(one) == state_bits(whole)


@pytest.mark.parametrize("form", ["dense", "csr_array", "file by columns"])
def test_dropout_knows_where_in_the_epoch_a_block_is(form, tmp_path, small_blocks):
    """Its random numbers follow from epoch and step, and fall alike on the part that trains, wherever that lies."""
    X = FORMS[form](tmp_path) if form in FORMS else DENSE
    whole, one = (trainer(dropout=0.4, shuffle=False) for _ in range(2))
    _, held_out = holdout.split(50, 0.2, T, one._order_seed)
    rest = np.setdiff1d(np.arange(50), held_out)
    whole.fit(DENSE[rest], T[rest], epochs=3, validation=(DENSE[held_out], T[held_out]))
    one.fit(X, T, epochs=3, validation=0.2)
    assert bits(one.net) == bits(whole.net)
    assert one.history["loss"] == whole.history["loss"]


def test_shuffle_may_be_given_or_left_out(small_blocks):
    X = scipy.sparse.csr_array(DENSE)
    for shuffle in (False, [np.random.default_rng(k).permutation(50) for k in range(2)]):
        whole, one = trainer(shuffle=shuffle), trainer(shuffle=shuffle)
        whole.fit(DENSE, T, epochs=2)
        one.fit(X, T, epochs=2)
        assert state_bits(one) == state_bits(whole)


def test_lbfgs():
    whole, one = (trainer(bpjit.LBFGS()) for _ in range(2))
    whole.fit(DENSE, T, epochs=3)
    one.fit(scipy.sparse.csr_array(DENSE), T, epochs=3)
    assert bits(one.net) == bits(whole.net)


@pytest.mark.parametrize("kind", ["?", "u1", ">i4", "f4"])
def test_other_numbers_in_a_file(kind, tmp_path, small_blocks):
    A = (DENSE * 5).astype(np.int8).astype(kind)
    X, net = in_file(A, tmp_path), trainer().net
    assert net.predict(X).tobytes() == net.predict(A).tobytes()
    assert (
        net.predict(scipy.sparse.csr_array(A.astype(A.dtype.newbyteorder("=")))).tobytes() == net.predict(A).tobytes()
    )


def test_what_is_right_already_is_not_copied(tmp_path):
    net = trainer().net
    mapped = in_file(DENSE, tmp_path)
    assert np.shares_memory(net._source(mapped, T).X, mapped)
    assert isinstance(net._source(mapped, T), sources.Dense)
    assert not isinstance(net._source(mapped, T), sources.Blocks)
    csr = scipy.sparse.csr_array(DENSE)
    assert net._source(csr, T).X is csr
    other = in_file(DENSE.astype(">f8"), tmp_path, "other.npy")
    assert np.shares_memory(net._source(other, T).X, other)


def test_nothing_that_is_given_is_written_to():
    csr = duplicated()
    before = csr.data.copy(), csr.indices.copy()
    trainer().fit(csr, T, epochs=1)
    assert all(np.array_equal(a, b) for a, b in zip((csr.data, csr.indices), before, strict=True))


def test_arrays_in_files_are_known(tmp_path):
    mapped = in_file(DENSE, tmp_path)
    for A in (mapped, mapped[::2], np.asarray(mapped), np.asarray(mapped).T[1:], np.asarray(memoryview(mapped))):
        assert is_mapped(A)
    for A in (mapped.copy(), np.array(mapped), DENSE[::2], [1], None):
        assert not is_mapped(A)


def spoiled(value, at=(41, 2)):
    A = DENSE.copy()
    A[at] = value
    return A


def with_object(folder):
    return scipy.sparse.csr_array(DENSE.astype(complex))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda f: scipy.sparse.csr_array(spoiled(np.nan)), ValueError, "X holds nan at row 41, column 2: remove"),
        (lambda f: scipy.sparse.csr_array(spoiled(np.nan, (40, 0))), ValueError, "X holds nan at row 40, column 0"),
        (lambda f: scipy.sparse.csc_array(spoiled(-np.inf)), ValueError, "X holds -inf at row 41, column 2: remove"),
        (lambda f: in_file(spoiled(np.nan), f), ValueError, "X holds nan at row 41, column 2: remove"),
        (lambda f: in_file(spoiled(np.nan).astype("f4"), f), ValueError, "X holds nan at row 41, column 2: remove"),
        (lambda f: in_file(spoiled(np.inf).astype(">f8"), f), ValueError, "X holds inf at row 41, column 2: remove"),
        (lambda f: scipy.sparse.csr_array(DENSE[:, :2]), ValueError, "X has 2 columns, but the network has 3 inputs"),
        (lambda f: in_file(DENSE[:, :2], f), ValueError, "X has 2 columns, but the network has 3 inputs"),
        (lambda f: scipy.sparse.coo_array(DENSE[0]), ValueError, "X is 1-d, of shape (3,)"),
        (lambda f: in_file(DENSE[0], f), ValueError, "X is 1-d, of shape (3,)"),
        (lambda f: scipy.sparse.csr_array((0, 3)), ValueError, "X has no rows (shape (0, 3))"),
        (with_object, TypeError, "X holds complex numbers (complex128), not real numbers"),
        (lambda f: in_file(DENSE.astype(complex), f), TypeError, "X holds complex numbers"),
    ],
)
def test_what_is_refused(make, error, words, tmp_path, small_blocks):
    one, X = trainer(), make(tmp_path)
    t, before = T[: X.shape[0]], state_bits(one)
    for ask in (
        lambda: one.net.predict(X),
        lambda: one.net.loss(X, t),
        lambda: one.net.evaluate(X, t),
        lambda: one.fit(X, t, epochs=1),
    ):
        with pytest.raises(error, match=re.escape(words)):
            ask()
    with pytest.raises(error, match=re.escape(words.replace("X ", "X of validation ", 1))):
        one.fit(DENSE, T, epochs=1, validation=(X, t))
    assert state_bits(one) == before


def test_numbers_too_large_for_float32(tmp_path):
    net = bpjit.Network([3, 2])
    for X in (scipy.sparse.csr_array(spoiled(1e300)), in_file(spoiled(1e300), tmp_path)):
        with pytest.raises(ValueError, match=r"X holds 1e\+300 at row 41, column 2, which overflows float32"):
            net.loss(X, T)
        with pytest.raises(ValueError, match=r"X holds 1e\+300 at row 41, column 2, which overflows float32"):
            net.predict(X)


def test_sparse_targets_and_what_needs_all_rows_at_once_are_refused():
    net, X = trainer().net, scipy.sparse.csr_array(DENSE)
    with pytest.raises(TypeError, match=re.escape("t is a sparse matrix, which is not supported: pass t.toarray()")):
        net.loss(X, scipy.sparse.csr_array(np.eye(2)[T]))
    with pytest.raises(TypeError, match=re.escape("X is a sparse matrix, which is not supported: pass X.toarray()")):
        net.activations(X)
    with pytest.raises(ValueError, match="t has 49 rows for 50 samples"):
        net.loss(X, T[1:])


MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
import bpjit

ROWS = 25_000
folder, t, net = Path(sys.argv[1]), np.arange(ROWS) % 2, bpjit.Network([1000, 2], seed=0)

def mapped(dtype, rows):
    path = folder / f"{dtype}{rows}.npy"
    np.lib.format.open_memmap(path, "w+", dtype, (rows, 1000))  # with holes: it takes no room
    return np.load(path, mmap_mode="r")

def work(dtype, rows):
    X = mapped(dtype, rows)
    net.fit(X, t[:rows], epochs=1, batch_size=100, validation=(X[:200], t[:200]), threads=1)
    net.fit(X, t[:rows], epochs=1, batch_size=100, validation=0.1, threads=1)
    return net.evaluate(X, t[:rows])

for dtype in sys.argv[2:]:
    work(dtype, 300)  # compiled code, buffers
used = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + 2**25, resource.RLIM_INFINITY))
for dtype in sys.argv[2:]:
    print(work(dtype, ROWS))
try:
    print(len(np.ones(2**26, np.uint8)))
except MemoryError:
    print("limited")
"""


def test_files_are_not_copied(tmp_path):
    """X is 100 and 200 MB, and 32 MB more than what a small X takes may be allocated; pages of files do not count."""
    assert python(MEMORY, tmp_path, "float32", "float64") == ["{'accuracy': 0.5}"] * 2 + ["limited"]
