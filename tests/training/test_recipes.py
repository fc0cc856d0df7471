"""The shipped recipes, and how words become a config."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonargparse import ArgumentError

from axiswise.cli import main
from axiswise.data import (
    Clevr,
    DSprites,
    ImageFolder,
    MPI3DMulti,
    NaturalPatches,
    Sprites,
    ThreeDots,
)
from axiswise.data.factors import is_here
from axiswise.nets import (
    ConvVAE,
    PatchVAE,
    ProgressiveCritic,
    ProgressiveGenerator,
    PublishedSimpleCritic,
    SimpleCritic,
    SimpleGenerator,
    StudyVAE,
)
from axiswise.objectives import (
    DIPVAE,
    WGANGP,
    AnnealedVAE,
    BetaTCVAE,
    BetaVAE,
    FactorVAE,
    InfoGAN,
    NonSaturating,
    ProgressiveWGANGP,
    PublishedInfoGAN,
    PublishedVariationPredictability,
    Term,
    VAEObjective,
    VariationPredictability,
    make_term,
)
from axiswise.runs.protocol import EvaluationProtocol, read_settings
from axiswise.support.files import UnreadableFileError
from axiswise.support.imports import Trust
from axiswise.training.gan import GANRecipe, GANTrainer
from axiswise.training.progressive import ProgressiveRecipe
from axiswise.training.recipe import (
    recipe_descriptions,
    recipe_names,
    recipe_path,
)
from axiswise.training.trainer import start
from axiswise.training.vae import VAERecipe, VAETrainer

SPRITES = ["gan", "orojar", "hessian", "vp", "infogan", "jl1", "orojar-jl1"]
# What the recipes on three dots minimise, and the terms that some add.
THREE_DOTS: dict[str, VAEObjective] = {
    "jl1": BetaVAE(beta=4.0),
    "beta": BetaVAE(beta=4.0),
    "jl2": BetaVAE(beta=4.0),
    "annealed": AnnealedVAE(gamma=1000.0, capacity=25.0),
    "factor": BetaVAE(beta=1.0),
    "dip-i": DIPVAE(variant="i", lambda_od=5.0, lambda_d=50.0),
    "dip-ii": DIPVAE(variant="ii", lambda_od=5.0, lambda_d=5.0),
    "tc": BetaTCVAE(beta=4.0, sampling="weighted"),
}
ON_DOTS: dict[str, dict[str, Term]] = {
    "jl1": {"jl1": make_term("jl1", weight=0.1)},
    "jl2": {"jl2": make_term("jl2", weight=0.1)},
    "factor": {"factor_vae": FactorVAE(weight=30.0, features=1000, learning_rate=1e-4)},
}
# Data of the progressive GANs: latents, the Hessian Penalty's weight, OroJaR's, InfoGAN's codes.
GROWING: dict[str, tuple[int, float, float, int]] = {
    "edges-shoes": (12, 0.1, 1e-5, 12),
    "clevr-simple": (12, 0.1, 1e-6, 4),
    "clevr-complex": (12, 0.1, 1e-5, 10),
    "clevr-u": (3, 0.025, 1e-4, 3),
    "clevr-1fov": (12, 0.025, 1e-4, 1),
}
GROWN = ["gan", "hessian", "infogan", "orojar"]
PROMISED = {
    *(f"sprites-{kind}{suffix}" for kind in SPRITES for suffix in ("", "-fast")),
    *(f"dsprites-{kind}" for kind in ("gan", "orojar", "hessian", "vp", "infogan")),
    "celeba-orojar",
    "image-folder-jl1",
    "image-folder-orojar",
    *(f"three-dots-{kind}{suffix}" for kind in THREE_DOTS for suffix in ("", "-fast")),
    *("three-dots-demo", "three-dots-beta-study"),
    *(f"natural-{kind}{suffix}" for kind in ("jl1", "beta") for suffix in ("", "-fast")),
    *(f"mpi3d-multi-{kind}" for kind in ("jl1", "beta")),
    *(f"sprites-grid-{kind}-fast" for kind in ("jl1", "beta")),
    *(f"{data}-{kind}" for data in GROWING for kind in GROWN),
    *(f"clevr-{data}-{kind}-fast" for data in ("simple", "1fov") for kind in GROWN),
    *(f"clevr-simple-{kind}-fast" for kind in ("jl1", "beta")),
}
# Each by its data and length: of a pair, the first adds JL1 to the other and nothing else.
PAIRS = [
    *(("sprites-grid", "-fast"), ("clevr-simple", "-fast"), ("mpi3d-multi", "")),
    *(("natural", ""), ("natural", "-fast")),
]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    from PIL import Image

    folder = tmp_path / "images"
    folder.mkdir()
    rng = torch.Generator().manual_seed(0)
    for number in range(6):
        colour = torch.randint(256, (3,), generator=rng).tolist()
        picture = Image.new("RGB", (40, 30), tuple(colour))
        picture.paste((0, 0, 0), (5 * number, 10, 5 * number + 8, 18))
        picture.save(folder / f"{number}.png")
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    Image.new("RGB", (40, 20), (9, 80, 200)).save(pairs / "0.png")
    return folder


def _words(name: str, images: Path) -> list[str]:
    if name.startswith("edges-shoes"):
        return ["--data.path", str(images.parent / "pairs")]
    return ["--data.path", str(images)] if name.startswith(("image-folder", "celeba")) else []


def test_all_promised_recipes_are_shipped() -> None:
    assert set(recipe_names()) >= PROMISED
    assert recipe_names() == sorted(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
def test_a_shipped_recipe_is_built_and_describes_itself(name: str, images: Path) -> None:
    """Its networks take and make images of the data's shape, and have the layers it names."""
    # None of the images here is large enough for CelebA's crop.
    crop = ["--data.crop", "null"] if name == "celeba-orojar" else []
    config = read_settings(recipe_path(name), [*_words(name, images), *crop]).build()
    if isinstance(config, ProgressiveRecipe):  # whose weights would take seconds to draw
        narrow = ["--generator.width", "0.01", "--critic.width", "0.01"]
        narrow = [] if name.endswith("-fast") else narrow
        config = read_settings(recipe_path(name), [*_words(name, images), *narrow]).build()
    assert config.name == name
    assert config.description == recipe_descriptions()[name]
    assert 20 <= len(config.description) <= 100
    channels, height, width = config.data.shape
    drawn = torch.rand(2, channels, height, width)
    if is_here(config.data) is not False:  # MPI3D's images are 12 GB, IMAGES.mat has no address
        drawn = config.data.render(config.data.draw(2, torch.Generator().manual_seed(0)))
    trainer = start(config)
    if isinstance(trainer, VAETrainer):
        vae = trainer.model
        assert isinstance(vae, ConvVAE | PatchVAE | StudyVAE)
        assert (vae.channels, vae.size, vae.size) == (channels, height, width)
        mean, _ = vae.encoder(drawn)
        assert vae.decoder(mean).shape == drawn.shape
        return
    assert isinstance(trainer, GANTrainer)
    generator, critic = trainer.generator, trainer.critic
    assert isinstance(generator, SimpleGenerator | ProgressiveGenerator)
    assert isinstance(critic, SimpleCritic | ProgressiveCritic)
    for network in (generator, critic):
        assert (network.channels, network.size, network.size) == (channels, height, width)
    assert generator(torch.zeros(2, generator.latent_dim)).shape == drawn.shape
    assert critic(drawn).shape == (2, 1)
    for term in config.terms.values():
        layers = getattr(term, "layers", [])
        names = (
            generator.norms if layers and layers[0].endswith("_norm") else generator.convolutions
        )
        assert layers == names[: len(layers)]
        if layers and isinstance(generator, ProgressiveGenerator):
            assert len(layers) == len(names) - 2  # all blocks but the last


