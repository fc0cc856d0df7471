"""What a generator may offer, and what is used where it does not."""

import pytest
import torch
from torch import Tensor, nn

from axiswise.generators import device_of, draw, frozen, in_unit_range, latent_dim_of

LATENT = 4


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _net() -> nn.Module:
    return nn.Sequential(nn.Linear(LATENT, 6), nn.Tanh(), nn.Linear(6, 12))


class Conditional(nn.Module):
    """Latents and conditioning of its own."""

    latent_dim = LATENT

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def sample_latents(self, n: int, rng: torch.Generator) -> Tensor:
        return 3 + torch.rand(n, LATENT, generator=rng)

    def sample_conditioning(self, z: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        return {"scale": z[:, 0] * torch.randint(1, 9, (len(z),), generator=rng)}


def test_the_number_of_latents_is_the_generator_s_or_the_given() -> None:
    plain = nn.Linear(3, 2)
    assert latent_dim_of(plain, 3) == 3
    plain.latent_dim = 5
    assert latent_dim_of(plain) == latent_dim_of(plain, 5) == 5
    with pytest.raises(ValueError, match="latent_dim must be the generator's own, 5, got 3"):
        latent_dim_of(plain, 3)
    with pytest.raises(ValueError, match="latent_dim must be given"):
        latent_dim_of(nn.Linear(3, 2))
    for bad in (0, -1, True, 2.0, "3"):
        with pytest.raises(ValueError, match="latent_dim must be an integer, at least 1, got"):
            latent_dim_of(nn.Linear(3, 2), bad)  # type: ignore[arg-type]


def test_latents_are_normal_unless_the_generator_has_its_own() -> None:
    z, conditioning = draw(_net().double(), LATENT, 5, _rng())
    assert torch.equal(z, torch.randn(5, LATENT, generator=_rng()).double())
    assert conditioning == {}
    z, _ = draw(lambda z: z, LATENT, 2000, _rng())
    assert float(z.mean()) == pytest.approx(0, abs=0.05)
    assert float(z.std()) == pytest.approx(1, abs=0.05)
    z, conditioning = draw(Conditional(_net()), LATENT, 5, rng := _rng())
    expected = 3 + torch.rand(5, LATENT, generator=(other := _rng()))
    assert torch.equal(z, expected)
    drawn = torch.randint(1, 9, (5,), generator=other)
    assert torch.equal(conditioning["scale"], expected[:, 0] * drawn)
    assert torch.equal(rng.get_state(), other.get_state())


@pytest.mark.parametrize(
    "drawn", [torch.zeros(3, LATENT), torch.zeros(2, 3), torch.zeros(2, LATENT).long(), [0.0] * 4]
)
def test_latents_of_another_shape_are_refused(drawn: object) -> None:
    generator = Conditional(_net())
    generator.sample_latents = lambda _n, _rng: drawn  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(ValueError, match=r"generator.sample_latents must return .* \(2, 4\), got"):
        draw(generator, LATENT, 2, _rng())


def test_conditioning_of_another_shape_is_refused_by_name() -> None:
    generator = Conditional(_net())
    for bad in (torch.ones(3), torch.tensor(1.0), 5):
        generator.sample_conditioning = lambda _z, _rng, bad=bad: {"scale": bad}  # type: ignore[method-assign]
        with pytest.raises(ValueError, match="return tensors with 2 rows, got 'scale'"):
            draw(generator, LATENT, 2, _rng())
    generator.sample_conditioning = lambda _z, _rng: torch.ones(2)  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(ValueError, match="must return a dictionary of tensors, got Tensor"):
        draw(generator, LATENT, 2, _rng())


def test_images_are_brought_into_the_unit_range() -> None:
    images = torch.tensor([-1.5, -1.0, 0.0, 0.5, 1.0]).view(1, 1, 1, 5)
    assert in_unit_range(None, images).flatten().tolist() == [0, 0, 0.5, 0.75, 1]
    positive = images.abs() / 4
    assert torch.equal(in_unit_range(None, positive), positive)
    generator = nn.Identity()
    generator.image_range = (-3.0, 1.0)
    assert in_unit_range(generator, images).flatten().tolist() == [0.375, 0.5, 0.75, 0.875, 1]
    assert in_unit_range(generator, images.bfloat16()).dtype == torch.float32
    generator.image_range = (1.0, 1.0)
    with pytest.raises(ValueError, match=r"image_range must be \(low, high\), got \(1.0, 1.0\)"):
        in_unit_range(generator, images)


def test_weights_are_frozen_within_and_as_they_were_after_also_where_it_fails() -> None:
    net = _net()
    net.get_parameter("0.bias").requires_grad_(False)
    before = [parameter.requires_grad for parameter in net.parameters()]
    assert before == [True, False, True, True]
    with frozen(net):
        assert not any(parameter.requires_grad for parameter in net.parameters())
    assert [parameter.requires_grad for parameter in net.parameters()] == before
    with pytest.raises(RuntimeError, match="stop"), frozen(net):
        raise RuntimeError("stop")
    assert [parameter.requires_grad for parameter in net.parameters()] == before
    with frozen(lambda z: z):
        pass


def test_the_device_is_that_of_the_first_weight() -> None:
    assert device_of(lambda z: z) == torch.device("cpu")
    assert device_of(nn.Linear(2, 2, device="meta")) == torch.device("meta")
    assert device_of(nn.BatchNorm1d(2, affine=False, device="meta")) == torch.device("meta")


def test_a_range_that_cannot_be_guessed_is_asked_for() -> None:
    bytes_ = torch.tensor([0.0, 128.0, 255.0]).view(1, 1, 1, 3)
    with pytest.raises(ValueError, match=r"generator must have an attribute image_range"):
        in_unit_range(object(), bytes_)
