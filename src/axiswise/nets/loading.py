"""Saved networks of any class, by the name in their config.json."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from axiswise.nets.biggan import BigGAN
from axiswise.nets.conv_vae import ConvVAE
from axiswise.nets.patch_vae import PatchVAE
from axiswise.nets.pretrained import CONFIG, Pretrained, fetch, read_config
from axiswise.nets.progressive import ProgressiveCritic, ProgressiveGenerator
from axiswise.nets.simple_gan import PublishedSimpleCritic, SimpleCritic, SimpleGenerator
from axiswise.nets.study_vae import StudyVAE
from axiswise.support.files import UnreadableFileError

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
