"""`axiswise train` as functions: folders, names, and what is checked before one is made."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from axiswise.cli import main
from axiswise.nets import VAE, ConvVAE
from axiswise.runs.folder import RunFolder
from axiswise.runs.run import load_run
from axiswise.runs.train import is_helper, resume_run, train_recipe


def _images(folder: Path, count: int = 5) -> Path:
    from PIL import Image

    folder.mkdir()
    rng = torch.Generator().manual_seed(0)
    for number in range(count):
        pixels = torch.randint(256, (20, 24, 3), generator=rng, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(folder / f"{number}.png")
    return folder


def test_by_default_the_folder_is_named_after_recipe_and_seed(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = train_recipe(str(tiny_recipe), ["--steps", "2", "--seed", "7"])
    assert run.path == Path("runs/tiny-seed7")
    assert sorted(path.name for path in run.path.iterdir()) == [
        "checkpoints",
        "config.json",
        "config.yaml",
        "metrics.csv",
        "model.safetensors",
        "samples",
        "tensorboard",
    ]


def test_the_config_in_the_folder_says_all_that_was_decided(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    overrides = ["--steps", "2", "--precision", "auto", "--terms.jl1.weight", "0.7"]
    run = train_recipe(str(tiny_recipe), overrides, str(tmp_path / "run"))
    told = yaml.safe_load(run.config.read_text())
    assert told["precision"] in ("32-true", "bf16-mixed")  # what auto was on this machine
    beta = told["objective"]["init_args"]["beta"]
    assert (told["steps"], told["terms"]["jl1"]["weight"], beta) == (2, 0.7, 2.0)
    assert told["name"] == "tiny"


def test_the_first_weights_follow_from_the_seed_alone(tiny_recipe: Path, tmp_path: Path) -> None:
    words = ["--steps", "1", "--learning_rate", "1e-12"]
    weights = []
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        torch.manual_seed(len(weights))
        run = train_recipe(str(tiny_recipe), [*words, "--seed", seed], str(tmp_path / name))
        weights.append((run.path / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_a_finished_run_may_be_resumed_and_stays_as_it_is(trained_copy: Path) -> None:
    names = ("model.safetensors", "metrics.csv", "config.yaml", "config.json")
    before = [(trained_copy / name).read_bytes() for name in names]
    assert resume_run(str(trained_copy)).path == trained_copy
    assert [(trained_copy / name).read_bytes() for name in names] == before


def test_a_network_of_one_s_own_is_trained_and_loaded_by_its_import_path(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its decoder ends in no sigmoid module, so the logit of its probabilities is taken."""
    (tmp_path / "my_nets.py").write_text(
        """
from torch import Tensor, nn
from axiswise.nets import VAE

class Encoder(nn.Module):
    def __init__(self, inputs: int, latent_dim: int) -> None:
        super().__init__()
        self.both = nn.Linear(inputs, 2 * latent_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.both(images.flatten(1)).chunk(2, 1)

class Decoder(nn.Module):
    def __init__(self, latent_dim: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape
        self.layer = nn.Linear(latent_dim, shape[0] * shape[1] * shape[2])

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z).sigmoid().unflatten(1, self.shape)

class LinearVAE(VAE):
    def __init__(self, size: int, channels: int, latent_dim: int = 3) -> None:
        super().__init__()
        self.size, self.channels, self.latent_dim = size, channels, latent_dim
        self.encoder = Encoder(channels * size**2, latent_dim)
        self.decoder = Decoder(latent_dim, (channels, size, size))
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    recipe = tmp_path / "mine.yaml"
    told = yaml.safe_load(tiny_recipe.read_text())
    told["model"] = {"class_path": "my_nets.LinearVAE", "init_args": {"latent_dim": 2}}
    told["steps"] = 10
    recipe.write_text(yaml.safe_dump(told))
    run = train_recipe(str(recipe), [], str(tmp_path / "run"), trust=True)

    from axiswise.runs.run import load_run

    vae = load_run(run.path, trust=True).model
    assert isinstance(vae, VAE)
    assert type(vae).__name__ == "LinearVAE"
    assert vae.arguments == {"size": 16, "channels": 1, "latent_dim": 2}  # type: ignore[comparison-overlap]
    assert run.read_metrics()["loss"][-1] < run.read_metrics()["loss"][0]


def test_an_image_folder_gives_size_and_channels_to_the_network(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    images = _images(tmp_path / "images")
    words = ["--data", "axiswise.data.ImageFolder", "--data.path", str(images), "--data.size", "8"]
    run = train_recipe(
        str(tiny_recipe), [*words, "--model.hidden", "[8]", "--steps", "3"], str(tmp_path / "run")
    )
    vae = ConvVAE.from_pretrained(run.path)
    assert (vae.size, vae.channels) == (8, 3)


def test_a_corrupt_image_is_named_and_skipped(tiny_recipe: Path, tmp_path: Path) -> None:
    images = _images(tmp_path / "images")
    (images / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    words = ["--data", "axiswise.data.ImageFolder", "--data.path", str(images), "--data.size", "16"]
    with pytest.warns(UserWarning, match=r"skipped 1 of 6 .*bad\.png"):
        run = train_recipe(str(tiny_recipe), [*words, "--steps", "3"], str(tmp_path / "run"))
    assert (run.path / "model.safetensors").exists()


@pytest.mark.parametrize("content", [None, "empty", "no images", "all corrupt"])
def test_without_an_image_that_can_be_read_no_folder_is_made(
    tiny_recipe: Path, tmp_path: Path, content: str | None
) -> None:
    images = tmp_path / "images"
    if content is not None:
        images.mkdir()
    if content == "no images":
        (images / "notes.txt").write_text("none")
    if content == "all corrupt":
        (images / "bad.png").write_bytes(b"\x89PNG")
    words = ["--data", "axiswise.data.ImageFolder", "--data.path", str(images)]
    with pytest.raises((ValueError, OSError), match=f"path '{images}'"):
        train_recipe(str(tiny_recipe), words, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("rank", "expected"), [(None, False), ("0", False), ("1", True)])
def test_only_the_first_process_speaks(
    monkeypatch: pytest.MonkeyPatch, rank: str | None, expected: bool
) -> None:
    if rank is None:
        monkeypatch.delenv("LOCAL_RANK", raising=False)
    else:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert is_helper() is expected


def test_training_warns_of_nothing(tiny_recipe: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train_recipe(str(tiny_recipe), ["--steps", "5"], str(tmp_path / "run"))
    assert [str(warning.message) for warning in caught] == []


def test_a_run_that_was_never_begun_is_resumed_from_the_start(
    trained: Path, tmp_path: Path
) -> None:
    """Killed after its folder was made and before its first checkpoint."""
    run = RunFolder.create(tmp_path / "run", (trained / "config.yaml").read_text())
    run.append_metrics({"step": 5, "loss": 1.0})
    resume_run(str(run.path))
    assert (run.path / "model.safetensors").read_bytes() == (
        trained / "model.safetensors"
    ).read_bytes()
    assert run.read_metrics()["step"] == [5, 10, 15, 20, 25, 30, 35, 40]


@pytest.mark.parametrize("kind", ["vae", "gan"])
def test_pictures_are_drawn_ten_times_or_so_in_the_course_of_a_run(
    tiny_recipe: Path, tiny_gan_recipe: Path, tmp_path: Path, kind: str
) -> None:
    """And at the end, whatever the number of steps."""
    recipe = {"vae": tiny_recipe, "gan": tiny_gan_recipe}[kind]
    words = ["--steps", "25", "--log_every", "1", "--checkpoint_every", "1"]
    run = train_recipe(str(recipe), words, str(tmp_path / "run"))
    names = sorted(path.name for path in run.samples.iterdir())
    assert names == [f"step-{step:08d}.png" for step in (*range(2, 25, 2), 25)]


def test_a_generator_and_a_critic_of_one_s_own_are_trained_by_their_import_paths(
    tiny_gan_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_gan.py").write_text(
        """
from torch import Tensor, nn
from axiswise.nets import Generator

class LinearGenerator(Generator):
    def __init__(self, size: int, channels: int, latent_dim: int = 3) -> None:
        super().__init__()
        self.size, self.channels, self.latent_dim = size, channels, latent_dim
        self.layer = nn.Linear(latent_dim, channels * size**2)

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z).tanh().unflatten(1, (self.channels, self.size, self.size))

