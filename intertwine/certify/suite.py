"""All tests in order, on any function of graphs."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from intertwine.certify import batching, forces, images, singular, smoothness
from intertwine.certify import symmetry as symmetries
from intertwine.certify.any_group import of_group
from intertwine.certify.certificate import FAILED, HOLDS, NOT_CLAIMED, PARTLY, PASSED, SKIPPED, ZERO, Certificate, Line
from intertwine.certify.claims import POINT, claims
from intertwine.certify.lines import Options, Progress, lines_of, reason_of, short
from intertwine.certify.measured import Findings
from intertwine.certify.pixels import KINDS, STATED
from intertwine.certify.spread import DRAWS
from intertwine.certify.structures import Structure, prepare
from intertwine.certify.subject import (
    Subject,
    claimed_error_of,
    declare,
    name_of,
    of_edges,
    tried_on,
    unclaimed,
    undefined_of,
)
from intertwine.certify.trial import Trial
from intertwine.geometry import Graph, connect
from intertwine.groups import Action, Group, Representation
from intertwine.numerics import InputError, IntertwineError
from intertwine.numerics.devices import computing_device


class Check(NamedTuple):
    """A test: its name, the symmetry it is about (or ""), the function, whether it needs the digits of float64.

    ``outputs`` are those that a test which needs float64 is about; "" stands for a cutoff. ``follows`` is a symmetry
    without which the test is not expected to pass; one with it may fail for another reason.
    """

    name: str
    symmetry: str
    run: Callable[[Trial], Findings]
    double: bool = False
    outputs: tuple[str, ...] = ()
    follows: str = ""


CHECKS: tuple[Check, ...] = (
    Check("random rotations", "rotation", symmetries.random_rotations),
    Check("special rotations", "rotation", symmetries.special_rotations),
    Check("tiny rotations", "rotation", symmetries.tiny_rotations),
    Check("elements of the point group", POINT, symmetries.point_elements),
    Check("reflections", "reflection", symmetries.reflections),
    Check("translations", "translation", symmetries.translations),
    Check("permutations", "permutation", symmetries.permutations),
    Check("batch against single", "", batching.batch_against_single),
    Check("gradient across graphs", "", batching.gradient_across_graphs),
    Check("unsorted batch", "", batching.node_order, follows="permutation"),
    Check("unsorted edges", "", batching.edge_order),
    Check("non-contiguous input", "", batching.memory_layout),
    Check("determinism", "", batching.determinism),
    Check("value at the cutoff", "", smoothness.value_at_cutoff, double=True, outputs=("",)),
    Check("slope at the cutoff", "", smoothness.slope_at_cutoff, double=True, outputs=("",)),
    Check(
        "forces against differences", "", forces.forces_against_differences, double=True, outputs=("energy", "forces")
    ),
    Check("symmetry of the force Jacobian", "", forces.force_jacobian, double=True, outputs=("forces",)),
    Check("sum of forces", "", forces.force_sum, follows="translation"),
    Check("torque", "", forces.torque, follows="rotation"),
    Check("stress against strain", "", forces.stress_against_strain, double=True, outputs=("energy", "stress")),
    Check("lattice image", "", images.lattice_image),
    Check("supercell", "", images.supercell),
    Check("coincident atoms", "", singular.coincident_atoms),
    Check("isolated atom", "", singular.isolated_atom),
    Check("single atom", "", singular.single_atom),
    Check("empty graph", "", singular.empty_graph),
    Check("determinism, at the end", "", batching.no_memory),
)


#: Tests in which an input is listed in another order, or with others: a function that draws does so anew.
OF_ONE_DRAW = {"batch against single", "unsorted batch", "unsorted edges", "supercell"}


def certify(
    function: Callable[[Any], Any],
    inputs: Sequence[Graph] | Sequence[Tensor] | Graph | Tensor,
    *,
    symmetry: str = "E(3)",
    group: Group | None = None,
    act_in: Action | Representation | None = None,
    rep_out: Action | Representation | Mapping[str, Any] | None = None,
    approximation: float | None = None,
    draws: int = DRAWS,
    dtypes: Sequence[torch.dtype] = (torch.float32, torch.float64),
    cutoff: float | None = None,
    irreps_out: str | Representation | Mapping[str, Any] | None = None,
    bounds: Mapping[torch.dtype, float] | None = None,
    seed: int = 0,
    rotations: int = 4,
    quick: bool = False,
    progress: Progress | None = None,
    device: str | torch.device | None = None,
) -> Certificate:
    r"""Is the function equivariant, smooth, conservative, and sound at singular inputs? For any function of graphs; and
    is it equivariant to any group, for any function of tensors, sets, images, voxels, spherical signals or graphs?

    Errors are :math:`\max |f(g x) - \rho(g) f(x)| / \mathrm{rms}(f)`, with g applied in float64. Of images whose pixels
    leave the grid the error that interpolation alone makes is stated beside: a symmetry holds "within approximation" up
    to three times what it does to the input, and what it does to an output that is an image. A function that draws
    random numbers (from torch's generator, or by a method ``redraw(seed)`` of a module) is compared draw for draw;
    where that fails, in the mean of many draws against its standard error: it holds "in distribution" within seven of
    these.

    Args:
        function: takes a Graph (or a batch) and returns a tensor, or a dict of tensors by name. It says what they are
            by an attribute ``outputs`` (a task) or ``irreps_out`` (a model). If it has an attribute ``cutoff`` it is
            given graphs without edges; ``local = False`` says that it sees beyond. A module is copied: the original
            keeps its precision and mode. With a group: takes one of ``inputs``.
        inputs: structures to try it on, of one dimension; positions in the unit that the function reads (A). With a
            group: tensors or graphs, one or several, each moved as a whole.
        symmetry: what is claimed: "E(n)", "SE(n)", "O(n)", "SO(n)", "T(n)", "S(n)" with a number for n, or n itself;
            "T(3) x octahedral", "T(2) x C_4", "T(2) x D_8", "T(2) x R+"; any of them "in distribution". The other
            symmetries are measured too, for information. Without effect where a group is given.
        group: the group to test; the function's own ``group`` for tensors. None for graphs tests ``symmetry`` and all
            the rest.
        act_in: what the group does to an input: a representation of tensors, or an action (``groups.LinearAction``,
            ``RowAction``, ``ProductAction``, ``geometry.ImageAction``, ``GraphAction``). Default: the function's
            ``rep_in``; for graphs ``GraphAction``.
        rep_out: the same of the output, or of each by name. Default: the function's ``rep_out``.
        approximation: largest relative error where values are interpolated (dimensionless); None for that of
            interpolation, as above, and of models of images for their attribute ``approximation``, or 0.05.
        draws: seeds that a comparison in distribution takes.
        dtypes: precisions.
        cutoff: radius (A) for functions that do not connect graphs themselves; None connects all pairs.
        irreps_out: what it returns, where it does not say: "16x0e + 1o", a representation, or a dict by name.
        bounds: largest relative error under a symmetry, by precision; default 1e-12 in float64, 2e-5 in float32.
        seed: of all random numbers.
        rotations: number of random rotations, each on every graph; with a group, of random elements.
        quick: fewer of everything, for tests that run often.
        progress: called before each test.
        device: where the function computes, "cuda" for example; None for where it is. A module is copied there.

    Returns:
        The certificate. Exceptions of the function become failed lines. Skipped are the structures that it refuses by
        an :class:`~intertwine.numerics.IntertwineError`, and a lower precision that it does not support at all; without
        float64 the tests that need its digits fail, or are skipped if ``dtypes`` leaves it out.

    Raises:
        InputError: no graphs, graphs of different dimensions, an unknown symmetry, outputs not declared; a group that
            does not act on the inputs, or an infinite one without random elements.
    """
    things: list[Any] = [inputs] if isinstance(inputs, Graph | Tensor) else list(inputs)
    counts = (min(rotations, 2), 1) if quick else (rotations, 2)
    place = None if device is None else computing_device(device)
    draws = min(draws, 16) if quick else draws
    options = Options(dtypes, cutoff, bounds or {}, seed, *counts, draws, progress, place, approximation)
    if group is None and act_in is None and rep_out is None and all(isinstance(thing, Graph) for thing in things):
        return _of_graphs(function, things, symmetry, irreps_out, options)
    return of_group(function, things, group, act_in, rep_out, options)


def _of_graphs(function: Any, graphs: list[Graph], symmetry: str, irreps_out: Any, options: Options) -> Certificate:
    claim = claims(symmetry, _dimension(graphs))
    quantities = declare(function, irreps_out)
    dtypes, cutoff, seed = options.dtypes, options.cutoff, options.seed
    structures = prepare(
        [graph for graph in graphs if graph.num_nodes],
        torch.Generator().manual_seed(seed),
        displaced=tried_on(function) not in KINDS,
    )
    if of_edges(quantities):
        reach = getattr(function, "cutoff", cutoff)
        structures = [
            s if s.graph.get("edge_index") is not None else s._replace(graph=connect(s.graph, reach))
            for s in structures
        ]
    lines: list[Line] = []
    missing = set(dtypes)
    for place, dtype in enumerate(dtypes):
        subject = Subject(function, quantities, dtype, cutoff, options.device)
        usable, verdicts = _usable(subject, structures, other=len(dtypes) > 1)
        lines += verdicts
        if claim.partial and (reasons := _undefined(subject, usable)):
            usable = [structure for structure in usable if structure.name not in reasons]
            lines.append(Line("frames", "rotation", "", short(dtype), None, None, PARTLY, unclaimed(reasons)))
            missing -= set() if usable else {dtype}
        if usable:
            missing.discard(dtype)
            exact = _exact(function, subject, usable, cutoff)
            generator, bound = torch.Generator().manual_seed(seed + 1), options.bounds.get(dtype)
            counts = options.rotations, options.spread
            trial = Trial(subject, usable, generator, bound, *counts, exact, claim, options.draws)
            trial.approximation = _stated(function, options.approximation)
            if claim.approximate:
                trial.claimed_error = claimed_error_of(function, options.approximation) or options.approximation
            lines += _run(trial, options.progress, place * len(CHECKS), len(dtypes) * len(CHECKS))
    if torch.float64 in missing or torch.float64 not in dtypes:
        lines += _unproven(
            Subject(function, quantities, torch.float64, cutoff, options.device),
            structures,
            asked=torch.float64 in missing,
        )
    if not any(line.verdict in HOLDS for line in lines):  # nothing ran at all: what was skipped is a failure
        lines = [_failed(line) if line.test == "runs" else line for line in lines]
    return Certificate(name_of(function), symmetry, len(graphs), tuple(lines))


def _stated(function: Any, approximation: float | None) -> float:
    """What a network of images may err where values are interpolated: as asked, as it says itself, or the default."""
    own = getattr(getattr(function, "backbone", function), "approximation", STATED)
    return own if approximation is None else approximation


def assert_equivariant(function: Callable[[Any], Any], inputs: Any, **options: Any) -> Certificate:
    """:func:`certify` (quick) for tests of your own.

    Args:
        function: as in :func:`certify`.
        inputs: as in :func:`certify`.
        **options: any other argument of :func:`certify`.

    Raises:
        AssertionError: the certificate did not pass; the message is its summary and table.
    """
    certificate = certify(function, inputs, **{"quick": True, **options})
    if not certificate.passed:
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=160).print(certificate.table())
        raise AssertionError(f"{certificate.summary()}\n{text.getvalue()}")
    return certificate


def _dimension(graphs: list[Graph]) -> int:
    """The one dimension of all graphs."""
    dimensions = {graph.dimension for graph in graphs}
    if len(dimensions) != 1 or not any(graph.num_nodes for graph in graphs):
        raise InputError(
            f"{len(graphs)} graphs of dimensions {sorted(dimensions)}",
            where="graphs",
            remedy="give at least one graph with nodes, all of one dimension.",
        )
    return dimensions.pop()


def _usable(subject: Subject, structures: list[Structure], other: bool) -> tuple[list[Structure], list[Line]]:
    """The structures that the function takes, and a line "runs": passed, or why some are left out.

    A named error leaves a structure out; any other is a failure, unless a lower precision is not supported at all.
    """
    taken, reasons, named = set(), {}, set()
    # levels show on the largest
    for k, structure in sorted(enumerate(structures), key=lambda item: -item[1].graph.num_nodes):
        try:
            graph = structure.graph.cast(subject.dtype)
            subject.learn_levels(graph)
            subject(graph)
        except Exception as error:
            reasons[structure.name] = reason_of(error)
            if isinstance(error, IntertwineError):
                named.add(reason_of(error))
        else:
            taken.add(k)
    usable = [structure for k, structure in enumerate(structures) if k in taken]
    dtype = short(subject.dtype)
    if not reasons:
        return usable, [Line("runs", "", "", dtype, 0.0, None, PASSED, f"{len(usable)} structures")]
    grouped: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        grouped.setdefault(reason, []).append(name)
    harmless = (
        set(grouped) if not usable and other and subject.dtype != torch.float64 else named if usable or other else set()
    )
    return usable, [
        Line(
            "runs", "", "", dtype, None, None, SKIPPED if reason in harmless else FAILED,
            f"{reason} ({len(names)} structures, {names[0]})",
        )
        for reason, names in grouped.items()
    ]  # fmt: skip


def _undefined(subject: Subject, structures: list[Structure]) -> dict[str, str]:
    """The structures of which the function says that it claims nothing, and why, by name."""
    reasons = {s.name: undefined_of(subject.function, s.graph.double()) for s in structures}
    return {name: reason for name, reason in reasons.items() if reason}


def _unproven(subject: Subject, structures: list[Structure], asked: bool) -> list[Line]:
    """What float64 would have told: failed where the function refused it, skipped where it was not asked for."""
    has = {*subject.quantities, *([""] if subject.cutoff is not None else [])}
    if not any(s.graph.periodic for s in structures):
        has.discard("stress")
    verdict, why = (
        (FAILED, "the function does not run in it") if asked else (SKIPPED, "which is not among the precisions tried")
    )
    lines = []
    for check in CHECKS:
        if check.double and set(check.outputs) <= has:
            lines.append(Line(check.name, check.symmetry, "", "float64", None, None, verdict, f"needs float64, {why}"))
    return lines


def _exact(
    function: Callable[[Graph], Any], subject: Subject, structures: list[Structure], cutoff: float | None
) -> Subject | None:
    """The function in float64 beside a subject of lower precision, if it works there."""
    if subject.dtype == torch.float64:
        return None
    exact = Subject(function, subject.quantities, torch.float64, cutoff, subject.device)
    return exact if len(_usable(exact, structures, other=True)[0]) == len(structures) else None


def _run(trial: Trial, progress: Progress | None, done: int, total: int) -> list[Line]:
    dtype, lines, claim = short(trial.subject.dtype), [], trial.claim
    for k, check in enumerate(CHECKS):
        if progress is not None:
            progress(done + k, total, f"{check.name}, {dtype}")
        if (check.double and trial.subject.dtype != torch.float64) or (check.symmetry == POINT and claim.point is None):
            continue
        if claim.random and check.name in OF_ONE_DRAW:
            lines.append(
                Line(check.name, "", "", dtype, None, None, SKIPPED, "the function draws anew for every input")
            )
            continue
        needs = {check.symmetry, check.follows} - {""}
        bad = FAILED if needs <= set(claim.names) and not (claim.random and check.follows) else NOT_CLAIMED
        try:
            findings = check.run(trial)
        except Exception as error:
            lines.append(Line(check.name, check.symmetry, "", dtype, None, None, bad, reason_of(error)))
            continue
        lines += lines_of(check.name, check.symmetry, dtype, findings, claimed=bad == FAILED)
    for output in trial.zero():
        lines.append(Line("runs", "", output, dtype, 0.0, None, PASSED, ZERO))
    if progress is not None:
        progress(done + len(CHECKS), total, "")
    return lines


def _failed(line: Line) -> Line:
    return Line(line.test, line.symmetry, line.output, line.dtype, line.error, line.bound, FAILED, line.worst)
