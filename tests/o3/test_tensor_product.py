"""TensorProduct against e3nn's, with e3nn's weights: every mode, option and shape of the weights."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from e3nn import o3 as oracle
from switches import as_users_run_it
from torch import Tensor

from intertwine.numerics import InputError
from intertwine.o3.irreps import Irreps
from intertwine.o3.tensor_product import TensorProduct

WEIGHTED = ("uvw", "uvu", "uvv", "uuw", "uuu", "uvuv", "uvu<v", "u<vw")
UNWEIGHTED = ("uvu", "uvv", "uuu", "uvuv", "uvu<v")
MODES = [(mode, True) for mode in WEIGHTED] + [(mode, False) for mode in UNWEIGHTED]


def arguments(mode: str, weighted: bool, seed: int) -> tuple[Any, ...]:
    """Random degrees, parities and multiplicities, with every path that the mode allows; some paths lead to the same
    block.
    """
    generator = torch.Generator().manual_seed(seed)

    def integer(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    mul1, mul2 = integer(1, 5), integer(1, 4)
    if mode in ("uuw", "uuu", "uvu<v", "u<vw"):
        mul1 = mul2 = max(mul1, 2)
    pairs = mul1 * (mul2 - 1) // 2
    mul3 = {"uvu": mul1, "uvv": mul2, "uuu": mul1, "uvuv": mul1 * mul2, "uvu<v": pairs}.get(mode, integer(1, 6))
    first = [(mul1, (integer(0, 4), 1 - 2 * integer(0, 2))) for _ in range(3)]
    second = [(mul2, (integer(0, 4), 1 - 2 * integer(0, 2))) for _ in range(2)]
    out = [(mul3, (l, p)) for l in range(4) for p in (-1, 1)]
    paths = [
        (i, j, k, mode, weighted, 0.5 + integer(0, 4))
        for i, (_, ir1) in enumerate(Irreps(first))
        for j, (_, ir2) in enumerate(Irreps(second))
        for k, (_, ir) in enumerate(Irreps(out))
        if ir in ir1 * ir2
    ]
    return first, second, out, paths


def gradients(function: Any, inputs: list[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
    inputs = [x.clone().requires_grad_() for x in inputs]
    z = function(*inputs)
    cotangent = torch.randn(z.shape, generator=torch.Generator().manual_seed(9), dtype=z.dtype)
    return z.detach(), torch.autograd.grad(z, inputs, cotangent)


def same_paths(mine: Sequence[Any], other: Sequence[Any]) -> bool:
    """Equal but for the last digits of the weights of the paths."""
    exact = all((one[:5], one[6]) == (two[:5], two[6]) for one, two in zip(mine, other, strict=True))
    return exact and all(abs(one[5] - two[5]) < 1e-14 for one, two in zip(mine, other, strict=True))


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.usefixtures("oracle_in_double")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("mode", "weighted"), MODES)
def test_values_and_gradients_are_those_of_e3nn(mode: str, weighted: bool, shared: bool, seed: int) -> None:
    given = arguments(mode, weighted, seed)
    options = {
        "shared_weights": shared,
        "internal_weights": False,
        "irrep_normalization": ("component", "norm", "none")[seed],
        "path_normalization": ("element", "path", "none")[seed],
        "in1_var": [1.0, 2.0, 0.5],
        "in2_var": [0.7, 1.0],
        "out_var": [1.0, 0.3] * 4,
    }
    theirs, ours = oracle.TensorProduct(*given, **options), TensorProduct(*given, **options)
    assert same_paths(ours.instructions, theirs.instructions)
    assert ours.weight_numel == theirs.weight_numel
    assert torch.equal(ours.output_mask, theirs.output_mask)
    inputs = [random(4, theirs.irreps_in1.dim), random(4, theirs.irreps_in2.dim, seed=1)]
    if weighted:
        inputs.append(random(*([] if shared else [4]), theirs.weight_numel, seed=2))
    value, gradient = gradients(theirs, inputs)
    mine, mine_gradient = gradients(ours, inputs)
    for one, other in zip((mine, *mine_gradient), (value, *gradient)):
        assert (one - other).abs().max() < 1e-12 * max(1.0, float(other.abs().max()))


@pytest.mark.usefixtures("oracle_in_double")
@pytest.mark.parametrize(("mode", "weighted"), [case for case in MODES if "<" not in case[0]])
def test_right_is_that_of_e3nn(mode: str, weighted: bool) -> None:
    given = arguments(mode, weighted, 5)
    for shared in (True, False) if weighted else (True,):  # e3nn's own fails for weights of each sample that are none
        theirs = oracle.TensorProduct(*given, shared_weights=shared, internal_weights=False, compile_right=True)
        ours = TensorProduct(*given, shared_weights=shared, internal_weights=False)
        y = random(2, 3, theirs.irreps_in2.dim)
        weight = random(*([] if shared else [3]), theirs.weight_numel) if weighted else None
        matrix = ours.right(y, weight)
        assert (matrix - theirs.right(y, weight)).abs().max() < 1e-12
        x = random(2, 3, theirs.irreps_in1.dim, seed=4)
        assert (torch.einsum("...i,...ik->...k", x, matrix) - ours(x, y, weight)).abs().max() < 1e-12


@pytest.mark.usefixtures("oracle_in_double")
def test_state_and_random_draws_are_those_of_e3nn() -> None:
    given = arguments("uvw", True, 1)
    torch.manual_seed(3)
    theirs = oracle.TensorProduct(*given)
    torch.manual_seed(3)
    ours = TensorProduct(*given)
    assert torch.equal(ours.weight, theirs.weight)
    ours.load_state_dict(theirs.state_dict())
    assert ours.state_dict().keys() == {"weight", "output_mask"} < theirs.state_dict().keys()
    assert not theirs.load_state_dict(ours.state_dict(), strict=False).unexpected_keys
    assert repr(ours) == repr(theirs)
    bare = TensorProduct("1o", "1o", "1e", [(0, 0, 0, "uuu", False)])
    assert bare.state_dict().keys() == {"weight", "output_mask"}
    assert bare.weight.shape == (0,)


def test_layouts_are_permutations_of_each_other() -> None:
    for mode, weighted in MODES:
        given = arguments(mode, weighted, 7)
        outer = TensorProduct(*given, internal_weights=False, dtype=torch.float64)
        inner = TensorProduct(*given, internal_weights=False, dtype=torch.float64, layout="ir_mul")
        x, y = random(3, outer.irreps_in1.dim), random(3, outer.irreps_in2.dim, seed=1)
        weight = random(outer.weight_numel) if weighted else None

        def turned(x: Tensor, irreps: Irreps) -> Tensor:
            parts = [
                x[:, where].unflatten(-1, (mul, ir.dim)).transpose(1, 2).flatten(1)
                for where, (mul, ir) in zip(irreps.slices(), irreps)
            ]
            return torch.cat(parts, -1)

        z = inner(turned(x, outer.irreps_in1), turned(y, outer.irreps_in2), weight)
        assert (z - turned(outer(x, y, weight), outer.irreps_out)).abs().max() < 1e-12


def test_weights_as_a_list_and_their_views() -> None:
    paths = [(0, 0, 0, "uuu", False), (0, 0, 1, "uvw", True), (0, 0, 0, "uuu", True)]
    for shared in (True, False):
        product = TensorProduct(
            "3x1o", "3x1o", "3x0e+2x2e", paths, shared_weights=shared, internal_weights=False, dtype=torch.float64
        )
        x, y = random(2, 9), random(2, 9, seed=1)
        weight = random(*([] if shared else [2]), 21)
        views = list(product.weight_views(weight, yield_instruction=True))
        assert [(number, path.i_out) for number, path, _ in views] == [(1, 1), (2, 0)]
        assert torch.equal(product.weight_view_for_instruction(2, weight), weight[..., 18:])
        assert torch.equal(product(x, y, [view for *_, view in views]), product(x, y, weight))
        with pytest.raises(InputError, match="path 0 has no weights"):
            product.weight_view_for_instruction(0, weight)
        with pytest.raises(InputError, match="1 tensors for 2"):
            product(x, y, [weight])
        with pytest.raises(InputError, match="weights of a path"):
            product(x, y, [weight, weight])
        with pytest.raises(InputError, match="weights are missing"):
            product(x, y)


def test_internal_weights_can_be_zeroed_through_their_views() -> None:
    product = TensorProduct(
        "2x0e+1o", "0e+1o", "0e+1o", [(0, 0, 0, "uvw", True), (1, 1, 0, "uvw", True), (0, 1, 1, "uvw", True)]
    )
    with torch.no_grad():
        for number in (0, 1):
            product.weight_view_for_instruction(number).zero_()
    z = product(torch.ones(2, 5), torch.ones(2, 4))
    assert torch.equal(z[:, 0], torch.zeros(2))
    assert (z[:, 1:] != 0).all()


def test_broadcasting_empty_batches_and_empty_blocks() -> None:
    product = TensorProduct("0x0e+1o+2e", "0e+1o+2e", "0x0e+1o+0x1e", [(0, 0, 0, "uvw", True), (1, 1, 0, "uvw", True)])
    assert torch.equal(product(torch.ones(4, 8), torch.ones(4, 9)), torch.zeros(4, 3))
    assert torch.equal(product.output_mask, torch.zeros(3))
    product = TensorProduct("1o", "1o", "0e", [(0, 0, 0, "uvw", True)], shared_weights=False)
    z = product(torch.ones(2, 1, 4, 3), torch.ones(2, 3, 1, 3), torch.ones(3, 4, 1))
    assert z.shape == (2, 3, 4, 1)
    assert product(torch.ones(2, 1, 0, 1, 3), torch.ones(1, 2, 0, 3, 3), torch.ones(1, 1)).shape == (2, 2, 0, 3, 1)
    assert product.right(torch.ones(2, 0, 3), torch.ones(1, 1)).shape == (2, 0, 3, 1)
    assert TensorProduct([], [], [], [])(torch.ones(5, 0), torch.ones(5, 0)).shape == (5, 0)


def test_a_path_of_weight_zero_counts_for_nothing() -> None:
    product = TensorProduct("1o", "1o", "0e+1e", [(0, 0, 0, "uuu", False, 0.0), (0, 0, 1, "uuu", True)])
    assert torch.equal(product.output_mask, torch.tensor([0.0, 1.0, 1.0, 1.0]))
    assert product(torch.ones(2, 3), torch.ones(2, 3))[:, 0].abs().max() == 0


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("mode", "weighted"), MODES)
def test_first_and_second_derivatives(mode: str, weighted: bool, shared: bool) -> None:
    product = TensorProduct(
        *arguments(mode, weighted, 11), shared_weights=shared, internal_weights=False, dtype=torch.float64
    )
    inputs = [random(2, product.irreps_in1.dim), random(2, product.irreps_in2.dim, seed=1)]
    inputs += [random(*([] if shared else [2]), product.weight_numel, seed=2)] if weighted else []
    inputs = [x.requires_grad_() for x in inputs]
    assert torch.autograd.gradcheck(product, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(product, inputs, fast_mode=True)


def test_it_is_equivariant_to_the_last_digits() -> None:
    product = TensorProduct(*arguments("uvw", True, 2), dtype=torch.float64)
    rotation = torch.linalg.qr(random(3, 3)).Q
    x, y = random(5, product.irreps_in1.dim), random(5, product.irreps_in2.dim, seed=1)
    turned = product(product.irreps_in1.transform(rotation, x), product.irreps_in2.transform(rotation, y))
    z = product.irreps_out.transform(rotation, product(x, y))
    assert (turned - z).abs().max() < 500 * 2.2e-16 * z.square().mean().sqrt()


def test_copies_precisions_compilers() -> None:
    product = TensorProduct(*arguments("uvw", True, 2), dtype=torch.float64)
    x, y = random(5, product.irreps_in1.dim), random(5, product.irreps_in2.dim, seed=1)
    z = product(x, y)
    assert torch.equal(copy.deepcopy(product)(x, y), z)
    assert torch.equal(pickle.loads(pickle.dumps(product))(x, y), z)
    half = copy.deepcopy(product).float()
    assert (half(x.float(), y.float()) - z).abs().max() < 1e-4
    assert (half.double()(x, y) - z).abs().max() < 1e-5  # the weights were rounded, the coefficients were not
    assert torch.allclose(torch.func.vmap(product)(x, y), z, atol=1e-12, rtol=0)
    batch = torch.export.Dim("batch")
    exported = torch.export.export(product, (x, y), dynamic_shapes=({0: batch}, {0: batch})).module()
    assert torch.allclose(exported(x[:3], y[:3]), z[:3], atol=1e-12, rtol=0)
    with as_users_run_it():
        assert torch.allclose(torch.compile(product, fullgraph=True, backend="aot_eager")(x, y), z, atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"instructions": [(0, 0, 0, "uvw", True)] * 2 + [(0, 0, 2, "uvw", True)]}, r"instructions\[2\].*no block 2"),
        ({"instructions": [(-1, 0, 0, "uvw", True)]}, "no block -1"),
        ({"instructions": [(0, 0, 0, "uvx", True)]}, "unknown connection mode"),
        ({"instructions": [(0, 0, 1, "uvw", True)]}, "does not contain 1o"),
        ({"instructions": [(0, 0, 0, "uuu", True)]}, "can't be connected"),
        ({"instructions": [(0, 0, 0, "uvw", False)]}, "has none here"),
        ({"instructions": [(0, 0, 0, "uvw")]}, "has 4 entries"),
        ({"instructions": [(0, 0, 0, "uvw", True, -1.0)]}, "weight of the path is -1"),
        ({"in1_var": [1.0, 2.0]}, "2 variances for 1 blocks"),
        ({"irrep_normalization": "components"}, "did you mean 'component'"),
        ({"path_normalization": "elements"}, "did you mean 'element'"),
        ({"layout": "mul"}, "unknown layout"),
        ({"internal_weights": True, "shared_weights": False}, "internal weights"),
    ],
)
def test_a_bad_construction_is_named(changes: dict[str, Any], named: str) -> None:
    given: dict[str, Any] = {"instructions": [(0, 0, 0, "uvw", True)]}
    with pytest.raises(InputError, match=named):
        TensorProduct("2x1o", "3x1o", "4x0e+1o", **{**given, **changes})


def test_bad_input_is_named() -> None:
    product = TensorProduct("2x1o", "1o", "4x0e", [(0, 0, 0, "uvw", True)])
    x, y = torch.ones(3, 6), torch.ones(3, 3)
    for given, named in (
        ((x[:, 1:], y), "x: the shape"),
        ((x, y[:, 1:]), "y: the shape"),
        ((x.double(), y.double()), "cast one of them"),
        ((x, y, torch.ones(7)), r"weight: the shape is \(7,\)"),
        ((x, y, torch.ones(3, 8)), "the paths need"),
    ):
        with pytest.raises(InputError, match=named):
            product(*given)


def test_numbers_and_weights_that_make_no_sense() -> None:
    path = (0, 0, 0, "uuu", False)
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="not variances"):
            TensorProduct("1o", "1o", "1e", [path], out_var=[wrong])
        with pytest.raises(InputError, match="weight of the path"):
            TensorProduct("1o", "1o", "1e", [(*path, wrong)])
    unweighted = TensorProduct("1o", "1o", "1e", [path])
    x = torch.randn(2, 3)
    with pytest.raises(InputError, match="no path has any"):
        unweighted(x, x, torch.randn(7))
    assert unweighted(x, x, torch.randn(0)).equal(unweighted(x, x))
    weighted = TensorProduct("1o", "1o", "1e", [(0, 0, 0, "uuu", True)])
    for number in (1, -1):
        with pytest.raises(InputError, match="has no weights"):
            weighted.weight_view_for_instruction(number)


def test_the_device_meta() -> None:
    product = TensorProduct("1o", "1o", "1e", [(0, 0, 0, "uuu", True)], device="meta")
    x = torch.ones(2, 3, device="meta")
    assert product(x, x).shape == (2, 3)
    with pytest.raises(InputError, match="in torch"):
        product(x.bfloat16(), x)


def test_weights_per_sample_say_what_to_do() -> None:
    product = TensorProduct("4x0e", "0e", "4x0e", [(0, 0, 0, "uvu", True)], internal_weights=False)
    with pytest.raises(InputError, match="shared_weights=False"):
        product(torch.ones(3, 4), torch.ones(3, 1), torch.ones(3, 4))
