"""Decoding pictures of any depth, against numbers that were written."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from axiswise.data import ImageFolder
from axiswise.data.pictures import decode_picture

DEEP: Any = np.random.default_rng(0).integers(0, 4096, (6, 5, 4), dtype=np.uint16)
COLOURS = {0: 1, 2: 3, 4: 2, 6: 4}  # channels of a PNG's colour types


def png(values: Any, colour: int) -> io.BytesIO:
    """A PNG of 16 bits, which Pillow writes in grey alone."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    height, width = values.shape[:2]
    rows = values.astype(">u2").reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + chunks)


@pytest.mark.parametrize("colour", COLOURS)
def test_all_16_bits_of_a_png_come_through(colour: int) -> None:
    values = DEEP[..., : COLOURS[colour]]
    found: Any = decode_picture(png(values, colour))
    if colour == 4:  # grey with opaqueness comes as colours
        values = values[..., [0, 0, 0, 1]]
    assert np.array_equal(found, values[..., 0] if colour == 0 else values)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_all_16_bits_of_a_tiff_come_through(
    order: Any, compression: str | None, channels: int, tmp_path: Path
) -> None:
    values = DEEP[..., 0] if channels == 1 else DEEP[..., :channels]
    kind: Any = "minisblack" if channels == 1 else "rgb"
    more: Any = ["unassalpha"] if channels == 4 else None
    file = tmp_path / "a.tif"
    tifffile.imwrite(
        file, values, byteorder=order, compression=compression, photometric=kind, extrasamples=more
    )
    assert np.array_equal(decode_picture(file), values)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32, np.float32])
def test_other_numbers_of_a_tiff_come_through(dtype: Any, tmp_path: Path) -> None:
    values = (DEEP[..., 0] * (1.0e6 if dtype == np.uint32 else 1 / 7)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values)
    assert np.array_equal(decode_picture(tmp_path / "a.tif"), values)


def test_tiffs_that_pillow_gets_wrong_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, np.moveaxis(DEEP[..., :3], 2, 0), photometric="rgb", planarconfig=2)
    with pytest.raises(ValueError, match="do not lie pixel by pixel"):
        decode_picture(file)
    tifffile.imwrite(file, DEEP[..., 0], photometric="miniswhite")
    with pytest.raises(ValueError, match="count from white to black"):
        decode_picture(file)


def test_twelve_bits_in_a_folder_keep_255_levels_and_the_guess_is_said(tmp_path: Path) -> None:
    values = np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    Image.fromarray(values // 2).save(tmp_path / "b.png")  # of the same range as the other
    folder = ImageFolder(tmp_path, channels=1)
    with pytest.warns(UserWarning, match=r'4095 as white.*--data\.value_range "\[0, 4095\]"'):
        images = folder.load()
    expected = np.rint(np.stack([values, values // 2]) / 4095 * 255)
    assert np.array_equal(images[:, 0].numpy(), expected)
    assert folder.settled() == {"value_range": [0.0, 4095.0]}
    given = ImageFolder(tmp_path, channels=1, value_range=(0, 4095))
    assert np.array_equal(given.load(), images)
    assert given.settled() == {}


def test_deep_colours_are_laid_on_white_after_they_are_scaled(tmp_path: Path) -> None:
    values = np.full((8, 8, 4), 4095, np.uint16)
    values[..., 1:3] = 0
    values[:4, :, 3] = 65535
    values[4:, :, 3] = 0
    (tmp_path / "a.png").write_bytes(png(values, 6).getvalue())
    red = ImageFolder(tmp_path, size=8, value_range=(0, 4095)).load()[0]
    assert red[:, 0, 0].tolist() == [255, 0, 0]
    assert red[:, 7, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
@pytest.mark.parametrize("channels", [1, 3])
def test_zeros_and_ones_in_8_bits_become_black_and_white(
    mode: str, channels: int, tmp_path: Path
) -> None:
    mask = np.random.default_rng(0).integers(0, 2, (2, 16, 16), dtype=np.uint8)
    for index, one in enumerate(mask):
        image = Image.fromarray(one)
        if mode == "P":
            image.putpalette([0, 0, 0, 1, 1, 1])
        elif mode == "RGB":
            image = image.convert(mode)
        image.save(tmp_path / f"{index}.png")
    folder = ImageFolder(tmp_path, size=16, channels=channels)
    with pytest.warns(UserWarning, match="from 0 to 1, so 0 counts as black and 1 as white"):
        images = folder.load().numpy()
    assert np.array_equal(images, np.repeat(mask[:, None] * 255, channels, axis=1))


def test_floating_tiffs_from_minus_1_to_1_are_scaled(tmp_path: Path) -> None:
    values = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
    tifffile.imwrite(tmp_path / "a.tif", values)
    with pytest.warns(UserWarning, match="-1 counts as black and 1 as white"):
        images = ImageFolder(tmp_path, size=8, channels=1).load()
    assert np.abs(images[0, 0].numpy() - (values + 1) / 2 * 255).max() <= 0.5


def test_a_floating_file_with_nan_is_skipped(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.eye(8, dtype=np.float32))
    tifffile.imwrite(tmp_path / "b.tif", np.full((8, 8), np.nan, np.float32))
    with pytest.warns(
        UserWarning, match=r"skipped 1 of 2 .*b\.tif \(ValueError: values must be fi"
    ):
        assert len(ImageFolder(tmp_path, size=8)) == 1


def test_a_folder_of_8_bits_and_of_12_is_refused(tmp_path: Path) -> None:
    Image.fromarray(DEEP[..., 0]).save(tmp_path / "a.png")
    Image.new("L", (8, 8), 200).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"path .*: images of several kinds .*folder of its own"):
        ImageFolder(tmp_path).load()


def test_the_first_frame_of_a_film_is_taken_and_the_file_named(tmp_path: Path) -> None:
    frames = [Image.new("L", (8, 8), grey) for grey in (200, 100, 50)]
    for name in ("a.gif", "b.tif", "c.webp", "d.png"):
        options: Any = {"lossless": True} if name == "c.webp" else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
    folder = ImageFolder(tmp_path, size=8, channels=1)
    message = r"only the first frame is taken of 4 files .*a\.gif; .*b\.tif; .*c\.webp; .*d\.png"
    with pytest.warns(UserWarning, match=message):
        assert (folder.load() == 200).all()


def test_a_picture_of_too_many_pixels_is_skipped(tmp_path: Path) -> None:
    """As Pillow refuses it, by what its header says: 4 × 10⁸ pixels, of which there are none."""
    whole = png(DEEP[..., :1], 0).getvalue()
    header = struct.pack(">II", 20_000, 20_000) + whole[24:29]
    content = whole[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + whole[33:]
    (tmp_path / "a.png").write_bytes(content)
    Image.new("L", (8, 8), 200).save(tmp_path / "b.png")
    with pytest.warns(UserWarning, match=r"skipped 1 of 2 .*a\.png \(DecompressionBombError"):
        assert len(ImageFolder(tmp_path)) == 1
