"""A frozen force field as a prepared sequence of compiled loops: energy and forces without autograd."""

from intertwine.integrations.frozen.moving import BOUNDS, Moving, deviation
from intertwine.integrations.frozen.stepper import Step, Stepper, stepper_of

__all__ = ["BOUNDS", "Moving", "Step", "Stepper", "deviation", "stepper_of"]