@pytest.mark.parametrize("name", recipe_names())
def test_what_is_written_to_a_run_s_folder_reads_back_the_same(
    name: str, images: Path, tmp_path: Path
) -> None:
    config = read_settings(recipe_path(name), [*_words(name, images), "--seed", "5"])
    path = tmp_path / "config.yaml"
    path.write_text(config.dump())
    again = read_settings(path)
    assert again.dump() == path.read_text()
    assert again.keys == config.keys
    written = yaml.safe_load(path.read_text())
    assert (written["name"], written["seed"]) == (name, 5)


@pytest.mark.parametrize("kind", THREE_DOTS)
def test_the_paper_s_recipes_have_the_paper_s_numbers(kind: str) -> None:
    settings = read_settings(recipe_path(f"three-dots-{kind}"))
    config = settings.build()
    assert isinstance(config, VAERecipe)
    assert config.terms == ON_DOTS.get(kind, {})
    assert config.objective == THREE_DOTS[kind]
    # disentanglement_lib counts FactorVAE's two updates of a batch as two of 300,000 steps.
    steps = 150_000 if kind == "factor" else 300_000
    assert (config.batch_size, config.learning_rate, config.steps) == (64, 1e-4, steps)
    constant = kind in ("factor", "dip-i", "dip-ii", "tc")  # in the study that they come from
    assert round(config.anneal * config.steps) == (0 if constant else 100_000)
    assert (config.decay_start, config.precision) == (1.0, "32-true")
    assert settings.section("evaluation") == EvaluationProtocol()
    assert isinstance(config.data, ThreeDots)
    assert config.data.factor_sizes == (64,) * 6
    assert config.data.shape == (1, 64, 64)
    own = kind in ("jl1", "jl2", "beta")  # the others are the study's
    assert type(start(config).model) is (ConvVAE if own else StudyVAE)
    assert start(config).model.arguments == (ConvVAE if own else StudyVAE)().arguments
    assert "2106.02923" in config.source


