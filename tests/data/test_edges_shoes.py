"""Edges+Shoes: the halves of each file as images of their own."""

import pickle
from pathlib import Path

import jsonargparse
import numpy as np
import pytest
import torch
from PIL import Image

from axiswise.data import EdgesShoes, FactorData, ImageSource, indexed


def pair(seed: int, width: int = 512, height: int = 256) -> Image.Image:
    """A grey drawing beside a coloured photo, without sharp edges but for the seam."""
    rng = np.random.default_rng(seed)
    grey = rng.integers(128, 256, (4, 4, 1), dtype=np.uint8).repeat(3, axis=2)
    colour = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    whole = Image.new("RGB", (width, height))
    for half, coarse in enumerate((grey, colour)):
        image = Image.fromarray(coarse).resize((width // 2, height), Image.Resampling.BICUBIC)
        whole.paste(image, (half * width // 2, 0))
    return whole


def test_image_2i_is_the_left_half_of_file_i_and_the_next_the_right(tmp_path: Path) -> None:
    for seed in range(3):
        pair(seed).save(tmp_path / f"{seed}_AB.png")
    data = EdgesShoes(tmp_path, size=256)
    assert len(data) == 6
    assert data.shape == (3, 256, 256)
    images = (data.render(torch.arange(6)) * 255).round().byte()
    for seed in range(3):
        whole = torch.from_numpy(np.array(pair(seed))).permute(2, 0, 1)
        assert torch.equal(images[2 * seed], whole[..., :256])
        assert torch.equal(images[2 * seed + 1], whole[..., 256:])


@pytest.mark.parametrize("size", [128, 48])
def test_neither_half_runs_into_the_other_when_resized(tmp_path: Path, size: int) -> None:
    whole = Image.new("RGB", (512, 256), (255, 255, 255))
    whole.paste((255, 0, 0), (256, 0, 512, 256))
    whole.save(tmp_path / "a.png")
    edges, shoe = EdgesShoes(tmp_path, size=size).render(torch.arange(2))
    assert (edges == 1).all()
    assert (shoe[0] == 1).all()
    assert (shoe[1:] == 0).all()


def test_jpegs_as_published_come_nearly_unchanged(tmp_path: Path) -> None:
    pair(0).save(tmp_path / "1_AB.jpg", quality=95)
    images = EdgesShoes(tmp_path).render(torch.arange(2))
    for half, image in enumerate(images):
        square = pair(0).crop((256 * half, 0, 256 * (half + 1), 256))
        expected = np.array(square.resize((128, 128), Image.Resampling.BICUBIC))
        difference = image * 255 - torch.from_numpy(expected).permute(2, 0, 1)
        assert difference.abs().mean() <= 2


def test_half_of_the_images_drawn_are_drawings(tmp_path: Path) -> None:
    for seed in range(2):
        pair(seed, 32, 16).save(tmp_path / f"{seed}.png")
    draws = EdgesShoes(tmp_path, size=16).draw(4000, torch.Generator().manual_seed(0))
    counts = draws.bincount(minlength=4)
    assert len(counts) == 4
    assert ((counts - 1000).abs() <= 150).all()


def test_flip_mirrors_each_half_for_itself(tmp_path: Path) -> None:
    pair(0, 32, 16).save(tmp_path / "a.png")
    images = EdgesShoes(tmp_path, size=16, flip=True).render(torch.arange(4))
    assert torch.equal(images[2:], images[:2].flip(3))
    assert not torch.equal(images[2:], images[:2])


def test_files_of_another_shape_are_skipped_and_the_rest_keep_their_order(tmp_path: Path) -> None:
    pair(0, 32, 16).save(tmp_path / "a.png")
    pair(1, 32, 20).save(tmp_path / "b.png")
    (tmp_path / "c.jpg").write_bytes(b"damaged")
    pair(2, 32, 16).save(tmp_path / "d.png")
    data = EdgesShoes(tmp_path, size=16)
    with pytest.warns(UserWarning, match=r"skipped 2 of 4 .*32 × 20 pixels: .* twice as wide"):
        data.load()
    assert [file.name for file, _ in data.skipped] == ["b.png", "c.jpg"]
    assert len(data) == 4
    last = torch.from_numpy(np.array(pair(2, 32, 16))).permute(2, 0, 1)
    assert torch.equal((data.render(torch.tensor([3]))[0] * 255).round().byte(), last[..., 16:])


def test_ordinary_photos_are_refused(tmp_path: Path) -> None:
    pair(0, 30, 20).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"not one can be read.*twice as wide as high"):
        EdgesShoes(tmp_path).draw(0)


def test_the_memory_limit_counts_both_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair(0, 32, 16).save(tmp_path / "a.png")
    monkeypatch.setattr(indexed, "MEMORY_LIMIT", 3 * 16**2)
    with pytest.raises(ValueError, match=r"contains 2 images, .* shape \(3, 16, 16\)"):
        EdgesShoes(tmp_path, size=16)


def test_is_an_image_source_built_from_plain_configuration_values(tmp_path: Path) -> None:
    pair(0, 32, 16).save(tmp_path / "a.png")
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=ImageSource)
    words = f"--data axiswise.data.EdgesShoes --data.path {tmp_path} --data.flip true"
    data = parser.instantiate(parser.parse_args(words.split())).data
    assert isinstance(data, EdgesShoes)
    assert isinstance(data, ImageSource)
    assert not isinstance(data, FactorData)
    assert data.shape == (3, 128, 128)
    assert repr(data) == f"EdgesShoes({str(tmp_path)!r}, size=128, flip=True)"
    images = data.render(torch.arange(4))
    assert torch.equal(pickle.loads(pickle.dumps(data)).render(torch.arange(4)), images)
