"""What the learned methods share, against Gram matrices made one entry at a time in float64."""

import itertools
import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from axiswise.directions import solving
from axiswise.directions.solving import (
    check_count,
    drawn_directions,
    fresh_steps,
    gram_matrices,
    jacobians,
    known_jacobians,
    known_steps,
    learn,
    random_rotation,
)
from axiswise.directions.space import LatentBatch, SearchSpace
from axiswise.jacobian import JacobianOperator, KnownJacobian
from axiswise.penalties import jl1_penalty, orojar_penalty

LATENT, BATCH = 4, 3
Nets = Callable[..., nn.Module]


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _batch(mlp: Nets, count: int = BATCH) -> LatentBatch:
    net = mlp(LATENT, kind=torch.float64).requires_grad_(False)
    space = SearchSpace(net, LATENT, slice(0, LATENT))
    return LatentBatch(space, torch.randn(count, LATENT, generator=_rng(1)).double(), {})


def _matrix() -> Tensor:
    """Neither orthogonal nor of rows of one length, so that no equality is by chance."""
    return torch.randn(LATENT, LATENT, generator=_rng(2)).double().requires_grad_()


def _jacobian(batch: LatentBatch, sample: int) -> Tensor:
    def image(z: Tensor) -> Tensor:
        return batch.space.generator(z[None])[0]

    columns: Tensor = torch.autograd.functional.jacobian(image, batch.z[sample])
    return columns


def _exact(name: str, batch: LatentBatch, matrix: Tensor) -> Tensor:
    """The penalty's definition, entry by entry, mean over the batch."""
    total = torch.zeros((), dtype=torch.float64)
    for sample in range(len(batch)):
        changes = [_jacobian(batch, sample) @ row for row in matrix]
        if name == "jl1":
            total = total + sum(entry.abs() for change in changes for entry in change)
            continue
        for i, first in enumerate(changes):
            for j, second in enumerate(changes):
                total = total + (2 * (first @ second) ** 2 if i != j else 0)
    return total / len(batch)


def _with_gradient(value: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    (gradient,) = torch.autograd.grad(value, matrix)
    return value.detach(), gradient


def _sampled(name: str, along: JacobianOperator, index: Tensor) -> Tensor:
    if name == "jl1":
        return jl1_penalty(along, columns=index, reduction=None)
    return orojar_penalty(along, columns=index, all_pairs=True, reduction=None)


def _terms(
    name: str, columns: int, rng: torch.Generator
) -> Callable[[JacobianOperator], dict[str, Tensor]]:
    return lambda along: {"term": _sampled(name, along, drawn_directions(along, columns, rng))}


@pytest.mark.parametrize("name", ["orojar", "jl1"])
def test_penalties_along_directions_and_their_gradients_are_exact(mlp: Nets, name: str) -> None:
    """Of columns at hand, and sampled: on average over all choices, by enumeration."""
    batch, matrix = _batch(mlp), _matrix()
    penalty = jl1_penalty if name == "jl1" else orojar_penalty
    expected = _with_gradient(_exact(name, batch, matrix), matrix)
    known = _with_gradient(penalty(KnownJacobian(batch.columns()).along(matrix)), matrix)
    torch.testing.assert_close(known, expected, rtol=1e-10, atol=1e-12)
    for columns in range(1, LATENT + 1):
        choices = itertools.combinations(range(LATENT), columns)
        values = [
            _sampled(name, batch.jacobian.along(matrix), torch.tensor(choice)).mean()
            for choice in choices
        ]
        mean = _with_gradient(torch.stack(values).mean(), matrix)
        torch.testing.assert_close(mean, expected, rtol=1e-10, atol=1e-12)


def test_each_latent_has_directions_of_its_own_without_repeats(mlp: Nets) -> None:
    along = _batch(mlp, 200).jacobian.along(_matrix())
    index = drawn_directions(along, 2, _rng())
    assert bool((index[:, 0] != index[:, 1]).all())
    counts = index.flatten().bincount()
    assert len(counts) == LATENT
    assert int(counts.min()) > 70  # 100 are expected of each
    whole = drawn_directions(along, LATENT, _rng()).sort(1).values
    assert torch.equal(whole, torch.arange(LATENT).expand(200, -1))


@pytest.mark.parametrize("name", ["orojar", "jl1"])
def test_a_generator_that_records_no_gradients_is_refused(mlp: Nets, name: str) -> None:
    net = mlp(LATENT)
    space = SearchSpace(torch.no_grad()(lambda z: net(z)), LATENT, slice(0, LATENT))
    step = fresh_steps(space, _terms(name, 1, _rng()), 1, batch_size=2, rng=_rng())
    with pytest.raises(ValueError, match="generator must record gradients"):
        list(step(_matrix().float()))


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
    batch = LatentBatch(space, generator.latents(21), {})
    expected = torch.stack([_jacobian(batch, sample).T for sample in range(21)])
    reported: list[tuple[int, int]] = []
    parts = list(jacobians(space, 21, _rng(), lambda done, all_, _: reported.append((done, all_))))
    torch.testing.assert_close(torch.cat(parts), expected)
    assert reported[-1] == (21, 21)
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
    batch, matrix = _batch(mlp, 6), _matrix().detach()
    known = batch.columns()
    each = jl1_penalty(KnownJacobian(known).along(matrix), reduction=None).tolist()

    def drawn(batch_size: int) -> float:
        def terms(along: JacobianOperator) -> dict[str, Tensor]:
            return {"jl1": jl1_penalty(along, reduction=None)}

        (found,) = known_steps(known, terms, batch_size=batch_size, rng=_rng())(matrix)
        return float(found["jl1"])

    assert drawn(6) == drawn(32) == pytest.approx(sum(each) / 6)
    assert any(drawn(1) == pytest.approx(value) for value in each)
    pairs = [(each[i] + each[j]) / 2 for i in range(6) for j in range(i)]
    assert any(drawn(2) == pytest.approx(value) for value in pairs)


@pytest.mark.parametrize("name", ["orojar", "jl1"])
def test_a_step_on_fresh_latents_is_the_same_in_parts(mlp: Nets, name: str) -> None:
    matrix, values = _matrix().detach().float().requires_grad_(), []
    for chunk_size in (None, 1, 5):
        space = SearchSpace(mlp(LATENT), LATENT, slice(0, LATENT), chunk_size=chunk_size)
        rng = _rng(3)
        step = fresh_steps(space, _terms(name, 2, rng), 2, batch_size=8, rng=rng)
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
    with pytest.raises(
        ValueError,
        match=r"must have finite terms and gradients, got \{'distance': inf\} and inf in s",
    ):
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
