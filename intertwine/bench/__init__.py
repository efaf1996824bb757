"""Floor 8: measurements beside other libraries, for `intertwine bench` and the scripts in benchmarks/."""

from intertwine.bench.architectures import CAPTION, COLUMNS, GEOMETRIES, architectures, bodies, cells
from intertwine.bench.clock import Times, copy_bandwidth, installed, interleaved, machine, peak_memory
from intertwine.bench.contest import PASSES, Contestant, contest
from intertwine.bench.convolutions import SIZES
from intertwine.bench.cost import ATOMS, Cost, cost, short, standard_graph
from intertwine.bench.kernels import PARTS, PEERS, USUAL, Job, jobs, measure
from intertwine.bench.report import Grid, grids, heading

__all__ = [
    "ATOMS",
    "CAPTION",
    "COLUMNS",
    "GEOMETRIES",
    "PARTS",
    "PASSES",
    "PEERS",
    "SIZES",
    "USUAL",
    "Contestant",
    "Cost",
    "Grid",
    "Job",
    "Times",
    "architectures",
    "bodies",
    "cells",
    "contest",
    "copy_bandwidth",
    "cost",
    "grids",
    "heading",
    "installed",
    "interleaved",
    "jobs",
    "machine",
    "measure",
    "peak_memory",
    "short",
    "standard_graph",
]
