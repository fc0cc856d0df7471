"""DIP-VAE: covariances of known means and variances."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from axiswise.objectives import VAEPass
from axiswise.objectives.dip_vae import DIPVAE, covariance_of_means

MakePass = Callable[..., VAEPass]
Normal = Callable[..., Tensor]

# Their covariance is [[4, 2], [2, 1]], wherever they lie.
MEANS = torch.tensor([[2.0, 1.0], [-2.0, -1.0], [2.0, 1.0], [-2.0, -1.0]]) + torch.tensor([5.0, -3])
# Means of the variances: 2 and 0.5.
LOG_VARIANCE = torch.tensor([[1.0, 0.25], [3.0, 0.75], [1.0, 0.25], [3.0, 0.75]]).log()


def test_the_covariance_is_divided_by_the_size_of_the_batch(normal: Normal) -> None:
    expected = torch.tensor([[4.0, 2.0], [2.0, 1.0]])
    torch.testing.assert_close(covariance_of_means(MEANS), expected)
    mean = normal(9, 5)
    torch.testing.assert_close(covariance_of_means(mean), torch.cov(mean.T, correction=0))


@pytest.mark.parametrize(
    ("variant", "diagonal"),
    [
        ("i", (4 - 1) ** 2 + (1 - 1) ** 2),
        ("ii", (4 + 2 - 1) ** 2 + (1 + 0.5 - 1) ** 2),  # with the mean of the encoder's variances
    ],
)
@pytest.mark.parametrize("ramp", [0.0, 0.5, 1.0])
def test_the_terms_are_the_squared_distances_from_the_identity(
    made_pass: MakePass, variant: str, diagonal: float, ramp: float
) -> None:
    objective = DIPVAE(variant=variant, lambda_od=3.0, lambda_d=7.0)  # type: ignore[arg-type]
    terms = objective(made_pass(MEANS, LOG_VARIANCE), ramp)
    weights = {name: weight for name, (weight, _) in terms.items()}
    assert weights == {
        "nll": 1.0,
        "kl": ramp,
        "dip_off_diagonal": 3.0 * ramp,
        "dip_diagonal": 7.0 * ramp,
    }
    assert float(terms["dip_off_diagonal"][1]) == pytest.approx(2**2 + 2**2)
    assert float(terms["dip_diagonal"][1]) == pytest.approx(diagonal)
    kl = (MEANS.square() + LOG_VARIANCE.exp() - 1 - LOG_VARIANCE).sum() / 2 / 4
    assert float(terms["kl"][1]) == pytest.approx(float(kl))


def test_codes_whose_covariance_is_the_identity_pay_nothing(
    made_pass: MakePass, normal: Normal
) -> None:
    """Of means with half the variance, the encoder's makes up for the rest in -II."""
    centred = normal(50, 4) - normal(50, 4).mean(0)
    white = centred @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(centred.T, correction=0))).T
    whole = made_pass(white, normal(50, 4, seed=1))
    half = made_pass(white / math.sqrt(2), torch.full_like(white, math.log(0.5)))
    for variant, batch in (("i", whole), ("ii", half)):
        terms = DIPVAE(variant=variant).code_terms(batch, 1.0)  # type: ignore[arg-type]
        assert abs(float(terms["dip_off_diagonal"][1])) < 1e-20
        assert abs(float(terms["dip_diagonal"][1])) < 1e-20


@pytest.mark.parametrize(("variant", "expected"), [("i", (5.0, 50.0)), ("ii", (5.0, 5.0))])
def test_default_weights_are_those_of_the_study(
    made_pass: MakePass, variant: str, expected: tuple[float, float]
) -> None:
    terms = DIPVAE(variant=variant).code_terms(made_pass(MEANS), 1.0)  # type: ignore[arg-type]
    assert (terms["dip_off_diagonal"][0], terms["dip_diagonal"][0]) == expected


@pytest.mark.parametrize("variant", ["i", "ii"])
def test_gradients_are_those_of_finite_differences(
    made_pass: MakePass, normal: Normal, variant: str
) -> None:
    def loss(mean: Tensor, log_variance: Tensor) -> Tensor:
        objective = DIPVAE(variant=variant)  # type: ignore[arg-type]
        terms = objective.code_terms(made_pass(mean, log_variance), 0.5)
        return torch.stack([weight * value for weight, value in terms.values()]).sum()

    inputs = [normal(5, 3, seed=seed).requires_grad_() for seed in (1, 2)]
    assert torch.autograd.gradcheck(loss, inputs)


def test_mixed_precision_does_not_round_the_covariance() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        mixed = covariance_of_means(MEANS + 1 / 3)
    assert torch.equal(mixed, covariance_of_means(MEANS + 1 / 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "iii"}, "variant must be 'i' or 'ii', got 'iii'"),
        ({"lambda_od": -1.0}, "lambda_od must be ≥ 0, got -1.0"),
        ({"lambda_d": math.nan}, "lambda_d must be ≥ 0, got nan"),
        ({"likelihood": "poisson"}, "likelihood must be"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        DIPVAE(**arguments)  # type: ignore[arg-type]
