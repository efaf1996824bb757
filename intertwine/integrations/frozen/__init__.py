"""A frozen force field as a prepared sequence of compiled loops: energy and forces without autograd."""

from intertwine.integrations.frozen.door import stepper_of
from intertwine.integrations.frozen.moving import BOUNDS, Moving, deviation
from intertwine.integrations.frozen.step import Step

__all__ = ["BOUNDS", "Moving", "Step", "deviation", "stepper_of"]
