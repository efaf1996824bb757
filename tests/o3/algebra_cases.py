"""Every public function and class of rotations, representations, harmonics and products as a case.

The same case is built from e3nn's namespaces and from ours; ``test_against_e3nn.py`` compares, ``test_modules.py``
takes ours apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from case_kit import (
    CASES,
    angles,
    axis_and_angle,
    case,
    dimension,
    matrices,
    of_unit,
    quaternions,
    randn,
    random_irreps,
    several,
)
from torch import Tensor

from intertwine import o3 as our_o3

__all__ = ["CASES"]

# rotations
# ----------------------------------------------------------------------------------------------------------------------
for _name in ("angles_to_matrix", "angles_to_quaternion", "angles_to_axis_angle", "inverse_angles"):
    case(f"o3.{_name}", lambda ns, n=_name: getattr(ns.o3, n), angles)
for _name in ("quaternion_to_matrix", "quaternion_to_axis_angle", "quaternion_to_angles", "inverse_quaternion"):
    case(f"o3.{_name}", lambda ns, n=_name: of_unit(getattr(ns.o3, n)), quaternions())
for _name in ("matrix_to_angles", "matrix_to_quaternion", "matrix_to_axis_angle"):
    case(f"o3.{_name}", lambda ns, n=_name: getattr(ns.o3, n), matrices, differentiable=_name == "matrix_to_angles")
for _name in ("axis_angle_to_matrix", "axis_angle_to_quaternion", "axis_angle_to_angles"):
    case(f"o3.{_name}", lambda ns, n=_name: getattr(ns.o3, n), axis_and_angle())
for _name in ("matrix_x", "matrix_y", "matrix_z"):
    case(f"o3.{_name}", lambda ns, n=_name: getattr(ns.o3, n), randn(5))
case("o3.compose_angles", lambda ns: ns.o3.compose_angles, lambda g: (*angles(g), *angles(g)))
case("o3.compose_quaternion", lambda ns: ns.o3.compose_quaternion, quaternions(copies=2))
case("o3.compose_axis_angle", lambda ns: ns.o3.compose_axis_angle, axis_and_angle(2))
case("o3.angles_to_xyz", lambda ns: ns.o3.angles_to_xyz, lambda g: angles(g)[:2])
case("o3.xyz_to_angles", lambda ns: ns.o3.xyz_to_angles, randn(5, 3))
for _name in ("rand_matrix", "rand_angles", "rand_quaternion", "rand_axis_angle"):
    case(
        f"o3.{_name}",
        lambda ns, n=_name: lambda: _seeded(lambda: getattr(ns.o3, n)(3, 2)),
        lambda g: (),
        differentiable=False,
    )
for _name in ("identity_angles", "identity_quaternion"):
    case(f"o3.{_name}", lambda ns, n=_name: lambda: getattr(ns.o3, n)(3, 2), lambda g: (), differentiable=False)


def _seeded(draw: Callable[[], Any]) -> Any:
    torch.manual_seed(0)
    return draw()


# representations
# ----------------------------------------------------------------------------------------------------------------------
_BIG = "2x0e+0o+1e+2x1o+2e+3o+4e"
case("o3.wigner_D", lambda ns: lambda *a: ns.o3.wigner_D(3, *a), angles)
case("o3.Irreps[D_from_angles]", lambda ns: ns.o3.Irreps(_BIG).D_from_angles, angles)
case("o3.Irreps[D_from_quaternion]", lambda ns: of_unit(ns.o3.Irreps(_BIG).D_from_quaternion), quaternions())
case(
    "o3.Irreps[D_from_matrix]",
    lambda ns: ns.o3.Irreps(_BIG).D_from_matrix,
    lambda g: (-matrices(g)[0],),
    differentiable=False,
)
case("o3.Irreps[D_from_axis_angle]", lambda ns: ns.o3.Irreps(_BIG).D_from_axis_angle, axis_and_angle())
case(
    "o3.Irrep[D_from_quaternion]",
    lambda ns: ns.o3.Irrep("3o").D_from_quaternion,
    lambda g: (*quaternions()(g), torch.arange(4.0)),
    differentiable=False,
)
for _l1, _l2, _l3 in ((0, 0, 0), (1, 1, 1), (1, 1, 2), (2, 3, 4), (5, 6, 7), (11, 11, 0), (4, 11, 9)):
    case(
        f"o3.wigner_3j[{_l1},{_l2},{_l3}]",
        lambda ns, t=(_l1, _l2, _l3): lambda: ns.o3.wigner_3j(*t),
        lambda g: (),
        differentiable=False,
    )
for _l in (0, 1, 3, 6):
    for _name in ("so3_generators", "su2_generators", "change_basis_real_to_complex"):
        case(
            f"o3.{_name}[{_l}]",
            lambda ns, n=_name, l=_l: lambda: getattr(ns.o3, n)(l),
            lambda g: (),
            differentiable=False,
        )

# harmonics
# ----------------------------------------------------------------------------------------------------------------------
for _n in ("integral", "component", "norm"):
    for _unit in (True, False):
        case(
            f"o3.spherical_harmonics[{_n},{_unit}]",
            lambda ns, n=_n, u=_unit: lambda x: ns.o3.spherical_harmonics([0, 1, 2, 3, 6], x, u, n),
            randn(2, 5, 3),
        )
case("o3.spherical_harmonics[11]", lambda ns: lambda x: ns.o3.spherical_harmonics(11, x, True), randn(5, 3))
case("o3.SphericalHarmonics", lambda ns: ns.o3.SphericalHarmonics("0e+1o+2e+1o", True, "component"), randn(5, 3))
case(
    "o3.SphericalHarmonics[axial]",
    lambda ns: ns.o3.SphericalHarmonics("0e+1e+2e+3e", False, "norm", irreps_in="1e"),
    randn(5, 3),
)
case("o3.SphericalHarmonics[list]", lambda ns: ns.o3.SphericalHarmonics([4, 0], False), randn(5, 3))
case(
    "o3.SphericalHarmonicsAlphaBeta",
    lambda ns: ns.o3.SphericalHarmonicsAlphaBeta([0, 1, 3, 5]),
    lambda g: angles(g)[:2],
)
case(
    "o3.spherical_harmonics_alpha_beta",
    lambda ns: lambda a, b: ns.o3.spherical_harmonics_alpha_beta([0, 1, 4], a, b),
    lambda g: angles(g)[:2],
)
case("o3.spherical_harmonics_alpha", lambda ns: lambda a: ns.o3.spherical_harmonics_alpha(4, a), randn(5))
case("o3.Legendre", lambda ns: ns.o3.Legendre([0, 1, 2, 5]), lambda g: ((b := angles(g)[1]).cos(), b.sin()))

# products
# ----------------------------------------------------------------------------------------------------------------------
_MODES = {
    "uvw": ("4x0e+3x1o", "2x1o+2x0e", "5x1o+2x2e+3x0e", [(0, 0, 0), (1, 0, 1), (1, 0, 2), (1, 1, 0), (0, 1, 2)]),
    "uvu": ("4x0e+4x1o", "2x1o+1x2e", "4x1o+4x2e+4x0e", [(0, 0, 0), (1, 0, 1), (1, 0, 2), (1, 1, 0)]),
    "uvv": ("2x1o+1x2e", "4x0e+4x1o", "4x1o+4x2e+4x0e", [(0, 0, 0), (0, 1, 1), (0, 1, 2), (1, 1, 0)]),
    "uuw": ("4x0e+4x1o", "4x1o+4x0e", "5x1o+2x2e+3x0e", [(0, 0, 0), (1, 0, 1), (1, 0, 2), (1, 1, 0), (0, 1, 2)]),
    "uuu": ("4x0e+4x1o", "4x1o+4x0e", "4x1o+4x2e+4x0e", [(0, 0, 0), (1, 0, 1), (1, 0, 2), (1, 1, 0), (0, 1, 2)]),
    "uvuv": ("2x0e+2x1o", "3x1o", "6x1o+6x2e+6x0e", [(0, 0, 0), (1, 0, 1), (1, 0, 2)]),
    "uvu<v": ("4x1o+4x0e", "4x1o+4x0e", "6x2e+6x0e+6x1o", [(0, 0, 0), (0, 0, 1), (1, 1, 1), (1, 0, 2)]),
    "u<vw": ("4x1o+4x0e", "4x1o+4x0e", "5x2e+3x0e+2x1o", [(0, 0, 0), (0, 0, 1), (1, 1, 1), (1, 0, 2)]),
}
for _mode, (_a, _b, _c, _paths) in _MODES.items():
    for _weighted in (True, False):
        if _mode in ("uvw", "uuw", "u<vw") and not _weighted:
            continue
        _instructions = [(*path, _mode, _weighted, 0.5 + k) for k, path in enumerate(_paths)]
        _shapes = several((3, dimension(_a)), (3, dimension(_b)))
        case(
            f"o3.TensorProduct[{_mode},{_weighted}]",
            lambda ns, a=(_a, _b, _c, _instructions): ns.o3.TensorProduct(*a),
            _shapes,
        )
    case(
        f"o3.TensorProduct[{_mode},weights per sample]",
        lambda ns, a=(_a, _b, _c, [(*path, _mode, True) for path in _paths]): ns.o3.TensorProduct(
            *a, shared_weights=False, irrep_normalization="norm", path_normalization="path"
        ),
        lambda g, a=(_a, _b, _c, _paths, _mode): (
            torch.randn(3, dimension(a[0]), generator=g),
            torch.randn(3, dimension(a[1]), generator=g),
            torch.randn(
                3,
                our_o3.TensorProduct(*a[:3], [(*p, a[4], True) for p in a[3]], shared_weights=False).weight_numel,
                generator=g,
            ),
        ),
    )
case(
    "o3.TensorProduct[variances]",
    lambda ns: ns.o3.TensorProduct(
        "8x0o+8x1o", "16x1o", "16x1e", [(0, 0, 0, "uvw", True, 3), (1, 0, 0, "uvw", True, 1)], in2_var=[1 / 16]
    ),
    several((2, 32), (2, 48)),
)
for _seed in range(6):
    _a, _b, _c = (random_irreps(3 * _seed + k) for k in range(3))
    case(
        f"o3.FullyConnectedTensorProduct[{_a};{_b};{_c}]",
        lambda ns, a=(_a, _b, _c): ns.o3.FullyConnectedTensorProduct(*a),
        several((2, 3, dimension(_a)), (2, 3, dimension(_b))),
    )
    case(
        f"o3.FullTensorProduct[{_a};{_b}]",
        lambda ns, a=(_a, _b): ns.o3.FullTensorProduct(*a),
        several((3, dimension(_a)), (3, dimension(_b))),
    )
    case(f"o3.TensorSquare[{_a}]", lambda ns, a=_a: ns.o3.TensorSquare(a), several((3, dimension(_a))))
    case(f"o3.Linear[{_a};{_b}]", lambda ns, a=(_a, _b): ns.o3.Linear(*a), several((2, 3, dimension(_a))))
    case(f"o3.Norm[{_a}]", lambda ns, a=_a: ns.o3.Norm(a), several((3, dimension(_a))))
case("o3.FullTensorProduct[lecture]", lambda ns: ns.o3.FullTensorProduct("1o", "1e"), several((3, 3), (3, 3)))
case(
    "o3.FullTensorProduct[filtered]",
    lambda ns: ns.o3.FullTensorProduct("2x1o+0e", "1o+2e", filter_ir_out=["1o", "2e"]),
    several((3, 7), (3, 8)),
)
case(
    "o3.ElementwiseTensorProduct",
    lambda ns: ns.o3.ElementwiseTensorProduct("2x0e+3x1o", "3x1o+2x0e"),
    several((3, 11), (3, 11)),
)
case(
    "o3.ElementwiseTensorProduct[filtered]",
    lambda ns: ns.o3.ElementwiseTensorProduct("5x1o", "5x1o", ["0e", "1e"]),
    several((3, 15), (3, 15)),
)
case("o3.TensorSquare[weighted]", lambda ns: ns.o3.TensorSquare("2x0e+2x1o", "3x0e+2x1o+2e"), randn(3, 8))
for _n in ("norm", "none"):
    case(
        f"o3.TensorSquare[weighted,{_n}]",
        lambda ns, n=_n: ns.o3.TensorSquare("2x0e+2x1o", "3x0e+2x1o+2e", irrep_normalization=n),
        randn(3, 8),
    )
case("o3.Linear[biases]", lambda ns: ns.o3.Linear("4x0e+3x1o+2x0e", "2x0e+1o+3x0e+0o", biases=True), randn(3, 15))
case("o3.Linear[f]", lambda ns: ns.o3.Linear("4x0e+3x1o", "2x0e+1o", f_in=3, f_out=2), randn(2, 3, 13))
case(
    "o3.Linear[instructions]",
    lambda ns: ns.o3.Linear("4x0e+3x0e+1o", "2x0e+3x0e+1o", instructions=[(0, 1), (1, 1)], path_normalization="path"),
    randn(2, 10),
)
case("o3.Norm[squared]", lambda ns: ns.o3.Norm("2x0e+3x1o", squared=True), randn(3, 11))

# Cartesian tensors, reductions
# ----------------------------------------------------------------------------------------------------------------------
for _formula, _kw in (
    ("ij=ji", {"i": "1o"}),
    ("ij=-ji", {"i": "1o"}),
    ("ij", {"i": "1o", "j": "1e"}),
    ("ijk=jik=ikj", {"i": "1e"}),
    ("ij=ji", {"i": "0e+1o"}),
):
    case(
        f"o3.ReducedTensorProducts[{_formula},{_kw['i']}]",
        lambda ns, f=_formula, k=_kw: ns.o3.ReducedTensorProducts(f, **k),
        several(*[(2, dimension(_kw["i"]))] * len(_formula.split("=")[0])),
    )
for _formula in ("ij", "ij=ji", "ij=-ji", "ijk=jik", "ijkl=-jikl=-ijlk=klij", "ijkl=jikl=klij"):
    _rank = len(_formula.split("=")[0])
    case(
        f"io.CartesianTensor[{_formula}]",
        lambda ns, f=_formula: _round_trip(ns.io.CartesianTensor(f)),
        randn(2, *[3] * _rank),
    )
case(
    "io.CartesianTensor[vectors]",
    lambda ns: lambda x, y: ns.io.CartesianTensor("ij").from_vectors(x, y),
    several((4, 3), (4, 3)),
)


def _round_trip(tensor: Any) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    return lambda t: ((components := tensor.from_cartesian(t)), tensor.to_cartesian(components))
