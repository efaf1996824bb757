"""Linear layers: e3nn's numbers and draws, both layouts, every option, derivatives of every order, errors."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from switches import as_users_run_it, does_not_apply
from torch import Tensor

from intertwine.groups.rotations import rand_matrix
from intertwine.kernels.linear import plan as mixing_plan
from intertwine.numerics import InputError
from intertwine.o3 import mixing
from intertwine.o3.irreps import Irreps
from intertwine.o3.linear import Linear

D = torch.float64
BIASED = {"biases": True}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("16x0e+8x1o+4x2e", "8x0e+4x1o+16x2e", {}),
    ("3x0e+2x1o", "4x0e+3x1o", BIASED),
    ("64x1o", "32x1o", {}),
    ("4x0e+3x1o+2x0e+1x1o", "2x0e+3x1o+5x0e+0o", BIASED),
    ("4x0e+3x1o+2x0e", "2x1o+8x0e", {"instructions": [(0, 1), (1, 0)], "biases": [False, True]}),
    ("4x1o+3x1o", "2x1o+3x1o", {"instructions": [(0, 1), (1, 1), (0, 0)]}),
    ("4x1o+3x1o", "2x1o+3x1o", {"path_normalization": "path"}),
    ("4x1o", "2x1o", {"instructions": [(0, 0), (0, 0)]}),
    ("0x0e+2x1o+3x2e", "2x1o+0x2e+3x0e", BIASED),
    ("2x1o", "3x0e+2x2e", {}),
    ("2x1o", "3x0e+2x2e", BIASED),
    ("", "2x0e", BIASED),
    ("2x0e", "", {}),
    ("2x0e+1o", "3x0e+2x1o", {"f_in": 3, "f_out": 4, "biases": True}),
    ("2x0e+1o", "3x0e+2x1o", {"shared_weights": False, "biases": True}),
    ("2x0e+1o", "3x0e+2x1o", {"f_in": 3, "f_out": 2, "shared_weights": False}),
]
# e3nn 0.6: a block that is only a bias, or an empty input, fails for more than one sample; so do biases of each sample
THEIRS_FAILS = (
    ("0x0e+2x1o+3x2e", "2x1o+0x2e+3x0e", True),
    ("2x1o", "3x0e+2x2e", True),
    ("", "2x0e", True),
    ("2x0e+1o", "3x0e+2x1o", True),
)
every_case = pytest.mark.parametrize(("irreps_in", "irreps_out", "options"), CASES)
layouts = pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])


def turned(x: Tensor, irreps: Irreps, layout: str) -> Tensor:
    """Features in e3nn's layout written in another."""
    if layout == "mul_ir" or not len(irreps):
        return x
    return torch.cat(
        [x[..., s].unflatten(-1, (mul, ir.dim)).mT.flatten(-2) for s, (mul, ir) in zip(irreps.slices(), irreps)], -1
    )


def arguments(layer: Any, generator: torch.Generator, dtype: torch.dtype = D, z: int = 5) -> list[Tensor]:
    """Features, and weights where the layer has none."""
    f_in, f_out = getattr(layer, "f_in", None), getattr(layer, "f_out", None)
    shapes = [(z, *(() if f_in is None else (f_in,)), layer.irreps_in.dim)]
    if not layer.internal_weights:
        shapes.append((z, *(() if f_in is None else (f_in, f_out)), layer.weight_numel))
        shapes += [(z, *(() if f_out is None else (f_out,)), layer.bias_numel)] if layer.bias_numel else []
    return [torch.randn(shape, dtype=dtype, generator=generator) for shape in shapes]


backends = pytest.mark.parametrize("backend", ["auto", "reference"])  # a compiled kernel for few samples, and a BLAS


