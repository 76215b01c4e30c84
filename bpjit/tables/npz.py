"""NPZ files of NumPy: X and t by their names, or as the only pair that fits."""

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ..validation import physical_memory
from .errors import DataError, listed
from .idx import IMAGE_UNIT
from .source import Arrays

FEATURES = ("x_train", "train_images", "x", "data", "images", "features", "inputs")
TARGETS = {
    "x_train": ("y_train", "t_train"),
    "train_images": ("train_labels",),
    "x_test": ("y_test", "t_test"),
    "test_images": ("test_labels",),
}
ANY_TARGET = ("t", "y", "target", "targets", "label", "labels")
TESTS = ("x_test", "test_images")


def read(path: Path) -> Arrays:
    """X and t of a file: x_train with y_train (and x_test with y_test as `test`), X with t or y, or what is alone."""
    with open(path, "rb"):  # what the system has against it
        pass
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > physical_memory():
            raise DataError(f"{path} unpacks to {size} bytes, more than this machine has memory: give Parquet or IDX")
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except DataError:
        raise
    except (ValueError, OSError, EOFError, MemoryError, KeyError, RuntimeError, NotImplementedError) as error:
        raise DataError(f"{path} is no sound NPZ file of numbers: {' '.join(str(error).split())[:200]}") from error
    except (zipfile.BadZipFile, zlib.error, SyntaxError, TypeError, OverflowError) as error:
        raise DataError(f"{path} is no sound NPZ file: {' '.join(str(error).split())[:200]}") from error
    by_name = {name.lower(): name for name in arrays}
    X = next((by_name[name] for name in FEATURES if name in by_name), None) or _alone(os.fspath(path), arrays)
    source = _arrays(str(path), arrays, X, by_name)
    test = next((by_name[name] for name in TESTS if name in by_name), None)
    if test is not None:
        source.test = _arrays(f"{path} ({test})", arrays, test, by_name)
    return source


def _arrays(name: str, arrays: dict[str, np.ndarray], X: str, by_name: dict[str, str]) -> Arrays:
    named = next((by_name[t] for t in TARGETS.get(X.lower(), ANY_TARGET) if t in by_name), None)
    if named is None and X.lower() not in TARGETS:
        fits = [t for t, array in arrays.items() if t != X and array.shape[:1] == arrays[X].shape[:1]]
        if len(fits) > 1:
            raise DataError(f"{name}: which array is the target of {X!r}? Name it t; there are {listed(arrays)}")
        named = fits[0] if fits else None
    images = arrays[X].dtype == np.uint8 and arrays[X].ndim >= 3
    return Arrays(name, arrays[X], None if named is None else arrays[named], IMAGE_UNIT if images else None)


def _alone(path: str, arrays: dict[str, np.ndarray]) -> str:
    """The name of the only array that has rows of several numbers."""
    found = [name for name, array in arrays.items() if array.ndim >= 2]
    if len(found) != 1:
        raise DataError(f"{path}: which array holds the rows? Name it X, and its target t; there are {listed(arrays)}")
    return found[0]
