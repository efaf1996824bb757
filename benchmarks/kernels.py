"""The kernels beside their peers: `intertwine bench kernels` in full, kept for the documentation.

    python benchmarks/kernels.py           # measures, writes benchmarks/results/kernels.json and the tables of docs/kernels.md
    python benchmarks/kernels.py --page    # only writes the tables of the page again

Some minutes, on a machine that does nothing else. Then draw the picture: python docs/make_pictures.py.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from measure import RESULTS

from intertwine.bench import SIZES, grids, heading
from intertwine.cli.bench import bench

FILE = RESULTS / "kernels.json"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "kernels.md"
_TABLES = re.compile(r"(<!-- printed by benchmarks/kernels.py -->\n).*?(<!-- to here -->)", re.DOTALL)


def page(text: str, document: Mapping[str, Any]) -> str:
    """The text of the page, with the tables of a document between its marks."""
    parts = ["\n\n".join([*heading(document).splitlines(), document["machine"]["date"]])]
    parts += [f"**{grid.title}**\n\n{grid.markdown()}\n\n{grid.caption}" for grid in grids(document)]
    return _TABLES.sub(lambda found: found[1] + "\n" + "\n\n".join(parts) + "\n\n" + found[2], text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument("--repeats", type=int, default=11, help="samples of each time")
    arguments = parser.parse_args()
    if not arguments.page:
        RESULTS.mkdir(parents=True, exist_ok=True)
        bench(repeats=arguments.repeats, compiled=list(SIZES), output=FILE)
    PAGE.write_text(page(PAGE.read_text(), json.loads(FILE.read_text())))
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
