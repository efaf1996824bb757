"""Who computes: processes of this machine, or the workers of a Dask cluster, behind one interface."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from intertwine.labels.programs import program
from intertwine.labels.recipe import Recipe
from intertwine.labels.structure import Outcome, Structure
from intertwine.labels.worker import label_structure, one_thread, prepare
from intertwine.numerics import InputError

AHEAD = 2  # structures for each process that it, or its queue, has at a time
PATIENCE = 20  # s, for a scheduler to answer
SOON = 5.0  # s, in which a process ends that the executor has told to
GUARDED = 'put what it does under `if __name__ == "__main__":`'
RESUMED = "what was labelled is kept: the same command goes on"


@contextlib.contextmanager
def processes(count: int) -> Iterator[tuple[Executor, int]]:
    """Processes of this machine, of one thread each, and how many there are. They end with this one.

    Args:
        count: of processes.
    """
    context = multiprocessing.get_context("spawn")
    reading, writing = context.Pipe(duplex=False)
    with one_thread():
        executor = ProcessPoolExecutor(count, mp_context=context, initializer=prepare, initargs=(reading,))
        try:
            yield executor, count
            executor.shutdown()
        except BaseException as error:
            writing.close()  # which ends them
            executor.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, RuntimeError) and "bootstrapping" in str(error):  # multiprocessing's own words
                what = "a script that labels is imported anew by each process, and this one labels as it is imported"
                raise InputError(what, where="intertwine label", remedy=f"in a script, {GUARDED}.") from error
            raise
        finally:
            writing.close()
            reading.close()


@contextlib.contextmanager
def cluster(address: str) -> Iterator[tuple[Executor, int]]:
    """The workers of a Dask cluster, and how many structures they compute at a time.

    Args:
        address: of its scheduler, such as "tcp://10.0.0.1:8786"; or a file that the scheduler wrote.

    Raises:
        InputError: Dask is not installed, the scheduler does not answer, or it has no workers.
    """
    distributed = program("distributed")
    told: dict[str, Any] = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    try:
        client = distributed.Client(**told, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        what = f"no scheduler answers: {' '.join(str(error).split())[:200]}"
        remedy = "start one with `dask scheduler`, and give the address that it prints."
        raise InputError(what, where=f"--scheduler {address}", remedy=remedy) from error
    with client:
        threads = sum(client.ncores().values())
        if not threads:
            remedy = "start some with `dask worker ADDRESS --nthreads 1`."
            raise InputError("the scheduler has no workers", where=f"--scheduler {address}", remedy=remedy)
        executor = client.get_executor(pure=False, retries=2)
        try:
            yield executor, threads
        except (distributed.KilledWorker, CancelledError) as error:
            what = f"the cluster gave up: {' '.join(str(error).split())[:200] or 'the scheduler went away'}"
            remedy = f"see its logs; give its workers more memory each; {RESUMED}."
            raise InputError(what, where=f"--scheduler {address}", remedy=remedy) from error
        finally:
            executor.shutdown(wait=False)


def outcomes(executor: Executor, count: int, structures: Iterable[Structure], recipe: Recipe) -> Iterator[Outcome]:
    """What came of the structures, as they are done, few of them on their way at a time.

    Args:
        executor: who computes.
        count: of structures that it computes at a time.
        structures: what to label.
        recipe: how.

    Raises:
        InputError: the processes could not start, or one of them was killed.
    """
    coming, running = iter(structures), dict[Future[Outcome], Structure]()
    others = {*multiprocessing.active_children()}
    children, began = set(others), False
    try:
        while True:
            while len(running) < AHEAD * count and (structure := next(coming, None)) is not None:
                running[executor.submit(label_structure, structure, recipe)] = structure
            if not running:
                return
            children |= {*multiprocessing.active_children()}
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                outcome, began = future.result(), True
                yield outcome
                del running[future]
    except BrokenProcessPool as error:
        frames = sorted(structure.frame for structure in running.values())
        raise _broken([_code(child) for child in children - others], frames, began) from error


def _code(child: Any) -> int | None:
    """The exit code of a process that has ended, or is about to."""
    child.join(SOON)
    return child.exitcode


def _broken(codes: Collection[int | None], frames: Sequence[int], began: bool) -> InputError:
    """What is said of processes of which one has ended.

    Args:
        codes: exit codes; those that the executor ended after the first have that of SIGTERM.
        frames: that were on their way.
        began: whether a structure was computed before.
    """
    own = [code for code in codes if code is not None and code not in (0, -signal.SIGTERM)]
    at = f"at one of the frames {', '.join(map(str, frames))}"
    if any(code > 0 for code in own) and not began:
        what = "the processes could not start: each imports the program that labels, and failed; see above why"
        remedy = (
            f"in a script, {GUARDED}, for it is imported anew by each process; where that is done, mend the error that "
            "is printed above."
        )
        return InputError(what, where="intertwine label", remedy=remedy)
    if -signal.SIGKILL in own:
        what, remedy = f"a process was killed {at}; memory may be lacking", f"use fewer --processes; {RESUMED}."
        return InputError(what, where="intertwine label", remedy=remedy)
    ends = [f"by {signal.Signals(-code).name}" if code < 0 else f"with the exit code {code}" for code in own[:1]]
    what = f"a process ended {(*ends, 'without a reason')[0]} {at}"
    return InputError(what, where="intertwine label", remedy=f"look at these structures; {RESUMED}.")
