"""Files as users have them: each that is sound is read, each that is not is one line that says what to do."""

import bz2
import functools
import gzip
import struct
import tracemalloc
import zipfile

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.parquet
import pytest

from bpjit import tables

ROWS = "".join(f"{k},{k % 3},{'ab'[k % 2]}\n" for k in range(30))
TABLE = "x,y,t\n" + ROWS

gzipped = functools.partial(gzip.compress, mtime=0)
"""Without the time: the bytes are in the names of tests, which are the same in every process."""


@pytest.fixture
def write(tmp_path):
    """Writes a file and returns its path."""

    def write(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def content(source):
    """All rows of a table, texts as they are."""
    return pa.Table.from_batches(source.batches()).to_pydict()


def refusal(call, *parts):
    with pytest.raises(tables.DataError) as caught:
        call()
    text = str(caught.value)
    assert all(part in text for part in parts), text
    assert "\n" not in text
    assert len(text) < 600


# CSV


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        (TABLE, "a.csv", {}),
        (TABLE.replace(",", ";"), "a.csv", {}),
        (TABLE.replace(",", "\t"), "a.txt", {}),
        (TABLE.replace(",", "|"), "A.CSV", {}),
        (TABLE.replace(",", ":"), "a.csv", {"delimiter": ":"}),
        (TABLE.replace("\n", "\r\n"), "a.csv", {}),
        (TABLE.replace("\n", "\r"), "a.csv", {}),
        (TABLE[:-1], "a.csv", {}),
        (TABLE + "\n\n", "a.csv", {}),
        ("\n" + TABLE.replace("\n", "\n\n"), "a.csv", {}),
        ("\ufeff" + TABLE, "a.csv", {}),
        (TABLE.replace(",", ", "), "a.csv", {}),
        ('"x","y","t"\n' + ROWS.replace(",", '","').replace("\n", '"\n"')[:-1].join('""')[:-1], "a.csv", {}),
        (TABLE.encode("utf-16"), "a.csv", {"encoding": "utf-16"}),
        (gzipped(TABLE.encode()), "A.CSV.GZ", {}),
        (bz2.compress(TABLE.encode()), "a.csv.bz2", {}),
        (pa.compress(TABLE.encode(), "zstd", asbytes=True), "a.tsv.zst", {"delimiter": ","}),
    ],
)
def test_the_same_table_however_it_is_written(text, name, options, write):
    if '"x"' in str(text):
        text = '"x","y","t"\n' + "".join('"' + line.replace(",", '","') + '"\n' for line in ROWS.splitlines())
    source = tables.open_source(write(text, name), **options)
    assert source.columns == ["x", "y", "t"]
    prepared = tables.prepare(source, "t", seed=0)
    wanted = tables.prepare(tables.open_source(write(TABLE)), "t", seed=0)
    assert (prepared.train[0] == wanted.train[0]).all()
    assert (prepared.train[1] == wanted.train[1]).all()
    assert source.rows == 30


def test_cells_with_everything_in_them(write, monkeypatch):
    texts = ['a "b"', "c,d", "e\nf", "ä€𝄞", "'", "x" * 500]
    texts += ["\n\n\n"] * 6
    data = pd.DataFrame({"te,xt": texts * 20, 'n"': range(240)})
    data.to_csv(path := write(""), index=False)
    monkeypatch.setattr("bpjit.tables.csv.BLOCK_BYTES", 600)
    assert content(tables.open_source(path)) == {"te,xt": texts * 20, 'n"': [str(k) for k in range(240)]}


def test_a_number_that_stands_for_a_missing_value(write):
    path = write("x,t\n" + "1,a\n-999,b\n3,b\n nan ,b\n" * 20)
    prepared = tables.prepare(tables.open_source(path, missing_values=["-999"]), "t", missing="drop", test_fraction=0.3)
    assert "40 of 80 rows lack a value, and are left out" in prepared.notes


def test_a_long_header(write):
    names = [f"column number {k}" for k in range(20_000)]
    assert tables.open_source(write(",".join(names) + "\n" + "1," * 19_999 + "1\n")).columns == names