def test_figure_five_s_beta_vae_has_the_study_s_network_and_a_constant_beta() -> None:
    own, study = (
        yaml.safe_load(read_settings(recipe_path(f"three-dots-{name}")).dump())
        for name in ("beta", "beta-study")
    )
    assert {key for key in own if own[key] != study[key]} == {
        *("name", "description", "source", "model", "anneal")
    }
    built = read_settings(recipe_path("three-dots-beta-study")).build()
    assert isinstance(built, VAERecipe)
    assert (built.anneal, built.objective) == (0.0, BetaVAE(beta=4.0))
    assert type(start(built).model) is StudyVAE


def test_natural_patches_are_the_paper_s() -> None:
    config = read_settings(recipe_path("natural-jl1")).build()
    assert isinstance(config, VAERecipe)
    assert isinstance(config.data, NaturalPatches)
    assert (config.data.pictures, config.data.size) == ("published", 16)
    model = start(config).model
    assert type(model) is PatchVAE
    assert model.arguments == PatchVAE().arguments
    assert (config.batch_size, config.learning_rate, config.steps) == (128, 1e-3, 100_000)
    assert round(config.anneal * config.steps) == 50_000
    assert config.objective == BetaVAE(beta=0.01)
    assert config.terms == {"jl1": make_term("jl1", weight=0.01)}


def _published(name: str, weight: float, convolutions: int) -> dict[str, Term]:
    """A penalty as OroJaR's authors took it in all their GANs."""
    layers = ["0.1", *(f"{index}.0" for index in range(1, convolutions))]
    settings = {"reduction": "max", "method": "finite", "epsilon": 0.1, "layers": layers}
    return {name: make_term(name, weight=weight, probes=2, **settings)}


JL1: dict[str, Term] = {"jl1": make_term("jl1", weight=1e-3, columns=1)}
ADDED: dict[str, dict[str, Term]] = {
    "gan": {},
    "orojar": _published("orojar", 1e-11, 4),
    "hessian": _published("hessian", 1e-3, 4),
    "vp": {"vp": PublishedVariationPredictability(weight=0.1)},
    "infogan": {"infogan": PublishedInfoGAN(weight=1.0)},
    "jl1": JL1,
    "orojar-jl1": _published("orojar", 1e-11, 4) | JL1,
}


def _assert_orojar_s_game(config: GANRecipe, latent_dim: int) -> None:
    """What OroJaR's authors have in both of their GANs."""
    assert config.objective == WGANGP(gradient_penalty=10.0)
    assert (config.learning_rate, config.betas, config.batch_size) == (2e-4, (0.5, 0.999), 128)
    assert (config.anneal, config.delay, config.precision) == (0.0, 0.0, "32-true")
    trainer = start(config)
    assert isinstance(trainer, GANTrainer)
    assert isinstance(trainer.generator, SimpleGenerator)
    assert isinstance(trainer.critic, PublishedSimpleCritic)
    assert trainer.critic.codes == (6 if "infogan" in config.terms else 0)
    assert (trainer.generator.width, trainer.critic.width) == (1.0, 1.0)
    assert trainer.model.latent_dim == latent_dim


@pytest.mark.parametrize("kind", SPRITES)
def test_the_gans_on_sprites_have_the_published_numbers(kind: str) -> None:
    config = read_settings(recipe_path(f"sprites-{kind}")).build()
    assert isinstance(config, GANRecipe)
    assert config.terms == ADDED[kind]
    _assert_orojar_s_game(config, latent_dim=6)
    assert isinstance(config.data, Sprites)
    assert config.data.shape == (1, 64, 64)
    if kind in ("gan", "orojar", "hessian", "vp"):
        assert "2108.07668" in config.source


def test_the_gan_on_celeba_has_the_published_numbers(images: Path) -> None:
    settings = read_settings(recipe_path("celeba-orojar"), ["--data.path", str(images)])
    config, protocol = settings.build(), settings.section("evaluation")
    assert isinstance(config, GANRecipe)
    assert config.terms == _published("orojar", 1e-6, 5)
    _assert_orojar_s_game(config, latent_dim=30)
    assert isinstance(config.data, ImageFolder)
    assert (config.data.shape, config.data.crop) == ((3, 128, 128), 170)
    assert not config.data.flip
    assert not config.data.antialias
    # 600 + 600 epochs of 202,599 images, the last batch of each smaller.
    assert config.steps == 1200 * math.ceil(202_599 / 128)
    assert (config.decay_start, config.ema) == (0.5, 0.0)
    assert (protocol.vp, protocol.vp_latents) == ("clevr", 10)
    assert "2108.07668" in config.source


