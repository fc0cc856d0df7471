"""`axiswise show` of directions: what is in the pictures, and in the page that holds them."""

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from axiswise import nets, plots
from axiswise.directions.directions import Directions
from axiswise.nets import CodeStatistics
from axiswise.runs.show_directions import _usual_extent, show_directions
from axiswise.support.files import UnreadableFileError

STEPS = 31
TILE = 128


class Greys:
    """Images of one grey, 0.5 + 0.08·z₀, that none of the other latents changes."""

    latent_dim = 3

    def __init__(self) -> None:
        self.asked: list[Tensor] = []

    def __call__(self, z: Tensor) -> Tensor:
        self.asked.append(z)
        return (0.5 + 0.08 * z[:, :1, None, None]).expand(-1, 1, 8, 8)


class SignedGreys(Greys):
    """The same in [−1, 1]."""

    def __call__(self, z: Tensor) -> Tensor:
        return 2 * super().__call__(z) - 1


class NamedRange(SignedGreys):
    """The same, and says so."""

    image_range = (-1.0, 1.0)


class Hues:
    """Images in the colour that is drawn with the latents; z₀ makes them brighter."""

    latent_dim = 2
    image_range = (0.0, 1.0)

    def sample_latents(self, n: int, rng: torch.Generator) -> Tensor:
        return 0.1 * torch.randn(n, 2, generator=rng)

    def sample_conditioning(self, z: Tensor, _rng: torch.Generator) -> dict[str, Tensor]:
        return {"hue": torch.arange(len(z)) % 3}

    def __call__(self, z: Tensor, hue: Tensor) -> Tensor:
        bright = (0.5 + 0.08 * z[:, :1])[..., None, None].expand(-1, 3, 8, 8)
        return bright * torch.eye(3)[hue][:, :, None, None]


def written(
    folder: Path, matrix: Tensor, importance: Tensor | None = None, **settings: Any
) -> Path:
    sizes = torch.arange(len(matrix), 0, -1.0) if importance is None else importance
    Directions(matrix, sizes, "a method", settings).save(folder)
    return folder


def film(path: Path) -> npt.NDArray[np.uint8]:
    return imageio.imread(path, plugin="pyav" if path.suffix == ".mp4" else "pillow")


def greys(path: Path, samples: int) -> npt.NDArray[np.floating[Any]]:
    """What is in the middle of each sample's tile, (frame, sample), from 0 to 1."""
    return film(path)[:, 70, [76 + (TILE + 12) * i for i in range(samples)], 0] / 255


# A direction that mixes the latents, one that does nothing, and the first one's opposite.
MIXED = torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.0, 1.0], [-0.6, -0.8, 0.0]])


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = written(tmp_path_factory.mktemp("shown"), MIXED, steps=500, subspace=[0, 3])
    seen: list[tuple[str, int, int]] = []

    def start_bar(name: str) -> Callable[[int, int], None]:
        return lambda done, total: seen.append((name, done, total))

    assert show_directions(folder, Greys(), samples=2, start_bar=start_bar) == (
        folder / "report.html"
    )
    total = 3 * 2 * STEPS
    assert [row for row in seen if row[1] == total] == [("directions", total, total)]
    done = [row[1] for row in seen]
    assert done == sorted(set(done))
    assert max(np.diff([0, *done])) <= 16
    return folder


@pytest.fixture(scope="module")
def page(shown: Path) -> str:
    return (shown / "report.html").read_text(encoding="utf-8")


