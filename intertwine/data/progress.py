"""The progress bar of what reads data."""

from __future__ import annotations

from intertwine.numerics import progress_bar

__all__ = ["progress_bar"]
