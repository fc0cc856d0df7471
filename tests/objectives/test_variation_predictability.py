"""The Variation Predictability loss: pairs that differ in one latent, and which one it was."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from axiswise.objectives.variation_predictability import (
    PublishedVariationPredictability,
    VariationPredictability,
    changed,
)

BATCH, LATENT = 400, 5


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Known(nn.Module):
    """A classifier that gives the same logits to all pairs, and keeps what it was shown."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, pairs: Tensor) -> Tensor:
        self.pairs = pairs
        return self.logits.expand(len(pairs), -1) + 0 * pairs.flatten(1).sum(1, keepdim=True)


def test_the_loss_is_the_cross_entropy_of_which_latent_changed(given: Any) -> None:
    classifier = Known([1.0, 0.0, -2.0])
    images, others = _normal(4, 1, 2, 2), _normal(4, 1, 2, 2, seed=1)
    value = VariationPredictability()(
        given(images, torch.zeros(4, 3), others),
        classifier,
        index=torch.tensor([0, 2, 1, 0]),
        value=torch.zeros(4),
    )
    total = math.log(math.e + 1 + math.exp(-2))
    wanted = [total - 1, total + 2, total, total - 1]
    assert float(value.detach()) == pytest.approx(sum(wanted) / 4, rel=1e-6)
    assert torch.equal(classifier.pairs, torch.cat([images, others], 1))  # the first one first


def test_a_classifier_that_knows_nothing_pays_log_latents(given: Any) -> None:
    value = VariationPredictability()(
        given(_normal(3, 1, 2, 2), torch.zeros(3, 7), _normal(3, 1, 2, 2)),
        Known([0.0] * 7),
        index=torch.tensor([0, 3, 6]),
        value=torch.zeros(3),
    )
    assert float(value.detach()) == pytest.approx(math.log(7))


def test_both_images_and_the_classifier_get_gradients(given: Any, sizes: Any) -> None:
    vp = VariationPredictability(width=0.05)
    classifier = vp.network(sizes(8, 1, 3))
    images, others = (_normal(6, 1, 8, 8, seed=seed).requires_grad_() for seed in (1, 2))
    index, value = torch.tensor([0, 1, 2, 0, 1, 2]), torch.zeros(6)
    vp(given(images, torch.zeros(6, 3), others), classifier, index=index, value=value).backward()
    for images_ in (images, others):
        assert images_.grad is not None
        assert images_.grad.abs().max() > 0
    assert all(value.grad is not None for value in classifier.parameters())


def test_the_classifier_takes_pairs_and_gives_a_logit_for_each_latent(sizes: Any) -> None:
    classifier = VariationPredictability(width=0.05).network(sizes(16, 3, 5))
    assert classifier(torch.zeros(2, 6, 16, 16)).shape == (2, 5)
    widths = [
        sum(
            value.numel()
            for value in VariationPredictability(width=w).network(sizes(8, 1, 2)).parameters()
        )
        for w in (0.1, 0.2)
    ]
    assert widths[0] < widths[1]


def test_one_latent_of_each_sample_changes_and_no_other() -> None:
    z, value = _normal(BATCH, LATENT), _normal(BATCH, seed=1)
    index = torch.randint(LATENT, (BATCH,), generator=torch.Generator().manual_seed(2))
    before = z.clone()
    other = changed(z, index, value)
    assert torch.equal(z, before)
    for row in range(BATCH):
        for column in range(LATENT):
            wanted = value[row] if column == index[row] else z[row, column]
            assert other[row, column] == wanted


def test_each_latent_is_drawn_as_often_and_values_are_normal() -> None:
    drawn = VariationPredictability().draw(20_000, 4, torch.Generator().manual_seed(0))
    counts = drawn["index"].bincount(minlength=4)
    assert len(counts) == 4
    torch.testing.assert_close(counts / 20_000, torch.full((4,), 0.25), rtol=0, atol=0.015)
    assert float(drawn["value"].mean()) == pytest.approx(0, abs=0.03)
    assert float(drawn["value"].std()) == pytest.approx(1, abs=0.03)
    of_first = drawn["value"][drawn["index"] == 0]
    assert float(of_first.std()) == pytest.approx(1, abs=0.05)


