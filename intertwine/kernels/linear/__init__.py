"""Linear layers of few rows: ``plan``, ``cpu`` (many small products in one call), ``kernel``. The definition and the
operator are ``o3/mixing.py``.
"""
