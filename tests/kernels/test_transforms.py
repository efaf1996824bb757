"""The fused convolution under what torch does to functions: tracing, export, batching, functional derivatives, modes,
devices.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from random_plans import D, case_of, convolved, depthwise, deviation, with_weights
from switches import as_users_run_it
from torch import Tensor

from intertwine import nn
from intertwine.kernels import Plan
from intertwine.kernels.convolution.fused import Fused

EPS = torch.finfo(D).eps
PLAN = depthwise("3x0e+2x1o", "0e+1o", 1)
FUSED = Fused(PLAN)


@pytest.fixture(autouse=True)
def _as_users_run_it() -> Iterator[None]:
    with as_users_run_it():
        yield


def leaves(edges: int = 9, dtype: torch.dtype = D) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, int]]:
    one = case_of(PLAN, 0, edges=edges, dtype=dtype)
    return (one.x, one.y, one.w), one.ends


def test_the_operators_keep_torchs_rules() -> None:
    """Schema, shapes of fake tensors, autograd registration, and compilation with dynamic shapes: opcheck raises."""
    (x, y, w), (source, destination, nodes) = leaves()
    g, operators = torch.randn(nodes, PLAN.out.dim, dtype=D, requires_grad=True), torch.ops.intertwine
    a, b, c = (torch.randn_like(one).requires_grad_() for one in (x, y, w))
    ends = source, destination
    for arguments in (
        (x, y, w, *ends, nodes),
        (x[:4], y[:4], w[:4], None, None, 4),
        (x, y.detach(), w.detach(), *ends, nodes),
    ):
        torch.library.opcheck(operators.convolve.default, (FUSED.text, *arguments))
    for needs in ("xyw", "x", "yw"):
        torch.library.opcheck(operators.convolve_backward.default, (FUSED.text, needs, g, x, y, w, *ends))
    for needs, tangents in (("gxyw", (a, b, c)), ("gx", (None, b, None)), ("w", (a, None, None))):
        torch.library.opcheck(operators.convolve_second.default, (FUSED.text, needs, g, x, y, w, *tangents, *ends))
    unweighted = Fused(Plan.of(PLAN.in1, PLAN.in2, PLAN.out, [])).text
    torch.library.opcheck(operators.convolve.default, (unweighted, x, y, None, *ends, nodes))
    torch.library.opcheck(operators.convolve_backward.default, (unweighted, "xy", g, x, y, None, *ends))


def force_loss(x: Tensor, y: Tensor, w: Tensor, *ends) -> Tensor:
    """A loss on the gradient of an energy, as in the training of a force field."""
    energy = FUSED.convolve(x, y, w, *ends).sin().sum()
    return sum(slope.square().sum() for slope in torch.autograd.grad(energy, (x, y, w), create_graph=True))


@pytest.mark.parametrize(("backend", "dynamic"), [("aot_eager", False), ("aot_eager", True), ("inductor", False)])
def test_compiled_with_backward(backend: str, dynamic: bool) -> None:
    if backend == "inductor" and os.system("c++ --version > /dev/null 2>&1"):
        pytest.skip("no C++ compiler")
    compiled = torch.compile(FUSED.convolve, fullgraph=True, backend=backend, dynamic=dynamic)
    for edges in (9, 14) if dynamic else (9,):
        arguments, ends = leaves(edges)
        found, wanted = compiled(*arguments, *ends), FUSED.convolve(*arguments, *ends)
        assert torch.equal(found, wanted)
        slopes = (torch.autograd.grad(z.sin().sum(), arguments) for z in (found, wanted))
        assert all(deviation(a, b, EPS) <= 50 for a, b in zip(*slopes))


def test_a_compiled_training_on_forces() -> None:
    """make_fx records the gradient in the loss; the program is then run on other numbers."""
    from torch.fx.experimental.proxy_tensor import make_fx

    arguments, ends = leaves()

    def step(x: Tensor, y: Tensor, w: Tensor) -> tuple[Tensor, ...]:
        x, y, w = (one.detach().requires_grad_() for one in (x, y, w))
        return torch.autograd.grad(force_loss(x, y, w, *ends), (x, y, w))

    program = make_fx(step)(*arguments)
    other = tuple((one * 0.7).detach() for one in arguments)
    assert any("convolve_second" in str(node.target) for node in program.graph.nodes)
    assert all(deviation(a, b, EPS) <= 50 for a, b in zip(program(*other), step(*other)))


class Module(torch.nn.Module):
    def forward(self, x: Tensor, y: Tensor, w: Tensor, source: Tensor, destination: Tensor) -> Tensor:
        return FUSED.convolve(x, y, w, source, destination, x.shape[0])


def test_an_exported_program_runs_in_a_process_that_only_imports_the_operators(tmp_path: Path) -> None:
    (x, y, w), (source, destination, _) = leaves()
    x, y, w = (one.detach() for one in (x, y, w))
    edges, nodes = torch.export.Dim("edges", min=2), torch.export.Dim("nodes", min=2)
    dynamic = {"x": {0: nodes}, "y": {0: edges}, "w": {0: edges}, "source": {0: edges}, "destination": {0: edges}}
    program = torch.export.export(Module(), (x, y, w, source, destination), dynamic_shapes=dynamic)
    torch.export.save(program, tmp_path / "program.pt2")
    many, ends = leaves(23)
    arguments = (*(one.detach() for one in many), *ends[:2])
    torch.save([*arguments, Module()(*arguments)], tmp_path / "numbers.pt")
    script = """
