"""What tests of several folders need: runs so small that they train in a second."""

import hashlib
import math
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
from torch import Tensor

from tiny import TINY, TINY_GAN

# Before anything imports these: the types of their calls are checked, shapes too.
jaxtyping.install_import_hook(["axiswise.jacobian", "axiswise.penalties"], "beartype.beartype")

Snapshot = Callable[[Path], dict[str, str]]
Fill = Callable[..., dict[str, Tensor]]


@pytest.fixture(autouse=True)
def _types(request: pytest.FixtureRequest) -> Iterator[None]:
    """Types are checked where calls are tested, and in slow tests, unless marked `unchecked`.

    Elsewhere checks would take a fifth of the time.
    """
    marked = {marker.name for marker in request.node.iter_markers()}
    folder = request.path.parent.name
    checked = folder in ("jacobian", "penalties", "objectives") or "slow" in marked
    off = not checked or "unchecked" in marked
    jaxtyping.config.update("jaxtyping_disable", off)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Sums in another order would not be equal bit for bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_interrupts() -> Iterator[None]:
    """Where tests run in several processes these ignore it, and so would all that they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def _no_fsync(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """To flush the disk after each file takes longer than most tests."""
    if request.node.get_closest_marker("fsync") is None:
        monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def tiny_recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the tiny recipe, for all tests: copy it before you change it."""
    return _finished(tmp_path_factory.mktemp("trained"), "tiny.yaml", TINY)


@pytest.fixture
def tiny_gan_recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny-gan.yaml"
    path.write_text(TINY_GAN)
    return path


@pytest.fixture(scope="session")
def trained_gan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the tiny GAN, likewise."""
    return _finished(tmp_path_factory.mktemp("trained_gan"), "tiny-gan.yaml", TINY_GAN)


def _finished(folder: Path, name: str, recipe: str) -> Path:
    from axiswise.runs.train import train_recipe

    (folder / name).write_text(recipe)
    return train_recipe(str(folder / name), out=str(folder / "run")).path


@pytest.fixture
def trained_copy(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


@pytest.fixture(scope="session")
def snapshot() -> Snapshot:
    """Path and digest of each file in a folder."""

    def take(folder: Path) -> dict[str, str]:
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
        }

    return take


@pytest.fixture(scope="session")
def fill() -> Fill:
    """Weights by the rule of the reference, which the authors' GANs were run with."""

    def by_rule(
        shapes: Mapping[str, Sequence[int]], kind: torch.dtype = torch.float64
    ) -> dict[str, Tensor]:
        weights = {}
        for position, (key, shape) in enumerate(shapes.items()):
            index = np.arange(1, math.prod(shape) + 1)
            noise = np.sin(1 + position + 12.9898 * index) * 43758.5453
            uniform = 2 * (noise - np.floor(noise)) - 1
            offset, scale = 0.0, 0.05
            if key.endswith("var"):
                offset, scale = 1.0, 0.5
            elif key.endswith("gain") and len(shape) == 1:
                offset, scale = 1.0, 0.1
            values = offset + scale * uniform
            weights[key] = torch.from_numpy(values.reshape(shape)).to(kind)
        return weights

    return by_rule


@pytest.fixture
def refusal() -> Callable[[Callable[[], object]], str]:
    """What another thread is told that writes where this one is the owner."""
    from axiswise.support.locks import BusyError

    def of(write: Callable[[], object]) -> str:
        told: list[str] = []

        def run() -> None:
            try:
                write()
            except BusyError as error:
                told.append(str(error))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return told[0]

    return of


@pytest.fixture
def heard_hangups() -> Iterator[None]:
    """SIGHUP as in a terminal, where tests run under nohup too, which has it ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
