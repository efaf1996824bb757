"""The index of the lectures' equations, docs/lectures/equations.md: `python docs/tools/equations.py`.

Each entry of equations.toml has the class that is the equation, found by its name, and the page that shows it.
"""

from __future__ import annotations

import importlib
import inspect
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LECTURES = ROOT / "docs" / "lectures"
PAGES = {
    "symmetry": "Groups, representations and equivariant networks",
    "geometric": "Geometric graph neural networks",
    "conditional": "Tensor products as conditional linear layers",
    "lifting": "Lifting to the group",
    "averaging": "Averaging over a group, and over frames",
    "electrons": "Electrons: densities and Hamiltonians",
}
HEAD = """# Index of equations

Every displayed equation of the five lectures, once, with the class that is it. The page of each checks it by code. What
two lectures share stands where it is shown first.
"""


def entries() -> list[dict[str, Any]]:
    """The entries of equations.toml."""
    found: list[dict[str, Any]] = tomllib.loads((LECTURES / "equations.toml").read_text())["equation"]
    return found


def resolved(path: str) -> Any:
    """The object of a dotted name."""
    parts = path.split(".")
    for count in range(len(parts) - 1, 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for name in parts[count:]:
            value = getattr(value, name)
        return value
    raise ModuleNotFoundError(path)


def file_of(path: str) -> str:
    """The file of an object, from the root of the repository; "" of one that is not ours."""
    source = inspect.getsourcefile(inspect.unwrap(resolved(path))) if path.startswith("intertwine.") else None
    return str(Path(source).relative_to(ROOT)) if source else ""


def page() -> str:
    """The text of equations.md."""
    text = HEAD
    for name, title in PAGES.items():
        rows = [entry for entry in entries() if entry["page"] == name]
        if not rows:
            continue
        text += f"\n## [{title}]({name}.ipynb)\n\n| equation | class | file | lecture |\n|---|---|---|---|\n"
        for entry in rows:
            latex = entry["latex"].replace("|", r"\vert ").replace(r"\\vert ", r"\Vert ").replace(r"\\", r"\ ")
            path = file_of(entry["object"])
            shown = f"`{path}`" if path else ""
            text += f"| ${latex}$ | `{entry['object'].removeprefix('intertwine.')}` | {shown} | {entry['lecture']} |\n"
    return text


if __name__ == "__main__":
    (LECTURES / "equations.md").write_text(page())
