"""Solids on ordinary axes: orthographic projection, and Lambert's shading with a little gloss."""

from __future__ import annotations

from math import cos, radians, sin

import numpy as np

LIGHT_DIRECTION = (-0.35, 0.65, 0.7)  # in the picture's frame: from the left, from above, from the front


def camera(view: tuple[float, float]) -> np.ndarray:
    """Rows: right, up and towards the viewer, in coordinates (x, y, z), (3, 3).

    Args:
        view: elevation above the xz plane and turn about y, degrees.
    """
    up, turn = radians(view[0]), radians(view[1])
    forward = np.array([cos(up) * sin(turn), sin(up), cos(up) * cos(turn)])
    right = np.array([cos(turn), 0.0, -sin(turn)])
    return np.stack([right, np.cross(forward, right), forward])


def shaded(normals: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Colours (rows, 3) in the light, from 0 to 1.

    Args:
        normals: (rows, 3) in the frame of the picture, of length 1, towards the viewer.
        colours: red, green and blue from 0 to 1, (rows, 3) or (3).
    """
    light = np.array(LIGHT_DIRECTION) / np.linalg.norm(LIGHT_DIRECTION)
    half = light + np.array([0.0, 0.0, 1.0])
    half /= np.linalg.norm(half)
    diffuse, gloss = (normals @ light).clip(0, 1)[:, None], ((normals @ half).clip(0, 1) ** 24)[:, None]
    lit = colours * (0.42 + 0.62 * diffuse)
    return (lit + 0.35 * gloss * (1 - lit)).clip(0, 1)
