"""The certificate of a trained task, and the structures that it is tried on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols
from torch import nn

from intertwine.certify import Certificate, certify, tried_on
from intertwine.data import GraphStore, Splits, described, particles
from intertwine.data.embedded import cluster, crystals, molecules
from intertwine.data.trials import COUNT, KINDS, made_for
from intertwine.geometry import Graph
from intertwine.nn import SpeciesTable
from intertwine.numerics import CheckpointError, DataError
from intertwine.training.folder import CERTIFICATE, SPLITS, Run
from intertwine.training.location import located
from intertwine.training.sets import open_sets

TESTED_STRUCTURES = 6  # structures of the test set
MOST_NODES = 64  # nodes: the force Jacobian of larger ones takes long, and they prove no more


def test_set(  # not a test
    run: Run,
    *,
    progress: bool = False,  # noqa: PT028
    data: str | Path | None = None,  # noqa: PT028
    test: str | Path | None = None,  # noqa: PT028
) -> GraphStore:
    """The test set of a run: of its data, the entries that its split keeps apart, or its second file.

    Args:
        run: from :func:`load_run`.
        progress: show a bar while the data are read.
        data, test: where its data, and its second file, are now; None where they were.

    Raises:
        CheckpointError: the run folder does not say which entries they are.
        DataError: the data are not where they were, have changed, or no entries were kept apart.
    """
    if not (run.folder / SPLITS).is_file():
        raise CheckpointError(f"{SPLITS} is missing", where=str(run.folder), remedy="name the data to evaluate on.")
    splits, options = Splits.load(run.folder / SPLITS), located(run.config.data, run.folder, source=data, test=test)
    store = open_sets(options, splits=splits, progress=progress, allow=run.allow, labelled=run.task.labelled).test
    #: evaluate compares the test set with the training set itself; the validation set is not evaluated
    divided = (" of the validation set", " of the test set")
    store.warnings = [line for line in store.warnings if not any(each in line for each in divided)]
    if not len(store):
        raise DataError("the run kept no test set", where=str(run.folder), remedy="name the data to evaluate on.")
    return store


test_set.__test__ = False  # type: ignore[attr-defined]  # pytest takes the name for a test's


def trial_graphs(function: Any, test: GraphStore | None = None) -> list[Graph]:
    """What to certify a function on: a few structures of its test set, molecules (or charged particles) of awkward
    shapes, a cluster; images, voxels, point clouds or spherical signals, where it says so by its ``trials``.

    Without a test set also periodic structures, where the function has a cutoff.

    Args:
        function: a task, a model, or any function of graphs.
        test: its test set, if it has one.

    Returns:
        Graphs of one dimension, whose species the function knows.

    Raises:
        DataError: there are none: no test set, and no molecule or crystal of the library has those species.
    """
    graphs = [test[k] for k in range(min(TESTED_STRUCTURES, len(test)))] if test is not None else []
    kind = tried_on(function)
    if kind in KINDS:
        return graphs[:COUNT] or made_for(kind, getattr(function, "backbone", function))
    graphs = [graph for graph in graphs if graph.num_nodes <= MOST_NODES] or graphs[:1]
    if kind == "particles":
        return graphs or [described(graph, function) for graph in particles(TESTED_STRUCTURES)]
    if graphs and (graphs[0].dimension != 3 or graphs[0].get("z") is None):
        return graphs
    species = known_species(function)
    periodic = test is None and getattr(function, "cutoff", None) is not None
    # which molecules lack
    read = {name for name in getattr(function, "reads", ()) if any(name in graph for graph in graphs)}
    others = [
        graph for graph in (*molecules(), *(crystals() if periodic else ()), cluster()) if read <= set(graph.keys())
    ]
    known_ones = [graph for graph in others if species is None or set(graph.z.tolist()) <= species]
    graphs += [described(graph, function, *graphs[:1]) for graph in known_ones]
    if not graphs:
        names = ", ".join(chemical_symbols[z] for z in sorted(species or ()))
        raise DataError(
            f"no structure to certify it on: none of the library's own is of {names or 'known species'} alone",
            where="certify",
            remedy="say where the data of the run are now (--data PATH), or give structures (--molecules FILE).",
        )
    return graphs


def known_species(function: Any) -> set[int] | None:
    """The atomic numbers that a model has an embedding for; None if it does not say."""
    if not isinstance(function, nn.Module):
        return None
    tables = [set(module.known) for module in function.modules() if isinstance(module, SpeciesTable)]
    return set.intersection(*tables) if tables else None


def certify_run(run: Run, test: GraphStore | None = None, **options: Any) -> Certificate:
    """The certificate of a trained task on :func:`trial_graphs`, for the symmetry that its model claims; on the CPU.

    Args:
        run: from :func:`load_run`.
        test: its test set, if there is one.
        **options: other arguments of :func:`intertwine.certify.certify`.
    """
    task = run.task
    if next(task.parameters()).device.type != "cpu":  # as the structures are
        task = copy.deepcopy(task).to("cpu")
    return certify(task, trial_graphs(task, test), **{"symmetry": task.symmetry} | options)


def conclude(run: Run, test: GraphStore, say: Callable[[str], None]) -> Certificate | None:
    """Certify a run that has just been trained, into its folder. An error is printed and does not end the run.

    Args:
        run: the run.
        test: its test set; may be empty.
        say: tells the user.
    """
    say("certifying: symmetry, smoothness, forces")
    try:
        certificate = certify_run(run, test if len(test) else None)
        certificate.save(run.folder / CERTIFICATE)
    except (ValueError, RuntimeError, OSError) as error:  # the library's own errors are among them
        say(f"not certified: {error}")
        return None
    verdict = certificate.summary().partition(" Skipped:")[0]
    say(f"certificate {verdict} It tests symmetry, not accuracy; all lines are in {CERTIFICATE}.")
    return certificate
