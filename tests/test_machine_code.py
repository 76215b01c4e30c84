"""The machine code of the contractions: their tiles stay in vector registers, on CPUs that need not be the one at hand.

A tile that is spilled, or split into narrower vectors, still gives the right numbers, at a fraction of the speed.
"""

import json
import platform
import re

import pytest
import runs

DTYPES = ["float32", "float64"]
KERNELS = {  # and the tiles of each
    "forward.forward": ["LARGE", "SMALL"],
    "forward.forward_few": ["LARGE", "SMALL"],
    "backward.backward": ["LARGE", "SMALL"],
    "backward.backward_few": ["SMALL"],
    "gradient.gradient": ["LARGE", "SMALL"],
    "gradient.partial_gradient": ["LARGE", "SMALL"],
}
CPUS = {"haswell": "ymm", "skylake-avx512": "zmm"}  # 16 registers of 256 bits, 32 of 512

# Compiled and not run: this CPU may have no such registers.
COMPILE = """
import importlib, json, sys
import numba
from bpjit.engine import tile

found = {name: tile.VECTORS * getattr(tile, name) for name in ("LARGE", "SMALL")}
for kernel_name in sys.argv[1].split():
    module, _, name = kernel_name.partition(".")
    kernel = getattr(importlib.import_module(f"bpjit.engine.{module}"), name)
    for dtype in sys.argv[2].split():
        function = numba.njit(**kernel.options)(kernel.function)
        function.compile(kernel.parameters(getattr(numba, dtype)))
        (found[f"{kernel_name} {dtype}"],) = function.inspect_asm().values()
print(json.dumps(found))
"""


def innermost_loops(function):
    """The instructions from a label to a conditional jump back to it, no label between, of each such place."""
    found, label, loop = [], "", []
    for line in function.splitlines():
        line = line.partition("#")[0].strip()
        if line.endswith(":"):
            label, loop = line[:-1], []
        elif line[:1].isalpha():  # directives begin with a dot
            loop.append(line)
            if re.fullmatch(rf"j(?!mp)\w+\s+{re.escape(label)}", line):
                found.append(loop.copy())
    return found


def faults(assembly, dtype, register, tiles):
    """What is wrong with the loops that multiply and add; tiles: the numbers of vectors that the tiles have."""
    found, functions, accumulated = set(), set(), set()
    packed = {"float32": "ps", "float64": "pd"}[dtype]
    for n, function in enumerate(assembly.split(".cfi_endproc")):
        frame_pointer = re.search(r"(movq\s+%rsp|leaq\s.*\(%rsp\)), %rbp", function)  # else %rbp is a register as any
        stack = r"\(%r[sb]p\b" if frame_pointer else r"\(%rsp\b"
        for loop in innermost_loops(function):
            multiply_adds = [instruction for instruction in loop if re.match(r"vf\w?m", instruction)]
            if not multiply_adds:
                continue
            functions.add(n)
            sums = {instruction.rpartition("%")[2] for instruction in multiply_adds}
            accumulated.add(len(sums))
            seen = {
                "another operation": any(not re.match(rf"vfmadd\d+{packed}\s", m) for m in multiply_adds),
                "another width": set(re.findall(r"[xyz]mm", " ".join(loop))) != {register},
                "scalar": any(re.match(r"v(?!broadcast)\w+s[sd]\s", instruction) for instruction in loop),
                "call": any(instruction.startswith("call") for instruction in loop),
                "stack": any(re.search(stack, instruction) for instruction in loop),
                "part of a tile": len(sums) not in tiles or len(multiply_adds) % len(sums) != 0,
                "overhead": len(multiply_adds) < 0.4 * len(loop),  # 0.5 where nothing is unrolled
            }
            found |= {fault for fault, is_there in seen.items() if is_there}
    if len(functions) != 1:  # a tile that a call takes or returns travels through memory
        found.add("not in one function")
    if accumulated != set(tiles):
        found.add("a tile is missing")
    return found


@pytest.fixture(scope="module", params=[pytest.param(cpu, marks=pytest.mark.slow) for cpu in CPUS])
def compiled(request):
    """What COMPILE has found for a CPU, {"kernel dtype": assembly} and the vectors of the tiles; and its registers."""
    cpu = {"NUMBA_CPU_NAME": request.param, "NUMBA_CPU_FEATURES": ""}  # "": not what this machine has besides
    (line,) = runs.python(COMPILE, " ".join(KERNELS), " ".join(DTYPES), timeout=300, **cpu)
    return json.loads(line), CPUS[request.param]


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads the assembly of x86-64")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_tiles_stay_in_registers(kernel, dtype, compiled):
    found, register = compiled
    tiles = [found[name] for name in KERNELS[kernel]]
    assert faults(found[f"{kernel} {dtype}"], dtype, register, tiles) == set()


