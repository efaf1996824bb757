"""Spherical harmonics and their derivatives: ``plan`` and its ``arithmetic``, ``definition`` in plain torch,
``cpu_text`` (the kernels in LLVM's language), ``kernel``, ``operators``.
"""
