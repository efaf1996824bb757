"""A published work, as text, as BibTeX and as plain values."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Paper:
    """A published work.

    Args:
        key: its name in BibTeX, family name of the first author, year and a word: "satorras2021egnn".
        authors: "Given Family", in their order; "others" at the end stands for those that are left out.
        title: as published.
        year: of publication.
        venue: journal with volume and page, or conference; empty for a preprint.
        arxiv: its number there, "2102.09844"; empty if it has none.
        doi: the publisher's. A preprint has arXiv's, which is its number behind a prefix.
    """

    key: str
    authors: tuple[str, ...]
    title: str
    year: int
    venue: str = ""
    arxiv: str = ""
    doi: str = ""

    @property
    def identifier(self) -> str:
        """The DOI: the publisher's, or that of the preprint; empty if there is none."""
        return self.doi or (f"10.48550/arXiv.{self.arxiv}" if self.arxiv else "")

    def text(self) -> str:
        """One line: authors, title, venue, year, arXiv number and DOI."""
        names = [*self.authors[:-1], "et al."] if self.authors[-1] == "others" else [*self.authors]
        parts = [", ".join(names), self.title, self.venue]
        where = [f"arXiv:{self.arxiv}"] * bool(self.arxiv) + [f"doi:{self.identifier}"] * bool(self.identifier)
        return ". ".join(part.rstrip(".") for part in parts if part) + ". " + ", ".join([str(self.year), *where])

    def bibtex(self) -> str:
        """An entry; its letters are UTF-8, as biber and BibTeX 0.99d pass them on."""
        fields = {"author": " and ".join(self.authors), "title": f"{{{self.title}}}"}
        fields |= {"journal": self.venue} if self.doi else {"booktitle": self.venue} if self.venue else {}
        fields |= {"year": str(self.year)}
        fields |= {"eprint": self.arxiv, "archiveprefix": "arXiv"} if self.arxiv else {}
        fields |= {"doi": self.identifier} if self.identifier else {}
        kind = "article" if self.doi else "inproceedings" if self.venue else "misc"
        return entry(kind, self.key, fields)

    def facts(self) -> dict[str, Any]:
        """Its fields as plain values, ``doi`` filled in."""
        return dataclasses.asdict(self) | {"authors": [*self.authors], "doi": self.identifier}


def entry(kind: str, key: str, fields: dict[str, str]) -> str:
    r"""An entry of BibTeX; ``& % # _ $`` are escaped but in identifiers, which are read as they are."""
    lines = [f"@{kind}{{{key},"]
    for name, text in fields.items():
        value = text if name in ("doi", "eprint") else re.sub(r"([&%#_$])", r"\\\1", text)
        lines.append(f"  {name} = {{{value}}},")
    return "\n".join([*lines, "}"])


#: The paper of the architecture EGNN and of the data set ``nbody``, which know nothing of each other.
EGNN_PAPER = Paper(
    "satorras2021egnn",
    ("Victor Garcia Satorras", "Emiel Hoogeboom", "Max Welling"),
    "E(n) Equivariant Graph Neural Networks",
    2021,
    "International Conference on Machine Learning",
    "2102.09844",
)
