"""The progressive GAN against what the authors' programs returned, and its own rules."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from axiswise.nets import ProgressiveCritic, ProgressiveGenerator

REFERENCE = Path(__file__).parents[1] / "reference"
ABOUT = json.loads((REFERENCE / "progan_r32.json").read_text())
LODS = [0, 0.5, 1.0, 2.3, 3.0]
VARIANTS = ["orojar", "hessian"]


@pytest.fixture(scope="module")
def reference() -> Mapping[str, np.ndarray]:
    with np.load(REFERENCE / "progan_r32.npz") as arrays:
        return dict(arrays)


def uniform(position: int, shape: Sequence[int]) -> np.ndarray:
    """The reference's a, in [−1, 1]."""
    noise = np.sin(1 + position + 12.9898 * np.arange(1, math.prod(shape) + 1)) * 43758.5453
    return (2 * (noise - np.floor(noise)) - 1).reshape(shape)


def filled(network: str, unit: bool = False) -> dict[str, np.ndarray]:
    """Published variables by the reference's rule, in float32."""
    variables = {}
    for position, (name, shape) in enumerate(ABOUT[network].items()):
        scale = math.sqrt(3) if unit and name.endswith("weight") else 0.5
        variables[name] = (scale * uniform(position, shape)).astype(np.float32)
    return variables


def generator_of(variant: str) -> ProgressiveGenerator:
    return ProgressiveGenerator.from_published(
        filled("generator"), normalize_latents=variant == "hessian"
    )


def assert_near(found: Tensor, expected: Any, share: float = 1e-5) -> None:
    """Equal to a share of the largest entry."""
    expected = torch.as_tensor(expected).double()
    found = found.detach().double()
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= share * float(expected.abs().max())


@pytest.mark.parametrize("lod", LODS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_published_images_scores_and_slopes(
    variant: str, lod: float, reference: Mapping[str, np.ndarray]
) -> None:
    key = f"{variant}_lod{lod}"
    expected = torch.from_numpy(reference[f"images_{key}"])
    assert_near(generator_of(variant)(torch.from_numpy(reference["latents"]), lod), expected)

    plain = ProgressiveCritic.from_published(filled("discriminator"))
    assert_near(plain(expected, lod).flatten(), reference[f"scores_{key}"])
    unit = ProgressiveCritic.from_published(filled("discriminator", unit=True))
    images = expected.clone().requires_grad_()
    scores = unit(images, lod=lod).flatten()
    assert_near(scores, reference[f"scores_unit_{key}"])
    assert_near(unit(expected[:2], lod).flatten(), reference[f"scores_unit_of_first_two_{key}"])
    (slopes,) = torch.autograd.grad(scores.sum(), images)
    assert_near(slopes.flatten(1).norm(dim=1), reference[f"slopes_unit_{key}"])
