"""Batches of latents and their Jacobians; generators that cannot be searched."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import axiswise as aw
from axiswise.directions.space import LatentBatch, SearchSpace, check_generator
from axiswise.generators import draw

LATENT = 4
Nets = Callable[..., nn.Module]


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _check(generator: Callable[..., Tensor], latent_dim: int = LATENT, **settings: object) -> None:
    space = SearchSpace(generator, latent_dim, slice(0, latent_dim), **settings)  # type: ignore[arg-type]
    check_generator(space, _rng())


class Conditional(nn.Module):
    """Classes scale the image; and it notes what it was called with."""

    latent_dim = LATENT

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.seen: list[Tensor] = []

    def sample_latents(self, n: int, rng: torch.Generator) -> Tensor:
        return 3 + torch.rand(n, LATENT, generator=rng)

    def sample_conditioning(self, z: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        return {"scale": z[:, 0] * torch.randint(1, 9, (len(z),), generator=rng)}

    def forward(self, z: Tensor, scale: Tensor) -> Tensor:
        self.seen.append(scale)
        images: Tensor = self.net(z) * scale[:, None]
        return images


@pytest.mark.parametrize("chunk_size", [None, 1, 5])
@pytest.mark.parametrize("derivative", ["forward", "finite"])
def test_a_batch_s_jacobian_has_the_searched_columns(
    mlp: Nets, derivative: str, chunk_size: int | None
) -> None:
    """Against reverse mode, with conditioning and without."""
    net = mlp(kind=torch.float64)
    conditional = Conditional(net)
    scale = torch.tensor([2.0, -1.0, 0.5]).double()
    z = torch.randn(3, LATENT, generator=_rng(1)).double()
    for generator, conditioning, factors in (
        (net, {}, torch.ones(3)),
        (conditional, {"scale": scale}, scale),
        (lambda z: net(z), {}, torch.ones(3)),
    ):
        for subspace in (slice(0, LATENT), slice(1, 3)):
            space = SearchSpace(generator, LATENT, subspace, derivative, 1e-6, chunk_size)  # type: ignore[arg-type]
            found = LatentBatch(space, z, conditioning).columns()
            assert found.shape == (3, space.size, 12)
            for sample in range(3):
                whole = torch.autograd.functional.jacobian(net, z[sample : sample + 1])[0, :, 0]
                expected = factors[sample] * whole[:, subspace].T
                torch.testing.assert_close(found[sample], expected, rtol=1e-4, atol=1e-5)


def test_batches_are_small_enough_and_together_what_was_drawn(mlp: Nets) -> None:
    generator = Conditional(mlp())
    z, conditioning = draw(generator, LATENT, 10, _rng())
    for chunk_size, along, sizes in (
        (None, 4, [10]),
        (8, 2, [4, 4, 2]),
        (3, 4, [1] * 10),
        (100, 4, [10]),
    ):
        space = SearchSpace(generator, LATENT, slice(0, 2), chunk_size=chunk_size)
        batches = list(space.batches(10, along, _rng()))
        assert [len(batch) for batch in batches] == sizes
        assert torch.equal(torch.cat([batch.z for batch in batches]), z)
        scales = torch.cat([batch.conditioning["scale"] for batch in batches])
        assert torch.equal(scales, conditioning["scale"])
        assert torch.equal(batches[0].searched, batches[0].z[:, :2])


def test_generators_of_all_kinds_pass(mlp: Nets) -> None:
    net = mlp()
    _check(net)
    _check(lambda z: net(z))
    _check(net.train())  # nothing in it that acts in training
    _check(Conditional(net))
    _check(nn.Sequential(nn.LeakyReLU(0.5, inplace=True), net))
    _check(nn.Sequential(net, nn.Unflatten(1, (3, 2, 2)), nn.BatchNorm2d(3)).eval())
    _check(lambda z: torch.from_numpy(np.sin(z.numpy())), derivative="finite")
    _check(torch.no_grad()(lambda z: net(z)))


@pytest.mark.parametrize("derivative", ["forward", "finite"])
@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (nn.BatchNorm1d(LATENT), "BatchNorm1d"),
        (nn.Dropout(0.5), "Dropout"),
        (nn.AlphaDropout(1e-9), "AlphaDropout"),
        (nn.InstanceNorm1d(LATENT, track_running_stats=True), "InstanceNorm1d"),
    ],
)
def test_train_mode_is_refused_where_it_matters(
    mlp: Nets, layer: nn.Module, named: str, derivative: str
) -> None:
    net = nn.Sequential(layer, mlp())
    with pytest.raises(ValueError, match=f"must be in eval mode, but its {named} is in train mode"):
        _check(net.train(), derivative=derivative)
    assert not any(statistic.any() for name, statistic in net.named_buffers() if "mean" in name)


def test_a_norm_over_the_batch_that_has_no_eval_mode_is_refused(mlp: Nets) -> None:
    norm = nn.Sequential(
        mlp(), nn.Unflatten(1, (3, 4)), nn.BatchNorm1d(3, track_running_stats=False)
    )
    with pytest.raises(ValueError, match="generator must make each image from its own"):
        _check(norm.eval())


class Noisy(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.net(z)
        return images + 0.01 * torch.randn(images.shape, generator=self.rng)

    rng = _rng()


class DroppingOut(nn.Module):
    """Its dropout is no module, and so not seen beforehand."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor) -> Tensor:
        return nn.functional.dropout(self.net(z), 0.5, training=self.training)