import sys, torch
import intertwine.kernels.convolution.fused
*arguments, wanted = torch.load(sys.argv[2])
assert torch.equal(torch.export.load(sys.argv[1]).module()(*arguments), wanted)
print("equal")
"""
    files = (str(tmp_path / "program.pt2"), str(tmp_path / "numbers.pt"))
    done = subprocess.run([sys.executable, "-c", script, *files], capture_output=True, text=True, timeout=900)
    assert done.stdout == "equal\n", done.stderr


@pytest.mark.parametrize("batched", range(1, 32))
def test_vmap_over_every_combination_of_arguments(batched: int) -> None:
    (x, y, w), (source, destination, nodes) = leaves()
    g = torch.Generator().manual_seed(1)

    def varied(tensor: Tensor) -> Tensor:
        if tensor.dtype == torch.int64:
            return torch.stack([tensor[torch.randperm(len(tensor), generator=g)] for _ in range(3)])
        return torch.stack([tensor.detach() * factor for factor in (1.0, -0.3, 0.8)])

    chosen = [bool(batched >> n & 1) for n in range(5)]
    given = [varied(one) if some else one.detach() for one, some in zip((x, y, w, source, destination), chosen)]
    dims = tuple(0 if some else None for some in chosen)
    singles = [[one[n] if some else one for one, some in zip(given, chosen)] for n in range(3)]
    found = torch.func.vmap(lambda *one: FUSED.convolve(*one, nodes), in_dims=dims)(*given)
    assert torch.equal(found, torch.stack([FUSED.convolve(*one, nodes) for one in singles]))

    def slopes(function: Callable) -> Callable:
        return torch.func.grad(lambda x, y, w, *ends: function(x, y, w, *ends, nodes).sin().sum(), argnums=(0, 1, 2))

    found = torch.func.vmap(slopes(FUSED.convolve), in_dims=dims)(*given)
    wanted = [slopes(lambda *some: convolved(PLAN, *some))(*one) for one in singles]
    assert all(deviation(some, torch.stack(others), EPS) <= 100 for some, others in zip(found, zip(*wanted)))


def test_vmap_along_another_axis_nested_and_without_edges() -> None:
    (x, y, w), ends = leaves()
    x, y, w = (one.detach() for one in (x, y, w))
    many = torch.stack([x, -x, 2 * x])
    wanted = torch.stack([FUSED.convolve(one, y, w, *ends) for one in many])
    assert torch.equal(
        torch.func.vmap(lambda x: FUSED.convolve(x, y, w, *ends), in_dims=1)(many.transpose(0, 1)), wanted
    )
    both = torch.func.vmap(lambda y: torch.func.vmap(lambda x: FUSED.convolve(x, y, w, *ends))(many))(
        torch.stack([y, 3 * y])
    )
    assert torch.equal(both[0], wanted)
    none = torch.zeros(0, dtype=torch.int64)
    slope = torch.func.grad(lambda x, y, w: FUSED.convolve(x, y, w, none, none, 4).sum(), argnums=(0, 1, 2))
    found = torch.func.vmap(slope, in_dims=(0, None, None))(many, y[:0], w[:0])
    assert [tuple(one.shape) for one in found] == [(3, *x.shape), (3, 0, y.shape[1]), (3, 0, w.shape[1])]
    assert not found[0].any()


def test_an_index_beyond_its_own_graph_is_not_taken_from_the_next_of_a_batch() -> None:
    from intertwine.numerics import InputError

    (x, y, w), (source, destination, nodes) = leaves()
    for wrong in (len(x), -1):
        bad = torch.stack([source, source])
        bad[int(wrong < 0), 0] = wrong
        with pytest.raises(InputError, match="does not exist"):
            torch.func.vmap(lambda s: FUSED.convolve(x, y, w, s, destination, nodes))(bad)


def test_functional_derivatives() -> None:
    (x, y, w), ends = leaves()
    x, y, w = (one.detach() for one in (x, y, w))
    ways = (FUSED.convolve, lambda *given: convolved(PLAN, *given))
    functions = [lambda x, f=f: f(x, y, w, *ends).sin().sum() for f in ways]
    hessians = [torch.func.jacrev(torch.func.jacrev(function))(x) for function in functions]
    assert deviation(*hessians, EPS) <= 200
    of_both = [lambda y, x, f=f: f(x, y, w, *ends).sin().sum() for f in ways]
    mixed = [torch.func.jacrev(torch.func.grad(function), argnums=1)(y, x) for function in of_both]
    assert deviation(*mixed, EPS) <= 200
    forward = [torch.func.hessian(function)(x) for function in functions]  # forward mode over the reverse
    assert deviation(forward[0], hessians[1], EPS) <= 200
    losses = [torch.func.vmap(torch.func.grad(function))(torch.stack([x, 2 * x])) for function in functions]
    assert deviation(*losses, EPS) <= 200


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_trace_is_for_graphs_of_any_size() -> None:
    """Layers traced on one graph compute others: more or fewer nodes and edges."""
    convolution = nn.Convolution("4x0e+4x1o", "0e+1o")
    layers = {
        "own": (
            convolution,
            lambda n, e: (torch.randn(n, 16), torch.randn(e, 4), index(n, e), torch.randn(e, convolution.weight_numel)),
        ),
        "shared": (
            nn.FullyConnectedConvolution("4x0e+4x1o", "0e+1o", "2x1o"),
            lambda n, e: (torch.randn(n, 16), torch.randn(e, 4), index(n, e)),
        ),
        "so2": (
            nn.SO2Convolution("4x0e+4x1o", "4x0e+4x1o", mode="uvw"),
            lambda n, e: (torch.randn(n, 16), torch.randn(e, 3), index(n, e)),
        ),
    }

    def index(n: int, e: int) -> Tensor:
        return torch.randint(n, (2, e))

    for name, (layer, given) in layers.items():
        traced = torch.jit.trace(layer, given(7, 12))
        for sizes in ((7, 12), (4, 12), (9, 30), (5, 3)):
            arguments = given(*sizes)
            torch.testing.assert_close(
                traced(*arguments), layer(*arguments), msg=lambda text, name=name: f"{name}: {text}"
            )


@pytest.mark.parametrize("weights", ["all", "none", "some"])
def test_forward_mode(weights: str) -> None:
    """Jacobians by columns equal those by rows, of z and of a gradient."""
    plan = with_weights(PLAN, weights)
    one = case_of(plan, 0)
    arguments = tuple(t.detach() for t in (one.x, one.y, one.w) if t is not None)
    places = tuple(range(len(arguments)))

    def z(x: Tensor, y: Tensor, w: Tensor | None = None) -> Tensor:
        return Fused(plan).convolve(x, y, w, *one.ends)

    def slope(*given: Tensor) -> Tensor:
        return torch.func.grad(lambda *given: z(*given).sin().sum(), argnums=1)(*given)

    for function in (z, slope):
        columns, rows = (
            jacobian(function, argnums=places)(*arguments) for jacobian in (torch.func.jacfwd, torch.func.jacrev)
        )
        assert all(deviation(a, b, EPS) <= 200 for a, b in zip(columns, rows, strict=True))
