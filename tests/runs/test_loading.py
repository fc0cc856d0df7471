"""Reading back what a run left."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from axiswise.data import Sprites, ThreeDots
from axiswise.nets import ConvVAE, SimpleGenerator
from axiswise.objectives import VariationPredictability
from axiswise.runs.folder import RunFolder
from axiswise.runs.run import load_run, read_config
from axiswise.support.files import UnreadableFileError
from axiswise.training.checkpoint import load_checkpoint, save_checkpoint


def test_a_finished_run_comes_back_with_its_weights_and_its_recipe(trained: Path) -> None:
    run = load_run(trained)
    assert (run.step, run.recipe.steps, run.recipe.name, run.recipe.seed) == (40, 40, "tiny", 0)
    assert isinstance(run.data, ThreeDots)
    assert run.data.factor_sizes == (16,) * 6
    assert (run.recipe.objective.beta, run.recipe.terms["jl1"].columns) == (2.0, 1)  # type: ignore[union-attr]
    assert run.generator is run.model.decoder
    assert run.latent_dim == 4
    assert not run.model.training
    saved = ConvVAE.from_pretrained(trained).state_dict()
    final = load_checkpoint(trained / "checkpoints" / "step-00000040.pt")["model"]
    for name, value in run.model.state_dict().items():
        assert torch.equal(value.cpu(), saved[name])
        assert torch.equal(saved[name], final[name])


def test_a_finished_gan_comes_back_as_the_generator_s_average(trained_gan: Path) -> None:
    run = load_run(trained_gan)
    assert (run.step, run.recipe.name, run.latent_dim) == (40, "tiny-gan", 4)
    assert isinstance(run.data, Sprites)
    assert run.recipe.terms["vp"] == VariationPredictability(weight=0.1, width=0.1)
    assert run.generator is run.model
    assert not run.model.training
    saved = SimpleGenerator.from_pretrained(trained_gan).state_dict()
    state = load_checkpoint(trained_gan / "checkpoints" / "step-00000040.pt")
    for name, value in run.model.state_dict().items():
        assert torch.equal(value.cpu(), saved[name])
        assert torch.equal(saved[name], state["model"][name])
        assert torch.equal(saved[name], state["trainer"]["networks"]["average"][f"module.{name}"])
        assert not torch.equal(saved[name], state["trainer"]["networks"]["generator"][name])


def test_an_unfinished_gan_comes_with_its_newest_checkpoint(
    trained_gan: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trained_gan, tmp_path / "copy"))
    for name in ("model.safetensors", "config.json", "checkpoints/step-00000040.pt"):
        (folder / name).unlink()
    run = load_run(folder)
    assert run.step == 30
    model = load_checkpoint(folder / "checkpoints" / "step-00000030.pt")["model"]
    assert all(torch.equal(run.model.state_dict()[name].cpu(), model[name]) for name in model)


def test_latents_of_a_gan_are_normal_and_of_a_vae_the_codes_of_its_images(
    trained: Path, trained_gan: Path
) -> None:
    gan, vae = load_run(trained_gan), load_run(trained)
    z = replace(gan, seed=2).latents(5).cpu()
    assert torch.equal(z, torch.randn(5, 4, generator=torch.Generator().manual_seed(2)))
    with torch.no_grad():
        mean, _ = vae.model.encoder(replace(vae, seed=2).images(5))
    assert torch.equal(replace(vae, seed=2).latents(5), mean)


def test_images_are_ruled_by_the_seed(trained: Path) -> None:
    run = load_run(trained)
    rng = torch.Generator().manual_seed(4)
    factors = torch.stack([torch.randint(16, (3,), generator=rng) for _ in range(6)], 1)
    assert torch.equal(
        replace(run, seed=4).images(3).cpu(), ThreeDots(16, values=16).render(factors)
    )
    assert not torch.equal(replace(run, seed=4).images(3), replace(run, seed=5).images(3))


def test_an_unfinished_run_comes_with_its_newest_checkpoint(trained_copy: Path) -> None:
    for name in ("model.safetensors", "config.json", "checkpoints/step-00000040.pt"):
        (trained_copy / name).unlink()
    run = load_run(trained_copy)
    assert run.step == 30
    weights = load_checkpoint(trained_copy / "checkpoints" / "step-00000030.pt")["model"]
    assert all(torch.equal(run.model.state_dict()[name].cpu(), weights[name]) for name in weights)


def test_a_run_with_nothing_saved_yet_is_an_error(tmp_path: Path, trained: Path) -> None:
    run = RunFolder.create(tmp_path / "new", (trained / "config.yaml").read_text())
    with pytest.raises(FileNotFoundError, match=f"{run.path} has neither a finished model nor a"):
        load_run(run.path)


def test_weights_that_are_not_finite_are_refused_by_name(trained_copy: Path) -> None:
    vae = ConvVAE.from_pretrained(trained_copy)
    with torch.no_grad():
        vae.decoder[2].weight[1, 1] = float("inf")
    vae.save_pretrained(trained_copy)
    with pytest.raises(UnreadableFileError, match=r"decoder\.2\.weight of .*copy are not finite"):
        load_run(trained_copy)


CHECKPOINTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "another network": lambda state: state["model"].pop("decoder.0.bias"),
    "no weights": lambda state: state.pop("model"),
    "no step": lambda state: state.pop("step"),
    "words for weights": lambda state: state.update(model="none"),
}


@pytest.mark.parametrize("change", CHECKPOINTS)
def test_a_checkpoint_of_something_else_is_refused_by_name(trained_copy: Path, change: str) -> None:
    (trained_copy / "model.safetensors").unlink()
    state = load_checkpoint(trained_copy / "checkpoints" / "step-00000040.pt")
    CHECKPOINTS[change](state)
    path = save_checkpoint(trained_copy / "checkpoints", 50, state)
    with pytest.raises(UnreadableFileError, match=f"checkpoint {path} does not belong to"):
        load_run(trained_copy)


def test_a_config_without_what_it_needs_is_refused_by_name(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", "learning_rate: 3\n")
    with pytest.raises(UnreadableFileError, match=f"{run.config} cannot be used.*data"):
        read_config(run)


def test_images_that_have_gone_are_named_and_the_config_is_not_blamed(
    tmp_path: Path, trained: Path
) -> None:
    text = (trained / "config.yaml").read_text()
    data = "data: {class_path: axiswise.data.ImageFolder, init_args: {path: /gone, size: 16}}\n"
    run = RunFolder.create(tmp_path / "run", data + text[text.index("model:") :])
    with pytest.raises(FileNotFoundError, match="'/gone' does not exist"):
        read_config(run)


MIXED: dict[str, tuple[Callable[[Path], object], str]] = {
    "an argument": (
        lambda folder: _edit(folder / "config.yaml", "features: 16", "features: 24"),
        r"config\.json and .*config\.yaml are of different runs: features is 16 in one and 24 in",
    ),
    "the objective": (
        lambda folder: _edit(folder / "config.yaml", "beta: 2.0", "beta: 4.0"),
        r"config\.yaml is not what the model beside it was trained by",
    ),
    "the seed": (
        lambda folder: _edit(folder / "config.yaml", "seed: 0", "seed: 1"),
        r"config\.yaml is not what the model beside it was trained by",
    ),
}


def _edit(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize("change", MIXED)
@pytest.mark.parametrize("finished", [True, False])
def test_files_of_different_runs_are_refused(
    trained_copy: Path, change: str, finished: bool
) -> None:
    make, message = MIXED[change]
    make(trained_copy)
    if not finished:
        (trained_copy / "config.json").unlink()
        message = "does not belong to the recipe"
    with pytest.raises(UnreadableFileError, match=message):
        load_run(trained_copy)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: tiny", "name: other"),
        ("centres: 2", "centres: 3"),
        ("accelerator: cpu", "accelerator: auto"),
    ],
)
def test_what_leaves_weights_as_they_are_may_be_changed(
    trained_copy: Path, old: str, new: str
) -> None:
    _edit(trained_copy / "config.yaml", old, new)
    assert load_run(trained_copy).step == 40


def test_a_model_that_was_killed_before_its_last_file_is_its_checkpoint(trained_copy: Path) -> None:
    digest = load_run(trained_copy).model.digest
    (trained_copy / "config.json").unlink()
    run = load_run(trained_copy)
    assert (run.step, run.model.digest) == (40, digest)


def test_the_step_is_the_model_s_and_not_what_the_config_has_since(trained_copy: Path) -> None:
    _edit(trained_copy / "config.yaml", "steps: 40", "steps: 80")
    assert load_run(trained_copy).step == 40
