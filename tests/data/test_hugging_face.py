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
parquet = pytest.importorskip("pyarrow.parquet")


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
    with pytest.raises(ValueError, match=r"split must be one that .* has, got 'test': .*train"):
        HuggingFaceImages(str(folder), "test", "photo").load()


def write(folder: Path, rows: list[Any], kind: Any = None) -> str:
    folder.mkdir()
    features = datasets.Features(
        {"image": kind or datasets.Image(), "label": datasets.Value("int64")}
    )
    table = {"image": rows, "label": list(range(len(rows)))}
    # The own writer of `datasets` would look for the files at the paths.
    parquet.write_table(
        datasets.Dataset.from_dict(table, features).data.table, folder / "train.parquet"
    )
    return str(folder)


def test_rows_without_an_image_that_can_be_read_are_left_out_and_named(tmp_path: Path) -> None:
    here = tmp_path / "here.png"
    Image.new("RGB", (4, 9), "white").save(here)
    odd = [
        None,
        {"bytes": b"xx", "path": None},
        {"bytes": None, "path": "https://nowhere.invalid/a.png"},
        {"bytes": None, "path": "/no/where.png"},
        {"bytes": None, "path": str(here)},
    ]
    rows = [png(np.full((8, 8), 200, np.uint8)), *odd, png(np.full((5, 7, 3), 100, np.uint8))]
    data = HuggingFaceImages(write(tmp_path / "odd", rows), size=4)
    message = (
        r"skipped 4 of 7 rows .*row 1 \(ValueError: it has no image\); row 2 \(ValueError: its b"
        r".*; row 3 .*row 4 "
    )
    with pytest.warns(UserWarning, match=message):
        images = data.load()
    assert images[:, 0, 0, 0].tolist() == [200, 255, 100]
    assert [row for row, _ in data.skipped] == [1, 2, 3, 4]
    nothing = HuggingFaceImages(write(tmp_path / "none", [None, None]), size=4)
    with pytest.raises(
        ValueError, match=r"not one of its 2 rows .* the first: ValueError: it has no"
    ):
        nothing.load()


def test_bytes_and_paths_without_the_kind_image_are_images_too(tmp_path: Path) -> None:
    kind = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    name = write(tmp_path / "plain", [png(np.full((8, 8), 200, np.uint8))], kind)
    assert (HuggingFaceImages(name, size=4).load() == 200).all()


def test_deep_images_share_a_range_and_upright_ones_are_turned(tmp_path: Path) -> None:
    deep = [png(np.full((8, 8), value, np.uint16)) for value in (4095, 1365)]
    data = HuggingFaceImages(write(tmp_path / "deep", deep), size=4, channels=1)
    with pytest.warns(UserWarning, match="4095 as white"):
        assert data.load()[:, 0, 0, 0].tolist() == [255, 85]
    assert data.settled() == {"value_range": [0, 4095]}
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 3
    half = np.repeat(np.array([[0], [255]], np.uint8), 8, axis=1).repeat(4, axis=0)
    Image.fromarray(half).save(file, "PNG", exif=exif)
    turned = write(tmp_path / "turned", [{"bytes": file.getvalue(), "path": None}])
    image = HuggingFaceImages(turned, size=8, channels=1).load()[0, 0]
    assert np.array_equal(image, half[::-1])


def test_damaged_tables_are_errors_of_the_name(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_bytes(b"PAR1 no table")
    with pytest.raises(OSError, match=r"name .*, split 'train': no such data"):
        HuggingFaceImages(str(tmp_path)).load()


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
