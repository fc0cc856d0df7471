"""SeFa against what numpy's singular values say, and against layers whose answer is known."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import axiswise as aw
from axiswise.directions import match_directions, sefa
from axiswise.nets import BigGAN, SimpleGenerator

LATENT = 5


def _layer(kind: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        layers = {
            "linear": lambda: nn.Linear(LATENT, 7),
            "convolution": lambda: nn.Conv2d(LATENT, 3, 2),
            "transposed": lambda: nn.ConvTranspose2d(LATENT, 3, 4),
            "narrow": lambda: nn.Linear(LATENT, 2),
        }
        return layers[kind]().double()


def _move(layer: nn.Module, direction: Tensor) -> Tensor:
    """How far the layer's output goes when its input goes one step, by running it."""
    if not isinstance(layer, nn.Linear):
        # One pixel that meets each place of the kernel once.
        direction = nn.functional.pad(direction[:, None, None], (3, 3, 3, 3))
    return (layer(direction[None]) - layer(torch.zeros_like(direction)[None])).norm()


@pytest.mark.parametrize("kind", ["linear", "convolution", "transposed", "narrow"])
def test_directions_are_orthonormal_and_stretched_by_the_roots_of_their_eigenvalues(
    kind: str,
) -> None:
    layer = _layer(kind)
    directions, eigenvalues = sefa(layer)
    assert directions.shape == (LATENT, LATENT)
    torch.testing.assert_close(directions @ directions.T, torch.eye(LATENT).double())
    assert bool((eigenvalues >= 0).all())
    assert bool((eigenvalues.diff() <= 0).all())
    with torch.no_grad():
        moves = torch.stack([_move(layer, direction) for direction in directions])
    torch.testing.assert_close(moves.square(), eigenvalues)


@pytest.mark.parametrize("kind", ["linear", "convolution", "transposed", "narrow"])
def test_they_are_the_right_singular_vectors_of_the_weight(kind: str) -> None:
    """By numpy, of a matrix whose columns are what each latent moves."""
    layer = _layer(kind)
    with torch.no_grad():
        weight = layer.get_parameter("weight")
        columns = [
            (weight[i] if kind == "transposed" else weight[:, i]).flatten() for i in range(LATENT)
        ]
        matrix = torch.stack(columns, 1).numpy()
    _, stretches, vectors = np.linalg.svd(matrix)
    directions, eigenvalues = sefa(layer)
    rank = len(stretches)
    np.testing.assert_allclose(eigenvalues[:rank], stretches**2, rtol=1e-12)
    np.testing.assert_allclose(eigenvalues[rank:], 0, atol=1e-12)
    cosines = np.abs((directions[:rank].numpy() * vectors[:rank]).sum(1))
    np.testing.assert_allclose(cosines, 1, rtol=1e-12)


def test_of_a_diagonal_layer_they_are_the_axes_in_the_order_of_their_length() -> None:
    layer = nn.Linear(3, 3)
    layer.weight.data = torch.diag(torch.tensor([1.0, -4.0, 2.0]))
    directions, eigenvalues = sefa(layer)
    assert eigenvalues.tolist() == [16.0, 4.0, 1.0]
    assert directions.tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]


def test_the_largest_entry_of_each_is_positive_so_that_signs_are_no_matter_of_chance() -> None:
    layer = _layer("linear")
    directions, _ = sefa(layer)
    entries = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    assert bool((entries > 0).all())
    layer.weight.data.neg_()
    assert torch.equal(sefa(layer)[0], directions)


def test_results_are_of_the_weight_s_type_and_no_part_of_a_graph() -> None:
    for result in sefa(SimpleGenerator(8, LATENT, width=0.05).get_submodule("0.1")):
        assert result.dtype == torch.float32
        assert not result.requires_grad


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (nn.ReLU(), "ReLU"),
        (nn.Conv1d(4, 3, 2), "Conv1d"),
        (nn.Conv2d(4, 4, 2, groups=2), "Conv2d"),
        (SimpleGenerator(8, 4, width=0.05), "SimpleGenerator"),
    ],
)
def test_a_layer_of_another_kind_is_refused(layer: nn.Module, named: str) -> None:
    with pytest.raises(TypeError, match=f"layer must be an nn.Linear, .*got {named}"):
        sefa(layer)


