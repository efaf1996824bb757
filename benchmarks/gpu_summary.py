"""What ``gpu_check.py`` prints at the end: the parts and how they ended, their tables, and whether the goals
are met.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from measure import table

Document = Mapping[str, Any]
SHOWN_ERRORS = 12  # errors, of each part


def summary(documents: Mapping[str, Document], ends: Mapping[str, str], goal: float) -> str:
    """The whole text.

    Args:
        documents: the document of each part, empty where there is none.
        ends: how each part ended.
        goal: share of the bandwidth of a copy that the forward pass should reach at the large sizes.
    """
    parts = {
        "certificates": certificates,
        "convolutions": convolutions,
        "models": models,
        "profile": profile,
        "demo": demo,
    }
    blocks = [machine(documents.get("machine", {}))]
    blocks += [f"{name}\n{text}" for name, tell in parts.items() if (text := tell(documents.get(name, {})))]
    blocks.append("goals\n" + "\n".join(goals(documents, goal)))
    blocks.append(
        "parts\n" + "\n".join(line for name, how in ends.items() for line in ending(name, how, documents.get(name, {})))
    )
    return "\n\n".join(blocks)


def ending(name: str, how: str, document: Document) -> list[str]:
    """How a part ended, what it left out and why, and its errors."""
    lines = [f"  {name}: {how}" + (", some rows are missing" if document and not document["finished"] else "")]
    lines += [f"    skipped {what}" for what in document.get("skipped", [])]
    errors = document.get("errors", [])
    lines += [f"    error in {error['what']}: {error['error'].splitlines()[0]}" for error in errors[:SHOWN_ERRORS]]
    return lines + ([f"    and {len(errors) - SHOWN_ERRORS} errors more"] if len(errors) > SHOWN_ERRORS else [])


def machine(document: Document) -> str:
    """The card and the versions, in two lines."""
    if not document:
        return "machine: unknown"
    imports = [f"{row['import']} {row['version']}" for row in document["rows"] if "import" in row]
    copied = document.get("copy_bytes_per_second")
    card = document.get("card", "no card: a dry run" if document["dry"] else "no card")
    speed = f", a copy moves {copied / 1e9:.0f} GB/s" if copied else ""
    return f"{card}{speed}; torch {document.get('torch')}, CUDA {document.get('cuda')}\n{', '.join(imports)}"


def certificates(document: Document) -> str:
    """The tests' last line, and what did not pass."""
    if not document:
        return ""
    rows = document["rows"]
    lines = [f"  tests of the kernels: {' '.join(document.get('tests', {}).get('last', [])) or 'no result'}"]
    for kind in ("layer", "model"):
        of_kind = [row for row in rows if kind in row]
        lines.append(f"  {kind}s: {sum(row['passed'] for row in of_kind)} of {len(of_kind)} passed")
        lines += [f"    {row[kind]} {row.get('dtype', '')}: {_failure(row)}" for row in of_kind if not row["passed"]]
    return "\n".join(lines)


def _failure(row: Document) -> str:
    if "summary" in row:
        return str(row["summary"])
    return (
        f"{row['symmetry, eps']:.3g} eps from symmetric, {row['value, eps']:.3g} eps from float64, "
        f"the bound is {row['bound']:.0f}"
    )


def convolutions(document: Document) -> str:
    """The table of the convolutions."""
    return _table({key: value for key, value in row.items() if key != "missing"} for row in document.get("rows", []))


def models(document: Document) -> str:
    """The table of the models."""
    return _table(document.get("rows", []))


def profile(document: Document) -> str:
    """The kernels, the longest first."""
    return _table({**row, "kernel": row["kernel"][:60]} for row in document.get("rows", []))


def demo(document: Document) -> str:
    """How far the demo came."""
    if not document:
        return ""
    tests = document.get("report", {}).get("test", {})
    errors = ", ".join(f"{name} {entry['mae']:.4g} {entry['unit']}" for name, entry in tests.items())
    said = " ".join(document.get("output", [])[-1:])
    return (
        f"  exit code {document.get('exit code')}, {document.get('epochs', 0)} epochs, "
        f"on the test set: {errors or 'nothing'}" + ("" if errors else f"; last line: {said}")
    )


def goals(documents: Mapping[str, Document], goal: float) -> list[str]:
    """Each goal with a verdict and the figures behind it."""
    document = documents.get("convolutions", {})
    if any(part.get("dry") for part in documents.values()):
        return ["  none in a dry run: an interpreter's times mean nothing"]
    rows = [row for row in document.get("rows", []) if "ours ms" in row]
    lines = []
    large = [row for row in rows if row["task"] == "forward" and row["size"] in document.get("large", [])]
    shares = ", ".join(f"{row['size']}: {row['bytes / copy bandwidth']:.2f}" for row in large)
    met = bool(large) and all(row["bytes / copy bandwidth"] >= goal for row in large)
    lines.append(f"  forward at {goal} of the bandwidth of a copy at large sizes: {_verdict(met, large)} ({shares})")
    slower = []
    for row in rows:
        peers = {
            key.removesuffix(" ms"): value for key, value in row.items() if key.endswith(" ms") and key != "ours ms"
        }
        slower += [
            f"{row['size']}, {row['task']}: {name} {row['ours ms'] / ms:.2f}x"
            for name, ms in peers.items()
            if ms < row["ours ms"]
        ]
    lines.append(f"  not slower than the fastest peer at any size: {_verdict(not slower, rows)} ({'; '.join(slower)})")
    missing = {f"{name} ({reason})" for row in rows for name, reason in row.get("missing", {}).items()}
    if missing:
        lines.append(f"    peers that were not there: {', '.join(sorted(missing))}")
    behind = [
        f"{row['case']}, {row['pass']}: {row['ratio']:.2f}"
        for row in documents.get("models", {}).get("rows", [])
        if row.get("ratio", 2) < 1
    ]
    lines.append(
        "  models not slower than their packages: "
        f"{_verdict(not behind, documents.get('models', {}).get('rows', []))} ({'; '.join(behind)})"
    )
    return [line.removesuffix(" ()") for line in lines]


def _verdict(met: bool, rows: Any) -> str:
    return "not measured" if not rows else "met" if met else "NOT MET"


def _table(rows: Iterable[Document]) -> str:
    listed = [dict(row) for row in rows]
    return "\n".join(f"  {line}" for line in table(listed).splitlines()) if listed else ""