def test_each_direction_has_a_strip_and_two_films_and_all_have_a_sheet(shown: Path) -> None:
    expected = {f"direction-{i}{suffix}" for i in range(3) for suffix in (".png", ".gif", ".mp4")}
    expected |= {"sheet-1.png", "importance.png", "cosines.png"}
    assert {path.name for path in (shown / "pictures").iterdir()} == expected


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_samples_move_along_the_direction_from_where_they_have_no_part_of_it(
    shown: Path, suffix: str
) -> None:
    z = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).numpy()
    unit = MIXED[0].numpy()
    start = z - np.outer(z @ unit, unit)
    amounts = np.linspace(-5, 5, STEPS)
    amounts = np.concatenate([amounts, amounts[-2:0:-1]])
    expected = 0.5 + 0.08 * (start[:, 0] + 0.6 * amounts[:, None])
    path = shown / "pictures" / f"direction-0{suffix}"
    np.testing.assert_allclose(greys(path, 2), expected, atol=0.025)
    assert np.ptp(expected) > 0.4


def test_films_of_opposite_directions_run_the_other_way(shown: Path) -> None:
    there, back = (greys(shown / "pictures" / f"direction-{i}.mp4", 2)[:STEPS] for i in (0, 2))
    np.testing.assert_allclose(there, back[::-1], atol=0.02)


def test_a_direction_that_does_nothing_shows_nothing(shown: Path) -> None:
    still = greys(shown / "pictures" / "direction-1.mp4", 2)
    assert np.ptp(still, axis=0).max() < 0.01


def test_the_page_has_no_script_and_its_films_are_the_files(shown: Path, page: str) -> None:
    assert "<script" not in page
    assert "default-src 'none'" in page
    videos = re.findall(r'<video src="data:video/mp4;base64,([^"]+)"', page)
    files = [(shown / "pictures" / f"direction-{i}.mp4").read_bytes() for i in range(3)]
    assert [base64.b64decode(video) for video in videos] == files
    assert page.count('preload="none"') == page.count("<details>") == 3
    # The two charts beside the strips.
    assert page.count("<img ") == 3 + 2


def test_the_page_says_what_was_searched_and_how_it_is_shown(page: str) -> None:
    for cells in (
        ("method", "a method"),
        ("steps", "500"),
        ("subspace", "[0, 3]"),
        ("samples shown", "2, seed 0"),
    ):
        assert "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" in page
    assert "3 of 3 directions in 3 latents." in page
    assert "from −5 on the left to +5 on the right" in page
    assert "L2 change of the image per unit of latent" in page
    assert re.findall(r"<b>(\d+)</b>", page) == ["0", "1", "2"]
    assert re.findall(r'"bar" style="width: ([\d.]+)%', page) == ["100.0", "66.7", "33.3"]


def entries(folder: Path) -> list[tuple[str, str]]:
    """Index and importance of each direction on the page."""
    page = (folder / "report.html").read_text(encoding="utf-8")
    return re.findall(r"<b>(\d+)</b>.*?<span>([^<]*)</span></span>", page)


def test_chosen_directions_keep_their_index_importance_and_scale(tmp_path: Path) -> None:
    folder = written(tmp_path, torch.eye(3)[[1, 0, 2]], torch.tensor([8.0, 4.0, 2.0]))
    show_directions(folder, Greys(), only=[2, 1], samples=1)
    assert entries(folder) == [("2", "2.0"), ("1", "4.0")]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert re.findall(r'"bar" style="width: ([\d.]+)%', page) == ["25.0", "50.0"]
    assert "2 of 3 directions" in page
    films = sorted((folder / "pictures").glob("*.mp4"))
    assert [path.name for path in films] == ["direction-1.mp4", "direction-2.mp4"]
    assert [np.ptp(greys(path, 1)) > 0.5 for path in films] == [True, False]


@pytest.fixture
def no_films(monkeypatch: pytest.MonkeyPatch) -> None:
    """Films are files with nothing but a beginning: encoding them takes most of the time."""
    monkeypatch.setattr(
        plots, "save_film", lambda _film, path, _fps: path.write_bytes(b"\0\0\0\0ftyp")
    )


