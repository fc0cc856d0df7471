"""Activeness: its value in closed form, and what it must not depend on."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from axiswise.metrics import activeness, activeness_maps
from axiswise.metrics.activeness import published_activeness_scores
from axiswise.nets import ProgressiveGenerator, SimpleGenerator


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def linear(weight):
    """Images whose pixels are weight @ z."""
    return lambda z: (z @ weight.T)[:, None, :, None]


def test_of_a_linear_generator_it_is_the_variance_of_the_values_times_the_mean_square_weight():
    """Var of -2, 0, 2 is 4, divided by their number less one, as np.var(ddof=1) does."""
    weight = torch.randn(7, 4, generator=seeded())
    expected = 4 * weight.square().mean(0).double()
    assert np.var([-2, 0, 2], ddof=1) == 4
    found = activeness(linear(weight), 4, samples=10, rng=seeded())
    assert torch.allclose(found, expected, rtol=1e-5)


def test_a_map_says_which_pixels_move_and_its_mean_is_the_activeness():
    weight = torch.tensor([[1.0, 0.0], [0.0, 3.0], [2.0, 0.0]])
    maps = activeness_maps(linear(weight), 2, samples=10, rng=seeded())
    assert maps.shape == (2, 1, 3, 1)
    assert torch.allclose(maps[:, 0, :, 0], 4 * weight.T.square().double(), rtol=1e-5)
    found = activeness(linear(weight), 2, samples=10, rng=seeded())
    assert torch.equal(found, maps.flatten(1).mean(1))


def test_where_axes_interact_it_is_the_mean_over_normal_samples():
    """Of z0·z1: set one to ±2 and 0, the other is standard normal, so 4·E z² = 4."""
    product = lambda z: (z[:, 0] * z[:, 1])[:, None, None, None]  # noqa: E731
    found = activeness(product, 2, samples=20_000, batch_size=5_000, rng=seeded())
    assert torch.allclose(found, torch.full((2,), 4.0, dtype=torch.float64), rtol=0.05)


def test_a_dead_axis_has_none():
    weight = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    assert activeness(linear(weight), 2, samples=5, rng=seeded())[1] == 0


def test_batches_change_nothing():
    warped = lambda z: torch.tanh(z @ torch.ones(3, 5) * z[:, :1])[:, None, None]  # noqa: E731
    found = [activeness(warped, 3, samples=13, batch_size=n, rng=seeded()) for n in (1, 5, 64)]
    assert torch.allclose(found[0], found[1])
    assert torch.allclose(found[0], found[2])


def test_the_values_are_an_argument():
    weight = torch.ones(1, 1)
    found = activeness(linear(weight), 1, samples=2, values=(0.0, 1.0), rng=seeded())
    assert found.item() == pytest.approx(0.5)


def test_progress_counts_axes_of_batches():
    seen = []
    activeness(
        linear(torch.ones(2, 2)), 2, samples=3, batch_size=2, progress=lambda *at: seen.append(at)
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_published_score_is_of_images_from_minus_one_to_one():
    generator = SimpleGenerator(8, latent_dim=3, width=0.1).requires_grad_(False)
    found = published_activeness_scores(subject(generator))
    ours = activeness(generator.generate, 3, rng=seeded())
    assert found["activeness_published"] == pytest.approx(4 * float(ours.mean()), rel=1e-5)
    assert torch.allclose(found["activeness_published_per_axis"], 4 * ours)


@pytest.mark.parametrize("normalize_latents", [False, True])
def test_of_progressive_generators_the_published_latents_have_mean_square_one(normalize_latents):
    """They are brought there before one is set, and the network does not bring them there again."""
    generator = ProgressiveGenerator(
        4, latent_dim=3, width=1 / 64, normalize_latents=normalize_latents
    ).requires_grad_(False)
    layers, to_image = generator.get_submodule("4x4"), generator.get_submodule("ToRGB_lod0")
    found = published_activeness_scores(subject(generator))["activeness_published_per_axis"]
    z = torch.randn(300, 3, generator=seeded())
    z = z / z.square().mean(1, keepdim=True).sqrt()
    for axis in range(3):
        images = []
        for value in (-2.0, 0.0, 2.0):
            changed = z.clone()
            changed[:, axis] = value
            images.append(to_image(layers(changed)).numpy())
        assert found[axis].item() == pytest.approx(np.var(images, axis=0, ddof=1).mean(), rel=1e-4)
    assert generator.normalize_latents == normalize_latents


def subject(generator):
    return SimpleNamespace(generator=generator, latent_dim=generator.latent_dim, rng=seeded)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latent_dim": 0}, "latent_dim must be at least 1, got 0"),
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"values": (1.0,)}, r"values must be two or more.*\[1\.0\]"),
        ({"generator": lambda z: z}, r"generator must give images \(6, channel"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {"generator": linear(torch.ones(2, 2)), "latent_dim": 2, "samples": 2}
    with pytest.raises(ValueError, match=message):
        activeness(**(arguments | change))
