"""Penalties far from scale 1: what no scale changes, what overflows, and what is no number."""

import math
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import axiswise as aw

LATENT, OUTPUT = 4, 12
Z = torch.zeros(3, LATENT)
WEIGHT = torch.randn(OUTPUT, LATENT, generator=torch.Generator().manual_seed(0)).double()
PROBES = aw.penalties.rademacher((5, 3, LATENT), rng=torch.Generator().manual_seed(1))

# Form → (penalty of a generator at z, degree of homogeneity in J).
FORMS = {
    "jl1": (lambda g, z: aw.jl1_penalty(g, z), 1),
    "jl1, columns": (lambda g, z: aw.jl1_penalty(g, z, columns=torch.tensor([2])), 1),
    "jl1, normalize": (lambda g, z: aw.jl1_penalty(g, z, normalize=True), 0),
    "jl2": (lambda g, z: aw.jl2_penalty(g, z), 2),
    "orojar": (lambda g, z: aw.orojar_penalty(g, z), 4),
    "orojar, probes": (lambda g, z: aw.orojar_penalty(g, z, PROBES.to(z)), 4),
    "orojar, groups": (lambda g, z: aw.orojar_penalty(g, z, groups=LATENT), 4),
    "orojar, columns": (lambda g, z: aw.orojar_penalty(g, z, columns=torch.tensor([0, 2])), 4),
    "orojar, normalize": (lambda g, z: aw.orojar_penalty(g, z, normalize=True), 0),
    "ima": (lambda g, z: aw.ima_contrast(g, z), 0),
}
SCALES = [1e-37, 1e-30, 1e-12, 1e-6, 1e6, 1e9, 1e12, 1e19, 1e30, 1e37]


def value_and_gradient(form: str, scale: float, dtype: torch.dtype) -> tuple[float, Tensor]:
    """Of the generator z ↦ scale · W z, with the gradient in scale · W."""
    weight = (WEIGHT * scale).to(dtype).requires_grad_()
    value = FORMS[form][0](lambda z: z @ weight.T, Z.to(dtype))
    (gradient,) = torch.autograd.grad(value, weight)
    return float(value.detach()), gradient.double()


@pytest.mark.parametrize(
    ("form", "scale"),
    [
        (form, scale)
        for form, (_, degree) in FORMS.items()
        for scale in SCALES
        if all(1e-35 < scale**power < 1e34 for power in (degree, degree - 1))
    ],
)
def test_value_and_gradient_are_right_at_every_scale_that_float32_has(
    form: str, scale: float
) -> None:
    degree = FORMS[form][1]
    value, gradient = value_and_gradient(form, 1.0, torch.float64)
    wanted, slope = value * scale**degree, gradient.abs().max() * scale ** (degree - 1)
    found, its_gradient = value_and_gradient(form, scale, torch.float32)
    assert found == pytest.approx(wanted, rel=1e-4)
    torch.testing.assert_close(
        its_gradient, gradient * scale ** (degree - 1), rtol=1e-3, atol=1e-3 * float(slope)
    )


@pytest.mark.parametrize("form", [form for form, (_, degree) in FORMS.items() if degree == 0])
@pytest.mark.parametrize("scale", [*SCALES, 2.0**-140])
def test_scale_free_values_are_the_same_at_any_scale(form: str, scale: float) -> None:
    """At 2⁻¹⁴⁰ entries are denormal, of few digits."""
    wanted, _ = value_and_gradient(form, 1.0, torch.float64)
    with torch.no_grad():
        weight = (WEIGHT * scale).float()
        found = float(FORMS[form][0](lambda z: z @ weight.T, Z))
    assert found == pytest.approx(wanted, rel=1e-2 if scale == 2.0**-140 else 1e-4)


@pytest.mark.parametrize("scale", [1e-290, 1e290])
def test_scale_free_values_are_the_same_at_scales_of_float64(scale: float) -> None:
    for form, (_, degree) in FORMS.items():
        if degree == 0:
            wanted, _ = value_and_gradient(form, 1.0, torch.float64)
            found, _ = value_and_gradient(form, scale, torch.float64)
            assert found == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("form", [form for form, (_, degree) in FORMS.items() if degree > 1])
