"""A client of i-PI's protocol says what ASE says, to ASE's own server and to i-PI."""

from __future__ import annotations

import socket
import subprocess
import sysconfig
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.socketio import SocketIOCalculator
from ase.io import read, write
from engines_beside_ase import AGREEMENT, ase, assert_conserved, chain, ethanol, silicon, spring, triclinic

from intertwine.integrations import run_client
from intertwine.integrations.engines.field import evaluated
from intertwine.numerics import GeometryError, InputError

__all__ = ["spring"]


@contextmanager
def served(atoms: Atoms, task: Any, results: list[Any]) -> Iterator[Atoms]:
    """A structure whose calculator is a server of ASE's, for which a client of ours computes in a thread; what the
    client returned, or raised, goes to ``results``.
    """
    name = f"test_{uuid.uuid4().hex}"

    def client() -> None:
        try:
            results.append(run_client(ase(task, atoms), unixsocket=name, wait=60.0))
        except Exception as error:
            results.append(error)
            with socket.socket(socket.AF_UNIX) as empty:  # or the server would wait for ever
                empty.connect(f"/tmp/ipi_{name}")

    thread = threading.Thread(target=client)
    thread.start()
    with SocketIOCalculator(unixsocket=name, timeout=60) as calculator:
        copied = atoms.copy()
        copied.calc = calculator
        yield copied
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize("make", [triclinic, ethanol], ids=["crystal", "molecule"])
def test_ases_server_gets_what_ase_gets(make: Callable[[], Atoms], force_field) -> None:
    task, results = force_field(scale=5.0), []
    with served(make(), task, results) as atoms:
        for seed in range(3):
            atoms.rattle(0.02, seed=seed)
            if atoms.pbc.any():
                atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.01 * np.ones((3, 3))), scale_atoms=True)
            expected = ase(task, atoms)
            assert abs(atoms.get_potential_energy() - expected.get_potential_energy()) < AGREEMENT
            assert np.abs(atoms.get_forces() - expected.get_forces()).max() < AGREEMENT
            if atoms.pbc.any():
                assert np.abs(atoms.get_stress() - expected.get_stress()).max() < AGREEMENT
    assert results == [3]


def test_the_virial_is_the_derivative_by_strain(force_field) -> None:
    """Of a molecule, a chain and a crystal, by differences of the energy."""
    task, step = force_field(scale=5.0), 1e-5
    for atoms in (ethanol(), chain(), triclinic()):
        virial, numeric = evaluated(ase(task, atoms))[2], np.zeros((3, 3))
        for a in range(3):
            for b in range(3):
                strain = np.zeros((3, 3))
                strain[a, b] += step / 2
                strain[b, a] += step / 2
                ends = []
                for sign in (1, -1):
                    moved = ase(task, atoms)
                    moved.set_cell(atoms.cell.array @ (np.eye(3) + sign * strain))
                    moved.positions = atoms.positions @ (np.eye(3) + sign * strain)
                    ends.append(moved.get_potential_energy())
                numeric[a, b] = -(ends[0] - ends[1]) / (2 * step)
        assert np.abs(virial).max() > 1e-2
        assert np.allclose(virial, numeric, rtol=1e-6, atol=1e-6)


INPUT = """<simulation verbosity='low'>
  <output prefix='out'>
    <properties stride='1' filename='properties'>
      [ step, conserved{electronvolt}, potential{electronvolt} ]
    </properties>
    <trajectory stride='STEPS' filename='positions' format='ase'> positions{ase} </trajectory>
    <trajectory stride='STEPS' filename='forces' format='ase'> forces{ase} </trajectory>
  </output>
  <total_steps>STEPS</total_steps>
  <prng><seed>1</seed></prng>
  <ffsocket name='ours' mode='unix' pbc='false'><address>NAME</address><latency>1e-4</latency></ffsocket>
  <system>
    <initialize nbeads='1'>
      <file mode='ase' units='ase'>start.extxyz</file>
      <velocities mode='thermal' units='kelvin'>300</velocities>
    </initialize>
    <forces><force forcefield='ours'/></forces>
    <motion mode='dynamics'>
      <dynamics mode='nve'><timestep units='femtosecond'>1.0</timestep></dynamics>
    </motion>
    <ensemble><temperature units='kelvin'>300</temperature></ensemble>
  </system>
</simulation>
"""


