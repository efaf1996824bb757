"""Floor 4: is it equivariant, smooth, conservative? For any function and any group; knows no models."""

from intertwine.certify.certificate import Certificate, Line
from intertwine.certify.measured import BOUNDS
from intertwine.certify.subject import tried_on
from intertwine.certify.suite import CHECKS, Check, assert_equivariant, certify

__all__ = ["BOUNDS", "CHECKS", "Certificate", "Check", "Line", "assert_equivariant", "certify", "tried_on"]
