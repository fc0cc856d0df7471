"""Images from .npz files: layouts, types, factors, and what is refused."""

import pickle
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import jsonargparse
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from axiswise.data import FactorData, ImageSource, NpzFactorData, NpzImages, indexed
from axiswise.support.files import UnreadableFileError

SIZES = (2, 3, 2)
ROWS = np.random.default_rng(0).permutation(list(product(*map(range, SIZES))))
RGB = np.random.default_rng(1).integers(0, 256, (12, 6, 4, 3), dtype=np.uint8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine.npz"


@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("compressed", [False, True])
def test_images_are_the_file_s(channels: int | None, compressed: bool, path: Path) -> None:
    images: Any = RGB[..., 0] if channels is None else RGB[..., :channels]
    (np.savez_compressed if compressed else np.savez)(path, images=images, other=np.zeros(3))
    data = NpzImages(path)
    assert isinstance(data, ImageSource)
    assert not isinstance(data, FactorData)
    assert (len(data), data.shape) == (12, (channels or 1, 6, 4))
    expected = torch.from_numpy(images.reshape(12, 6, 4, -1)).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(data.render(torch.arange(12)), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floating_images_are_kept_to_a_255th(kind: type, path: Path) -> None:
    images: Any = np.random.default_rng(2).random((5, 8, 8)).astype(kind)
    np.savez(path, images=images)
    found = NpzImages(path).render(torch.arange(5))[:, 0].numpy()
    np.testing.assert_allclose(found, images, atol=0.5 / 255 + 1e-3 * (kind == np.float16))


@pytest.mark.parametrize("name", ["factors", "latents_classes"])
def test_each_combination_of_factors_gives_its_image(name: str, path: Path) -> None:
    arrays: dict[str, Any] = {name: ROWS}
    np.savez(path, images=RGB, **arrays)
    data = NpzFactorData(path, factor_names=["a", "b", "c"])
    assert isinstance(data, FactorData)
    assert (data.factor_sizes, data.factor_names) == (SIZES, ("a", "b", "c"))
    expected = torch.from_numpy(RGB).permute(0, 3, 1, 2) / 255
    found = data.render(torch.from_numpy(ROWS))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)
    assert NpzFactorData(path).factor_names == ("factor 0", "factor 1", "factor 2")
    assert data.draw(4, torch.Generator().manual_seed(0)).shape == (4, 3)


def test_images_are_read_at_first_use_and_not_pickled(path: Path) -> None:
    np.savez(path, images=RGB, factors=ROWS)
    data = NpzFactorData(path)
    told = list[tuple[int, int | None]]()
    data.load(lambda done, total: told.append((done, total)))
    assert told == [(12, 12)]
    data.load(lambda done, total: pytest.fail(f"read again: {done} of {total}"))
    again = pickle.loads(pickle.dumps(data))
    assert again._images is None
    torch.testing.assert_close(
        again.render(torch.zeros(1, 3).long()), data.render(torch.zeros(1, 3).long())
    )


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "two channels": ({"images": RGB[..., :2]}, r"got uint8 of shape \(12, 6, 4, 2\)"),
    "four channels": ({"images": np.zeros((2, 6, 4, 4))}, r"got float64 of shape \(2, 6, 4, 4\)"),
    "flat": ({"images": np.zeros((2, 784))}, r"\(image, height, width\), .*got float64 of shape"),
    "none": ({"images": RGB[:0]}, r"got uint8 of shape \(0, 6, 4, 3\)"),
    "one image": ({"images": RGB[0, ..., 0]}, r"got uint8 of shape \(6, 4\)"),
    "one image in colour": ({"images": RGB[0]}, r"got uint8 of shape \(6, 4, 3\)"),
    "objects": ({"images": np.array([None, {}])}, "got object .*pickled objects, .* never loaded"),
    "complex": ({"images": np.zeros((2, 6, 4), complex)}, "got complex128"),
    "bright": ({"images": RGB[..., 0] / 100.0}, r"from 0 to .* value_range must be given"),
    "nan": ({"images": np.full((2, 4, 4), np.nan)}, "must be finite, got values from nan"),
    "nothing": ({"labels": np.zeros(9)}, r"array must be one .*there are: labels \(9,\) float64"),
    "several": (
        {"x_train": RGB, "data": RGB, "y": np.zeros(12)},
        r"--data\.array NAME.* x_train \(12, 6, 4, 3\) uint8; data .*; y \(12,\) float64",
    ),
}


