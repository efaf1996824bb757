"""Floor 8: measurements beside other libraries, for `intertwine bench` and the scripts in benchmarks/."""

from intertwine.bench.clock import Times, copy_bandwidth, installed, interleaved, machine, peak_memory
from intertwine.bench.contest import PASSES, Contestant, contest
from intertwine.bench.convolutions import SIZES
from intertwine.bench.kernels import PARTS, PEERS, Job, jobs, measure
from intertwine.bench.report import Grid, grids, heading

__all__ = [
    "PARTS",
    "PASSES",
    "PEERS",
    "SIZES",
    "Contestant",
    "Grid",
    "Job",
    "Times",
    "contest",
    "copy_bandwidth",
    "grids",
    "heading",
    "installed",
    "interleaved",
    "jobs",
    "machine",
    "measure",
    "peak_memory",
]
