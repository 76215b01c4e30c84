"""Kernels that other processes compile, and what is done where these fail."""

import time

import pytest
from runs import python

BEGIN = """
import sys, time
from bpjit.engine import activations, compilers, jit, layout
from bpjit.engine.activations import ACTIVATIONS

compilers.KERNELS_EACH = 1
ENTRIES = [ACTIVATIONS[name] for name in ("relu", "tanh", "elu")]
KERNELS = [kernel for entry in ENTRIES for kernel in (entry.sigma, entry.sigma_prime)]
here = []
translate = jit.Kernel._translate
jit.Kernel._translate = lambda kernel, wanted: (here.append(kernel.name), translate(kernel, wanted))[1]

def compile_all(cpus=2):
    compilers.compile_all(KERNELS, "float64", cpus)
    assert all(kernel.load("float64") for kernel in KERNELS)
    print(len(here), *jit.kernels_so_far())
"""


def compiled(program, folder, **changes):
    """(kernels compiled here, kernels compiled, kernels loaded) of a process with that compile cache."""
    lines = python(BEGIN + program, BPJIT_CACHE_DIR=folder, **changes)
    return tuple(map(int, lines[-1].split()))


def test_another_process_compiles_some(tmp_path):
    # The other process takes a second or two to start.
    slowly = "jit.Kernel._translate = lambda *of: (time.sleep(1.5), here.append(of[0].name), translate(*of))[2]\n"
    here, made, loaded = compiled(slowly + "compile_all()", tmp_path)
    assert 0 < here < 6
    assert (made, loaded) == (6, 0)
    assert compiled("compile_all()", tmp_path) == (0, 0, 6)


def test_one_cpu_compiles_alone(tmp_path):
    program = "compilers.Compiler = None\ncompile_all(1)"
    assert compiled(program, tmp_path) == (6, 6, 0)


FAILING = {
    "ends at once": "compilers.PROGRAM = 'raise SystemExit(1)'",
    "ends in the middle": "compilers.PROGRAM = 'import sys; print(sys.stdin.readline().split()[0], flush=True)'",
    "says what is not true": "compilers.PROGRAM = 'import sys; [print(x.split()[0], flush=True) for x in sys.stdin]'",
    "talks nonsense": "compilers.PROGRAM = 'while True: print(1, flush=True)'",
    "does not answer": "compilers.PATIENCE = 0.5; compilers.PROGRAM = 'import time; time.sleep(1000)'",
    "cannot be started": "compilers._python = lambda: '/nowhere/python'",
    "is of a program that is not Python": "sys.executable = '/usr/bin/blender'",
    "has no thread to wait for it": "compilers.ThreadPoolExecutor.submit = lambda *_: exec('raise RuntimeError')",
}


@pytest.mark.parametrize("failure", FAILING.values(), ids=FAILING)
def test_a_process_that_fails(failure, tmp_path):
    began = time.monotonic()
    assert compiled(f"{failure}\ncompile_all()", tmp_path) == (6, 6, 0)
    assert time.monotonic() - began < 60


def test_no_place_to_hand_over(tmp_path):
    file = tmp_path / "file"
    file.touch()
    program = "compilers.Compiler = None\ncompile_all()"
    assert compiled(program, file / "folder") == (6, 6, 0)


INTERRUPTED = """
import os, signal, subprocess, threading

def interrupt(kernel, wanted):
    os.kill(os.getpid(), signal.SIGINT)
    return translate(kernel, wanted)

started, start = [], subprocess.Popen
compilers.subprocess.Popen = lambda *given, **options: started.append(start(*given, **options)) or started[0]
jit.Kernel._translate = interrupt
try:
    compile_all()
except KeyboardInterrupt:
    assert [process.poll() is not None for process in started] == [True]
    assert threading.active_count() == 1
    print("interrupted")
"""


def test_ctrl_c_ends_the_other_process_too(tmp_path):
    assert python(BEGIN + INTERRUPTED, BPJIT_CACHE_DIR=tmp_path)[-1] == "interrupted"


def test_a_kernel_of_the_user_is_compiled_here(tmp_path):
    program = """
import bpjit

bpjit.register_activation("doubled", lambda z: 2.0 * z, lambda z: 2.0)
KERNELS.append(ACTIVATIONS["doubled"].sigma)
compile_all()
assert "activations.doubled" in here
"""
    assert compiled(program, tmp_path)[0] >= 1
