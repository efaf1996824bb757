"""Floor 2: representation theory of O(3), in e3nn's names and conventions."""

from intertwine.groups.rotations import (
    axis_angle_to_matrix,
    axis_angle_to_quaternion,
    compose_axis_angle,
    compose_quaternion,
    identity_quaternion,
    inverse_quaternion,
    matrix_to_axis_angle,
    matrix_to_quaternion,
    matrix_to_rotation_vector,
    matrix_x,
    matrix_y,
    matrix_z,
    quaternion_to_axis_angle,
    quaternion_to_matrix,
    rand_axis_angle,
    rand_matrix,
    rand_quaternion,
    rotation_vector_to_matrix,
)
from intertwine.groups.wigner import wigner_d, wigner_d_blocks
from intertwine.o3.angles import (
    angles_to_axis_angle,
    angles_to_matrix,
    angles_to_quaternion,
    angles_to_xyz,
    axis_angle_to_angles,
    compose_angles,
    identity_angles,
    inverse_angles,
    matrix_to_angles,
    quaternion_to_angles,
    rand_angles,
    wigner_D,
    xyz_to_angles,
)
from intertwine.o3.angular import (
    Legendre,
    SphericalHarmonicsAlphaBeta,
    spherical_harmonics_alpha,
    spherical_harmonics_alpha_beta,
)
from intertwine.o3.blocks import LAYOUTS, join_blocks, require_features, require_tensors, split_blocks
from intertwine.o3.cartesian import CartesianTensor
from intertwine.o3.clebsch_gordan import clebsch_gordan, coupling, wigner_3j
from intertwine.o3.conventions import CONVENTIONS, convention_matrix, convert
from intertwine.o3.edge_frames import EdgeFrames, edge_frames, edge_rotations, frame_block
from intertwine.o3.generators import change_basis_real_to_complex, so3_generators, su2_generators
from intertwine.o3.grids import irfft, rfft, s2_grid, spherical_harmonics_s2_grid
from intertwine.o3.instructions import Instruction
from intertwine.o3.irreps import Irrep, Irreps, MulIr
from intertwine.o3.linear import Linear
from intertwine.o3.norm import Norm
from intertwine.o3.products import (
    ElementwiseTensorProduct,
    FullTensorProduct,
    FullyConnectedTensorProduct,
    TensorSquare,
)
from intertwine.o3.reduce import ReducedTensorProducts
from intertwine.o3.s2_transforms import FromS2Grid, ToS2Grid
from intertwine.o3.so3_grid import SO3Grid, flat_wigner
from intertwine.o3.spherical_harmonics import SphericalHarmonics, spherical_harmonics
from intertwine.o3.spherical_tensor import SphericalTensor
from intertwine.o3.symmetric_coupling import SymmetricCouplings, symmetric_couplings
from intertwine.o3.tensor_product import TensorProduct

__all__ = [
    "CONVENTIONS",
    "LAYOUTS",
    "CartesianTensor",
    "EdgeFrames",
    "ElementwiseTensorProduct",
    "FromS2Grid",
    "FullTensorProduct",
    "FullyConnectedTensorProduct",
    "Instruction",
    "Irrep",
    "Irreps",
    "Legendre",
    "Linear",
    "MulIr",
    "Norm",
    "ReducedTensorProducts",
    "SO3Grid",
    "SphericalHarmonics",
    "SphericalHarmonicsAlphaBeta",
    "SphericalTensor",
    "SymmetricCouplings",
    "TensorProduct",
    "TensorSquare",
    "ToS2Grid",
    "angles_to_axis_angle",
    "angles_to_matrix",
    "angles_to_quaternion",
    "angles_to_xyz",
    "axis_angle_to_angles",
    "axis_angle_to_matrix",
    "axis_angle_to_quaternion",
    "change_basis_real_to_complex",
    "clebsch_gordan",
    "compose_angles",
    "compose_axis_angle",
    "compose_quaternion",
    "convention_matrix",
    "convert",
    "coupling",
    "edge_frames",
    "edge_rotations",
    "flat_wigner",
    "frame_block",
    "identity_angles",
    "identity_quaternion",
    "inverse_angles",
    "inverse_quaternion",
    "irfft",
    "join_blocks",
    "matrix_to_angles",
    "matrix_to_axis_angle",
    "matrix_to_quaternion",
    "matrix_to_rotation_vector",
    "matrix_x",
    "matrix_y",
    "matrix_z",
    "quaternion_to_angles",
    "quaternion_to_axis_angle",
    "quaternion_to_matrix",
    "rand_angles",
    "rand_axis_angle",
    "rand_matrix",
    "rand_quaternion",
    "require_features",
    "require_tensors",
    "rfft",
    "rotation_vector_to_matrix",
    "s2_grid",
    "so3_generators",
    "spherical_harmonics",
    "spherical_harmonics_alpha",
    "spherical_harmonics_alpha_beta",
    "spherical_harmonics_s2_grid",
    "split_blocks",
    "su2_generators",
    "symmetric_couplings",
    "wigner_3j",
    "wigner_D",
    "wigner_d",
    "wigner_d_blocks",
    "xyz_to_angles",
]


def __dir__() -> list[str]:
    return sorted(__all__)
