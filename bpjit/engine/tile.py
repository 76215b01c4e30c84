"""The register tile: a Numba value of `rows` x PANEL numbers that stays in vector registers while a loop adds to it.

LLVM vectorises only the innermost loop and would reload the sums at every pass of it. A tile is an LLVM array of
vectors instead, so the sum over j (E1), i (E7) or s (E8) stays an explicit loop in Python source and runs at the
speed of the multiply-add units. This is the only module that knows LLVM.

Every operation has a twin in plain NumPy (`tile_plain.py`), which says what it means and takes its place under
NUMBA_DISABLE_JIT=1. Arrays are C-contiguous with rows of PANEL numbers: PANEL is as wide as a tile.
"""

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils, config
from numba.core.registry import cpu_target
from numba.extending import intrinsic, models, register_model

from . import tile_plain

INDEX = ir.IntType(64)
LANE = ir.IntType(32)


def _vector_bytes() -> tuple[int, bool]:
    """Width of the vector registers that code is compiled for, and whether there are 32 of them.

    Asked of LLVM itself, since NUMBA_CPU_NAME and NUMBA_CPU_FEATURES may name another CPU than this one.
    """
    codegen = cpu_target.target_context.codegen()
    triple, cpu, features = codegen.magic_tuple()
    target = binding.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features)
    probe = "define <16 x float> @f(<16 x float> %x, ptr %p) { %y = load <16 x float>, ptr %p\n"
    probe += "%z = fadd <16 x float> %x, %y\n ret <16 x float> %z }"
    assembly = target.emit_assembly(binding.parse_assembly(probe))
    if "zmm" in assembly:
        return 64, True
    if "ymm" in assembly:
        return 32, False
    return 16, triple.startswith(("aarch64", "arm64"))


VECTOR_BYTES, MANY_REGISTERS = _vector_bytes()
LINE_BYTES = 64
"""Of a cache line."""
VECTORS = 2
PANEL_MAX = VECTORS * VECTOR_BYTES // 4
# 32 registers hold 8 x 2 vectors of sums, 16 hold 6 x 2; a tile of 4 rows takes what is left of a panel.
# Both leave no remainder where the number of rows is a multiple of ROW_STEP.
LARGE = 8 if MANY_REGISTERS else 6
SMALL = 4
TILE_NUMBERS = LARGE * PANEL_MAX
"""Room for a tile."""
ROW_STEP = 4 if MANY_REGISTERS else 2


def panel(dtype: np.dtype) -> int:
    """Numbers in one row of a tile: the units or samples that one panel holds."""
    return VECTORS * VECTOR_BYTES // np.dtype(dtype).itemsize


class TileType(types.Type):
    """`rows` x `VECTORS` vectors of `lanes` numbers of `dtype`."""

    def __init__(self, rows: int, dtype: types.Type):
        self.rows, self.dtype = rows, dtype
        self.lanes = VECTOR_BYTES // (dtype.bitwidth // 8)
        super().__init__(f"Tile({rows}x{VECTORS}x{self.lanes} {dtype})")

    @property
    def vector(self) -> ir.VectorType:
        number = ir.FloatType() if self.dtype.bitwidth == 32 else ir.DoubleType()
        return ir.VectorType(number, self.lanes)


@register_model(TileType)
class _TileModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, ir.ArrayType(fe_type.vector, fe_type.rows * VECTORS))


def _operation(plain):
    """The intrinsic of a tile operation, or its plain twin where compiling is switched off."""
    return (lambda f: plain) if config.DISABLE_JIT else intrinsic


def _data(context, builder, array_type, array):
    return context.make_array(array_type)(context, builder, array).data


def _element(builder, data, tile, row, column):
    """Address of array[row, column] for an array whose rows are as wide as a panel."""
    width = ir.Constant(INDEX, VECTORS * tile.lanes)
    return builder.gep(data, [builder.add(builder.mul(row, width), column)])


def _load(builder, data, tile, row, v):
    at = _element(builder, data, tile, row, ir.Constant(INDEX, v * tile.lanes))
    vector = builder.load(builder.bitcast(at, tile.vector.as_pointer()))
    vector.align = tile.dtype.bitwidth // 8
    return vector


def _store(builder, vector, data, tile, row, v):
    at = _element(builder, data, tile, row, ir.Constant(INDEX, v * tile.lanes))
    builder.store(vector, builder.bitcast(at, tile.vector.as_pointer())).align = tile.dtype.bitwidth // 8


