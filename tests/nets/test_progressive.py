"""The progressive GAN against what the authors' programs returned, and its own rules."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import axiswise as aw
from axiswise.directions.folding import with_axes
from axiswise.directions.methods.sefa import sefa
from axiswise.nets import ProgressiveCritic, ProgressiveGenerator
from axiswise.nets.progressive import _stages
from axiswise.objectives import ProgressiveWGANGP

REFERENCE = Path(__file__).parents[1] / "reference"
ABOUT = json.loads((REFERENCE / "progan_r32.json").read_text())
LODS = [0, 0.5, 1.0, 2.3, 3.0]
VARIANTS = ["orojar", "hessian"]


@pytest.fixture(scope="module")
def reference() -> Mapping[str, np.ndarray]:
    with np.load(REFERENCE / "progan_r32.npz") as arrays:
        return dict(arrays)


def uniform(position: int, shape: Sequence[int]) -> np.ndarray:
    """The reference's a, in [−1, 1]."""
    noise = np.sin(1 + position + 12.9898 * np.arange(1, math.prod(shape) + 1)) * 43758.5453
    return (2 * (noise - np.floor(noise)) - 1).reshape(shape)


def filled(network: str, unit: bool = False) -> dict[str, np.ndarray]:
    """Published variables by the reference's rule, in float32."""
    variables = {}
    for position, (name, shape) in enumerate(ABOUT[network].items()):
        scale = math.sqrt(3) if unit and name.endswith("weight") else 0.5
        variables[name] = (scale * uniform(position, shape)).astype(np.float32)
    return variables


def generator_of(variant: str) -> ProgressiveGenerator:
    return ProgressiveGenerator.from_published(
        filled("generator"), normalize_latents=variant == "hessian"
    )


def assert_near(found: Tensor, expected: Any, share: float = 1e-5) -> None:
    """Equal to a share of the largest entry."""
    expected = torch.as_tensor(expected).double()
    found = found.detach().double()
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= share * float(expected.abs().max())


