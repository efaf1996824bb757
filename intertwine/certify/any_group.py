r"""Does :math:`f(g x) = \rho(g) f(x)` hold, for a function of anything that a group acts on?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from intertwine.certify.certificate import (
    APPROXIMATE,
    FAILED,
    MEASURED,
    PARTLY,
    PASSED,
    SKIPPED,
    ZERO,
    Certificate,
    Line,
)
from intertwine.certify.elements import classes_of
from intertwine.certify.lines import Options, lines_of, reason_of, short
from intertwine.certify.measured import Measured, Worst
from intertwine.certify.pixels import (
    MOST_INTERPOLATION,
    ROUGH,
    TIMES_INTERPOLATION,
    disc,
    of_reference,
    tapered,
    there_and_back,
)
from intertwine.certify.spread import SEED, Draws, is_random, redrawn, seeded
from intertwine.certify.subject import Quantity, claimed_error_of, in_precision, name_of, unclaimed, undefined_of
from intertwine.certify.symmetry import see_draws
from intertwine.geometry import Graph, GraphAction, ImageAction, connect
from intertwine.groups import Action, AffineMap, Group, LinearAction, Representation, Trivial
from intertwine.groups.action import action_of
from intertwine.numerics import InputError

MOST_DRAWN = 3  # elements of a class that are compared in the mean of many draws


class GroupTrial(Measured):
    """A function in one precision on inputs of any kind that a group acts on.

    Args:
        function: takes one input, returns a tensor or a dict of them.
        inputs: tensors or graphs in float64.
        act_in: what the group does to them.
        act_out: what it does to each output.
        dtype: precision.
        options: of the certificate.
        exact: the same function in float64, for one of lower precision.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        inputs: list[Any],
        act_in: Action,
        act_out: dict[str, Action],
        dtype: torch.dtype,
        options: Options,
        exact: Callable[[Any], dict[str, Tensor]] | None = None,
    ) -> None:
        self.function, self.inputs = in_precision(function, dtype, options.device), inputs
        self.dtype, self.options = dtype, options
        self.act_in, self.act_out, self.exact = act_in, act_out, exact
        quantities = {name: Quantity(_representation(action), "") for name, action in act_out.items()}
        outputs = [self(x) for x in inputs]
        references = [exact(x) for x in inputs] if exact is not None else []
        super().__init__(quantities, outputs, references, dtype, options.bounds.get(dtype))
        self.random = is_random(lambda seed: self.at(seed, inputs[0]))
        self.claimed_error = claimed_error_of(function, options.approximation)
        self.still: dict[int, list[dict[str, Tensor]]] = {}

    def __call__(self, x: Any) -> dict[str, Tensor]:
        """The outputs of the function as it is, at the first seed of torch's generator, detached."""
        return seeded(lambda: self._outputs(self.function, x), SEED)

    def at(self, seed: int, x: Any) -> dict[str, Tensor]:
        """The outputs of another draw (see :meth:`~intertwine.certify.subject.Subject.at`)."""
        return seeded(lambda: self._outputs(redrawn(self.function, seed), x), seed)

    def _outputs(self, function: Callable[[Any], Any], x: Any) -> dict[str, Tensor]:
        x = _cast(x, self.dtype, self.options.cutoff, function)
        result = function(x if self.options.device is None else x.to(self.options.device))
        named = result if isinstance(result, Mapping) else {"output": result}
        for name in self.act_out:
            if not isinstance(named.get(name), Tensor):
                kind = type(named[name]).__name__ if name in named else f"not among {sorted(map(str, named))}"
                raise InputError(f"output {name} is {kind}", where="outputs", remedy="return a tensor by that name.")
            if not bool(torch.isfinite(named[name]).all()):
                raise InputError(
                    f"{name} has NaN or infinity",
                    where=name_of(self.function),
                    remedy="look for a division by zero, a root or a logarithm at this input.",
                )
        return {name: named[name].detach().cpu() for name in self.act_out}

    def rounding(self, k: int, g: Tensor, moved: Any) -> dict[str, Tensor]:
        """What rounding g x to the function's precision does to the outputs, in the frame of x (see
        :meth:`~intertwine.certify.trial.Trial.rounding`).
        """
        if self.exact is None or self.random:
            return {}
        nearby = self.exact(self.act_in.act(self.act_in.group.inverse(g), _cast(moved, torch.float64)))
        return {name: nearby[name] - value for name, value in self.references[k].items()}

    def expected(self, outputs: dict[str, Tensor], g: Tensor) -> dict[str, Tensor]:
        """The group's action on outputs, in float64."""
        return {name: action.act(g, outputs[name].to(torch.float64)) for name, action in self.act_out.items()}


