"""The decoder of diffusers' AutoencoderKL: residual blocks, group norms, attention over places."""

import importlib
import warnings

import pytest
import torch
from torch import nn

import axiswise as aw

pytestmark = pytest.mark.slow  # diffusers takes seconds to import
LATENT = 8
BLOCKS = 2


class Decoder(nn.Module):
    """Flat latents → images."""

    latent_dim = LATENT

    def __init__(self):
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other libraries
            diffusers = importlib.import_module("diffusers")
        torch.manual_seed(0)
        self.vae = diffusers.AutoencoderKL(
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * BLOCKS,
            up_block_types=("UpDecoderBlock2D",) * BLOCKS,
            norm_num_groups=4,
            latent_channels=2,
            layers_per_block=1,
        )
        self.eval()

    def forward(self, z):
        return self.vae.decode(z.view(-1, 2, 2, 2), return_dict=False)[0]


@pytest.fixture(scope="module")
def decoder():
    return Decoder()


@pytest.fixture(params=[torch.contiguous_format, torch.channels_last], ids=str)
def exact(request):
    return Decoder().double().to(memory_format=request.param)


def latents():
    return torch.randn(2, LATENT, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def signs(*shape):
    return aw.rademacher(shape, rng=torch.Generator().manual_seed(0), dtype=torch.float64)


PENALTIES = {
    "jl1": (aw.jl1_penalty, {}),
    "jl1, some columns": (aw.jl1_penalty, {"columns": [5, 0]}),
    "jl1, scale-free": (aw.jl1_penalty, {"normalize": True}),
    "jl2": (aw.jl2_penalty, {}),
    "orojar": (aw.orojar_penalty, {}),
    "orojar, probes": (aw.orojar_penalty, {"probes": signs(2, 2, LATENT)}),
    "orojar, scale-free": (aw.orojar_penalty, {"normalize": True}),
    "ima": (aw.ima_contrast, {}),
    "hessian": (aw.hessian_penalty, {"probes": signs(3, 2, LATENT)}),
}


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties_and_their_gradients_agree_with_finite_differences(exact, name):
    penalty, arguments = PENALTIES[name]
    parameters = list(exact.vae.decoder.parameters())

    def measured(**options):
        value = penalty(exact, latents(), **arguments, **options)
        found = torch.autograd.grad(value, parameters, materialize_grads=True)
        return value.detach(), torch.cat([each.flatten() for each in found])

    value, gradient = measured()
    epsilon = 1e-3 if name == "hessian" else 1e-6
    their_value, their_gradient = measured(method="finite", epsilon=epsilon)
    torch.testing.assert_close(value, their_value, rtol=1e-4, atol=0)
    assert (gradient - their_gradient).norm() < 1e-4 * gradient.norm()


def test_columns_products_and_grams_agree_with_reverse_mode(exact):
    z = latents()
    full = torch.autograd.functional.jacobian(exact, z)
    wanted = torch.stack([full[b, ..., b, :].movedim(-1, 0) for b in range(len(z))])
    torch.testing.assert_close(aw.jacobian_columns(exact, z), wanted, rtol=1e-8, atol=1e-10)
    chosen = aw.jacobian_columns(exact, z, [3], chunk_size=1)
    torch.testing.assert_close(chosen, wanted[:, [3]], rtol=1e-8, atol=1e-10)
    flat = wanted.flatten(2)
    torch.testing.assert_close(aw.jacobian_gram(exact, z), flat @ flat.mT, rtol=1e-8, atol=1e-10)
    u = torch.ones(1, *wanted[:, 0].shape).double()
    pulled = aw.Jacobian(exact, z).transposed_products(u)
    torch.testing.assert_close(pulled[0], flat.sum(2), rtol=1e-8, atol=1e-10)


SEARCHES = {
    "coordinates": {},
    "ganspace": {"layer": "vae.post_quant_conv", "samples": 50},
    "hessian": {"steps": 3},
    "hessian-published": {"steps": 3, "batch_size": 4},
    "jacobian-svd": {"samples": 4},
    "jl1": {"steps": 3, "samples": 4},
    "orojar": {"samples": 4},
    "orojar+jl1": {"steps": 3, "samples": 4},
    "orojar-published": {"steps": 3, "batch_size": 4},
    "random": {},
}


def test_every_method_is_searched_here():
    assert {*SEARCHES, "sefa"} == set(aw.directions.METHODS.names())


@pytest.mark.parametrize("method", SEARCHES)
def test_every_method_finds_directions(decoder, method):
    found = aw.find_directions(decoder, method, **SEARCHES[method])
    assert found.matrix.shape == (LATENT, LATENT)
    assert (found.importance > 0).all()
    second = method == "hessian" or method.endswith("published")
    differences = {"derivative": "finite", "epsilon": 0.1 if second else 1e-2}
    other = aw.find_directions(decoder, method, **differences, **SEARCHES[method])
    torch.testing.assert_close(found.importance, other.importance, rtol=0.05, atol=0)
    if method != "orojar":  # which leaves pairs of alike directions undetermined
        cosines = (found.matrix * other.matrix).sum(1).abs()
        assert cosines.min() > 0.95


def test_sefa_says_that_no_layer_takes_flat_latents(decoder):
    with pytest.raises(ValueError, match=r"take its 8 latents in its first layer.* layer="):
        aw.find_directions(decoder, "sefa")
