"""Images from .npz files: layouts, types, factors, and what is refused."""

import pickle
from itertools import product
from pathlib import Path
from typing import Any

import jsonargparse
import numpy as np
import pytest
import torch

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
    "no images": ({"imgs": RGB}, "must be an .npz file with an array `images`"),
    "integers": ({"images": RGB.astype(np.int32)}, "uint8 or floating numbers, got int32"),
    "two channels": ({"images": RGB[..., :2]}, r"got uint8 of shape \(12, 6, 4, 2\)"),
    "none": ({"images": RGB[:0]}, r"got uint8 of shape \(0, 6, 4, 3\)"),
    "one image": ({"images": RGB[0, ..., 0]}, r"got uint8 of shape \(6, 4\)"),
    "objects": ({"images": np.array([None, {}])}, "got object"),
    "bright": ({"images": RGB[..., 0] / 100.0}, r"must lie in \[0, 1\], got values from 0"),
    "nan": ({"images": np.full((2, 4, 4), np.nan)}, r"must lie in \[0, 1\], got values from nan"),
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
    with pytest.raises(UnreadableFileError, match=r"must be an \.npz file"):
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
