"""Imports in a new process, beside Numba's own, which is most of it."""


class Import:
    number = 1
    repeat = 10

    def timeraw_bpjit(self) -> str:
        """As `bpjit --help` does: whatever it holds is loaded when it is asked for."""
        return "import bpjit"

    def timeraw_network(self) -> str:
        return "from bpjit import Network, Trainer"

    def timeraw_numba(self) -> str:
        return "import numba"

    def timeraw_network_after_numba(self) -> tuple[str, str]:
        return "from bpjit import Network, Trainer", "import numba"
