"""Layers of any group."""
