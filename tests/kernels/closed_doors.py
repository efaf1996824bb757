"""Every operator called with what it can't take, every backward pass after its tensors changed; a script, since a fault
ends the process.

Each line is a case and what became of it: "refused" by one of our errors, or "served" with the right numbers. The table
says which it is.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import config
from random_plans import case_of, depthwise
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from wrong_tensors import ALLOWED, INDEX_LATER, LATER, SAME, SAME_REAL, WRONG, WRONG_INDEX, WRONG_REAL, WRONG_SAVED

from intertwine import o3
from intertwine.kernels.convolution.plan import channelwise
from intertwine.kernels.harmonics.operators import evaluate
from intertwine.nn import Convolution, SymmetricContraction
from intertwine.nn.irreps.contraction_operator import polynomial_name, program
from intertwine.numerics import GeometryError, InputError
from intertwine.o3 import Irreps
from intertwine.o3.harmonic_kernels import described

ops = torch.ops.intertwine
F32, F64 = torch.float32, torch.float64


# ------------------------------------------------------------------------------------------------------------ operators


@dataclass
class Call:
    """An operator with arguments that it takes: tensors by name, and how to call it with them."""

    name: str
    tensors: dict[str, Tensor]
    run: Callable[..., object]
    below: dict[str, int]  # of what counts something: how much there is


def calls() -> Iterator[Call]:
    """All operators, to the second derivative."""
    plan = depthwise("3x0e+2x1o", "0e+1o", 1)
    text, one = channelwise(plan).encode(), case_of(plan, 0, senders=5, nodes=4, edges=9, dtype=F32)
    x, y, w = (leaf.detach() for leaf in (one.x, one.y, one.w))
    ends, below = {"source": one.source, "destination": one.destination}, {"source": 5, "destination": 4}
    g, a, b, c = torch.randn(4, plan.out.dim), torch.randn_like(x), torch.randn_like(y), torch.randn_like(w)
    yield Call("convolve", {"x": x, "y": y, "w": w} | ends, lambda **t: ops.convolve(text, **t, nodes=4), below)
    first = {"g": g, "x": x, "y": y, "w": w}
    yield Call("convolve_backward", first | ends, lambda **t: ops.convolve_backward(text, "xyw", **t), below)
    second = first | {"a": a, "b": b, "c": c} | ends
    yield Call("convolve_second", second, lambda **t: ops.convolve_second(text, "gxyw", **t), below)
    for n, normalize in ((40, True), (3, False)):
        solid = described((0, 1, 2), "component", normalize)
        p = torch.randn(n, 3)
        q = torch.randn(n, 9)
        v = torch.randn(n, 3)
        yield Call("harmonics", {"x": p}, lambda solid=solid, **t: ops.harmonics(*t.values(), solid), {})
        yield Call(
            "harmonics_gradient",
            {"x": p, "g": q},
            lambda solid=solid, **t: ops.harmonics_gradient(*t.values(), solid),
            {},
        )
        yield Call(
            "harmonics_second",
            {"x": p, "g": q, "v": v},
            lambda solid=solid, **t: ops.harmonics_second(*t.values(), solid),
            {},
        )
    name = polynomial_name(Irreps("0e+1o"), Irreps("0e+1o"), (2, 2), True)
    group, known = torch.randint(3, (6,)), {"species": 3}
    for steps in ("", "0>0,1;", "0>0,1;0,1>0,1,2;"):
        made = program(name, steps)
        given = {
            f"argument {k}": torch.randn(3 if kind.shared else 6, kind.size, 5) for k, kind in enumerate(made.arguments)
        }

        def contract(steps: str = steps, **t: Tensor) -> object:
            *arguments, species = t.values()
            return ops.symmetric_contraction(arguments, species, 3, name, steps)

        yield Call(f"symmetric_contraction {steps}", given | {"species": group}, contract, known)


def plans(one: Call) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """Texts that are no plans; ``one`` is a convolution."""
    sound = channelwise(depthwise("3x0e+2x1o", "0e+1o", 1)).encode()
    texts = {
        "no text": "", "no json": "{", "other json": "[1, 2]", "null": "null", "numbers": "[3, 4, 5, 6, 7]",
        "beside x": sound.replace("[2,3,3,2,1]", "[2,3,900,2,1]", 1),
        "negative start": sound.replace("[2,3,3,2,1]", "[2,3,-9,2,1]", 1),
    }  # fmt: skip
    for what, text in texts.items():
        yield f"convolve: plan {what}", "refused", lambda t=text: ops.convolve(t, **one.tensors, nodes=4)
        yield f"harmonics: solid {what}", "refused", lambda t=text: ops.harmonics(torch.randn(40, 3), t)
        yield (
            f"contraction: polynomial {what}",
            "refused",
            lambda t=text: ops.symmetric_contraction([torch.ones(2, 4, 1)], one.tensors["source"], 3, t, ""),
        )


def operators() -> Iterator[tuple[str, str, Callable[[], object]]]:
    """(case, what is right, how to try it)."""
    for call in calls():
        for name, tensor in call.tensors.items():
            real = tensor.is_floating_point()
            wrong = WRONG | (WRONG_REAL if real else {})
            changes = [(what, change(tensor)) for what, change in wrong.items()]
            changes += (
                [] if real else [(what, change(tensor, call.below[name])) for what, change in WRONG_INDEX.items()]
            )
            for what, changed in changes:
                if (call.name, name, what) in ALLOWED or (what == "transposed" and changed.shape == tensor.shape):
                    continue
                if "species" in name and what == "of integers":
                    changed = changed.double()
                yield (
                    f"{call.name}: {name} {what}",
                    "refused",
                    lambda c=call, n=name, t=changed: c.run(**(c.tensors | {n: t})),
                )
            yield f"{call.name}: {name} fake", "served", lambda c=call, n=name, t=tensor: fake(c, n, t)
            for what, change in (SAME | (SAME_REAL if real else {})).items():
                if not real and what == "negated twice":
                    continue
                changed = change(tensor)
                yield f"{call.name}: {name} {what}", "served", lambda c=call, n=name, t=changed: agree(c, n, t)
    one = next(calls())
    yield from plans(one)
    nothing = torch.zeros(2, dtype=torch.int64)
    yield (
        "contraction: no arguments",
        "refused",
        lambda: ops.symmetric_contraction([], nothing, 3, "0e+1o|0e|2|shared", ""),
    )
    three = [torch.ones(2, 4, 1), torch.ones(1, 3, 1), torch.ones(2, 1, 1)]
    for steps in ("0>-1;", "-1>0;", "0>9;", "0>", "a>b;"):
        yield (
            f"contraction: steps {steps}",
            "refused",
            lambda steps=steps: ops.symmetric_contraction(three, nothing, 1, "0e+1o|0e|2|shared", steps),
        )
    yield "harmonics: too few scales", "refused", lambda: ops.harmonics(torch.randn(40, 3), "[[3], [1.0], true]")
    for nodes in (-1, -(2**62) + 1, 0, 3):
        yield (
            f"convolve: {nodes} nodes",
            "refused",
            lambda n=nodes: ops.convolve(
                *[channelwise(depthwise("3x0e+2x1o", "0e+1o", 1)).encode()], **one.tensors, nodes=n
            ),
        )


def fake(call: Call, name: str, tensor: Tensor) -> None:
    """A tensor without numbers gives results without numbers."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        found = call.run(**(call.tensors | {name: mode.from_tensor(tensor)}))
    assert all(isinstance(one, FakeTensor) for one in (found if isinstance(found, tuple | list) else (found,)))


