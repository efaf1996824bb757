"""Models beside the packages that they come from, at the same weights: energy with forces, and a training step on both.
Float32.

    python benchmarks/models.py   # some minutes, on an idle machine; writes the table of docs/results.md
    python benchmarks/models.py --only mace --threads 1

NequIP: l = 2, 32 channels of both parities, 4 layers, on batches of ethanol. MACE: 128x0e+128x1o, harmonics to l = 3,
correlation 3, 2 layers, on 64 silicon atoms, cutoff 5 A. SchNet, DimeNet++, PaiNN and EGNN: `peers.py`. Weights are
random, converted by `intertwine.integrations` and `twins.py`; outputs are compared before anything is
timed. A training step is the backward pass of their squares to all weights. A package that is not there is said to be
left out.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from ase.build import bulk
from ase.data import chemical_symbols
from measure import DOCS, insert, interleaved, machine, markdown, write
from peers import Outputs, Pair, dimenet, egnn, ethanol, painn, schnet

from intertwine.geometry import Graph, connect
from intertwine.integrations import from_mace, from_nequip

LIBRARIES = ("torch", "e3nn", "nequip", "mace-torch", "torch-geometric", "schnetpack", "egnn-pytorch")
LARGEST_RELATIVE_DIFFERENCE = 1e-4  # of the largest force (or other output), in single precision


def silicon(repeats: int) -> Graph:
    """A rattled crystal of 8 repeats^3 atoms, connected within 5 A."""
    atoms = bulk("Si", cubic=True) * (repeats, repeats, repeats)
    atoms.rattle(0.05, seed=0)
    cell = torch.tensor(atoms.cell.array, dtype=torch.float32)[None]
    places = torch.tensor(atoms.positions, dtype=torch.float32)
    return connect(Graph(places, z=torch.tensor(atoms.numbers), cell=cell, pbc=torch.ones(1, 3, dtype=torch.bool)), 5.0)


def nequip(graph: Graph, device: str = "cpu", layers: int = 4, features: int = 32, lmax: int = 2) -> Pair:
    """The package nequip's model, and ours of it."""
    from nequip.model import NequIPGNNModel
    from nequip.utils.global_state import set_global_state

    set_global_state()
    species = graph.z.unique().tolist()
    names = [chemical_symbols[number] for number in species]
    shifts = {name: float(number % 7) - 3.0 for name, number in zip(names, species)}
    scales = {"per_type_energy_scales": dict.fromkeys(names, 1.0), "per_type_energy_shifts": shifts}
    sizes = {
        "num_layers": layers,
        "l_max": lmax,
        "num_features": features,
        "radial_mlp_depth": 1,
        "radial_mlp_width": 128,
    }
    theirs = NequIPGNNModel(
        seed=0, model_dtype="float32", r_max=5.0, type_names=names, avg_num_neighbors=8.0, **sizes, **scales
    )
    ours, graph, theirs = from_nequip(theirs).to(device), graph.to(device), theirs.to(device)
    ours.stressed = lambda graph: False  # type: ignore[method-assign]  # theirs is not asked for it either
    fields = {
        "edge_index": graph.edge_index.flip(0).contiguous(),
        "atom_types": torch.searchsorted(torch.tensor(species).to(device), graph.z),
    }
    fields |= {"batch": graph.membership(), "num_atoms": torch.bincount(graph.membership())}
    if graph.get("cell") is not None:
        fields |= {"cell": graph.cell.double(), "edge_cell_shift": graph.shifts.double()}

    def run() -> Outputs:
        outputs = theirs(fields | {"pos": graph.pos.double().clone()})
        return {"energy": outputs["total_energy"].flatten(), "forces": outputs["forces"]}

    return theirs, run, ours, lambda: ours(graph)


def mace(graph: Graph, device: str = "cpu", channels: int = 128, lmax: int = 3, correlation: int = 3) -> Pair:
    """mace-torch's model, and ours of it."""
    from e3nn import o3
    from mace import modules

    species = graph.z.unique()
    theirs = modules.ScaleShiftMACE(
        r_max=5.0, num_bessel=8, num_polynomial_cutoff=5, max_ell=lmax, num_interactions=2, num_elements=len(species),
        atomic_numbers=species.tolist(), atomic_energies=-np.ones(len(species)), avg_num_neighbors=28.0,
        correlation=correlation, gate=torch.nn.functional.silu, hidden_irreps=o3.Irreps(f"{channels}x0e+{channels}x1o"),
        MLP_irreps=o3.Irreps("16x0e"), atomic_inter_scale=1.0, atomic_inter_shift=0.0,
        interaction_cls_first=modules.RealAgnosticInteractionBlock,
        interaction_cls=modules.RealAgnosticResidualInteractionBlock,
    )  # fmt: skip
    ours, graph, theirs, species = from_mace(theirs).to(device), graph.to(device), theirs.to(device), species.to(device)
    periodic, batch = graph.get("cell") is not None, graph.membership()
    cell = graph.cell if periodic else graph.pos.new_zeros(graph.graphs, 3, 3)
    shifts = -graph.shifts.float() if periodic else graph.pos.new_zeros(graph.edge_index.shape[1], 3)
    fields = {
        "node_attrs": (graph.z[:, None] == species).float(),
        "edge_index": graph.edge_index,
        "unit_shifts": shifts,
    }
    fields |= {"shifts": shifts @ cell[0], "cell": cell.flatten(0, 1), "batch": batch}
    fields["ptr"] = torch.cat([batch.new_zeros(1), torch.bincount(batch).cumsum(0)])
    ours.stressed = lambda graph: False  # type: ignore[method-assign]  # theirs is not asked for it either
    return (
        theirs,
        lambda: theirs(fields | {"positions": graph.pos.clone()}, training=theirs.training),
        ours,
        lambda: ours(graph),
    )


