"""Reading back what a run left."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from axiswise.commands.loading import load_run, read_config
from axiswise.data import ThreeDots
from axiswise.files import UnreadableFileError
from axiswise.nets import ConvVAE
from axiswise.training.checkpoint import load_checkpoint, save_checkpoint
from axiswise.training.run_folder import RunFolder


def test_a_finished_run_comes_back_with_its_weights_and_its_recipe(trained: Path) -> None:
    run = load_run(trained)
    assert (run.step, run.config.steps, run.config.name, run.config.seed) == (40, 40, "tiny", 0)
    assert isinstance(run.config.data, ThreeDots)
    assert run.config.data.factor_sizes == (16,) * 6
    assert (run.config.objective.beta, run.config.penalty.columns) == (2.0, 1)  # type: ignore[union-attr]
    assert not run.vae.training
    saved = ConvVAE.from_pretrained(trained).state_dict()
    final = load_checkpoint(trained / "checkpoints" / "step-00000040.pt")["weights"]
    for name, value in run.vae.state_dict().items():
        assert torch.equal(value.cpu(), saved[name])
        assert torch.equal(saved[name], final[name])


def test_images_are_ruled_by_the_seed(trained: Path) -> None:
    run = load_run(trained)
    rng = torch.Generator().manual_seed(4)
    factors = torch.stack([torch.randint(16, (3,), generator=rng) for _ in range(6)], 1)
    assert torch.equal(run.images(3, seed=4).cpu(), ThreeDots(16, values=16).render(factors))
    assert not torch.equal(run.images(3, seed=4), run.images(3, seed=5))


def test_an_unfinished_run_comes_with_its_newest_checkpoint(trained_copy: Path) -> None:
    for name in ("model.safetensors", "config.json", "checkpoints/step-00000040.pt"):
        (trained_copy / name).unlink()
    run = load_run(trained_copy)
    assert run.step == 30
    weights = load_checkpoint(trained_copy / "checkpoints" / "step-00000030.pt")["weights"]
    assert all(torch.equal(run.vae.state_dict()[name].cpu(), weights[name]) for name in weights)


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
    "another network": lambda state: state["weights"].pop("decoder.0.bias"),
    "no weights": lambda state: state.pop("weights"),
    "no step": lambda state: state.pop("step"),
    "words for weights": lambda state: state.update(weights="none"),
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