def test_decimal_commas(write):
    path = write("x;t\n" + "".join(f"{k},5;{'ab'[k % 2]}\n" for k in range(40)))
    prepared = tables.prepare(tables.open_source(path, decimal=","), "t", test_fraction=0, validation_fraction=0)
    x = np.arange(40) + 0.5
    np.testing.assert_allclose(prepared.train[0][:, 0], (x - x.mean()) / x.std(), rtol=1e-6)


def test_texts_that_stand_for_a_missing_value(write):
    path = write(TABLE + "?,1,a\n -- ,2,b\nNA,0,a\n")
    prepared = tables.prepare(tables.open_source(path, missing_values=["?", "--"]), "t", missing="drop")
    assert "3 of 33 rows lack a value, and are left out" in prepared.notes
    # What was learnt to be missing is so in files to come.
    blocks = prepared.preparation.blocks(tables.open_source(write("y,x\n1,?\n2,3\n")))
    assert [block.kept.tolist() for block in blocks] == [[False, True]]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["is empty"]),
        ("\n\n", ["is empty"]),
        ("x,y,t", ["no row below the header"]),
        ("x,y,t\n", ["no row below the header"]),
        ("x,x,t\n1,2,3\n", ["two columns are named 'x'"]),
        ("x, x,t\n1,2,3\n", ["two columns are named 'x'"]),
        (",x,t\n1,2,3\n", ["column 1 has no name", "index=False"]),
        ("1,2,3\n4,5,6\n", ["first row holds numbers", "header"]),
        (TABLE + "1,2\n", ["row 31 has 2 cells, but the header 3", "'1,2'"]),
        (TABLE + "1,2,3,4\n", ["row 31 has 4 cells"]),
        (TABLE + '"1,2,3\n' + ROWS, ["row 31", "quotation mark not closed"]),
        ((TABLE + "1,2,ä\n").encode("latin-1"), ["not encoded as UTF-8", "--encoding latin-1"]),
        ((TABLE * 9000 + "1,2,ä\n").encode("latin-1"), ["not encoded as UTF-8", "--encoding latin-1"]),
        (TABLE.encode("utf-16"), ["--encoding utf-16"]),
        (b"\x89PNG\r\n\0\0\0", ["no text"]),
        (TABLE + "x" * 6000, ["longer than 0 MiB"]),
        (TABLE + "many,1,a\n", ["column 'x', row 31 holds 'many'", "--missing-values many", "--categorical x"]),
        (TABLE + "1e400,1,a\n", ["column 'x', row 31", "infinite"]),
        (TABLE + ",1,a\n", ["column 'x', row 31 has no value", "--missing fill", "--ignore x"]),
    ],
)
def test_csv_that_is_refused(text, parts, write, monkeypatch):
    if "x" * 6000 in str(text):
        monkeypatch.setattr("bpjit.tables.csv.BLOCK_BYTES", 2000)
    path = write(text)
    refusal(lambda: tables.prepare(tables.open_source(path), "t"), str(path), *parts)


def test_the_row_is_that_of_the_whole_file(write, monkeypatch):
    monkeypatch.setattr("bpjit.tables.csv.BLOCK_BYTES", 100)
    monkeypatch.setattr("bpjit.tables.source.physical_memory", lambda: 100)
    text = "x,y,t\n" + ROWS * 5
    for wrong, what in (
        ("1,2\n", "2 cells"),
        ("word,1,a\n", "'word'"),
        (",1,a\n", "no value"),
        ("inf,1,a\n", "infinite"),
    ):
        source = tables.open_source(write(text + wrong + ROWS))
        refusal(lambda source=source: tables.prepare(source, "t"), "row 151", what)