def _splat(builder, number, tile):
    undefined = ir.Constant(tile.vector, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(LANE, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(LANE, tile.lanes), [0] * tile.lanes))


def _row(builder, row, r):
    return builder.add(row, ir.Constant(INDEX, r))


@_operation(tile_plain.zeros)
def zeros(typingctx, rows, like):
    """A tile of zeros, of `rows` (LARGE or SMALL) rows in the dtype of the array `like`."""
    if not isinstance(rows, types.IntegerLiteral):
        return None
    tile = TileType(rows.literal_value, like.dtype)

    def codegen(context, builder, signature, args):
        zero = ir.Constant(tile.vector, [0.0] * tile.lanes)
        return ir.Constant(ir.ArrayType(tile.vector, tile.rows * VECTORS), [zero] * (tile.rows * VECTORS))

    return tile(rows, like), codegen


@_operation(tile_plain.rows_of)
def rows_of(typingctx, rows, b, i):
    """t[r, :] = b[i + r]: every row starts with a number of its own."""
    if not isinstance(rows, types.IntegerLiteral):
        return None
    tile = TileType(rows.literal_value, b.dtype)

    def codegen(context, builder, signature, args):
        data, i = _data(context, builder, b, args[1]), args[2]
        t = ir.Constant(ir.ArrayType(tile.vector, tile.rows * VECTORS), ir.Undefined)
        for r in range(tile.rows):
            number = _splat(builder, builder.load(builder.gep(data, [_row(builder, i, r)])), tile)
            for v in range(VECTORS):
                t = builder.insert_value(t, number, r * VECTORS + v)
        return t

    return tile(rows, b, types.intp), codegen


@_operation(tile_plain.load)
def load(typingctx, rows, x, i):
    """t[r, :] = x[i + r, :]"""
    if not isinstance(rows, types.IntegerLiteral):
        return None
    tile = TileType(rows.literal_value, x.dtype)

    def codegen(context, builder, signature, args):
        data, i = _data(context, builder, x, args[1]), args[2]
        t = ir.Constant(ir.ArrayType(tile.vector, tile.rows * VECTORS), ir.Undefined)
        for r in range(tile.rows):
            for v in range(VECTORS):
                t = builder.insert_value(t, _load(builder, data, tile, _row(builder, i, r), v), r * VECTORS + v)
        return t

    return tile(rows, x, types.intp), codegen


@_operation(tile_plain.store)
def store(typingctx, t, x, i):
    """x[i + r, :] = t[r, :]"""

    def codegen(context, builder, signature, args):
        tile, data, i = signature.args[0], _data(context, builder, x, args[1]), args[2]
        for r in range(tile.rows):
            for v in range(VECTORS):
                vector = builder.extract_value(args[0], r * VECTORS + v)
                _store(builder, vector, data, tile, _row(builder, i, r), v)
        return context.get_dummy_value()

    return types.void(t, x, types.intp), codegen


def _multiply_add_vectors(builder, tile, x, y, total):
    name = f"llvm.fmuladd.v{tile.lanes}f{tile.dtype.bitwidth}"
    function = ir.FunctionType(tile.vector, [tile.vector] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), [x, y, total])


def _multiply_add(along_row):
    """t[r, :] += w[...] a[k, :] with the rows of the tile along a row of w (w[j, i + r]) or a column (w[j + r, i])."""

    def operation(typingctx, t, w, j, i, a, k):
        def codegen(context, builder, signature, args):
            tile = signature.args[0]
            t, _, j, i, _, k = args
            w_data, a_data = (_data(context, builder, signature.args[n], args[n]) for n in (1, 4))
            a_row = [_load(builder, a_data, tile, k, v) for v in range(VECTORS)]
            for r in range(tile.rows):
                at = (j, _row(builder, i, r)) if along_row else (_row(builder, j, r), i)
                factor = _splat(builder, builder.load(_element(builder, w_data, tile, *at)), tile)
                for v in range(VECTORS):
                    n = r * VECTORS + v
                    total = _multiply_add_vectors(builder, tile, factor, a_row[v], builder.extract_value(t, n))
                    t = builder.insert_value(t, total, n)
            return t

        return t(t, w, types.intp, types.intp, a, types.intp), codegen

    return operation


add_row_products = _operation(tile_plain.add_row_products)(_multiply_add(along_row=True))
add_column_products = _operation(tile_plain.add_column_products)(_multiply_add(along_row=False))


