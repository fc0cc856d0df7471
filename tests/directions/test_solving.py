"""What the learned methods share, against Gram matrices made one entry at a time in float64."""

import itertools
import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

import axiswise as aw
from axiswise.directions import solving
from axiswise.directions.solving import (
    Moves,
    all_moves,
    check_count,
    check_sampled,
    fresh_steps,
    gram_matrices,
    jacobians,
    jl1_term,
    known_jacobians,
    known_steps,
    learn,
    orojar_term,
    random_rotation,
    some_moves,
)
from axiswise.directions.space import LatentBatch, SearchSpace

LATENT, BATCH = 4, 3
Term = Callable[[Moves], Tensor]
Nets = Callable[..., nn.Module]


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _point(mlp: Nets, batch: int = BATCH, chunk_size: int | None = None) -> LatentBatch:
    net = mlp(LATENT, kind=torch.float64).requires_grad_(False)
    space = SearchSpace(net, LATENT, slice(0, LATENT), chunk_size=chunk_size)
    return LatentBatch(space, torch.randn(batch, LATENT, generator=_rng(1)).double(), {})


def _matrix(rows: int = LATENT) -> Tensor:
    """Neither orthogonal nor of rows of one length, so that nothing holds by chance."""
    return torch.randn(rows, LATENT, generator=_rng(2)).double().requires_grad_()


def _jacobian(point: LatentBatch, sample: int) -> Tensor:
    def image(z: Tensor) -> Tensor:
        return point.space.generator(z[None])[0]

    columns: Tensor = torch.autograd.functional.jacobian(image, point.z[sample])
    return columns


def _exact(term: Term, point: LatentBatch, matrix: Tensor) -> Tensor:
    """The term's definition, entry by entry."""
    total = torch.zeros((), dtype=torch.float64)
    for sample in range(len(point)):
        jacobian = _jacobian(point, sample)
        moves = [jacobian @ row for row in matrix]
        if term is jl1_term:
            total = total + sum(entry.abs() for move in moves for entry in move)
            continue
        for i, first in enumerate(moves):
            for j, second in enumerate(moves):
                total = total + (2 * (first @ second) ** 2 if i != j else 0)
    return total


