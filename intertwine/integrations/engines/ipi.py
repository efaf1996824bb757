"""A force field as a client of i-PI, or of any program that serves its socket protocol."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.socketio import IPIProtocol, SocketClient, actualunixsocketname
from jaxtyping import Float

from intertwine.integrations.engines.field import evaluated
from intertwine.numerics import GeometryError, InputError

PORT = 31415
PAUSE = 0.2  # s, between two tries to reach a server


def run_client(
    atoms: Atoms,
    *,
    host: str = "localhost",
    port: int = PORT,
    unixsocket: str | None = None,
    wait: float = 60.0,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Compute energies, forces and virials for a server until it has enough, and return how many.

    The server sends cells and positions, and gets energy, forces and virial (:func:`evaluated`), in atomic units, by
    the protocol of Ceriotti, More and Manolopoulos 2014 (Comput. Phys. Commun. 185, 1019); ASE's ``SocketClient``
    speaks it. Elements, and along which lattice vectors space repeats, are those of the structure given here: the
    protocol does not tell them. A server of path integrals may have many clients, a process each.

    Args:
        atoms: a structure with the server's atoms in the server's order, and with a calculator. Its positions (A) and
            cell are replaced by the server's.
        host: name of the server's machine.
        port: its port.
        unixsocket: the name of a socket on this machine, in place of host and port; the file is ``/tmp/ipi_NAME``.
        wait: seconds for which a server that is not there yet is waited for.
        progress: called with the number of structures computed.

    Raises:
        InputError: no server answers, it has other numbers of atoms, or it breaks off.
        GeometryError: a structure that it sends is not finite, or the field can't compute it.
    """
    if atoms.calc is None:
        raise InputError("the structure has no calculator", where="atoms", remedy="atoms.calc = Calculator(run).")
    place = actualunixsocketname(unixsocket) if unixsocket is not None else f"{host}:{port}"
    client = _reached(host, port, unixsocket, wait, place)
    client.protocol = _Protocol(client.protocol.socket, len(atoms))
    done = 0
    try:
        for done, _ in enumerate(client.irun(atoms, use_stress=True), start=1):
            if progress is not None:
                progress(done)
    except (ConnectionError, TimeoutError) as error:
        what = f"the server broke off after {done} structures: {error}"
        raise InputError(what, where=place, remedy="see its own output.") from error
    except KeyError as error:
        what = f"it does not speak i-PI's protocol: {error}"
        raise InputError(what, where=place, remedy="check the address.") from error
    finally:
        client.close()
    return done


class _Client(SocketClient):
    """ASE's, with a virial also where ASE has no stress."""

    def calculate(
        self, atoms: Atoms, use_stress: bool
    ) -> tuple[float, Float[np.ndarray, "atoms 3"], Float[np.ndarray, "3 3"]]:
        return evaluated(atoms)


class _Protocol(IPIProtocol):
    """ASE's, which would spread one position over all atoms, and stop at an infinite one by an assertion."""

    def __init__(self, connection: socket.socket, count: int) -> None:
        super().__init__(connection)
        self.count = count

    def recvposdata(self) -> tuple[Any, Any, Any]:
        try:
            cell, inverse, positions = super().recvposdata()
        except AssertionError as error:
            remedy = "use a smaller time step, or start from a relaxed structure."
            raise GeometryError("the server's cell or positions are not finite", remedy=remedy) from error
        if len(positions) != self.count:
            what = f"the server has {len(positions)} atoms, and the structure {self.count}"
            raise InputError(what, where="atoms", remedy="give the structure that the server starts from.")
        return cell, inverse, positions


def _reached(host: str, port: int, unixsocket: str | None, wait: float, place: str) -> SocketClient:
    """A client that is connected to the server, which may take its time to start."""
    if not 0 <= wait < float("inf"):
        raise InputError(f"a wait of {wait} s", where="wait", remedy="give 0 or more seconds.")
    end = time.monotonic() + wait
    while True:
        try:
            return _Client(host=host, port=port, unixsocket=unixsocket)
        except (OSError, OverflowError, TypeError, ValueError) as error:  # the latter of names that are none
            late = isinstance(error, ConnectionRefusedError | FileNotFoundError)
            if not late or time.monotonic() > end:
                remedy = "start the server (i-pi input.xml) with the same address, then this."
                raise InputError(f"no server answers: {error}", where=place, remedy=remedy) from error
        time.sleep(PAUSE)
