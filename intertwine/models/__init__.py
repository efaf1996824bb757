"""Floor 5: architectures, one a file. A new model is one file and one line here."""

from intertwine.models.egnn import EGNN
from intertwine.models.painn import PaiNN
from intertwine.models.schnet import SchNet
from intertwine.nn import Backbone

#: Every architecture by the name that the command line uses.
MODELS: dict[str, type[Backbone]] = {"egnn": EGNN, "painn": PaiNN, "schnet": SchNet}

__all__ = ["EGNN", "MODELS", "PaiNN", "SchNet"]
