import hashlib
from importlib.resources import files

import numpy as np
import pytest

from bpjit import datasets


def test_digits_have_the_documented_shape_type_and_range():
    X, t = datasets.digits()
    assert X.shape == (1797, 64) and X.dtype == np.float32 and X.flags.c_contiguous
    assert t.shape == (1797,) and t.dtype == np.int64
    assert X.min() == 0.0 and X.max() == 1.0


def test_digits_have_the_class_counts_that_their_makers_published():
    _, t = datasets.digits()
    assert np.bincount(t).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_the_first_image_is_a_zero():
    X, t = datasets.digits()
    image = (X[0] * 16).reshape(8, 8).astype(int).tolist()
    assert t[0] == 0
    assert image[0] == [0, 0, 5, 13, 9, 1, 0, 0]
    assert image[3] == [0, 4, 12, 0, 0, 8, 8, 0]
    assert image[7] == [0, 0, 6, 13, 10, 0, 0, 0]


def test_no_value_of_the_digits_has_changed():
    X, t = datasets.digits()
    pixels = X * 16
    assert (pixels == pixels.astype(np.uint8)).all()
    stored = pixels.astype(np.uint8).tobytes() + t.astype(np.uint8).tobytes()
    assert hashlib.sha256(stored).hexdigest() == ("87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826")


def test_each_call_gives_arrays_of_its_own():
    X, t = datasets.digits()
    X[:], t[:] = -1, -1
    X, t = datasets.digits()
    assert X.min() == 0.0 and t.min() == 0


@pytest.mark.parametrize("name", sorted(datasets.LOADERS))
def test_every_named_data_set_loads_with_a_label_for_every_row(name):
    X, t = datasets.LOADERS[name]()
    assert len(X) == len(t) and np.isfinite(X).all()


def test_the_digits_carry_their_source_and_licence():
    note = (files("bpjit") / "data" / "digits.md").read_text(encoding="utf-8")
    for needed in ("CC BY 4.0", "Alpaydin", "Kaynak", "10.24432/C50P49"):
        assert needed in note
