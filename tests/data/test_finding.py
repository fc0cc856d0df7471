"""What a folder contains: images, and what looks like some and is not read."""

import os
from pathlib import Path

import pytest
from PIL import Image

from axiswise.data import finding
from axiswise.data.finding import find_pictures


def put(path: Path, ending: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), "white").save(path, ending)
    return path


def passed_over(path: Path) -> dict[str, str]:
    return {str(file.relative_to(path)): reason for file, reason in find_pictures(path).passed_over}


def test_linked_folders_are_followed_once_whatever_circles_they_make(tmp_path: Path) -> None:
    root, far = tmp_path / "root", tmp_path / "far"
    own, others = put(root / "a" / "1.png"), put(far / "2.png")
    (root / "b").symlink_to(far)
    (root / "again").symlink_to(root / "a")  # sorts before it
    (root / "a" / "up").symlink_to(root)
    (far / "itself").symlink_to(far)
    (root / "c.png").symlink_to(others)
    found = find_pictures(root)
    assert found.files == [own, root / "b" / "2.png", root / "c.png"]
    assert found.passed_over == []


def test_what_looks_like_an_image_is_passed_over_for_a_reason(tmp_path: Path) -> None:
    for name in ("x.HEIC", "x.svg", "x.jp2", "x.nd2"):
        (tmp_path / name).write_bytes(b"")
    put(tmp_path / "scan")
    put(tmp_path / "._y.png")
    put(tmp_path / ".cache" / "z.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder").symlink_to(tmp_path / "nowhere")
    for name in ("notes.txt", "LICENSE", ".git/HEAD", ".DS_Store", "table.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no image at all")
    assert find_pictures(tmp_path).files == []
    assert passed_over(tmp_path) == {
        **dict.fromkeys(("x.HEIC", "x.svg", "x.jp2", "x.nd2"), finding.OTHER_FORMAT),
        **dict.fromkeys(("._y.png", ".cache/z.png"), finding.HIDDEN),
        **dict.fromkeys(("gone.png", "circle.png", "folder"), finding.LOST),
        "pipe.png": finding.NO_FILE,
        "scan": finding.NO_ENDING,
    }


def test_a_folder_that_cannot_be_opened_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "closed" / "a.png")
    scandir = os.scandir

    def scan(folder: Path) -> object:
        if folder.name == "closed":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", scan)
    assert passed_over(tmp_path) == {"closed": finding.CLOSED}


def test_a_folder_named_like_an_image_is_a_folder(tmp_path: Path) -> None:
    inside = put(tmp_path / "folder.png" / "a.png")
    assert find_pictures(tmp_path).files == [inside]
