"""A program written for e3nn: a small NequIP network, its energy and forces, and the gradients of a step of force
training.
"""

from __future__ import annotations

import sys

import torch
from nequip.data import AtomicDataDict
from nequip.model import NequIPGNNModel
from nequip.nn import GraphModel
from nequip.utils.global_state import set_global_state

set_global_state()
model: GraphModel = NequIPGNNModel(
    seed=7, model_dtype="float64", type_names=["C", "H", "O"], r_max=4.0, num_layers=3, l_max=2, parity=True,
    num_features=8, radial_mlp_depth=1, radial_mlp_width=16, num_bessels=6, avg_num_neighbors=5.0, compile_mode="eager",
)  # fmt: skip
g = torch.Generator().manual_seed(1)
positions = 1.6 * torch.randn(9, 3, generator=g, dtype=torch.float64)
pairs = torch.cartesian_prod(torch.arange(9), torch.arange(9))
near = (pairs[:, 0] != pairs[:, 1]) & ((positions[pairs[:, 0]] - positions[pairs[:, 1]]).norm(dim=1) < 4.0)
data = {
    AtomicDataDict.POSITIONS_KEY: positions,
    AtomicDataDict.ATOM_TYPE_KEY: torch.randint(3, (9,), generator=g),
    AtomicDataDict.EDGE_INDEX_KEY: pairs[near].T.contiguous(),
}
model.train()
out = model(data)
energy, forces = out[AtomicDataDict.TOTAL_ENERGY_KEY], out[AtomicDataDict.FORCE_KEY]
loss = energy.square().sum() + (forces - torch.randn(9, 3, generator=g, dtype=torch.float64)).square().mean()
loss.backward()
gradients = {f"gradient {name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
torch.save({"energy": energy.detach(), "forces": forces.detach(), "loss": loss.detach(), **gradients}, sys.argv[1])
