"""Floor 6: what models are for. A task is a head, a loss, and the way to score; a new one is a file and a line here."""

from intertwine.tasks.autoencoder import Autoencoder
from intertwine.tasks.classification import Classification
from intertwine.tasks.density import Density
from intertwine.tasks.dynamics import Dynamics
from intertwine.tasks.force_field import ForceField
from intertwine.tasks.hamiltonian import Hamiltonian
from intertwine.tasks.point_autoencoder import PointAutoencoder
from intertwine.tasks.property import Property
from intertwine.tasks.references import References
from intertwine.tasks.signal_autoencoder import SignalAutoencoder
from intertwine.tasks.structure import Structure
from intertwine.tasks.task import Metric, Output, Pace, Suggestion, Task
from intertwine.tasks.tensor_form import TensorForm

#: Every task by the name that the command line uses; the first one that suits the data is taken.
TASKS: dict[str, type[Task]] = {
    "hamiltonian": Hamiltonian,
    "density": Density,
    "dynamics": Dynamics,
    "structure": Structure,
    "autoencoder": Autoencoder,
    "point_autoencoder": PointAutoencoder,
    "signal_autoencoder": SignalAutoencoder,
    "force_field": ForceField,
    "classification": Classification,
    "property": Property,
}

__all__ = [
    "TASKS",
    "Autoencoder",
    "Classification",
    "Density",
    "Dynamics",
    "ForceField",
    "Hamiltonian",
    "Metric",
    "Output",
    "Pace",
    "PointAutoencoder",
    "Property",
    "References",
    "SignalAutoencoder",
    "Structure",
    "Suggestion",
    "Task",
    "TensorForm",
]