@pytest.mark.parametrize("cut", [5, 30, 400])
@pytest.mark.parametrize("head", [10, 2**20])
def test_packed_files_that_are_cut(cut, head, write, monkeypatch):
    monkeypatch.setattr("bpjit.tables.csv.HEAD_BYTES", head)
    noise = np.random.default_rng(0).bytes(9000).hex()
    table = "x,y,t\n" + "".join(f"{noise[k : k + 6]},1,a\n" for k in range(0, len(noise), 6))
    path = write(gzip.compress(table.encode())[:-cut], "a.csv.gz")
    refusal(lambda: tables.open_source(path).rows, str(path), "damaged or cut short")
    refusal(lambda: tables.open_source(write(TABLE, "b.csv.gz")), "damaged or cut short")


@pytest.mark.parametrize(
    "options", [{"encoding": "utf-99"}, {"decimal": ";"}, {"delimiter": ",,"}, {"delimiter": '"'}, {"delimiter": "€"}]
)
def test_options_of_csv_out_of_range(options, write):
    with pytest.raises(ValueError, match=next(iter(options))):
        tables.open_source(write(TABLE), **options)
    with pytest.raises(ValueError, match=r"for CSV"):
        tables.open_source(write(b"", "a.npz"), **options)


# Parquet, and tables in memory


