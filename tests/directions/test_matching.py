"""Matching against every permutation."""

import itertools

import pytest
import torch
from torch import Tensor

import axiswise as aw


def _rows(count: int, latents: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, latents, generator=rng, dtype=torch.float64)


def _cosine(a: Tensor, b: Tensor) -> float:
    return abs(float(a @ b)) / float((a @ a).sqrt() * (b @ b).sqrt())


@pytest.mark.parametrize(("found", "true"), [(4, 4), (5, 3), (3, 5), (1, 4)])
def test_no_other_assignment_scores_more(found: int, true: int) -> None:
    a, b = _rows(found, 6, 1), _rows(true, 6, 2)
    matched = aw.match_directions(a, b)
    pairs = min(found, true)
    if found >= true:
        tries = (
            [(f, t) for t, f in enumerate(p)] for p in itertools.permutations(range(found), pairs)
        )
    else:
        tries = (
            [(f, t) for f, t in enumerate(p)] for p in itertools.permutations(range(true), pairs)
        )
    best = max(sum(_cosine(a[f], b[t]) for f, t in each) for each in tries)
    assert float(matched.scores.sum()) == pytest.approx(best, rel=1e-12)
    assert len(set(matched.found.tolist())) == len(set(matched.true.tolist())) == pairs
    assert matched.true.tolist() == sorted(matched.true.tolist())
    own = [_cosine(a[f], b[t]) for f, t in zip(matched.found, matched.true, strict=True)]
    torch.testing.assert_close(matched.scores, torch.tensor(own).double())
    assert float(matched) == matched.mean == pytest.approx(best / pairs)


def test_signs_lengths_and_order_do_not_count() -> None:
    true = torch.linalg.qr(_rows(5, 5, 3)).Q
    order = [3, 0, 4, 2, 1]
    signs = torch.tensor([-1.0, 2.0, -0.1, 1.0, -7.0]).double()
    matched = aw.match_directions(true[order] * signs[:, None], true)
    assert [order[f] for f in matched.found.tolist()] == matched.true.tolist() == list(range(5))
    torch.testing.assert_close(matched.scores, torch.ones(5).double())
    assert bool((matched.scores <= 1).all())


def test_directions_and_matrices_of_any_type_are_the_same_to_it() -> None:
    matrix = torch.linalg.qr(_rows(4, 4, 4)).Q.float()
    found = aw.Directions(matrix, torch.ones(4), "coordinates")
    other = _rows(4, 4, 5)
    by_matrix = aw.match_directions(matrix.double(), other)
    by_directions = aw.match_directions(found, other.requires_grad_())
    assert torch.equal(by_matrix.scores, by_directions.scores)
    assert not by_directions.scores.requires_grad


def test_what_cannot_be_matched_is_refused_by_name() -> None:
    good = torch.eye(3)
    for bad in (torch.zeros(2, 3), torch.full((2, 3), torch.nan)):
        with pytest.raises(ValueError, match="found must be finite, with no row of zeros"):
            aw.match_directions(bad, good)
    with pytest.raises(ValueError, match=r"true must be \(direction, latent\), got \(3,\)"):
        aw.match_directions(good, torch.ones(3))
    with pytest.raises(ValueError, match=r"true must be \(direction, latent\), got \(0, 3\)"):
        aw.match_directions(good, torch.ones(0, 3))
    with pytest.raises(ValueError, match="found and true must have the same latents, got 3 and 4"):
        aw.match_directions(good, torch.eye(4))
