"""A frozen force field as one prepared sequence of compiled loops: energy and forces of a structure without autograd."""

from intertwine.integrations.frozen.stepper import Stepper, stepper_of

__all__ = ["Stepper", "stepper_of"]
