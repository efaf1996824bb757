"""Floor 7: labels by quantum chemistry, PySCF's and tblite's, of structures in a file; `intertwine label`."""

from intertwine.labels.journal import Journal
from intertwine.labels.methods import Method, has_basis, method_of
from intertwine.labels.pool import cluster, outcomes, processes
from intertwine.labels.programs import program, versions
from intertwine.labels.recipe import MATRICES, UNITS, Recipe, recipe
from intertwine.labels.run import Summary, journal_of, label
from intertwine.labels.structure import NoLabelsError, Outcome, Structure
from intertwine.labels.worker import label_structure

__all__ = [
    "MATRICES",
    "UNITS",
    "Journal",
    "Method",
    "NoLabelsError",
    "Outcome",
    "Recipe",
    "Structure",
    "Summary",
    "cluster",
    "has_basis",
    "journal_of",
    "label",
    "label_structure",
    "method_of",
    "outcomes",
    "processes",
    "program",
    "recipe",
    "versions",
]
