"""Polynomials of channels, such as MACE's contraction: ``plan``, ``definition`` in plain torch, ``cpu_text`` (a machine
in LLVM's language that runs any of them), ``cpu``, ``gpu`` (such a machine in Triton), ``kernel`` (which of them
runs), ``operators`` (what torch sees).
"""
