"""Files are replaced whole or not at all, and what is no file is never replaced."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import intertwine
from intertwine.numerics import CheckpointError, destination, files, replacing, write_atomically

ROOT = Path(intertwine.__file__).parent


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# What is there is kept


def test_a_new_file_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    for mask, expected in ((0o022, 0o644), (0o077, 0o600), (0o002, 0o664)):
        former = os.umask(mask)
        try:
            write_atomically(tmp_path / f"{mask}", b"x")
        finally:
            os.umask(former)
        assert stat.S_IMODE((tmp_path / f"{mask}").stat().st_mode) == expected


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o222])
def test_mode_and_owner_of_a_former_file_are_kept(mode: int, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"old")
    file.chmod(mode)
    if os.getuid() == 0:
        os.chown(file, 1234, 4321)
    before = file.stat()
    with replacing(file) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600  # nobody reads meanwhile what only its owner may
        temporary.write_bytes(b"new")
    after = file.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert file.read_bytes() == b"new"
    assert names(tmp_path) == {"f"}


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    real = tmp_path / "elsewhere" / "real"
    (tmp_path / "first").symlink_to("second")
    (tmp_path / "second").symlink_to(real)
    write_atomically(tmp_path / "first", b"1")  # nothing is there yet
    assert real.read_bytes() == b"1"
    write_atomically(tmp_path / "first", b"2")
    assert real.read_bytes() == b"2"
    assert (tmp_path / "first").is_symlink()
    (tmp_path / "folder").symlink_to(tmp_path / "elsewhere")
    write_atomically(tmp_path / "folder" / ".." / "elsewhere" / "real", b"3")
    assert real.read_bytes() == b"3"


def test_other_names_keep_the_former_content(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    os.link(tmp_path / "f", tmp_path / "snapshot")
    write_atomically(tmp_path / "f", b"new")
    assert (tmp_path / "snapshot").read_bytes() == b"old"


@pytest.mark.parametrize(
    "name",
    ["a" * 251 + ".xyz", "ä" * 125 + ".xyz", "水" * 83 + ".xyz", b"\xff\xfe.xyz".decode("utf-8", "surrogateescape")],
)
def test_long_and_odd_names(name: str, tmp_path: Path) -> None:
    with replacing(tmp_path / name) as temporary:
        assert temporary.suffix == ".xyz"
        temporary.write_bytes(b"x")
    assert names(tmp_path) == {name}


# What can't be written is said, and nothing is changed


def refused(folder: Path) -> dict[str, tuple[Path, str]]:
    """Paths that can't be written, and what is wrong."""
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    (folder / "file").write_bytes(b"old")
    (folder / "guarded").write_bytes(b"old")
    (folder / "guarded").chmod(0o444)
    (folder / "to guarded").symlink_to("guarded")
    (folder / "dangling").symlink_to(folder / "absent" / "x")
    return {
        "a loop of links": (folder / "a", "Too many levels"),
        "a folder": (folder, "folder"),
        "below a file": (folder / "file" / "x", "Not a directory"),
        "no such folder": (folder / "absent" / "x", "No such file"),
        "a link into no folder": (folder / "dangling", "No such file"),
        "a name that is too long": (folder / ("a" * 256), "too long"),
        "a zero byte": (folder / "a\0b", "null"),
        "a file that is read-only": (folder / "guarded", "read-only"),
        "a link to one": (folder / "to guarded", "read-only"),
    }


def test_refused_before_anything_is_written(tmp_path: Path) -> None:
    cases = refused(tmp_path)
    before = names(tmp_path)
    for case, (path, words) in cases.items():
        with pytest.raises(CheckpointError, match=words) as raised:
            write_atomically(path, b"new")
        assert raised.value.remedy, case
        assert raised.value.where == str(path), case
    assert names(tmp_path) == before
    assert {(tmp_path / name).read_bytes() for name in ("file", "guarded")} == {b"old"}


