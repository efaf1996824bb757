"""A program written for e3nn: small MACE networks, their energies and forces, the gradients of a step of force
training, TorchScript.
"""

from __future__ import annotations

import copy
import sys

import numpy as np
import torch
from e3nn import o3
from e3nn.util import jit
from mace.modules import MACE, RealAgnosticInteractionBlock, RealAgnosticResidualInteractionBlock, ScaleShiftMACE

torch.set_default_dtype(torch.float64)
torch.manual_seed(7)
options = {
    "r_max": 4.0, "num_bessel": 6, "num_polynomial_cutoff": 5, "max_ell": 2, "num_interactions": 2, "num_elements": 3,
    "interaction_cls_first": RealAgnosticInteractionBlock, "interaction_cls": RealAgnosticResidualInteractionBlock,
    "correlation": 3, "hidden_irreps": o3.Irreps("8x0e + 8x1o + 8x2e"), "MLP_irreps": o3.Irreps("8x0e"),
    "atomic_energies": np.array([-1.0, 0.5, 2.0]), "atomic_numbers": [1, 6, 8], "gate": torch.nn.functional.silu,
    "avg_num_neighbors": 5.0,
}  # fmt: skip
models = {
    "MACE": MACE(**options),
    "ScaleShiftMACE": ScaleShiftMACE(atomic_inter_scale=0.7, atomic_inter_shift=0.1, **options),
}


def structure(atoms: int) -> dict[str, torch.Tensor]:
    """Atoms at random places, all pairs within 4 joined."""
    g = torch.Generator().manual_seed(atoms)
    positions = 1.6 * torch.randn(atoms, 3, generator=g)
    pairs = torch.cartesian_prod(torch.arange(atoms), torch.arange(atoms))
    near = (pairs[:, 0] != pairs[:, 1]) & ((positions[pairs[:, 0]] - positions[pairs[:, 1]]).norm(dim=1) < 4.0)
    edges = pairs[near].T.contiguous()
    species = torch.nn.functional.one_hot(torch.randint(3, (atoms,), generator=g), 3)
    return {
        "positions": positions.requires_grad_(), "node_attrs": species.to(positions.dtype), "edge_index": edges,
        "shifts": torch.zeros(edges.shape[1], 3), "unit_shifts": torch.zeros(edges.shape[1], 3),
        "cell": torch.zeros(3, 3), "batch": torch.zeros(atoms, dtype=torch.long), "ptr": torch.tensor([0, atoms]),
        "head": torch.zeros(1, dtype=torch.long),
    }  # fmt: skip


target = torch.randn(9, 3, generator=torch.Generator().manual_seed(1))
saved = {}
for name, model in models.items():
    out = model(structure(9), training=True)
    loss = out["energy"].square().sum() + (out["forces"] - target).square().mean()
    loss.backward()
    saved |= {
        f"{name} energy": out["energy"].detach(),
        f"{name} forces": out["forces"].detach(),
        f"{name} loss": loss.detach(),
    }
    saved |= {f"{name} gradient {key}": p.grad for key, p in model.named_parameters() if p.grad is not None}
compiled = jit.compile(copy.deepcopy(models["MACE"]).eval())
out = compiled(structure(6))
saved |= {"TorchScript energy": out["energy"].detach(), "TorchScript forces": out["forces"].detach()}
torch.save(saved, sys.argv[1])
