"""An extension of griffe: our docstrings' roles (:math:, :func:, ...), formulas and doctests as the Markdown that
mkdocstrings reads.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

MATH = re.compile(r":math:`([^`]+)`")
ROLE = re.compile(r":(?:func|class|meth|mod|attr|exc|data):`(~?)([^`<]+)`")
NAMED = re.compile(r":(?:func|class|meth|mod|attr|exc|data):`([^`<]+?)\s*<([^`>]+)>`")
DISPLAY = re.compile(r"^([ \t]*)\.\. math::[ \t]*(.*(?:\n(?:[ \t]*\n)*\1[ \t]{2,}\S.*)*)", re.MULTILINE)
DOCTEST = re.compile(r"(?:^[ \t]*>>> .*\n?(?:^[ \t]*(?!>>>)\S.*\n?)*)+", re.MULTILINE)


class Docstrings(Extension):
    """Rewrites every docstring once it is loaded."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    r"""A docstring of ours as Markdown.

    >>> markdown(":func:`~intertwine.o3.wigner_d` is :math:`D^l`.")
    '<autoref optional identifier="intertwine.o3.wigner_d"><code>wigner_d</code></autoref> is $D^l$.'
    """
    text = DISPLAY.sub(_display, text)
    text = MATH.sub(lambda match: f"${match[1]}$", text)
    text = NAMED.sub(lambda match: _link(match[2], match[1]), text)
    text = ROLE.sub(_reference, text)
    return DOCTEST.sub(_doctest, text)


def _reference(match: re.Match[str]) -> str:
    short, name = match[1], match[2]
    shown = name.rpartition(".")[2] if short else name
    return _link(name, f"<code>{shown}</code>") if name.startswith("intertwine.") else f"`{shown}`"


def _link(name: str, shown: str) -> str:
    """A link, or plain text where the site has no such name: private modules have no page."""
    return f'<autoref optional identifier="{name}">{shown}</autoref>'


def _display(match: re.Match[str]) -> str:
    indent, body = match[1], " ".join(match[2].split())
    return f"\n{indent}$$\n{indent}{body}\n{indent}$$\n"


def _doctest(match: re.Match[str]) -> str:
    lines = match[0].rstrip("\n").split("\n")
    indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    return "\n".join([f"\n{indent}```pycon", *lines, f"{indent}```", ""])
