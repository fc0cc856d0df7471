"""Data sets by name, ours and a user's own; what the list says of each."""

from pathlib import Path

import pytest
import torch

from axiswise import data
from axiswise.data import FactorData, ImageSource, Sprites
from axiswise.data.factors import is_here
from axiswise.data.family import DATA_SETS
from axiswise.data.listing import data_rows, factor_strips, factor_summary, listed, open_data

OWN = """
import torch
from axiswise.data import data_set, uniform_factors

class Bars:
    shape = (1, 16, 16)
    factor_sizes = (12, 8)
    factor_names = ("place", "width")

    def sample_factors(self, n, rng=None):
        return uniform_factors(self.factor_sizes, n, rng)

    draw = sample_factors

    def render(self, factors):
        place, width = factors.unsqueeze(2).unbind(1)
        columns = torch.arange(16)
        bar = (columns >= place) & (columns <= place + width)
        return bar.float()[:, None, None].expand(-1, 1, 16, 16)

class Wide(Bars):
    def __init__(self, path, scale=1, *rest, **more):
        pass

@data_set("Wider", licence="mine", variants={"Wider-1": Bars, "Wider-2": Bars})
class Wider(Bars):
    pass

number = 3
nothing = dict
"""


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with nothing in it."""
    monkeypatch.setenv("AXISWISE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_every_class_of_images_is_declared_by_its_name() -> None:
    classes = {name for name in data.__all__ if isinstance(getattr(data, name), type)}
    assert set(DATA_SETS.names()) == classes - {"DownloadError", "FactorData", "ImageSource"}


def test_each_row_says_size_factors_licence_and_whether_it_is_here(empty: Path) -> None:
    header, *rows = data_rows()
    assert header == ["data", "image", "factors", "licence", "here"]
    found = {row[0]: row[1:] for row in rows}
    assert found.keys() >= listed().keys()
    assert found.keys() - listed().keys() == {
        "EdgesShoes", "HuggingFaceImages", "ImageFolder", "NpzFactorData", "NpzImages"
    }  # fmt: skip
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


@pytest.mark.parametrize("name", listed())
def test_all_that_can_be_shown_are_made_without_reading(name: str, empty: Path) -> None:
    source = open_data(name)
    assert isinstance(source, ImageSource)
    assert bool(factor_summary(source)) == isinstance(source, FactorData)
    assert not empty.exists()


def test_strips_take_one_factor_from_its_first_value_to_its_last() -> None:
    source = Sprites(size=16)
    strips = factor_strips(source, torch.Generator().manual_seed(3))
    assert list(strips) == list(source.factor_names)
    assert [len(strip) for strip in strips.values()] == [1, 3, 6, 16, 16, 16]
    centre = source.sample_factors(1, torch.Generator().manual_seed(3))
    for index, strip in enumerate(strips.values()):
        ends = centre.repeat(2, 1)
        ends[:, index] = torch.tensor([0, source.factor_sizes[index] - 1])
        torch.testing.assert_close(strip[[0, -1]], source.render(ends), rtol=0, atol=0)


def test_a_user_s_class_needs_no_declaration_and_nothing_to_inherit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_data.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    source = open_data("own_data:Bars")
    assert isinstance(source, FactorData)
    assert factor_summary(source) == "place 12, width 8"
    assert is_here(source) is None
    assert type(open_data("own_data.Bars")) is type(source)
    for spec, error, message in (
        ("own_data:Wide", ValueError, r"'own_data:Wide', which needs to know path: name it in a"),
        ("own_data:Wider", ValueError, "one of Wider-1, Wider-2, got 'own_data:Wider'"),
        ("own_data:number", TypeError, "own_data:number must be a class of images .* got int"),
        ("own_data:nothing", TypeError, "must have shape, draw and render .* got dict"),
        ("own_data:gone", ImportError, "own_data has no gone"),
    ):
        with pytest.raises(error, match=message):
            open_data(spec)


def test_other_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"NAME must be one of .* ThreeDots, .* got 'dots'"):
        open_data("dots")
    with pytest.raises(ValueError, match=r"got 'ImageFolder', .* file or folder: name it in a re"):
        open_data("ImageFolder")
    with pytest.raises(ValueError, match=r"NAME must be one of MPI3D-toy, .* got 'MPI3D'"):
        open_data("MPI3D")
