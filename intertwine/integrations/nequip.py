r"""Models of the package ``nequip`` (0.19) as ours: the same energies and forces, in a
:class:`~intertwine.tasks.ForceField`.

Three things are written differently. Theirs has Bessel functions :math:`\tfrac2{r_c} \sin(k \pi d/r_c)/d`, ours are
:math:`\sqrt{2/r_c}` of that denominator's, and what a network sees is scaled to variance 1: the factor goes into the
first radial weights. Theirs scales hidden layers by :math:`\sqrt2`, ours by the moment of silu: into the other radial
weights. Their weights of paths lie in the order in which paths were found, ours in that of the blocks of the output.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from ase.data import atomic_numbers
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.models.nequip import NequIP, NequIPLayer
from intertwine.nn import normalize2mom
from intertwine.numerics import CheckpointError, InputError, IntertwineError, transcribe
from intertwine.o3 import Irreps
from intertwine.tasks import ForceField


class NequIPForceField(ForceField):
    r""":math:`E = \sum_i \big(r_{z_i} + \sigma_{z_i}\, W x_i\big)`: nequip's readout, with a scale of each species."""

    scales: Tensor

    def __init__(
        self,
        backbone: NequIP,
        *,
        energy_loss_weight: float = 10.0,
        force_weight: float = 1.0,
        stress_weight: float = 0.0,
        loss: str = "l2",
        energy_weight: float | None = None,
    ) -> None:
        super().__init__(
            backbone, energy_loss_weight=energy_loss_weight, force_weight=force_weight, stress_weight=stress_weight,
            loss=loss, energy_weight=energy_weight,
        )  # fmt: skip
        self.head = nn.Linear(backbone.irreps_out.dim, 1, bias=False)  # type: ignore[assignment]
        self.register_buffer("scales", torch.ones(119))

    def contributions(self, graph: Graph) -> Tensor:
        return self.head(self.backbone(graph)).squeeze(-1) * self.scales.index_select(0, graph.z)


def from_nequip(model: Any) -> NequIPForceField:
    """A ``NequIPGNNModel`` of nequip as a force field of ours, in its precision.

    Args:
        model: what nequip's builder returns (a ``GraphModel``), in eager mode.

    Raises:
        InputError: it has parts that :class:`~intertwine.models.nequip.NequIP` has not, which are named: a pair
            potential, cutoffs or numbers of neighbours that depend on species, trained Bessel functions, another
            envelope, a residual network, hidden layers in the readout, types that are no chemical symbols.
        CheckpointError: a weight is not finite, or of another shape than the model says, which is named; or a part is
            missing or has another form than in that version of nequip.
    """
    try:
        return _converted(model)
    except IntertwineError:
        raise
    except (AttributeError, KeyError, IndexError, TypeError, RuntimeError) as error:
        what = f"it is damaged, or of another version of nequip: {type(error).__name__}: {str(error)[:200]}"
        remedy = "convert it with the version of nequip that made it, 0.19 at best, or get the file again."
        raise CheckpointError(what, where="from_nequip", remedy=remedy) from error


def _converted(model: Any) -> NequIPForceField:
    parts: dict[str, Any] = dict(_energy_model(model).named_children())
    blocks: list[Any] = [part for name, part in parts.items() if name.startswith("layer")]
    _refuse(parts, blocks)
    symbols = list(model.type_names)
    if unknown := [name for name in symbols if name not in atomic_numbers]:
        raise InputError(
            f"types {unknown} are no chemical symbols", where="from_nequip", remedy="rename the model's types."
        )
    species = [atomic_numbers[name] for name in symbols]
    mlp = [layer.weight for layer in blocks[0].conv.edge_mlp.mlp if hasattr(layer, "weight")]
    dtype = mlp[0].dtype
    ours = NequIP(
        layers=len(blocks),
        irreps=str(blocks[0].feature_irreps_hidden),
        lmax=Irreps(str(parts["spharm"].irreps_edge_sh)).lmax,
        outputs="0e",
        first_self_interaction=blocks[0].conv.sc is not None,
        attributes=parts["type_embed"].embed_module.weight.shape[1],
        cutoff=parts["edge_norm"].r_max,
        radial_size=parts["bessel_encode"].num_bessels,
        radial_width=mlp[0].shape[1],
        radial_layers=len(mlp) - 1,
        average_degree=float(blocks[0].conv.avg_num_neighbors_norm.norm_const) ** -2,
        species=species,
    ).to(dtype)
    field = NequIPForceField(ours).to(dtype)
    last: Any = parts["per_type_energy_scale_shift"]
    for there, name, values in (
        (last.has_scales, "scales", field.scales),
        (last.has_shifts, "shifts", field.references.values),
    ):
        if there:
            each, theirs = values[species], getattr(last, name).detach().flatten()
            _set(each, theirs.expand(len(species)) if theirs.numel() == 1 else theirs, name)  # one for all species
            values[species] = each
    readout = parts["per_atom_energy_readout"].mlp_module.mlp[0]
    with torch.no_grad():
        _set(cast(Any, field.head).weight, (readout.weight * readout.alpha).T, "per_atom_energy_readout")
        order = sorted(range(len(species)), key=lambda k: species[k])
        _set(
            cast(nn.Embedding, ours.embedding.species).weight,
            parts["type_embed"].embed_module.weight[order],
            "type_embed",
        )
        for layer, block in zip(ours.layers, blocks, strict=True):
            _copy(cast(NequIPLayer, layer), block.conv, ours)
    return field


