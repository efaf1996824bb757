"""Compile the programs of one plan for a Hopper card, on any machine, and print the size of the machine code and of
local memory.

Local memory is where registers go that a thread has not enough of. Newer versions of Triton make constants of all
arguments; here they are as strict as 3.6, which comes with torch 2.11 and takes numbers and constants only.
"""

from __future__ import annotations

import json
import re
from typing import Any

import gpu_cases
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, code_generator

from intertwine.kernels.convolution.forms import VALUE, gradient
from intertwine.kernels.convolution.gpu import programs
from intertwine.kernels.convolution.gpu.schedule import GatherJob, ScatterJob, gather_jobs, scatter_jobs
from intertwine.kernels.convolution.plan import channelwise

CONSTANTS = ("JOB", "REAL", "EDGES", "LANES")
TYPES = {"order": "*i64", "offsets": "*i64", "source": "*i64", "destination": "*i64", "size_dy": "i64"}


def compiled(
    program: triton.JITFunction, job: GatherJob | ScatterJob, edges: int, lanes: int, warps: int
) -> dict[str, int]:
    """Size of the machine code in bytes, and declarations of local memory in it."""
    names = program.arg_names
    signature = {name: "constexpr" if name in CONSTANTS else TYPES.get(name, "*fp32") for name in names}
    constants = {(names.index(name),): value for name, value in zip(CONSTANTS, (job, tl.float32, edges, lanes))}
    aligned = {
        (place,): [["tt.divisibility", 16]] for place, name in enumerate(names) if signature[name].startswith("*")
    }
    source = ASTSource(program, signature, constants, aligned)
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps})
    return {"bytes": len(made.asm["cubin"]), "local": len(re.findall(r"\.local|\.nv\.local", made.asm["ptx"]))}


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
    plan = channelwise(gpu_cases.product(*gpu_cases.PRODUCTS["little"]))
    assert plan is not None
    jobs = {"gather": gather_jobs(plan, VALUE, 4)[0], "scatter": scatter_jobs(plan, gradient("xyw"), 4)[0]}
    print(json.dumps({name: compiled(getattr(programs, name), job, 4, 8, 1) for name, job in jobs.items()}))
