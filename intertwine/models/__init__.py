"""Floor 5: architectures, one a file. A new model is one file and one line here."""

from intertwine.models.cormorant import Cormorant
from intertwine.models.dimenet import DimeNet
from intertwine.models.egnn import EGNN
from intertwine.models.eqgat import EQGAT
from intertwine.models.esen import ESEN
from intertwine.models.gemnet import GemNet
from intertwine.models.group_mpnn import GroupMPNN
from intertwine.models.gvp import GVP
from intertwine.models.invariant_mpnn import InvariantMPNN
from intertwine.models.invariant_point_attention import InvariantPointAttention
from intertwine.models.local_frames import LocalFrames
from intertwine.models.mace import MACE
from intertwine.models.mpnn import MPNN
from intertwine.models.nequip import NequIP
from intertwine.models.painn import PaiNN
from intertwine.models.point_conv import PointConv
from intertwine.models.ponita import PONITA
from intertwine.models.regular_group_cnn import RegularGroupCNN
from intertwine.models.scalar_vector import ScalarVector
from intertwine.models.schnet import SchNet
from intertwine.models.se3_transformer import SE3Transformer
from intertwine.models.segnn import SEGNN
from intertwine.models.tensor_field import TensorField
from intertwine.nn import Backbone

#: Every architecture by the name that the command line uses.
MODELS: dict[str, type[Backbone]] = {
    "cormorant": Cormorant,
    "dimenet": DimeNet,
    "egnn": EGNN,
    "eqgat": EQGAT,
    "esen": ESEN,
    "gemnet": GemNet,
    "group_mpnn": GroupMPNN,
    "gvp": GVP,
    "invariant_mpnn": InvariantMPNN,
    "invariant_point_attention": InvariantPointAttention,
    "local_frames": LocalFrames,
    "mace": MACE,
    "mpnn": MPNN,
    "nequip": NequIP,
    "painn": PaiNN,
    "point_conv": PointConv,
    "ponita": PONITA,
    "regular_group_cnn": RegularGroupCNN,
    "scalar_vector": ScalarVector,
    "schnet": SchNet,
    "se3_transformer": SE3Transformer,
    "segnn": SEGNN,
    "tensor_field": TensorField,
}

__all__ = [
    "EGNN",
    "EQGAT",
    "ESEN",
    "GVP",
    "MACE",
    "MODELS",
    "MPNN",
    "PONITA",
    "SEGNN",
    "Cormorant",
    "DimeNet",
    "GemNet",
    "GroupMPNN",
    "InvariantMPNN",
    "InvariantPointAttention",
    "LocalFrames",
    "NequIP",
    "PaiNN",
    "PointConv",
    "RegularGroupCNN",
    "SE3Transformer",
    "ScalarVector",
    "SchNet",
    "TensorField",
]
