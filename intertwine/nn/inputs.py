"""Arguments that models share: species, invariants of nodes and edges, and radial functions of the distance."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from intertwine.nn.checks import Columns, check_sizes
from intertwine.numerics import InputError, nearest
from intertwine.numerics.signature import unpacked


class Inputs(TypedDict, total=False):
    """Keyword arguments of every model, besides its ``cutoff``.

    Fields of the graph are given by name, ``("charge",)``, and with their number of columns where they have several,
    ``{"x": 20, "charge": 1}``; your own fields always need it.

    Args:
        species: atomic numbers that the model knows; None (the default) for all, () for nodes that are not atoms.
        node_inputs: invariants of the nodes that are embedded beside the species: "x", "charge", "speed", or any field
            of the nodes (:func:`intertwine.geometry.node_invariants`).
        edge_inputs: invariants of the edges, seen wherever functions of the distance are seen first: "edge_attr",
            "charge_product", or any field of the edges (:func:`intertwine.geometry.edge_invariants`).
    """

    species: Sequence[int] | None
    node_inputs: Columns
    edge_inputs: Columns


class RadialInputs(Inputs, total=False):
    """Keyword arguments of models with radial functions of the distance.

    Args:
        radial_size: number of radial functions.
        radial: "bessel" or "gaussian" (:mod:`intertwine.nn.radial`).
        cutoff_function: the envelope, which takes messages to zero at the cutoff: "polynomial" (forces without a kink)
            or "cosine".
    """

    radial_size: int
    radial: str
    cutoff_function: str


class VectorInputs(RadialInputs, total=False):
    """Keyword arguments of models whose nodes have vectors.

    Args:
        vector_inputs: vectors of the nodes that the first vectors are made of, ``("vel",)`` for example: polar ones, as
            ``Graph(..., representations={"u": "1o"})`` declares them. ``{"u": 4}`` has four for each node, as (nodes,
            4, 3) or as "4x1o".
    """

    vector_inputs: Columns


#: The defaults, where a model's ``DEFAULTS`` say nothing else.
DEFAULTS = VectorInputs(
    species=None,
    node_inputs=(),
    edge_inputs=(),
    radial_size=20,
    radial="bessel",
    cutoff_function="polynomial",
    vector_inputs=(),
)


class Written:
    """Makes ``inspect.signature`` of a model list its inputs with their types and defaults, beside the arguments of its
    own.
    """

    def __get__(self, instance: object, owner: type[Any]) -> inspect.Signature:
        if instance is not None:  # of a model itself, which is called with a graph
            raise AttributeError("__signature__")
        _, *own = inspect.signature(owner.__init__).parameters.values()
        if hints := unpacked(owner):
            defaults: Any = {**DEFAULTS, **owner.DEFAULTS}
            keyword = inspect.Parameter.KEYWORD_ONLY
            own[-1:] = [
                inspect.Parameter(name, keyword, default=defaults[name], annotation=hint)
                for name, hint in hints.items()
            ]
        return inspect.Signature(own)


def complete(model: type[Any], arguments: Mapping[str, Any]) -> VectorInputs:
    """All inputs of a model: what was given, else its defaults.

    Args:
        model: the class.
        arguments: what its constructor got by keyword, besides arguments of its own.

    Raises:
        InputError: an argument that the model does not have, or a size below 1.
    """
    hints = next(filter(None, (unpacked(kind) for kind in model.__mro__)), {})
    for name in arguments:
        if name not in hints:
            what = f"no place for {name!r}" if name in DEFAULTS else f"unknown argument {name!r}"
            raise InputError(what, where=model.__name__, remedy=nearest(name, inspect.signature(model).parameters))
    made: Any = {name: value for name, value in {**DEFAULTS, **model.DEFAULTS, **arguments}.items() if name in hints}
    if "radial_size" in made:
        check_sizes(radial_size=made["radial_size"])
    return made
