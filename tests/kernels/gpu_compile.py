"""Compile the programs of every family, of one plan each, for a Hopper card, on any machine, and print the size of the
machine code, and of the stack and of local memory of a thread.

That is where registers go that a thread has not enough of. Newer versions of Triton make constants of all
arguments; here they are as strict as 3.6, which comes with torch 2.11 and takes numbers and constants only.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from typing import Any

import gpu_cases
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, code_generator

from intertwine.kernels.convolution.forms import VALUE, gradient
from intertwine.kernels.convolution.gpu import programs as convolution
from intertwine.kernels.convolution.gpu.schedule import gather_jobs, scatter_jobs
from intertwine.kernels.convolution.plan import channelwise
from intertwine.kernels.harmonics.gpu import launch as harmonics_launch
from intertwine.kernels.harmonics.gpu import programs as harmonics
from intertwine.kernels.harmonics.gpu.tape import job
from intertwine.kernels.linear.gpu import launch as linear_launch
from intertwine.kernels.linear.gpu import programs as linear
from intertwine.kernels.polynomial.gpu import launch as polynomial_launch
from intertwine.kernels.polynomial.gpu import programs as polynomial
from intertwine.kernels.polynomial.gpu.schedule import ROWS
from intertwine.o3.harmonic_plans import solid

#: Types of arguments; others are pointers to real numbers.
TYPES: dict[str, Any] = dict.fromkeys(("order", "offsets", "source", "destination", "group"), "*i64")
TYPES |= {"size_dy": "i64", "tiles": "*i64", "entries": "*i64", "arguments": ("*REAL",) * 2, "results": ("*REAL",)}
TYPES |= dict.fromkeys(["n", "count", "samples", "share", "size_x", "size_y", "size_g", "size_w"], "i32")
TYPES |= dict.fromkeys(["tasks", "chunks", "channels", "slots", "ones", "depth", "width"], "i32")
MACHINE = dict.fromkeys(["described", "levels", "tiles", "targets", "first", "second", "outputs"], "*i32")


def typed(kind: Any, real: tl.dtype) -> Any:
    """The type of an argument with the precision put in."""
    if isinstance(kind, tuple):
        return tuple(typed(part, real) for part in kind)
    return kind.replace("REAL", "fp64" if real == tl.float64 else "fp32")


def compiled(
    program: triton.JITFunction,
    constants: dict[str, Any],
    warps: int,
    types: dict[str, str] | None = None,
    stages: int = 0,
) -> dict[str, int]:
    """Size of the machine code in bytes, declarations of local memory in it, and bytes of the stack of a thread."""
    names, real = program.arg_names, constants["REAL"]
    kinds = TYPES | (types or {})
    signature = {name: "constexpr" if name in constants else typed(kinds.get(name, "*REAL"), real) for name in names}
    aligned = {}
    for place, name in enumerate(names):
        parts = signature[name] if isinstance(signature[name], tuple) else (signature[name],)
        for number, part in enumerate(parts):
            if part.startswith("*"):
                key = (place, number) if isinstance(signature[name], tuple) else (place,)
                aligned[key] = [["tt.divisibility", 16]]
    source = ASTSource(program, signature, {(names.index(name),): value for name, value in constants.items()}, aligned)
    options = {"num_warps": warps} | ({"num_stages": stages} if stages else {})
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    local = len(re.findall(r"\.local|\.nv\.local", made.asm["ptx"]))
    return {"bytes": len(made.asm["cubin"]), "local": local} | used(made.asm["cubin"])


def used(code: bytes) -> dict[str, int]:
    """What the assembler says that a thread of a program needs."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    [line] = [line for line in said.splitlines() if "STACK" in line]
    return {name: int(number) for name, number in re.findall(r"(REG|STACK|LOCAL):(\d+)", line)}


def all_of(real: tl.dtype) -> dict[str, dict[str, int]]:
    """Every program in a precision of sums."""
    plan = channelwise(gpu_cases.product(*gpu_cases.PRODUCTS["little"]))
    assert plan is not None
    jobs = {"gather": gather_jobs(plan, VALUE, 4)[0], "scatter": scatter_jobs(plan, gradient("xyw"), 4)[0]}
    found = {
        name: compiled(getattr(convolution, name), {"JOB": made, "REAL": real, "EDGES": 4, "LANES": 8}, 1)
        for name, made in jobs.items()
    }
    described = solid((0, 1, 2, 3), "component", True)
    for kind in ("values", "gradient", "second"):
        constants = {"JOB": job(kind, described), "REAL": real, "POINTS": harmonics_launch.POINTS}
        no_integers = dict.fromkeys(("first", "second"), "*REAL")
        found[f"points, {kind}"] = compiled(harmonics.points, constants, harmonics_launch.WARPS, no_integers)
    tile, warps = {"REAL": real, "ROWS": linear_launch.ROWS, "COLUMNS": 64}, linear_launch.WARPS
    found["products"] = compiled(linear.products, tile | {"DEPTH": linear_launch.DEPTH}, warps, stages=1)
    found["sums"] = compiled(linear.sums, tile | {"ROWS": linear_launch.DEPTH}, warps, stages=1)
    lanes = {"REAL": real, "ROWS": ROWS, "LANES": polynomial_launch.LANES}
    found["machine"] = compiled(polynomial.machine, lanes, 1, MACHINE, stages=1)
    found["totals"] = compiled(polynomial.totals, lanes | {"ROWS": 16, "LANES": 64}, 4)
    return found


def as_strict_as_before(normalize: Any) -> Any:
    """Triton's function that makes constants of arguments, for those that Triton 3.6 makes constants of.

    Raises:
        TypeError: another one, such as a part of a constant.
    """

    def strict(argument: Any) -> Any:
        parts = argument if isinstance(argument, tuple) else (argument,)
        for part in parts:
            if not isinstance(part, tl.core.base_value | tl.dtype | int | float | None) and not hasattr(part, "type"):
                raise TypeError(f"Triton 3.6 takes no {type(part).__name__} for an argument: make a constant of it")
        return normalize(argument)

    return strict


if __name__ == "__main__":
    if hasattr(code_generator, "normalize_value"):
        code_generator.normalize_value = as_strict_as_before(code_generator.normalize_value)
    precisions = {"float32": tl.float32, "float64": tl.float64}
    print(
        json.dumps(
            {f"{name} in {dtype}": one for dtype, real in precisions.items() for name, one in all_of(real).items()}
        )
    )
