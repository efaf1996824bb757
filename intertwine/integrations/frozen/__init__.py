"""A frozen force field as a prepared sequence of compiled loops: energy and forces without autograd."""

from intertwine.integrations.frozen.moving import BOUNDS, Moving, deviation
from intertwine.integrations.frozen.step import Step, stepper_of

__all__ = ["BOUNDS", "Moving", "Step", "deviation", "stepper_of"]
