"""A program written for e3nn: a MACE potential, pickled whole as they are shipped, and the energies and forces of ASE's
calculator.

``write MODEL FILE`` makes the potential and what it gives; ``read MODEL FILE`` loads it and gives that again.
"""

from __future__ import annotations

import sys

import ase.build
import numpy as np
import torch
from e3nn import o3
from mace.calculators import MACECalculator
from mace.modules import RealAgnosticInteractionBlock, RealAgnosticResidualInteractionBlock, ScaleShiftMACE

mode, model_file, result_file = sys.argv[1:]
if mode == "write":
    torch.manual_seed(7)
    torch.set_default_dtype(torch.float64)
    model = ScaleShiftMACE(
        atomic_inter_scale=0.7, atomic_inter_shift=0.1, r_max=4.0, num_bessel=6, num_polynomial_cutoff=5, max_ell=2,
        num_interactions=2, num_elements=3, interaction_cls_first=RealAgnosticInteractionBlock,
        interaction_cls=RealAgnosticResidualInteractionBlock, correlation=3, hidden_irreps=o3.Irreps("8x0e + 8x1o"),
        MLP_irreps=o3.Irreps("8x0e"), atomic_energies=np.array([-1.0, 0.5, 2.0]), atomic_numbers=[1, 6, 8],
        gate=torch.nn.functional.silu, avg_num_neighbors=5.0,
    )  # fmt: skip
    torch.save(model, model_file)
calculator = MACECalculator(model_paths=model_file, device="cpu", default_dtype="float64")
saved = {}
for name in ("CH3OH", "H2O", "CH4"):
    atoms = ase.build.molecule(name)
    atoms.rattle(0.05, seed=1)
    atoms.calc = calculator
    saved |= {
        f"{name} energy": torch.tensor(atoms.get_potential_energy(), dtype=torch.float64),
        f"{name} forces": torch.from_numpy(atoms.get_forces()),
    }
torch.save(saved, result_file)
print(o3.Linear.__module__)
