"""Images from a folder: what is found, how it is decoded, and what is refused."""

import copy
import math
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import jsonargparse
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from axiswise.data import FactorData, ImageFolder, ImageSource, indexed

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def picture(width: int = 24, height: int = 16, seed: int = 0) -> Image.Image:
    """An RGB image without sharp edges, so that JPEG keeps it well."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def render_all(folder: ImageFolder) -> Tensor:
    return folder.render(torch.arange(len(folder)))


def read_one(path: Path, size: int, channels: int) -> Tensor:
    """The one image of a folder: (channels, size, size), in levels from 0 to 255."""
    images = render_all(ImageFolder(path, size=size, channels=channels)) * 255
    assert images.shape == (1, channels, size, size)
    return images[0]


FORMATS = {
    "jfif": "JPEG",
    "tif": "TIFF",
    "tiff": "TIFF",
    "webp": "WEBP",
    "gif": "GIF",
    "bmp": "BMP",
}


def test_finds_images_in_any_case_and_any_depth_in_order(tmp_path: Path) -> None:
    names = ["A.PNG", "b.jpg", "c/d.JPEG", "c/e/f.Png", "g.ppm", *(f"h.{end}" for end in FORMATS)]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        picture().save(tmp_path / name, FORMATS.get(name.partition(".")[2]))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    folder = ImageFolder(tmp_path, size=8)
    assert folder.files == sorted(tmp_path / name for name in names)
    assert len(folder) == len(names)
    assert folder.skipped == []


def test_what_is_passed_over_is_counted_and_named_in_one_sentence(tmp_path: Path) -> None:
    picture().save(tmp_path / "seen.png")
    for name in [".hidden.png", "._seen.png", ".thumbnails/small.png", "a/.b/c/d.png"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        picture().save(tmp_path / name)
    (tmp_path / "photo.heic").write_bytes(b"")
    (tmp_path / "empty.png").write_bytes(b"")
    folder = ImageFolder(tmp_path)
    assert folder.files == [tmp_path / "empty.png", tmp_path / "seen.png"]
    assert len(folder.skipped) == 5
    message = (
        r"skipped 6 of 7 image files: 1 damaged, 4 hidden, 1 of a format that is not read: .*; "
    )
    with pytest.warns(UserWarning, match=message) as caught:
        assert len(folder) == 1
    assert len(caught) == 1
    for file, reason in folder.skipped:
        assert f"{file} ({reason})" in str(caught[0].message)
    assert len(folder.skipped) == 6


def test_a_hidden_folder_can_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / ".cache" / "images"
    path.mkdir(parents=True)
    picture().save(path / "a.png")
    assert len(ImageFolder(path)) == 1


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_come_through_unchanged_where_nothing_is_resized(
    tmp_path: Path, channels: int
) -> None:
    mode = "L" if channels == 1 else "RGB"
    for seed in range(3):
        picture(8, 8, seed).convert(mode).save(tmp_path / f"{seed}.png")
    images = render_all(ImageFolder(tmp_path, size=8, channels=channels))
    expected = [np.array(picture(8, 8, seed).convert(mode)) for seed in range(3)]
    levels = torch.from_numpy(np.stack(expected)).view(3, 8, 8, channels).permute(0, 3, 1, 2)
    assert images.dtype == torch.float32
    assert torch.equal(images, levels / 255)


def test_a_jpeg_comes_through_nearly_unchanged(tmp_path: Path) -> None:
    picture(64, 64).save(tmp_path / "a.jpg", quality=95)
    expected = torch.from_numpy(np.array(picture(64, 64))).permute(2, 0, 1)
    difference = read_one(tmp_path, 64, 3) - expected
    assert difference.abs().mean() <= 2


@pytest.mark.parametrize("shape", [(64, 32), (32, 64), (48, 32), (32, 32), (8, 24), (16, 4)])
def test_the_shorter_side_is_resized_and_the_middle_kept(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    """Against resizing the whole image first and cropping it then; edges differ by the filter."""
    image = picture(*shape)
    image.save(tmp_path / "a.png")
    scale = 16 / min(shape)
    whole = image.resize(
        (round(shape[0] * scale), round(shape[1] * scale)), Image.Resampling.BICUBIC
    )
    left, top = (whole.width - 16) // 2, (whole.height - 16) // 2
    expected = np.array(whole.crop((left, top, left + 16, top + 16))).transpose(2, 0, 1)
    difference = (read_one(tmp_path, 16, 3).numpy() - expected)[:, 4:-4, 4:-4]
    assert np.abs(difference).max() <= 1.5


def test_reducing_averages_fine_patterns_away(tmp_path: Path) -> None:
    """A chessboard of single pixels becomes an even grey: resizing does not alias."""
    board = (np.indices((96, 96)).sum(axis=0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / "a.png")
    assert (read_one(tmp_path, 16, 1) - 127.5).abs().max() <= 3


def test_a_large_photo_is_read_as_if_decoded_in_full(tmp_path: Path) -> None:
    image = picture(1500, 1000)
    image.save(tmp_path / "a.jpg", quality=90)
    square = image.crop((250, 0, 1250, 1000)).resize((32, 32), Image.Resampling.BICUBIC)
    difference = read_one(tmp_path, 32, 3).numpy() - np.array(square).transpose(2, 0, 1)
    assert np.abs(difference).mean() <= 1.5
    assert np.abs(difference).max() <= 8


def test_grey_files_fill_three_channels_and_colour_is_weighed_into_grey(tmp_path: Path) -> None:
    (tmp_path / "grey").mkdir()
    (tmp_path / "colour").mkdir()
    Image.new("L", (8, 8), 100).save(tmp_path / "grey" / "a.png")
    Image.new("RGB", (8, 8), GREEN).save(tmp_path / "colour" / "a.png")
    assert (read_one(tmp_path / "grey", 8, 3) == 100).all()
    assert (read_one(tmp_path / "colour", 8, 1) - 0.587 * 255).abs().max() <= 1


def _half_transparent_red() -> Image.Image:
    return Image.new("RGBA", (8, 8), (255, 0, 0, 128))


def _grey_with_alpha() -> Image.Image:
    return Image.new("LA", (8, 8), (0, 0))


def _palette() -> Image.Image:
    return Image.new("RGB", (8, 8), BLUE).quantize(4)


def _palette_with_a_transparent_colour() -> Image.Image:
    image = _palette()
    image.info["transparency"] = image.getpixel((0, 0))
    return image


def _black_and_white() -> Image.Image:
    return Image.new("1", (8, 8), 1)


def _grey_of_16_bits() -> Image.Image:
    return Image.fromarray(np.full((8, 8), 200 * 257, dtype=np.uint16))


@pytest.mark.parametrize(
    ("make", "levels"),
    [
        (_half_transparent_red, (255, 127, 127)),
        (_grey_with_alpha, WHITE),
        (_palette, BLUE),
        (_palette_with_a_transparent_colour, WHITE),
        (_black_and_white, WHITE),
        (_grey_of_16_bits, (200, 200, 200)),
    ],
)
def test_every_kind_of_png_becomes_8_bits_on_white(
    tmp_path: Path, make: Callable[[], Image.Image], levels: tuple[int, int, int]
) -> None:
    make().save(tmp_path / "a.png")
    pixels = read_one(tmp_path, 8, 3)
    expected = torch.tensor(levels, dtype=torch.float32).view(3, 1, 1).expand(3, 8, 8)
    torch.testing.assert_close(pixels, expected, rtol=0, atol=1)
    assert read_one(tmp_path, 8, 1).shape == (1, 8, 8)


def test_a_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    expected = torch.tensor(RED, dtype=torch.float32).view(3, 1, 1).expand(3, 8, 8)
    torch.testing.assert_close(read_one(tmp_path, 8, 3), expected, rtol=0, atol=8)


@pytest.mark.parametrize(
    ("orientation", "upper_left"),
    [(1, RED), (2, GREEN), (3, WHITE), (4, BLUE), (5, RED), (6, BLUE), (7, WHITE), (8, GREEN)],
)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_the_exif_orientation_is_obeyed(
    tmp_path: Path, orientation: int, upper_left: tuple[int, int, int], suffix: str
) -> None:
    """Of an image with four coloured quarters, each orientation shows another one first."""
    quarters = np.array([[RED, GREEN], [BLUE, WHITE]], dtype=np.uint8)
    image = Image.fromarray(quarters.repeat(16, axis=0).repeat(16, axis=1))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / f"a.{suffix}", exif=exif)
    corner = read_one(tmp_path, 32, 3)[:, 4, 4]
    torch.testing.assert_close(corner, torch.tensor(upper_left).float(), rtol=0, atol=20)


def _truncated(path: Path, keep: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def test_damaged_files_are_named_and_skipped(tmp_path: Path) -> None:
    for name in ["a.png", "e.png"]:
        picture(seed=ord(name[0])).save(tmp_path / name)
    picture(200, 200).save(tmp_path / "b.jpg")
    _truncated(tmp_path / "b.jpg", 0.5)
    picture(200, 200).save(tmp_path / "c.png")
    _truncated(tmp_path / "c.png", 0.5)
    (tmp_path / "d.jpeg").write_text("no image at all")
    (tmp_path / "f.png").write_bytes(b"")
    folder = ImageFolder(tmp_path, size=16)
    with pytest.warns(UserWarning, match="skipped 4 of 6 image files") as caught:
        images = render_all(folder)
    assert len(caught) == 1
    assert [file.name for file, _ in folder.skipped] == ["b.jpg", "c.png", "d.jpeg", "f.png"]
    for file, reason in folder.skipped:
        assert str(file) in str(caught[0].message)
        assert reason
    assert len(folder) == 2
    (tmp_path / "good").mkdir()
    for name in ["a.png", "e.png"]:
        (tmp_path / name).rename(tmp_path / "good" / name)
    assert torch.equal(images, render_all(ImageFolder(tmp_path / "good", size=16)))


def test_the_warning_stays_short_however_many_files_are_damaged(tmp_path: Path) -> None:
    picture().save(tmp_path / "good.png")
    for number in range(25):
        (tmp_path / f"{number:02}.png").write_bytes(b"damaged")
    folder = ImageFolder(tmp_path)
    with pytest.warns(UserWarning, match=r"skipped 25 of 26 .*09\.png .* and 15 more$") as caught:
        folder.load()
    assert "10.png" not in str(caught[0].message)
    assert len(folder.skipped) == 25


def test_files_are_read_by_their_content_whatever_their_names_say(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    picture().save(tmp_path / "b.png", format="WEBP", lossless=True)
    images = ImageFolder(tmp_path).load()
    assert torch.equal(images[0], images[1])
    Image.new("RGB", (8, 8)).save(tmp_path / "c.png", format="PCX")
    with pytest.warns(UserWarning, match=r"c\.png \(UnidentifiedImageError"):
        assert len(ImageFolder(tmp_path)) == 2


def test_a_file_that_vanishes_before_it_is_read_is_skipped(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    picture().save(tmp_path / "b.png")
    folder = ImageFolder(tmp_path)
    (tmp_path / "b.png").unlink()
    with pytest.warns(UserWarning, match=r"b\.png \(FileNotFoundError"):
        assert len(folder) == 1


def test_a_folder_with_no_readable_image_is_an_error_that_gives_a_reason(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"damaged")
    folder = ImageFolder(tmp_path)
    with pytest.raises(ValueError, match=r"path .* not one can be read.*a\.png: Unidentified"):
        folder.draw(1)


def test_an_empty_folder_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("no image")
    with pytest.raises(ValueError, match=r"path .* contains no image.*\.png, .*\.jpg, ") as caught:
        ImageFolder(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_folder_of_files_that_are_not_read_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"no image, .* but for .*a\.heic \(of a format that is not"
    ):
        ImageFolder(tmp_path)


def test_a_missing_folder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"path '.*nowhere' does not exist; .* a folder"):
        ImageFolder(tmp_path / "nowhere")


def test_a_file_in_place_of_the_folder_is_refused_by_name(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    with pytest.raises(NotADirectoryError, match=r"path '.*a\.png' is not a folder; it must be"):
        ImageFolder(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [("size", 0, "size must be at least 1, got 0"), ("channels", 2, "channels must be 1 .* got 2")],
)
def test_arguments_out_of_range_are_refused_by_name(
    tmp_path: Path, argument: str, value: int, message: str
) -> None:
    picture().save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=message):
        ImageFolder(tmp_path, **{argument: value})


def test_more_than_the_memory_limit_is_refused_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(b"")
    monkeypatch.setattr(indexed, "MEMORY_LIMIT", 2**30)
    message = (
        r"path .* 3 images, .* shape \(3, 16384, 16384\) .* 2\.2 GiB .* at most 1 GiB .* smaller"
    )
    with pytest.raises(ValueError, match=message):
        ImageFolder(tmp_path, size=16384)


def test_drawing_is_uniform_seeded_and_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    for seed in range(4):
        picture(seed=seed).save(tmp_path / f"{seed}.png")
    folder = ImageFolder(tmp_path)
    state = torch.get_rng_state()
    index = folder.draw(4000, torch.Generator().manual_seed(0))
    assert torch.equal(index, folder.draw(4000, torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), state)
    counts = index.bincount(minlength=4)
    assert len(counts) == 4
    assert ((counts - 1000).abs() <= 150).all()
    assert folder.draw(0).shape == (0,)
    with pytest.raises(ValueError, match="n must be 0 or more, got -2"):
        folder.draw(-2)


def test_rendering_looks_up_rows_of_any_integer_type(tmp_path: Path) -> None:
    for seed in range(3):
        picture(seed=seed).save(tmp_path / f"{seed}.png")
    folder = ImageFolder(tmp_path, size=8)
    images = render_all(folder)
    assert torch.equal(folder.render(torch.tensor([2, 0, 2], dtype=torch.int32)), images[[2, 0, 2]])
    assert folder.render(torch.tensor([], dtype=torch.int64)).shape == (0, 3, 8, 8)
    images.mul_(0)
    assert render_all(folder).max() > 0


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (torch.tensor([0.0]), TypeError, "index must be a tensor of integers, got torch.float32"),
        (torch.tensor([[0]]), ValueError, r"index must have shape \(n,\), got \(1, 1\)"),
        (torch.tensor([1]), ValueError, r"index must be in 0 \.\.\. 0, got values from 1 to 1"),
        (torch.tensor([-1]), ValueError, r"index must be in 0 \.\.\. 0, got values from -1 to -1"),
    ],
)
def test_a_wrong_index_is_refused_by_name(
    tmp_path: Path, index: Tensor, error: type[Exception], message: str
) -> None:
    picture().save(tmp_path / "a.png")
    with pytest.raises(error, match=message):
        ImageFolder(tmp_path).render(index)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_images_come_to_the_device_of_the_draws(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    folder = ImageFolder(tmp_path)
    index = folder.draw(3, torch.Generator("cuda").manual_seed(0))
    images = folder.render(index)
    assert images.device == index.device
    assert torch.equal(images.cpu(), folder.render(index.cpu()))


def test_files_are_decoded_once_and_progress_is_told(tmp_path: Path) -> None:
    for seed in range(3):
        picture(seed=seed).save(tmp_path / f"{seed}.png")
    (tmp_path / "3.png").write_bytes(b"damaged")
    folder = ImageFolder(tmp_path)
    told: list[tuple[int, int]] = []
    with pytest.warns(UserWarning, match="skipped 1 of 4"):
        folder.load(progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    for file in folder.files:
        file.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folder.load(progress=lambda done, total: told.append((done, total)))
        assert render_all(folder).shape == (3, 3, 64, 64)
    assert len(told) == 4


def test_pickles_and_copies_hold_no_images_and_decode_them_again(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    folder = ImageFolder(tmp_path)
    images = render_all(folder)
    pickled = pickle.dumps(folder)
    assert len(pickled) < 1500
    for other in (pickle.loads(pickled), copy.deepcopy(folder)):
        assert torch.equal(render_all(other), images)


def test_is_an_image_source_built_from_plain_configuration_values(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=ImageSource)
    arguments = {"path": str(tmp_path), "size": 16, "channels": 1}
    config = parser.parse_object(
        {"data": {"class_path": "axiswise.data.ImageFolder", "init_args": arguments}}
    )
    folder = parser.instantiate(config).data
    assert isinstance(folder, ImageFolder)
    assert isinstance(folder, ImageSource)
    assert not isinstance(folder, FactorData)
    assert folder.shape == (1, 16, 16)
    assert repr(folder) == f"ImageFolder({str(tmp_path)!r}, size=16, channels=1)"


def test_a_crop_keeps_the_central_square_and_nothing_around_it(tmp_path: Path) -> None:
    """As OroJaR's code cuts CelebA: 24 rows off above and below, 4 columns on either side."""
    image = np.array(picture(178, 218))
    framed = np.full_like(image, 255)
    framed[24:-24, 4:-4] = image[24:-24, 4:-4]
    Image.fromarray(framed).save(tmp_path / "a.png")
    folder = ImageFolder(tmp_path, size=170, crop=170)
    kept = torch.from_numpy(image[24:-24, 4:-4].copy()).permute(2, 0, 1)
    assert torch.equal((render_all(folder)[0] * 255).round().byte(), kept)
    small = render_all(ImageFolder(tmp_path, size=128, crop=170))[0]
    expected = Image.fromarray(image[24:-24, 4:-4]).resize((128, 128), Image.Resampling.BICUBIC)
    levels = torch.from_numpy(np.array(expected)).permute(2, 0, 1)
    assert ((small * 255) - levels).abs().max() <= 0.01