@layouts
@every_case
@backends
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_against_e3nn(irreps_in, irreps_out, options, layout, dtype, backend, generator, monkeypatch) -> None:
    from e3nn import o3

    monkeypatch.setenv("INTERTWINE_KERNELS", backend)

    if (irreps_in, irreps_out, "biases" in options) in THEIRS_FAILS and "f_in" not in options:
        does_not_apply("e3nn 0.6 fails; the next test compares with our plain operations")
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        torch.manual_seed(3)
        theirs = o3.Linear(irreps_in, irreps_out, **options)
        torch.manual_seed(3)
        ours = Linear(irreps_in, irreps_out, layout=layout, **options)
    finally:
        torch.set_default_dtype(before)
    assert torch.equal(ours.weight, theirs.weight)
    assert [path[:3] for path in ours.instructions] == [path[:3] for path in theirs.instructions]
    factors = [[path[3] for path in layer.instructions] for layer in (ours, theirs)]
    assert factors[0] == pytest.approx(factors[1], rel=1e-15)
    assert torch.equal(ours.output_mask, theirs.output_mask)
    assert (ours.weight_numel, ours.bias_numel) == (theirs.weight_numel, theirs.bias_numel) or theirs.weight_numel == 0
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    ours.load_state_dict(theirs.state_dict())
    monkeypatch.setattr(mixing, "CACHED_NUMBERS", 1)  # 16 samples at a time
    rest = arguments(ours, generator, dtype, z=37)
    results = []
    for layer, form in ((theirs, "mul_ir"), (ours, layout)):
        leaves = [x.clone().requires_grad_() for x in rest]
        y = layer(turned(leaves[0], ours.irreps_in, form), *leaves[1:])
        cotangent = torch.randn(y.shape, dtype=dtype, generator=torch.Generator().manual_seed(1))
        found = [turned(y, ours.irreps_out, layout) if form == "mul_ir" else y]
        sources = [x for x in [*leaves, *layer.parameters()] if x.numel()]
        total = (y * turned(cotangent, ours.irreps_out, form)).sum()
        if total.requires_grad:
            gradients = torch.autograd.grad(total, sources, allow_unused=True)
            found += [torch.zeros_like(x) if g is None else g for x, g in zip(sources, gradients)]
        results.append(found)
    assert len(results[0]) == len(results[1]) or not results[0][0].numel()
    for theirs_, ours_ in zip(*results):
        assert ours_.dtype == dtype
        scale = max([1.0, *theirs_.detach().abs().flatten().tolist()])
        torch.testing.assert_close(ours_, theirs_, rtol=0, atol=(1e-12 if dtype == D else 1e-5) * scale)


@layouts
@every_case
@backends
def test_derivatives_and_all_paths(irreps_in, irreps_out, options, layout, backend, generator, monkeypatch) -> None:
    """The written derivatives are those of the plain operations, to the second order, folded or copied or by a
    kernel.
    """
    monkeypatch.setenv("INTERTWINE_KERNELS", backend)
    for few in (0, 1000):
        monkeypatch.setattr(mixing_plan, "FEW_CHANNELS", few)
        layer = Linear(irreps_in, irreps_out, layout=layout, dtype=D, **options)
        values = arguments(layer, generator, z=2)
        expected = vmapped_where_shared(layer, values)
        torch.testing.assert_close(layer(*values), expected, rtol=0, atol=1e-13)
        parameters = [(name, p) for name, p in layer.named_parameters() if p.numel()]
        leaves = [x.requires_grad_() for x in values] + [p for _, p in parameters]

        def function(*given: Tensor, layer=layer, parameters=parameters, first=values) -> Tensor:
            names = dict(zip((name for name, _ in parameters), given[len(first) :]))
            return torch.func.functional_call(layer, names, given[: len(first)])

        if sum(x.numel() for x in leaves) and layer(*values).numel() and layer(*values).requires_grad:
            assert torch.autograd.gradcheck(function, leaves, fast_mode=True)
            assert torch.autograd.gradgradcheck(function, leaves, fast_mode=True)


def vmapped_where_shared(layer: Linear, values: list[Tensor]) -> Tensor:
    """One sample after the other, through the operations that ``vmap`` knows."""
    return torch.func.vmap(layer)(*values)


def test_third_derivative_and_batched_gradients(generator) -> None:
    layer = Linear("2x0e+2x1o+1o", "2x0e+2x1o", biases=True, dtype=D)
    x = torch.randn(3, layer.irreps_in.dim, dtype=D, generator=generator, requires_grad=True)

    def energy(x: Tensor) -> Tensor:
        return (layer(x.sin()) ** 3).sum()

    (first,) = torch.autograd.grad(energy(x), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x, create_graph=True)
    (third,) = torch.autograd.grad(second.square().sum(), layer.weight)
    plain = torch.func.grad(energy)(x)
    torch.testing.assert_close(first, plain, rtol=0, atol=1e-12)
    assert third.isfinite().all()
    jacobian = torch.autograd.functional.jacobian(layer, x, vectorize=True)
    torch.testing.assert_close(jacobian, torch.autograd.functional.jacobian(layer, x), rtol=0, atol=1e-13)
    torch.testing.assert_close(torch.func.jacrev(layer)(x), jacobian, rtol=0, atol=1e-13)
    forwards = torch.autograd.functional.jacobian(layer, x, vectorize=True, strategy="forward-mode")
    torch.testing.assert_close(forwards, jacobian, rtol=0, atol=1e-13)