# Tests of the test, on tiles of 4 and 2 vectors.

SOUND = """
kernel:
    .cfi_startproc
    movq    %rdi, 8(%rsp)
.LBB0_1:                        # the large tile, its factors read by way of a pointer in %rbp
    vmovups (%r10,%rcx), %ymm4
    vbroadcastss -4(%rbp,%rcx), %ymm5
    vfmadd231ps %ymm4, %ymm5, %ymm0
    vfmadd231ps %ymm4, %ymm5, %ymm1
    vfmadd231ps (%r11,%rcx), %ymm5, %ymm2
    vfmadd231ps %ymm5, %ymm4, %ymm3
    addq    $32, %rcx
    jne     .LBB0_1
# %bb.2:
    vmulss  8(%rsp), %xmm1, %xmm2
    jmp     .LBB0_4
    .p2align 4
.LBB0_3:                        # the small one, unrolled
    vbroadcastss (%r8), %ymm5
    vfmadd231ps (%r9), %ymm5, %ymm0
    vfmadd231ps 32(%r9), %ymm5, %ymm1
    vbroadcastss 4(%r8), %ymm5
    vfmadd231ps 64(%r9), %ymm5, %ymm0
    vfmadd231ps 96(%r9), %ymm5, %ymm1
    cmpq    %r9, %rdi
    jne     .LBB0_3
.LBB0_4:
    vaddss  (%rdi), %xmm0, %xmm0
    decq    %rdi
    jne     .LBB0_4             # nothing is multiplied here
    retq
    .cfi_endproc
"""
FRAME = ("    movq    %rdi, 8(%rsp)", "    movq    %rsp, %rbp")
LAST = "    addq    $32, %rcx\n"


def changed(old, new):
    assert SOUND.count(old) == 1
    return SOUND.replace(old, new)


def test_sound_code_has_no_faults():
    assert faults(SOUND, "float32", "ymm", [4, 2]) == set()


@pytest.mark.parametrize(
    ("assembly", "fault"),
    [
        (changed(LAST, LAST + "    vmovups %ymm3, 64(%rsp)\n"), "stack"),
        (changed(LAST, LAST + "    vmovups 64(%rsp,%rax,8), %ymm3\n"), "stack"),
        (changed(*FRAME), "stack"),
        (changed("(%r11,%rcx), %ymm5, %ymm2", "-64(%rsp), %ymm5, %ymm2"), "stack"),
        (SOUND.replace("ymm", "xmm"), "another width"),
        (changed("%ymm4, %ymm5, %ymm1", "%xmm4, %xmm5, %xmm1"), "another width"),
        (changed(LAST, LAST + "    vaddss  %xmm1, %xmm2, %xmm3\n"), "scalar"),
        (changed("vfmadd231ps %ymm4, %ymm5, %ymm1", "vfmadd231ss %xmm4, %xmm5, %xmm1"), "scalar"),
        (SOUND.replace("vfmadd231ps", "vfmadd231pd"), "another operation"),
        (changed("vfmadd231ps %ymm4, %ymm5, %ymm1", "vfnmadd231ps %ymm4, %ymm5, %ymm1"), "another operation"),
        (changed(LAST, LAST + "    callq   *%rax\n"), "call"),
        (changed(LAST, LAST + 5 * "    leaq    (%rax,%rcx), %rdx\n"), "overhead"),
        (changed("    vfmadd231ps %ymm4, %ymm5, %ymm1\n", ""), "part of a tile"),
        (changed("    vfmadd231ps 96(%r9), %ymm5, %ymm1\n", ""), "part of a tile"),
        (changed("jne     .LBB0_1\n", "jne     .LBB0_9\n"), "a tile is missing"),
        (SOUND.replace("vfmadd231ps", "vmulps"), "a tile is missing"),
        (changed(".LBB0_3:", "    .cfi_endproc\nadd_inputs:\n.LBB0_3:"), "not in one function"),
    ],
)
def test_a_fault_is_found(assembly, fault):
    assert fault in faults(assembly, "float32", "ymm", [4, 2])
