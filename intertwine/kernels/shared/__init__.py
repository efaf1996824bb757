"""What all kernels share: ``choice`` (who decides which runs), ``trust`` (the one self-check, on first use),
``operator`` (the one way to be an operator of torch), ``doors`` (what a tensor must be before compiled code sees its
pointer), ``card`` (what programs for graphics cards need), ``strip`` (where a block lies), ``processes`` (forks).
"""
