"""Constants keep every digit through changes of precision, and stay out of the state dict."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import torch
from torch import nn

from intertwine.numerics import ExactBuffers, ignore_keys


class Layer(ExactBuffers):
    def __init__(self, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, dtype=dtype))
        self.register_exact("third", np.array([1 / 3, 1e-30]), dtype=dtype)
        self.register_exact("index", torch.tensor([3, 1]))


def test_nothing_is_lost_on_the_way_through_lower_precisions() -> None:
    net = nn.Sequential(Layer()).float().half().double()
    assert net[0].third.tolist() == [1 / 3, 1e-30]
    assert net[0].index.tolist() == [3, 1]
    assert net.float()[0].third.dtype == torch.float32
    assert Layer(torch.float64).third.tolist() == [1 / 3, 1e-30]


def test_copies_and_pickles_keep_the_master() -> None:
    layer = Layer(torch.float32)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other.double().third.tolist() == [1 / 3, 1e-30]
    assert layer.third.dtype == torch.float32
    assert list(layer.state_dict()) == ["weight"]


def test_a_change_in_place_does_not_reach_the_master() -> None:
    layer = Layer(torch.float64)
    layer.third.zero_()
    assert layer.double().third.tolist() == [1 / 3, 1e-30]


def test_materialised_from_meta() -> None:
    layer = Layer().to("meta")
    assert layer.third.device.type == "meta"
    assert layer.to_empty(device="cpu").third.tolist() == torch.tensor([1 / 3, 1e-30]).tolist()


def test_keys_of_others_are_dropped_where_they_match() -> None:
    outer = nn.ModuleDict({"a": Layer(), "b": Layer()})
    ignore_keys(outer["a"], [r"_compiled.*"])
    state = {**outer.state_dict(), "a._compiled.x": torch.ones(1), "b._compiled.x": torch.ones(1)}
    assert outer.load_state_dict(state, strict=False).unexpected_keys == ["b._compiled.x"]


def test_integer_constants_come_back_after_to_empty() -> None:
    module = ExactBuffers()
    module.register_exact("order", np.array([2, 0, 1]), device="meta")
    module.register_exact("value", np.array([0.1, 0.2]), dtype=torch.float32, device="meta")
    module.to_empty(device="cpu")
    assert module.order.tolist() == [2, 0, 1]
    assert module.double().value.tolist() == [0.1, 0.2]
    assert module.order.dtype == torch.int64
