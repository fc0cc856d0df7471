"""What the learned methods share: directions as rows of a matrix A that Adam turns.

At w = 0 the Jacobian of w ↦ G(z + wA) is that of G at z, times Aᵀ, so what is differentiated does
not depend on A. Either it is taken once, for latents that are drawn before the first step; or each
step draws its own and moves them along a few of the directions, which costs less than all columns
where there are many.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from axiswise.directions.space import LatentBatch, SearchSpace
from axiswise.jacobian import gram
from axiswise.penalties import orthogonality
from axiswise.support.progress import Progress, no_progress

_AT_ONCE = 16  # latents whose Jacobians are taken at once
_GIGABYTES = 4  # that Jacobians may fill


@dataclass(frozen=True, eq=False)
class Moves:
    """What moving latents along some of the directions does to their images.

    Attributes:
        matrix: All directions, (direction, size).
        index: Which are moved along, (k, batch); None for all of them.
        along: The rows of these, (k, batch, size); None for all of them.
        columns: The change of the images, (k, batch, output), differentiable in the matrix.
    """

    matrix: Tensor
    index: Tensor | None
    along: Tensor | None
    columns: Tensor

    @property
    def scale(self) -> float:
        """What sums over the moved directions are multiplied by to be sums over all."""
        return len(self.matrix) / len(self.columns)


def all_moves(jacobian: Tensor, matrix: Tensor) -> Moves:
    """Move latents along all directions.

    Args:
        jacobian: Of the generator, (batch, size, output).
        matrix: Directions, (direction, size).

    Returns:
        What it does.
    """
    columns = torch.einsum("ds,bso->dbo", matrix.to(jacobian), jacobian)
    return Moves(matrix, None, None, columns)


def some_moves(batch: LatentBatch, matrix: Tensor, columns: int, rng: torch.Generator) -> Moves:
    """Move latents along some of the directions, drawn at random for each.

    Args:
        batch: The latents.
        matrix: Directions, (direction, size).
        columns: How many for each.
        rng: Source of randomness.

    Returns:
        What it does.

    Raises:
        ValueError: If the generator records no gradients.
    """
    chances = torch.rand(len(batch), len(matrix), generator=rng, device=rng.device)
    index = chances.topk(columns, dim=1).indices.T.to(matrix.device)
    along = matrix[index]
    return Moves(matrix, index, along, recorded(batch.products(along)))


def recorded(derived: Tensor) -> Tensor:
    """Refuse derivatives that cannot be differentiated once more.

    Args:
        derived: What was made of probes by a generator.

    Returns:
        It.

    Raises:
        ValueError: If it has no way back to the probes.
    """
    if not derived.requires_grad:
        raise ValueError(
            "generator must record gradients where directions are learned from fresh latents, but "
            "does not: call it without torch.no_grad() and .detach()"
        )
    return derived


def orojar_term(moved: Moves) -> Tensor:
    """OroJaR, 2·Σ_{i≠j} (a_iᵀ JᵀJ a_j)², summed over the latents (arXiv 2108.07668).

    Where only some directions j were moved along, one backward pass through the generator gives
    JᵀJ a_j and with it the products of column j with all others. The sum over i ≠ j of these k
    columns, scaled up, has the right expectation; its gradient is taken by way of a_i alone and
    doubled, which by the symmetry of i and j has the right expectation too.

    Args:
        moved: What moving along directions does.

    Returns:
        A scalar ≥ 0.
    """
    if moved.index is None or moved.along is None:
        return orthogonality(moved.columns.transpose(0, 1)).sum()
    (pulled,) = torch.autograd.grad(moved.columns, moved.along, moved.columns.detach())
    products = pulled @ moved.matrix.T  # (k, batch, direction)
    others = products.scatter(2, moved.index[..., None], 0)
    value = 2 * moved.scale * others.square().sum()
    return 2 * value - value.detach()  # the value, and twice its gradient


def jl1_term(moved: Moves) -> Tensor:
    """JL1, Σ_i ‖J a_i‖₁, summed over the latents (arXiv 2106.02923).

    Args:
        moved: What moving along directions does.

    Returns:
        A scalar ≥ 0.
    """
    return moved.scale * moved.columns.abs().sum()


# What a step minimises: terms by name, summed over latents, or averaged over a batch.
Terms = dict[str, Tensor]


def jacobians(
    space: SearchSpace, samples: int, rng: torch.Generator, progress: Progress = no_progress
) -> Iterator[Tensor]:
    """Jacobians at latents drawn at random, a part at a time.

    Args:
        space: What is searched.
        samples: Number of latents, ≥ 1.
        rng: Source of randomness.
        progress: Called with latents done and latents in all.

    Yields:
        (batch, size, output).

    Raises:
        ValueError: If samples is out of range.
    """
    check_count("samples", samples)
    done = 0
    while done < samples:
        for batch in space.batches(min(_AT_ONCE, samples - done), space.size, rng):
            yield batch.jacobian()
            done += len(batch)
            progress(done, samples, {})


def gram_matrices(
    space: SearchSpace, samples: int, rng: torch.Generator, progress: Progress = no_progress
) -> Tensor:
    """Gram matrices JᵀJ at latents drawn at random.

    Args:
        space: What is searched.
        samples: Number of latents, ≥ 1.
        rng: Source of randomness.
        progress: Called with latents done and latents in all.

    Returns:
        (samples, size, size), float64.

    Raises:
        ValueError: If samples is out of range.
    """
    return torch.cat([gram(part.double()) for part in jacobians(space, samples, rng, progress)])


def known_jacobians(
    space: SearchSpace, samples: int, rng: torch.Generator, progress: Progress = no_progress
) -> Tensor:
    """Jacobians at latents drawn at random, all held at once.

    Args:
        space: What is searched.
        samples: Number of latents, ≥ 1.
        rng: Source of randomness.
        progress: Called with latents done and latents in all.

    Returns:
        (samples, size, output).

    Raises:
        ValueError: If samples is out of range, or so many would fill the memory.
    """
    parts = []
    for part in jacobians(space, samples, rng, progress):
        gigabytes = samples * part[0].numel() * part.element_size() / 2**30
        if gigabytes > _GIGABYTES:
            raise ValueError(
                f"samples must be so few that their Jacobians fit into {_GIGABYTES} GiB, got "
                f"{samples} of {gigabytes / samples:.2g} GiB each"
            )
        parts.append(part)
    return torch.cat(parts)


def known_steps(
    known: Tensor, terms: Callable[[Moves], Terms], *, batch_size: int, rng: torch.Generator
) -> Callable[[Tensor], Iterator[Terms]]:
    """Steps on Jacobians that are at hand.

    Args:
        known: (samples, size, output).
        terms: What is minimised, summed over the latents that were moved.
        batch_size: How many a step sees, drawn without repetition; all if there are fewer.
        rng: Source of randomness.

    Returns:
        What `learn` takes.

    Raises:
        ValueError: If batch_size is out of range.
    """
    check_count("batch_size", batch_size)

    def step(matrix: Tensor) -> Iterator[Terms]:
        chosen = torch.randperm(len(known), generator=rng, device=rng.device)[:batch_size]
        yield _shares(terms(all_moves(known[chosen.to(known.device)], matrix)), len(chosen))

    return step


def fresh_steps(
    space: SearchSpace,
    terms: Callable[[LatentBatch, Tensor], Terms],
    along: int,
    *,
    batch_size: int,
    rng: torch.Generator,
) -> Callable[[Tensor], Iterator[Terms]]:
    """Steps on latents that are drawn anew in each.

    Args:
        space: What is searched.
        terms: What is minimised, summed over the latents.
        along: How many directions it moves each latent along.
        batch_size: Latents in a step.
        rng: Source of randomness.

    Returns:
        What `learn` takes.

    Raises:
        ValueError: If batch_size is out of range.
    """
    check_count("batch_size", batch_size)

    def step(matrix: Tensor) -> Iterator[Terms]:
        for batch in space.batches(batch_size, along, rng):
            yield _shares(terms(batch, matrix), batch_size)

    return step


def _shares(terms: Terms, batch_size: int) -> Terms:
    return {name: term / batch_size for name, term in terms.items()}


def learn(
    start: Tensor,
    step: Callable[[Tensor], Iterator[Terms]],
    *,
    steps: int,
    learning_rate: float,
    orthonormal: bool = True,
    progress: Progress = no_progress,
) -> Tensor:
    """Turn a square matrix of directions by Adam.

    The learning rate falls to zero along half a cosine.

    Args:
        start: Orthonormal directions to start from, (size, size).
        step: Gives the terms at a matrix, in one part or in several that together make the mean
            over a batch.
        steps: Steps, ≥ 1.
        learning_rate: Adam's, > 0.
        orthonormal: Keep the rows orthonormal; otherwise each has length 1.
        progress: Called after each step with steps done, steps in all, and the terms.

    Returns:
        (size, size), without gradient.

    Raises:
        ValueError: If a number is out of range, or a term is not finite.
    """
    check_count("steps", steps)
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be > 0, got {learning_rate}")
    rows = nn.Module()
    rows.weight = nn.Parameter(start.clone())
    if orthonormal:
        nn.utils.parametrizations.orthogonal(rows, orthogonal_map="matrix_exp")
    else:
        nn.utils.parametrize.register_parametrization(rows, "weight", _UnitRows())
    optimizer = torch.optim.Adam(rows.parameters(), learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda done: (1 + math.cos(math.pi * done / steps)) / 2
    )
    for done in range(1, steps + 1):
        figures: dict[str, float] = {}
        optimizer.zero_grad()
        matrix = rows.weight
        # Gradients gather here, from one part after the other, and nowhere else: weights of a
        # network that a plain function calls are given none.
        here = matrix.detach().requires_grad_()
        for terms in step(here):
            for name, term in terms.items():
                figures[name] = figures.get(name, 0.0) + float(term.detach())
            torch.stack(list(terms.values())).sum().backward(inputs=[here])
        if not all(map(math.isfinite, figures.values())):
            raise ValueError(f"generator must give finite terms, got {figures} in step {done}")
        matrix.backward(here.grad)
        optimizer.step()
        schedule.step()
        progress(done, steps, figures)
    return rows.weight.detach()


class _UnitRows(nn.Module):
    def forward(self, matrix: Tensor) -> Tensor:
        return matrix / matrix.norm(dim=1, keepdim=True)  # type: ignore[no-any-return]

    def right_inverse(self, matrix: Tensor) -> Tensor:
        return matrix


def random_rotation(size: int, rng: torch.Generator) -> Tensor:
    """An orthogonal matrix, all equally likely.

    Args:
        size: Rows and columns.
        rng: Source of randomness.

    Returns:
        (size, size), on the rng's device.
    """
    matrix = torch.randn(size, size, generator=rng, device=rng.device)
    q, r = torch.linalg.qr(matrix)
    return q * r.diagonal().sign()  # type: ignore[no-any-return]


def check_count(name: str, value: int, most: int | None = None) -> None:
    """Refuse what is no number of things.

    Args:
        name: What the argument is called.
        value: What was given.
        most: Its largest value, if there is one.

    Raises:
        ValueError: If it is no integer, below 1, or above `most`.
    """
    if not isinstance(value, int) or value < 1 or (most is not None and value > most):
        allowed = "at least 1" if most is None else f"between 1 and {most}"
        raise ValueError(f"{name} must be an integer {allowed}, got {value}")


def check_sampled(space: SearchSpace, columns: int) -> None:
    """Refuse a number of sampled directions that cannot be had.

    Args:
        space: What is searched.
        columns: The number.

    Raises:
        ValueError: If it is out of range, or the generator is differentiated by differences.
    """
    check_count("columns", columns, space.size)
    if space.derivative == "finite":
        raise ValueError(
            "derivative must be 'forward' where directions are sampled on fresh latents, since "
            "differences have no backward pass, got 'finite'"
        )
