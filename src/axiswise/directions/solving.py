"""Shared parts of the methods: Jacobians at drawn latents, and learning directions by Adam.

The learned methods minimise penalties of w ↦ G(z + wA) at w = 0, whose Jacobian is that of G at z,
times Aᵀ: what is differentiated does not depend on A. The Jacobians are either taken once, at
latents drawn before the first step; or each step draws latents of its own and takes the products
with a few of the directions, which costs less where there are many latents.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from axiswise.directions.directions import orthonormalized
from axiswise.directions.space import SearchSpace
from axiswise.jacobian import JacobianOperator, KnownJacobian, gram
from axiswise.penalties import rademacher
from axiswise.support.precision import power_scaled
from axiswise.support.progress import Progress, no_progress

_AT_ONCE = 16  # latents whose Jacobians are taken at once
_GIGABYTES = 4  # bound on Jacobians kept together
_ORDINARY = 1e-5, 1e15  # gradients that Adam's constant leaves alone, and whose squares are numbers

# Values by name, to be summed: of a Jacobian along directions, one for each latent, (batch,); of a
# step, scalars.
Terms = dict[str, Tensor]
Step = Callable[[Tensor], Iterator[Terms]]


def jacobians(
    space: SearchSpace, samples: int, rng: torch.Generator, progress: Progress = no_progress
) -> Iterator[Tensor]:
    """Jacobians at `samples` random latents, in parts (batch, size, output), without gradient."""
    check_count("samples", samples)
    done = 0
    while done < samples:
        for batch in space.batches(min(_AT_ONCE, samples - done), space.size, rng):
            yield batch.columns()
            done += len(batch)
            progress(done, samples, {})


def gram_matrices(
    space: SearchSpace, samples: int, rng: torch.Generator, progress: Progress = no_progress
) -> Tensor:
    """Gram matrices JᵀJ at `samples` random latents, (samples, size, size), float64.

    Over one power for all where float64 would not hold them.
    """
    parts: list[Tensor] = []
    power = torch.tensor(1.0)
    for part in jacobians(space, samples, rng, progress):
        wide = part.double()
        largest = wide.abs().max()
        if not parts and largest > 0 and not 1e-60 < largest < 1e60:
            power = power_scaled(largest, ())[1]
        parts.append(gram(wide / power))
    return torch.cat(parts)


def known_jacobians(
    space: SearchSpace, samples: int, rng: torch.Generator, progress: Progress = no_progress
) -> Tensor:
    """Jacobians at `samples` random latents together, (samples, size, output).

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
    known: Tensor,
    terms: Callable[[JacobianOperator], Terms],
    *,
    batch_size: int,
    rng: torch.Generator,
) -> Step:
    """Steps on known Jacobians (samples, size, output).

    Args:
        known: The Jacobians.
        terms: The penalties, of the Jacobian along the directions.
        batch_size: Number of Jacobians in a step, drawn without repetition; all if there are fewer.
        rng: Source of randomness.
    """
    check_count("batch_size", batch_size)

    def step(matrix: Tensor) -> Iterator[Terms]:
        chosen = torch.randperm(len(known), generator=rng, device=rng.device)[:batch_size]
        jacobian = KnownJacobian(known[chosen.to(known.device)])
        yield _means(terms(jacobian.along(matrix)), len(chosen))

    return step


def fresh_steps(
    space: SearchSpace,
    terms: Callable[[JacobianOperator], Terms],
    along: int,
    *,
    batch_size: int,
    rng: torch.Generator,
    amounts: Callable[[int], Tensor] | None = None,
) -> Step:
    """Steps on latents that are drawn anew in each.

    Args:
        space: The search space.
        terms: The penalties, of the Jacobian along the directions.
        along: Number of products with directions that they take for each latent.
        batch_size: Latents in a step.
        rng: Source of randomness.
        amounts: Draws where along the directions the Jacobian is taken, (batch, size), for so many
            latents; at the latents themselves if None.

    Raises:
        ValueError: If batch_size is out of range; in a step, if the generator
            records no gradients.
    """
    check_count("batch_size", batch_size)

    def step(matrix: Tensor) -> Iterator[Terms]:
        drawn, done = None if amounts is None else amounts(batch_size), 0
        for batch in space.batches(batch_size, along, rng):
            own = None if drawn is None else drawn[done : (done := done + len(batch))]
            found = _means(terms(batch.along(matrix, own)), batch_size)
            if not all(term.requires_grad for term in found.values()):
                raise ValueError(
                    "generator must record gradients where directions are learned from fresh "
                    "latents, but does not: call it without torch.no_grad() and .detach(), or take "
                    "a method that needs none, such as orojar"
                )
            yield found

    return step


def _means(terms: Terms, batch_size: int) -> Terms:
    return {name: term.sum() / batch_size for name, term in terms.items()}


