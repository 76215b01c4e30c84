"""IDX files, the format of MNIST: arrays of numbers, gzipped or not, images in one and their labels in another.

A file holds two bytes 0, a code for the type of its numbers, the number of dimensions, the length of each (four bytes,
big-endian), and the numbers, big-endian in C order (Y. LeCun, C. Cortes, C. Burges: "The MNIST database", the section
on file formats).
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from ..validation import physical_memory
from .errors import DataError, listed
from .source import Arrays, memory_share

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_DIMENSIONS = 8
IMAGE_UNIT = 255.0


def folder(path: Path) -> Arrays:
    """The training images of a folder with their labels, and as `test` those of its test images, if there are any.

    Images are files with "images" and "idx" in their names, labels those with "labels" in that place; the images for
    a test have "t10k" or "test" in their names.
    """
    found = sorted(one for one in path.iterdir() if is_images(one))
    # The same file may lie there packed and unpacked.
    found = [one for one in found if one.suffix != ".gz" or one.with_suffix("") not in found]
    test = [one for one in found if "t10k" in one.name.lower() or "test" in one.name.lower()]
    train = [one for one in found if one not in test]
    if not train:
        raise DataError(
            f"{path} is a folder without IDX files of images (such as train-images-idx3-ubyte.gz): name a file"
        )
    for several in (train, test):
        if len(several) > 1:
            raise DataError(f"{path} has several files of images: name one of {listed(one.name for one in several)}")
    source = images(train[0], str(path))
    source.test = images(test[0]) if test else None
    return source


def is_images(path: Path) -> bool:
    """Whether the file's name is that of images in IDX.

    >>> is_images(Path("train-images-idx3-ubyte.gz")), is_images(Path("train-labels-idx1-ubyte"))
    (True, False)
    """
    name = path.name.lower()
    return "idx" in name and "images" in name and path.suffix.lower() in ("", ".gz", ".idx3-ubyte", ".idx")


def images(path: Path, name: str | None = None) -> Arrays:
    """The images of a file, and the labels of the file beside it, if it is there."""
    X = read(path)
    plain = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    places = [path.with_name(plain), path.with_name(plain + ".gz")]
    labels = next((place for place in places if place != path and place.is_file()), None)
    t = None if labels is None else read(labels)
    return Arrays(name or str(path), X, t, IMAGE_UNIT if X.dtype == np.uint8 else None)


def read(path: Path) -> np.ndarray:
    """The array of an IDX file; a large one that is not packed is mapped.

    Raises DataError for what is none, after reading no more than its header announces.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            start = file.read(4)
            if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in DTYPES:
                raise DataError(f"{path} is no IDX file: it begins with {start.hex(' ') or 'nothing'}")
            if not 1 <= start[3] <= MOST_DIMENSIONS:
                raise DataError(f"{path} has {start[3]} dimensions: an array here has 1 to {MOST_DIMENSIONS}")
            lengths = file.read(4 * start[3])
            if len(lengths) < 4 * start[3]:
                raise DataError(f"{path} is cut short: it ends in its header")
            shape = tuple(np.frombuffer(lengths, ">u4").tolist())
            dtype = np.dtype(DTYPES[start[2]])
            size, head = math.prod(shape) * dtype.itemsize, 4 + len(lengths)
            if path.suffix != ".gz":
                if (there := path.stat().st_size) != head + size:
                    raise DataError(f"{path} has {there} bytes, but its header announces {head + size}")
                if size > memory_share():
                    return np.memmap(path, dtype, "r", head, shape)
            if size > physical_memory():
                raise DataError(f"{path} announces {size} bytes of numbers, more than this machine has memory")
            A = np.empty(shape, dtype)
            bytes_ = A.reshape(-1).view(np.uint8).data
            at = 0
            while at < size and (count := file.readinto(bytes_[at : at + 2**24])):
                at += count
            if at < size or file.read(1):
                raise DataError(f"{path} has {'fewer' if at < size else 'more'} than the {size} bytes it announces")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged or cut short: {error}") from error
    return A.astype(A.dtype.newbyteorder("="), copy=False)
