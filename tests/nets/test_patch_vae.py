"""The network of natural patches against the authors' layers, written out with their functions."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import axiswise as aw
from axiswise.nets import PatchVAE

SHAPES = {  # of the authors' "tiny16", by 4: 2 latents in place of 10
    "emb_convs.0": (16, 1, 3, 3),
    "emb_convs.1": (32, 16, 3, 3),
    "emb_fcs.0": (24, 32 * 3 * 3),
    "fcmu": (2, 24),
    "fclogvar": (2, 24),
    "gen_fcs.0": (24, 2),
    "gen_fcs.1": (20 * 4 * 4, 24),
    "gen_convs.0": (20, 14, 3, 3),
    "gen_convs.1": (14, 8, 3, 3),
    "gen_convs.2": (8, 1, 3, 3),
}


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in SHAPES.items():
        outputs = shape[1] if name.startswith("gen_convs") else shape[0]
        state[f"{name}.weight"] = torch.randn(shape, generator=rng, dtype=torch.float64) / 5
        state[f"{name}.bias"] = torch.randn(outputs, generator=rng, dtype=torch.float64)
    return state


def decoded(state: dict[str, Tensor], z: Tensor) -> Tensor:
    """As published: whole transposed convolutions, ReLU, then a crop to the side times stride."""
    x = F.relu(F.linear(z, state["gen_fcs.0.weight"], state["gen_fcs.0.bias"]))
    x = F.relu(F.linear(x, state["gen_fcs.1.weight"], state["gen_fcs.1.bias"]))
    x = x.view(-1, 20, 4, 4)
    for i, (stride, side) in enumerate([(2, 8), (2, 16), (1, 16)]):
        names = (f"gen_convs.{i}.weight", f"gen_convs.{i}.bias")
        x = F.conv_transpose2d(x, *(state[name] for name in names), stride=stride)
        start = (x.shape[2] - side) // 2
        x = x[:, :, start : start + side, start : start + side]
        x = x if i == 2 else F.relu(x)
    return x.sigmoid()


def test_published_weights_give_the_published_outputs(state: dict[str, Tensor]) -> None:
    vae = PatchVAE.from_published(state)
    assert vae.arguments == {
        "size": 16,
        "channels": 1,
        "latent_dim": 2,
        "hidden": [16, 32],
        "features": 24,
        "generated": [20, 14, 8],
    }
    assert not vae.training
    rng = torch.Generator().manual_seed(1)
    images = torch.rand(3, 1, 16, 16, generator=rng, dtype=torch.float64)
    x = images
    for i in range(2):
        weights = (state[f"emb_convs.{i}.weight"], state[f"emb_convs.{i}.bias"])
        x = F.relu(F.conv2d(x, *weights, stride=2))
    x = F.relu(F.linear(x.flatten(1), state["emb_fcs.0.weight"], state["emb_fcs.0.bias"]))
    mean, log_variance = vae.encoder(images)
    for found, name in ((mean, "fcmu"), (log_variance, "fclogvar")):
        expected = F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    z = torch.randn(3, 2, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(vae.decoder(z), decoded(state, z), rtol=1e-12, atol=1e-12)


def test_the_penalty_s_fast_ways_take_the_cropped_decoder(state: dict[str, Tensor]) -> None:
    vae = PatchVAE.from_published(state)
    z = torch.randn(2, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    oracle = torch.autograd.functional.jacobian(lambda z: decoded(state, z).sum(0), z)
    columns = oracle.permute(3, 4, 0, 1, 2)
    torch.testing.assert_close(aw.jacobian_columns(vae.decoder, z), columns, atol=1e-11, rtol=0)
    expected = columns.abs().flatten(1).sum(1).mean()
    torch.testing.assert_close(aw.jl1_penalty(vae.decoder, z), expected, rtol=1e-10, atol=0)


def test_the_defaults_are_the_published_sizes() -> None:
    shapes = {tuple(value.shape) for value in PatchVAE().decoder.state_dict().values()}
    assert {(128, 10), (1024, 128), (64, 64, 3, 3), (64, 32, 3, 3), (32, 1, 3, 3)} <= shapes
    assert PatchVAE().encoder.trunk[5].weight.shape == (128, 128 * 3 * 3)
    for size in (8, 12, 20):
        assert PatchVAE(size=size, channels=3)(torch.rand(2, 3, size, size)).shape[1:] == (
            *(3, size, size),
        )


@pytest.mark.parametrize("key", ["gen_convs.2.bias", "emb_convs.1.weight", "fclogvar.bias"])
def test_missing_unknown_and_misshapen_keys_are_named(state: dict[str, Tensor], key: str) -> None:
    rest = {name: value for name, value in state.items() if name != key}
    for wrong in (rest, {**state, f"{key}x": state[key]}, {**state, key: state[key][..., :-1]}):
        with pytest.raises(ValueError, match=key.replace(".", r"\.")):
            PatchVAE.from_published(wrong)


def test_weights_of_the_other_published_network_are_refused(state: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"unknown \['gen_convs\.2\.bias'"):
        aw.nets.ConvVAE.from_published(state)
    wide = {**state, "gen_convs.2.weight": torch.zeros(8, 1, 4, 4, dtype=torch.float64)}
    with pytest.raises(ValueError, match=r"'gen_convs\.2\.weight'.* must be \(8, 1, 3, 3\)"):
        PatchVAE.from_published(wide)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 6}, "size must be a multiple of 4, at least 8, got 6"),
        ({"size": 4}, "size must be a multiple of 4, at least 8, got 4"),
        ({"latent_dim": 0}, "latent_dim must be positive, got 0"),
        ({"hidden": (8,)}, r"hidden must have 2 numbers, got \[8\]"),
        ({"generated": (8, 8)}, r"generated must have 3 numbers, got \[8, 8\]"),
        ({"generated": (8, 0, 8)}, "generated must be positive"),
    ],
)
def test_wrong_sizes_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PatchVAE(**arguments)  # type: ignore[arg-type]
