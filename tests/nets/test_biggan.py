"""BigGAN against what the authors' code returned, against its design written out, and its rules."""

import inspect
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import axiswise as aw
from axiswise.nets import BigGAN

REFERENCE = Path(__file__).parents[1] / "reference"
# Parts of 6 latents; the attention is not where the published one is, at the last block but one.
TINY: dict[str, Any] = {
    "latent_dim": 24,
    "hidden": [8, 6, 10, 8],
    "channels": 2,
    "classes": 5,
    "embedding": 4,
    "attention": 32,
    "folded": False,
}
Weights = dict[str, Tensor]


def published_shapes(
    latent_dim: int,
    hidden: Sequence[int],
    channels: int,
    classes: int,
    embedding: int,
    attention: int,
    folded: bool = False,  # noqa: ARG001
) -> dict[str, list[int]]:
    """The authors' names and shapes, in their order, for a network of any size."""
    shapes: dict[str, list[int]] = {"shared.weight": [classes, embedding]}

    def spectral(name: str, shape: list[int], bias: bool = True) -> None:
        shapes[f"{name}.weight"] = shape
        if bias:
            shapes[f"{name}.bias"] = shape[:1]
        shapes[f"{name}.u0"], shapes[f"{name}.sv0"] = [1, shape[0]], [1]

    part = latent_dim // len(hidden)
    spectral("linear", [16 * hidden[0], part])
    for i, (inputs, outputs) in enumerate(itertools.pairwise(hidden)):
        block = f"blocks.{i}.0"
        spectral(f"{block}.conv1", [outputs, inputs, 3, 3])
        spectral(f"{block}.conv2", [outputs, outputs, 3, 3])
        spectral(f"{block}.conv_sc", [outputs, inputs, 1, 1])
        for norm, width in (("bn1", inputs), ("bn2", outputs)):
            shapes[f"{block}.{norm}.stored_mean"] = shapes[f"{block}.{norm}.stored_var"] = [width]
            for kind in ("gain", "bias"):
                spectral(f"{block}.{norm}.{kind}", [width, embedding + part], bias=False)
        if attention == 8 * 2**i:
            shapes[f"blocks.{i}.1.gamma"] = []
            for name, rows in (("theta", outputs // 8), ("phi", outputs // 8), ("g", outputs // 2)):
                spectral(f"blocks.{i}.1.{name}", [rows, outputs, 1, 1], bias=False)
            spectral(f"blocks.{i}.1.o", [outputs, outputs // 2, 1, 1], bias=False)
    for name in ("gain", "bias", "stored_mean", "stored_var"):
        shapes[f"output_layer.0.{name}"] = [hidden[-1]]
    spectral("output_layer.2", [channels, hidden[-1], 3, 3])
    return shapes


def images_by_design(weights: Weights, z: Tensor, y: Tensor, parts: int) -> Tensor:
    """The published design step by step, with none of its steps drawn together."""

    def weight(name: str) -> Tensor:
        matrix = weights[f"{name}.weight"].flatten(1)
        v = F.normalize(weights[f"{name}.u0"] @ matrix, eps=1e-6)
        u = F.normalize(v @ matrix.T, eps=1e-6)
        return weights[f"{name}.weight"] / (v @ matrix.T @ u.T).squeeze()

    def convolved(x: Tensor, name: str) -> Tensor:
        kernel = weight(name)
        return F.conv2d(x, kernel, weights.get(f"{name}.bias"), padding=kernel.shape[2] // 2)

    def normalized(x: Tensor, name: str, gain: Tensor, bias: Tensor) -> Tensor:
        mean, var = weights[f"{name}.stored_mean"], weights[f"{name}.stored_var"]
        x = F.batch_norm(x, mean, var, None, None, False, 0.1, 1e-5)
        return F.relu(x * gain[..., None, None] + bias[..., None, None])

    z_parts = z.chunk(parts, 1)
    x = F.linear(z_parts[0], weight("linear"), weights["linear.bias"]).view(len(z), -1, 4, 4)
    for i in range(parts - 1):
        given = torch.cat([weights["shared.weight"][y], z_parts[i + 1]], 1)
        h, block = x, f"blocks.{i}.0"
        for j in (1, 2):
            norm = f"{block}.bn{j}"
            gain, bias = (given @ weight(f"{norm}.{kind}").T for kind in ("gain", "bias"))
            h = normalized(h, norm, 1 + gain, bias)
            h = F.interpolate(h, scale_factor=2) if j == 1 else h
            h = convolved(h, f"{block}.conv{j}")
        x = h + convolved(F.interpolate(x, scale_factor=2), f"{block}.conv_sc")
        if f"blocks.{i}.1.gamma" in weights:
            theta, phi, g = (convolved(x, f"blocks.{i}.1.{name}") for name in ("theta", "phi", "g"))
            phi, g = F.max_pool2d(phi, 2), F.max_pool2d(g, 2)
            beta = torch.einsum("bcq,bck->bqk", theta.flatten(2), phi.flatten(2)).softmax(2)
            o = torch.einsum("bck,bqk->bcq", g.flatten(2), beta).view(*g.shape[:2], *x.shape[2:])
            x = weights[f"blocks.{i}.1.gamma"] * convolved(o, f"blocks.{i}.1.o") + x
    x = normalized(
        x, "output_layer.0", weights["output_layer.0.gain"], weights["output_layer.0.bias"]
    )
    return convolved(x, "output_layer.2").tanh()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def weights(fill: Callable[..., Weights]) -> Weights:
    """Of the tiny network, with an attention that does something."""
    return fill(published_shapes(**TINY)) | {"blocks.2.1.gamma": torch.tensor(0.7).double()}


@pytest.fixture
def tiny(weights: Weights) -> BigGAN:
    return BigGAN.from_published(weights)


@pytest.fixture
def given() -> tuple[Tensor, Tensor]:
    return torch.randn(3, 24, dtype=torch.float64), torch.tensor([4, 0, 2])


# ---------------------------------------------------------------- what it computes


@pytest.mark.slow
def test_published_weights_give_the_published_images(fill: Callable[..., Weights]) -> None:
    """In float32, with the defaults' sizes, and no less when the norms are folded in."""
    keys = json.loads((REFERENCE / "gan_biggan_keys.json").read_text())
    reference = np.load(REFERENCE / "gan_biggan.npz")
    z, y, expected = (torch.from_numpy(reference[name]) for name in ("z", "y", "images"))
    shapes = {key: shape for key, (shape, _) in keys.items()}
    generator = BigGAN.from_published(fill(shapes, torch.float32))

    defaults = inspect.signature(BigGAN).parameters
    arguments = {name: parameter.default for name, parameter in defaults.items()}
    arguments["hidden"] = list(arguments["hidden"])
    assert generator.arguments == arguments
    assert list(shapes.items()) == list(published_shapes(**arguments).items())
    with torch.no_grad():
        torch.testing.assert_close(generator(z, y), expected, rtol=0, atol=5e-6)
        torch.testing.assert_close(generator.fold()(z, y), expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("changes", [{}, {"hidden": [9, 17, 3], "attention": 8}])
@pytest.mark.parametrize("folded", [False, True])
def test_it_is_the_published_design(
    fill: Callable[..., Weights], changes: dict[str, Any], folded: bool
) -> None:
    arguments = TINY | changes
    weights = fill(published_shapes(**arguments))
    weights |= {key: weights[key] + 0.7 for key in weights if key.endswith("gamma")}
    generator = BigGAN.from_published(weights)
    assert generator.arguments == arguments
    if folded:
        generator.fold()
    z, y = torch.randn(4, 24, dtype=torch.float64), torch.tensor([4, 0, 4, 1])
    images = generator(z, y)
    assert images.std(0).mean() > 0.01  # they have something to differ in
    expected = images_by_design(weights, z, y, len(arguments["hidden"]))
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-12)


def test_one_power_iteration_starts_at_u0_and_nothing_stored_ever_changes(
    weights: Weights, given: tuple[Tensor, Tensor]
) -> None:
    """Not in train mode either; and the stored singular values do not matter."""
    generator = BigGAN.from_published(weights)
    before, images = generator.digest, generator(*given)
    assert not generator.training
    assert torch.equal(generator.train()(*given), images)
    assert generator.digest == before
    values = {key: value + 1 for key, value in weights.items() if key.endswith("sv0")}
    assert torch.equal(BigGAN.from_published(weights | values)(*given), images)
    vector = {"blocks.1.0.conv2.u0": weights["blocks.1.0.conv2.u0"].flip(1)}
    assert not torch.allclose(BigGAN.from_published(weights | vector)(*given), images)


def test_images_as_data_have_them_lie_between_0_and_1(
    tiny: BigGAN, given: tuple[Tensor, Tensor]
) -> None:
    low, high = tiny.image_range
    torch.testing.assert_close(tiny.generate(*given), (tiny(*given) - low) / (high - low))
    assert tiny(*given).abs().max() < 1
    assert tiny.size == 32


def test_samples_do_not_depend_on_each_other(tiny: BigGAN, given: tuple[Tensor, Tensor]) -> None:
    alone = torch.cat([tiny(z[None], y[None]) for z, y in zip(*given, strict=True)])
    torch.testing.assert_close(tiny(*given), alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("folded", [False, True])
def test_channels_last_gives_the_same_images_in_that_format(
    tiny: BigGAN, given: tuple[Tensor, Tensor], folded: bool
) -> None:
    if folded:
        tiny.fold()
    images = tiny(*given)
    again = tiny.to(memory_format=torch.channels_last)(*given)  # type: ignore[call-overload]
    torch.testing.assert_close(again, images, rtol=0, atol=1e-12)
    assert again.is_contiguous(memory_format=torch.channels_last)


# ---------------------------------------------------------------- folding, saving


def test_folding_happens_once_in_place_and_keeps_the_state_of_the_network(tiny: BigGAN) -> None:
    tiny.requires_grad_(False)
    random = torch.get_rng_state()
    assert tiny.fold() is tiny
    assert torch.equal(torch.get_rng_state(), random)
    assert tiny.arguments == TINY | {"folded": True}
    assert not any(key.endswith(("u0", "sv0")) for key in tiny.state_dict())
    assert not any(module.training for module in tiny.modules())
    assert not any(parameter.requires_grad for parameter in tiny.parameters())
    digest = tiny.digest
    assert tiny.fold().digest == digest
    assert all(parameter.requires_grad for parameter in BigGAN(**TINY).fold().parameters())


@pytest.mark.parametrize("folded", [False, True])
def test_it_is_saved_and_loaded_in_either_state(
    tiny: BigGAN, given: tuple[Tensor, Tensor], tmp_path: Path, folded: bool
) -> None:
    if folded:
        tiny.fold()
    tiny.save_pretrained(tmp_path)
    again = BigGAN.from_pretrained(tmp_path)
    assert again.arguments == TINY | {"folded": folded}
    assert again.digest == tiny.digest
    assert torch.equal(again(*given), tiny(*given))


def test_a_published_file_is_read_with_no_code_in_it(
    weights: Weights, given: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    torch.save(weights, tmp_path / "G_ema.pth")
    again = BigGAN.from_published(torch.load(tmp_path / "G_ema.pth", weights_only=True))
    assert torch.equal(again(*given), BigGAN.from_published(weights)(*given))


# ---------------------------------------------------------------- what it refuses


@pytest.mark.parametrize("change", ["missing", "longer", "flat"])
def test_a_published_key_that_is_missing_or_misshapen_is_named(
    weights: Weights, change: str
) -> None:
    """Each of them, and no other: also those that sizes are read off."""
    for key, value in weights.items():
        wrong = dict(weights)
        if change == "missing":
            del wrong[key]
            message = f"missing ['{key}'], unknown []"
        elif change == "longer":
            wrong[key] = torch.cat([value, value[..., :1]], -1) if value.dim() else value[None]
            message = f"state_dict['{key}'] must be {tuple(value.shape)}, got"
        else:
            wrong[key] = value.flatten()[:, None, None]
            message = f"state_dict['{key}'] must "
        with pytest.raises(ValueError) as caught:
            BigGAN.from_published(wrong)
        if change == "longer" and key in ("linear.weight", "shared.weight"):
            assert "'linear.weight'] and state_dict['shared.weight'] must have" in str(caught.value)
        else:
            assert message in str(caught.value)


@pytest.mark.parametrize("extra", ["head.weight", "blocks.0.0.extra", "blocks.7.1.theta.weight"])
def test_a_key_that_is_not_published_is_named(weights: Weights, extra: str) -> None:
    with pytest.raises(ValueError, match="unknown") as caught:
        BigGAN.from_published(weights | {extra: torch.zeros(1)})
    assert extra in str(caught.value).split("unknown")[1]


@pytest.mark.parametrize("lacking", ["blocks.2.1.", "blocks.1.0.", "blocks."])
def test_a_network_that_lacks_a_whole_module_is_refused(weights: Weights, lacking: str) -> None:
    """Also the attention: without it the network would be another one."""
    with pytest.raises(ValueError, match="must have the published names: missing"):
        BigGAN.from_published(
            {key: value for key, value in weights.items() if not key.startswith(lacking)}
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_dim": 0}, "latent_dim must be at least 1, got 0"),
        ({"latent_dim": 22}, "latent_dim must be a multiple of 4, the entries of hidden, got 22"),
        ({"channels": 0}, "channels must be at least 1, got 0"),
        ({"classes": 0}, "classes must be at least 1, got 0"),
        ({"embedding": 0}, "embedding must be at least 1, got 0"),
        ({"hidden": [8]}, r"hidden must be two or more numbers ≥ 1, got \[8\]"),
        ({"hidden": [8, 0, 8, 8]}, r"hidden must be two or more numbers ≥ 1"),
        ({"attention": 4}, r"attention must be a size with .*one of \[16, 32\], got 4"),
        ({"attention": 8}, r"attention must be a size with 8 channels .*\[16, 32\], got 8"),
    ],
)
def test_arguments_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BigGAN(**TINY | changes)


@pytest.mark.parametrize(
    ("z", "y", "error", "message"),
    [
        (torch.zeros(2, 24).long(), [0, 1], TypeError, r"z must be floating, got torch\.int64"),
        (torch.zeros(2, 23), [0, 1], ValueError, r"z must be \(batch, 24\), got \(2, 23\)"),
        (torch.zeros(24), [0, 1], ValueError, r"z must be \(batch, 24\), got \(24,\)"),
        (torch.zeros(2, 24), [0.0, 1.0], TypeError, r"y must be integer classes, got torch\.flo"),
        (torch.zeros(2, 24), [True, False], TypeError, r"y must be integer .* torch\.bool"),
        (torch.zeros(2, 24), [0], ValueError, r"y must be \(batch,\) = \(2,\), got \(1,\)"),
        (torch.zeros(2, 24), [[0], [1]], ValueError, r"y must be \(batch,\) = .* \(2, 1\)"),
        (torch.zeros(2, 24), [0, 5], ValueError, "y must be between 0 and 4, got 0 to 5"),
        (torch.zeros(2, 24), [-1, 1], ValueError, "y must be between 0 and 4, got -1 to 1"),
    ],
)
def test_latents_and_classes_that_do_not_fit_are_refused(
    z: Tensor, y: list[Any], error: type[Exception], message: str
) -> None:
    generator = BigGAN(**TINY)
    for call in (generator, generator.generate, lambda z, y: generator.hold(z, slice(0, 1), y)):
        with pytest.raises(error, match=message):
            call(z, torch.tensor(y))


# ---------------------------------------------------------------- classes


def test_all_classes_are_drawn_unless_some_are_chosen(tiny: BigGAN) -> None:
    z, rng = torch.zeros(5000, 24), torch.Generator()
    y = tiny.sample_conditioning(z, rng.manual_seed(0))["y"]
    assert y.dtype == torch.int64
    assert y.shape == (5000,)
    share = y.bincount(minlength=5) / 5000
    assert (share - 0.2).abs().max() < 0.03  # five standard deviations
    assert torch.equal(tiny.sample_conditioning(z, rng.manual_seed(0))["y"], y)
    assert not torch.equal(tiny.sample_conditioning(z, rng.manual_seed(1))["y"], y)

    tiny.classes_searched = [3, 1]
    assert tiny.sample_conditioning(z, rng)["y"].unique().tolist() == [1, 3]
    tiny.classes_searched = [2]
    assert tiny.sample_conditioning(z)["y"].unique().tolist() == [2]


@pytest.mark.parametrize("classes", [[], [0, 5], [-1]])
def test_classes_that_there_are_not_are_refused(tiny: BigGAN, classes: list[int]) -> None:
    with pytest.raises(ValueError, match="classes_searched must be some of 0…4, got"):
        tiny.classes_searched = classes
    assert list(tiny.classes_searched) == [0, 1, 2, 3, 4]


# ---------------------------------------------------------------- some latents held


def test_thirds_of_the_published_network_are_those_of_the_paper() -> None:
    generator = BigGAN(hidden=[8] * 6, classes=1, embedding=1)
    assert generator.thirds == {
        "coarse": slice(0, 40),
        "mid": slice(40, 80),
        "fine": slice(80, 120),
    }
    assert [*BigGAN(**TINY).thirds.values()] == [slice(0, 8), slice(8, 16), slice(16, 24)]


# Parts are 0:6, 6:12, 12:18 and 18:24.
SLICES = [(0, 24), (0, 6), (6, 12), (12, 24), (18, 24), (0, 8), (8, 16), (3, 5), (17, 19), (5, 24)]


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize(("start", "stop"), SLICES)
def test_held_latents_give_the_same_images(
    tiny: BigGAN, given: tuple[Tensor, Tensor], start: int, stop: int, folded: bool
) -> None:
    z, y = given
    if folded:
        tiny.fold()
    images = tiny.hold(z, slice(start, stop), y=y)
    w = torch.randn(3, stop - start, dtype=torch.float64)
    for free in (z[:, start:stop], w):
        whole = torch.cat([z[:, :start], free, z[:, stop:]], 1)
        torch.testing.assert_close(images(free), tiny(whole, y), rtol=0, atol=1e-13)


@pytest.mark.parametrize("subspace", [slice(None), slice(None, 24), slice(0, None, 1)])
def test_a_slice_without_ends_is_all_of_z(
    tiny: BigGAN, given: tuple[Tensor, Tensor], subspace: slice
) -> None:
    assert torch.equal(tiny.hold(given[0], subspace, given[1])(given[0]), tiny(*given))


@pytest.mark.parametrize(
    ("start", "stop", "begins", "norms"),
    [
        (0, 24, "linear", [0, 1, 2]),
        (0, 6, "linear", []),
        (3, 8, "linear", [0]),
        (6, 12, "blocks.0", [0]),
        (8, 18, "blocks.0", [0, 1]),
        (12, 18, "blocks.1", [1]),
        (18, 24, "blocks.2", [2]),
    ],
)
def test_what_does_not_depend_on_free_latents_is_not_computed_again(
    tiny: BigGAN,
    given: tuple[Tensor, Tensor],
    start: int,
    stop: int,
    begins: str,
    norms: list[int],
) -> None:
    """Neither what comes first nor, where it comes in later, the shortcut past that block."""
    z, y = given
    images = tiny.fold().hold(z, slice(start, stop), y)
    ran = set()
    for name, module in tiny.named_modules():
        module.register_forward_hook(lambda *_, name=name: ran.add(name))
    images(z[:, start:stop])
    blocks = ["blocks.0", "blocks.1", "blocks.2"]
    first = 0 if begins == "linear" else blocks.index(begins)
    assert ran & {"shared", "linear", *blocks} == {begins, *blocks[first:]}
    assert {name for name in ran if ".norm" in name} == {
        f"blocks.{i}.norm{j}" for i in norms for j in (1, 2)
    }
    assert {name for name in ran if "shortcut" in name} == {
        f"{block}.shortcut" for block in blocks if block in ran and block != begins
    }


def test_held_latents_keep_no_graph(tiny: BigGAN, given: tuple[Tensor, Tensor]) -> None:
    z, y = given
    z.requires_grad_()
    tiny.fold().hold(z, slice(12, 18), y)(z[:, 12:18].detach()).sum().backward()
    assert z.grad is None
    assert tiny.get_parameter("linear.weight").grad is None
    assert tiny.get_parameter("blocks.0.conv1.weight").grad is None
    assert tiny.get_parameter("blocks.1.conv1.weight").grad is not None


@pytest.mark.parametrize(
    "subspace",
    [slice(3, 3), slice(5, 2), slice(20, 25), slice(-4, 24), slice(0, -4), slice(0, 8, 2)],
)
def test_slices_that_are_no_subspace_are_refused(
    tiny: BigGAN, given: tuple[Tensor, Tensor], subspace: slice
) -> None:
    with pytest.raises(ValueError, match="subspace must be slice"):
        tiny.hold(given[0], subspace, given[1])


@pytest.mark.parametrize("shape", [(3, 9), (2, 3), (3,), (1, 3, 3)])
def test_free_latents_of_another_shape_are_refused(
    tiny: BigGAN, given: tuple[Tensor, Tensor], shape: tuple[int, ...]
) -> None:
    images = tiny.hold(given[0], slice(6, 9), given[1])
    with pytest.raises(ValueError, match=r"w must be \(batch, stop − start\) = \(3, 3\), got"):
        images(torch.zeros(shape))


# ---------------------------------------------------------------- derivatives


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize(("start", "stop"), [(0, 24), (6, 12), (18, 24), (8, 16)])
def test_its_jacobian_is_that_of_central_differences(
    tiny: BigGAN, given: tuple[Tensor, Tensor], start: int, stop: int, folded: bool
) -> None:
    """By torch.func.jvp under vmap, and by plain autograd."""
    z, y = given
    images = (tiny.fold() if folded else tiny).hold(z, slice(start, stop), y)
    w = z[:, start:stop].clone().requires_grad_()
    units = torch.eye(stop - start, dtype=torch.float64)[:, None].expand(-1, 3, -1) * 1e-6
    with torch.no_grad():
        expected = torch.stack([(images(w + e) - images(w - e)) / 2e-6 for e in units], 1)
    assert expected.abs().amax((0, 2, 3, 4)).min() > 1e-3  # no column is nothing
    columns = aw.jacobian_columns(images, w)
    torch.testing.assert_close(columns, expected, rtol=0, atol=1e-7)
    one = torch.func.jvp(images, (w.detach(),), (units[0] * 1e6,))[1]
    torch.testing.assert_close(one, expected[:, 0], rtol=0, atol=1e-7)
    cotangent = torch.randn_like(expected[:, 0])
    (gradient,) = torch.autograd.grad(images(w), w, cotangent)
    products = (expected * cotangent[:, None]).sum((2, 3, 4))
    torch.testing.assert_close(gradient, products, rtol=0, atol=1e-5)


def test_a_penalty_of_held_latents_has_the_gradient_of_differences(
    tiny: BigGAN, given: tuple[Tensor, Tensor]
) -> None:
    """What a search for directions descends: OroJaR of w ↦ G(z + wA), by the entries of A."""
    z, y = given
    images = tiny.fold().hold(z, slice(6, 12), y)
    matrix = torch.randn(6, 6, dtype=torch.float64).requires_grad_()

    def penalty(matrix: Tensor) -> Tensor:
        zero = torch.zeros(3, 6, dtype=torch.float64)
        return aw.orojar_penalty(lambda w: images(z[:, 6:12] + w @ matrix), zero)

    (gradient,) = torch.autograd.grad(penalty(matrix), matrix)
    towards = torch.randn_like(matrix) * 1e-5
    with torch.no_grad():
        slope = (penalty(matrix + towards) - penalty(matrix - towards)) / 2
    assert float((gradient * towards).sum()) == pytest.approx(float(slope), rel=1e-5)
