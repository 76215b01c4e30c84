"""How the engine is compiled: flags, kernels called by address, small intrinsics on arrays, the threading layer.

A *kernel* is compiled once for a dtype and called through its address. The engine's arithmetic therefore exists
once in machine code: its bits cannot differ between the serial and the parallel loop around it, and a new activation,
loss or optimiser compiles itself and nothing else. A call costs a few nanoseconds.

Under NUMBA_DISABLE_JIT=1 an "address" is an index into a list of Python functions, and all of this still runs.
"""

import ctypes
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

import numba
import numpy as np
from llvmlite import ir
from llvmlite.binding import ffi as llvm
from numba import types
from numba.core import cgutils, config
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.core.typing import signature
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from .. import interrupts
from .cache import CacheFile, Compiled

# Never nnan or ninf: they would delete the tests that detect divergence.
# error_model="numpy": a test for division by zero in a loop blocks its vectorisation (Adam: 14 times slower).
OPTIONS: dict[str, Any] = {
    "fastmath": {"reassoc", "contract", "nsz", "arcp", "afn"},
    "error_model": "numpy",
    "boundscheck": None,
}

WITHOUT_WRAPPERS = OPTIONS | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

inline = numba.njit(forceinline=True, **WITHOUT_WRAPPERS)
"""For functions that become part of the kernels that call them, and are of no use to Python.

forceinline: left to itself LLVM calls them, and the sums of a tile travel through memory on the way in and out."""

_compile_lock = threading.RLock()
_compiling_since: float | None = None
_seconds_compiling = 0.0
_compiled = _loaded = 0


def seconds_compiling() -> float:
    """Seconds this process has spent compiling kernels so far, loading them from the cache included."""
    return _seconds_compiling


def kernels_so_far() -> tuple[int, int]:
    """How many kernels this process has compiled, and how many it has loaded from the cache."""
    return _compiled, _loaded


@contextmanager
def compiling() -> Iterator[None]:
    """Surrounds the compiling of a kernel, or the wait for one: no other thread does meanwhile, and the time counts."""
    global _compiling_since, _seconds_compiling
    with _compile_lock:
        outer = _compiling_since
        _compiling_since = began = time.perf_counter()
        try:
            yield
        finally:
            _compiling_since = outer
            if outer is None:
                _seconds_compiling += time.perf_counter() - began


# -------------------------------------------------------------------------------------------------- kernels

_plain_functions: list[Callable] = []
named: WeakValueDictionary[str, "Kernel"] = WeakValueDictionary()
"""All kernels; of those with the same name the last."""


class Kernel:
    """A function compiled for a dtype when first asked for, and called by its address."""

    def __init__(self, function: Callable, name: str, result: types.Type, parameters: Callable, **options: bool):
        self.function, self.name, self.result, self.parameters = function, name, result, parameters
        self.options = WITHOUT_WRAPPERS | options
        self._addresses: dict[np.dtype, int] = {}
        self._compiled: list[Compiled] = []
        named[name] = self

    def address(self, dtype) -> int:
        """Address of the kernel for a dtype; compiles it, or loads it from the cache, when first asked."""
        global _compiled
        dtype = np.dtype(dtype)
        if dtype not in self._addresses:
            with compiling(), interrupts.keep():
                if not self.load(dtype):
                    compiled = self._translate(self._signature(dtype))
                    self._file(dtype).save(compiled)
                    self._keep(dtype, compiled)
                    _compiled += 1
        return self._addresses[dtype]

    def load(self, dtype, elsewhere: bool = False) -> bool:
        """Whether the kernel has an address or can be loaded from the cache. elsewhere: it has just been compiled, in
        another process."""
        global _compiled, _loaded
        dtype = np.dtype(dtype)
        if dtype in self._addresses:
            return True
        if config.DISABLE_JIT:
            _plain_functions.append(self.function)
            self._addresses[dtype] = len(_plain_functions)
            return True
        with compiling(), interrupts.keep():
            compiled = self._file(dtype).load()
            if compiled:
                self._keep(dtype, compiled)
                _compiled, _loaded = _compiled + elsewhere, _loaded + (not elsewhere)
        return compiled is not None

    def _signature(self, dtype: np.dtype) -> Any:
        return signature(self.result, *self.parameters(numba.from_dtype(dtype)))

    def _file(self, dtype: np.dtype) -> CacheFile:
        return CacheFile(self.name, self.function, self._signature(dtype), cpu_target.target_context.codegen())

    def _keep(self, dtype: np.dtype, compiled: Compiled) -> None:
        self._compiled.append(compiled)
        self._addresses[dtype] = compiled.address

    def _translate(self, wanted: Any) -> Compiled:
        dispatcher = numba.njit(**self.options)(self.function)
        dispatcher.compile(wanted)
        result = dispatcher.overloads[wanted.args]
        names = result.fndesc
        symbol = names.llvm_func_name if self.options["no_cfunc_wrapper"] else names.llvm_cfunc_wrapper_name
        return Compiled(result.library, symbol, list(result.reload_init))


