"""The cases of grids, signals, layers and the functions of ``math``."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from algebra_cases import CASES
from case_kit import case, positive, randn, several

__all__ = ["CASES"]

# grids, signals
# ----------------------------------------------------------------------------------------------------------------------
for _lmax, _res, _n in (
    (2, 10, "component"),
    (3, (12, 9), "norm"),
    (4, (10, 11), "integral"),
    ((3), (8, 7), "component"),
):
    _kw = {"lmax": _lmax, "res": _res, "normalization": _n}
    case(f"o3.ToS2Grid[{_lmax},{_res},{_n}]", lambda ns, k=_kw: ns.o3.ToS2Grid(**k), randn(2, (_lmax + 1) ** 2))
    _shape = _res if isinstance(_res, tuple) else (_res, _res - 1)
    case(
        f"o3.FromS2Grid[{_lmax},{_res},{_n}]",
        lambda ns, k=_kw: ns.o3.FromS2Grid(res=_grid(k["res"]), lmax=k["lmax"], normalization=k["normalization"]),
        randn(2, *_shape),
    )
case("o3.s2_grid", lambda ns: lambda: ns.o3.s2_grid(6, 7), lambda g: (), differentiable=False)
case(
    "o3.spherical_harmonics_s2_grid",
    lambda ns: lambda: ns.o3.spherical_harmonics_s2_grid(3, 8, 7),
    lambda g: (),
    differentiable=False,
)
case("o3.rfft", lambda ns: lambda x: ns.o3.rfft(x, 3), randn(2, 9))
case("o3.irfft", lambda ns: lambda x: ns.o3.irfft(x, 9), randn(2, 7))
case("o3.SO3Grid[to]", lambda ns: ns.o3.SO3Grid(2, 4).to_grid, randn(2, 1 + 9 + 25))
case("o3.SO3Grid[from]", lambda ns: ns.o3.SO3Grid(2, 4).from_grid, randn(2, 16, 8, 16))
case("io.SphericalTensor[xyz]", lambda ns: ns.io.SphericalTensor(3, 1, -1).signal_xyz, several((16,), (5, 3)))
case("io.SphericalTensor[norms]", lambda ns: ns.io.SphericalTensor(3, 1, -1).norms, randn(4, 16))
case("io.SphericalTensor[peaks]", lambda ns: lambda v: ns.io.SphericalTensor(3, 1, -1).with_peaks_at(v), randn(4, 3))
case("io.SphericalTensor[diracs]", lambda ns: ns.io.SphericalTensor(3, 1, -1).sum_of_diracs, several((2, 4, 3), (2, 4)))
case("io.SphericalTensor[grid]", lambda ns: lambda s: ns.io.SphericalTensor(3, 1, -1).signal_on_grid(s, 12), randn(16))


def _grid(res: object) -> object:
    return res if isinstance(res, tuple) else (res, res - 1)  # type: ignore[operator]


# layers
# ----------------------------------------------------------------------------------------------------------------------
tanh, relu, silu = torch.tanh, torch.relu, torch.nn.functional.silu
case("nn.Activation", lambda ns: ns.nn.Activation("3x0e+2x0o+1x0e", [silu, tanh, torch.sigmoid]), randn(3, 6))
case("nn.Activation[kept]", lambda ns: ns.nn.Activation("3x0e+2x1o", [silu, None]), randn(3, 9))
case(
    "nn.Gate",
    lambda ns: ns.nn.Gate("3x0e+2x0o", [silu, tanh], "3x0e+1x0o", [torch.sigmoid, tanh], "2x1o+1x2e+1x1e"),
    randn(3, 5 + 4 + 14),
)
case("nn.Gate[no gates]", lambda ns: ns.nn.Gate("3x0e", [silu], "", [], ""), randn(3, 3))
for _bias in (False, True):  # without normalize e3nn 0.6 compares None with 0: tests/nn/test_norm_activation.py
    case(
        f"nn.NormActivation[{_bias}]",
        lambda ns, b=_bias: ns.nn.NormActivation(ns.o3.Irreps("2x0e+3x1o+2e"), torch.sigmoid, bias=b),
        randn(3, 16),
    )
case(
    "nn.NormActivation[epsilon]", lambda ns: ns.nn.NormActivation("2x0e+3x1o", torch.sigmoid, epsilon=0.1), randn(3, 11)
)
for _kw in (
    {},
    {"affine": False},
    {"instance": True},
    {"reduce": "max"},
    {"normalization": "norm"},
    {"momentum": 0.3, "eps": 1e-3},
    {"include_bias": False},
):
    for _train in (True, False):
        case(
            f"nn.BatchNorm[{_kw},{_train}]",
            lambda ns, k=_kw: ns.nn.BatchNorm("3x0e+2x1o+2x0o", **k),
            randn(4, 5, 11),
            train=_train,
        )
case("nn.Dropout", lambda ns: ns.nn.Dropout("3x0e+2x1o", 0.4), randn(6, 9), train=True)
case("nn.Dropout[eval]", lambda ns: ns.nn.Dropout("3x0e+2x1o", 0.4), randn(6, 9))
case("nn.Identity", lambda ns: ns.nn.Identity("3x0e+2x1o", "3x0e+2x1o"), randn(6, 9))
case("nn.Extract", lambda ns: ns.nn.Extract("1e+0e+0e", ["0e+0e", "1e"], [(1, 2), (0,)]), randn(2, 5))
case("nn.ExtractIr", lambda ns: ns.nn.ExtractIr("2x1e+0e+1o+1e", "1e"), randn(2, 13))
case("nn.FullyConnectedNet", lambda ns: ns.nn.FullyConnectedNet([3, 8, 2], silu), randn(5, 3))
case(
    "nn.FullyConnectedNet[options]",
    lambda ns: ns.nn.FullyConnectedNet([3, 8, 2], tanh, variance_in=2, variance_out=0.5, out_act=True),
    randn(5, 3),
)
case("nn.FullyConnectedNet[linear]", lambda ns: ns.nn.FullyConnectedNet([3, 8, 2], None), randn(5, 3))
case("nn.S2Activation", lambda ns: ns.nn.S2Activation(ns.io.SphericalTensor(3, 1, -1), tanh, 12), randn(3, 16))
case(
    "nn.S2Activation[even]",
    lambda ns: ns.nn.S2Activation("0e+1e+2e", relu, 12, lmax_out=3, random_rot=False),
    randn(3, 9),
    differentiable=False,
)
case("nn.SO3Activation", lambda ns: ns.nn.SO3Activation(2, 2, tanh, 4), randn(2, 35))

# math
# ----------------------------------------------------------------------------------------------------------------------
for _basis in ("gaussian", "cosine", "smooth_finite", "fourier", "bessel"):
    for _cut in (True, False):
        case(
            f"math.soft_one_hot_linspace[{_basis},{_cut}]",
            lambda ns, b=_basis, c=_cut: lambda x: ns.math.soft_one_hot_linspace(x, 0.1, 2.0, 5, basis=b, cutoff=c),
            positive(6),
        )
case("math.soft_unit_step", lambda ns: ns.math.soft_unit_step, randn(9))
case("math.bessel", lambda ns: lambda x: ns.math.bessel(x, 5, 2.0), positive(5))
case("math.moment", lambda ns: lambda: ns.math.moment(torch.sigmoid, 2), lambda g: (), differentiable=False)
for _f in (tanh, silu, relu, torch.sigmoid, torch.cos):
    case(
        f"math.normalize2mom[{_f.__name__}]",
        lambda ns, f=_f: ns.math.normalize2mom(f),
        randn(5),
        differentiable=_f is not relu,
    )
case("math.direct_sum", lambda ns: ns.math.direct_sum, several((4, 2, 3), (4, 1, 2)))
case("math.orthonormalize", lambda ns: ns.math.orthonormalize, randn(3, 5), differentiable=False)
case(
    "math.complete_basis",
    lambda ns: lambda x: ns.math.complete_basis(ns.math.orthonormalize(x)[0], 1e-4),
    randn(3, 5),
    differentiable=False,
)
case(
    "math.germinate_formulas",
    lambda ns: lambda: ns.math.germinate_formulas("ijk=-jik=kji"),
    lambda g: (),
    differentiable=False,
)
case("math.reduce_permutation", lambda ns: lambda: _reduced(ns), lambda g: (), differentiable=False)


def _reduced(ns: SimpleNamespace) -> tuple[object, ...]:
    return tuple(ns.math.reduce_permutation(*ns.math.germinate_formulas("ij=ji"), i=3))
