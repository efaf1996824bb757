"""Floor 4: pictures of arrays; knows no model. matplotlib is loaded when something is drawn."""

from intertwine.plots.curves import draw_learning_curve, learning_curve, trajectory
from intertwine.plots.parity import draw_error_by_species, draw_parity, error_by_species, parity
from intertwine.plots.report import certificate, draw_certificate, overview
from intertwine.plots.style import figure, save

__all__ = [
    "certificate",
    "draw_certificate",
    "draw_error_by_species",
    "draw_learning_curve",
    "draw_parity",
    "error_by_species",
    "figure",
    "learning_curve",
    "overview",
    "parity",
    "save",
    "trajectory",
]
