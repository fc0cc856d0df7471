"""`axiswise data`: the list, and the pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from axiswise import data
from axiswise.cli import main
from axiswise.data import DownloadError, FactorData, ImageSource, Sprites
from axiswise.runs.show_data import (
    CATALOGUE,
    data_rows,
    factor_strips,
    factor_summary,
    open_data,
    show_data,
)


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with nothing in it, and no network."""
    monkeypatch.setenv("AXISWISE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    return tmp_path / "data"


def test_every_data_set_of_the_library_is_listed() -> None:
    """A class that is added to `axiswise.data` has to be added here too."""
    listed = {name.split("-")[0] for name in CATALOGUE}
    classes = {name for name in data.__all__ if isinstance(getattr(data, name), type)}
    sources = classes - {"DownloadError", "FactorData", "ImageSource"}
    assert listed == sources


def test_each_row_says_size_factors_licence_and_whether_it_is_here(empty: Path) -> None:
    header, *rows = data_rows()
    assert header == ["data", "image", "factors", "licence", "here"]
    found = {row[0]: row[1:] for row in rows}
    assert found.keys() == CATALOGUE.keys()
    sprites = "colour 1, shape 3, scale 6, orientation 40, x 32, y 32"
    assert found["Sprites"] == ["1 × 64 × 64", sprites, "ours", "drawn"]
    assert found["Grid"] == ["1 × 64 × 64", f"4 × ({sprites})", "ours", "drawn"]
    assert found["NaturalPatches"] == ["1 × 16 × 16", "", "of the packages", "yes"]
    assert found["ImageFolder"] == ["as it is", "", "yours", "yours"]
    missing = ["DSprites", "Cars3D", "SmallNORB", "Shapes3D", "MPI3D-toy", "MPI3D-Multi"]
    assert [found[name][3] for name in missing] == ["no"] * 6
    empty.mkdir()
    (empty / "mpi3d_real.npz").touch()
    (empty / "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz").touch()
    here = {row[0] for row in data_rows() if row[4] == "yes"}
    assert here == {"NaturalPatches", "DSprites", "MPI3D-real", "MPI3D-Multi"}


def test_strips_move_one_factor_from_its_first_value_to_its_last() -> None:
    source = Sprites(size=16)
    strips = factor_strips(source, torch.Generator().manual_seed(3))
    assert list(strips) == list(source.factor_names)
    assert [len(strip) for strip in strips.values()] == [1, 3, 6, 16, 16, 16]
    centre = source.sample_factors(1, torch.Generator().manual_seed(3))
    for index, strip in enumerate(strips.values()):
        ends = centre.repeat(2, 1)
        ends[:, index] = torch.tensor([0, source.factor_sizes[index] - 1])
        torch.testing.assert_close(strip[[0, -1]], source.render(ends), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "pictures"),
    [
        ("Sprites", ["samples.png", "factors.png"]),
        ("ThreeDots", ["samples.png", "factors.png"]),
        ("Grid", ["samples.png", "factors.png"]),
        ("NaturalPatches", ["samples.png"]),
    ],
)
def test_pictures_are_drawn_with_no_download(
    name: str, pictures: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "out"
    assert main(["data", "show", name, "--out", str(out)]) == 0
    assert capsys.readouterr().out.split() == [str(out / picture) for picture in pictures]
    assert sorted(path.name for path in out.iterdir()) == sorted(pictures)
    for picture in pictures:
        with Image.open(out / picture) as opened:
            assert np.asarray(opened.convert("L")).std() > 10  # it is not blank


def test_the_seed_chooses_the_images(tmp_path: Path) -> None:
    first, again, other = (
        show_data("ThreeDots", str(tmp_path / str(run)), seed)[0].read_bytes()
        for run, seed in enumerate((1, 1, 2))
    )
    assert first == again
    assert first != other


def test_files_that_are_missing_are_named_and_nothing_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["data", "show", "Cars3D", "--out", str(out)]) == 1
    said = capsys.readouterr().err
    assert "nips2015-analogy-data.tar.gz is missing" in said
    assert "Two ways to get it" in said
    assert not out.exists()
    with pytest.raises(DownloadError, match="mpi3d_real"):
        show_data("MPI3D-Multi", str(out))


@pytest.mark.parametrize("name", [name for name, listed in CATALOGUE.items() if listed.make])
def test_all_that_can_be_shown_are_made_without_reading(name: str, empty: Path) -> None:
    source = open_data(name)
    assert isinstance(source, ImageSource)
    assert bool(factor_summary(source)) == isinstance(source, FactorData)
    assert not empty.exists()


def test_what_shows_no_progress_writes_no_empty_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "show", "ThreeDots", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""
    assert main(["data", "show", "dots"]) == 1
    assert capsys.readouterr().err.startswith("axiswise: error: NAME must be one of")


def test_other_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"NAME must be one of ThreeDots, .* got 'dots'"):
        show_data("dots")
    with pytest.raises(ValueError, match=r"got 'ImageFolder', .* name it in a recipe"):
        show_data("ImageFolder")


def test_the_list_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in CATALOGUE)
