"""Bases of paths of two and three edges: distances with angles and torsions (DimeNet, GemNet)."""
