"""Checkpoints: whole or refused, and never run."""

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from axiswise.support.files import UnreadableFileError
from axiswise.training.checkpoint import (
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)


@pytest.fixture
def state() -> dict[str, Any]:
    rng = torch.Generator().manual_seed(1)
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return {
        "step": 10,
        "weights": layer.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rng": rng.get_state(),
        "log": [torch.arange(3.0)],
    }


@pytest.fixture
def path(tmp_path: Path, state: dict[str, Any]) -> Path:
    return save_checkpoint(tmp_path / "checkpoints", 10, state)


def test_the_state_comes_back_bit_for_bit(path: Path, state: dict[str, Any]) -> None:
    again = load_checkpoint(path)
    assert list(again) == list(state)
    assert again["step"] == 10
    for part in ("weights",):
        assert all(torch.equal(again[part][key], state[part][key]) for key in state[part])
    for name, value in state["optimizer"]["state"][0].items():
        assert torch.equal(again["optimizer"]["state"][0][name], value)
    assert again["optimizer"]["param_groups"] == state["optimizer"]["param_groups"]
    assert torch.equal(again["rng"], state["rng"])
    assert torch.equal(again["log"][0], state["log"][0])


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    for step in (8, 9, 10, 11):
        save_checkpoint(folder, step, {"step": step})
    names = ["step-00000010", "step-00000011"]
    expected = sorted(f"{name}{suffix}" for name in names for suffix in (".pt", ".sha256"))
    assert sorted(path.name for path in folder.iterdir()) == expected
    assert [load_checkpoint(path)["step"] for path in list_checkpoints(folder)] == [10, 11]


def test_checkpoints_are_listed_by_their_step_and_other_files_are_not(tmp_path: Path) -> None:
    for name in ("step-99999999.pt", "step-100000000.pt", "step-00000005.pt"):
        (tmp_path / name).touch()
    for name in (".step-00000007.pt.x1y2", "step-00000006.sha256", "notes.txt", "step-1.pt"):
        (tmp_path / name).touch()
    found = [path.name for path in list_checkpoints(tmp_path)]
    assert found == ["step-00000005.pt", "step-99999999.pt", "step-100000000.pt"]
    assert list_checkpoints(tmp_path / "missing") == []


def test_a_truncated_checkpoint_is_refused(path: Path) -> None:
    content = path.read_bytes()
    for length in (0, 1, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(UnreadableFileError, match=f"{path} is damaged.*delete it"):
            load_checkpoint(path)


def test_one_altered_byte_anywhere_is_enough(path: Path) -> None:
    content = path.read_bytes()
    for position in range(0, len(content), 97):
        altered = bytearray(content)
        altered[position] ^= 1
        path.write_bytes(altered)
        with pytest.raises(UnreadableFileError, match=f"{path} is damaged"):
            load_checkpoint(path)


@pytest.mark.parametrize("digest", [None, b"", b"0" * 64, b"\xff\xfe"])
def test_a_missing_or_wrong_digest_is_refused(path: Path, digest: bytes | None) -> None:
    file = path.with_suffix(".sha256")
    file.unlink() if digest is None else file.write_bytes(digest)
    with pytest.raises(UnreadableFileError, match=f"{path} is damaged"):
        load_checkpoint(path)


class _Bomb:
    """Unpickled, it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.target, "boom"))


def _plant(path: Path, content: bytes) -> None:
    """A foreign file, with a digest that matches."""
    path.write_bytes(content)
    path.with_suffix(".sha256").write_bytes(hashlib.sha256(content).hexdigest().encode())


def test_code_in_a_foreign_checkpoint_is_not_run(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "boom"
    torch.save({"step": 10, "weights": _Bomb(target)}, tmp_path / "foreign.pt")
    _plant(path, (tmp_path / "foreign.pt").read_bytes())
    with pytest.raises(UnreadableFileError, match=f"{path} is no checkpoint"):
        load_checkpoint(path)
    assert not target.exists()
    torch.load(tmp_path / "foreign.pt", weights_only=False)  # which shows that it would have run
    assert target.exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 no zip", b"\x80\x04N."])
def test_foreign_files_with_a_matching_digest_are_refused(path: Path, content: bytes) -> None:
    _plant(path, content)
    with pytest.raises(UnreadableFileError, match=f"{path} is no checkpoint"):
        load_checkpoint(path)


def test_a_tensor_alone_is_no_checkpoint(path: Path, tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    _plant(path, (tmp_path / "tensor.pt").read_bytes())
    with pytest.raises(UnreadableFileError, match=f"{path} is no checkpoint"):
        load_checkpoint(path)


def test_a_full_disk_leaves_the_older_checkpoints(
    path: Path, state: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(path.parent, 20, state)
    calls = iter([0, 1])  # the digest fits, the checkpoint does not

    def full(_: int) -> None:
        if next(calls) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left.*step-00000030\.pt"):
            save_checkpoint(path.parent, 30, state)
    found = list_checkpoints(path.parent)
    assert [file.name for file in found] == ["step-00000010.pt", "step-00000020.pt"]
    assert all(load_checkpoint(file)["step"] == 10 for file in found)
    assert not list(path.parent.glob(".*"))


def test_what_a_kill_left_of_an_old_checkpoint_goes_with_the_old_ones(path: Path) -> None:
    left = ("step-00000009.csv", "step-00000011.sha256", "step-00000012.csv")
    for name in (*left, "step-00000010.csv", "mine.csv", "step-00000001-mine.pt"):
        (path.parent / name).touch()
    for step in (15, 20):
        save_checkpoint(path.parent, step, {"step": step})
    kept = {f"step-000000{step}{kind}" for step in (15, 20) for kind in (".pt", ".sha256")}
    names = {file.name for file in path.parent.iterdir()}
    assert names == kept | {"mine.csv", "step-00000001-mine.pt"}