@pytest.mark.parametrize("lod", LODS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_published_images_scores_and_slopes(
    variant: str, lod: float, reference: Mapping[str, np.ndarray]
) -> None:
    key = f"{variant}_lod{lod}"
    expected = torch.from_numpy(reference[f"images_{key}"])
    assert_near(generator_of(variant)(torch.from_numpy(reference["latents"]), lod), expected)

    plain = ProgressiveCritic.from_published(filled("discriminator"))
    assert_near(plain(expected, lod).flatten(), reference[f"scores_{key}"])
    unit = ProgressiveCritic.from_published(filled("discriminator", unit=True))
    images = expected.clone().requires_grad_()
    scores = unit(images, lod=lod).flatten()
    assert_near(scores, reference[f"scores_unit_{key}"])
    assert_near(unit(expected[:2], lod).flatten(), reference[f"scores_unit_of_first_two_{key}"])
    (slopes,) = torch.autograd.grad(scores.sum(), images)
    assert_near(slopes.flatten(1).norm(dim=1), reference[f"slopes_unit_{key}"])


def activations(generator: ProgressiveGenerator, z: Tensor, names: list[str]) -> list[Tensor]:
    kept: list[Tensor] = []
    hooks = [
        generator.get_submodule(name).register_forward_hook(lambda *given: kept.append(given[2]))
        for name in names
    ]
    with torch.no_grad():
        generator(z)
    for hook in hooks:
        hook.remove()
    return kept


@pytest.mark.parametrize("variant", VARIANTS)
def test_layers_give_the_published_activations_after_bias_and_norm(
    variant: str, reference: Mapping[str, np.ndarray]
) -> None:
    generator, z = generator_of(variant), torch.from_numpy(reference["latents"])
    about = ABOUT["activations"][variant]
    for names, ending in ((generator.convolutions, "Post_bias"), (generator.norms, "Post_norm")):
        outputs = activations(generator, z, names)
        for name, side, output in zip(names, generator.sides, outputs, strict=True):
            title = f"{name.replace('.', '/').removesuffix('_norm')}/{ending}"
            if title not in about:  # OroJaR's first layer has no norm
                assert (variant, title) == ("orojar", "4x4/Dense/Post_norm")
                continue
            assert list(output.shape) == about[title]["shape"]
            assert output.shape[2:] == (side, side)
            assert output.abs().mean().item() == pytest.approx(about[title]["mean_abs"], rel=1e-5)
            assert output.flatten()[:4].tolist() == pytest.approx(about[title]["first"], rel=1e-4)
            key = f"activation_{variant}_{title.replace('/', '.')}"
            if key in reference:
                kept = output[:1].flatten()[: reference[key].size]
                assert_near(kept, reference[key].flatten())


def test_infogan_head_gives_the_published_scores_and_encodings(
    reference: Mapping[str, np.ndarray],
) -> None:
    critic = ProgressiveCritic.from_published(filled("discriminator_infogan", unit=True))
    assert critic.codes == 12
    images = torch.from_numpy(reference["images_orojar_lod0"])
    scores, codes = critic.with_codes(images)
    assert_near(scores, reference["infogan_unit_scores"])
    assert_near(codes, reference["infogan_unit_encoding"])
    assert torch.equal(critic(images), scores)


PENALTIES = ABOUT["penalties"]
PUBLISHED_WAY: Any = {"method": "finite", "epsilon": 0.1, "reduction": "max"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_published_penalties_of_layers_at_every_lod(
    variant: str, reference: Mapping[str, np.ndarray]
) -> None:
    """Published in float32 to 1e-3, by the formula in float64 to 1e-5, and their weighted sum."""
    generator = generator_of(variant).double()
    penalty, names, ending = {
        "orojar": (aw.orojar_penalty, generator.convolutions, "Post_bias"),
        "hessian": (aw.hessian_penalty, generator.norms, "Post_norm"),
    }[variant]
    z = torch.from_numpy(reference["penalty_latents"]).double()
    probes = torch.from_numpy(reference["probes"]).double()
    given: Any = {"probes": probes, "correction": 0}
    with torch.no_grad():
        values = [penalty(generator, z, layers=[name], **given, **PUBLISHED_WAY) for name in names]
    titles = [f"{name.replace('.', '/').removesuffix('_norm')}/{ending}" for name in names]
    published = PENALTIES["values"][variant]
    exact = PENALTIES["by_formula_float64"][variant]
    for lod in LODS:
        shares, key = generator.shares(lod), str(lod)
        for title, share, value in zip(titles, shares, values, strict=True):
            assert share * float(value) == pytest.approx(exact[title][key], rel=1e-5)
            assert share * float(value) == pytest.approx(published["max"][title][key], rel=1e-3)
        given |= {"conditioning": {"lod": lod}}
        layers = generator.layers_at(names, {"lod": lod})
        with torch.no_grad():
            of_images = penalty(generator, z, **given, **PUBLISHED_WAY)
            totals = {
                reduction: penalty(
                    generator,
                    z,
                    layers=layers,
                    **given,
                    **{**PUBLISHED_WAY, "reduction": reduction},
                )
                for reduction in ("max", "mean")
            }
        assert shares[-1] * float(of_images) == pytest.approx(exact["images_out"][key], rel=1e-4)
        for reduction, total in totals.items():
            wanted = published[reduction]["sum of all convolutions"][key]
            assert float(total) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("lod", [0, 0.5])
@pytest.mark.parametrize("variant", VARIANTS)
def test_published_losses(variant: str, lod: float, reference: Mapping[str, np.ndarray]) -> None:
    """WGAN-GP with penalty 10 and drift 1e-3, real and generated images in passes of their own."""
    expected = ABOUT["losses"]["values"][f"{variant} lod {lod}"]
    generator = generator_of(variant)
    critic = ProgressiveCritic.from_published(filled("discriminator", unit=True))
    z = torch.from_numpy(reference["latents"][:4])
    real = torch.from_numpy(uniform(1000, (4, 3, 32, 32)).astype(np.float32))
    mix = torch.from_numpy((uniform(2000, (4, 1, 1, 1)).astype(np.float32) + 1) / 2)
    with torch.no_grad():
        fake = generator(z, lod)

    def apart(images: Tensor) -> Tensor:
        return torch.cat([critic(some, lod) for some in images.split(4)])

    objective = ProgressiveWGANGP()  # its share of mixed images is that of the real ones
    terms, scores = objective.critic_terms(apart, real, fake, 1 - mix.flatten())
    total = torch.stack([weight * value for weight, value in terms.values()]).sum()
    assert total.item() == pytest.approx(expected["D_mean"], rel=1e-5)
    (weight, value), *_ = objective.generator_terms(scores[4:]).values()
    assert weight * value.item() == pytest.approx(expected["G"], rel=1e-5)

    # Published as the sum of (batch, 1) and (batch,): the mean of all pairs is the loss.
    between = real.lerp(fake, mix).requires_grad_()
    (slopes,) = torch.autograd.grad(critic(between, lod).sum(), between)
    steep = (slopes.flatten(1).norm(dim=1) - 1).square()
    matrix = scores[4:] - scores[:4] + 1e-3 * scores[:4].square() + 10 * steep
    assert_near(matrix, expected["D_matrix"])


NETWORKS: dict[str, Any] = {
    "generator": ProgressiveGenerator.from_published,
    "discriminator": ProgressiveCritic.from_published,
    "discriminator_infogan": ProgressiveCritic.from_published,
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"missing \['8x8/Conv1?0?/weight'\]|missing \['8x8/Conv[01]/weight'\]"),
        ("unknown", r"unknown \['lod'\]"),
        ("misshapen", r"4x4/Conv/weight'\] must be \(3, 3, 1[67], 16\), got \(16, 1[67], 3, 3\)"),
        ("flat", r"_lod0/bias'\] must have 1 dimensions|_lod0/weight'\] must have 4 dimensions"),
        ("whole numbers", "4x4/Conv/bias' must be floating-point, got int64"),
        ("empty", "must have the published names: missing"),
        ("another's", r"missing '(To|From)RGB_lod0/weight' and .*; got \['3x3'\]"),
    ],
)
def test_other_variables_are_refused_by_name(network: str, change: str, message: str) -> None:
    variables = filled(network)
    if change == "missing":
        del variables["8x8/Conv1/weight" if network == "generator" else "8x8/Conv0/weight"]
    if change == "unknown":
        variables["lod"] = np.zeros((), np.float32)
    if change == "misshapen":
        variables["4x4/Conv/weight"] = variables["4x4/Conv/weight"].transpose(3, 2, 0, 1)
    if change == "flat":
        for name in variables:
            if "lod0" in name:
                variables[name] = variables[name].reshape(-1, 1)
    if change == "whole numbers":
        variables["4x4/Conv/bias"] = np.zeros(16, np.int64)
    if change == "empty":
        variables = {}
    if change == "another's":
        variables = {"3x3": np.zeros(3, np.float32)}
    with pytest.raises((ValueError, TypeError), match=message):
        NETWORKS[network](variables)