def test_parquet_of_many_types(tmp_path):
    import decimal

    data = {
        "int8": pa.array([1, 2, None] * 20, pa.int8()),
        "uint64": pa.array([1, 2, 2**64 - 1] * 20, pa.uint64()),
        "half": pa.array(np.array([1, 2, 3] * 20, np.float16)),
        "decimal": pa.array([decimal.Decimal("1.25"), None, decimal.Decimal(3)] * 20),
        "bool": pa.array([True, None, False] * 20),
        "large": pa.array(["a", None, "b"] * 20, pa.large_string()),
        "view": pa.array(["a", None, "b"] * 20, pa.string_view()),
        "dictionary": pa.array(["a", None, "b"] * 20).dictionary_encode(),
        "t": pa.array(range(60)),
    }
    pa.parquet.write_table(pa.table(data), tmp_path / "a.pq")
    source = tables.open_source(tmp_path / "a.pq")
    prepared = tables.prepare(source, "t", missing="fill", test_fraction=0, validation_fraction=0)
    X = prepared.train[0]
    names = prepared.preparation.feature_names
    assert names == [
        *("int8", "uint64", "half", "decimal", "bool"),
        *(f"{name}={value}" for name in ("large", "view", "dictionary") for value in ("a", "b", "")),
    ]
    assert X[:3, 5:].tolist() == [[1, 0, 0] * 3, [0, 0, 1] * 3, [0, 1, 0] * 3]
    np.testing.assert_allclose(X[:3, 0], [-1, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(X[:3, 2], (np.arange(3) - 1) / np.std(np.arange(3)), rtol=1e-6)


def test_frames_of_polars():
    data = polars.DataFrame({"x": [1, 2, 3] * 10, "town": ["a", "b", "c"] * 10, "t": ["u", "v"] * 15})
    kinds = data.with_columns(
        polars.col("town").cast(polars.Categorical), polars.col("t").cast(polars.Enum(["v", "u"]))
    )
    for frame in (data, kinds):
        preparation = tables.prepare(tables.open_source(frame), "t").preparation
        assert preparation.feature_names == ["x", "town=a", "town=b", "town=c"]
        assert preparation.classes == ["u", "v"]


def test_the_index_of_pandas_is_left_out(tmp_path):
    data = pd.DataFrame({"x": range(20), "t": ["a", "b"] * 10}, index=range(5, 25))
    data.iloc[::-1].to_parquet(tmp_path / "a.parquet")
    assert tables.open_source(tmp_path / "a.parquet").columns == ["x", "t"]
    assert tables.open_source(data.iloc[::-1]).columns == ["x", "t"]


def test_parquet_that_is_refused(write, tmp_path):
    pa.parquet.write_table(pa.table({"x": [1, 2], "t": ["a", "b"]}), tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    for damaged in (b"", whole[:-1], whole[4:], whole[:40] + b"\xff" * 300 + whole[340:], b"PAR1" * 5):
        path = write(damaged, "b.parquet")
        refusal(lambda path=path: tables.open_source(path).rows, "no sound Parquet file")
    pa.parquet.write_table(pa.table({"x": pa.array([], pa.int8())}), tmp_path / "c.parquet")
    refusal(lambda: tables.open_source(tmp_path / "c.parquet").rows, "no row")
    pa.parquet.write_table(pa.table([pa.array([1]), pa.array([2])], ["x", "x"]), tmp_path / "d.parquet")
    refusal(lambda: tables.open_source(tmp_path / "d.parquet"), "two columns are named 'x'")


def test_what_is_no_table():
    with pytest.raises(TypeError, match="must name a file"):
        tables.open_source(3)
    with pytest.raises(TypeError, match="must name a file"):
        tables.open_source({"x": np.array([1, 2], ">f8")})
    with pytest.raises(TypeError, match="must name a file"):
        tables.open_source({"x": [1, 2], "y": [1]})


# NPZ

X, T = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 4


@pytest.mark.parametrize(
    ("arrays", "features", "classes"),
    [
        ({"X": X, "t": T}, 3, [0, 1, 2, 3]),
        ({"x": X.astype(">f8"), "y": T.astype(">i4")}, 3, [0, 1, 2, 3]),
        ({"data": X.reshape(40, 3, 1), "target": T[:, None]}, 3, [0, 1, 2, 3]),
        ({"X": X.astype("f2"), "y": T.astype(str)}, 3, ["0", "1", "2", "3"]),
        ({"foo": X, "bar": T > 1}, 3, [False, True]),
        ({"X": X[:, 0], "t": (T / 3).astype("g")}, 1, None),
        ({"X": np.asfortranarray(X), "t": X[:, 0].astype("f2")}, 3, None),
    ],
)
def test_npz(arrays, features, classes, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    prepared = tables.prepare(tables.open_source(tmp_path / "a.npz"))
    assert prepared.preparation.features == features
    assert prepared.preparation.classes == classes
    assert prepared.preparation.feature_names == [f"x{j}" for j in range(features)]


def test_npz_with_a_part_for_the_test(tmp_path):
    images = np.arange(40 * 4, dtype=np.uint8).reshape(40, 2, 2)
    np.savez_compressed(tmp_path / "a.npz", x_train=images, y_train=T, x_test=images[::-1], y_test=T[::-1])
    source = tables.open_source(tmp_path / "a.npz")
    prepared = tables.prepare(source, validation_fraction=0)
    # Bytes of images are divided by 255, so that a pixel that is dark in training is no outlier later.
    assert (prepared.train[0] == images.reshape(40, 4).astype(np.float32) / np.float32(255)).all()
    assert (prepared.test[0] == prepared.train[0][::-1]).all()
    assert (prepared.test[1] == T[::-1]).all()


@pytest.mark.parametrize(
    ("arrays", "parts"),
    [
        ({"foo": X, "bar": X}, ["which array holds the rows", "'foo', 'bar'"]),
        ({"X": X, "b": T, "c": T}, ["which array is the target of 'X'", "'b', 'c'"]),
        ({"X": X, "t": T[:5]}, ["X has 40 rows, but t 5"]),
        ({"X": X, "t": np.eye(4)[T]}, ["t has shape (40, 4)"]),
        ({"X": X}, ["no targets"]),
        ({"X": X[:0], "t": T[:0]}, ["no number"]),
        ({"X": np.float32(3), "t": T}, ["shape ()"]),
        ({"X": X.astype(str), "t": T}, ["real numbers"]),
        ({"X": X + 1j, "t": T}, ["real numbers"]),
        ({"X": X, "t": T.astype("M8[D]")}, ["t holds datetime64"]),
        ({"X": np.array([{}], object), "t": T}, ["no sound NPZ", "allow_pickle"]),
        ({"X": np.where(X > 1.5, np.inf, X), "t": T}, ["X holds inf"]),
        ({"X": X * 1e300, "t": T}, ["X holds", "infinite or too large"]),
        ({}, ["which array holds the rows"]),
    ],
)
def test_npz_that_is_refused(arrays, parts, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    refusal(lambda: tables.prepare(tables.open_source(tmp_path / "a.npz")), *parts)


def test_npz_damaged_anywhere(tmp_path, write):
    np.savez(tmp_path / "a.npz", X=X[:4], t=T[:4])
    whole = (tmp_path / "a.npz").read_bytes()
    for place in range(0, len(whole), 9):
        refusal(lambda place=place: tables.open_source(write(whole[:place], "b.npz")), "no sound NPZ")
        flipped = bytearray(whole)
        flipped[place] ^= 0x5A
        try:  # a date in the archive may be any
            tables.open_source(write(bytes(flipped), "b.npz"))
        except tables.DataError:
            pass


def test_npz_that_promises_more_than_there_is(write, tmp_path):
    header = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,)}".ljust(
        117
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("X.npy", header + b"\n")
    refusal(lambda: tables.open_source(tmp_path / "a.npz"), "no sound NPZ")


# IDX


def idx(array, code=8):
    big = array.astype(array.dtype.newbyteorder(">"))
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + big.tobytes()


IMAGES, LABELS = np.arange(30 * 6, dtype=np.uint8).reshape(30, 2, 3), (np.arange(30) % 3).astype(np.uint8)


@pytest.mark.parametrize(
    ("images", "labels", "packed"),
    [
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", False),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", True),
        ("train-images.idx3-ubyte", "train-labels.idx1-ubyte", False),
    ],
)
def test_a_folder_of_images(images, labels, packed, tmp_path, write):
    pack = gzip.compress if packed else bytes
    write(pack(idx(IMAGES)), images)
    write(pack(idx(LABELS)), labels)
    source = tables.open_source(tmp_path)
    assert source.test is None
    write(pack(idx(IMAGES[::-1])), images.replace("train", "t10k"))
    write(pack(idx(LABELS[::-1])), labels.replace("train", "t10k"))
    source = tables.open_source(tmp_path)
    assert (source.rows, source.test.rows) == (30, 30)
    prepared = tables.prepare(source, validation_fraction=0.2)
    assert [len(t) for _, t in (prepared.train, prepared.validation, prepared.test)] == [24, 6, 30]
    assert (prepared.test[0] == IMAGES[::-1].reshape(30, 6).astype(np.float32) / np.float32(255)).all()
    assert (prepared.test[1] == LABELS[::-1]).all()
    one = tables.open_source(tmp_path / images)
    assert (one.X == source.X).all()
    assert (one.t == source.t).all()


@pytest.mark.parametrize(("code", "dtype"), [(9, "i1"), (11, "i2"), (12, "i4"), (13, "f4"), (14, "f8")])
def test_idx_of_other_numbers(code, dtype, write):
    numbers = (IMAGES.astype(float) - 90).astype(dtype)
    source = tables.open_source(write(idx(numbers, code), "images.idx"))
    assert (source.X == numbers.reshape(30, 6)).all()
    assert source.X.dtype.isnative
    assert source.t is None


def test_large_idx_files_are_mapped(write, monkeypatch):
    path = write(idx(IMAGES), "train-images-idx3-ubyte")
    write(idx(LABELS), "train-labels-idx1-ubyte")
    monkeypatch.setattr("bpjit.tables.source.physical_memory", lambda: 400)
    source = tables.open_source(path)
    assert isinstance(source.X.base, np.memmap)
    assert (source.X == IMAGES.reshape(30, 6)).all()
    assert isinstance(tables.prepare(source).train[0], np.memmap)


IDX = idx(IMAGES)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "begins with nothing"),
        (IDX[:3], "no IDX file"),
        (b"\0\1" + IDX[2:], "begins with 00 01 08 03"),
        (b"\0\0\1\3" + IDX[4:], "begins with 00 00 01 03"),
        (b"\0\0\x08\xff" + IDX, "255 dimensions"),
        (b"\0\0\x08\0" + IDX, "0 dimensions"),
        (IDX[:9], "ends in its header"),
        (IDX[:-1], "195 bytes, but its header announces 196"),
        (IDX + b"\0", "197 bytes, but its header announces 196"),
        (b"\0\0\x0e\3" + b"\xff" * 12, "its header announces"),
        (idx(IMAGES[:0]), "no number"),
    ],
)
def test_idx_that_is_refused(content, part, write):
    refusal(lambda: tables.open_source(write(content, "images-idx3-ubyte")), part)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (IDX, "damaged or cut short"),
        (gzipped(IDX)[:-9], "damaged or cut short"),
        (gzipped(IDX[:-1]), "fewer than the 180 bytes"),
        (gzipped(IDX + b"\0"), "more than the 180 bytes"),
        (gzipped(b"\0\0\x0e\3" + b"\xff" * 12), "more than this machine has memory"),
        (gzipped(b"\0\0\x08\2" + struct.pack(">II", 1000, 10**6)), "fewer than the 1000000000 bytes"),
    ],
)
def test_packed_idx_that_is_refused(content, part, write):
    path = write(content, "images-idx3-ubyte.gz")
    refusal(lambda: tables.open_source(path), part)


