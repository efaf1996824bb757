"""A product that keeps channels apart, with the gather before it and the sum after it.

``plan``, ``forms`` (which versions of the arguments meet); ``definition`` in plain torch; ``cpu_text`` and
``cpu_matrices`` (the kernels in LLVM's language), ``cpu``, ``cpu_order`` (edges sorted by an end) and ``gpu``;
``native`` (the compiled kernels of a device), ``check`` (kernel beside definition, on first use), ``kernel`` (which of
them runs); ``operators`` and ``derivatives`` (what torch sees); ``fused`` (what layers call).
"""
