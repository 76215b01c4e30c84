"""What a user waits for before the first step: compiling, or loading what an earlier process compiled."""

import os
import subprocess
import sys
from pathlib import Path

# The data is small enough that nearly all of the time is compiling or loading.
FIRST_FIT = """
import time
import numpy as np
import bpjit
rng = np.random.default_rng(0)
X = rng.standard_normal((256, 784), dtype=np.float32)
t = rng.integers(0, 10, 256)
begun = time.perf_counter()
net = bpjit.Network([784, 128, 10], seed=0)
net.fit(X, t, epochs=1, batch_size=128, optimizer=bpjit.Adam(), progress=False)
print(time.perf_counter() - begun)
"""


def first_fit(cache: Path) -> float:
    """Seconds of the first fit of a new process, its import not counted; `cache` is the compile cache."""
    output = subprocess.run(
        [sys.executable, "-c", FIRST_FIT],
        env=os.environ | {"BPJIT_CACHE_DIR": str(cache)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=280,
    ).stdout
    return float(output)


class FirstFit:
    """The cache is filled once: the run that fills it is the measurement of an empty one."""

    unit = "seconds"
    timeout = 300

    def setup_cache(self) -> tuple[Path, float]:
        cache = Path.cwd() / "kernels"  # asv runs this in a folder of its own and deletes it at the end
        return cache, first_fit(cache)

    setup_cache.timeout = 300  # type: ignore[attr-defined]

    def track_empty_cache(self, cache: tuple[Path, float]) -> float:
        return cache[1]

    def track_filled_cache(self, cache: tuple[Path, float]) -> float:
        return first_fit(cache[0])
