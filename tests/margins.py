"""Arrays between margins of a known NaN: what writes beside an array is seen, and what reads beside it spreads NaN."""

import ctypes
import mmap

import numpy as np

from bpjit.engine import model
from bpjit.engine.epoch import Data, Network
from bpjit.engine.groups import Groups

MARGIN = 4096  # bytes on each side: more than any tile reaches
PATTERN = {4: np.uint32(0x7FC0DEAD), 8: np.uint64(0x7FF8DEADBEEFDEAD)}  # quiet NaNs that no arithmetic makes


class Margins:
    """Hands out arrays between margins and knows whether any margin has changed."""

    def __init__(self) -> None:
        self._kept: list[tuple[np.ndarray, slice]] = []

    def empty(self, shape, dtype) -> np.ndarray:
        """An array at a cache line in which every number is that NaN too."""
        dtype = np.dtype(dtype)
        pattern = PATTERN[dtype.itemsize]
        size, beside = int(np.prod(shape)), MARGIN // dtype.itemsize
        room = np.full(size + 2 * beside + 64 // dtype.itemsize, pattern)
        start = beside + (-room.ctypes.data % 64) // dtype.itemsize
        inside = slice(start, start + size)
        self._kept.append((room, inside))
        return room[inside].view(dtype).reshape(shape)

    def zeros(self, size: int, dtype) -> np.ndarray:
        """Stands in for the `aligned` of bpjit.engine.layout."""
        array = self.empty(size, dtype)
        array[:] = 0
        return array

    def copy(self, array: np.ndarray) -> np.ndarray:
        placed = self.empty(array.shape, array.dtype)
        placed[...] = array
        return placed

    def data(self, data: Data) -> Data:
        weights = None if data.weights is None else self.copy(data.weights)
        return Data(*(self.copy(array) for array in data[:5]), weights, data.before)

    def unchanged(self) -> bool:
        return all(
            (room[: inside.start] == room[0]).all() and (room[inside.stop :] == room[0]).all()
            and room[0] == PATTERN[room.itemsize]
            for room, inside in self._kept
        )  # fmt: skip


class Brink(Margins):
    """Hands out arrays that end where memory does: to read or write beyond ends the process."""

    def __init__(self) -> None:
        super().__init__()
        self._protect = ctypes.CDLL(None, use_errno=True).mprotect

    def empty(self, shape, dtype) -> np.ndarray:
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        inside = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        room = mmap.mmap(-1, inside + mmap.PAGESIZE)
        end = ctypes.addressof(ctypes.c_char.from_buffer(room)) + inside
        if self._protect(ctypes.c_void_p(end), ctypes.c_size_t(mmap.PAGESIZE), 0) != 0:
            raise OSError(ctypes.get_errno(), "mprotect")
        bits = np.frombuffer(room, f"u{dtype.itemsize}")[(inside - size) // dtype.itemsize : inside // dtype.itemsize]
        bits[:] = PATTERN[dtype.itemsize]
        return bits.view(dtype).reshape(shape)


class Model(model.Model):
    """The engine's model with everything it writes to between margins; its workspaces begin as NaN throughout."""

    def __init__(self, margins: Margins, *args) -> None:
        self.margins = margins
        super().__init__(*args)
        self.theta = margins.zeros(self.theta.size, self.dtype)

    def state(self, *args, **kwargs):
        state = super().state(*args, **kwargs)
        settings, weights, biases, rate = vars(state.groups).values()
        groups = Groups(*(self.margins.copy(array) for array in (settings, weights, biases)), rate)
        names = "good_theta", "good_moments", "coefficients", "sums"
        return state._replace(groups=groups, **{name: self.margins.copy(getattr(state, name)) for name in names})

    def moments(self, count: int) -> np.ndarray:
        return self.margins.zeros(count * self.theta.size, self.dtype).reshape(count, self.theta.size)

    def _make_workspace(self, *args, **kwargs) -> Network:
        network = super()._make_workspace(*args, **kwargs)
        work = self.margins.empty(network.work.shape, self.dtype)
        costs = self.margins.empty(network.costs.shape, network.costs.dtype)
        return network._replace(work=work, costs=costs)
