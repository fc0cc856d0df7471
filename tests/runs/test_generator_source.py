"""Runs as generators: the network of a run, also where only its recipe can build it."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from axiswise.nets import SimpleGenerator
from axiswise.runs.generator import GeneratorSource, open_generator
from axiswise.runs.run import load_run
from axiswise.support.imports import UntrustedCodeError


def test_of_a_gan_s_run_it_is_the_network(trained_gan: Path) -> None:
    generator, run = open_generator(str(trained_gan)), load_run(trained_gan)
    assert isinstance(generator, SimpleGenerator)
    z = torch.randn(3, 4, device=run.device)
    assert torch.equal(generator(z), run.model(z))
    assert generator.image_range == (-1.0, 1.0)
    assert not generator.training


def test_of_a_vae_s_run_it_is_the_decoder(trained: Path) -> None:
    generator, run = open_generator(str(trained)), load_run(trained)
    assert isinstance(generator, nn.Sequential)  # as it is: the fast road wants a plain stack
    z = torch.randn(3, 4, device=run.device)
    assert torch.equal(generator(z), run.generator(z))
    assert [generator.latent_dim, generator.image_range] == [4, (0.0, 1.0)]


def test_a_run_is_loaded_without_its_data_or_any_class_of_its_recipe(trained_copy: Path) -> None:
    config = trained_copy / "config.yaml"
    config.write_text(config.read_text().replace("axiswise.data.ThreeDots", "gone.Data"))
    assert open_generator(str(trained_copy), may_import=False).latent_dim == 4  # type: ignore[attr-defined]


def test_an_unfinished_run_comes_with_its_newest_checkpoint(trained_copy: Path) -> None:
    for name in ("model.safetensors", "config.json", "checkpoints/step-00000040.pt"):
        (trained_copy / name).unlink()
    expected = dict(load_run(trained_copy).generator.named_parameters())
    generator = open_generator(str(trained_copy), may_import=False)
    assert isinstance(generator, nn.Module)
    for name, value in generator.named_parameters():
        assert torch.equal(value, expected[name])


def test_a_run_of_a_user_s_own_network_needs_its_code(trained_copy: Path) -> None:
    about = json.loads((trained_copy / "config.json").read_text())
    (trained_copy / "config.json").write_text(json.dumps({**about, "architecture": "TheirVAE"}))
    config = trained_copy / "config.yaml"
    config.write_text(config.read_text().replace("axiswise.nets.ConvVAE", "their.VAE"))
    with pytest.raises(
        UntrustedCodeError, match=r"config\.yaml: model\.class_path names 'their\.V"
    ):
        open_generator(str(trained_copy))


def test_a_source_has_the_option_that_other_commands_need(trained: Path) -> None:
    assert GeneratorSource("somebodys:Turned").words == " --generator somebodys:Turned"
    assert GeneratorSource(str(trained)).words == ""
    assert GeneratorSource("biggan:G_ema.pth").words == ""