def drawn_directions(along: JacobianOperator, count: int, rng: torch.Generator) -> Tensor:
    """Indices of random directions, for each latent its own without repeats, (batch, count)."""
    order = torch.rand(along.batch, along.latent, generator=rng, device=rng.device)
    return order.topk(count, dim=1).indices.to(along.device)


def least_probes(probes: int) -> None:
    """Refuse fewer probes than a variance needs."""
    if probes < 2:
        raise ValueError(f"probes must be at least 2, got {probes}")


def signs(along: JacobianOperator, count: int, rng: torch.Generator) -> Tensor:
    """Rademacher probes (count, batch, latent), the same whatever `chunk_size` is."""
    return rademacher((along.batch, count, along.latent), rng=rng).transpose(0, 1)


def learn(
    start: Tensor,
    step: Step,
    *,
    steps: int,
    learning_rate: float,
    orthonormal: bool = True,
    published: bool = False,
    progress: Progress = no_progress,
) -> Tensor:
    """Learn a square matrix of directions by Adam; the rate falls to zero along half a cosine.

    Args:
        start: Directions to start from, (size, size); orthonormal unless `published`.
        step: Yields the terms at a matrix, in one part or in several whose sum is the mean over a
            batch.
        steps: Number of steps, ≥ 1.
        learning_rate: Adam's, > 0.
        orthonormal: Keep the rows orthonormal; otherwise each has length 1.
        published: The way of OroJaR's and the Hessian Penalty's code: the rate stays, and rows are
            made orthonormal one after the other, or else stay as Adam has them.
        progress: Called after each step with steps done, steps in all, and the terms.

    Returns:
        (size, size), without gradient.

    Raises:
        ValueError: If a number is out of range, or a term or its gradient is not finite.
    """
    check_count("steps", steps)
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be > 0, got {learning_rate}")
    rows = nn.Module()
    rows.weight = nn.Parameter(start.clone())
    if published:
        if orthonormal:
            nn.utils.parametrize.register_parametrization(rows, "weight", _OneByOne())
    elif orthonormal:
        nn.utils.parametrizations.orthogonal(rows, orthogonal_map="matrix_exp")
    else:
        nn.utils.parametrize.register_parametrization(rows, "weight", _UnitRows())
    optimizer = torch.optim.Adam(rows.parameters(), learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda done: 1.0 if published else (1 + math.cos(math.pi * done / steps)) / 2
    )
    power = 1.0
    for done in range(1, steps + 1):
        figures: dict[str, float] = {}
        optimizer.zero_grad()
        matrix = rows.weight
        # Gradients of all parts gather here, and nowhere else: the weights of a network that a
        # plain function calls get none.
        here = matrix.detach().requires_grad_()
        for terms in step(here):
            for name, term in terms.items():
                figures[name] = figures.get(name, 0.0) + float(term.detach())
            torch.stack(list(terms.values())).sum().backward(inputs=[here])
        assert here.grad is not None
        steepest = here.grad.abs().max()
        if not all(map(math.isfinite, [*figures.values(), float(steepest)])):
            raise ValueError(
                f"generator must have finite terms and gradients, got {figures} and "
                f"{float(steepest)} in step {done}"
            )
        if done == 1 and steepest > 0 and not _ORDINARY[0] < steepest < _ORDINARY[1]:
            power = float(power_scaled(steepest, ())[1])
        matrix.backward(here.grad / power)
        optimizer.step()
        schedule.step()
        progress(done, steps, figures)
    return rows.weight.detach()


class _UnitRows(nn.Module):
    def forward(self, matrix: Tensor) -> Tensor:
        return matrix / matrix.norm(dim=1, keepdim=True)  # type: ignore[no-any-return]

    def right_inverse(self, matrix: Tensor) -> Tensor:
        return matrix


class _OneByOne(_UnitRows):
    def forward(self, matrix: Tensor) -> Tensor:
        return orthonormalized(matrix)


def published_start(size: int, rng: torch.Generator) -> Tensor:
    """Random directions that OroJaR's and the Hessian Penalty's code starts from, (size, size)."""
    return torch.randn(size, size, generator=rng, device=rng.device) * math.sqrt(2 / size)


def random_rotation(size: int, rng: torch.Generator) -> Tensor:
    """A uniformly random orthogonal matrix (size, size), on the rng's device."""
    matrix = torch.randn(size, size, generator=rng, device=rng.device)
    q, r = torch.linalg.qr(matrix)
    return q * r.diagonal().sign()  # type: ignore[no-any-return]


def check_count(name: str, value: int, most: int | None = None) -> None:
    """Refuse what is no integer between 1 and `most`, naming the argument."""
    if not isinstance(value, int) or value < 1 or (most is not None and value > most):
        allowed = "at least 1" if most is None else f"between 1 and {most}"
        raise ValueError(f"{name} must be an integer {allowed}, got {value}")
