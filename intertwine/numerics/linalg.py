"""Linear algebra that torch lacks."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def direct_sum(*matrices: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    r"""Block-diagonal :math:`A \oplus B \oplus \ldots` of matrices (..., m, n) with broadcast leading axes."""
    batch = torch.broadcast_shapes(*[m.shape[:-2] for m in matrices])
    columns, start, rows = sum(m.shape[-1] for m in matrices), 0, []
    for m in matrices:
        rows.append(torch.nn.functional.pad(m.expand(*batch, *m.shape[-2:]), (start, columns - start - m.shape[-1])))
        start += m.shape[-1]
    return torch.cat(rows, dim=-2)
