"""Linear layers: ``plan``, ``definition`` in plain torch, ``cpu`` (many small products in one call),
``blas`` (large ones, some rows at a time), ``gpu``, ``kernel`` (which of them runs), ``operators`` (derivatives).
"""
