r"""Models of other packages as ours, at the same weights: tests ask both for the same numbers, benchmarks for their
times.

SchNet and DimeNet++ of torch-geometric, PaiNN of schnetpack, EGNN of egnn-pytorch. What is written differently:

* torch-geometric and schnetpack have rows for z = 0 in their tables of species, ours begin at hydrogen.
* schnetpack's Bessel functions lack the factor :math:`\sqrt{2/r_c}`, its norm is :math:`\sqrt{\|Vv\|^2 + \epsilon}`
  where ours is zero at zero, which is a matter of a bias, and its parts of a message and of an update come in the order
  s, v_ij, v_j and ss, vv, sv.
* egnn-pytorch sums displacements where ours are averages, has wider hidden layers, and edges that point the other way.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any

import torch
from torch import Tensor, nn

from intertwine.models import EGNN, DimeNet, PaiNN, SchNet
from intertwine.nn import MLP

Pairs = list[tuple[Tensor, Tensor]]
Modules = list[tuple[Any, Any]]


def schnet(theirs: Any) -> SchNet:
    """A ``torch_geometric.nn.models.SchNet`` without its readout: features after the interactions.

    Args:
        theirs: the model, with as many filters as channels.
    """
    basis = theirs.distance_expansion.offset
    sizes = {"width": theirs.hidden_channels, "layers": len(theirs.interactions), "radial_size": len(basis)}
    ours = SchNet(**sizes, cutoff=theirs.cutoff, cutoff_function="cosine", species=range(1, 100)).to(basis.dtype)
    modules: Modules = []
    for a, b in zip(_any(ours.layers), theirs.interactions, strict=True):
        modules += [(a.filter.layers[0], b.mlp[0]), (a.filter.layers[1], b.mlp[2]), (a.inward, b.conv.lin1)]
        modules += [(a.outward.layers[0], b.conv.lin2), (a.outward.layers[1], b.lin)]
    return _copied(ours, [(_table(ours), theirs.embedding.weight[1:]), *_parameters(modules)])


def dimenet(theirs: Any, authors: bool = True) -> DimeNet:
    """A ``torch_geometric.nn.models.DimeNetPlusPlus`` without its sum over the nodes.

    Args:
        theirs: the model.
        authors: its triplets' basis is divided by d / r_c, as it is unless somebody changed that.
    """
    block, output = theirs.interaction_blocks[0], theirs.output_blocks[0]
    width, radial = block.lin.out_features, theirs.rbf.freq.numel()
    ours = DimeNet(
        width=width,
        layers=len(theirs.interaction_blocks),
        cutoff=theirs.cutoff,
        radial_size=radial,
        degrees=block.lin_sbf1.in_features // radial,
        triplet_width=block.lin_down.out_features,
        basis_width=block.lin_rbf1.out_features,
        output_width=output.lin_up.out_features,
        output_layers=len(output.lins),
        features=output.lin.out_features,
        before_skip=len(block.layers_before_skip),
        after_skip=len(block.layers_after_skip),
        authors=authors,
        species=range(1, 95),
    ).to(theirs.rbf.freq.dtype)
    parts = theirs.emb.lin.weight.split(width, dim=1)
    first = (ours.first.received, ours.first.sent, ours.first.attributes)
    pairs = [(_any(module).weight, part) for module, part in zip(first, parts, strict=True)]
    pairs += [(ours.basis.waves, theirs.rbf.freq), (_table(ours), theirs.emb.emb.weight[1:])]
    pairs.append((ours.first.attributes.bias, theirs.emb.lin.bias))
    modules: Modules = [(ours.edge, theirs.emb.lin_rbf)]
    for a, b in zip(_any(ours.layers), theirs.interaction_blocks, strict=True):
        modules += [
            (a.radial[0], b.lin_rbf1),
            (a.radial[1], b.lin_rbf2),
            (a.angular[0], b.lin_sbf1),
            (a.angular[1], b.lin_sbf2),
        ]
        modules += [(a.own, b.lin_ji), (a.sent, b.lin_kj), (a.down, b.lin_down), (a.up, b.lin_up), (a.skip, b.lin)]
        for mine, other in [
            *zip(a.before, b.layers_before_skip, strict=True),
            *zip(a.after, b.layers_after_skip, strict=True),
        ]:
            modules += [(mine.layers[0], other.lin1), (mine.layers[1], other.lin2)]
    for a, b in zip(_any(ours.outputs), theirs.output_blocks, strict=True):
        modules += [(a.radial, b.lin_rbf), (a.up, b.lin_up), *zip(a.hidden.layers, b.lins, strict=True), (a.out, b.lin)]
    return _copied(ours, [*pairs, *_parameters(modules)])


def painn(theirs: Any) -> PaiNN:
    """A ``schnetpack.representation.PaiNN`` with Bessel functions, a cosine cutoff and filters of its own in each
    layer.

    Args:
        theirs: the model.
    """
    mixing, width, layers = theirs.mixing, theirs.n_atom_basis, theirs.n_interactions
    cutoff, smoothing, radial = float(theirs.cutoff), float(mixing[0].epsilon) ** 0.5, theirs.radial_basis.n_rbf
    options: dict[str, Any] = {"radial": "bessel", "cutoff_function": "cosine", "smoothing": smoothing}
    ours = PaiNN(width, layers, cutoff, radial_size=radial, species=range(1, 100), **options).to(
        theirs.filter_net.weight.dtype
    )
    pairs: Pairs = [(_table(ours), theirs.embedding.weight[1:])]
    modules: Modules = []
    filters = zip(theirs.filter_net.weight.split(3 * width), theirs.filter_net.bias.split(3 * width), strict=True)
    for a, message, update, (weight, bias) in zip(_any(ours.layers), theirs.interactions, mixing, filters, strict=True):
        (phi, phi_last), (net, net_last) = message.interatomic_context_net, update.intraatomic_context_net
        modules += [(a.phi.layers[0], phi)]
        columns = [weight * (cutoff / 2) ** 0.5, bias.unsqueeze(1)]
        pairs += [
            (a.filter.weight, _swapped(torch.cat(columns, dim=1))),
            (a.mix.weight, update.mu_channel_mix.weight.roll(width, 0)),
        ]
        pairs += [
            (a.a.layers[0].weight, net.weight),
            (a.a.layers[0].bias, net.bias + smoothing * net.weight[:, width:].sum(1)),
        ]
        for mine, other in ((a.phi.layers[1], phi_last), (a.a.layers[1], net_last)):
            pairs += [(mine.weight, _swapped(other.weight)), (mine.bias, _swapped(other.bias))]
    return _copied(ours, [*pairs, *_parameters(modules)])


def egnn(theirs: Any, neighbours: int) -> EGNN:
    """A list of ``egnn_pytorch.EGNN_Sparse``, for graphs whose nodes all have as many neighbours; the table of species
    is ours.

    Args:
        theirs: the layers, a ``ModuleList``. The last bias of their displacements has no counterpart in the paper, and
            is set to zero.
        neighbours: edges of each node, of whose displacements ours takes the mean.
    """
    width, weight = theirs[0].feats_dim, theirs[0].edge_mlp[0].weight
    ours = EGNN(width=width, layers=len(theirs), cutoff=None).to(weight.dtype)
    pairs: Pairs = [(_table(ours), _table(ours))]
    modules: Modules = []
    for a, b in zip(_any(ours.layers), theirs, strict=True):
        nets = {"phi_e": (b.edge_mlp, True), "phi_h": (b.node_mlp, False), "phi_x": (b.coors_mlp[:-1], True)}
        for name, (net, last) in nets.items():
            linear = [part for part in net if isinstance(part, nn.Linear)]
            setattr(
                a,
                name,
                MLP([linear[0].in_features, *(part.out_features for part in linear)], last=last).to(weight.dtype),
            )
            modules += zip(getattr(a, name).layers, linear, strict=True)
        a.step = nn.Linear(b.coors_mlp[-1].in_features, 1, bias=False).to(weight.dtype)
        nn.init.zeros_(b.coors_mlp[-1].bias)
        pairs.append((a.step.weight, -neighbours * b.coors_mlp[-1].weight))  # theirs go along x_j - x_i
    return _copied(ours, [*pairs, *_parameters(modules)])


def schnetpack(module: str) -> types.ModuleType:
    """A module of schnetpack, ``schnetpack("representation.painn")``, without what importing the package brings with
    it.

    That is data sets and training, which need more programs, and (2.1.1) a name that newer versions of torch lack.

    Raises:
        ImportError: schnetpack is not installed.
    """
    if "schnetpack" not in sys.modules:
        spec = importlib.util.find_spec("schnetpack")
        if spec is None:
            raise ImportError("schnetpack is not installed: pip install --no-deps schnetpack")
        bare = types.ModuleType("schnetpack")
        bare.__path__ = list(spec.submodule_search_locations or ())
        sys.modules["schnetpack"] = bare
    return importlib.import_module(f"schnetpack.{module}")


def _swapped(x: Tensor) -> Tensor:
    """The second and third third of the rows exchanged."""
    first, second, third = x.chunk(3)
    return torch.cat([first, third, second])


def _table(ours: Any) -> Tensor:
    weight: Tensor = ours.embedding.species.weight
    return weight


def _any(module: Any) -> Any:
    """For the type checker, which takes parts of a module for tensors."""
    return module


def _parameters(modules: Modules) -> Pairs:
    return [pair for mine, other in modules for pair in zip(mine.parameters(), other.parameters(), strict=True)]


def _copied(ours: Any, pairs: Pairs) -> Any:
    """The model with every parameter set; theirs may have more."""
    unset = {id(parameter) for parameter in ours.parameters()}
    with torch.no_grad():
        for mine, other in pairs:
            mine.copy_(other)
            unset.discard(id(mine))
    assert not unset, f"{len(unset)} parameters of {type(ours).__name__} have no counterpart"
    return ours