@pytest.mark.parametrize("kind", ["gan", "orojar", "hessian", "vp", "infogan"])
def test_the_gans_on_dsprites_differ_from_ours_in_data_length_and_average(kind: str) -> None:
    ours, theirs = (
        read_settings(recipe_path(f"{data}-{kind}")).tree() for data in ("sprites", "dsprites")
    )
    told = {"name", "description", "source", "log_every", "checkpoint_every"}
    assert {key for key in ours if ours[key] != theirs[key]} == told | {"data", "steps", "ema"}
    assert theirs["data"]["class_path"] == "axiswise.data.DSprites"
    assert theirs["data"]["init_args"]["size"] == 64
    assert (theirs["steps"], theirs["ema"]) == (1200 * 737_280 // 128, 0.0)
    assert f"are ours, dsprites-{kind} has theirs" in ours["source"]


@pytest.mark.parametrize("kind", GROWN)
@pytest.mark.parametrize("data", GROWING)
def test_the_progressive_gans_have_the_published_numbers(
    data: str, kind: str, images: Path
) -> None:
    name = f"{data}-{kind}"
    settings = read_settings(recipe_path(name), _words(name, images))
    config, keys = settings.build(), settings.keys
    assert isinstance(config, ProgressiveRecipe)
    latents, hessian, orojar, codes = GROWING[data]
    wanted = {"latent_dim": latents, "width": 1.0, "normalize_latents": kind == "hessian"}
    assert wanted.items() <= keys.generator.init_args.as_dict().items()
    assert keys.critic.init_args.codes == (codes if kind == "infogan" else 0)
    settings_of_both: dict[str, Any] = {
        "probes": 2,
        "correction": 0,
        "reduction": "max",
        "method": "finite",
        "epsilon": 0.1,
    }
    network = ProgressiveGenerator(128, width=0.01)
    assert (
        config.terms
        == {
            "gan": {},
            "infogan": {"infogan_published": PublishedInfoGAN(weight=1.0)},
            "hessian": {
                "hessian": make_term(
                    "hessian", weight=hessian, layers=network.norms[:10], **settings_of_both
                )
            },
            "orojar": {
                "orojar": make_term(
                    "orojar", weight=orojar, layers=network.convolutions[:10], **settings_of_both
                )
            },
        }[kind]
    )
    assert config.objective == ProgressiveWGANGP(gradient_penalty=10.0, drift=1e-3)
    assert (config.learning_rate, config.betas) == (1e-3 if kind == "hessian" else 2e-4, (0, 0.99))
    assert config.images == (100_000_000 if kind == "orojar" else 50_000_000)
    assert (config.stable_images, config.fading_images, config.half_life) == (6e5, 6e5, 10_000)
    assert (config.parts, config.repeats, config.precision) == (4, 4, "32-true")
    assert config.schedule.batches == [2048, 1024, 512, 256, 128, 96]
    assert config.data.shape == (3, 128, 128)
    if data != "edges-shoes":
        variant = {"clevr-u": "simple"}.get(data, data.removeprefix("clevr-"))
        assert isinstance(config.data, Clevr)
        assert config.data.variant == variant
    assert "2008.10599" in config.source or kind == "orojar"
    assert "2108.07668" in config.source


@pytest.mark.parametrize("kind", GROWN)
@pytest.mark.parametrize("data", ["simple", "1fov"])
def test_the_fast_progressive_gans_differ_in_the_added_term_alone(data: str, kind: str) -> None:
    plain, other = (
        yaml.safe_load(read_settings(recipe_path(f"clevr-{data}-{name}-fast")).dump())
        for name in ("gan", kind)
    )
    plain.pop("terms", None)
    names = {"gan": [], "infogan": ["infogan_published"]}.get(kind, [kind])
    assert list(other.pop("terms", {})) == names
    other["critic"]["init_args"]["codes"] = 0
    told = {"name", "description", "source"}
    assert {key for key in other if plain[key] != other[key]} <= told
    # OroJaR's network and rate, of which the weights of all penalties are.
    assert not other["generator"]["init_args"]["normalize_latents"]
    assert other["learning_rate"] == 2e-4


def test_recipes_on_clevr_take_a_folder_of_images(images: Path) -> None:
    """The authors' own pictures, of any size."""
    config = read_settings(recipe_path("clevr-complex-orojar"), ["--data", str(images)]).build()
    assert isinstance(config.data, ImageFolder)
    assert config.data.shape == (3, 128, 128)


def test_a_folder_is_data_wherever_it_lies_and_keeps_a_class_that_reads_folders(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def data_of(recipe: str, word: str) -> Any:
        return read_settings(recipe_path(recipe), [f"--data={word}"]).build().data

    monkeypatch.chdir(images.parent)
    assert repr(data_of("edges-shoes-gan", "pairs")) == "EdgesShoes('pairs', size=128)"
    assert data_of("celeba-orojar", "./images").crop == 170
    with pytest.raises(FileNotFoundError, match="'images/none' does not exist"):
        data_of("clevr-simple-gan-fast", "images/none")
    assert isinstance(data_of("sprites-gan-fast", "axiswise.data.ThreeDots"), ThreeDots)


@pytest.mark.parametrize("suffix", ["", "-fast"])
@pytest.mark.parametrize("kind", SPRITES)
def test_the_gans_on_sprites_differ_in_the_added_term_alone(kind: str, suffix: str) -> None:
    plain, other = (
        yaml.safe_load(read_settings(recipe_path(f"sprites-{name}{suffix}")).dump())
        for name in ("gan", kind)
    )
    told = {"name", "description", "source"}
    assert list(other.pop("terms", {})) == list(ADDED[kind])
    for recipe in (plain, other):
        recipe["critic"]["init_args"].pop("codes", None)  # of InfoGAN's head
    assert {key for key in other if plain[key] != other[key]} <= told


@pytest.mark.parametrize("kind", SPRITES)
def test_the_fast_gans_have_the_same_terms_in_our_forms(kind: str) -> None:
    ours = {
        PublishedInfoGAN: InfoGAN,
        PublishedVariationPredictability: VariationPredictability,
    }
    config = read_settings(recipe_path(f"sprites-{kind}-fast")).build()
    assert isinstance(config, GANRecipe)
    assert {name: type(term) for name, term in config.terms.items()} == {
        name: ours.get(type(term), type(term)) for name, term in ADDED[kind].items()
    }
    # Behind a norm the plain form is lowered by scale alone: see docs/gans.md.
    if orojar := config.terms.get("orojar"):
        assert (orojar.normalize, orojar.layers) == (True, [])  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["gan", "orojar-jl1-fast"])
def test_recipes_on_sprites_take_the_published_dsprites(kind: str, tmp_path: Path) -> None:
    """Nothing is read or downloaded before images are wanted."""
    words = ["--data", "axiswise.data.DSprites", "--data.data_dir", str(tmp_path)]
    config = read_settings(recipe_path(f"sprites-{kind}"), words).build()
    assert isinstance(config.data, DSprites)
    assert config.data.data_dir == tmp_path
    assert start(config).model.size == config.data.size
    assert list(tmp_path.iterdir()) == []


def test_the_trainer_is_the_file_s_and_a_vae_where_it_says_none(tmp_path: Path) -> None:
    for name in recipe_names():
        written = yaml.safe_load(recipe_path(name).read_text())
        of_gan = "progressive" if name.startswith(("clevr", "edges")) else "gan"
        assert written["trainer"] == ("vae" if "model" in written else of_gan), name
    path = tmp_path / "mine.yaml"
    path.write_text("data: {class_path: axiswise.data.ThreeDots}\nmodel: axiswise.nets.ConvVAE\n")
    assert isinstance(read_settings(path).build(), VAERecipe)
    path.write_text("trainer: flow\nsteps: 3\n")
    with pytest.raises(UnreadableFileError, match=f"{path} is no recipe: trainer must be one of"):
        read_settings(path)


@pytest.mark.parametrize("word", [["--trainer", "gan"], ["--trainer=gan"]])
def test_a_trainer_on_the_command_line_chooses_the_keys(word: list[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    networks = "generator: axiswise.nets.SimpleGenerator\ncritic: axiswise.nets.SimpleCritic\n"
    path.write_text(f"data: {{class_path: axiswise.data.ThreeDots}}\n{networks}")
    assert isinstance(read_settings(path, [*word, "--ema", "0.5"]).build(), GANRecipe)
    with pytest.raises(ArgumentError, match=r"beta|model"):
        read_settings(recipe_path("three-dots-beta"), word)
    with pytest.raises(ValueError, match=r"^trainer must be one of gan, .*vae.* got 'flow'"):
        read_settings(path, ["--trainer", "flow"])


def test_overrides_reach_every_level_of_a_gan() -> None:
    words = (
        "--steps 7 --data.size 16 --generator.latent_dim 3 --generator.width 0.1 --ema 0 "
        "--betas [0,0.9] --terms.vp.weight 0.3 --terms.vp.anneal 0.5 --terms.infogan.latents=2 "
        "--critic.width 0.2 --terms.jl2.delay 0.25 "
        "--objective axiswise.objectives.NonSaturating --objective.r1 3"
    )
    config = read_settings(recipe_path("sprites-orojar-fast"), words.split()).build()
    assert isinstance(config, GANRecipe)
    assert (config.steps, config.ema, config.betas) == (7, 0.0, (0.0, 0.9))
    trainer = start(config)
    assert isinstance(trainer, GANTrainer)
    assert trainer.generator.arguments == {
        "size": 16,
        "latent_dim": 3,
        "channels": 1,
        "width": 0.1,
    }
    assert isinstance(trainer.critic, SimpleCritic)
    assert (trainer.critic.size, trainer.critic.width) == (16, 0.2)
    assert list(config.terms) == ["orojar", "vp", "infogan", "jl2"]
    assert config.terms["vp"] == VariationPredictability(weight=0.3, anneal=0.5)
    assert config.terms["infogan"] == InfoGAN(latents=2)
    assert config.terms["jl2"] == make_term("jl2", delay=0.25)
    assert config.objective == NonSaturating(r1=3.0)


@pytest.mark.parametrize("kind", THREE_DOTS)
def test_the_fast_recipes_keep_architecture_and_data(kind: str) -> None:
    both = [read_settings(recipe_path(f"three-dots-{kind}{suffix}")) for suffix in ("-fast", "")]
    fast, paper = (settings.build() for settings in both)
    sizes = ("size", "channels", "latent_dim")  # the study's encoder is another
    models = [start(recipe).model.arguments for recipe in (fast, paper)]
    assert all(models[0][name] == models[1][name] for name in sizes)
    assert fast.data.shape == paper.data.shape
    assert both[0].section("evaluation") == both[1].section("evaluation")
    assert fast.terms.keys() == paper.terms.keys()


@pytest.mark.parametrize("kind", [kind for kind in THREE_DOTS if kind != "beta"])
def test_the_fast_recipes_differ_from_beta_s_in_penalty_or_objective_alone(kind: str) -> None:
    ours, beta = (
        yaml.safe_load(read_settings(recipe_path(f"three-dots-{name}-fast")).dump())
        for name in (kind, "beta")
    )
    differing = {key for key in ours if ours[key] != beta.get(key)} - {"source"}
    own = {"jl1": {"terms"}, "jl2": {"terms"}, "factor": {"objective", "terms"}}
    assert differing == {"name", "description", *own.get(kind, {"objective"})}
    built = read_settings(recipe_path(f"three-dots-{kind}-fast")).build()
    assert isinstance(built, VAERecipe)
    expected = THREE_DOTS[kind]
    if isinstance(expected, AnnealedVAE):  # the paper's γ loses all information in a short run
        expected = replace(expected, gamma=10.0)
    assert built.objective == expected


# As a run of before there were other objectives left it, and as recipes may still say it.
OLD_FORM = "objective:\n  beta: 3.0\n  likelihood: gaussian\n  sigma: 0.2\n"


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("", "", BetaVAE()),
        ("objective: {beta: 3.0}", "", BetaVAE(beta=3.0)),
        (OLD_FORM, "", BetaVAE(beta=3.0, likelihood="gaussian", sigma=0.2)),
        (OLD_FORM, "--objective.beta 5", BetaVAE(beta=5.0, likelihood="gaussian", sigma=0.2)),
        ("", "--objective.beta 5", BetaVAE(beta=5.0)),
        ("", "--objective axiswise.objectives.DIPVAE", DIPVAE()),
        ("objective: {beta: 3.0}", "--objective AnnealedVAE", AnnealedVAE()),
        ("", "--objective DIPVAE --objective.variant ii", DIPVAE(variant="ii")),
        (
            "objective: {class_path: axiswise.objectives.BetaTCVAE, init_args: {beta: 6.0}}",
            "--objective.sampling stratified --objective.dataset_size 99",
            BetaTCVAE(beta=6.0, sampling="stratified", dataset_size=99),
        ),
    ],
)
def test_an_objective_is_named_by_its_class_and_beta_alone_is_a_beta_vae(
    tiny_recipe: Path, tmp_path: Path, text: str, words: str, expected: VAEObjective
) -> None:
    """And is read back from a run's folder the same."""
    recipe = tiny_recipe.read_text().replace("objective: {beta: 2.0}\n", f"{text}\n")
    tiny_recipe.write_text(recipe)
    config = read_settings(tiny_recipe, words.split())
    built = config.build()
    assert isinstance(built, VAERecipe)
    assert built.objective == expected
    path = tmp_path / "config.yaml"
    path.write_text(config.dump())
    again = read_settings(path).build()
    assert isinstance(again, VAERecipe)
    assert again.objective == expected


@pytest.mark.parametrize(("data", "suffix"), PAIRS)
def test_pairs_on_grids_and_patches_differ_in_jl1_alone(data: str, suffix: str) -> None:
    jl1, beta = (
        yaml.safe_load(read_settings(recipe_path(f"{data}-{kind}{suffix}")).dump())
        for kind in ("jl1", "beta")
    )
    told = {"name", "description", "source"}
    assert list(jl1.pop("terms")) == ["jl1"]
    assert {key for key in jl1 if jl1[key] != beta[key]} <= told
    assert "terms" not in beta


def test_mpi3d_multi_is_the_paper_s() -> None:
    config = read_settings(recipe_path("mpi3d-multi-jl1")).build()
    assert isinstance(config.data, MPI3DMulti)
    assert (config.data.version, config.data.shape) == ("real", (3, 64, 64))
    assert config.data.factor_sizes == (40,) * 8
    dots = read_settings(recipe_path("three-dots-jl1")).build()
    for key in ("steps", "batch_size", "learning_rate", "anneal"):
        assert getattr(config, key) == getattr(dots, key)
    assert isinstance(config, VAERecipe)
    assert config.objective == BetaVAE(beta=0.01)  # the authors' script
    assert config.terms == {"jl1": make_term("jl1", weight=0.01)}


def test_overrides_reach_every_level(tiny_recipe: Path) -> None:
    words = (
        "--steps 7 --terms.jl1.weight 0.3 --terms.jl1.columns null --objective.beta 1.5 "
        "--data.size 32 --data.dots 2 --model.latent_dim 3 --model.hidden [4,8] "
        "--evaluation.radius [0.25] --evaluation.bins 7 --name mine"
    )
    settings = read_settings(tiny_recipe, words.split())
    config, evaluation = settings.build(), settings.section("evaluation")
    assert isinstance(config, VAERecipe)
    assert (config.steps, config.name, config.batch_size) == (7, "mine", 8)
    assert config.terms == {"jl1": make_term("jl1", weight=0.3, columns=None)}
    assert config.objective == BetaVAE(beta=1.5)
    assert config.data.shape == (1, 32, 32)
    assert isinstance(config.data, ThreeDots)
    assert config.data.factor_sizes == (16,) * 4
    vae = start(config).model
    assert isinstance(vae, ConvVAE)
    assert (vae.size, vae.latent_dim, vae.hidden, vae.features) == (32, 3, [4, 8], 16)
    assert (evaluation.radius, evaluation.bins, evaluation.centres) == ([0.25], 7, 2)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--terms.jl1", "null"], {}),
        (["--terms", "null"], {}),
        (["--terms.jl1=null", "--terms.jl1.weight=3e-1"], {"jl1": {"weight": 0.3}}),
        (["--terms", "{jl2: {weight: 2}}"], {"jl2": {"weight": 2.0}}),
        (["--terms.jl1", "{weight: 2}"], {"jl1": {"weight": 2.0, "columns": 1}}),
        (
            ["--terms.orojar.groups", "3", "--steps", "2", "--terms.vp.width", "0.5"],
            {
                "jl1": {"weight": 0.1, "columns": 1},
                "orojar": {"groups": 3},
                "vp": {"width": 0.5},
            },
        ),
        (
            ["--terms.layered.term=jl1", "--terms.layered.layers", "['0']"],
            {"jl1": {"weight": 0.1, "columns": 1}, "layered": {"term": "jl1", "layers": ["0"]}},
        ),
    ],
)
def test_terms_are_added_changed_and_removed_by_overrides(
    tiny_recipe: Path, words: list[str], expected: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """And read back from a run's folder, in their order."""
    settings = read_settings(tiny_recipe, words)
    made = {
        name: make_term(
            str(told.get("term", name)), **{key: told[key] for key in told if key != "term"}
        )
        for name, told in expected.items()
    }
    path = tmp_path / "config.yaml"
    path.write_text(settings.dump())
    for config in (settings.build(), read_settings(path).build()):
        assert config.terms == made
        assert list(config.terms) == list(made)


OWN_TERMS = """
from dataclasses import dataclass
import axiswise as aw
from axiswise.objectives import Term

def scaled(jacobian, factor: float = 2.0, columns=None):
    return factor * aw.jl1_penalty(jacobian, columns=columns)

@dataclass(frozen=True, kw_only=True)
class Bright(Term):
    floor: float = 0.5

    def __call__(self, made, network):
        return (made.images.mean() - self.floor).square()

def needs(jacobian, factor):
    return factor

not_a_term = 3
"""


def test_terms_of_one_s_own_go_by_import_path(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_terms.py").write_text(OWN_TERMS)
    monkeypatch.syspath_prepend(tmp_path)
    added = "  mine: {term: 'own_terms:scaled', factor: 3, columns: 2}\n"
    text = tiny_recipe.read_text().replace("terms: {jl1: {weight: 0.1, columns: 1}}", "terms:")
    tiny_recipe.write_text(text.replace("terms:\n", f"terms:\n{added}"))
    words = ["--terms.bright.term", "own_terms.Bright", "--terms.bright.floor", "0.25"]
    path, trust = tmp_path / "config.yaml", Trust(files=True)
    settings = read_settings(tiny_recipe, words, trust)
    path.write_text(settings.dump())
    for config in (settings.build(), read_settings(path, trust=trust).build()):
        mine, bright = config.terms.values()
        assert (mine.factor, mine.columns, mine.weight) == (3.0, 2, 0.1)  # type: ignore[attr-defined]
        assert bright.floor == 0.25  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("jl3", ValueError, "term must be one of .*jl1.*vp.*, or the import path of your own; got"),
        ("own_terms:other", ImportError, "own_terms has no other"),
        (
            "own_terms:not_a_term",
            TypeError,
            "must be a penalty or inherit from axiswise.objectives",
        ),
        ("own_terms:needs", TypeError, "the argument factor of a penalty must have a default"),
    ],
)
def test_what_is_no_term_is_refused_by_name(
    tiny_recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spec: str,
    error: type[Exception],
    message: str,
) -> None:
    (tmp_path / "own_terms.py").write_text(OWN_TERMS)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(error, match=message):
        read_settings(tiny_recipe, ["--terms.mine.term", spec])


