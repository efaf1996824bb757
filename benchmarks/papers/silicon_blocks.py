"""A periodic Hamiltonian: 64 silicon atoms in a basis s, p, blocks with lattice shifts, fitted by the molecules' head.

    python benchmarks/papers/silicon_blocks.py          # about five minutes; needs ../shared/data/hamiltonian
    python benchmarks/papers/silicon_blocks.py --page   # only writes the text of docs/results.md again

The files hold no positions: they are solved for from the overlaps. A fifth of the pairs, each with its reverse, and of
the atoms, is kept apart and tested on; the rest is trained on. One structure: it says that the head learns hopping
blocks with shifts, not how it does on other structures.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from measure import DOCS, RESULTS, insert, write

from intertwine import Graph
from intertwine.data.hopping import Hoppings, geometry_of, read_hoppings
from intertwine.models import NequIP
from intertwine.nn.pair_blocks import PairBlocks, PairGraph
from intertwine.orbitals import Basis, BlockLayout, Shell

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "hamiltonian"
FILE = RESULTS / "silicon_blocks.json"
VOLUME = 8 * 5.431**3  # A^3, of 64 atoms at the density of the crystal
SILICON, CUTOFF, REACH = 14, 5.0, 10.5  # atomic number; A: of the model, of the blocks
KEPT = 0.2


def pairs_of(table: Hoppings, pos: torch.Tensor, cell: torch.Tensor) -> PairGraph:
    """The pairs of the blocks."""
    rows = torch.cat([torch.stack([table.i, table.j], dim=1), table.shifts], dim=1).tolist()
    place = {tuple(row): number for number, row in enumerate(rows)}
    reverse = torch.tensor([place[j, i, -a, -b, -c] for i, j, a, b, c in rows])
    vectors = pos[table.j] + table.shifts.to(pos) @ cell - pos[table.i]
    onsite = (table.i == table.j) & (table.shifts == 0).all(1)
    return PairGraph(table.i, table.j, vectors, onsite, reverse)


def parts(pairs: PairGraph) -> torch.Tensor:
    """Which blocks are kept apart: each with its reverse."""
    draw = torch.rand(len(pairs.i), generator=torch.Generator().manual_seed(0))
    return torch.minimum(draw, draw[pairs.reverse]) < 1 - (1 - KEPT) ** 0.5


def fit(steps: int) -> dict[str, Any]:
    """Errors in the file's unit, eV."""
    overlaps, table = (read_hoppings(DATA / f"si64_{name}.h5") for name in ("overlaps", "hamiltonians"))
    pos, cell, sine = geometry_of(overlaps, VOLUME)
    graph = Graph(pos, z=[SILICON] * len(pos), cell=cell)
    layout = BlockLayout(Basis("s, p", {SILICON: (Shell(0, (1.0,), (1.0,)), Shell(1, (1.0,), (1.0,)))}))
    pairs, y = pairs_of(table, pos, cell), layout.to_irreps(table.blocks)
    kept = parts(pairs)
    torch.manual_seed(0)
    backbone = NequIP(width=16, layers=2, lmax=2, outputs="0e+1o+2e", species=[SILICON], cutoff=CUTOFF)
    head = PairBlocks(backbone.irreps_out, layout.irreps, layout.transposed, [SILICON], REACH, radial_size=16)
    seen = torch.where(kept.unsqueeze(1), 0.0, y)
    trained = PairGraph(*(part[~kept] for part in pairs[:4]), torch.zeros(0, dtype=torch.int64))
    scale = head.fit(seen[~kept], graph.z, trained)
    weights = [*backbone.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(weights, lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    started = time.process_time()
    for _ in range(steps):
        r = ((head(backbone(graph), graph.z, pairs) - y) / scale)[~kept]
        loss = r.abs().mean() + r.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        r = layout.to_blocks(head(backbone(graph), graph.z, pairs) - y)
    errors = {
        f"{part} {kind}": 1e3 * float(r[where & rows].abs().mean())
        for part, where in (("trained on", ~kept), ("kept apart", kept))
        for kind, rows in (("atoms", pairs.onsite), ("pairs", ~pairs.onsite))
    }
    size = {
        kind: 1e3 * float(table.blocks[kept & rows].abs().mean())
        for kind, rows in (("atoms", pairs.onsite), ("pairs", ~pairs.onsite))
    }
    return {
        "blocks": len(y), "apart": int(kept.sum()), "sine": sine, "steps": steps, "errors": errors, "size": size,
        "edge": float(cell.norm(dim=1).mean()), "seconds": time.process_time() - started,
    }  # fmt: skip


def page(document: dict[str, Any]) -> str:
    """What was found, in words."""
    f, e = document["fit"], document["fit"]["errors"]
    return (
        f"Positions of 64 atoms in a cell of {f['edge']:.3f} A fit the directions of all overlaps within "
        f"{f['sine']:.1e}. Of {f['blocks']:,} blocks {f['apart']:,} are kept apart. Mean absolute errors of their "
        f"elements (meV; the file's numbers are taken as eV): {e['kept apart atoms']:.1f} of atoms (mean size "
        f"{f['size']['atoms']:.0f}), {e['kept apart pairs']:.2f} of pairs (mean size {f['size']['pairs']:.1f}); of "
        f"those trained on {e['trained on atoms']:.1f} and {e['trained on pairs']:.2f}. {f['steps']} steps, "
        f"{f['seconds'] / 60:.1f} minutes of one core. {document['machine']['date']}. "
        "`python benchmarks/papers/silicon_blocks.py`"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--page", action="store_true", help="only write the text from the results that are there")
    chosen = parser.parse_args()
    if not chosen.page:
        write("silicon_blocks", {"fit": fit(chosen.steps)})
    document = json.loads(FILE.read_text())
    insert(DOCS / "results.md", "papers/silicon_blocks.py", page(document))
    print(page(document))


if __name__ == "__main__":
    main()
