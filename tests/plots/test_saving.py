"""Pictures are written whole or not at all."""

import stat

import pytest
from matplotlib.figure import Figure
from PIL import Image

from axiswise.plots import save


def drawn():
    figure = Figure(figsize=(2, 1), dpi=100)
    figure.add_subplot().plot([0, 1])
    return figure


def test_a_png_has_the_figures_size(tmp_path):
    save(drawn(), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (200, 100)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_the_suffix_names_the_format(tmp_path):
    save(drawn(), tmp_path / "a.SVG")
    assert b"<svg" in (tmp_path / "a.SVG").read_bytes()


def test_the_file_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "other").write_bytes(b"")
    save(drawn(), tmp_path / "a.png")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("other", "a.png")}
    assert len(modes) == 1


def test_a_drawing_that_fails_keeps_the_old_picture_and_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    figure = drawn()

    def fail(file, **_):
        file.write(b"half")
        raise RuntimeError("cannot draw")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(RuntimeError, match="cannot draw"):
        save(figure, path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_full_disk_keeps_the_old_picture_and_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(drawn(), path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"`path` must end in one of .*png.*, got"):
        save(drawn(), tmp_path / "a.xyz")
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        save(drawn(), tmp_path / "nowhere" / "a.png")