@pytest.mark.usefixtures("no_films")
def test_names_of_files_are_as_long_as_the_largest_index(tmp_path: Path) -> None:
    folder = written(tmp_path, torch.eye(3)[torch.arange(11) % 3])
    show_directions(folder, Greys(), only=[3], samples=1)
    names = {path.name for path in (folder / "pictures").iterdir()}
    assert names == {"direction-03.png", "direction-03.gif", "direction-03.mp4", "sheet-1.png"}


@pytest.mark.usefixtures("no_films")
def test_many_directions_take_several_sheets_and_those_of_before_go(tmp_path: Path) -> None:
    folder = written(tmp_path, torch.eye(3)[torch.arange(21) % 3])
    pictures = folder / "pictures"
    show_directions(folder, Greys(), samples=1)
    heights = {path.name: len(imageio.imread(path)) for path in pictures.glob("sheet-*")}
    assert heights.keys() == {"sheet-1.png", "sheet-2.png"}
    assert heights["sheet-1.png"] - heights["sheet-2.png"] == 64 + 3  # eleven rows and ten
    show_directions(folder, Greys(), only=[0], samples=1)
    assert [path.name for path in pictures.glob("sheet-*")] == ["sheet-1.png"]


@pytest.mark.parametrize("kind", [SignedGreys, NamedRange])
def test_images_from_minus_one_to_one_look_as_those_from_zero(
    shown: Path, tmp_path: Path, kind: type[Greys]
) -> None:
    folder = written(tmp_path, MIXED)
    show_directions(folder, kind(), only=[0], samples=2)
    np.testing.assert_allclose(
        greys(folder / "pictures" / "direction-0.gif", 2),
        greys(shown / "pictures" / "direction-0.gif", 2),
        atol=0.02,
    )


def test_a_guessed_range_is_the_same_for_all_images(tmp_path: Path) -> None:
    """All images of some batches are bright: alone they would be taken for [0, 1]."""
    folder = written(tmp_path, torch.eye(3)[:1])
    show_directions(folder, SignedGreys(), samples=2)
    seen = greys(folder / "pictures" / "direction-0.gif", 2)[:STEPS]
    expected = 0.5 + 0.08 * np.linspace(-5, 5, STEPS)
    np.testing.assert_allclose(seen, np.stack([expected] * 2, 1), atol=0.02)


def test_a_range_is_guessed_by_what_is_dark_in_the_samples_only(tmp_path: Path) -> None:
    """Along the direction, all are bright."""

    def dark_at_the_sample(z: Tensor) -> Tensor:
        start = torch.randn(1, 3, generator=torch.Generator().manual_seed(0))
        dark = (z == start).all(1)[:, None, None, None]
        return torch.where(dark, -0.5, 0.25).expand(-1, 1, 8, 8)

    folder = written(tmp_path, torch.eye(3)[:1])
    show_directions(folder, dark_at_the_sample, samples=1)
    seen = greys(folder / "pictures" / "direction-0.gif", 1)
    np.testing.assert_allclose(seen, (0.25 + 1) / 2, atol=0.02)


def test_each_sample_keeps_its_conditioning_all_the_way(tmp_path: Path) -> None:
    folder = written(tmp_path, torch.eye(2))
    show_directions(folder, Hues(), only=[0], samples=3)
    seen = film(folder / "pictures" / "direction-0.gif")[:, 70, [76, 216, 356]] / 255
    amounts = np.linspace(-5, 5, STEPS)
    bright = 0.5 + 0.08 * np.concatenate([amounts, amounts[-2:0:-1]])
    np.testing.assert_allclose(seen, bright[:, None, None] * np.eye(3), atol=0.03)


