"""From arithmetic to a function in memory: ``assembler`` and ``rows`` write LLVM's language, ``compile`` compiles it
and keeps it on disk, ``threads`` runs it on torch's own.
"""
