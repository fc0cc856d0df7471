"""Saved networks of any class: ours by the name in their config.json, published ones by layout."""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from axiswise.nets.biggan import BigGAN
from axiswise.nets.conv_vae import ConvVAE
from axiswise.nets.making import check_memory
from axiswise.nets.patch_vae import PatchVAE
from axiswise.nets.pretrained import CONFIG, WEIGHTS, Pretrained, fetch, read_config
from axiswise.nets.progressive import ProgressiveCritic, ProgressiveGenerator
from axiswise.nets.simple_gan import PublishedSimpleCritic, SimpleCritic, SimpleGenerator
from axiswise.nets.study_vae import StudyVAE
from axiswise.support.files import UnreadableFileError
from axiswise.support.notes import note
from axiswise.support.npz import array_layouts, read_array
from axiswise.support.tensors import load_safetensors, load_tensors

ARCHITECTURES: Mapping[str, type[Pretrained]] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (
            BigGAN,
            ConvVAE,
            PatchVAE,
            ProgressiveCritic,
            ProgressiveGenerator,
            PublishedSimpleCritic,
            SimpleCritic,
            SimpleGenerator,
            StudyVAE,
        )
    }
)


def load(
    source: str | Path,
    *,
    revision: str | None = None,
    known: Mapping[str, type[Pretrained]] = MappingProxyType({}),
) -> Pretrained:
    """Load a saved network of the class that its config.json names. No code in the files is run.

    Args:
        source: A folder, or the name of a repository on the Hugging Face Hub.
        revision: Branch, tag or commit of the repository; not for folders.
        known: Classes that config.json may name beside those of `axiswise.nets`, by name:
            `{"MyVAE": MyVAE}`.

    Returns:
        The network, in eval mode, on the CPU.

    Raises:
        FileNotFoundError: If there is no such folder or repository, or it lacks a file.
        UnreadableFileError: If a file is damaged, or names another class.
    """
    folder = fetch(source, revision)
    architecture, _ = read_config(folder)
    classes = {**ARCHITECTURES, **known}
    if architecture not in classes:
        raise UnreadableFileError(
            f"{folder / CONFIG} must name a network out of {', '.join(sorted(classes))}, "
            f"got {architecture!r}"
        )
    return classes[architecture].from_pretrained(folder)


VARIANT = "normalize_latents"  # name of a number in a file of a progressive generator

# Endings of files of published weights.
FILES = (".npz", ".safetensors", ".pth", ".pt")


def load_published(path: str | Path) -> Pretrained:
    """Load a generator with the weights that its authors published, whatever its layout.

    The layout is known by the names of the weights: of the progressive GAN of OroJaR and of the
    Hessian Penalty, of OroJaR's simple GAN, or of BigGAN. docs/published.md says how to write such
    a file. No code in it is run.

    Args:
        path: An .npz file of arrays, a .safetensors file, or a .pth or .pt file of a state dict. Of
            a progressive generator, a number `normalize_latents` says which variant it is: 1 the
            Hessian Penalty's, 0 OroJaR's, which it also is, with a line on standard error, without
            that number.

    Returns:
        The network, float32, in eval mode, on the CPU.

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableFileError: It is damaged, or of another layout; the message names the weights.
        OSError: It cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file of published weights {path}")
    weights = _weights_in(path)
    try:
        return _of_layout(path, weights)
    except (RuntimeError, TypeError, ValueError) as error:
        ours = "; a network of ours is named by its folder" if path.name == WEIGHTS else ""
        raise UnreadableFileError(
            f"{path} is no file of published weights of a generator: {error}{ours}"
        ) from error


def _weights_in(path: Path) -> dict[str, Tensor]:
    """The weights of a file by name, floating ones as float32."""
    if path.suffix == ".npz":
        layouts = array_layouts(path)
        for name, layout in layouts.items():
            if layout.dtype.kind not in "biuf":
                raise UnreadableFileError(f"{path}: {name} must be numbers, got {layout.dtype}")
        sizes = [math.prod(layout.shape) * layout.dtype.itemsize for layout in layouts.values()]
        check_memory(f"the arrays of {path}", sum(sizes))
        arrays = {name: read_array(path, name) for name in layouts}
        with np.errstate(over="ignore"):  # infinities are found by their name
            weights = {
                name: torch.from_numpy(array.astype("f4" if array.dtype.kind == "f" else "i8"))
                for name, array in arrays.items()
            }
    elif path.suffix == ".safetensors":
        weights = load_safetensors(path)
    else:
        found = load_tensors(path)
        if not isinstance(found, dict) or not all(map(torch.is_tensor, found.values())):
            raise UnreadableFileError(f"{path} must be a state dict: names and tensors")
        weights = found
    return {
        name: value.float() if value.is_floating_point() else value
        for name, value in weights.items()
    }


def _progressive(path: Path, weights: dict[str, Tensor]) -> ProgressiveGenerator:
    variant = weights.pop(VARIANT, None)
    if variant is None:
        note(f"{path} has no {VARIANT}, 0 or 1: taken for OroJaR's variant, 0")
        variant = torch.tensor(0)
    if variant.numel() != 1 or float(variant) not in (0, 1):
        raise ValueError(f"{VARIANT} must be 0 or 1, got {variant.tolist()}")
    return ProgressiveGenerator.from_published(weights, normalize_latents=bool(variant))


# Name of a layout → what names of its weights begin with, and what makes the network.
_LAYOUTS: Mapping[str, tuple[str, Callable[[Path, dict[str, Tensor]], Pretrained]]] = {
    "progressive GAN (4x4/Dense/weight, …)": (r"\d+x\d+/|(To|From)RGB_lod", _progressive),
    "simple GAN (layers.0.layers.conv.weight, …)": (
        r"layers\.\d+\.layers\.",
        lambda _, weights: SimpleGenerator.from_published(weights),
    ),
    "BigGAN (shared.weight, …)": (
        r"(shared|linear|output_layer|blocks\.\d+)\.",
        lambda _, weights: BigGAN.from_published(weights),
    ),
}


def _of_layout(path: Path, weights: dict[str, Tensor]) -> Pretrained:
    """The network of the layout that most names are of."""
    shares = {
        name: sum(re.match(start, weight) is not None for weight in weights)
        for name, (start, _) in _LAYOUTS.items()
    }
    layout = max(shares, key=lambda name: shares[name])
    if not shares[layout]:
        few = sorted(weights)[:4]
        more = ", …" if len(weights) > len(few) else ""
        raise ValueError(
            f"its names must be those of the {', the '.join(_LAYOUTS)}; it has "
            f"{', '.join(few) or 'none'}{more}"
        )
    try:
        return _LAYOUTS[layout][1](path, weights)
    except (TypeError, ValueError) as error:
        raise ValueError(f"in the layout of the {layout.split(' (')[0]}, {error}") from error
