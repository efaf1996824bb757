"""Spherical harmonics and their derivatives: ``plan`` and its ``arithmetic``, ``definition`` in plain torch,
``formula`` (what each kernel computes at a point), ``cpu_text`` (in LLVM's language), ``gpu`` (in Triton's),
``kernel``, ``operators``.
"""
