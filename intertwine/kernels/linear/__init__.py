"""Linear layers of few rows: ``plan``, ``definition`` in plain torch, ``cpu`` (many small products in one call) and
``blas`` (large ones, some rows at a time), ``kernel`` (which of them runs), ``operators`` (derivatives).
"""
