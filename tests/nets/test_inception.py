"""Inception against torch-fidelity's network with the same weights."""

import pytest
import torch
from torch import Tensor

from axiswise.metrics.features import resized_as_published
from axiswise.nets.inception import Inception

# Features 0, 128, 256, … of torch-fidelity 0.4.0's FeatureExtractorInceptionV3, "2048", of the
# images and weights below.
FIRST, SECOND = (
    (0.009134, 0.00101, 0.0, 0.000399, 0.187876, 0.0, 0.0, 0.01854, 0.0),
    (0.008997, 0.001341, 0.0, 0.00043, 0.187575, 0.0, 0.0, 0.018697, 0.0),
)
FEATURES = [
    [*FIRST, 0.000224, 0.0, 0.00125, 0.114245, 0.081157, 0.347009, 0.0],
    [*SECOND, 0.000256, 0.0, 0.001431, 0.115644, 0.082054, 0.349443, 0.0],
]


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Drawn for each name in alphabetical order, without the counts that copies leave out."""
    rng = torch.Generator().manual_seed(0)
    found = {}
    for name, like in sorted(Inception().state_dict().items()):
        if name.endswith("num_batches_tracked"):
            continue
        draw = torch.randn(like.shape, generator=rng)
        if name.endswith("conv.weight"):
            draw *= (2 / draw[0].numel()) ** 0.5
        elif name.endswith("bn.weight"):
            draw = 1 + 0.1 * draw
        elif name.endswith("running_var"):
            draw = 1 + 0.5 * torch.rand(like.shape, generator=rng)
        else:
            draw *= 0.1
        found[name] = draw
    return found


@torch.no_grad()
def test_features_are_those_of_torch_fidelity(weights: dict[str, Tensor]) -> None:
    rng = torch.Generator().manual_seed(1)
    levels = torch.randint(256, (2, 3, 40, 40), generator=rng, dtype=torch.uint8).float()
    network = Inception.from_published(weights)
    features = network((resized_as_published(levels, 299) - 128) / 128)
    assert features.shape == (2, 2048)
    torch.testing.assert_close(features[:, ::128], torch.tensor(FEATURES), rtol=1e-3, atol=2e-6)


def test_other_weights_are_refused_by_name(weights: dict[str, Tensor]) -> None:
    for change, message in (
        ({"AuxLogits.fc.weight": torch.zeros(1)}, r"unknown \['AuxLogits\.fc\.weight'\]"),
        ({"fc.bias": torch.zeros(1000)}, r"state_dict\['fc\.bias'\] must be \(1008,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            Inception.from_published(weights | change)
    del weights["Mixed_7c.branch_pool.bn.bias"]
    with pytest.raises(ValueError, match=r"missing \['Mixed_7c\.branch_pool\.bn\.bias'\]"):
        Inception.from_published(weights)
