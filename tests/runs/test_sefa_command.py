"""`axiswise sefa`: a run turned into one whose axes are SeFa's directions."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from axiswise.cli import main
from axiswise.nets import SimpleGenerator
from axiswise.runs.run import load_run
from axiswise.runs.sefa import sefa_run
from axiswise.runs.train import resume_run

Snapshot = Callable[[Path], dict[str, str]]


def _eigen_directions(generator: SimpleGenerator) -> torch.Tensor:
    """By power iteration on AᵀA, one direction after the other."""
    weight = generator.get_parameter("0.1.weight").detach().double().flatten(1)  # latents first
    matrix = weight @ weight.T
    rows = []
    for _ in range(len(matrix)):
        vector = torch.ones(len(matrix), dtype=torch.float64)
        for _ in range(3000):
            vector = matrix @ vector
            vector = vector / vector.norm()
        matrix = matrix - (vector @ matrix @ vector) * torch.outer(vector, vector)
        rows.append(vector * vector[vector.abs().argmax()].sign())
    return torch.stack(rows).float()


def test_the_new_run_makes_the_old_one_s_images_along_the_eigenvectors(
    trained_gan: Path, tmp_path: Path
) -> None:
    made = sefa_run(str(trained_gan), str(tmp_path / "turned"))
    old, new = load_run(trained_gan), load_run(made.path)
    assert isinstance(old.model, SimpleGenerator)
    w = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)).to(new.device)
    directions = _eigen_directions(old.model.cpu()).to(new.device)
    old.model.to(new.device)
    torch.testing.assert_close(new.model(w), old.model(w @ directions), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(new.model(w), old.model(w), atol=1e-2)


def test_the_new_run_says_what_it_is_and_keeps_the_rest_of_the_recipe(
    trained_gan: Path, tmp_path: Path
) -> None:
    made = sefa_run(str(trained_gan), str(tmp_path / "turned"))
    run = load_run(made.path)
    assert run.recipe.name == "tiny-gan-sefa"
    assert run.step == run.recipe.steps == 40
    old, new = (
        yaml.safe_load((folder / "config.yaml").read_text()) for folder in (trained_gan, made.path)
    )
    assert {key for key in old if old[key] != new[key]} == {"name", "description"}
    assert "SeFa" in new["description"]
    assert "tiny-gan" in new["description"]
    assert sorted(path.name for path in made.path.iterdir()) == [
        "config.json",
        "config.yaml",
        "model.safetensors",
    ]


def test_by_default_it_lies_beside_the_old_one_which_stays_as_it_is(
    trained_gan: Path, tmp_path: Path, snapshot: Snapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(trained_gan, tmp_path / "mine"))
    before = snapshot(folder)
    assert main(["sefa", str(folder)]) == 0
    made = tmp_path / "mine-sefa"
    assert capsys.readouterr().out == (
        f"{made}: now `axiswise evaluate {made}`, `axiswise show {made}`\n"
    )
    assert (made / "model.safetensors").is_file()
    assert snapshot(folder) == before
    # Nor is a run that is there overwritten.
    turned = snapshot(made)
    assert main(["sefa", str(folder)]) == 1
    assert f"{made} exists already" in capsys.readouterr().err
    assert snapshot(made) == turned


def test_a_run_that_trained_a_vae_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"must be a run that trained a GAN, {trained} trained a"):
        sefa_run(str(trained), str(tmp_path / "turned"))
    assert not (tmp_path / "turned").exists()


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} is no run folder"):
        sefa_run(str(tmp_path))


def test_a_generator_with_latents_in_every_layer_is_refused_before_a_folder_is_made(
    trained_gan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = SimpleGenerator.forward

    def skipping(self: SimpleGenerator, z: torch.Tensor) -> torch.Tensor:
        return whole(self, z) + z.sum(1)[:, None, None, None]

    monkeypatch.setattr(SimpleGenerator, "forward", skipping)
    with pytest.raises(ValueError, match=r"must use its latents in '0\.1' alone"):
        sefa_run(str(trained_gan), str(tmp_path / "turned"))
    assert not (tmp_path / "turned").exists()


def test_an_unfinished_run_is_refused(trained_gan: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trained_gan, tmp_path / "copy"))
    (copy / "model.safetensors").unlink()
    config = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(config.replace("steps: 40", "steps: 50"))
    with pytest.raises(ValueError, match=r"FOLDER must be a finished run.*at step 40 of 50"):
        sefa_run(str(copy))


def test_it_is_not_trained_anew_by_a_resume(
    trained_gan: Path, tmp_path: Path, snapshot: Snapshot
) -> None:
    """It has no checkpoint: going on would start from nothing, over the model."""
    run = sefa_run(str(trained_gan), str(tmp_path / "turned"))
    before = snapshot(run.path)
    with pytest.raises(ValueError, match=r"FOLDER must have a checkpoint.*turned has a finished"):
        resume_run(str(run.path))
    assert snapshot(run.path) == before
