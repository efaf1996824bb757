"""The start-up file of the Python processes that ``python -m intertwine.e3nn`` starts; this folder is on their
PYTHONPATH.
"""
