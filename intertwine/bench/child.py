"""What needs a process of its own: the first use of a plan, and the memory of the process.

python -m intertwine.bench.child first A ours
python -m intertwine.bench.child memory 1000000 "forward + backward"
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from intertwine.bench import convolutions
from intertwine.bench.contest import PASSES
from intertwine.bench.convolutions import SIZES, Problem, Size
from intertwine.numerics import DataError

_STATUS = Path("/proc/self/status")
_TIME_LIMIT_S = 600  # s


def in_child(*arguments: str, cache: Path | None = None) -> Any:
    """The document that a fresh process prints.

    Args:
        arguments: of this module's command line.
        cache: folder of compiled kernels; by default the user's.

    Raises:
        DataError: the process failed.
    """
    environment = (
        os.environ
        | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
        | ({"INTERTWINE_CACHE": str(cache)} if cache else {})
    )
    command = [sys.executable, "-W", "ignore", "-m", "intertwine.bench.child", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=_TIME_LIMIT_S, check=False)
    if done.returncode:
        last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise DataError(
            f"a measurement failed: {last}",
            where=" ".join(arguments),
            remedy="close programs that take memory, and try again.",
        )
    return json.loads(done.stdout.splitlines()[-1])


def first_use(size: str, library: str) -> dict[str, float]:
    """Seconds of the first calls of a library for a plan, its construction in the first of them; what is imported
    before is not counted.
    """
    problem = Problem.of(SIZES[size])
    getattr(convolutions, library)(Problem.of(SMALL[size]))  # imports, tables of coefficients: once for all plans
    scalar = torch.ones(1, requires_grad=True)
    torch.autograd.grad(scalar * scalar, scalar, scalar.detach())  # torch's own first time: it imports sympy
    start = time.perf_counter()
    contestant = getattr(convolutions, library)(problem)
    seconds = {"construction": time.perf_counter() - start}
    for name, run in PASSES.items():
        start = time.perf_counter()
        run(contestant)
        seconds[name] = time.perf_counter() - start
        start = time.perf_counter()
        run(contestant)
        seconds[f"{name}, again"] = time.perf_counter() - start
    return seconds


#: Constructed before the clock starts: another plan of the same library.
SMALL = {name: Size(4, 2, 3, (0, 0, 0)) for name in SIZES}


def resident(edges: int, kind: str) -> dict[str, int] | None:
    """Bytes of inputs and of results, and by how much the memory of the process grew at most while a pass ran, for
    ``edges`` of size A.

    The highest mark of the resident set is set back by the kernel before the pass; None where that is not available
    (other systems than Linux).
    """
    warm = SIZES["A"]
    contestant = convolutions.ours(Problem.of(Size(1000, 50, warm.channels, warm.degrees)))
    PASSES[kind](contestant)  # kernels, threads
    problem = Problem.of(scaled(edges))
    contestant = convolutions.ours(problem)
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return None
    before = _status("VmRSS")
    results = PASSES[kind](contestant)
    grown = _status("VmHWM") - before
    inputs = [
        *contestant.leaves,
        problem.source,
        problem.destination,
        *([contestant.cotangent] if kind != "forward" else []),
    ]
    return {
        "inputs": sum(tensor.nbytes for tensor in inputs),
        "results": sum(tensor.nbytes for tensor in results),
        "grown": grown,
    }


def scaled(edges: int, graphs: int | None = None) -> Size:
    """Size A with another number of edges, 20 for each node: a batch of graphs of its size, or of as many as are asked
    for.
    """
    size = SIZES["A"]
    return Size(edges, max(edges // 20, 1), size.channels, size.degrees, graphs or max(edges // size.edges, 1))


def _status(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name + ":"))
    return 1024 * int(line.split()[1])


def _main(what: str, *arguments: str) -> None:
    with contextlib.redirect_stdout(sys.stderr):
        result = first_use(*arguments) if what == "first" else resident(int(arguments[0]), arguments[1])
    print(json.dumps(result))


if __name__ == "__main__":
    _main(*sys.argv[1:])
