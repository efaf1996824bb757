"""Floor 7: training. The configuration is the constructors' arguments; a run is a folder."""

from intertwine.data.loader import Loader
from intertwine.numerics.checkpoint import load_checkpoint, save_checkpoint
from intertwine.training.certification import certify_run, test_set, trial_graphs
from intertwine.training.config import Choice, Config, model_class, resolve, task_class
from intertwine.training.evaluation import evaluate, predict
from intertwine.training.folder import Run, load_run
from intertwine.training.options import DataOptions, StartOptions, SymmetrizeOptions, TrainingOptions
from intertwine.training.run import train
from intertwine.training.sections import merge, parse_settings, read_config
from intertwine.training.side_by_side import compare
from intertwine.training.start import save_task
from intertwine.training.summary import info
from intertwine.training.tuning import tune

__all__ = [
    "Choice",
    "Config",
    "DataOptions",
    "Loader",
    "Run",
    "StartOptions",
    "SymmetrizeOptions",
    "TrainingOptions",
    "certify_run",
    "compare",
    "evaluate",
    "info",
    "load_checkpoint",
    "load_run",
    "merge",
    "model_class",
    "parse_settings",
    "predict",
    "read_config",
    "resolve",
    "save_checkpoint",
    "save_task",
    "task_class",
    "test_set",
    "train",
    "trial_graphs",
    "tune",
]
