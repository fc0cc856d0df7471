"""Natural image patches: the filter, where they are cut, which pictures they come from."""

import builtins
import importlib.util
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.io import savemat

from axiswise.data import FactorData, ImageSource, NaturalPatches
from axiswise.data.natural_patches import whiten
from axiswise.support.files import UnreadableFileError

Stack = npt.NDArray[np.float64]
MARGIN = 4


@pytest.fixture
def stack() -> Stack:
    """Three whitened pictures of 20 × 20 pixels, as the published file has ten of 512 × 512."""
    return np.random.default_rng(0).normal(0, 0.3, (20, 20, 3))


@pytest.fixture
def folder(tmp_path: Path, stack: Stack) -> Path:
    savemat(tmp_path / "IMAGES.mat", {"IMAGES": stack})
    return tmp_path


def grey(picture: Stack) -> Stack:
    inner = picture[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return np.asarray((0.5 + inner / inner.std() / 10).clip(0, 1))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (40, 81)])
@pytest.mark.parametrize(("down", "across"), [(3, 0), (0, 5), (4, 7)])
def test_a_wave_is_scaled_by_the_published_amplitude(
    height: int, width: int, down: int, across: int
) -> None:
    """A pure wave stays one: f·exp(−(f/f₀)⁴) times as high, f₀ = 200 cycles in 512 pixels."""
    y, x = np.mgrid[:height, :width]
    wave = np.cos(2 * np.pi * (down * y / height + across * x / width) + 1)
    frequency = np.hypot(down / height, across / width)
    gain = frequency * np.exp(-((frequency * 512 / 200) ** 4))
    np.testing.assert_allclose(whiten(wave), gain * wave, atol=1e-12)


def test_a_flat_picture_is_whitened_to_nothing() -> None:
    np.testing.assert_allclose(whiten(np.full((16, 16), 0.7)), 0, atol=1e-12)


def test_patches_are_cut_at_all_places_row_by_row_through_all_pictures(
    folder: Path, stack: Stack
) -> None:
    data = NaturalPatches(size=5, data_dir=folder)
    across = 20 - 2 * MARGIN - 4
    assert len(data) == 3 * across**2
    places = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 3, 2), (2, across - 1, across - 1)]
    index = torch.tensor([p * across**2 + y * across + x for p, y, x in places])
    expected = [grey(stack[:, :, p])[y : y + 5, x : x + 5] for p, y, x in places]
    torch.testing.assert_close(
        data.render(index), torch.tensor(np.array(expected), dtype=torch.float32)[:, None]
    )


def test_pictures_of_different_sizes_lie_one_after_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = NaturalPatches(size=3)
    wide = np.random.default_rng(1).normal(size=(12, 15))
    high = np.random.default_rng(2).normal(size=(14, 11))
    monkeypatch.setattr(data, "_whitened", lambda _: [wide, high])
    assert len(data) == 2 * 5 + 4 * 1
    images = data.render(torch.tensor([9, 10, 13]))[:, 0].numpy()
    np.testing.assert_allclose(images[0], grey(wide)[1:4, 4:7], rtol=1e-6)
    np.testing.assert_allclose(images[1], grey(high)[:3], rtol=1e-6)
    np.testing.assert_allclose(images[2], grey(high)[3:], rtol=1e-6)


def test_the_photographs_of_the_packages_are_whitened_and_need_no_network(tmp_path: Path) -> None:
    """A flat spectrum, the promised grey values, and hardly any pixel cut off."""
    data = NaturalPatches(size=16, data_dir=tmp_path)
    told = list[tuple[int, int]]()
    data.load(lambda done, total: told.append((done, total)))
    assert told == [(done, 11) for done in range(1, 12)]
    images = data.render(data.draw(4000, torch.Generator().manual_seed(0)))
    assert images.shape == (4000, 1, 16, 16)
    assert images.dtype == torch.float32
    assert 0.09 < images.std() < 0.11
    assert abs(float(images.mean()) - 0.5) < 0.01
    cut = ((images == 0) | (images == 1)).float().mean()
    assert 0 < cut < 0.005
    # Of photographs as they are, power falls more than tenfold from 1 to 4 cycles a patch.
    power = torch.fft.rfft2(images[:, 0] - 0.5).abs().square().mean(0)
    assert 0.25 < power[4, 0] / power[1, 0] < 4
    assert 0.25 < power[0, 4] / power[0, 1] < 4


