"""SDF: positions as ASE reads them, fields, charges, isotopes, both versions of the format, and files that are
refused.
"""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.io import read

from intertwine.data import open_dataset
from intertwine.data.frames import Frame
from intertwine.data.sdf import read_sdf
from intertwine.numerics import DataError

HEAD = "water\n  intertwine          3D\n\n"
ATOMS = (
    "    0.0000    0.0000    0.1173 O   0  0  0  0",
    "    0.0000    0.7572   -0.4692 H   0  0  0  0",
    "    0.0000   -0.7572   -0.4692 H   0  0  0  0",
)
BONDS = "  1  2  1  0\n  1  3  1  0\n"


def molecule(
    *, atoms: tuple[str, ...] = ATOMS, count: int | None = None, head: str = HEAD, marks: str = "", fields: str = ""
) -> str:
    n = len(atoms) if count is None else count
    lines = "\n".join(atoms)
    return f"{head}{n:3d}  2  0  0  0  0  0  0  0  0999 V2000\n{lines}\n{BONDS}{marks}M  END\n{fields}$$$$\n"


def frames(text: str) -> list[Frame]:
    return list(read_sdf(iter(io.StringIO(text)), "a.sdf"))


def opened(folder: Path, text: str, **options: Any) -> Any:
    (folder / "a.sdf").write_text(text)
    return open_dataset(str(folder / "a.sdf"), progress=False, **options)


FIELDS = """> <homo>  (1)
-0.25

>  <mu>
0.0  0.0
1.85

> 25 <atom.dprop.q>
-0.8 0.4 n/a

> <partial_charges>
[-0.8, 0.4, 0.4]

> <DFT_forces>
0 0 1
0 0.5 -0.5
0 -0.5 -0.5

> <PUBCHEM_MMFF94_PARTIAL_CHARGES>
2
1 -0.86
3 0.43

> <three numbers>
1 2 3

> <formula>
H2O

> <thousand>
1,000

> <code>
1_000

> <empty>

> <two lines>
first line

"""


def test_fields_are_values_and_columns_under_their_own_names() -> None:
    frame = frames(molecule(fields=FIELDS))[0]
    assert frame.numbers.tolist() == [8, 1, 1]
    assert frame.positions[1].tolist() == [0.0, 0.7572, -0.4692]
    assert frame.values["homo"] == -0.25
    assert frame.values["mu"].tolist() == [0, 0, 1.85]  # three numbers for three atoms, and of the molecule
    assert frame.values["three numbers"].tolist() == [1, 2, 3]
    assert np.isnan(frame.columns["atom.dprop.q"][2])
    assert frame.columns["partial_charges"].tolist() == [-0.8, 0.4, 0.4]
    assert frame.columns["DFT_forces"].tolist() == [[0, 0, 1], [0, 0.5, -0.5], [0, -0.5, -0.5]]
    assert frame.columns["PUBCHEM_MMFF94_PARTIAL_CHARGES"].tolist() == [-0.86, 0.0, 0.43]
    texts = {"formula": "H2O", "thousand": "1,000", "code": "1_000", "two lines": "first line", "name": "water"}
    assert {name: frame.values[name] for name in texts} == texts
    assert "empty" not in frame.values


def test_formal_charges_and_isotopes() -> None:
    listed = frames(
        molecule(
            marks="M  CHG  2   1  -1   3   1\nM  ISO  1   2   2\n",
            atoms=(ATOMS[0].replace("0  0  0  0", "0  3  0  0"), *ATOMS[1:]),
        )
    )[0]
    assert listed.columns["formal_charges"].tolist() == [-1, 0, 1]  # the list, not the old code in the atom's line
    assert listed.values["total_charge"] == 0
    assert listed.columns["masses"][1] == pytest.approx(2.014101778)
    coded = frames(molecule(atoms=(ATOMS[0].replace("O   0  0", "O   0  5"), *ATOMS[1:])))[0]
    assert coded.columns["formal_charges"].tolist() == [-1, 0, 0]
    assert coded.values["total_charge"] == -1
    heavy = frames(molecule(atoms=(ATOMS[0], ATOMS[1].replace("H ", "D "), ATOMS[2])))[0]
    assert heavy.numbers.tolist() == [8, 1, 1]
    assert heavy.columns["masses"][1] == pytest.approx(2.014101778)
    assert "masses" not in frames(molecule())[0].columns


def test_columns_without_blanks_and_other_widths() -> None:
    tight = frames(molecule(atoms=("-1000.1234-2000.5678-3000.0001 C   0  0", *ATOMS)))[0]
    assert tight.positions[0].tolist() == [-1000.1234, -2000.5678, -3000.0001]
    wide = frames(molecule(atoms=("1.0 2.00000000000 3.0 Cl 0 0", *ATOMS)))[0]
    assert (wide.numbers[0], wide.positions[0].tolist()) == (17, [1.0, 2.0, 3.0])


V3000 = """water
  intertwine          3D

  0  0  0     0  0            999 V3000
M  V30 BEGIN CTAB
M  V30 COUNTS 3 2 0 0 0
M  V30 BEGIN ATOM
M  V30 1 O 0 0 0.1173 0 CHG=-1
M  V30 2 H 0 0.7572 -
M  V30 -0.4692 0 MASS=2
M  V30 3 H 0 -0.7572 -0.4692 0
M  V30 END ATOM
M  V30 BEGIN BOND
M  V30 1 1 1 2
M  V30 END BOND
M  V30 END CTAB
M  END
> <homo>
-0.5

$$$$
"""


