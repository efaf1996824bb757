"""Fused convolutions on a graphics card beside e3nn, cuequivariance and openequivariance: forward, with gradients, and
force training.

python benchmarks/gpu.py            # the sizes of the issue, and the same graphs 50 times as large
python benchmarks/gpu.py --quick    # without the large ones

The small sizes fit the cache of a large card; the large ones show how near the kernels come to the memory's bandwidth.
Bytes are those that must move: every input read once, every output written once.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from measure import interleaved, table, write
from products import depthwise
from torch import Tensor

from intertwine import o3
from intertwine.kernels.batched.reference import Reference
from intertwine.kernels.convolution.fused import Fused
from intertwine.kernels.plan import Plan

Convolution = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Size:
    """Irreps of x and y, the largest degree of z, edges and nodes."""

    x: str
    y: str
    lmax: int
    edges: int
    nodes: int


SMALL = {
    "A": Size("32x0e+32x1o+32x2e", "0e+1o+2e", 2, 10_000, 500),
    "B": Size("128x0e+128x1o", "0e+1o+2e+3o", 3, 4_000, 200),
    "C": Size("64x0e+64x1o+64x2e+64x3o", "0e+1o+2e+3o", 3, 5_000, 250),
}
LARGE = {
    f"{name} x 50": Size(size.x, size.y, size.lmax, 50 * size.edges, 50 * size.nodes) for name, size in SMALL.items()
}


class Problem:
    """The arguments of a size, on a device."""

    def __init__(self, size: Size, device: torch.device) -> None:
        self.size = size
        product = depthwise(o3, size.x, size.y, size.lmax)
        self.instructions = [(path.i_in1, path.i_in2, path.i_out, "uvu", True) for path in product.instructions]
        self.irreps_out = product.irreps_out
        inner = o3.TensorProduct(
            size.x,
            size.y,
            product.irreps_out,
            self.instructions,
            shared_weights=False,
            internal_weights=False,
            layout="ir_mul",
        )
        self.plan: Plan = inner.kernel.plan
        generator = torch.Generator().manual_seed(0)
        rows = ((size.nodes, self.plan.in1.dim), (size.edges, self.plan.in2.dim), (size.edges, self.plan.weight_numel))
        self.x, self.y, self.w = (torch.randn(shape, generator=generator).to(device) for shape in rows)
        self.source, self.destination = torch.randint(0, size.nodes, (2, size.edges), generator=generator).to(device)
        self.g = torch.randn(size.nodes, self.plan.out.dim, generator=generator).to(device)

    def bytes(self, what: str) -> int:
        """Bytes that must move."""
        inputs = (
            sum(tensor.nbytes for tensor in (self.x, self.y, self.w)) + self.source.nbytes + self.destination.nbytes
        )
        if what == "forward":
            return inputs + self.g.nbytes
        return 2 * inputs + 2 * self.g.nbytes + sum(tensor.nbytes for tensor in (self.x, self.y, self.w))

    def deviation(self, convolution: Convolution, edges: int = 1000) -> float:
        """Of the first edges, from the reference in float64; over the root mean square, in eps of float32."""
        first = Problem.__new__(Problem)
        first.__dict__ = self.__dict__ | {"source": self.source[:edges], "destination": self.destination[:edges]}
        computed = ours(first)(self.x, self.y[:edges], self.w[:edges]).double()
        reference = Reference(self.plan, shared=False, dtype=torch.float64, device=self.x.device)
        each = reference(self.x[first.source].double(), self.y[:edges].double(), self.w[:edges].double())
        expected = torch.zeros_like(computed).index_add_(0, first.destination, each)
        return float(
            (computed - expected).abs().max() / expected.square().mean().sqrt() / torch.finfo(torch.float32).eps
        )


# ---------------------------------------------------------------------------------------------------------- contestants


def ours(problem: Problem) -> Convolution:
    """The fused kernels."""
    fused = Fused(problem.plan)
    return lambda x, y, w: fused.convolve(x, y, w, problem.source, problem.destination, problem.size.nodes)


def of_e3nn(problem: Problem) -> Convolution:
    """Gather, product, sum."""
    from e3nn import o3 as peer

    size = problem.size
    product = depthwise(peer, size.x, size.y, size.lmax).to(problem.x.device)

    def run(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        messages = product(x[problem.source], y, w)
        return messages.new_zeros(size.nodes, messages.shape[1]).index_add(0, problem.destination, messages)

    return run


def of_cuequivariance(problem: Problem) -> Convolution:
    """Its polynomial with indices, fused where its kernels are installed (cuequivariance-ops-torch), else its path in
    torch.
    """
    import cuequivariance as cue
    import cuequivariance_torch as cuet

    size = problem.size
    degrees = [cue.O3(irrep.l, irrep.p) for irrep in dict.fromkeys(irrep for _, irrep in problem.irreps_out)]
    described = cue.descriptors.channelwise_tensor_product(cue.Irreps("O3", size.x), cue.Irreps("O3", size.y), degrees)
    try:
        import cuequivariance_ops_torch  # noqa: F401

        method = "uniform_1d"
    except ImportError:
        method = "naive"
    polynomial = cuet.SegmentedPolynomial(described.polynomial, method=method).to(problem.x.device)
    rows = problem.x.new_empty(size.nodes, 1)
    return lambda x, y, w: polynomial([w, x, y], {1: problem.source}, {0: rows}, {0: problem.destination})[0]


def of_openequivariance(problem: Problem) -> Convolution:
    """Its fused convolution; sums by atomics."""
    import openequivariance as oeq

    size = problem.size
    described = oeq.TPProblem(
        oeq.Irreps(size.x),
        oeq.Irreps(size.y),
        oeq.Irreps(str(problem.irreps_out)),
        problem.instructions,
        shared_weights=False,
        internal_weights=False,
    )
    convolution = oeq.TensorProductConv(described, deterministic=False)
    return lambda x, y, w: convolution.forward(x, y, w, problem.destination, problem.source)


CONTESTANTS = {
    "ours": ours,
    "e3nn": of_e3nn,
    "cuequivariance": of_cuequivariance,
    "openequivariance": of_openequivariance,
}


# ---------------------------------------------------------------------------------------------------------- measurement


def forward(problem: Problem, convolution: Convolution) -> Callable[[], Any]:
    """z without gradients."""

    def run() -> Tensor:
        with torch.no_grad():
            return convolution(problem.x, problem.y, problem.w)

    return run


def backward(problem: Problem, convolution: Convolution) -> Callable[[], Any]:
    """z and the gradients to x, y and w."""
    leaves = [tensor.clone().requires_grad_() for tensor in (problem.x, problem.y, problem.w)]
    return lambda: torch.autograd.grad(convolution(*leaves), leaves, problem.g)


def forces(problem: Problem, convolution: Convolution) -> Callable[[], Any]:
    """Gradients of a loss on the derivatives to y, as a loss on forces has."""
    leaves = [tensor.clone().requires_grad_() for tensor in (problem.x, problem.y, problem.w)]

    def run() -> tuple[Tensor, ...]:
        (slope,) = torch.autograd.grad((convolution(*leaves) * problem.g).sum(), leaves[1], create_graph=True)
        return torch.autograd.grad(slope.square().sum(), [leaves[0], leaves[2]])

    return run


TASKS = {"forward": forward, "forward + backward": backward, "force training": forces}


_SLOW_SAMPLES_MS = 1000.0  # ms: of the samples of slow functions, which are fewer then


def timed(functions: dict[str, Callable[[], Any]], repeats: int = 15, shortest: float = 2.0) -> dict[str, float]:
    """Median time of a call in ms by the card's clock; the functions take turns. Without a card one call each, by the
    processor's.
    """
    if not torch.cuda.is_available():
        return interleaved(functions, 1, warmup=1)
    first = {name: _once(function, 3) for name, function in functions.items()}
    calls = {name: max(1, min(200, round(shortest / max(time, 1e-3)))) for name, time in first.items()}
    repeats = max(3, min(repeats, round(_SLOW_SAMPLES_MS / sum(first.values()))))
    samples: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(repeats):
        for name in list(functions) if turn % 2 else list(functions)[::-1]:
            samples[name].append(_once(functions[name], calls[name]))
    return {name: statistics.median(values) for name, values in samples.items()}


def _once(function: Callable[[], Any], calls: int) -> float:
    function()
    start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(calls):
        function()
    stop.record()
    stop.synchronize()
    return start.elapsed_time(stop) / calls


def bandwidth(device: torch.device, numbers: int = 2**28) -> float:
    """Bytes that a copy moves in a second, read and written."""
    source = torch.randn(numbers, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / (1e-3 * timed({"copy": lambda: target.copy_(source)})["copy"])


def rows_of(name: str, problem: Problem, copied: float, without: Collection[str] = ()) -> list[dict[str, Any]]:
    """The lines of the table for one size; a library that is not there, or refuses, or is not wanted, is left out and
    named.
    """
    convolutions: dict[str, Convolution] = {}
    missing = dict.fromkeys(without, "not asked for")
    for library, make in CONTESTANTS.items():
        if library in without:
            continue
        try:
            convolutions[library] = make(problem)
            forces(problem, convolutions[library])()
        except Exception as error:  # a peer's failure must not hide our figures
            if library == "ours":
                raise
            convolutions.pop(library, None)
            missing[library] = f"{type(error).__name__}: {error}".splitlines()[0][:80]
    for library, reason in missing.items():
        print(f"  {name}: without {library} ({reason})")
    lines = []
    for task, prepare in TASKS.items():
        times = timed({library: prepare(problem, convolution) for library, convolution in convolutions.items()})
        line: dict[str, Any] = {"size": name, "task": task} | {f"{library} ms": time for library, time in times.items()}
        line["missing"] = missing
        if task != "force training":
            line["bytes / copy bandwidth"] = problem.bytes(task) / (1e-3 * times["ours"]) / copied
        line["deviation, eps"] = problem.deviation(convolutions["ours"]) if task == "forward" else None
        lines.append(line)
    return lines


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="without the large sizes")
    chosen = SMALL if parser.parse_args().quick else SMALL | LARGE
    if not torch.cuda.is_available():
        raise SystemExit(
            "no CUDA device here: this benchmark compares kernels for graphics cards. "
            "The tests run them in Triton's interpreter."
        )
    device = torch.device("cuda")
    copied = bandwidth(device)
    lines = []
    for name, size in chosen.items():
        lines += rows_of(name, Problem(size, device), copied)
        torch.cuda.empty_cache()
    print(f"{torch.cuda.get_device_name()}, a copy moves {copied / 1e9:.0f} GB/s")
    print(table([{key: value for key, value in line.items() if key != "missing"} for line in lines]))
    print(write("gpu", {"device": torch.cuda.get_device_name(), "copy_bytes_per_second": copied, "rows": lines}))


if __name__ == "__main__":
    main()
