"""Packed linear layers compute what linear layers compute."""

import pytest
import torch
from torch import nn

from firstedge.loaders.packed_linear import PackedLinear, pack_linears


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 48), (7, 48), (3, 5, 48), (600, 48), (0, 48)])
def test_the_same_as_the_layer(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(48, 31, bias=bias), torch.randn(shape)
    with torch.inference_mode():
        torch.testing.assert_close(PackedLinear(linear, 512)(x), linear(x))


def test_a_model_is_packed_throughout() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ModuleDict({"deep": nn.Linear(8, 2)})["deep"])
    nested = nn.ModuleList([model, nn.Bilinear(2, 2, 2)])
    x = torch.randn(3, 4)
    with torch.inference_mode():
        before = model(x)
        pack_linears(nested, 16)
        torch.testing.assert_close(model(x), before)
    assert sum(type(module) is nn.Linear for module in nested.modules()) == 0
    assert sum(isinstance(module, PackedLinear) for module in nested.modules()) == 2


def test_a_torch_that_cannot_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    model = nn.Sequential(nn.Linear(4, 8))
    pack_linears(model, 16)
    assert type(model[0]) is nn.Linear