def agree(call: Call, name: str, changed: Tensor) -> None:
    """The result is that of an ordinary tensor of the same numbers."""
    ordinary = torch.empty(changed.shape, dtype=changed.dtype).copy_(changed)
    found, right = (call.run(**(call.tensors | {name: one})) for one in (changed, ordinary))
    flat = [one if isinstance(one, tuple | list) else (one,) for one in (found, right)]
    assert all(torch.equal(a, b) for a, b in zip(*flat, strict=True))


# --------------------------------------------------------------------------------- changes between forward and backward


def layers() -> dict[str, Callable[[], tuple[dict[str, Tensor], Callable[..., Tensor]]]]:
    """Functions with their leaves, new ones each time."""

    def convolution() -> tuple[dict[str, Tensor], Callable[..., Tensor]]:
        layer = Convolution("8x0e+8x1o", "0e+1o", lmax=1)
        leaves = {
            "x": torch.randn(5, 32),
            "y": torch.randn(7, 4),
            "w": torch.randn(7, layer.weight_numel),
            "edges": torch.randint(5, (2, 7)),
        }
        return leaves, lambda x, y, w, edges: layer(x, y, edges, w)

    def harmonics(n: int, normalize: bool) -> tuple[dict[str, Tensor], Callable[..., Tensor]]:
        text = described((1, 2), "component", normalize)
        return {"x": torch.randn(n, 3)}, lambda x: evaluate(x, text)

    def plain_harmonics() -> tuple[dict[str, Tensor], Callable[..., Tensor]]:
        return {"x": torch.randn(5, 3)}, lambda x: o3.spherical_harmonics([1, 2], x, normalize=False)

    def contraction() -> tuple[dict[str, Tensor], Callable[..., Tensor]]:
        layer = SymmetricContraction("8x0e+8x1o", "8x0e+8x1o", 2, 3)
        return {"x": torch.randn(9, 32), "species": torch.randint(3, (9,))}, lambda x, species: layer(x, species)

    def linear(samples: int, layout: str) -> tuple[dict[str, Tensor], Callable[..., Tensor]]:
        layer = o3.Linear("5x0e+3x1o", "7x0e+2x1o", layout=layout)
        return {"x": torch.randn(samples, 14), "w": torch.randn(layer.weight_numel)}, lambda x, w: layer(x, w)

    return {
        "convolution": convolution, "harmonics": lambda: harmonics(40, True),
        "few harmonics": lambda: harmonics(5, False), "harmonics in plain torch": plain_harmonics,
        "contraction": contraction, "linear": lambda: linear(6, "ir_mul"),
        "linear in plain torch": lambda: linear(6, "mul_ir"),
    }  # fmt: skip


