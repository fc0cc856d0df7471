"""The matrix that a search returns: applied, cut, saved and read; and the published files."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

import axiswise as aw
from axiswise.directions import Directions, load_published
from axiswise.directions.directions import MATRIX, SETTINGS, orthonormalized, with_fixed_signs
from axiswise.support.files import UnreadableFileError

LATENT = 5


def _rows(count: int = 3, latents: int = LATENT, seed: int = 1) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(latents, latents, generator=rng)).Q[:count].contiguous()


def _found(count: int = 3) -> Directions:
    importance = torch.arange(1.0, 1 + count).flip(0)
    return Directions(_rows(count), importance, "jl1", {"seed": 4, "layer": None, "z": [0.1, 2]})


def _latents(batch: int = 4) -> Tensor:
    return torch.randn(batch, LATENT, generator=torch.Generator().manual_seed(2))


def test_apply_goes_the_amount_along_one_row_and_along_no_other() -> None:
    found, z = _found(), _latents()
    moved = found.apply(z, 1, -2.5)
    for sample in range(4):
        step = moved[sample] - z[sample]
        assert [float(step @ row) for row in found.matrix] == pytest.approx([0, -2.5, 0], abs=1e-5)
        assert float(step.norm()) == pytest.approx(2.5, rel=1e-5)
    each = found.apply(z, 2, torch.tensor([0.0, 1.0, -1.0, 3.0]))
    along = [float((each[i] - z[i]) @ found.matrix[2]) for i in range(4)]
    assert along == pytest.approx([0, 1, -1, 3], abs=1e-5)


def test_apply_keeps_the_type_of_the_latents_and_is_differentiable_in_the_amount() -> None:
    found, amount = _found(), torch.tensor(1.5, requires_grad=True)
    moved = found.apply(_latents().double(), 0, amount)
    assert moved.dtype == torch.float64
    (slope,) = torch.autograd.grad(moved[0, 3], amount)
    assert float(slope) == pytest.approx(float(found.matrix[0, 3]))


def test_apply_refuses_what_does_not_fit_by_name() -> None:
    found = _found()
    for bad in (torch.zeros(2, 4), torch.zeros(5), torch.zeros(1, 5).long()):
        with pytest.raises(ValueError, match=r"z must be \(batch, 5\), floating, got "):
            found.apply(bad, 0, 1.0)
    for index in (-1, 3):
        with pytest.raises(IndexError, match=f"index must be between 0 and 2, got {index}"):
            found.apply(_latents(), index, 1.0)
    with pytest.raises(ValueError, match=r"amount must be a number or \(4,\), got shape \(3,\)"):
        found.apply(_latents(), 0, torch.ones(3))


def test_traversals_start_without_the_component_and_go_from_end_to_end() -> None:
    found, z = _found(), _latents()
    walked = found.traverse(z, extent=3.0, steps=7)
    assert walked.shape == (4, 3, 7, LATENT)
    for sample in range(4):
        for k, row in enumerate(found.matrix):
            amounts = [float(place @ row) for place in walked[sample, k]]
            assert amounts == pytest.approx([-3, -2, -1, 0, 1, 2, 3], abs=1e-5)
            rest = z[sample] - (z[sample] @ row) * row
            for place in walked[sample, k]:
                torch.testing.assert_close(place - (place @ row) * row, rest, rtol=0, atol=1e-5)


def test_traversals_that_are_not_centred_start_where_the_latents_are() -> None:
    found, z = _found(), _latents()
    walked = found.traverse(z, [2, 0], extent=1.0, steps=3, centre=False)
    assert walked.shape == (4, 2, 3, LATENT)
    for k, index in enumerate((2, 0)):
        torch.testing.assert_close(walked[:, k, 1], z)
        torch.testing.assert_close(walked[:, k, 0], found.apply(z, index, -1.0))
        torch.testing.assert_close(walked[:, k, 2], found.apply(z, index, 1.0))
    assert found.traverse(z).shape == (4, 3, 11, LATENT)
    torch.testing.assert_close(found.traverse(z)[:, 0, -1] @ found.matrix[0], torch.full((4,), 5.0))


def test_traversals_refuse_numbers_out_of_range_by_name() -> None:
    found = _found()
    for extent in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="extent must be > 0"):
            found.traverse(_latents(), extent=extent)
    with pytest.raises(ValueError, match="steps must be at least 2, got 1"):
        found.traverse(_latents(), steps=1)
    with pytest.raises(IndexError, match="index must be between 0 and 2, got 3"):
        found.traverse(_latents(), [0, 3])
    with pytest.raises(ValueError, match=r"z must be \(batch, 5\)"):
        found.traverse(torch.zeros(1, 6))


def test_restrict_keeps_the_first_or_the_named_in_their_order() -> None:
    found = _found()
    for indices, expected in ((2, [0, 1]), ([2, 0], [2, 0]), (range(1, 3), [1, 2])):
        some = found.restrict(indices)
        assert torch.equal(some.matrix, found.matrix[expected])
        assert torch.equal(some.importance, found.importance[expected])
        assert (some.method, some.settings) == (found.method, found.settings)
        assert len(some) == len(expected)
        assert some.latent_dim == LATENT


def test_restrict_refuses_none_and_twice_and_what_is_not_there() -> None:
    for nothing in (0, [], -1):
        with pytest.raises(ValueError, match="indices must name different directions, got "):
            _found().restrict(nothing)
    with pytest.raises(ValueError, match=r"indices must name different directions, got \[1, 1\]"):
        _found().restrict([1, 1])
    with pytest.raises(IndexError, match="index must be between 0 and 2, got 3"):
        _found().restrict(4)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_what_was_saved_is_read_bit_for_bit(tmp_path: Path, kind: torch.dtype) -> None:
    found = Directions(
        _rows().to(kind), torch.rand(3), "orojar+jl1", {"seed": 0, "x": [1, 2.5]}, "u"
    )
    found.save(tmp_path / "new" / "folder")
    read = Directions.load(tmp_path / "new" / "folder")
    assert read.matrix.dtype == kind
    assert torch.equal(read.matrix, found.matrix)
    assert torch.equal(read.importance, found.importance)
    assert (read.method, dict(read.settings)) == ("orojar+jl1", {"seed": 0, "x": [1, 2.5]})
    assert read.importance_unit == "u"
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [
        SETTINGS,
        MATRIX,
    ]


def test_saving_replaces_what_was_there_and_writes_nothing_where_settings_are_no_json(
    tmp_path: Path,
) -> None:
    _found().save(tmp_path)
    _found(2).save(tmp_path)
    assert len(Directions.load(tmp_path)) == 2
    bad = Directions(_rows(4), torch.ones(4), "jl1", {"layer": torch.nn.Linear(1, 1)})
    with pytest.raises(TypeError, match="not JSON serializable"):
        bad.save(tmp_path)
    assert len(Directions.load(tmp_path)) == 2


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=MATRIX):
        Directions.load(tmp_path)
    _found().save(tmp_path)
    (tmp_path / SETTINGS).unlink()
    with pytest.raises(FileNotFoundError, match=SETTINGS):
        Directions.load(tmp_path)


def _tensors(**tensors: Tensor) -> bytes:
    return save({"matrix": _rows(), "importance": torch.ones(3)} | tensors)


def _about(**entries: object) -> bytes:
    about = {"method": "jl1", "settings": {}, "importance_unit": "u"} | entries
    return json.dumps({name: value for name, value in about.items() if value != "absent"}).encode()


DAMAGED = {
    "empty": (MATRIX, b""),
    "a pickle": (MATRIX, pickle.dumps({"matrix": [1.0]})),
    "without importance": (MATRIX, save({"matrix": _rows()})),
    "without matrix": (MATRIX, save({"importance": torch.ones(3)})),
    "integers": (MATRIX, _tensors(matrix=torch.eye(3).long())),
    "a row of zeros": (MATRIX, _tensors(matrix=torch.diag(torch.tensor([1.0, 1.0, 0.0])))),
    "not finite": (MATRIX, _tensors(matrix=torch.full((3, 5), torch.nan))),
    "too little importance": (MATRIX, _tensors(importance=torch.ones(2))),
    "one axis": (MATRIX, _tensors(matrix=torch.ones(3))),
    "no rows": (MATRIX, save({"matrix": torch.ones(0, 3), "importance": torch.ones(0)})),
    "a type that cannot be computed with": (
        MATRIX,
        _tensors(matrix=torch.eye(3).to(torch.float8_e4m3fn)),
    ),
    "no JSON": (SETTINGS, b"{"),
    "no text": (SETTINGS, b"\xff\xfe\x00"),
    "a list": (SETTINGS, b"[]"),
    "a number": (SETTINGS, b"5"),
    "endless brackets": (SETTINGS, b"[" * 100_000),
    "without method": (SETTINGS, _about(method="absent")),
    "without unit": (SETTINGS, _about(importance_unit="absent")),
    "settings that are none": (SETTINGS, _about(settings=[1])),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_refused_with_its_folder(tmp_path: Path, name: str) -> None:
    _found().save(tmp_path)
    file, content = DAMAGED[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(UnreadableFileError, match=f"{tmp_path} has no directions of axiswise"):
        Directions.load(tmp_path)


def test_whatever_is_cut_off_a_file_is_noticed(tmp_path: Path) -> None:
    _found().save(tmp_path)
    for file in (MATRIX, SETTINGS):
        whole = (tmp_path / file).read_bytes()
        for length in range(0, len(whole) - 2, 7):
            (tmp_path / file).write_bytes(whole[:length])
            with pytest.raises(UnreadableFileError):
                Directions.load(tmp_path)
        (tmp_path / file).write_bytes(whole)


class Malicious:
    """A pickle that makes a folder when it is read."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Callable[..., int], tuple[str]]:
        return os.system, (f"mkdir {self.made}",)


