"""Models beside the packages that they come from, at the same weights: energy with forces, and a training step on both. Float32.

    python benchmarks/models.py            # some minutes, on a machine that does nothing else; writes the table of docs/results.md
    python benchmarks/models.py --only mace --threads 1

NequIP: l = 2, 32 channels of both parities, 4 layers, on batches of ethanol. MACE: 128x0e+128x1o, harmonics to l = 3, correlation 3, 2
layers, on 64 silicon atoms, cutoff 5 A. SchNet, DimeNet++, PaiNN and EGNN: `peers.py`. Weights are random, converted by
`intertwine.integrations` and `intertwine.bench.twins`; outputs are compared before anything is timed. A training step is the backward pass
of their squares to all weights. A package that is not there is said to be left out.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ase.build import bulk
from measure import DOCS, insert, interleaved, machine, markdown, write
from peers import Outputs, Pair, dimenet, egnn, ethanol, painn, schnet

from intertwine.geometry import Graph, connect
from intertwine.integrations import from_mace, from_nequip

LIBRARIES = ("torch", "e3nn", "nequip", "mace-torch", "torch-geometric", "schnetpack", "egnn-pytorch")
AGREEMENT = 1e-4  # of the largest force (or other output), in single precision


def nequip(batch: int) -> Pair:
    """The package nequip's model, and ours of it, on perturbed ethanol."""
    from nequip.model import NequIPGNNModel
    from nequip.utils.global_state import set_global_state

    set_global_state()
    scales = {"per_type_energy_scales": dict.fromkeys(("H", "C", "O"), 1.0), "per_type_energy_shifts": {"H": -1.0, "C": 2.0, "O": 3.0}}
    sizes = {"num_layers": 4, "l_max": 2, "num_features": 32, "radial_mlp_depth": 1, "radial_mlp_width": 128}
    theirs = NequIPGNNModel(seed=0, model_dtype="float32", r_max=5.0, type_names=["H", "C", "O"], avg_num_neighbors=8.0, **sizes, **scales)
    ours, graph = from_nequip(theirs), ethanol(batch)
    types = torch.tensor([{1: 0, 6: 1, 8: 2}[int(one)] for one in graph.z])

    def run() -> Outputs:
        fields = {"pos": graph.pos.double().clone(), "edge_index": graph.edge_index.flip(0).contiguous(), "atom_types": types}
        found = theirs(fields | {"batch": graph.batch, "num_atoms": torch.full((batch,), 9)})
        return {"energy": found["total_energy"].flatten(), "forces": found["forces"]}

    return theirs, run, ours, lambda: ours(graph)


def mace() -> Pair:
    """mace-torch's model, and ours of it, on rattled silicon."""
    from e3nn import o3
    from mace import modules

    theirs = modules.ScaleShiftMACE(
        r_max=5.0, num_bessel=8, num_polynomial_cutoff=5, max_ell=3, num_interactions=2, num_elements=1, atomic_numbers=[14],
        atomic_energies=np.array([-1.0]), avg_num_neighbors=28.0, correlation=3, gate=torch.nn.functional.silu,
        hidden_irreps=o3.Irreps("128x0e+128x1o"), MLP_irreps=o3.Irreps("16x0e"), atomic_inter_scale=1.0, atomic_inter_shift=0.0,
        interaction_cls_first=modules.RealAgnosticInteractionBlock, interaction_cls=modules.RealAgnosticResidualInteractionBlock,
    )  # fmt: skip
    ours, atoms = from_mace(theirs), bulk("Si", cubic=True) * (2, 2, 2)
    atoms.rattle(0.05, seed=0)
    cell = torch.tensor(atoms.cell.array, dtype=torch.float32)[None]
    places = torch.tensor(atoms.positions, dtype=torch.float32)
    graph = connect(Graph(places, z=torch.tensor(atoms.numbers), cell=cell, pbc=torch.ones(1, 3, dtype=torch.bool)), 5.0)
    shifts = -graph.shifts.float()
    fields = {"node_attrs": torch.ones(len(graph.z), 1), "edge_index": graph.edge_index, "unit_shifts": shifts, "shifts": shifts @ cell[0]}
    fields |= {"cell": cell[0], "batch": torch.zeros(len(graph.z), dtype=torch.long), "ptr": torch.tensor([0, len(graph.z)])}
    ours.stressed = lambda graph: False  # type: ignore[method-assign]  # theirs is not asked for it either
    return theirs, lambda: theirs(fields | {"positions": graph.pos.clone()}, training=theirs.training), ours, lambda: ours(graph)


#: name -> title, how many times as fast as theirs ours should be, how to make both.
CASES: dict[str, tuple[str, int, Callable[[], Pair]]] = {
    "nequip": ("NequIP, 5 ethanol", 4, lambda: nequip(5)),
    "nequip20": ("NequIP, 20 ethanol", 4, lambda: nequip(20)),
    "mace": ("MACE, 64 silicon", 4, mace),
    "schnet": ("SchNet, 20 ethanol", 1, schnet),
    "dimenet": ("DimeNet++, 20 ethanol", 1, dimenet),
    "painn": ("PaiNN, 20 ethanol", 1, painn),
    "egnn": ("EGNN, 20 ethanol", 1, egnn),
}


def measured(name: str, repeats: int) -> list[dict[str, Any]]:
    """The rows of a case: medians of interleaved calls."""
    title, goal, build = CASES[name]
    torch.set_default_dtype(torch.float32)  # the packages set another, for good
    torch.manual_seed(0)
    try:
        theirs, run_theirs, ours, run_ours = build()
    except ImportError as missing:
        print(f"{title}: left out, {missing}")
        return []
    left, right = run_theirs(), run_ours()
    names = list(right)
    difference = max(float((left[name] - right[name]).abs().max() / left[name].abs().max()) for name in names)
    if not difference <= AGREEMENT:
        raise ValueError(f"{title}: {' or '.join(names)} differ by {difference:.2g} of the largest: one of the two is wrong")

    def step(module: torch.nn.Module, run: Callable[[], Outputs]) -> Callable[[], None]:
        def call() -> None:
            module.zero_grad()
            found = run()
            sum(found[name].square().mean() for name in names).backward()

        return call

    rows = []
    for kind, training in ((" + ".join(names), False), ("training step", True)):
        theirs.train(training)
        ours.train(training)
        calls = {"ours": step(ours, run_ours), "theirs": step(theirs, run_theirs)} if training else {"ours": run_ours, "theirs": run_theirs}
        times = interleaved(calls, repeats)
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
    caption = f"{on['processor']}, {chosen.threads} threads, {versions}; seed 0; {on['date']}. `python benchmarks/models.py`"
    insert(DOCS / "results.md", "models.py", f"{markdown(rows)}\n\n{caption}")


if __name__ == "__main__":
    main()
