"""The wheels for ``gpu_check.py``: collected from ``gpu_wheels.txt``, and checked for tags, sizes and needs.

python benchmarks/gpu_wheels.py FOLDER --collect    # scripts/gpu_wheels.sh
python benchmarks/gpu_wheels.py FOLDER              # only check and print
"""

from __future__ import annotations

import argparse
import email
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

HERE = Path(__file__).resolve().parent
LIMIT_BYTES = 45 * 2**20  # bytes of all wheels
PYTHON = (3, 12)
GLIBC_MINOR = 39  # manylinux_2_39 and older
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(GLIBC_MINOR, 4, -1)] + [
    f"manylinux{year}_x86_64" for year in ("2014", "2010", "1")
]
SUPPORTED = {
    *cpython_tags(PYTHON, ["cp312"], PLATFORMS),
    *compatible_tags(PYTHON, "cp312", PLATFORMS),
}
ENVIRONMENT = {
    "python_version": "3.12", "python_full_version": "3.12.3", "os_name": "posix", "sys_platform": "linux",
    "platform_system": "Linux", "platform_machine": "x86_64", "implementation_name": "cpython",
    "platform_python_implementation": "CPython", "extra": "",
}  # fmt: skip
#: Needs that are not met, and are known to do no harm: (who, of what), with the reason.
EXCUSED = {("mace-torch", "e3nn"): "its tests of ours run with e3nn 0.6"}


@dataclass(frozen=True)
class Group:
    """Packages that only make sense together.

    Attributes:
        needed: whether the check makes no sense without them; packages: requirement -> whether its wheel is built here.
    """

    name: str
    needed: bool
    packages: Mapping[str, bool]


@dataclass(frozen=True)
class Wheel:
    """A file, and what it says of itself."""

    path: Path
    name: str
    version: str
    tags: tuple[str, ...]
    fits: bool
    needs: tuple[Requirement, ...]

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @classmethod
    def read(cls, path: Path) -> Wheel:
        """From the name of the file and its METADATA."""
        name, version, _, tags = parse_wheel_filename(path.name)
        with zipfile.ZipFile(path) as archive:
            [place] = [
                entry for entry in archive.namelist() if entry.endswith(".dist-info/METADATA") and entry.count("/") == 1
            ]
            metadata = email.message_from_bytes(archive.read(place))
        every = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
        needs = tuple(need for need in every if need.marker is None or need.marker.evaluate(ENVIRONMENT))
        return cls(path, name, str(version), tuple(sorted(map(str, tags))), bool(tags & SUPPORTED), needs)


def listed(text: str) -> list[Group]:
    """The groups of ``gpu_wheels.txt``.

    Raises:
        ValueError: a package before the first group, or a group that is neither needed nor optional.
    """
    groups: list[tuple[str, bool, dict[str, bool]]] = []
    for line in (raw.split("#")[0].strip() for raw in text.splitlines()):
        if line.startswith("["):
            kind, name = line[1:].split("]", 1)
            if kind not in ("needed", "optional"):
                raise ValueError(f"a group is needed or optional, not {kind!r}")
            groups.append((name.strip(), kind == "needed", {}))
        elif line:
            if not groups:
                raise ValueError(f"{line!r} is in no group")
            groups[-1][2][line.removesuffix(" built")] = line.endswith(" built")
    return [Group(*group) for group in groups]


def there(text: str) -> set[str]:
    """The names in ``gpu_there.txt``, in their canonical form."""
    return {canonicalize_name(line.split("#")[0].strip()) for line in text.splitlines() if line.split("#")[0].strip()}