def test_energy_is_conserved_by_ipi_in_two_thousand_steps(spring, tmp_path: Path) -> None:
    pytest.importorskip("ipi")
    steps, name, atoms = 2000, f"test_{uuid.uuid4().hex}", silicon()
    write(tmp_path / "start.extxyz", atoms)
    (tmp_path / "input.xml").write_text(INPUT.replace("STEPS", str(steps)).replace("NAME", name))
    command = [str(Path(sysconfig.get_path("scripts")) / "i-pi"), "input.xml"]
    log = tmp_path / "log"
    with log.open("w") as file, subprocess.Popen(command, cwd=tmp_path, stdout=file, stderr=file) as server:
        try:
            done = run_client(ase(spring, atoms), unixsocket=name, wait=120.0)
            code = server.wait(120)
        finally:
            server.kill()  # it would wait for another client for ever
    assert code == 0, log.read_text()
    assert done == steps + 1
    _, total, potential = np.loadtxt(tmp_path / "out.properties").T
    assert_conserved(total, potential)
    frames = [read(tmp_path / f"out.{kind}_0.extxyz", index=0) for kind in ("positions", "forces")]
    first = ase(spring, atoms)
    assert abs(potential[0] - first.get_potential_energy()) < 1e-6  # as many digits as it prints
    assert np.abs(frames[0].positions - atoms.positions).max() < 1e-6


def test_no_server_and_others_than_ours(force_field) -> None:
    atoms = ase(force_field(), ethanol())
    with pytest.raises(InputError, match=r"/tmp/ipi_nobody_here: no server answers[\s\S]*Remedy: start the server"):
        run_client(atoms, unixsocket="nobody_here", wait=0.3)
    with pytest.raises(InputError, match="a wait of nan s"):
        run_client(atoms, wait=float("nan"))
    for host in ("\udcff", "a" * 300):
        with pytest.raises(InputError, match="no server answers"):
            run_client(atoms, host=host, wait=0.0)
    with pytest.raises(InputError, match="no calculator"):
        run_client(ethanol())


def conversation(atoms: Atoms, speak: Callable[[socket.socket], None]) -> Exception:
    """What a client raises at a server that says certain things."""
    with socket.create_server(("localhost", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                speak(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises((InputError, GeometryError)) as raised:
            run_client(atoms, port=server.getsockname()[1], wait=5.0)
        thread.join(30)
    return raised.value


def posdata(positions: np.ndarray) -> bytes:
    """A message of the protocol, in Bohr."""
    cells = np.eye(3).tobytes() * 2
    return b"POSDATA".ljust(12) + cells + np.int32(len(positions)).tobytes() + positions.tobytes()


def test_a_server_with_other_atoms_is_told(force_field) -> None:
    """ASE's client spreads the position of one atom over all of its own."""
    atoms = ase(force_field(), ethanol())
    one = conversation(atoms, lambda connection: connection.sendall(posdata(np.zeros((1, 3)))))
    assert isinstance(one, InputError)
    assert "the server has 1 atoms, and the structure 9" in str(one)
    infinite = conversation(atoms, lambda connection: connection.sendall(posdata(np.full((9, 3), np.nan))))
    assert isinstance(infinite, GeometryError)
    web = conversation(atoms, lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request"))
    assert "does not speak i-PI's protocol" in str(web)


def test_units_of_the_protocol() -> None:
    """ASE's constants are those of the years of CODATA that it states; i-PI's differ by less than the agreement."""
    assert units.Hartree == pytest.approx(27.211386, rel=1e-7)
    assert units.Bohr == pytest.approx(0.52917721, rel=1e-7)
