"""Shapes that layers share, by name. One axis name is one number within a signature: ``update`` gets and gives equally
many scalars.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

# scalars s and vectors v of nodes or edges; v is None while all vectors are zero
NodeState = tuple[Float[Tensor, "nodes scalars"], Float[Tensor, "nodes 3 vectors"] | None]
EdgeState = tuple[Float[Tensor, "edges scalars"], Float[Tensor, "edges 3 vectors"] | None]
# where there are vectors in any case: messages, their sums and what becomes of them
Messages = tuple[Float[Tensor, "edges width"], Float[Tensor, "edges 3 channels"]]
NodePair = tuple[Float[Tensor, "nodes scalars"], Float[Tensor, "nodes 3 vectors"]]
# what ``EdgeLinear.nodes`` makes of a node, and of its vectors; None where there is no such part
NodePart = Float[Tensor, "nodes hidden"] | None
EdgePart = Float[Tensor, "edges hidden"] | None
NodeParts = tuple[NodePart, Float[Tensor, "nodes 3 inner"] | None]
EdgeParts = tuple[EdgePart, Float[Tensor, "edges 3 inner"] | None]
# what is known of an edge: attributes, direction, envelope (edges, 1) or (edges,), None without a cutoff
Radial = tuple[Float[Tensor, "edges k"], Float[Tensor, "edges 1"]]
Weighted = tuple[Float[Tensor, "edges k"], Float[Tensor, " edges"] | None]
Directed = tuple[Float[Tensor, "edges k"], Float[Tensor, "edges 3"], Float[Tensor, "edges 1"]]
# numbers of nodes and edges by the names of the lists that a model makes of a graph, such as those of triplets
Lists = dict[str, Int[Tensor, "..."]]
