"""`axiswise data`: the list, and the pictures."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from axiswise.cli import main
from axiswise.data import DownloadError
from axiswise.data.family import DATA_SETS
from axiswise.data.listing import listed
from axiswise.runs.show_data import show_data

STRIPES = """
import torch
from axiswise.data import uniform_factors

Rng = torch.Generator | None

class Stripes:
    shape = (1, 16, 16)
    factor_sizes = (8, 2)
    factor_names = ("width", "upright")

    def sample_factors(self, n: int, rng: Rng = None) -> torch.Tensor:
        return uniform_factors(self.factor_sizes, n, rng)

    draw = sample_factors

    def render(self, factors: torch.Tensor) -> torch.Tensor:
        width, upright = factors.view(-1, 2, 1, 1).unbind(1)
        across = (torch.arange(16) // (width + 1) % 2).float().expand(-1, 16, 16)
        return torch.where(upright.bool(), across, across.mT)[:, None]
"""


@pytest.fixture(autouse=True)
def _nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data folder, and no network."""
    monkeypatch.setenv("AXISWISE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")


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


def test_what_shows_no_progress_writes_no_empty_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "show", "ThreeDots", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""
    assert main(["data", "show", "dots"]) == 1
    assert capsys.readouterr().err.startswith("axiswise: error: NAME must be one of")


def test_the_list_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data"]) == 0
    said = capsys.readouterr().out
    yours = [name for name in DATA_SETS.names() if not DATA_SETS.find(name).variants]
    assert all(name in said for name in [*listed(), *yours])


def test_a_class_of_a_user_s_is_shown_and_trained_on_by_its_import_path(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies in the current folder, which is not on Python's path."""
    (tmp_path / "stripes.py").write_text(STRIPES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    words = ["--data", "stripes.Stripes", "--steps", "2", "--out", "run"]
    assert main(["train", str(tiny_recipe), *words]) == 0
    assert main(["data", "show", "stripes:Stripes"]) == 0
    shown = tmp_path / "runs" / "data-stripes-Stripes"
    assert {path.name for path in shown.iterdir()} == {"samples.png", "factors.png"}
    assert "class_path: stripes.Stripes" in (tmp_path / "run" / "config.yaml").read_text()
    assert (tmp_path / "run" / "model.safetensors").exists()