@pytest.mark.parametrize("words", [["--terms.jl1", "3"], ["--terms", "3"], ["--terms.jl1.weight"]])
def test_words_of_terms_that_cannot_be_read_are_refused(
    tiny_recipe: Path, words: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"terms.* must (be keys and values|have a value)"):
        read_settings(tiny_recipe, words)


def test_size_and_channels_of_the_network_follow_the_data(images: Path, tiny_recipe: Path) -> None:
    words = f"--data axiswise.data.ImageFolder --data.path {images} --data.size 32"
    config = read_settings(tiny_recipe, words.split()).build()
    assert isinstance(config, VAERecipe)
    assert isinstance(config.data, ImageFolder)
    model = start(config).model
    assert (model.size, model.channels) == (32, 3)
    grey = read_settings(tiny_recipe, [*words.split(), "--data.channels", "1"]).build()
    assert start(grey).model.channels == 1


def test_the_first_weights_follow_from_the_seed_and_leave_the_global_state_alone(
    tiny_recipe: Path,
) -> None:
    first = start(read_settings(tiny_recipe).build()).model.state_dict()
    torch.manual_seed(123)
    before = torch.get_rng_state()
    again = start(read_settings(tiny_recipe).build()).model.state_dict()
    other = start(read_settings(tiny_recipe, ["--seed", "1"]).build()).model.state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["decoder.0.weight"], other["decoder.0.weight"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stepz", "3"], "stepz"),
        (["--steps", "many"], "steps"),
        (["--steps", "1.5"], "steps"),
        (["--terms.jl1.strength", "3"], "strength"),
        (["--terms.jl1.probes", "3"], "probes"),
        (["--terms.jl1.weight", "heavy"], "weight"),
        (["--objective.beta", "high"], "beta"),
        (["--objective.gamma", "3"], "gamma"),
        (["--objective", "axiswise.objectives.WGANGP"], "WGANGP"),
        (["--objective", "DIPVAE", "--objective.variant", "iii"], "variant"),
        (["--data.colour", "red"], "colour"),
        (["--model", "torch.nn.Linear"], "Linear"),
        (["--precision", "8"], "precision"),
    ],
)
def test_unknown_keys_and_wrong_types_are_refused_by_name(
    tiny_recipe: Path, words: list[str], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        read_settings(tiny_recipe, words)


@pytest.mark.parametrize("content", ["", "steps", "- steps: 3", "steps: {{{", "3"])
def test_a_file_that_is_no_recipe_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(UnreadableFileError, match=f"{path} is no"):
        read_settings(path)


def test_a_binary_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\x89PNG\r\n\xff\xfe")
    with pytest.raises(UnreadableFileError, match=f"{path} is no YAML"):
        read_settings(path)


def test_yaml_cannot_make_objects_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: !!python/object/apply:os.mkdir ['{tmp_path / 'boom'}']\n")
    with pytest.raises(UnreadableFileError, match=f"{path} is no YAML"):
        read_settings(path)
    assert not (tmp_path / "boom").exists()


def test_a_recipe_that_is_not_there_is_refused_with_what_was_meant() -> None:
    with pytest.raises(FileNotFoundError, match=r"lists, .*got 'three-dots'; did you mean three-"):
        recipe_path("three-dots")


def test_axiswise_recipes_lists_all_with_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == recipe_names()
    for line, description in zip(lines, recipe_descriptions().values(), strict=True):
        assert line.endswith(f"  {description}")


@pytest.mark.slow
def test_the_help_of_a_recipe_answers_without_the_slow_imports() -> None:
    script = (
        "import sys\n"
        "from axiswise.cli import main\n"
        "assert main(['train', 'three-dots-demo', '--help']) == 0\n"
        "slow = {'lightning_fabric', 'tensorboard', 'sklearn', 'matplotlib.pyplot'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) >= 10


@pytest.mark.parametrize("game", ["WGANGP", "NonSaturating"])
def test_either_game_is_read_back_from_a_run_s_folder(game: str, tmp_path: Path) -> None:
    config = read_settings(recipe_path("sprites-gan-fast"), ["--objective", game])
    path = tmp_path / "config.yaml"
    path.write_text(config.dump())
    first, again = config.build(), read_settings(path).build()
    assert isinstance(again, GANRecipe)
    assert type(again.objective).__name__ == game
    assert isinstance(first, GANRecipe)
    assert again.objective == first.objective
