"""Frames of graphs: finitely many isometries that move with the input, by which any network is made equivariant."""

from intertwine.geometry.frames.builders import FRAMES, FrameBuilder, centroid
from intertwine.geometry.frames.diagnosis import Diagnosis, diagnose
from intertwine.geometry.frames.frame import Frames
from intertwine.geometry.frames.minimal import minimal
from intertwine.geometry.frames.pca import pca
from intertwine.geometry.frames.point_group import PointGroup, point_group
from intertwine.geometry.frames.sorting import Orders, sorting
from intertwine.geometry.frames.weighted import weighted

__all__ = [
    "FRAMES",
    "Diagnosis",
    "FrameBuilder",
    "Frames",
    "Orders",
    "PointGroup",
    "centroid",
    "diagnose",
    "minimal",
    "pca",
    "point_group",
    "sorting",
    "weighted",
]
