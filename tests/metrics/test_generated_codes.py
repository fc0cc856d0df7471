"""The inverse of a generator: what it learns, and that it comes from the seed."""

import pytest
import torch

from axiswise.metrics import train_inverse


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def stripes(z):
    """Two latents as the greys of two halves; a third that shows nowhere."""
    return torch.sigmoid(z[:, :2]).repeat_interleave(4, 1)[:, None, :, None].expand(-1, 1, 8, 8)


def inverse(generator=stripes, **options):
    settings = {"steps": 200, "batch_size": 32, "width": 0.25, "rng": seeded()}
    return train_inverse(generator, 3, (1, 8, 8), **(settings | options))


def test_it_tells_latents_that_show_and_gives_the_mean_for_those_that_do_not():
    z = torch.randn(500, 3, generator=seeded(1))
    with torch.no_grad():
        codes = inverse()(stripes(z))
    assert codes.shape == (500, 3)
    error = (codes - z).square().mean(0)
    assert error[:2].max() < 0.05
    assert codes[:, 2].square().mean() < 0.05


def test_all_comes_from_the_seed_and_the_global_state_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first = inverse(steps=2)
    assert torch.equal(torch.rand(2), expected)
    again = inverse(steps=2)
    other = inverse(steps=2, rng=seeded(5))
    images = stripes(torch.randn(3, 3))
    assert torch.equal(first(images), again(images))
    assert not torch.equal(first(images), other(images))


def test_it_is_ready_to_encode():
    encoder = inverse(steps=1)
    assert not encoder.training
    assert not encoder(stripes(torch.zeros(1, 3))).requires_grad


def test_progress_counts_steps():
    seen = []
    inverse(steps=3, progress=lambda *at: seen.append(at))
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latent_dim": 0}, "latent_dim must be at least 1"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"image_shape": (1, 8, 16)}, r"image_shape must be \(channel, size, size\)"),
        ({"image_shape": (1, 12, 12)}, "size must be a power of 2"),
        ({"image_shape": (1, 16, 16)}, r"generator must give images of image_shape \(1, 16, 16\)"),
        ({"generator": lambda z: z}, "generator must give images"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {"generator": stripes, "latent_dim": 3, "image_shape": (1, 8, 8), "steps": 1}
    with pytest.raises(ValueError, match=message):
        train_inverse(**(arguments | change))
