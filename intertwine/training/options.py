"""The settings of a run in the sections data, symmetrize, training and start. The sections model and task hold the
arguments of the model's and the task's constructor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from intertwine.data import DEFAULT
from intertwine.numerics import InputError
from intertwine.numerics.devices import device_name

#: The smallest acceptable value of each number; those in ``POSITIVE`` must exceed it.
SMALLEST = {
    "epochs": 1, "minutes": 0, "batch_size": 1, "learning_rate": 0, "weight_decay": 0, "average": 0, "clip": 0,
    "clip_relative": 0, "warmup": 0, "factor": 0, "plateau_patience": 0, "threshold": 0, "minimum_rate": 0,
    "patience": 0,
    "evaluate_every": 1, "nodes": 1, "devices": 1, "workers": 0, "threads": 0, "seed": 0, "train": 0, "validation": 0,
    "test_size": 0, "limit": 1, "points": 1, "order": 0, "samples": 0, "chunk": 1, "claimed_error": 0, "prior": 0,
}  # fmt: skip
POSITIVE = ("minutes", "learning_rate", "factor", "train", "claimed_error")


@dataclass(frozen=True)
class Options:
    """A section of settings; values are checked to be in their ranges.

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
    """Where the structures are, and how they are divided into training, validation and test set.

    Args:
        source: data set by name ("ethanol", "nbody", "qm9", "structure"), path of a file or folder, pattern, or
            ``module:name``.
        test: second file, all of which is the test set; None takes the test set from ``source``.
        keys: names of the labels in the file, such as ``{energy = "U0"}``; None finds them by their usual names.
        units: units of the labels and positions in the file, such as ``{energy = "kcal/mol"}``; None takes what the
            file declares, else eV and A.
        target: label to learn, such as "homo"; None learns energy and forces, or the data set's own target.
        train: size of the training set, in structures or (below 1, and 1.0) as a share; None takes what is left. If the
            data set has its own split, sizes shorten its parts to their first entries, and shares are of the part.
        validation: size of the validation set, in structures or as a share; None takes the data set's own, or a tenth
            (at most 1,000).
        test_size: size of the test set, in structures or as a share; None takes the data set's own, or a tenth.
        seed: seed of the random split.
        indices: file (.json or .npz) with the indices of the three sets; None splits at random.
        limit: number of structures to read, from the first on; None reads all.
        points: points of the cloud that a mesh is sampled by, which ``seed`` decides.
        rotate: how entries are turned, each by its own rotation, which ``seed`` and its number decide: "none",
            "quarter" (right angles), "z" (about the z axis) or "any". Images and voxels are resampled linearly.
        rotate_test: the same of the test set alone; None turns it as the rest.
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
    points: int = 256
    rotate: Literal["none", "quarter", "z", "any"] = "none"
    rotate_test: Literal["none", "quarter", "z", "any"] | None = None


@dataclass(frozen=True)
class TrainingOptions(Options):
    """How to train.

    Where ``epochs``, ``batch_size``, ``learning_rate`` or ``threads`` is not given, :func:`intertwine.training.train`
    takes what suits the task, the model and the data (:class:`intertwine.tasks.Pace`), not the default below.

    Args:
        epochs: largest number of passes over the training set.
        minutes: time budget, in minutes; None for no limit. The learning rate falls to its minimum within it. Results
            then depend on the speed of the machine.
        batch_size: structures in a batch of each process.
        learning_rate: largest learning rate of the schedule (no unit).
        weight_decay: weight decay of AdamW, or factor of the L2 penalty of Adam (no unit); 0 for none.
        optimizer: "adam" or "adamw".
        average: decay of the exponential moving average of the weights in each step (no unit). The averaged weights are
            validated and kept. 0 for none.
        clip: largest norm of the gradient (no unit); 0 for no clipping.
        clip_relative: largest norm of the gradient, in running norms of the gradients so far (no unit); 0 for none.
        schedule: learning-rate schedule. "plateau" lowers the rate when the validation loss stalls; "cosine" and
            "linear" lower it over the whole run; "flat" lowers it by a cosine over the last quarter; "constant" does
            not.
        warmup: optimizer steps over which the learning rate rises from zero.
        factor: factor by which "plateau" multiplies the learning rate (no unit).
        plateau_patience: validations without improvement before "plateau" lowers the learning rate.
        threshold: smallest relative decrease of the validation loss that counts as improvement (no unit).
        minimum_rate: smallest learning rate (no unit).
        patience: validations without improvement before training stops early; 0 never stops early.
        evaluate_every: epochs from one validation to the next.
        precision: precision of the network, "float32" or "float64".
        nodes: number of machines; the command is started on each (by torchrun, srun or by hand).
        devices: GPUs, or processes on the CPU, of each machine.
        accelerator: where to compute: "auto" (a CUDA GPU if there is one, else the CPU), "cpu", "cuda" (also "gpu"), or
            "cuda:1" (the second).
        workers: processes that prepare batches; 0 prepares them in the training process.
        threads: CPU threads of each process; 0 divides all cores among the processes. If it is not given, the data
            decide: one thread for every thousand edges of a batch.
        seed: seed of the initial weights and the data order.
        certify: certify the trained model; False saves the seconds that it takes.
        loggers: loggers beside ``metrics.csv``: "csv", "tensorboard", "wandb", or ``module:Class`` of a Lightning
            logger.
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
    clip_relative: float = 0.0
    schedule: Literal["plateau", "cosine", "linear", "flat", "constant"] = "cosine"
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
    accelerator: str = "auto"
    workers: int = 0
    threads: int = 0
    seed: int = 0
    certify: bool = True
    loggers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "accelerator", device_name(self.accelerator, "training.accelerator"))

    @property
    def processes(self) -> int:
        """Number of training processes on all machines together."""
        return self.nodes * self.devices


