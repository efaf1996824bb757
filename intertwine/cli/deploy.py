"""intertwine deploy: a trained force field as one file that needs no run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from intertwine.cli import console, inputs
from intertwine.cli.code import Allow
from intertwine.cli.inputs import DataPath
from intertwine.cli.outputs import Overwrite
from intertwine.cli.outputs import check as check_outputs
from intertwine.cli.runs import RunFolder, Which, opened


@console.guarded
def deploy(
    run: RunFolder,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, .iw.")],
    data: DataPath = None,
    which: Which = "best",
    overwrite: Overwrite = False,
    allow: Allow = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what the file says of itself as JSON.")] = False,
) -> None:
    """One file of a force field, for calculators and for predict, md, relax, info and certify; fast on a CPU. Exit code
    1 if its certificate fails.
    """
    from intertwine.integrations.conformance import TESTS
    from intertwine.integrations.deployment import deploy as write

    check_outputs({"--output": output}, overwrite)  # said before the work, not after it
    trained = opened(run, allow, which=which, device="cpu")
    inputs.spare([output], trained)
    done = iter(range(1, 2 * len(TESTS) + 1))
    with console.bar(2 * len(TESTS), "certifying") as progress:
        about = write(trained, output, data=data, say=lambda name, dtype: progress(next(done)))
    passed = bool(about["certificate"]["passed"])
    if as_json:
        console.emit({name: value for name, value in about.items() if name != "configuration"})
    else:
        console.table(str(output), ["", ""], [list(row) for row in told(about).items()])
    raise SystemExit(0 if passed else console.FAILED)


def _not_told_apart(symbols: list[str]) -> str:
    """What is said of references that the compositions of the training set leave open."""
    return f" (those of {', '.join(symbols)} can't be told apart by its compositions, only sums)" if symbols else ""


def told(about: dict[str, Any]) -> dict[str, str]:
    """What a deployed file says of itself, in words."""
    from ase.data import chemical_symbols

    run, errors = about["run"], about["errors"]
    form = (
        f"radial functions as tables of {about['knots']} knots" if about["knots"] else "plain: its networks as they are"
    )
    lines = {
        "of run": f"{run['name']}, weights {about['which']} of epoch {about['epoch']}",
        "model": f"{about['model']['name']}, {about['precision']}",
        "form": form,
        "species": " ".join(chemical_symbols[z] for z in about["species"]) or "all",
        "references": ", ".join(f"{name} {value:.6g} eV" for name, value in about["references"].items())
        + _not_told_apart(about.get("references_not_told_apart") or []),
        "cutoff": "all pairs" if about["cutoff"] is None else f"{about['cutoff']:g} A",
        "units": ", ".join(f"{name} {unit}" for name, unit in about["units"].items()),
    }
    for dtype, each in errors.items() if about["knots"] else ():
        words = ", ".join(f"{name} {error:.1e}" for name, error in each.items())
        lines[f"beside the run, {dtype}"] = f"{words} of the root mean square (bound {about['bounds'][dtype]:.0e})"
    lines |= {
        "tested on": f"{about['tested_on']}: {', '.join(about['test_vectors'])}",
        "SHA-256 of the weights": about["weights_sha256"],
        "certificate": about.get("certificate", {}).get("summary", "none").partition(" Skipped:")[0],
        "certificate of the run": (run.get("certificate") or "none").partition(" Skipped:")[0],
        "version": about["version"],
    }
    return lines