@_operation(tile_plain.add_rows)
def add_rows(typingctx, t, x, i):
    """t[r, :] += x[i + r, :]"""

    def codegen(context, builder, signature, args):
        tile, data = signature.args[0], _data(context, builder, x, args[1])
        t, _, i = args
        for r in range(tile.rows):
            for v in range(VECTORS):
                n = r * VECTORS + v
                row = _load(builder, data, tile, _row(builder, i, r), v)
                t = builder.insert_value(t, builder.fadd(builder.extract_value(t, n), row), n)
        return t

    return t(t, x, types.intp), codegen


@_operation(tile_plain.add_products)
def add_products(typingctx, t, w, j, a, k):
    """t[r, :] += w[j + r, :] a[k, :]"""

    def codegen(context, builder, signature, args):
        tile = signature.args[0]
        t, _, j, _, k = args
        w_data, a_data = (_data(context, builder, signature.args[n], args[n]) for n in (1, 3))
        a_row = [_load(builder, a_data, tile, k, v) for v in range(VECTORS)]
        for r in range(tile.rows):
            for v in range(VECTORS):
                n = r * VECTORS + v
                factor = _load(builder, w_data, tile, _row(builder, j, r), v)
                total = _multiply_add_vectors(builder, tile, factor, a_row[v], builder.extract_value(t, n))
                t = builder.insert_value(t, total, n)
        return t

    return t(t, w, types.intp, a, types.intp), codegen


@_operation(tile_plain.add_panels)
def add_panels(typingctx, t, w, p, j, a, s):
    """t[r, :] += w[p + r, j, :] a[j, s]"""

    def codegen(context, builder, signature, args):
        tile = signature.args[0]
        t, w_value, p, j, a_value, s = args
        panels = context.make_array(w)(context, builder, w_value)
        rows = builder.extract_value(panels.shape, 1)
        a_data = _data(context, builder, a, a_value)
        factor = _splat(builder, builder.load(_element(builder, a_data, tile, j, s)), tile)
        for r in range(tile.rows):
            row = builder.add(builder.mul(_row(builder, p, r), rows), j)
            for v in range(VECTORS):
                n = r * VECTORS + v
                w_row = _load(builder, panels.data, tile, row, v)
                total = _multiply_add_vectors(builder, tile, w_row, factor, builder.extract_value(t, n))
                t = builder.insert_value(t, total, n)
        return t

    return t(t, w, types.intp, types.intp, a, types.intp), codegen


@_operation(tile_plain.store_sums)
def store_sums(typingctx, t, x, i, c):
    """x[i + r, c] = sum over q of t[r, q]"""

    def codegen(context, builder, signature, args):
        tile, data, (i, c) = signature.args[0], _data(context, builder, x, args[1]), args[2:]
        number = tile.vector.element
        function = ir.FunctionType(number, [number, tile.vector])
        name = f"llvm.vector.reduce.fadd.v{tile.lanes}f{tile.dtype.bitwidth}"
        reduce = cgutils.get_or_insert_function(builder.module, function, name)
        for r in range(tile.rows):
            total = builder.extract_value(args[0], r * VECTORS)
            for v in range(1, VECTORS):
                total = builder.fadd(total, builder.extract_value(args[0], r * VECTORS + v))
            zero = ir.Constant(number, 0.0)
            builder.store(
                builder.call(reduce, [zero, total], fastmath=("reassoc",)),
                _element(builder, data, tile, _row(builder, i, r), c),
            )
        return context.get_dummy_value()

    return types.void(t, x, types.intp, types.intp), codegen


@_operation(tile_plain.lanes)
def lanes(typingctx, x):
    """Numbers in one vector register, for the dtype of the array x: `transpose` takes squares of that side."""
    return types.intp(x), lambda context, builder, signature, args: ir.Constant(INDEX, TileType(1, x.dtype).lanes)


@_operation(tile_plain.width)
def width(typingctx, x):
    """Numbers in one row of a tile, PANEL, for the dtype of the array x: a loop of a length known when compiling."""
    return types.intp(x), lambda context, builder, signature, args: ir.Constant(
        INDEX, VECTORS * TileType(1, x.dtype).lanes
    )


def _transposed(builder, rows, tile):
    """Transposes lanes x lanes numbers in registers, exchanging halves, quarters, ... of pairs of rows."""
    half = tile.lanes // 2
    while half:
        exchanged = list(rows)
        for i in (i for i in range(tile.lanes) if not i & half):
            upper = [q if not q & half else tile.lanes + q - half for q in range(tile.lanes)]
            lower = [q + half if not q & half else tile.lanes + q for q in range(tile.lanes)]
            for at, picked in ((i, upper), (i + half, lower)):
                mask = ir.Constant(ir.VectorType(LANE, tile.lanes), picked)
                exchanged[at] = builder.shuffle_vector(rows[i], rows[i + half], mask)
        rows = exchanged
        half //= 2
    return rows