def _malicious(path: Path, kind: str) -> Path:
    """A file whose reading by pickle, and by nothing else, makes the folder that is returned."""
    made = path.parent / "made"
    content: dict[str, object] = {
        "alone": Malicious(made),
        "with a matrix": [torch.eye(4), Malicious(made)],
    }
    if kind == "bare":
        path.write_bytes(pickle.dumps(Malicious(made), protocol=2))
    else:
        torch.save(content[kind], path)
    return made


@pytest.mark.parametrize("kind", ["alone", "with a matrix", "bare"])
def test_a_malicious_pickle_offered_as_directions_is_refused_and_not_run(
    tmp_path: Path, kind: str
) -> None:
    made = _malicious(tmp_path / "directions.pt", kind)
    with pytest.raises(
        UnreadableFileError, match=r"directions\.pt is damaged, or contains something"
    ):
        load_published(tmp_path / "directions.pt")
    _found().save(tmp_path)
    for file in (MATRIX, SETTINGS):
        _found().save(tmp_path)
        (tmp_path / file).write_bytes((tmp_path / "directions.pt").read_bytes())
        with pytest.raises(UnreadableFileError):
            Directions.load(tmp_path)
    assert not made.exists()
    if kind != "bare":  # the payload does work where it is let
        torch.load(tmp_path / "directions.pt", weights_only=False)
        assert made.exists()


