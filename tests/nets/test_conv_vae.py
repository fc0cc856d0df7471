"""The convolutional VAE against the authors' own numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import axiswise as aw
from axiswise.objectives import BetaVAE, VAEPass

# Float64 on both sides, sums in another order.
EXACT = {"rtol": 1e-11, "atol": 1e-11}


@pytest.fixture(scope="module")
def reference() -> dict[str, Tensor]:
    with np.load(Path(__file__).parents[1] / "reference" / "penalties.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files if "conv_vae" in key}


@pytest.fixture(scope="module")
def published(reference: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix("conv_vae/"): value for key, value in reference.items() if "/" in key}


@pytest.fixture(scope="module")
def vae(published: dict[str, Tensor]) -> aw.nets.ConvVAE:
    return aw.nets.ConvVAE.from_published(published)


def test_sizes_are_read_off_published_weights(vae: aw.nets.ConvVAE) -> None:
    assert vae.arguments == {
        "size": 16,
        "channels": 1,
        "latent_dim": 6,
        "hidden": [8, 8],
        "features": 16,
    }
    assert not vae.training
    assert {value.dtype for value in vae.state_dict().values()} == {torch.float64}


def test_encoder_and_decoder_give_the_published_outputs(
    vae: aw.nets.ConvVAE, reference: dict[str, Tensor]
) -> None:
    mean, log_variance = vae.encoder(reference["conv_vae_x"])
    torch.testing.assert_close(mean, reference["conv_vae_mu"], **EXACT)
    torch.testing.assert_close(log_variance, reference["conv_vae_logvar"], **EXACT)
    decoded = vae.decoder(reference["conv_vae_z"])
    torch.testing.assert_close(decoded, reference["conv_vae_decode"], **EXACT)
    torch.testing.assert_close(vae(reference["conv_vae_x"]), vae.decoder(mean), **EXACT)


def test_jacobian_columns_and_penalties_are_the_published_ones(
    vae: aw.nets.ConvVAE, reference: dict[str, Tensor]
) -> None:
    z = reference["conv_vae_z"]
    columns = aw.jacobian_columns(vae.decoder, z)
    theirs = reference["conv_vae_jacobian_columns"].transpose(0, 1)
    # They are finite differences, of an error of about 1e-10; the exact ones come from autograd.
    torch.testing.assert_close(columns, theirs, rtol=0, atol=1e-9)
    oracle = torch.autograd.functional.jacobian(lambda z: vae.decoder(z).sum(0), z)
    torch.testing.assert_close(columns, oracle.permute(3, 4, 0, 1, 2), **EXACT)
    for penalty, name in ((aw.jl1_penalty, "jl1"), (aw.jl2_penalty, "jl2")):
        expected = reference[f"conv_vae_{name}"].squeeze()
        torch.testing.assert_close(penalty(vae.decoder, z), expected, rtol=1e-7, atol=0)


def test_the_objective_s_terms_are_the_published_ones(
    vae: aw.nets.ConvVAE, reference: dict[str, Tensor]
) -> None:
    images = reference["conv_vae_x"]
    mean, log_variance = vae.encoder(images)
    logits = vae.logits(mean)
    assert logits.dtype == torch.float64
    terms = BetaVAE(beta=4.0)(VAEPass(images, logits, mean, log_variance, mean), ramp=1.0)
    loss = sum(weight * value for weight, value in terms.values())
    values = {"nll": terms["nll"][1], "kl": terms["kl"][1], "loss_beta4": loss}
    for name, value in values.items():
        torch.testing.assert_close(value, reference[f"conv_vae_{name}"].squeeze(), **EXACT)


@pytest.mark.parametrize("key", ["fcmu.bias", "gen_convs.1.weight", "emb_convs.1.weight"])
def test_a_missing_published_key_is_named(published: dict[str, Tensor], key: str) -> None:
    rest = {name: value for name, value in published.items() if name != key}
    with pytest.raises(ValueError, match=key.replace(".", r"\.")):
        aw.nets.ConvVAE.from_published(rest)


@pytest.mark.parametrize("key", ["extra", "encoder.mean.weight", "fcmu.running_mean"])
def test_an_unknown_key_is_named(published: dict[str, Tensor], key: str) -> None:
    with pytest.raises(ValueError, match=key.replace(".", r"\.")):
        aw.nets.ConvVAE.from_published({**published, key: torch.zeros(2, 2)})


def test_a_layer_that_is_there_in_part_is_named(published: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"missing \['emb_convs\.2\.bias', 'gen_convs\.2\.bias'"):
        aw.nets.ConvVAE.from_published({**published, "emb_convs.2.weight": torch.zeros(1)})


def test_no_keys_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="state_dict"):
        aw.nets.ConvVAE.from_published({})


@pytest.mark.parametrize(
    "key",
    [
        "fcmu.bias",
        "fcmu.weight",
        "fclogvar.weight",
        "emb_convs.0.weight",
        "emb_convs.1.weight",
        "emb_fcs.0.weight",
        "gen_fcs.0.weight",
        "gen_fcs.1.weight",
        "gen_fcs.1.bias",
        "gen_convs.0.weight",
        "gen_convs.1.bias",
    ],
)
@pytest.mark.parametrize("change", ["longer", "scalar"])
def test_a_misshapen_key_is_an_error_that_names_a_key(
    published: dict[str, Tensor], key: str, change: str
) -> None:
    wrong = torch.cat([published[key]] * 2) if change == "longer" else torch.tensor(0.0)
    with pytest.raises(ValueError, match="state_dict"):
        aw.nets.ConvVAE.from_published({**published, key: wrong})


def test_a_misshapen_bias_is_named_with_both_shapes(published: dict[str, Tensor]) -> None:
    wrong = torch.zeros(7, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"fcmu\.bias.*\(6,\).*\(7,\)"):
        aw.nets.ConvVAE.from_published({**published, "fcmu.bias": wrong})


def _layers(module: nn.Module) -> list[tuple[object, ...]]:
    """Kind and sizes of each layer in order, read off the modules and not the arguments."""
    found: list[tuple[object, ...]] = []
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            sizes = (layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride)
            found.append((type(layer).__name__, *sizes, layer.padding))
        elif isinstance(layer, nn.Linear):
            found.append(("Linear", layer.in_features, layer.out_features))
        elif isinstance(layer, nn.ReLU | nn.Sigmoid):
            found.append((type(layer).__name__,))
    return found


def test_the_default_is_the_paper_s_network() -> None:
    vae = aw.nets.ConvVAE()
    four, two, none, one = (4, 4), (2, 2), (0, 0), (1, 1)
    relu = ("ReLU",)
    assert _layers(vae.encoder) == [
        *(("Conv2d", 1, 32, four, two, none), relu),
        *(("Conv2d", 32, 32, four, two, none), relu),
        *(("Conv2d", 32, 64, four, two, none), relu),
        *(("Conv2d", 64, 64, four, two, none), relu),
        *(("Linear", 256, 256), relu),  # 64 → 31 → 14 → 6 → 2 pixels: 64·2·2
        ("Linear", 256, 10),
        ("Linear", 256, 10),
    ]
    assert _layers(vae.decoder) == [
        *(("Linear", 10, 256), relu),
        *(("Linear", 256, 1024), relu),
        *(("ConvTranspose2d", 64, 64, four, two, one), relu),
        *(("ConvTranspose2d", 64, 32, four, two, one), relu),
        *(("ConvTranspose2d", 32, 32, four, two, one), relu),
        ("ConvTranspose2d", 32, 1, four, two, one),
        ("Sigmoid",),
    ]


def test_log_variances_start_three_below_the_usual_bias() -> None:
    torch.manual_seed(3)
    bias = aw.nets.ConvVAE().encoder.log_variance.bias
    bound = 256**-0.5  # of a linear layer's biases, uniform, with 256 inputs
    assert ((bias + 3).abs() <= bound).all()
    assert (bias + 3).abs().max() > bound / 2
    assert bias.requires_grad
    _, log_variance = aw.nets.ConvVAE().encoder(torch.rand(4, 1, 64, 64))
    assert ((log_variance + 3).abs() < 1).all()


def test_the_decoder_gives_probabilities() -> None:
    decoded = aw.nets.ConvVAE().decoder(100 * torch.randn(3, 10))
    assert decoded.shape == (3, 1, 64, 64)
    assert decoded.min() >= 0
    assert decoded.max() <= 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"size": 60}, "size"),
        ({"size": 8, "hidden": (8, 8, 8)}, "size"),
        ({"size": 0}, "size"),
        ({"channels": 0}, "channels"),
        ({"latent_dim": -1}, "latent_dim"),
        ({"hidden": ()}, "hidden"),
        ({"hidden": (8, 0)}, "hidden"),
        ({"features": 0}, "features"),
    ],
)
def test_sizes_out_of_range_are_refused_by_name(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named} must"):
        aw.nets.ConvVAE(**arguments)
