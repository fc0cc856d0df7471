"""Networks saved, loaded and shared: two files, and no code in them."""

import json
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch

import axiswise as aw
from axiswise.nets import VAE, ConvVAE, Pretrained, SimpleCritic, load
from axiswise.support.files import UnreadableFileError

ARGUMENTS = {"size": 16, "channels": 3, "latent_dim": 5, "hidden": [4, 8], "features": 12}


@pytest.fixture
def vae() -> ConvVAE:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return ConvVAE(**ARGUMENTS)


@pytest.fixture
def saved(vae: ConvVAE, tmp_path: Path) -> Path:
    vae.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


class OtherVAE(VAE):
    def __init__(self, size: int = 16) -> None:
        super().__init__()
        self.size = size


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_a_network_comes_back_bit_for_bit(
    vae: ConvVAE, tmp_path: Path, layout: torch.memory_format, kind: torch.dtype
) -> None:
    vae = vae.to(kind).to(memory_format=layout)
    vae.save_pretrained(tmp_path)
    again = ConvVAE.from_pretrained(tmp_path)
    assert again.arguments == vae.arguments == ARGUMENTS
    assert not again.training
    assert list(again.state_dict()) == list(vae.state_dict())
    for name, value in vae.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
        assert again.state_dict()[name].dtype == kind
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_a_loaded_network_can_be_trained_further(saved: Path) -> None:
    again = ConvVAE.from_pretrained(saved)
    again(torch.rand(1, 3, 16, 16)).sum().backward()
    assert all(parameter.grad is not None for parameter in again.decoder.parameters())


