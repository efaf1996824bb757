"""What all kernels share: ``choice`` (who decides which runs), ``doors`` (what a tensor must be before compiled code
sees its pointer), ``strip`` (where a block lies), ``processes`` (forks), ``recording`` (derivatives of operators).
"""