class Entry(Kernel):
    """A kernel that Python calls: its arguments are an address and the array whose dtype it is compiled for."""

    def __init__(self, function: Callable, name: str):
        super().__init__(function, name, types.intp, lambda number: (types.intp, types.CPointer(number)))
        self.options = self.options | {"no_cfunc_wrapper": False}
        self._callables: dict[np.dtype, Callable] = {}

    def __call__(self, address: int, like: np.ndarray) -> None:
        """Runs without holding Python's lock; raises RuntimeError where a kernel raised an error."""
        if config.DISABLE_JIT:
            self.function(address, like)
            return
        if like.dtype not in self._callables:
            kind = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_ssize_t, ctypes.c_void_p)
            self._callables[like.dtype] = kind(self.address(like.dtype))
        if self._callables[like.dtype](address, None) == 0:
            raise RuntimeError(f"a kernel that {self.name} called raised an error, which Python has just shown")


def entry(function: Callable) -> Entry:
    """Makes an `Entry` of a function (address, like), `like` being of use to `at` only; it must return 1."""
    return Entry(function, f"{function.__module__.rpartition('.')[2]}.{function.__name__}")


def kernel(
    *parameters: Any, result: types.Type = types.void, name: str | None = None, parallel: bool = False
) -> Callable[[Callable], Kernel]:
    """Makes a `Kernel` of a function. Each parameter is a Numba type, or a function from the dtype's type to one."""

    def make(function: Callable) -> Kernel:
        def of(number):
            return tuple(p if isinstance(p, types.Type) else p(number) for p in parameters)

        home = function.__module__.rpartition(".")[2]
        return Kernel(function, name or f"{home}.{function.__name__}", result, of, parallel=parallel)

    return make


INDEX = types.intp
NUMBER = types.float64


def vector(number) -> types.Array:
    return types.Array(number, 1, "C")


def matrix(number) -> types.Array:
    return types.Array(number, 2, "C")


def records(dtype: np.dtype) -> types.Array:
    return types.Array(numba.from_dtype(dtype), 1, "C")


def operation(plain: Callable):
    """The intrinsic that follows, or its plain twin where compiling is switched off."""
    return (lambda f: plain) if config.DISABLE_JIT else intrinsic


def _call_plain(address, *args):
    return _plain_functions[address - 1](*args)


def _caller(result: types.Type):
    def call(typingctx, address, *args):
        args = tuple(
            types.intp if isinstance(a, types.Integer) else types.float64 if isinstance(a, types.Float) else a
            for a in args
        )

        def codegen(context, builder, sig, values):
            # Numba's own convention, without the wrapper for C, which copies all arguments once more.
            function = context.call_conv.get_function_type(result, args)
            callee = builder.inttoptr(values[0], function.as_pointer())
            given = cgutils.unpack_tuple(builder, values[1])
            status, returned = context.call_conv.call_function(builder, callee, result, args, given)
            with cgutils.if_unlikely(builder, status.is_error):
                context.call_conv.return_status_propagate(builder, status)
            return returned

        return signature(result, types.intp, types.StarArgTuple(args)), codegen

    return call


call = operation(_call_plain)(_caller(types.void))
"""call(address, ...): calls a kernel. Integers travel as intp, floating-point numbers as float64."""


# ----------------------------------------------------------------------------------------- views and scratch


def _shaped_plain(flat, start, *shape):
    return flat.reshape(-1)[start : start + math.prod(shape)].reshape(shape)


@operation(_shaped_plain)
def shaped(typingctx, flat, start, *shape):
    """The numbers flat[start:] as an array of `shape`, without a copy (and without the checks of `reshape`)."""
    of = types.Array(flat.dtype, len(shape), "C")

    def codegen(context, builder, sig, args):
        source = context.make_array(flat)(context, builder, args[0])
        extents = cgutils.unpack_tuple(builder, args[2])
        return _array(context, builder, of, builder.gep(source.data, [args[1]]), extents)

    return of(flat, types.intp, types.StarArgTuple([types.intp] * len(shape))), codegen


def _at_plain(address, of, *shape):
    dtype = of.dtype if isinstance(of, np.ndarray) else np.dtype(of)
    if math.prod(shape) == 0:
        return np.zeros(shape, dtype)
    memory = (ctypes.c_char * int(math.prod(shape) * dtype.itemsize)).from_address(int(address))
    array = np.frombuffer(memory, dtype).reshape(shape)
    return array.view(np.recarray) if dtype.names else array


