"""Floor 4: layers, one idea a file."""

from intertwine.nn.backbone import Backbone, check_sizes
from intertwine.nn.cutoff import CosineCutoff, PolynomialCutoff, envelope
from intertwine.nn.embedding import EdgeEmbedding, Edges, NodeEmbedding, SpeciesTable
from intertwine.nn.message_passing import MessagePassing
from intertwine.nn.mlp import MLP, shifted_softplus
from intertwine.nn.radial import BesselBasis, GaussianBasis, radial_basis
from intertwine.nn.readout import ScalarHead, VectorHead, pool

__all__ = [
    "MLP",
    "Backbone",
    "BesselBasis",
    "CosineCutoff",
    "EdgeEmbedding",
    "Edges",
    "GaussianBasis",
    "MessagePassing",
    "NodeEmbedding",
    "PolynomialCutoff",
    "ScalarHead",
    "SpeciesTable",
    "VectorHead",
    "check_sizes",
    "envelope",
    "pool",
    "radial_basis",
    "shifted_softplus",
]
