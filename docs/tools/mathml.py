r"""A hook of mkdocs: formulas become MathML when the site is built, so that pages need no script and no other host to
be read.

Browsers draw MathML themselves. Formulas arrive from `pymdownx.arithmatex` as ``\(...\)`` and ``\[...\]``, and from
notebooks as ``$...$`` and ``$$...$$``.
"""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

ARITHMATEX = re.compile(r'<(span|div) class="arithmatex">\s*(?:\\\((.*?)\\\)|\\\[(.*?)\\\])\s*</\1>', re.DOTALL)
DOLLARS = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", re.DOTALL)
# nothing in these is a formula
OPAQUE = re.compile(r"(<(pre|code|script|style|svg|math)\b.*?</\2>|<[^>]+>)", re.DOTALL)
REMOTE = re.compile(
    r"<script[^>]*\bsrc=[\"']https?://[^>]*>\s*</script>|<link[^>]*\bhref=[\"']https?://[^>]*>", re.DOTALL
)
MATHJAX = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>(?:(?!</script>).)*cdnjs(?:(?!</script>).)*</script>", re.DOTALL)


def formula(latex: str, block: bool) -> str:
    """One formula as MathML; a formula that cannot be converted fails the build."""
    latex = html.unescape(latex).strip().replace("{aligned}", "{split}")
    latex = latex.replace(r"\tfrac", r"\frac").replace(r"\Big", r"\big")
    result = convert(latex, display="block" if block else "inline")
    if re.search(r"<m[io]>\\\w", result):
        raise ValueError(f"unknown command in the formula {latex!r}")
    return re.sub(r"&(?!#?\w+;)", "&amp;", result)


def on_page_content(content: str, *, page: Any, **_: Any) -> str:
    """Formulas of a page."""
    content = ARITHMATEX.sub(lambda match: formula(match[2] or match[3], match[2] is None), content)
    if page.file.src_uri.endswith(".ipynb"):
        content = MATHJAX.sub("", REMOTE.sub("", content))
        pieces, last = [], 0
        for opaque in OPAQUE.finditer(content):
            pieces += [_dollars(content[last : opaque.start()]), opaque[0]]
            last = opaque.end()
        content = "".join([*pieces, _dollars(content[last:])])
    return content


def _dollars(text: str) -> str:
    return DOLLARS.sub(lambda match: formula(match[1] or match[2], match[1] is not None), text)
