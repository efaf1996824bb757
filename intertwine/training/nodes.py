"""Processes of one run that others have started: torchrun, SLURM's srun, or the user, once on each machine."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from datetime import timedelta
from typing import Any, NamedTuple

import torch

from intertwine.numerics import InputError, IntertwineError
from intertwine.training.options import TrainingOptions

#: s until all processes are started, and until all are prepared, as long as torch's own.
MEETING_S, PREPARATION_S = 300.0, 1800.0
#: Variables of which torchrun, or srun, sets one in each process that it starts.
STARTERS = {"TORCHELASTIC_RUN_ID", "SLURM_NTASKS"}
GRACE_S, PAUSE_S = 5.0, 0.1  # s: to hear why a connection broke, and between two looks
BY_HAND = (
    "start it by torchrun or srun, or on each machine with "
    "MASTER_ADDR, MASTER_PORT and NODE_RANK (0, 1, ...) in the environment."
)


class Place(NamedTuple):
    """Which process of a run this is: the machine, and the number on it."""

    node: int = 0
    local: int = 0


FIRST_PLACE = Place()


class Launch(NamedTuple):
    """How this process was started: by whom, where it is, how many others there are, and the first one's address; alone
    by default.
    """

    by: str = ""
    place: Place = FIRST_PLACE
    members: int = 1
    address: str = ""
    port: int = 0


def launch(nodes: int) -> Launch:
    """How this process of a run on so many machines was started, as Lightning reads it from the environment.

    Raises:
        InputError: a variable is missing or wrong.
    """
    if nodes == 1 and not STARTERS & os.environ.keys() and os.environ.get("NODE_RANK", "0") == "0":
        return Launch()  # without the seconds that Lightning's import takes, so that wrong data are named at once
    from lightning.fabric.plugins.environments import (
        ClusterEnvironment,
        LightningEnvironment,
        SLURMEnvironment,
        TorchElasticEnvironment,
    )

    by = ""
    cluster: ClusterEnvironment
    try:
        if TorchElasticEnvironment.detect():
            by, cluster = "torchrun", TorchElasticEnvironment()
            members = cluster.world_size()
        elif _by_srun() and int(os.environ["SLURM_NTASKS"]) > 1:
            with warnings.catch_warnings():  # that srun exists
                warnings.simplefilter("ignore")
                by, cluster = "srun", SLURMEnvironment(auto_requeue=False)
            members = cluster.world_size()
        elif nodes > 1 or os.environ.get("NODE_RANK", "0") != "0":
            by, cluster, members = "hand", LightningEnvironment(), nodes
            # Lightning would take defaults, different ones on each machine
            for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK"):
                os.environ[name]
        else:
            return Launch()
        local = 0 if by == "hand" else cluster.local_rank()
        return Launch(by, Place(cluster.node_rank(), local), members, cluster.main_address, cluster.main_port)
    except KeyError as error:
        what = f"{nodes} machines, but {error.args[0]} is not in the environment"
    except (ValueError, RuntimeError) as error:
        what = f"the environment of a process started by {by} can't be read: {error}"
    raise InputError(what, where="training.nodes", remedy=BY_HAND)


def _by_srun() -> bool:
    """Whether srun started this process. In a script of sbatch Lightning believes so too, but only srun counts the
    tasks of its step.
    """
    if "SLURM_NTASKS" not in os.environ or ("SLURM_JOB_ID" in os.environ and "SLURM_STEP_NUM_TASKS" not in os.environ):
        return False
    from lightning.fabric.plugins.environments import SLURMEnvironment

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return SLURMEnvironment.detect()


class Team:
    """The processes that were started for one run; what goes wrong in one of them inside the ``with`` block ends the
    others too.

    Args:
        options: how many processes the run wants.

    Attributes:
        launch: how this process was started.
        first: whether this one makes the folder, writes and reports.

    Raises:
        InputError: it was started another number of times than ``nodes * devices`` (by hand: ``nodes``).
        IntertwineError: the first process is not there.
    """

    def __init__(self, options: TrainingOptions) -> None:
        self.launch = launch(options.nodes)
        self.options = options
        by, place, members, _, _ = self.launch
        self.first = place == FIRST_PLACE
        self.store: torch.distributed.Store | None = None
        expected = options.nodes if by == "hand" else options.processes
        # on this machine, so that all see it
        counted = {"torchrun": "LOCAL_WORLD_SIZE", "srun": "SLURM_NTASKS_PER_NODE"}.get(by, "")
        here = int(os.environ.get(counted, options.devices))
        if by and (
            members != expected
            or here != options.devices
            or place.node >= options.nodes
            or place.local >= options.devices
        ):
            started = (
                f"this is machine {place.node}, by NODE_RANK"
                if by == "hand"
                else f"the command was started {members} times, by {by}"
            )
            what = f"{started}; asked for are {options.nodes} machines with {options.devices} processes each"
            raise InputError(
                what,
                where="training.nodes",
                remedy="give --nodes and --devices (of each machine) as the launcher has them.",
            )

    @property
    def starts(self) -> int:
        """How many processes of this machine are this one's to start, itself among them."""
        return 1 if self.launch.by in ("torchrun", "srun") else self.options.devices

    def check(self, options: TrainingOptions) -> None:
        """Raise an :class:`InputError` if a run that goes on is for other processes than there are."""
        if self.launch.by and (options.nodes, options.devices) == (self.options.nodes, self.options.devices):
            return
        if self.launch.by or options.nodes > 1:
            what = f"the run was on {options.nodes} machines with {options.devices} processes each"
            raise InputError(
                what,
                where="training.nodes",
                remedy="give --nodes and --devices again, here --nodes 1 to go on with one.",
            )
        self.options = options

    def __enter__(self) -> Team:
        by, _, members, address, port = self.launch
        if members > 1:
            owner = self.first and not (by == "torchrun" and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True")
            try:  # torch's group of processes meets at the same port, and shares the store
                store = torch.distributed.TCPStore(
                    address,
                    port,
                    is_master=owner,
                    wait_for_workers=False,
                    multi_tenant=True,
                    timeout=timedelta(seconds=MEETING_S),
                )
            except (RuntimeError, ValueError) as error:
                remedy = "see that the first process runs, and that MASTER_ADDR and MASTER_PORT are its and free."
                raise IntertwineError(
                    f"can't meet at {address}:{port}: {error}", where="training.nodes", remedy=remedy
                ) from error
            self.store = torch.distributed.PrefixStore(
                f"intertwine/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store
            )
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self.store is None or error is None:
            return
        # the connection broke: perhaps somebody said why
        if isinstance(error, RuntimeError) and not isinstance(error, IntertwineError):
            end = time.monotonic() + GRACE_S
            while time.monotonic() < end:
                self._blame(error)
                time.sleep(PAUSE_S)
        with contextlib.suppress(RuntimeError):
            self.store.compare_set("failed", "", f"{self._number} {type(error).__name__}: {error}")
            end = time.monotonic() + GRACE_S
            while self.first and self.store.add("left", 0) < self.launch.members - 1 and time.monotonic() < end:
                time.sleep(PAUSE_S)  # the first process keeps the store

    def say(self, key: str, value: str = "") -> None:
        """Tell the others."""
        if self.store is not None:
            self.store.set(key, value)

    def hear(self, key: str) -> str:
        """What another process says, when it does.

        Raises:
            IntertwineError: one has failed, or ended, or says nothing in half an hour.
        """
        assert self.store is not None
        end = time.monotonic() + PREPARATION_S
        try:
            while not self.store.check([key]):
                self._blame()
                if time.monotonic() > end:
                    raise self._lost(f"nothing was heard for {PREPARATION_S / 60:.0f} minutes")
                time.sleep(PAUSE_S)
            return self.store.get(key).decode()
        except RuntimeError as error:
            if isinstance(error, IntertwineError):
                raise
            raise self._lost("the first process ended") from error

    def gather(self) -> None:
        """Wait until everybody is prepared: torch's own meeting would not see that one has failed."""
        if self.store is not None:
            self.say(f"ready/{self._number}")
            for number in range(self.launch.members):
                self.hear(f"ready/{number}")

    @property
    def _number(self) -> int:
        node, local = self.launch.place
        return node if self.launch.by == "hand" else node * self.options.devices + local

    def _blame(self, cause: BaseException | None = None) -> None:
        """Raise what another process failed with, if it has."""
        if self.store is None:
            return
        try:
            if not self.store.check(["failed"]):
                return
            number, _, said = self.store.get("failed").decode().partition(" ")
            self.store.add("left", 1)
        except RuntimeError as error:
            raise self._lost("the first process ended") from error
        raise self._lost(f"process {number} failed: {said}") from cause

    def _lost(self, what: str) -> IntertwineError:
        remedy = "correct it, then start all of them again; --resume keeps finished epochs."
        return IntertwineError(what, where="training.nodes", remedy=remedy)


def leads() -> bool:
    """Whether this is the process of a run that reports."""
    return launch(1).place == FIRST_PLACE
