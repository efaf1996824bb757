"""The kernels of second order against sums of those of first order, and every subset of arguments and cotangents."""

from __future__ import annotations

from itertools import chain, combinations

import pytest
import torch
from random_plans import Case, D, case_of, convolved, depthwise, deviation, random_plan
from torch import Tensor

from intertwine.kernels import Plan
from intertwine.kernels.channelwise import channelwise
from intertwine.kernels.forms import VALUE, gradient, second
from intertwine.kernels.fused import Fused
from intertwine.kernels.native import gather, scatter

EPS = torch.finfo(D).eps
PLANS = [
    depthwise("5x0e+4x1o", "0e+1o", 1),
    depthwise("33x0e+2x1o", "0e+1o", 1, "mul_ir"),
    random_plan(16),
    random_plan(3),
]


def arguments(plan: Plan) -> tuple[Case, dict[str, Tensor]]:
    """x, y, w, their tangents a, b, c, and g."""
    one, other = case_of(plan, 0), case_of(plan, 1)
    given = {"x": one.x, "y": one.y, "w": one.w, "a": other.x, "b": other.y, "c": other.w}
    given["g"] = torch.randn(one.nodes, plan.out.dim, generator=torch.Generator().manual_seed(2), dtype=D)
    return one, {name: tensor.detach() for name, tensor in given.items() if tensor is not None}


def nonempty(letters: str) -> list[str]:
    return ["".join(some) for some in chain.from_iterable(combinations(letters, n) for n in range(1, len(letters) + 1))]


@pytest.mark.parametrize("plan", PLANS)
def test_second_order_is_a_sum_of_first_orders_with_one_argument_replaced(plan: Plan) -> None:
    one, given = arguments(plan)
    form, ends = channelwise(plan), one.ends[:2]
    tangents = [(old, new) for old, new in zip("xyw", "abc") if new in given]
    replaced = [given | {old: given[new]} for old, new in tangents]
    forms = second([new for _, new in tangents], "gxy" + "w" * ("w" in given))
    z = gather("cpu", form, forms, given, ends, one.nodes)
    wanted = sum(gather("cpu", form, VALUE, some, ends, one.nodes) for some in replaced)
    assert deviation(z, wanted, EPS) <= 50
    found = scatter("cpu", form, forms, given, ends, len(one.x))
    assert set(found) == {"dx", "dy", "dw"} - ({"dw"} if "w" not in given else set())
    for name, value in found.items():
        own = name[1]
        sums = [
            scatter("cpu", form, gradient(own), some, ends, len(one.x))[name]
            for some, (old, _) in zip(replaced, tangents)
            if old != own
        ]
        assert deviation(value, sum(sums), EPS) <= 50


@pytest.mark.parametrize("tangents", nonempty("abc"))
def test_every_subset_of_tangents_and_results(tangents: str) -> None:
    """What is asked for does not depend on what else is, and a tangent left out is a tangent that is zero."""
    plan = PLANS[0]
    one, given = arguments(plan)
    form, ends = channelwise(plan), one.ends[:2]
    zeroed = {name: tensor * (name not in set("abc") - set(tangents)) for name, tensor in given.items()}
    forms = second("abc", "gxyw")
    whole = {"g": gather("cpu", form, forms, zeroed, ends, one.nodes)} | scatter(
        "cpu", form, forms, zeroed, ends, len(one.x)
    )
    some = {name: tensor for name, tensor in given.items() if name not in set("abc") - set(tangents)}
    for needs in nonempty("gxyw"):
        forms = second(tangents, needs)
        found = scatter("cpu", form, forms, some, ends, len(one.x))
        if forms.z:
            found["g"] = gather("cpu", form, forms, some, ends, one.nodes)
        assert {name[-1] for name in found} <= set(needs)
        for name in needs:
            value, wanted = found.get("g" if name == "g" else f"d{name}"), whole["g" if name == "g" else f"d{name}"]
            if value is None:
                assert not wanted.any()
            else:
                assert deviation(value, wanted, EPS) <= 20


@pytest.mark.parametrize("wanted", nonempty("xyw"))
def test_only_some_arguments_need_gradients(wanted: str) -> None:
    """Gradients, and derivatives of a loss on some of the gradients, to every subset of x, y, w, also with g as one of
    them.
    """
    plan = depthwise("3x0e+2x1o", "0e+1o", 1)

    def run(function, watched: str) -> list[Tensor]:
        one, given = arguments(plan)
        leaves = {name: given[name].clone().requires_grad_(name in wanted) for name in "xyw"}
        z = function(leaves["x"], leaves["y"], leaves["w"], *one.ends)
        g = given["g"].clone().requires_grad_("g" in watched)
        asked = [leaves[name] for name in wanted]
        first = torch.autograd.grad(z, asked, g, create_graph=True)
        results = list(first)
        for losses in combinations(first, max(1, len(first) - 1)):
            inputs = asked + [g] * ("g" in watched)
            # the gradient to x has no x in it
            total = sum(loss.square().sum() for loss in losses) + 0 * sum(one.sum() for one in inputs)
            results += torch.autograd.grad(total, inputs, retain_graph=True, materialize_grads=True)
        return results

    for watched in ("", "g"):
        found = run(Fused(plan).convolve, watched)
        expected = run(lambda *given: convolved(plan, *given), watched)
        assert len(found) == len(expected)
        assert all(deviation(a, b, EPS) <= 100 for a, b in zip(found, expected))


def test_backward_without_a_graph_and_gradients_that_add_up() -> None:
    plan = depthwise("3x0e+2x1o", "0e+1o", 1)
    fused, (one, given) = Fused(plan), arguments(plan)
    fused.convolve(one.x, one.y, one.w, *one.ends).backward(given["g"])
    once = [t.grad.clone() for t in (one.x, one.y, one.w)]
    assert not any(grad.requires_grad for grad in once)
    fused.convolve(one.x, one.y, one.w, *one.ends).backward(given["g"])
    assert all(torch.equal(t.grad, 2 * grad) for t, grad in zip((one.x, one.y, one.w), once))


def test_a_loss_that_reads_one_number_of_z_has_a_cotangent_that_is_not_contiguous() -> None:
    plan = depthwise("3x0e+2x1o", "0e+1o", 1)
    one, _ = arguments(plan)
    for loss in (
        lambda z: z[1, 3],
        lambda z: z.sum(),
        lambda z: z.t().sin()[::2].sum(),
        lambda z: z.expand(2, *z.shape).sum(),
    ):
        slopes = [
            torch.autograd.grad(loss(function(one.x, one.y, one.w, *one.ends)), (one.x, one.y, one.w))
            for function in (Fused(plan).convolve, lambda *given: convolved(plan, *given))
        ]
        assert all(deviation(a, b, EPS) <= 100 for a, b in zip(*slopes))
