"""asv suites: what a user of bpjit waits for and pays in memory, and how it grows with the work.

A suite keeps its parameters in the order of their cost, warms up in `setup`, and returns what it computed:
tests/test_benchmarks.py runs every benchmark with its first parameters and looks at what comes back. Each is short, so
that `asv run --quick` runs all of them once in some minutes.
"""

import os
from pathlib import Path

# In an environment that asv made, every commit compiles for itself: none takes what another has left in the cache.
if "ASV_COMMIT" in os.environ:
    os.environ["BPJIT_CACHE_DIR"] = str(Path(os.environ["ASV_ENV_DIR"], "kernels", os.environ["ASV_COMMIT"]))

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # np.dot, as the kernels beside it
