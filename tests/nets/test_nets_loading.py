"""Published weights by their layout: what is opened, and what is refused by name."""

import json
import os
import pickle
import re
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from axiswise import nets
from axiswise.nets.biggan import _published_names
from axiswise.nets.simple_gan import _published_names as simple_names
from axiswise.support.files import UnreadableFileError

REFERENCE = Path(__file__).parents[1] / "reference"
Fill = Callable[..., dict[str, Tensor]]


def _reference(name: str) -> tuple[Any, Mapping[str, Any]]:
    with np.load(REFERENCE / f"{name}.npz") as arrays:
        return json.loads(next(REFERENCE.glob(f"{name}*.json")).read_text()), dict(arrays)


def _progressive(fill: Fill, network: str = "generator") -> dict[str, Tensor]:
    about, _ = _reference("progan_r32")
    return {name: 10 * value.float() for name, value in fill(about[network]).items()}


def _biggan() -> tuple[nets.BigGAN, dict[str, Tensor]]:
    network = nets.BigGAN(12, [8, 8, 8], classes=3, embedding=4, attention=8).eval()
    own = network.state_dict()
    return network, {theirs: own[ours] for theirs, ours in _published_names(2, 0).items()}


def _write(path: Path, weights: Mapping[str, Any]) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **{name: np.asarray(value) for name, value in weights.items()})
    elif path.suffix == ".safetensors":
        save_file({name: torch.as_tensor(v).contiguous() for name, v in weights.items()}, path)
    else:
        torch.save(dict(weights), path)
    return path


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".pt"])
@pytest.mark.parametrize("variant", ["orojar", "hessian"])
def test_a_progressive_generator_gives_the_published_images(
    fill: Fill, tmp_path: Path, variant: str, ending: str
) -> None:
    weights = _progressive(fill) | {"normalize_latents": torch.tensor(variant == "hessian")}
    network = nets.load_published(_write(tmp_path / f"gs{ending}", weights))
    assert isinstance(network, nets.ProgressiveGenerator)
    assert (network.normalize_latents, network.training) == (variant == "hessian", False)
    _, found = _reference("progan_r32")
    expected = torch.from_numpy(found[f"images_{variant}_lod0"])
    with torch.no_grad():
        images = network(torch.from_numpy(found["latents"]).float())
    assert float((images - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


def test_without_its_number_it_is_orojar_s_variant_and_a_line_says_so(
    fill: Fill, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _write(tmp_path / "gs.npz", _progressive(fill))
    assert not nets.load_published(path).arguments["normalize_latents"]
    assert f"{path} has no normalize_latents, 0 or 1: taken for" in capsys.readouterr().err


@pytest.mark.slow
def test_a_simple_generator_gives_the_published_images(fill: Fill, tmp_path: Path) -> None:
    keys, found = _reference("gan_g64")
    network = nets.load_published(_write(tmp_path / "g.npz", fill(keys, torch.float32)))
    assert isinstance(network, nets.SimpleGenerator)
    expected = torch.from_numpy(found["images"]).float()
    with torch.no_grad():
        images = network(torch.from_numpy(found["z"]).float())
    torch.testing.assert_close(images, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".pth"])
def test_a_small_network_is_the_one_that_was_written(tmp_path: Path, ending: str) -> None:
    network, weights = _biggan()
    found = nets.load_published(_write(tmp_path / f"biggan{ending}", weights))
    z, y = torch.randn(2, 12), torch.tensor([0, 2])
    torch.testing.assert_close(found(z, y), network(z, y))

    simple = nets.SimpleGenerator(16, latent_dim=3, width=0.1)
    own, names = simple.state_dict(), simple_names(4)
    weights = {theirs: own[ours] for theirs, ours in names.items()}
    found = nets.load_published(_write(tmp_path / f"simple{ending}", weights))
    torch.testing.assert_close(found(z[:, :3]), simple(z[:, :3]))


@pytest.mark.parametrize("kind", ["<f2", ">f4", "<f8", ">f8"])
def test_any_floating_type_becomes_float32(fill: Fill, tmp_path: Path, kind: str) -> None:
    weights = _progressive(fill)
    arrays = {name: value.numpy().astype(kind) for name, value in weights.items()}
    network = nets.load_published(_write(tmp_path / "gs.npz", arrays | {"normalize_latents": 0}))
    near = nets.ProgressiveGenerator.from_published(weights)
    for name, value in near.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value, atol=3e-4, rtol=0)


def test_float16_of_safetensors_becomes_float32(fill: Fill, tmp_path: Path) -> None:
    weights = {name: value.bfloat16() for name, value in _progressive(fill).items()}
    path = _write(tmp_path / "gs.safetensors", weights)
    assert {value.dtype for value in nets.load_published(path).parameters()} == {torch.float32}


class _Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.path),))


def _dropped(weights: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in weights.items() if name != "8x8/Conv1/bias"}


