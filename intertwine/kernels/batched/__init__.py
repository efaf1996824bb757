"""Any plan by a few batched matrix products of plain torch: ``reference`` evaluates, ``stages`` are the kinds of
products, ``grouping`` sorts the paths into them; ``partial`` is a product with one argument fixed, as a matrix.
"""