def test_every_patch_is_as_likely_as_any_other(folder: Path) -> None:
    data = NaturalPatches(size=11, data_dir=folder)
    drawn = data.draw(12_000, torch.Generator().manual_seed(0))
    counts = drawn.bincount()
    assert len(counts) == len(data) == 12
    assert (counts - 1000).abs().max() < 4 * 31


def test_the_published_file_is_preferred_and_can_be_demanded_or_declined(folder: Path) -> None:
    assert len(NaturalPatches(5, folder)) == len(NaturalPatches(5, folder, "olshausen")) == 192
    assert len(NaturalPatches(5, folder, "photographs")) > 100_000


def test_published_patches_are_fixed_and_share_one_range(folder: Path, stack: Stack) -> None:
    """As many of each picture, edges too; the smallest value of all is 0, the largest 1."""
    data = NaturalPatches(5, folder, "published")
    each = 100_000 // 3
    assert len(data) == 3 * each
    whole = ((stack - stack.min()) / (stack.max() - stack.min())).astype(np.float32)
    places = np.lib.stride_tricks.sliding_window_view(whole, (5, 5), (0, 1))
    known = [{patch.tobytes() for patch in places[:, :, p].reshape(-1, 5, 5)} for p in range(3)]
    images = data.render(torch.arange(len(data)))[:, 0].numpy()
    for p in range(3):
        found = {image.tobytes() for image in images[p * each : (p + 1) * each]}
        assert found == known[p]  # all 256 places are met in 33,333 draws
    assert (images.min(), images.max()) == (0, 1)
    again = NaturalPatches(5, folder, "published").render(torch.tensor([7, 99_998]))
    np.testing.assert_array_equal(again[:, 0], images[[7, 99_998]])


def test_a_missing_file_is_named_with_two_ways_to_go_on(tmp_path: Path) -> None:
    for pictures in ("olshausen", "published"):
        data = NaturalPatches(data_dir=tmp_path, pictures=pictures)  # type: ignore[arg-type]
        assert not data.is_here()
        with pytest.raises(FileNotFoundError, match=r"IMAGES\.mat is missing\. Two ways"):
            data.draw(1)


@pytest.mark.parametrize("content", ["rubbish", "another", "flat", "nan"])
def test_a_file_of_another_layout_is_refused(content: str, folder: Path, stack: Stack) -> None:
    path = folder / "IMAGES.mat"
    if content == "rubbish":
        path.write_bytes(b"no mat file at all, but long enough for its header" * 9)
    else:
        arrays = {"another": stack, "flat": stack[:, :, 0], "nan": stack * np.nan}
        name = "OTHER" if content == "another" else "IMAGES"
        savemat(path, {name: arrays[content]})
    with pytest.raises(UnreadableFileError, match=r"IMAGES\.mat"):
        NaturalPatches(data_dir=folder).load()


def test_without_scikit_image_the_error_has_the_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "skimage" else find(name)
    )
    data = NaturalPatches(data_dir=tmp_path)
    assert not data.is_here()
    with pytest.raises(ImportError, match=r"skimage: pip install 'axiswise\[natural\]'"):
        data.load()


def test_neither_package_is_imported_for_its_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        assert name.split(".")[0] not in ("skimage", "sklearn"), f"{name} was imported"
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert len(NaturalPatches(data_dir=tmp_path)) > 0


def test_wrong_arguments_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"size must be at least 1, got 0"):
        NaturalPatches(0)
    with pytest.raises(ValueError, match=r"pictures must be .* got 'mine'"):
        NaturalPatches(pictures="mine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"size must be at most 12, .* got 13"):
        NaturalPatches(13, folder).load()
    data = NaturalPatches(5, folder)
    with pytest.raises(ValueError, match=r"index must be in 0 ... 191, got values from 0 to 192"):
        data.render(torch.tensor([0, 192]))
    with pytest.raises(TypeError, match="index"):
        data.render(torch.tensor([0.0]))


def test_is_a_source_of_images_without_factors_and_pickles_without_them(folder: Path) -> None:
    data = NaturalPatches(5, folder)
    assert isinstance(data, ImageSource)
    assert not isinstance(data, FactorData)
    index = data.draw(3, torch.Generator().manual_seed(0))
    images = data.render(index)
    content = pickle.dumps(data)
    assert len(content) < 1000
    torch.testing.assert_close(pickle.loads(content).render(index), images, rtol=0, atol=0)
