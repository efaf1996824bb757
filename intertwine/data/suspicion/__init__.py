"""What in data is suspicious though it can be read: wild labels, wrong units, coincident atoms, copies."""

from intertwine.data.suspicion.alike import EQUAL_ENERGIES, ZERO_FORCES
from intertwine.data.suspicion.beside import other_units
from intertwine.data.suspicion.copies import marks, shared
from intertwine.data.suspicion.domain import Domain
from intertwine.data.suspicion.frames import Frames
from intertwine.data.suspicion.lines import Suspect, examine, kinds_in, suspicions
from intertwine.data.suspicion.seen import Seen

__all__ = [
    "EQUAL_ENERGIES",
    "ZERO_FORCES",
    "Domain",
    "Frames",
    "Seen",
    "Suspect",
    "examine",
    "kinds_in",
    "marks",
    "other_units",
    "shared",
    "suspicions",
]
