"""Layers of any irreps: activations, norms, gates, steerable linear maps, products of one node's features."""