def test_shares_are_slices_of_the_whole_draw_and_leave_the_same_state() -> None:
    vp, rng = VariationPredictability(), torch.Generator().manual_seed(3)
    whole = vp.draw(8, LATENT, rng)
    for start in (0, 4):
        other = torch.Generator().manual_seed(3)
        part = vp.draw(8, LATENT, other, slice(start, start + 4))
        assert part.keys() == whole.keys()
        assert all(torch.equal(part[key], whole[key][start : start + 4]) for key in whole)
        assert torch.equal(other.get_state(), rng.get_state())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": -0.1}, "weight must be ≥ 0, got -0.1"),
        ({"weight": math.nan}, "weight must be ≥ 0, got nan"),
        ({"width": 0.0}, "width must be > 0, got 0.0"),
        ({"width": math.nan}, "width must be > 0, got nan"),
        ({"anneal": 1.5}, "anneal must be between 0 and 1, got 1.5"),
        ({"delay": -0.5}, "delay must be between 0 and 1, got -0.5"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(
    arguments: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        VariationPredictability(**arguments)


def test_the_published_loss_is_the_binary_cross_entropy_of_the_difference(given: Any) -> None:
    """Of every latent by itself: -log σ(l) for the one that changed, -log(1 - σ(l)) for others."""
    logits, index = [1.0, 0.0, -2.0], [0, 2, 1, 0]
    classifier, z, value = Known(logits), _normal(4, 3), _normal(4, seed=3)
    images, others = _normal(4, 1, 2, 2), _normal(4, 1, 2, 2, seed=1)
    seen: list[Tensor] = []

    class Pass(given):  # type: ignore[misc, name-defined]
        def at(self, z: Tensor) -> Any:
            seen.append(z)
            return super().at(z)

    term = PublishedVariationPredictability()
    found = term(Pass(images, z, others), classifier, index=torch.tensor(index), value=value)
    sigma = [1 / (1 + math.exp(-logit)) for logit in logits]
    wanted = sum(-math.log(s if k == i else 1 - s) for i in index for k, s in enumerate(sigma))
    assert float(found.detach()) == pytest.approx(wanted / 12, rel=1e-6)
    assert torch.equal(classifier.pairs, images - others)
    for row, i in enumerate(index):
        added = [float(value[row]) if k == i else 0.0 for k in range(3)]
        torch.testing.assert_close(seen[0][row], z[row] + torch.tensor(added))
    assert term.weight == 0.1


def test_the_published_classifier_has_the_published_layers(sizes: Any) -> None:
    """Convolutions of 4 channels to 4 × 4 pixels, then 64 → 16 → latents."""
    network = PublishedVariationPredictability().network(sizes(64, 1, 6))
    kinds = [
        (type(part).__name__, *(tuple(part.weight.shape) if hasattr(part, "weight") else ()))
        for part in network
    ]
    norm, leaky = ("InstanceNorm2d", 4), ("LeakyReLU",)
    block = [("Conv2d", 4, 4, 4, 4), norm, leaky]
    linear = [("Linear", 16, 64), leaky, ("Linear", 6, 16)]
    assert kinds == [("Conv2d", 4, 1, 4, 4), leaky, *3 * block, ("Flatten",), *linear]
    assert {part.negative_slope for part in network if hasattr(part, "negative_slope")} == {0.2}
    biased = [part.bias is not None for part in network if isinstance(part, nn.Conv2d)]
    assert biased == [True, False, False, False]
    assert network(torch.zeros(2, 1, 64, 64)).shape == (2, 6)
