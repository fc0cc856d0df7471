"""Images from Hugging Face `datasets`: a small data set of that layout, with no network."""

import io
import pickle
import sys
from pathlib import Path
from typing import Any

import jsonargparse
import numpy as np
import pytest
import torch
from PIL import Image

from axiswise.data import HuggingFaceImages, ImageSource, indexed

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def png(pixels: Any) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six flat images, the last one grey, wide ones with black ends; as parquet, as on the Hub."""
    colours = [(200, 0, 0), (0, 100, 0), (0, 0, 50), (9, 9, 9), (255, 255, 255)]
    pictures = [np.full((8, 8, 3), colour, np.uint8) for colour in colours]
    pictures = [np.pad(picture, ((0, 0), (4, 4), (0, 0))) for picture in pictures]
    pictures.append(np.full((8, 8), 77, np.uint8))
    features = datasets.Features({"photo": datasets.Image(), "label": datasets.Value("int64")})
    rows = {"photo": [png(picture) for picture in pictures], "label": list(range(6))}
    home = tmp_path / "mine"
    home.mkdir()
    datasets.Dataset.from_dict(rows, features).to_parquet(home / "train.parquet")
    return home


def test_images_are_the_squares_of_the_column(folder: Path) -> None:
    data = HuggingFaceImages(str(folder), column="photo", size=8)
    assert isinstance(data, ImageSource)
    told = list[tuple[int, int | None]]()
    data.load(lambda done, total: told.append((done, total)))
    assert told == [(done, 6) for done in range(1, 7)]
    levels = data.render(torch.arange(6)) * 255
    assert levels.shape == (6, 3, 8, 8)
    expected = torch.tensor(
        [[200, 0, 0], [0, 100, 0], [0, 0, 50], [9, 9, 9], [255, 255, 255], [77, 77, 77]]
    ).float()
    torch.testing.assert_close(levels, expected[:, :, None, None].expand(-1, -1, 8, 8))


def test_a_part_of_a_split_can_be_had_in_grey(folder: Path) -> None:
    data = HuggingFaceImages(str(folder), "train[4:]", "photo", size=8, channels=1)
    levels = data.render(torch.arange(2)) * 255
    torch.testing.assert_close(
        levels, torch.tensor([255.0, 77.0])[:, None, None, None].expand(-1, 1, 8, 8)
    )
    drawn = data.draw(50, torch.Generator().manual_seed(0))
    assert {int(index) for index in drawn} == {0, 1}


def test_another_column_is_refused_with_those_there_are(folder: Path) -> None:
    for column in ("label", "nothing"):
        with pytest.raises(ValueError, match=f"which .* has in photo, got '{column}'"):
            HuggingFaceImages(str(folder), column=column).load()


def test_data_that_are_not_there_are_named_with_two_ways(tmp_path: Path) -> None:
    data = HuggingFaceImages(str(tmp_path / "nowhere"), column="photo")
    with pytest.raises(OSError, match=r"nowhere', split 'train': .*Two ways to get it"):
        data.draw(1)


def test_an_unknown_split_is_named(folder: Path) -> None:
    with pytest.raises(OSError, match="split 'test'"):
        HuggingFaceImages(str(folder), "test", "photo").load()


def test_without_the_package_the_error_has_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)  # as if it were not installed
    with pytest.raises(ImportError, match=r"pip install 'axiswise\[datasets\]'"):
        HuggingFaceImages("a/b").load()


def test_too_many_images_and_wrong_arguments_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        HuggingFaceImages("a/b", size=0)
    with pytest.raises(ValueError, match=r"channels must be 1 \(grey\) or 3 \(RGB\), got 2"):
        HuggingFaceImages("a/b", channels=2)
    monkeypatch.setattr(indexed, "MEMORY_LIMIT", 6 * 3 * 16 - 1)
    with pytest.raises(ValueError, match="contains 6 images"):
        HuggingFaceImages(str(folder), column="photo", size=4).load()


def test_says_what_it_is_and_is_named_on_the_command_line() -> None:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=ImageSource)
    words = ["--data", "axiswise.data.HuggingFaceImages", "--data.name", "a/b", "--data.size", "8"]
    data = parser.instantiate(parser.parse_args(words)).data
    expected = "HuggingFaceImages('a/b', split='train', column='image', size=8, channels=3)"
    assert repr(pickle.loads(pickle.dumps(data))) == expected