def _gram_schmidt(matrix: Tensor) -> list[Tensor]:
    rows: list[Tensor] = []
    for row in matrix.double():
        for before in rows:
            row = row - (row @ before) * before
        rows.append(row / (row @ row).sqrt())
    return rows


@pytest.mark.parametrize(
    ("size", "start"), [(120, 0), (40, 0), (40, 40), (40, 80)], ids=["all", "coarse", "mid", "fine"]
)
def test_published_files_are_made_orthonormal_row_after_row_and_filled_up(
    tmp_path: Path, size: int, start: int
) -> None:
    rng = torch.Generator().manual_seed(size)
    published = torch.eye(size) + 0.1 * torch.randn(size, size, generator=rng)
    torch.save(published, tmp_path / "A.pt")
    found = load_published(tmp_path / "A.pt", start=start)
    assert found.matrix.shape == (size, 120)
    own = found.matrix[:, start : start + size]
    expected = torch.stack(_gram_schmidt(published))
    torch.testing.assert_close(own.double(), expected, rtol=0, atol=1e-6)
    assert bool((found.matrix[:, :start] == 0).all())
    assert bool((found.matrix[:, start + size :] == 0).all())
    assert bool(found.importance.isnan().all())
    assert found.method == "published"
    assert dict(found.settings) == {"file": "A.pt", "subspace": [start, start + size]}
    found.save(tmp_path / "folder")
    assert torch.equal(Directions.load(tmp_path / "folder").matrix, found.matrix)


