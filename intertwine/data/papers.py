"""The papers of the data sets: of their protocols, or of the programs that made them."""

from __future__ import annotations

from intertwine.nn.paper import EGNN_PAPER, Paper

ASE_PAPER = Paper(
    "larsen2017ase",
    ("Ask Hjorth Larsen", "Jens Jørgen Mortensen", "Jakob Blomqvist", "others"),
    "The atomic simulation environment—a Python library for working with atoms",
    2017,
    "Journal of Physics: Condensed Matter 29, 273002",
    doi="10.1088/1361-648X/aa680e",
)
PYSCF_PAPER = Paper(
    "sun2020pyscf",
    ("Qiming Sun", "Xing Zhang", "Samragni Banerjee", "others"),
    "Recent developments in the PySCF program package",
    2020,
    "The Journal of Chemical Physics 153, 024109",
    doi="10.1063/5.0006074",
)
GFN2_PAPER = Paper(
    "bannwarth2019gfn2",
    ("Christoph Bannwarth", "Sebastian Ehlert", "Stefan Grimme"),
    "GFN2-xTB: An Accurate and Broadly Parametrized Self-Consistent Tight-Binding Quantum Chemical Method with "
    "Multipole Electrostatics and Density-Dependent Dispersion Contributions",
    2019,
    "Journal of Chemical Theory and Computation 15, 1652",
    doi="10.1021/acs.jctc.8b01176",
)
QM9_PAPER = Paper(
    "ramakrishnan2014qm9",
    ("Raghunathan Ramakrishnan", "Pavlo O. Dral", "Matthias Rupp", "O. Anatole von Lilienfeld"),
    "Quantum chemistry structures and properties of 134 kilo molecules",
    2014,
    "Scientific Data 1, 140022",
    doi="10.1038/sdata.2014.22",
)
ENGH_HUBER_PAPER = Paper(
    "engh1991accurate",
    ("Richard A. Engh", "Robert Huber"),
    "Accurate bond and angle parameters for X-ray protein structure refinement",
    1991,
    "Acta Crystallographica A47, 392",
    doi="10.1107/S0108767391001071",
)
DIGITS_PAPER = Paper(
    "alpaydin1998optical",
    ("Ethem Alpaydin", "Cenk Kaynak"),
    "Optical Recognition of Handwritten Digits",
    1998,
    "UCI Machine Learning Repository",
    doi="10.24432/C50P49",
)

__all__ = ["ASE_PAPER", "DIGITS_PAPER", "EGNN_PAPER", "ENGH_HUBER_PAPER", "GFN2_PAPER", "PYSCF_PAPER", "QM9_PAPER"]