def published_layout(network: torch.nn.Module) -> dict[str, Tensor]:
    """Variables as the authors' program would have them."""
    variables = {}
    for name, value in network.state_dict().items():
        if value.dim() == 4:
            value = value.permute(2, 3, 0, 1) if "Conv0_up" in name else value.permute(2, 3, 1, 0)
        variables[name.replace(".", "/")] = value.T if value.dim() == 2 else value
    return variables


@pytest.mark.parametrize("kind", ["read-only", "foreign bytes", "tensors", "bfloat16"])
def test_variables_may_be_arrays_or_tensors(kind: str) -> None:
    plain, changed = filled("generator"), dict[str, Any]()
    for name, value in plain.items():
        changed[name] = value.astype(">f4") if kind == "foreign bytes" else value
        if kind == "read-only":
            value.setflags(write=False)
        if kind in ("tensors", "bfloat16"):
            changed[name] = torch.tensor(value)
        if kind == "bfloat16":
            changed[name] = changed[name].bfloat16()
    found = ProgressiveGenerator.from_published(changed).state_dict()
    wanted = generator_of("orojar").state_dict()
    for name, value in wanted.items():
        assert found[name].dtype == (torch.bfloat16 if kind == "bfloat16" else torch.float32)
        assert torch.equal(found[name], value.to(found[name].dtype))


