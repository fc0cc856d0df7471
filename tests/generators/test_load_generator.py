"""Generators by name: what can be loaded, what it then is, and what is never run."""

import json
import os
import pickle
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from axiswise.generators import CodeNeededError, load_generator
from axiswise.generators.loading import names_code
from axiswise.nets import BigGAN, ConvVAE, SimpleCritic, SimpleGenerator
from axiswise.support.files import UnreadableFileError

MODULE = '''
"""Generators that are none of axiswise's."""
import torch
from torch import Tensor, nn

WEIGHT = torch.arange(12.0).reshape(3, 4)

def generate(z: Tensor) -> Tensor:
    return (z @ WEIGHT).reshape(-1, 1, 2, 2)

class Net(nn.Module):
    latent_dim = 3

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.drop = nn.Dropout()

    def forward(self, z: Tensor) -> Tensor:
        return self.drop(self.layer(z)).reshape(-1, 1, 2, 2)

class Wide(Net):
    def __init__(self, width: int) -> None:
        super().__init__()

class Holder:
    net = Net()

    def generate(self, z: Tensor) -> Tensor:
        return self.net(z)

def make(scale: float = 2.0) -> Net:
    net = Net()
    net.scale = scale
    return net

def make_nothing() -> None:
    return None

def fail() -> Net:
    raise RuntimeError("no weights here")

net, holder, number = Net(), Holder(), 3
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module in the current folder, which cannot be imported from otherwise."""
    (tmp_path / "theirs.py").write_text(MODULE)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "inner.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield "theirs"
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("theirs", "package", "broken"):
            del sys.modules[name]


# ---------------------------------------------------------------- code


@pytest.mark.parametrize(
    "spec",
    [
        "theirs:net",
        "theirs.net",
        "theirs:Net",
        "theirs:make",
        "theirs:holder.net",
        "package.inner:Net",
        "package.inner.net",
    ],
)
def test_a_module_or_what_makes_one_is_loaded_in_eval_mode(module: str, spec: str) -> None:
    assert module in spec or "package" in spec
    generator = load_generator(spec)
    assert isinstance(generator, nn.Module)
    assert type(generator).__name__ == "Net"
    assert not any(part.training for part in generator.modules())
    assert next(generator.parameters()).is_cuda == torch.cuda.is_available()


def test_a_function_is_the_generator_itself_and_stays_as_it_is(module: str) -> None:
    generator = load_generator(f"{module}:generate", latent_dim=3)
    z = torch.tensor([[1.0, 0.0, 0.0]])
    assert generator(z).flatten().tolist() == [0.0, 1.0, 2.0, 3.0]
    assert generator.latent_dim == 3  # type: ignore[attr-defined]
    assert not hasattr(sys.modules[module].generate, "latent_dim")
    assert load_generator(f"{module}:holder.generate", 3).latent_dim == 3  # type: ignore[attr-defined]


def test_a_function_of_torch_that_tells_no_signature_is_a_generator_too(module: str) -> None:
    assert module
    assert load_generator("torch:tanh", 3)(torch.zeros(1, 3)).tolist() == [[0.0] * 3]


@pytest.mark.parametrize(
    ("spec", "error", "phrase"),
    [
        ("theirs:generate", ValueError, "has no latent_dim.*--latent-dim N"),
        ("theirs:nothing", ImportError, "the module theirs has no nothing"),
        ("theirs:net.deep", ImportError, "the module theirs has no net.deep"),
        ("absent:net", ImportError, "there is no module absent, neither installed nor in "),
        ("package.absent:net", ImportError, "there is no module package.absent"),
        ("theirs:number", TypeError, "theirs:number must be a callable.*got int"),
        ("theirs:make_nothing", TypeError, "must be a callable.*got NoneType"),
        ("theirs:Wide", ImportError, "could not be loaded: TypeError: .*'width'$"),
        ("theirs:fail", ImportError, r"RuntimeError: no weights here \(theirs.py, line 41\)"),
    ],
)
def test_a_mistake_in_an_import_path_is_named(
    module: str, spec: str, error: type[Exception], phrase: str
) -> None:
    assert module
    with pytest.raises(error, match=f"^GENERATOR .*{phrase}"):
        load_generator(spec)


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        ("import nothing_of_this_name\n", "No module named 'nothing_of_this_name'.*line 1"),
        ("def f(:\n", "SyntaxError"),
        ("import sys\nsys.exit(0)\n", "SystemExit: 0 .broken.py, line 2"),
    ],
)
def test_a_module_that_fails_says_where(module: str, content: str, phrase: str) -> None:
    assert module
    Path("broken.py").write_text(content)
    with pytest.raises(ImportError, match=f"GENERATOR broken:net could not be loaded.*{phrase}"):
        load_generator("broken:net")


def test_a_number_of_latents_that_is_not_the_generator_s_is_refused(module: str) -> None:
    with pytest.raises(ValueError, match="latent_dim must be the generator's own, 3, got 4"):
        load_generator(f"{module}:net", latent_dim=4)


def test_classes_are_for_generators_that_have_some(module: str) -> None:
    with pytest.raises(ValueError, match="--classes is for generators that have classes_searched"):
        load_generator(f"{module}:net", classes=[1])


# ---------------------------------------------------------------- folders


def test_a_folder_in_our_format_is_loaded_by_the_architecture_that_it_names(tmp_path: Path) -> None:
    ConvVAE(16, latent_dim=3, hidden=[4], features=8).save_pretrained(tmp_path / "vae")
    BigGAN(12, [8, 8, 4], classes=5, embedding=4, attention=8).save_pretrained(tmp_path / "gan")
    assert load_generator(str(tmp_path / "vae")).latent_dim == 3  # type: ignore[attr-defined]
    gan = load_generator(str(tmp_path / "gan"), classes=[1, 3])
    assert isinstance(gan, BigGAN)
    assert gan.folded
    assert list(gan.classes_searched) == [1, 3]
    again = tmp_path / "again"
    gan.save_pretrained(again)  # folded
    assert isinstance(load_generator(str(again)), BigGAN)


@pytest.mark.parametrize("architecture", ["VAE", "os.system", "theirs:net"])
def test_only_generators_of_ours_are_made_of_a_config(tmp_path: Path, architecture: str) -> None:
    SimpleCritic(16, width=0.1).save_pretrained(tmp_path)
    with pytest.raises(UnreadableFileError, match="must be a network that makes images, got a Sim"):
        load_generator(str(tmp_path))
    config = {"architecture": architecture, "arguments": {}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnreadableFileError, match="must name a network out of BigGAN, ConvVAE, "):
        load_generator(str(tmp_path))


def test_weights_that_are_not_finite_are_named(tmp_path: Path) -> None:
    vae = ConvVAE(16, latent_dim=3, hidden=[4], features=8)
    nn.init.constant_(vae.decoder.get_parameter("0.bias"), torch.nan)
    vae.save_pretrained(tmp_path)
    with pytest.raises(
        UnreadableFileError, match=rf"decoder\.0\.bias of {tmp_path} are not finite"
    ):
        load_generator(str(tmp_path))


@pytest.mark.parametrize(
    "spec", ["absent", "theirs", "no/such/folder", "./here", "photos/none", "a b"]
)
def test_what_is_nothing_is_refused_with_the_ways_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()  # so that photos/none is a mistyped path, not the Hub's
    with pytest.raises((FileNotFoundError, ValueError), match="GENERATOR must be a run folder, a"):
        load_generator(spec)


def test_a_folder_of_something_else_and_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} has no config.json"):
        load_generator(str(tmp_path))
    (tmp_path / "weights.pkl").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"\.npz, .*; .*weights\.pkl is a file"):
        load_generator(str(tmp_path / "weights.pkl"))


# ---------------------------------------------------------------- the Hub


def test_a_repository_on_the_hub_is_read_for_two_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    SimpleGenerator(8, latent_dim=3, width=0.05).save_pretrained("downloaded")
    asked = []

    def download(name: str, *, revision: None, allow_patterns: list[str]) -> str:
        assert revision is None
        asked.append((name, allow_patterns))
        return str(tmp_path / "downloaded")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert load_generator("user/name", may_import=False).latent_dim == 3  # type: ignore[attr-defined]
    assert asked == [("user/name", ["model.safetensors", "config.json"])]
    Path("downloaded/config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"user/name in our format: .*config\.json"):
        load_generator("user/name")


def test_a_hub_that_cannot_be_reached_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise ConnectionError("no network")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(FileNotFoundError, match=r"or Hub repository user/name .* no network"):
        load_generator("user/name")


# ---------------------------------------------------------------- what is never run


class _Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("how", ["torch.save", "pickle"])
def test_a_pickle_offered_as_a_checkpoint_does_not_run(tmp_path: Path, how: str) -> None:
    path, mark = tmp_path / "G_ema.pth", tmp_path / "ran"
    if how == "pickle":
        path.write_bytes(pickle.dumps(_Payload(mark)))
    else:
        torch.save({"shared.weight": _Payload(mark)}, path)
    with pytest.raises(UnreadableFileError, match=f"{path} is damaged, or contains something else"):
        load_generator(f"biggan:{path}")
    assert not mark.exists()
    read = pickle.load if how == "pickle" else partial(torch.load, weights_only=False)
    with path.open("rb") as file:
        read(file)  # it would have
    assert mark.exists()


@pytest.mark.parametrize("content", [[1.0], {"a": 3}, {"linear.weight": torch.ones(2)}])
def test_a_checkpoint_of_something_else_is_refused_by_its_path(
    tmp_path: Path, content: object
) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(UnreadableFileError, match=str(tmp_path / "other.pth")):
        load_generator(f"biggan:{tmp_path / 'other.pth'}")


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"G_ema\.pth"):
        load_generator(f"biggan:{tmp_path / 'G_ema.pth'}")


def test_code_is_not_run_where_it_may_not_be(module: str) -> None:
    for spec in (f"{module}:net", f"{module}.net"):
        assert names_code(spec)
        with pytest.raises(CodeNeededError):
            load_generator(spec, may_import=False)
    assert module not in sys.modules
    assert not any(map(names_code, ("user/name", "biggan:weights", ".", "theirs.py")))