@pytest.mark.parametrize("call", ["fsync", "replace", "chown"])
def test_a_failure_at_the_end_leaves_the_former_file(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_bytes(b"old")
    if call == "chown":  # not ours to give away: the rest goes on
        os.chown(tmp_path / "f", 1234, 1234) if os.getuid() == 0 else None

    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC if call != "chown" else errno.EPERM, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        if call == "chown":
            write_atomically(tmp_path / "f", b"new")
        else:
            with pytest.raises(CheckpointError, match="No space left"):
                write_atomically(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == (b"new" if call == "chown" else b"old")
    assert names(tmp_path) == {"f"}


def test_errors_of_the_block_are_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"), replacing(tmp_path / "f"):
        (tmp_path / "absent").read_bytes()
    with pytest.raises(ValueError, match="wrong"), replacing(tmp_path / "f"):
        raise ValueError("wrong")
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "f"):
        raise KeyboardInterrupt
    assert names(tmp_path) == set()


def test_the_size_limit_of_a_process(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    code = (
        "import resource, sys; from pathlib import Path; from intertwine.numerics import write_atomically\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); write_atomically(Path(sys.argv[1]), bytes(100000))"
    )
    done = run(code, tmp_path / "f")
    assert "CheckpointError" in done.stderr
    assert "File too large" in done.stderr
    assert (tmp_path / "f").read_bytes() == b"old"
    assert names(tmp_path) == {"f"}


def run(code: str, *arguments: object, **options: object) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT.parent)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, **options)


# Devices, pipes, open descriptors


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_devices_stay_devices(device: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(device)
    before = os.stat(device)
    assert destination(tmp_path / "link") == (Path(device), None, True)
    write_atomically(tmp_path / "link", b"x" * 100_000)
    after = os.stat(device)
    assert stat.S_ISCHR(after.st_mode)
    assert (after.st_ino, after.st_rdev, after.st_mode) == (before.st_ino, before.st_rdev, before.st_mode)


def test_a_full_device_is_said(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match="No space left"):
        write_atomically(tmp_path / "link", b"x")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_disks_and_sockets_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        with pytest.raises(CheckpointError, match="socket"):
            write_atomically(Path("s"), b"x")
    found = os.stat(tmp_path)
    disk = os.stat_result((stat.S_IFBLK | 0o660, *found[1:]))
    monkeypatch.setattr(Path, "stat", lambda path, **_: disk)
    with pytest.raises(CheckpointError, match="disk"):
        destination(tmp_path / "d")


def test_a_pipe_is_written_into_and_never_waited_for_endlessly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "p")
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "p").read_bytes()))
    reader.start()
    write_atomically(tmp_path / "p", b"y" * 300_000)
    reader.join(20)
    assert found == [b"y" * 300_000]
    monkeypatch.setattr(files, "PATIENCE", 0.2)
    with pytest.raises(CheckpointError, match="nobody reads"):
        write_atomically(tmp_path / "p", b"x")
    assert stat.S_ISFIFO((tmp_path / "p").stat().st_mode)


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("into", ["pipe", "file"])
def test_standard_output_is_written_in_its_order(path: str, into: str, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from intertwine.numerics import write_atomically\n"
        "print('before'); write_atomically(Path(sys.argv[1]), b'content\\n'); print('after')"
    )
    if into == "pipe":
        text = run(code, path).stdout
    else:
        with (tmp_path / "out").open("w") as out:
            subprocess.run(
                [sys.executable, "-c", code, path],
                env=os.environ | {"PYTHONPATH": str(ROOT.parent)},
                stdout=out,
                check=True,
            )
        text = (tmp_path / "out").read_text()
        assert names(tmp_path) == {"out"}
    assert text == "before\ncontent\nafter\n"


# What killed processes leave


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from intertwine.numerics import replacing\n"
        "with replacing(Path(sys.argv[1])) as t:\n"
        "    t.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    run(code, tmp_path / "f")
    mine = {".mine.part.f", ".12-zz.part.f"}  # names of others
    for name in mine:
        (tmp_path / name).write_bytes(b"")
    assert len(names(tmp_path)) == 3
    with replacing(tmp_path / "g") as living:
        living.write_bytes(b"g")
        write_atomically(tmp_path / "f", b"whole")
        assert living.exists()
    assert names(tmp_path) == {"f", "g", *mine}


def test_a_temporary_file_is_written_in_place(tmp_path: Path) -> None:
    """Whoever is given a temporary file may itself write atomically: pictures are."""
    for inner in ("write", "replace", "twice"):
        path = tmp_path / f"{inner}.png"
        with replacing(path) as temporary:
            if inner == "write":
                write_atomically(temporary, b"new")
            else:
                with replacing(temporary) as again:
                    again.write_bytes(b"new")
            if inner == "twice":
                write_atomically(tmp_path / "beside", b"x")  # which sweeps the folder
        assert path.read_bytes() == b"new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["beside", "replace.png", "twice.png", "write.png"]