@pytest.mark.parametrize("hidden", [[7], [5, 6], [3, 7, 2, 4]])
def test_all_sizes_are_read_off_the_variables(hidden: list[int]) -> None:
    size = 2 * 2 ** len(hidden)
    generator = ProgressiveGenerator(
        size, latent_dim=9, channels=2, normalize_latents=True, hidden=hidden
    ).double()
    same = ProgressiveGenerator.from_published(published_layout(generator), normalize_latents=True)
    assert same.arguments == generator.arguments
    z = torch.randn(2, 9, dtype=torch.float64)
    assert torch.equal(same(z), generator(z))

    critic = ProgressiveCritic(size, channels=2, codes=3, hidden=[11, *hidden])
    alike = ProgressiveCritic.from_published(published_layout(critic))
    assert alike.arguments == critic.arguments
    images = torch.randn(4, 2, size, size)
    assert all(map(torch.equal, alike.with_codes(images), critic.with_codes(images)))


def test_feature_maps_are_the_papers_at_any_width() -> None:
    assert ProgressiveGenerator(128, width=1 / 16).hidden == [32, 32, 32, 32, 16, 8]
    assert ProgressiveCritic(128, width=1 / 16).hidden == [32, 32, 32, 32, 32, 16, 8]
    assert ProgressiveGenerator(4, width=1 / 64).hidden == [8]
    assert _stages(1024, 1) == [512, 512, 512, 512, 512, 256, 128, 64, 32, 16]
    wide = ProgressiveGenerator(64, width=1 / 64)
    assert wide.convolutions[:3] == ["4x4.Dense", "4x4.Conv", "8x8.Conv0_up"]
    assert wide.norms[-1] == "64x64.Conv1_norm"
    assert wide.sides == [4, 4, 8, 8, 16, 16, 32, 32, 64, 64]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 48}, "size must be a power of 2, at least 4, got 48"),
        ({"size": 2}, "size must be a power of 2, at least 4, got 2"),
        ({"size": 0}, "size must be a power of 2, at least 4, got 0"),
        ({"size": -8}, "size must be a power of 2, at least 4, got -8"),
        ({"width": 0.0}, r"width must be > 0, got 0\.0"),
        ({"width": math.nan}, "width must be > 0, got nan"),
        ({"channels": 0}, "channels must be at least 1, got 0"),
        ({"size": 8, "hidden": [3]}, r"hidden must be [23] numbers ≥ 1 at size 8, got \[3\]"),
        ({"size": 8, "hidden": [3, 0, 2]}, r"hidden must be [23] numbers ≥ 1 at size 8"),
        ({"size": 8, "hidden": []}, "hidden must be [23] numbers ≥ 1 at size 8"),
    ],
)
@pytest.mark.parametrize("network", [ProgressiveGenerator, ProgressiveCritic])
def test_arguments_out_of_range_are_refused(
    network: type, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        network(**{"width": 1 / 64, **arguments})


def test_latents_and_codes_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="latent_dim must be at least 1, got 0"):
        ProgressiveGenerator(8, latent_dim=0)
    with pytest.raises(ValueError, match="codes must be ≥ 0, got -1"):
        ProgressiveCritic(8, codes=-1)
    critic = ProgressiveCritic(8, width=1 / 64)
    with pytest.raises(ValueError, match="codes must be at least 1 for a critic that guesses"):
        critic.with_codes(torch.zeros(4, 3, 8, 8))