def test_published_files_may_hold_fewer_rows_and_parameters(tmp_path: Path) -> None:
    torch.save(torch.nn.Parameter(_rows(2).double() * 3), tmp_path / "A.pt")
    found = load_published(tmp_path / "A.pt", latent_dim=6, start=1)
    torch.testing.assert_close(found.matrix[:, 1:], _rows(2))
    assert found.matrix.dtype == torch.float32
    assert not found.matrix.requires_grad


@pytest.mark.parametrize(
    "content",
    [
        {"A": torch.eye(4)},
        [torch.eye(4)],
        torch.eye(4).long(),
        torch.eye(4, dtype=torch.complex64),
        torch.eye(4).to_sparse(),
        torch.ones(4),
        torch.ones(6, 4),
        torch.ones(0, 4),
        torch.ones(3, 4),
        torch.full((2, 4), torch.inf),
        "text",
    ],
    ids=lambda content: str(getattr(content, "shape", content))[:20],
)
def test_published_files_that_hold_something_else_are_refused_by_name(
    tmp_path: Path, content: object
) -> None:
    torch.save(content, tmp_path / "A.pt")
    with pytest.raises(UnreadableFileError, match=r"A\.pt .*has something else"):
        load_published(tmp_path / "A.pt", latent_dim=4)


@pytest.mark.parametrize("modern", [True, False])
def test_published_files_that_are_cut_off_are_refused(tmp_path: Path, modern: bool) -> None:
    torch.save(_rows(), tmp_path / "A.pt", _use_new_zipfile_serialization=modern)
    whole = (tmp_path / "A.pt").read_bytes()
    for length in range(0, len(whole) - 1, 29):
        (tmp_path / "A.pt").write_bytes(whole[:length])
        with pytest.raises(UnreadableFileError):
            load_published(tmp_path / "A.pt", latent_dim=LATENT)
    with pytest.raises(FileNotFoundError):
        load_published(tmp_path / "B.pt")


def test_published_files_that_do_not_fit_the_generator_are_refused(tmp_path: Path) -> None:
    torch.save(torch.eye(40), tmp_path / "A.pt")
    for start in (81, -1):
        with pytest.raises(ValueError, match=f"start must leave room for 40 of 120 .*got {start}"):
            load_published(tmp_path / "A.pt", start=start)
    with pytest.raises(ValueError, match="start must leave room for 40 of 30 latents, got 0"):
        load_published(tmp_path / "A.pt", latent_dim=30)


def test_orthonormal_rows_are_those_of_gram_and_schmidt_and_dependent_ones_are_refused() -> None:
    matrix = torch.randn(3, LATENT, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    found = orthonormalized(matrix)
    torch.testing.assert_close(found, torch.stack(_gram_schmidt(matrix)))
    torch.testing.assert_close(orthonormalized(found), found)
    with pytest.raises(ValueError, match="matrix must have independent rows"):
        orthonormalized(torch.cat([matrix, matrix[:1] + matrix[1:2]]))


def test_signs_are_fixed_by_the_largest_entry_without_negative_zeros() -> None:
    rows = torch.tensor([[0.0, -2.0, 1.0], [3.0, -1.0, 0.0]])
    fixed = with_fixed_signs(rows)
    assert fixed.tolist() == [[0.0, 2.0, -1.0], [3.0, -1.0, 0.0]]
    assert not bool(fixed.signbit()[fixed == 0].any())
    assert torch.equal(with_fixed_signs(-rows), fixed)


@pytest.mark.parametrize(
    ("matrix", "importance", "message"),
    [
        (torch.ones(3), torch.ones(3), r"matrix must be \(direction, latent\), floating"),
        (torch.ones(2, 0), torch.ones(2), r"matrix must be \(direction, latent\), floating"),
        (torch.eye(2).int(), torch.ones(2), r"matrix must be .*got \(2, 2\), torch.int32"),
        (torch.zeros(1, 2), torch.ones(1), "matrix must be finite, with no row of zeros"),
        (torch.full((1, 2), torch.inf), torch.ones(1), "matrix must be finite"),
        (torch.eye(2), torch.ones(3), r"importance must have one .* the 2 directions, got \(3,\)"),
    ],
)
def test_what_is_no_matrix_of_directions_is_refused(
    matrix: Tensor, importance: Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        aw.Directions(matrix, importance, "random")