def test_version_3000_says_the_same() -> None:
    new, old = frames(V3000)[0], frames(molecule())[0]
    assert np.array_equal(new.positions, old.positions)
    assert new.numbers.tolist() == old.numbers.tolist()
    assert new.columns["formal_charges"].tolist() == [-1, 0, 0]
    assert new.columns["masses"][1] == pytest.approx(2.014101778)
    assert new.values["homo"] == -0.5


def test_a_field_is_a_target(tmp_path: Path) -> None:
    text = "".join(molecule(fields=f"> <homo>\n{k / 4}\n\n> <E(dft)>\n{-k}\n\n") for k in range(5))
    store = opened(tmp_path, text, target="homo")
    assert store.field("homo").tolist() == [0, 0.25, 0.5, 0.75, 1]
    store = opened(tmp_path, text, keys={"energy": "E(dft)"}, units={"energy": "Hartree"}, limit=3)
    assert store[2].energy.item() == pytest.approx(-2 * 27.211386024)
    assert opened(tmp_path, molecule().replace("\n", "\r\n"))[0].z.tolist() == [8, 1, 1]
    assert len(opened(tmp_path, molecule().removesuffix("$$$$\n"))) == 1  # a mol file


#: case -> (text, words of the message).
BAD = {
    "no fourth line": ("one\ntwo\nthree\n", ("frame 0", "V2000")),
    "words": ("one\ntwo\nthree\nfour\n", ("frame 0", "V2000")),
    "truncated among the atoms": (molecule() + molecule(count=30), ("frame 1", "30 atoms")),
    "ends among the atoms": (molecule() + molecule()[:120], ("frame 1", "ends within")),
    "ends in a field": (
        molecule() + molecule(fields="> <homo>\n-0.25\n\n")[: -len("5\n\n$$$$\n")],
        ("frame 1", "ends within"),
    ),
    "no M END": (molecule().replace("M  END\n", ""), ("frame 0", "M  END")),
    "a word for a coordinate": (molecule(atoms=(ATOMS[0].replace("0.1173", "O.1173"), *ATOMS[1:])), ("frame 0",)),
    "no symbol": (molecule(atoms=(ATOMS[0][:30], *ATOMS[1:])), ("frame 0", "atom 0")),
    "a query atom": (
        molecule() + molecule(atoms=(ATOMS[0].replace("O ", "R#"), *ATOMS[1:])),
        ("frame 1", "'R#'", "line 16"),
    ),
    "a charge of no atom": (molecule(marks="M  CHG  1   7   1\n"), ("frame 0", "atom 7")),
    "no atoms": (molecule(atoms=()), ("frame 0", "no atoms")),
    "NaN position": (
        molecule(atoms=(ATOMS[0].replace("0.1173", "   nan"), *ATOMS[1:])),
        ("frame 0", "position of atom 0"),
    ),
    "V3000 without atoms": (V3000.replace("BEGIN ATOM", "BEGIN ATOMS"), ("frame 0", "no block of atoms")),
    "V3000 of too few atoms": (V3000.replace("COUNTS 3", "COUNTS 4"), ("frame 0", "3 of 4 atoms")),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_named(case: str, tmp_path: Path) -> None:
    text, words = BAD[case]
    with pytest.raises(DataError) as caught:
        opened(tmp_path, text)
    for word in (*words, "a.sdf", "Remedy"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (("-0.25", None), ("frame 1", "homo is missing")),
        (("-0.25", "nan"), ("frame 1", "homo is not finite")),
        (("-0.25", "low"), ("frame 1", "not a number: 'low'")),
        (("-0.25", "1,000"), ("frame 1", "not a number: '1,000'")),
    ],
)
def test_a_bad_target_is_named(fields: tuple[str | None, ...], words: tuple[str, ...], tmp_path: Path) -> None:
    text = "".join(molecule(fields=f"> <homo>\n{field}\n\n" if field else "") for field in fields)
    with pytest.raises(DataError) as caught:
        opened(tmp_path, text, target="homo")
    for word in words:
        assert word in str(caught.value)


def test_damage_never_ends_in_another_error(generator: torch.Generator) -> None:
    sound = molecule(marks="M  CHG  1   1   1\n", fields=FIELDS) + V3000
    for _ in range(200):
        at = int(torch.randint(len(sound), (), generator=generator))
        piece = sound[int(torch.randint(len(sound), (), generator=generator)) :][
            : int(torch.randint(9, (), generator=generator))
        ]
        try:
            frames(sound[:at] + piece + sound[at + 2 :])
        except DataError as error:
            assert "Remedy" in str(error)  # noqa: PT017 - either outcome is right


def test_shared_files(shared_data: Path) -> None:
    folder = shared_data / "formats/sdf"
    with gzip.open(folder / "gdb1k.sdf.gz", "rt") as file:
        text = file.read()
    blocks = [block for block in text.split("$$$$\n") if block.strip()]
    store = open_dataset(str(folder / "gdb1k.sdf.gz"), progress=False)
    assert len(store) == len(blocks) == 1000
    for k in range(0, 1000, 40):
        atoms = read(io.StringIO(blocks[k]), format="sdf")
        assert np.array_equal(store[k].pos.numpy(), atoms.positions)
        assert np.array_equal(store[k].z.numpy(), atoms.numbers)
    store = open_dataset(str(folder / "example.sdf"), keys={"xlogp": "PUBCHEM_CACTVS_TPSA"}, progress=False)
    assert store.field("xlogp").tolist() == [92.8, 26.0]
    assert any("drawn in two dimensions" in note for note in store.notes)