@pytest.mark.parametrize(
    ("subspace", "extent"),
    [([0, 4], 2.5), ([4, 8], 3.5), ([8, 12], 8.0), ([0, 12], 5.0), ([1, 4], 5.0), (None, 5.0)],
)
def test_the_usual_extent_in_thirds_of_biggan_is_the_published_one(
    subspace: list[int] | None, extent: float
) -> None:
    network = nets.BigGAN(12, [8, 8, 8], classes=2, embedding=4, attention=8)
    found = Directions(torch.eye(12)[:2], torch.ones(2), "orojar", {"subspace": subspace})
    assert _usual_extent(found, network) == extent
    plain = nets.SimpleGenerator(8, latent_dim=12, width=0.1)
    assert _usual_extent(found, plain) == 5.0


def test_extent_and_seed_are_those_asked_for(tmp_path: Path) -> None:
    folder = written(tmp_path, torch.eye(3)[:1])
    generator = Greys()
    show_directions(folder, generator, extent=2.0, samples=1, seed=5)
    z = torch.randn(1, 3, generator=torch.Generator().manual_seed(5))
    moved = torch.cat(generator.asked[-2:])
    torch.testing.assert_close(moved[:, 0], torch.linspace(-2, 2, STEPS))
    torch.testing.assert_close(moved[:, 1:], z[:, 1:].expand(STEPS, -1))


Spied = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch) -> Spied:
    """Starts to collect what a function of `axiswise.plots` is called with."""

    def start(name: str) -> list[tuple[Any, ...]]:
        seen: list[tuple[Any, ...]] = []
        draw = getattr(plots, name)

        def call(*given: Any) -> Any:
            seen.append(given)
            return draw(*given)

        monkeypatch.setattr(plots, name, call)
        return seen

    return start


@pytest.mark.parametrize("name", ["direction_strip", "direction_sheet"])
def test_strips_and_sheets_show_eleven_steps_from_end_to_end(
    tmp_path: Path, spied: Spied, name: str
) -> None:
    drawn = spied(name)
    show_directions(written(tmp_path, torch.eye(3)[:1]), Greys(), samples=1)
    ((frames, amounts, *_),) = drawn
    np.testing.assert_allclose(amounts, np.arange(-5, 6), atol=1e-9)
    assert frames.shape == (1, 11, 1, 8, 8)
    np.testing.assert_allclose(frames[0, :, 0, 4, 4], 0.5 + 0.08 * np.arange(-5, 6), atol=1e-6)