def test_of_several_layers_it_is_of_their_weights_one_below_the_other() -> None:
    """By numpy; which comes first does not matter."""
    layers = [_layer("linear"), _layer("transposed"), _layer("narrow")]
    with torch.no_grad():
        weights = [layers[0].get_parameter("weight"), layers[2].get_parameter("weight")]
        spread = layers[1].get_parameter("weight").reshape(LATENT, -1).T
        matrix = torch.cat([weights[0], spread, weights[1]]).numpy()
    _, stretches, vectors = np.linalg.svd(matrix)
    directions, eigenvalues = sefa(*layers)
    np.testing.assert_allclose(eigenvalues, stretches**2, rtol=1e-12)
    cosines = np.abs((directions.numpy() * vectors).sum(1))
    np.testing.assert_allclose(cosines, 1, rtol=1e-12)
    torch.testing.assert_close(sefa(*layers[::-1])[0], directions)


def test_no_layers_and_layers_of_other_widths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"layers must take the same latents, got .*\[\] inputs"):
        sefa()
    with pytest.raises(ValueError, match=r"layers must take the same .* \[5, 6\] inputs"):
        sefa(_layer("linear"), nn.Linear(6, 3))


class Styles(nn.Module):
    """A second layer takes the latents too, and a third one but some of them."""

    latent_dim = LATENT

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(4)
            self.first, self.second = nn.Linear(LATENT, 6), nn.Linear(LATENT, 8)
            self.third = nn.Linear(3, 7)

    def forward(self, z: Tensor) -> Tensor:
        return torch.cat([self.first(z), self.second(z), self.third(z[:, 1:4])], 1).tanh()


def test_a_search_takes_layers_by_their_names() -> None:
    generator = Styles()
    for names, layers in (
        (None, [generator.first]),
        ("second", [generator.second]),
        ("first,second", [generator.first, generator.second]),
    ):
        found = aw.find_directions(generator, "sefa", 3, layer=names)
        torch.testing.assert_close(found.matrix, sefa(*layers)[0][:3], rtol=0, atol=1e-6)
        assert found.settings["layer"] == names


def test_of_a_subspace_it_is_of_the_columns_that_are_searched() -> None:
    """Also where a layer takes no others."""
    generator = Styles()
    columns = nn.Linear(3, 6)
    columns.weight.data = generator.first.weight.data[:, 1:4]
    for names, layers in (
        ("first", [columns]),
        ("third", [generator.third]),
        ("third,first", [generator.third, columns]),
    ):
        found = aw.find_directions(generator, "sefa", subspace=(1, 4), layer=names)
        expected = sefa(*layers)[0]
        torch.testing.assert_close(found.matrix[:, 1:4], expected, rtol=0, atol=1e-6)


def test_a_search_refuses_layers_that_do_not_take_the_latents() -> None:
    with pytest.raises(
        ValueError, match=r"layer must take the 5 latents, or the 2 .*'third' takes 3"
    ):
        aw.find_directions(Styles(), "sefa", subspace=(0, 2), layer="first,third")
    with pytest.raises(ValueError, match=r"layer must name a module .*\(first, second, third, …\)"):
        aw.find_directions(Styles(), "sefa", layer="first, second")
    with pytest.raises(TypeError, match=r"must be an nn\.Module for method 'sefa', .*got function"):
        aw.find_directions(lambda z: z.sin(), "sefa", latent_dim=2)


def test_a_layer_of_other_latents_than_those_searched_is_refused() -> None:
    """BigGAN's first layer takes the first part of z: of the same width as any other part."""
    generator = BigGAN(12, hidden=[8, 8, 4], classes=5, embedding=4, attention=8).fold()
    found = aw.find_directions(generator, "sefa", subspace=(0, 4), layer="linear")
    assert match_directions(found.matrix[:, :4], sefa(generator.linear)[0]).mean > 0.999
    with pytest.raises(ValueError, match=r"layer must take .* but 'linear' takes 4 other inputs"):
        aw.find_directions(generator, "sefa", subspace=(4, 8), layer="linear")