class LinearCritic(nn.Module):
    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.layer = nn.Linear(channels * size**2, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(1))
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    recipe = tmp_path / "mine.yaml"
    told = yaml.safe_load(tiny_gan_recipe.read_text())
    told["generator"] = {"class_path": "my_gan.LinearGenerator", "init_args": {"latent_dim": 2}}
    told["critic"] = {"class_path": "my_gan.LinearCritic"}
    told["terms"] = {"jl1": {"weight": 0.01, "layers": ["layer"]}}
    told["steps"] = 10
    recipe.write_text(yaml.safe_dump(told))
    run = train_recipe(str(recipe), [], str(tmp_path / "run"), trust=True)

    from axiswise.runs.run import load_run

    loaded = load_run(run.path, trust=True)
    assert type(loaded.model).__name__ == "LinearGenerator"
    assert loaded.model.arguments == {"size": 16, "channels": 1, "latent_dim": 2}
    images = loaded.model.generate(torch.zeros(3, 2, device=loaded.device))
    assert images.shape == (3, 1, 16, 16)


@pytest.mark.filterwarnings("ignore:orojar_penalty overflows:RuntimeWarning")
def test_a_gan_that_has_collapsed_leaves_a_run_that_says_so(
    tiny_gan_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With steps so long that nothing can be learnt."""
    words = ["--learning_rate", "1e6", "--out", str(tmp_path / "run")]
    assert main(["train", str(tiny_gan_recipe), *words]) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("axiswise: error: the ")
    assert last.endswith(("may be good", "is good", "there is no checkpoint yet"))
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_resumed_gan_ends_as_if_nothing_had_been(trained_gan: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained_gan, tmp_path / "copy"))
    for name in ("model.safetensors", "config.json", "checkpoints/step-00000040.pt"):
        (folder / name).unlink()
    resume_run(str(folder))
    for name in ("model.safetensors", "config.json"):
        assert (folder / name).read_bytes() == (trained_gan / name).read_bytes()
    ours, theirs = (RunFolder(path).read_metrics() for path in (folder, trained_gan))
    assert ours.keys() == theirs.keys()
    assert all(ours[name] == theirs[name] for name in ours if name != "images_per_second")


def test_a_run_keeps_the_range_of_values_that_its_images_decided(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    """Folders and arrays that have changed by the time of `evaluate` are read as in training."""
    path = tmp_path / "deep.npz"
    images = np.linspace(0, 4095, 5 * 16 * 16).reshape(5, 16, 16).astype(np.uint16)
    np.savez(path, x_train=images, y_train=np.arange(5))
    words = ["--data", "axiswise.data.NpzImages", "--data.path", str(path), "--steps", "2"]
    with pytest.warns(UserWarning, match=r"x_train|4095 as white") as caught:
        run = train_recipe(str(tiny_recipe), [*words, "--data.size", "null"], str(tmp_path / "run"))
    assert len(caught) == 2
    expected = {"array": "x_train", "value_range": [0.0, 4095.0]}
    given = yaml.safe_load(run.config.read_text())["data"]["init_args"]
    assert {name: given[name] for name in expected} == expected
    np.savez(path, x_train=images // 100, images=images)
    found = load_run(run.path).data
    assert found.render(torch.arange(5)).max() <= 41 / 4095


def test_the_range_of_data_in_a_grid_is_kept_too(tiny_recipe: Path, tmp_path: Path) -> None:
    path = tmp_path / "masks.npz"
    images = np.arange(4)[:, None, None] * np.ones((1, 8, 8))
    np.savez(path, images=(images > 1).astype(np.uint8), factors=np.arange(4)[:, None])
    words = ["--data", "axiswise.data.Grid", "--data.dataset", "axiswise.data.NpzFactorData"]
    words += ["--data.dataset.path", str(path), "--steps", "1"]
    with pytest.warns(UserWarning, match="1 as white"):
        run = train_recipe(str(tiny_recipe), words, str(tmp_path / "run"))
    inner = yaml.safe_load(run.config.read_text())["data"]["init_args"]["dataset"]["init_args"]
    assert inner["value_range"] == [0.0, 1.0]
    assert load_run(run.path).data.render(torch.zeros(1, 4).long()).max() == 0
