"""intertwine label: energies, forces and more of structures, by quantum chemistry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intertwine.cli import console, inputs
from intertwine.cli.outputs import Overwrite
from intertwine.numerics import InputError

LISTED_FAILURES = 20  # frames without labels that are named; the file has all
NUMBERED = 6  # frames that are numbered of one reason


@console.guarded
def label(
    structures: Annotated[Path, typer.Argument(help="File, folder or quoted pattern of structures.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="HDF5 file to write (.h5); `intertwine train` reads it.")
    ],
    method: Annotated[
        str,
        typer.Option(
            help="FUNCTIONAL/BASIS by PySCF, as pbe/def2-svp or hf/sto-3g; gfn2-xtb, gfn1-xtb or ipea1-xtb by tblite."
        ),
    ] = "pbe/def2-svp",
    want: Annotated[
        str,
        typer.Option(help="Labels, with commas: energy, forces, dipole, polarizability, density, hamiltonian."),
    ] = "energy,forces",
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes, of one thread each. Default: the number of cores.")
    ] = None,
    scheduler: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Dask scheduler whose workers compute. Default: this machine does.")
    ] = "",
    charge: Annotated[
        int | None, typer.Option(help="Charge of every structure (e). Default: what the file says of each, else 0.")
    ] = None,
    spin: Annotated[int, typer.Option(help="Unpaired electrons of every structure.")] = 0,
    grid: Annotated[int | None, typer.Option(help="Level of PySCF's grid of integration, 0 to 9. Default: 3.")] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Change of the energy at convergence (Eh). Default: 1e-10 by PySCF, 1e-8 by tblite."),
    ] = None,
    cycles: Annotated[int, typer.Option(help="Iterations after which a structure is given up.")] = 100,
    field: Annotated[float, typer.Option(help="Step of the electric field of polarizabilities (atomic units).")] = 1e-3,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many structures. Default: all.")] = None,
    unit: Annotated[
        list[str] | None,
        typer.Option(
            "--unit", help="Unit of positions in the file, as pos=Bohr. Default: what the file declares, else A."
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Label structures by PySCF or tblite. A run that was killed goes on with the same command; structures that fail
    are listed and left out. The exit code is 0 then too, and 2 if no structure could be labelled.
    """
    import os

    from intertwine.data import read_structures
    from intertwine.data.frames import several
    from intertwine.data.label_files import described
    from intertwine.labels import label as compute
    from intertwine.labels import recipe
    from intertwine.labels.pool import RESUMED

    how = recipe(
        method,
        [word.strip() for word in want.split(",") if word.strip()],
        charge=charge,
        spin=spin,
        grid=grid,
        threshold=threshold,
        cycles=cycles,
        field=field,
    )
    if output.exists() and structures.exists() and output.samefile(structures):
        raise InputError("it is the file of the structures", where="--output", remedy="name another file.")
    content = read_structures(structures, units=console.pairs(unit, "--unit") or {}, limit=limit)
    assumed = ["units assumed: pos in A (--unit pos=Bohr for another)"] if content.assumed else []
    for note in [*content.notes, *assumed, described(how.text())]:
        inputs.say(note)
    inputs.warn(content.atoms, content.files, None, last=False)
    try:
        summary = compute(
            content.atoms,
            how,
            output,
            source=str(structures),
            workers=processes or os.cpu_count() or 1,
            scheduler=scheduler,
            overwrite=overwrite,
        )
    except KeyboardInterrupt:
        inputs.say(f"{RESUMED}{' without --overwrite' if overwrite else ''}")
        raise
    for reason, frames in list(summary.by_reason().items())[:LISTED_FAILURES]:
        named = several([content.places[frame] for frame in frames], NUMBERED)
        console.complain(f"no labels for {named}: {reason}", "warning:")
    for remark, frames in summary.by_remark().items():
        console.complain(f"{several([content.places[frame] for frame in frames], NUMBERED)}: {remark}", "warning:")
    if as_json:
        console.emit(summary.document() | {"output": str(output)})
        return
    console.err.print(f"{summary}\nwrote {output}", markup=False, soft_wrap=True)
