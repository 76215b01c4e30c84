"""asv suites: what a user of bpjit waits for and pays in memory.

Every benchmark is kept short, so that `asv run --quick` runs each once in some minutes.
"""