COTANGENTS: dict[str, Callable[[Tensor], Tensor]] = SAME | SAME_REAL


def run_back(
    make: Callable, order: int, change: Callable[[dict[str, Tensor]], object], hooks: object = None
) -> list[Tensor]:
    """The gradients of a pass of this order, with a change before its last step."""
    torch.manual_seed(0)
    leaves, function = make()
    leaves = {key: t.requires_grad_() if t.is_floating_point() else t for key, t in leaves.items()}
    slopes, found = [t for t in leaves.values() if t.requires_grad], []
    for one in slopes:
        one.register_hook(lambda g: found.append(g.clone()))
    with hooks or contextlib.nullcontext():  # those of torch's own operations do not look, and crash
        value = function(**leaves)
    if order == 2:
        first = torch.autograd.grad(value.square().sum(), slopes, create_graph=True)
        value = sum(one.square().sum() for one in first)
        found.clear()
    total = value.sum()
    change(leaves)
    total.backward()
    return found


def unharmed(
    make: Callable, order: int, change: Callable[[dict[str, Tensor]], object], hooks: Callable = lambda: None
) -> None:
    """A change is refused, or what is used is something else that it does not reach."""
    right = run_back(make, order, lambda leaves: None)
    try:
        found = run_back(make, order, change, hooks())
    except RuntimeError as error:
        inside = traceback.extract_tb(error.__traceback__)[-1].filename
        if inside.endswith("torch/autograd/graph.py"):  # torch's engine, which compares a gradient with its leaf
            return
        raise
    assert len(found) == len(right)
    assert all(torch.equal(a, b) for a, b in zip(found, right))


def changes() -> Iterator[tuple[str, str, Callable[[], object]]]:
    """Backward passes, of the first and second order, after a leaf changed."""
    for (layer, make), order in itertools.product(layers().items(), (1, 2)):
        for name, tensor in make()[0].items():
            for what, change in (LATER if tensor.is_floating_point() else INDEX_LATER).items():
                case = f"{layer}, order {order}: {name} {what}"
                yield (
                    case,
                    "either",
                    lambda m=make, o=order, n=name, c=change: unharmed(m, o, lambda leaves: c(leaves[n])),
                )
        for what, unpack in WRONG_SAVED.items():

            def hooks(unpack: Callable = unpack) -> object:
                return torch.autograd.graph.saved_tensors_hooks(
                    lambda t: t, lambda t: unpack(t) if t.is_floating_point() else t
                )

            yield (
                f"{layer}, order {order}: saved tensors {what}",
                "either",
                lambda m=make, o=order, h=hooks: unharmed(m, o, lambda _: None, h),
            )


def cotangents() -> Iterator[tuple[str, str, Callable[[], object]]]:
    """Cotangents of any strides are served, in both orders."""
    for (layer, make), (what, change) in itertools.product(layers().items(), COTANGENTS.items()):

        def attempt(make: Callable = make, change: Callable = change) -> None:
            torch.manual_seed(0)
            leaves, function = make()
            leaves = {key: t.requires_grad_() if t.is_floating_point() else t for key, t in leaves.items()}
            value, slopes = function(**leaves), [t for t in leaves.values() if t.requires_grad]
            g = change(torch.randn(value.shape))
            ordinary = torch.empty(g.shape).copy_(g)
            found, right = (
                torch.autograd.grad(value, slopes, one, retain_graph=True, create_graph=True) for one in (g, ordinary)
            )
            assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(found, right))
            for one, other in zip(found, right):
                if one.requires_grad:
                    v = change(torch.randn(one.shape))
                    pair = [
                        torch.autograd.grad(t, slopes, u, retain_graph=True, materialize_grads=True)
                        for t, u in ((one, v), (other, torch.empty(v.shape).copy_(v)))
                    ]
                    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(*pair))

        yield f"{layer}: cotangents {what}", "served", attempt


GROUPS = {"operators": operators, "changes": changes, "cotangents": cotangents}


def main(group: str) -> None:
    config.update("jaxtyping_disable", True)  # the check of annotations would come before our own errors
    torch.manual_seed(0)
    count, wrong = 0, []
    for name, right, attempt in GROUPS[group]():
        print(name, flush=True)  # the last line names the culprit
        count += 1
        try:
            attempt()
            became = "served"
        except (InputError, GeometryError):
            became = "refused"
        except Exception as error:
            became = f"{type(error).__name__}: {str(error)[:150]}"
        if became != right and not (right == "either" and became in ("served", "refused")):
            wrong.append(f"{name} -> {became}")
    print("\n".join(["", *wrong, f"{group}: {count} cases, {len(wrong)} wrong"]))


if __name__ == "__main__":
    main(sys.argv[1])