def of_group(
    function: Callable[[Any], Any],
    inputs: list[Any],
    group: Group | None,
    act_in: Action | Representation | None,
    rep_out: Action | Representation | Mapping[str, Any] | None,
    options: Options,
) -> Certificate:
    """The certificate of a function for a group: :func:`~intertwine.certify.certify` with a group."""
    inputs = [_checked(x) for x in inputs]
    if not inputs:
        raise InputError("no inputs", where="inputs", remedy="give at least one tensor or graph.")
    group, moving, out = _declared(function, inputs[0], group, act_in, rep_out)
    generator = torch.Generator().manual_seed(options.seed + 1)
    classes = classes_of(group, moving, inputs[0], options.rotations, generator)
    for x in inputs:  # whether the group acts on the inputs is said at once, and not of the function
        moving.act(group.identity(), x)
    lines: list[Line] = []
    reasons = {f"input {k}": why for k, x in enumerate(inputs) if (why := undefined_of(function, x))}
    if reasons:
        inputs = [x for k, x in enumerate(inputs) if f"input {k}" not in reasons]
        lines.append(Line("frames", str(group), "", "", None, None, PARTLY, unclaimed(reasons)))
    for dtype in options.dtypes if inputs else ():
        try:
            exact = _in_double(function, inputs, moving, out, options) if dtype != torch.float64 else None
            trial = GroupTrial(function, inputs, moving, out, dtype, options, exact)
        except Exception as error:
            lines.append(Line("runs", "", "", short(dtype), None, None, FAILED, reason_of(error)))
            continue
        count = f"{len(inputs)} inputs" if len(inputs) > 1 else "1 input"
        words = f"{count}{', draws random numbers' if trial.random else ''}"
        lines.append(Line("runs", "", "", short(dtype), 0.0, None, PASSED, words))
        for test, elements in classes.items():
            lines += _lines(trial, group, test, elements, options.approximation)
        lines += [Line("runs", "", output, short(dtype), 0.0, None, PASSED, ZERO) for output in trial.zero()]
    return Certificate(name_of(function), str(group), len(inputs), tuple(lines), "inputs")


def _lines(
    trial: GroupTrial, group: Group, test: str, elements: list[tuple[str, Tensor]] | str, approximation: float | None
) -> list[Line]:
    """The lines of one class of elements; of images also what interpolation does alone."""
    dtype = short(trial.dtype)
    if isinstance(elements, str):
        return [Line(test, str(group), "", dtype, None, None, SKIPPED, elements)]
    worst, alone, beside = Worst(trial), Worst(trial), Worst(trial)
    try:
        for count, (name, g) in enumerate(elements):
            for k, x in enumerate(trial.inputs):
                words = f"input {k}, {name}"
                if trial.act_in.exact(g, x):
                    _exactly(trial, worst, k, g, words, drawn=count < MOST_DRAWN)
                else:
                    _interpolated(trial, worst, alone, beside, k, g, words, approximation)
    except Exception as error:
        return [Line(test, str(group), "", dtype, None, None, FAILED, f"{reason_of(error)} ({words})")]
    lines = lines_of(test, str(group), dtype, worst.findings("no such element"))
    for what, seen in (("there and back", alone), ("isotropic filter", beside)):
        for finding in seen.largest.values():
            size, words = finding[1].error, finding[1].worst
            lines.append(Line(f"{test}: interpolation", "", what, dtype, size, None, MEASURED, words))
    return lines


def _exactly(trial: GroupTrial, worst: Worst, k: int, g: Tensor, words: str, drawn: bool) -> None:
    moved = trial.act_in.act(g, trial.inputs[k])
    rounding = trial.rounding(k, g, _cast(moved, trial.dtype))
    still = {name: value.to(torch.float64) + rounding.get(name, 0.0) for name, value in trial.outputs[k].items()}
    got, expected = trial(moved), trial.expected(still, g)
    bad = [name for name in expected if trial.deviation(name, got[name], expected[name]) > trial.bound]
    if trial.claimed_error is not None:
        for name in expected:
            error, bound = trial.deviation(name, got[name], expected[name]), max(trial.claimed_error, trial.bound)
            worst.see(name, error, f"{words}: a mean by quadrature", bound=bound, sense=APPROXIMATE)
        return
    if not (trial.random and bad):
        worst.compare(got, expected, words)
        return
    if not drawn:
        return
    count = trial.options.draws
    if k not in trial.still:
        trial.still[k] = [trial.at(seed, trial.inputs[k]) for seed in range(1, 1 + count)]
    moving = [trial.at(seed, moved) for seed in range(1 + count, 1 + 2 * count)]
    for name in expected:
        turned = Draws.of([trial.expected(outputs, g)[name] for outputs in trial.still[k]])
        see_draws(worst, name, Draws.of([outputs[name] for outputs in moving]), turned, words)


