"""Polynomials of channels, such as MACE's contraction: ``plan``, ``definition`` in plain torch, ``cpu_text`` (a machine
in LLVM's language that runs any of them), ``cpu``, ``kernel``. The operator is ``nn/irreps/contraction_operator.py``.
"""