def test_idx_of_a_large_promise_takes_no_memory(write):
    path = write(gzip.compress(b"\0\0\x0e\2" + struct.pack(">II", 1000, 10**5)), "images-idx3-ubyte.gz")
    with open("/proc/self/statm", encoding="ascii") as file:
        before = int(file.read().split()[1])
    refusal(lambda: tables.open_source(path), "fewer than")
    with open("/proc/self/statm", encoding="ascii") as file:
        assert int(file.read().split()[1]) - before < 10**8 // 4096  # pages


def test_folders_that_are_refused(tmp_path, write):
    refusal(lambda: tables.open_source(tmp_path), "without IDX files of images")
    write(IDX, "a-train-images-idx3-ubyte")
    refusal(lambda: tables.prepare(tables.open_source(tmp_path)), "no targets", "labels beside the images")
    write(IDX, "b-train-images-idx3-ubyte")
    refusal(lambda: tables.open_source(tmp_path), "'a-train-images-idx3-ubyte', 'b-train")
    write(idx(LABELS[:5]), "a-train-labels-idx1-ubyte")
    refusal(lambda: tables.open_source(tmp_path / "a-train-images-idx3-ubyte"), "X has 30 rows, but t 5")


# Names


def test_names_of_nothing(tmp_path, write):
    path = write(TABLE, "homes.csv")
    for wrong, near in (("hmes.csv", "homes.csv"), ("homes.cvs", "homes.csv"), ("digit", "digits")):
        with pytest.raises(FileNotFoundError, match=f"did you mean '{near}'"):
            tables.open_source(path.with_name(wrong))
    refusal(lambda: tables.open_source(write(b"", "homes.xlsx")), "no known format", ".parquet")


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_small_table_is_kept_and_a_large_one_read_again(name, write, monkeypatch):
    for memory in (10**6, 1000):
        monkeypatch.setattr("bpjit.tables.source.physical_memory", lambda memory=memory: memory)
        path = write(TABLE, name)
        if name == "a.parquet":
            pa.parquet.write_table(pa.table({"x": range(30), "t": ["a", "b"] * 15}), path)
        source = tables.open_source(path)
        assert source.rows == 30
        whole = content(source)
        path.unlink()
        if memory > 1000:
            assert content(source) == whole
        else:
            with pytest.raises(FileNotFoundError):
                content(source)


def test_a_table_that_is_read_once_is_not_kept(write, monkeypatch):
    path = write("x,t\n" + "1234567,1.5\n" * 300_000)
    monkeypatch.setattr("bpjit.tables.csv.BLOCK_BYTES", 2**16)
    source = tables.open_source(path)
    source.keeps = False
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    most = max(pa.total_allocated_bytes() - before for _ in source.batches())
    tracemalloc.stop()
    assert most < 3 * 2**20 < path.stat().st_size