@layouts
@every_case
def test_equivariant(irreps_in, irreps_out, options, layout, generator) -> None:
    layer = Linear(irreps_in, irreps_out, layout=layout, dtype=D, **options)
    values = arguments(layer, generator)
    rotation = -rand_matrix(dtype=D, generator=generator)

    def act(x: Tensor, irreps: Irreps) -> Tensor:
        swapped = Irreps(irreps)
        plain = turned_back(x, swapped, layout)
        return turned(plain @ swapped.D_from_matrix(rotation).T, swapped, layout)

    found = layer(act(values[0], layer.irreps_in), *values[1:])
    torch.testing.assert_close(found, act(layer(*values), layer.irreps_out), rtol=0, atol=1e-12)


def turned_back(x: Tensor, irreps: Irreps, layout: str) -> Tensor:
    if layout == "mul_ir" or not len(irreps):
        return x
    return torch.cat(
        [x[..., s].unflatten(-1, (ir.dim, mul)).mT.flatten(-2) for s, (mul, ir) in zip(irreps.slices(), irreps)], -1
    )


@layouts
@every_case
def test_travels(irreps_in, irreps_out, options, layout, generator) -> None:
    layer = Linear(irreps_in, irreps_out, layout=layout, dtype=D, **options)
    values = arguments(layer, generator)
    expected = layer(*values)
    assert torch.equal(copy.deepcopy(layer)(*values), expected)
    assert torch.equal(pickle.loads(pickle.dumps(layer))(*values), expected)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = Linear(irreps_in, irreps_out, layout=layout, dtype=D, **options)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(*values), expected)
    assert layer(*[x[:0] for x in values]).shape == (0, *expected.shape[1:])
    single = layer.float()(*[x.float() for x in values])
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, rtol=0, atol=1e-5)


@layouts
@pytest.mark.parametrize(("irreps_in", "irreps_out", "options"), [CASES[number] for number in (3, 13, 14)])
def test_compiled_and_exported(irreps_in, irreps_out, options, layout, generator) -> None:
    layer = Linear(irreps_in, irreps_out, layout=layout, dtype=D, **options)
    values = arguments(layer, generator)
    expected = layer(*values)
    with as_users_run_it():
        torch._dynamo.reset()
        found = torch.compile(layer, fullgraph=True, backend="aot_eager")(*values)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
        program = torch.export.export(layer, tuple(values)).module()
    torch.testing.assert_close(program(*values), expected, rtol=0, atol=1e-13)


def test_axes_strides_and_autocast(generator) -> None:
    layer = Linear("4x0e+3x1o+16x1o", "2x1o+3x0e", dtype=D)
    x = torch.randn(6, 4, layer.irreps_in.dim, dtype=D, generator=generator)
    expected = layer(x)
    assert expected.shape == (6, 4, 9)
    torch.testing.assert_close(layer(x[2, 1]), expected[2, 1], rtol=0, atol=1e-14)
    awkward = torch.randn(3, layer.irreps_in.dim + 7, 6, dtype=D, generator=generator).permute(2, 0, 1)[..., 5:-2]
    torch.testing.assert_close(layer(awkward), layer(awkward.contiguous()), rtol=0, atol=1e-14)
    row = x[0, :1].expand(4, -1)
    torch.testing.assert_close(layer(row), layer(row.contiguous()), rtol=0, atol=1e-14)
    cotangent = torch.ones((), dtype=D).expand(4, 9)
    leaf = x[0].clone().requires_grad_()
    (found,) = torch.autograd.grad(layer(leaf), leaf, cotangent)
    torch.testing.assert_close(found, torch.autograd.grad(layer(leaf).sum(), leaf)[0], rtol=0, atol=1e-14)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer.float()(x.float()).dtype == torch.bfloat16


def test_weights_from_outside(generator) -> None:
    own = Linear("4x0e+3x1o", "2x1o+8x0e", biases=True, dtype=D)
    layer = Linear("4x0e+3x1o", "2x1o+8x0e", biases=True, internal_weights=False, dtype=D)
    x = torch.randn(5, 13, dtype=D, generator=generator)
    torch.testing.assert_close(layer(x, own.weight, own.bias), own(x), rtol=0, atol=0)
    torch.testing.assert_close(layer(x, own.weight[None], own.bias), own(x), rtol=0, atol=0)
    each = Linear("4x0e+3x1o", "2x1o+8x0e", biases=True, shared_weights=False, dtype=D)
    weight = own.weight.expand(5, -1)
    torch.testing.assert_close(each(x, weight, own.bias), own(x), rtol=0, atol=1e-14)
    assert not list(layer.parameters())
    with pytest.raises(InputError, match="no weight given"):
        layer(x)
    with pytest.raises(InputError, match="no bias given"):
        layer(x, own.weight)
    with pytest.raises(InputError, match="last axis should be"):
        layer(x, own.weight[:-1], own.bias)


