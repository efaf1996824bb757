"""Floor 4: is it equivariant, smooth, conservative? For any function of graphs; knows groups and graphs, no models."""

from intertwine.certify.certificate import Certificate, Line
from intertwine.certify.suite import CHECKS, Check, assert_equivariant, certify
from intertwine.certify.trial import BOUNDS

__all__ = ["BOUNDS", "CHECKS", "Certificate", "Check", "Line", "assert_equivariant", "certify"]