def _cubic(x: float, a: float = -0.75) -> float:
    """Keys' kernel as OpenCV has it."""
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


@pytest.mark.parametrize(("side", "size"), [(17, 5), (12, 16), (170, 128)])
def test_without_antialias_four_by_four_pixels_are_interpolated_as_by_opencv(
    tmp_path: Path, side: int, size: int
) -> None:
    """Against the kernel summed pixel by pixel, repeated at the edges; CelebA's size among them."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (side + 6, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    folder = ImageFolder(tmp_path, size=size, crop=side, antialias=False)
    weights = np.zeros((size, side))
    for row in range(size):
        centre = (row + 0.5) * side / size - 0.5
        for near in range(math.floor(centre) - 1, math.floor(centre) + 3):
            weights[row, min(max(near, 0), side - 1)] += _cubic(centre - near)
    square = pixels[3 : 3 + side].transpose(2, 0, 1).astype(float)
    expected = np.clip(np.round(weights @ square @ weights.T), 0, 255)
    found = 255 * render_all(folder)[0].double().numpy()
    assert np.abs(found - expected).max() <= 1.001  # where it lies on a half
    assert (np.abs(found - expected) > 0.01).mean() < 0.02


def test_a_crop_counts_the_pixels_of_the_file_however_large(tmp_path: Path) -> None:
    """JPEGs that are decoded at a part of their size must not shift what is cut."""
    image = Image.new("RGB", (1600, 1200), WHITE)
    image.paste(RED, (700, 500, 900, 700))
    image.save(tmp_path / "a.jpg", quality=95)
    red = render_all(ImageFolder(tmp_path, size=16, crop=200))[0]
    expected = torch.tensor(RED).view(3, 1, 1).expand(3, 16, 16) / 255
    torch.testing.assert_close(red, expected, rtol=0, atol=0.05)


def test_an_image_smaller_than_the_crop_is_skipped_with_the_reason(tmp_path: Path) -> None:
    picture(40, 40).save(tmp_path / "a.png")
    picture(60, 30).save(tmp_path / "b.png")
    folder = ImageFolder(tmp_path, size=8, crop=40)
    with pytest.warns(UserWarning, match=r"b\.png \(ValueError: 60 × 30 pixels .* crop=40\)"):
        assert len(folder) == 1


def test_with_flip_half_of_the_images_drawn_are_mirrored(tmp_path: Path) -> None:
    for seed in range(3):
        picture(8, 8, seed).save(tmp_path / f"{seed}.png")
    plain, folder = ImageFolder(tmp_path, size=8), ImageFolder(tmp_path, size=8, flip=True)
    assert len(folder) == 3
    assert torch.equal(render_all(folder), render_all(plain))
    draws = folder.draw(6000, torch.Generator().manual_seed(0))
    assert ((draws.bincount(minlength=6) - 1000).abs() <= 150).all()
    mixed = torch.tensor([4, 1, 5, 0])
    images = render_all(plain)
    expected = torch.stack([images[1].flip(2), images[1], images[2].flip(2), images[0]])
    assert torch.equal(folder.render(mixed), expected)
    with pytest.raises(ValueError, match=r"index must be in 0 \.\.\. 5, got values from 6 to 6"):
        folder.render(torch.tensor([6]))
    with pytest.raises(ValueError, match=r"index must be in 0 \.\.\. 2, got values from 3 to 3"):
        plain.render(torch.tensor([3]))


def test_a_range_of_values_is_described_and_checked(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=ImageSource)
    words = ["--data", "axiswise.data.ImageFolder", "--data.path", str(tmp_path)]
    folder = parser.instantiate(parser.parse_args([*words, "--data.value_range", "[0, 127]"])).data
    assert repr(folder).endswith("size=64, channels=3, value_range=(0.0, 127.0))")
    with pytest.warns(UserWarning, match=r"value_range, 0 to 127, is cut off"):
        assert folder.load().max() == 255
    with pytest.raises(ValueError, match=r"value_range must be .* got \(3, 2\)"):
        ImageFolder(tmp_path, value_range=(3, 2))


def test_crop_and_flip_are_described_and_checked(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=ImageSource)
    words = f"--data axiswise.data.ImageFolder --data.path {tmp_path} --data.crop 12"
    folder = parser.instantiate(parser.parse_args([*words.split(), "--data.flip=true"])).data
    expected = f"ImageFolder({str(tmp_path)!r}, size=64, channels=3, crop=12, flip=True)"
    assert repr(folder) == expected
    with pytest.raises(ValueError, match="crop must be at least 1 pixel, or None, got 0"):
        ImageFolder(tmp_path, crop=0)
