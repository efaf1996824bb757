r"""The polynomials of :class:`~intertwine.nn.irreps.symmetric_contraction.SymmetricContraction` and of
:class:`~intertwine.nn.irreps.channel_product.ChannelProduct` as an operator of torch.

The operator evaluates a straight-line program, and its derivative is the same operator with the program's gradient:
compilers and exporters see one opaque call, and derivatives of every order exist. A program is named by the strings
that it follows from, so that an exported graph means the same in another process.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.library import Library

from intertwine.kernels.polynomial.kernel import evaluate, fake, plainly
from intertwine.kernels.polynomial.plan import NO_FACTOR, REMEDY, Argument, Program, Result, Writer, gradient
from intertwine.kernels.shared import doors
from intertwine.kernels.shared.recording import register_derivative
from intertwine.numerics import InputError, needed_now, safe
from intertwine.o3 import Irreps
from intertwine.o3.clebsch_gordan import coupling as wigner_numbers
from intertwine.o3.symmetric_coupling import SymmetricCouplings, symmetric_couplings


def couplings(irreps_in: Irreps, irreps_out: Irreps, correlations: Sequence[int]) -> list[list[SymmetricCouplings]]:
    """Those of each irrep of the output, in every degree from 1 to its correlation.

    Args:
        irreps_in: representation of the features; multiplicities do not matter.
        irreps_out: that of the result.
        correlations: largest degree for each block of the output.
    """
    singles = Irreps([(1, ir) for _, ir in irreps_in])
    return [
        [symmetric_couplings(singles, ir, degree) for degree in range(1, most + 1)]
        for (_, ir), most in zip(irreps_out, correlations, strict=True)
    ]


def polynomial_name(irreps_in: Irreps, irreps_out: Irreps, correlations: tuple[int, ...], shared: bool) -> str:
    """The argument ``polynomial`` of the operator; weights are those of a species (``shared``), or of a node."""
    singles = ["+".join(str(ir) for _, ir in irreps) for irreps in (irreps_in, irreps_out)]
    return "|".join([*singles, ",".join(map(str, correlations)), "shared" if shared else "own"])


def product_name(irreps_1: Irreps, irreps_2: Irreps, irreps_out: Irreps) -> str:
    """The argument ``polynomial`` of the operator for the products of :func:`product_paths`, with shared weights."""
    return "|".join(
        ["product", *("+".join(str(ir) for _, ir in irreps) for irreps in (irreps_1, irreps_2, irreps_out))]
    )


def product_paths(irreps_1: Irreps, irreps_2: Irreps, irreps_out: Irreps) -> list[tuple[int, int, int]]:
    """Every way from a block of x and a block of y to one of the result, in the order of the blocks of the result."""
    return [
        (first, second, to)
        for to, (_, ir) in enumerate(irreps_out)
        for first, (_, ir_1) in enumerate(irreps_1)
        for second, (_, ir_2) in enumerate(irreps_2)
        if ir in ir_1 * ir_2
    ]


@lru_cache(maxsize=1024)
def program(polynomial: str, steps: str) -> Program:
    r"""The program :math:`B_{LM}(x, w) = \sum_\nu \sum_\eta w_\eta\, p_{\eta M}(x)`, or a gradient of it.

    Args:
        polynomial: from :func:`polynomial_name`.
        steps: one "given>wanted;" for each differentiation, the numbers in the sense of
            :func:`intertwine.kernels.polynomial.plan.gradient`.

    Raises:
        InputError: they name no program.
    """
    try:
        return _program(polynomial, steps)
    except (ValueError, IndexError) as error:
        described = f"{polynomial[:60]!r}, {steps[:60]!r}"
        raise InputError(
            f"no program of a contraction: {described}", where="polynomial", remedy="give polynomial_name(...)."
        ) from error


def _program(polynomial: str, steps: str) -> Program:
    if steps:
        before, last = steps[:-1].rpartition(";")[::2]
        outputs_known, wanted = ([int(k) for k in numbers.split(",") if k] for numbers in last.split(">"))
        if min([*outputs_known, *wanted], default=0) < 0:
            raise ValueError(last)
        return gradient(program(polynomial, f"{before};" if before else ""), outputs_known, wanted)
    if polynomial.startswith("product|"):
        return _product(*(Irreps(irreps) for irreps in polynomial.split("|")[1:]))
    irreps_in, irreps_out, degrees, kind = polynomial.split("|")
    coefficients = couplings(
        Irreps(irreps_in), Irreps(irreps_out), tuple(int(degree) for degree in degrees.split(",") if degree)
    )
    weight = inputs = Irreps(irreps_in).dim
    weights = sum(len(coupling.coefficients) for degrees_of in coefficients for coupling in degrees_of)
    writer, known, components = Writer([Argument(inputs), Argument(weights, kind == "shared")]), {}, []

    def monomial(factors: tuple[int, ...]) -> int:
        """The register of a product of components: the product without the last one, times that one."""
        if len(factors) == 1:
            return factors[0]
        if factors not in known:
            known[factors] = writer.row([(1.0, monomial(factors[:-1]), factors[-1])])
        return known[factors]

    for (_, ir), degrees_of in zip(Irreps(irreps_out), coefficients):
        sums: list[list[tuple[float, int, int]]] = [[] for _ in range(ir.dim)]
        for coupling in degrees_of:
            for path in coupling.coefficients:
                for m, row in enumerate(path):
                    terms = [(float(c), *factors) for c, factors in zip(row, coupling.monomials.tolist()) if c]
                    value = writer.row(
                        (c, monomial(tuple(most)), last) if most else (c, last, NO_FACTOR) for c, *most, last in terms
                    )
                    sums[m].append((1.0, value, weight))
                weight += 1
        components += [writer.row(terms) for terms in sums]
    return writer.program([Result(tuple(components))])


def _product(irreps_1: Irreps, irreps_2: Irreps, irreps_out: Irreps) -> Program:
    """Of (x, y) side by side and the weights of a group: every path in component normalisation, times its weight."""
    paths, inputs = product_paths(irreps_1, irreps_2, irreps_out), irreps_1.dim + irreps_2.dim
    writer = Writer([Argument(inputs), Argument(len(paths), shared=True)])
    sums: list[list[tuple[float, int, int]]] = [[] for _ in range(irreps_out.dim)]
    starts = [[block.start for block in irreps.slices()] for irreps in (irreps_1, irreps_2, irreps_out)]
    for weight, path in enumerate(paths):
        l_1, l_2, l_3 = (irreps[block].ir.l for irreps, block in zip((irreps_1, irreps_2, irreps_out), path))
        # numbers, no tensors: a program may be asked for within a trace
        table = (2 * l_3 + 1) ** 0.5 * wigner_numbers(l_1, l_2, l_3)
        x, y, to = (start[block] for start, block in zip(starts, path))
        for m in range(2 * l_3 + 1):
            terms = [
                (float(table[i, j, m]), x + i, irreps_1.dim + y + j) for i, j in np.argwhere(table[..., m]).tolist()
            ]
            sums[to + m].append((1.0, writer.row(terms), inputs + weight))
    return writer.program([Result(tuple(writer.row(terms) for terms in sums))])


def _evaluate(arguments: Sequence[Tensor], group: Tensor, groups: int, polynomial: str, steps: str) -> list[Tensor]:
    return evaluate(program(polynomial, steps), arguments, group, groups, "species")


def _step(outputs_known: Sequence[int], wanted: Sequence[int]) -> str:
    return f"{','.join(map(str, outputs_known))}>{','.join(map(str, wanted))};"


def _gradients(ctx: Any, cotangents: Sequence[Tensor | None], needed: Sequence[bool]) -> list[Tensor | None]:
    """Those of the arguments that need one: the operator again, with one more step."""
    *arguments, group = ctx.saved_tensors
    outputs_known = [k for k, cotangent in enumerate(cotangents) if cotangent is not None]
    wanted = [k for k, cotangent in enumerate(needed) if cotangent]
    gradients: list[Tensor | None] = [None] * len(arguments)
    if outputs_known and wanted:
        everything = [*arguments, *(cotangents[k] for k in outputs_known)]
        steps = ctx.steps + _step(outputs_known, wanted)
        derivatives = contract(everything, group, ctx.groups, ctx.polynomial, steps)  # type: ignore[arg-type]
        for k, gradient in zip(wanted, derivatives):
            gradients[k] = gradient
    return gradients


def _batched(
    size: int, dims: Sequence[int | None], dim: int | None, arguments: Sequence[Tensor], group: Tensor, *rest: Any
) -> list[Tensor]:
    """The samples of a batch are nodes, with groups of their own."""
    groups, polynomial, steps = rest

    def first(x: Tensor, where: int | None) -> Tensor:
        return x.movedim(where, 0) if where is not None else x.expand(size, *x.shape)

    if safe.inspectable(group):
        doors.indices(group, "species", groups, "species {} of a node", REMEDY)
    # must not become one of another sample
    group = torch.where((group >= 0) & (group < groups), group, -groups * size - 1)
    own = first(group, dim) + groups * torch.arange(size, device=group.device).unsqueeze(1)
    flat = [first(x, where).flatten(0, 1) for x, where in zip(arguments, dims)]
    results = contract(flat, own.flatten(), groups * size, polynomial, steps)
    return [values.reshape(size, values.shape[0] // max(size, 1), *values.shape[1:]) for values in results]


def _keep(ctx: Any, group: Tensor, rest: tuple[int, str, str], arguments: Sequence[Tensor]) -> None:
    ctx.groups, ctx.polynomial, ctx.steps = rest
    ctx.save_for_backward(*arguments, group)
    ctx.set_materialize_grads(False)


class _Eager(torch.autograd.Function):
    """The operator where no tracer records it: a fraction of the overhead of ``torch.library``."""

    @staticmethod
    def forward(
        ctx: Any, group: Tensor, groups: int, polynomial: str, steps: str, *arguments: Tensor
    ) -> tuple[Tensor, ...]:
        _keep(ctx, group, (groups, polynomial, steps), arguments)
        return tuple(_evaluate(arguments, group, groups, polynomial, steps))

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple:
        return None, None, None, None, *_gradients(ctx, cotangents, needed_now(ctx)[4:])


class _Transformed(torch.autograd.Function):
    """The same under the transformations of ``torch.func``, which want ``setup_context``; that costs as much as a small
    program.
    """

    backward = _Eager.backward

    @staticmethod
    def forward(group: Tensor, groups: int, polynomial: str, steps: str, *arguments: Tensor) -> tuple[Tensor, ...]:
        run = recorded if safe.traced(arguments[0]) else _evaluate
        return tuple(run(list(arguments), group, groups, polynomial, steps))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple[Tensor, ...]) -> None:
        _keep(ctx, inputs[0], inputs[1:4], inputs[4:])

    @staticmethod
    def vmap(info: Any, in_dims: tuple, group: Tensor, *rest: Any) -> tuple:
        results = _batched(info.batch_size, in_dims[4:], in_dims[0], rest[3:], group, *rest[:3])
        return tuple(results), (0,) * len(results)


_library = Library("intertwine", "FRAGMENT")
_library.define(
    "symmetric_contraction(Tensor[] arguments, Tensor group, int groups, str polynomial, str steps) -> Tensor[]",
    tags=torch.Tag.pt2_compliant_tag,
)
_library.impl("symmetric_contraction", _evaluate, "CompositeExplicitAutograd")
recorded = torch.ops.intertwine.symmetric_contraction  # :func:`contract` as what compilers and exporters record


@torch.library.register_fake("intertwine::symmetric_contraction", lib=_library)
def _(arguments: list[Tensor], group: Tensor, groups: int, polynomial: str, steps: str) -> list[Tensor]:
    return fake(program(polynomial, steps), arguments, group, groups)


def _remember(ctx: Any, inputs: tuple, output: tuple[Tensor, ...]) -> None:
    *arguments, group, groups, polynomial, steps = inputs
    _keep(ctx, group, (groups, polynomial, steps), arguments)


def _differentiate(ctx: Any, *cotangents: Tensor | None) -> tuple:
    return *_gradients(ctx, cotangents, ctx.needs_input_grad[:-4]), None, None, None, None


register_derivative(_library, "symmetric_contraction", _differentiate, _remember, listed=True)


@torch.library.register_vmap("intertwine::symmetric_contraction", lib=_library)
def _(info: Any, in_dims: tuple, arguments: list[Tensor], group: Tensor, *rest: Any) -> tuple:
    results = _batched(info.batch_size, in_dims[0], in_dims[1], arguments, group, *rest)
    return results, [0] * len(results)


def contract(
    arguments: Sequence[Float[Tensor, "..."]], group: Int[Tensor, " nodes"], groups: int, polynomial: str, steps: str
) -> list[Float[Tensor, "..."]]:
    """Run a program, differentiably.

    Args:
        arguments: of the program, channels innermost, one precision and device.
        group: the group of each node, in [0, groups).
        groups: how many there are.
        polynomial, steps: name the program (:func:`program`).

    Returns:
        Its results.

    Raises:
        InputError: a group is out of range.
    """
    if safe.traced(arguments[0]):
        return recorded(list(arguments), group, groups, polynomial, steps)
    if safe.forward_mode():
        return plainly(program(polynomial, steps), arguments, group, groups)
    if torch._C._are_functorch_transforms_active():
        return list(_Transformed.apply(group, groups, polynomial, steps, *arguments))
    if torch.is_grad_enabled() and any(x.requires_grad for x in arguments):
        return list(_Eager.apply(group, groups, polynomial, steps, *arguments))
    return _evaluate(arguments, group, groups, polynomial, steps)


def polynomial(
    x: Float[Tensor, "nodes components channels"],
    weights: Float[Tensor, "rows paths channels"],
    group: Int[Tensor, " nodes"],
    name: str,
) -> Float[Tensor, "nodes outputs channels"]:
    r""":math:`B_{n,LM,k} = \sum_\nu \sum_\eta w_{s_n, \eta, k}\, p_{\eta M}(x_{n \cdot k})`.

    Args:
        x: features, channels innermost.
        weights: of each species, or of each node, as ``name`` says.
        group: s, the species of each node.
        name: of the polynomial, from :func:`polynomial_name`.

    Raises:
        InputError: a species is out of range.
    """
    # a trace is a file for others, who have none of our operators; no result is summed over groups
    if torch.jit.is_tracing():
        (result,) = plainly(program(name, ""), [x, weights], group, 1)
        return result
    (result,) = contract([x, weights], group, weights.shape[0] if name.endswith("shared") else 1, name, "")
    return result