#: name -> title, how many times as fast as theirs ours should be, how to make both.
CASES: dict[str, tuple[str, int, Callable[[], Pair]]] = {
    "nequip": ("NequIP, 5 ethanol", 4, lambda: nequip(ethanol(5))),
    "nequip20": ("NequIP, 20 ethanol", 4, lambda: nequip(ethanol(20))),
    "mace": ("MACE, 64 silicon", 4, lambda: mace(silicon(2))),
    "schnet": ("SchNet, 20 ethanol", 1, schnet),
    "dimenet": ("DimeNet++, 20 ethanol", 1, dimenet),
    "painn": ("PaiNN, 20 ethanol", 1, painn),
    "egnn": ("EGNN, 20 ethanol", 1, egnn),
}


Clock = Callable[[dict[str, Callable[[], Any]]], dict[str, float]]


def prepared(build: Callable[[], Pair]) -> Pair:
    """Both models, made in single precision from one seed."""
    torch.set_default_dtype(torch.float32)  # the packages set another, for good
    torch.manual_seed(0)
    return build()


def compared(title: str, pair: Pair) -> float:
    """Largest difference of the outputs, over the largest output.

    Raises:
        ValueError: the two compute different things.
    """
    _, run_theirs, _, run_ours = pair
    left, right = run_theirs(), run_ours()
    difference = max(float((left[name] - right[name]).abs().max() / left[name].abs().max()) for name in right)
    if not difference <= LARGEST_RELATIVE_DIFFERENCE:
        raise ValueError(
            f"{title}: {' or '.join(right)} differ by {difference:.2g} of the largest: one of the two is wrong"
        )
    return difference


def step(module: torch.nn.Module, run: Callable[[], Outputs], names: Sequence[str]) -> Callable[[], None]:
    """A training step: the gradients of the squares of the outputs to all weights."""

    def call() -> None:
        module.zero_grad()
        outputs = run()
        sum(outputs[name].square().mean() for name in names).backward()

    return call


def timings(pair: Pair, clock: Clock) -> dict[str, dict[str, float]]:
    """Times in ms of both, by what is done."""
    theirs, run_theirs, ours, run_ours = pair
    names, times = list(run_ours()), {}
    for kind, training in ((" + ".join(names), False), ("training step", True)):
        theirs.train(training)
        ours.train(training)
        steps = {"ours": step(ours, run_ours, names), "theirs": step(theirs, run_theirs, names)}
        times[kind] = clock(steps if training else {"ours": run_ours, "theirs": run_theirs})
    return times


def measured(name: str, repeats: int) -> list[dict[str, Any]]:
    """The rows of a case: medians of interleaved calls."""
    title, goal, build = CASES[name]
    try:
        pair = prepared(build)
    except ImportError as missing:
        print(f"{title}: left out, {missing}")
        return []
    difference = compared(title, pair)
    rows = []
    for kind, times in timings(pair, lambda calls: interleaved(calls, repeats)).items():
        rows.append(
            {
                "case": title,
                "pass": kind,
                "ours, ms": times["ours"],
                "theirs, ms": times["theirs"],
                "ratio": times["theirs"] / times["ours"],
                "goal": goal,
                "met": "yes" if times["theirs"] >= goal * times["ours"] else "no",
            }
        )
        rows[-1]["outputs differ by"] = f"{difference:.1e}"
        print(rows[-1])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    warnings.simplefilter("ignore")
    rows = [row for name in chosen.only for row in measured(name, chosen.repeats)]
    if chosen.only != list(CASES):
        return
    write("models", {"rows": rows})
    on = machine()
    versions = ", ".join(f"{name} {on['versions'][name]}" for name in LIBRARIES if name in on["versions"])
    caption = (
        f"{on['processor']}, {chosen.threads} threads, {versions}; seed 0; {on['date']}. `python benchmarks/models.py`"
    )
    insert(DOCS / "results.md", "models.py", f"{markdown(rows)}\n\n{caption}")


if __name__ == "__main__":
    main()
