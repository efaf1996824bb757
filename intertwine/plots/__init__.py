"""Floor 4: pictures of arrays, representations, harmonics and products; knows no model. matplotlib is loaded when
something is drawn.
"""

from intertwine.plots.classes import confusion, error_by_angle, examples
from intertwine.plots.codes import code_map, image_rows, molecule_rows, signal_rows, turned_codes
from intertwine.plots.curves import draw_learning_curve, learning_curve, learning_curves, trajectory
from intertwine.plots.densities import density_slice, error_over_distance
from intertwine.plots.isosurfaces import density_surfaces
from intertwine.plots.matrices import representation, wigner
from intertwine.plots.orbitals import block_errors, ladder, matrices
from intertwine.plots.parity import draw_error_by_species, draw_parity, error_by_species, parity
from intertwine.plots.path_diagram import paths
from intertwine.plots.refinement import iterations
from intertwine.plots.report import certificate, draw_certificate, overview
from intertwine.plots.spectra import broadened, spectrum
from intertwine.plots.style import figure, save
from intertwine.plots.surfaces import harmonic_surface, spherical_harmonics, spherical_tensor
from intertwine.plots.trials import trials
from intertwine.plots.viewer import density_viewer

__all__ = [
    "block_errors",
    "broadened",
    "certificate",
    "code_map",
    "confusion",
    "density_slice",
    "density_surfaces",
    "density_viewer",
    "draw_certificate",
    "draw_error_by_species",
    "draw_learning_curve",
    "draw_parity",
    "error_by_angle",
    "error_by_species",
    "error_over_distance",
    "examples",
    "figure",
    "harmonic_surface",
    "image_rows",
    "iterations",
    "ladder",
    "learning_curve",
    "learning_curves",
    "matrices",
    "molecule_rows",
    "overview",
    "parity",
    "paths",
    "representation",
    "save",
    "signal_rows",
    "spectrum",
    "spherical_harmonics",
    "spherical_tensor",
    "trajectory",
    "trials",
    "turned_codes",
    "wigner",
]