def test_views() -> None:
    layer = Linear("4x0e+3x1o+2x0e", "2x1o+8x0e", instructions=[(0, 1), (1, 0)], biases=True)
    assert [tuple(view.shape) for view in layer.weight_views()] == [(4, 8), (3, 2)]
    with torch.no_grad():
        layer.weight_view_for_instruction(1).fill_(0.0)
        for number, instruction, view in layer.weight_views(yield_instruction=True):
            assert view.shape == instruction.path_shape
            assert number == 0 or not view.any()
    assert not layer(torch.randn(3, 15))[:, :6].any()
    free = Linear("4x0e+3x1o", "2x1o+8x0e", shared_weights=False)
    assert free.weight_view_for_instruction(1, torch.randn(7, free.weight_numel)).shape == (
        7,
        *free.instructions[1].path_shape,
    )


@pytest.mark.parametrize(
    ("arguments_", "options"),
    [
        (("2x0e", "2x0e"), {"instructions": [(0, 1)]}),
        (("2x0e", "2x0e"), {"instructions": [(-1, 0)]}),
        (("2x0e", "2x0o"), {"instructions": [(0, 0)]}),
        (("2x0e", "2x0e"), {"path_normalization": "none"}),
        (("2x0e", "2x0e"), {"layout": "ir"}),
        (("2x0e", "2x0e"), {"f_in": 3}),
        (("2x0e", "2x1o"), {"biases": [True]}),
        (("2x0e", "2x0e"), {"biases": [True, False]}),
        (("2x0e", "2x0e"), {"shared_weights": False, "internal_weights": True}),
    ],
)
def test_errors(arguments_, options) -> None:
    with pytest.raises(InputError):
        Linear(*arguments_, **options)


def test_errors_of_a_call() -> None:
    layer = Linear("2x0e+1o", "2x0e")
    with pytest.raises(InputError, match="expected"):
        layer(torch.ones(3, 4))
    with pytest.raises(InputError, match="float64"):
        layer(torch.ones(3, 5, dtype=D))
    with pytest.raises(InputError, match="expected"):
        Linear("2x0e", "2x0e", f_in=2, f_out=2)(torch.ones(3, 3, 2))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype, generator) -> None:
    """As good as the rounding of inputs, weights and results, however many samples."""
    layer = Linear("16x0e+8x1o+9x1o", "4x0e+3x1o", biases=True, dtype=D)
    rounded = copy.deepcopy(layer).to(dtype)
    layer.load_state_dict(rounded.state_dict())
    x = torch.randn(700, 67, dtype=D, generator=generator).to(dtype)
    given = [x.double().requires_grad_(), x.clone().requires_grad_()]
    bound = 8 * torch.finfo(dtype).eps
    values = [module(leaf) for module, leaf in zip((layer, rounded), given)]
    torch.testing.assert_close(values[1].double(), values[0], rtol=bound, atol=bound)
    gradients = [
        torch.autograd.grad(y.sin().sum(), [leaf, *m.parameters()])
        for y, leaf, m in zip(values, given, (layer, rounded))
    ]
    for mine, other in zip(*gradients):
        torch.testing.assert_close(other.double(), mine, rtol=0, atol=bound * float(mine.abs().max()))


def test_without_values(generator) -> None:
    """Shapes alone: fake and meta tensors, as planners of memory use them."""
    from torch._subclasses import FakeTensorMode

    layer = Linear("4x0e+3x1o", "2x1o+8x0e", biases=True)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert layer(mode.from_tensor(torch.ones(5, 13))).shape == (5, 14)
    assert layer.to("meta")(torch.ones(5, 13, device="meta")).shape == (5, 14)


def test_instructions_may_be_any_iterable() -> None:
    layer = Linear("4x0e+3x1o", "2x0e+2x1o", instructions=((i, i) for i in range(2)))
    assert layer.weight_numel == 14
    with pytest.raises(InputError, match="no instruction 5"):
        layer.weight_view_for_instruction(5)