def _set(target: Tensor, values: Tensor, name: str) -> None:
    transcribe(target, values, name, where="from_nequip")


def _energy_model(model: Any) -> nn.Module:
    inner = getattr(model, "model", model)
    inner = getattr(inner, "func", inner)
    if isinstance(inner, nn.Module) and "spharm" in dict(inner.named_children()) and hasattr(model, "type_names"):
        return inner
    remedy = 'give a NequIPGNNModel in eager mode, such as nequip.model.ModelFromCheckpoint("best.ckpt")["sole_model"].'
    raise InputError(f"a {type(model).__name__} can't be converted", where="from_nequip", remedy=remedy)


def _refuse(parts: dict[str, Any], blocks: list[Any]) -> None:
    """Whatever ours could not reproduce."""
    bessel = parts["bessel_encode"].bessel_weights.detach().flatten()
    differences = {
        "a pair potential": "pair_potential" in parts,
        "cutoffs of pairs of species": parts["edge_norm"]._per_edge_type,
        "trained Bessel functions": not torch.equal(bessel, torch.arange(1, len(bessel) + 1, dtype=bessel.dtype)),
        "an envelope of another power": parts["bessel_encode"].cutoff.p != 6,
        "embedded fields of the graph": parts["type_embed"].do_categorical_graph_field_embed,
        "hidden layers in the readout": parts["per_atom_energy_readout"].mlp_module.num_layers > 1,
        "numbers of neighbours by species": any(
            block.conv.avg_num_neighbors_norm.norm_const.numel() > 1 for block in blocks
        ),
        "a residual network": any(block.resnet for block in blocks),
        "no self-connections": any(block.conv.sc is None for block in blocks[1:]),
        "linear radial networks": any(not block.conv.edge_mlp.is_nonlinear for block in blocks),
        "another non-linearity": any(not hasattr(block.equivariant_nonlin, "irreps_gates") for block in blocks),
    }
    if any(differences.values()):
        what = ", ".join(name for name, there in differences.items() if there)
        raise InputError(
            f"the model has {what}", where="from_nequip", remedy="only the plain NequIP architecture can be converted."
        )


def _copy(layer: NequIPLayer, conv: Any, model: NequIP) -> None:
    """The weights of one interaction block."""
    _set(layer.up.weight, conv.linear_1.weight, "linear_1.weight")
    _set(layer.down.weight, conv.linear_2.weight, "linear_2.weight")
    theirs = [part for part in conv.edge_mlp.mlp if hasattr(part, "weight")]
    gain, radial = normalize2mom(F.silu).cst, cast(Any, model.edges.radial)
    ends, start = {}, 0
    for path in conv.tp_scatter.tp.instructions:
        ends[path.i_out] = range(start, start := start + path.path_shape[0])
    columns = [column for block in sorted(ends) for column in ends[block]]
    for number, (mine, other) in enumerate(zip(cast(Any, layer.radial), theirs, strict=True)):
        weight = other.weight * other.alpha * other.weight.shape[0] ** 0.5
        weight = weight * (2 / radial.cutoff * mine.var_in) ** 0.5 if number == 0 else weight / gain
        _set(mine.weight, weight[:, columns] if number == len(theirs) - 1 else weight, f"edge_mlp.{number}")
    if layer.self_interaction is not None:
        shapes = [path.path_shape for path in conv.sc.instructions]
        pieces = conv.sc.weight.split([u * v * w for u, v, w in shapes])
        by_attribute = [piece.view(shape).transpose(0, 1).flatten(1) for piece, shape in zip(pieces, shapes)]
        _set(layer.self_interaction.weight, torch.cat(by_attribute, dim=1), "sc.weight")
