"""FID and KID, against NumPy and SciPy on features that a test can compute itself."""

import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg
import torch

from axiswise.metrics import Features, frechet_distance, image_quality, kernel_distance

pytest.importorskip("torchmetrics")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class Pixels(Features):
    """The image itself."""

    name = "pixels"
    num_features = 6

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, images):
        return self.scale * images.flatten(1)

    def distance(self, first, second):
        raise NotImplementedError


def images(count, seed, power=1.0):
    return torch.rand(count, 1, 2, 3, generator=seeded(seed)) ** power


def test_the_published_fid_is_over_50_000_images_of_each_kind(monkeypatch):
    asked, bars = [], []

    def count(real, fake, _):
        asked.append([sum(map(len, batches)) for batches in (real, fake)])
        return 0.5

    monkeypatch.setattr(image_quality, "frechet_distance", count)
    run = SimpleNamespace(
        batch_size=4096,
        features=Pixels(),
        prior=lambda count: torch.zeros(count, 2),
        generate=lambda z: z,
        image_batches=lambda count: torch.zeros(count, 2).split(4096),
        start_bar=lambda _: lambda *at: bars.append(at),
    )
    assert image_quality.published_fid_of_run(run) == {"fid_published_pixels": 0.5}
    assert asked == [[50_000, 50_000]]
    assert (bars[0], bars[-1]) == ((4096, 100_000), (100_000, 100_000))


REAL, FAKE = images(60, 1), images(40, 2, power=2.0)


def kernel_by_hand(real, fake):
    """The unbiased squared discrepancy with the kernel (x·y/d + 1)³."""
    x, y = (part.flatten(1).double().numpy() for part in (real, fake))
    cubed = lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3  # noqa: E731
    off = lambda k: (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))  # noqa: E731
    return off(cubed(x, x)) + off(cubed(y, y)) - 2 * cubed(x, y).mean()


def test_fid_is_the_distance_of_two_normal_distributions():
    x, y = (part.flatten(1).double().numpy() for part in (REAL, FAKE))
    first, second = np.cov(x.T), np.cov(y.T)
    root = scipy.linalg.sqrtm(first @ second).real
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root)
    assert frechet_distance(REAL, FAKE, Pixels()) == pytest.approx(expected, rel=1e-4)


def test_kid_of_all_images_is_the_unbiased_discrepancy():
    forty = REAL[:40]
    found = kernel_distance(forty, FAKE, Pixels(), subsets=1, subset_size=40, rng=seeded())
    assert float(found) == pytest.approx(kernel_by_hand(forty, FAKE), rel=1e-3)
    assert found.std == 0


def test_the_mean_over_subsets_estimates_the_same():
    found = kernel_distance(REAL, FAKE, Pixels(), subsets=400, rng=seeded())
    error = found.std / 400**0.5
    assert found.std > 0
    assert abs(found.mean - kernel_by_hand(REAL, FAKE)) < 5 * error


def test_equal_distributions_have_a_kid_of_about_zero():
    found = kernel_distance(images(300, 5), images(300, 6), Pixels(), rng=seeded())
    assert abs(float(found)) < 0.1 * kernel_by_hand(REAL, FAKE)


def test_kid_comes_from_the_seed_and_the_global_state_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first = kernel_distance(REAL, FAKE, Pixels(), rng=seeded())
    assert torch.equal(torch.rand(2), expected)
    assert first == kernel_distance(REAL, FAKE, Pixels(), rng=seeded())
    assert first != kernel_distance(REAL, FAKE, Pixels(), rng=seeded(1))


@pytest.mark.parametrize("metric", [frechet_distance, kernel_distance])
def test_batches_and_iterables_change_nothing(metric):
    draws = (lambda: {"rng": seeded()}) if metric is kernel_distance else dict
    whole = float(metric(REAL, FAKE, Pixels(), batch_size=100, **draws()))
    parts = float(metric(iter(REAL.split(7)), [FAKE], Pixels(), batch_size=5, **draws()))
    assert parts == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("metric", [frechet_distance, kernel_distance])
def test_progress_counts_images_of_both_sets(metric):
    seen = []
    metric(REAL, FAKE, Pixels(), batch_size=30, progress=lambda *at: seen.append(at))
    assert seen == [(30, 100), (60, 100), (90, 100), (100, 100)]


def test_nothing_is_warned_about():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kernel_distance(REAL, FAKE, Pixels())


def test_too_few_images_are_named():
    with pytest.raises(ValueError, match="fake_images must be at least 2 images, got 1"):
        frechet_distance(REAL, FAKE[:1], Pixels())
    with pytest.raises(ValueError, match="real_images must be at least 4 images, got 0"):
        kernel_distance([], FAKE, Pixels())
    with pytest.raises(ValueError, match="fake_images must be at least 41 images, got 40"):
        kernel_distance(REAL, FAKE, Pixels(), subset_size=41)


@pytest.mark.parametrize("name", ["batch_size", "subsets", "subset_size"])
def test_wrong_numbers_are_named(name):
    with pytest.raises(ValueError, match=f"{name} must be at least"):
        kernel_distance(REAL, FAKE, Pixels(), **{name: 0})


def test_without_torchmetrics_the_way_to_get_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchmetrics.image", None)
    with pytest.raises(ImportError, match=r"pip install 'axiswise\[scores\]'"):
        frechet_distance(REAL, FAKE, Pixels())