@pytest.mark.parametrize("lod", [-0.1, 2.1, math.nan, math.inf])
def test_a_lod_out_of_range_is_refused(lod: float) -> None:
    generator, critic = ProgressiveGenerator(16, width=1 / 64), ProgressiveCritic(16, width=1 / 64)
    for call in (
        lambda: generator(torch.zeros(1, 12), lod),
        lambda: generator.shares(lod),
        lambda: critic(torch.zeros(1, 3, 16, 16), lod),
    ):
        with pytest.raises(ValueError, match="lod must be between 0 and 2, which is 4 × 4, got"):
            call()


@pytest.mark.parametrize(
    ("batch", "fits"), [(1, True), (2, True), (3, True), (4, True), (6, False), (8, True)]
)
def test_images_go_into_groups_of_four_i_modulo_their_number(batch: int, fits: bool) -> None:
    torch.manual_seed(0)
    critic = ProgressiveCritic(8, width=1 / 64).double()
    images = torch.randn(batch, 3, 8, 8, dtype=torch.float64)
    if not fits:
        with pytest.raises(ValueError, match=r"images must be up to 4 or a multiple of 4.*got 6"):
            critic(images)
        return
    scores = critic(images)
    groups = max(1, batch // 4)
    for group in range(groups):
        alone = critic(images[group::groups])
        torch.testing.assert_close(alone, scores[group::groups])
    if batch > 1:
        others = critic(torch.cat([images[:1], images[:1].expand(batch - 1, -1, -1, -1)]))
        assert (others[0] - scores[0]).abs() > 1e-6


def test_a_lod_runs_no_more_layers_than_it_needs() -> None:
    """Those that run are those with a share, and gradients go to them alone."""
    generator = ProgressiveGenerator(32, width=1 / 64)
    critic = ProgressiveCritic(32, width=1 / 64)
    for lod in (0, 0.25, 1, 1.5, 3):
        for network, given in (
            (generator, torch.randn(2, 12)),
            (critic, torch.randn(2, 3, 32, 32)),
        ):
            network.zero_grad(set_to_none=True)
            network(given, lod).sum().backward()
        run = [generator.get_submodule(n).weight.grad is not None for n in generator.convolutions]
        assert run == [share > 0 for share in generator.shares(lod)]
        level = math.floor(lod)
        for network, name in ((generator, "ToRGB"), (critic, "FromRGB")):
            used = [
                network.get_submodule(f"{name}_lod{i}").weight.grad is not None for i in range(4)
            ]
            assert used == [i == level or (i == level + 1 and lod > level) for i in range(4)]


def test_images_and_scores_change_continuously_with_lod() -> None:
    generator = ProgressiveGenerator(16, width=1 / 64).double()
    critic = ProgressiveCritic(16, width=1 / 64).double()
    z, step = torch.randn(4, 12, dtype=torch.float64), 1e-9
    images = generator(z)
    for lod in (1, 2):
        for network, given in ((generator, z), (critic, images)):
            torch.testing.assert_close(
                network(given, lod), network(given, lod - step), rtol=0, atol=1e-6
            )
    assert torch.equal(generator(z, 2)[:, :, ::4, ::4], generator(z, 2)[:, :, 3::4, 3::4])


@pytest.mark.parametrize("normalize_latents", [False, True])
def test_jacobians_of_layers_and_their_gradients_are_exact(normalize_latents: bool) -> None:
    """Against reverse mode, at a lod within a fade; the output is the generator's at that lod."""
    torch.manual_seed(0)
    generator = ProgressiveGenerator(
        8, latent_dim=2, hidden=[3, 2], normalize_latents=normalize_latents
    ).double()
    z, lod = torch.randn(2, 2, dtype=torch.float64), 0.5
    names = [*generator.convolutions, *generator.norms]
    parameters = list(generator.parameters())

    def outputs(z: Tensor) -> tuple[Tensor, ...]:
        kept: dict[str, Tensor] = {}
        hooks = [
            generator.get_submodule(name).register_forward_hook(
                lambda _m, _i, output, name=name: kept.update({name: output})
            )
            for name in names
        ]
        generator(z[None], lod)
        for hook in hooks:
            hook.remove()
        return tuple(kept[name][0] for name in names)

    jacobian = aw.Jacobian(generator, z, layers=names, conditioning={"lod": lod})
    ours = jacobian.columns()
    theirs = [torch.autograd.functional.jacobian(outputs, one, create_graph=True) for one in z]
    totals: list[Any] = [0.0, 0.0]
    for i, column in enumerate(ours):
        oracle = torch.stack([sample[i].movedim(-1, 0) for sample in theirs])
        torch.testing.assert_close(column, oracle)
        for place, value in enumerate((column, oracle)):
            totals[place] = totals[place] + (value.sin() * (i + 1)).sum()
    gradients = [
        torch.autograd.grad(total, parameters, allow_unused=True, materialize_grads=True)
        for total in totals
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)
    assert torch.equal(jacobian.output, generator(z, lod))


def test_the_critic_s_gradient_penalty_has_exact_gradients() -> None:
    """The backward pass of a slope, against differences: convolutions with stride, and fades."""
    torch.manual_seed(0)
    critic = ProgressiveCritic(16, channels=1, hidden=[3, 3, 4, 2]).double()
    images = torch.randn(4, 1, 16, 16, dtype=torch.float64, requires_grad=True)

    def slope(*parameters: Tensor) -> Tensor:
        named = dict(zip(dict(critic.named_parameters()), parameters, strict=True))
        scores = torch.func.functional_call(critic, named, (images, 0.5))
        (slopes,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
        return slopes.square().sum()

    parameters = [p.detach().requires_grad_() for p in critic.parameters()]
    assert torch.autograd.gradcheck(slope, parameters, fast_mode=True)


def test_networks_are_saved_and_loaded_like_any(tmp_path: Path) -> None:
    generator = ProgressiveGenerator(16, latent_dim=3, width=1 / 64, normalize_latents=True)
    generator.save_pretrained(tmp_path / "generator")
    z = torch.randn(2, 3)
    for load in (ProgressiveGenerator.from_pretrained, aw.nets.load):
        loaded = load(tmp_path / "generator")
        assert torch.equal(loaded(z, 0.5), generator(z, 0.5))
    critic = ProgressiveCritic(16, hidden=[3, 4, 5, 6], codes=2)
    critic.save_pretrained(tmp_path / "critic")
    images = generator(z)
    same = ProgressiveCritic.from_pretrained(tmp_path / "critic")
    assert all(map(torch.equal, same.with_codes(images), critic.with_codes(images)))


def test_generated_images_are_clipped_to_their_range() -> None:
    generator = ProgressiveGenerator(8, width=1 / 64, hidden=[4, 4])
    z = 3 * torch.randn(20, 12)
    assert generator(z).abs().max() > 1
    made = generator.generate(z)
    torch.testing.assert_close(made, ((generator(z) + 1) / 2).clamp(0, 1))


def test_sefa_and_folding_take_the_first_layer() -> None:
    generator = ProgressiveGenerator(8, latent_dim=4, width=1 / 64)
    directions, _ = sefa(generator.get_submodule("4x4.Dense"))
    turned = with_axes(generator, directions)
    w = torch.randn(2, 4)
    torch.testing.assert_close(turned(w), generator(w @ directions), rtol=1e-4, atol=1e-4)
