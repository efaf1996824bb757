"""Weights in a network of more species, for every architecture; and parts that stay."""

from __future__ import annotations

import pytest
import torch
from molecular import MODELS

from intertwine.geometry import Graph, connect
from intertwine.nn import BatchNorm, freeze, grown
from intertwine.numerics import CheckpointError, InputError
from intertwine.numerics.signature import arguments
from intertwine.tasks import ForceField

WISHED = {
    "width": 8,
    "layers": 1,
    "lmax": 1,
    "cutoff": 3.0,
    "radial_size": 4,
    "scalars": 8,
    "vectors": 2,
    "correlation": 2,
    "mmax": 1,
}


def made(name: str, species: tuple[int, ...]):
    kind = MODELS[name]
    known = arguments(kind)
    torch.manual_seed(len(species))
    return kind(**{k: v for k, v in WISHED.items() if k in known}, species=species).double().eval()


@pytest.mark.parametrize("name", MODELS)
def test_every_architecture_takes_more_species(name: str) -> None:
    """The functions of old species are the same, whatever the place of the new ones between them; tables have old rows
    to the bit.
    """
    old, new = made(name, (1, 8)), made(name, (1, 6, 8, 9))
    given, fresh = old.state_dict(), {k: v.clone() for k, v in new.state_dict().items()}
    state = grown(given, fresh, (8, 1), (8, 1, 9, 6))
    assert state.keys() == fresh.keys()
    tables = [k for k in given if given[k].shape != fresh[k].shape]
    assert any("species" in k for k in tables)
    for k in given:
        axis = [a for a, (m, n) in enumerate(zip(given[k].shape, fresh[k].shape)) if m != n]
        assert len(axis) == (k in tables)
        if axis:
            assert torch.equal(state[k].index_select(axis[0], torch.tensor([0, 2])), given[k])
            assert torch.equal(
                state[k].index_select(axis[0], torch.tensor([1, 3])),
                fresh[k].index_select(axis[0], torch.tensor([1, 3])),
            )
        else:
            assert torch.equal(state[k], given[k])
    new.load_state_dict(state)
    generator = torch.Generator().manual_seed(0)
    graph = connect(Graph(1.2 * torch.randn(6, 3, generator=generator, dtype=torch.float64), z=[1, 8, 1, 1, 8, 8]), 3.0)
    expected = old(graph).detach()
    torch.testing.assert_close(new(graph).detach(), expected, rtol=1e-12, atol=1e-12 * float(expected.abs().max()))
    graph.z[0] = 6
    assert torch.isfinite(new(graph)).all()


def test_tables_of_pairs_grow_along_both_axes() -> None:
    old, fresh = torch.arange(4.0).view(2, 2), torch.full((3, 3), 9.0)
    assert grown({"pairs": old}, {"pairs": fresh}, [1, 8], [1, 6, 8])["pairs"].tolist() == [
        [0, 9, 1],
        [9, 9, 9],
        [2, 9, 3],
    ]
    assert (fresh == 9).all()  # the fresh ones are left alone


@pytest.mark.parametrize(
    ("given", "what"), [({"x": torch.zeros(2, 5)}, r"x has shape \(2, 5\)"), ({"y": torch.zeros(1)}, "unknown 'y'")]
)
def test_what_species_do_not_explain_is_refused(given: dict, what: str) -> None:
    with pytest.raises(CheckpointError, match=what):
        grown(given, {"x": torch.zeros(3, 6)}, [1, 8], [1, 6, 8], where="run")


def test_frozen_parts_keep_weights_and_statistics() -> None:
    task = ForceField(made("painn", (1, 6)).float())
    task.freeze(["embedding", "layers.0.*"])
    trained = {name for name, p in task.named_parameters() if p.requires_grad}
    assert trained
    assert all(name.startswith("head.") for name in trained)
    assert "backbone" in task.frozen
    task.train()
    assert task.training
    assert not task.backbone.embedding.training
    assert task.head.training


def test_statistics_of_a_frozen_batch_norm_stay() -> None:
    net = torch.nn.Sequential(BatchNorm("3x0e + 2x1o"), torch.nn.Linear(9, 1))
    assert freeze(net, ["0"]) == ("0",)
    task = ForceField(made("painn", (1, 6)))
    task.extra = net
    task.freeze(["extra.0"])
    task.train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    net(torch.randn(20, 9))
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert net[1].weight.requires_grad


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["embeding"], r"nothing is called 'embeding'(.|\n)*did you mean 'embedding'"),
        (["edges"], "'edges' has no weights"),
        (["backbone", "head"], "all weights are frozen"),
        (["*"], "all weights are frozen"),
    ],
)
def test_names_that_freeze_nothing_or_all(names: list[str], what: str) -> None:
    with pytest.raises(InputError, match=what):
        ForceField(made("painn", (1, 6))).freeze(names)