@pytest.mark.parametrize("what", list(WRONG))
def test_other_images_are_refused(what: str, path: Path) -> None:
    arrays, message = WRONG[what]
    np.savez(path, allow_pickle=True, **arrays)
    with pytest.raises(UnreadableFileError, match=message):
        NpzImages(path).load()


WRONG_FACTORS: dict[str, tuple[dict[str, Any], str]] = {
    "none": ({}, "must have an array `factors` or `latents_classes`"),
    "floating": ({"factors": ROWS.astype(float)}, "must be 12 rows of integers, .* got float64"),
    "too few": ({"factors": ROWS[:11]}, r"must be 12 rows .* got int64 of shape \(11, 3\)"),
    "negative": ({"factors": ROWS - 1}, "must be 0 or more, got -1"),
    "twice": ({"factors": ROWS[[0, *range(11)]]}, "each of the 12 combinations .* got 11 of them"),
    "missing": ({"factors": ROWS * [1, 1, 2]}, "each of the 18 combinations .* got 12 of them"),
}


@pytest.mark.parametrize("what", list(WRONG_FACTORS))
def test_other_factors_are_refused(what: str, path: Path) -> None:
    arrays, message = WRONG_FACTORS[what]
    np.savez(path, images=RGB, **arrays)
    with pytest.raises(UnreadableFileError, match=message):
        NpzFactorData(path)
    assert len(NpzImages(path)) == 12


def test_other_files_and_arguments_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        NpzImages(path)
    path.write_bytes(b"something else")
    with pytest.raises(UnreadableFileError, match=r"must be an \.npz or \.npy file"):
        NpzImages(path)
    np.savez(path, images=RGB, factors=ROWS)
    with pytest.raises(ValueError, match="a name for each of 3 factors, got 1"):
        NpzFactorData(path, ["only"])
    data = NpzImages(path)
    with pytest.raises(ValueError, match=r"index must be in 0 \.\.\. 11, got values from -1 to 2"):
        data.render(torch.tensor([2, -1]))
    with pytest.raises(ValueError, match=r"index must have shape \(n,\), got \(1, 1\)"):
        data.render(torch.zeros(1, 1).long())
    monkeypatch.setattr(indexed, "MEMORY_LIMIT", 863)
    with pytest.raises(ValueError, match=r"12 images, which at shape .* take"):
        NpzImages(path)


def test_is_named_on_the_command_line(path: Path) -> None:
    np.savez(path, images=RGB, factors=ROWS)
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=ImageSource)
    words = ["--data", "axiswise.data.NpzFactorData", "--data.path", str(path)]
    data = parser.instantiate(parser.parse_args(words)).data
    assert repr(data) == f"NpzFactorData({str(path)!r})"


@pytest.mark.parametrize("name", ["imgs", "x_train", "train_images", "arr_0", "X", "anything"])
def test_the_only_array_that_can_be_meant_is_taken_aloud(name: str, path: Path) -> None:
    arrays: dict[str, Any] = {name: RGB, "y_train": np.zeros(12, int), "other": RGB[0]}
    np.savez(path, allow_pickle=True, names=np.array([{}]), **arrays)
    data = NpzImages(path)
    with pytest.warns(UserWarning, match=rf"from the array {name}; .*--data\.array {name}"):
        images = data.load()
    assert data.settled() == {"array": name, "value_range": [0, 255]}
    assert torch.equal(NpzImages(path, array=name).load(), images)
    assert repr(NpzImages(path, array=name)) == f"NpzImages({str(path)!r}, array={name!r})"