def _with_gradient(value: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    (gradient,) = torch.autograd.grad(value, matrix)
    return value.detach(), gradient


@pytest.mark.parametrize("term", [orojar_term, jl1_term])
def test_along_all_directions_terms_and_gradients_are_exact(mlp: Nets, term: Term) -> None:
    point, matrix = _point(mlp), _matrix()
    expected = _with_gradient(_exact(term, point, matrix), matrix)
    sampled = _with_gradient(term(some_moves(point, matrix, LATENT, _rng())), matrix)
    whole = _with_gradient(term(all_moves(point.jacobian(), matrix)), matrix)
    torch.testing.assert_close(sampled, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(whole, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("columns", [1, 2, 3])
@pytest.mark.parametrize("term", [orojar_term, jl1_term])
def test_along_some_directions_terms_and_gradients_are_right_on_average(
    mlp: Nets, term: Term, columns: int
) -> None:
    """Over 60 draws with 100 copies of each latent, to four standard errors, which are small."""
    point, matrix, copies, draws = _point(mlp), _matrix(), 100, 60
    many = LatentBatch(point.space, point.z.repeat(copies, 1), {})
    value, gradient = _with_gradient(_exact(term, point, matrix), matrix)
    rng, values, gradients = _rng(), [], []
    for _ in range(draws):
        drawn = _with_gradient(term(some_moves(many, matrix, columns, rng)) / copies, matrix)
        values.append(drawn[0])
        gradients.append(drawn[1])
    for expected, found in ((value, torch.stack(values)), (gradient, torch.stack(gradients))):
        error = found.std(0) / math.sqrt(draws)
        assert float(error.max() / expected.abs().max()) < 0.02
        assert bool(((found.mean(0) - expected).abs() < 4 * error).all())
        assert bool((found.std(0) > 0).any())


def test_terms_are_the_penalties_of_the_turned_generator(mlp: Nets) -> None:
    """Of w ↦ G(z + wA) at w = 0, by the functions that training uses."""
    point, matrix = _point(mlp), _matrix()
    here = torch.zeros(BATCH, LATENT).double()

    def turned(w: Tensor) -> Tensor:
        return point.space.generator(point.z + w @ matrix)

    moved = all_moves(point.jacobian(), matrix)
    for term, penalty in ((orojar_term, aw.orojar_penalty), (jl1_term, aw.jl1_penalty)):
        expected = _with_gradient(BATCH * penalty(turned, here), matrix)
        torch.testing.assert_close(_with_gradient(term(moved), matrix), expected)
        moved = all_moves(point.jacobian(), matrix)


def test_each_latent_moves_along_directions_of_its_own_without_repeats(mlp: Nets) -> None:
    point, matrix = _point(mlp, batch=200), _matrix()
    moved = some_moves(point, matrix, 2, _rng())
    assert moved.index is not None
    assert moved.along is not None
    assert bool((moved.index[0] != moved.index[1]).all())
    assert torch.equal(moved.index.flatten().unique(), torch.arange(LATENT))
    counts = moved.index.flatten().bincount()
    assert int(counts.min()) > 70  # 100 are expected of each
    assert torch.equal(moved.along, matrix[moved.index])
    assert moved.scale == 2
    for k, sample in ((0, 0), (1, 7)):
        expected = _jacobian(point, sample) @ matrix[moved.index[k, sample]]
        torch.testing.assert_close(moved.columns[k, sample], expected)


def test_a_generator_that_records_no_gradients_is_refused(mlp: Nets) -> None:
    net = mlp(LATENT)
    silent = torch.no_grad()(lambda z: net(z))
    point = LatentBatch(SearchSpace(silent, LATENT, slice(0, LATENT)), torch.zeros(1, LATENT), {})
    with pytest.raises(ValueError, match="generator must record gradients"):
        some_moves(point, _matrix().float(), 1, _rng())


class Fixed(nn.Module):
    """A generator that is always asked for at the same latents, one after the other."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.drawn = net, 0

    def sample_latents(self, n: int, _rng: torch.Generator) -> Tensor:
        self.drawn += n
        return self.latents(self.drawn)[-n:]

    def latents(self, n: int) -> Tensor:
        return torch.sin(torch.arange(1.0, 1 + n * LATENT)).double().view(n, LATENT)

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.net(z)
        return images


@pytest.mark.parametrize("chunk_size", [None, 1, 7])
def test_jacobians_and_gram_matrices_are_those_of_the_latents_that_were_drawn(
    mlp: Nets, chunk_size: int | None
) -> None:
    generator = Fixed(mlp(LATENT, kind=torch.float64).requires_grad_(False))
    space = SearchSpace(generator, LATENT, slice(0, LATENT), chunk_size=chunk_size)
    point = LatentBatch(space, generator.latents(21), {})
    expected = torch.stack([_jacobian(point, sample).T for sample in range(21)])
    told: list[tuple[int, int]] = []
    parts = list(jacobians(space, 21, _rng(), lambda done, all_, _: told.append((done, all_))))
    torch.testing.assert_close(torch.cat(parts), expected)
    assert told[-1] == (21, 21)
    generator.drawn = 0
    torch.testing.assert_close(known_jacobians(space, 21, _rng()), expected)
    generator.drawn = 0
    grams = gram_matrices(space, 21, _rng())
    assert grams.dtype == torch.float64
    for sample, columns in enumerate(expected):
        for i in range(LATENT):
            for j in range(LATENT):
                assert float(grams[sample, i, j]) == pytest.approx(float(columns[i] @ columns[j]))


def test_jacobians_that_fill_the_memory_are_refused(
    mlp: Nets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """21 of 4 × 12 float32 are 4032 bytes."""
    space = SearchSpace(mlp(LATENT), LATENT, slice(0, LATENT))
    monkeypatch.setattr(solving, "_GIGABYTES", 4032 / 2**30)
    assert known_jacobians(space, 21, _rng()).shape == (21, LATENT, 12)
    with pytest.raises(ValueError, match=r"samples must be so few .* got 22 of 1.8e-07 GiB each"):
        known_jacobians(space, 22, _rng())


def test_a_step_on_known_jacobians_gives_the_mean_over_those_it_draws(mlp: Nets) -> None:
    """Also where fewer are known than a step wants."""
    point, matrix = _point(mlp, batch=6), _matrix().detach()
    known = point.jacobian()
    each = [float(jl1_term(all_moves(known[i : i + 1], matrix))) for i in range(6)]

    def drawn(batch_size: int) -> float:
        step = known_steps(
            known, lambda moved: {"jl1": jl1_term(moved)}, batch_size=batch_size, rng=_rng()
        )
        (terms,) = step(matrix)
        return float(terms["jl1"])

    assert drawn(6) == drawn(32) == pytest.approx(sum(each) / 6)
    assert any(drawn(1) == pytest.approx(value) for value in each)
    pairs = [(each[i] + each[j]) / 2 for i in range(6) for j in range(i)]
    assert any(drawn(2) == pytest.approx(value) for value in pairs)


@pytest.mark.parametrize("term", [orojar_term, jl1_term])
def test_a_step_on_fresh_latents_is_the_same_in_parts(mlp: Nets, term: Term) -> None:
    matrix, values = _matrix().detach().float().requires_grad_(), []
    for chunk_size in (None, 1, 5):
        space = SearchSpace(mlp(LATENT), LATENT, slice(0, LATENT), chunk_size=chunk_size)
        rng = _rng(3)
        step = fresh_steps(
            space,
            lambda point, rows, rng=rng: {"term": term(some_moves(point, rows, 2, rng))},
            2,
            batch_size=8,
            rng=rng,
        )
        parts = [terms["term"] for terms in step(matrix)]
        assert len(parts) == {None: 1, 1: 8, 5: 4}[chunk_size]
        values.append(_with_gradient(torch.stack(parts).sum(), matrix))
    for other in values[1:]:
        torch.testing.assert_close(other, values[0])


def _pull(target: Tensor) -> Callable[[Tensor], Iterator[dict[str, Tensor]]]:
    def step(matrix: Tensor) -> Iterator[dict[str, Tensor]]:
        yield {"distance": (matrix - target).square().sum()}

    return step


@pytest.mark.parametrize("orthonormal", [True, False])
def test_learning_goes_where_the_terms_are_least_and_keeps_the_rows_as_they_must_be(
    orthonormal: bool,
) -> None:
    angle = torch.tensor(1.0)
    turn = torch.stack([angle.cos(), angle.sin(), -angle.sin(), angle.cos()]).view(2, 2)
    target = turn if orthonormal else torch.tensor([[0.6, 0.8], [1.0, 0.0]])
    figures: list[float] = []

    def note(done: int, steps: int, terms: dict[str, float]) -> None:
        assert (done, steps) == (len(figures) + 1, 300)
        figures.append(terms["distance"])

    rows = learn(
        torch.eye(2),
        _pull(target),
        steps=300,
        learning_rate=0.02,
        orthonormal=orthonormal,
        progress=note,
    )
    torch.testing.assert_close(rows, target, rtol=0, atol=1e-3)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(2))
    assert not rows.requires_grad
    assert figures[0] == pytest.approx(float((torch.eye(2) - target).square().sum()))
    assert figures[-1] < 1e-5


def test_the_learning_rate_falls_to_zero_along_half_a_cosine() -> None:
    """In the plane an Adam step under a steady pull turns by the learning rate."""
    angles: list[float] = []

    def step(matrix: Tensor) -> Iterator[dict[str, Tensor]]:
        angles.append(math.atan2(float(matrix[0, 1].detach()), float(matrix[0, 0].detach())))
        yield {"pull": matrix[0, 0] + matrix[0, 1]}

    learn(torch.eye(2), step, steps=20, learning_rate=1e-3)
    turns = [abs(b - a) for a, b in itertools.pairwise(angles)]
    expected = [1e-3 * (1 + math.cos(math.pi * done / 20)) / 2 for done in range(19)]
    assert turns == pytest.approx(expected, rel=0.02)


def test_terms_in_several_parts_are_summed() -> None:
    target = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    figures: list[dict[str, float]] = []

    def step(matrix: Tensor) -> Iterator[dict[str, Tensor]]:
        for _ in range(4):
            yield {name: (matrix - target).square().sum() / 8 for name in ("a", "b")}

    def note(_done: int, _steps: int, terms: dict[str, float]) -> None:
        figures.append(terms)

    whole = learn(torch.eye(2), _pull(target), steps=5, learning_rate=0.1)
    parts = learn(torch.eye(2), step, steps=5, learning_rate=0.1, progress=note)
    torch.testing.assert_close(parts, whole)
    assert figures[0] == {"a": pytest.approx(2.0), "b": pytest.approx(2.0)}


@pytest.mark.parametrize("orthonormal", [True, False])
def test_learning_leaves_the_start_and_the_global_randomness_as_they_are(
    orthonormal: bool,
) -> None:
    start = torch.eye(3)
    before = torch.get_rng_state()
    rows = learn(
        start,
        _pull(torch.ones(3, 3).triu()),
        steps=3,
        learning_rate=0.1,
        orthonormal=orthonormal,
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(start, torch.eye(3))
    assert not torch.equal(rows, start)


def test_learning_refuses_numbers_out_of_range_and_terms_that_are_none() -> None:
    def run(steps: int = 1, learning_rate: float = 0.1, target: float = 0.0) -> Tensor:
        return learn(
            torch.eye(2),
            _pull(torch.full((2, 2), target)),
            steps=steps,
            learning_rate=learning_rate,
        )

    with pytest.raises(ValueError, match="steps must be an integer at least 1, got 0"):
        run(steps=0)
    for bad in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match=f"learning_rate must be > 0, got {bad}"):
            run(learning_rate=bad)
    with pytest.raises(ValueError, match=r"must give finite terms, got \{'distance': inf\} in s"):
        run(target=math.inf)


def test_a_random_rotation_is_orthogonal_and_all_are_equally_likely() -> None:
    """Entries of a uniformly random one have mean 0 and mean square 1/n; half are reflections."""
    rng = _rng(4)
    drawn = torch.stack([random_rotation(3, rng) for _ in range(4000)])
    torch.testing.assert_close(drawn @ drawn.mT, torch.eye(3).expand_as(drawn))
    assert float(drawn.mean(0).abs().max()) < 0.04
    torch.testing.assert_close(drawn.square().mean(0), torch.full((3, 3), 1 / 3), rtol=0, atol=0.03)
    assert float((torch.linalg.det(drawn) > 0).float().mean()) == pytest.approx(0.5, abs=0.04)


def test_counts_are_checked_by_name() -> None:
    check_count("things", 1)
    check_count("things", 3, 3)
    for bad in (0, -1, 2.0):
        with pytest.raises(ValueError, match=f"things must be an integer at least 1, got {bad}"):
            check_count("things", bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="things must be an integer between 1 and 3, got 4"):
        check_count("things", 4, 3)


def test_sampled_directions_are_refused_where_they_cannot_be_had(mlp: Nets) -> None:
    check_sampled(SearchSpace(mlp(), LATENT, slice(1, 3)), 2)
    for bad in (0, 3):
        with pytest.raises(ValueError, match=f"columns must be .* between 1 and 2, got {bad}"):
            check_sampled(SearchSpace(mlp(), LATENT, slice(1, 3)), bad)
    with pytest.raises(ValueError, match="derivative must be 'forward'"):
        check_sampled(SearchSpace(mlp(), LATENT, slice(1, 3), "finite"), 1)
