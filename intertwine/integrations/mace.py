r"""Models of the package ``mace-torch`` (0.3) as ours: the same energies and forces, in a
:class:`~intertwine.tasks.ForceField`.

Five things are written differently. Their harmonics are those of the vectors from neighbour to atom, ours of those from
atom to neighbour: radial weights of odd harmonics change their sign. Their radial networks see Bessel functions, ours
see them scaled to variance 1: into the first radial weights. Their products with the species are scaled by
:math:`A^{-1/2}`, A species, ours are not: into these weights. Their products of many bodies count some couplings
several times (:func:`~intertwine.nn.load_mace_contraction`). Their shift of each atom's energy is part of our reference
energies.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.models.mace import MACE, MACELayer
from intertwine.nn import FullyConnectedLayer, FullyConnectedNet, load_mace_contraction, normalize2mom
from intertwine.numerics import InputError, transcribe
from intertwine.o3 import Irreps
from intertwine.tasks import ForceField

_RESIDUAL, _PLAIN = "RealAgnosticResidualInteractionBlock", "RealAgnosticInteractionBlock"


class MACEReadout(nn.Module):
    r""":math:`\epsilon_i = w \cdot s_i + \mathrm{MLP}(s_i^{(T)})`, s the scalars of all layers: linear but for those of
    the last layer T.

    Args:
        irreps: representation of the features, of all layers.
        width: number of scalars of the last layer.
        hidden: width of the hidden layer; 0 for a linear readout.
    """

    def __init__(self, irreps: Irreps, width: int, hidden: int) -> None:
        super().__init__()
        self.irreps, self.width = irreps, width
        self.linear = nn.Linear(irreps.count("0e"), 1, bias=False)
        self.mlp = FullyConnectedNet([width, hidden, 1], F.silu) if hidden else None

    def forward(self, f: Float[Tensor, "nodes features"]) -> Float[Tensor, "nodes 1"]:
        s = self.irreps.part(f, "0e").squeeze(-1)
        energies = self.linear(s)
        return energies if self.mlp is None else energies + self.mlp(s[:, -self.width :])


class MACEForceField(ForceField):
    r""":math:`E = \sum_i (r_{z_i} + \sigma\, \epsilon_i)` with mace's readout :math:`\epsilon` of every layer,
    :class:`MACEReadout`.
    """

    def __init__(
        self, backbone: MACE, hidden: int = 16, *, energy_loss_weight: float = 10.0, force_weight: float = 1.0,
        stress_weight: float = 0.0, loss: str = "l2", energy_weight: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            backbone, energy_loss_weight=energy_loss_weight, force_weight=force_weight, stress_weight=stress_weight,
            loss=loss, energy_weight=energy_weight,
        )  # fmt: skip
        width = cast(MACELayer, backbone.layers[-1]).irreps_out.count("0e")
        self.head = MACEReadout(cast(Irreps, backbone.irreps_out), width, hidden)  # type: ignore[assignment]


def from_mace(model: Any, head: str | None = None) -> MACEForceField:
    """A ``MACE`` or ``ScaleShiftMACE`` of mace-torch as a force field of ours, in its precision.

    Args:
        model: the module, in eager mode and with e3nn's layers (not cuequivariance's).
        head: which of its heads, by name; None if it has one.

    Raises:
        InputError: it has parts that :class:`~intertwine.models.mace.MACE` has not, which are named: pair repulsion,
            other interaction blocks, a transform of distances, other radial functions, irreps that are not those of
            harmonics, ...; or no such head.
        CheckpointError: a weight is not finite, or of another shape than the model says; it is named.
    """
    _refuse(model)
    heads = list(getattr(model, "heads", None) or ["Default"])
    if (head is None and len(heads) > 1) or head not in (None, *heads):
        raise InputError(f"head {head!r} of a model with {heads}", where="from_mace", remedy="give one of these names.")
    place = heads.index(head) if head is not None else 0
    first, weight = model.interactions[0], model.node_embedding.linear.weight
    species, radial = model.atomic_numbers.tolist(), list(first.conv_tp_weights.hs)
    ours = MACE(
        width=Irreps(str(first.node_feats_irreps)).dim,
        layers=len(model.interactions),
        correlation=_correlation(model.products[0]),
        lmax=Irreps(str(first.edge_attrs_irreps)).lmax,
        hidden_lmax=_hidden(model)[0].lmax,
        outputs=str(_hidden(model)[-1]),
        first_residual=type(first).__name__ == _RESIDUAL,
        cutoff=float(model.r_max),
        radial_size=radial[0],
        radial_width=radial[1],
        radial_layers=len(radial) - 2,
        envelope_power=int(model.radial_embedding.cutoff_fn.p),
        average_degree=float(first.avg_num_neighbors),
        species=species,
    ).to(weight.dtype)
    order = sorted(range(len(species)), key=lambda k: species[k])
    nonlinear = model.readouts[-1] if hasattr(model.readouts[-1], "linear_1") else None
    field = MACEForceField(
        ours, Irreps(str(nonlinear.hidden_irreps)).dim // len(heads) if nonlinear is not None else 0
    ).to(weight.dtype)
    with torch.no_grad():
        scale, shift = (torch.atleast_1d(x)[place] for x in _scales(model))
        _set(field.scale, scale, "scale_shift.scale")
        energies = torch.atleast_2d(model.atomic_energies_fn.atomic_energies)[place].double().cpu() + shift.double()
        references = torch.zeros(len(species), dtype=torch.float64)
        _set(references, energies, "atomic energies")
        field.references.values[species] = references.to(field.references.values.dtype)
        embedded = cast(nn.Embedding, ours.embedding.species).weight
        _set(embedded, weight.reshape(len(species), -1)[order] * len(species) ** -0.5, "node_embedding.linear.weight")
        for layer, interaction, product in zip(ours.layers, model.interactions, model.products, strict=True):
            _copy(layer, interaction, product, order, ours)  # type: ignore[arg-type]
        _read(field.head, model.readouts, place, len(heads), ours)  # type: ignore[arg-type]
    return field


def _set(target: Tensor, values: Tensor, name: str) -> None:
    transcribe(target, values, name, where="from_mace")


def _hidden(model: Any) -> list[Irreps]:
    """The features after each layer."""
    return [Irreps(str(product.linear.irreps_out)) for product in model.products]


def _correlation(product: Any) -> int:
    return int(product.symmetric_contractions.contractions[0].correlation)


def _scales(model: Any) -> tuple[Tensor, Tensor]:
    layer = getattr(model, "scale_shift", None)
    return (layer.scale.cpu(), layer.shift.cpu()) if layer is not None else (torch.ones(()), torch.zeros(()))


def _refuse(model: Any) -> None:
    """Whatever ours could not reproduce."""
    if type(model).__name__ not in ("MACE", "ScaleShiftMACE"):
        remedy = (
            "give a MACE or ScaleShiftMACE of mace-torch, not compiled, "
            'such as torch.load("mace.model", weights_only=False).'
        )
        raise InputError(f"a {type(model).__name__} can't be converted", where="from_mace", remedy=remedy)
    names = [type(block).__name__ for block in model.interactions]
    if others := [name for k, name in enumerate(names) if name != _RESIDUAL and (k or name != _PLAIN)]:
        remedy = f"only {_RESIDUAL} can be converted, and {_PLAIN} as the first."
        raise InputError(f"the model has interactions {', '.join(others)}", where="from_mace", remedy=remedy)
    contractions = [product.symmetric_contractions for product in model.products]
    if any(type(part).__name__ != "SymmetricContraction" for part in contractions):
        remedy = "convert it back with mace's own script first."
        raise InputError("the model has layers that are not e3nn's", where="from_mace", remedy=remedy)
    radial = model.radial_embedding
    first = model.interactions[0]
    width = Irreps(str(model.interactions[0].node_feats_irreps)).dim
    hidden, bessel = _hidden(model), getattr(radial.bessel_fn, "bessel_weights", torch.zeros(0)).detach().double().cpu()
    waves = torch.arange(1, len(bessel) + 1) * (torch.pi / float(model.r_max))
    widths = [list(block.conv_tp_weights.hs) for block in model.interactions]
    last = model.readouts[-1]
    differences = {
        "pair repulsion": hasattr(model, "pair_repulsion_fn"),
        "embeddings of charges and the like": hasattr(model, "joint_embedding"),
        "a transform of distances": hasattr(radial, "distance_transform"),
        "other radial functions": type(radial.bessel_fn).__name__ != "BesselBasis",
        "trained Bessel functions": not torch.allclose(bessel, waves.double(), rtol=1e-6),
        "an envelope of the weights": not getattr(radial, "apply_cutoff", True),
        "products without species": getattr(model.products[0], "use_agnostic_product", False),
        "irreps of edges": any(
            getattr(b, "edge_irreps", b.node_feats_irreps) != b.node_feats_irreps for b in model.interactions
        ),
        "irreps that are not of harmonics": any(
            _channels(irreps, width) is None for irreps in [Irreps(str(first.target_irreps)), *hidden]
        ),
        "several kinds of hidden irreps": any(irreps != hidden[0] for irreps in hidden[1:-1]),
        "correlations that differ": len({_correlation(product) for product in model.products}) > 1,
        "radial networks that differ": any(hs[:-1] != widths[0][:-1] or len(set(hs[1:-1])) != 1 for hs in widths),
        "numbers of neighbours that differ": len({float(block.avg_num_neighbors) for block in model.interactions}) > 1,
        "another readout": type(last).__name__ not in ("LinearReadoutBlock", "NonLinearReadoutBlock"),
        "another non-linearity": hasattr(last, "non_linearity") and not _is_silu(last.non_linearity),
    }
    if any(differences.values()):
        what = ", ".join(name for name, there in differences.items() if there)
        raise InputError(
            f"the model has {what}", where="from_mace", remedy="only the plain MACE architecture can be converted."
        )


def _channels(irreps: Irreps, width: int) -> int | None:
    """The largest degree, if these are ``width`` channels of each harmonic up to it."""
    return irreps.lmax if irreps == Irreps([(width, ir) for _, ir in Irreps.spherical_harmonics(irreps.lmax)]) else None


def _is_silu(activation: Any) -> bool:
    x = torch.linspace(-3, 3, 25, dtype=torch.float64)
    return activation.acts[0] is not None and torch.allclose(activation.acts[0](x), normalize2mom(F.silu)(x), rtol=1e-5)


def _copy(layer: MACELayer, interaction: Any, product: Any, order: list[int], model: MACE) -> None:
    """The weights of one layer; ``order`` sorts their species."""
    _set(layer.up.weight, interaction.linear_up.weight, "linear_up.weight")
    _set(layer.down.weight, interaction.linear.weight, "linear.weight")
    _set(layer.mix.weight, product.linear.weight, "products.linear.weight")
    edge = layer.convolution.irreps_edge
    signs = torch.cat(
        [torch.full((path.path_shape[0],), (-1.0) ** edge[path.i_in2].ir.l) for path in layer.convolution.instructions]
    )
    networks = _parts(layer.radial)
    for number, (mine, other) in enumerate(zip(networks, interaction.conv_tp_weights, strict=True)):
        _set(mine.weight, other.weight * mine.var_in**0.5, f"conv_tp_weights.layer{number}.weight")
    networks[-1].weight.mul_(signs)
    skip = interaction.skip_tp
    shapes = [path.path_shape for path in skip.instructions]
    pieces = skip.weight.split([u * v * w for u, v, w in shapes])
    by_species = torch.cat(
        [piece.view(shape).transpose(0, 1).flatten(1) for piece, shape in zip(pieces, shapes)], dim=1
    )
    _set(layer.self_interaction.weight, by_species[order] * model.kinds**-0.5, "skip_tp.weight")
    load_mace_contraction(layer.contraction, product.symmetric_contractions.state_dict())
    for weight in layer.contraction.weights:
        _set(weight, weight[order], "symmetric_contractions")


def _parts(network: FullyConnectedNet) -> list[FullyConnectedLayer]:
    return [cast(FullyConnectedLayer, part) for part in network]


def _read(head: MACEReadout, readouts: Any, place: int, heads: int, model: MACE) -> None:
    """The weights of one head's readouts: of the last layer, and of each layer before unless there is only one."""
    head.linear.weight.zero_()
    width = head.width
    for number, readout in enumerate(readouts):
        if not hasattr(readout, "linear_1"):
            layer = number if len(readouts) > 1 else len(model.layers) - 1
            column = readout.linear.weight.reshape(width, heads)[:, place]
            _set(
                head.linear.weight[0, layer * width : (layer + 1) * width],
                column * width**-0.5,
                f"readouts.{number}.linear.weight",
            )
    if head.mlp is not None:
        first, last = _parts(head.mlp)
        units = slice(place * first.h_out, (place + 1) * first.h_out)
        _set(first.weight, readouts[-1].linear_1.weight.reshape(width, -1)[:, units], "readouts.linear_1.weight")
        second = readouts[-1].linear_2.weight.reshape(-1, heads)[units, place : place + 1]
        _set(last.weight, second * heads**-0.5, "readouts.linear_2.weight")