def _interpolated(
    trial: GroupTrial, worst: Worst, alone: Worst, beside: Worst, k: int, g: Tensor, words: str, stated: float | None
) -> None:
    """An image whose pixels leave the grid: tapered, so that nothing is turned out of it, and compared in the disc.

    A function may answer three times what interpolation does to the input. Where the output is an image, it is
    interpolated for the comparison, and what that does is allowed beside.
    """
    images = isinstance(trial.act_in, ImageAction)
    x, own = tapered(trial.inputs[k]) if images else trial.inputs[k], 0.0
    g_map = AffineMap.of(g, trial.act_in.group)
    if images:
        own = there_and_back(g_map, x)
        alone.see("", own, f"{words}, the input")
        beside.see("", of_reference(g_map, x), words)
    still, got = trial(x), trial(trial.act_in.act(g, x))
    expected = trial.expected(still, g)
    for name, action in trial.act_out.items():
        a, b, error = got[name], expected[name], 0.0
        if isinstance(action, ImageAction) and a.shape == b.shape:
            inside = disc(a.shape[2:])
            a, b = a * inside, b * inside
            error = there_and_back(g_map, still[name])
            alone.see("", error, f"{words}, {name}")
        excused = TIMES_INTERPOLATION * own + error
        if stated is None and excused > MOST_INTERPOLATION:
            worst.untold = ROUGH
            continue
        bound = excused if stated is None else stated
        worst.see(name, trial.deviation(name, a, b), words, bound=max(bound, trial.bound), sense=APPROXIMATE)


def _in_double(
    function: Callable[[Any], Any], inputs: list[Any], moving: Action, out: dict[str, Action], options: Options
) -> GroupTrial | None:
    """The function in float64, if it works there."""
    try:
        return GroupTrial(function, inputs, moving, out, torch.float64, options)
    except Exception:
        return None


def _declared(
    function: Any, x: Any, group: Group | None, act_in: Any, rep_out: Any
) -> tuple[Group, Action, dict[str, Action]]:
    """The group and its actions, as given or as the function has them."""
    act_in = act_in if act_in is not None else getattr(function, "rep_in", None)
    rep_out = rep_out if rep_out is not None else getattr(function, "rep_out", None)
    group = group or getattr(function, "group", None) or getattr(act_in, "group", None)
    if not isinstance(group, Group):
        raise InputError("no group to test", where="certify", remedy="give group=, or representations that say theirs.")
    if act_in is None and isinstance(x, Graph):
        act_in = GraphAction(group)
    if act_in is None:
        raise InputError(
            f"what {group} does to a tensor of shape {tuple(x.shape)} is not said",
            where="act_in",
            remedy="give a representation, or an action such as RowAction or ImageAction.",
        )
    if rep_out is None:
        raise InputError(
            "the function does not say what it returns",
            where=name_of(function),
            remedy="give rep_out= a representation, an action, or groups.Unchanged(group) for an invariant.",
        )
    named = rep_out if isinstance(rep_out, Mapping) else {"output": rep_out}
    return group, action_of(act_in, group), {name: action_of(value, group) for name, value in named.items()}


def _representation(action: Action) -> Representation:
    return action.rep if isinstance(action, LinearAction) else Trivial(action.group)


def _checked(x: Any) -> Any:
    """An input in float64."""
    if not isinstance(x, Tensor | Graph):
        raise InputError(f"an input of type {type(x).__name__}", where="inputs", remedy="give tensors or graphs.")
    return _cast(x, torch.float64)


def _cast(x: Any, dtype: torch.dtype, cutoff: float | None = None, function: Any = None) -> Any:
    if isinstance(x, Tensor):
        return x.detach().to(dtype) if x.is_floating_point() else x
    graph = x.double() if dtype == torch.float64 else x.cast(dtype)
    if function is None or hasattr(function, "cutoff") or graph.get("edge_index") is not None or not graph.num_nodes:
        return graph
    return connect(graph, cutoff)