def _in_scope(weights: dict[str, Any]) -> dict[str, Any]:
    return {f"Gs/{name}": value for name, value in weights.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_dropped, r"in the layout of the progressive GAN, .*missing \['8x8/Conv1/bias'\]"),
        (lambda weights: weights | {"lod": 0.0}, r"unknown \['lod'\]"),
        (_in_scope, r"must be those of the progressive GAN .*, the BigGAN .*; it has Gs/16x16/"),
        (lambda weights: weights | {"8x8/Conv1/weight": np.ones(3)}, "8x8/Conv1/weight"),
        (lambda weights: weights | {"8x8/Conv1/bias": torch.ones(8, 2)}, "8x8/Conv1/bias"),
        (lambda weights: weights | {"8x8/Conv1/bias": np.ones(16, int)}, "8x8/Conv1/bias"),
        (lambda weights: weights | {"8x8/Conv1/bias": np.array(["a"])}, "must be numbers, got <U1"),
        (lambda weights: weights | {"8x8/Conv1/bias": np.ones(16, "c8")}, "must be numbers, got c"),
        (lambda weights: weights | {"normalize_latents": 2}, "must be 0 or 1, got 2"),
        (lambda weights: weights | {"normalize_latents": np.zeros(2)}, "must be 0 or 1, got"),
        (lambda _: {}, "it has none"),
        (lambda _: {"mapping.fc0.weight": np.ones(3)}, "it has mapping.fc0.weight"),
    ],
)
def test_weights_of_another_layout_are_refused_by_name(
    fill: Fill, tmp_path: Path, change: Callable[[Any], dict[str, Any]], message: str
) -> None:
    path = _write(tmp_path / "gs.npz", change(_progressive(fill)))
    with pytest.raises(UnreadableFileError, match=f"{path}.*{message}"):
        nets.load_published(path)


@pytest.mark.parametrize("network", ["discriminator", "discriminator_infogan"])
def test_a_critic_is_no_generator(fill: Fill, tmp_path: Path, network: str) -> None:
    path = _write(tmp_path / "d.npz", _progressive(fill, network))
    with pytest.raises(
        UnreadableFileError, match=r"no file of .* a generator: .*FromRGB_lod0/bias"
    ):
        nets.load_published(path)


def test_pickled_arrays_do_not_run(fill: Fill, tmp_path: Path) -> None:
    mark, path = tmp_path / "ran", tmp_path / "gs.npz"
    np.savez(path, **_progressive(fill), extra=np.array([_Payload(mark)], dtype=object))
    with pytest.raises(UnreadableFileError, match="extra must be numbers, got object"):
        nets.load_published(path)
    assert not mark.exists()
    np.load(path, allow_pickle=True)["extra"]  # it would have
    assert mark.exists()


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".pth"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_damaged_files_are_refused_by_their_path(
    fill: Fill, tmp_path: Path, ending: str, share: float
) -> None:
    path = _write(tmp_path / f"gs{ending}", _progressive(fill))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UnreadableFileError, match=str(path)):
        nets.load_published(path)


def test_a_flipped_byte_in_an_archive_is_noticed(fill: Fill, tmp_path: Path) -> None:
    path = _write(tmp_path / "gs.npz", _progressive(fill))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(UnreadableFileError, match=f"{path}.*cannot be read"):
        nets.load_published(path)


def test_a_missing_file_a_folder_and_our_own_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file of published weights"):
        nets.load_published(tmp_path / "gs.npz")
    (tmp_path / "gs.npz").mkdir()
    with pytest.raises(UnreadableFileError, match=r"gs\.npz"):
        nets.load_published(tmp_path / "gs.npz")
    nets.SimpleGenerator(8, latent_dim=3, width=0.1).save_pretrained(tmp_path)
    with pytest.raises(UnreadableFileError, match="a network of ours is named by its folder"):
        nets.load_published(tmp_path / "model.safetensors")


class _Network:
    """Stands for dnnlib's: its variables by name."""

    def __init__(self, trainables: dict[str, Any]) -> None:
        self.trainables = trainables


@pytest.mark.parametrize("source", ["snapshot.pkl", "G_ema.pth"])
def test_the_lines_in_the_docs_write_a_file_that_opens(
    fill: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "published.md").read_text()
    (lines,) = re.findall(r"```py\n(.*?)```", page, re.DOTALL)
    assert len(lines.splitlines()) <= 25
    tflib: Any = types.ModuleType("tflib")
    tflib.init_tf, tflib.run = (lambda: None), (lambda variables: variables)
    dnnlib: Any = types.ModuleType("dnnlib")
    dnnlib.tflib = tflib
    monkeypatch.setitem(sys.modules, "dnnlib", dnnlib)
    monkeypatch.setitem(sys.modules, "dnnlib.tflib", tflib)
    weights = {name: value.numpy() for name, value in _progressive(fill).items()}
    path, out = tmp_path / source, tmp_path / "out.npz"
    if source.endswith("pkl"):
        path.write_bytes(pickle.dumps((None, None, _Network(weights))))
    else:
        torch.save(_biggan()[1], path)
    monkeypatch.setattr(sys, "argv", ["export.py", str(path), str(out), "hessian"])
    exec(compile(lines, "export.py", "exec"), {})
    network = nets.load_published(out)
    if source.endswith("pkl"):
        assert isinstance(network, nets.ProgressiveGenerator)
        assert network.normalize_latents
    else:
        assert isinstance(network, nets.BigGAN)
