"""`import bpjit` in a new process, beside Numba's own import, which is most of it."""


class Import:
    number = 1
    repeat = 10

    def timeraw_bpjit(self) -> str:
        return "import bpjit"

    def timeraw_numba(self) -> str:
        return "import numba"

    def timeraw_bpjit_after_numba(self) -> tuple[str, str]:
        return "import bpjit", "import numba"
