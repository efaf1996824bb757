"""Convolutions in the frame of an edge, where a rotation about the edge is SO(2) (eSCN)."""