def fetch(requirement: str, built: bool, folder: Path) -> str:
    """Get one wheel by pip.

    Returns:
        what went wrong, in a line; nothing if it is there.
    """
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    if built:
        command += ["wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), requirement]
    else:
        command += [
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--python-version",
            "3.12",
            "--implementation",
            "cp",
        ]
        command += [option for platform in PLATFORMS for option in ("--platform", platform)]
        command += [option for abi in ("cp312", "abi3", "none") for option in ("--abi", abi)]
        command += ["--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return "" if done.returncode == 0 else (lines or [f"pip ended with exit code {done.returncode}"])[-1]


def collect(groups: Sequence[Group], folder: Path, limit: int = LIMIT_BYTES) -> list[str]:
    """Bring the wheels of all groups into a folder, which is emptied of wheels first; a group that does not fit is left
    out.

    Returns:
        what went wrong with groups that are needed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for former in folder.glob("*.whl"):
        former.unlink()
    problems, total = [], 0
    for group in groups:
        with tempfile.TemporaryDirectory() as scratch:
            wrong = [
                f"{requirement}: {why}"
                for requirement, built in group.packages.items()
                if (why := fetch(requirement, built, Path(scratch)))
            ]
            files = sorted(Path(scratch).glob("*.whl"))
            size = sum(file.stat().st_size for file in files)
            if total + size > limit:
                wrong.append(f"its {size / 2**20:.1f} MiB do not fit into what is left of {limit / 2**20:.0f} MiB")
            if wrong:
                print(f"left out: {group.name}: {'; '.join(wrong)}")
                problems += [f"{group.name}: {why}" for why in wrong] if group.needed else []
                continue
            total += size
            for file in files:
                shutil.move(file, folder / file.name)
    return problems


def faults(wheels: Sequence[Wheel], present: set[str], limit: int = LIMIT_BYTES) -> list[str]:
    """What is wrong with a folder of wheels, in words: tags, two versions, needs that nobody meets, and the sum of
    sizes.
    """
    problems = [f"{wheel.path.name}: no tag fits Python 3.12 on x86-64 Linux" for wheel in wheels if not wheel.fits]
    versions = {wheel.name: wheel.version for wheel in wheels}
    problems += [f"{name}: two versions" for name in versions if sum(wheel.name == name for wheel in wheels) > 1]
    for wheel in wheels:
        for need in wheel.needs:
            name = canonicalize_name(need.name)
            if name not in versions and name not in present:
                problems.append(f"{wheel.name} needs {need}: it is neither there nor brought")
            elif (
                name in versions
                and not need.specifier.contains(versions[name], prereleases=True)
                and (wheel.name, name) not in EXCUSED
            ):
                problems.append(f"{wheel.name} needs {need}: version {versions[name]} is brought")
    total = sum(wheel.size for wheel in wheels)
    if total > limit:
        largest = max(wheels, key=lambda wheel: wheel.size)
        problems.append(
            f"{total / 2**20:.1f} MiB are more than {limit / 2**20:.0f} MiB; the largest is {largest.path.name}"
        )
    return problems


def described(wheels: Sequence[Wheel]) -> str:
    """A line for each wheel: its name, tags and size; and the total."""
    width = max((len(f"{wheel.name} {wheel.version}") for wheel in wheels), default=0)
    lines = [
        f"{f'{wheel.name} {wheel.version}'.ljust(width)}  {wheel.size / 2**20:6.2f} MiB  {' '.join(wheel.tags)}"
        for wheel in sorted(wheels, key=lambda wheel: -wheel.size)
    ]
    return "\n".join(
        [
            *lines,
            f"{len(wheels)} wheels, {sum(wheel.size for wheel in wheels) / 2**20:.2f} of {LIMIT_BYTES / 2**20:.0f} MiB",
        ]
    )


def main() -> None:
    """Collect if asked to, check, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--collect", action="store_true", help="fetch the wheels first; the folder is emptied of others"
    )
    chosen = parser.parse_args()
    problems = collect(listed((HERE / "gpu_wheels.txt").read_text()), chosen.folder) if chosen.collect else []
    wheels = [Wheel.read(path) for path in sorted(chosen.folder.glob("*.whl"))]
    print(described(wheels))
    problems += faults(wheels, there((HERE / "gpu_there.txt").read_text()))
    if not wheels:
        problems.append(f"no wheels in {chosen.folder}")
    for (who, what), why in EXCUSED.items():
        print(f"known: {who} asks for another version of {what}; {why}")
    if problems:
        raise SystemExit("\n".join(f"error: {problem}" for problem in problems))


if __name__ == "__main__":
    main()