def test_noise_is_refused(mlp: Nets) -> None:
    for derivative in ("forward", "finite"):
        with pytest.raises(ValueError, match="the same images for the same latents: switch off"):
            _check(Noisy(mlp()), derivative=derivative)
    generator = DroppingOut(mlp())
    with pytest.raises(ValueError, match=r"the same images for the same latents.*call \.eval\(\)"):
        _check(generator)
    _check(generator.eval())


def test_images_that_are_none_are_refused(mlp: Nets) -> None:
    net = mlp()
    _check(net)
    with pytest.raises(ValueError, match="generator must return finite images, got NaN or infin"):
        _check(lambda z: net(z) / 0)
    with pytest.raises(ValueError, match="generator must return finite images, got NaN or infin"):
        _check(lambda z: torch.where(z[:, :1] > z[:, :1].median(), math.nan, net(z)))
    with pytest.raises(TypeError, match="generator must return one floating tensor, got tuple"):
        _check(lambda z: (net(z), net(z)))  # type: ignore[arg-type,return-value]
    with pytest.raises(TypeError, match="generator must return one floating tensor, got ndarray"):
        _check(lambda z: net(z).detach().numpy(), derivative="finite")
    with pytest.raises(TypeError, match=r"one floating tensor, got torch\.uint8"):
        _check(lambda z: (255 * net(z)).byte())
    with pytest.raises(ValueError, match=r"must return 2 images for 2 latents, got \(1, 12\)"):
        _check(lambda z: net(z)[:1])
    with pytest.raises(ValueError, match=r"must return 2 images for 2 latents, got \(2,\)"):
        _check(lambda z: net(z)[:, 0])


def test_images_of_another_shape_each_time_are_refused(mlp: Nets) -> None:
    net, calls = mlp(), itertools.count()
    with pytest.raises(ValueError, match=r"one shape, got \(2, 1\), \(2, 2\), \(1, 3\)"):
        _check(lambda z: net(z)[:, : 1 + next(calls)])
    with pytest.raises(ValueError, match=r"one shape, got \(2, 2\), \(2, 2\), \(1, 1\)"):
        _check(lambda z: net(z)[:, : len(z)])


def test_another_number_of_latents_is_refused_by_shape(mlp: Nets) -> None:
    with pytest.raises(
        ValueError, match=r"must take latents \(2, 5\), torch\.float32, on cpu, but"
    ):
        _check(mlp(), latent_dim=5)
    weight = np.ones((3, LATENT))
    with pytest.raises(ValueError, match=r"must take latents \(2, 5\).* raises ValueError"):
        _check(lambda z: torch.from_numpy(weight @ z.numpy().T).T, 5, derivative="finite")
    with pytest.raises(ValueError, match=r"must take latents .* TypeError: .*'scale'"):
        _check(lambda z, *, scale: z * scale)