@pytest.mark.parametrize(
    ("scale", "what"), [(1e30, "overflows"), (1e-30, "vanishes in")], ids=["large", "small"]
)
def test_a_value_that_float32_does_not_hold_is_said_aloud(
    form: str, scale: float, what: str
) -> None:
    weight = (WEIGHT * scale).float()
    said = rf"{form[:3]}\w+ {what} torch.float32, where derivatives are about .*e.3[01]:"
    with pytest.warns(RuntimeWarning, match=said):
        found = float(FORMS[form][0](lambda z: z @ weight.T, Z))
    assert found == 0 if scale < 1 else not math.isfinite(found)


@pytest.mark.parametrize("options", [{}, {"probes": 2}, {"groups": 2}])
@pytest.mark.parametrize(("scale", "what"), [(1e25, "overflows"), (1e-25, "vanishes in")])
def test_so_is_a_hessian_penalty(options: dict[str, int], scale: float, what: str) -> None:
    z, rng = torch.ones(9, 2), torch.Generator().manual_seed(0)
    with pytest.warns(RuntimeWarning, match=f"hessian_penalty {what} torch.float32"):
        aw.hessian_penalty(lambda z: scale * z.prod(1, keepdim=True), z, rng=rng, **options)


@pytest.mark.parametrize("scale", [1e-20, 1e-6, 1.0, 1e8, 1e25])
def test_orthogonal_columns_of_any_scale_have_0_without_a_warning(scale: float) -> None:
    assert aw.orojar_penalty(aw.KnownJacobian(scale * torch.eye(3).expand(2, 3, 3))).item() == 0


@pytest.mark.parametrize("normalize", [False, True])
def test_one_column_that_is_no_number_is_not_orthogonal(normalize: bool) -> None:
    for bad in (math.nan, math.inf):
        known = aw.KnownJacobian(torch.tensor([[[1.0, bad]]]))
        assert aw.orojar_penalty(known, normalize=normalize).isnan()
        assert not aw.ima_contrast(known).isfinite()
    long = aw.KnownJacobian(torch.tensor([[[1e30, 1.0]]]))
    assert aw.orojar_penalty(long, normalize=normalize).item() == 0


@pytest.mark.parametrize("form", ["jl1, normalize", "orojar, normalize", "ima"])
def test_columns_of_very_different_lengths_are_each_brought_to_one(form: str) -> None:
    lengths = torch.tensor([1e-30, 1.0, 1e30, 1e-12]).double()
    value, gradient = value_and_gradient(form, 1.0, torch.float64)
    weight = (WEIGHT * lengths).float().requires_grad_()
    found = FORMS[form][0](lambda z: z @ weight.T, Z)
    (its_gradient,) = torch.autograd.grad(found, weight)
    assert float(found.detach()) == pytest.approx(value, rel=1e-4)
    torch.testing.assert_close(its_gradient * lengths, gradient, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_no_penalty_of_what_is_no_number_is_a_number(form: str, bad: float) -> None:
    weight = WEIGHT.clone()
    weight[3, 2] = bad
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            found = FORMS[form][0](lambda z: z @ weight.T + z.sum() * 0, Z.double())
        except ValueError as error:
            assert "finite" in str(error)  # noqa: PT017
        else:
            assert not math.isfinite(found)


def test_zero_columns_have_safe_gradients_beside_tiny_and_huge_ones() -> None:
    weight = (WEIGHT * torch.tensor([0.0, 1e-30, 1.0, 1e30])).float().requires_grad_()
    value = aw.jl1_penalty(lambda z: z @ weight.T, Z, normalize=True)
    (gradient,) = torch.autograd.grad(value, weight)
    assert gradient.isfinite().all()
    assert (gradient[:, 0] == 0).all()
    wanted = (WEIGHT.abs().sum(0) / WEIGHT.norm(dim=0))[1:].sum()
    assert float(value.detach()) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("method", ["forward", "finite"])
@pytest.mark.parametrize("penalty", [aw.jl1_penalty, aw.jl2_penalty, aw.orojar_penalty,
                                     aw.ima_contrast, aw.hessian_penalty])  # fmt: skip
def test_images_that_are_no_numbers_have_no_penalty_though_derivatives_are_finite(
    penalty: Callable[..., Tensor], method: str
) -> None:
    layer = torch.nn.Linear(LATENT, OUTPUT)
    layer.bias.data[3] = math.nan
    for generator in (layer, lambda z: layer(z), lambda z: layer(z).clamp(0, 1)):
        assert not penalty(generator, Z + 0.5, method=method).isfinite()
    found = aw.jl1_penalty(
        lambda z: z + z.detach().log() * 0, torch.tensor([[1.0], [-1.0]]), reduction=None
    )
    assert found.isnan().tolist() == [False, True]
