"""Floor 4: layers, one idea a file.

Names are imported when they are first used: the layers of graphs need torch-geometric, which costs seconds, those of
irreps do not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intertwine.nn.attention import attend, edge_mean, edge_softmax
    from intertwine.nn.backbone import Backbone
    from intertwine.nn.card import ModelCard
    from intertwine.nn.checks import check_sizes
    from intertwine.nn.convolution import Convolution
    from intertwine.nn.cutoff import CosineCutoff, PolynomialCutoff, envelope
    from intertwine.nn.edge_mlp import EdgeLinear, EdgeMLP
    from intertwine.nn.embedding import EdgeEmbedding, Edges, NodeEmbedding, SpeciesTable
    from intertwine.nn.frames import FrameEmbedding, residue_frames, soft_frames
    from intertwine.nn.inputs import Inputs, RadialInputs, VectorInputs
    from intertwine.nn.irreps.activation import Activation, moment, normalize2mom
    from intertwine.nn.irreps.batch_norm import BatchNorm
    from intertwine.nn.irreps.dropout import Dropout
    from intertwine.nn.irreps.extract import Extract, ExtractIr, Identity
    from intertwine.nn.irreps.fully_connected import FullyConnectedLayer, FullyConnectedNet
    from intertwine.nn.irreps.fully_connected_convolution import FullyConnectedConvolution
    from intertwine.nn.irreps.gate import Gate
    from intertwine.nn.irreps.mace_contraction import load_mace_contraction
    from intertwine.nn.irreps.norm_activation import NormActivation
    from intertwine.nn.irreps.s2_activation import S2Activation
    from intertwine.nn.irreps.self_interaction import SelfInteraction
    from intertwine.nn.irreps.so3_activation import SO3Activation
    from intertwine.nn.irreps.steerable_linear import GatheredSteerableLinear, StackedLinear, SteerableLinear
    from intertwine.nn.irreps.steerable_mlp import SteerableMLP
    from intertwine.nn.irreps.symmetric_contraction import SymmetricContraction
    from intertwine.nn.kernel_convolution import KernelConvolution
    from intertwine.nn.lift import Lift
    from intertwine.nn.message_passing import MessagePassing
    from intertwine.nn.mlp import MLP, shifted_softplus
    from intertwine.nn.one_hot import bessel, soft_one_hot_linspace, soft_unit_step
    from intertwine.nn.pair_blocks import PairBlocks, PairGraph
    from intertwine.nn.pair_guess import PairGuess
    from intertwine.nn.paths.spherical_bessel import LegendreBasis, SphericalBesselBasis
    from intertwine.nn.paths.waves import RadialWaves, TorsionBasis
    from intertwine.nn.preset import Preset
    from intertwine.nn.radial import BesselBasis, GaussianBasis, radial_basis
    from intertwine.nn.readout import ScalarHead, TensorHead, VectorHead, invariant_columns, pool
    from intertwine.nn.recurrent import GRUCell, LSTMCell
    from intertwine.nn.scalar_vector import GatedBlock, ScalarVectorNorm, VectorEmbedding, VectorPerceptron
    from intertwine.nn.set2set import Set2Set, SetHead
    from intertwine.nn.so2.convolution import SO2Convolution
    from intertwine.nn.so2.frame_convolution import EdgeDegree, EdgeNetwork, FrameConvolution
    from intertwine.nn.so2.from_paths import PathsToSO2
    from intertwine.nn.so2.linear import SO2Linear
    from intertwine.nn.transfer import freeze, grown
    from intertwine.nn.two_centre import PairAxes, TwoCentre

_HOME = {
    "Activation": "irreps.activation",
    "Backbone": "backbone",
    "BatchNorm": "irreps.batch_norm",
    "BesselBasis": "radial",
    "Convolution": "convolution",
    "CosineCutoff": "cutoff",
    "Dropout": "irreps.dropout",
    "EdgeDegree": "so2.frame_convolution",
    "EdgeEmbedding": "embedding",
    "EdgeLinear": "edge_mlp",
    "EdgeMLP": "edge_mlp",
    "EdgeNetwork": "so2.frame_convolution",
    "Edges": "embedding",
    "Extract": "irreps.extract",
    "ExtractIr": "irreps.extract",
    "FrameConvolution": "so2.frame_convolution",
    "FrameEmbedding": "frames",
    "FullyConnectedConvolution": "irreps.fully_connected_convolution",
    "FullyConnectedLayer": "irreps.fully_connected",
    "FullyConnectedNet": "irreps.fully_connected",
    "GRUCell": "recurrent",
    "Gate": "irreps.gate",
    "GatedBlock": "scalar_vector",
    "GatheredSteerableLinear": "irreps.steerable_linear",
    "GaussianBasis": "radial",
    "Identity": "irreps.extract",
    "Inputs": "inputs",
    "KernelConvolution": "kernel_convolution",
    "LSTMCell": "recurrent",
    "LegendreBasis": "paths.spherical_bessel",
    "Lift": "lift",
    "MLP": "mlp",
    "MessagePassing": "message_passing",
    "ModelCard": "card",
    "NodeEmbedding": "embedding",
    "NormActivation": "irreps.norm_activation",
    "PairAxes": "two_centre",
    "PairBlocks": "pair_blocks",
    "PairGraph": "pair_blocks",
    "PairGuess": "pair_guess",
    "PathsToSO2": "so2.from_paths",
    "PolynomialCutoff": "cutoff",
    "Preset": "preset",
    "RadialInputs": "inputs",
    "RadialWaves": "paths.waves",
    "S2Activation": "irreps.s2_activation",
    "SO2Convolution": "so2.convolution",
    "SO2Linear": "so2.linear",
    "SO3Activation": "irreps.so3_activation",
    "ScalarHead": "readout",
    "ScalarVectorNorm": "scalar_vector",
    "SelfInteraction": "irreps.self_interaction",
    "Set2Set": "set2set",
    "SetHead": "set2set",
    "SpeciesTable": "embedding",
    "SphericalBesselBasis": "paths.spherical_bessel",
    "StackedLinear": "irreps.steerable_linear",
    "SteerableLinear": "irreps.steerable_linear",
    "SteerableMLP": "irreps.steerable_mlp",
    "SymmetricContraction": "irreps.symmetric_contraction",
    "TensorHead": "readout",
    "TorsionBasis": "paths.waves",
    "TwoCentre": "two_centre",
    "VectorEmbedding": "scalar_vector",
    "VectorHead": "readout",
    "VectorInputs": "inputs",
    "VectorPerceptron": "scalar_vector",
    "attend": "attention",
    "bessel": "one_hot",
    "check_sizes": "checks",
    "edge_mean": "attention",
    "edge_softmax": "attention",
    "envelope": "cutoff",
    "freeze": "transfer",
    "grown": "transfer",
    "invariant_columns": "readout",
    "load_mace_contraction": "irreps.mace_contraction",
    "moment": "irreps.activation",
    "normalize2mom": "irreps.activation",
    "pool": "readout",
    "radial_basis": "radial",
    "residue_frames": "frames",
    "shifted_softplus": "mlp",
    "soft_frames": "frames",
    "soft_one_hot_linspace": "one_hot",
    "soft_unit_step": "one_hot",
}

__all__ = [
    "MLP",
    "Activation",
    "Backbone",
    "BatchNorm",
    "BesselBasis",
    "Convolution",
    "CosineCutoff",
    "Dropout",
    "EdgeDegree",
    "EdgeEmbedding",
    "EdgeLinear",
    "EdgeMLP",
    "EdgeNetwork",
    "Edges",
    "Extract",
    "ExtractIr",
    "FrameConvolution",
    "FrameEmbedding",
    "FullyConnectedConvolution",
    "FullyConnectedLayer",
    "FullyConnectedNet",
    "GRUCell",
    "Gate",
    "GatedBlock",
    "GatheredSteerableLinear",
    "GaussianBasis",
    "Identity",
    "Inputs",
    "KernelConvolution",
    "LSTMCell",
    "LegendreBasis",
    "Lift",
    "MessagePassing",
    "ModelCard",
    "NodeEmbedding",
    "NormActivation",
    "PairAxes",
    "PairBlocks",
    "PairGraph",
    "PairGuess",
    "PathsToSO2",
    "PolynomialCutoff",
    "Preset",
    "RadialInputs",
    "RadialWaves",
    "S2Activation",
    "SO2Convolution",
    "SO2Linear",
    "SO3Activation",
    "ScalarHead",
    "ScalarVectorNorm",
    "SelfInteraction",
    "Set2Set",
    "SetHead",
    "SpeciesTable",
    "SphericalBesselBasis",
    "StackedLinear",
    "SteerableLinear",
    "SteerableMLP",
    "SymmetricContraction",
    "TensorHead",
    "TorsionBasis",
    "TwoCentre",
    "VectorEmbedding",
    "VectorHead",
    "VectorInputs",
    "VectorPerceptron",
    "attend",
    "bessel",
    "check_sizes",
    "edge_mean",
    "edge_softmax",
    "envelope",
    "freeze",
    "grown",
    "invariant_columns",
    "load_mace_contraction",
    "moment",
    "normalize2mom",
    "pool",
    "radial_basis",
    "residue_frames",
    "shifted_softplus",
    "soft_frames",
    "soft_one_hot_linspace",
    "soft_unit_step",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'intertwine.nn' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"intertwine.nn.{_HOME[name]}"), name)
    globals()[name] = value  # before a submodule of the same name, such as dropout, could take its place
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