def test_cosines_are_those_of_the_jacobian_along_the_directions(
    tmp_path: Path, spied: Spied
) -> None:
    """G(z) is linear here, so that its Jacobian along the directions is W Aᵀ."""
    weight = torch.randn(16, 3, generator=torch.Generator().manual_seed(1))
    matrix = torch.tensor([[1.0, 0, 0], [0, 0.6, 0.8]])

    def linear(z: Tensor) -> Tensor:
        return (0.5 + 0.01 * z @ weight.T).reshape(-1, 1, 4, 4)

    a, b = (weight @ matrix.T).T
    expected = float((a @ b).abs() / a.norm() / b.norm())
    drawn = spied("direction_cosines")
    show_directions(written(tmp_path, matrix), linear, samples=2)
    seen = drawn[0][0]
    torch.testing.assert_close(seen[0, 1], torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(seen.diagonal(), torch.ones(2, dtype=torch.float64))


def test_a_black_box_is_differentiated_as_it_was_in_the_search(
    tmp_path: Path, spied: Spied
) -> None:
    def black_box(z: Tensor) -> Tensor:
        """The first latent moves the upper half, the second one both halves."""
        rows = np.stack([z[:, 0] + z[:, 1], z[:, 1]], 1) * 0.01 + 0.5
        return torch.from_numpy(rows.repeat(4, 1).reshape(-1, 1, 2, 4)).float()

    folder = written(tmp_path, torch.eye(2), derivative="finite", epsilon=0.1)
    drawn = spied("direction_cosines")
    show_directions(folder, black_box, samples=2)
    assert float(drawn[0][0][0, 1]) == pytest.approx(0.5**0.5, abs=1e-3)


def test_unknown_importance_is_neither_drawn_nor_mentioned(tmp_path: Path) -> None:
    folder = written(tmp_path, torch.eye(3)[:2], torch.full((2,), torch.nan))
    show_directions(folder, Greys(), samples=1)
    assert entries(folder) == [("0", ""), ("1", "")]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "importance" not in page
    assert 'class="bar"' not in page
    assert not (folder / "pictures" / "importance.png").exists()


def test_large_images_are_made_small_batch_by_batch(tmp_path: Path) -> None:
    class Large(Greys):
        def __call__(self, z: Tensor) -> Tensor:
            return super().__call__(z)[..., :1, :1].expand(-1, 3, 512, 1024)

    folder = written(tmp_path, torch.eye(3)[:1])
    show_directions(folder, Large(), samples=1)
    seen = film(folder / "pictures" / "direction-0.mp4")
    assert seen.shape[2] == 12 + TILE + 12
    expected = 0.5 + 0.08 * np.linspace(-5, 5, STEPS)
    np.testing.assert_allclose(seen[:STEPS, 12 + 32, 76, 0] / 255, expected, atol=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"only": [3]}, r"only must name different directions out of 0…2, got \[3\]"),
        ({"only": [-1]}, r"only must name different directions out of 0…2, got \[-1\]"),
        ({"only": [0, 0]}, r"only must name different directions"),
        ({"only": []}, r"only must name different directions"),
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"extent": 0.0}, "extent must be > 0 and finite, got 0.0"),
        ({"extent": float("nan")}, "extent must be > 0 and finite, got nan"),
        ({"generator": Hues()}, "latent_dim must be the generator's own, 2, got 3"),
        ({"generator": lambda z: z @ z.T}, r"generator must return images \(4, channel, height"),
        (
            {"generator": lambda z: z[:, :2, None, None].sigmoid()},
            "`frames` must have 1 or 3 channels",
        ),
        ({"generator": lambda z: z[:, :1, None, None] / 0}, "generator must return finite images"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    folder = written(tmp_path, torch.eye(3))
    given: dict[str, Any] = {"generator": Greys(), **change}
    with pytest.raises(ValueError, match=message):
        show_directions(folder, **given)
    assert not (folder / "report.html").exists()


def test_several_tensors_are_refused(tmp_path: Path) -> None:
    two: Any = lambda z: (z, z)  # noqa: E731
    with pytest.raises(TypeError, match="generator must return one tensor, got 2"):
        show_directions(written(tmp_path, torch.eye(3)), two)


def test_a_folder_without_directions_or_with_damaged_ones_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        show_directions(tmp_path, Greys())
    folder = written(tmp_path, torch.eye(3))
    (folder / "directions.json").write_text("{}")
    with pytest.raises(UnreadableFileError, match=f"{folder} has no directions"):
        show_directions(folder, Greys())


class Coded(Greys):
    """A decoder whose images had codes around (4, 0, 0), of deviations 3, 1, 1."""

    code_statistics = CodeStatistics([4.0, 0.0, 0.0], [3.0, 1.0, 1.0])
    image_range = (-1.0, 2.0)


def test_directions_of_a_vae_go_over_its_codes(tmp_path: Path) -> None:
    folder = written(tmp_path, torch.eye(3)[:2] * torch.tensor([[2.0], [1.0]]))
    generator = Coded()
    show_directions(folder, generator, samples=1)
    z = torch.cat(generator.asked)
    # Two deviations to either side of the mean, along a row of any length.
    assert (float(z[1:, 0].min()), float(z[1:, 0].max())) == pytest.approx((-2, 10), abs=1e-4)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "over the values that the codes of its data have along the direction" in page
    generator.asked.clear()
    show_directions(folder, generator, samples=1, extent=3)
    z = torch.cat(generator.asked)
    assert float(z[:, 0].max()) == pytest.approx(6)  # 3 rows of length 2
    assert "from −3 on the left to +3 on the right" in (folder / "report.html").read_text()
