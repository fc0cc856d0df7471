"""FactorVAE's discriminator."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from axiswise.nets import CodeDiscriminator


def test_it_has_the_published_layers() -> None:
    network = CodeDiscriminator(latent_dim=10)
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    sizes = [(layer.in_features, layer.out_features) for layer in linear]
    assert sizes == [(10, 1000), *[(1000, 1000)] * 5, (1000, 2)]


def test_each_hidden_layer_is_followed_by_leaky_relu_and_the_last_by_nothing() -> None:
    torch.manual_seed(0)
    network, z = CodeDiscriminator(3, features=7), torch.randn(5, 3)
    weights = list(network.parameters())
    hidden = z
    for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        pre = hidden @ weight.T + bias
        hidden = torch.where(pre > 0, pre, 0.2 * pre)
    torch.testing.assert_close(network(z), F.linear(hidden, *weights[-2:]))


def test_first_weights_are_glorot_s_and_first_biases_zero() -> None:
    torch.manual_seed(0)
    network = CodeDiscriminator(10, features=200)
    for layer in network:
        if isinstance(layer, nn.Linear):
            bound = math.sqrt(6 / (layer.in_features + layer.out_features))
            assert 0.9 * bound < float(layer.weight.detach().abs().max()) <= bound
            assert not layer.bias.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latent_dim": 0}, "latent_dim must be at least 1, got 0"),
        ({"latent_dim": 2, "features": -1}, "features must be at least 1, got -1"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CodeDiscriminator(**arguments)
