"""Parts of a representation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.numerics import InputError, Rebuildable
from intertwine.o3 import Irrep, Irreps
from intertwine.o3.blocks import require_features


class Extract(Rebuildable):
    """Some blocks of the input, as several outputs.

    Args:
        irreps_in: representation of the input.
        irreps_outs: representations of the outputs.
        instructions: for each output, which block of the input each of its blocks is.
        squeeze_out: whether a single output comes as a tensor instead of a tuple.

    Raises:
        InputError: an instruction names a block that is not there, or one of another representation.

    >>> Extract("1e + 0e + 0e", ["0e", "0e"], [(1,), (2,)])(torch.tensor([0.0, 0.0, 0.0, 1.0, 2.0]))
    (tensor([1.]), tensor([2.]))
    """

    def __init__(
        self,
        irreps_in: Any,
        irreps_outs: Sequence[Any],
        instructions: Sequence[Sequence[int]],
        squeeze_out: bool = False,
    ) -> None:
        super().__init__()
        self.irreps_in = Irreps(irreps_in)
        self.irreps_outs = tuple(Irreps(irreps) for irreps in irreps_outs)
        self.instructions, self.squeeze_out = instructions, squeeze_out
        if len(self.irreps_outs) != len(instructions):
            raise InputError(
                f"{len(instructions)} instructions for {len(self.irreps_outs)} outputs",
                where="Extract",
                remedy="give one each.",
            )
        for irreps, blocks in zip(self.irreps_outs, instructions):
            extracted = [self.irreps_in[i] for i in blocks if -len(self.irreps_in) <= i < len(self.irreps_in)]
            if len(extracted) != len(blocks) or Irreps(extracted) != irreps:
                raise InputError(
                    f"blocks {tuple(blocks)} of {self.irreps_in} are not {irreps}",
                    where="Extract",
                    remedy="name blocks of equal multiplicity.",
                )

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        code = next(iter(state.get("__codegen__", {}).values()), b"")
        code = code if isinstance(code, bytes) else code[-1]  # e3nn keeps in its code only whether it returns a tuple
        Extract.__init__(
            self, state["irreps_in"], state["irreps_outs"], state["instructions"], squeeze_out=b"return (" not in code
        )

    def extra_repr(self) -> str:
        return f"{self.irreps_in} -> {', '.join(map(str, self.irreps_outs))}"

    def forward(self, x: Float[Tensor, "*batch dim_in"]) -> tuple[Float[Tensor, "..."], ...] | Float[Tensor, "..."]:
        """The outputs (..., irreps_outs[k].dim) of an input (..., irreps_in.dim)."""
        require_features(x, self.irreps_in)
        pieces = x.split([block.dim for block in self.irreps_in], -1) if len(self.irreps_in) else ()
        outputs = tuple(
            torch.cat([pieces[i] for i in blocks], dim=-1) if len(blocks) else x.new_zeros(*x.shape[:-1], 0)
            for blocks in self.instructions
        )
        return outputs[0] if self.squeeze_out and len(outputs) == 1 else outputs


class ExtractIr(Extract):
    """All blocks of one irrep.

    Args:
        irreps_in: representation of the input.
        ir: the irrep.
    """

    def __init__(self, irreps_in: Any, ir: Any) -> None:
        irreps_in, ir = Irreps(irreps_in), Irrep(ir)
        self_out = Irreps([block for block in irreps_in if block.ir == ir])
        super().__init__(
            irreps_in, [self_out], [tuple(i for i, block in enumerate(irreps_in) if block.ir == ir)], squeeze_out=True
        )
        self.irreps_out = self_out


class Identity(nn.Module):
    """The identity between two equal representations.

    Args:
        irreps_in, irreps_out: equal up to merging of neighbours.
        dtype, device: of the buffer ``output_mask``, all ones, which e3nn's has.

    Raises:
        InputError: they are not equal.
    """

    def __init__(
        self,
        irreps_in: Any,
        irreps_out: Any,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = Irreps(irreps_in).simplify(), Irreps(irreps_out).simplify()
        if self.irreps_in != self.irreps_out:
            raise InputError(
                f"{self.irreps_in} is not {self.irreps_out}",
                where="Identity",
                remedy="use Linear to change a representation.",
            )
        self.register_buffer("output_mask", torch.ones(self.irreps_out.dim, dtype=dtype, device=device))

    def forward(self, features: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """The features themselves."""
        return features
