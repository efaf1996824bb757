"""What a run is told about its data, its start and its training; the other two sections are the model's and the task's
own arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from intertwine.data import DEFAULT
from intertwine.numerics import InputError

#: The smallest acceptable value of each number; those in ``POSITIVE`` must exceed it.
SMALLEST = {
    "epochs": 1, "minutes": 0, "batch_size": 1, "learning_rate": 0, "weight_decay": 0, "average": 0, "clip": 0,
    "warmup": 0, "factor": 0, "plateau_patience": 0, "threshold": 0, "minimum_rate": 0, "patience": 0,
    "evaluate_every": 1, "nodes": 1, "devices": 1, "workers": 0, "threads": 0, "seed": 0, "train": 0, "validation": 0,
    "test_size": 0, "limit": 1,
}  # fmt: skip
POSITIVE = ("minutes", "learning_rate", "factor", "train")


@dataclass(frozen=True)
class Options:
    """A section of plain values, in their ranges.

    Raises:
        InputError: a number is out of range, or a text is not UTF-8, so that no file of a run can hold it; names the
            option.
    """

    section: ClassVar[str]

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            _check(f"{self.section}.{name}", name, value)


def _check(where: str, name: str, value: Any) -> None:
    if isinstance(value, int | float) and name in SMALLEST:
        least, bound = SMALLEST[name], "above" if name in POSITIVE else "of at least"
        if not value >= least or (name in POSITIVE and value == least) or value == float("inf"):
            raise InputError(f"{value} is out of range", where=where, remedy=f"give a number {bound} {least}.")
        if name == "average" and value >= 1:
            raise InputError(f"{value} is not below 1", where=where, remedy="give a decay such as 0.99.")
    for text in (*value, *value.values()) if isinstance(value, dict) else (value,):
        try:
            str(text).encode()
        except UnicodeEncodeError as error:
            shown = str(text).encode("utf-8", "backslashreplace").decode()
            raise InputError(f"{shown} is not UTF-8", where=where, remedy="rename the file.") from error


@dataclass(frozen=True)
class DataOptions(Options):
    """Where the structures are, and which of them are for what.

    Args:
        source: name of a data set ("ethanol", "nbody", "qm9") or path of a file.
        test: a second file, all of which is the test set; None takes the test set from ``source``.
        keys: names of the labels in the file, such as ``{energy = "U0"}``.
        units: units of the labels in the file, such as ``{energy = "kcal/mol"}``.
        target: the label to learn, where it is not energies and forces.
        train: size of the training set, a number of structures or (below 1) a share; None takes what is left. If the
            data set has its own split, sizes shorten its parts to their first entries, and shares are of the part.
        validation: size of the validation set; None for the data set's own, or a tenth (at most 1,000).
        test_size: size of the test set; None for the data set's own, or a tenth.
        seed: of the random split.
        indices: file (.json or .npz) with the indices of the three sets, instead of a random split.
        limit: read only so many structures.
    """

    section: ClassVar[str] = "data"
    source: str = DEFAULT
    test: str | None = None
    keys: dict[str, str] | None = None
    units: dict[str, str] | None = None
    target: str | None = None
    train: int | float | None = None
    validation: int | float | None = None
    test_size: int | float | None = None
    seed: int = 0
    indices: str | None = None
    limit: int | None = None


@dataclass(frozen=True)
class TrainingOptions(Options):
    """How to train.

    Args:
        epochs: passes over the training set, at most.
        minutes: time budget; the learning rate is brought down within it and training ends when it is spent. Results
            then depend on the machine's speed.
        batch_size: structures in a batch, of each process.
        learning_rate: the largest rate of the schedule.
        weight_decay: of AdamW, or the L2 penalty of Adam.
        optimizer: "adam" or "adamw".
        average: decay of the exponential moving average of the weights, which is what is validated and kept; 0 for
            none.
        clip: largest norm of the gradient; 0 for no clipping.
        schedule: "plateau" lowers the rate when validation stalls; "cosine" and "linear" bring it down over the run;
            "constant".
        warmup: steps over which the rate rises from zero.
        factor: by which "plateau" multiplies the rate.
        plateau_patience: validations without improvement before it does.
        threshold: relative improvement that counts.
        minimum_rate: floor of the rate.
        patience: validations without improvement before training ends; 0 for never.
        evaluate_every: epochs between validations.
        precision: of the network, "float32" or "float64".
        nodes: machines, on each of which the command is started (by torchrun, srun or hand).
        devices: processes on the CPU, or GPUs, of each machine.
        accelerator: "cpu", "gpu" or "auto".
        workers: processes that prepare batches; 0 does it in the training process.
        threads: of each process; by default one for every thousand edges of a batch; 0 shares all cores among the
            processes.
        seed: of the initial weights and the order of the data.
        certify: certify the trained model; False saves the seconds that it takes.
        loggers: who else is told what ``metrics.csv`` has: "csv", "tensorboard", "wandb", or ``module:Class`` of a
            Lightning logger.
    """

    section: ClassVar[str] = "training"
    epochs: int = 150
    minutes: float | None = None
    batch_size: int = 5
    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    optimizer: Literal["adam", "adamw"] = "adam"
    average: float = 0.99
    clip: float = 10.0
    schedule: Literal["plateau", "cosine", "linear", "constant"] = "cosine"
    warmup: int = 0
    factor: float = 0.7
    plateau_patience: int = 10
    threshold: float = 1e-3
    minimum_rate: float = 1e-6
    patience: int = 50
    evaluate_every: int = 1
    precision: Literal["float32", "float64"] = "float32"
    nodes: int = 1
    devices: int = 1
    accelerator: Literal["cpu", "gpu", "auto"] = "auto"
    workers: int = 0
    threads: int = 0
    seed: int = 0
    certify: bool = True
    loggers: tuple[str, ...] = ()

    @property
    def processes(self) -> int:
        """How many train, on all machines together."""
        return self.nodes * self.devices


@dataclass(frozen=True)
class StartOptions(Options):
    """Whose weights a run begins with; with ``run`` None they are random.

    Args:
        run: a run folder, one of its checkpoints, or a file of :func:`intertwine.training.save_task`.
        which: weights of a folder, "best" or "last"; both are averages.
        references: "fit" moves the zero of energies and the like to the new data, "keep" leaves it.
        freeze: parts of the network that are not trained, such as ``("embedding", "layers.*")``.
        weights: SHA-256 of the weights, which the run adds.
    """

    section: ClassVar[str] = "start"
    run: str | None = None
    which: Literal["best", "last"] = "best"
    references: Literal["fit", "keep"] = "fit"
    freeze: Sequence[str] = ()
    weights: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.freeze and self.run is None:
            raise InputError(
                "random weights are not worth keeping", where="start.freeze", remedy="say whose weights: --from RUN."
            )
        if self.run is None and (self.which, self.references) != ("best", "fit"):
            raise InputError(
                "a run that begins with random weights has none", where="start", remedy="say whose weights: --from RUN."
            )