def test_training_images_go_before_others_and_a_wrong_name_is_refused(path: Path) -> None:
    np.savez(path, x_train=RGB, x_test=RGB[:3], val_images=RGB[:2])
    with pytest.warns(UserWarning, match="from the array x_train"):
        assert len(NpzImages(path)) == 12
    assert len(NpzImages(path, array="x_test")) == 3
    with pytest.raises(UnreadableFileError, match=r"got 'x'; there are: x_train .*val_images \("):
        NpzImages(path, array="x")
    with pytest.raises(UnreadableFileError, match=r"x_valid.* there are"):
        NpzImages(path, array="x_valid")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("layout", ["nhwc", "nchw", "nhw"])
def test_a_single_array_in_any_layout_and_order(order: Any, layout: str, path: Path) -> None:
    images = {"nhwc": RGB, "nchw": np.moveaxis(RGB, 3, 1), "nhw": RGB[..., 0]}[layout]
    path = path.with_suffix(".npy")
    np.save(path, np.array(images, order=order))
    data = NpzImages(path)
    expected = RGB[..., :1] if layout == "nhw" else RGB
    assert np.array_equal(data.load(), np.moveaxis(expected, 3, 1))
    assert data.settled() == {"value_range": [0, 255]}
    with pytest.raises(UnreadableFileError, match=r"must be None for an \.npy file.* got 'images'"):
        NpzImages(path, array="images")


def test_a_shape_that_can_be_read_in_two_ways_is_read_aloud(path: Path) -> None:
    np.savez(path, images=np.full((5, 3, 8, 1), 200, np.uint8))
    data = NpzImages(path)
    assert data.shape == (1, 3, 8)
    with pytest.warns(UserWarning, match=r"\(5, 3, 8, 1\) is taken for \(image, height, width, ch"):
        data.load()


def test_zeros_and_ones_become_black_and_white(path: Path) -> None:
    mask = (RGB[..., 0] > 127).astype(np.uint8)
    np.savez(path, images=mask, truth=mask > 0)
    with pytest.warns(UserWarning, match="0 counts as black and 1 as white"):
        images = NpzImages(path).load()
    assert np.array_equal(images[:, 0], mask * 255)
    assert torch.equal(NpzImages(path, array="truth").load(), images)
    assert NpzImages(path, value_range=(0, 255)).load().max() == 1


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["<u2", ">u2", "<i4", "<i8"])
def test_deep_images_are_scaled_by_their_bits(bits: int, kind: str, path: Path) -> None:
    white = 2**bits - 1
    values = np.linspace(0, white, 256).reshape(2, 16, 8).astype(kind)
    np.savez(path, images=values)
    data = NpzImages(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        images = data.load()[:, 0].numpy()
    assert len(caught) == (bits < 16)
    assert np.abs(images - values.astype(float) / white * 255).max() <= 0.5
    assert data.settled() == {"array": "images", "value_range": [0, white]}


def test_images_are_resized_and_turned_grey_or_rgb_as_pillow_does(path: Path) -> None:
    np.savez(path, images=RGB)
    whole = [Image.fromarray(image) for image in RGB]
    grey = np.stack([np.array(image.convert("L")) for image in whole])
    assert np.array_equal(NpzImages(path, channels=1).load()[:, 0], grey)
    data = NpzImages(path, size=8, channels=1)
    assert data.shape == (1, 8, 8)
    fitted = [ImageOps.fit(image.convert("L"), (8, 8), Image.Resampling.BICUBIC) for image in whole]
    assert np.array_equal(data.load()[:, 0], np.stack([np.array(image) for image in fitted]))
    np.savez(path, images=RGB[..., 0])
    filled = NpzImages(path, channels=3).load()
    assert np.array_equal(filled, RGB[:, None, :, :, 0].repeat(3, axis=1))
    for wrong in ({"size": 0}, {"channels": 2}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
            NpzImages(path, **wrong)  # type: ignore[arg-type]


def test_a_file_that_has_changed_since_is_refused(path: Path) -> None:
    np.savez(path, images=RGB)
    data = NpzImages(path)
    np.savez(path, images=RGB[:5])
    with pytest.raises(UnreadableFileError, match="it has changed"):
        data.load()
