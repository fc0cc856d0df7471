"""Perceptual path length, against the derivative of the path in closed form."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from axiswise.metrics import perceptual_path_length, ppl
from axiswise.metrics.ppl import brought_to_256

LATENT = 5


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def paint(z):
    return z[:, None, None, :]


def squared(first, second):
    return (first - second).square().sum((1, 2, 3))


def length(generator=paint, distance=squared, **options):
    return perceptual_path_length(
        generator, LATENT, distance, **({"samples": 2_000, "rng": seeded()} | options)
    )


def speeds(samples):
    """Squared speed of the same paths: what the radius gains and what the angle sweeps."""
    rng = seeded()
    start, end = torch.randn(2, samples, LATENT, generator=rng, dtype=torch.float64).unbind(0)
    at = torch.rand(samples, generator=rng, dtype=torch.float64)
    near, far = start.norm(dim=1), end.norm(dim=1)
    angle = ((start * end).sum(1) / near / far).acos()
    return (far - near) ** 2 + (((1 - at) * near + at * far) * angle) ** 2


def test_of_a_linear_generator_it_is_the_mean_squared_speed():
    assert length(discard=0) == pytest.approx(speeds(2_000).mean().item(), rel=1e-3)


def test_it_grows_with_the_square_of_the_slope():
    assert length(lambda z: 3 * paint(z)) == pytest.approx(9 * length(), rel=1e-3)


def test_the_ends_are_left_out():
    ordered = speeds(101).sort().values
    assert length(samples=101) == pytest.approx(ordered[1:-1].mean().item(), rel=1e-3)
    assert length(samples=101, discard=0.1) == pytest.approx(ordered[10:-10].mean().item(), 1e-3)


def angles(samples):
    """Between the latents of each path."""
    rng = seeded()
    start, end = torch.randn(2, samples, LATENT, generator=rng, dtype=torch.float64)
    return torch.nn.functional.cosine_similarity(start, end).acos().numpy()


def test_published_paths_start_at_latents_of_unit_length():
    """Where G(z) = Wz has steps of W(b − (a·b)a)·angle/sin(angle), by the rule of the sine."""
    weight = torch.randn(7, LATENT, generator=seeded(1))
    rng = seeded()
    start, end = torch.randn(2, 2_000, LATENT, generator=rng, dtype=torch.float64)
    a, b = (z / z.norm(dim=1, keepdim=True) for z in (start, end))
    cosine = (a * b).sum(1, keepdim=True)
    tangent = (b - cosine * a) * cosine.acos() / (1 - cosine**2).sqrt()
    squares = (tangent @ weight.double().T).square().sum(1)
    found = length(lambda z: paint(z @ weight.T), published=True, discard=0)
    assert found == pytest.approx(squares.mean().item(), rel=1e-3)


def test_what_is_below_the_first_and_above_the_last_percentile_is_left_out():
    """As published: by np.percentile, of the lower and the higher neighbour."""
    squares = angles(1_234) ** 2
    low, high = (
        np.percentile(squares, at, method=method) for at, method in ((1, "lower"), (99, "higher"))
    )
    expected = squares[(low <= squares) & (squares <= high)].mean()
    assert length(published=True, samples=1_234) == pytest.approx(expected, rel=1e-3)
    assert length(published=True, samples=1_234) != pytest.approx(squares.mean(), rel=1e-3)


def test_equal_lengths_at_the_percentiles_all_count():
    """A generator that does nothing for most latents."""
    seen = iter([0.0, 0.0, 0.0, 1.0, 1.0])
    given = lambda *pair: torch.full((len(pair[0]),), next(seen))  # noqa: E731
    found = length(distance=given, samples=5, batch_size=1, epsilon=1.0, discard=0.3)
    assert found == pytest.approx(0.4)  # of all five, not of the three in the middle


def test_images_are_brought_to_256_pixels_as_published():
    """Pixel i of the large one is at i · side/256 of the small one; larger ones are averaged."""
    ramp = torch.arange(64.0).expand(1, 1, 64, 64)
    assert torch.equal(brought_to_256(ramp)[0, 0, 7], (torch.arange(256) / 4).clamp(max=63))
    assert torch.equal(brought_to_256(ramp.mT)[0, 0, :, 9], (torch.arange(256) / 4).clamp(max=63))
    large = torch.rand(2, 3, 512, 512, generator=seeded())
    means = large.reshape(2, 3, 256, 2, 256, 2).mean((3, 5))
    torch.testing.assert_close(brought_to_256(large), means)
    assert torch.equal(brought_to_256(means), means)


def test_the_published_score_is_of_100_000_paths_of_images_at_256_pixels(monkeypatch):
    sizes = []

    class Stub:
        name = "stub"

        def distance(self, first, second):
            sizes.append((first.shape, second.shape))
            return torch.zeros(len(first))

    def asked(generator, latent_dim, distance, **settings):
        image = generator(torch.zeros(2, latent_dim))
        distance(image, image)
        assert (settings["samples"], settings["published"]) == (100_000, True)
        return 0.5

    monkeypatch.setattr(ppl, "perceptual_path_length", asked)
    run = SimpleNamespace(
        generate=lambda z: torch.zeros(len(z), 3, 64, 64),
        latent_dim=2,
        features=Stub(),
        rng=seeded,
        start_bar=lambda name: name,
    )
    assert ppl.published_ppl_of_run(run) == {"ppl_published_stub": 0.5}
    assert sizes == [((2, 3, 256, 256),) * 2]


def test_steps_smaller_than_float32_can_tell_apart_are_still_measured():
    """At 1e-5 a step of about 1 changes latents of about 1 by a hundred units of rounding."""
    assert length(epsilon=1e-5, discard=0) == pytest.approx(speeds(2_000).mean().item(), rel=1e-2)


def test_a_generator_that_looks_at_directions_only_sees_the_angle():
    """The path of the original, which normalises its latents: constant speed on the sphere."""
    start, end = torch.randn(2, 2_000, LATENT, generator=seeded(), dtype=torch.float64).unbind(0)
    angle = torch.nn.functional.cosine_similarity(start, end).acos()
    found = length(lambda z: paint(torch.nn.functional.normalize(z)), discard=0)
    assert found == pytest.approx(angle.square().mean().item(), rel=1e-3)


def test_both_ends_are_in_one_batch_and_batches_change_nothing():
    sizes = []

    def noted(z):
        sizes.append(len(z))
        return paint(z)

    whole = length(noted, samples=10, batch_size=10)
    assert set(sizes) == {20}
    assert length(samples=10, batch_size=3) == pytest.approx(whole)


def test_progress_counts_steps():
    seen = []
    length(samples=5, batch_size=2, progress=lambda *at: seen.append(at))
    assert seen == [(2, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latent_dim": 1}, "latent_dim must be at least 2, got 1"),
        ({"samples": 0}, "samples must be at least 1"),
        ({"epsilon": 0.0}, "epsilon must be finite and above 0"),
        ({"epsilon": math.nan}, "epsilon must be finite and above 0"),
        ({"discard": 0.5}, "discard must be from 0 to below 0.5, got 0.5"),
        ({"generator": lambda z: z}, "generator must give images"),
        ({"distance": lambda a, b: (a - b).sum()}, "distance must give one number for each of 2"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {"generator": paint, "latent_dim": 3, "distance": squared, "samples": 2}
    with pytest.raises(ValueError, match=message):
        perceptual_path_length(**(arguments | change))


def test_noise_between_the_ends_of_a_step_is_refused():
    def noisy(z):
        return paint(z) + 0.01 * torch.randn(len(z), 1, 1, LATENT)

    with pytest.raises(ValueError, match=r"same images for the same latents.*switch off its noise"):
        length(noisy, samples=4)
