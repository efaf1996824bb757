"""The kernels beside their peers: `intertwine bench kernels` in full, kept for the documentation.

    python benchmarks/kernels.py          # writes benchmarks/results/kernels.json and the tables of docs/kernels.md
    python benchmarks/kernels.py --page   # only writes the tables of the page again

Some minutes, on a machine that does nothing else. Then draw the picture: python docs/make_pictures.py.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from measure import DOCS, RESULTS, insert

from intertwine.bench import SIZES, grids, heading
from intertwine.cli.bench import bench

FILE = RESULTS / "kernels.json"


def page(document: Mapping[str, Any]) -> str:
    """The tables of a document."""
    parts = ["\n\n".join([*heading(document).splitlines(), document["machine"]["date"]])]
    parts += [f"**{grid.title}**\n\n{grid.markdown()}\n\n{grid.caption}" for grid in grids(document)]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument("--repeats", type=int, default=11, help="samples of each time")
    arguments = parser.parse_args()
    if not arguments.page:
        RESULTS.mkdir(parents=True, exist_ok=True)
        bench(only=["all"], repeats=arguments.repeats, compiled=list(SIZES), output=FILE)
    insert(DOCS / "kernels.md", "kernels.py", page(json.loads(FILE.read_text())))


if __name__ == "__main__":
    main()
