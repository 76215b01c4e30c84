"""`python -m bpjit`: the command line."""

from bpjit.cli import main

main()
