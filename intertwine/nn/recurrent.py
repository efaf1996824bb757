"""Gated recurrent cells, written out: torch's own fused ones on a GPU have no second derivative, which forces need."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class GRUCell(nn.GRUCell):
    r"""Gated recurrent unit, with torch's parameters (Cho et al. 2014; Gilmer et al. 2017, "GG-NN").

    .. math::
        r &= \sigma(W_{ir} x + b_{ir} + W_{hr} h + b_{hr}), \qquad z = \sigma(W_{iz} x + b_{iz} + W_{hz} h + b_{hz}) \\
        n &= \tanh(W_{in} x + b_{in} + r \circ (W_{hn} h + b_{hn})), \qquad h' = (1 - z) \circ n + z \circ h
    """

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "rows inputs"], h: Float[Tensor, "rows width"]
    ) -> Float[Tensor, "rows width"]:
        from_input = F.linear(x, self.weight_ih, self.bias_ih).chunk(3, dim=-1)
        from_state = F.linear(h, self.weight_hh, self.bias_hh).chunk(3, dim=-1)
        reset, keep = (from_input[k] + from_state[k] for k in (0, 1))
        new = (from_input[2] + reset.sigmoid() * from_state[2]).tanh()
        return new + keep.sigmoid() * (h - new)


class LSTMCell(nn.LSTMCell):
    r"""Long short-term memory, with torch's parameters (Hochreiter and Schmidhuber 1997).

    .. math:: c' = \sigma(f) \circ c + \sigma(i) \circ \tanh(g), \qquad h' = \sigma(o) \circ \tanh(c')

    where i, f, g, o are linear in x and h.
    """

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "rows inputs"], state: tuple[Float[Tensor, "rows width"], Float[Tensor, "rows width"]]
    ) -> tuple[Float[Tensor, "rows width"], Float[Tensor, "rows width"]]:
        h, c = state
        gates = F.linear(x, self.weight_ih, self.bias_ih) + F.linear(h, self.weight_hh, self.bias_hh)
        i, f, g, o = gates.chunk(4, dim=-1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c
