"""Floor 4: layers, one idea a file.

Names are imported when they are first used: the layers of graphs need torch-geometric, which costs seconds, those of irreps do not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intertwine.nn.activation import Activation, moment, normalize2mom
    from intertwine.nn.backbone import Backbone, check_sizes
    from intertwine.nn.batch_norm import BatchNorm
    from intertwine.nn.convolution import Convolution
    from intertwine.nn.cutoff import CosineCutoff, PolynomialCutoff, envelope
    from intertwine.nn.dropout import Dropout
    from intertwine.nn.embedding import EdgeEmbedding, Edges, NodeEmbedding, SpeciesTable
    from intertwine.nn.extract import Extract, ExtractIr, Identity
    from intertwine.nn.fully_connected import FullyConnectedLayer, FullyConnectedNet
    from intertwine.nn.fully_connected_convolution import FullyConnectedConvolution
    from intertwine.nn.gate import Gate
    from intertwine.nn.mace_contraction import load_mace_contraction
    from intertwine.nn.message_passing import MessagePassing
    from intertwine.nn.mlp import MLP, shifted_softplus
    from intertwine.nn.norm_activation import NormActivation
    from intertwine.nn.one_hot import bessel, soft_one_hot_linspace, soft_unit_step
    from intertwine.nn.radial import BesselBasis, GaussianBasis, radial_basis
    from intertwine.nn.readout import ScalarHead, VectorHead, pool
    from intertwine.nn.s2_activation import S2Activation
    from intertwine.nn.so2_convolution import SO2Convolution
    from intertwine.nn.so2_linear import SO2Linear
    from intertwine.nn.so2_paths import PathsToSO2
    from intertwine.nn.so3_activation import SO3Activation
    from intertwine.nn.symmetric_contraction import SymmetricContraction

_HOME = {
    "Activation": "activation",
    "Backbone": "backbone",
    "BatchNorm": "batch_norm",
    "BesselBasis": "radial",
    "Convolution": "convolution",
    "CosineCutoff": "cutoff",
    "Dropout": "dropout",
    "EdgeEmbedding": "embedding",
    "Edges": "embedding",
    "Extract": "extract",
    "ExtractIr": "extract",
    "FullyConnectedConvolution": "fully_connected_convolution",
    "FullyConnectedLayer": "fully_connected",
    "FullyConnectedNet": "fully_connected",
    "Gate": "gate",
    "GaussianBasis": "radial",
    "Identity": "extract",
    "MLP": "mlp",
    "MessagePassing": "message_passing",
    "NodeEmbedding": "embedding",
    "NormActivation": "norm_activation",
    "PathsToSO2": "so2_paths",
    "PolynomialCutoff": "cutoff",
    "S2Activation": "s2_activation",
    "SO2Convolution": "so2_convolution",
    "SO2Linear": "so2_linear",
    "SO3Activation": "so3_activation",
    "ScalarHead": "readout",
    "SpeciesTable": "embedding",
    "SymmetricContraction": "symmetric_contraction",
    "VectorHead": "readout",
    "bessel": "one_hot",
    "check_sizes": "backbone",
    "envelope": "cutoff",
    "load_mace_contraction": "mace_contraction",
    "moment": "activation",
    "normalize2mom": "activation",
    "pool": "readout",
    "radial_basis": "radial",
    "shifted_softplus": "mlp",
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
    "EdgeEmbedding",
    "Edges",
    "Extract",
    "ExtractIr",
    "FullyConnectedConvolution",
    "FullyConnectedLayer",
    "FullyConnectedNet",
    "Gate",
    "GaussianBasis",
    "Identity",
    "MessagePassing",
    "NodeEmbedding",
    "NormActivation",
    "PathsToSO2",
    "PolynomialCutoff",
    "S2Activation",
    "SO2Convolution",
    "SO2Linear",
    "SO3Activation",
    "ScalarHead",
    "SpeciesTable",
    "SymmetricContraction",
    "VectorHead",
    "bessel",
    "check_sizes",
    "envelope",
    "load_mace_contraction",
    "moment",
    "normalize2mom",
    "pool",
    "radial_basis",
    "shifted_softplus",
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
