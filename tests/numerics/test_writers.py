"""Nobody but ``numerics.files`` writes files: checked on the syntax tree of the package."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import intertwine

ROOT = Path(intertwine.__file__).parent


#: (file, call) that may open a file for writing: each with the reason.
EXCUSED = {
    ("numerics/files.py", "*"),  # the one place
    ("numerics/locks.py", "*"),  # the lock of a folder, which is no content
    ("bench/child.py", "write_text"),  # /proc/self/clear_refs
    ("cli/console.py", "tempfile.NamedTemporaryFile"),  # the report of a bug, under a new name
    ("data/cache.py", "write_text"),  # in a folder that appears whole
    ("data/opening.py", "*"),  # what an archive holds, into a temporary folder
    ("data/store.py", "np.save"),  # in a folder that appears whole
    ("data/store.py", "write_text"),
    ("data/suspicion/seen.py", "np.savez_compressed"),  # into memory
    ("labels/journal.py", "np.savez"),  # into memory
    ("cli/codes.py", "np.savez"),  # into memory
    ("integrations/relaxation.py", "Trajectory"),  # into the file of growing, which ends later
    ("integrations/resuming.py", "Trajectory"),  # is read
    ("integrations/resuming.py", "shutil.copyfile"),  # into the file of growing
    ("integrations/rows.py", "path.open"),  # the temporary file of replacing, which write_structures gives it
    ("integrations/simulate.py", "open"),  # the file of growing
    ("integrations/simulate.py", "Trajectory"),  # into the temporary file of replacing, which ends later
    ("plots/style.py", "savefig"),  # into memory
    ("training/processes.py", "tempfile.TemporaryFile"),  # without a name
}
WRITERS = {
    "write_text", "write_bytes", "np.save", "np.savez", "np.savez_compressed", "np.savetxt", "torch.save", "save_file",
    "json.dump", "shutil.copy", "shutil.copyfile", "shutil.copy2", "shutil.move", "shutil.copyfileobj", "savefig",
    "write_html", "to_csv", "tofile", "tempfile.NamedTemporaryFile", "tempfile.TemporaryFile", "tempfile.mkstemp",
    "atoms.write", "ase.io.write", "Trajectory", "os.truncate", "os.mknod",
}  # fmt: skip


def writes(source: str) -> list[tuple[str, int]]:
    """Calls that write a file, outside of ``with replacing(...)``."""
    found: list[tuple[str, int]] = []

    def visit(node: ast.AST, inside: bool) -> None:
        if isinstance(node, ast.With):
            inside = inside or any("replacing(" in ast.unparse(item.context_expr) for item in node.items)
        if isinstance(node, ast.Call) and not inside:
            called = ast.unparse(node.func)
            last = called.split(".")[-1]
            options = [ast.unparse(a) for a in node.args] + [ast.unparse(k.value) for k in node.keywords]
            mode = any(
                option.strip("'\"") in {f"{m}{b}{p}" for m in "wax" for b in ("", "b", "t") for p in ("", "+")}
                for option in options
            )
            flags = any("O_WRONLY" in option or "O_RDWR" in option or "O_CREAT" in option for option in options)
            if (
                (last == "open" and (mode or flags))
                or called in WRITERS
                or (last in WRITERS and last == called.split(".")[-1] and "." in called)
            ):
                found.append((called, node.lineno))
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(source), False)
    return found


def test_only_one_file_of_the_package_writes_files() -> None:
    wrong = []
    for file in sorted(ROOT.rglob("*.py")):
        name = str(file.relative_to(ROOT))
        for called, line in writes(file.read_text()):
            devnull = "os.devnull" in file.read_text().splitlines()[line - 1]
            known = {(name, "*"), (name, called), (name, called.split(".")[-1])} & EXCUSED
            if not known and not devnull:
                wrong.append(f"{name}:{line} {called}")
    assert not wrong, "write through numerics.replacing: " + ", ".join(wrong)


@pytest.mark.parametrize(
    "source",
    [
        "open(p, 'w')",
        "path.open('ab')",
        "p.write_text(x)",
        "np.savez(p, a=1)",
        "atoms.write(p)",
        "os.open(p, os.O_WRONLY)",
        "fig.savefig(p)",
    ],
)
def test_the_check_itself_sees_writers(source: str) -> None:
    assert writes(source)
    assert not writes(f"with replacing(p) as t:\n    {source}")
    assert not writes("open(p)\npath.open('rb')\nos.open(p, os.O_RDONLY)")
