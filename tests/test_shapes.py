"""What models and layers say of their arrays, checked on the syntax tree; that it is true, beartype checks wherever
they run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from by_path import each_of
from jaxtyping import TypeCheckError

from intertwine.models import ScalarVector
from intertwine.nn import MessagePassing
from intertwine.tasks import Task

ROOT = Path(__file__).resolve().parents[1] / "intertwine"
FILES = sorted([*(ROOT / "models").rglob("*.py"), *(ROOT / "nn").rglob("*.py")])
CORE = {"prepare", "message", "aggregate", "update"}
SHAPED = {"Float", "Int", "Bool", "Shaped", "Complex"}
ANY_SHAPE = {"Callable", "Mapping"}  # functions of arrays of any shape; arrays by name, such as a state_dict


def bare(annotation: ast.expr | None) -> bool:
    """Whether an annotation holds a tensor without a shape."""
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value).split(".")[-1] in SHAPED | ANY_SHAPE:
        return False
    if isinstance(annotation, ast.Name | ast.Attribute):
        return ast.unparse(annotation).split(".")[-1] == "Tensor"
    return annotation is not None and any(
        bare(child) for child in ast.iter_child_nodes(annotation) if isinstance(child, ast.expr)
    )


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    """Functions and methods that others call, and constructors: no names with an underscore, nor what is inside of
    those.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from functions(node)
        elif isinstance(node, ast.FunctionDef) and (node.name == "__init__" or not node.name.startswith("_")):
            yield node


def unshaped(source: str) -> list[str]:
    """What public functions, and the names that stand for tuples of arrays, leave open: "line: function argument"."""
    tree, found = ast.parse(source), []
    for function in functions(tree):
        given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        given += [one for one in (function.args.vararg, function.args.kwarg) if one is not None]
        said = {one.arg: one.annotation for one in given if one.arg not in ("self", "cls")} | {
            "return": function.returns
        }
        found += [
            f"{function.lineno}: {function.name} {name}" for name, kind in said.items() if kind is None or bare(kind)
        ]
    aliases = [
        node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.BinOp)
    ]
    return found + [f"{node.lineno}: {ast.unparse(node.targets[0])}" for node in aliases if bare(node.value)]


@each_of(FILES)
def test_public_functions_state_the_shapes_of_their_arrays(file: Path) -> None:
    assert not unshaped(file.read_text())


@each_of(FILES)
def test_the_core_of_every_model_states_shapes_and_not_anything(file: Path) -> None:
    """``Any`` is for the base alone, which knows no model."""
    tree = ast.parse(file.read_text())
    methods = [
        f
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for f in node.body
        if isinstance(f, ast.FunctionDef)
    ]
    for method in methods:
        if method.name in CORE and file.name != "message_passing.py":
            assert not any("Any" in ast.unparse(a.annotation or ast.Constant("Any")) for a in method.args.args[1:]), (
                method.name
            )


@pytest.mark.parametrize(
    "source",
    [
        "def f(x): pass",
        "def f(x: Tensor) -> None: pass",
        "def f(x: int) -> tuple[Tensor, None]: pass",
        "def f(x: torch.Tensor | None) -> None: pass",
        "class A:\n    def message(self, f_i: list[Tensor]) -> None: pass",
        "class A:\n    def f(self, *x: Tensor) -> None: pass",
        "Pair = tuple[Tensor, Tensor]",
    ],
)
def test_the_check_itself_sees_bare_tensors(source: str) -> None:
    assert unshaped(source)


@pytest.mark.parametrize(
    "source",
    [
        'def f(x: Float[Tensor, "nodes width"] | None) -> list[Int[torch.Tensor, " nodes"]]: pass',
        "def f(x: Callable[[Tensor], Tensor], y: Mapping[str, Tensor]) -> None: pass",
        "class _Own:\n    def f(self, x: Tensor): pass",
        'Pair = tuple[Float[Tensor, "n w"], None]',
    ],
)
def test_the_check_itself_lets_shaped_ones_pass(source: str) -> None:
    assert not unshaped(source)


@each_of(sorted(ROOT.rglob("*.py")))
def test_abstract_classes_are_abc(file: Path) -> None:
    """No method is unfinished by hand; a class with abstract methods can't be made."""
    for kind in (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ClassDef)):
        for method in (node for node in kind.body if isinstance(node, ast.FunctionDef)):
            assert not any(
                "must define" in ast.unparse(node) for node in ast.walk(method) if isinstance(node, ast.Raise)
            ), method.name
            if any("abstractmethod" in ast.unparse(decorator) for decorator in method.decorator_list):
                assert {"ABC", "Protocol"} & {ast.unparse(base) for base in kind.bases}, (
                    f"{kind.name} has {method.name} and is no ABC"
                )


@pytest.mark.parametrize(("base", "missing"), [(MessagePassing, "message"), (Task, "predict"), (Task, "residuals")])
def test_unfinished_classes_can_not_be_made(base: type, missing: str) -> None:
    assert missing in base.__abstractmethods__
    with pytest.raises(TypeError, match=missing):
        type("Unfinished", (base,), {})(None)


def test_annotations_of_the_core_are_executed() -> None:
    """Messages of another number of edges, or vectors in the place of scalars, are caught where they are made."""
    layer = ScalarVector(width=4, layers=1, species=[1], radial_size=3).layers[0]
    s, edges = torch.zeros(5, 4), torch.zeros(7, 4)
    a_ij = (torch.zeros(7, 3), torch.zeros(7, 3), torch.zeros(7, 1))
    m, w = layer.message((edges, None), (edges, None), a_ij)
    assert (m.shape, w.shape) == ((7, 4), (7, 3, 4))
    for wrong in (
        ((edges[:6], None), (edges, None)),
        ((edges.long(), None), (edges, None)),
        ((edges, edges), (edges, None)),
    ):
        with pytest.raises(TypeCheckError):
            layer.message(*wrong, a_ij)
    with pytest.raises(TypeCheckError):
        layer.update((s, None), (s[:, :3], torch.zeros(5, 3, 4)))