class Doubled(torch.autograd.Function):
    """An operation without a forward-mode derivative."""

    @staticmethod
    def forward(_ctx: object, x: Tensor) -> Tensor:  # type: ignore[override]
        return 2 * x

    @staticmethod
    def backward(_ctx: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return 2 * gradient


def test_what_cannot_be_differentiated_is_refused_with_the_way_out(mlp: Nets) -> None:
    net = mlp()

    def by_numpy(z: Tensor) -> Tensor:
        return torch.from_numpy(np.sin(z.detach().numpy()))

    def by_custom(z: Tensor) -> Tensor:
        doubled: Tensor = Doubled.apply(net(z))
        return doubled

    for generator in (by_numpy, by_custom):
        with pytest.raises(NotImplementedError, match="unless derivative='finite'") as raised:
            _check(generator)
        assert "method=" not in str(raised.value)
        _check(generator, derivative="finite")


def test_what_does_not_change_is_refused(mlp: Nets) -> None:
    net = mlp()
    _check(lambda z: net(z).round(decimals=3), derivative="finite", epsilon=0.1)
    for losing in (
        lambda z: (net(z) * 255).round(),
        lambda z: net(z).detach(),
        torch.inference_mode()(lambda z: net(z)),
    ):
        with pytest.raises(NotImplementedError, match=r"derivative='finite'.*loses derivatives"):
            _check(losing)
        _check(losing, derivative="finite", epsilon=0.1)
    with pytest.raises(ValueError, match=r"must change with the searched latents.*'finite'"):
        _check(lambda z: net(0 * z))
    space = SearchSpace(lambda z: net(z * torch.tensor([1.0, 1, 0, 0])), LATENT, slice(2, 4))
    with pytest.raises(ValueError, match="must change with the searched latents"):
        check_generator(space, _rng())


def test_derivatives_that_are_not_finite_are_refused() -> None:
    """A square root of zero: the images are finite everywhere."""
    space = SearchSpace(lambda z: (0 * z).abs().sqrt(), LATENT, slice(0, LATENT))
    with pytest.raises(ValueError, match="generator must have finite derivatives, got NaN or inf"):
        check_generator(space, _rng())


@pytest.mark.parametrize("method", ["orojar", "jl1", "hessian", "jacobian-svd", "coordinates"])
def test_nan_at_a_few_latents_is_noticed_when_they_come(mlp: Nets, method: str) -> None:
    """At one in seven of them, but not at the first two."""
    net, drawn = mlp(), itertools.count()

    class Late(nn.Module):
        latent_dim = LATENT

        def forward(self, z: Tensor) -> Tensor:
            images: Tensor = net(z * torch.where(z[:, :1] > 5, math.nan, 1.0))
            return images

        def sample_latents(self, n: int, rng: torch.Generator) -> Tensor:
            z = torch.randn(n, LATENT, generator=rng)
            return z + 9.0 * torch.tensor([[next(drawn) % 7 == 6] for _ in range(n)])

    with pytest.raises(ValueError, match=r"generator must (have finite deri|have finite t)"):
        aw.find_directions(Late(), method)
    assert next(drawn) > 7


def test_a_hold_that_gives_other_images_is_refused() -> None:
    class Wrong(nn.Linear):
        latent_dim = 4

        def hold(self, z: Tensor, subspace: slice) -> Callable[[Tensor], Tensor]:
            return lambda w: 2 * self(torch.cat([z[:, : subspace.start], w], 1))

    with pytest.raises(
        ValueError, match=r"generator\.hold must return the images of the generator"
    ):
        aw.find_directions(Wrong(4, 6), "random", subspace=(1, 4))


def test_images_that_depend_on_the_others_in_the_batch_are_refused() -> None:
    weight = torch.randn(4, 6)
    with pytest.raises(ValueError, match="generator must make each image from its own latents"):
        aw.find_directions(lambda z: (z - z.mean(0)) @ weight, "random", latent_dim=4)