@dataclass(frozen=True)
class SymmetrizeOptions(Options):
    """How the model is made equivariant from outside (:class:`intertwine.symmetrize.SymmetrizedBackbone`).

    Args:
        method: "none" leaves it as it is; "frames" (principal axes), "weighted" (frames with weights, continuous),
            "average" (rotations of a quadrature, random ones, or a finite group) or "canonical" (one learned frame).
        group: "E(n)", "SE(n)", "O(n)", "SO(n)", or of "average" a finite group such as "C_4", "D_4", "octahedral"; None
            is E(n), and C_4 or octahedral for models of images or voxels.
        order: degree of the quadrature of "average"; 3 are 64 elements of E(3), 32 of SE(3).
        samples: random rotations of "average" in place of the quadrature; 0 for none.
        draw: "never" takes all frames, "training" one of each structure at every step of the training and all
            afterwards, "always" one.
        width: of "weighted": points whose squared distance from the centre is within this share of the largest make
            frames (no unit). A small one makes fewer frames, and larger forces where points exchange their parts.
        detached: no derivatives through "frames" or "weighted" ones; forces are then not the gradient of the energy.
        chunk: frames at once; None for all, which is faster and takes more memory.
        irreps: features that a linear map makes of the model's in each frame, such as "64x0e + 32x1o"; None keeps the
            model's.
        claimed_error: relative error of the symmetry that a quadrature claims and the certificate checks (no unit).
        prior: of "canonical": weight in the loss of the distance between frames and the axes of the coordinates.
    """

    section: ClassVar[str] = "symmetrize"
    method: Literal["none", "frames", "weighted", "average", "canonical"] = "none"
    group: str | None = None
    order: int = 3
    samples: int = 0
    draw: Literal["never", "training", "always"] = "never"
    width: float = 0.2
    detached: bool = False
    chunk: int | None = None
    irreps: str | None = None
    claimed_error: float = 0.05
    prior: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        changed = [name for name, value in asdict(self).items() if value != getattr(type(self), name)]
        if self.method == "none" and changed:
            remedy = "give --symmetrize frames, weighted, average or canonical."
            raise InputError("nothing is symmetrized", where=f"symmetrize.{changed[0]}", remedy=remedy)


@dataclass(frozen=True)
class StartOptions(Options):
    """The weights that a run starts from; random ones if ``run`` is None.

    Args:
        run: run folder, one of its checkpoints, or a file of :func:`intertwine.training.save_task`; None starts from
            random weights.
        which: weights of a run folder, "best" or "last"; both are averages.
        references: "fit" moves the reference energies to the new data, "keep" leaves them.
        freeze: parts of the network that are not trained, such as ``("embedding", "layers.*")``.
        weights: SHA-256 of the weights; the run writes it.
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
                "frozen parts need trained weights",
                where="start.freeze",
                remedy="give the run to start from: --from RUN.",
            )
        if self.run is None and (self.which, self.references) != ("best", "fit"):
            raise InputError(
                "start.which and start.references need trained weights",
                where="start",
                remedy="give the run to start from: --from RUN.",
            )