@operation(_at_plain)
def at(typingctx, address, of, *shape):
    """The memory at `address` as an array of `shape`; `of` is a dtype, or an array that has it."""
    result = types.Array(of.dtype, len(shape), "C")

    def codegen(context, builder, sig, args):
        extents = cgutils.unpack_tuple(builder, args[2])
        data = builder.inttoptr(args[0], context.get_data_type(result.dtype).as_pointer())
        return _array(context, builder, result, data, extents)

    return result(types.intp, of, types.StarArgTuple([types.intp] * len(shape))), codegen


@operation(lambda size, like: np.empty(size, like.dtype))
def scratch(typingctx, size, like):
    """A small array on the stack, aligned for vectors; `size` is a literal, the dtype that of the array `like`."""
    if not isinstance(size, types.IntegerLiteral):
        return None
    of = types.Array(like.dtype, 1, "C")

    def codegen(context, builder, sig, args):
        storage = ir.ArrayType(context.get_data_type(of.dtype), size.literal_value)
        with builder.goto_entry_block():
            place = builder.alloca(storage)
            place.align = 64
        data = builder.bitcast(place, context.get_data_type(of.dtype).as_pointer())
        return _array(context, builder, of, data, [ir.Constant(ir.IntType(64), size.literal_value)])

    return of(size, like), codegen


def _array(context, builder, of, data, shape):
    width = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(of.dtype)))
    strides = [width]
    for extent in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], extent))
    array = context.make_array(of)(context, builder)
    populate_array(
        array,
        data=data,
        shape=cgutils.pack_array(builder, shape),
        strides=cgutils.pack_array(builder, strides),
        itemsize=width,
        meminfo=None,
    )
    return array._getvalue()


def _take_turn_plain(turns, k):
    turns[k] += 1
    return turns[k] - 1


@operation(_take_turn_plain)
def take_turn(typingctx, turns, k):
    """turns[k], which becomes greater by 1: no two threads get the same number."""

    def codegen(context, builder, sig, args):
        place = builder.gep(context.make_array(turns)(context, builder, args[0]).data, [args[1]])
        return builder.atomic_rmw("add", place, context.get_constant(types.intp, 1), "monotonic")

    return turns.dtype(turns, types.intp), codegen


def _like_plain(x, value):
    return x.dtype.type(value)


@operation(_like_plain)
def like(typingctx, x, value):
    """The constant `value` in the type of the number x: one float64 literal would widen a whole float32 loop."""

    def codegen(context, builder, sig, args):
        return context.cast(builder, args[1], value, x)

    return x(x, value), codegen


# ------------------------------------------------------------------------------------------ the threading layer

FORK_SECONDS = 20.0
"""How long a fork waits for another thread to finish compiling a kernel; one takes a second or two."""

_parallel_entry = threading.Lock()
_forking = threading.local()
_forked = False
"""Whether threads that a parallel region would wait for were left behind in a fork: none may be entered here."""


def _before_fork() -> None:
    """The compilers' locks must not be held, nor LLVM's memory be half written, in a copy that has no such thread."""
    deadline = time.monotonic() + FORK_SECONDS
    # In the order in which compiling takes them.
    locks = _compile_lock, global_compiler_lock._lock, llvm.lib._lock._lock
    _forking.held = [lock for lock in locks if lock.acquire(timeout=max(0.0, deadline - time.monotonic()))]


def _after_fork() -> None:
    for lock in reversed(_forking.held):
        lock.release()


def _after_fork_in_child() -> None:
    """Locks may be held by threads that are not there."""
    global _compile_lock, _parallel_entry, _forked
    _after_fork()
    _compile_lock, _parallel_entry = threading.RLock(), threading.Lock()
    _forked = _forked or numba.np.ufunc.parallel._is_initialized or _has_openmp()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)


def _has_openmp() -> bool:
    """Whether somebody has loaded the OpenMP runtime that Numba would use, GNU's, which does not notice a fork."""
    try:
        with open("/proc/self/maps") as file:
            return "/libgomp.so" in file.read()
    except OSError:  # not on Linux
        return False


@contextmanager
def threads(count: int) -> Iterator[bool]:
    """Surrounds a parallel call on `count` threads; yields False where it must be the serial one instead.

    `workqueue` aborts the process when two threads enter it at once, and OpenMP kills a forked child of a process that
    has used it, or waits forever: one entry at a time, and none in such a child.
    """
    if count == 1 or config.DISABLE_JIT or _forked or not _parallel_entry.acquire(blocking=False):
        yield False
        return
    entry = _parallel_entry
    before = numba.get_num_threads()
    try:
        if before != count:
            numba.set_num_threads(count)
        yield True
    finally:
        if before != count:
            numba.set_num_threads(before)
        entry.release()


def threading_layer() -> str:
    """The name of the layer that Numba has picked: omp, tbb or workqueue."""
    try:
        return "none" if config.DISABLE_JIT else numba.threading_layer()
    except ValueError:  # no parallel region has run
        return "none used yet"
