"""Floor 4: layers, one idea a file."""

from intertwine.nn.activation import Activation, moment, normalize2mom
from intertwine.nn.backbone import Backbone, check_sizes
from intertwine.nn.batch_norm import BatchNorm
from intertwine.nn.cutoff import CosineCutoff, PolynomialCutoff, envelope
from intertwine.nn.dropout import Dropout
from intertwine.nn.embedding import EdgeEmbedding, Edges, NodeEmbedding, SpeciesTable
from intertwine.nn.extract import Extract, ExtractIr, Identity
from intertwine.nn.fully_connected import FullyConnectedLayer, FullyConnectedNet
from intertwine.nn.gate import Gate
from intertwine.nn.message_passing import MessagePassing
from intertwine.nn.mlp import MLP, shifted_softplus
from intertwine.nn.norm_activation import NormActivation
from intertwine.nn.one_hot import bessel, soft_one_hot_linspace, soft_unit_step
from intertwine.nn.radial import BesselBasis, GaussianBasis, radial_basis
from intertwine.nn.readout import ScalarHead, VectorHead, pool
from intertwine.nn.s2_activation import S2Activation
from intertwine.nn.so3_activation import SO3Activation

__all__ = [
    "MLP",
    "Activation",
    "Backbone",
    "BatchNorm",
    "BesselBasis",
    "CosineCutoff",
    "Dropout",
    "EdgeEmbedding",
    "Edges",
    "Extract",
    "ExtractIr",
    "FullyConnectedLayer",
    "FullyConnectedNet",
    "Gate",
    "GaussianBasis",
    "Identity",
    "MessagePassing",
    "NodeEmbedding",
    "NormActivation",
    "PolynomialCutoff",
    "S2Activation",
    "SO3Activation",
    "ScalarHead",
    "SpeciesTable",
    "VectorHead",
    "bessel",
    "check_sizes",
    "envelope",
    "moment",
    "normalize2mom",
    "pool",
    "radial_basis",
    "shifted_softplus",
    "soft_one_hot_linspace",
    "soft_unit_step",
]
