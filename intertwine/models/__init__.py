"""Floor 5: architectures, one a file. A new model is one file and one line here."""

from intertwine.models.bspline_lie_conv import BSplineLieConv
from intertwine.models.clebsch_gordan_net import ClebschGordanNet
from intertwine.models.clifford import Clifford
from intertwine.models.cormorant import Cormorant
from intertwine.models.dimenet import DimeNet
from intertwine.models.egnn import EGNN
from intertwine.models.eqgat import EQGAT
from intertwine.models.esen import ESEN
from intertwine.models.faenet import FAENet
from intertwine.models.frame_averaged_gnn import FrameAveragedGNN
from intertwine.models.frame_transformer import FrameTransformer
from intertwine.models.gemnet import GemNet
from intertwine.models.group_cnn import CNN, P4CNN, P4MCNN, SE2CNN, OctahedralCNN
from intertwine.models.group_mpnn import GroupMPNN
from intertwine.models.gvp import GVP
from intertwine.models.invariant_mpnn import InvariantMPNN
from intertwine.models.invariant_point_attention import InvariantPointAttention
from intertwine.models.lie_conv import LieConv
from intertwine.models.local_frames import LocalFrames
from intertwine.models.mace import MACE
from intertwine.models.mpnn import MPNN
from intertwine.models.nequip import NequIP
from intertwine.models.painn import PaiNN
from intertwine.models.point_conv import PointConv
from intertwine.models.pointnet import PointNet
from intertwine.models.ponita import PONITA
from intertwine.models.regular_group_cnn import RegularGroupCNN
from intertwine.models.scalar_vector import ScalarVector
from intertwine.models.scale_cnn import ScaleCNN
from intertwine.models.schnet import SchNet
from intertwine.models.se3_transformer import SE3Transformer
from intertwine.models.segnn import SEGNN
from intertwine.models.steerable_cnn import SteerableCNN, SteerableCNN3d
from intertwine.models.tensor_field import TensorField
from intertwine.nn import Backbone

#: Every architecture by the name that the command line uses.
MODELS: dict[str, type[Backbone]] = {
    "clebsch_gordan_net": ClebschGordanNet,
    "clifford": Clifford,
    "cnn": CNN,
    "bspline_lieconv": BSplineLieConv,
    "cormorant": Cormorant,
    "dimenet": DimeNet,
    "egnn": EGNN,
    "eqgat": EQGAT,
    "esen": ESEN,
    "faenet": FAENet,
    "frame_averaged_gnn": FrameAveragedGNN,
    "frame_transformer": FrameTransformer,
    "gemnet": GemNet,
    "group_mpnn": GroupMPNN,
    "gvp": GVP,
    "invariant_mpnn": InvariantMPNN,
    "invariant_point_attention": InvariantPointAttention,
    "lieconv": LieConv,
    "local_frames": LocalFrames,
    "mace": MACE,
    "mpnn": MPNN,
    "nequip": NequIP,
    "octahedral_cnn": OctahedralCNN,
    "p4cnn": P4CNN,
    "p4mcnn": P4MCNN,
    "painn": PaiNN,
    "point_conv": PointConv,
    "ponita": PONITA,
    "regular_group_cnn": RegularGroupCNN,
    "pointnet": PointNet,
    "scalar_vector": ScalarVector,
    "scale_cnn": ScaleCNN,
    "schnet": SchNet,
    "se2cnn": SE2CNN,
    "se3_transformer": SE3Transformer,
    "segnn": SEGNN,
    "steerable_cnn": SteerableCNN,
    "steerable_cnn_3d": SteerableCNN3d,
    "tensor_field": TensorField,
}

__all__ = [
    "CNN",
    "EGNN",
    "EQGAT",
    "ESEN",
    "GVP",
    "MACE",
    "MODELS",
    "MPNN",
    "P4CNN",
    "P4MCNN",
    "PONITA",
    "SE2CNN",
    "SEGNN",
    "BSplineLieConv",
    "ClebschGordanNet",
    "Clifford",
    "Cormorant",
    "DimeNet",
    "FAENet",
    "FrameAveragedGNN",
    "FrameTransformer",
    "GemNet",
    "GroupMPNN",
    "InvariantMPNN",
    "InvariantPointAttention",
    "LieConv",
    "LocalFrames",
    "NequIP",
    "OctahedralCNN",
    "PaiNN",
    "PointConv",
    "PointNet",
    "RegularGroupCNN",
    "SE3Transformer",
    "ScalarVector",
    "ScaleCNN",
    "SchNet",
    "SteerableCNN",
    "SteerableCNN3d",
    "TensorField",
]
