"""Execute pages and store what their cells show: `python docs/tools/notebook.py docs/lectures/geometric.ipynb`.

A page is a notebook whose cells of code assert what its text says. Each cell runs in the same names, what it prints and
the pictures that it leaves open are stored with it. A page may begin as a file of text: `--from FILE.py` makes its
cells from one where a line `# %% [markdown]` begins prose (each of its lines after `# `) and `# %%` code.
"""

from __future__ import annotations

import argparse
import ast
import base64
import contextlib
import io
import json
import time
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot

DPI = 100


def execute(page: dict[str, Any]) -> float:
    """Run all cells of code, in order; the seconds that they took."""
    names: dict[str, Any] = {"__name__": "__main__"}
    started, count = time.perf_counter(), 0
    for cell in page["cells"]:
        if cell["cell_type"] != "code":
            continue
        count += 1
        source = "".join(cell["source"])
        body = ast.parse(source).body
        last = ast.Expression(body.pop().value) if isinstance(body[-1], ast.Expr) and not source.endswith(";") else None
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(ast.Module(body, []), f"cell {count}", "exec"), names)
            value = None if last is None else eval(compile(last, f"cell {count}", "eval"), names)
        cell["execution_count"], cell["outputs"] = count, []
        if printed.getvalue():
            lines = printed.getvalue().splitlines(keepends=True)
            cell["outputs"].append({"name": "stdout", "output_type": "stream", "text": lines})
        cell["outputs"] += [drawn(pyplot.figure(number)) for number in pyplot.get_fignums()]
        if value is not None and not pyplot.get_fignums():
            text = {"text/plain": repr(value).splitlines(keepends=True)}
            result = {"data": text, "execution_count": count, "metadata": {}, "output_type": "execute_result"}
            cell["outputs"].append(result)
        pyplot.close("all")
    return time.perf_counter() - started


def drawn(figure: Any) -> dict[str, Any]:
    """A picture as an output of a cell."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    data = {"image/png": base64.b64encode(file.getvalue()).decode(), "text/plain": ["<Figure>"]}
    return {"data": data, "metadata": {}, "output_type": "display_data"}


def cells_of(text: str) -> dict[str, Any]:
    """A notebook from a file of text, without outputs."""
    cells: list[dict[str, Any]] = []
    for part in text.split("# %%")[1:]:
        head, _, body = part.partition("\n")
        prose = head.strip() == "[markdown]"
        lines = [line.removeprefix("# ").removeprefix("#") if prose else line for line in body.strip("\n").split("\n")]
        source = "\n".join(lines).strip("\n").splitlines(keepends=True)
        cell: dict[str, Any] = {"cell_type": "markdown" if prose else "code", "metadata": {}, "source": source}
        cell |= {"id": f"cell-{len(cells)}"} | ({} if prose else {"execution_count": None, "outputs": []})
        cells.append(cell)
    python = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": python, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--from", dest="source", type=Path, help="file of text that the one page is made from")
    chosen = parser.parse_args()
    for path in chosen.pages:
        page = cells_of(chosen.source.read_text()) if chosen.source else json.loads(path.read_text())
        seconds = execute(page)
        path.write_text(json.dumps(page, indent=1, ensure_ascii=False) + "\n")
        print(f"{path}: {seconds:.1f} s")


if __name__ == "__main__":
    main()
