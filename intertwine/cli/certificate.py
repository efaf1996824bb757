"""intertwine certify: is it equivariant, smooth, conservative?"""

from __future__ import annotations

import contextlib
import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from intertwine.cli import console, inputs
from intertwine.cli.code import Allow, own
from intertwine.cli.completion import of_table
from intertwine.cli.inputs import WHERE, DataPath, Keys, SkipUnknown, Units
from intertwine.cli.outputs import Overwrite
from intertwine.cli.outputs import check as check_outputs
from intertwine.numerics import CheckpointError, DataError, InputError, IntertwineError, plugins
from intertwine.numerics.fence import fenced


@console.guarded
def certify(
    subject: Annotated[
        str | None,
        typer.Argument(
            help=(
                "Run folder, deployed file (.iw), or module:Class of your own network (called with a Graph; its "
                "attribute irreps_out names what it returns)."
            )
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            autocompletion=of_table("models"),
            help="Architecture to certify untrained, instead of a run. Default: none.",
        ),
    ] = None,
    molecules: Annotated[
        Path | None,
        typer.Option(
            help=(
                "File of structures to test on. Default: structures of the test set, and small molecules of awkward "
                "shapes."
            )
        ),
    ] = None,
    data: DataPath = None,
    skip_unknown: SkipUnknown = False,
    key: Keys = None,
    unit: Units = None,
    symmetry: Annotated[
        str | None,
        typer.Option(
            help=(
                "Symmetry group to test: E(3), SE(3), T(3), SO(3), T(3) x octahedral, T(2) x C_4, T(2) x D_8, ..., or "
                "any of these followed by 'in distribution'. Default: the group that the model declares."
            )
        ),
    ] = None,
    slow: Annotated[
        bool, typer.Option("--slow", help="Of a deployed file: try more than 10,000 atoms as well.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the random rotations, permutations and displacements.")] = 0,
    device: Annotated[str, typer.Option(help=WHERE.replace("Default: auto", "Default: cpu"))] = "cpu",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help=(
                "JSON file to write the certificate to. Default: certificate.json in the run folder; none without a "
                "run."
            ),
        ),
    ] = None,
    overwrite: Overwrite = False,
    allow: Allow = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the certificate as JSON.")] = False,
) -> None:
    """Certify a model: symmetry, batching, smoothness, forces, singular inputs. Exit code 0 if it passes, 1 if it
    fails.
    """
    from intertwine.certify import CHECKS
    from intertwine.certify import certify as inspect_symmetry

    if output is not None:
        check_outputs({"--output": output}, overwrite)  # said before the work, not after it
    from intertwine.training.deployed import is_deployed

    if subject is not None and is_deployed(subject):
        _of_file(subject, slow, output, allow, as_json)
    function, claimed, name, run = find(subject, model, allow)
    users = run is None and model is None
    with (
        fenced("it failed", name, "correct the function.", shared=True) if users else contextlib.nullcontext(),
        console.bar(len(CHECKS), "certifying") as progress,
    ):
        graphs = structures(molecules, function, run, key, unit, data, skip_unknown)
        certificate = inspect_symmetry(
            function,
            graphs,
            symmetry=symmetry or claimed,
            seed=seed,
            device=device,
            progress=lambda done, total, name: progress(len(CHECKS) * done // total),
        )
    if as_json:
        console.emit(certificate.to_json())
    else:
        console.out.print(certificate.table())
        console.out.print(f"{name}: {certificate.summary()}", markup=False, soft_wrap=True)
    missing = False
    target = output or (run.folder / "certificate.json" if run is not None else None)
    if target is not None:
        try:
            certificate.save(target)
        except CheckpointError as error:  # the verdict stands
            missing = output is not None  # which was asked for
            console.complain(f"the certificate is not stored: {error}", "error:" if missing else "warning:")
    raise SystemExit(console.FAILED if not certificate.passed else console.BAD_INPUT if missing else 0)


def _of_file(file: str, slow: bool, output: Path | None, allow: list[str] | None, as_json: bool) -> None:
    """The certificate of a deployed file; ends the command."""
    from intertwine.integrations.conformance import TESTS
    from intertwine.integrations.deployment import certify_deployed
    from intertwine.training import load_run

    run = load_run(file, device="cpu", allow=allow or ())
    done = iter(range(1, 2 * len(TESTS) + 1))
    with console.bar(2 * len(TESTS), "certifying") as progress:
        certificate = certify_deployed(run, slow=slow, say=lambda name, dtype: progress(next(done)))
    if as_json:
        console.emit(certificate.to_json())
    else:
        console.out.print(certificate.table())
        console.out.print(f"{file}: {certificate.summary()}", markup=False, soft_wrap=True)
    if output is not None:
        certificate.save(output)
    raise SystemExit(0 if certificate.passed else console.FAILED)


def find(subject: str | None, model: str | None, allow: list[str] | None = None) -> tuple[Any, str, str, Any]:
    """What to certify: the function, the symmetry it claims, its name, and its run if it has one."""
    if (subject is None) == (model is None):
        raise InputError(
            "nothing, or two things, to certify",
            where="certify",
            remedy="give a run folder, module:Class, or --model NAME.",
        )
    if model is not None:
        import torch

        from intertwine.training import model_class

        torch.manual_seed(0)
        kind = model_class(model, allow=own(model))
        return kind(), kind.CARD.symmetry, f"{model} (untrained)", None
    assert subject is not None
    path = Path(subject)
    if not path.exists() and ":" in subject:
        return (*load(subject), subject, None)
    from intertwine.training import load_run

    run = load_run(console.existing(path, "run folder or module:Class"), device="cpu", allow=allow or ())
    return run.task, run.task.symmetry, str(path), run


def load(spec: str) -> tuple[Any, str]:
    """The function that ``module:Class`` (made without arguments) or ``module:function`` names, and the symmetry it
    claims.

    Raises:
        InputError: no such module or name, a class that can't be made, or no ``irreps_out``.
    """
    function, name = plugins.load(spec), spec.partition(":")[2]
    with fenced(f"{name}() failed", spec, "correct the constructor, and give every argument of it a default."):
        if inspect.isclass(function):
            function = function()
        if not hasattr(function, "irreps_out") and not hasattr(function, "outputs"):
            remedy = 'set the attribute irreps_out, "0e" for an invariant or "1x1o" for a vector for example.'
            raise InputError("does not say what it returns", where=spec, remedy=remedy)
        card = getattr(function, "card", function)
        return function, getattr(card, "symmetry", "E(3)")


def structures(
    path: Path | None, function: Any, run: Any = None, key: list[str] | None = None, unit: list[str] | None = None,
    data: str | None = None, skip: bool = False,
) -> list[Any]:  # fmt: skip
    """Graphs to test on: those of a file, or some of the run's test set with molecules (or charged particles) of
    awkward shapes.
    """
    from intertwine.data import to_graph
    from intertwine.training import test_set, trial_graphs
    from intertwine.training.evaluation import inputs_of

    if path is not None:
        content = inputs.read(path, run, key, unit, limit=8)
        content = _checked(content, run, skip)
        names = inputs_of(function) if hasattr(function, "modules") else ()
        return [to_graph(s, names, content.keys) if hasattr(s, "calc") else s for s in content.structures]
    try:
        test = test_set(run, progress=True, data=data) if run is not None else None
    except IntertwineError as error:  # a run can be certified without its data
        if data is not None:
            raise
        inputs.say(f"without the run's test set ({error.where}: {error.what}; {error.remedy.rstrip('.')})")
        test = None
    return trial_graphs(function, test)


def _checked(content: inputs.Given, run: Any, skip: bool = False) -> inputs.Given:
    """The structures but for those that are left out; a :class:`DataError` for one of elements that the model of a run
    does not know; a warning for those that it knows and was not trained on.
    """
    if run is None:
        return content
    try:
        return content.only(inputs.known(content, run, skip))
    except DataError as error:
        species = run.config.model.arguments.get("species")  # a network without a list of them takes all
        if species is not None and not inputs.species(content) <= set(species):
            raise
        console.complain(f"{error.where}: {error.what}; its symmetry is tested all the same", "warning:")
        return content