def _vector_at(builder, address, tile):
    vector = builder.load(builder.bitcast(address, tile.vector.as_pointer()))
    vector.align = tile.dtype.bitwidth // 8
    return vector


def _store_square(builder, context, rows, tile, y, y_value, r, c):
    data = _data(context, builder, y, y_value)
    for k, vector in enumerate(_transposed(builder, rows, tile)):
        at = builder.bitcast(_element(builder, data, tile, _row(builder, r, k), c), tile.vector.as_pointer())
        builder.store(vector, at).align = tile.dtype.bitwidth // 8


@_operation(tile_plain.transpose)
def transpose(typingctx, x, rows, i, j, y, r, c):
    """y[r + q, c + k] = x[i + k, j + q] for a square of `lanes` numbers a side; rows of x from `rows` on are zeros."""
    tile = TileType(1, x.dtype)

    def codegen(context, builder, signature, args):
        data, (n, i, j) = _data(context, builder, x, args[0]), args[1:4]
        square = []
        for k in range(tile.lanes):
            row = _row(builder, i, k)
            inside = builder.icmp_signed("<", row, n)
            vector = _vector_at(builder, _element(builder, data, tile, builder.select(inside, row, i), j), tile)
            square.append(builder.select(inside, vector, ir.Constant(tile.vector, [0.0] * tile.lanes)))
        _store_square(builder, context, square, tile, y, args[4], *args[5:])
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, types.intp, y, types.intp, types.intp), codegen


@_operation(tile_plain.gather)
def gather(typingctx, x, rows, j, y, c):
    """y[j + q, c + k] = x[rows[k], j + q] for a square of `lanes` numbers a side."""
    tile = TileType(1, x.dtype)

    def codegen(context, builder, signature, args):
        places = _places(context, builder, tile, x, rows, *args[:3])
        square = [_vector_at(builder, place, tile) for place in places]
        _store_square(builder, context, square, tile, y, args[3], *args[2::2])
        return context.get_dummy_value()

    return types.void(x, rows, types.intp, y, types.intp), codegen


def _places(context, builder, tile, x, rows, x_value, rows_value, j):
    """The addresses of x[rows[k], j] for k below `lanes`."""
    source = context.make_array(x)(context, builder, x_value)
    numbers = _data(context, builder, rows, rows_value)
    columns = builder.extract_value(source.shape, 1)
    for k in range(tile.lanes):
        row = builder.load(builder.gep(numbers, [ir.Constant(INDEX, k)]))
        yield builder.gep(source.data, [builder.add(builder.mul(row, columns), j)])


def _ask(builder, address):
    """Asks the memory for the line at an address, which a later load then need not wait for."""
    byte_pointer = ir.IntType(8).as_pointer()
    function = ir.FunctionType(ir.VoidType(), [byte_pointer, LANE, LANE, LANE])
    fetch = cgutils.get_or_insert_function(builder.module, function, "llvm.prefetch.p0")
    read, keep, data = (ir.Constant(LANE, number) for number in (0, 3, 1))
    builder.call(fetch, [builder.bitcast(address, byte_pointer), read, keep, data])


@_operation(tile_plain.prefetch)
def prefetch(typingctx, x, i):
    """Asks the memory for row x[i]: a later operation need not wait."""
    tile = TileType(1, x.dtype)

    def codegen(context, builder, signature, args):
        data, i = _data(context, builder, x, args[0]), args[1]
        for column in range(0, VECTORS * tile.lanes, LINE_BYTES * 8 // tile.dtype.bitwidth):
            _ask(builder, _element(builder, data, tile, i, ir.Constant(INDEX, column)))
        return context.get_dummy_value()

    return types.void(x, types.intp), codegen


@_operation(tile_plain.prefetch_gather)
def prefetch_gather(typingctx, x, rows, j):
    """Asks the memory for x[rows[k], j:], k below `lanes`: a later `gather` need not wait."""
    tile = TileType(1, x.dtype)

    def codegen(context, builder, signature, args):
        for place in _places(context, builder, tile, x, rows, *args):
            _ask(builder, place)
        return context.get_dummy_value()

    return types.void(x, rows, types.intp), codegen
