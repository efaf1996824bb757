"""Floor 10: the command line. Commands import what they need when they run, so that `--help` answers at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from intertwine.cli import console
from intertwine.cli.account import compare, info
from intertwine.cli.bench import bench
from intertwine.cli.certificate import certify
from intertwine.cli.cite import cite
from intertwine.cli.codes import align, encode
from intertwine.cli.deploy import deploy
from intertwine.cli.dynamics import md
from intertwine.cli.engines import ipi, lammps
from intertwine.cli.export import export
from intertwine.cli.label import label
from intertwine.cli.listing import datasets, models
from intertwine.cli.simulate import relax
from intertwine.cli.streams import shut
from intertwine.cli.train import train
from intertwine.cli.tune import tune
from intertwine.cli.use import evaluate, predict

app = typer.Typer(
    name="intertwine",
    help="Equivariant graph neural networks: train, certify and use them.\n\nStart with: intertwine train ethanol",
    epilog=console.EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Learn": (label, train, tune, evaluate, predict, certify),
    "Use": (md, relax, lammps, ipi, encode, align, export, deploy),
    "Look": (models, datasets, info, compare, cite, bench),
}
for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)


def _version(flag: bool) -> bool:
    if flag:
        import intertwine

        typer.echo(f"intertwine {intertwine.__version__}")
        raise typer.Exit
    return flag


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the `intertwine` command."""
    try:
        console.spoken(lambda: app(prog_name="intertwine"))  # also as `python -m intertwine`
    finally:
        shut()


__all__ = ["app", "main"]