def test_nothing_is_pickled(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights begin as safetensors do, and loading works with pickle and torch.load gone."""
    content = (saved / "model.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert set(header) - {"__metadata__"} == set(ConvVAE(**ARGUMENTS).state_dict())

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("unpickled")

    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    ConvVAE.from_pretrained(saved)


def test_saving_again_replaces_both_files(vae: ConvVAE, saved: Path) -> None:
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.add_(1)
    vae.save_pretrained(saved)
    again = ConvVAE.from_pretrained(saved)
    assert torch.equal(again.decoder[0].weight, vae.decoder[0].weight)


def _flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "one byte short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "length altered": lambda path: _flip(path, 0),
    "header altered": lambda path: _flip(path, 9),
    "a weight altered": lambda path: _flip(path, path.stat().st_size - 3),
    "a picture": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "a pickle": lambda path: path.write_bytes(pickle.dumps({"weights": [1, 2, 3]})),
    "another network": lambda path: shutil.copy(_other_network(path), path),
}


def _other_network(path: Path) -> Path:
    ConvVAE(**{**ARGUMENTS, "features": 13}).save_pretrained(path.parent / "other")
    return path.parent / "other" / "model.safetensors"


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_or_foreign_weights_are_refused_by_name(saved: Path, damage: str) -> None:
    DAMAGES[damage](saved / "model.safetensors")
    with pytest.raises(UnreadableFileError, match=r"saved/model\.safetensors"):
        ConvVAE.from_pretrained(saved)


def test_weights_that_another_program_saved_are_taken(vae: ConvVAE, saved: Path) -> None:
    """They come without a checksum."""
    safetensors.torch.save_file(vae.state_dict(), saved / "model.safetensors")
    again = ConvVAE.from_pretrained(saved)
    assert torch.equal(again.decoder[0].weight, vae.decoder[0].weight)


CONFIGS = {
    "empty": "",
    "cut short": '{"architecture": "ConvVAE", "arg',
    "binary": b"\xff\xfe\x00",
    "a list": "[1, 2]",
    "a number": "3",
    "no architecture": json.dumps({"arguments": ARGUMENTS}),
    "no arguments": json.dumps({"architecture": "ConvVAE"}),
    "arguments no dict": json.dumps({"architecture": "ConvVAE", "arguments": 3}),
    "arguments null": json.dumps({"architecture": "ConvVAE", "arguments": None}),
    "unknown argument": json.dumps(
        {"architecture": "ConvVAE", "arguments": {**ARGUMENTS, "depth": 3}}
    ),
    "argument self": json.dumps({"architecture": "ConvVAE", "arguments": {"self": 3}}),
    "word for number": json.dumps(
        {"architecture": "ConvVAE", "arguments": {**ARGUMENTS, "size": "big"}}
    ),
    "null for number": json.dumps(
        {"architecture": "ConvVAE", "arguments": {**ARGUMENTS, "hidden": [4, None]}}
    ),
    "size out of range": json.dumps(
        {"architecture": "ConvVAE", "arguments": {**ARGUMENTS, "size": 17}}
    ),
    "another architecture": json.dumps({"architecture": "BigGAN", "arguments": {}}),
    "somebody else's": json.dumps({"model_type": "bert", "hidden_size": 768}),
}


@pytest.mark.parametrize("config", CONFIGS)
def test_a_damaged_or_foreign_config_is_refused_by_name(saved: Path, config: str) -> None:
    content = CONFIGS[config]
    (saved / "config.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UnreadableFileError, match=r"saved/config\.json"):
        ConvVAE.from_pretrained(saved)


def test_a_network_of_another_class_is_refused_with_both_names(saved: Path) -> None:
    with pytest.raises(UnreadableFileError, match="a ConvVAE, not to a OtherVAE"):
        OtherVAE.from_pretrained(saved)


def test_load_takes_the_class_that_the_config_names(vae: ConvVAE, saved: Path) -> None:
    again = load(saved)
    assert type(again) is ConvVAE
    assert again.digest == vae.digest
    assert not again.training
    critic = SimpleCritic(size=8, width=0.1)
    critic.save_pretrained(saved)
    assert type(load(str(saved))) is SimpleCritic


def test_load_takes_a_user_s_class_that_the_caller_names_only(tmp_path: Path) -> None:
    OtherVAE(8).save_pretrained(tmp_path)
    with pytest.raises(UnreadableFileError, match=r"config\.json must name .*'OtherVAE'"):
        load(tmp_path)
    known: dict[str, type[Pretrained]] = {"OtherVAE": OtherVAE}
    again = load(tmp_path, known=known)
    assert isinstance(again, OtherVAE)
    assert again.size == 8


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(saved: Path, missing: str) -> None:
    (saved / missing).unlink()
    with pytest.raises(FileNotFoundError, match=missing):
        ConvVAE.from_pretrained(saved)


def test_neither_folder_nor_repository_name() -> None:
    with pytest.raises(FileNotFoundError, match="no/such/folder"):
        ConvVAE.from_pretrained("no/such/folder")


def test_a_folder_that_cannot_be_written_keeps_what_it_had(
    vae: ConvVAE, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in saved.iterdir()}

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "somewhere")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with torch.no_grad():
        vae.decoder[0].weight.add_(1)
    with pytest.raises(PermissionError, match=r"model\.safetensors"):
        vae.save_pretrained(saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_push_to_hub_uploads_both_files_and_gives_the_commit(
    vae: ConvVAE, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: dict[str, object] = {}

    class Hub:
        def create_repo(self, repo_id: str, **options: object) -> SimpleNamespace:
            calls["create"] = (repo_id, options)
            return SimpleNamespace(repo_id=f"somebody/{repo_id}")

        def upload_folder(self, *, repo_id: str, folder_path: str) -> SimpleNamespace:
            files = {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}
            calls["upload"] = (repo_id, files)
            return SimpleNamespace(commit_url=f"https://hub.example/{repo_id}/commit/1")

    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    address = vae.push_to_hub("dots", private=True)
    assert address == "https://hub.example/somebody/dots/commit/1"
    assert calls["create"] == ("dots", {"private": True, "exist_ok": True})
    files = {path.name: path.read_bytes() for path in saved.iterdir()}
    assert calls["upload"] == ("somebody/dots", files)


def test_from_pretrained_takes_a_repository_of_the_hub(
    vae: ConvVAE, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(repository: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repository, revision, sorted(allow_patterns)))
        return str(saved)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    again = ConvVAE.from_pretrained("somebody/dots", revision="v1")
    assert asked == [("somebody/dots", "v1", ["config.json", "model.safetensors"])]
    z = torch.randn(2, 5)
    assert torch.equal(again.decoder(z), vae.eval().decoder(z))


def test_the_decoder_of_a_loaded_network_is_a_generator_for_the_penalties(saved: Path) -> None:
    decoder = ConvVAE.from_pretrained(saved).decoder
    z = torch.randn(2, 5)
    oracle = torch.autograd.functional.jacobian(lambda z: decoder(z).sum(0), z)
    expected = oracle.abs().sum((0, 1, 2, 4)).mean()
    torch.testing.assert_close(aw.jl1_penalty(decoder, z), expected)
